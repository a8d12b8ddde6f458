//! Following a task: its log on stdout until it ends, then its result.
//!
//! Source: `docs/spec/cli.md` 2.1.

use std::io::{self, Write};
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::caller::{ApiCall, ApiCaller, ApiFailure, ApiReply};
use crate::catalogue::LOCAL_NODE;
use crate::command::TASK_LOG_PATH;
use crate::progress::{ProgressLine, ProgressSource};

/// Lines asked for at once.
const BLOCK_LINES: u64 = 500;
/// Length of a log line's time stamp with the `: ` behind it, in bytes.
const STAMP_BYTES: usize = 27;
const TASK_PATH: &str = "/nodes/{node}/tasks/{upid}";
const TASK_STATUS_PATH: &str = "/nodes/{node}/tasks/{upid}/status";

/// Why a task's log could not be followed, or how the task ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The task ended with an error.
    #[error("task failed (status {status})")]
    TaskFailed {
        /// The task's own result text.
        status: String,
    },
    /// The task has ended, and nothing says how.
    #[error("task ended without a status")]
    NoStatus,
    /// The server's answer about the log does not fit what was asked.
    #[error("bad task log from the server: {problem}")]
    BadLog {
        /// What is wrong.
        problem: String,
    },
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

/// How following ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The task has ended well, perhaps with warnings.
    TaskEnded,
    /// The user left; the task may still run.
    Left,
}

/// What the first Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It asks the task to stop, and the log is followed to its end.
    AbortTask,
    /// It ends the output and leaves the task alone.
    Leave,
}

/// Counts how often the user pressed Ctrl-C.
#[derive(Clone, Debug)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Watches a counter.
    pub fn new(count: watch::Receiver<u32>) -> Interrupts {
        Interrupts(count)
    }

    /// Returns interrupts that never come.
    pub fn never() -> Interrupts {
        Interrupts(watch::channel(0).1)
    }

    /// Counts the SIGINT signals of the process from now on; must be called within a runtime.
    ///
    /// # Errors
    /// The handler cannot be installed.
    pub fn from_signals() -> io::Result<Interrupts> {
        let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let (count, receiver) = watch::channel(0);
        // Lives as long as the process: there is one command in a process, and its end ends the task.
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Interrupts(receiver))
    }

    /// Returns once there have been this many; never if no more can come.
    pub async fn reached(&self, count: u32) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|present| count <= *present).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// True if there have been this many.
    pub fn has_reached(&self, count: u32) -> bool {
        count <= *self.0.borrow()
    }
}

/// Follows tasks of one caller.
pub struct Follower<'a> {
    /// Where to ask.
    pub caller: &'a dyn ApiCaller,
    /// Where the lines go.
    pub out: &'a mut dyn Write,
    /// Where messages go.
    pub err: &'a mut dyn Write,
    /// Presses of Ctrl-C.
    pub interrupts: Interrupts,
    /// Pause before a running task is asked again.
    pub poll: Duration,
    /// What feeds the progress line; none for no such line.
    pub progress: Option<(&'a dyn ProgressSource, ProgressLine)>,
}

impl Follower<'_> {
    /// Prints the log of a task until it ends, and returns how it ended.
    ///
    /// # Errors
    /// [`FollowError::TaskFailed`] for any result but success and warnings; otherwise what kept the log from being read.
    pub async fn follow(&mut self, upid: &str, on_interrupt: OnInterrupt) -> Result<Followed, FollowError> {
        let interrupts = self.interrupts.clone();
        let leaving = if on_interrupt == OnInterrupt::Leave { 1 } else { 2 };
        // A second press ends the program at once, even if a call hangs.
        let result = tokio::select! {
            biased;
            () = interrupts.reached(leaving) => Ok(Followed::Left),
            result = self.follow_to_end(upid, on_interrupt) => result,
        };
        self.clear_progress()?;
        if let (Ok(Followed::Left), OnInterrupt::AbortTask) = (&result, on_interrupt) {
            self.say_leaving(upid)?;
        }
        result
    }

    /// Waits for the end of a task without showing its log.
    ///
    /// # Errors
    /// As [`Follower::follow`].
    pub async fn wait(&mut self, upid: &str) -> Result<Followed, FollowError> {
        let interrupts = self.interrupts.clone();
        let poll = self.poll;
        let waiting = async {
            loop {
                let status = self.status(upid).await?;
                if status.get("status").and_then(Value::as_str) != Some("running") {
                    return result(&status);
                }
                if interrupts.has_reached(1) {
                    self.abort(upid).await?;
                }
                tokio::time::sleep(poll).await;
            }
        };
        let result = tokio::select! {
            biased;
            () = interrupts.reached(2) => Ok(Followed::Left),
            result = waiting => result,
        };
        if let Ok(Followed::Left) = result {
            self.say_leaving(upid)?;
        }
        result
    }

    fn say_leaving(&mut self, upid: &str) -> io::Result<()> {
        if self.caller.runs_tasks_here() {
            writeln!(self.err, "leaving; the task {upid} ends with this program")
        } else {
            writeln!(self.err, "leaving; the task {upid} still runs")
        }
    }

    async fn follow_to_end(&mut self, upid: &str, on_interrupt: OnInterrupt) -> Result<Followed, FollowError> {
        let mut next_line = 1;
        let mut was_over = false;
        let mut is_aborting = false;
        loop {
            let block = self.block(upid, next_line).await?;
            self.print(&block)?;
            next_line += block.lines.len() as u64;
            if next_line <= block.total {
                continue;
            }
            if !block.is_active {
                // The server looks at the log before it looks at the task: lines written in between show only now.
                if std::mem::replace(&mut was_over, true) {
                    break;
                }
                continue;
            }
            if on_interrupt == OnInterrupt::AbortTask && self.interrupts.has_reached(1) {
                if !std::mem::replace(&mut is_aborting, true) {
                    self.clear_progress()?;
                    writeln!(self.err, "asking the task to stop; press Ctrl-C again to leave it alone")?;
                }
                self.abort(upid).await?;
            }
            self.show_progress(upid).await?;
            let interrupts = self.interrupts.clone();
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = interrupts.reached(1), if !is_aborting => {}
            }
        }
        result(&self.status(upid).await?)
    }

    async fn block(&self, upid: &str, start: u64) -> Result<Block, FollowError> {
        let params = json!({ "start": start, "limit": BLOCK_LINES, "test-status": true });
        let reply = self.task_call(Method::GET, TASK_LOG_PATH, upid, params).await?;
        Block::from_reply(reply, start)
    }

    fn print(&mut self, block: &Block) -> Result<(), FollowError> {
        if block.lines.is_empty() {
            return Ok(());
        }
        self.clear_progress()?;
        for line in &block.lines {
            writeln!(self.out, "{}", without_stamp(line))?;
        }
        self.out.flush()?;
        Ok(())
    }

    async fn abort(&self, upid: &str) -> Result<(), FollowError> {
        self.task_call(Method::DELETE, TASK_PATH, upid, json!({})).await?;
        Ok(())
    }

    async fn status(&self, upid: &str) -> Result<Map<String, Value>, FollowError> {
        match self.task_call(Method::GET, TASK_STATUS_PATH, upid, json!({})).await?.data {
            Value::Object(status) => Ok(status),
            _ => Err(FollowError::BadLog { problem: "the task status is no object".to_owned() }),
        }
    }

    async fn task_call(&self, method: Method, path: &str, upid: &str, params: Value) -> Result<ApiReply, ApiFailure> {
        let mut params = if let Value::Object(params) = params { params } else { Map::new() };
        params.insert("node".to_owned(), Value::from(LOCAL_NODE));
        params.insert("upid".to_owned(), Value::from(upid));
        self.caller.call(ApiCall::new(method, path, params)).await
    }

    async fn show_progress(&mut self, upid: &str) -> io::Result<()> {
        if let Some((source, line)) = &mut self.progress
            && let Some(progress) = source.progress(upid).await
        {
            line.show(self.err, &progress)?;
        }
        Ok(())
    }

    fn clear_progress(&mut self) -> io::Result<()> {
        match &mut self.progress {
            Some((_, line)) => line.clear(self.err),
            None => Ok(()),
        }
    }
}

struct Block {
    lines: Vec<String>,
    total: u64,
    is_active: bool,
}

impl Block {
    fn from_reply(reply: ApiReply, start: u64) -> Result<Block, FollowError> {
        let bad = |problem: String| FollowError::BadLog { problem };
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let total =
            number(reply.attributes.get("total")).ok_or_else(|| bad("the number of lines is missing".to_owned()))?;
        let is_active = reply.attributes.get("active").and_then(Value::as_bool);
        let is_active = is_active.ok_or_else(|| bad("whether the task runs is missing".to_owned()))?;
        let Value::Array(rows) = reply.data else { return Err(bad("the lines are missing".to_owned())) };
        let mut lines = Vec::with_capacity(rows.len());
        for (row, expected) in rows.iter().zip(start..) {
            if number(row.get("n")) != Some(expected) {
                return Err(bad(format!("line {expected} is missing")));
            }
            let text =
                row.get("t").and_then(Value::as_str).ok_or_else(|| bad(format!("line {expected} has no text")))?;
            lines.push(text.to_owned());
        }
        let expected = (total + 1).saturating_sub(start).min(BLOCK_LINES);
        if (lines.len() as u64) < expected {
            return Err(bad(format!("{} lines instead of {expected} from line {start} on", lines.len())));
        }
        Ok(Block { lines, total, is_active })
    }
}

/// Returns a log line without its time stamp; lines that have none stay whole.
fn without_stamp(line: &str) -> &str {
    match line.as_bytes().get(STAMP_BYTES - 2..STAMP_BYTES) {
        Some(b": ") if STAMP_BYTES < line.len() => &line[STAMP_BYTES..],
        _ => line,
    }
}

/// Returns what the status object of a task that has ended says about its end.
fn result(status: &Map<String, Value>) -> Result<Followed, FollowError> {
    match status.get("exitstatus").and_then(Value::as_str) {
        None => Err(FollowError::NoStatus),
        Some(text) if text == "OK" || text.starts_with("WARNINGS") => Ok(Followed::TaskEnded),
        Some(text) => Err(FollowError::TaskFailed { status: text.to_owned() }),
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
