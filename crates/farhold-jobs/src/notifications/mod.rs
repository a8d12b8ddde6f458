//! Which events of jobs somebody is told of, and what becomes of them until everybody has been told.
//!
//! | place below the state directory | content |
//! |---|---|
//! | `notifications/<uuid>.json` | an event that nobody was asked about yet, in the reference's form, mode 0644 |
//! | `farhold/deliveries/<uuid>.<lane>.json` | an event on its way to one recipient, mode 0600 |
//! | `farhold/stale-alarms.json` | what is remembered about jobs that are watched for staleness, mode 0600 |
//!
//! Whatever ends a job only writes a file; programs without daemon do no more. The server's [`Dispatcher`] turns an event
//! into one delivery for each target and removes it only then, and a delivery stays until its recipient took it, refused
//! it for good, or was tried in vain for days. A server that is killed anywhere in between loses nothing and repeats, for
//! each recipient, at most the delivery that it was busy with.
//!
//! What cannot be written, as on a full disk, is kept in memory until it can be: a full disk is what administrators must be told
//! of. Only a server that is killed meanwhile loses it, and the task's log has said so.
//!
//! In mode `legacy-sendmail` a delivery to the user's mail address is written at once. A ping is a delivery like others,
//! but a newer one of the same job takes the place of one that still waits: what counts is how the last run ended.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10, `docs/spec/sync.md` 17.

mod after_run;
mod courier;
mod delivery;
mod dispatcher;
mod event;
mod file_box;
mod host_names;
mod intake;
#[cfg(test)]
mod job_tests;
mod lane;
mod stale_jobs;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use farhold_notify::Event;
use farhold_types::{Epoch, JobKind};
use thiserror::Error;
use tokio::sync::Notify;

pub(crate) use after_run::tell;
pub use courier::{Attempt, Courier, HostCourier, Undelivered};
pub use delivery::{PingOutcome, Recipient};
pub use dispatcher::Dispatcher;
pub(crate) use host_names::HostNames;
pub use stale_jobs::{check_stale_jobs, watch_stale_jobs};

use delivery::{Delivery, lane_of};
use file_box::{Fate, FileBox};

/// Events and deliveries that wait at most, each. Beyond that something is wrong with the targets or with what makes
/// events, and every file costs a look every few seconds. Source: our own choice.
const MAX_WAITING: usize = 20_000;

/// What could not be written and is kept in memory at most: notifications, and bytes. Source: our own choice; a full disk is
/// noticed long before a thousand jobs have failed of it.
const MAX_KEPT: usize = 1000;
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Why something was not queued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Too much waits already.
    #[error("{MAX_WAITING} notifications wait already")]
    Full,
    /// The file cannot be written.
    #[error("failed to write {}", path.display())]
    Io {
        /// The file's directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
        /// What was to be written, for another attempt.
        unwritten: Unwritten,
    },
    /// What waits cannot be looked through.
    #[error("failed to read {}", path.display())]
    Look {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Where something is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among the events.
    Spool,
    /// Among the deliveries.
    Deliveries,
}

/// A file that could not be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Unwritten {
    place: Place,
    name: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwritten").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How many notifications wait or failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotificationCounts {
    /// Events that nobody was asked about yet.
    pub events: usize,
    /// Deliveries that wait, pings included.
    pub deliveries: usize,
    /// Those of them of which an attempt failed already.
    pub failing: usize,
    /// Deliveries since the start of the server that reached their recipient.
    pub delivered: u64,
    /// Deliveries since the start of the server that were given up.
    pub given_up: u64,
}

/// The notifications of one server.
#[derive(Debug)]
pub struct Notifications {
    spool: FileBox,
    deliveries: FileBox,
    alarms: FileBox,
    #[cfg(test)]
    fate: Fate,
    /// Tells apart deliveries of the same second.
    next: AtomicU64,
    /// Something was queued.
    wake: Notify,
    counts: Mutex<NotificationCounts>,
    /// What could not be written yet, oldest first.
    kept: Mutex<VecDeque<Unwritten>>,
}

impl Notifications {
    /// Returns those kept below the state directory. Nothing is made before the first one.
    pub fn new(lib: &Path) -> Self {
        let fate = Fate::default();
        Self {
            spool: FileBox::new(lib.join("notifications"), 0o644, fate.clone()),
            deliveries: FileBox::new(lib.join("farhold").join("deliveries"), 0o600, fate.clone()),
            alarms: FileBox::new(lib.join("farhold"), 0o600, fate.clone()),
            #[cfg(test)]
            fate,
            next: AtomicU64::new(0),
            wake: Notify::new(),
            counts: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Queues an event for the targets that the matchers choose. Blocking.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn queue(&self, event: &Event) -> Result<(), QueueError> {
        self.put(Unwritten { place: Place::Spool, name: format!("{}.json", event.id), bytes: event.to_json() })
    }

    /// Queues an event for one recipient, past the matchers. Blocking.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn queue_for(&self, recipient: Recipient, event: Event, now: Epoch) -> Result<(), QueueError> {
        let delivery = self.delivery(recipient, event, now);
        self.put(Unwritten { place: Place::Deliveries, name: delivery.file_name(), bytes: delivery.to_json() })
    }

    /// Keeps in memory what could not be written, until the dispatcher can: a disk that is full is what administrators
    /// must be told of. The oldest are given up if there are too many.
    pub(crate) fn keep(&self, unwritten: Unwritten) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(unwritten);
        let mut bytes: usize = kept.iter().map(|unwritten| unwritten.bytes.len()).sum();
        let mut lost = 0;
        while MAX_KEPT < kept.len() || MAX_KEPT_BYTES < bytes {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.bytes.len();
            lost += 1;
        }
        if 0 < lost {
            tracing::error!("too many notifications cannot be written; the oldest {lost} are given up");
            self.count(|counts| counts.given_up += lost);
        }
    }

    /// Writes what could not be written before, oldest first. Returns why it still cannot. Blocking.
    fn write_kept(&self) -> Option<String> {
        loop {
            let oldest = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
            if let Err(error) = self.files(oldest.place).put(&oldest.name, &oldest.bytes) {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).push_front(oldest);
                return Some(format!("notifications that cannot be written wait in memory: {error}"));
            }
        }
    }

    /// Returns how much waits in memory to be written.
    fn kept_count(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Queues a ping of a job and drops those of it that still wait: which of two is the newer one cannot be told later, if
    /// the clock was set back between them. Blocking.
    fn queue_ping(
        &self,
        kind: JobKind,
        name: &str,
        outcome: PingOutcome,
        event: Event,
        now: Epoch,
    ) -> Result<(), QueueError> {
        let delivery = self.delivery(Recipient::Ping { kind, name: name.to_owned(), outcome }, event, now);
        let newest = delivery.file_name();
        let queued = self.put(Unwritten { place: Place::Deliveries, name: newest.clone(), bytes: delivery.to_json() });
        // Also if it could not be written: what waits is not true any more.
        let forgotten = self.forget_pings_but(kind, name, &newest);
        queued?;
        forgotten
    }

    /// Drops pings of a job that still wait. Blocking.
    fn forget_pings(&self, kind: JobKind, name: &str) -> Result<(), QueueError> {
        self.forget_pings_but(kind, name, "")
    }

    fn forget_pings_but(&self, kind: JobKind, name: &str, newest: &str) -> Result<(), QueueError> {
        let lane = Recipient::Ping { kind, name: name.to_owned(), outcome: PingOutcome::Success }.lane();
        let failed = |source| QueueError::Look { path: self.deliveries.directory().to_owned(), source };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| lane_of(&kept.name) != Some(&*lane) || kept.name == newest);
        drop(kept);
        for name in self.deliveries.names(MAX_WAITING).map_err(failed)? {
            if lane_of(&name) == Some(&*lane) && name != newest {
                self.deliveries.remove(&name).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Returns how many notifications wait or failed, as the dispatcher saw it last.
    pub fn counts(&self) -> NotificationCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(&mut NotificationCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn delivery(&self, recipient: Recipient, event: Event, now: Epoch) -> Delivery {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        Delivery { recipient, event, queued: now, sequence, failures: 0, last_attempt: None }
    }

    const fn files(&self, place: Place) -> &FileBox {
        match place {
            Place::Spool => &self.spool,
            Place::Deliveries => &self.deliveries,
        }
    }

    fn put(&self, unwritten: Unwritten) -> Result<(), QueueError> {
        let files = self.files(unwritten.place);
        let written = files.names(MAX_WAITING).and_then(|waiting| {
            if MAX_WAITING <= waiting.len() {
                return Ok(false);
            }
            files.put(&unwritten.name, &unwritten.bytes).map(|()| true)
        });
        match written {
            Ok(true) => {}
            Ok(false) => return Err(QueueError::Full),
            Err(source) => return Err(QueueError::Io { path: files.directory().to_owned(), source, unwritten }),
        }
        self.wake.notify_one();
        Ok(())
    }
}
