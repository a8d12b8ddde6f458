//! The dry run: what a run would do, found with the run's own discovery, selection and planning.
//!
//! Reads only. It takes no lock, creates nothing, and asks the source for listings only, never for a session. A run that
//! follows sees what changed meanwhile; what only a lock or a manifest tells (a busy group, content that differs for one
//! time) shows first in the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::{NamespacePair, check_depth_rule};
use farhold_rules::removal_plan::plan_snapshots;
use farhold_rules::sync_plan::select_groups;
use farhold_types::{Group, Namespace, SnapshotItem, SyncDirection};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::ahead::listing::NamespaceListing;
use crate::context::RunContext;
use crate::event::SyncEvent;
use crate::options::SyncOptions;
use crate::outcome::{GroupFailure, NamespaceFailure, SyncError, chain};
use crate::plan::removal::{plan_removed_groups, plan_removed_namespaces};
use crate::plan::report::{GroupReport, NamespacePlan, RunPlan, SnapshotPlan};
use crate::removal::groups::KnownGroups;
use crate::rights::OwnerRights;
use crate::run::discover;
use crate::scout::{ScoutedGroup, scout};
use crate::source::{Listed, Source};
use crate::target::{Target, TargetError};

/// Groups that are looked at side by side, to hide round trips.
pub(crate) const GROUPS_AT_ONCE: usize = 16;

/// Returns what a run with these arguments would do. Writes nothing anywhere.
///
/// # Errors
/// Those of [`crate::run()`] that end a run before it begins. What would fail only a namespace or group is told there.
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn plan<S: Source, T: Target>(
    options: SyncOptions,
    source: Arc<S>,
    target: Arc<T>,
    rights: Arc<dyn OwnerRights>,
    cancel: CancellationToken,
) -> Result<RunPlan, SyncError> {
    let planner = Planner::new(options, source, target, rights, cancel.clone())?;
    cancel.run_until_cancelled(planner.plan()).await.ok_or(SyncError::Cancelled)?
}

/// Looks at both sides.
pub(crate) struct Planner<S: Source, T: Target> {
    pub(crate) run: Arc<RunContext<S, T>>,
    rights: Arc<dyn OwnerRights>,
}

impl<S: Source, T: Target> Planner<S, T> {
    pub(crate) fn new(
        options: SyncOptions,
        source: Arc<S>,
        target: Arc<T>,
        rights: Arc<dyn OwnerRights>,
        cancel: CancellationToken,
    ) -> Result<Self, SyncError> {
        check_depth_rule(&options.target_anchor, &options.source_anchor, options.max_depth)?;
        let nobody = Arc::new(|_: &SyncEvent| ());
        Ok(Self { run: Arc::new(RunContext::new(options, source, target, nobody, cancel)), rights })
    }

    async fn plan(&self) -> Result<RunPlan, SyncError> {
        let run = &self.run;
        let scope = discover(&*run.source, &run.options, &run.retry).await?;
        let mut plan = RunPlan {
            direction: SyncDirection::Pull,
            is_compatibility_mode: scope.is_compatibility_mode,
            unreadable: scope.unreadable.clone(),
            ..RunPlan::default()
        };
        let mut to_be_created = BTreeSet::new();
        for pair in &scope.namespaces {
            let refusal = self.check_target(pair, &mut to_be_created).await;
            let is_missing_on_target = to_be_created.contains(&pair.target);
            plan.namespaces.push(self.namespace(pair.clone(), is_missing_on_target, refusal.err()).await);
        }
        if scope.removes_namespaces(&run.options) {
            let failed = plan.failed_namespaces();
            match plan_removed_namespaces(run, &self.rights, &scope.namespace_scope(&failed)).await {
                Ok(removed) => plan.removed_namespaces = removed,
                Err(failure) => plan.removal_failure = Some(chain(&failure)),
            }
        }
        plan.count_fetched();
        Ok(plan)
    }

    /// Checks what a run checks when it opens a namespace, and notes that it would be created.
    pub(crate) async fn check_target(
        &self,
        pair: &NamespacePair,
        to_be_created: &mut BTreeSet<Namespace>,
    ) -> Result<(), NamespaceFailure> {
        let (ns, target) = (&pair.target, &self.run.target);
        if !target.has_namespace(ns).await? {
            let parent = ns.parent().unwrap_or_default();
            let denied = |source| NamespaceFailure::CreateDenied { namespace: ns.clone(), source };
            self.rights.may_modify(&parent).map_err(denied)?;
            if !to_be_created.contains(&parent) && !target.has_namespace(&parent).await? {
                return Err(TargetError::NoParentNamespace { namespace: ns.clone() }.into());
            }
            to_be_created.insert(ns.clone());
        }
        self.rights.may_backup(ns).map_err(NamespaceFailure::Denied)
    }

    async fn namespace(
        &self,
        pair: NamespacePair,
        is_missing_on_target: bool,
        refusal: Option<NamespaceFailure>,
    ) -> NamespacePlan {
        let run = &self.run;
        let mut plan = NamespacePlan::opened(&pair, is_missing_on_target, refusal.as_ref());
        if refusal.is_some() {
            return plan;
        }
        let (listed, listing) = match NamespaceListing::ask(run.clone(), pair.clone()).await {
            Ok(listed) => listed,
            Err(error) => {
                plan.failure = Some(chain(&NamespaceFailure::Groups(error)));
                return plan;
            }
        };
        let known = KnownGroups::of(&listed);
        plan.unreadable = listed.unreadable;
        let selection = select_groups(listed.items, &run.options.group_filter);
        plan.groups_total = selection.total;
        let groups = futures::stream::iter(selection.selected).map(|group| self.group(&pair, &listing, group));
        plan.groups = groups.buffered(GROUPS_AT_ONCE).collect().await;
        if run.options.remove_vanished {
            match plan_removed_groups(run, &pair, &known).await {
                Ok(removed) => plan.removed_groups = removed,
                Err(failure) => plan.removal_failure = Some(chain(&failure)),
            }
        }
        plan
    }

    async fn group(&self, pair: &NamespacePair, listing: &NamespaceListing, group: Group) -> GroupReport {
        let mut report = GroupReport::new(group.clone());
        let scouted = match listing.group(&self.run, &group).await {
            Ok(listed) => self.scout(pair, &group, listed).await,
            Err(error) => Err(error.into()),
        };
        match scouted {
            Ok(scouted) => self.fill(&mut report, scouted),
            Err(failure) => report.failure = Some(chain(&failure)),
        }
        report
    }

    pub(crate) async fn scout(
        &self,
        pair: &NamespacePair,
        group: &Group,
        listed: Listed<SnapshotItem>,
    ) -> Result<ScoutedGroup, GroupFailure> {
        let run = &self.run;
        let scouted = scout(run, pair, group, listed).await?;
        if let Some(owner) = scouted.seen.as_ref().and_then(|seen| seen.owner.clone())
            && owner != run.options.owner
        {
            return Err(TargetError::OwnerMismatch { expected: run.options.owner.clone(), owner }.into());
        }
        Ok(scouted)
    }

    fn fill(&self, report: &mut GroupReport, scouted: ScoutedGroup) {
        let ScoutedGroup { unreadable, seen, plan } = scouted;
        let local = seen.map(|seen| seen.snapshots).unwrap_or_default();
        let has_local = crate::scout::has_finished(&local);
        report.snapshots = plan.actions.iter().map(|action| SnapshotPlan::of(action, has_local)).collect();
        // An incomplete listing proves nothing.
        if self.run.options.remove_vanished && unreadable.is_empty() {
            report.removals = plan_snapshots(&plan.listed(), &local).into_iter().map(Into::into).collect();
        }
        report.unreadable = unreadable;
    }
}
