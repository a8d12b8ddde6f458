//! What a garbage collection tells while it runs.

use farhold_rules::gc_cutoff::Cutoff;
use farhold_storage::StorageError;
use farhold_types::Digest;

use super::damaged::DamagedIndex;
use crate::gc_status::GcStatus;

/// Something that happened. All but missing chunks are told in order, by one thread.
#[derive(Debug)]
#[non_exhaustive]
pub enum GcEvent<'a> {
    /// Access times are kept as they must be.
    AccessTimesKept,
    /// Nobody looked whether access times are kept.
    AccessTimesTrusted,
    /// The cut-off is known.
    Cutoff {
        /// Seconds that an unused chunk is kept.
        seconds: i64,
        /// The times that follow.
        cutoff: &'a Cutoff,
    },
    /// Marking begins.
    Marking,
    /// One more per cent of the index files was marked.
    Marked {
        /// Per cent done.
        percent: u64,
        /// Index files done.
        done: u64,
        /// Index files found at the beginning.
        total: u64,
    },
    /// An index names a chunk that the store does not have.
    MissingChunk {
        /// The chunk.
        digest: Digest,
        /// Path of the index within the store.
        index: &'a str,
    },
    /// An index file is damaged, so that nothing will be removed.
    DamagedIndex {
        /// Which.
        index: &'a DamagedIndex,
    },
    /// An index file lies where none belongs; its chunks are kept.
    StrayIndex {
        /// Its path within the store.
        path: &'a str,
    },
    /// How many index files lie where none belong; not told if there are none.
    StrayIndexes {
        /// Their number.
        count: u64,
    },
    /// An index was moved while the collection ran.
    MovedIndex {
        /// Its path within the store.
        path: &'a str,
    },
    /// Removing begins.
    Sweeping,
    /// One more per cent of the folders was swept, told when a chunk lies there.
    Swept {
        /// Per cent done.
        percent: u64,
        /// Chunks looked at before.
        chunks: u64,
    },
    /// Temporary files of killed writers were removed.
    LeftoversRemoved {
        /// Their number.
        count: u64,
    },
    /// The collection is complete.
    Finished {
        /// What it found.
        status: &'a GcStatus,
    },
    /// The result could not be stored; the collection is complete all the same.
    StatusNotStored {
        /// Why.
        error: &'a StorageError,
    },
}

/// The collection was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Who looks on while a collection runs, and may stop it.
#[derive(Clone, Copy)]
pub struct GcWatch<'a> {
    /// Called with everything that happens; missing chunks come from several threads.
    pub on_event: &'a (dyn Fn(&GcEvent<'_>) + Sync),
    /// Asked between index files, between chunks, and between folders.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl GcWatch<'_> {
    pub(super) fn tell(&self, event: &GcEvent<'_>) {
        (self.on_event)(event);
    }

    pub(super) fn check(&self) -> Result<(), Stopped> {
        if (self.is_stopped)() { Err(Stopped) } else { Ok(()) }
    }
}

impl std::fmt::Debug for GcWatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GcWatch").finish_non_exhaustive()
    }
}
