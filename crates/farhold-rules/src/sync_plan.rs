//! What a sync does with the snapshots of one group: a pure function from listings to an ordered list of actions.
//!
//! The run executes the plan, a dry run prints it, tests compare it. Nothing here fetches or removes. The plan is made
//! from the source's *unfiltered* listing, so that a snapshot which is only filtered, unreadable or in progress on the
//! source never counts as vanished (`docs/spec/sync.md` C.1 FAULT 4, C.2 W19).
//!
//! Source: `docs/spec/sync.md` 5, 6, 8 and A.1.

use std::collections::{BTreeMap, BTreeSet};

use farhold_types::{CLIENT_LOG_NAME, CryptMode, Epoch, Group, GroupFilter, MANIFEST_NAME, SnapshotItem, VerifyState};

/// Which snapshots of a group a job wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SelectionOptions {
    /// Only the newest so many; counted after the two filters below.
    pub transfer_last: Option<u64>,
    /// Only snapshots whose last verification on the source was good.
    pub verified_only: bool,
    /// Only fully encrypted snapshots.
    pub encrypted_only: bool,
    /// Fetch local snapshots again that are known to be corrupt.
    pub resync_corrupt: bool,
}

/// What is known about the soundness of a local snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCondition {
    /// Verified, or never verified.
    NotKnownBad,
    /// The last verification failed.
    VerificationFailed,
    /// The manifest is there but cannot be read.
    UnreadableManifest,
    /// There is no manifest: an interrupted transfer.
    Unfinished,
}

/// A snapshot directory of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSnapshot {
    /// Its backup time.
    pub time: Epoch,
    /// Its condition.
    pub condition: LocalCondition,
    /// Whether it is protected from removal.
    pub is_protected: bool,
}

/// What is known locally about a group.
#[derive(Debug, Clone, Copy)]
pub struct LocalFacts<'a> {
    /// All snapshot directories of the target's group, finished or not, in any order.
    pub snapshots: &'a [LocalSnapshot],
    /// Times that an earlier run skipped over because they failed; see [`Action::has_failed_before`].
    pub failed: &'a BTreeSet<Epoch>,
}

impl LocalFacts<'_> {
    /// Returns the newest finished snapshot's time.
    pub fn newest_finished(&self) -> Option<Epoch> {
        let finished = self.snapshots.iter().filter(|s| s.condition != LocalCondition::Unfinished);
        finished.map(|s| s.time).max()
    }

    fn condition(&self, time: Epoch) -> Option<LocalCondition> {
        self.snapshots.iter().find(|s| s.time == time).map(|s| s.condition)
    }
}

/// What an action does with a snapshot, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Newer than everything finished on the target, or failed before: fetch it.
    Transfer,
    /// The newest finished one on the target, or one that failed before: compare manifests, fetch what changed.
    Compare,
    /// Known to be corrupt on the target: fetch everything again.
    RefetchCorrupt,
    /// Do nothing.
    Skip(SkipReason),
}

/// Why a snapshot is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The source lists no size: the backup runs, or its manifest is unreadable.
    InProgress,
    /// Not verified as good on the source.
    NotVerified,
    /// Not fully encrypted.
    NotEncrypted,
    /// Older than the newest finished snapshot of the target.
    AlreadySynced,
    /// Older than the newest `transfer-last` ones.
    TransferLast,
}

/// One decision about one snapshot of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The snapshot as the source lists it.
    pub item: SnapshotItem,
    /// What to do.
    pub kind: ActionKind,
    /// It is older than the newest finished one on the target and only taken because an earlier run skipped over it when
    /// it failed. Without that its time would be out of reach for ever, since gaps are not filled.
    ///
    /// Source: `docs/spec/sync.md` C.2 W23.
    pub has_failed_before: bool,
}

/// Snapshots that were skipped for one reason, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkipClass {
    /// The reason.
    pub reason: SkipReason,
    /// How many.
    pub count: usize,
    /// Time of the oldest.
    pub oldest: Epoch,
    /// Time of the newest.
    pub newest: Epoch,
}

/// What to do with one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// Every snapshot that the source listed, ascending by time, no time twice.
    pub actions: Vec<Action>,
    /// Times that passed the filters (the set V of section 6), whether taken or not.
    pub wanted: BTreeSet<Epoch>,
}

impl GroupPlan {
    /// Returns the actions that move data, in the order in which they must be executed.
    pub fn taken(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(|action| !matches!(action.kind, ActionKind::Skip(_)))
    }

    /// Returns the snapshots that are in progress or unreadable on the source, ascending by time.
    pub fn in_progress(&self) -> impl Iterator<Item = &SnapshotItem> {
        let wanted = ActionKind::Skip(SkipReason::InProgress);
        self.actions.iter().filter(move |action| action.kind == wanted).map(|action| &action.item)
    }

    /// Returns the skip classes that the log names, "already synced" before "transfer-last". Empty classes are left out.
    ///
    /// Source: `docs/spec/sync.md` 6 step 9.
    pub fn skip_classes(&self) -> Vec<SkipClass> {
        let mut classes: BTreeMap<SkipReason, SkipClass> = BTreeMap::new();
        for action in &self.actions {
            let ActionKind::Skip(reason @ (SkipReason::AlreadySynced | SkipReason::TransferLast)) = action.kind else {
                continue;
            };
            let time = action.item.backup_time;
            let class = classes.entry(reason).or_insert(SkipClass { reason, count: 0, oldest: time, newest: time });
            class.count += 1;
            class.newest = time;
        }
        classes.into_values().collect()
    }

    /// Returns the times of everything that the source listed. A local snapshot has vanished only if it is not among
    /// them: one that is in progress, unreadable or filtered on the source exists.
    pub fn listed(&self) -> BTreeSet<Epoch> {
        self.actions.iter().map(|action| action.item.backup_time).collect()
    }
}

/// Plans one group of a pull.
///
/// `source_items`: what the source lists, in any order. Items of other groups are dropped, of several with one time
/// the first counts.
///
/// A failed time obeys the filters and `transfer-last` like any other; it is only spared from "already synced".
///
/// Source: `docs/spec/sync.md` 6 steps 2 to 8 and C.2 W23.
pub fn plan_group(
    group: &Group,
    source_items: Vec<SnapshotItem>,
    local: LocalFacts<'_>,
    options: &SelectionOptions,
) -> GroupPlan {
    let newest_local = local.newest_finished();
    plan(group, source_items, options, |time, is_last| pull_kind(time, is_last, newest_local, local, options))
}

/// Plans one group of a push: what is newer than the newest finished snapshot of the target is sent, since a target
/// takes nothing older. Unfinished directories of the target hide nothing.
///
/// `source_items`: as in [`plan_group`]. `newest_finished`: time of the newest finished snapshot of the target.
///
/// Source: `docs/spec/sync.md` 10.3, A.2, C.1 FAULT 11, C.2 W25.
pub fn plan_push(
    group: &Group,
    source_items: Vec<SnapshotItem>,
    newest_finished: Option<Epoch>,
    options: &SelectionOptions,
) -> GroupPlan {
    plan(group, source_items, options, |time, is_among_last| {
        let kind = if newest_finished.is_some_and(|newest| time <= newest) {
            ActionKind::Skip(SkipReason::AlreadySynced)
        } else if !is_among_last {
            ActionKind::Skip(SkipReason::TransferLast)
        } else {
            ActionKind::Transfer
        };
        (kind, false)
    })
}

/// Sorts, filters and counts; `decide` says of the time of each snapshot that the filters let through, and of whether it
/// is among the last ones, what is done and whether it failed before.
fn plan(
    group: &Group,
    source_items: Vec<SnapshotItem>,
    options: &SelectionOptions,
    decide: impl Fn(Epoch, bool) -> (ActionKind, bool),
) -> GroupPlan {
    let mut items: BTreeMap<Epoch, SnapshotItem> = BTreeMap::new();
    for item in source_items {
        if item.backup_type == group.backup_type && item.backup_id == group.backup_id {
            items.entry(item.backup_time).or_insert(item);
        }
    }
    let wanted: BTreeSet<Epoch> =
        items.values().filter(|item| filtered_out(item, options).is_none()).map(|item| item.backup_time).collect();
    let first_of_the_last = match options.transfer_last {
        None => 0,
        Some(last) => wanted.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX)),
    };
    let mut position = 0;
    let actions = items
        .into_values()
        .map(|item| {
            if let Some(reason) = filtered_out(&item, options) {
                return Action { item, kind: ActionKind::Skip(reason), has_failed_before: false };
            }
            let is_among_last = first_of_the_last <= position;
            position += 1;
            let (kind, has_failed_before) = decide(item.backup_time, is_among_last);
            Action { item, kind, has_failed_before }
        })
        .collect();
    GroupPlan { actions, wanted }
}

/// Returns what a pull does with a snapshot that the filters let through, and whether it failed before.
fn pull_kind(
    time: Epoch,
    is_among_last: bool,
    newest_local: Option<Epoch>,
    local: LocalFacts<'_>,
    options: &SelectionOptions,
) -> (ActionKind, bool) {
    let condition = local.condition(time);
    let is_corrupt = options.resync_corrupt && condition.is_some_and(|c| c != LocalCondition::NotKnownBad);
    let is_behind = newest_local.is_some_and(|newest| time < newest);
    let has_failed_before = is_behind && local.failed.contains(&time);
    let is_finished = condition.is_some_and(|c| c != LocalCondition::Unfinished);
    let kind = if is_corrupt {
        ActionKind::RefetchCorrupt
    } else if is_behind && !has_failed_before {
        ActionKind::Skip(SkipReason::AlreadySynced)
    } else if newest_local == Some(time) {
        ActionKind::Compare
    } else if !is_among_last {
        ActionKind::Skip(SkipReason::TransferLast)
    } else if is_finished {
        ActionKind::Compare
    } else {
        ActionKind::Transfer
    };
    let is_skipped = matches!(kind, ActionKind::Skip(_));
    (kind, has_failed_before && !is_skipped && kind != ActionKind::RefetchCorrupt)
}

/// Returns why the options leave this snapshot out, whatever the target has.
fn filtered_out(item: &SnapshotItem, options: &SelectionOptions) -> Option<SkipReason> {
    if !item.is_finished() {
        return Some(SkipReason::InProgress);
    }
    if options.verified_only && !item.verification.as_ref().is_some_and(|v| v.state == VerifyState::Ok) {
        return Some(SkipReason::NotVerified);
    }
    if options.encrypted_only && !is_listed_encrypted(item) {
        return Some(SkipReason::NotEncrypted);
    }
    None
}

/// Returns whether the listing shows a fully encrypted snapshot: the manifest signed, the log ignored, every other file
/// encrypted. A stray file without a mode disqualifies.
fn is_listed_encrypted(item: &SnapshotItem) -> bool {
    let mut manifest_is_signed = false;
    for file in &item.files {
        match file.filename.as_str() {
            MANIFEST_NAME => manifest_is_signed = file.crypt_mode == Some(CryptMode::SignOnly),
            CLIENT_LOG_NAME => {}
            _ if file.crypt_mode == Some(CryptMode::Encrypt) => {}
            _ => return false,
        }
    }
    manifest_is_signed
}

/// The groups of one namespace that a job handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSelection {
    /// Number of groups that the source listed.
    pub total: usize,
    /// Those in scope of the filters, in processing order, none twice.
    pub selected: Vec<Group>,
}

/// Selects and orders the groups of a namespace. Source: `docs/spec/sync.md` 5.
pub fn select_groups(listed: impl IntoIterator<Item = Group>, filters: &[GroupFilter]) -> GroupSelection {
    let listed: BTreeSet<Group> = listed.into_iter().collect();
    let total = listed.len();
    let selected = listed.into_iter().filter(|group| GroupFilter::in_scope(filters, group)).collect();
    GroupSelection { total, selected }
}

#[cfg(test)]
mod tests;
