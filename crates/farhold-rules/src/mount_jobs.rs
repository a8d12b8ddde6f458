//! Which sync jobs run after a removable datastore was mounted.
//!
//! Source: `docs/spec/sync.md` 16.

use farhold_types::{DatastoreName, JobId, SyncJob};

/// What is to be done after a store was mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountJobs {
    /// The jobs to run one after the other, in this order.
    pub ids: Vec<JobId>,
    /// Whether the store is to be unmounted after the last one, however they ended.
    pub unmounts_when_done: bool,
}

/// Returns what is to be done after `store` was mounted: the jobs with `run-on-mount` that read from or write to it, by
/// their ids in byte order. A store of a remote that has the same name is another one.
pub fn jobs_on_mount<'a>(jobs: impl IntoIterator<Item = &'a SyncJob>, store: &DatastoreName) -> MountJobs {
    let uses_store = |job: &SyncJob| job.store == *store || (job.remote.is_none() && job.remote_store == *store);
    let is_due = |job: &&SyncJob| job.run_on_mount == Some(true) && uses_store(job);
    let mut chosen: Vec<&SyncJob> = jobs.into_iter().filter(is_due).collect();
    chosen.sort_by(|a, b| a.id.as_str().as_bytes().cmp(b.id.as_str().as_bytes()));
    MountJobs {
        unmounts_when_done: chosen.iter().any(|job| job.unmount_on_done == Some(true)),
        ids: chosen.into_iter().map(|job| job.id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, store: &str, remote: Option<&str>, remote_store: &str) -> SyncJob {
        let mut job = SyncJob::new(id.parse().unwrap(), store.parse().unwrap(), remote_store.parse().unwrap());
        job.remote = remote.map(|name| name.parse().unwrap());
        job.run_on_mount = Some(true);
        job
    }

    fn ids(jobs: &[SyncJob]) -> Vec<String> {
        let chosen = jobs_on_mount(jobs, &"usb".parse().unwrap());
        chosen.ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn target_source_and_local_jobs_run_in_the_order_of_their_ids() {
        let mut push = job("push", "usb", Some("far"), "away");
        push.sync_direction = Some(farhold_types::SyncDirection::Push);
        let jobs = [
            job("zz-pull", "usb", Some("far"), "away"),
            push,
            job("Local-to", "usb", None, "other"),
            job("local-from", "other", None, "usb"),
            job("same-name-there", "other", Some("far"), "usb"),
            job("other-store", "other", Some("far"), "away"),
            SyncJob { run_on_mount: Some(false), ..job("not-asked", "usb", None, "other") },
            SyncJob { run_on_mount: None, ..job("by-default-not", "usb", None, "other") },
        ];
        assert_eq!(ids(&jobs), ["Local-to", "local-from", "push", "zz-pull"]);
        assert_eq!(ids(&[]), [""; 0]);
    }

    #[test]
    fn the_store_is_unmounted_afterwards_if_any_of_the_jobs_wants_it() {
        let store = "usb".parse().unwrap();
        let wants = SyncJob { unmount_on_done: Some(true), ..job("aaa", "usb", None, "other") };
        let jobs = [wants.clone(), job("bbb", "usb", None, "other")];
        assert!(jobs_on_mount(&jobs, &store).unmounts_when_done);
        assert!(!jobs_on_mount(&jobs[1..], &store).unmounts_when_done);
        let not_run = SyncJob { run_on_mount: None, ..wants };
        assert!(!jobs_on_mount([&not_run, &jobs[1]], &store).unmounts_when_done, "only what runs counts");
    }
}
