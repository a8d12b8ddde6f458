//! Removing namespaces that vanished from the source, at the end of a run, children before their parents.
//!
//! A namespace loses the groups that the job may remove and goes only when nothing is left in it, which the target
//! decides by removing an empty directory. Where a child has to stay, the groups above it stay too.
//!
//! Source: `docs/spec/sync.md` 4, 8, C.1 FAULT 2 and 6, C.2 W20.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::{NamespacePair, map_namespaces};
use farhold_rules::removal_plan::{
    GroupVerdict, NamespaceFacts, NamespaceKeep, NamespaceRemoval, NamespaceRight, NamespaceVerdict, is_above,
    plan_groups, plan_namespaces, shows_whole_tree,
};
use farhold_types::Namespace;

use crate::context::RunContext;
use crate::event::SyncEvent;
use crate::outcome::chain;
use crate::removal::event::{KeptBecause, NamespaceStep, RemovalEvent, SkippedBecause};
use crate::removal::groups::{GroupOutcome, RemovalFailure, ask, remove_group};
use crate::rights::OwnerRights;
use crate::source::{Source, Visibility};
use crate::target::Target;

/// What is known about the namespaces of a run when all of them are done.
pub(crate) struct NamespaceScope<'a> {
    /// All that were synced or tried.
    pub(crate) pairs: &'a [NamespacePair],
    /// Those of them that failed, on the target.
    pub(crate) failed: &'a [Namespace],
    /// Whether the source's listing was understood completely.
    pub(crate) is_complete: bool,
    /// Whether it showed the parents of everything that it listed.
    pub(crate) is_whole: bool,
}

/// Removes the namespaces below the target anchor that vanished from the source. Failures go into the report.
pub(crate) async fn remove_namespaces<S: Source, T: Target>(
    run: &RunContext<S, T>,
    rights: &Arc<dyn OwnerRights>,
    scope: &NamespaceScope<'_>,
) {
    let emit = |event| run.events.event(&SyncEvent::Removal(event));
    let ns = || run.options.target_anchor.clone();
    match judge_namespaces(run, rights, scope).await {
        Ok(JudgedNamespaces { skipped: Some(reason), .. }) => {
            emit(RemovalEvent::Skipped { index: None, ns: ns(), reason });
        }
        Ok(JudgedNamespaces { planned, skipped: None }) => {
            NamespaceRemover { run, rights, stay: Vec::new() }.remove_all(planned).await;
        }
        Err(RemovalFailure::Cancelled) => {}
        Err(error) => {
            let error = chain(&error);
            run.report().failures.add(|| format!("vanished namespaces: {error}"));
            emit(RemovalEvent::Failed { index: None, ns: ns(), error });
        }
    }
}

/// What happens to the vanished namespaces of a run.
#[derive(Debug, Default)]
pub(crate) struct JudgedNamespaces {
    pub(crate) planned: Vec<NamespaceRemoval>,
    /// Why none of those that would be removed is.
    pub(crate) skipped: Option<SkippedBecause>,
}

/// Finds out what happens to the vanished namespaces of a run. Only reads.
pub(crate) async fn judge_namespaces<S: Source, T: Target>(
    run: &RunContext<S, T>,
    rights: &Arc<dyn OwnerRights>,
    scope: &NamespaceScope<'_>,
) -> Result<JudgedNamespaces, RemovalFailure> {
    let (anchor, options) = (&run.options.target_anchor, &run.options);
    let local = run.target.namespaces(anchor).await?;
    let plan = |pairs: &[NamespacePair]| {
        let facts = NamespaceFacts {
            source_anchor: &options.source_anchor,
            target_anchor: anchor,
            max_depth: options.max_depth,
            pairs,
            failed: scope.failed,
            local: &local,
        };
        plan_namespaces(&facts, |ns| right(rights, ns))
    };
    let planned = plan(scope.pairs);
    if !planned.iter().any(|removal| removal.verdict == NamespaceVerdict::Remove) {
        return Ok(JudgedNamespaces { planned, skipped: None });
    }
    if !scope.is_complete {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    let again = ask(run, || run.source.namespaces(&options.source_anchor, options.max_depth)).await?;
    if !again.unreadable.is_empty() {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    if !scope.is_whole || !shows_whole_tree(&again.items, &options.source_anchor) {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::Hidden) });
    }
    // What cannot be mapped now could be when the run began; the next one will say so.
    let Ok(mut pairs) = map_namespaces(again.items, &options.source_anchor, anchor, options.max_depth) else {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::Incomplete) });
    };
    pairs.extend_from_slice(scope.pairs);
    Ok(JudgedNamespaces { planned: plan(&pairs), skipped: None })
}

fn right(rights: &Arc<dyn OwnerRights>, ns: &Namespace) -> NamespaceRight {
    if !rights.may_see(ns) {
        NamespaceRight::Nothing
    } else if rights.may_modify(&ns.parent().unwrap_or_default()).is_err() {
        NamespaceRight::See
    } else {
        NamespaceRight::Remove
    }
}

/// Returns whether the source would hide the counterpart of a target namespace if it existed.
pub(crate) async fn may_be_hidden<S: Source, T: Target>(
    run: &RunContext<S, T>,
    ns: &Namespace,
) -> Result<bool, RemovalFailure> {
    // A name that has no counterpart cannot exist there.
    let Ok(source_ns) = ns.remap(&run.options.target_anchor, &run.options.source_anchor) else {
        return Ok(false);
    };
    Ok(ask(run, || run.source.visibility(&source_ns)).await? == Visibility::Nothing)
}

struct NamespaceRemover<'a, S: Source, T: Target> {
    run: &'a RunContext<S, T>,
    rights: &'a Arc<dyn OwnerRights>,
    /// What had to stay so far; nothing above it is touched.
    stay: Vec<Namespace>,
}

impl<S: Source, T: Target> NamespaceRemover<'_, S, T> {
    async fn remove_all(mut self, planned: Vec<NamespaceRemoval>) {
        for NamespaceRemoval { namespace, verdict } in planned {
            if self.run.cancel.is_cancelled() {
                return;
            }
            let emit = |step| {
                self.run.events.event(&SyncEvent::Removal(RemovalEvent::Namespace { ns: namespace.clone(), step }));
            };
            let kept = match verdict {
                NamespaceVerdict::Keep(NamespaceKeep::NotAllowed) => {
                    if let Err(denied) = self.rights.may_modify(&namespace.parent().unwrap_or_default()) {
                        let failures = &mut self.run.report().failures;
                        failures.add(|| format!("removing namespace {namespace} not allowed: {denied}"));
                        emit(NamespaceStep::Denied(denied.to_string()));
                    }
                    Some(KeptBecause::Planned(NamespaceKeep::NotAllowed))
                }
                NamespaceVerdict::Keep(keep) => Some(KeptBecause::Planned(keep)),
                NamespaceVerdict::Remove if self.stay.iter().any(|child| is_above(&namespace, child)) => {
                    Some(KeptBecause::Planned(NamespaceKeep::ChildStays))
                }
                NamespaceVerdict::Remove => match self.remove(&namespace, &emit).await {
                    Ok(kept) => kept,
                    Err(RemovalFailure::Cancelled) => return,
                    Err(error) => {
                        let error = chain(&error);
                        self.run.report().failures.add(|| format!("vanished namespace {namespace}: {error}"));
                        emit(NamespaceStep::Failed(error));
                        self.stay.push(namespace);
                        continue;
                    }
                },
            };
            match kept {
                Some(reason) => {
                    emit(NamespaceStep::Kept(reason));
                    self.stay.push(namespace);
                }
                None => {
                    self.run.report().count_removed(|removed| removed.namespaces += 1);
                    emit(NamespaceStep::Removed);
                }
            }
        }
    }

    /// Removes what may be removed of a namespace, and itself if nothing is left. Returns why it stays.
    async fn remove(
        &self,
        ns: &Namespace,
        emit: &impl Fn(NamespaceStep),
    ) -> Result<Option<KeptBecause>, RemovalFailure> {
        let (run, options) = (self.run, &self.run.options);
        if may_be_hidden(run, ns).await? {
            return Ok(Some(KeptBecause::MaybeHidden));
        }
        emit(NamespaceStep::Removing);
        let local = run.target.groups(ns).await?;
        let mut reasons = BTreeSet::new();
        for planned in plan_groups(&BTreeSet::new(), &local, &options.owner, &options.group_filter) {
            let reason = match planned.verdict {
                GroupVerdict::Keep(keep) => Some(keep.into()),
                GroupVerdict::Remove => match remove_group(run, None, ns, &planned.group).await {
                    GroupOutcome::Removed => None,
                    GroupOutcome::Protected => Some(KeptBecause::Protected),
                    GroupOutcome::Stays => Some(KeptBecause::OtherOwner),
                    GroupOutcome::Failed => Some(KeptBecause::GroupFailed),
                },
            };
            reasons.extend(reason);
        }
        if run.cancel.is_cancelled() {
            return Err(RemovalFailure::Cancelled);
        }
        if run.target.remove_empty_namespace(ns).await? {
            return Ok(None);
        }
        Ok(Some(reasons.first().copied().unwrap_or(KeptBecause::NotEmpty)))
    }
}
