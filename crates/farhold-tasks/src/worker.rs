//! What a worker gets, and how one is run to its end: aborts, panics, result.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::error::TaskFailure;
use crate::log_writer::LogWriter;

/// Result text of a worker that did not end in time when the server was stopped.
pub(crate) const KILLED_TEXT: &str = "server shut down before the task ended";

/// What kind of task is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskKind {
    /// Worker type, for example `syncjob`.
    pub worker_type: String,
    /// Worker id before escaping; `None` for tasks without.
    pub worker_id: Option<String>,
    /// What a request to stop does.
    pub abort: AbortMode,
}

impl TaskKind {
    /// Makes a kind whose tasks look for requests to stop themselves, or ignore them.
    pub fn new(worker_type: impl Into<String>, worker_id: Option<String>) -> Self {
        Self { worker_type: worker_type.into(), worker_id, abort: AbortMode::Cooperative }
    }

    /// Returns this kind with work that is dropped on a request to stop and then fails with `error`.
    #[must_use]
    pub fn dropped_on_abort(self, error: &'static str) -> Self {
        Self { abort: AbortMode::Drop { error }, ..self }
    }
}

/// What a request to stop a task does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortMode {
    /// The worker's future is dropped at its next suspension point; the task fails with this text. Destructors must be
    /// all the clean-up that the work needs. Blocking work that it awaits goes on until it looks at the token.
    Drop {
        /// Result text, for example `sync aborted`.
        error: &'static str,
    },
    /// Only [`TaskContext::cancellation`] is cancelled; the worker decides when and with which error it ends.
    Cooperative,
}

/// Runs after the worker and before the result line, with the result; blocking. For what has to happen however a task
/// ends: storing the job state, queueing a notification. Warnings that it logs do not change the result any more.
pub type EndHook = Box<dyn FnOnce(&TaskContext, &TaskStatus) + Send>;

/// A worker's access to its own task. Cheap to clone.
#[derive(Clone)]
pub struct TaskContext {
    shared: Arc<Shared>,
}

struct Shared {
    upid: Upid,
    log: LogWriter,
    abort: CancellationToken,
    kill: CancellationToken,
    shutdown: CancellationToken,
}

impl TaskContext {
    pub(crate) fn new(upid: Upid, log: LogWriter, shutdown: CancellationToken) -> Self {
        let (abort, kill) = (CancellationToken::new(), CancellationToken::new());
        Self { shared: Arc::new(Shared { upid, log, abort, kill, shutdown }) }
    }

    /// Writes a message to the task's log. After the task's end this does nothing.
    pub fn log(&self, message: &str) {
        self.shared.log.log(message);
    }

    /// Writes a message to the task's log and counts it as a warning.
    pub fn warn(&self, message: &str) {
        self.shared.log.warn(message);
    }

    /// Writes a message to the task's log and to the server's own log, and counts it as a warning.
    pub fn error(&self, message: &str) {
        self.shared.log.warn(message);
        tracing::error!(upid = %self.shared.upid, "{message}");
    }

    /// Returns the task's name.
    pub fn upid(&self) -> &Upid {
        &self.shared.upid
    }

    /// Returns how many messages at warning or error level were logged.
    pub fn warning_count(&self) -> u64 {
        self.shared.log.warning_count()
    }

    /// Returns the token that is cancelled when somebody asks to stop this task.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.shared.abort
    }

    /// Returns whether somebody asked to stop this task.
    pub fn is_cancelled(&self) -> bool {
        self.shared.abort.is_cancelled()
    }

    /// Waits until somebody asks to stop this task.
    pub async fn cancelled(&self) {
        self.shared.abort.cancelled().await;
    }

    /// Returns the token that is cancelled when the server begins to stop. Tasks may run on until the deadline then;
    /// long ones that can be repeated cheaply should end.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    pub(crate) fn abort(&self) {
        self.shared.abort.cancel();
    }

    pub(crate) fn kill(&self) {
        self.shared.kill.cancel();
    }

    pub(crate) fn log_writer(&self) -> &LogWriter {
        &self.shared.log
    }

    /// Returns the status that a worker's result means, given the warnings so far.
    pub(crate) fn status(&self, result: &Result<(), TaskFailure>) -> TaskStatus {
        match (result, self.warning_count()) {
            (Err(failure), _) => TaskStatus::Error(failure.text().to_owned()),
            (Ok(()), 0) => TaskStatus::Ok,
            (Ok(()), count) => TaskStatus::Warnings(count),
        }
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext").field("upid", &self.shared.upid).finish_non_exhaustive()
    }
}

/// Runs a worker until it ends, is aborted or panics.
pub(crate) async fn run<W, F>(context: TaskContext, abort: AbortMode, worker: W) -> Result<(), TaskFailure>
where
    W: FnOnce(TaskContext) -> F,
    F: Future<Output = Result<(), TaskFailure>>,
{
    let given = context.clone();
    let work = async {
        // The future is polled first, so a worker that is done when the request comes has succeeded.
        let future = worker(given);
        tokio::select! {
            biased;
            result = future => result,
            error = aborted(&context, abort) => Err(TaskFailure::new(error)),
        }
    };
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(TaskFailure::new(format!("worker panicked: {}", panic_text(panic.as_ref())))),
    }
}

/// Waits until the worker is to be dropped and returns the text for its result.
async fn aborted(context: &TaskContext, abort: AbortMode) -> &'static str {
    match abort {
        AbortMode::Cooperative => {
            context.shared.kill.cancelled().await;
            KILLED_TEXT
        }
        AbortMode::Drop { error } => {
            tokio::select! {
                () = context.shared.kill.cancelled() => KILLED_TEXT,
                () = context.shared.abort.cancelled() => error,
            }
        }
    }
}

/// Runs the end hook; a panic in it is logged and changes nothing else.
pub(crate) fn run_hook(hook: EndHook, context: &TaskContext, status: &TaskStatus) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| hook(context, status))) {
        context.error(&format!("work at the end of the task panicked: {}", panic_text(panic.as_ref())));
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
