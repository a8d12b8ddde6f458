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
}

impl ProcessLock {
    pub(crate) fn new(record: Box<dyn RecordLock>) -> Self {
        Self { record, holders: Mutex::default(), latest_start: AtomicI64::new(i64::MIN) }
    }

    /// Notes that a chunk was used at `now`: every shared holder may have done it. Call it after the use.
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
