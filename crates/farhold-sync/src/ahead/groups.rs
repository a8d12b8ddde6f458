//! Looking ahead of the queue, so that a run waits for the line and not for round trips.
//!
//! A driver goes through namespaces and groups in the order of the queue and a bounded number of them ahead: it lists,
//! looks at the target, plans, reads the manifest that will be compared, and opens the small snapshots that will be
//! fetched. It only reads. What it found is a guess by the time the group's turn comes: the group is planned again under
//! its lock, and only what still fits is used.
//!
//! Bounds: so many groups are looked at ahead, with so many listed snapshots each; so many sessions are open ahead, and
//! none behind so much content that it would idle for minutes, since an open session keeps the source from pruning.
//!
//! Source: `docs/spec/sync.md` C.2 W7, W8, W10 and W12.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_rules::namespace_map::NamespacePair;
use farhold_rules::sync_plan::{Action, ActionKind, select_groups};
use farhold_types::{Epoch, Group, SnapshotItem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::ahead::chunks::ChunksAhead;
use crate::ahead::listing::NamespaceListing;
use crate::ahead::prepare::{Preparation, prepare};
use crate::context::RunContext;
use crate::outcome::GroupFailure;
use crate::scout::{chunks_ahead, scout};
use crate::source::{Listed, Source, SourceError};
use crate::target::Target;

/// Groups that are looked at ahead of their turn: over a round trip of 80 ms, 400 groups a second.
const GROUPS_AHEAD: usize = 32;

/// Namespaces whose groups are listed ahead of their turn.
const NAMESPACES_AHEAD: usize = 16;

/// Snapshots that are open ahead of their group's turn. Each is a connection and a task of the source.
const SESSIONS_AHEAD: usize = 16;

/// Of these, at most so many of one group, so that others are not forgotten.
const SESSIONS_PER_GROUP: usize = 8;

/// Content in KiB that may lie between what is being fetched and the last session that is open ahead: through in
/// seconds.
const NEAR_KIB: u32 = 64 << 10;

/// The share of one snapshot: two large ones may be open, one being fetched and one ahead.
const MOST_NEAR_KIB: u32 = NEAR_KIB / 2;

/// Largest manifest that is read ahead; larger ones, if there are any, wait for their turn.
const MAX_PEEKED_BYTES: u64 = 1 << 20;

/// Listed snapshots of a group that are kept ahead of its turn; a longer listing is asked for again then.
const MAX_LISTED: usize = 2000;

/// A listing that is older is asked for again when its group's turn comes.
pub(crate) const FRESH: Duration = Duration::from_secs(600);

/// What was found ahead, in the order of the queue: a namespace, then its groups in processing order.
pub(crate) enum Found<S: Source> {
    /// The groups of the next namespace.
    Namespace(Result<Listed<Group>, SourceError>),
    /// The next group in scope of the namespace before.
    Group(GroupAhead<S>),
}

/// The end of the look-ahead that the queue holds. Dropping it stops everything that was begun.
pub(crate) struct LookAhead<S: Source> {
    found: mpsc::Receiver<Found<S>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl<S: Source> LookAhead<S> {
    /// Begins to look.
    pub(crate) fn begin<T: Target>(run: &Arc<RunContext<S, T>>, pairs: Vec<NamespacePair>) -> Self {
        let (found, receiver) = mpsc::channel(GROUPS_AHEAD);
        let (planned, plans) = mpsc::unbounded_channel();
        let driver = tokio::spawn(drive(run.clone(), pairs, found, planned));
        let opener = tokio::spawn(open_sessions(run.clone(), plans));
        Self { found: receiver, _tasks: [AbortOnDropHandle::new(driver), AbortOnDropHandle::new(opener)] }
    }

    /// Returns the groups of the next namespace; those of the one before that nobody asked for are forgotten.
    pub(crate) async fn namespace(&mut self) -> Option<Result<Listed<Group>, SourceError>> {
        loop {
            if let Found::Namespace(groups) = self.found.recv().await? {
                return Some(groups);
            }
        }
    }

    /// Returns the next group of the namespace.
    pub(crate) async fn group(&mut self) -> Option<GroupAhead<S>> {
        match self.found.recv().await? {
            Found::Group(group) => Some(group),
            Found::Namespace(_) => None,
        }
    }
}

/// What a group looked like ahead of its turn.
pub(crate) struct GroupListing {
    /// What the source listed, unless it is too much to be kept.
    pub(crate) listed: Option<Listed<SnapshotItem>>,
    /// When.
    pub(crate) at: Instant,
    /// The manifest of a snapshot that will probably be compared.
    pub(crate) peeked: Option<(Epoch, Bytes)>,
}

/// A group whose turn will come.
pub(crate) struct GroupAhead<S: Source> {
    pub(crate) listing: AbortOnDropHandle<Result<GroupListing, SourceError>>,
    sessions: Arc<SessionsAhead<S>>,
}

impl<S: Source> GroupAhead<S> {
    /// Ends the look-ahead at this group, whose turn has come, and returns what is being prepared, in order.
    pub(crate) fn take_sessions(&self) -> VecDeque<Begun<S>> {
        self.sessions.close()
    }
}

impl<S: Source> Drop for GroupAhead<S> {
    fn drop(&mut self) {
        self.sessions.close();
    }
}

pub(crate) type PreparationTask<S> = AbortOnDropHandle<Result<Preparation<S>, GroupFailure>>;

/// A snapshot being prepared.
pub(crate) struct Begun<S: Source> {
    pub(crate) time: Epoch,
    pub(crate) kind: ActionKind,
    pub(crate) task: PreparationTask<S>,
    /// Held until the snapshot is through.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

struct SessionsAhead<S: Source> {
    begun: Mutex<VecDeque<Begun<S>>>,
    closed: CancellationToken,
}

impl<S: Source> SessionsAhead<S> {
    fn begun(&self) -> MutexGuard<'_, VecDeque<Begun<S>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) -> VecDeque<Begun<S>> {
        let mut begun = self.begun();
        self.closed.cancel();
        std::mem::take(&mut *begun)
    }

    fn add(&self, begin: impl FnOnce() -> Begun<S>) {
        let mut begun = self.begun();
        if !self.closed.is_cancelled() {
            begun.push_back(begin());
        }
    }
}

/// How far apart what is being fetched and what is open ahead may be.
pub(crate) struct Distance {
    sessions: Arc<Semaphore>,
    /// One permit per KiB of content.
    near: Arc<Semaphore>,
}

impl Distance {
    pub(crate) fn new() -> Self {
        Self { sessions: Arc::new(Semaphore::new(SESSIONS_AHEAD)), near: Arc::new(Semaphore::new(NEAR_KIB as usize)) }
    }

    async fn take(&self, action: &Action) -> Option<Vec<OwnedSemaphorePermit>> {
        let near = self.near.clone().acquire_many_owned(kib(action).min(MOST_NEAR_KIB)).await.ok()?;
        Some(vec![near, self.sessions.clone().acquire_owned().await.ok()?])
    }

    /// Keeps others from being opened while a group fetches `actions` that were not opened ahead.
    pub(crate) fn hold_back<'a>(&self, actions: impl Iterator<Item = &'a Action>) -> Option<OwnedSemaphorePermit> {
        let content = actions.fold(0, |sum: u32, action| sum.saturating_add(kib(action)));
        let free = u32::try_from(self.near.available_permits()).unwrap_or(u32::MAX);
        self.near.clone().try_acquire_many_owned(content.min(free)).ok()
    }
}

/// Returns the content of a snapshot in KiB, at least 1.
fn kib(action: &Action) -> u32 {
    u32::try_from(action.item.size.unwrap_or(0) / 1024 + 1).unwrap_or(u32::MAX)
}

struct Planned<S: Source> {
    pair: NamespacePair,
    plan: oneshot::Receiver<(Vec<Action>, ChunksAhead)>,
    sessions: Arc<SessionsAhead<S>>,
}

async fn drive<S: Source, T: Target>(
    run: Arc<RunContext<S, T>>,
    pairs: Vec<NamespacePair>,
    found: mpsc::Sender<Found<S>>,
    planned: mpsc::UnboundedSender<Planned<S>>,
) {
    let mut upcoming = pairs.iter();
    let mut listings = VecDeque::new();
    for pair in &pairs {
        while listings.len() < NAMESPACES_AHEAD {
            let Some(pair) = upcoming.next() else { break };
            listings.push_back(AbortOnDropHandle::new(tokio::spawn(NamespaceListing::ask(run.clone(), pair.clone()))));
        }
        let Some(listing) = listings.pop_front() else { return };
        let (groups, listing) = match listing.await {
            Ok(Ok((groups, listing))) => (Ok(groups), Some(listing)),
            Ok(Err(error)) => (Err(error), None),
            Err(_) => return,
        };
        let selected = match &groups {
            Ok(groups) => select_groups(groups.items.iter().cloned(), &run.options.group_filter).selected,
            Err(_) => Vec::new(),
        };
        if found.send(Found::Namespace(groups)).await.is_err() {
            return;
        }
        let Some(listing) = listing.map(Arc::new) else { continue };
        for group in selected {
            // Room first, so that no more than these are looked at.
            let Ok(room) = found.reserve().await else { return };
            let sessions = Arc::new(SessionsAhead { begun: Mutex::default(), closed: CancellationToken::new() });
            let (plan, receiver) = oneshot::channel();
            let task = look(run.clone(), pair.clone(), group, listing.clone(), plan);
            let listing = AbortOnDropHandle::new(tokio::spawn(task));
            room.send(Found::Group(GroupAhead { listing, sessions: sessions.clone() }));
            // Nobody listens any more only when the run ends.
            let _ = planned.send(Planned { pair: pair.clone(), plan: receiver, sessions });
        }
    }
}

async fn look<S: Source, T: Target>(
    run: Arc<RunContext<S, T>>,
    pair: NamespacePair,
    group: Group,
    listing: Arc<NamespaceListing>,
    plan: oneshot::Sender<(Vec<Action>, ChunksAhead)>,
) -> Result<GroupListing, SourceError> {
    let at = Instant::now();
    let listed = listing.group(&run, &group).await?;
    drop(listing);
    let unreadable = listed.unreadable.clone();
    let Ok(scouted) = scout(&run, &pair, &group, listed).await else {
        // The turn will tell what is wrong with the target.
        return Ok(GroupListing { listed: None, at, peeked: None });
    };
    let transfers = scouted.plan.taken().filter(|action| action.kind == ActionKind::Transfer);
    let chunks = chunks_ahead(scouted.seen.as_ref().map_or(&[][..], |seen| &seen.snapshots));
    // Nobody listens when the group's turn has come meanwhile.
    let _ = plan.send((transfers.take(SESSIONS_PER_GROUP).cloned().collect(), chunks));
    let mut peeked = None;
    if let Some(compared) = scouted.plan.taken().find(|action| action.kind == ActionKind::Compare) {
        let raw = run.source.peek_manifest(&pair.source, &compared.item.snapshot(), MAX_PEEKED_BYTES).await;
        raw.iter().for_each(|raw| run.files.add(raw));
        peeked = raw.ok().map(|raw| (compared.item.backup_time, raw));
    }
    let items: Vec<SnapshotItem> = scouted.plan.actions.into_iter().map(|action| action.item).collect();
    let listed = (items.len() <= MAX_LISTED).then(|| Listed { unreadable, ..items.into() });
    Ok(GroupListing { listed, at, peeked })
}

/// Opens snapshots in the order of the queue, as far ahead as the distance allows.
async fn open_sessions<S: Source, T: Target>(
    run: Arc<RunContext<S, T>>,
    mut plans: mpsc::UnboundedReceiver<Planned<S>>,
) {
    while let Some(Planned { pair, plan, sessions }) = plans.recv().await {
        // The group's turn may have come meanwhile.
        let Some(Ok((actions, chunks))) = sessions.closed.run_until_cancelled(plan).await else { continue };
        for action in actions {
            let Some(permits) = sessions.closed.run_until_cancelled(run.distance.take(&action)).await else { break };
            let Some(permits) = permits else { return };
            sessions.add(|| {
                let (time, kind) = (action.item.backup_time, action.kind);
                let task = prepare(run.clone(), pair.source.clone(), action, run.retry(), None, chunks);
                Begun { time, kind, task: AbortOnDropHandle::new(tokio::spawn(task)), permits }
            });
        }
    }
}
