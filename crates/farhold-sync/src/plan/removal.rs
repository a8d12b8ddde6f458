//! The dry run's part about vanished groups and namespaces: the run's own judgement, without the removal.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{
    GroupKeep, GroupVerdict, NamespaceKeep, NamespaceRemoval, NamespaceVerdict, is_above, plan_groups, plan_snapshots,
};
use farhold_types::{Group, Namespace};

use crate::context::RunContext;
use crate::plan::report::{PlannedGroupRemoval, PlannedNamespaceRemoval};
use crate::removal::event::KeptBecause;
use crate::removal::groups::{KnownGroups, RemovalFailure, judge_groups};
use crate::removal::namespaces::{NamespaceScope, judge_namespaces, may_be_hidden};
use crate::rights::OwnerRights;
use crate::source::Source;
use crate::target::{Examine, Target};

/// Returns what would become of the vanished groups of a synced namespace.
pub(crate) async fn plan_removed_groups<S: Source, T: Target>(
    run: &RunContext<S, T>,
    pair: &NamespacePair,
    known: &KnownGroups,
) -> Result<Vec<PlannedGroupRemoval>, RemovalFailure> {
    let judged = judge_groups(run, pair, known).await?;
    let mut removed = Vec::new();
    for removal in judged.planned {
        removed.extend(match (removal.verdict, judged.skipped) {
            (GroupVerdict::Remove, Some(reason)) => Some(kept_group(removal.group, reason.text())),
            (verdict, _) => group(run, &pair.target, removal.group, verdict).await?,
        });
    }
    Ok(removed)
}

fn kept_group(group: Group, why: &str) -> PlannedGroupRemoval {
    PlannedGroupRemoval { group, kept: Some(why.to_owned()), snapshots: Vec::new() }
}

/// Returns what would become of one vanished group; nothing for one outside the filter, which is not the job's business.
async fn group<S: Source, T: Target>(
    run: &RunContext<S, T>,
    ns: &Namespace,
    group: Group,
    verdict: GroupVerdict,
) -> Result<Option<PlannedGroupRemoval>, RemovalFailure> {
    Ok(match verdict {
        GroupVerdict::Keep(GroupKeep::OutsideFilter) => None,
        GroupVerdict::Keep(GroupKeep::OtherOwner) => Some(kept_group(group, "it belongs to another owner")),
        GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => Some(kept_group(group, "its owner cannot be read")),
        GroupVerdict::Remove => {
            let seen = run.target.look_at_group(ns, &group, Examine::Nothing).await?;
            seen.map(|seen| {
                let snapshots = plan_snapshots(&BTreeSet::new(), &seen.snapshots);
                PlannedGroupRemoval { group, kept: None, snapshots: snapshots.into_iter().map(Into::into).collect() }
            })
        }
    })
}

/// Returns what would become of the vanished namespaces of a run, in the order of removal.
pub(crate) async fn plan_removed_namespaces<S: Source, T: Target>(
    run: &RunContext<S, T>,
    rights: &Arc<dyn OwnerRights>,
    scope: &NamespaceScope<'_>,
) -> Result<Vec<PlannedNamespaceRemoval>, RemovalFailure> {
    let judged = judge_namespaces(run, rights, scope).await?;
    let mut stay: Vec<Namespace> = Vec::new();
    let mut removed = Vec::new();
    for NamespaceRemoval { namespace, verdict } in judged.planned {
        let mut groups = Vec::new();
        let mut kept = match verdict {
            NamespaceVerdict::Keep(keep) => KeptBecause::Planned(keep).text().map(str::to_owned),
            NamespaceVerdict::Remove => judged.skipped.map(|reason| reason.text().to_owned()),
        };
        let mut stays = kept.is_some() || verdict != NamespaceVerdict::Remove;
        if !stays {
            let why = if stay.iter().any(|child| is_above(&namespace, child)) {
                Some(KeptBecause::Planned(NamespaceKeep::ChildStays))
            } else if may_be_hidden(run, &namespace).await? {
                Some(KeptBecause::MaybeHidden)
            } else {
                let content = content(run, &namespace).await?;
                groups = content.groups;
                content.kept
            };
            stays = why.is_some();
            kept = why.and_then(KeptBecause::text).map(str::to_owned);
        }
        if verdict == NamespaceVerdict::Keep(NamespaceKeep::NotAllowed) {
            let denied = rights.may_modify(&namespace.parent().unwrap_or_default()).err();
            kept = denied.map(|denied| denied.to_string());
        }
        if stays {
            stay.push(namespace.clone());
        }
        // One that the job's owner may not see is not named.
        if verdict != NamespaceVerdict::Keep(NamespaceKeep::NotVisible) {
            removed.push(PlannedNamespaceRemoval { namespace, kept, groups });
        }
    }
    Ok(removed)
}

/// What would become of the groups of a vanished namespace, and why it would stay.
struct Content {
    groups: Vec<PlannedGroupRemoval>,
    kept: Option<KeptBecause>,
}

async fn content<S: Source, T: Target>(run: &RunContext<S, T>, ns: &Namespace) -> Result<Content, RemovalFailure> {
    let local = run.target.groups(ns).await?;
    let mut content = Content { groups: Vec::new(), kept: None };
    let mut reasons = BTreeSet::new();
    for removal in plan_groups(&BTreeSet::new(), &local, &run.options.owner, &run.options.group_filter) {
        let planned = group(run, ns, removal.group, removal.verdict).await?;
        let has_protected =
            planned.as_ref().is_some_and(|group| group.snapshots.iter().any(|snapshot| snapshot.is_protected));
        reasons.extend(match removal.verdict {
            GroupVerdict::Keep(keep) => Some(keep.into()),
            GroupVerdict::Remove => has_protected.then_some(KeptBecause::Protected),
        });
        content.groups.extend(planned);
    }
    content.kept = reasons.first().copied();
    Ok(content)
}
