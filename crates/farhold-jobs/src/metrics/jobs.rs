//! All jobs of a server, whatever their kind, and who may see them.

use std::collections::HashSet;

use farhold_rules::acl::{AclPath, AclTree};
use farhold_settings::{DatastoreConfig, SettingsError};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_types::{Authid, DatastoreName, JobKind, Namespace, Privileges, PruneJob, RemoteName, SyncJob, VerifyJob};
use thiserror::Error;

use crate::app::App;
use crate::gc::gc_key;
use crate::permission::may_see;
use crate::store_jobs::{self, StoreJob};

/// Why the jobs cannot be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobListError {
    /// A configuration file cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The state of a job cannot be read.
    #[error(transparent)]
    State(#[from] JobStateError),
}

/// The stored form of a job, which decides who may see it.
#[derive(Debug, Clone)]
enum Stored {
    Sync(Box<SyncJob>),
    Prune(Box<PruneJob>),
    Verify(Box<VerifyJob>),
    Gc,
}

/// A configured job, or the garbage collection of a datastore.
#[derive(Debug, Clone)]
pub struct ListedJob {
    /// What it is.
    pub kind: JobKind,
    /// Its key in job states.
    pub key: JobKey,
    /// The local datastore.
    pub store: DatastoreName,
    /// The local namespace that it works on.
    pub ns: Namespace,
    /// The remote of a sync job.
    pub remote: Option<RemoteName>,
    /// The calendar event that counts; none for a job that does not start by itself.
    pub schedule: Option<String>,
    stored: Stored,
}

impl ListedJob {
    /// Returns its id; that of a garbage collection is its datastore.
    pub fn id(&self) -> &str {
        self.key.name()
    }

    /// Returns whether lists show the job to `caller`.
    pub fn is_visible(&self, acl: &AclTree, caller: &Authid) -> bool {
        match &self.stored {
            Stored::Sync(job) => may_see(acl, caller, job).is_ok(),
            Stored::Prune(job) => store_jobs::may_see(acl, caller, &**job),
            Stored::Verify(job) => store_jobs::may_see(acl, caller, &**job),
            Stored::Gc => {
                let path = AclPath::datastore(&self.store, &Namespace::root());
                acl.require_all(caller, &path, Privileges::DATASTORE_AUDIT).is_ok()
            }
        }
    }

    fn sync(job: &SyncJob) -> Result<Self, JobStateError> {
        Ok(Self {
            kind: JobKind::Sync,
            key: JobKey::sync(&job.id)?,
            store: job.store.clone(),
            ns: job.local_anchor(),
            remote: job.remote.clone(),
            schedule: job.schedule.clone(),
            stored: Stored::Sync(Box::new(job.clone())),
        })
    }

    fn of<J: StoreJob>(kind: JobKind, job: &J, ns: Namespace, stored: Stored) -> Result<Self, JobStateError> {
        Ok(Self {
            kind,
            key: J::state_key(job.id())?,
            store: job.store().clone(),
            ns,
            remote: None,
            schedule: job.timer().map(str::to_owned),
            stored,
        })
    }

    fn gc(store: &DatastoreConfig) -> Result<Self, JobStateError> {
        Ok(Self {
            kind: JobKind::Gc,
            key: gc_key(&store.name)?,
            store: store.name.clone(),
            ns: Namespace::root(),
            remote: None,
            schedule: store.gc_schedule.clone(),
            stored: Stored::Gc,
        })
    }
}

/// Returns all jobs: sync, prune and verify jobs in the order of their files, then the collection of each datastore.
/// Sections that make no sense are left out. Blocking.
///
/// # Errors
/// A configuration file cannot be read.
pub fn all_jobs(app: &App) -> Result<Vec<ListedJob>, JobListError> {
    let mut jobs = Vec::new();
    for job in app.settings.sync_jobs().load()?.entries.usable() {
        jobs.push(ListedJob::sync(job)?);
    }
    for job in app.settings.prune_jobs().load()?.entries.usable() {
        jobs.push(ListedJob::of(JobKind::Prune, job, job.anchor(), Stored::Prune(Box::new(job.clone())))?);
    }
    for job in app.settings.verify_jobs().load()?.entries.usable() {
        jobs.push(ListedJob::of(JobKind::Verify, job, job.anchor(), Stored::Verify(Box::new(job.clone())))?);
    }
    for store in app.settings.datastores().load()?.entries.usable() {
        jobs.push(ListedJob::gc(store)?);
    }
    Ok(jobs)
}

/// Returns the keys of everything that stands in the configuration as a job, also of sections that make no sense now
/// and may be mended. Blocking.
///
/// # Errors
/// A configuration file cannot be read.
pub fn known_keys(app: &App) -> Result<HashSet<JobKey>, JobListError> {
    let mut keys = HashSet::new();
    let mut add = |kind: JobKind, ids: Vec<String>| {
        keys.extend(ids.iter().filter_map(|id| JobKey::new(kind.job_type(), id).ok()));
    };
    let settings = &app.settings;
    add(JobKind::Sync, settings.sync_jobs().load()?.entries.ids().map(str::to_owned).collect());
    add(JobKind::Prune, settings.prune_jobs().load()?.entries.ids().map(str::to_owned).collect());
    add(JobKind::Verify, settings.verify_jobs().load()?.entries.ids().map(str::to_owned).collect());
    add(JobKind::Gc, settings.datastores().load()?.entries.ids().map(str::to_owned).collect());
    Ok(keys)
}
