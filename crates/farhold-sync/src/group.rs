//! One group: lock, list, plan, and the snapshots in order.
//!
//! A newer snapshot on the target hides an older missing one for ever, since gaps are never filled. So the group goes on
//! past a snapshot that failed by itself only after its time was noted durably ([`crate::notes::record`]), and stops at
//! any other error (`docs/spec/sync.md` 6, last paragraph, C.2 W23, and `docs/adr/0003`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use farhold_rules::sync_plan::{Action, ActionKind, GroupPlan, LocalCondition, LocalSnapshot};
use farhold_types::{Epoch, Group, Namespace, SnapshotItem};

use crate::ahead::groups::{FRESH, GroupAhead, GroupListing};
use crate::ahead::snapshots::Ahead;
use crate::chunks::known::KnownChunks;
use crate::context::RunContext;
use crate::decrypt::Decryption;
use crate::event::{GroupEvent, NamespaceIndex, SyncEvent};
use crate::notes::journal::Journal;
use crate::notes::record::GroupRecord;
use crate::outcome::{GroupCounts, GroupFailure, chain, group_name};
use crate::removal::groups::{SyncedGroup, remove_snapshots};
use crate::removal::leftovers::remove_vanished_leftovers;
use crate::scout::{chunks_ahead, plan_with_record};
use crate::snapshot::{SnapshotOutcome, sync_snapshot};
use crate::source::{Listed, Source};
use crate::target::{Target, TargetGroup};

/// Unfinished snapshots of a group that are named one by one. Honest sources have one or two; a hostile one may list a
/// million, and a line for each would keep the log busy for minutes.
const MAX_NAMED_IN_PROGRESS: usize = 20;

/// What is known of a group while it is synced.
pub(crate) struct GroupState {
    pub(crate) index: NamespaceIndex,
    pub(crate) group: Group,
    pub(crate) target_ns: Namespace,
    pub(crate) known: KnownChunks,
    /// Decrypted chunks under the key used last.
    pub(crate) decryption: Option<Decryption>,
    /// Notes on the archive being transferred.
    pub(crate) journal: Option<Arc<Journal>>,
    /// What is remembered from run to run.
    pub(crate) record: GroupRecord,
    /// The newest good snapshot, until its chunks were read.
    reusable: Option<Epoch>,
}

impl GroupState {
    /// Changes the record. Returns nothing, with a warning, when it cannot be written.
    pub(crate) async fn update_record<S: Source, T: Target, R: Send + 'static>(
        &mut self,
        run: &RunContext<S, T>,
        change: impl FnOnce(&mut GroupRecord) -> io::Result<R> + Send + 'static,
    ) -> Option<R> {
        let Self { index, group, record, .. } = self;
        record.update(&run.pool, change, |warning| run.emit(*index, group, warning)).await
    }

    /// Decides whether the group may go on after `action` failed, and makes sure that its snapshot is asked for again.
    async fn may_go_on<S: Source, T: Target>(
        &mut self,
        run: &RunContext<S, T>,
        action: &Action,
        error: &GroupFailure,
    ) -> bool {
        let time = action.item.backup_time;
        error.is_local_to_snapshot()
            // A corrupt copy stays one, which is reason enough for the next run.
            && (action.kind == ActionKind::RefetchCorrupt
                || self.update_record(run, move |record| record.add_failed(time)).await == Some(true))
    }

    /// Reads the chunks of the newest good snapshot the first time they are needed. A failure costs downloads only.
    pub(crate) async fn load_reusable<S: Source, T: Target>(&mut self, run: &RunContext<S, T>, target: &T::Group) {
        let Some(time) = self.reusable.take() else {
            return;
        };
        match target.chunks_of(time).await {
            Ok(chunks) => self.known.add_reusable(chunks),
            Err(error) => {
                let text = format!("cannot read the chunks of {time} for reuse - {}", chain(&error));
                run.emit(self.index, &self.group, GroupEvent::Warning(text));
            }
        }
    }
}

/// A group to be synced.
pub(crate) struct GroupJob<S: Source> {
    pub(crate) index: NamespaceIndex,
    pub(crate) source_ns: Namespace,
    pub(crate) target_ns: Namespace,
    pub(crate) group: Group,
    pub(crate) ahead: GroupAhead<S>,
    /// Groups of the namespace: finished ones and all.
    pub(crate) groups_done: Arc<AtomicUsize>,
    pub(crate) groups: usize,
}

/// Tells of the snapshots that are in progress on the source.
pub(crate) fn tell_in_progress(plan: &GroupPlan, emit: impl Fn(GroupEvent)) {
    let mut in_progress = plan.in_progress();
    for item in in_progress.by_ref().take(MAX_NAMED_IN_PROGRESS) {
        emit(GroupEvent::InProgress(item.backup_time));
    }
    let more = in_progress.count();
    if more != 0 {
        emit(GroupEvent::MoreInProgress(more));
    }
}

/// Syncs a group and tells how it went.
pub(crate) async fn sync_group<S: Source, T: Target>(run: Arc<RunContext<S, T>>, mut job: GroupJob<S>) {
    let mut counts = GroupCounts::default();
    let result = sync_snapshots(&run, &mut job, &mut counts).await;
    let failure = run.report().count_group(&job.source_ns, &job.group, counts, result);
    if let Some(error) = failure {
        run.emit(job.index, &job.group, GroupEvent::Failed(error));
    }
    let groups_done = job.groups_done.fetch_add(1, Ordering::Relaxed) + 1;
    let GroupCounts { handled, behind } = counts;
    let finished = GroupEvent::Finished { has_progress: 0 < handled, behind, groups_done, groups: job.groups };
    run.emit(job.index, &job.group, finished);
}

async fn sync_snapshots<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    job: &mut GroupJob<S>,
    counts: &mut GroupCounts,
) -> Result<(), GroupFailure> {
    let target = &run.target;
    let (ns, name) = (&job.target_ns.clone(), &job.group.clone());
    // Lock and owner come first; a group that does not exist is created only when there is something to put into it.
    let mut target_group = None;
    let mut local = Vec::new();
    if target.has_group(ns, name).await? {
        let locked = target.lock_group(ns, name, &run.options.owner).await?;
        local = locked.snapshots(run.examine()).await?;
        target_group = Some(locked);
    }
    let listing = listing_of(run, job);
    let (listed, peeked) = run.cancel.run_until_cancelled(listing).await.ok_or(GroupFailure::Cancelled)??;
    let is_complete = listed.unreadable.is_empty();
    for item in listed.unreadable {
        let (index, group) = (Some(job.index), Some(name.clone()));
        run.events.event(&SyncEvent::UnreadableItem { index, group, item });
    }
    let (record, plan) = plan_with_record(run, ns, name, listed.items, &local).await?;
    tell_in_progress(&plan, |event| run.emit(job.index, name, event));
    for class in plan.skip_classes() {
        run.emit(job.index, name, GroupEvent::Skipped(class));
    }
    let mut state = GroupState {
        index: job.index,
        group: name.clone(),
        target_ns: ns.clone(),
        known: KnownChunks::default(),
        decryption: None,
        journal: None,
        record,
        reusable: newest_good(&local),
    };
    let listed = plan.listed();
    if let Some(group) = target_group.as_ref().filter(|_| is_complete) {
        remove_vanished_leftovers(run, &state, group, &plan, &local).await;
    }
    if is_complete && !state.record.failed().is_empty() {
        let listed = listed.clone();
        state.update_record(run, move |record| record.forget_failed(|time| !listed.contains(&time))).await;
    }
    let actions: Vec<Action> = plan.taken().cloned().collect();
    counts.behind = actions.len();
    run.emit(job.index, name, GroupEvent::Planned { snapshots: actions.len(), bytes: bytes_to_fetch(&actions) });
    let mut ahead = Ahead::new(run, &job.source_ns, &actions, peeked, job.ahead.take_sessions(), chunks_ahead(&local));
    ahead.begin();
    let is_new = target_group.is_none();
    let target_group = match target_group {
        Some(group) => group,
        None if actions.is_empty() => return Ok(()),
        None => target.lock_group(ns, name, &run.options.owner).await?,
    };
    let transferred = transfer(run, job, &mut state, &target_group, &actions, ahead, counts).await;
    if is_new && let Err(error) = target_group.remove_if_empty().await {
        let text = format!("cannot remove the empty group - {}", chain(&error));
        run.emit(job.index, name, GroupEvent::Warning(text));
    }
    // What failed may be what a vanished snapshot was to be replaced by.
    if transferred? == Transferred::All && run.options.remove_vanished {
        let (index, source_ns) = (job.index, &job.source_ns);
        let synced =
            SyncedGroup { index, source_ns, target_ns: ns, group: name, listed: &listed, is_complete, local: &local };
        remove_snapshots(run, &target_group, &synced).await?;
    }
    Ok(())
}

/// Returns the content bytes of the snapshots that are fetched, as far as the source knows them.
fn bytes_to_fetch(actions: &[Action]) -> u64 {
    let is_fetched = |action: &&Action| matches!(action.kind, ActionKind::Transfer | ActionKind::RefetchCorrupt);
    let sizes = actions.iter().filter(is_fetched).filter_map(|action| action.item.size);
    sizes.fold(0, u64::saturating_add)
}

/// Whether all snapshots of a group came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transferred {
    All,
    /// Some failed, which was told, and are asked for again in the next run.
    Some,
}

async fn transfer<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    job: &GroupJob<S>,
    state: &mut GroupState,
    target_group: &T::Group,
    actions: &[Action],
    mut ahead: Ahead<'_, S, T>,
    counts: &mut GroupCounts,
) -> Result<Transferred, GroupFailure> {
    let name = &job.group;
    let mut transferred = Transferred::All;
    for (position, action) in actions.iter().enumerate() {
        let Some((preparation, _permits)) = ahead.take(action) else {
            return Err(GroupFailure::Crashed);
        };
        let preparation = run.cancel.run_until_cancelled(preparation).await.ok_or(GroupFailure::Cancelled)?;
        let preparation = preparation.map_err(|_| GroupFailure::Crashed)?;
        let result = sync_snapshot(run, state, target_group, action, preparation).await;
        counts.handled = position + 1;
        counts.behind -= usize::from(result.is_ok());
        let groups_done = job.groups_done.load(Ordering::Relaxed);
        let progress = GroupEvent::SnapshotProgress {
            done: counts.handled,
            taken: actions.len(),
            groups_done,
            groups: job.groups,
        };
        if !matches!(result, Err(GroupFailure::Cancelled)) {
            run.emit(job.index, name, progress);
        }
        match result {
            Ok(SnapshotOutcome::LeftOut) => {}
            Ok(outcome) => {
                if outcome == SnapshotOutcome::Changed {
                    run.report().changed_snapshots += 1;
                }
                let time = action.item.backup_time;
                if state.record.failed().contains(&time) {
                    state.update_record(run, move |record| record.forget_failed(|failed| failed == time)).await;
                }
            }
            Err(error) if state.may_go_on(run, action, &error).await => {
                transferred = Transferred::Some;
                let (time, error) = (action.item.backup_time, chain(&error));
                run.report().failures.add(|| format!("{}: {error}", group_name(&job.source_ns, name)));
                run.emit(job.index, name, GroupEvent::SnapshotFailed { time, error });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(transferred)
}

/// Returns what the source lists of the group now or a short time ago, and the manifest that was read ahead.
async fn listing_of<S: Source, T: Target>(
    run: &RunContext<S, T>,
    job: &mut GroupJob<S>,
) -> Result<(Listed<SnapshotItem>, Option<(Epoch, Bytes)>), GroupFailure> {
    let GroupListing { listed, at, peeked } = (&mut job.ahead.listing).await.map_err(|_| GroupFailure::Crashed)??;
    match listed.filter(|_| at.elapsed() < FRESH) {
        Some(listed) => Ok((listed, peeked)),
        None => Ok((run.retry.run(|| run.source.snapshots(&job.source_ns, &job.group)).await?, None)),
    }
}

/// Returns the newest finished snapshot, unless its verification failed or its manifest is unreadable.
fn newest_good(local: &[LocalSnapshot]) -> Option<Epoch> {
    let finished = local.iter().filter(|s| s.condition != LocalCondition::Unfinished);
    let newest = finished.max_by_key(|s| s.time)?;
    (newest.condition == LocalCondition::NotKnownBad).then_some(newest.time)
}
