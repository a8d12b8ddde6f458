//! Prune and verify jobs, as far as both are alike: who may see, read, change and run them.
//!
//! Both are bound to one datastore and one namespace, and all their permissions are asked for there.
//! Source: `docs/spec/rest-api.md` 9.

use farhold_rules::acl::{AclPath, AclTree, Denied, Granted};
use farhold_settings::{ConfigFile, ConfigStore, Entries, PruneJobs, Settings, SettingsError, VerifyJobs};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_types::{Authid, DatastoreName, JobId, Privileges, PruneJob, VerifyJob};
use thiserror::Error;

use crate::app::App;

/// Why a caller gets nothing of a job, or nothing done with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreJobError {
    /// There is no such job, or the caller may not see it, which is not told apart.
    #[error("no such {kind} job '{id}'")]
    Unknown {
        /// `prune` or `verify`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// A privilege is missing on a job that the caller may see, or for one that does not exist yet.
    #[error("permission check failed - missing {} on {}", .0.missing_text(), .0.path)]
    Denied(Box<Denied>),
    /// The stored job makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl From<Denied> for StoreJobError {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

/// A job that works on a datastore.
pub trait StoreJob: Clone + Send + Sized + 'static {
    /// The file that it is stored in.
    type File: ConfigFile<Entry = Self> + Send + 'static;
    /// What it is called: `prune` or `verify`.
    const KIND: &'static str;
    /// Its job type in job states and worker types.
    const JOB_TYPE: &'static str;
    /// Lists show the job to who has any of these on its path.
    const SEE: Privileges;
    /// Any of these is needed to read it.
    const READ: Privileges;
    /// All of these are needed to change, remove and run it.
    const CHANGE: Privileges;

    /// Returns the store of the file.
    fn stored(settings: &Settings) -> ConfigStore<Entries<Self::File>>;

    /// Returns its id.
    fn id(&self) -> &JobId;

    /// Returns the path on which privileges are asked for: datastore and namespace.
    fn path(&self) -> AclPath;

    /// Returns its calendar event.
    fn schedule(&self) -> Option<&str>;

    /// Returns the calendar event that counts: none while the job is switched off.
    fn timer(&self) -> Option<&str> {
        self.schedule()
    }

    /// Returns the datastore that it works on.
    fn store(&self) -> &DatastoreName;

    /// Returns the key of the state of the job with this id.
    ///
    /// # Errors
    /// The id makes no file name; that of a stored job always does.
    fn state_key(id: &JobId) -> Result<JobKey, JobStateError> {
        JobKey::new(Self::JOB_TYPE, id.as_str())
    }
}

impl StoreJob for PruneJob {
    type File = PruneJobs;
    const KIND: &'static str = "prune";
    const JOB_TYPE: &'static str = "prunejob";
    const SEE: Privileges = Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_MODIFY);
    const READ: Privileges = Privileges::DATASTORE_AUDIT;
    const CHANGE: Privileges = Privileges::DATASTORE_MODIFY;

    fn stored(settings: &Settings) -> ConfigStore<Entries<PruneJobs>> {
        settings.prune_jobs()
    }

    fn id(&self) -> &JobId {
        &self.id
    }

    fn path(&self) -> AclPath {
        AclPath::datastore(&self.store, &self.anchor())
    }

    fn schedule(&self) -> Option<&str> {
        Some(&self.schedule)
    }

    fn timer(&self) -> Option<&str> {
        if self.is_disabled() { None } else { Some(&self.schedule) }
    }

    fn store(&self) -> &DatastoreName {
        &self.store
    }
}

impl StoreJob for VerifyJob {
    type File = VerifyJobs;
    const KIND: &'static str = "verify";
    const JOB_TYPE: &'static str = "verificationjob";
    const SEE: Privileges = Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_VERIFY);
    const READ: Privileges = Self::SEE;
    const CHANGE: Privileges = Privileges::DATASTORE_VERIFY;

    fn stored(settings: &Settings) -> ConfigStore<Entries<VerifyJobs>> {
        settings.verify_jobs()
    }

    fn id(&self) -> &JobId {
        &self.id
    }

    fn path(&self) -> AclPath {
        AclPath::datastore(&self.store, &self.anchor())
    }

    fn schedule(&self) -> Option<&str> {
        self.schedule.as_deref()
    }

    fn store(&self) -> &DatastoreName {
        &self.store
    }
}

/// Returns whether lists show the job to `caller`.
pub fn may_see<J: StoreJob>(acl: &AclTree, caller: &Authid, job: &J) -> bool {
    acl.require_any(caller, &job.path(), J::SEE).is_ok()
}

/// Checks whether `caller` may change, remove and run the job, or make one like it.
///
/// # Errors
/// [`StoreJobError::Denied`].
pub fn may_change<J: StoreJob>(acl: &AclTree, caller: &Authid, job: &J) -> Result<Granted, StoreJobError> {
    Ok(acl.require_all(caller, &job.path(), J::CHANGE)?)
}

/// Checks whether `caller` may read the job.
///
/// # Errors
/// [`StoreJobError::Denied`].
pub fn may_read<J: StoreJob>(acl: &AclTree, caller: &Authid, job: &J) -> Result<Granted, StoreJobError> {
    Ok(acl.require_any(caller, &job.path(), J::READ)?)
}

/// Returns a stored job that `caller` may see.
///
/// # Errors
/// [`StoreJobError::Unknown`], or the section makes no job.
pub fn visible<'e, J: StoreJob>(
    acl: &AclTree,
    caller: &Authid,
    jobs: &'e Entries<J::File>,
    id: &JobId,
) -> Result<&'e J, StoreJobError> {
    let job = jobs.get(id.as_str())?.filter(|job| may_see(acl, caller, *job));
    job.ok_or_else(|| StoreJobError::Unknown { kind: J::KIND, id: id.to_string() })
}

/// Proof that somebody may run a stored job, and the job.
#[derive(Debug, Clone)]
pub struct JobPermit<J> {
    pub(crate) granted: Granted,
    pub(crate) job: J,
}

impl<J: StoreJob> JobPermit<J> {
    /// Looks up a job that `caller` wants to run. Blocking.
    ///
    /// # Errors
    /// There is no difference between a job that is missing and one that the caller may not see.
    pub fn of(app: &App, caller: &Authid, id: &JobId) -> Result<Self, StoreJobError> {
        let loaded = J::stored(&app.settings).load()?;
        let acl = app.acl()?;
        let job = visible::<J>(&acl, caller, &loaded.entries, id)?.clone();
        Ok(Self { granted: may_change(&acl, caller, &job)?, job })
    }

    /// Returns the job.
    pub const fn job(&self) -> &J {
        &self.job
    }
}

#[cfg(test)]
mod tests {
    use farhold_settings::Document;
    use farhold_types::Role;

    use super::*;

    fn acl(entries: &[(&str, &str, Role)]) -> AclTree {
        let mut acl = AclTree::new();
        for (path, authid, role) in entries {
            let path: AclPath = path.parse().unwrap();
            acl.set(path.components(), authid.parse().unwrap(), *role, true);
        }
        acl
    }

    fn jobs<F: ConfigFile>(text: &str) -> Entries<F> {
        Entries::parse(Some(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_hidden_job_is_answered_like_one_that_does_not_exist() {
        let jobs: Entries<PruneJobs> = jobs("prune: j01\n\tns a\n\tschedule daily\n\tstore store1\n");
        let acl = acl(&[
            ("/datastore/store1/a", "auditor@pbs", Role::DatastoreAudit),
            ("/datastore/store1", "writer@pbs", Role::DatastorePowerUser),
        ]);
        let text = |user: &str, id: &str| {
            visible::<PruneJob>(&acl, &user.parse().unwrap(), &jobs, &id.parse().unwrap())
                .map(drop)
                .map_err(|e| e.to_string())
        };
        assert_eq!(text("auditor@pbs", "j01"), Ok(()));
        assert_eq!(text("writer@pbs", "j01"), Err("no such prune job 'j01'".to_owned()));
        assert_eq!(text("writer@pbs", "j02"), Err("no such prune job 'j02'".to_owned()));
    }

    #[test]
    fn reading_and_changing_need_what_the_kind_of_job_says() {
        let prune: Entries<PruneJobs> = jobs("prune: j01\n\tschedule daily\n\tstore store1\n");
        let verify: Entries<VerifyJobs> = jobs("verification: j01\n\tstore store1\n");
        let acl = acl(&[
            ("/datastore/store1", "audit@pbs", Role::DatastoreAudit),
            ("/datastore/store1", "reader@pbs", Role::DatastoreReader),
            ("/datastore/store1", "admin@pbs", Role::DatastoreAdmin),
        ]);
        let (prune, verify) = (prune.all().unwrap()[0], verify.all().unwrap()[0]);
        let rights = |user: &str| {
            let user = user.parse().unwrap();
            [
                may_read(&acl, &user, prune).is_ok(),
                may_change(&acl, &user, prune).is_ok(),
                may_read(&acl, &user, verify).is_ok(),
                may_change(&acl, &user, verify).is_ok(),
            ]
        };
        assert_eq!(rights("audit@pbs"), [true, false, true, false]);
        assert_eq!(rights("reader@pbs"), [true, false, true, true]);
        assert_eq!(rights("admin@pbs"), [true; 4]);
        assert_eq!(rights("nobody@pbs"), [false; 4]);
    }
}
