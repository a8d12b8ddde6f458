//! One run of a job and what its runs add up to, as one line of the job's file.
//!
//! | field | content |
//! |---|---|
//! | `upid`, `started`, `ended` | the task; seconds since the Unix epoch |
//! | `status` | how it ended, as in task lists |
//! | `figures` | what it did, as far as its kind of job counts that |
//! | `totals` | what all runs of the job up to this one add up to |
//!
//! Readers ignore fields that they do not know; a counter that is missing is 0 or not known.

use farhold_datastore::GcStatus;
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_sync::{ProgressSnapshot, SyncReport};
use farhold_types::Epoch;
use serde::{Deserialize, Serialize};

use crate::job_end::{JobEnded, RunDetails};

/// Longest error text that is kept, in bytes: enough to tell what happened; the task's log has the rest.
const MAX_STATUS_BYTES: usize = 1024;

/// What a run did, as far as its kind of job counts that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunFigures {
    /// Bytes that a sync moved over the network, or that a garbage collection freed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Snapshots that a sync transferred or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<u64>,
    /// Snapshots that a sync selected and that are not complete on the target after it: failed ones and those that it
    /// did not get to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// Snapshots, groups and namespaces that failed while the rest went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
    /// How often a sync waited for another side that could not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Bytes per second while chunks were moved; not known if none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<u64>,
}

impl RunFigures {
    /// Returns the figures of a sync that came to its end, well or not.
    pub fn of_sync(report: &SyncReport) -> Self {
        let milliseconds = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX);
        Self {
            bytes: Some(report.moved_bytes),
            snapshots: Some(count(report.changed_snapshots)),
            behind: Some(count(report.behind)),
            failures: Some(count(report.failures.count)),
            retries: Some(report.retries),
            rate_bytes_per_s: report.bytes.saturating_mul(1000).checked_div(milliseconds).filter(|_| 0 < report.bytes),
        }
    }

    /// Returns the figures of a sync that was cut off: what was seen of it until then. How many snapshots are behind is
    /// not known if no group came to its end.
    pub fn of_progress(progress: &ProgressSnapshot) -> Self {
        Self {
            bytes: Some(progress.bytes_received),
            snapshots: None,
            behind: (0 < progress.groups_done).then_some(count(progress.behind)),
            failures: Some(count(progress.failures)),
            retries: Some(progress.retries),
            rate_bytes_per_s: None,
        }
    }

    /// Returns the figures of a garbage collection.
    pub fn of_gc(status: &GcStatus) -> Self {
        Self { bytes: Some(status.removed_bytes), ..Self::default() }
    }

    /// Returns the figures of a verification. `failed`: snapshots and groups that did.
    pub fn of_verify(failed: usize) -> Self {
        Self { failures: Some(count(failed)), ..Self::default() }
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobRun {
    /// Its task.
    pub upid: Upid,
    /// When it began.
    pub started: Epoch,
    /// When it ended.
    pub ended: Epoch,
    /// How it ended, with a shortened error text.
    #[serde(with = "status_text")]
    pub status: TaskStatus,
    /// What it did.
    #[serde(default)]
    pub figures: RunFigures,
}

impl JobRun {
    /// Returns what is kept of a run.
    pub fn of(ended: &JobEnded) -> Self {
        let figures = match &ended.details {
            RunDetails::Sync(Some(report)) => RunFigures::of_sync(report),
            RunDetails::Gc(Some(status)) => RunFigures::of_gc(status),
            RunDetails::Verify(findings) => RunFigures::of_verify(findings.failed.len()),
            RunDetails::Sync(None) => ended.progress.as_ref().map(RunFigures::of_progress).unwrap_or_default(),
            RunDetails::Gc(None) | RunDetails::Prune => RunFigures::default(),
        };
        Self::new(&ended.upid, ended.ended, &ended.status, figures)
    }

    /// Returns the run of a task that has ended.
    pub fn new(upid: &Upid, ended: Epoch, status: &TaskStatus, figures: RunFigures) -> Self {
        let status = match status.first_line() {
            TaskStatus::Error(mut text) => {
                text.truncate(text.floor_char_boundary(MAX_STATUS_BYTES));
                TaskStatus::Error(text)
            }
            status => status,
        };
        Self { upid: upid.clone(), started: upid.start_time(), ended, status, figures }
    }

    /// Returns whether the job did what it is for: warnings count as success.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, TaskStatus::Ok | TaskStatus::Warnings(_))
    }

    /// Returns how long it took in seconds; 0 if the clock was set back meanwhile.
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.ended.seconds_since(self.started)).unwrap_or(0)
    }
}

/// What the runs of a job add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct JobTotals {
    /// Runs that ended.
    pub runs: u64,
    /// Runs that failed or left no result.
    pub failures: u64,
    /// Runs that failed since the last success.
    pub failures_in_row: u64,
    /// When the last successful run ended.
    pub last_success: Option<Epoch>,
    /// How often runs waited for another side.
    pub retries: u64,
    /// Bytes of all runs.
    pub bytes: u64,
    /// Snapshots of all runs.
    pub snapshots: u64,
    /// Snapshots behind after the last run that could tell.
    pub behind: Option<u64>,
    /// Rate of the last run that moved chunks.
    pub rate_bytes_per_s: Option<u64>,
}

impl JobTotals {
    /// Returns the totals with one more run.
    pub fn with(self, run: &JobRun) -> Self {
        let figures = &run.figures;
        let is_success = run.is_success();
        let plus = |total: u64, figure: Option<u64>| total.saturating_add(figure.unwrap_or(0));
        Self {
            runs: self.runs.saturating_add(1),
            failures: self.failures.saturating_add(u64::from(!is_success)),
            failures_in_row: if is_success { 0 } else { self.failures_in_row.saturating_add(1) },
            last_success: if is_success { Some(run.ended) } else { self.last_success },
            retries: plus(self.retries, figures.retries),
            bytes: plus(self.bytes, figures.bytes),
            snapshots: plus(self.snapshots, figures.snapshots),
            behind: figures.behind.or(self.behind),
            rate_bytes_per_s: figures.rate_bytes_per_s.or(self.rate_bytes_per_s),
        }
    }
}

/// The latest run of a job and what all add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The latest run.
    #[serde(flatten)]
    pub last: JobRun,
    /// What all runs up to it add up to.
    #[serde(default)]
    pub totals: JobTotals,
}

mod status_text {
    use serde::de::Error as _;

    use super::{Deserialize, TaskStatus};

    pub(super) fn serialize<S: serde::Serializer>(status: &TaskStatus, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(status)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TaskStatus, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
