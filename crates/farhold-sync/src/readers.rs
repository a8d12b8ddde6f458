//! Open snapshots of the source: one session for the files, several for the chunks of a large archive, reopened when
//! the connection breaks.
//!
//! Source: `docs/spec/sync.md` C.2 W11 and W29.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_types::{ArchiveName, Digest, Namespace, Snapshot};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::context::RunContext;
use crate::prepare::is_gone;
use crate::retry::Retry;
use crate::source::{Source, SourceError, SourceFault, SourceSnapshot};
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
    session: tokio::sync::Mutex<Option<Session<S::Snapshot>>>,
    /// Shortest time in which a file came, in microseconds: an upper bound of the round trip.
    fastest_answer: AtomicU64,
}

impl<S: Source> SnapshotReader<S> {
    /// Returns a reader that opens the snapshot at the first request.
    pub(crate) fn new(source: Arc<S>, ns: Namespace, snapshot: Snapshot, retry: Arc<Retry>) -> Self {
        let (session, fastest_answer) = (tokio::sync::Mutex::new(None), AtomicU64::new(u64::MAX));
        Self { source, ns, snapshot, retry, session, fastest_answer }
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

    async fn forget(&self, broken: &Arc<S::Snapshot>) {
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
                if error.fault == SourceFault::ConnectionLost {
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
    pub(crate) async fn is_gone<T: Target>(&self, run: &RunContext<S, T>, fault: SourceFault) -> bool {
        is_gone(run, &self.ns, &self.snapshot, &self.retry, fault).await
    }

    /// Closes the session, if one is open.
    pub(crate) async fn close(&self) {
        let session = self.session.lock().await.take();
        if let Some(session) = session {
            session.reader.close().await;
        }
    }

    /// Returns a session that may read the chunks of `index`; one attempt.
    async fn session_for(&self, index: &ArchiveName, max_bytes: u64) -> Result<Arc<S::Snapshot>, SourceError> {
        let session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|s| s.indexes.contains(index)) {
            return Ok(session.reader.clone());
        }
        drop(session);
        Ok(self.file_once(index, max_bytes).await?.0)
    }
}

struct Slot<R> {
    reader: Arc<R>,
    in_flight: AtomicUsize,
    /// Held while an additional session is open.
    permit: Option<OwnedSemaphorePermit>,
}

/// The sessions that read the chunks of one archive.
pub(crate) struct ChunkReaders<S: Source> {
    snapshot: Arc<SnapshotReader<S>>,
    index: ArchiveName,
    max_index_bytes: u64,
    slots: Mutex<Vec<Arc<Slot<S::Snapshot>>>>,
    reviving: tokio::sync::Mutex<()>,
}

impl<S: Source> ChunkReaders<S> {
    /// Returns readers that begin with the session of the snapshot.
    pub(crate) fn new(snapshot: Arc<SnapshotReader<S>>, index: ArchiveName, max_index_bytes: u64) -> Self {
        Self { snapshot, index, max_index_bytes, slots: Mutex::default(), reviving: tokio::sync::Mutex::new(()) }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Slot<S::Snapshot>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of open sessions, at least 1.
    pub(crate) fn count(&self) -> usize {
        self.slots().len().max(1)
    }

    /// Opens one more session. A failure only means that there are fewer.
    pub(crate) async fn grow(&self, permit: OwnedSemaphorePermit) -> Result<(), SourceError> {
        let reader = self.snapshot.source.open(&self.snapshot.ns, &self.snapshot.snapshot).await?;
        reader.file(&self.index, self.max_index_bytes).await?;
        let slot = Slot { reader: Arc::new(reader), in_flight: AtomicUsize::new(0), permit: Some(permit) };
        self.slots().push(Arc::new(slot));
        Ok(())
    }

    /// Returns a chunk in its stored form, unchecked, over the least busy session.
    pub(crate) async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        let mut lost = None;
        loop {
            let slot = match self.least_busy() {
                Some(slot) => slot,
                None => self.revive(lost.take()).await?,
            };
            slot.in_flight.fetch_add(1, Ordering::Relaxed);
            let result = slot.reader.chunk(digest, max_bytes).await;
            slot.in_flight.fetch_sub(1, Ordering::Relaxed);
            match result {
                Ok(chunk) => {
                    self.snapshot.retry.succeeded();
                    return Ok(chunk);
                }
                Err(error) if error.fault == SourceFault::ConnectionLost => {
                    self.slots().retain(|other| !Arc::ptr_eq(other, &slot));
                    self.snapshot.forget(&slot.reader).await;
                    lost = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes the additional sessions.
    pub(crate) async fn close(&self) {
        let slots = std::mem::take(&mut *self.slots());
        for slot in slots.iter().filter(|slot| slot.permit.is_some()) {
            slot.reader.close().await;
        }
    }

    fn least_busy(&self) -> Option<Arc<Slot<S::Snapshot>>> {
        self.slots().iter().min_by_key(|slot| slot.in_flight.load(Ordering::Relaxed)).cloned()
    }

    /// Opens the first session, or one after all were lost. The others wait for the one that does it.
    async fn revive(&self, mut lost: Option<SourceError>) -> Result<Arc<Slot<S::Snapshot>>, SourceError> {
        let _turn = self.reviving.lock().await;
        loop {
            if let Some(slot) = self.least_busy() {
                return Ok(slot);
            }
            if let Some(error) = lost.take() {
                self.snapshot.retry.failed(error).await?;
            }
            match self.snapshot.session_for(&self.index, self.max_index_bytes).await {
                Ok(reader) => {
                    let slot = Arc::new(Slot { reader, in_flight: AtomicUsize::new(0), permit: None });
                    self.slots().push(slot.clone());
                    return Ok(slot);
                }
                Err(error) if error.fault == SourceFault::ConnectionLost => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
}
