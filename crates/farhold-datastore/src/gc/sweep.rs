//! Sweeping: chunks that nobody touched for long enough are removed.
//!
//! Several threads take folders in turn. What they found is added up in the order of the folders, so that a log reads the
//! same however many they are; one thread is the caller's own. A chunk that is to go is looked at a last time under the
//! lock that insertions take. If the clock was set back since chunks were marked, what is used now looks as if it had not
//! been for long, and the sweep ends.
//!
//! Source: `docs/spec/datastore-format.md` 17, phase 2.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use farhold_rules::gc_cutoff::{ChunkFate, Cutoff};
use farhold_storage::{EntryKind, StorageError, is_random_temporary};
use farhold_types::{Digest, Epoch};

use super::Chunks;
use super::event::{GcEvent, GcWatch};
use crate::layout::{self, CHUNK_FOLDERS};
use crate::process_lock::SET_BACK_SECONDS;
use crate::store::Datastore;

/// Counts of a sweep. Source: `docs/spec/datastore-format.md` 17, "Result".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) removed_bytes: u64,
    pub(super) removed_chunks: u64,
    pub(super) removed_bad: u64,
    pub(super) pending_bytes: u64,
    pub(super) pending_chunks: u64,
    pub(super) still_bad: u64,
    pub(super) disk_bytes: u64,
    pub(super) disk_chunks: u64,
    /// Entries looked at.
    seen: u64,
    /// Temporary files of killed writers that were removed.
    leftovers: u64,
}

impl Swept {
    fn add(&mut self, other: &Self) {
        self.removed_bytes += other.removed_bytes;
        self.removed_chunks += other.removed_chunks;
        self.removed_bad += other.removed_bad;
        self.pending_bytes += other.pending_bytes;
        self.pending_chunks += other.pending_chunks;
        self.still_bad += other.still_bad;
        self.disk_bytes += other.disk_bytes;
        self.disk_chunks += other.disk_chunks;
        self.seen += other.seen;
        self.leftovers += other.leftovers;
    }

    fn count(&mut self, kind: Kind, fate: ChunkFate, size_bytes: u64) {
        let (bytes, chunks, bad) = match fate {
            ChunkFate::Removed => (&mut self.removed_bytes, &mut self.removed_chunks, Some(&mut self.removed_bad)),
            ChunkFate::Pending => (&mut self.pending_bytes, &mut self.pending_chunks, Some(&mut self.still_bad)),
            ChunkFate::InUse => (&mut self.disk_bytes, &mut self.disk_chunks, None),
        };
        *bytes = bytes.saturating_add(size_bytes);
        match (kind, bad) {
            (Kind::Bad, Some(bad)) => *bad += 1,
            (Kind::Bad, None) => {}
            _ => *chunks += 1,
        }
    }
}

/// What an entry of a chunk folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chunk,
    /// A damaged chunk that was set aside.
    Bad,
    /// A marker of the local cache of an S3 store.
    Using,
    /// What a killed writer left.
    Leftover,
}

/// Returns what a file name in a chunk folder means.
fn kind_of(name: &str) -> Option<Kind> {
    let (digest, ending) = name.as_bytes().split_at_checked(DIGEST_DIGITS)?;
    // All of them, which many processors do at once: nearly every name is one.
    if !digest.iter().fold(true, |is_hex, digit| is_hex & digit.is_ascii_hexdigit()) {
        return None;
    }
    match ending {
        b"" => Some(Kind::Chunk),
        b".using" => Some(Kind::Using),
        [b'.', number, b'.', b'b', b'a', b'd'] if number.is_ascii_digit() => Some(Kind::Bad),
        _ if is_random_temporary(name) => Some(Kind::Leftover),
        _ => None,
    }
}

/// Returns the digest in the name of a chunk file.
fn digest_of(name: &str) -> Option<Digest> {
    name.get(..DIGEST_DIGITS)?.to_ascii_lowercase().parse().ok()
}

/// Why a sweep ended early.
#[derive(Debug)]
pub(super) enum SweepError {
    Stopped,
    Storage(StorageError),
    ClockSetBack { seconds: i64 },
}

impl From<StorageError> for SweepError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Folders that a thread takes at once, so that handing over what it found costs little.
const FOLDERS_AT_ONCE: usize = 16;

/// Length of a digest as text.
const DIGEST_DIGITS: usize = 64;

/// A folder of chunks.
struct Folder {
    number: u32,
    name: String,
}

/// What a sweep goes by.
pub(super) struct Rules<'a> {
    pub(super) cutoff: &'a Cutoff,
    /// Latest time that the clock showed while chunks were marked.
    pub(super) latest: Epoch,
    pub(super) threads: NonZero<usize>,
}

/// Removes what the cut-off does not spare.
pub(super) fn sweep(chunks: Chunks<'_>, rules: &Rules<'_>, watch: &GcWatch<'_>) -> Result<Swept, SweepError> {
    let folders = folders(chunks.store)?;
    let mut total = Total { sum: Swept::default(), percent: 0, watch };
    if rules.threads.get() == 1 {
        for folder in &folders {
            total.add(folder.number, &sweep_folder(chunks, folder, rules, watch)?);
        }
    } else {
        sweep_with_threads(chunks, &folders, rules, &mut total)?;
    }
    if 0 < total.sum.leftovers {
        watch.tell(&GcEvent::LeftoversRemoved { count: total.sum.leftovers });
    }
    Ok(total.sum)
}

fn sweep_with_threads(
    chunks: Chunks<'_>,
    folders: &[Folder],
    rules: &Rules<'_>,
    total: &mut Total<'_>,
) -> Result<(), SweepError> {
    let parts: Vec<&[Folder]> = folders.chunks(FOLDERS_AT_ONCE).collect();
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let watch = total.watch;
    std::thread::scope(|scope| {
        for _ in 0..rules.threads.get() {
            let (sender, parts, next, is_over) = (sender.clone(), &parts, &next, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(part) = parts.get(position) else { return };
                    let sweep = |folder| sweep_folder(chunks, folder, rules, watch);
                    let outcome = part.iter().map(sweep).collect::<Result<Vec<_>, _>>();
                    if outcome.is_err() {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    // Fails only if nobody waits any more.
                    let _ = sender.send((position, outcome));
                }
            });
        }
        drop(sender);
        // At most as many wait here as the slowest thread is behind.
        let mut waiting = BTreeMap::new();
        let mut expected = 0;
        let mut failure = None;
        for (position, outcome) in receiver {
            match outcome {
                Ok(swept) => {
                    waiting.insert(position, swept);
                }
                Err(error) => failure = Some(failure.unwrap_or(error)),
            }
            while let Some(swept) = waiting.remove(&expected) {
                for (folder, swept) in parts[expected].iter().zip(&swept) {
                    total.add(folder.number, swept);
                }
                expected += 1;
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(()),
        }
    })
}

/// Returns the folders of chunks that exist, in order.
fn folders(store: &Datastore) -> Result<Vec<Folder>, StorageError> {
    let mut folders = Vec::new();
    for entry in store.storage().list(&layout::chunks_dir())? {
        let Some(number) = layout::chunk_folder_number(&entry.name) else { continue };
        if entry.kind == EntryKind::Directory {
            folders.push(Folder { number, name: entry.name });
        }
    }
    Ok(folders)
}

/// The sum so far, and what was told of it.
struct Total<'a> {
    sum: Swept,
    percent: u64,
    watch: &'a GcWatch<'a>,
}

impl Total<'_> {
    fn add(&mut self, number: u32, swept: &Swept) {
        let percent = u64::from(number) * 100 / u64::from(CHUNK_FOLDERS);
        if 0 < swept.seen && self.percent < percent {
            self.percent = percent;
            self.watch.tell(&GcEvent::Swept { percent, chunks: self.sum.seen });
        }
        self.sum.add(swept);
    }
}

fn sweep_folder(
    chunks: Chunks<'_>,
    folder: &Folder,
    rules: &Rules<'_>,
    watch: &GcWatch<'_>,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    watch.check().map_err(|_| SweepError::Stopped)?;
    let entries = match chunks.folders.list_stats(&folder.name) {
        Ok(entries) => entries,
        Err(error) if error.is_not_found() => return Ok(swept),
        Err(error) => return Err(error.into()),
    };
    for (name, stat) in entries {
        if stat.kind != EntryKind::File {
            continue;
        }
        let Some(kind) = kind_of(&name) else { continue };
        match kind {
            Kind::Leftover => {
                let modified = Epoch(stat.modified.seconds);
                let is_old = rules.cutoff.fate(modified) == ChunkFate::Removed;
                if is_old && remove(chunks, folder, &name)? {
                    swept.leftovers += 1;
                }
            }
            Kind::Using => {
                remove(chunks, folder, &name)?;
            }
            Kind::Chunk | Kind::Bad => {
                swept.seen += 1;
                let mut settled = Some((rules.cutoff.fate(Epoch(stat.accessed.seconds)), stat.size_bytes));
                if matches!(settled, Some((ChunkFate::Removed, _))) {
                    watch.check().map_err(|_| SweepError::Stopped)?;
                    settled = settle(chunks, folder, &name, rules)?;
                }
                if let Some((fate, size_bytes)) = settled {
                    swept.count(kind, fate, size_bytes);
                }
            }
        }
    }
    Ok(swept)
}

/// Removes a file of a folder. Returns whether it was there.
fn remove(chunks: Chunks<'_>, folder: &Folder, name: &str) -> Result<bool, StorageError> {
    match chunks.folders.remove_file(&folder.name, name) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a chunk file that looked as if it was to go, if it still does. Returns what became of it and its size in bytes;
/// `None` if somebody else removed it.
fn settle(
    chunks: Chunks<'_>,
    folder: &Folder,
    name: &str,
    rules: &Rules<'_>,
) -> Result<Option<(ChunkFate, u64)>, SweepError> {
    let Some(digest) = digest_of(name) else { return Ok(None) };
    // Nobody of this process inserts or touches it now; no other process writes at all.
    let _guard = chunks.store.insertion_guard(&digest);
    let stat = match chunks.folders.stat(&folder.name, name) {
        Ok(stat) => stat,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let fate = rules.cutoff.fate(Epoch(stat.accessed.seconds));
    if fate == ChunkFate::Removed {
        // Whoever touched it before this, under the same lock, may have done so at a time that is long over by the clock.
        let since = rules.latest.seconds_since(chunks.store.clock().now());
        let seconds = since.max(chunks.store.inner.process_lock.set_back_seconds());
        if SET_BACK_SECONDS <= seconds {
            return Err(SweepError::ClockSetBack { seconds });
        }
        if !remove(chunks, folder, name)? {
            return Ok(None);
        }
    }
    Ok(Some((fate, stat.size_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_chunk_folders_are_told_apart() {
        let digest = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";
        let kind = kind_of;
        let upper = digest.to_uppercase();
        assert_eq!(kind(digest), Some(Kind::Chunk));
        assert_eq!(kind(&upper), Some(Kind::Chunk));
        assert_eq!(digest_of(&upper).unwrap().to_string(), digest);
        assert_eq!(kind(&format!("{digest}.0.bad")), Some(Kind::Bad));
        assert_eq!(kind(&format!("{digest}.9.bad")), Some(Kind::Bad));
        assert_eq!(kind(&format!("{digest}.using")), Some(Kind::Using));
        assert_eq!(kind(&format!("{digest}.tmp_Ab3xYz")), Some(Kind::Leftover));
        let foreign = [".10.bad", ".0.BAD", ".bad", ".x.bad", ".Using", ".0.bad~", "0", ".fidx"];
        for ending in foreign {
            assert_eq!(kind(&format!("{digest}{ending}")), None, "{ending}");
        }
        for name in ["", "lock", &digest[1..], &format!("g{}", &digest[1..]), "ä".repeat(40).as_str()] {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
