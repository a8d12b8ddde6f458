//! The lines of a garbage collection's log. Source: recorded logs in `tests/golden/tasks.tar.zst` and
//! `tests/golden/api`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use farhold_datastore::gc::GcEvent;
use farhold_datastore::{Datastore, GcStatus};
use farhold_rules::time_span::TimeSpan;
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{DatastoreName, format_bytes};

/// Missing chunks that are named; the rest is counted. A store that lost a disk misses millions.
const MAX_NAMED_CHUNKS: u64 = 10_000;
/// Damaged index files that are named; the rest is counted. A disk that fails shows as many as there are.
const MAX_NAMED_INDEXES: u64 = 1000;

/// Writes what a collection tells into the log of its task.
pub(super) struct GcLog {
    /// The store's directory, for the paths of its files.
    root: PathBuf,
    store: DatastoreName,
    context: TaskContext,
    missing: AtomicU64,
    damaged: AtomicU64,
    is_sweeping: AtomicBool,
}

impl GcLog {
    pub(super) fn new(store: &Datastore, context: TaskContext) -> Self {
        Self {
            root: store.local_root().map(Path::to_owned).unwrap_or_default(),
            store: store.name().clone(),
            context,
            missing: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            is_sweeping: AtomicBool::new(false),
        }
    }

    /// Returns whether removing has begun.
    pub(super) fn is_sweeping(&self) -> bool {
        self.is_sweeping.load(Ordering::Relaxed)
    }

    /// Writes what is told once, however the collection ended.
    pub(super) fn end(&self) {
        let unnamed = self.missing.load(Ordering::Relaxed).saturating_sub(MAX_NAMED_CHUNKS);
        if 0 < unnamed {
            self.context.warn(&format!("warning: {unnamed} more chunks do not exist"));
        }
        let damaged = self.damaged.load(Ordering::Relaxed);
        if MAX_NAMED_INDEXES < damaged {
            let unnamed = damaged - MAX_NAMED_INDEXES;
            self.context.warn(&format!("warning: {unnamed} more index files are damaged"));
        }
        if 0 < damaged {
            let store = &self.store;
            self.context.log(&format!(
                "hint: no garbage is collected while index files are damaged. 'farhold datastore repair {store} --from \
                 REMOTE' fetches them from a copy; a snapshot that has none can be verified, and forgotten if it is lost"
            ));
        }
    }

    fn shown(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    pub(super) fn tell(&self, event: &GcEvent<'_>) {
        let context = &self.context;
        match event {
            GcEvent::AccessTimesKept => context.log("Access time update check successful, proceeding with GC."),
            GcEvent::AccessTimesTrusted => {
                context.log("Access time update check disabled by datastore tuning options.")
            }
            GcEvent::Cutoff { seconds, cutoff } => {
                let span = TimeSpan(Duration::from_secs(u64::try_from(*seconds).unwrap_or(0)));
                if cutoff.is_extended() {
                    context.log(&format!(
                        "A writer has been active since {}, longer than the cutoff",
                        cutoff.oldest_writer()
                    ));
                }
                let minimum = cutoff.min_access();
                context.log(&format!("Using access time cutoff {span}, minimum access time is {minimum}"));
            }
            GcEvent::Marking => context.log("Start GC phase1 (mark used chunks)"),
            GcEvent::Marked { percent, done, total } => {
                context.log(&format!("marked {percent}% ({done} of {total} index files)"));
            }
            GcEvent::MissingChunk { digest, index } => {
                let is_named = self.missing.fetch_add(1, Ordering::Relaxed) < MAX_NAMED_CHUNKS;
                let index = self.shown(index);
                let line = format!("warning: unable to access non-existent chunk {digest}, required by \"{index}\"");
                if is_named {
                    context.warn(&line);
                }
            }
            GcEvent::DamagedIndex { index } => {
                let is_named = self.damaged.fetch_add(1, Ordering::Relaxed) < MAX_NAMED_INDEXES;
                let reason = TaskFailure::from_error(&index.damage);
                let line = format!("warning: index file \"{}\" is damaged: {reason}", self.shown(&index.path));
                if is_named {
                    context.warn(&line);
                }
            }
            GcEvent::StrayIndex { path } => {
                context.warn(&format!("warning: index file at an unexpected place: \"{}\"", self.shown(path)));
            }
            GcEvent::StrayIndexes { count } => {
                context.warn(&format!("warning: marked {count} index file(s) at unexpected places"));
            }
            GcEvent::MovedIndex { path } => {
                context.log(&format!("marked index file that was moved meanwhile: \"{}\"", self.shown(path)));
            }
            GcEvent::Sweeping => {
                self.is_sweeping.store(true, Ordering::Relaxed);
                context.log("Start GC phase2 (sweep unused chunks)");
            }
            GcEvent::Swept { percent, chunks } => context.log(&format!("processed {percent}% ({chunks} chunks)")),
            GcEvent::LeftoversRemoved { count } => {
                context.log(&format!("Removed temporary files of interrupted writers: {count}"));
            }
            GcEvent::Finished { status } => summary(status).iter().for_each(|line| context.log(line)),
            GcEvent::StatusNotStored { error } => {
                let reason = TaskFailure::from_error(*error);
                context.log(&format!("result of the garbage collection could not be stored: {reason}"));
            }
            // What is told one day and has no line yet.
            _ => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

/// Returns the lines that tell the result.
pub(super) fn summary(status: &GcStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let cache = status.cache_stats.unwrap_or_default();
    let looks = cache.hits + cache.misses;
    if 0 < looks {
        let percent = ratio(cache.hits, looks) * 100.0;
        lines.push(format!("Chunk cache: hits {}, misses {} (hit ratio {percent:.2}%)", cache.hits, cache.misses));
    }
    lines.push(format!("Removed garbage: {}", format_bytes(status.removed_bytes)));
    lines.push(format!("Removed chunks: {}", status.removed_chunks));
    if 0 < status.pending_bytes {
        let size = format_bytes(status.pending_bytes);
        lines.push(format!("Pending removals: {size} (in {} chunks)", status.pending_chunks));
    }
    if 0 < status.removed_bad {
        lines.push(format!("Removed bad chunks: {}", status.removed_bad));
    }
    if 0 < status.still_bad {
        lines.push(format!("Leftover bad chunks: {}", status.still_bad));
    }
    lines.push(format!("Original data usage: {}", format_bytes(status.index_data_bytes)));
    if 0 < status.index_data_bytes {
        let percent = ratio(status.disk_bytes, status.index_data_bytes) * 100.0;
        lines.push(format!("On-Disk usage: {} ({percent:.2}%)", format_bytes(status.disk_bytes)));
    }
    lines.push(format!("On-Disk chunks: {}", status.disk_chunks));
    let factor = if status.disk_bytes == 0 { 1.0 } else { ratio(status.index_data_bytes, status.disk_bytes) };
    lines.push(format!("Deduplication factor: {factor:.2}"));
    if let Some(average) = status.disk_bytes.checked_div(status.disk_chunks) {
        lines.push(format!("Average chunk size: {}", format_bytes(average)));
    }
    lines
}
