//! What both sides have of a namespace, asked ahead of its turn.
//!
//! The target is asked for its groups and, where it pays, for all their snapshots in one answer; otherwise for those of
//! single groups, and only of groups about which something has to be known. A run that finds nothing to push thus asks
//! the target twice for each namespace.
//!
//! Source: `docs/spec/sync.md` 10.2 and 10.3, C.2 W8 and W9.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{GroupPlan, LocalCondition, LocalSnapshot, plan_push};
use farhold_types::{Authid, Epoch, Group, GroupItem, MANIFEST_NAME, SnapshotItem, VerifyState};

use crate::notes::record::GroupRecord;
use crate::outcome::{GroupFailure, NamespaceFailure};
use crate::push::context::PushRun;
use crate::push::group::PlannedGroup;
use crate::push::snapshot::is_unfinished;
use crate::push::target::{PushTarget, RemoteError};
use crate::source::{Listed, Source};

/// Groups on the target from which on one answer for all pays.
const MIN_GROUPS_FOR_ALL: usize = 4;

/// Snapshots that one answer for a whole namespace may have: some 30 MiB of text.
const MAX_SNAPSHOTS_FOR_ALL: u64 = 50_000;

/// What the target has of a namespace.
#[derive(Debug, Default)]
pub(crate) struct TargetListing {
    groups: BTreeMap<Group, GroupItem>,
    /// Of all groups, if it was asked so. Each is taken out once.
    snapshots: Option<Mutex<BTreeMap<Group, Vec<SnapshotItem>>>>,
}

/// What the target has of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetGroup {
    /// None if there is no such group.
    item: Option<GroupItem>,
    /// None if nobody asked.
    pub(crate) snapshots: Option<Vec<SnapshotItem>>,
}

impl TargetGroup {
    /// Returns the owner, if the group exists and is not the account's. Equal means the same text.
    pub(crate) fn other_owner(&self, account: &Authid) -> Option<Authid> {
        self.item.as_ref().is_some_and(|item| item.owner.as_ref() != Some(account)).then(|| account.clone())
    }

    /// Returns the times of the finished snapshots, as far as they are known. One whose manifest cannot be read counts:
    /// the target takes nothing older.
    pub(crate) fn finished(&self) -> impl Iterator<Item = Epoch> {
        let listed = self.snapshots.iter().flatten().filter(|item| !is_unfinished(item)).map(|item| item.backup_time);
        let newest = self.item.as_ref().filter(|_| self.snapshots.is_none()).filter(|item| {
            // A group with nothing else names the time of an unfinished snapshot.
            item.files.iter().any(|name| name == MANIFEST_NAME)
        });
        listed.chain(newest.map(|item| item.last_backup))
    }

    pub(crate) fn newest_finished(&self) -> Option<Epoch> {
        self.finished().max()
    }

    /// Returns the times of the unfinished snapshots, as far as they are known.
    pub(crate) fn unfinished(&self) -> BTreeSet<Epoch> {
        let listed = self.snapshots.iter().flatten();
        listed.filter(|item| is_unfinished(item)).map(|item| item.backup_time).collect()
    }

    /// Returns the snapshots as the rules of removal see them.
    pub(crate) fn local(&self) -> Vec<LocalSnapshot> {
        local_snapshots(self.snapshots.iter().flatten())
    }

    /// Returns the listed snapshot of a time.
    pub(crate) fn snapshot(&self, time: Epoch) -> Option<&SnapshotItem> {
        self.snapshots.iter().flatten().find(|item| item.backup_time == time)
    }
}

/// Returns listed snapshots as the rules of removal see them.
pub(crate) fn local_snapshots<'a>(items: impl IntoIterator<Item = &'a SnapshotItem>) -> Vec<LocalSnapshot> {
    let local = |item: &SnapshotItem| LocalSnapshot {
        time: item.backup_time,
        condition: match &item.verification {
            _ if is_unfinished(item) => LocalCondition::Unfinished,
            _ if !item.is_finished() => LocalCondition::UnreadableManifest,
            Some(verification) if verification.state == VerifyState::Failed => LocalCondition::VerificationFailed,
            _ => LocalCondition::NotKnownBad,
        },
        is_protected: item.protected,
    };
    items.into_iter().map(local).collect()
}

impl TargetListing {
    /// Asks the target about a namespace that exists.
    pub(crate) async fn ask<S: Source, T: PushTarget>(
        run: &PushRun<S, T>,
        pair: &NamespacePair,
    ) -> Result<Self, RemoteError> {
        let listed = run.retry.run(|| run.target.groups(&pair.target)).await?;
        let count = listed.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.backup_count));
        let groups: BTreeMap<_, _> = listed.items.into_iter().map(|item| (item.group(), item)).collect();
        let mut snapshots = None;
        if MIN_GROUPS_FOR_ALL <= groups.len()
            && count <= MAX_SNAPSHOTS_FOR_ALL
            // A failure, or an answer of which a part makes no sense, only means that each group is asked for.
            && let Ok(all) = run.retry.run(|| run.target.snapshots_of_namespace(&pair.target)).await
            && all.unreadable.is_empty()
        {
            let mut by_group: BTreeMap<Group, Vec<SnapshotItem>> = BTreeMap::new();
            for item in all.items {
                by_group.entry(item.snapshot().group).or_default().push(item);
            }
            snapshots = Some(Mutex::new(by_group));
        }
        Ok(Self { groups, snapshots })
    }

    /// Returns what a namespace has that was just created.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Returns the groups, in processing order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupItem> {
        self.groups.values()
    }

    /// Takes out what is known of a group.
    pub(crate) fn group(&self, group: &Group) -> TargetGroup {
        let item = self.groups.get(group).cloned();
        let all = self.snapshots.as_ref().filter(|_| item.is_some());
        let snapshots =
            all.map(|all| all.lock().unwrap_or_else(PoisonError::into_inner).remove(group).unwrap_or_default());
        TargetGroup { item, snapshots }
    }

    fn is_small(&self) -> bool {
        self.groups.len() < MIN_GROUPS_FOR_ALL
    }
}

/// What both sides have of a namespace.
pub(crate) struct NamespaceListing {
    pub(crate) source: Listed<Group>,
    pub(crate) target: Arc<TargetListing>,
}

impl NamespaceListing {
    /// Asks both sides. `is_there`: whether the target had the namespace when the run began.
    pub(crate) async fn ask<S: Source, T: PushTarget>(
        run: Arc<PushRun<S, T>>,
        pair: NamespacePair,
        is_there: bool,
    ) -> Result<Self, NamespaceFailure> {
        let source = run.source.groups(&pair.source).await.map_err(NamespaceFailure::Groups)?;
        let target = if is_there {
            TargetListing::ask(&run, &pair).await.map_err(NamespaceFailure::RemoteGroups)?
        } else {
            TargetListing::empty()
        };
        Ok(Self { source, target: Arc::new(target) })
    }
}

/// Plans a group by what both sides list. Only reads.
pub(crate) async fn plan_one<S: Source, T: PushTarget>(
    run: Arc<PushRun<S, T>>,
    pair: NamespacePair,
    group: Group,
    listing: Arc<TargetListing>,
) -> Result<PlannedGroup, (Group, GroupFailure)> {
    match try_plan_one(&run, &pair, &group, &listing).await {
        Ok(planned) => Ok(planned),
        Err(failure) => Err((group, failure)),
    }
}

async fn try_plan_one<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pair: &NamespacePair,
    group: &Group,
    listing: &TargetListing,
) -> Result<PlannedGroup, GroupFailure> {
    let listed = run.source.snapshots(&pair.source, group).await?;
    let (notes, of) = (run.notes.clone(), (pair.target.clone(), group.clone()));
    let record = run.pool.run(move |_| GroupRecord::load(notes.as_deref(), &of.0, &of.1)).await;
    let record = record.map_err(|_| GroupFailure::Crashed)?;
    let mut target = listing.group(group);
    let plan = |target: &TargetGroup, items: Vec<SnapshotItem>| {
        plan_push(group, items, target.newest_finished(), &run.options.selection)
    };
    let mut plan_now = plan(&target, listed.items);
    let is_ours = target.item.is_some() && target.other_owner(run.target.account()).is_none();
    if is_ours && target.snapshots.is_none() && needs_snapshots(run, listing, &plan_now, &record) {
        let found = run.retry.run(|| run.target.snapshots(&pair.target, group)).await?;
        let of_group = found.items.into_iter().filter(|item| item.snapshot().group == *group);
        target.snapshots = Some(of_group.collect());
        plan_now = plan(&target, plan_now.actions.into_iter().map(|action| action.item).collect());
    }
    Ok(PlannedGroup { group: group.clone(), unreadable: listed.unreadable, plan: plan_now, target, record })
}

/// Returns whether more has to be known about a group of the target than its newest time.
fn needs_snapshots<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    listing: &TargetListing,
    plan: &GroupPlan,
    record: &GroupRecord,
) -> bool {
    run.options.remove_vanished
        || plan.taken().next().is_some()
        || !record.failed().is_empty()
        // So that notes and logs follow; in a large namespace that would cost a request for each group in every run.
        || listing.is_small()
}
