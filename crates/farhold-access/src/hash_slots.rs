//! A bound on how many password hashes are computed at once.
//!
//! One hash costs 50 to 70 ms of computing and 16 MiB. Whoever is about to check credentials that somebody unknown sent
//! waits for a slot first, without holding a thread: a flood of wrong passwords then costs two processors at most. Who may
//! wait, and how many, say [`crate::places`]. Passwords of system accounts have slots of their own, since the host may
//! ask a network about them.
//!
//! Requests with the same credentials are let in one after the other, before they ask for a slot. A client that opens
//! with many requests at once thus costs one hash and one waiting place; the others find the secret verified.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use farhold_types::Authid;
use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use sha2::Sha256;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::places::{Account, Asker, Places};
use crate::{Access, Credentials};

/// Hashes computed at once: one for each thread. Two keep a small server answering; more would only help whoever guesses.
const SLOT_COUNT: usize = crate::hash_threads::THREADS;
/// Passwords of system accounts checked at once. The host may ask a network, so one that hangs holds up no other.
const SYSTEM_SLOT_COUNT: usize = 4;
/// Longest wait for a slot. Own hashes never take that long; a host that cannot reach its directory does.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Different credentials that are told apart at once before entries without users are dropped.
const MAX_TURNS: usize = 1024;

/// The slots of one server.
#[derive(Debug, Clone)]
pub(crate) struct HashSlots {
    slots: Arc<Semaphore>,
    system_slots: Arc<Semaphore>,
    places: Arc<Mutex<Places>>,
    /// Who checks which credentials, by a keyed hash over them.
    turns: Arc<Mutex<Turns>>,
}

type Turns = HashMap<[u8; 32], Weak<AsyncMutex<()>>>;

impl Default for HashSlots {
    fn default() -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self {
            slots: slots(SLOT_COUNT),
            system_slots: slots(SYSTEM_SLOT_COUNT),
            places: Arc::default(),
            turns: Arc::default(),
        }
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
    place: Place,
}

impl HashSlot {
    /// Gives the slot back, noting that what was checked was wrong: whoever asked gets fewer checks for a while.
    pub fn refused(self) {
        let mut places = self.place.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.note_failure(&self.place.asker, Instant::now());
    }
}

/// A place among those who run or wait; left when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Mutex<Places>>,
    asker: Asker,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).leave(&self.asker);
    }
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

    /// Returns who wants a password or secret of `who` checked. Blocking.
    ///
    /// `address`: where the request came from, if it is the network. All users and tokens that do not exist are one.
    pub fn asker(&self, address: Option<IpAddr>, who: &Authid) -> Asker {
        let is_known = self.snapshot().is_ok_and(|snapshot| match who.is_token() {
            true => snapshot.users().token(who).is_some(),
            false => snapshot.users().user(who.user()).is_some(),
        });
        let account = if is_known { Account::Known(who.to_string()) } else { Account::Unknown };
        Asker::new(address, account, !who.is_token() && who.user().realm() == "pam")
    }

    /// Waits for the right to compute a hash. Returns `None` at once if too many wait already, of this address, about this
    /// account or in all; and after [`MAX_WAIT`].
    ///
    /// # Cancel safety
    /// Giving up while waiting leaves nothing behind.
    pub async fn hash_slot(&self, asker: Asker) -> Option<HashSlot> {
        let HashSlots { slots, system_slots, places, .. } = &self.inner.hash_slots;
        let slots = Arc::clone(if asker.is_system { system_slots } else { slots });
        if !places.lock().unwrap_or_else(PoisonError::into_inner).enter(&asker, Instant::now()) {
            return None;
        }
        let place = Place { places: Arc::clone(places), asker };
        // The semaphore is never closed.
        let permit = tokio::time::timeout(MAX_WAIT, slots.acquire_owned()).await.ok()?.ok()?;
        Some(HashSlot { _permit: permit, place })
    }
}
