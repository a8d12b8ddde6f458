//! What a run would do, as data: the answer of [`crate::plan()`] and [`crate::explain()`].
//!
//! Serialised with the words of the API: member names in kebab-case, names and times as in listings.

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{SnapshotRemoval, SnapshotVerdict};
use farhold_rules::sync_plan::{Action, ActionKind, SkipReason};
use farhold_types::{Epoch, Group, Namespace, Snapshot, SyncDirection};
use serde::{Deserialize, Serialize};

use crate::outcome::{NamespaceFailure, chain};

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunPlan {
    /// Direction of the run.
    #[serde(default)]
    pub direction: SyncDirection,
    /// The remote has no namespaces: only its root would be synced, and the run would end in error.
    pub is_compatibility_mode: bool,
    /// In processing order.
    pub namespaces: Vec<NamespacePlan>,
    /// Namespaces of the target that would be removed, in the order of removal.
    pub removed_namespaces: Vec<PlannedNamespaceRemoval>,
    /// Why it could not be found out which namespaces vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_failure: Option<String>,
    /// Snapshots that would be transferred.
    pub snapshots_to_fetch: usize,
    /// Content bytes of these snapshots: an upper bound of what goes over the line, since chunks that the target has and
    /// compression are not known beforehand.
    pub bytes_estimate: u64,
    /// Things that the source listed and that make no sense; they would be left out.
    pub unreadable: Vec<String>,
}

impl RunPlan {
    /// Counts what the namespaces planned so far would transfer.
    pub(crate) fn count_fetched(&mut self) {
        let snapshots = self.namespaces.iter().flat_map(|ns| &ns.groups).flat_map(|group| &group.snapshots);
        for snapshot in snapshots.filter(|snapshot| snapshot.is_fetched()) {
            self.snapshots_to_fetch += 1;
            self.bytes_estimate = self.bytes_estimate.saturating_add(snapshot.size_bytes.unwrap_or(0));
        }
    }

    /// Returns the namespaces of the target that would fail.
    pub(crate) fn failed_namespaces(&self) -> Vec<Namespace> {
        let failed = self.namespaces.iter().filter(|ns| ns.failure.is_some());
        failed.map(|ns| ns.target.clone()).collect()
    }
}

/// What a run would do in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NamespacePlan {
    /// Namespace on the source; empty for the root.
    pub source: Namespace,
    /// Namespace on the target; empty for the root.
    pub target: Namespace,
    /// It would be created on the target.
    pub is_missing_on_target: bool,
    /// Why the namespace would fail as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Groups that the source lists, whether in scope of the group filter or not.
    pub groups_total: usize,
    /// The groups in scope, in processing order.
    pub groups: Vec<GroupReport>,
    /// Groups of the target that vanished from the source, in processing order.
    pub removed_groups: Vec<PlannedGroupRemoval>,
    /// Why it could not be found out which groups vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_failure: Option<String>,
    /// As in [`RunPlan::unreadable`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl NamespacePlan {
    /// Returns a namespace of which nothing is known yet but whether a run would get that far.
    pub(crate) fn opened(pair: &NamespacePair, is_missing_on_target: bool, refusal: Option<&NamespaceFailure>) -> Self {
        Self {
            source: pair.source.clone(),
            target: pair.target.clone(),
            is_missing_on_target,
            failure: refusal.map(|refusal| chain(refusal)),
            groups_total: 0,
            groups: Vec::new(),
            removed_groups: Vec::new(),
            removal_failure: None,
            unreadable: Vec::new(),
        }
    }
}

/// What a run would do with one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupReport {
    /// The group, `type/id`.
    pub group: Group,
    /// Why the group would fail as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Every snapshot that the source lists, ascending by time.
    pub snapshots: Vec<SnapshotPlan>,
    /// Snapshots of the target that vanished from the source, ascending by time.
    pub removals: Vec<PlannedSnapshotRemoval>,
    /// As in [`RunPlan::unreadable`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl GroupReport {
    /// Returns a group of which nothing is known yet.
    pub(crate) const fn new(group: Group) -> Self {
        Self { group, failure: None, snapshots: Vec::new(), removals: Vec::new(), unreadable: Vec::new() }
    }
}

/// What a run would do with one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotPlan {
    /// Its backup time.
    pub time: Epoch,
    /// What would be done.
    pub action: PlannedAction,
    /// Why: the first rule that decides.
    pub reason: PlannedReason,
    /// Its content in bytes, if the source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// What would be done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedAction {
    /// It is transferred.
    Transfer,
    /// Its manifest is compared with the local one, and what differs is fetched. Content that differs is refused.
    Compare,
    /// Its local copy is corrupt and fetched again.
    Refetch,
    /// Nothing.
    Skip,
}

/// Why an action is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedReason {
    /// The target has no finished snapshot of the group.
    FirstOfGroup,
    /// Newer than every finished snapshot of the target.
    Newer,
    /// An earlier run failed on it and went on with newer ones.
    FailedBefore,
    /// The newest finished one on the target: it may have got notes, a verification or a log since.
    NewestOnTarget,
    /// The local copy is known to be corrupt or unreadable, and the job re-syncs corrupt snapshots.
    Corrupt,
    /// The source shows no size: the backup runs, or its manifest cannot be read.
    InProgress,
    /// The job takes only snapshots whose verification was good.
    NotVerified,
    /// The job takes only fully encrypted snapshots.
    NotEncrypted,
    /// Older than the newest finished snapshot of the target: gaps are never filled.
    AlreadySynced,
    /// Not among the newest ones that the job takes (`transfer-last`).
    TransferLast,
    /// Only some of its files are encrypted, and the job encrypts what it pushes.
    PartlyEncrypted,
}

impl PlannedReason {
    /// Returns the reason in words, as the end of a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::FirstOfGroup => "the target has no finished snapshot of this group",
            Self::Newer => "it is newer than every finished snapshot of the group on the target",
            Self::FailedBefore => "an earlier run failed on it and went on with newer snapshots",
            Self::NewestOnTarget => {
                "it is the newest finished snapshot on the target, and notes, verification or log may have changed"
            }
            Self::Corrupt => "the copy on the target is known to be corrupt or has no readable manifest",
            Self::InProgress => {
                "the source shows no size for it: the backup is in progress, or its manifest is unreadable"
            }
            Self::NotVerified => "the job takes verified snapshots only, and its last verification is not 'ok'",
            Self::NotEncrypted => "the job takes encrypted snapshots only, and not all its files are encrypted",
            Self::AlreadySynced => {
                "it is older than the newest finished snapshot on the target, and gaps are never filled"
            }
            Self::PartlyEncrypted => "only some of its files are encrypted, and the job encrypts what it pushes",
            Self::TransferLast => "it is not among the newest snapshots that transfer-last allows",
        }
    }
}

/// A vanished snapshot of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedSnapshotRemoval {
    /// Its backup time.
    pub time: Epoch,
    /// It is protected and would stay.
    pub is_protected: bool,
}

/// A vanished group of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedGroupRemoval {
    /// The group, `type/id`.
    pub group: Group,
    /// Why it would stay; absent if its unprotected snapshots would be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Its snapshots, ascending by time; empty if it would stay.
    pub snapshots: Vec<PlannedSnapshotRemoval>,
}

/// A vanished namespace of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedNamespaceRemoval {
    /// The namespace on the target.
    pub namespace: Namespace,
    /// Why it would stay; absent if it would be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// What would become of its groups, in processing order; empty if it would stay untouched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PlannedGroupRemoval>,
}

/// Why one snapshot is taken or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// Direction of the run.
    #[serde(default)]
    pub direction: SyncDirection,
    /// Namespace on the source; empty for the root.
    pub namespace: Namespace,
    /// The snapshot, `type/id/time`.
    pub snapshot: Snapshot,
    /// What the next run would do with it.
    pub action: PlannedAction,
    /// The first rule that decides, as a sentence without a full stop.
    pub reason: String,
    /// What would become of the copy on the target because the source does not have the snapshot any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<PlannedSnapshotRemoval>,
}

impl SnapshotPlan {
    /// Returns the planned action of a run. `has_local`: whether the target has a finished snapshot of the group.
    pub(crate) fn of(action: &Action, has_local: bool) -> Self {
        let (kind, reason) = match action.kind {
            ActionKind::Transfer if action.has_failed_before => (PlannedAction::Transfer, PlannedReason::FailedBefore),
            ActionKind::Transfer if has_local => (PlannedAction::Transfer, PlannedReason::Newer),
            ActionKind::Transfer => (PlannedAction::Transfer, PlannedReason::FirstOfGroup),
            ActionKind::Compare if action.has_failed_before => (PlannedAction::Compare, PlannedReason::FailedBefore),
            ActionKind::Compare => (PlannedAction::Compare, PlannedReason::NewestOnTarget),
            ActionKind::RefetchCorrupt => (PlannedAction::Refetch, PlannedReason::Corrupt),
            ActionKind::Skip(reason) => {
                let reason = match reason {
                    SkipReason::InProgress => PlannedReason::InProgress,
                    SkipReason::NotVerified => PlannedReason::NotVerified,
                    SkipReason::NotEncrypted => PlannedReason::NotEncrypted,
                    SkipReason::AlreadySynced => PlannedReason::AlreadySynced,
                    SkipReason::TransferLast => PlannedReason::TransferLast,
                };
                (PlannedAction::Skip, reason)
            }
        };
        Self { time: action.item.backup_time, action: kind, reason, size_bytes: action.item.size }
    }

    /// Returns whether the content would be fetched.
    pub const fn is_fetched(&self) -> bool {
        matches!(self.action, PlannedAction::Transfer | PlannedAction::Refetch)
    }
}

impl From<SnapshotRemoval> for PlannedSnapshotRemoval {
    fn from(removal: SnapshotRemoval) -> Self {
        Self { time: removal.time, is_protected: removal.verdict == SnapshotVerdict::KeepProtected }
    }
}
