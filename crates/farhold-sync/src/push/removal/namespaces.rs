//! Vanished namespaces, at the end of a run, children before their parents.
//!
//! A namespace loses the groups that the job may remove and goes only when nothing is left in it: the target is asked to
//! remove an empty one, and refuses otherwise. So neither a child that was just pushed nor somebody else's group ever goes
//! with it. Where a child has to stay, the groups above it stay too.
//!
//! Source: `docs/spec/sync.md` 11, C.1 FAULT 3 and 6, C.2 W20 and W31.

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_rules::namespace_map::{NamespacePair, map_namespaces};
use farhold_rules::removal_plan::{
    GroupVerdict, NamespaceFacts, NamespaceKeep, NamespaceRemoval, NamespaceRight, NamespaceVerdict, is_above,
    plan_groups, plan_namespaces,
};
use farhold_types::{Group, Namespace};

use crate::event::{EventSink, SyncEvent};
use crate::outcome::chain;
use crate::push::context::{Peer, PushRun};
use crate::push::removal::groups::{GroupOutcome, GroupRemover, all_owned};
use crate::push::target::PushTarget;
use crate::removal::event::{KeptBecause, NamespaceStep, RemovalEvent, SkippedBecause};
use crate::removal::namespaces::JudgedNamespaces;
use crate::source::Source;

/// What is known about the namespaces of a run when all of them are done.
pub(crate) struct PushedNamespaces<'a> {
    /// All that the source has, hidden ones too, and where they go.
    pub(crate) pairs: &'a [NamespacePair],
    /// Those of them that failed, on the target.
    pub(crate) failed: &'a [Namespace],
    /// All of the target, as far as they were listed or created.
    pub(crate) existing: &'a BTreeSet<Namespace>,
    /// Whether the target's listing was understood completely.
    pub(crate) is_complete: bool,
}

/// Finds out what happens to the namespaces of the target that vanished from the source. Only reads.
///
/// # Errors
/// The source cannot be asked again.
pub(crate) async fn judge_namespaces<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    pushed: &PushedNamespaces<'_>,
) -> Result<JudgedNamespaces, String> {
    let options = &run.options;
    let local: Vec<Namespace> = pushed.existing.iter().cloned().collect();
    let judge = |pairs: &[NamespacePair]| {
        let facts = NamespaceFacts {
            source_anchor: &options.source_anchor,
            target_anchor: &options.target_anchor,
            max_depth: options.max_depth,
            pairs,
            failed: pushed.failed,
            local: &local,
        };
        plan_namespaces(&facts, |ns| match run.rights.may_modify(ns) {
            Ok(()) => NamespaceRight::Remove,
            Err(_) => NamespaceRight::See,
        })
    };
    let planned = judge(pushed.pairs);
    if !planned.iter().any(|removal| removal.verdict == NamespaceVerdict::Remove) {
        return Ok(JudgedNamespaces { planned, skipped: None });
    }
    if !pushed.is_complete {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::TargetIncomplete) });
    }
    let again = run.source.namespaces(&options.source_anchor, options.max_depth).await.map_err(|e| chain(&e))?;
    if !again.unreadable.is_empty() {
        return Ok(JudgedNamespaces { planned, skipped: Some(SkippedBecause::Incomplete) });
    }
    let pairs = map_namespaces(again.items, &options.source_anchor, &options.target_anchor, options.max_depth);
    let pairs = [pushed.pairs, &pairs.map_err(|error| chain(&error))?[..]].concat();
    Ok(JudgedNamespaces { planned: judge(&pairs), skipped: None })
}

/// Removes the namespaces below the target anchor that vanished from the source. Failures go into the report.
pub(crate) async fn remove_namespaces<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    peer: Peer,
    events: &Arc<dyn EventSink>,
    pushed: &PushedNamespaces<'_>,
) {
    let ns = run.options.target_anchor.clone();
    match judge_namespaces(run, pushed).await {
        Ok(JudgedNamespaces { skipped: Some(reason), .. }) => {
            events.event(&SyncEvent::Removal(RemovalEvent::Skipped { index: None, ns, reason }));
        }
        Ok(JudgedNamespaces { planned, skipped: None }) => {
            NamespaceRemover { run, peer, events, stay: Vec::new() }.remove_all(planned).await;
        }
        Err(error) => {
            run.report().failures.add(|| format!("vanished namespaces: {error}"));
            events.event(&SyncEvent::Removal(RemovalEvent::Failed { index: None, ns, error }));
        }
    }
}

struct NamespaceRemover<'a, S: Source, T: PushTarget> {
    run: &'a PushRun<S, T>,
    peer: Peer,
    events: &'a Arc<dyn EventSink>,
    /// What had to stay so far; nothing above it is touched.
    stay: Vec<Namespace>,
}

impl<S: Source, T: PushTarget> NamespaceRemover<'_, S, T> {
    async fn remove_all(mut self, planned: Vec<NamespaceRemoval>) {
        for NamespaceRemoval { namespace, verdict } in planned {
            if self.run.cancel.is_cancelled() {
                return;
            }
            let step = match verdict {
                NamespaceVerdict::Keep(NamespaceKeep::NotAllowed) => match self.run.rights.may_modify(&namespace) {
                    Err(denied) => NamespaceStep::Denied(denied.to_string()),
                    Ok(()) => NamespaceStep::Kept(KeptBecause::Planned(NamespaceKeep::NotAllowed)),
                },
                NamespaceVerdict::Keep(keep) => NamespaceStep::Kept(KeptBecause::Planned(keep)),
                NamespaceVerdict::Remove if self.stay.iter().any(|child| is_above(&namespace, child)) => {
                    NamespaceStep::Kept(KeptBecause::Planned(NamespaceKeep::ChildStays))
                }
                NamespaceVerdict::Remove => self.remove(&namespace).await,
            };
            if self.run.cancel.is_cancelled() {
                return;
            }
            let mut report = self.run.report();
            match &step {
                NamespaceStep::Removed => report.count_removed(|removed| removed.namespaces += 1),
                NamespaceStep::Failed(error) | NamespaceStep::Denied(error) => {
                    report.failures.add(|| format!("vanished namespace {namespace}: {error}"));
                }
                _ => {}
            }
            drop(report);
            if !matches!(step, NamespaceStep::Removed) {
                self.stay.push(namespace.clone());
            }
            self.events.event(&SyncEvent::Removal(RemovalEvent::Namespace { ns: namespace, step }));
        }
    }

    /// Removes what may be removed of a namespace, and itself if nothing is left. Returns how it ended.
    async fn remove(&self, ns: &Namespace) -> NamespaceStep {
        let (run, options) = (self.run, &self.run.options);
        let listed = match run.ask(|| run.target.groups(ns)).await {
            Ok(listed) => listed,
            Err(error) => return NamespaceStep::Failed(chain(&error)),
        };
        let mut reasons = BTreeSet::new();
        if !listed.unreadable.is_empty() {
            reasons.insert(KeptBecause::NotEmpty);
        }
        let local = all_owned(&listed.items);
        let on_source = BTreeSet::<Group>::new();
        let remover = GroupRemover { run, peer: self.peer, events: self.events, index: None, ns };
        for planned in plan_groups(&on_source, &local, run.target.account(), &options.group_filter) {
            let reason = match planned.verdict {
                GroupVerdict::Keep(keep) => Some(keep.into()),
                GroupVerdict::Remove if run.cancel.is_cancelled() => Some(KeptBecause::GroupFailed),
                GroupVerdict::Remove => match remover.remove(&planned.group).await {
                    GroupOutcome::Removed => None,
                    GroupOutcome::Protected => Some(KeptBecause::Protected),
                    GroupOutcome::Failed => Some(KeptBecause::GroupFailed),
                },
            };
            reasons.extend(reason);
        }
        if let Some(reason) = reasons.first() {
            return NamespaceStep::Kept(*reason);
        }
        let is_gone = || async {
            let listed = run.target.namespaces().await?;
            Ok(listed.unreadable.is_empty() && !listed.items.contains(ns))
        };
        match run.remove(|| run.target.delete_empty_namespace(ns), is_gone).await {
            Ok(_) => NamespaceStep::Removed,
            Err(error) => NamespaceStep::Failed(chain(&error)),
        }
    }
}
