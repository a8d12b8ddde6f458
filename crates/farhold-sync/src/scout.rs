//! What a run looks at before it acts: a group as source, target and record show it, and the plan made of that.
//!
//! Only reads, and takes no lock, so what it finds may be outdated when the group's turn comes.

use std::sync::Arc;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{GroupPlan, LocalCondition, LocalFacts, LocalSnapshot, plan_group};
use farhold_types::{Group, Namespace, SnapshotItem};

use crate::ahead::chunks::ChunksAhead;
use crate::context::RunContext;
use crate::notes::record::GroupRecord;
use crate::outcome::GroupFailure;
use crate::source::{Listed, Source};
use crate::target::{Examine, SeenGroup, Target};

/// A group as it looked without a lock.
pub(crate) struct ScoutedGroup {
    /// What of the source's listing made no sense.
    pub(crate) unreadable: Vec<String>,
    /// What the target has, if it has the group.
    pub(crate) seen: Option<SeenGroup>,
    /// What a run would do if nothing changed.
    pub(crate) plan: GroupPlan,
}

/// Looks at the target's side of a group and plans.
pub(crate) async fn scout<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    pair: &NamespacePair,
    group: &Group,
    listed: Listed<SnapshotItem>,
) -> Result<ScoutedGroup, GroupFailure> {
    let seen = run.target.look_at_group(&pair.target, group, run.examine()).await?;
    let snapshots = seen.as_ref().map_or(&[][..], |seen| &seen.snapshots);
    let (_, plan) = plan_with_record(run, &pair.target, group, listed.items, snapshots).await?;
    Ok(ScoutedGroup { unreadable: listed.unreadable, seen, plan })
}

/// Plans a group of the target namespace `ns` by what the source lists, the target has and the job remembers; returns
/// what it remembers, too.
pub(crate) async fn plan_with_record<S: Source, T: Target>(
    run: &RunContext<S, T>,
    ns: &Namespace,
    group: &Group,
    listed: Vec<SnapshotItem>,
    local: &[LocalSnapshot],
) -> Result<(GroupRecord, GroupPlan), GroupFailure> {
    let (journal, of) = (run.journal.clone(), (ns.clone(), group.clone()));
    let record = run.pool.run(move |_| GroupRecord::load(journal.as_deref(), &of.0, &of.1)).await;
    let record = record.map_err(|_| GroupFailure::Crashed)?;
    let facts = LocalFacts { snapshots: local, failed: record.failed() };
    let plan = plan_group(group, listed, facts, &run.options.selection);
    Ok((record, plan))
}

/// Returns whether one of the snapshots is finished.
pub(crate) fn has_finished(local: &[LocalSnapshot]) -> bool {
    local.iter().any(|snapshot| snapshot.condition != LocalCondition::Unfinished)
}

/// Returns whether the chunks of a group's snapshots may be fetched ahead.
pub(crate) fn chunks_ahead(local: &[LocalSnapshot]) -> ChunksAhead {
    if has_finished(local) { ChunksAhead::No } else { ChunksAhead::IfFew }
}

impl<S: Source, T: Target> RunContext<S, T> {
    /// Returns of which snapshots the target's manifests must be read to plan.
    pub(crate) fn examine(&self) -> Examine {
        if self.options.selection.resync_corrupt { Examine::All } else { Examine::Newest }
    }
}
