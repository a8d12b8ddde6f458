//! Garbage collection as a task.
//!
//! One at a time for each store: the job's lock is held from the start of a task to its end, whoever started it. Source:
//! `docs/spec/datastore-format.md` 17, `docs/spec/rest-api.md` 12.9, `docs/spec/schedules-and-tasks.md` 6.2, 6.4 and 9,
//! lines of `tests/golden/tasks.tar.zst`.

mod log;
mod status;
#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::sync::Arc;

use farhold_datastore::gc::{GcEvent, GcOptions, GcWatch};
use farhold_datastore::{AccessTimeCheck, DatastoreError, GcStatus};
use farhold_format::upid::Upid;
use farhold_rules::acl::{AclPath, AclTree, Denied, Granted};
use farhold_settings::{DatastoreConfig, FieldError, SettingsError, Tuning};
use farhold_tasks::job_state::{JobKey, JobState, JobStateError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};
use thiserror::Error;

pub use self::status::{GcReport, report};

use self::log::GcLog;
use crate::app::App;
use crate::datastore_jobs::is_nested;
use crate::job_end::{JobPlace, RunDetails, at_end};
use crate::job_turn::{ScheduledStart, is_taken, take_turn, tell_schedule};
use crate::stores::{Operation, StoreAccessError, StoreHandle};
use crate::task_work::{ABORTED, Crashed, SHUTDOWN, blocking, in_background};
use crate::work_progress::{Work, WorkProgress};

/// What stands before the reason for an early end while chunks are being marked. Source:
/// `docs/spec/schedules-and-tasks.md` 6.4.
const WHILE_MARKING: &str = "marking used chunks failed: ";

/// Threads that touch and remove chunks: enough to keep several disks of an array busy, few enough to leave backups
/// their share.
const THREADS: NonZero<usize> = NonZero::new(4).expect("not zero");

/// Why no collection was started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GcRunError {
    /// There is no such store.
    #[error("no such datastore '{name}'")]
    Unknown {
        /// The name asked for.
        name: DatastoreName,
    },
    /// One runs already.
    #[error("garbage collection of datastore '{name}' runs already")]
    Running {
        /// The store.
        name: DatastoreName,
        /// What holds it.
        #[source]
        source: Option<JobStateError>,
    },
    /// The store lies in another one, or another one in it, so that the collection would take the other's chunks.
    #[error("datastore '{name}' and datastore '{other}' lie in each other")]
    Nested {
        /// The store.
        name: DatastoreName,
        /// The other one.
        other: DatastoreName,
    },
    /// The result of the last collection cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] Box<StoreAccessError>),
    /// The store's expert settings make no sense.
    #[error(transparent)]
    Tuning(#[from] FieldError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The state of the job cannot be kept.
    #[error(transparent)]
    JobState(#[from] JobStateError),
    /// The task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A thread of this server crashed.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl From<StoreAccessError> for GcRunError {
    fn from(error: StoreAccessError) -> Self {
        Box::new(error).into()
    }
}

/// Proof that somebody may collect the garbage of a store.
#[derive(Debug, Clone)]
pub struct GcPermit {
    granted: Granted,
    store: DatastoreName,
}

impl GcPermit {
    /// Checks whether `caller` may collect the garbage of a store. `root@pam` always may.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn of(acl: &AclTree, caller: &Authid, store: &DatastoreName) -> Result<Self, Denied> {
        let path = AclPath::datastore(store, &Namespace::root());
        let granted = acl.require_all(caller, &path, Privileges::DATASTORE_MODIFY)?;
        Ok(Self { granted, store: store.clone() })
    }
}

/// Returns the key of the state of a store's collections.
///
/// # Errors
/// The name makes no file name; that of a configured store always does.
pub fn gc_key(store: &DatastoreName) -> Result<JobKey, JobStateError> {
    JobKey::new("garbage_collection", store.as_str())
}

/// Returns the collection of a store that runs now, in any process of this host. Blocking.
///
/// # Errors
/// The state of the job cannot be read.
pub fn running_gc(app: &App, store: &DatastoreName) -> Result<Option<Upid>, JobStateError> {
    match app.job_states.read(&gc_key(store)?, app.clock.now(), &app.tasks)? {
        JobState::Started { upid } => Ok(Some(upid)),
        _ => Ok(None),
    }
}

/// Starts a garbage collection and returns the task's name.
///
/// `start`: the calendar event that it is started for; such a start does not wait. Another one waits up to 10 s for a
/// collection that is about to end.
///
/// # Errors
/// [`GcRunError::Running`]; the store cannot be used, then nothing of the job's state changes; the task cannot be started.
pub async fn start_gc(app: &Arc<App>, permit: &GcPermit, start: Option<ScheduledStart>) -> Result<Upid, GcRunError> {
    let (of_app, store, of_turn) = (Arc::clone(app), permit.store.clone(), start.clone());
    let prepare = move || {
        let (handle, options) = open(&of_app, &store)?;
        if running_gc(&of_app, &store)?.is_some() {
            return Err(GcRunError::Running { name: store, source: None });
        }
        let lock = take_turn(&of_app, &gc_key(&store)?, of_turn.as_ref()).map_err(|error| match error {
            error if is_taken(&error) => GcRunError::Running { name: store, source: Some(error) },
            error => error.into(),
        })?;
        Ok((handle, options, lock))
    };
    let (handle, options, lock) = blocking(prepare).await?;
    let lock = Arc::new(lock);
    let (at_end, slot) = at_end(app, &lock, JobPlace::store(permit.store.clone()), RunDetails::Gc(None));
    let kind = TaskKind::new("garbage_collection", Some(permit.store.to_string()));
    let board = app.progress.clone();
    let worker = move |context: TaskContext| {
        in_background("garbage collection", move || {
            lock.start(context.upid())?;
            context.log(&format!("starting garbage collection on store {}", handle.name()));
            tell_schedule(&context, start.as_ref());
            let entry = board.enter_work(context.upid().clone(), Work::Mark);
            let status = collect(&handle, &options, &context, &entry.run())?;
            slot.set(RunDetails::Gc(Some(status)));
            Ok(())
        })
    };
    Ok(app.tasks.spawn_with_end(kind, permit.granted.authid(), at_end, worker).await?)
}

/// Opens a store for its collection. Blocking.
fn open(app: &App, name: &DatastoreName) -> Result<(StoreHandle, GcOptions), GcRunError> {
    let loaded = app.settings.datastores().load()?;
    let config = loaded.entries.get(name.as_str())?.ok_or_else(|| GcRunError::Unknown { name: name.clone() })?;
    let path = app.stores.content_path(config);
    let overlaps = |other: &&DatastoreConfig| other.name != *name && is_nested(&path, &app.stores.content_path(other));
    let other = loaded.entries.usable().find(overlaps);
    if let Some(other) = other {
        return Err(GcRunError::Nested { name: name.clone(), other: other.name.clone() });
    }
    Ok((app.stores.open(name, Operation::Write)?, options_of(&config.tuning_options()?)))
}

fn options_of(tuning: &Tuning) -> GcOptions {
    GcOptions {
        cutoff_seconds: i64::from(tuning.gc_atime_cutoff_minutes) * 60,
        cache_capacity: usize::try_from(tuning.gc_cache_capacity).unwrap_or(usize::MAX),
        access_time_check: if tuning.gc_atime_safety_check { AccessTimeCheck::Run } else { AccessTimeCheck::Skip },
        threads: THREADS,
    }
}

fn collect(
    store: &StoreHandle,
    options: &GcOptions,
    context: &TaskContext,
    progress: &WorkProgress,
) -> Result<GcStatus, TaskFailure> {
    let log = GcLog::new(store, context.clone());
    let on_event = |event: &GcEvent<'_>| {
        tell_progress(progress, event);
        log.tell(event);
    };
    let is_stopped = || context.is_cancelled() || context.shutdown().is_cancelled();
    let watch = GcWatch { on_event: &on_event, is_stopped: &is_stopped };
    let outcome = store.collect_garbage(options, context.upid(), &watch);
    log.end();
    match outcome {
        Ok(status) => Ok(status),
        Err(error) if error.is_stopped() => {
            let reason = if context.is_cancelled() { ABORTED } else { SHUTDOWN };
            let place = if log.is_sweeping() { "" } else { WHILE_MARKING };
            Err(TaskFailure::new(format!("{place}{reason}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Notes how far a collection is.
#[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
fn tell_progress(progress: &WorkProgress, event: &GcEvent<'_>) {
    match event {
        GcEvent::Marking => progress.begin(Work::Mark, None),
        GcEvent::Marked { done, total, .. } => progress.reach(*done as f64, *total as f64),
        GcEvent::Sweeping => progress.begin(Work::Sweep, Some(100.0)),
        GcEvent::Swept { percent, .. } => progress.reach(*percent as f64, 100.0),
        _ => {}
    }
}
