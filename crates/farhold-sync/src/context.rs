//! What all tasks of one run share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_types::Group;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ahead::chunks::Claims;
use crate::ahead::groups::Distance;
use crate::ahead::listing::MAX_LISTED_AT_ONCE;
use crate::ahead::snapshots::SNAPSHOTS_AHEAD;
use crate::budget::Budget;
use crate::chunks::check_pool::CheckPool;
use crate::chunks::shared::SharedChunks;
use crate::event::{EventSink, GroupEvent, NamespaceIndex, SyncEvent};
use crate::notes::journal::JournalScope;
use crate::options::SyncOptions;
use crate::outcome::{RemovedCounts, SyncReport};
use crate::phases::Phases;
use crate::received::ReceivedFiles;
use crate::retry::Retry;
use crate::source::Source;
use crate::target::{ChunkStore, Target};

pub(crate) struct RunContext<S: Source, T: Target> {
    pub(crate) options: SyncOptions,
    pub(crate) source: Arc<S>,
    pub(crate) target: Arc<T>,
    pub(crate) chunks: Arc<dyn ChunkStore>,
    pub(crate) events: Arc<dyn EventSink>,
    pub(crate) cancel: CancellationToken,
    pub(crate) pool: CheckPool,
    /// Content bytes of chunks in flight.
    pub(crate) budget: Budget,
    /// One permit per reader session beyond the first of a snapshot.
    pub(crate) extra_sessions: Arc<Semaphore>,
    /// One permit per snapshot prepared ahead of its turn within a group whose turn it is.
    pub(crate) ahead: Arc<Semaphore>,
    /// Of what is opened ahead of its group's turn.
    pub(crate) distance: Distance,
    /// Of chunks that are fetched ahead.
    pub(crate) claims: Arc<Claims>,
    /// One permit per snapshot of an answer for a whole namespace.
    pub(crate) listed_at_once: Arc<Semaphore>,
    pub(crate) retry: Arc<Retry>,
    pub(crate) journal: Option<Arc<JournalScope>>,
    pub(crate) report: Mutex<SyncReport>,
    /// Files that came from the source.
    pub(crate) files: Arc<ReceivedFiles>,
    /// When chunks were fetched.
    pub(crate) phases: Phases,
    pub(crate) shared: SharedChunks,
    /// Sessions being closed in good order.
    pub(crate) closing: TaskTracker,
}

impl<S: Source, T: Target> RunContext<S, T> {
    pub(crate) fn new(
        options: SyncOptions,
        source: Arc<S>,
        target: Arc<T>,
        events: Arc<dyn EventSink>,
        cancel: CancellationToken,
    ) -> Self {
        let dir = options.state_dir.as_deref();
        let scope = |dir| JournalScope::new(dir, &options.job, &options.owner, &source.identity());
        let removed = options.remove_vanished.then(RemovedCounts::default);
        let report = SyncReport { removed, ..SyncReport::default() };
        Self {
            chunks: target.chunks(),
            pool: CheckPool::new(options.blocking.clone()),
            budget: Budget::new(options.budget_bytes, options.room.clone()),
            extra_sessions: Arc::new(Semaphore::new(options.sessions_per_archive.saturating_sub(1))),
            ahead: Arc::new(Semaphore::new(SNAPSHOTS_AHEAD)),
            distance: Distance::new(),
            claims: Arc::default(),
            listed_at_once: Arc::new(Semaphore::new(MAX_LISTED_AT_ONCE as usize)),
            retry: Arc::new(Retry::new(events.clone(), options.patience, options.pause_seed)),
            journal: dir.map(|dir| Arc::new(scope(dir))),
            report: Mutex::new(report),
            files: Arc::default(),
            phases: Phases::default(),
            shared: SharedChunks::default(),
            closing: TaskTracker::new(),
            source,
            target,
            events,
            cancel,
            options,
        }
    }

    pub(crate) fn emit(&self, index: NamespaceIndex, group: &Group, event: GroupEvent) {
        self.events.event(&SyncEvent::Group { index, group: group.clone(), event });
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, SyncReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn retry(&self) -> Arc<Retry> {
        self.retry.clone()
    }
}
