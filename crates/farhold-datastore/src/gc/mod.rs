//! Garbage collection: removing chunk files that no index file names any more.
//!
//! Two phases. *Mark* sets the access time of every chunk in use; *sweep* removes chunks that were not accessed for long
//! enough. Nothing is removed unless marking was complete. Backups and syncs of this process go on meanwhile: what they
//! insert or touch is younger than the cut-off; other processes are kept away by the process lock.
//!
//! | memory | for |
//! |---|---|
//! | 32 bytes each, `cache_capacity` of them | digests touched lately |
//! | the length of the longest index, at most 512 MiB | the index being read |
//! | at most 64 MiB | indexes whose checksum is not made yet |
//! | at most 64 MiB | indexes read before, to be compared with the next ones |
//! | about 100 bytes each | paths of the index files, twice of damaged ones |
//! | 65,536 short names | folders of chunks |
//!
//! Source: `docs/spec/datastore-format.md` 17.

mod cache;
mod damaged;
mod error;
mod event;
mod mark;
mod search;
mod soundness;
mod sweep;
mod touch;

use std::num::NonZero;

use farhold_format::upid::Upid;
use farhold_rules::gc_cutoff::{Cutoff, CutoffFacts};
use farhold_storage::{Durability, Folders, Staging, StorePath};
use farhold_types::Epoch;

pub use damaged::{DamagedIndex, DamagedIndexes, IndexDamage};
pub use error::{GcError, MarkError};
pub use event::{GcEvent, GcWatch};

use crate::gc_status::{GC_STATUS, GcStatus};
use crate::layout;
use crate::open::AccessTimeCheck;
use crate::store::Datastore;
use sweep::SweepError;

/// How a collection works.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Seconds that an unused chunk is kept after its last access.
    pub cutoff_seconds: i64,
    /// Number of digests that are remembered as touched; 0 for none.
    pub cache_capacity: usize,
    /// Whether it is checked first that access times are kept.
    pub access_time_check: AccessTimeCheck,
    /// Threads that search for indexes, and touch and remove chunks. With one, everything happens on the caller's own, in the same order each time.
    pub threads: NonZero<usize>,
}

/// A store, and the folders of its chunks for whoever goes through many.
#[derive(Clone, Copy)]
struct Chunks<'a> {
    store: &'a Datastore,
    folders: &'a dyn Folders,
}

impl Datastore {
    /// Removes the chunks that no index file names, and stores what it found under the name of the task `upid`. Blocking;
    /// holds the exclusive process lock meanwhile.
    ///
    /// # Errors
    /// [`GcError`]. With [`GcError::Sweep`], [`GcError::ClockSetBack`] and [`GcError::Stopped`] some unused chunks may be
    /// gone, else nothing was removed.
    pub fn collect_garbage(&self, options: &GcOptions, upid: &Upid, watch: &GcWatch<'_>) -> Result<GcStatus, GcError> {
        let _lock = self.lock_process_exclusive()?;
        let start = self.clock().now();
        self.inner.process_lock.note_use(start);
        self.inner.process_lock.begin_collection(start);
        let oldest_writer = self.oldest_writer();
        let behind_seconds = match options.access_time_check {
            AccessTimeCheck::Run => {
                let probed = self.probe_access_time();
                if oldest_writer.is_none() {
                    self.inner.staging.release();
                }
                let present = probed?;
                watch.tell(&GcEvent::AccessTimesKept);
                // Chunks are touched by the clock of the file system, which may be another machine's.
                start.0.saturating_sub(present.seconds).max(0)
            }
            AccessTimeCheck::Skip => {
                watch.tell(&GcEvent::AccessTimesTrusted);
                0
            }
        };
        let on_files = |time: Epoch| Epoch(time.0.saturating_sub(behind_seconds));
        let cutoff = Cutoff::new(CutoffFacts {
            start: on_files(start),
            oldest_writer: oldest_writer.map(on_files),
            cutoff_seconds: options.cutoff_seconds,
        });
        watch.tell(&GcEvent::Cutoff { seconds: options.cutoff_seconds, cutoff: &cutoff });

        watch.tell(&GcEvent::Marking);
        let folders = self.storage().folders(&layout::chunks_dir()).map_err(MarkError::from)?;
        let chunks = Chunks { store: self, folders: &*folders };
        let (marked, latest) = mark::mark(chunks, options, start, watch)?;

        watch.tell(&GcEvent::Sweeping);
        let rules = sweep::Rules { cutoff: &cutoff, latest, threads: options.threads };
        let swept = sweep::sweep(chunks, &rules, watch).map_err(|error| match error {
            SweepError::Stopped => GcError::Stopped,
            SweepError::ClockSetBack { seconds } => GcError::ClockSetBack { seconds },
            SweepError::Storage(error) => GcError::Sweep(error),
        })?;
        let status = GcStatus {
            upid: Some(upid.to_string()),
            index_file_count: marked.index_files,
            index_data_bytes: marked.content_bytes,
            disk_bytes: swept.disk_bytes,
            disk_chunks: swept.disk_chunks,
            removed_bytes: swept.removed_bytes,
            removed_chunks: swept.removed_chunks,
            pending_bytes: swept.pending_bytes,
            pending_chunks: swept.pending_chunks,
            removed_bad: swept.removed_bad,
            still_bad: swept.still_bad,
            cache_stats: Some(marked.cache),
        };
        self.store_status(&status, watch);
        watch.tell(&GcEvent::Finished { status: &status });
        Ok(status)
    }

    fn store_status(&self, status: &GcStatus, watch: &GcWatch<'_>) {
        let path = layout::join(&StorePath::root(), GC_STATUS);
        let text = serde_json::to_vec(status).unwrap_or_default();
        if let Err(error) = self.storage().write_atomic(&path, &text, Durability::Cached, Staging::Beside) {
            watch.tell(&GcEvent::StatusNotStored { error: &error });
        }
    }
}
