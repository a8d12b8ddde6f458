//! A bound on how many password hashes are computed at once.
//!
//! One hash costs 50 to 70 ms of computing and 16 MiB. Whoever is about to check credentials that somebody unknown sent
//! waits for a slot first, without holding a thread: a flood of wrong passwords then costs two processors at most.
//!
//! Requests with the same credentials are let in one after the other, before they ask for a slot. A client that opens
//! with many requests at once thus costs one hash and one waiting place; the others find the secret verified.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use sha2::Sha256;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::{Access, Credentials};

/// Hashes computed at once. Two keep a small server answering; more would only help whoever guesses.
const SLOT_COUNT: usize = 2;
/// Callers that may wait. With two slots and 70 ms a hash the last one waits about 2 s; PVE gives up after 7 s, of
/// which a refusal takes 3 s.
const MAX_WAITING: usize = 64;
/// Different credentials that are told apart at once before entries without users are dropped.
const MAX_TURNS: usize = 1024;

/// The slots of one server.
#[derive(Debug, Clone)]
pub(crate) struct HashSlots {
    slots: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Who checks which credentials, by a keyed hash over them.
    turns: Arc<Mutex<Turns>>,
}

type Turns = HashMap<[u8; 32], Weak<AsyncMutex<()>>>;

impl Default for HashSlots {
    fn default() -> Self {
        let (slots, waiting) = (Arc::new(Semaphore::new(SLOT_COUNT)), Arc::new(Semaphore::new(MAX_WAITING)));
        Self { slots, waiting, turns: Arc::default() }
    }
}

/// The right to be the only one that checks certain credentials, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _guard: OwnedMutexGuard<()>,
}

/// The right to compute hashes until it is dropped.
#[derive(Debug)]
pub struct HashSlot {
    _permit: OwnedSemaphorePermit,
}

impl Access {
    /// Waits until nobody else checks the same credentials. Try [`Self::authenticate_at_once`] again afterwards.
    ///
    /// # Cancel safety
    /// Giving up while waiting leaves nothing behind.
    pub async fn turn(&self, credentials: &Credentials) -> Turn {
        let gate = {
            let mut turns = self.inner.hash_slots.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if MAX_TURNS <= turns.len() {
                turns.retain(|_, gate| gate.strong_count() != 0);
            }
            let entry = turns.entry(self.credentials_key(credentials)).or_default();
            entry.upgrade().unwrap_or_else(|| {
                let gate = Arc::new(AsyncMutex::new(()));
                *entry = Arc::downgrade(&gate);
                gate
            })
        };
        Turn { _guard: gate.lock_owned().await }
    }

    /// Returns what stands for credentials in memory. It is of no use elsewhere.
    fn credentials_key(&self, credentials: &Credentials) -> [u8; 32] {
        let mut mac = SimpleHmac::<Sha256>::new_from_slice(&self.inner.memory_key).expect("a key may have any length");
        let (who, secret) = match credentials {
            Credentials::None => ("", ""),
            Credentials::Ticket(ticket) => ("", ticket.expose()),
            Credentials::Token { tokenid, secret } => (tokenid.as_str(), secret.expose()),
        };
        // The length keeps the two texts apart.
        mac.update(&(who.len() as u64).to_le_bytes());
        mac.update(who.as_bytes());
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Waits for the right to compute a hash. Returns `None` at once if too many callers wait already.
    ///
    /// # Cancel safety
    /// Giving up while waiting leaves nothing behind.
    pub async fn hash_slot(&self) -> Option<HashSlot> {
        let HashSlots { slots, waiting, .. } = &self.inner.hash_slots;
        if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            return Some(HashSlot { _permit: permit });
        }
        let _place = waiting.try_acquire().ok()?;
        // The semaphore is never closed.
        let permit = Arc::clone(slots).acquire_owned().await.ok()?;
        Some(HashSlot { _permit: permit })
    }
}
