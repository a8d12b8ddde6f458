//! Removing what vanished from the source: snapshots at the end of their group, groups at the end of their namespace;
//! namespaces, at the end of the run, in [`crate::removal::namespaces`].
//!
//! What goes is decided by `farhold_rules::removal_plan`. Before anything is removed the source is asked once more,
//! because the listing that a group or namespace was synced by may be old, and what another job brought meanwhile is
//! missing from it. Whatever is not sure stays: an incomplete answer removes nothing, and neither does one that may be
//! empty only because the account of a remote lost its privileges. Owner and protection are looked at again under the
//! locks of the removal.
//!
//! One loss of visibility cannot be told from a removal: an account of a remote that has no `Datastore.Audit` lists the
//! groups that it owns, and a group that was given to somebody else is not among them any more.
//!
//! Source: `docs/spec/sync.md` 8, C.2 W19 and W20.

use std::collections::BTreeSet;
use std::future::Future;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{
    GroupKeep, GroupRemoval, GroupVerdict, SnapshotVerdict, plan_groups, plan_snapshots,
};
use farhold_rules::sync_plan::LocalSnapshot;
use farhold_types::{Epoch, Group, Namespace};
use thiserror::Error;

use crate::context::RunContext;
use crate::event::{GroupEvent, NamespaceIndex, SyncEvent};
use crate::outcome::{GroupFailure, chain, group_name};
use crate::removal::event::{GroupStep, RemovalEvent, SkippedBecause};
use crate::source::{Listed, Source, SourceError, Visibility};
use crate::target::{Examine, Removed, Target, TargetError, TargetGroup};

/// Why what vanished from a namespace could not be found out.
#[derive(Debug, Error)]
pub(crate) enum RemovalFailure {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("aborted")]
    Cancelled,
}

impl From<RemovalFailure> for GroupFailure {
    fn from(failure: RemovalFailure) -> Self {
        match failure {
            RemovalFailure::Source(error) => error.into(),
            RemovalFailure::Target(error) => error.into(),
            RemovalFailure::Cancelled => Self::Cancelled,
        }
    }
}

/// Asks the source, again after a lost connection, unless the run is cancelled.
pub(crate) async fn ask<S: Source, T: Target, R, F: Future<Output = Result<R, SourceError>>>(
    run: &RunContext<S, T>,
    request: impl Fn() -> F,
) -> Result<R, RemovalFailure> {
    let retry = run.retry();
    let answer = run.cancel.run_until_cancelled(retry.run(request)).await.ok_or(RemovalFailure::Cancelled)?;
    Ok(answer?)
}

/// A group of both sides whose snapshots are all synced.
pub(crate) struct SyncedGroup<'a> {
    pub(crate) index: NamespaceIndex,
    pub(crate) source_ns: &'a Namespace,
    pub(crate) target_ns: &'a Namespace,
    pub(crate) group: &'a Group,
    /// Times that the source listed before the group was synced.
    pub(crate) listed: &'a BTreeSet<Epoch>,
    /// Whether that listing was understood completely.
    pub(crate) is_complete: bool,
    /// What the target had then.
    pub(crate) local: &'a [LocalSnapshot],
}

/// Removes the snapshots of a group that vanished from the source, unfinished ones too.
///
/// # Errors
/// The first thing that went wrong; a busy snapshot only after the others were dealt with.
pub(crate) async fn remove_snapshots<S: Source, T: Target>(
    run: &RunContext<S, T>,
    target: &T::Group,
    synced: &SyncedGroup<'_>,
) -> Result<(), GroupFailure> {
    let emit = |event| run.emit(synced.index, synced.group, event);
    let mut planned = plan_snapshots(synced.listed, synced.local);
    if planned.iter().any(|removal| removal.verdict == SnapshotVerdict::Remove) {
        let incomplete = || {
            let text = "not removing vanished snapshots, because the source's listing is incomplete";
            emit(GroupEvent::Warning(text.to_owned()));
            Ok(())
        };
        if !synced.is_complete {
            return incomplete();
        }
        let again = ask(run, || run.source.snapshots(synced.source_ns, synced.group)).await?;
        if !again.unreadable.is_empty() {
            return incomplete();
        }
        let of_group = again.items.iter().filter(|item| item.snapshot().group == *synced.group);
        let listed: BTreeSet<Epoch> = of_group.map(|item| item.backup_time).collect();
        // A group that is hidden since it was listed has no snapshots either. If it vanished, the next run removes it.
        if listed.is_empty() && !ask(run, || run.source.groups(synced.source_ns)).await?.items.contains(synced.group) {
            return Ok(());
        }
        planned.retain(|removal| !listed.contains(&removal.time));
    }
    let mut busy = None;
    for removal in planned {
        if run.cancel.is_cancelled() {
            return Err(GroupFailure::Cancelled);
        }
        let time = removal.time;
        if removal.verdict == SnapshotVerdict::KeepProtected {
            emit(GroupEvent::KeptProtected(time));
            continue;
        }
        let location = run.target.location(synced.target_ns, synced.group, Some(time));
        emit(GroupEvent::RemovingVanished { time, location });
        match target.remove_snapshot(time).await {
            Ok(Removed::Yes) => run.report().count_removed(|removed| removed.snapshots += 1),
            Ok(Removed::Protected) => emit(GroupEvent::KeptProtected(time)),
            Ok(Removed::Gone) => {}
            Err(error @ TargetError::Locked { .. }) => {
                busy.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    busy.map_or(Ok(()), |error| Err(error.into()))
}

/// What the source said about the groups of a namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownGroups {
    /// All that exist, as far as it told.
    groups: BTreeSet<Group>,
    is_complete: bool,
}

impl KnownGroups {
    pub(crate) fn of(listed: &Listed<Group>) -> Self {
        let groups = listed.items.iter().chain(&listed.withheld).cloned().collect();
        Self { groups, is_complete: listed.unreadable.is_empty() }
    }

    pub(crate) const fn groups(&self) -> &BTreeSet<Group> {
        &self.groups
    }

    /// Returns whether the listing was understood completely.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// What happens to the vanished groups of a namespace.
#[derive(Debug, Default)]
pub(crate) struct JudgedGroups {
    pub(crate) planned: Vec<GroupRemoval>,
    /// Why none of those that would be removed is.
    pub(crate) skipped: Option<SkippedBecause>,
}

/// Removes the groups of a synced namespace that vanished from the source. Failures go into the report.
pub(crate) async fn remove_groups<S: Source, T: Target>(
    run: &RunContext<S, T>,
    index: NamespaceIndex,
    pair: &NamespacePair,
    known: &KnownGroups,
) {
    let (index, ns) = (Some(index), &pair.target);
    let emit = |event| run.events.event(&SyncEvent::Removal(event));
    let judged = match judge_groups(run, pair, known).await {
        Ok(judged) => judged,
        Err(RemovalFailure::Cancelled) => return,
        Err(error) => {
            let error = chain(&error);
            run.report().failures.add(|| format!("vanished groups of {}: {error}", ns.log_name()));
            emit(RemovalEvent::Failed { index, ns: ns.clone(), error });
            return;
        }
    };
    if let Some(reason) = judged.skipped {
        emit(RemovalEvent::Skipped { index, ns: ns.clone(), reason });
    }
    for GroupRemoval { group, verdict } in judged.planned {
        match verdict {
            GroupVerdict::Remove if judged.skipped.is_none() => {
                remove_group(run, index, ns, &group).await;
            }
            GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => {
                emit(RemovalEvent::Group { index, ns: ns.clone(), group, step: GroupStep::OwnerUnreadable });
            }
            // Silently: it is none of the job's business, or was told above.
            GroupVerdict::Remove | GroupVerdict::Keep(GroupKeep::OutsideFilter | GroupKeep::OtherOwner) => {}
        }
    }
}

/// Finds out what happens to the vanished groups of a namespace. Only reads.
pub(crate) async fn judge_groups<S: Source, T: Target>(
    run: &RunContext<S, T>,
    pair: &NamespacePair,
    known: &KnownGroups,
) -> Result<JudgedGroups, RemovalFailure> {
    let local = run.target.groups(&pair.target).await?;
    let mut planned = plan_groups(&known.groups, &local, &run.options.owner, &run.options.group_filter);
    if !planned.iter().any(|removal| removal.verdict == GroupVerdict::Remove) {
        return Ok(JudgedGroups { planned, skipped: None });
    }
    if !known.is_complete {
        return Ok(JudgedGroups { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    let again = KnownGroups::of(&ask(run, || run.source.groups(&pair.source)).await?);
    if !again.is_complete {
        return Ok(JudgedGroups { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    if again.groups.is_empty() && ask(run, || run.source.visibility(&pair.source)).await? != Visibility::Everything {
        return Ok(JudgedGroups { planned, skipped: Some(SkippedBecause::MaybeHidden) });
    }
    planned.retain(|removal| !again.groups.contains(&removal.group));
    Ok(JudgedGroups { planned, skipped: None })
}

/// How the removal of a group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupOutcome {
    Removed,
    Protected,
    /// It belongs to somebody else by now, or something else than a snapshot is in it.
    Stays,
    Failed,
}

/// Removes a vanished group as far as it is not protected, tells how it went, and counts.
pub(crate) async fn remove_group<S: Source, T: Target>(
    run: &RunContext<S, T>,
    index: Option<NamespaceIndex>,
    ns: &Namespace,
    group: &Group,
) -> GroupOutcome {
    let emit = |step| {
        let (ns, group) = (ns.clone(), group.clone());
        run.events.event(&SyncEvent::Removal(RemovalEvent::Group { index, ns, group, step }));
    };
    match try_remove_group(run, ns, group, &emit).await {
        Ok(outcome) => outcome,
        Err(RemovalFailure::Cancelled) => GroupOutcome::Failed,
        Err(error) => {
            let error = chain(&error);
            run.report().failures.add(|| format!("vanished group {}: {error}", group_name(ns, group)));
            emit(GroupStep::Failed(error));
            GroupOutcome::Failed
        }
    }
}

async fn try_remove_group<S: Source, T: Target>(
    run: &RunContext<S, T>,
    ns: &Namespace,
    group: &Group,
    emit: &(impl Fn(GroupStep) + Sync),
) -> Result<GroupOutcome, RemovalFailure> {
    if run.cancel.is_cancelled() {
        return Err(RemovalFailure::Cancelled);
    }
    let locked = match run.target.lock_existing_group(ns, group, &run.options.owner).await {
        Ok(Some(locked)) => locked,
        Ok(None) => return Ok(GroupOutcome::Removed),
        Err(TargetError::OwnerMismatch { .. }) => return Ok(GroupOutcome::Stays),
        Err(error) => return Err(error.into()),
    };
    emit(GroupStep::Removing { location: run.target.location(ns, group, None) });
    let mut snapshots = locked.snapshots(Examine::Nothing).await?;
    snapshots.sort_by_key(|snapshot| snapshot.time);
    let mut is_protected = false;
    for snapshot in snapshots {
        if run.cancel.is_cancelled() {
            return Err(RemovalFailure::Cancelled);
        }
        if snapshot.is_protected {
            is_protected = true;
            continue;
        }
        let time = snapshot.time;
        emit(GroupStep::RemovingSnapshot { time, location: run.target.location(ns, group, Some(time)) });
        match locked.remove_snapshot(time).await? {
            Removed::Yes => run.report().count_removed(|removed| removed.snapshots += 1),
            Removed::Protected => is_protected = true,
            Removed::Gone => {}
        }
    }
    if is_protected {
        emit(GroupStep::KeptProtected);
        return Ok(GroupOutcome::Protected);
    }
    if !locked.remove_if_empty().await? {
        return Ok(GroupOutcome::Stays);
    }
    run.report().count_removed(|removed| removed.groups += 1);
    Ok(GroupOutcome::Removed)
}
