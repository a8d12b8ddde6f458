//! Vanished groups, at the end of their namespace.

use std::sync::Arc;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{GroupKeep, GroupRemoval, GroupVerdict, OwnedGroup, plan_groups};
use farhold_types::{Group, GroupItem, Namespace};

use crate::event::{EventSink, NamespaceIndex, SyncEvent};
use crate::outcome::{chain, group_name};
use crate::push::context::{Peer, PushRun};
use crate::push::target::PushTarget;
use crate::removal::event::{GroupStep, RemovalEvent, SkippedBecause};
use crate::removal::groups::{JudgedGroups, KnownGroups};
use crate::source::{Source, SourceError};

/// Returns a group of the target as the rules of removal see it.
pub(crate) fn owned(item: &GroupItem) -> OwnedGroup {
    OwnedGroup { group: item.group(), owner: item.owner.clone() }
}

/// Finds out what happens to the vanished groups of a namespace. Only reads, and from the source only.
///
/// `local`: the groups of the target as they were listed before the namespace was pushed.
pub(crate) async fn judge_groups<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pair: &NamespacePair,
    known: &KnownGroups,
    local: &[OwnedGroup],
) -> Result<JudgedGroups, SourceError> {
    let (account, filters) = (run.target.account(), &run.options.group_filter);
    let mut planned = plan_groups(known.groups(), local, account, filters);
    if !planned.iter().any(|removal| removal.verdict == GroupVerdict::Remove) {
        return Ok(JudgedGroups { planned, skipped: None });
    }
    let again = KnownGroups::of(&run.source.groups(&pair.source).await?);
    if !known.is_complete() || !again.is_complete() {
        return Ok(JudgedGroups { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    planned.retain(|removal| !again.groups().contains(&removal.group));
    Ok(JudgedGroups { planned, skipped: None })
}

/// Removing the groups of one namespace.
pub(crate) struct GroupRemover<'a, S: Source, T: PushTarget> {
    pub(crate) run: &'a PushRun<S, T>,
    pub(crate) peer: Peer,
    pub(crate) events: &'a Arc<dyn EventSink>,
    /// The synced namespace in whose turn this happens; none for one that vanished itself.
    pub(crate) index: Option<NamespaceIndex>,
    pub(crate) ns: &'a Namespace,
}

/// How the removal of a group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupOutcome {
    Removed,
    Protected,
    Failed,
}

impl<S: Source, T: PushTarget> GroupRemover<'_, S, T> {
    fn emit(&self, event: RemovalEvent) {
        self.events.event(&SyncEvent::Removal(event));
    }

    /// Removes the groups of a synced namespace that vanished from the source. Failures go into the report.
    pub(crate) async fn remove_vanished(&self, pair: &NamespacePair, known: &KnownGroups, local: &[OwnedGroup]) {
        let (index, ns) = (self.index, self.ns);
        let judged = match judge_groups(self.run, pair, known, local).await {
            Ok(judged) => judged,
            Err(error) => {
                let error = chain(&error);
                self.run.report().failures.add(|| format!("vanished groups of {}: {error}", ns.log_name()));
                self.emit(RemovalEvent::Failed { index, ns: ns.clone(), error });
                return;
            }
        };
        if let Some(reason) = judged.skipped {
            self.emit(RemovalEvent::Skipped { index, ns: ns.clone(), reason });
        }
        for GroupRemoval { group, verdict } in judged.planned {
            match verdict {
                GroupVerdict::Remove if judged.skipped.is_none() && !self.run.cancel.is_cancelled() => {
                    self.remove(&group).await;
                }
                GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => {
                    self.emit(RemovalEvent::Group { index, ns: ns.clone(), group, step: GroupStep::OwnerUnreadable });
                }
                // Silently: it is none of the job's business, or was told above.
                GroupVerdict::Remove | GroupVerdict::Keep(GroupKeep::OutsideFilter | GroupKeep::OtherOwner) => {}
            }
        }
    }

    /// Removes a group as far as it is not protected, tells how it went, and counts.
    pub(crate) async fn remove(&self, group: &Group) -> GroupOutcome {
        let (run, ns) = (self.run, self.ns);
        let emit = |step| {
            let (ns, group) = (ns.clone(), group.clone());
            self.emit(RemovalEvent::Group { index: self.index, ns, group, step });
        };
        let answer = self.peer.answer;
        let removed = match run.rights.may_prune(ns) {
            Ok(()) => {
                let is_gone = || async {
                    let listed = run.target.groups(ns).await?;
                    Ok(listed.unreadable.is_empty() && listed.items.iter().all(|item| item.group() != *group))
                };
                let removed = run.remove(|| run.target.delete_group(ns, group, answer), is_gone).await;
                removed.map(Option::flatten).map_err(|error| chain(&error))
            }
            Err(denied) => Err(format!("pruning remote datastore contents not allowed - {denied}")),
        };
        let statistics = match removed {
            Ok(statistics) => statistics,
            Err(_) if run.cancel.is_cancelled() => return GroupOutcome::Failed,
            Err(error) => {
                run.report().failures.add(|| format!("vanished group {}: {error}", group_name(ns, group)));
                emit(GroupStep::Failed(error));
                return GroupOutcome::Failed;
            }
        };
        let protected = statistics.map_or(0, |statistics| statistics.protected_snapshots);
        let snapshots = statistics.map_or(0, |statistics| statistics.removed_snapshots);
        run.report().count_removed(|removed| {
            removed.snapshots += usize::try_from(snapshots).unwrap_or(usize::MAX);
            removed.groups += usize::from(protected == 0);
        });
        if protected == 0 {
            emit(GroupStep::Removed);
            return GroupOutcome::Removed;
        }
        emit(GroupStep::KeptSome(protected));
        GroupOutcome::Protected
    }
}

/// Returns the groups of a target as the rules of removal see them.
pub(crate) fn all_owned<'a>(items: impl IntoIterator<Item = &'a GroupItem>) -> Vec<OwnedGroup> {
    items.into_iter().map(owned).collect()
}
