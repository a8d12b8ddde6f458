//! A bound on how many password hashes are computed at once.
//!
//! One hash costs 50 to 70 ms of computing and 16 MiB. Whoever is about to check credentials that somebody unknown sent
//! waits for a slot first, without holding a thread: a flood of wrong passwords then costs two processors at most.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Access;

/// Hashes computed at once. Two keep a small server answering; more would only help whoever guesses.
const SLOT_COUNT: usize = 2;
/// Callers that may wait. With two slots and 70 ms a hash the last one waits about 2 s; PVE gives up after 7 s, of
/// which a refusal takes 3 s.
const MAX_WAITING: usize = 64;

/// The slots of one server.
#[derive(Debug, Clone)]
pub(crate) struct HashSlots {
    slots: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for HashSlots {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(SLOT_COUNT)), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }
}

/// The right to compute hashes until it is dropped.
#[derive(Debug)]
pub struct HashSlot {
    _permit: OwnedSemaphorePermit,
}

impl Access {
    /// Waits for the right to compute a hash. Returns `None` at once if too many callers wait already.
    ///
    /// # Cancel safety
    /// Giving up while waiting leaves nothing behind.
    pub async fn hash_slot(&self) -> Option<HashSlot> {
        let HashSlots { slots, waiting } = &self.inner.hash_slots;
        if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            return Some(HashSlot { _permit: permit });
        }
        let _place = waiting.try_acquire().ok()?;
        // The semaphore is never closed.
        let permit = Arc::clone(slots).acquire_owned().await.ok()?;
        Some(HashSlot { _permit: permit })
    }
}
