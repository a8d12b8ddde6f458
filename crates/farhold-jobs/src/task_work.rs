//! Blocking work of calls and tasks, on threads made for it, and how tasks end that were told to.

use farhold_tasks::{TaskContext, TaskFailure};
use thiserror::Error;

/// Last line after somebody asked to stop a task. Source: `docs/spec/schedules-and-tasks.md` 6.4.
pub(crate) const ABORTED: &str = "abort requested - aborting task";
/// Last line when the server stops. Source: as above.
pub(crate) const SHUTDOWN: &str = "Server shutdown requested - aborting task";

/// Ends a task between two of its steps if somebody asked to stop it, or if the server stops.
///
/// # Errors
/// The task was asked to stop; the text says by whom.
pub(crate) fn go_on(context: &TaskContext) -> Result<(), TaskFailure> {
    if context.is_cancelled() {
        return Err(TaskFailure::new(ABORTED));
    }
    if context.shutdown().is_cancelled() {
        return Err(TaskFailure::new(SHUTDOWN));
    }
    Ok(())
}

/// A thread of this server crashed, or the runtime stops.
#[derive(Debug, Error)]
#[error("internal error: a blocking task crashed")]
pub struct Crashed;

/// Runs blocking work of a call where it hurts nobody.
///
/// # Errors
/// What the work fails with; [`Crashed`] if it ended without a result.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Crashed> + Send + 'static,
{
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(|_| Crashed)?
}

/// Runs the work of a task where blocking hurts nobody. `what` it is, for the log of a task whose thread crashed.
///
/// # Errors
/// What the work fails with; if it ended without a result, that it did.
pub(crate) async fn in_background(
    what: &str,
    work: impl FnOnce() -> Result<(), TaskFailure> + Send + 'static,
) -> Result<(), TaskFailure> {
    let span = tracing::Span::current();
    let ended = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    ended.unwrap_or_else(|_| Err(TaskFailure::new(format!("{what} ended unexpectedly"))))
}
