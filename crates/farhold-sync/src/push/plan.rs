//! The dry run of a push: what a run would do, found with the run's own discovery, selection, planning and judgement.
//!
//! Reads only, and opens no session. What only a session tells (a busy group, a damaged chunk) shows first in the run.

use std::sync::Arc;

use farhold_rules::encrypt_plan::{KeyAtHand, PushForm, encrypt_plan};
use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::plan_snapshots;
use farhold_rules::sync_plan::{Action, ActionKind, select_groups};
use farhold_types::{CLIENT_LOG_NAME, Group, MANIFEST_NAME, Namespace, SnapshotItem, SyncDirection};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::event::SyncEvent;
use crate::options::SyncOptions;
use crate::outcome::{GroupFailure, NamespaceFailure, SyncError, chain};
use crate::plan::planner::GROUPS_AT_ONCE;
use crate::plan::report::{GroupReport, NamespacePlan, PlannedAction, PlannedReason, RunPlan, SnapshotPlan};
use crate::push::context::PushRun;
use crate::push::group::PlannedGroup;
use crate::push::listing::{NamespaceListing, TargetListing, plan_one};
use crate::push::plan_removal::{plan_removed_groups, plan_removed_namespaces};
use crate::push::removal::namespaces::PushedNamespaces;
use crate::push::rights::PushRights;
use crate::push::run::{PushScope, discover};
use crate::push::target::PushTarget;
use crate::removal::groups::KnownGroups;
use crate::source::Source;

/// Returns what a push with these arguments would do. Writes nothing anywhere.
///
/// # Errors
/// Those of [`crate::push()`] that end a run before it begins. What would fail only a namespace or group is told there.
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn plan_push<S: Source, T: PushTarget>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn PushRights>,
    cancel: CancellationToken,
) -> Result<RunPlan, SyncError> {
    let planner = PushPlanner::new(options, source, target, rights, cancel.clone());
    cancel.run_until_cancelled(planner.plan()).await.ok_or(SyncError::Cancelled)?
}

/// Looks at both sides.
pub(crate) struct PushPlanner<S: Source, T: PushTarget> {
    pub(crate) run: Arc<PushRun<S, T>>,
}

/// A namespace, as far as it would come.
pub(crate) struct Opened {
    pub(crate) is_missing_on_target: bool,
    pub(crate) refusal: Option<NamespaceFailure>,
}

impl<S: Source, T: PushTarget> PushPlanner<S, T> {
    pub(crate) fn new(
        options: SyncOptions,
        source: Arc<S>,
        target: Arc<T>,
        rights: Arc<dyn PushRights>,
        cancel: CancellationToken,
    ) -> Self {
        let nobody = Arc::new(|_: &SyncEvent| ());
        Self { run: Arc::new(PushRun::new(options, source, target, rights, nobody, cancel)) }
    }

    async fn plan(&self) -> Result<RunPlan, SyncError> {
        let run = &self.run;
        let mut scope = discover(run).await?;
        let unreadable = scope.unreadable.clone();
        let mut plan = RunPlan { direction: SyncDirection::Push, unreadable, ..RunPlan::default() };
        for pair in scope.pairs.clone() {
            let is_there = scope.existing.contains(&pair.target);
            let opened = self.open(&mut scope, &pair);
            plan.namespaces.push(self.namespace(pair, is_there, opened).await);
        }
        if run.options.remove_vanished && run.options.max_depth != Some(0) {
            let failed = plan.failed_namespaces();
            let pairs = [&scope.pairs[..], &scope.hidden].concat();
            let (existing, is_complete) = (&scope.existing, scope.is_target_complete);
            let pushed = PushedNamespaces { pairs: &pairs, failed: &failed, existing, is_complete };
            match plan_removed_namespaces(run, &pushed).await {
                Ok(removed) => plan.removed_namespaces = removed,
                Err(failure) => plan.removal_failure = Some(failure),
            }
        }
        plan.count_fetched();
        Ok(plan)
    }

    /// Checks what a run checks when it opens a namespace, and notes what it would create.
    pub(crate) fn open(&self, scope: &mut PushScope, pair: &NamespacePair) -> Opened {
        let (ns, rights) = (&pair.target, &self.run.rights);
        let is_missing_on_target = !scope.existing.contains(ns);
        if is_missing_on_target {
            if let Err(source) = rights.may_modify(ns) {
                return Opened { is_missing_on_target, refusal: Some(NamespaceFailure::CreateRemoteDenied { source }) };
            }
            scope.existing.extend(std::iter::successors(Some(ns.clone()), Namespace::parent));
        }
        Opened { is_missing_on_target, refusal: rights.may_backup(ns).err().map(NamespaceFailure::Denied) }
    }

    async fn namespace(&self, pair: NamespacePair, is_there: bool, opened: Opened) -> NamespacePlan {
        let run = &self.run;
        let Opened { is_missing_on_target, refusal } = opened;
        let mut plan = NamespacePlan::opened(&pair, is_missing_on_target, refusal.as_ref());
        if refusal.is_some() {
            return plan;
        }
        let NamespaceListing { source, target } = match NamespaceListing::ask(run.clone(), pair.clone(), is_there).await
        {
            Ok(listing) => listing,
            Err(failure) => {
                plan.failure = Some(chain(&failure));
                return plan;
            }
        };
        let known = KnownGroups::of(&source);
        plan.unreadable = source.unreadable;
        let selection = select_groups(source.items, &run.options.group_filter);
        plan.groups_total = selection.total;
        let mut groups = Vec::with_capacity(selection.selected.len());
        for group in selection.selected {
            groups.push(self.group(pair.clone(), target.clone(), group));
        }
        plan.groups = futures::stream::iter(groups).buffered(GROUPS_AT_ONCE).collect().await;
        if run.options.remove_vanished {
            match plan_removed_groups(run, &pair, &known, &target).await {
                Ok(removed) => plan.removed_groups = removed,
                Err(failure) => plan.removal_failure = Some(failure),
            }
        }
        plan
    }

    async fn group(&self, pair: NamespacePair, target: Arc<TargetListing>, group: Group) -> GroupReport {
        let mut report = GroupReport::new(group.clone());
        match self.planned(pair.clone(), target, group).await {
            Ok(planned) => {
                report.failure = self.obstacle(&pair, &planned);
                report.snapshots = planned.plan.actions.iter().map(|action| self.snapshot(action, &planned)).collect();
                // An incomplete listing proves nothing.
                if self.run.options.remove_vanished && planned.unreadable.is_empty() {
                    let removals = plan_snapshots(&planned.plan.listed(), &planned.target.local());
                    report.removals = removals.into_iter().map(Into::into).collect();
                }
                report.unreadable = planned.unreadable;
            }
            Err(failure) => report.failure = Some(failure),
        }
        report
    }

    /// Plans a group, or returns why nothing of it would be pushed.
    pub(crate) async fn planned(
        &self,
        pair: NamespacePair,
        target: Arc<TargetListing>,
        group: Group,
    ) -> Result<PlannedGroup, String> {
        let planned = plan_one(self.run.clone(), pair, group, target).await.map_err(|(_, failure)| chain(&failure))?;
        match planned.target.other_owner(self.run.target.account()) {
            None => Ok(planned),
            Some(account) => Err(format!("it does not belong to {account} on the target, so nothing of it is pushed")),
        }
    }

    /// Returns why the run would stop within the group, as far as that can be told.
    pub(crate) fn obstacle(&self, pair: &NamespacePair, planned: &PlannedGroup) -> Option<String> {
        let unfinished = planned.target.unfinished();
        let mut taken = planned.plan.taken().map(|action| action.item.snapshot());
        let snapshot = taken.find(|snapshot| unfinished.contains(&snapshot.time))?;
        let source = self.run.rights.may_prune(&pair.target).err()?;
        Some(chain(&GroupFailure::UnfinishedStays { snapshot, source }))
    }

    /// Returns what a run would do with one snapshot.
    pub(crate) fn snapshot(&self, action: &Action, planned: &PlannedGroup) -> SnapshotPlan {
        let planned = SnapshotPlan::of(action, planned.target.newest_finished().is_some());
        if action.kind == ActionKind::Transfer && self.is_left_out_as_mixed(&action.item) {
            return SnapshotPlan { action: PlannedAction::Skip, reason: PlannedReason::PartlyEncrypted, ..planned };
        }
        planned
    }

    fn is_left_out_as_mixed(&self, item: &SnapshotItem) -> bool {
        let key = self.run.options.encryption.as_ref().map_or(KeyAtHand::None, |_| KeyAtHand::Active);
        let files =
            item.files.iter().filter(|file| ![MANIFEST_NAME, CLIENT_LOG_NAME].contains(&file.filename.as_str()));
        encrypt_plan(files.filter_map(|file| file.crypt_mode), key) == PushForm::SkipMixed
    }
}
