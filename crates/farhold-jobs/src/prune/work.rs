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
use crate::work_progress::{Work, WorkProgress};

/// What somebody needs to prune. Source: `docs/spec/rest-api.md` 12.7.
const NEEDS: WalkNeeds = WalkNeeds { full: Privileges::DATASTORE_MODIFY, own: Privileges::DATASTORE_PRUNE };

/// A prune of many groups, with everything it looks at.
pub(super) struct PruneRun<'a> {
    pub(super) store: &'a Datastore,
    pub(super) acl: &'a AclTree,
    pub(super) caller: &'a Authid,
    pub(super) zone: &'a TimeZone,
    pub(super) prune: &'a StorePrune,
    pub(super) progress: &'a WorkProgress,
}

/// Prunes group by group what the caller may prune. A group or snapshot that fails is a warning.
pub(super) fn run(run: PruneRun<'_>, context: &TaskContext) -> Result<(), TaskFailure> {
    let PruneRun { store, zone, prune, progress, .. } = run;
    for line in log::store_opening(prune) {
        context.log(&line);
    }
    let groups = groups(&run, context)?;
    let all = share(groups.len());
    progress.begin(Work::PruneGroups, Some(all));
    for (number, (ns, group)) in groups.iter().enumerate() {
        go_on(context)?;
        progress.reach(share(number), all);
        let decisions = match decide(store, ns, group, &prune.keep, zone) {
            Ok(decisions) => decisions,
            // Removed meanwhile.
            Err(DatastoreError::GroupMissing { .. } | DatastoreError::NamespaceMissing { .. }) => continue,
            Err(error) => {
                context.log(&log::group(ns, group));
                context.warn(&format!("failed to prune group '{group}': {}", text(&error)));
                continue;
            }
        };
        context.log(&log::group(ns, group));
        match prune.mode {
            PruneMode::Remove => {
                let of_group = share(decisions.len());
                let on_done = |done| progress.reach(share(number) + share(done) / of_group, all);
                carry_out((store, ns, group), &decisions, log::in_store, &on_done, context)?;
            }
            PruneMode::DryRun => {
                for Decision { snapshot, mark } in decisions {
                    context.log(&log::in_dry_run(&group.at(snapshot.time), mark));
                }
            }
        }
    }
    progress.reach(all, all);
    Ok(())
}

/// Lists the groups that the caller may prune.
fn groups(run: &PruneRun<'_>, context: &TaskContext) -> Result<Vec<(Namespace, Group)>, TaskFailure> {
    let PruneRun { store, acl, caller, prune, .. } = run;
    if !store.namespace_exists(&prune.ns)? {
        return Err(DatastoreError::NamespaceMissing { namespace: prune.ns.clone() }.into());
    }
    let depth = prune.max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from);
    let mut found = Vec::new();
    for ns in store.namespaces(&prune.ns, depth)? {
        let Some(access) = reachable(acl, caller, &prune.store, &ns, NEEDS) else { continue };
        go_on(context)?;
        match store.groups(&ns) {
            Ok(groups) => {
                let reached = groups.into_iter().filter(|info| access.covers(&info.owner));
                found.extend(reached.map(|GroupInfo { group, .. }| (ns.clone(), group)));
            }
            // Removed meanwhile.
            Err(DatastoreError::NamespaceMissing { .. }) => {}
            Err(error) => context.warn(&format!("failed to list groups of {}: {}", ns.log_name(), text(&error))),
        }
    }
    Ok(found)
}

#[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
pub(super) const fn share(count: usize) -> f64 {
    count as f64
}

/// Tells every decision about a group, oldest snapshot first, and removes what is to be removed.
///
/// `on_done`: gets the number of snapshots that are dealt with, after each.
pub(super) fn carry_out(
    (store, ns, group): (&Datastore, &Namespace, &Group),
    decisions: &[Decision],
    line: fn(&Snapshot, Mark) -> String,
    on_done: &dyn Fn(usize),
    context: &TaskContext,
) -> Result<(), TaskFailure> {
    for (number, Decision { snapshot: decided, mark }) in decisions.iter().enumerate() {
        on_done(number);
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
