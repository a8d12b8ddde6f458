//! Carries out what pruning decided. Blocking.

use farhold_datastore::{Datastore, DatastoreError, GroupInfo};
use farhold_rules::acl::AclTree;
use farhold_rules::prune_plan::{Decision, Mark, PruneSnapshot};
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{Authid, Group, MAX_NAMESPACE_DEPTH, Namespace, Privileges, Snapshot};
use jiff::tz::TimeZone;

use super::{PruneMode, StorePrune, decide, log};
use crate::namespace_walk::{WalkNeeds, reachable};
use crate::task_work::go_on;

/// What somebody needs to prune. Source: `docs/spec/rest-api.md` 12.7.
const NEEDS: WalkNeeds = WalkNeeds { full: Privileges::DATASTORE_MODIFY, own: Privileges::DATASTORE_PRUNE };

/// A prune of many groups, with everything it looks at.
pub(super) struct PruneRun<'a> {
    pub(super) store: &'a Datastore,
    pub(super) acl: &'a AclTree,
    pub(super) caller: &'a Authid,
    pub(super) zone: &'a TimeZone,
    pub(super) prune: &'a StorePrune,
}

/// Prunes group by group what the caller may prune. A group or snapshot that fails is a warning.
pub(super) fn run(run: PruneRun<'_>, context: &TaskContext) -> Result<(), TaskFailure> {
    let PruneRun { store, acl, caller, zone, prune } = run;
    for line in log::store_opening(prune) {
        context.log(&line);
    }
    if !store.namespace_exists(&prune.ns)? {
        return Err(DatastoreError::NamespaceMissing { namespace: prune.ns.clone() }.into());
    }
    let depth = prune.max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from);
    for ns in store.namespaces(&prune.ns, depth)? {
        let Some(access) = reachable(acl, caller, &prune.store, &ns, NEEDS) else { continue };
        let groups = match store.groups(&ns) {
            Ok(groups) => groups,
            // Removed meanwhile.
            Err(DatastoreError::NamespaceMissing { .. }) => continue,
            Err(error) => {
                context.warn(&format!("failed to list groups of {}: {}", ns.log_name(), text(&error)));
                continue;
            }
        };
        for GroupInfo { group, .. } in groups.into_iter().filter(|info| access.covers(&info.owner)) {
            go_on(context)?;
            context.log(&log::group(&ns, &group));
            let decisions = match decide(store, &ns, &group, &prune.keep, zone) {
                Ok(decisions) => decisions,
                Err(error) => {
                    context.warn(&format!("failed to prune group '{group}': {}", text(&error)));
                    continue;
                }
            };
            match prune.mode {
                PruneMode::Remove => carry_out((store, &ns, &group), &decisions, log::in_store, context)?,
                PruneMode::DryRun => {
                    for Decision { snapshot, mark } in decisions {
                        context.log(&log::in_dry_run(&group.at(snapshot.time), mark));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Tells every decision about a group, oldest snapshot first, and removes what is to be removed.
pub(super) fn carry_out(
    (store, ns, group): (&Datastore, &Namespace, &Group),
    decisions: &[Decision],
    line: fn(&Snapshot, Mark) -> String,
    context: &TaskContext,
) -> Result<(), TaskFailure> {
    for Decision { snapshot: decided, mark } in decisions {
        let snapshot = group.at(decided.time);
        context.log(&line(&snapshot, *mark));
        if mark.keeps() {
            continue;
        }
        go_on(context)?;
        let shown = match store.local_path(ns, group, Some(snapshot.time)) {
            Some(path) => path.display().to_string(),
            None => snapshot.to_string(),
        };
        context.log(&format!("removing backup snapshot \"{shown}\""));
        match remove(store, ns, &snapshot, *decided) {
            Ok(true) => {}
            Ok(false) => context.log(&format!("{snapshot} stays: it was finished or protected meanwhile")),
            Err(DatastoreError::SnapshotMissing { .. }) => context.log(&format!("{snapshot} is gone already")),
            Err(error) => context.warn(&format!("failed to remove snapshot '{snapshot}': {}", text(&error))),
        }
    }
    Ok(())
}

/// Removes a snapshot. Returns `false` if it must stay after all.
fn remove(
    store: &Datastore,
    ns: &Namespace,
    snapshot: &Snapshot,
    decided: PruneSnapshot,
) -> Result<bool, DatastoreError> {
    if !decided.is_finished {
        // Its backup may have ended since the decision; then it is worth as much as any other.
        return store.remove_unfinished(ns, snapshot);
    }
    match store.remove_snapshot(ns, snapshot) {
        Ok(()) => Ok(true),
        Err(DatastoreError::Protected { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn text(error: &DatastoreError) -> String {
    TaskFailure::from_error(error).text().to_owned()
}
