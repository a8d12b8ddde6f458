//! What the source lists of one namespace: its groups, and their snapshots in one answer or one for each group.
//!
//! One answer for the whole namespace saves a request per group, where the job takes most of its groups and the source
//! says beforehand that the answer will not be too long.
//!
//! Source: `docs/spec/sync.md` C.2 W8.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::select_groups;
use farhold_types::{Group, SnapshotItem};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::ahead::groups::FRESH;
use crate::context::RunContext;
use crate::source::{Listed, Source, SourceError};
use crate::target::Target;

/// Snapshots that answers for whole namespaces may have together at one time; some 30 MiB.
pub(crate) const MAX_LISTED_AT_ONCE: u32 = 50_000;

/// Groups from which on one answer for all pays.
const MIN_GROUPS: usize = 4;

/// The snapshots of one namespace.
pub(crate) struct NamespaceListing {
    pair: NamespacePair,
    whole: Option<Whole>,
}

/// One answer for all groups. Each group is taken out once.
struct Whole {
    at: Instant,
    snapshots: Mutex<HashMap<Group, Vec<SnapshotItem>>>,
    _permit: OwnedSemaphorePermit,
}

impl NamespaceListing {
    /// Lists the groups of a namespace, and if it pays all their snapshots.
    pub(crate) async fn ask<S: Source, T: Target>(
        run: Arc<RunContext<S, T>>,
        pair: NamespacePair,
    ) -> Result<(Listed<Group>, Self), SourceError> {
        let groups = run.retry.run(|| run.source.groups(&pair.source)).await?;
        let whole = ask_for_all(&run, &pair, &groups).await;
        Ok((groups, Self { pair, whole }))
    }

    /// Returns the snapshots of a group, asking the source if necessary.
    pub(crate) async fn group<S: Source, T: Target>(
        &self,
        run: &RunContext<S, T>,
        group: &Group,
    ) -> Result<Listed<SnapshotItem>, SourceError> {
        if let Some(whole) = self.whole.as_ref().filter(|whole| whole.at.elapsed() < FRESH)
            // A group that the source listed and that has no snapshot is asked for: it may be new.
            && let Some(items) = whole.snapshots.lock().unwrap_or_else(PoisonError::into_inner).remove(group)
        {
            return Ok(items.into());
        }
        run.retry.run(|| run.source.snapshots(&self.pair.source, group)).await
    }
}

/// A failure, or an answer of which a part makes no sense, only means that each group is asked for.
async fn ask_for_all<S: Source, T: Target>(
    run: &RunContext<S, T>,
    pair: &NamespacePair,
    groups: &Listed<Group>,
) -> Option<Whole> {
    let count = u32::try_from(groups.snapshot_count?).ok().filter(|count| *count <= MAX_LISTED_AT_ONCE)?;
    let selection = select_groups(groups.items.iter().cloned(), &run.options.group_filter);
    let selected = selection.selected.len();
    if selected < MIN_GROUPS || selected * 2 < selection.total {
        return None;
    }
    let permit = run.listed_at_once.clone().try_acquire_many_owned(count.max(1)).ok()?;
    let at = Instant::now();
    let listed = run.source.snapshots_of_namespace(&pair.source).await.ok()?;
    if !listed.unreadable.is_empty() || (MAX_LISTED_AT_ONCE as usize) < listed.items.len() {
        return None;
    }
    let mut snapshots: HashMap<Group, Vec<SnapshotItem>> =
        selection.selected.into_iter().map(|g| (g, Vec::new())).collect();
    for item in listed.items {
        if let Some(of_group) = snapshots.get_mut(&item.snapshot().group) {
            of_group.push(item);
        }
    }
    snapshots.retain(|_, items| !items.is_empty());
    Some(Whole { at, snapshots: Mutex::new(snapshots), _permit: permit })
}
