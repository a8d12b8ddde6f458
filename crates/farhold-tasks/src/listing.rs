//! What lists, status and log calls return, in the shapes of the wire.
//!
//! Source: `docs/spec/rest-api.md` 15.2 and 15.3.

use farhold_format::task_log::{TaskListEntry, TaskStatus};
use farhold_format::upid::Upid;
use farhold_types::Epoch;
use serde::Serialize;

/// One task of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskItem {
    /// The whole UPID.
    pub upid: String,
    /// Always `localhost`.
    pub node: &'static str,
    /// Process id.
    pub pid: u32,
    /// Start of the process, clock ticks since boot.
    pub pstart: u64,
    /// When the task started.
    pub starttime: Epoch,
    /// Worker type.
    pub worker_type: String,
    /// Unescaped worker id; `null` if none.
    pub worker_id: Option<String>,
    /// Who started it, with the token's name.
    pub user: String,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endtime: Option<Epoch>,
    /// Result; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl From<&TaskListEntry> for TaskItem {
    fn from(entry: &TaskListEntry) -> Self {
        let upid = &entry.upid;
        Self {
            upid: upid.to_string(),
            node: "localhost",
            pid: upid.pid(),
            pstart: upid.pstart(),
            starttime: upid.start_time(),
            worker_type: upid.worker_type().to_owned(),
            worker_id: upid.worker_id().map(str::to_owned),
            user: upid.authid().to_string(),
            endtime: entry.end.as_ref().map(|(time, _)| *time),
            status: entry.end.as_ref().map(|(_, status)| status.to_string()),
        }
    }
}

/// One page of a task list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks, newest first.
    pub items: Vec<TaskItem>,
    /// Start plus number of tasks, plus 1 if the page is full: a hint that there may be more, not a count.
    pub total: u64,
}

/// State of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatusItem {
    /// The whole UPID.
    pub upid: String,
    /// Node name in the UPID.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Start of the process, clock ticks since boot.
    pub pstart: u64,
    /// When the task started.
    pub starttime: Epoch,
    /// Worker type.
    #[serde(rename = "type")]
    pub worker_type: String,
    /// Unescaped worker id; `null` if none.
    pub id: Option<String>,
    /// The user who started it, or whose token did.
    pub user: String,
    /// Name of the token that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenid: Option<String>,
    /// `running` or `stopped`.
    pub status: &'static str,
    /// Result, if stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exitstatus: Option<String>,
    /// When it ended, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endtime: Option<Epoch>,
}

impl TaskStatusItem {
    /// Makes the state of a task from its name and its end; `end` without time stands for a task without log.
    pub(crate) fn new(upid: &Upid, end: Option<(TaskStatus, Option<Epoch>)>) -> Self {
        Self {
            upid: upid.to_string(),
            node: upid.node().to_owned(),
            pid: upid.pid(),
            pstart: upid.pstart(),
            starttime: upid.start_time(),
            worker_type: upid.worker_type().to_owned(),
            id: upid.worker_id().map(str::to_owned),
            user: upid.authid().user().to_string(),
            tokenid: upid.authid().token_name().map(ToString::to_string),
            status: if end.is_some() { "stopped" } else { "running" },
            exitstatus: end.as_ref().map(|(status, _)| status.to_string()),
            endtime: end.and_then(|(_, time)| time),
        }
    }

    /// Returns whether the task runs.
    pub fn is_running(&self) -> bool {
        self.exitstatus.is_none()
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Line number, from 1.
    pub n: u64,
    /// The line with its time stamp, without line break.
    pub t: String,
}

/// Lines of a log, with consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// How many lines the log has.
    pub total: u64,
}
