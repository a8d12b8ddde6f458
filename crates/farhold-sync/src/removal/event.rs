//! What a run tells about things that vanished from the source, beyond single snapshots of a group, and its log lines.
//!
//! Source: `docs/spec/sync.md` 8, 14.1 steps 9, 11 and 13; recordings `pull-remove-vanished*.log`.

use farhold_rules::removal_plan::{GroupKeep, NamespaceKeep};
use farhold_types::{DatastoreName, Epoch, Group, Namespace, SyncDirection};

use crate::event::NamespaceIndex;
use crate::log::lines::{LogLevel, LogLine};
use crate::outcome::{RemovedCounts, SyncReport};

/// One thing that happened to something vanished, or why nothing happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RemovalEvent {
    /// A vanished group is dealt with.
    Group {
        /// The synced namespace in whose turn it is; none for a group of a namespace that vanished itself.
        index: Option<NamespaceIndex>,
        /// Namespace on the target.
        ns: Namespace,
        /// The group.
        group: Group,
        /// What happens.
        step: GroupStep,
    },
    /// A vanished namespace is dealt with.
    Namespace {
        /// Namespace on the target.
        ns: Namespace,
        /// What happens.
        step: NamespaceStep,
    },
    /// Vanished groups of a namespace, or vanished namespaces, are left alone.
    Skipped {
        /// The synced namespace, for its groups; none for namespaces.
        index: Option<NamespaceIndex>,
        /// That namespace on the target, or the target anchor.
        ns: Namespace,
        /// Why.
        reason: SkippedBecause,
    },
    /// What vanished from a namespace, or which namespaces vanished, could not be found out.
    Failed {
        /// The synced namespace, for its groups; none for namespaces.
        index: Option<NamespaceIndex>,
        /// That namespace on the target, or the target anchor.
        ns: Namespace,
        /// The chain of causes.
        error: String,
    },
}

/// What happens to a vanished group.
#[derive(Debug, Clone)]
pub enum GroupStep {
    /// Its removal begins.
    Removing {
        /// Where it lies.
        location: Option<String>,
    },
    /// One of its snapshots is being removed.
    RemovingSnapshot {
        /// Time of the snapshot.
        time: Epoch,
        /// Where it lies.
        location: Option<String>,
    },
    /// It is gone. Only a push tells so, since only then it knows.
    Removed,
    /// It stays with its protected snapshots.
    KeptProtected,
    /// It stays with so many protected snapshots on the target of a push.
    KeptSome(u64),
    /// It stays, because its owner cannot be read.
    OwnerUnreadable,
    /// Its removal failed, perhaps after a part.
    Failed(String),
}

/// What happens to a vanished namespace.
#[derive(Debug, Clone)]
pub enum NamespaceStep {
    /// Its removal begins.
    Removing,
    /// It is gone.
    Removed,
    /// It stays.
    Kept(KeptBecause),
    /// The job's owner may not remove it.
    Denied(String),
    /// Its removal failed, perhaps after a part.
    Failed(String),
}

/// Why a vanished namespace stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptBecause {
    /// Decided before anything was touched.
    Planned(NamespaceKeep),
    /// The source might hide it.
    MaybeHidden,
    /// Some of its groups could not be removed; that is told apart.
    GroupFailed,
    /// Protected snapshots are in it.
    Protected,
    /// Groups of other owners are in it.
    OtherOwner,
    /// Groups that the filter leaves out are in it.
    OutsideFilter,
    /// Groups whose owner cannot be read, or things that are no groups, are in it.
    NotEmpty,
}

/// Why nothing of a kind is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkippedBecause {
    /// The source listed something in a form that makes no sense.
    Incomplete,
    /// The target of a push listed something in a form that makes no sense.
    TargetIncomplete,
    /// The source lists nothing, and might hide everything.
    MaybeHidden,
    /// The source hides namespaces that must exist.
    Hidden,
}

impl From<GroupKeep> for KeptBecause {
    fn from(keep: GroupKeep) -> Self {
        match keep {
            GroupKeep::OutsideFilter => Self::OutsideFilter,
            GroupKeep::OtherOwner => Self::OtherOwner,
            GroupKeep::OwnerUnreadable => Self::NotEmpty,
        }
    }
}

impl RemovalEvent {
    /// Returns the namespace in whose turn this happens.
    pub(crate) const fn index(&self) -> Option<NamespaceIndex> {
        match self {
            Self::Group { index, .. } | Self::Skipped { index, .. } | Self::Failed { index, .. } => *index,
            Self::Namespace { .. } => None,
        }
    }

    /// Returns the lines for the log.
    pub(crate) fn lines(&self, target_store: &DatastoreName) -> Vec<LogLine> {
        match self {
            Self::Group { index, ns, group, step } => step.lines(index.is_some(), ns, group),
            Self::Namespace { ns, step } => step.line(target_store, ns).into_iter().collect(),
            Self::Skipped { index, ns, reason } => {
                let what = match index {
                    Some(_) => format!("not removing vanished groups of {}", ns.log_name()),
                    None => "not removing vanished namespaces".to_owned(),
                };
                vec![warning(format!("{what}, because {}", reason.text()))]
            }
            Self::Failed { index: Some(_), ns, error } => {
                vec![failure(format!("failed to remove vanished groups of {} - {error}", ns.log_name()))]
            }
            Self::Failed { index: None, error, .. } => {
                vec![failure(format!("failed to remove vanished namespaces - {error}"))]
            }
        }
    }
}

impl GroupStep {
    fn lines(&self, is_in_live_namespace: bool, ns: &Namespace, group: &Group) -> Vec<LogLine> {
        let name = if is_in_live_namespace || ns.is_root() { group.to_string() } else { format!("{ns}/{group}") };
        match self {
            Self::Removing { location } => {
                let place = location.as_ref().map(|location| info(format!("removing backup group \"{location}\"")));
                // Within a vanished namespace the reference names the place only.
                let named = is_in_live_namespace || place.is_none();
                named.then(|| info(format!("Delete vanished group '{name}'"))).into_iter().chain(place).collect()
            }
            Self::RemovingSnapshot { location, .. } => removing_snapshot(location.as_deref()).into_iter().collect(),
            Self::Removed => vec![info(format!("Removed vanished group '{name}'"))],
            Self::KeptSome(count) => vec![info(format!("Kept {count} protected snapshots of group '{name}'"))],
            Self::KeptProtected => vec![info(format!("Kept some protected snapshots of group '{name}'"))],
            Self::OwnerUnreadable => {
                vec![warning(format!("not removing vanished group '{name}', because its owner cannot be read"))]
            }
            Self::Failed(error) => vec![failure(format!("failed to remove vanished group '{name}' - {error}"))],
        }
    }
}

impl NamespaceStep {
    fn line(&self, target_store: &DatastoreName, ns: &Namespace) -> Option<LogLine> {
        Some(match self {
            Self::Removing => info(format!("removing groups in namespace {target_store}:/{ns}")),
            Self::Removed => info(format!("Removed namespace {ns}")),
            Self::Kept(reason) => {
                let text = format!("Did not remove namespace {ns} - {}", reason.text()?);
                LogLine { level: reason.level(), text }
            }
            Self::Denied(error) => failure(format!("removing namespace {ns} not allowed - {error}")),
            Self::Failed(error) => failure(format!("failed to remove namespace {ns} - {error}")),
        })
    }
}

impl KeptBecause {
    /// Returns the reason in words, or nothing for a namespace that the log's reader may not know of.
    pub(crate) const fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::Planned(NamespaceKeep::NotVisible) => return None,
            // Told as the failure that it is.
            Self::Planned(NamespaceKeep::NotAllowed) => return None,
            Self::Planned(NamespaceKeep::BelowFailed) => "a namespace that it belongs to failed",
            Self::Planned(NamespaceKeep::AboveSynced) => "a namespace below it is synced",
            Self::Planned(NamespaceKeep::AboveDepth) => "a namespace below it is deeper than the job reaches",
            Self::Planned(NamespaceKeep::ChildStays) => "a namespace below it remains",
            Self::MaybeHidden => "the remote's account has no privilege there, so it may only be hidden",
            Self::GroupFailed => "some of its groups could not be removed",
            Self::Protected => "protected snapshots remain",
            Self::OtherOwner => "groups of other owners remain",
            Self::OutsideFilter => "groups that the group filter leaves out remain",
            Self::NotEmpty => "something else is in it",
        })
    }

    /// Content that a job can never remove is no reason to warn in every run; what stays although it could go is.
    const fn level(self) -> LogLevel {
        match self {
            Self::Protected | Self::MaybeHidden | Self::NotEmpty | Self::Planned(NamespaceKeep::AboveDepth) => {
                LogLevel::Warning
            }
            _ => LogLevel::Info,
        }
    }
}

impl SkippedBecause {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Incomplete => "the source's listing is incomplete",
            Self::TargetIncomplete => "the target's listing is incomplete",
            Self::MaybeHidden => {
                "the source lists none at all and its account may not see all; give it Datastore.Audit there if they \
                 are really gone"
            }
            Self::Hidden => "the source hides some namespaces from its account",
        }
    }
}

fn info(text: String) -> LogLine {
    LogLine { level: LogLevel::Info, text }
}

fn warning(text: String) -> LogLine {
    LogLine { level: LogLevel::Warning, text }
}

fn failure(text: String) -> LogLine {
    LogLine { level: LogLevel::Error, text }
}

/// Returns the storage layer's line about a snapshot, which has no prefix.
pub(crate) fn removing_snapshot(location: Option<&str>) -> Option<LogLine> {
    location.map(|location| info(format!("removing backup snapshot \"{location}\"")))
}

/// Returns the line about what was removed, for a run that did not fail; none if the job does not remove, and none for
/// a push that had nothing to remove.
pub fn removed_summary(direction: SyncDirection, report: &SyncReport) -> Option<String> {
    let removed = report.removed?;
    if direction == SyncDirection::Push && removed == RemovedCounts::default() {
        return None;
    }
    Some(format!(
        "Summary: removed vanished: snapshots: {}, groups: {}, namespaces: {}",
        removed.snapshots, removed.groups, removed.namespaces
    ))
}
