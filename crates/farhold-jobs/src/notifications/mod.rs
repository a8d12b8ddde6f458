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
    },
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
        }
    }

    /// Queues an event for the targets that the matchers choose. Blocking.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn queue(&self, event: &Event) -> Result<(), QueueError> {
        self.put(&self.spool, &format!("{}.json", event.id), &event.to_json())
    }

    /// Queues an event for one recipient, past the matchers. Blocking.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn queue_for(&self, recipient: Recipient, event: Event, now: Epoch) -> Result<(), QueueError> {
        let delivery = self.delivery(recipient, event, now);
        self.put(&self.deliveries, &delivery.file_name(), &delivery.to_json())
    }

    /// Drops pings of a job that still wait. Blocking.
    fn forget_pings(&self, kind: JobKind, name: &str) -> Result<(), QueueError> {
        let lane = Recipient::Ping { kind, name: name.to_owned(), outcome: PingOutcome::Success }.lane();
        let failed = |source| QueueError::Io { path: self.deliveries.directory().to_owned(), source };
        for name in self.deliveries.names(MAX_WAITING).map_err(failed)? {
            if lane_of(&name) == Some(&*lane) {
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

    fn put(&self, files: &FileBox, name: &str, bytes: &[u8]) -> Result<(), QueueError> {
        let failed = |source| QueueError::Io { path: files.directory().to_owned(), source };
        if MAX_WAITING <= files.names(MAX_WAITING).map_err(failed)?.len() {
            return Err(QueueError::Full);
        }
        files.put(name, bytes).map_err(failed)?;
        self.wake.notify_one();
        Ok(())
    }
}
