//! The task that puts logs aside: the list of finished tasks with the logs of tasks that it no longer names, the access
//! log and the authentication log.
//!
//! Both logs of the API are opened anew for each line, so their writers need not be told. Source:
//! `docs/spec/schedules-and-tasks.md` 7.3; lines of `tests/golden/tasks.tar.zst`.

use std::path::Path;
use std::sync::Arc;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_settings::SettingsError;
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_tasks::rotation::{KEPT_LOGS, MAX_LOG_BYTES, rotate_log};
use farhold_tasks::{EndHook, TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::Authid;
use thiserror::Error;

use super::NotStarted;
use crate::app::App;
use crate::job_turn::{ScheduledStart, is_taken, keep_state, take_turn, tell_schedule};
use crate::task_work::{Crashed, blocking, in_background};

/// When logs are put aside. Source: `docs/spec/schedules-and-tasks.md` 7.3.
pub(super) const SCHEDULE: &str = "00:00";

/// The logs beside those of tasks, and what lines call them.
const LOGS: [(&str, &str); 2] = [("access.log", "API access log"), ("auth.log", "API authentication log")];

/// Returns the key of the task's state. Source: `docs/spec/schedules-and-tasks.md` 9.1.
pub(super) fn key() -> Result<JobKey, JobStateError> {
    JobKey::new("logrotate", "access-log_and_task-archive")
}

/// Why logs are not put aside.
#[derive(Debug, Error)]
enum RotationError {
    #[error(transparent)]
    JobState(#[from] JobStateError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

pub(super) async fn start(app: &Arc<App>, caller: &Authid, start: ScheduledStart) -> Result<Upid, NotStarted> {
    spawn(app, caller, start).await.map_err(|error| match error {
        RotationError::JobState(error) if is_taken(&error) => NotStarted::Busy,
        error => NotStarted::because(&error),
    })
}

async fn spawn(app: &Arc<App>, caller: &Authid, start: ScheduledStart) -> Result<Upid, RotationError> {
    let (of_lock, of_turn) = (Arc::clone(app), start.clone());
    let lock = blocking(move || Ok::<_, RotationError>(take_turn(&of_lock, &key()?, Some(&of_turn))?));
    let lock = Arc::new(lock.await?);
    let (of_end, clock) = (Arc::clone(&lock), Arc::clone(&app.clock));
    let at_end: EndHook = Box::new(move |context: &TaskContext, status: &TaskStatus| {
        keep_state(&of_end, context, status, clock.now());
    });
    let of_task = Arc::clone(app);
    let worker = move |context: TaskContext| {
        in_background("log rotation", move || {
            lock.start(context.upid())?;
            context.log("starting task log rotation");
            tell_schedule(&context, Some(&start));
            rotate(&of_task, &context)
        })
    };
    Ok(app.tasks.spawn_with_end(TaskKind::new("logrotate", None), caller, at_end, worker).await?)
}

/// Puts aside what is too large. A log that cannot be put aside keeps the others from nothing.
fn rotate(app: &App, context: &TaskContext) -> Result<(), TaskFailure> {
    let max_days = app.settings.node().load()?.entries.task_log_max_days();
    let tasks = app.tasks.rotate(max_days);
    match &tasks {
        Ok(done) => context.log(&outcome("task log archive", done.is_rotated)),
        Err(error) => context.warn(&format!("task log archive: {}", TaskFailure::from_error(error))),
    }
    for (file, name) in LOGS {
        let path = app.api_log_directory.join(file);
        match rotate_log(&path, MAX_LOG_BYTES, KEPT_LOGS) {
            Ok(is_rotated) => context.log(&outcome(name, is_rotated)),
            Err(error) => context.warn(&failure(name, &path, &error)),
        }
    }
    if let Some(removed) = tasks.ok().and_then(|done| done.removed_logs) {
        context.log("cleaning up old task logs");
        context.log(&format!("removed {removed} old task logs"));
    }
    Ok(())
}

fn outcome(name: &str, is_rotated: bool) -> String {
    format!("{name} was {}rotated", if is_rotated { "" } else { "not " })
}

fn failure(name: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{name}: failed to rotate {}: {error}", path.display())
}
