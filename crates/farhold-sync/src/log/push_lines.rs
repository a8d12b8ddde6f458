//! The words of a push where they are not those of a pull.
//!
//! The reference tells most failures of a push in two lines: the cause, and what it means. Ours do so too, since whoever
//! reads logs by machine looks for the second one.
//!
//! Source: `docs/spec/sync.md` 14; recordings `push-*.log` in `tests/golden/task-logs/`.

use farhold_rules::removal_plan::NamespaceKeep;
use farhold_types::{DatastoreName, Group, Namespace, format_bytes};

use crate::event::GroupEvent;
use crate::log::lines::{LogLevel, LogLine, rate, skip_text};
use crate::removal::event::{GroupStep, KeptBecause, NamespaceStep, RemovalEvent};

fn warning(text: String) -> LogLine {
    LogLine { level: LogLevel::Warning, text }
}

/// The cause of a failure, and what it means.
fn failure(what: &str, error: &str, meaning: String) -> Vec<LogLine> {
    let level = LogLevel::Error;
    vec![LogLine { level, text: format!("{what}: {error}") }, LogLine { level, text: meaning }]
}

/// Returns the line about a namespace that was created on the target.
pub(crate) fn namespace_created(ns: &Namespace) -> String {
    format!("Successfully created new namespace {ns} on remote")
}

/// Returns the lines about a namespace that could not be pushed. `pair`: both sides as lines name them.
pub(crate) fn namespace_failed(pair: &str, error: &str) -> Vec<LogLine> {
    failure("Encountered error", error, format!("Failed to sync {pair}!"))
}

/// Returns the lines about a group, or nothing where they are those of a pull.
pub(crate) fn of_group(group: &Group, event: &GroupEvent) -> Option<Vec<LogLine>> {
    let lines = match event {
        GroupEvent::NotOwned { account } => {
            vec![warning(format!("Group '{group}' not owned by remote user '{account}' on target, skipping upload"))]
        }
        GroupEvent::NothingToPush => {
            vec![LogLine::info(format!("Group '{group}' contains no snapshots to sync to remote"))]
        }
        GroupEvent::Skipped(class) => vec![LogLine::info(skip_text(class))],
        GroupEvent::EncryptOnPush(snapshot) => {
            vec![LogLine::info(format!("Encrypt source snapshot '{snapshot}' on the fly while pushing to remote"))]
        }
        GroupEvent::AlreadyEncrypted(snapshot) => vec![LogLine::info(format!(
            "Snapshot '{snapshot}' already encrypted with client key, not re-encrypting with configured active \
             encryption key"
        ))],
        GroupEvent::MixedSkipped(snapshot) => vec![warning(format!(
            "Encountered partially encrypted snapshot '{snapshot}', refuse to re-encrypt and skip"
        ))],
        GroupEvent::NoPreviousManifest { time, error } => {
            vec![LogLine::info(format!("{time}: Could not download previous manifest - {error}"))]
        }
        GroupEvent::UnfinishedRemoved(time) => {
            vec![LogLine::info(format!("{time}: removed an unfinished snapshot of that time from remote"))]
        }
        GroupEvent::NeverPushed(time) => vec![warning(format!(
            "{time}: could not be pushed when it was its turn, and remote has a newer snapshot by now, so it never will be"
        ))],
        GroupEvent::NotesPushed(time) => vec![LogLine::info(format!("{time}: changed the notes on remote"))],
        GroupEvent::LogPushed(time) => vec![LogLine::info(format!("{time}: added the client log on remote"))],
        GroupEvent::ArchiveStarted { time, archive } => vec![LogLine::info(format!("{time}: sync archive {archive}"))],
        GroupEvent::IndexDone { time, archive, bytes, elapsed } => {
            let (amount, rate) = (format_bytes(*bytes), rate(*bytes, *elapsed));
            vec![LogLine::info(format!("{time}/{archive}: uploaded {amount} ({rate}/s)"))]
        }
        GroupEvent::VanishedRemoved(time) => {
            vec![LogLine::info(format!("Removed vanished snapshot {group}/{time} from remote"))]
        }
        GroupEvent::KeptProtected(time) => {
            vec![LogLine::info(format!("Kept protected snapshot {group}/{time} on remote"))]
        }
        GroupEvent::VanishedStays { time, error } => failure(
            "Encountered errors",
            error,
            format!("Failed to remove vanished snapshot {group}/{time} from remote!"),
        ),
        GroupEvent::SnapshotFailed { error, time } => {
            failure("Encountered errors", error, format!("Failed to push snapshot {group}/{time} to remote!"))
        }
        GroupEvent::Failed(error) => {
            failure("Encountered errors", error, format!("Failed to push group {group} to remote!"))
        }
        _ => return None,
    };
    let prefixed = |line: LogLine| LogLine { text: format!("[{group}]: {}", line.text), ..line };
    Some(lines.into_iter().map(prefixed).collect())
}

/// Returns the lines about what vanished from the source.
pub(crate) fn of_removal(event: &RemovalEvent, target_store: &DatastoreName) -> Vec<LogLine> {
    match event {
        RemovalEvent::Group { index, ns, group, step } => {
            let name = if index.is_some() || ns.is_root() { group.to_string() } else { format!("{ns}/{group}") };
            match step {
                GroupStep::Removed => vec![LogLine::info(format!("Removed vanished group {name} from remote"))],
                GroupStep::KeptSome(count) => {
                    vec![warning(format!("Kept {count} protected snapshots of group {name} on remote"))]
                }
                GroupStep::Failed(error) => {
                    failure("Encountered errors", error, format!("Failed to remove vanished group {name} from remote!"))
                }
                _ => event.lines(target_store),
            }
        }
        RemovalEvent::Namespace { ns, step } => match step {
            NamespaceStep::Removed => {
                vec![LogLine::info(format!("Successfully removed vanished namespace {ns} from remote"))]
            }
            NamespaceStep::Kept(KeptBecause::Planned(NamespaceKeep::NotAllowed)) => Vec::new(),
            NamespaceStep::Denied(error) | NamespaceStep::Failed(error) => {
                failure("Encountered errors", error, format!("Failed to remove vanished namespace {ns} from remote!"))
            }
            NamespaceStep::Kept(_) | NamespaceStep::Removing => event.lines(target_store),
        },
        RemovalEvent::Skipped { .. } | RemovalEvent::Failed { .. } => event.lines(target_store),
    }
}
