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

use farhold_datastore::{Datastore, DatastoreError};
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_rules::acl::{Granted, GroupAccess};
use farhold_rules::prune_plan::{self, Decision, PruneSnapshot};
use farhold_settings::SettingsError;
use farhold_tasks::job_state::JobStateError;
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Group, KeepOptions, Namespace, PruneJob};
use jiff::tz::TimeZone;
use thiserror::Error;

use self::work::{PruneRun, carry_out, run, share};
use crate::app::App;
use crate::job_end::{JobPlace, RunDetails, at_end};
use crate::job_turn::{ScheduledStart, lock_stored, tell_schedule};
use crate::store_jobs::{JobPermit, StoreJob, StoreJobError};
use crate::stores::{Operation, StoreAccessError, StoreHandle};
use crate::task_work::{Crashed, blocking, in_background};
use crate::work_progress::Work;

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
    #[error(transparent)]
    Crashed(#[from] Crashed),
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
    let board = app.progress.clone();
    let worker = move |context: TaskContext| {
        in_background("prune", move || {
            let entry = board.enter_work(context.upid().clone(), Work::PruneSnapshots);
            let (progress, all) = (entry.run(), share(planned.decisions.len()));
            progress.begin(Work::PruneSnapshots, Some(all));
            for line in log::group_opening(planned.store.name(), &planned.ns, &planned.group, &planned.keep) {
                context.log(&line);
            }
            let place = (&*planned.store, &planned.ns, &planned.group);
            let on_done = |done| progress.reach(share(done), all);
            carry_out(place, &planned.decisions, log::in_group, &on_done, &context)
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
        in_background("prune", move || carry_out_all(&app_of_task, &handle, &caller, &prune, &context))
    };
    Ok(app.tasks.spawn(TaskKind::new("prune", Some(id)), granted.authid(), worker).await?)
}

/// Starts a stored prune job and returns the task's name.
///
/// `start`: the event that it is started for; such a start does not wait. One by hand, without, waits up to 10 s for a run of
/// the same job that is about to end, and runs a disabled job too.
///
/// # Errors
/// The job runs; the store cannot be used, then nothing of the job's state changes; the task cannot be started.
pub async fn run_prune_job(
    app: &Arc<App>,
    permit: JobPermit<PruneJob>,
    start: Option<ScheduledStart>,
) -> Result<Upid, PruneError> {
    let JobPermit { granted, job } = permit;
    let handle = open(app, job.store.clone()).await?;
    let (of_app, id, of_turn) = (Arc::clone(app), job.id.clone(), start.clone());
    let lock = blocking(move || lock_stored::<PruneJob, PruneError>(&of_app, &id, of_turn.as_ref()));
    let lock = Arc::new(lock.await?);
    let kind = TaskKind::new(PruneJob::JOB_TYPE, Some(job.worker_id()));
    let (at_end, _) = at_end(app, &lock, JobPlace::store(job.store.clone()), RunDetails::Prune);
    let (app_of_task, caller) = (Arc::clone(app), granted.authid().clone());
    let worker = move |context: TaskContext| {
        in_background("prune", move || {
            lock.start(context.upid())?;
            context.log(&format!("prune job '{}'", job.id));
            tell_schedule(&context, start.as_ref());
            let prune = StorePrune {
                store: job.store.clone(),
                ns: job.anchor(),
                max_depth: job.max_depth,
                keep: job.keep,
                mode: PruneMode::Remove,
            };
            carry_out_all(&app_of_task, &handle, &caller, &prune, &context)
        })
    };
    Ok(app.tasks.spawn_with_end(kind, granted.authid(), at_end, worker).await?)
}

/// Prunes what the caller may prune, and tells how far it is. Blocking.
fn carry_out_all(
    app: &App,
    store: &StoreHandle,
    caller: &Authid,
    prune: &StorePrune,
    context: &TaskContext,
) -> Result<(), TaskFailure> {
    let entry = app.progress.enter_work(context.upid().clone(), Work::PruneGroups);
    let (acl, progress) = (app.acl()?, entry.run());
    let run_of = PruneRun { store, acl: &acl, caller, zone: &app.time_zone, prune, progress: &progress };
    run(run_of, context)
}

async fn open(app: &Arc<App>, store: DatastoreName) -> Result<StoreHandle, PruneError> {
    let app = Arc::clone(app);
    blocking(move || Ok(app.stores.open(&store, Operation::Write)?)).await
}
