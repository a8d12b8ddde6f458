//! Which tasks a list shows.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 8.

use std::str::FromStr;

use farhold_format::task_log::{TaskListEntry, TaskStatus};
use farhold_format::upid::Upid;
use farhold_types::{DatastoreName, Epoch, NameError};

/// Kind of result, for filters and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusKind {
    /// `ok`.
    Ok,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
    /// `unknown`.
    Unknown,
}

impl StatusKind {
    /// Returns the kind of a result.
    pub const fn of(status: &TaskStatus) -> Self {
        match status {
            TaskStatus::Ok => Self::Ok,
            TaskStatus::Warnings(_) => Self::Warning,
            TaskStatus::Error(_) => Self::Error,
            TaskStatus::Unknown => Self::Unknown,
        }
    }

    /// Returns the word for it where tasks are counted. Filters know `warnings` as `warning`.
    pub const fn counted_as(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warnings",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for StatusKind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "ok" => Ok(Self::Ok),
            "warning" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "unknown" => Ok(Self::Unknown),
            _ => Err(NameError::Form("value must be one of ok, warning, error, unknown")),
        }
    }
}

/// Parameters of a task list. The default shows the first 50 tasks of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilter {
    /// How many matching tasks to skip.
    pub start: u64,
    /// Most tasks to return; 0 = no limit.
    pub limit: u64,
    /// Only running tasks.
    pub only_running: bool,
    /// Without those that ended with OK.
    pub without_ok: bool,
    /// Text that the auth id contains.
    pub user_part: Option<String>,
    /// Text that the worker type contains.
    pub type_part: Option<String>,
    /// Only finished tasks with one of these results.
    pub statuses: Option<Vec<StatusKind>>,
    /// Earliest start time.
    pub since: Option<Epoch>,
    /// Latest start time.
    pub until: Option<Epoch>,
    /// Only tasks of this datastore.
    pub store: Option<DatastoreName>,
}

impl Default for TaskFilter {
    fn default() -> Self {
        Self {
            start: 0,
            limit: 50,
            only_running: false,
            without_ok: false,
            user_part: None,
            type_part: None,
            statuses: None,
            since: None,
            until: None,
            store: None,
        }
    }
}

impl TaskFilter {
    /// Returns whether the task is to be listed, paging aside.
    pub(crate) fn matches(&self, entry: &TaskListEntry) -> bool {
        let upid = &entry.upid;
        let status = entry.end.as_ref().map(|(_, status)| StatusKind::of(status));
        let contains = |part: &Option<String>, text: &str| part.as_ref().is_none_or(|part| text.contains(part));
        (!self.only_running || status.is_none())
            && !(self.without_ok && status == Some(StatusKind::Ok))
            && self.statuses.as_ref().is_none_or(|wanted| status.is_some_and(|status| wanted.contains(&status)))
            && self.since.is_none_or(|since| since <= upid.start_time())
            && self.until.is_none_or(|until| upid.start_time() <= until)
            && contains(&self.user_part, &upid.authid().to_string())
            && contains(&self.type_part, upid.worker_type())
            && self.store.as_ref().is_none_or(|store| is_of_store(upid, store.as_str()))
    }

    /// Returns whether no later entry of the archives can match: they are sorted by their end, newest first.
    pub(crate) fn ends_at(&self, entry: &TaskListEntry) -> bool {
        self.since.is_some_and(|since| entry.end.as_ref().is_some_and(|(end_time, _)| *end_time < since))
    }
}

fn is_of_store(upid: &Upid, store: &str) -> bool {
    let Some(id) = upid.worker_id() else {
        return false;
    };
    let is_store_or_below = || id.strip_prefix(store).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    match upid.worker_type() {
        "syncjob" => id.split(':').nth(2) == Some(store),
        "prune" | "prunejob" | "backup" | "garbage_collection" => is_store_or_below(),
        verify if verify.starts_with("verif") => is_store_or_below(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(worker: &str, user: &str, end: &str) -> TaskListEntry {
        format!("UPID:vm:00000001:00000002:00000003:6B035722:{worker}:{user}:{end}").parse().unwrap()
    }

    #[test]
    fn store_filters_look_at_the_place_that_the_worker_type_has_for_it() {
        let filter = TaskFilter { store: Some("tank".parse().unwrap()), ..TaskFilter::default() };
        for (worker, listed) in [
            (r"syncjob:r\x3atank\x3aother\x3a\x3ajob", false),
            (r"syncjob:r\x3aother\x3atank\x3a\x3ajob", true),
            (r"syncjob:tank", false),
            (r"verificationjob:tank\x3aweekly", true),
            (r"verify:tank", true),
            (r"verify_snapshot:tank2\x3a", false),
            (r"prunejob:tank", true),
            (r"prune:tank\x3aa", true),
            (r"prune:tanks", false),
            (r"backup:tank\x3avm-100", true),
            (r"garbage_collection:tank", true),
            (r"reader:tank\x3avm-100", false),
            (r"sync:tank", false),
            ("logrotate:", false),
        ] {
            assert_eq!(filter.matches(&entry(worker, "root@pam", "")), listed, "{worker}");
        }
    }

    #[test]
    fn results_and_texts_select() {
        let running = entry("sync:a", "sync@pbs!t1", "");
        let ok = entry("sync:a", "sync@pbs!t1", " 6B035723 OK");
        let failed = entry("sync:a", "sync@pbs!t1", " 6B035723 no");
        let listed = |filter: &TaskFilter| [&running, &ok, &failed].map(|entry| filter.matches(entry));
        let base = TaskFilter::default();
        assert_eq!(listed(&base), [true, true, true]);
        assert_eq!(listed(&TaskFilter { only_running: true, ..base.clone() }), [true, false, false]);
        assert_eq!(listed(&TaskFilter { without_ok: true, ..base.clone() }), [true, false, true]);
        let statuses = Some(vec![StatusKind::Ok, StatusKind::Unknown]);
        assert_eq!(listed(&TaskFilter { statuses, ..base.clone() }), [false, true, false]);
        assert_eq!(listed(&TaskFilter { user_part: Some("!t1".into()), ..base.clone() }), [true; 3]);
        assert_eq!(listed(&TaskFilter { user_part: Some("root".into()), ..base.clone() }), [false; 3]);
        assert_eq!(listed(&TaskFilter { type_part: Some("syn".into()), ..base.clone() }), [true; 3]);
        assert_eq!(listed(&TaskFilter { type_part: Some("verify".into()), ..base.clone() }), [false; 3]);
        let start = Epoch(0x6B03_5722);
        assert_eq!(listed(&TaskFilter { since: Some(start), until: Some(start), ..base.clone() }), [true; 3]);
        assert_eq!(listed(&TaskFilter { since: Some(Epoch(start.0 + 1)), ..base.clone() }), [false; 3]);
        assert_eq!(listed(&TaskFilter { until: Some(Epoch(start.0 - 1)), ..base }), [false; 3]);
        assert!("done".parse::<StatusKind>().is_err());
    }
}
