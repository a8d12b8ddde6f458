//! The lock between processes that write to a store and garbage collection.
//!
//! Writers hold it shared, garbage collection exclusively. Within one process an exclusive holder tolerates the shared
//! ones, because it knows since when they run ([`ProcessLock::oldest_writer`]).
//!
//! Source: `docs/spec/datastore-format.md` 14.1.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farhold_storage::RecordLock;
use farhold_types::Epoch;

use crate::lock::LockError;

/// Seconds by which the clock may jump back during a collection: half of the shortest cut-off. Chunks that are touched after
/// a longer jump would look as if nobody had used them since before the cut-off.
pub(crate) const SET_BACK_SECONDS: i64 = 30;

#[derive(Debug, Default)]
struct Holders {
    shared: BTreeMap<u64, Epoch>,
    next: u64,
    exclusive: bool,
}

impl Holders {
    /// Returns the latest start of a shared holder, in seconds since 1970; the earliest time there is if nobody holds it.
    fn latest_start(&self) -> i64 {
        self.shared.values().max().map_or(i64::MIN, |start| start.0)
    }
}

#[derive(Debug)]
pub(crate) struct ProcessLock {
    record: Box<dyn RecordLock>,
    holders: Mutex<Holders>,
    /// [`Holders::latest_start`], to be seen without the lock.
    latest_start: AtomicI64,
    /// When the collection that runs began, in seconds since 1970; the earliest time there is while none runs.
    collecting_since: AtomicI64,
    /// By how many seconds the clock was before that when somebody used a chunk meanwhile; at most.
    set_back_seconds: AtomicI64,
}

impl ProcessLock {
    pub(crate) fn new(record: Box<dyn RecordLock>) -> Self {
        let earliest = || AtomicI64::new(i64::MIN);
        Self {
            record,
            holders: Mutex::default(),
            latest_start: earliest(),
            collecting_since: earliest(),
            set_back_seconds: AtomicI64::new(0),
        }
    }

    /// Notes that the exclusive holder collects garbage from now on.
    pub(crate) fn begin_collection(&self, start: Epoch) {
        self.set_back_seconds.store(0, Ordering::SeqCst);
        self.collecting_since.store(start.0, Ordering::SeqCst);
    }

    /// Returns by how many seconds the clock was before the start of the collection when a chunk was used; at most.
    pub(crate) fn set_back_seconds(&self) -> i64 {
        self.set_back_seconds.load(Ordering::SeqCst)
    }

    /// Notes that a chunk was used at `now`: every shared holder may have done it. Call it after the use, with the chunk's
    /// insertion lock held.
    ///
    /// A clock that was set back shows times before the start of a holder. What it uses from then on is dated so, and must
    /// not look as if it was used before the holder began.
    pub(crate) fn note_use(&self, now: Epoch) {
        if now.0 < self.latest_start.load(Ordering::SeqCst) {
            let mut holders = self.holders();
            for start in holders.shared.values_mut() {
                *start = now.min(*start);
            }
            self.latest_start.store(holders.latest_start(), Ordering::SeqCst);
        }
        // The collection that runs has its cut-off already.
        let since = self.collecting_since.load(Ordering::SeqCst);
        if now.0 < since {
            self.set_back_seconds.fetch_max(since.saturating_sub(now.0), Ordering::SeqCst);
        }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy() -> LockError {
        LockError::Busy { what: "datastore".to_owned() }
    }

    /// Adds a shared holder since `start`. Returns its number, and whether it is the only one.
    pub(crate) fn add_shared(&self, start: Epoch) -> Result<(u64, bool), LockError> {
        let mut holders = self.holders();
        let is_first = holders.shared.is_empty();
        if is_first && !holders.exclusive && !self.record.try_shared()? {
            return Err(Self::busy());
        }
        let number = holders.next;
        holders.next += 1;
        holders.shared.insert(number, start);
        self.latest_start.store(holders.latest_start(), Ordering::SeqCst);
        Ok((number, is_first))
    }

    /// Removes a shared holder. Returns whether it was the last.
    pub(crate) fn remove_shared(&self, number: u64) -> bool {
        let mut holders = self.holders();
        holders.shared.remove(&number);
        self.latest_start.store(holders.latest_start(), Ordering::SeqCst);
        let is_last = holders.shared.is_empty();
        if is_last && !holders.exclusive {
            self.give_back();
        }
        is_last
    }

    pub(crate) fn take_exclusive(&self) -> Result<(), LockError> {
        let mut holders = self.holders();
        if holders.exclusive || !self.record.try_exclusive()? {
            return Err(Self::busy());
        }
        holders.exclusive = true;
        Ok(())
    }

    pub(crate) fn release_exclusive(&self) {
        let mut holders = self.holders();
        holders.exclusive = false;
        self.collecting_since.store(i64::MIN, Ordering::SeqCst);
        if holders.shared.is_empty() {
            self.give_back();
        } else if let Err(error) = self.record.try_shared() {
            // The exclusive lock stays then: writers keep running, only others are kept out.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not turn the process lock into a shared one"
            );
        }
    }

    fn give_back(&self) {
        if let Err(error) = self.record.unlock() {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not give the process lock back");
        }
    }

    /// Returns since when the shared holder of this process that runs longest may have used chunks: its start, or an earlier
    /// time that the clock showed after it.
    pub(crate) fn oldest_writer(&self) -> Option<Epoch> {
        self.holders().shared.values().min().copied()
    }
}
