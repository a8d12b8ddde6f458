//! Why one snapshot is or is not pushed.

use std::sync::Arc;

use farhold_rules::removal_plan::plan_snapshots;
use farhold_types::{Namespace, Snapshot, SyncDirection};
use tokio_util::sync::CancellationToken;

use crate::options::SyncOptions;
use crate::outcome::{SyncError, chain};
use crate::plan::explain::{filtered, outside};
use crate::plan::report::{Explanation, PlannedAction, PlannedReason, PlannedSnapshotRemoval};
use crate::push::group::PlannedGroup;
use crate::push::listing::NamespaceListing;
use crate::push::plan::PushPlanner;
use crate::push::rights::PushRights;
use crate::push::run::discover;
use crate::push::target::PushTarget;
use crate::source::Source;

/// Returns what the next run of a push would do with one snapshot, and the first rule that decides it.
///
/// `namespace` is the one on the source. A snapshot that does not exist is explained, too. Writes nothing anywhere.
///
/// # Errors
/// As [`crate::plan_push()`].
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn explain_push<S: Source, T: PushTarget>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn PushRights>,
    namespace: &Namespace,
    snapshot: &Snapshot,
    cancel: CancellationToken,
) -> Result<Explanation, SyncError> {
    let planner = PushPlanner::new(options, source, target, rights, cancel.clone());
    let verdict = planner.verdict(namespace, snapshot);
    let (action, reason, removal) = cancel.run_until_cancelled(verdict).await.ok_or(SyncError::Cancelled)??;
    let (direction, namespace, snapshot) = (SyncDirection::Push, namespace.clone(), snapshot.clone());
    Ok(Explanation { direction, namespace, snapshot, action, reason, removal })
}

type Verdict = (PlannedAction, String, Option<PlannedSnapshotRemoval>);

fn skip(reason: impl Into<String>) -> Verdict {
    (PlannedAction::Skip, reason.into(), None)
}

impl<S: Source, T: PushTarget> PushPlanner<S, T> {
    async fn verdict(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<Verdict, SyncError> {
        let run = &self.run;
        let mut scope = discover(run).await?;
        let Some(pair) = scope.pairs.iter().find(|pair| pair.source == *namespace).cloned() else {
            if scope.hidden.iter().any(|pair| pair.source == *namespace) {
                return Ok(skip(format!("the {} is hidden from the owner of the job", namespace.log_name())));
            }
            return Ok(skip(outside(&run.options, namespace)));
        };
        let name = pair.source.log_name();
        let is_there = scope.existing.contains(&pair.target);
        if let Some(refusal) = self.open(&mut scope, &pair).refusal {
            return Ok(skip(format!("the {name} would fail: {}", chain(&refusal))));
        }
        let NamespaceListing { source, target } = match NamespaceListing::ask(run.clone(), pair.clone(), is_there).await
        {
            Ok(listing) => listing,
            Err(failure) => return Ok(skip(format!("the {name} would fail: {}", chain(&failure)))),
        };
        let group = &snapshot.group;
        if !source.items.contains(group) {
            return Ok(skip(format!("the source lists no group {group} there, or withholds it")));
        }
        if let Some(reason) = filtered(&run.options.group_filter, group) {
            return Ok(skip(reason));
        }
        let planned = match self.planned(pair.clone(), target, group.clone()).await {
            Ok(planned) => planned,
            Err(reason) => return Ok(skip(format!("the group {group} is left out: {reason}"))),
        };
        let Some(action) = planned.plan.actions.iter().find(|action| action.item.backup_time == snapshot.time) else {
            return Ok(self.vanished(&planned, snapshot));
        };
        let found = self.snapshot(action, &planned);
        let is_on_target = planned.target.finished().any(|time| time == snapshot.time);
        let reason = match found.reason {
            PlannedReason::AlreadySynced if is_on_target => "the target has it".to_owned(),
            PlannedReason::AlreadySynced => {
                "the target has a newer snapshot of the group, and takes none that is older".to_owned()
            }
            reason => reason.text().to_owned(),
        };
        let reason = match self.obstacle(&pair, &planned).filter(|_| found.is_fetched()) {
            Some(obstacle) => format!("{reason}; but {obstacle}"),
            None => reason,
        };
        Ok((found.action, reason, None))
    }

    /// Explains a snapshot that the source does not have.
    fn vanished(&self, planned: &PlannedGroup, snapshot: &Snapshot) -> Verdict {
        let local = planned.target.local();
        if !local.iter().any(|local| local.time == snapshot.time) {
            return skip("neither the source nor the target has it");
        }
        if !planned.unreadable.is_empty() {
            return skip("the source's listing of the group is incomplete, so its copy on the target stays");
        }
        if !self.run.options.remove_vanished {
            return skip("it vanished from the source, and the job keeps what vanished");
        }
        let removals = plan_snapshots(&planned.plan.listed(), &local);
        let removal = removals.into_iter().find(|removal| removal.time == snapshot.time).map(Into::into);
        let reason = match removal {
            Some(PlannedSnapshotRemoval { is_protected: true, .. }) => {
                "it vanished from the source; its copy is protected and stays"
            }
            _ => "it vanished from the source; its copy on the target is removed",
        };
        (PlannedAction::Skip, reason.to_owned(), removal)
    }
}
