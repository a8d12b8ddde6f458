//! The verification of what a sync job brought, if the job's option `verify-after` asks for it. Our own addition.
//!
//! It is a task of its own that begins when the transfer has ended, whether or not all of it went well, so neither its
//! length nor its result is the sync's. As with new backups, some run at once and the others wait for their turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_format::upid::Upid;
use farhold_sync::{EventSink, GroupEvent, NamespaceIndex, StartState, SyncEvent};
use farhold_tasks::TaskContext;
use farhold_types::{Authid, DatastoreName, JobId, Namespace, Snapshot};

use super::{VerifyError, VerifyScope, VerifyThreads, options};
use crate::app::App;
use crate::stores::Operation;
use crate::task_work::blocking;

/// Snapshots of one run that are remembered, to bound the memory; a first run of a large store may bring more, which then
/// wait for a verify job.
const MAX_ARRIVALS: usize = 100_000;

/// Notes which snapshots a pull brings.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Namespaces of the target by their number.
    namespaces: BTreeMap<NamespaceIndex, Namespace>,
    /// In the order of namespaces, groups and times.
    snapshots: BTreeSet<(Namespace, Snapshot)>,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one event of the run.
    fn note(&self, event: &SyncEvent) {
        match event {
            SyncEvent::NamespaceStarted { index, pair } => {
                self.lock().namespaces.insert(*index, pair.target.clone());
            }
            SyncEvent::Group { index, group, event } => {
                let (time, has_come) = match event {
                    GroupEvent::SnapshotDone(time)
                    | GroupEvent::SnapshotStarted { time, state: StartState::Corrupt } => (*time, true),
                    GroupEvent::SnapshotFailed { time, .. }
                    | GroupEvent::VanishedOnSource(time)
                    | GroupEvent::FilteredOut(time) => (*time, false),
                    _ => return,
                };
                let mut noted = self.lock();
                let Some(ns) = noted.namespaces.get(index).cloned() else { return };
                let snapshot = (ns, group.at(time));
                if !has_come {
                    noted.snapshots.remove(&snapshot);
                } else if noted.snapshots.len() < MAX_ARRIVALS {
                    noted.snapshots.insert(snapshot);
                }
            }
            _ => {}
        }
    }

    /// Returns a sink that notes what `events` takes.
    pub(crate) fn beside(self: &Arc<Self>, events: Arc<dyn EventSink>) -> Arc<dyn EventSink> {
        let arrivals = Arc::clone(self);
        Arc::new(move |event: &SyncEvent| {
            arrivals.note(event);
            events.event(event);
        })
    }

    fn take(&self) -> Vec<(Namespace, Snapshot)> {
        std::mem::take(&mut self.lock().snapshots).into_iter().collect()
    }
}

/// Starts the verification of what a run of a job brought, and tells it in the log of the run. Nothing if nothing came.
///
/// A verification that cannot be started is a warning of the run.
pub(crate) async fn verify_after(
    app: &Arc<App>,
    context: &TaskContext,
    job: &JobId,
    store: &DatastoreName,
    arrivals: &Arrivals,
) {
    let snapshots = arrivals.take();
    if snapshots.is_empty() || context.is_cancelled() || context.shutdown().is_cancelled() {
        return;
    }
    let count = snapshots.len();
    match start(app, context.upid().authid(), job, store, snapshots).await {
        Ok(upid) => context.log(&format!("verifying {count} snapshot(s) that came: {upid}")),
        Err(error) => {
            let error = super::log::chain(&error);
            context.warn(&format!("verification of what came could not be started: {error}"));
        }
    }
}

async fn start(
    app: &Arc<App>,
    caller: &Authid,
    job: &JobId,
    store: &DatastoreName,
    snapshots: Vec<(Namespace, Snapshot)>,
) -> Result<Upid, VerifyError> {
    let (opener, name) = (Arc::clone(app), store.clone());
    let open = move || {
        let handle = opener.stores.open(&name, Operation::Read)?;
        Ok::<_, VerifyError>((handle, options(&opener, &name, VerifyThreads::default())?))
    };
    let (handle, options) = blocking(open).await?;
    let scope = VerifyScope::Arrived { job: job.clone(), snapshots };
    let kind = scope.kind(store);
    let (turns, board) = (app.verify_turns.clone(), app.progress.clone());
    let worker = move |context: TaskContext| turns.verify(handle, options, scope, context, board);
    Ok(app.tasks.spawn(kind, caller, worker).await?)
}

#[cfg(test)]
mod tests {
    use farhold_rules::namespace_map::NamespacePair;
    use farhold_tasks::job_state::JobKey;
    use farhold_types::{JobOptions, SyncJob, VerifyState};

    use super::*;
    use crate::job_options::JobOptionsError;
    use crate::permission::may_change_stored;
    use crate::sync_run::start_job;
    use crate::testing::TestServer;
    use crate::verify::scope_tests::back_up;

    #[test]
    fn only_what_came_is_verified() {
        let arrivals = Arc::new(Arrivals::default());
        let sink = arrivals.beside(Arc::new(|_: &SyncEvent| {}));
        let pair = NamespacePair { source: Namespace::root(), target: "a".parse().unwrap() };
        sink.event(&SyncEvent::NamespaceStarted { index: 3, pair });
        let snapshot = |day: u8| format!("vm/1/2026-01-0{day}T10:00:00Z").parse::<Snapshot>().unwrap();
        let group = snapshot(1).group;
        let tell = |event| sink.event(&SyncEvent::Group { index: 3, group: group.clone(), event });
        let started = |day, state| GroupEvent::SnapshotStarted { time: snapshot(day).time, state };
        // New, unchanged, mended, and three that did not come after all.
        tell(started(1, StartState::New));
        tell(GroupEvent::SnapshotDone(snapshot(1).time));
        tell(started(2, StartState::Existing));
        tell(GroupEvent::NoDataChanges(snapshot(2).time));
        for day in 3..=6 {
            tell(started(day, StartState::Corrupt));
        }
        tell(GroupEvent::SnapshotFailed { time: snapshot(4).time, error: String::new() });
        tell(GroupEvent::VanishedOnSource(snapshot(5).time));
        tell(GroupEvent::FilteredOut(snapshot(6).time));
        let ns: Namespace = "a".parse().unwrap();
        assert_eq!(arrivals.take(), [(ns.clone(), snapshot(1)), (ns, snapshot(3))]);
        assert_eq!(arrivals.take(), []);
    }

    #[tokio::test]
    async fn what_a_job_brings_is_verified_in_a_task_of_its_own_if_the_job_says_so() {
        let server = TestServer::new();
        let [tank, copy] = ["tank", "copy"].map(|name| server.add_datastore_without_chunks(name));
        let job = SyncJob::new("in1".parse().unwrap(), "tank".parse().unwrap(), "copy".parse().unwrap());
        let stored = job.clone();
        let add = |jobs: &mut farhold_settings::Entries<_>| jobs.insert(stored);
        server.app.settings.sync_jobs().edit::<_, farhold_settings::SettingsError>(None, add).unwrap();
        let permit = may_change_stored(&server.app.acl().unwrap(), &Authid::root(), &job).unwrap();
        let root = Namespace::root();
        let state = |snapshot: &Snapshot| tank.read_manifest(&root, snapshot).unwrap().0.verify_state();
        let texts = ["vm/1/2026-01-01T10:00:00Z", "vm/1/2026-01-02T10:00:00Z"];
        let snapshots: [Snapshot; 2] = texts.map(|text| text.parse().unwrap());

        back_up(&copy, "", texts[0], "root@pam");
        let upid = start_job(&server.app, &permit, job.clone(), None).await.unwrap();
        let log = server.log_of(upid.as_str()).await;
        assert!(!log.iter().any(|line| line.starts_with("verifying")), "{log:#?}");
        assert_eq!(state(&snapshots[0]), None);

        let want = |options: &mut JobOptions| {
            options.verify_after = Some(true);
            Ok(())
        };
        server.app.job_options.edit::<_, JobOptionsError>(&JobKey::sync(&job.id).unwrap(), want).unwrap();
        back_up(&copy, "", texts[1], "root@pam");
        let upid = start_job(&server.app, &permit, job.clone(), None).await.unwrap();
        let log = server.log_of(upid.as_str()).await;
        let told = log.iter().find_map(|line| line.strip_prefix("verifying 1 snapshot(s) that came: ")).unwrap();
        assert!(told.contains(":verify:tank\\x3aafter\\x2din1:root@pam:"), "{told}");
        let expected = ["verify tank:vm/1/2026-01-02T10:00:00Z", "  check a.conf.blob", "TASK OK"];
        assert_eq!(server.log_of(told).await, expected);
        assert_eq!(state(&snapshots[1]).unwrap().state, VerifyState::Ok);
        assert_eq!(state(&snapshots[0]), None, "it was there before");

        // A run that brings nothing verifies nothing.
        let upid = start_job(&server.app, &permit, job, None).await.unwrap();
        let log = server.log_of(upid.as_str()).await;
        assert!(!log.iter().any(|line| line.starts_with("verifying")), "{log:#?}");
    }
}
