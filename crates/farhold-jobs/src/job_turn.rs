//! A job's turn: its lock is held from the start of its task to the end.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 9.

use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_settings::SettingsError;
use farhold_tasks::job_state::{JobLock, JobStateError, LOCK_WAIT};
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{Epoch, JobId};

use crate::app::App;
use crate::store_jobs::{StoreJob, StoreJobError};

/// Returns how long a start waits for a run of the same job that is about to end: not at all if the schedule started it.
pub(crate) const fn wait_for_turn(schedule: Option<&String>) -> Duration {
    match schedule {
        Some(_) => Duration::ZERO,
        None => LOCK_WAIT,
    }
}

/// Locks the state of a job that is still stored. The state of one that is not goes. Blocking.
///
/// # Errors
/// The job runs, its state cannot be kept, or it was removed.
pub(crate) fn lock_stored<J, E>(app: &App, id: &JobId, wait: Duration) -> Result<JobLock, E>
where
    J: StoreJob,
    E: From<JobStateError> + From<SettingsError> + From<StoreJobError>,
{
    let key = J::state_key(id)?;
    let lock = app.job_states.lock_within(&key, wait)?;
    if !J::stored(&app.settings).load()?.entries.contains(id.as_str()) {
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
pub(crate) fn tell_schedule(context: &TaskContext, schedule: Option<&String>) {
    if let Some(event) = schedule {
        context.log(&format!("task triggered by schedule '{event}'"));
    }
}
