//! The queue of a push: groups of all namespaces, in order, as many at once as hide the round trips of small ones.
//!
//! A session takes half a dozen round trips, however small its snapshot is, and the sessions of one group follow each
//! other. So groups behind the one whose turn it is begin ahead: all groups at work share the content that the workers may
//! have on their way, which large groups fill alone, and their number is bounded. With one worker the events come in the
//! order of the queue all the same.
//!
//! Parents come before children, so a namespace is created before those below it.
//!
//! Source: `docs/spec/sync.md` 4.3, 10.2, 13, C.2 W10 and W12; `docs/adr/0009`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::removal_plan::OwnedGroup;
use farhold_rules::sync_plan::select_groups;
use farhold_types::{Group, Namespace};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::event::{EventSink, NamespaceIndex, SyncEvent};
use crate::fault::RequestFault;
use crate::outcome::{GroupFailure, NamespaceFailure, SyncError, chain};
use crate::push::context::PushRun;
use crate::push::group::{GroupJob, GroupPlace, PlannedGroup, push_group};
use crate::push::lanes::Lanes;
use crate::push::listing::{NamespaceListing, plan_one};
use crate::push::removal::groups::{GroupRemover, all_owned};
use crate::push::removal::namespaces::{PushedNamespaces, remove_namespaces};
use crate::push::run::PushScope;
use crate::push::target::{DeletionAnswer, PushTarget, RemoteError};
use crate::removal::groups::KnownGroups;
use crate::source::Source;

/// Groups that are pushed ahead of those whose turn it is. Each has a session open; over 80 ms eight of them take 60 ms
/// for a small snapshot.
const GROUPS_AHEAD: usize = 8;

/// Groups that are planned ahead of their turn.
const PLANNED_AHEAD: usize = 32;

/// Namespaces that are listed ahead of their turn.
const NAMESPACES_AHEAD: usize = 16;

/// Content in KiB that one worker has at work: a group with more is alone, smaller ones share it.
const WORKER_KIB: u32 = 32 << 10;

/// Most workers that the content is counted for; more would not fit the count.
const MOST_WORKERS: usize = 1024;

type PlanTask = AbortOnDropHandle<Result<PlannedGroup, (Group, GroupFailure)>>;
type ListingTask = AbortOnDropHandle<Result<NamespaceListing, NamespaceFailure>>;

/// A namespace that was begun.
struct OpenNamespace {
    pair: NamespacePair,
    /// Groups that are not finished, and whether more may come.
    left: usize,
    /// Groups and snapshots that were handled.
    handled: (usize, usize),
    state: Stage,
    /// What the source and the target have of it, for the removal of vanished groups.
    known: KnownGroups,
    on_target: Vec<OwnedGroup>,
    /// Where its last events go.
    end: Option<Arc<dyn EventSink>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its groups are at work.
    Groups,
    /// What vanished from it is being removed.
    Removal,
    /// All is done but told.
    Done,
    /// It is told that it is finished, or failed.
    Told,
}

/// What a task of the queue has done.
enum Done {
    /// A group of this namespace, with so many snapshots.
    Group(NamespaceIndex, usize),
    /// The removal of what vanished from this namespace.
    Removal(NamespaceIndex),
}

pub(crate) struct Queue<S: Source, T: PushTarget> {
    run: Arc<PushRun<S, T>>,
    scope: PushScope,
    /// With one worker: what keeps events in order.
    lanes: Option<Arc<Lanes>>,
    /// One permit per group at work.
    slots: Arc<Semaphore>,
    /// One permit per KiB of content at work.
    content: Arc<Semaphore>,
    tasks: JoinSet<Done>,
    open: Vec<OpenNamespace>,
    failed: Vec<Namespace>,
}

impl<S: Source, T: PushTarget> Queue<S, T> {
    pub(crate) fn new(run: Arc<PushRun<S, T>>, scope: PushScope) -> Self {
        let workers = run.options.worker_threads.clamp(1, MOST_WORKERS);
        let lanes = (workers == 1).then(|| Lanes::new(run.events.clone()));
        Self {
            run,
            scope,
            lanes,
            slots: Arc::new(Semaphore::new(workers + GROUPS_AHEAD)),
            content: Arc::new(Semaphore::new(workers * WORKER_KIB as usize)),
            tasks: JoinSet::new(),
            open: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Returns where the events of the next piece of work go.
    fn lane(&self) -> Arc<dyn EventSink> {
        match &self.lanes {
            Some(lanes) => Arc::new(lanes.lane()),
            None => self.run.events.clone(),
        }
    }

    pub(crate) async fn work(mut self) -> Result<(), SyncError> {
        let pairs = self.scope.pairs.clone();
        let mut upcoming = pairs.iter();
        let mut listings: VecDeque<ListingTask> = VecDeque::new();
        for (index, pair) in pairs.iter().enumerate() {
            while listings.len() < NAMESPACES_AHEAD {
                let Some(pair) = upcoming.next() else { break };
                let is_there = self.scope.existing.contains(&pair.target);
                let task = NamespaceListing::ask(self.run.clone(), pair.clone(), is_there);
                listings.push_back(AbortOnDropHandle::new(tokio::spawn(task)));
            }
            let Some(listing) = listings.pop_front() else { return Err(SyncError::Crashed) };
            if self.run.cancel.is_cancelled() {
                break;
            }
            let events = self.lane();
            events.event(&SyncEvent::NamespaceStarted { index, pair: pair.clone() });
            self.open.push(OpenNamespace {
                pair: pair.clone(),
                left: 0,
                handled: (0, 0),
                state: Stage::Groups,
                known: KnownGroups::default(),
                on_target: Vec::new(),
                end: None,
            });
            let cancel = self.run.cancel.clone();
            let opened = async {
                self.ensure_target(index, pair, &events).await?;
                listing.await.unwrap_or_else(|_| Err(NamespaceFailure::Crashed))
            };
            match cancel.run_until_cancelled(opened).await {
                None => break,
                Some(Err(failure)) => self.namespace_failed(index, pair, &failure, &events),
                Some(Ok(listing)) => {
                    drop(events);
                    self.groups(index, pair, listing).await?;
                }
            }
        }
        while !self.tasks.is_empty() {
            self.finish_one().await?;
        }
        self.remove_vanished_namespaces().await;
        Ok(())
    }

    /// Creates the target namespace, from the top, if it does not exist.
    ///
    /// Source: `docs/spec/sync.md` 4.3, push.
    async fn ensure_target(
        &mut self,
        index: NamespaceIndex,
        pair: &NamespacePair,
        events: &Arc<dyn EventSink>,
    ) -> Result<(), NamespaceFailure> {
        let (run, ns) = (self.run.clone(), &pair.target);
        if !self.scope.existing.contains(ns) {
            let denied = |source| NamespaceFailure::CreateRemoteDenied { source };
            run.rights.may_modify(ns).map_err(denied)?;
            let mut missing = Vec::new();
            let mut next = Some(ns.clone());
            while let Some(ns) = next.filter(|ns| !self.scope.existing.contains(ns)) {
                next = ns.parent();
                missing.push(ns);
            }
            for ns in missing.into_iter().rev() {
                create_namespace(&run, &ns).await?;
                self.scope.existing.insert(ns.clone());
                let pair = NamespacePair { source: pair.source.clone(), target: ns };
                events.event(&SyncEvent::NamespaceCreated { index, pair });
            }
        }
        run.rights.may_backup(ns).map_err(NamespaceFailure::Denied)
    }

    fn namespace_failed(
        &mut self,
        index: NamespaceIndex,
        pair: &NamespacePair,
        failure: &NamespaceFailure,
        events: &Arc<dyn EventSink>,
    ) {
        self.failed.push(pair.target.clone());
        let error = chain(failure);
        self.run.report().failures.add(|| format!("{}: {error}", pair.source.log_name()));
        let is_listing = matches!(failure, NamespaceFailure::Groups(_) | NamespaceFailure::RemoteGroups(_));
        events.event(&SyncEvent::NamespaceFailed { index, pair: pair.clone(), is_listing, error });
        self.open[index].state = Stage::Told;
    }

    async fn groups(
        &mut self,
        index: NamespaceIndex,
        pair: &NamespacePair,
        listing: NamespaceListing,
    ) -> Result<(), SyncError> {
        let events = self.lane();
        let NamespaceListing { source, target } = listing;
        if self.run.options.remove_vanished {
            self.open[index].known = KnownGroups::of(&source);
            self.open[index].on_target = all_owned(target.groups());
        }
        for item in source.unreadable {
            events.event(&SyncEvent::UnreadableItem { index: Some(index), group: None, item });
        }
        let selection = select_groups(source.items, &self.run.options.group_filter);
        let groups = selection.selected.len();
        events.event(&SyncEvent::GroupsFound { index, selected: groups, total: selection.total });
        drop(events);
        // One more, until all groups are on their way.
        self.open[index].left = groups + 1;
        let done = Arc::new(AtomicUsize::new(0));
        let mut upcoming = selection.selected.into_iter();
        let mut plans: VecDeque<PlanTask> = VecDeque::new();
        for number in 0..groups {
            plans.extend(upcoming.by_ref().take(PLANNED_AHEAD - plans.len()).map(|group| {
                let task = plan_one(self.run.clone(), pair.clone(), group, target.clone());
                AbortOnDropHandle::new(tokio::spawn(task))
            }));
            let Some(plan) = plans.pop_front() else { return Err(SyncError::Crashed) };
            let cancel = self.run.cancel.clone();
            let Some(planned) = cancel.run_until_cancelled(plan).await else { return Ok(()) };
            let planned = planned.map_err(|_| SyncError::Crashed)?;
            let Some(permits) = self.room(&planned, plans.len()).await? else { return Ok(()) };
            let position = self.lanes.is_some().then_some(number);
            let place = GroupPlace { groups, done: done.clone(), position };
            let (pair, events, run) = (pair.clone(), self.lane(), self.run.clone());
            self.tasks.spawn(async move {
                let job = GroupJob { index, pair, planned, place, events, permits };
                Done::Group(index, push_group(run, job).await)
            });
        }
        self.open[index].end = Some(self.lane());
        self.group_finished(index, None);
        Ok(())
    }

    /// Waits until another group may begin. Returns nothing when the run is cancelled. `behind`: groups that may follow.
    async fn room(
        &mut self,
        planned: &Result<PlannedGroup, (Group, GroupFailure)>,
        behind: usize,
    ) -> Result<Option<Vec<OwnedSemaphorePermit>>, SyncError> {
        let (slots, content) = (self.slots.clone(), self.content.clone());
        let (bytes, sends) = match planned {
            Ok(planned) => (planned.bytes(), planned.plan.taken().next().is_some()),
            Err(_) => (0, false),
        };
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(WORKER_KIB);
        let cancel = self.run.cancel.clone();
        let permits = cancel.run_until_cancelled(async move {
            Some(vec![slots.acquire_owned().await.ok()?, content.acquire_many_owned(kib).await.ok()?])
        });
        tokio::pin!(permits);
        if sends {
            let sessions = self.slots.available_permits().min(behind + 1);
            self.run.warm(sessions.clamp(1, GROUPS_AHEAD));
        }
        loop {
            tokio::select! {
                biased;
                permits = &mut permits => return permits.map(|found| found.ok_or(SyncError::Crashed)).transpose(),
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.finished(done.map_err(|_| SyncError::Crashed)?);
                }
            }
        }
    }

    async fn finish_one(&mut self) -> Result<(), SyncError> {
        if let Some(done) = self.tasks.join_next().await {
            self.finished(done.map_err(|_| SyncError::Crashed)?);
        }
        Ok(())
    }

    fn finished(&mut self, done: Done) {
        match done {
            Done::Group(index, snapshots) => self.group_finished(index, Some(snapshots)),
            Done::Removal(index) => {
                self.open[index].state = Stage::Done;
                self.tell_finished();
            }
        }
    }

    /// `snapshots`: how many the group had; none if it is not a group, but the end of the namespace's list.
    fn group_finished(&mut self, index: NamespaceIndex, snapshots: Option<usize>) {
        let open = &mut self.open[index];
        open.left -= 1;
        if let Some(snapshots) = snapshots {
            open.handled.0 += 1;
            open.handled.1 += snapshots;
        }
        if open.left != 0 {
            return;
        }
        if !self.run.options.remove_vanished || self.run.cancel.is_cancelled() {
            open.state = Stage::Done;
            self.tell_finished();
            return;
        }
        open.state = Stage::Removal;
        let (known, on_target) = (std::mem::take(&mut open.known), std::mem::take(&mut open.on_target));
        let (pair, end) = (open.pair.clone(), open.end.clone());
        let (run, peer) = (self.run.clone(), self.scope.peer);
        self.tasks.spawn(async move {
            let events = end.unwrap_or_else(|| run.events.clone());
            let remover = GroupRemover { run: &run, peer, events: &events, index: Some(index), ns: &pair.target };
            remover.remove_vanished(&pair, &known, &on_target).await;
            Done::Removal(index)
        });
    }

    /// Tells which namespaces are finished: with one worker in order, so that the counts fit what was told before.
    fn tell_finished(&mut self) {
        for index in 0..self.open.len() {
            match self.open[index].state {
                Stage::Told => continue,
                Stage::Groups | Stage::Removal if self.lanes.is_some() => return,
                Stage::Groups | Stage::Removal => continue,
                Stage::Done => self.open[index].state = Stage::Told,
            }
            let end = self.open[index].end.take();
            if self.run.cancel.is_cancelled() {
                continue;
            }
            let told = self.open.iter().filter(|open| open.state == Stage::Told);
            let (groups, snapshots) = told.fold((0, 0), |sum, open| (sum.0 + open.handled.0, sum.1 + open.handled.1));
            let is_reported = self.run.options.max_depth != Some(0);
            let pair = self.open[index].pair.clone();
            let event = SyncEvent::NamespaceFinished { index, pair, groups, snapshots, is_reported };
            end.unwrap_or_else(|| self.run.events.clone()).event(&event);
        }
    }

    async fn remove_vanished_namespaces(&self) {
        let (run, scope) = (&self.run, &self.scope);
        let is_asked = run.options.remove_vanished && !run.cancel.is_cancelled();
        if is_asked && run.options.max_depth != Some(0) {
            let pairs = [&scope.pairs[..], &scope.hidden].concat();
            let (failed, existing, is_complete) = (&self.failed[..], &scope.existing, scope.is_target_complete);
            let pushed = PushedNamespaces { pairs: &pairs, failed, existing, is_complete };
            remove_namespaces(run, scope.peer, &run.events, &pushed).await;
        }
        if is_asked && scope.peer.answer == DeletionAnswer::Nothing {
            run.events.event(&SyncEvent::NoDeletionStatistics);
        }
    }
}

async fn create_namespace<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    ns: &Namespace,
) -> Result<(), NamespaceFailure> {
    let failed = |source| NamespaceFailure::CreateRemote { namespace: ns.clone(), source };
    let refused: RemoteError = match run.retry.run(|| run.target.create_namespace(ns)).await {
        Ok(()) => return Ok(()),
        Err(error) if error.fault == RequestFault::Refused => error,
        Err(error) => return Err(failed(error)),
    };
    // Another job may have been faster, or the answer to the first attempt was lost.
    let existing = run.retry.run(|| run.target.namespaces()).await.map_err(failed)?;
    if existing.items.contains(ns) { Ok(()) } else { Err(failed(refused)) }
}
