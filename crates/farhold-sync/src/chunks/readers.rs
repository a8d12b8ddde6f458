//! The sessions that read the chunks of one archive: several for a large one, each opened again when it breaks.
//!
//! A request whose session broke goes to another one at once; only when none is left does it wait. Nothing that came is
//! asked for again: the rest of a chunk is asked for where its beginning came.
//!
//! Source: `docs/spec/sync.md` C.2 W11 and W29.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_format::blob;
use farhold_types::{ArchiveName, Digest};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::chunks::turns::Turns;
use crate::fault::RequestFault;
use crate::readers::SnapshotReader;
use crate::retry::Tries;
use crate::source::{Source, SourceError, SourceSnapshot};

/// Pause before a session that broke is opened again while others go on, doubled while it delivers nothing.
const SESSION_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_SESSION_PAUSE: Duration = Duration::from_secs(10);

/// How often one chunk may be lost with its session without more of it having come than ever before.
const MOST_LOSSES: u32 = 16;

struct Slot<R> {
    reader: Arc<R>,
    in_flight: AtomicUsize,
    /// Whether anything came over this session.
    has_delivered: AtomicBool,
    /// Told when a request found the session broken.
    lost: Notify,
    /// Held by additional sessions while they are open.
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl<R> Slot<R> {
    fn new(reader: Arc<R>, permit: Option<Arc<OwnedSemaphorePermit>>) -> Arc<Self> {
        let (in_flight, has_delivered) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { reader, in_flight, has_delivered, lost: Notify::new(), permit })
    }
}

/// The sessions that read the chunks of one archive.
pub(crate) struct ChunkReaders<S: Source> {
    snapshot: Arc<SnapshotReader<S>>,
    index: ArchiveName,
    max_index_bytes: u64,
    slots: Mutex<Vec<Arc<Slot<S::Snapshot>>>>,
    turns: Turns,
    /// One permit per additional session that is being opened.
    openings: Semaphore,
    reviving: tokio::sync::Mutex<()>,
    /// Told when the session of the snapshot itself broke.
    first_lost: Notify,
    /// Told when there is a new session.
    added: Notify,
}

impl<S: Source> ChunkReaders<S> {
    /// Returns readers that begin with the session of the snapshot. `openings`: how many additional sessions may read the
    /// index at once.
    pub(crate) fn new(
        snapshot: Arc<SnapshotReader<S>>,
        index: ArchiveName,
        max_index_bytes: u64,
        openings: usize,
    ) -> Self {
        Self {
            snapshot,
            index,
            max_index_bytes,
            slots: Mutex::default(),
            turns: Turns::new(),
            openings: Semaphore::new(openings),
            reviving: tokio::sync::Mutex::new(()),
            first_lost: Notify::new(),
            added: Notify::new(),
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Arc<Slot<S::Snapshot>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, slot: &Arc<Slot<S::Snapshot>>) {
        self.slots().push(slot.clone());
        self.added.notify_waiters();
    }

    /// Returns the number of open sessions, at least 1.
    pub(crate) fn count(&self) -> usize {
        self.slots().len().max(1)
    }

    /// Keeps one more session open until it is dropped, opening it again when it breaks. A failure only means that
    /// there are fewer.
    pub(crate) async fn keep_one_more(&self, permit: OwnedSemaphorePermit) {
        let permit = Arc::new(permit);
        let mut pause = SESSION_PAUSE;
        loop {
            match self.grow(permit.clone()).await {
                Ok(slot) => {
                    slot.lost.notified().await;
                    if slot.has_delivered.load(Ordering::Relaxed) {
                        pause = SESSION_PAUSE;
                    }
                }
                Err(error) if error.fault == RequestFault::ConnectionLost => {}
                Err(error) => {
                    tracing::debug!(%error, "additional reader session not opened");
                    return;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_SESSION_PAUSE);
        }
    }

    /// Opens the session of the snapshot again when it breaks while others go on, until it is dropped.
    pub(crate) async fn keep_first(&self) {
        let mut pause = SESSION_PAUSE;
        loop {
            self.first_lost.notified().await;
            loop {
                sleep(pause).await;
                let _turn = self.reviving.lock().await;
                // Whoever found no session at all has opened it meanwhile.
                if self.slots().iter().any(|slot| slot.permit.is_none()) {
                    pause = SESSION_PAUSE;
                    break;
                }
                match self.snapshot.session_for(&self.index, self.max_index_bytes).await {
                    Ok(reader) => {
                        self.add(&Slot::new(reader, None));
                        break;
                    }
                    Err(error) if error.fault == RequestFault::ConnectionLost => {}
                    Err(_) => return,
                }
                pause = (pause * 2).min(LONGEST_SESSION_PAUSE);
            }
        }
    }

    async fn grow(&self, permit: Arc<OwnedSemaphorePermit>) -> Result<Arc<Slot<S::Snapshot>>, SourceError> {
        // Never closed, so an error cannot come.
        let _opening = self.openings.acquire().await;
        let reader = self.snapshot.open_another().await?;
        self.snapshot.count_file(&reader.file(&self.index, self.max_index_bytes).await?);
        let slot = Slot::new(Arc::new(reader), Some(permit));
        self.add(&slot);
        Ok(slot)
    }

    /// Returns a chunk in its stored form, unchecked, over the least busy session.
    pub(crate) async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        if let Some(chunk) = self.snapshot.chunk_ahead(digest, max_bytes) {
            return Ok(chunk);
        }
        let (mut begun, mut was_resumed) = (BytesMut::new(), false);
        let (mut most, mut losses, mut lost) = (0, 0, None);
        loop {
            let turn = self.turns.take().await;
            let slot = match self.least_busy() {
                Some(slot) => slot,
                None => self.revive(lost.take()).await?,
            };
            was_resumed |= !begun.is_empty();
            slot.in_flight.fetch_add(1, Ordering::Relaxed);
            let result = slot.reader.resume_chunk(digest, max_bytes, &mut begun).await;
            slot.in_flight.fetch_sub(1, Ordering::Relaxed);
            match result {
                Ok(chunk) => {
                    slot.has_delivered.store(true, Ordering::Relaxed);
                    self.snapshot.retry().succeeded();
                    turn.succeeded();
                    // Parts of two different files, put together, would be blamed on an honest source.
                    if was_resumed && blob::check(&chunk).is_err() {
                        (begun, was_resumed) = (BytesMut::new(), false);
                        continue;
                    }
                    return Ok(chunk);
                }
                Err(error) if error.fault == RequestFault::ConnectionLost => {
                    turn.lost(self.lose(&slot).await);
                    losses += 1;
                    if most < begun.len() {
                        losses = 0;
                        self.snapshot.retry().succeeded();
                    }
                    most = most.max(begun.len());
                    if MOST_LOSSES <= losses {
                        return Err(error);
                    }
                    lost = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets a broken session. Returns whether nobody else did before.
    async fn lose(&self, slot: &Arc<Slot<S::Snapshot>>) -> bool {
        let is_news = {
            let mut slots = self.slots();
            let before = slots.len();
            slots.retain(|other| !Arc::ptr_eq(other, slot));
            slots.len() < before
        };
        if is_news {
            slot.lost.notify_one();
            if slot.permit.is_none() {
                self.snapshot.forget(&slot.reader).await;
                self.first_lost.notify_one();
            }
        }
        is_news
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
        let mut tries = Tries::default();
        loop {
            let mut added = std::pin::pin!(self.added.notified());
            added.as_mut().enable();
            if let Some(slot) = self.least_busy() {
                return Ok(slot);
            }
            if let Some(error) = lost.take() {
                tokio::select! {
                    // In this order and not a random one, so that a run can be repeated exactly.
                    biased;
                    () = added => continue,
                    waited = self.snapshot.retry().failed(&mut tries, error) => waited?,
                }
            }
            match self.snapshot.session_for(&self.index, self.max_index_bytes).await {
                Ok(reader) => {
                    // No success yet: where sessions can be opened and chunks break them, pauses must grow, too.
                    let slot = Slot::new(reader, None);
                    self.add(&slot);
                    return Ok(slot);
                }
                Err(error) if error.fault == RequestFault::ConnectionLost => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
}
