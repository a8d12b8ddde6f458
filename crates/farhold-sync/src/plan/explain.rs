//! Why one snapshot is or is not taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::plan_snapshots;
use farhold_rules::sync_plan::{LocalCondition, LocalSnapshot};
use farhold_types::{FilterAction, Group, GroupFilter, Namespace, Snapshot, SyncDirection};
use tokio_util::sync::CancellationToken;

use crate::options::SyncOptions;
use crate::outcome::{SyncError, chain};
use crate::plan::planner::Planner;
use crate::plan::report::{Explanation, PlannedAction, PlannedReason, PlannedSnapshotRemoval, SnapshotPlan};
use crate::rights::OwnerRights;
use crate::run::discover;
use crate::source::Source;
use crate::target::Target;

/// Returns what the next run would do with one snapshot of the source, and the first rule that decides it.
///
/// `namespace` is the one on the source. A snapshot that does not exist is explained, too. Writes nothing anywhere.
///
/// # Errors
/// As [`crate::plan()`].
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn explain<S: Source, T: Target>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn OwnerRights>,
    namespace: &Namespace,
    snapshot: &Snapshot,
    cancel: CancellationToken,
) -> Result<Explanation, SyncError> {
    let planner = Planner::new(options, source, target, rights, cancel.clone())?;
    let verdict =
        cancel.run_until_cancelled(planner.verdict(namespace, snapshot)).await.ok_or(SyncError::Cancelled)??;
    let (action, reason, removal) = verdict;
    let (direction, namespace, snapshot) = (SyncDirection::Pull, namespace.clone(), snapshot.clone());
    Ok(Explanation { direction, namespace, snapshot, action, reason, removal })
}

type Verdict = (PlannedAction, String, Option<PlannedSnapshotRemoval>);

fn skip(reason: impl Into<String>) -> Verdict {
    (PlannedAction::Skip, reason.into(), None)
}

impl<S: Source, T: Target> Planner<S, T> {
    async fn verdict(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<Verdict, SyncError> {
        let run = &self.run;
        let scope = discover(&*run.source, &run.options, &run.retry).await?;
        let Some(pair) = scope.namespaces.iter().find(|pair| pair.source == *namespace).cloned() else {
            return Ok(skip(outside(&self.run.options, namespace)));
        };
        if let Err(failure) = self.check_parents(&scope.namespaces, &pair).await {
            return Ok(skip(format!("the {} would fail: {failure}", pair.source.log_name())));
        }
        let listed = match run.retry.run(|| run.source.groups(&pair.source)).await {
            Ok(listed) => listed,
            Err(error) => {
                return Ok(skip(format!(
                    "the groups of the {} cannot be listed: {}",
                    pair.source.log_name(),
                    chain(&error)
                )));
            }
        };
        let group = &snapshot.group;
        if !listed.items.contains(group) {
            return Ok(skip(format!("the source lists no group {group} there, or withholds it")));
        }
        if let Some(reason) = filtered(&run.options.group_filter, group) {
            return Ok(skip(reason));
        }
        let listed = run.retry.run(|| run.source.snapshots(&pair.source, group)).await;
        let scouted = match listed {
            Ok(listed) => self.scout(&pair, group, listed).await,
            Err(error) => Err(error.into()),
        };
        let scouted = match scouted {
            Ok(scouted) => scouted,
            Err(failure) => return Ok(skip(format!("the group {group} would fail: {}", chain(&failure)))),
        };
        let local = scouted.seen.map(|seen| seen.snapshots).unwrap_or_default();
        if let Some(action) = scouted.plan.actions.iter().find(|action| action.item.backup_time == snapshot.time) {
            let planned = SnapshotPlan::of(action, crate::scout::has_finished(&local));
            let is_finished = |local: &LocalSnapshot| local.condition != LocalCondition::Unfinished;
            let is_here = local.iter().any(|local| local.time == snapshot.time && is_finished(local));
            let reason = match planned.reason {
                PlannedReason::AlreadySynced if is_here => "the target has it, and compares only its newest snapshot",
                reason => reason.text(),
            };
            return Ok((planned.action, reason.to_owned(), None));
        }
        if !local.iter().any(|local| local.time == snapshot.time) {
            return Ok(skip("neither the source nor the target has it"));
        }
        if !scouted.unreadable.is_empty() {
            return Ok(skip("the source's listing of the group is incomplete, so its copy on the target stays"));
        }
        if !run.options.remove_vanished {
            return Ok(skip("it vanished from the source, and the job keeps what vanished"));
        }
        let removals = plan_snapshots(&scouted.plan.listed(), &local);
        let removal = removals.into_iter().find(|removal| removal.time == snapshot.time).map(Into::into);
        Ok(match removal {
            Some(PlannedSnapshotRemoval { is_protected: true, .. }) => (
                PlannedAction::Skip,
                "it vanished from the source; its copy is protected and stays".to_owned(),
                removal,
            ),
            _ => (
                PlannedAction::Skip,
                "it vanished from the source; its copy on the target is removed".to_owned(),
                removal,
            ),
        })
    }

    /// Checks the namespace as a run would, with those above it that the run creates before.
    async fn check_parents(&self, pairs: &[NamespacePair], pair: &NamespacePair) -> Result<(), String> {
        let mut to_be_created = BTreeSet::new();
        for above in pairs.iter().filter(|other| pair.target.is_at_or_below(&other.target)) {
            let checked = self.check_target(above, &mut to_be_created).await;
            if above == pair {
                return checked.map_err(|failure| chain(&failure));
            }
        }
        Ok(())
    }
}

/// Returns why a namespace of the source is not in the scope of a job.
pub(crate) fn outside(options: &SyncOptions, namespace: &Namespace) -> String {
    let name = namespace.log_name();
    if !namespace.is_at_or_below(&options.source_anchor) {
        return format!("the {name} is not at or below the job's namespace on the source");
    }
    let levels = namespace.depth() - options.source_anchor.depth();
    match options.max_depth {
        Some(max) if usize::from(max) < levels => {
            format!("the {name} is {levels} levels below the job's namespace, and max-depth is {max}")
        }
        _ => format!("the source lists no {name}, or hides it"),
    }
}

/// Returns why the filters leave a group out, if they do.
pub(crate) fn filtered(filters: &[GroupFilter], group: &Group) -> Option<String> {
    if GroupFilter::in_scope(filters, group) {
        return None;
    }
    // The first filter that excludes it decides; otherwise no include filter matches.
    let excluding = filters.iter().find(|filter| filter.action == FilterAction::Exclude && filter.matches(group));
    Some(match excluding {
        Some(filter) => format!("the group filter '{filter}' leaves {group} out"),
        None => format!("none of the job's including group filters matches {group}"),
    })
}
