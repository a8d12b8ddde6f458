//! Who may see, change and run sync jobs, one-shot pulls and one-shot pushes.
//!
//! Pure decisions over the ACL tree. What starts a run demands a [`RunPermit`], which only these functions make, so a
//! forgotten check does not compile. Source: `docs/spec/sync.md` 3, `docs/spec/rest-api.md` 7.2 and 14.

use farhold_rules::acl::{AclPath, AclTree, Denied, Granted};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges, RemoteName, SyncDirection, SyncJob};
use thiserror::Error;

/// Why a caller may not do something with a sync job.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobDenied {
    /// A privilege is missing.
    #[error("permission check failed - missing {} on {}", .0.missing_text(), .0.path)]
    Privilege(Box<Denied>),
    /// A push job needs a remote, whoever asks.
    #[error("permission check failed - a push job needs a remote")]
    PushWithoutRemote,
    /// A privilege is missing for a job that the caller may not even see, so nothing of the job is told.
    #[error("permission check failed for '{caller}'")]
    Hidden {
        /// Who asked.
        caller: Authid,
    },
}

impl From<Denied> for JobDenied {
    fn from(denied: Denied) -> Self {
        Self::Privilege(Box::new(denied))
    }
}

/// Proof that a caller may run a sync with these endpoints. Made by the functions of this module only.
#[derive(Debug, Clone)]
pub struct RunPermit {
    caller: Authid,
    granted: Vec<Granted>,
}

impl RunPermit {
    /// Returns who may run it.
    pub const fn caller(&self) -> &Authid {
        &self.caller
    }

    /// Returns the permissions that were checked.
    pub fn granted(&self) -> &[Granted] {
        &self.granted
    }
}

/// The two ends of a sync, as far as permissions look at them.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Local datastore.
    pub store: &'a DatastoreName,
    /// Local anchor.
    pub ns: &'a Namespace,
    /// Remote; none means another local datastore.
    pub remote: Option<&'a RemoteName>,
    /// Datastore on the other side.
    pub remote_store: &'a DatastoreName,
}

/// Checks whether `caller` may see the job in lists, its settings and its state.
///
/// # Errors
/// The first privilege that is missing.
pub fn may_see(acl: &AclTree, caller: &Authid, job: &SyncJob) -> Result<(), JobDenied> {
    let local = AclPath::datastore(&job.store, &job.local_anchor());
    acl.require_all(caller, &local, Privileges::DATASTORE_AUDIT)?;
    match (job.direction(), &job.remote) {
        (SyncDirection::Pull, Some(remote)) => {
            acl.require_all(caller, &AclPath::remote(remote), Privileges::REMOTE_AUDIT)?;
        }
        (SyncDirection::Pull, None) => {
            let source = AclPath::datastore(&job.remote_store, &Namespace::root());
            acl.require_all(caller, &source, Privileges::DATASTORE_AUDIT)?;
        }
        (SyncDirection::Push, Some(remote)) => {
            let target = AclPath::remote_store(remote, &job.remote_store, &job.remote_anchor());
            acl.require_all(caller, &target, Privileges::REMOTE_AUDIT)?;
        }
        (SyncDirection::Push, None) => return Err(JobDenied::PushWithoutRemote),
    }
    Ok(())
}

/// Checks whether `caller` may read a stored job.
///
/// # Errors
/// [`JobDenied::Hidden`]: which privilege is missing would tell which datastores and remotes the job names.
pub fn may_read(acl: &AclTree, caller: &Authid, job: &SyncJob) -> Result<(), JobDenied> {
    may_see(acl, caller, job).map_err(|_| JobDenied::Hidden { caller: caller.clone() })
}

/// Checks whether `caller` may change, remove and run a stored job.
///
/// # Errors
/// As [`may_change`], but [`JobDenied::Hidden`] for a caller who may not see the job.
pub fn may_change_stored(acl: &AclTree, caller: &Authid, job: &SyncJob) -> Result<RunPermit, JobDenied> {
    may_change(acl, caller, job).map_err(|denied| match may_read(acl, caller, job) {
        Ok(()) => denied,
        Err(hidden) => hidden,
    })
}

/// Checks whether `caller` may replace the stored job `former` by `job`: it must be allowed to change both, or it could
/// take over jobs of others by changing them.
///
/// # Errors
/// As [`may_change_stored`].
pub fn may_replace(acl: &AclTree, caller: &Authid, former: &SyncJob, job: &SyncJob) -> Result<(), JobDenied> {
    may_change_stored(acl, caller, former)?;
    may_change(acl, caller, job).map(drop).map_err(|denied| match may_read(acl, caller, former) {
        Ok(()) => denied,
        Err(hidden) => hidden,
    })
}

/// Checks whether `caller` may make a job that is as it says itself, so the refusal tells it nothing new.
///
/// # Errors
/// The first place where privileges are missing.
pub fn may_change(acl: &AclTree, caller: &Authid, job: &SyncJob) -> Result<RunPermit, JobDenied> {
    let local = AclPath::datastore(&job.store, &job.local_anchor());
    let is_own_job = match &job.owner {
        Some(owner) => caller.owns(owner),
        None => caller.is_root(),
    };
    let removes = job.remove_vanished.unwrap_or(false);
    let mut granted = Vec::new();
    match job.direction() {
        SyncDirection::Pull => {
            let mut needed = Privileges::DATASTORE_AUDIT | Privileges::DATASTORE_BACKUP;
            if removes {
                needed = needed | Privileges::DATASTORE_PRUNE;
            }
            if !is_own_job {
                needed = needed | Privileges::DATASTORE_MODIFY;
            }
            granted.push(acl.require_all(caller, &local, needed)?);
            if let Some(remote) = &job.remote {
                let source = AclPath::remote_store(remote, &job.remote_store, &Namespace::root());
                granted.push(acl.require_all(caller, &source, Privileges::REMOTE_READ)?);
            }
        }
        SyncDirection::Push => {
            let remote = job.remote.as_ref().ok_or(JobDenied::PushWithoutRemote)?;
            let target = AclPath::remote_store(remote, &job.remote_store, &job.remote_anchor());
            let mut needed = Privileges::REMOTE_DATASTORE_BACKUP;
            if removes {
                needed = needed | Privileges::REMOTE_DATASTORE_PRUNE;
            }
            granted.push(acl.require_all(caller, &target, needed)?);
            granted.push(acl.require_all(caller, &local, Privileges::DATASTORE_AUDIT)?);
            let read = acl.require_all(caller, &local, Privileges::DATASTORE_READ);
            granted.push(match read {
                Ok(proof) => proof,
                Err(_) if is_own_job => acl.require_all(caller, &local, Privileges::DATASTORE_BACKUP)?,
                Err(_) => {
                    acl.require_all(caller, &local, Privileges::DATASTORE_BACKUP | Privileges::DATASTORE_MODIFY)?
                }
            });
        }
    }
    Ok(RunPermit { caller: caller.clone(), granted })
}

/// Checks whether `caller` may pull once, without a stored job.
///
/// # Errors
/// The first privilege that is missing.
pub fn may_pull_once(
    acl: &AclTree,
    caller: &Authid,
    ends: Ends<'_>,
    remove_vanished: bool,
) -> Result<RunPermit, JobDenied> {
    let local = AclPath::datastore(ends.store, ends.ns);
    let mut granted = vec![acl.require_all(caller, &local, Privileges::DATASTORE_BACKUP)?];
    granted.push(match ends.remote {
        Some(remote) => {
            let source = AclPath::remote_store(remote, ends.remote_store, &Namespace::root());
            acl.require_all(caller, &source, Privileges::REMOTE_READ)?
        }
        None => {
            let source = AclPath::datastore(ends.remote_store, &Namespace::root());
            acl.require_all(caller, &source, Privileges::DATASTORE_BACKUP)?
        }
    });
    if remove_vanished {
        granted.push(acl.require_all(caller, &local, Privileges::DATASTORE_PRUNE)?);
    }
    Ok(RunPermit { caller: caller.clone(), granted })
}

/// The two ends of a push, as far as permissions look at them.
#[derive(Debug, Clone, Copy)]
pub struct PushEnds<'a> {
    /// Local datastore.
    pub store: &'a DatastoreName,
    /// Local anchor.
    pub ns: &'a Namespace,
    /// Remote.
    pub remote: &'a RemoteName,
    /// Datastore on the remote.
    pub remote_store: &'a DatastoreName,
    /// Anchor on the remote.
    pub remote_ns: &'a Namespace,
}

/// Checks whether `caller` may push once, without a stored job.
///
/// # Errors
/// The first privilege that is missing.
pub fn may_push_once(
    acl: &AclTree,
    caller: &Authid,
    ends: PushEnds<'_>,
    remove_vanished: bool,
) -> Result<RunPermit, JobDenied> {
    let target = AclPath::remote_store(ends.remote, ends.remote_store, ends.remote_ns);
    let mut needed = Privileges::REMOTE_DATASTORE_BACKUP;
    if remove_vanished {
        needed = needed | Privileges::REMOTE_DATASTORE_PRUNE;
    }
    let granted = vec![
        acl.require_all(caller, &target, needed)?,
        acl.require_any(
            caller,
            &AclPath::datastore(ends.store, ends.ns),
            Privileges::DATASTORE_READ | Privileges::DATASTORE_BACKUP,
        )?,
    ];
    Ok(RunPermit { caller: caller.clone(), granted })
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;

    fn job(change: impl FnOnce(&mut SyncJob)) -> SyncJob {
        let mut job = SyncJob::new("pbs2-local".parse().unwrap(), "local".parse().unwrap(), "tank".parse().unwrap());
        job.remote = Some("pbs2".parse().unwrap());
        change(&mut job);
        job
    }

    fn tree(entries: &[(&[&str], Role)]) -> (AclTree, Authid) {
        let caller: Authid = "sync@pbs".parse().unwrap();
        let mut acl = AclTree::new();
        for (path, role) in entries {
            acl.set(path, caller.clone(), *role, true);
        }
        (acl, caller)
    }

    #[test]
    fn own_pull_jobs_need_audit_backup_and_remote_read() {
        let (acl, caller) = tree(&[
            (&["datastore", "local"], Role::DatastoreAudit),
            (&["datastore", "local"], Role::DatastoreBackup),
            (&["remote"], Role::RemoteSyncOperator),
        ]);
        let own = job(|j| j.owner = Some(caller.clone()));
        assert_eq!(may_change(&acl, &caller, &own).unwrap().granted().len(), 2);
        let of_root = job(|_| ());
        let denied = may_change(&acl, &caller, &of_root).unwrap_err();
        assert_eq!(denied.to_string(), "permission check failed - missing Datastore.Modify on /datastore/local");
        let removing = job(|j| {
            j.owner = Some(caller.clone());
            j.remove_vanished = Some(true);
        });
        assert!(may_change(&acl, &caller, &removing).unwrap_err().to_string().contains("Datastore.Prune"));
        let of_token = job(|j| j.owner = Some("sync@pbs!t1".parse().unwrap()));
        assert!(may_change(&acl, &caller, &of_token).is_ok(), "a token's job is its user's job");
    }

    #[test]
    fn root_may_do_everything_but_push_without_a_remote() {
        let acl = AclTree::new();
        assert!(may_change(&acl, &Authid::root(), &job(|_| ())).is_ok());
        let push = job(|j| {
            j.sync_direction = Some(SyncDirection::Push);
            j.remote = None;
        });
        assert_eq!(may_change(&acl, &Authid::root(), &push).unwrap_err(), JobDenied::PushWithoutRemote);
        assert_eq!(may_see(&acl, &Authid::root(), &push).unwrap_err(), JobDenied::PushWithoutRemote);
    }

    #[test]
    fn seeing_and_doing_are_independent() {
        let (acl, caller) = tree(&[
            (&["datastore", "local"], Role::DatastorePowerUser),
            (&["datastore", "local"], Role::DatastoreAudit),
            (&["remote", "pbs2", "tank"], Role::RemoteSyncOperator),
        ]);
        let own = job(|j| j.owner = Some(caller.clone()));
        assert!(may_change(&acl, &caller, &own).is_ok());
        assert!(may_see(&acl, &caller, &own).unwrap_err().to_string().contains("/remote/pbs2"));
    }

    #[test]
    fn a_pull_job_reads_the_remote_store_without_its_namespace() {
        let (acl, caller) = tree(&[
            (&["datastore", "local"], Role::DatastoreAdmin),
            (&["remote", "pbs2", "tank", "deep"], Role::RemoteAdmin),
        ]);
        let deep = job(|j| j.remote_ns = Some("deep".parse().unwrap()));
        assert!(may_change(&acl, &caller, &deep).unwrap_err().to_string().contains("/remote/pbs2/tank"));
    }

    #[test]
    fn one_shot_pulls_need_backup_here_and_read_or_backup_there() {
        let (acl, caller) =
            tree(&[(&["datastore", "local"], Role::DatastoreBackup), (&["remote"], Role::RemoteSyncOperator)]);
        let (store, other) = ("local".parse().unwrap(), "tank".parse().unwrap());
        let remote = "pbs2".parse().unwrap();
        let ends = Ends { store: &store, ns: &Namespace::root(), remote: Some(&remote), remote_store: &other };
        assert!(may_pull_once(&acl, &caller, ends, false).is_ok());
        assert!(may_pull_once(&acl, &caller, ends, true).is_err());
        let local = Ends { remote: None, ..ends };
        assert!(may_pull_once(&acl, &caller, local, false).unwrap_err().to_string().contains("/datastore/tank"));
    }

    #[test]
    fn push_jobs_need_the_remote_path_with_its_namespace_and_reading_here() {
        let push = job(|j| {
            j.sync_direction = Some(SyncDirection::Push);
            j.remote_ns = Some("deep".parse().unwrap());
        });
        let (acl, caller) = tree(&[
            (&["datastore", "local"], Role::DatastoreReader),
            (&["remote", "pbs2", "tank", "deep"], Role::RemoteSyncPushOperator),
        ]);
        assert!(may_change(&acl, &caller, &push).is_ok());
        assert!(may_see(&acl, &caller, &push).is_ok());
        let (acl, caller) = tree(&[
            (&["datastore", "local"], Role::DatastoreBackup),
            (&["datastore", "local"], Role::DatastoreAudit),
            (&["remote", "pbs2", "tank", "deep"], Role::RemoteSyncPushOperator),
        ]);
        assert!(may_change(&acl, &caller, &push).is_err(), "the job is not the caller's own");
    }

    #[test]
    fn one_shot_pushes_need_the_remote_path_with_its_namespace_and_reading_or_backing_up_here() {
        let (store, remote_store) = ("local".parse().unwrap(), "tank".parse().unwrap());
        let (remote, remote_ns) = ("pbs2".parse().unwrap(), "deep".parse().unwrap());
        let ns = Namespace::root();
        let ends =
            PushEnds { store: &store, ns: &ns, remote: &remote, remote_store: &remote_store, remote_ns: &remote_ns };
        let deep = ["remote", "pbs2", "tank", "deep"];
        for (here, there, may, may_remove) in [
            (Role::DatastoreReader, (&deep[..], Role::RemoteSyncPushOperator), true, false),
            (Role::DatastoreBackup, (&deep[..], Role::RemoteDatastorePowerUser), true, true),
            (Role::DatastoreAudit, (&deep[..], Role::RemoteDatastoreAdmin), false, false),
            (Role::DatastoreAdmin, (&deep[..], Role::RemoteAdmin), false, false),
            (
                Role::DatastoreAdmin,
                (&["remote", "pbs2", "tank", "other"][..], Role::RemoteDatastoreAdmin),
                false,
                false,
            ),
        ] {
            let (acl, caller) = tree(&[(&["datastore", "local"], here), there]);
            assert_eq!(may_push_once(&acl, &caller, ends, false).is_ok(), may, "{here} {there:?}");
            assert_eq!(may_push_once(&acl, &caller, ends, true).is_ok(), may_remove, "{here} {there:?}");
        }
    }
}
