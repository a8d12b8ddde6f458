//! Vanished snapshots, at the end of their group.

use std::collections::BTreeSet;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::{SnapshotVerdict, plan_snapshots};
use farhold_types::Epoch;

use crate::event::GroupEvent;
use crate::outcome::{GroupFailure, chain, group_name};
use crate::push::context::{GroupEvents, PushRun};
use crate::push::listing::TargetGroup;
use crate::push::target::PushTarget;
use crate::source::Source;

/// Removes the snapshots of a group that vanished from the source, unfinished ones too.
///
/// `listed`: times that the source listed before the group was pushed. `is_complete`: whether that was understood.
///
/// # Errors
/// The source cannot be asked again, or the run was cancelled. What the target or the rights refuse is told and counted as
/// a failure, and the others are dealt with.
pub(crate) async fn remove_snapshots<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pair: &NamespacePair,
    events: &GroupEvents,
    listed: &BTreeSet<Epoch>,
    is_complete: bool,
    target: &TargetGroup,
) -> Result<(), GroupFailure> {
    let group = &events.group;
    let mut planned = plan_snapshots(listed, &target.local());
    if planned.iter().any(|removal| removal.verdict == SnapshotVerdict::Remove) {
        let again = run.source.snapshots(&pair.source, group).await?;
        if !is_complete || !again.unreadable.is_empty() {
            let text = "not removing vanished snapshots, because the source's listing is incomplete";
            events.emit(GroupEvent::Warning(text.to_owned()));
            return Ok(());
        }
        let listed: BTreeSet<Epoch> = again.items.iter().map(|item| item.backup_time).collect();
        // A group that is gone, or hidden, since it was listed is a matter of the next run.
        if listed.is_empty() {
            let groups = run.source.groups(&pair.source).await?;
            if !groups.items.contains(group) {
                return Ok(());
            }
        }
        planned.retain(|removal| !listed.contains(&removal.time));
    }
    let allowed = run.rights.may_prune(&pair.target);
    for removal in planned {
        if run.cancel.is_cancelled() {
            return Err(GroupFailure::Cancelled);
        }
        let time = removal.time;
        if removal.verdict == SnapshotVerdict::KeepProtected {
            events.emit(GroupEvent::KeptProtected(time));
            continue;
        }
        let snapshot = group.at(time);
        let removed = match &allowed {
            Ok(()) => run.remove_snapshot(&pair.target, &snapshot).await.map_err(|e| chain(&e)),
            Err(denied) => Err(format!("pruning remote datastore contents not allowed - {denied}")),
        };
        match removed {
            Ok(()) => {
                run.report().count_removed(|removed| removed.snapshots += 1);
                events.emit(GroupEvent::VanishedRemoved(time));
            }
            Err(_) if run.cancel.is_cancelled() => return Err(GroupFailure::Cancelled),
            Err(error) => {
                let name = group_name(&pair.target, group);
                run.report().failures.add(|| format!("vanished snapshot {name}/{time}: {error}"));
                events.emit(GroupEvent::VanishedStays { time, error });
            }
        }
    }
    Ok(())
}
