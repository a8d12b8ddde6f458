//! Bodies of uploads: taken in whatever order their parts come, within bounded memory, and worked on by many threads.
//!
//! A client may send 200 bodies at once, a part of each in turn, and the connection's window is shared between them: a
//! server that stops reading one body until memory is free may wait for parts that stand behind it. So reading never
//! waits for other bodies to *arrive*. While a complete body of the session is being worked on, a new part waits for
//! its memory, which holds the client back; when none is, the body moves to disk ([`Spill`]) and its memory is free for
//! others. Bodies on disk are worked on one by one.
//!
//! Besides, HTTP/2 holds what has arrived and is not read yet: at most the connection's window.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farhold_format::blob::MAX_ENCODED_BLOB_BYTES;
use http_body_util::BodyExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::chunk::Bench;
use super::spill::{MakeScratch, Slot, Spill};
use super::watch::Activity;
use crate::declare::Body;
use crate::error::ApiError;

/// Memory that one session may take for bodies, in KiB: 64 MiB, sixteen chunks of an image. More keeps no more cores
/// busy.
const SESSION_KIB: u32 = 64 * 1024;
/// The first memory of a body, in bytes; doubled when it is full.
const FIRST_BYTES: usize = 256 * 1024;
/// A body fails when nothing of it, nor of any other of its session, arrived for this long.
const STALL_LIMIT: Duration = Duration::from_secs(300);
/// A body fails when nothing of it arrived for this long, even if others did: a slow line shared by many.
const OWN_STALL_LIMIT: Duration = Duration::from_secs(3600);

/// Memory and threads for uploads that all sessions of a server share.
#[derive(Debug, Clone)]
pub struct WriteBudget {
    memory: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    /// Benches that nobody uses now; no more than threads.
    benches: Arc<Mutex<Vec<Bench>>>,
}

impl WriteBudget {
    /// Returns a budget of so many bytes for bodies, and `threads` that check and store chunks at once.
    ///
    /// Each thread takes up to 16 MiB more while it decodes a chunk, and up to 16 MiB for a body from disk.
    pub fn new(bytes: u64, threads: usize) -> Self {
        let kib = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            memory: Arc::new(Semaphore::new(kib)),
            threads: Arc::new(Semaphore::new(threads.max(1))),
            benches: Arc::default(),
        }
    }

    fn take_bench(&self) -> Bench {
        self.benches.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_bench(&self, bench: Bench) {
        self.benches.lock().unwrap_or_else(PoisonError::into_inner).push(bench);
    }
}

/// The bodies of one session.
pub(super) struct Intake {
    budget: WriteBudget,
    /// The session's share, in KiB.
    share: Arc<Semaphore>,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
    spill: Arc<Spill>,
    /// For bodies on disk, one by one.
    turn: Arc<Semaphore>,
}

/// What parts of one session wait for.
#[derive(Default)]
struct Shared {
    /// Complete bodies that are being worked on.
    in_work: AtomicUsize,
    /// Memory became free, or a body was worked off.
    changed: Notify,
}

/// Memory reserved for a body.
struct Room {
    permits: Vec<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.permits.clear();
        self.shared.changed.notify_waiters();
    }
}

/// A complete body that is being worked on.
struct InWork(Arc<Shared>);

impl InWork {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.in_work.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// A body of which parts arrived.
enum Held {
    Memory(Vec<u8>, Room),
    Disk(Slot),
}

/// A complete body of the announced length.
pub(super) struct Received {
    held: Held,
    in_work: InWork,
}

impl Intake {
    pub fn new(budget: &WriteBudget, activity: Arc<Activity>, make_scratch: MakeScratch) -> Self {
        Self {
            budget: budget.clone(),
            share: Arc::new(Semaphore::new(SESSION_KIB as usize)),
            activity,
            shared: Arc::default(),
            spill: Spill::new(make_scratch),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes a body of exactly `announced` bytes, at most [`MAX_ENCODED_BLOB_BYTES`].
    ///
    /// # Errors
    /// The body has another length (noticed as soon as it is too long), breaks off or stalls; no space on disk.
    pub async fn receive(&self, mut body: Body, announced: usize) -> Result<Received, ApiError> {
        let announced_too_much = || ApiError::bad_request("the announced body is too large");
        if MAX_ENCODED_BLOB_BYTES < announced {
            return Err(announced_too_much());
        }
        let room = Room { permits: Vec::new(), shared: Arc::clone(&self.shared) };
        let mut held = Held::Memory(Vec::new(), room);
        let mut total = 0_usize;
        while let Some(part) = self.next_part(&mut body).await? {
            total += part.len();
            if announced < total {
                return Err(ApiError::bad_request(format!("body is longer than the announced {announced} bytes")));
            }
            held = self.add(held, part, announced).await?;
        }
        if total != announced {
            return Err(ApiError::bad_request(format!("body has {total} bytes, not the announced {announced}")));
        }
        Ok(Received { held, in_work: InWork::new(&self.shared) })
    }

    /// Reads a body and throws it away.
    ///
    /// # Errors
    /// It breaks off or stalls.
    pub async fn discard(&self, mut body: Body) -> Result<(), ApiError> {
        while self.next_part(&mut body).await?.is_some() {}
        Ok(())
    }

    async fn next_part(&self, body: &mut Body) -> Result<Option<Bytes>, ApiError> {
        let mut waited = Duration::ZERO;
        loop {
            match timeout(STALL_LIMIT, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    self.activity.note_body();
                    if let Ok(part) = frame.into_data() {
                        return Ok(Some(part));
                    }
                }
                Ok(Some(Err(error))) => return Err(ApiError::bad_request(format!("body broke off: {error}"))),
                Err(_) => {
                    waited += STALL_LIMIT;
                    if STALL_LIMIT <= self.activity.last_body().elapsed() || OWN_STALL_LIMIT <= waited {
                        return Err(ApiError::bad_request(format!("nothing of the body came for {waited:?}")));
                    }
                }
            }
        }
    }

    async fn add(&self, held: Held, part: Bytes, announced: usize) -> Result<Held, ApiError> {
        let (mut bytes, mut room) = match held {
            Held::Memory(bytes, room) => (bytes, room),
            Held::Disk(mut slot) => {
                return blocking(move || slot.push(&part).map(|()| Held::Disk(slot))).await;
            }
        };
        let needed = bytes.len() + part.len();
        if bytes.capacity() < needed {
            // At most twice what arrived, and never more than was announced.
            let capacity = needed.max(2 * bytes.capacity()).max(FIRST_BYTES).min(announced);
            let more_kib = kib(capacity) - kib(bytes.capacity());
            if !self.reserve(&mut room, more_kib).await {
                let spill = Arc::clone(&self.spill);
                return blocking(move || {
                    let mut slot = spill.slot()?;
                    slot.push(&bytes)?;
                    slot.push(&part)?;
                    drop((bytes, room));
                    Ok(Held::Disk(slot))
                })
                .await;
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&part);
        Ok(Held::Memory(bytes, room))
    }

    /// Reserves memory; false if there is none, and no work of this session that will give some back.
    async fn reserve(&self, room: &mut Room, kib: u32) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(permits) = self.try_reserve(kib) {
                room.permits.extend(permits);
                return true;
            }
            if self.shared.in_work.load(Ordering::SeqCst) == 0 {
                return false;
            }
            changed.await;
        }
    }

    fn try_reserve(&self, kib: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let share = Arc::clone(&self.share).try_acquire_many_owned(kib).ok()?;
        let memory = Arc::clone(&self.budget.memory).try_acquire_many_owned(kib).ok()?;
        Some([share, memory])
    }

    /// Works on a complete body on a thread of its own, when it is its turn.
    ///
    /// # Errors
    /// What the work fails with; a body on disk cannot be read.
    pub async fn work<T: Send + 'static>(
        &self,
        received: Received,
        work: impl FnOnce(&mut [u8], &mut Bench) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Received { held, in_work } = received;
        let turn = match &held {
            Held::Disk(_) => Some(Arc::clone(&self.turn).acquire_owned().await.map_err(closing)?),
            Held::Memory(..) => None,
        };
        let thread = Arc::clone(&self.budget.threads).acquire_owned().await.map_err(closing)?;
        let budget = self.budget.clone();
        blocking(move || {
            let (mut bytes, room) = match held {
                Held::Memory(bytes, room) => (bytes, Some(room)),
                Held::Disk(slot) => (slot.read()?, None),
            };
            let mut bench = budget.take_bench();
            let result = work(&mut bytes, &mut bench);
            budget.give_bench(bench);
            // In this order: whoever is woken finds the memory free.
            drop((bytes, room));
            drop((thread, turn, in_work));
            result
        })
        .await
    }
}

/// Rounds up, so that what is reserved for growing sums up to what is held.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn closing<E>(_: E) -> ApiError {
    ApiError::internal("session is closing")
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!("work of a backup session ended without a result: {error}");
        ApiError::internal("internal error, see the server's log")
    })?
}

#[cfg(test)]
pub(super) mod tests;
