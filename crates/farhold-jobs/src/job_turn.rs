//! A job's turn: its lock is held from the start of its task to the end.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 9.

use farhold_format::task_log::TaskStatus;
use farhold_settings::SettingsError;
use farhold_tasks::job_state::{JobKey, JobLock, JobStateError, LOCK_WAIT, WaitingEvent};
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{Epoch, JobId};

use crate::app::App;
use crate::store_jobs::{StoreJob, StoreJobError};

/// The calendar event of its schedule that a job is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledStart {
    /// The schedule, as it is configured.
    pub schedule: String,
    /// The event, and what it was found with.
    pub event: WaitingEvent,
}

/// Locks the state of a job for its run. One that its schedule starts waits for no other, and begins only if what made it
/// due is still so; one by hand waits up to 10 s for a run of the same job that is about to end. Blocking.
///
/// # Errors
/// The job runs, its event no longer waits, or its state cannot be kept.
pub(crate) fn take_turn(app: &App, key: &JobKey, start: Option<&ScheduledStart>) -> Result<JobLock, JobStateError> {
    match start {
        Some(start) => app.job_states.lock_for(key, &start.event, app.clock.now()),
        None => app.job_states.lock_within(key, LOCK_WAIT),
    }
}

/// Returns whether a start failed because the job runs, or because its event no longer waits: not a fault, but nothing to
/// do, or to be looked at again a minute later.
pub(crate) const fn is_taken(error: &JobStateError) -> bool {
    matches!(error, JobStateError::Locked { .. } | JobStateError::Overtaken { .. })
}

/// Locks the state of a job that is still stored, as [`take_turn`]. The state of one that is not goes. Blocking.
///
/// # Errors
/// The job runs, its event no longer waits, its state cannot be kept, or it was removed.
pub(crate) fn lock_stored<J, E>(app: &App, id: &JobId, start: Option<&ScheduledStart>) -> Result<JobLock, E>
where
    J: StoreJob,
    E: From<JobStateError> + From<SettingsError> + From<StoreJobError>,
{
    let key = J::state_key(id)?;
    let lock = take_turn(app, &key, start)?;
    // A section of another job in which something is wrong is none of this one's business.
    if !J::stored(&app.settings).load_usable()?.entries.contains(id.as_str()) {
        app.forget_job(&key)?;
        return Err(StoreJobError::Unknown { kind: J::KIND, id: id.to_string() }.into());
    }
    Ok(lock)
}

/// Stores how a job's task ended. A state that cannot be stored is a warning in the task's log. Blocking.
pub(crate) fn keep_state(lock: &JobLock, context: &TaskContext, status: &TaskStatus, ended: Epoch) {
    if let Err(error) = lock.finish(context.upid(), status, ended) {
        context.warn(&format!("failed to store the job's state: {}", TaskFailure::from_error(&error)));
    }
}

/// Tells in the log which calendar event started the task, if one did.
pub(crate) fn tell_schedule(context: &TaskContext, start: Option<&ScheduledStart>) {
    if let Some(ScheduledStart { schedule, .. }) = start {
        context.log(&format!("task triggered by schedule '{schedule}'"));
    }
}
