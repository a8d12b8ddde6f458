//! The dry run's part about what vanished: the run's own judgement, without the removal.

use std::collections::BTreeSet;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{
    GroupKeep, GroupVerdict, NamespaceKeep, NamespaceRemoval, NamespaceVerdict, is_above, plan_groups, plan_snapshots,
};
use farhold_rules::sync_plan::LocalSnapshot;
use farhold_types::{Group, Namespace};

use crate::outcome::chain;
use crate::plan::report::{PlannedGroupRemoval, PlannedNamespaceRemoval};
use crate::push::context::PushRun;
use crate::push::listing::{TargetListing, local_snapshots};
use crate::push::removal::groups::{all_owned, judge_groups};
use crate::push::removal::namespaces::{PushedNamespaces, judge_namespaces};
use crate::push::target::{PushTarget, RemoteError};
use crate::removal::event::KeptBecause;
use crate::removal::groups::KnownGroups;
use crate::source::Source;

/// Returns what would become of the vanished groups of a synced namespace.
pub(crate) async fn plan_removed_groups<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pair: &NamespacePair,
    known: &KnownGroups,
    target: &TargetListing,
) -> Result<Vec<PlannedGroupRemoval>, String> {
    let judged = judge_groups(run, pair, known, &all_owned(target.groups())).await.map_err(|error| chain(&error))?;
    let mut removed = Vec::new();
    for removal in judged.planned {
        removed.extend(match (removal.verdict, judged.skipped) {
            (GroupVerdict::Remove, Some(reason)) => Some(kept(removal.group, reason.text())),
            (verdict, _) => group(run, &pair.target, removal.group, verdict).await.map_err(|error| chain(&error))?,
        });
    }
    Ok(removed)
}

fn kept(group: Group, why: &str) -> PlannedGroupRemoval {
    PlannedGroupRemoval { group, kept: Some(why.to_owned()), snapshots: Vec::new() }
}

/// Returns what would become of one vanished group; nothing for one outside the filter, which is not the job's business.
async fn group<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    ns: &Namespace,
    group: Group,
    verdict: GroupVerdict,
) -> Result<Option<PlannedGroupRemoval>, RemoteError> {
    Ok(match verdict {
        GroupVerdict::Keep(GroupKeep::OutsideFilter) => None,
        GroupVerdict::Keep(GroupKeep::OtherOwner) => Some(kept(group, "it belongs to another owner")),
        GroupVerdict::Keep(GroupKeep::OwnerUnreadable) => Some(kept(group, "its owner cannot be read")),
        GroupVerdict::Remove => Some(match run.rights.may_prune(ns) {
            Err(denied) => kept(group, &denied.to_string()),
            Ok(()) => {
                let listed = run.retry.run(|| run.target.snapshots(ns, &group)).await?;
                let local: Vec<LocalSnapshot> = local_snapshots(&listed.items);
                let snapshots = plan_snapshots(&BTreeSet::new(), &local).into_iter().map(Into::into).collect();
                PlannedGroupRemoval { group, kept: None, snapshots }
            }
        }),
    })
}

/// Returns what would become of the vanished namespaces of a run, in the order of removal.
pub(crate) async fn plan_removed_namespaces<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pushed: &PushedNamespaces<'_>,
) -> Result<Vec<PlannedNamespaceRemoval>, String> {
    let judged = judge_namespaces(run, pushed).await?;
    let mut stay: Vec<Namespace> = Vec::new();
    let mut removed = Vec::new();
    for NamespaceRemoval { namespace, verdict } in judged.planned {
        let mut groups = Vec::new();
        let why = match (verdict, judged.skipped) {
            (NamespaceVerdict::Keep(NamespaceKeep::NotAllowed), _) => {
                run.rights.may_modify(&namespace).err().map(|denied| denied.to_string())
            }
            (NamespaceVerdict::Keep(keep), _) => KeptBecause::Planned(keep).text().map(str::to_owned),
            (NamespaceVerdict::Remove, Some(reason)) => Some(reason.text().to_owned()),
            (NamespaceVerdict::Remove, None) if stay.iter().any(|child| is_above(&namespace, child)) => {
                KeptBecause::Planned(NamespaceKeep::ChildStays).text().map(str::to_owned)
            }
            (NamespaceVerdict::Remove, None) => {
                let content = content(run, &namespace).await.map_err(|error| chain(&error))?;
                groups = content.0;
                content.1.and_then(KeptBecause::text).map(str::to_owned)
            }
        };
        if why.is_some() {
            stay.push(namespace.clone());
        }
        removed.push(PlannedNamespaceRemoval { namespace, kept: why, groups });
    }
    Ok(removed)
}

/// Returns what would become of the groups of a vanished namespace, and why it would stay.
async fn content<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    ns: &Namespace,
) -> Result<(Vec<PlannedGroupRemoval>, Option<KeptBecause>), RemoteError> {
    let listed = run.retry.run(|| run.target.groups(ns)).await?;
    let mut groups = Vec::new();
    let mut reasons = BTreeSet::new();
    let on_source = BTreeSet::new();
    let local = all_owned(&listed.items);
    for removal in plan_groups(&on_source, &local, run.target.account(), &run.options.group_filter) {
        let planned = group(run, ns, removal.group, removal.verdict).await?;
        let has_protected =
            planned.as_ref().is_some_and(|group| group.snapshots.iter().any(|snapshot| snapshot.is_protected));
        let is_denied = planned.as_ref().is_some_and(|group| group.kept.is_some());
        reasons.extend(match removal.verdict {
            GroupVerdict::Keep(keep) => Some(keep.into()),
            GroupVerdict::Remove if is_denied => Some(KeptBecause::GroupFailed),
            GroupVerdict::Remove => has_protected.then_some(KeptBecause::Protected),
        });
        groups.extend(planned);
    }
    Ok((groups, reasons.first().copied()))
}
