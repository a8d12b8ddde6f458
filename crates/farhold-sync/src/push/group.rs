//! One group of a push: its snapshots in order, then what vanished, then what changed since.
//!
//! A target takes snapshots of a group only in ascending order of time, so whoever passes over one gives it up. A push
//! passes over a snapshot that is damaged at the source, after its time was noted durably, and says so in every run from
//! then on. It stops at everything that may be different the next time (`docs/adr/0009`).
//!
//! Source: `docs/spec/sync.md` 10.2, 10.3, C.2 W9, W23, W25.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{Action, GroupPlan};
use farhold_types::{Epoch, Group, Namespace, SnapshotItem};
use tokio::sync::OwnedSemaphorePermit;

use crate::encrypt::digests::{KeyedDigests, PushDigests};
use crate::encrypt::form::ChunkForm;
use crate::event::{EventSink, GroupEvent, NamespaceIndex, SyncEvent};
use crate::group::tell_in_progress;
use crate::notes::record::GroupRecord;
use crate::outcome::{GroupCounts, GroupFailure, chain, group_name};
use crate::push::context::{GroupEvents, PushRun};
use crate::push::follow::follow;
use crate::push::listing::TargetGroup;
use crate::push::previous::Newest;
use crate::push::removal::snapshots::remove_snapshots;
use crate::push::snapshot::{Pushed, push_snapshot};
use crate::push::target::PushTarget;
use crate::source::Source;

/// Times that never reach the target and are named one by one in a run.
const MAX_NAMED_LOST: usize = 20;

/// What is known of a group while it is pushed.
pub(crate) struct GroupState {
    pub(crate) events: GroupEvents,
    pub(crate) source_ns: Namespace,
    pub(crate) target_ns: Namespace,
    pub(crate) newest: Newest,
    /// Times of unfinished directories of the target.
    pub(crate) unfinished: BTreeSet<Epoch>,
    /// Those that were removed in this run.
    pub(crate) removed_unfinished: BTreeSet<Epoch>,
    /// What is remembered from run to run.
    pub(crate) record: GroupRecord,
    /// Whether the snapshot at work is followed by another one of the group.
    pub(crate) has_more: bool,
    /// What is known about chunks that are encrypted on the way.
    pub(crate) keyed: Option<KeyedDigests>,
}

impl GroupState {
    /// Returns whether an unfinished directory of that time may be removed: once, since what comes back is in use.
    pub(crate) fn has_not_removed(&self, time: Epoch) -> bool {
        !self.removed_unfinished.contains(&time)
    }

    /// Takes out what is known about the chunks of the group in a form, reading it the first time.
    pub(crate) async fn take_digests<S: Source, T: PushTarget>(
        &mut self,
        run: &PushRun<S, T>,
        form: &ChunkForm,
    ) -> Result<PushDigests, GroupFailure> {
        let ChunkForm::Encrypted(sealer) = form else { return Ok(PushDigests::Same) };
        if let Some(known) = self.keyed.take() {
            return Ok(PushDigests::Keyed(known));
        }
        let fingerprint = sealer.key().fingerprint();
        let notes = run.notes.as_ref();
        let place = notes.map(|notes| notes.keyed_place(&self.source_ns, &self.events.group, &fingerprint));
        let loaded = run.pool.run(move |_| KeyedDigests::load(place)).await;
        loaded.map(PushDigests::Keyed).map_err(|_| GroupFailure::Crashed)
    }

    /// Puts back what [`Self::take_digests`] took.
    pub(crate) fn keep_digests(&mut self, digests: PushDigests) {
        if let PushDigests::Keyed(keyed) = digests {
            self.keyed = Some(keyed);
        }
    }

    /// Changes the record. Returns nothing, with a warning, when it cannot be written.
    pub(crate) async fn update_record<S: Source, T: PushTarget, R: Send + 'static>(
        &mut self,
        run: &PushRun<S, T>,
        change: impl FnOnce(&mut GroupRecord) -> io::Result<R> + Send + 'static,
    ) -> Option<R> {
        let Self { events, record, .. } = self;
        record.update(&run.pool, change, |warning| events.emit(warning)).await
    }
}

/// What is to be done for a group, as it looked when the queue came near it.
pub(crate) struct PlannedGroup {
    pub(crate) group: Group,
    /// What the source listed that made no sense.
    pub(crate) unreadable: Vec<String>,
    pub(crate) plan: GroupPlan,
    pub(crate) target: TargetGroup,
    pub(crate) record: GroupRecord,
}

impl PlannedGroup {
    /// Returns the content bytes of the snapshots that are to be sent, as far as the source knows them.
    pub(crate) fn bytes(&self) -> u64 {
        self.plan.taken().filter_map(|action| action.item.size).fold(0, u64::saturating_add)
    }
}

/// How far the groups of a namespace are.
#[derive(Clone)]
pub(crate) struct GroupPlace {
    /// Groups of the namespace.
    pub(crate) groups: usize,
    /// Groups that are finished.
    pub(crate) done: Arc<AtomicUsize>,
    /// Groups before this one, if the events come in their order.
    pub(crate) position: Option<usize>,
}

impl GroupPlace {
    fn done(&self) -> usize {
        self.position.unwrap_or_else(|| self.done.load(Ordering::Relaxed))
    }

    fn finish(&self) -> usize {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.position.map_or(done, |position| position + 1)
    }
}

/// A group whose turn it is.
pub(crate) struct GroupJob {
    pub(crate) index: NamespaceIndex,
    pub(crate) pair: NamespacePair,
    pub(crate) planned: Result<PlannedGroup, (Group, GroupFailure)>,
    pub(crate) place: GroupPlace,
    pub(crate) events: Arc<dyn EventSink>,
    /// Room among the groups at work.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

/// Pushes a group and tells how it went. Returns how many snapshots were handled.
pub(crate) async fn push_group<S: Source, T: PushTarget>(run: Arc<PushRun<S, T>>, job: GroupJob) -> usize {
    let GroupJob { index, pair, planned, place, events: sink, permits } = job;
    let group = match &planned {
        Ok(planned) => planned.group.clone(),
        Err((group, _)) => group.clone(),
    };
    let events = GroupEvents { index, group, sink };
    let mut counts = GroupCounts::default();
    let result = match planned {
        Ok(planned) => {
            GroupPush { run: &run, pair: &pair, place: &place, events: &events, counts: &mut counts }
                .work(planned)
                .await
        }
        Err((_, failure)) => Err(failure),
    };
    let failure = run.report().count_group(&pair.source, &events.group, counts, result);
    if let Some(error) = failure {
        events.emit(GroupEvent::Failed(error));
    }
    let groups_done = place.finish();
    let GroupCounts { handled, behind } = counts;
    events.emit(GroupEvent::Finished { has_progress: 0 < handled, behind, groups_done, groups: place.groups });
    drop(permits);
    handled
}

struct GroupPush<'a, S: Source, T: PushTarget> {
    run: &'a PushRun<S, T>,
    pair: &'a NamespacePair,
    place: &'a GroupPlace,
    events: &'a GroupEvents,
    counts: &'a mut GroupCounts,
}

impl<S: Source, T: PushTarget> GroupPush<'_, S, T> {
    async fn work(&mut self, planned: PlannedGroup) -> Result<(), GroupFailure> {
        let (run, events) = (self.run, self.events);
        let PlannedGroup { group, unreadable, plan, target, record } = planned;
        let is_complete = unreadable.is_empty();
        for item in unreadable {
            let (index, group) = (Some(events.index), Some(group.clone()));
            events.sink.event(&SyncEvent::UnreadableItem { index, group, item });
        }
        if let Some(account) = target.other_owner(run.target.account()) {
            events.emit(GroupEvent::NotOwned { account });
            return Ok(());
        }
        self.tell_what_is_left_out(&plan);
        let mut state = GroupState {
            events: events.clone(),
            source_ns: self.pair.source.clone(),
            target_ns: self.pair.target.clone(),
            newest: if target.newest_finished().is_some() { Newest::Listed } else { Newest::None },
            unfinished: target.unfinished(),
            removed_unfinished: BTreeSet::new(),
            record,
            has_more: false,
            keyed: None,
        };
        self.tell_what_is_lost(&mut state, &plan, &target, is_complete).await;
        let actions: Vec<&Action> = plan.taken().collect();
        self.counts.behind = actions.len();
        let bytes = actions.iter().filter_map(|action| action.item.size).fold(0, u64::saturating_add);
        events.emit(GroupEvent::Planned { snapshots: actions.len(), bytes });
        let mut is_all = true;
        let mut has_pushed = false;
        for (position, action) in actions.iter().enumerate() {
            if run.cancel.is_cancelled() {
                return Err(GroupFailure::Cancelled);
            }
            let time = action.item.backup_time;
            state.has_more = position + 1 < actions.len();
            let result = push_snapshot(run, &mut state, action).await;
            if !matches!(result, Err(GroupFailure::Cancelled)) {
                self.counts.handled = position + 1;
            }
            match result {
                Ok(pushed) => {
                    self.counts.behind -= usize::from(!matches!(pushed, Pushed::Mixed));
                    if let Pushed::Sent(newest) = pushed {
                        state.newest = newest;
                        has_pushed = true;
                        run.report().changed_snapshots += 1;
                        if state.record.failed().contains(&time) {
                            state.update_record(run, move |record| record.forget_failed(|t| t == time)).await;
                        }
                    }
                    let (done, taken) = (position + 1, actions.len());
                    let (groups_done, groups) = (self.place.done(), self.place.groups);
                    events.emit(GroupEvent::SnapshotProgress { done, taken, groups_done, groups });
                }
                Err(error)
                    if error.is_damage_at_source()
                        && state.update_record(run, move |record| record.add_failed(time)).await == Some(true) =>
                {
                    is_all = false;
                    let error = chain(&error);
                    let name = group_name(&self.pair.source, &group);
                    run.report().failures.add(|| format!("{name}: {error}"));
                    events.emit(GroupEvent::SnapshotFailed { time, error });
                }
                Err(error) => return Err(error),
            }
        }
        // What failed may be what a vanished snapshot was to be replaced by.
        if is_all && run.options.remove_vanished {
            remove_snapshots(run, self.pair, events, &plan.listed(), is_complete, &target).await?;
        }
        if !has_pushed {
            run.cancel.run_until_cancelled(follow(run, &state, &plan, &target)).await;
        }
        Ok(())
    }

    fn tell_what_is_left_out(&self, plan: &GroupPlan) {
        tell_in_progress(plan, |event| self.events.emit(event));
        if plan.actions.is_empty() {
            self.events.emit(GroupEvent::NothingToPush);
        }
        for class in plan.skip_classes() {
            self.events.emit(GroupEvent::Skipped(class));
        }
    }

    /// Tells of snapshots that were passed over when they failed and that the target cannot take any more, and forgets
    /// those that are no trouble any more.
    async fn tell_what_is_lost(
        &self,
        state: &mut GroupState,
        plan: &GroupPlan,
        target: &TargetGroup,
        is_complete: bool,
    ) {
        if state.record.failed().is_empty() {
            return;
        }
        let (listed, newest) = (plan.listed(), target.newest_finished());
        let there: BTreeSet<Epoch> = target.finished().collect();
        if is_complete {
            let (listed, there) = (listed.clone(), there.clone());
            let is_settled = move |time: Epoch| !listed.contains(&time) || there.contains(&time);
            state.update_record(self.run, move |record| record.forget_failed(is_settled)).await;
        }
        let is_lost = |time: &&Epoch| newest.is_some_and(|newest| **time <= newest) && !there.contains(time);
        let lost: Vec<Epoch> = state.record.failed().iter().filter(is_lost).copied().collect();
        for time in lost.iter().take(MAX_NAMED_LOST) {
            self.events.emit(GroupEvent::NeverPushed(*time));
        }
        if MAX_NAMED_LOST < lost.len() {
            let more = lost.len() - MAX_NAMED_LOST;
            self.events.emit(GroupEvent::Warning(format!("{more} more snapshot(s) could not be pushed")));
        }
    }
}

/// Returns the newest finished snapshot of the source that the target has, too.
pub(crate) fn newest_common<'a>(plan: &'a GroupPlan, target: &TargetGroup) -> Option<&'a SnapshotItem> {
    let newest = target.newest_finished()?;
    let item = plan.actions.iter().map(|action| &action.item).find(|item| item.backup_time == newest)?;
    item.is_finished().then_some(item)
}
