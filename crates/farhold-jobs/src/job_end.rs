//! What happens when the task of a job has ended, for all kinds of jobs in one place and one order: the job's state is
//! stored, then everybody else learns of the run.
//!
//! A start function makes the [`EndHook`] with [`at_end`] and fills the details of the run through the slot that comes
//! with it, while the worker runs. Nothing that goes wrong here changes the result of the task. Source:
//! `docs/spec/schedules-and-tasks.md` 9.1 and 10.

use std::sync::{Arc, Mutex, PoisonError};

use farhold_datastore::GcStatus;
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_sync::{ProgressSnapshot, SyncReport};
use farhold_tasks::job_state::{JobKey, JobLock};
use farhold_tasks::{EndHook, TaskContext, TaskFailure};
pub use farhold_types::JobKind;
use farhold_types::{DatastoreName, Epoch, RemoteName, SyncJob};

use crate::app::App;
use crate::job_runs::JobRun;
use crate::job_turn::keep_state;
use crate::notifications;
use crate::removable;

/// What a run found and did, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunDetails {
    /// Of a sync job: its report, also if things failed; none if it failed as a whole, or was stopped.
    Sync(Option<SyncReport>),
    /// Of a prune job.
    Prune,
    /// Of a verify job.
    Verify(VerifyFindings),
    /// Of a garbage collection: its result; none if it did not come to its end.
    Gc(Option<GcStatus>),
}

impl RunDetails {
    /// Returns what kind of job ran.
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Sync(_) => JobKind::Sync,
            Self::Prune => JobKind::Prune,
            Self::Verify(_) => JobKind::Verify,
            Self::Gc(_) => JobKind::Gc,
        }
    }
}

/// What a verify job found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyFindings {
    /// Snapshots and groups with a failure, as the end of the log lists them.
    pub failed: Vec<String>,
    /// Whether it ended early because somebody asked for that.
    pub is_aborted: bool,
}

/// The place of work of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobPlace {
    store: DatastoreName,
    remote: Option<RemoteName>,
    remote_store: Option<DatastoreName>,
}

impl JobPlace {
    /// Returns that of a job of one datastore.
    pub(crate) const fn store(store: DatastoreName) -> Self {
        Self { store, remote: None, remote_store: None }
    }

    /// Returns that of a sync job.
    pub(crate) fn sync(job: &SyncJob) -> Self {
        let remote_store = Some(job.remote_store.clone());
        Self { store: job.store.clone(), remote: job.remote.clone(), remote_store }
    }
}

/// A run of a job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnded {
    /// The job; its name is the id, for a garbage collection the datastore.
    pub key: JobKey,
    /// The local datastore.
    pub store: DatastoreName,
    /// The remote of a sync job; none for one between local datastores.
    pub remote: Option<RemoteName>,
    /// The other datastore of a sync job.
    pub remote_store: Option<DatastoreName>,
    /// The task.
    pub upid: Upid,
    /// When it began.
    pub started: Epoch,
    /// When it ended.
    pub ended: Epoch,
    /// How it ended.
    pub status: TaskStatus,
    /// What it found and did.
    pub details: RunDetails,
    /// How far a sync came, also if it was stopped; none if it did not begin.
    pub progress: Option<ProgressSnapshot>,
}

impl JobEnded {
    /// Returns what kind of job ran.
    pub const fn kind(&self) -> JobKind {
        self.details.kind()
    }

    /// Returns whether it is a verify job that somebody asked to stop: it has neither succeeded nor failed.
    pub const fn is_called_off(&self) -> bool {
        matches!(&self.details, RunDetails::Verify(findings) if findings.is_aborted)
    }
}

/// Where the worker of a job leaves the details of its run. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct DetailsSlot(Arc<Mutex<(RunDetails, Option<ProgressSnapshot>)>>);

impl DetailsSlot {
    /// Replaces the details.
    pub(crate) fn set(&self, details: RunDetails) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = details;
    }

    /// Tells how far a sync came.
    pub(crate) fn see(&self, progress: ProgressSnapshot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(progress);
    }

    fn get(&self) -> (RunDetails, Option<ProgressSnapshot>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns what a task of the job does at its end, and where its worker leaves the details.
///
/// `lock`: the job's, held until the hook is done. `details`: of a run that never began its work.
pub(crate) fn at_end(
    app: &Arc<App>,
    lock: &Arc<JobLock>,
    place: JobPlace,
    details: RunDetails,
) -> (EndHook, DetailsSlot) {
    let slot = DetailsSlot(Arc::new(Mutex::new((details, None))));
    let (app, lock, of_worker) = (Arc::clone(app), Arc::clone(lock), slot.clone());
    let hook = move |context: &TaskContext, status: &TaskStatus| {
        let JobPlace { store, remote, remote_store } = place;
        let (details, progress) = slot.get();
        let ended = JobEnded {
            key: lock.key().clone(),
            store,
            remote,
            remote_store,
            upid: context.upid().clone(),
            started: context.upid().start_time(),
            ended: app.clock.now(),
            status: status.clone(),
            details,
            progress,
        };
        tell(&app, &lock, &ended, context);
    };
    (Box::new(hook), of_worker)
}

/// Tells the run in the server's own log, with everything that it is about as fields of their own.
fn log(ended: &JobEnded, run: &JobRun) {
    let remote = ended.remote.as_ref().map(RemoteName::as_str);
    let (kind, id, store, seconds) = (ended.kind().as_str(), ended.key.name(), ended.store.as_str(), run.seconds());
    let (bytes, snapshots, behind) = (run.figures.bytes, run.figures.snapshots, run.figures.behind);
    let (failures, retries) = (run.figures.failures, run.figures.retries);
    let status = run.status.to_string();
    macro_rules! told {
        ($level:ident) => {
            tracing::$level!(
                kind,
                job = id,
                datastore = store,
                remote,
                seconds,
                bytes,
                snapshots,
                behind,
                failures,
                retries,
                status,
                "job ended"
            )
        };
    }
    // Whoever keeps only what matters keeps the failures; one that was called off is none.
    match run.is_success() || ended.is_called_off() {
        true => told!(info),
        false => told!(warn),
    }
}

/// Does what is to be done after a run, the most important first. Blocking.
fn tell(app: &App, lock: &JobLock, ended: &JobEnded, context: &TaskContext) {
    if let Some(line) = removable::gone_meanwhile(app, &ended.store, &ended.status) {
        context.log(&line);
    }
    keep_state(lock, context, &ended.status, ended.ended);
    let run = JobRun::of(ended);
    log(ended, &run);
    if let RunDetails::Gc(Some(status)) = &ended.details {
        app.census.note_gc(&ended.store, status);
    }
    if !lock.is_left_over()
        && let Err(error) = app.job_runs.record(&ended.key, &run)
    {
        context.warn(&format!("failed to keep the figures of the run: {}", TaskFailure::from_error(&error)));
    }
    notifications::tell(app, ended, context);
}
