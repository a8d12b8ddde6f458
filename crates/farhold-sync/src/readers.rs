//! An open snapshot of the source, opened again when the connection breaks.
//!
//! Source: `docs/spec/sync.md` C.2 W11 and W29.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_types::{ArchiveName, Digest, Namespace, Snapshot};
use tokio::time::Instant;

use crate::ahead::chunks::FetchedAhead;
use crate::ahead::prepare::is_gone;
use crate::context::RunContext;
use crate::fault::RequestFault;
use crate::received::ReceivedFiles;
use crate::retry::Retry;
use crate::source::{Source, SourceError, SourceSnapshot};
use crate::target::Target;

struct Session<R> {
    reader: Arc<R>,
    /// Indexes read through this session, whose chunks it may read.
    indexes: HashSet<ArchiveName>,
}

/// A snapshot of the source that stays open across lost connections.
pub(crate) struct SnapshotReader<S: Source> {
    source: Arc<S>,
    ns: Namespace,
    snapshot: Snapshot,
    retry: Arc<Retry>,
    received: Arc<ReceivedFiles>,
    session: tokio::sync::Mutex<Option<Session<S::Snapshot>>>,
    /// Chunks that came before the snapshot's turn.
    ahead: Mutex<Option<FetchedAhead>>,
    /// Shortest time in which a file came, in microseconds: an upper bound of the round trip.
    fastest_answer: AtomicU64,
}

impl<S: Source> SnapshotReader<S> {
    /// Returns a reader that opens the snapshot at the first request.
    pub(crate) fn new<T: Target>(run: &RunContext<S, T>, ns: Namespace, snapshot: Snapshot, retry: Arc<Retry>) -> Self {
        Self::over(run.source.clone(), run.files.clone(), ns, snapshot, retry)
    }

    /// As [`Self::new`], outside of a sync.
    pub(crate) fn over(
        source: Arc<S>,
        received: Arc<ReceivedFiles>,
        ns: Namespace,
        snapshot: Snapshot,
        retry: Arc<Retry>,
    ) -> Self {
        let (session, fastest_answer) = (tokio::sync::Mutex::new(None), AtomicU64::new(u64::MAX));
        Self { source, ns, snapshot, retry, received, session, ahead: Mutex::new(None), fastest_answer }
    }

    /// Opens the snapshot.
    pub(crate) async fn open(&self) -> Result<(), SourceError> {
        self.retry.run(|| async { self.current().await.map(|_| ()) }).await
    }

    async fn current(&self) -> Result<Arc<S::Snapshot>, SourceError> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(session.reader.clone());
        }
        let reader = Arc::new(self.source.open(&self.ns, &self.snapshot).await?);
        *session = Some(Session { reader: reader.clone(), indexes: HashSet::new() });
        Ok(reader)
    }

    pub(crate) async fn forget(&self, broken: &Arc<S::Snapshot>) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|s| Arc::ptr_eq(&s.reader, broken)) {
            *session = None;
        }
    }

    async fn file_once(&self, name: &ArchiveName, max_bytes: u64) -> Result<(Arc<S::Snapshot>, Bytes), SourceError> {
        let reader = self.current().await?;
        let begin = Instant::now();
        match reader.file(name, max_bytes).await {
            Ok(content) => {
                self.received.add(&content);
                let took = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.fastest_answer.fetch_min(took, Ordering::Relaxed);
                let mut session = self.session.lock().await;
                if let Some(session) = session.as_mut().filter(|s| Arc::ptr_eq(&s.reader, &reader)) {
                    session.indexes.insert(name.clone());
                }
                drop(session);
                Ok((reader, content))
            }
            Err(error) => {
                if error.fault == RequestFault::ConnectionLost {
                    self.forget(&reader).await;
                }
                Err(error)
            }
        }
    }

    /// Returns a file of the snapshot.
    pub(crate) async fn file(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        self.retry.run(|| async { self.file_once(name, max_bytes).await.map(|(_, content)| content) }).await
    }

    /// Returns the shortest time in which a file came; none did yet if it is very long.
    pub(crate) fn fastest_answer(&self) -> Duration {
        Duration::from_micros(self.fastest_answer.load(Ordering::Relaxed))
    }

    /// Returns whether the source does not have the snapshot any more, asked after a request failed with `fault`.
    pub(crate) async fn is_gone<T: Target>(&self, run: &RunContext<S, T>, fault: RequestFault) -> bool {
        is_gone(run, &self.ns, &self.snapshot, &self.retry, fault).await
    }

    /// Counts an index that came through another session.
    pub(crate) fn count_file(&self, content: &Bytes) {
        self.received.add(content);
    }

    /// Returns a chunk in its stored form over the session that is open; one attempt.
    pub(crate) async fn chunk_once(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        let reader = self.current().await?;
        reader.chunk(digest, max_bytes).await
    }

    /// Keeps chunks until the snapshot's turn.
    pub(crate) fn keep_ahead(&self, fetched: FetchedAhead) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
    }

    /// Returns a chunk that came ahead.
    pub(crate) fn chunk_ahead(&self, digest: &Digest, max_bytes: u64) -> Option<Bytes> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(digest, max_bytes)
    }

    /// Closes the session, if one is open.
    pub(crate) async fn close(&self) {
        let session = self.session.lock().await.take();
        if let Some(session) = session {
            session.reader.close().await;
        }
    }

    /// Opens one more session; one attempt.
    pub(crate) async fn open_another(&self) -> Result<S::Snapshot, SourceError> {
        self.source.open(&self.ns, &self.snapshot).await
    }

    /// Returns what decides about asking again.
    pub(crate) fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Returns a session that may read the chunks of `index`; one attempt.
    pub(crate) async fn session_for(
        &self,
        index: &ArchiveName,
        max_bytes: u64,
    ) -> Result<Arc<S::Snapshot>, SourceError> {
        let session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|s| s.indexes.contains(index)) {
            return Ok(session.reader.clone());
        }
        drop(session);
        Ok(self.file_once(index, max_bytes).await?.0)
    }
}
