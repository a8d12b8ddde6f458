//! What all tasks of one push share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_types::{Group, Namespace, Snapshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::chunks::check_pool::CheckPool;
use crate::event::{EventSink, GroupEvent, NamespaceIndex, SyncEvent};
use crate::fault::RequestFault;
use crate::notes::journal::JournalScope;
use crate::options::SyncOptions;
use crate::outcome::{RemovedCounts, SyncReport};
use crate::phases::Phases;
use crate::push::rights::PushRights;
use crate::push::target::{DeletionAnswer, PushTarget, RemoteError};
use crate::received::ReceivedFiles;
use crate::retry::Retry;
use crate::source::Source;

pub(crate) struct PushRun<S: Source, T: PushTarget> {
    pub(crate) options: SyncOptions,
    pub(crate) source: Arc<S>,
    pub(crate) target: Arc<T>,
    pub(crate) rights: Arc<dyn PushRights>,
    pub(crate) events: Arc<dyn EventSink>,
    pub(crate) cancel: CancellationToken,
    /// Cancelled when no session will begin any more.
    pub(crate) over: CancellationToken,
    pub(crate) pool: CheckPool,
    /// One permit per byte of a chunk that is read or on its way.
    pub(crate) budget: Budget,
    pub(crate) retry: Retry,
    /// Where the job's private notes are, if it keeps any.
    pub(crate) notes: Option<Arc<JournalScope>>,
    pub(crate) report: Mutex<SyncReport>,
    /// Manifests, blobs and logs that were sent.
    pub(crate) files: ReceivedFiles,
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    /// When archives were sent.
    pub(crate) phases: Phases,
    /// Sessions being closed in good order.
    pub(crate) closing: TaskTracker,
}

impl<S: Source, T: PushTarget> PushRun<S, T> {
    pub(crate) fn new(
        options: SyncOptions,
        source: Arc<S>,
        target: Arc<T>,
        rights: Arc<dyn PushRights>,
        events: Arc<dyn EventSink>,
        cancel: CancellationToken,
    ) -> Self {
        let dir = options.state_dir.as_deref();
        // What was pushed to one remote says nothing about another, and neither does what was pulled from it.
        let peer = format!("push:{}", target.identity());
        let scope = |dir| Arc::new(JournalScope::new(dir, &options.job, &options.owner, &peer));
        let removed = options.remove_vanished.then(RemovedCounts::default);
        Self {
            pool: CheckPool::new(options.blocking.clone()),
            budget: Budget::new(options.budget_bytes, options.room.clone()),
            retry: Retry::new(events.clone(), options.patience, options.pause_seed),
            notes: dir.map(scope),
            report: Mutex::new(SyncReport { removed, ..SyncReport::default() }),
            files: ReceivedFiles::default(),
            chunks: AtomicU64::default(),
            chunk_bytes: AtomicU64::default(),
            phases: Phases::default(),
            closing: TaskTracker::new(),
            over: cancel.child_token(),
            source,
            target,
            rights,
            events,
            cancel,
            options,
        }
    }

    /// Opens connections for the sessions that begin next, beside everything else and no longer than the run lasts.
    pub(crate) fn warm(&self, sessions: usize) {
        let (target, over) = (self.target.clone(), self.over.clone());
        self.closing.spawn(async move { over.run_until_cancelled(target.warm(sessions)).await });
    }

    /// Asks the target, again after a lost connection. A cancelled run does not wait for an answer: the error then is of no
    /// interest, since the run says once that it was stopped.
    pub(crate) async fn ask<R, F: Future<Output = Result<R, RemoteError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<R, RemoteError> {
        let stopped = || Err(RemoteError::new(RequestFault::Refused, "aborted"));
        self.cancel.run_until_cancelled(self.retry.run(request)).await.unwrap_or_else(stopped)
    }

    /// Asks for a removal, as [`Self::ask`]. Returns none if the thing is gone but the answer that says so was lost: the
    /// same request, repeated, is refused then.
    pub(crate) async fn remove<R, F, G>(
        &self,
        request: impl Fn() -> F,
        is_gone: impl FnOnce() -> G,
    ) -> Result<Option<R>, RemoteError>
    where
        F: Future<Output = Result<R, RemoteError>>,
        G: Future<Output = Result<bool, RemoteError>>,
    {
        let attempts = AtomicU64::new(0);
        let counted = || {
            attempts.fetch_add(1, Ordering::Relaxed);
            request()
        };
        let error = match self.ask(counted).await {
            Ok(removed) => return Ok(Some(removed)),
            Err(error) => error,
        };
        let may_be_gone = matches!(error.fault, RequestFault::Refused | RequestFault::NotFound);
        if may_be_gone && 1 < attempts.load(Ordering::Relaxed) {
            let found = self.cancel.run_until_cancelled(is_gone()).await;
            if matches!(found, Some(Ok(true))) {
                return Ok(None);
            }
        }
        Err(error)
    }

    /// Removes a snapshot from the target.
    pub(crate) async fn remove_snapshot(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), RemoteError> {
        let is_gone = || async {
            let listed = self.target.snapshots(ns, &snapshot.group).await?;
            Ok(listed.unreadable.is_empty() && listed.items.iter().all(|item| item.snapshot() != *snapshot))
        };
        self.remove(|| self.target.delete_snapshot(ns, snapshot), is_gone).await.map(drop)
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, SyncReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a chunk that the target confirmed.
    pub(crate) fn count_chunk(&self, encoded_bytes: u64) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.chunk_bytes.fetch_add(encoded_bytes, Ordering::Relaxed);
    }

    /// Counts a manifest, blob or log that the target confirmed.
    pub(crate) fn count_file(&self, encoded: &Bytes) {
        self.files.add(encoded);
    }

    /// Returns what the run did.
    pub(crate) fn final_report(&self) -> SyncReport {
        let (files, file_bytes) = self.files.look();
        let bytes = self.chunk_bytes.load(Ordering::Relaxed) + file_bytes;
        SyncReport {
            chunks: self.chunks.load(Ordering::Relaxed),
            bytes,
            moved_bytes: bytes,
            files,
            file_bytes,
            elapsed: self.phases.total(),
            retries: self.retry.count(),
            ..self.report().clone()
        }
    }
}

/// Where the events of one group go.
#[derive(Clone)]
pub(crate) struct GroupEvents {
    pub(crate) index: NamespaceIndex,
    pub(crate) group: Group,
    pub(crate) sink: Arc<dyn EventSink>,
}

impl GroupEvents {
    pub(crate) fn emit(&self, event: GroupEvent) {
        self.sink.event(&SyncEvent::Group { index: self.index, group: self.group.clone(), event });
    }

    /// Returns the same group's events by way of another sink.
    pub(crate) fn through(&self, sink: Arc<dyn EventSink>) -> Self {
        Self { sink, ..self.clone() }
    }
}

/// What a whole run learned about the target before it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// What its deletions are asked for.
    pub(crate) answer: DeletionAnswer,
}
