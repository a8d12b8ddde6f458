//! Turns the events of a run into the lines of a task log, in the reference's shapes and order.
//!
//! With several workers, namespaces overlap and groups finish in any order. Lines of a group are kept together in small
//! packets, and lines of a later namespace wait until the ones before are finished, so that a log reads like one of the
//! reference, where namespaces never overlap. Both waits are bounded.
//!
//! Source: `docs/spec/sync.md` 13 and 14; recordings in `tests/golden/task-logs/`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{SkipClass, SkipReason};
use farhold_types::{DatastoreName, Epoch, Group, Namespace, RemoteName, SyncDirection, format_bytes};

use crate::event::{GroupEvent, KeyName, NamespaceIndex, StartState, SyncEvent};
use crate::log::buffer::GroupBuffers;
use crate::log::push_lines;
use crate::outcome::SyncReport;
use crate::removal::event::{removed_summary, removing_snapshot};

/// Lines of later namespaces that are kept back before order gives way to memory.
const MAX_HELD_LINES: usize = 4096;

/// Failed connections that are told one by one. A line that breaks every few MiB would fill a log with nothing else.
const MAX_RETRY_LINES: u64 = 100;

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// As expected.
    Info,
    /// The task ends with warnings.
    Warning,
    /// Something failed; the run's result says so too.
    Error,
}

/// One line of a task log, without time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How serious it is.
    pub level: LogLevel,
    /// The text.
    pub text: String,
}

impl LogLine {
    pub(crate) fn info(text: String) -> Self {
        Self { level: LogLevel::Info, text }
    }
}

/// Where data comes from and goes to, as the log names it.
#[derive(Debug, Clone)]
pub struct LogNames {
    /// Which side the remote is on.
    pub direction: SyncDirection,
    /// The remote, none for a local sync.
    pub remote: Option<RemoteName>,
    /// Datastore on the source.
    pub source_store: DatastoreName,
    /// Datastore on the target.
    pub target_store: DatastoreName,
}

impl LogNames {
    /// Returns the first lines of a job's log. The line of a schedule goes between them.
    pub fn opening(&self, worker_id: &str) -> [String; 2] {
        let remote = self.remote.as_ref().map(|r| format!("{r}/")).unwrap_or_default();
        let ends = match self.direction {
            SyncDirection::Pull => {
                format!("sync datastore '{}' from '{remote}{}'", self.target_store, self.source_store)
            }
            SyncDirection::Push => format!("sync datastore '{}' to '{remote}{}'", self.source_store, self.target_store),
        };
        [format!("Starting datastore sync job '{worker_id}'"), ends]
    }

    /// Returns the last lines of the log of a job that did not fail: what it did, what it removed, and the end.
    pub fn ending(&self, worker_id: &str, report: &SyncReport) -> Vec<String> {
        let mut lines = vec![summary(self.direction, report)];
        lines.extend(removed_summary(self.direction, report));
        lines.push(closing(worker_id));
        lines
    }

    fn pair(&self, pair: &NamespacePair) -> String {
        format!(
            "datastore '{}', {} into datastore '{}', {}",
            self.source_store,
            pair.source.log_name(),
            self.target_store,
            pair.target.log_name()
        )
    }
}

/// Returns the summary line of a run that did not fail.
///
/// A push counts what it is about, blobs and manifests included, so that one without any chunk has data, too.
pub fn summary(direction: SyncDirection, report: &SyncReport) -> String {
    let (verb, done, has_data) = match direction {
        SyncDirection::Pull => ("pull", "pulled", 0 < report.chunks),
        SyncDirection::Push => ("push", "pushed", 0 < report.bytes),
    };
    let chunks = if !has_data {
        format!("Summary: sync job found no new data to {verb}")
    } else {
        format!(
            "Summary: sync job {done} {} in {} chunks (average rate: {}/s)",
            format_bytes(report.bytes),
            report.chunks,
            rate(report.bytes, report.elapsed)
        )
    };
    if report.changed_snapshots == 0 {
        return chunks;
    }
    // Behind what the reference says, so that whoever looks for its words finds them.
    let (snapshots, files, bytes) = (report.changed_snapshots, report.files, format_bytes(report.file_bytes));
    format!("{chunks}, {snapshots} snapshot(s) changed, {bytes} in {files} other file(s)")
}

/// Returns the last line of a job that did not fail.
pub fn closing(worker_id: &str) -> String {
    format!("sync job '{worker_id}' end")
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
pub(crate) fn rate(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    format_bytes(if seconds <= 0.0 { 0 } else { (bytes as f64 / seconds) as u64 })
}

/// `namespace a/b`, without the quotes that other lines have.
fn bare_name(ns: &Namespace) -> String {
    if ns.is_root() { "root namespace".to_owned() } else { format!("namespace {ns}") }
}

/// Returns the percentage and the parenthesis behind it. Source: `docs/spec/sync.md` 14.2.
#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn percentage(groups_done: usize, groups: usize, done: usize, taken: usize) -> String {
    let total = groups.max(1) as f64;
    let mut share = groups_done as f64 / total;
    if 0 < taken {
        share += done as f64 / (taken as f64 * total);
    }
    let detail = if taken == 0 {
        format!("{groups_done}/{groups} groups")
    } else if groups == 1 {
        format!("{done}/{taken} snapshots")
    } else if done == taken {
        format!("{}/{groups} groups", groups_done + 1)
    } else {
        format!("{groups_done}/{groups} groups, {done}/{taken} snapshots in group #{}", groups_done + 1)
    };
    format!("percentage done: {:.2}% ({detail})", share * 100.0)
}

/// Renders events; feed it every event of a run in order.
#[derive(Debug)]
pub struct LogRenderer {
    names: LogNames,
    is_parallel: bool,
    groups: GroupBuffers,
    current: NamespaceIndex,
    held: BTreeMap<NamespaceIndex, VecDeque<LogLine>>,
    held_lines: usize,
    finished: Vec<bool>,
    retries: u64,
}

impl LogRenderer {
    /// Returns a renderer for a run with this many workers.
    pub fn new(names: LogNames, worker_threads: usize) -> Self {
        Self {
            names,
            is_parallel: 1 < worker_threads,
            groups: GroupBuffers::default(),
            current: 0,
            held: BTreeMap::new(),
            held_lines: 0,
            finished: Vec::new(),
            retries: 0,
        }
    }

    /// Returns the lines that are to be written after `event`, in order.
    pub fn render(&mut self, event: &SyncEvent) -> Vec<LogLine> {
        let mut out = Vec::new();
        match event {
            SyncEvent::CompatibilityMode => {
                for text in [
                    "Could not query remote for namespaces (404) -> temporarily switching to backwards-compat mode",
                    "Either make backwards-compat mode explicit (max-depth == 0) or upgrade remote system.",
                ] {
                    out.push(LogLine { level: LogLevel::Warning, text: text.to_owned() });
                }
            }
            SyncEvent::ScopeFound { .. } => {}
            SyncEvent::NoDeletionStatistics => out.push(LogLine::info(
                "Older api version on remote detected, deletion statistics might be incomplete".to_owned(),
            )),
            SyncEvent::KeyLoaded(KeyName { id, fingerprint }) => out.push(LogLine::info(format!(
                "Loaded encryption key '{id}' with fingerprint '{}'",
                fingerprint.short()
            ))),
            SyncEvent::UnreadableItem { index, group, item } => {
                let prefix = group.as_ref().map(|g| format!("[{g}]: ")).unwrap_or_default();
                let text = format!("{prefix}left out, because the source listed it in a wrong form: {item}");
                self.put(index.unwrap_or(0), [LogLine { level: LogLevel::Warning, text }], &mut out);
            }
            SyncEvent::Retry { attempt, pause, error } => {
                self.retries += 1;
                if self.retries <= MAX_RETRY_LINES || self.retries.is_multiple_of(MAX_RETRY_LINES) {
                    let (next, seconds) = (attempt + 1, pause.as_secs_f64());
                    let end = match self.names.direction {
                        SyncDirection::Pull => "source",
                        SyncDirection::Push => "target",
                    };
                    let text = format!("connection to the {end} failed, attempt {next} in {seconds:.1} s - {error}");
                    out.push(LogLine::info(text));
                }
                if self.retries == MAX_RETRY_LINES {
                    let text = format!("from now on only one of {MAX_RETRY_LINES} failed connections is told");
                    out.push(LogLine::info(text));
                }
            }
            SyncEvent::NamespaceStarted { index, pair } => {
                let lines = ["----".to_owned(), format!("Syncing {}", self.names.pair(pair))];
                self.put(*index, lines.map(LogLine::info), &mut out);
            }
            SyncEvent::NamespaceCreated { index, pair } => {
                let text = match self.names.direction {
                    SyncDirection::Pull => format!("Created namespace {}", pair.target),
                    SyncDirection::Push => push_lines::namespace_created(&pair.target),
                };
                self.put(*index, [LogLine::info(text)], &mut out);
            }
            SyncEvent::NamespaceFailed { index, pair, error, .. } if self.names.direction == SyncDirection::Push => {
                self.put(*index, push_lines::namespace_failed(&self.names.pair(pair), error), &mut out);
                self.finish(*index, &mut out);
            }
            SyncEvent::NamespaceFailed { index, pair, is_listing, error } => {
                let text = if *is_listing {
                    format!("Encountered errors while syncing {} - {error}", bare_name(&pair.source))
                } else {
                    format!("Cannot sync {} - {error}", self.names.pair(pair))
                };
                self.put(*index, [LogLine { level: LogLevel::Error, text }], &mut out);
                self.finish(*index, &mut out);
            }
            SyncEvent::GroupsFound { index, selected, total } => {
                let text = format!("Found {selected} groups to sync (out of {total} total)");
                self.put(*index, [LogLine::info(text)], &mut out);
            }
            SyncEvent::NamespaceFinished { index, pair, groups, snapshots, is_reported } => {
                if *is_reported {
                    let text = format!(
                        "Finished syncing {}, current progress: {groups} groups, {snapshots} snapshots",
                        bare_name(&pair.source)
                    );
                    self.put(*index, [LogLine::info(text)], &mut out);
                }
                self.finish(*index, &mut out);
            }
            SyncEvent::Removal(event) => {
                let lines = match self.names.direction {
                    SyncDirection::Pull => event.lines(&self.names.target_store),
                    SyncDirection::Push => push_lines::of_removal(event, &self.names.target_store),
                };
                self.put(event.index().unwrap_or(0), lines, &mut out);
            }
            SyncEvent::Group { index, group, event } => self.group(*index, group, event, &mut out),
        }
        out
    }

    /// Returns the lines that are to be written because nothing happened for a while, in order. Call it a few times a
    /// second when there are several workers. `now`: time since any fixed moment.
    pub fn tick(&mut self, now: Duration) -> Vec<LogLine> {
        let mut out = Vec::new();
        for (index, lines) in self.groups.tick(now) {
            self.put(index, lines, &mut out);
        }
        out
    }

    /// Returns everything that is still kept back, for a run that was cancelled or crashed.
    pub fn flush(&mut self) -> Vec<LogLine> {
        let mut out = Vec::new();
        for lines in std::mem::take(&mut self.held).into_values() {
            out.extend(lines);
        }
        out.extend(self.groups.take_all());
        self.held_lines = 0;
        out
    }

    fn group(&mut self, index: NamespaceIndex, group: &Group, event: &GroupEvent, out: &mut Vec<LogLine>) {
        let is_end = matches!(event, GroupEvent::Finished { .. });
        let place = match event {
            GroupEvent::RemovingVanished { location, .. } => removing_snapshot(location.as_deref()),
            _ => None,
        };
        let lines: Vec<LogLine> = match self.names.direction {
            SyncDirection::Push => push_lines::of_group(group, event),
            SyncDirection::Pull => None,
        }
        .unwrap_or_else(|| self.group_text(group, event).into_iter().collect());
        let line = lines.into_iter().chain(place);
        if !self.is_parallel {
            self.put(index, line, out);
            return;
        }
        let lines = self.groups.push((index, group.clone()), line, is_end);
        self.put(index, lines, out);
    }

    fn group_text(&self, group: &Group, event: &GroupEvent) -> Option<LogLine> {
        let mut level = LogLevel::Info;
        let text = match event {
            GroupEvent::MoreInProgress(count) => {
                format!("skipping {count} more snapshot(s) of {group} - in-progress backups")
            }
            GroupEvent::InProgress(time) => format!("skipping snapshot {group}/{time} - in-progress backup"),
            GroupEvent::Skipped(class) => format!("{group}: {}", skip_text(class)),
            GroupEvent::Warning(text) => {
                level = LogLevel::Warning;
                text.clone()
            }
            GroupEvent::SnapshotStarted { time, state: StartState::New } => format!("{time}: start sync"),
            GroupEvent::SnapshotStarted { time, state: StartState::Existing } => format!("re-sync snapshot {time}"),
            GroupEvent::SnapshotStarted { time, state: StartState::Corrupt } => {
                format!("re-sync snapshot {time} due to corruption")
            }
            GroupEvent::KeyMatches(KeyName { id, fingerprint }) => {
                format!("Found matching key '{id}' with fingerprint {}, decrypt on pull", fingerprint.short())
            }
            GroupEvent::NoKeyMatches(time) => format!("{time}: No matching key found, sync without decryption"),
            GroupEvent::NotFullyEncrypted(KeyName { id, fingerprint }) => {
                level = LogLevel::Warning;
                let short = fingerprint.short();
                format!("Snapshot not fully encrypted, sync as is despite matching key '{id}' with fingerprint {short}")
            }
            GroupEvent::ArchiveMismatch { time, archive } => {
                format!(
                    "{time}: detected changed file \"{archive}\" - it does not match the manifest, fetching it again"
                )
            }
            GroupEvent::ChunksChecked { bad: 0, .. } => return None,
            GroupEvent::ChunksChecked { archive, checked, bad } => {
                format!("{archive}: {bad} of {checked} chunks are damaged or missing, fetching them again")
            }
            GroupEvent::LeftoverRemoved(time) => format!("{time}: removed, unfinished and not on the source any more"),
            GroupEvent::ArchiveStarted { time, archive } => format!("{time}/{archive}: sync archive"),
            GroupEvent::IndexDone { time, archive, bytes, elapsed } => {
                format!("{time}/{archive}: downloaded {} ({}/s)", format_bytes(*bytes), rate(*bytes, *elapsed))
            }
            GroupEvent::LogFetched(time) => {
                format!("Snapshot {group}/{time}: got backup log file {}", farhold_types::CLIENT_LOG_NAME)
            }
            GroupEvent::NoDataChanges(time) => format!("{time}: no data changes"),
            GroupEvent::VanishedOnSource(time) => format!("{time}: skipped because vanished since start of sync"),
            GroupEvent::RemovingVanished { time, .. } => format!("delete vanished snapshot {group}/{time}"),
            GroupEvent::KeptProtected(time) => {
                format!("{group}: don't delete vanished snapshot {group}/{time} (protected)")
            }
            GroupEvent::FilteredOut(time) => format!("{time}: skipped because it does not pass the filters any more"),
            GroupEvent::SnapshotDone(time) => format!("{time}: sync done"),
            GroupEvent::SnapshotProgress { done, taken, groups_done, groups } if self.is_parallel => {
                format!("snapshot {done}/{taken} within {group} is done, {groups_done}/{groups} groups done")
            }
            GroupEvent::SnapshotProgress { done, taken, groups_done, groups } => {
                percentage(*groups_done, *groups, *done, *taken)
            }
            GroupEvent::SnapshotFailed { error, .. } | GroupEvent::Failed(error) => {
                level = LogLevel::Error;
                format!("sync group {group} failed - {error}")
            }
            GroupEvent::Finished { has_progress: true, groups_done, groups, .. } if self.is_parallel => {
                format!("group sync done: {}", percentage(*groups_done, *groups, 0, 0))
            }
            // Told by `push_lines`; a pull has nothing of the kind.
            GroupEvent::NotOwned { .. }
            | GroupEvent::NothingToPush
            | GroupEvent::EncryptOnPush(_)
            | GroupEvent::AlreadyEncrypted(_)
            | GroupEvent::MixedSkipped(_)
            | GroupEvent::NoPreviousManifest { .. }
            | GroupEvent::UnfinishedRemoved(_)
            | GroupEvent::NeverPushed(_)
            | GroupEvent::NotesPushed(_)
            | GroupEvent::LogPushed(_)
            | GroupEvent::VanishedRemoved(_)
            | GroupEvent::VanishedStays { .. } => return None,
            GroupEvent::Finished { .. }
            | GroupEvent::Planned { .. }
            | GroupEvent::ArchivePlanned { .. }
            | GroupEvent::ChunkStored { .. } => {
                return None;
            }
        };
        Some(LogLine { level, text: format!("[{group}]: {text}") })
    }

    fn put(&mut self, index: NamespaceIndex, lines: impl IntoIterator<Item = LogLine>, out: &mut Vec<LogLine>) {
        if index <= self.current {
            out.extend(lines);
            return;
        }
        let held = self.held.entry(index).or_default();
        let before = held.len();
        held.extend(lines);
        self.held_lines += held.len() - before;
        if MAX_HELD_LINES < self.held_lines {
            for lines in self.held.values_mut() {
                out.extend(lines.drain(..));
            }
            self.held_lines = 0;
        }
    }

    fn finish(&mut self, index: NamespaceIndex, out: &mut Vec<LogLine>) {
        if self.finished.len() <= index {
            self.finished.resize(index + 1, false);
        }
        self.finished[index] = true;
        while self.finished.get(self.current).copied().unwrap_or(false) {
            self.current += 1;
            let lines = self.held.remove(&self.current).unwrap_or_default();
            self.held_lines -= lines.len();
            out.extend(lines);
        }
    }
}

pub(crate) fn skip_text(class: &SkipClass) -> String {
    let range = |from: Epoch, to: Epoch| if from == to { from.to_string() } else { format!("{from} .. {to}") };
    let reason = match class.reason {
        SkipReason::TransferLast => "due to transfer-last",
        _ => "older than the newest snapshot present on sync target",
    };
    format!("skipped: {} snapshot(s) ({}) - {reason}", class.count, range(class.oldest, class.newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::RemovedCounts;

    #[test]
    fn failed_connections_do_not_fill_the_log() {
        let store = |s: &str| s.parse::<DatastoreName>().unwrap();
        let direction = SyncDirection::Pull;
        let names = LogNames { direction, remote: None, source_store: store("src"), target_store: store("dst") };
        let mut renderer = LogRenderer::new(names, 1);
        let event = SyncEvent::Retry { attempt: 1, pause: Duration::from_millis(64), error: "reset".to_owned() };
        let lines: Vec<_> = (0..1000).flat_map(|_| renderer.render(&event)).collect();
        assert_eq!(lines[0].text, "connection to the source failed, attempt 2 in 0.1 s - reset");
        assert_eq!(lines.len(), 100 + 1 + 9);
    }

    #[test]
    fn percentages_have_the_documented_forms() {
        for ((d, groups, s, taken), expected) in [
            ((0, 10, 1, 1), "percentage done: 10.00% (1/10 groups)"),
            ((6, 10, 1, 2), "percentage done: 65.00% (6/10 groups, 1/2 snapshots in group #7)"),
            ((0, 1, 1, 2), "percentage done: 50.00% (1/2 snapshots)"),
            ((0, 1, 2, 2), "percentage done: 100.00% (2/2 snapshots)"),
            ((1, 8, 0, 0), "percentage done: 12.50% (1/8 groups)"),
        ] {
            assert_eq!(percentage(d, groups, s, taken), expected);
        }
    }

    #[test]
    fn lines_of_a_later_namespace_wait_for_the_earlier_one() {
        let store = |s: &str| s.parse::<DatastoreName>().unwrap();
        let direction = SyncDirection::Pull;
        let names = LogNames { direction, remote: None, source_store: store("src"), target_store: store("dst") };
        let mut renderer = LogRenderer::new(names, 4);
        let pair = |ns: &str| NamespacePair { source: ns.parse().unwrap(), target: ns.parse().unwrap() };
        let finished =
            |index, pair| SyncEvent::NamespaceFinished { index, pair, groups: 0, snapshots: 0, is_reported: true };
        assert_eq!(renderer.render(&SyncEvent::NamespaceStarted { index: 0, pair: pair("") }).len(), 2);
        assert_eq!(renderer.render(&SyncEvent::NamespaceStarted { index: 1, pair: pair("a") }).len(), 0);
        assert_eq!(renderer.render(&finished(1, pair("a"))).len(), 0);
        let lines = renderer.render(&finished(0, pair("")));
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Finished syncing root namespace, current progress: 0 groups, 0 snapshots",
                "----",
                "Syncing datastore 'src', namespace 'a' into datastore 'dst', namespace 'a'",
                "Finished syncing namespace a, current progress: 0 groups, 0 snapshots",
            ]
        );
    }

    #[test]
    fn a_push_names_its_ends_and_its_result_in_its_own_words() {
        let store = |name: &str| name.parse().unwrap();
        let (direction, remote) = (SyncDirection::Push, Some("rwan".parse().unwrap()));
        let names = LogNames { direction, remote, source_store: store("dst"), target_store: store("src2") };
        assert_eq!(names.opening("w")[1], "sync datastore 'dst' to 'rwan/src2'");
        let mut report = SyncReport { removed: Some(RemovedCounts::default()), ..SyncReport::default() };
        let nothing = ["Summary: sync job found no new data to push", "sync job 'w' end"];
        assert_eq!(names.ending("w", &report), nothing);
        report.bytes = 617;
        report.elapsed = Duration::from_secs(1);
        report.removed = Some(RemovedCounts { snapshots: 3, groups: 0, namespaces: 4 });
        let something = [
            "Summary: sync job pushed 617 B in 0 chunks (average rate: 617 B/s)",
            "Summary: removed vanished: snapshots: 3, groups: 0, namespaces: 4",
            "sync job 'w' end",
        ];
        assert_eq!(names.ending("w", &report), something);
    }
}
