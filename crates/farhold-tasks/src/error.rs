//! What can go wrong around a task, and how a worker says that it failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use farhold_format::upid::{Upid, UpidError};
use thiserror::Error;

/// Why a task could not be started, listed or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A file of the task directory could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The lock of the task lists was not free in time.
    #[error("task list lock {} not acquired in time", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Worker type, node or process numbers do not fit into a UPID.
    #[error("invalid task name")]
    Name(#[source] UpidError),
    /// No free task id was found.
    #[error("no free task id for worker type '{worker_type}'")]
    NoFreeTaskId {
        /// The worker type.
        worker_type: String,
    },
    /// The server is being stopped and starts no more tasks.
    #[error("server is shutting down, no new task is started")]
    ShuttingDown,
    /// There is no log file of this task.
    #[error("no log of task {upid}")]
    NoLog {
        /// The task.
        upid: Box<Upid>,
    },
    /// The task is not one of this registry that runs or ended lately.
    #[error("task {upid} is not running here")]
    NotRunning {
        /// The task.
        upid: Box<Upid>,
    },
    /// Blocking work was cut off, which happens only when the runtime stops.
    #[error("blocking work around a task was cut off")]
    CutOff,
}

impl TaskError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a worker failed: the text of its result line.
///
/// Made from any error by `?`; then the text is the message of the error and of its causes, joined with `: `. It is no
/// error type itself, because it has no structure left to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    text: String,
}

impl TaskFailure {
    /// Makes a failure with this text. An empty text, which a log cannot express, becomes `unknown error`.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text: if text.trim().is_empty() { "unknown error".to_owned() } else { text } }
    }

    /// Makes a failure from an error and its causes.
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        // The bound only guards against a chain that contains itself.
        for _ in 0..32 {
            let Some(error) = cause else { break };
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(text)
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<E: std::error::Error + 'static> From<E> for TaskFailure {
    fn from(error: E) -> Self {
        Self::from_error(&error)
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_joined_with_colons() {
        let error = TaskError::Io { action: "read", path: "/x".into(), source: io::Error::other("broken") };
        assert_eq!(TaskFailure::from(error).text(), "failed to read /x: broken");
        assert_eq!(TaskFailure::new(" \n").text(), "unknown error");
    }
}
