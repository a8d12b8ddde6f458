//! What is remembered about a job between its runs: one state file and one lock file per job.
//!
//! | file | content |
//! |---|---|
//! | `<type>-<name>.json` | one JSON value, no line break at the end, mode 0644, replaced atomically |
//! | `<type>-<name>.lck` | empty, mode 0660; locked (`flock`) for as long as the job runs |
//!
//! ```text
//! {"created":{"time":<epoch>}}
//! {"started":{"upid":"<UPID>"}}
//! {"finished":{"upid":"<UPID>","state":<state>,"updated":<epoch or null>}}
//! "unknown"
//! ```
//!
//! What was read is remembered as long as the file stays the same, so that a scheduler may look at a thousand jobs each
//! minute. All calls are blocking. Source: `docs/spec/schedules-and-tasks.md` 9.1, `docs/spec/sync.md` 15.

mod files;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod states;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_types::{Epoch, is_safe_id};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::states::{JobLock, JobStates};

/// Longest wait for the lock of a job that runs. Source: `docs/spec/schedules-and-tasks.md` 9.1.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Why a job's state could not be read, written or locked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobStateError {
    /// The job runs already.
    #[error("could not acquire lock of job '{job}', it is still running")]
    Locked {
        /// Type and name.
        job: String,
    },
    /// A file could not be read or written.
    #[error("failed to {action} job state {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The job ran, or was given another schedule, after its start was planned; or the clock was set back since then.
    #[error("the event that job '{job}' was to be started for no longer waits")]
    Overtaken {
        /// Type and name.
        job: String,
    },
    /// Type or name cannot be part of a file name.
    #[error("invalid job name")]
    Name,
}

/// A job by type and name, safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobKey {
    job_type: &'static str,
    /// Type and name: asked for with every look at a state.
    stem: String,
}

impl JobKey {
    /// Makes a key. `job_type`: for example `syncjob`; `name`: the job's id, or a datastore for garbage collection.
    ///
    /// # Errors
    /// One of them does not match `[A-Za-z0-9_][A-Za-z0-9._-]*` or is longer than 100 bytes.
    pub fn new(job_type: &'static str, name: &str) -> Result<Self, JobStateError> {
        let is_sound = |text: &str| is_safe_id(text) && text.len() <= 100;
        if !is_sound(job_type) || !is_sound(name) {
            return Err(JobStateError::Name);
        }
        Ok(Self { job_type, stem: format!("{job_type}-{name}") })
    }

    /// Returns the key of a sync job.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sync(id: &farhold_types::JobId) -> Result<Self, JobStateError> {
        Self::new("syncjob", id.as_str())
    }

    /// Returns the type, for example `syncjob`.
    pub const fn job_type(&self) -> &'static str {
        self.job_type
    }

    /// Returns the name: the job's id, or a datastore for garbage collection.
    pub fn name(&self) -> &str {
        self.stem.get(self.job_type.len() + 1..).unwrap_or_default()
    }

    /// Returns the name of the job's files, without extension: no path separator is in it.
    pub fn file_stem(&self) -> &str {
        &self.stem
    }
}

/// State of a job. The serde form is the content of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Never ran.
    Created {
        /// When it was created, or last given another schedule.
        time: Epoch,
    },
    /// A run has begun.
    Started {
        /// Its task.
        upid: Upid,
    },
    /// The last run has ended.
    Finished {
        /// Its task.
        upid: Upid,
        /// How it ended.
        state: RunState,
        /// When the job was given another schedule since then.
        updated: Option<Epoch>,
    },
    /// The file makes no sense.
    Unknown,
}

/// How a run ended. The serde form is the one of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Success.
    #[serde(rename = "OK")]
    Ok {
        /// When it ended.
        endtime: Epoch,
    },
    /// Success with warnings.
    Warning {
        /// How many.
        count: u64,
        /// When it ended.
        endtime: Epoch,
    },
    /// Failure.
    Error {
        /// The text of the result line.
        message: String,
        /// When it ended.
        endtime: Epoch,
    },
    /// The run left no result.
    Unknown {
        /// When it was last heard of.
        endtime: Epoch,
    },
}

impl RunState {
    /// Makes the state from a task's result.
    pub fn new(status: TaskStatus, endtime: Epoch) -> Self {
        match status {
            TaskStatus::Ok => Self::Ok { endtime },
            TaskStatus::Warnings(count) => Self::Warning { count, endtime },
            TaskStatus::Error(message) => Self::Error { message, endtime },
            TaskStatus::Unknown => Self::Unknown { endtime },
        }
    }

    /// Returns the task's result.
    pub fn status(&self) -> TaskStatus {
        match self {
            Self::Ok { .. } => TaskStatus::Ok,
            Self::Warning { count, .. } => TaskStatus::Warnings(*count),
            Self::Error { message, .. } => TaskStatus::Error(message.clone()),
            Self::Unknown { .. } => TaskStatus::Unknown,
        }
    }

    /// Returns when the run ended.
    pub const fn end_time(&self) -> Epoch {
        match self {
            Self::Ok { endtime }
            | Self::Warning { endtime, .. }
            | Self::Error { endtime, .. }
            | Self::Unknown { endtime } => *endtime,
        }
    }
}

/// The last run of a job as lists show it; serialises to their fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastRun {
    /// The task of the last or current run; absent if it never ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_upid: Option<String>,
    /// Result; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_state: Option<String>,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_endtime: Option<Epoch>,
}

impl JobState {
    /// Returns the fields that lists show about the last run.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 9.3.
    pub fn last_run(&self) -> LastRun {
        match self {
            Self::Created { .. } | Self::Unknown => LastRun::default(),
            Self::Started { upid } => LastRun { last_run_upid: Some(upid.to_string()), ..LastRun::default() },
            Self::Finished { upid, state, .. } => LastRun {
                last_run_upid: Some(upid.to_string()),
                last_run_state: Some(state.status().to_string()),
                last_run_endtime: Some(state.end_time()),
            },
        }
    }

    /// Returns from when on the next event of the schedule counts, for the scheduler: creation or last change of the
    /// schedule, else the start of the last or current run. `None` for an unknown state.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 9.2.
    pub fn schedule_reference(&self) -> Option<Epoch> {
        match self {
            Self::Created { time } => Some(*time),
            Self::Started { upid } => Some(upid.start_time()),
            Self::Finished { upid, updated, .. } => Some(updated.unwrap_or(upid.start_time())),
            Self::Unknown => None,
        }
    }
}

/// What the schedule of a job counts from: another one after each run that began and each change of the schedule. A
/// start that was planned on one basis is none on another.
#[derive(Debug, Clone, Default)]
pub struct ScheduleBasis(Option<Arc<JobState>>);

impl ScheduleBasis {
    /// Returns that of a job with this state; `None`: nothing is stored.
    pub fn of(state: Option<&Arc<JobState>>) -> Self {
        Self(state.cloned())
    }

    fn facts(&self) -> (Option<Epoch>, Option<&Upid>) {
        let upid = match self.0.as_deref() {
            Some(JobState::Started { upid } | JobState::Finished { upid, .. }) => Some(upid),
            _ => None,
        };
        (self.0.as_ref().and_then(|state| state.schedule_reference()), upid)
    }
}

impl PartialEq for ScheduleBasis {
    /// The end of a run changes nothing: what counts is when it began.
    fn eq(&self, other: &Self) -> bool {
        self.facts() == other.facts()
    }
}

impl Eq for ScheduleBasis {}

/// An event of a job's schedule that waits for its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    /// When it was.
    pub time: Epoch,
    /// What it was found with.
    pub basis: ScheduleBasis,
}
