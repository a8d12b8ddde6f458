//! Pruning as a task: of one group, of a store or namespace, and by a stored job.
//!
//! What is kept decides [`farhold_rules::prune_plan`]; here the plan is made from what lies in the store, told in the
//! task's log and carried out. Source: `docs/spec/datastore-format.md` 19, `docs/spec/rest-api.md` 12.7 and 13, lines of
//! `tests/golden/api`. Unlike the reference's, a prune can be stopped, and its log does not say that snapshots would be
//! removed when nothing is.

mod log;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use farhold_datastore::{Datastore, DatastoreError};
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_rules::acl::{Granted, GroupAccess};
use farhold_rules::prune_plan::{self, Decision, PruneSnapshot};
use farhold_settings::SettingsError;
use farhold_tasks::job_state::JobStateError;
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Group, JobId, KeepOptions, Namespace, PruneJob};
use jiff::tz::TimeZone;
use thiserror::Error;

use self::work::{PruneRun, carry_out, run};
use crate::app::App;
use crate::store_jobs::{StoreJob, StoreJobError, may_change, visible};
use crate::stores::{Operation, StoreAccessError, StoreHandle};

/// Why a prune was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PruneError {
    /// There is no such job, or the caller may not run it.
    #[error(transparent)]
    Job(#[from] StoreJobError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] Box<StoreAccessError>),
    /// The group cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The job runs already, or its state cannot be kept.
    #[error(transparent)]
    JobState(#[from] JobStateError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The task was stopped before it was done.
    #[error("prune was not finished: {status}")]
    Unfinished {
        /// How it ended.
        status: TaskStatus,
    },
    /// A thread of this server crashed.
    #[error("internal error: a blocking task crashed")]
    Crashed,
}

impl From<StoreAccessError> for PruneError {
    fn from(error: StoreAccessError) -> Self {
        Box::new(error).into()
    }
}

/// A group that is to be pruned, and what was decided about its snapshots.
pub struct PlannedGroup {
    store: StoreHandle,
    ns: Namespace,
    group: Group,
    keep: KeepOptions,
    decisions: Vec<Decision>,
}

impl PlannedGroup {
    /// Reads a group and decides what stays of it; nothing is changed. Blocking.
    ///
    /// # Errors
    /// Missing group; the storage fails.
    pub fn plan(
        store: StoreHandle,
        ns: Namespace,
        group: Group,
        keep: KeepOptions,
        zone: &TimeZone,
    ) -> Result<Self, DatastoreError> {
        let decisions = decide(&store, &ns, &group, &keep, zone)?;
        Ok(Self { store, ns, group, keep, decisions })
    }

    /// Returns what was decided, oldest snapshot first.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
}

/// Returns what pruning decides about the snapshots of a group. Blocking.
fn decide(
    store: &Datastore,
    ns: &Namespace,
    group: &Group,
    keep: &KeepOptions,
    zone: &TimeZone,
) -> Result<Vec<Decision>, DatastoreError> {
    let snapshots = store.snapshots(ns, group)?.into_iter();
    let snapshots = snapshots.map(|info| PruneSnapshot {
        time: info.time,
        is_finished: info.has_manifest,
        is_protected: info.is_protected,
    });
    Ok(prune_plan::plan(&snapshots.collect::<Vec<_>>(), keep, zone))
}

/// Starts the task that removes what was decided, and returns its name. `access`: that the caller reaches the group.
///
/// # Errors
/// The task cannot be started.
pub async fn prune_group(app: &Arc<App>, access: &GroupAccess, planned: PlannedGroup) -> Result<Upid, PruneError> {
    let (GroupAccess::All(granted) | GroupAccess::Owned(granted)) = access;
    let id = format!("{}:{}:{}", planned.store.name(), planned.ns, planned.group);
    let worker = move |context: TaskContext| {
        in_background(move || {
            for line in log::group_opening(planned.store.name(), &planned.ns, &planned.group, &planned.keep) {
                context.log(&line);
            }
            let place = (&*planned.store, &planned.ns, &planned.group);
            carry_out(place, &planned.decisions, log::in_group, &context)
        })
    };
    Ok(app.tasks.spawn(TaskKind::new("prune", Some(id)), granted.authid(), worker).await?)
}

/// Does what [`prune_group`] does, and waits until it is done.
///
/// # Errors
/// Also [`PruneError::Unfinished`]. A snapshot that could not be removed is a warning in the log and no error.
pub async fn prune_group_now(app: &Arc<App>, access: &GroupAccess, planned: PlannedGroup) -> Result<(), PruneError> {
    let upid = prune_group(app, access, planned).await?;
    match app.tasks.wait(&upid).await? {
        TaskStatus::Ok | TaskStatus::Warnings(_) => Ok(()),
        status => Err(PruneError::Unfinished { status }),
    }
}

/// Whether a prune removes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneMode {
    /// It does.
    Remove,
    /// It only tells in its log what it would remove.
    DryRun,
}

/// A prune of many groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePrune {
    /// Datastore.
    pub store: DatastoreName,
    /// Namespace to start from.
    pub ns: Namespace,
    /// Levels below it; none means all.
    pub max_depth: Option<u8>,
    /// What stays of each group.
    pub keep: KeepOptions,
    /// Whether anything is removed.
    pub mode: PruneMode,
}

/// Starts a prune of all groups of a store or namespace that the caller may prune, and returns the task's name.
///
/// `granted`: that the caller may prune something there.
///
/// # Errors
/// The store cannot be used, or the task cannot be started.
pub async fn prune_store(app: &Arc<App>, granted: &Granted, prune: StorePrune) -> Result<Upid, PruneError> {
    let handle = open(app, prune.store.clone()).await?;
    let id = format!("{}:{}", prune.store, prune.ns);
    let (app_of_task, caller) = (Arc::clone(app), granted.authid().clone());
    let worker = move |context: TaskContext| {
        in_background(move || {
            let acl = app_of_task.acl()?;
            let store = &*handle;
            run(PruneRun { store, acl: &acl, caller: &caller, zone: &app_of_task.time_zone, prune: &prune }, &context)
        })
    };
    Ok(app.tasks.spawn(TaskKind::new("prune", Some(id)), granted.authid(), worker).await?)
}

/// Proof that somebody may run a stored prune job, and the job.
#[derive(Debug, Clone)]
pub struct PrunePermit {
    granted: Granted,
    job: PruneJob,
}

impl PrunePermit {
    /// Looks up a job that `caller` wants to run. Blocking.
    ///
    /// # Errors
    /// [`PruneError::Job`]; there is no difference between a job that is missing and one that the caller may not see.
    pub fn of(app: &App, caller: &Authid, id: &JobId) -> Result<Self, PruneError> {
        let loaded = app.settings.prune_jobs().load()?;
        let acl = app.acl()?;
        let job = visible(&acl, caller, &loaded.entries, id)?.clone();
        Ok(Self { granted: may_change(&acl, caller, &job)?, job })
    }

    /// Returns the job.
    pub const fn job(&self) -> &PruneJob {
        &self.job
    }
}

/// Starts a stored prune job and returns the task's name.
///
/// `schedule`: the event that started it; such a start does not wait. One by hand, without, waits up to 10 s for a run of
/// the same job that is about to end, and runs a disabled job too.
///
/// # Errors
/// The job runs; the store cannot be used, then nothing of the job's state changes; the task cannot be started.
pub async fn run_prune_job(app: &Arc<App>, permit: PrunePermit, schedule: Option<String>) -> Result<Upid, PruneError> {
    let PrunePermit { granted, job } = permit;
    let handle = open(app, job.store.clone()).await?;
    let lock = Arc::new(lock_job(app, &job, schedule.is_some()).await?);
    let kind = TaskKind::new(PruneJob::JOB_TYPE, Some(job.worker_id()));
    let at_end = {
        let (lock, clock) = (Arc::clone(&lock), Arc::clone(&app.clock));
        Box::new(move |context: &TaskContext, status: &TaskStatus| {
            if let Err(error) = lock.finish(context.upid(), status, clock.now()) {
                context.warn(&format!("failed to store the job's state: {}", TaskFailure::from_error(&error)));
            }
        })
    };
    let (app_of_task, caller) = (Arc::clone(app), granted.authid().clone());
    let worker = move |context: TaskContext| {
        in_background(move || {
            lock.start(context.upid())?;
            context.log(&format!("prune job '{}'", job.id));
            if let Some(event) = schedule {
                context.log(&format!("task triggered by schedule '{event}'"));
            }
            let prune = StorePrune {
                store: job.store.clone(),
                ns: job.anchor(),
                max_depth: job.max_depth,
                keep: job.keep,
                mode: PruneMode::Remove,
            };
            let acl = app_of_task.acl()?;
            let store = &*handle;
            run(PruneRun { store, acl: &acl, caller: &caller, zone: &app_of_task.time_zone, prune: &prune }, &context)
        })
    };
    Ok(app.tasks.spawn_with_end(kind, granted.authid(), at_end, worker).await?)
}

/// Locks the state of a job that is still stored.
async fn lock_job(
    app: &Arc<App>,
    job: &PruneJob,
    is_scheduled: bool,
) -> Result<farhold_tasks::job_state::JobLock, PruneError> {
    let (app, id) = (Arc::clone(app), job.id.clone());
    blocking(move || {
        let key = PruneJob::state_key(&id)?;
        let lock = match is_scheduled {
            true => app.job_states.lock_within(&key, Duration::ZERO)?,
            false => app.job_states.lock(&key)?,
        };
        if !app.settings.prune_jobs().load()?.entries.contains(id.as_str()) {
            app.job_states.remove(&key)?;
            return Err(StoreJobError::Unknown { kind: PruneJob::KIND, id: id.to_string() }.into());
        }
        Ok(lock)
    })
    .await
}

async fn open(app: &Arc<App>, store: DatastoreName) -> Result<StoreHandle, PruneError> {
    let app = Arc::clone(app);
    blocking(move || Ok(app.stores.open(&store, Operation::Write)?)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PruneError> + Send + 'static,
) -> Result<T, PruneError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PruneError::Crashed)?
}

/// Runs a worker's work on a thread for it.
async fn in_background(work: impl FnOnce() -> Result<(), TaskFailure> + Send + 'static) -> Result<(), TaskFailure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(TaskFailure::new("prune ended unexpectedly")))
}
