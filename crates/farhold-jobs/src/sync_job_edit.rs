//! Creating and changing sync jobs: the rules between the options of a job. Pure; permissions and storage are elsewhere.
//!
//! Source: `docs/spec/rest-api.md` 7.3 and 7.4, section 19 where we differ on purpose.

use farhold_rules::namespace_map::{MapError, check_depth_rule};
use farhold_types::{
    Authid, ByteSize, DatastoreName, GroupFilter, JobId, KeyId, Namespace, RemoteName, SyncDirection, SyncJob,
};
use thiserror::Error;

/// Values for the options of a job, as far as a caller gives them.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "one field an option; they are documented at SyncJob")]
pub struct SyncJobFields {
    pub store: Option<DatastoreName>,
    pub ns: Option<Namespace>,
    pub owner: Option<Authid>,
    pub remote: Option<RemoteName>,
    pub remote_store: Option<DatastoreName>,
    pub remote_ns: Option<Namespace>,
    pub sync_direction: Option<SyncDirection>,
    pub remove_vanished: Option<bool>,
    pub max_depth: Option<u8>,
    pub comment: Option<String>,
    pub schedule: Option<String>,
    pub group_filter: Option<Vec<GroupFilter>>,
    pub rate_in: Option<ByteSize>,
    pub burst_in: Option<ByteSize>,
    pub rate_out: Option<ByteSize>,
    pub burst_out: Option<ByteSize>,
    pub transfer_last: Option<u64>,
    pub resync_corrupt: Option<bool>,
    pub encrypted_only: Option<bool>,
    pub verified_only: Option<bool>,
    pub run_on_mount: Option<bool>,
    pub unmount_on_done: Option<bool>,
    pub worker_threads: Option<u8>,
    pub active_encryption_key: Option<KeyId>,
    pub associated_key: Option<Vec<KeyId>>,
}

/// The options that an update may reset, by their wire names.
///
/// `resync-corrupt` is our extension: the reference can only set it to false.
pub const DELETABLE: &[&str] = &[
    "remote",
    "owner",
    "comment",
    "schedule",
    "remove-vanished",
    "group-filter",
    "rate-in",
    "burst-in",
    "rate-out",
    "burst-out",
    "ns",
    "remote-ns",
    "max-depth",
    "transfer-last",
    "encrypted-only",
    "verified-only",
    "run-on-mount",
    "unmount-on-done",
    "sync-direction",
    "worker-threads",
    "active-encryption-key",
    "associated-key",
    "resync-corrupt",
];

/// Why a job cannot be as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobEditError {
    /// A local sync needs two datastores.
    #[error("source and target of a local sync must be different datastores")]
    SameStore,
    /// Push cannot fetch anything again.
    #[error("resync-corrupt is not possible for push jobs")]
    ResyncOnPush,
    /// Only push encrypts.
    #[error("an active encryption key is only possible for push jobs")]
    ActiveKeyOnPull,
    /// The option means nothing without the other.
    #[error("unmount-on-done needs run-on-mount")]
    UnmountWithoutMount,
    /// The namespaces would be too deep.
    #[error(transparent)]
    Depth(#[from] MapError),
    /// The word is no option that can be reset.
    #[error("'{0}' cannot be deleted")]
    NotDeletable(String),
}

/// What an update changes about keys, for the caller to check against the owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChecks {
    /// Keys that must be accessible and not archived.
    pub unarchived: Vec<KeyId>,
    /// Keys that must be accessible.
    pub accessible: Vec<KeyId>,
}

/// Returns a new job from the values given. `store` and `remote-store` are required by the declaration.
///
/// # Errors
/// The first rule of 7.3 that is broken, key access excepted.
pub fn create(
    id: JobId,
    store: DatastoreName,
    remote_store: DatastoreName,
    fields: SyncJobFields,
) -> Result<(SyncJob, KeyChecks), JobEditError> {
    let resync_given = fields.resync_corrupt.is_some();
    let mut job = SyncJob::new(id, store, remote_store);
    set(&mut job, fields);
    if job.direction() == SyncDirection::Push && resync_given {
        check_stores(&job)?;
        return Err(JobEditError::ResyncOnPush);
    }
    check(&job)?;
    let keys = match job.direction() {
        SyncDirection::Push => {
            KeyChecks { unarchived: job.active_encryption_key.iter().cloned().collect(), accessible: Vec::new() }
        }
        SyncDirection::Pull => KeyChecks { unarchived: Vec::new(), accessible: job.associated_key.clone() },
    };
    Ok((job, keys))
}

/// Returns the job as a caller asks for it, without any check: what the permission is asked for.
pub fn requested(id: JobId, store: &DatastoreName, remote_store: &DatastoreName, fields: SyncJobFields) -> SyncJob {
    let mut job = SyncJob::new(id, store.clone(), remote_store.clone());
    set(&mut job, fields);
    job
}

/// Returns the job as it is after an update: first `delete`, then the values given.
///
/// # Errors
/// The first rule of 7.4 that is broken, key access excepted.
pub fn update(job: &SyncJob, delete: &[&str], fields: SyncJobFields) -> Result<(SyncJob, KeyChecks), JobEditError> {
    if fields.sync_direction == Some(SyncDirection::Push) && fields.resync_corrupt.is_some() {
        return Err(JobEditError::ResyncOnPush);
    }
    let mut changed = job.clone();
    for name in delete {
        reset(&mut changed, name)?;
    }
    let mut keys = KeyChecks::default();
    // The former active key must stay with the job, or it could be removed while backups still need it. That holds
    // also when the list of associated keys is replaced in the same request, where the reference loses it.
    let former = job.active_encryption_key.clone();
    if fields.owner.is_some() && fields.active_encryption_key.is_none() {
        keys.unarchived.extend(changed.active_encryption_key.clone());
    }
    // A push only keeps a list of its former keys. A pull decrypts with them, so who makes one of it must be able to.
    let begins_to_pull = job.direction() == SyncDirection::Push
        && fields.sync_direction.or(changed.sync_direction).unwrap_or_default() == SyncDirection::Pull;
    if (fields.owner.is_some() || begins_to_pull) && fields.associated_key.is_none() {
        keys.accessible.extend(changed.associated_key.iter().cloned());
    }
    keys.unarchived.extend(fields.active_encryption_key.clone());
    keys.accessible.extend(fields.associated_key.iter().flatten().cloned());
    let has_new_owner = fields.owner.is_some();
    set(&mut changed, fields);
    if let Some(former) = former
        && changed.active_encryption_key.as_ref() != Some(&former)
        && !changed.associated_key.contains(&former)
    {
        if has_new_owner || begins_to_pull {
            keys.accessible.push(former.clone());
        }
        changed.associated_key.push(former);
    }
    check(&changed)?;
    Ok((changed, keys))
}

/// Checks the rules that hold for every stored job.
fn check(job: &SyncJob) -> Result<(), JobEditError> {
    check_stores(job)?;
    let is_push = job.direction() == SyncDirection::Push;
    if is_push && job.resync_corrupt == Some(true) {
        return Err(JobEditError::ResyncOnPush);
    }
    if !is_push && job.active_encryption_key.is_some() {
        return Err(JobEditError::ActiveKeyOnPull);
    }
    if job.unmount_on_done == Some(true) && job.run_on_mount != Some(true) {
        return Err(JobEditError::UnmountWithoutMount);
    }
    check_depth_rule(&job.local_anchor(), &job.remote_anchor(), job.max_depth)?;
    Ok(())
}

fn check_stores(job: &SyncJob) -> Result<(), JobEditError> {
    if job.remote.is_none() && job.store == job.remote_store { Err(JobEditError::SameStore) } else { Ok(()) }
}

/// Sets every value that is given.
fn set(job: &mut SyncJob, fields: SyncJobFields) {
    fn given<T>(option: &mut Option<T>, value: Option<T>) {
        if value.is_some() {
            *option = value;
        }
    }
    if let Some(store) = fields.store {
        job.store = store;
    }
    if let Some(store) = fields.remote_store {
        job.remote_store = store;
    }
    given(&mut job.ns, fields.ns);
    given(&mut job.owner, fields.owner);
    given(&mut job.remote, fields.remote);
    given(&mut job.remote_ns, fields.remote_ns);
    given(&mut job.sync_direction, fields.sync_direction);
    given(&mut job.remove_vanished, fields.remove_vanished);
    given(&mut job.max_depth, fields.max_depth);
    given(&mut job.comment, fields.comment);
    given(&mut job.schedule, fields.schedule);
    given(&mut job.limits.rate_in, fields.rate_in);
    given(&mut job.limits.burst_in, fields.burst_in);
    given(&mut job.limits.rate_out, fields.rate_out);
    given(&mut job.limits.burst_out, fields.burst_out);
    given(&mut job.transfer_last, fields.transfer_last);
    given(&mut job.resync_corrupt, fields.resync_corrupt);
    given(&mut job.encrypted_only, fields.encrypted_only);
    given(&mut job.verified_only, fields.verified_only);
    given(&mut job.run_on_mount, fields.run_on_mount);
    given(&mut job.unmount_on_done, fields.unmount_on_done);
    given(&mut job.worker_threads, fields.worker_threads);
    given(&mut job.active_encryption_key, fields.active_encryption_key);
    if let Some(filters) = fields.group_filter {
        job.group_filter = filters;
    }
    if let Some(keys) = fields.associated_key {
        job.associated_key = keys;
    }
}

/// Resets one option by its wire name.
fn reset(job: &mut SyncJob, name: &str) -> Result<(), JobEditError> {
    match name {
        "remote" => job.remote = None,
        "owner" => job.owner = None,
        "comment" => job.comment = None,
        "schedule" => job.schedule = None,
        "remove-vanished" => job.remove_vanished = None,
        "group-filter" => job.group_filter.clear(),
        "rate-in" => job.limits.rate_in = None,
        "burst-in" => job.limits.burst_in = None,
        "rate-out" => job.limits.rate_out = None,
        "burst-out" => job.limits.burst_out = None,
        "ns" => job.ns = None,
        "remote-ns" => job.remote_ns = None,
        "max-depth" => job.max_depth = None,
        "transfer-last" => job.transfer_last = None,
        "encrypted-only" => job.encrypted_only = None,
        "verified-only" => job.verified_only = None,
        "run-on-mount" => job.run_on_mount = None,
        "unmount-on-done" => job.unmount_on_done = None,
        "sync-direction" => job.sync_direction = None,
        "worker-threads" => job.worker_threads = None,
        "active-encryption-key" => job.active_encryption_key = None,
        "associated-key" => job.associated_key.clear(),
        "resync-corrupt" => job.resync_corrupt = None,
        other => return Err(JobEditError::NotDeletable(other.to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn new(fields: SyncJobFields) -> Result<SyncJob, JobEditError> {
        create(name("job1"), name("local"), name("tank"), fields).map(|(job, _)| job)
    }

    fn push() -> SyncJobFields {
        SyncJobFields {
            remote: Some(name("pbs2")),
            sync_direction: Some(SyncDirection::Push),
            ..SyncJobFields::default()
        }
    }

    #[test]
    fn creating_checks_the_rules_in_order() {
        let same = create(name("job1"), name("local"), name("local"), SyncJobFields::default());
        assert_eq!(same.unwrap_err(), JobEditError::SameStore);
        let with_remote = SyncJobFields { remote: Some(name("pbs2")), ..SyncJobFields::default() };
        assert!(create(name("job1"), name("local"), name("local"), with_remote).is_ok());
        let resync = SyncJobFields { resync_corrupt: Some(false), ..push() };
        assert_eq!(new(resync).unwrap_err(), JobEditError::ResyncOnPush);
        let key = SyncJobFields { active_encryption_key: Some(name("key0")), ..SyncJobFields::default() };
        assert_eq!(new(key).unwrap_err(), JobEditError::ActiveKeyOnPull);
        let deep = SyncJobFields { ns: Some(name("a/b")), max_depth: Some(6), ..SyncJobFields::default() };
        assert!(matches!(new(deep).unwrap_err(), JobEditError::Depth(_)));
        let unmount = SyncJobFields { unmount_on_done: Some(true), ..SyncJobFields::default() };
        assert_eq!(new(unmount).unwrap_err(), JobEditError::UnmountWithoutMount);
    }

    #[test]
    fn deletes_come_before_values() {
        let job = new(SyncJobFields { comment: Some("old".into()), ..SyncJobFields::default() }).unwrap();
        let fields = SyncJobFields { comment: Some("new".into()), ..SyncJobFields::default() };
        assert_eq!(update(&job, &["comment"], fields).unwrap().0.comment.as_deref(), Some("new"));
        assert_eq!(update(&job, &["comment"], SyncJobFields::default()).unwrap().0.comment, None);
    }

    #[test]
    fn every_deletable_word_resets_something_and_no_other_word_does() {
        let job = new(SyncJobFields::default()).unwrap();
        for word in DELETABLE {
            assert!(update(&job, &[word], SyncJobFields::default()).is_ok(), "{word}");
        }
        assert!(matches!(update(&job, &["store"], SyncJobFields::default()), Err(JobEditError::NotDeletable(_))));
    }

    #[test]
    fn a_replaced_active_key_stays_with_the_job() {
        let job = new(SyncJobFields { active_encryption_key: Some(name("key0")), ..push() }).unwrap();
        let rotated = SyncJobFields {
            active_encryption_key: Some(name("key1")),
            associated_key: Some(vec![name("key2"), name("key3")]),
            ..SyncJobFields::default()
        };
        let (rotated, checks) = update(&job, &[], rotated).unwrap();
        assert_eq!(rotated.associated_key, [name("key2"), name("key3"), name("key0")]);
        assert_eq!(checks.unarchived, [name("key1")]);
        let deleted = update(&job, &["active-encryption-key", "associated-key"], SyncJobFields::default()).unwrap().0;
        assert_eq!((deleted.active_encryption_key, deleted.associated_key), (None, vec![name("key0")]));
    }

    #[test]
    fn an_update_cannot_turn_a_job_into_a_sync_of_a_store_with_itself() {
        let fields = SyncJobFields { remote: Some(name("pbs2")), ..SyncJobFields::default() };
        let job = create(name("job1"), name("local"), name("local"), fields).unwrap().0;
        assert_eq!(update(&job, &["remote"], SyncJobFields::default()).unwrap_err(), JobEditError::SameStore);
    }

    #[test]
    fn keys_of_a_push_are_checked_when_it_becomes_a_pull() {
        let keys = Some(vec![name("key0")]);
        let job = new(SyncJobFields { associated_key: keys.clone(), ..push() }).unwrap();
        let turn = |sync_direction| SyncJobFields { sync_direction, ..SyncJobFields::default() };
        let checked = |job: &SyncJob, delete: &[&str], fields| update(job, delete, fields).unwrap().1.accessible;
        assert_eq!(checked(&job, &[], turn(Some(SyncDirection::Pull))), [name("key0")]);
        assert_eq!(checked(&job, &["sync-direction"], turn(None)), [name("key0")]);
        assert_eq!(checked(&job, &["sync-direction"], turn(Some(SyncDirection::Push))), []);
        assert_eq!(checked(&job, &[], turn(None)), []);
        let active = SyncJobFields { active_encryption_key: Some(name("key1")), associated_key: keys, ..push() };
        let active = new(active).unwrap();
        let delete = ["active-encryption-key", "sync-direction"];
        assert_eq!(checked(&active, &delete, turn(None)), [name("key0"), name("key1")]);
        assert_eq!(update(&active, &["sync-direction"], turn(None)).unwrap_err(), JobEditError::ActiveKeyOnPull);
    }
}
