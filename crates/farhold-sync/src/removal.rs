//! Removing what vanished from the source: snapshots at the end of their group, groups at the end of their namespace,
//! namespaces at the end of the run.
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
use std::sync::Arc;

use farhold_rules::namespace_map::{NamespacePair, map_namespaces};
use farhold_rules::removal_plan::{
    GroupKeep, GroupVerdict, NamespaceFacts, NamespaceKeep, NamespaceRemoval, NamespaceRight, NamespaceVerdict,
    SnapshotVerdict, is_above, plan_groups, plan_namespaces, plan_snapshots, shows_whole_tree,
};
use farhold_rules::sync_plan::LocalSnapshot;
use farhold_types::{Epoch, Group, Namespace};
use thiserror::Error;

use crate::context::RunContext;
use crate::event::{GroupEvent, NamespaceIndex, SyncEvent};
use crate::outcome::{GroupFailure, chain, group_name};
use crate::removal_event::{GroupStep, KeptBecause, NamespaceStep, RemovalEvent, SkippedBecause};
use crate::rights::OwnerRights;
use crate::source::{Listed, Source, SourceError, Visibility};
use crate::target::{Examine, Removed, Target, TargetError, TargetGroup};

/// Why what vanished from a namespace could not be found out.
#[derive(Debug, Error)]
enum RemovalFailure {
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
async fn ask<S: Source, T: Target, R, F: Future<Output = Result<R, SourceError>>>(
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
}

/// Removes the groups of a synced namespace that vanished from the source. Failures go into the report.
pub(crate) async fn remove_groups<S: Source, T: Target>(
    run: &RunContext<S, T>,
    index: NamespaceIndex,
    pair: &NamespacePair,
    known: &KnownGroups,
) {
    let removal = |event| run.events.event(&SyncEvent::Removal(event));
    match vanished_groups(run, index, pair, known).await {
        Ok(vanished) => {
            for group in vanished {
                let _ = remove_group(run, Some(index), &pair.target, &group).await;
            }
        }
        Err(RemovalFailure::Cancelled) => {}
        Err(error) => {
            let error = chain(&error);
            run.report().failures.add(|| format!("vanished groups of {}: {error}", pair.target.log_name()));
            removal(RemovalEvent::Failed { index: Some(index), ns: pair.target.clone(), error });
        }
    }
}

async fn vanished_groups<S: Source, T: Target>(
    run: &RunContext<S, T>,
    index: NamespaceIndex,
    pair: &NamespacePair,
    known: &KnownGroups,
) -> Result<Vec<Group>, RemovalFailure> {
    let removal = |event| run.events.event(&SyncEvent::Removal(event));
    let skipped = |reason| {
        removal(RemovalEvent::Skipped { index: Some(index), ns: pair.target.clone(), reason });
        Ok(Vec::new())
    };
    let local = run.target.groups(&pair.target).await?;
    let mut vanished = Vec::new();
    for planned in plan_groups(&known.groups, &local, &run.options.owner, &run.options.group_filter) {
        match planned.verdict {
            GroupVerdict::Remove => vanished.push(planned.group),
            GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => {
                let (ns, step) = (pair.target.clone(), GroupStep::OwnerUnreadable);
                removal(RemovalEvent::Group { index: Some(index), ns, group: planned.group, step });
            }
            GroupVerdict::Keep(GroupKeep::OutsideFilter | GroupKeep::OtherOwner) => {}
        }
    }
    if vanished.is_empty() {
        return Ok(vanished);
    }
    if !known.is_complete {
        return skipped(SkippedBecause::Incomplete);
    }
    let again = KnownGroups::of(&ask(run, || run.source.groups(&pair.source)).await?);
    if !again.is_complete {
        return skipped(SkippedBecause::Incomplete);
    }
    if again.groups.is_empty() && ask(run, || run.source.visibility(&pair.source)).await? != Visibility::Everything {
        return skipped(SkippedBecause::MaybeHidden);
    }
    vanished.retain(|group| !again.groups.contains(group));
    Ok(vanished)
}

/// How the removal of a group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupOutcome {
    Removed,
    Protected,
    /// It belongs to somebody else by now, or something else than a snapshot is in it.
    Stays,
    Failed,
}

/// Removes a vanished group as far as it is not protected, tells how it went, and counts.
async fn remove_group<S: Source, T: Target>(
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

/// What is known about the namespaces of a run when all of them are done.
pub(crate) struct NamespaceScope<'a> {
    /// All that were synced or tried.
    pub(crate) pairs: &'a [NamespacePair],
    /// Those of them that failed, on the target.
    pub(crate) failed: &'a [Namespace],
    /// Whether the source's listing was understood completely.
    pub(crate) is_complete: bool,
    /// Whether it showed the parents of everything that it listed.
    pub(crate) is_whole: bool,
}

/// Removes the namespaces below the target anchor that vanished from the source. Failures go into the report.
pub(crate) async fn remove_namespaces<S: Source, T: Target>(
    run: &RunContext<S, T>,
    rights: &Arc<dyn OwnerRights>,
    scope: &NamespaceScope<'_>,
) {
    match vanished_namespaces(run, rights, scope).await {
        Ok(planned) => NamespaceRemover { run, rights, stay: Vec::new() }.remove_all(planned).await,
        Err(RemovalFailure::Cancelled) => {}
        Err(error) => {
            let (error, ns) = (chain(&error), run.options.target_anchor.clone());
            run.report().failures.add(|| format!("vanished namespaces: {error}"));
            run.events.event(&SyncEvent::Removal(RemovalEvent::Failed { index: None, ns, error }));
        }
    }
}

async fn vanished_namespaces<S: Source, T: Target>(
    run: &RunContext<S, T>,
    rights: &Arc<dyn OwnerRights>,
    scope: &NamespaceScope<'_>,
) -> Result<Vec<NamespaceRemoval>, RemovalFailure> {
    let (anchor, options) = (&run.options.target_anchor, &run.options);
    let local = run.target.namespaces(anchor).await?;
    let plan = |pairs: &[NamespacePair]| {
        let facts = NamespaceFacts {
            source_anchor: &options.source_anchor,
            target_anchor: anchor,
            max_depth: options.max_depth,
            pairs,
            failed: scope.failed,
            local: &local,
        };
        plan_namespaces(&facts, |ns| right(rights, ns))
    };
    let planned = plan(scope.pairs);
    if !planned.iter().any(|removal| removal.verdict == NamespaceVerdict::Remove) {
        return Ok(planned);
    }
    let skipped = |reason| {
        run.events.event(&SyncEvent::Removal(RemovalEvent::Skipped { index: None, ns: anchor.clone(), reason }));
        Ok(Vec::new())
    };
    if !scope.is_complete {
        return skipped(SkippedBecause::Incomplete);
    }
    let again = ask(run, || run.source.namespaces(&options.source_anchor, options.max_depth)).await?;
    if !again.unreadable.is_empty() {
        return skipped(SkippedBecause::Incomplete);
    }
    if !scope.is_whole || !shows_whole_tree(&again.items, &options.source_anchor) {
        return skipped(SkippedBecause::Hidden);
    }
    // What cannot be mapped now could be when the run began; the next one will say so.
    let Ok(mut pairs) = map_namespaces(again.items, &options.source_anchor, anchor, options.max_depth) else {
        return skipped(SkippedBecause::Incomplete);
    };
    pairs.extend_from_slice(scope.pairs);
    Ok(plan(&pairs))
}

fn right(rights: &Arc<dyn OwnerRights>, ns: &Namespace) -> NamespaceRight {
    if !rights.may_see(ns) {
        NamespaceRight::Nothing
    } else if rights.may_modify(&ns.parent().unwrap_or_default()).is_err() {
        NamespaceRight::See
    } else {
        NamespaceRight::Remove
    }
}

struct NamespaceRemover<'a, S: Source, T: Target> {
    run: &'a RunContext<S, T>,
    rights: &'a Arc<dyn OwnerRights>,
    /// What had to stay so far; nothing above it is touched.
    stay: Vec<Namespace>,
}

impl<S: Source, T: Target> NamespaceRemover<'_, S, T> {
    async fn remove_all(mut self, planned: Vec<NamespaceRemoval>) {
        for NamespaceRemoval { namespace, verdict } in planned {
            if self.run.cancel.is_cancelled() {
                return;
            }
            let emit = |step| {
                self.run.events.event(&SyncEvent::Removal(RemovalEvent::Namespace { ns: namespace.clone(), step }));
            };
            let kept = match verdict {
                NamespaceVerdict::Keep(NamespaceKeep::NotAllowed) => {
                    if let Err(denied) = self.rights.may_modify(&namespace.parent().unwrap_or_default()) {
                        let failures = &mut self.run.report().failures;
                        failures.add(|| format!("removing namespace {namespace} not allowed: {denied}"));
                        emit(NamespaceStep::Denied(denied.to_string()));
                    }
                    Some(KeptBecause::Planned(NamespaceKeep::NotAllowed))
                }
                NamespaceVerdict::Keep(keep) => Some(KeptBecause::Planned(keep)),
                NamespaceVerdict::Remove if self.stay.iter().any(|child| is_above(&namespace, child)) => {
                    Some(KeptBecause::Planned(NamespaceKeep::ChildStays))
                }
                NamespaceVerdict::Remove => match self.remove(&namespace, &emit).await {
                    Ok(kept) => kept,
                    Err(RemovalFailure::Cancelled) => return,
                    Err(error) => {
                        let error = chain(&error);
                        self.run.report().failures.add(|| format!("vanished namespace {namespace}: {error}"));
                        emit(NamespaceStep::Failed(error));
                        self.stay.push(namespace);
                        continue;
                    }
                },
            };
            match kept {
                Some(reason) => {
                    emit(NamespaceStep::Kept(reason));
                    self.stay.push(namespace);
                }
                None => {
                    self.run.report().count_removed(|removed| removed.namespaces += 1);
                    emit(NamespaceStep::Removed);
                }
            }
        }
    }

    /// Removes what may be removed of a namespace, and itself if nothing is left. Returns why it stays.
    async fn remove(
        &self,
        ns: &Namespace,
        emit: &impl Fn(NamespaceStep),
    ) -> Result<Option<KeptBecause>, RemovalFailure> {
        let (run, options) = (self.run, &self.run.options);
        // A name that has no counterpart cannot exist there.
        if let Ok(source_ns) = ns.remap(&options.target_anchor, &options.source_anchor)
            && ask(run, || run.source.visibility(&source_ns)).await? == Visibility::Nothing
        {
            return Ok(Some(KeptBecause::MaybeHidden));
        }
        emit(NamespaceStep::Removing);
        let local = run.target.groups(ns).await?;
        let mut reasons = BTreeSet::new();
        for planned in plan_groups(&BTreeSet::new(), &local, &options.owner, &options.group_filter) {
            let reason = match planned.verdict {
                GroupVerdict::Keep(GroupKeep::OutsideFilter) => Some(KeptBecause::OutsideFilter),
                GroupVerdict::Keep(GroupKeep::OtherOwner) => Some(KeptBecause::OtherOwner),
                GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => Some(KeptBecause::NotEmpty),
                GroupVerdict::Remove => match remove_group(run, None, ns, &planned.group).await {
                    GroupOutcome::Removed => None,
                    GroupOutcome::Protected => Some(KeptBecause::Protected),
                    GroupOutcome::Stays => Some(KeptBecause::OtherOwner),
                    GroupOutcome::Failed => Some(KeptBecause::GroupFailed),
                },
            };
            reasons.extend(reason);
        }
        if run.cancel.is_cancelled() {
            return Err(RemovalFailure::Cancelled);
        }
        if run.target.remove_empty_namespace(ns).await? {
            return Ok(None);
        }
        Ok(Some(reasons.first().copied().unwrap_or(KeptBecause::NotEmpty)))
    }
}
