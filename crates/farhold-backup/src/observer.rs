//! What the engine tells while it works: events at the turning points, and counters that a progress bar reads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farhold_types::{ArchiveName, Epoch};

use crate::backup::ArchiveSummary;

/// Receives what a backup or restore has to tell. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    /// Called at the turning points, in order, on the task that runs the backup: it must not block for long.
    pub events: Arc<dyn Fn(&Event) + Send + Sync>,
    /// The counters.
    pub progress: Arc<Progress>,
}

impl Observer {
    /// Returns an observer that calls `events` and has fresh counters.
    pub fn new(events: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self { events: Arc::new(events), progress: Arc::default() }
    }

    /// Returns an observer that hears nothing; its counters still count.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, event: &Event) {
        (self.events)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// A turning point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session is open, and the group's newest snapshot was looked at.
    Previous(PreviousSnapshot),
    /// An archive's turn has come.
    ArchiveStarted {
        /// The archive.
        name: ArchiveName,
        /// Size of its content, if it is known ahead.
        size_bytes: Option<u64>,
    },
    /// Something is not as it should be, but does no harm.
    Warning {
        /// The archive that it is about.
        name: ArchiveName,
        /// What it is.
        text: String,
    },
    /// An archive is stored.
    ArchiveFinished(ArchiveSummary),
}

/// What the previous snapshot of the group is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreviousSnapshot {
    /// There is none.
    None,
    /// Its chunks need not be sent again.
    Usable {
        /// Its backup time, if the server told it.
        time: Option<Epoch>,
    },
    /// Everything is sent again.
    Unusable {
        /// Its backup time, if the server told it.
        time: Option<Epoch>,
        /// Why.
        reason: String,
    },
}

/// Counters of a running backup or restore.
#[derive(Debug, Default)]
pub struct Progress {
    done_bytes: AtomicU64,
    /// One more than the size, so that 0 means unknown.
    total_bytes_and_one: AtomicU64,
    transferred_bytes: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgressLook {
    /// Content that lies at its destination, in bytes. What it belongs to may still be unfinished.
    pub done_bytes: u64,
    /// All content, in bytes, if that is known.
    pub total_bytes: Option<u64>,
    /// Chunks and blobs that went over the network, in bytes as they are stored.
    pub transferred_bytes: u64,
}

impl Progress {
    /// Returns the counters.
    pub fn look(&self) -> ProgressLook {
        ProgressLook {
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes_and_one.load(Ordering::Relaxed).checked_sub(1),
            transferred_bytes: self.transferred_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total_bytes_and_one.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn add_done(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_transferred(&self, bytes: u64) {
        self.transferred_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
