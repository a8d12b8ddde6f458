//! A datastore for collecting garbage: many chunks, many indexes, made file by file; and a plain serial walk that does to
//! it what a collection does.
//!
//! Chunk files have a length and no content, which nothing here ever reads, so that a million of them fit into memory.
//!
//! Source: `docs/spec/datastore-format.md` 1, 4, 7 and 17.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use farhold_crypto::sha256;
use farhold_format::index::{FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_types::{ArchiveKind, Digest, Epoch};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::image::{FIRST, chunk_path};

/// Chunks that an index names: a disk of 4 GiB.
const CHUNKS_PER_INDEX: usize = 1000;
/// Snapshots of a group.
const SNAPSHOTS_PER_GROUP: usize = 10;
/// Places of a disk that change from one snapshot to the next.
const CHANGED_PER_SNAPSHOT: usize = 5;
/// Of so many chunks one is garbage.
const GARBAGE_EVERY: usize = 20;
/// Length of a chunk file in bytes.
const STORED_BYTES: u64 = 4096;
/// How long ago a chunk was accessed before, in seconds: longer than the collection's usual 24 h 5 min.
const AGE_SECONDS: u64 = 3 * 86_400;
/// Accessed before this, a chunk that nobody marked is removed; in seconds before the start. Source: as above.
const CUTOFF_SECONDS: i64 = 86_700;
const ARCHIVE: &str = "drive-scsi0.img.fidx";

/// What a collection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) index_files: usize,
    pub(super) used: usize,
    pub(super) removed: usize,
}

/// Where the time of a walk went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub(super) found: Found,
    pub(super) mark: Duration,
    pub(super) sweep: Duration,
}

/// The datastore.
pub(super) struct Garbage {
    store: PathBuf,
    used: Vec<Digest>,
    unused: Vec<Digest>,
    indexes: usize,
}

impl Garbage {
    /// Fills the datastore at `store`, which exists and is empty.
    pub(super) fn make(store: &Path, chunks: usize, indexes: usize) -> anyhow::Result<Self> {
        let (mut used, mut unused) = (Vec::new(), Vec::new());
        for number in 0..chunks {
            let digest = sha256(&number.to_le_bytes());
            if number % GARBAGE_EVERY == 0 { unused.push(digest) } else { used.push(digest) }
        }
        ensure!(CHUNKS_PER_INDEX <= used.len(), "too few chunks for an index");
        let garbage = Self { store: store.to_owned(), used, unused, indexes };
        garbage.write_indexes()?;
        for digest in &garbage.used {
            garbage.write_chunk(digest)?;
        }
        Ok(garbage)
    }

    /// Every group has chunks of its own, and what its disk has beyond them in common with the next group. From one snapshot to
    /// the next a few places of the disk change and the others stay.
    fn write_indexes(&self) -> anyhow::Result<()> {
        let groups = self.indexes.div_ceil(SNAPSHOTS_PER_GROUP);
        let own = self.used.len().div_ceil(groups);
        let changes = (SNAPSHOTS_PER_GROUP - 1) * CHANGED_PER_SNAPSHOT;
        ensure!(own <= CHUNKS_PER_INDEX, "too few indexes for so many chunks");
        let at_first = own.checked_sub(changes).context("too many indexes for so few chunks")?;
        let size_bytes = CHUNKS_PER_INDEX as u64 * FIXED_CHUNK_BYTES;
        for number in 0..self.indexes {
            let (group, snapshot) = (number / SNAPSHOTS_PER_GROUP, number % SNAPSHOTS_PER_GROUP);
            let mut index = FixedIndexBuilder::new(*b"farhold bench gc", FIRST, size_bytes, FIXED_CHUNK_BYTES)?;
            for position in 0..CHUNKS_PER_INDEX {
                let chunk = if position < snapshot * CHANGED_PER_SNAPSHOT {
                    group * own + at_first + position
                } else if position < at_first {
                    group * own + position
                } else {
                    (group + 1) * own + position - at_first
                };
                index.set(position, self.used[chunk % self.used.len()])?;
            }
            let folder = self.store.join(format!("vm/{}", 100 + group));
            let time = Epoch(FIRST.0 + i64::try_from(snapshot)? * 86_400);
            fs::create_dir_all(folder.join(time.to_string()))?;
            fs::write(folder.join("owner"), "root@pam\n")?;
            fs::write(folder.join(time.to_string()).join(ARCHIVE), index.finish()?.as_bytes())?;
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.store.join(chunk_path(digest))
    }

    fn write_chunk(&self, digest: &Digest) -> anyhow::Result<()> {
        let path = self.path(digest);
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.set_len(STORED_BYTES)?;
        Ok(())
    }

    /// Makes all chunks as old as a collection finds them, and the unused ones again.
    pub(super) fn age(&self) -> anyhow::Result<()> {
        let old = SystemTime::now() - Duration::from_secs(AGE_SECONDS);
        let old = TimeSpec::from_duration(old.duration_since(SystemTime::UNIX_EPOCH)?);
        for digest in &self.unused {
            self.write_chunk(digest)?;
        }
        for digest in self.unused.iter().chain(&self.used) {
            utimensat(AT_FDCWD, &self.path(digest), &old, &TimeSpec::UTIME_OMIT, UtimensatFlags::NoFollowSymlink)?;
        }
        Ok(())
    }

    /// Returns what a collection has to find.
    pub(super) fn expected(&self) -> Found {
        Found { index_files: self.indexes, used: self.used.len(), removed: self.unused.len() }
    }

    /// Checks that all chunks in use are there and none of the others.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for digest in &self.used {
            ensure!(self.path(digest).exists(), "chunk {digest} is in use and was removed");
        }
        for digest in &self.unused {
            ensure!(!self.path(digest).exists(), "chunk {digest} is not in use and still there");
        }
        Ok(())
    }

    /// Collects the garbage in the plain way: one thing after the other, as the specification lists them.
    pub(super) fn walk(&self) -> anyhow::Result<Walk> {
        let begin = Instant::now();
        let start = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())?;
        let mut waiting = HashSet::new();
        search(&self.store, &mut waiting)?;
        let index_files = waiting.len();
        let mut touched = HashSet::new();
        for group in names(&self.store.join("vm"))? {
            let folder = self.store.join("vm").join(group);
            let mut times = names(&folder)?;
            times.sort();
            for time in times.into_iter().rev().filter(|name| name != "owner") {
                let snapshot = folder.join(time);
                for file in names(&snapshot)?.into_iter().filter(|name| name.ends_with(".fidx")) {
                    let path = snapshot.join(file);
                    let index = Index::parse(ArchiveKind::FixedIndex, fs::read(&path)?.into())?;
                    ensure!(index.checksum() == index.stored_checksum(), "{} is damaged", path.display());
                    for digest in index.digests().filter(|digest| touched.insert(*digest)) {
                        let (now, omit) = (&TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT);
                        utimensat(AT_FDCWD, &self.path(&digest), now, omit, UtimensatFlags::NoFollowSymlink)?;
                    }
                    waiting.remove(&path);
                }
            }
        }
        ensure!(waiting.is_empty(), "{} indexes were not marked", waiting.len());
        let mark = begin.elapsed();
        let (mut used, mut removed) = (0, 0);
        let chunks = self.store.join(".chunks");
        for folder in names(&chunks)?.into_iter().filter(|name| name.len() == 4) {
            for entry in fs::read_dir(chunks.join(folder))? {
                let entry = entry?;
                if entry.metadata()?.atime() < start - CUTOFF_SECONDS {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                } else {
                    used += 1;
                }
            }
        }
        let found = Found { index_files, used, removed };
        Ok(Walk { found, mark, sweep: begin.elapsed() - mark })
    }
}

/// Collects the paths of all index files below a folder.
fn search(folder: &Path, found: &mut HashSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            search(&entry.path(), found)?;
        } else if name.ends_with(".fidx") {
            found.insert(entry.path());
        }
    }
    Ok(())
}

fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_and_removes_the_garbage() {
        let folder = tempfile::tempdir().unwrap();
        // Only the folders that the chunks need; a datastore has all.
        for number in 0..2000_usize {
            let path = folder.path().join(chunk_path(&sha256(&number.to_le_bytes())));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        let garbage = Garbage::make(folder.path(), 2000, 20).unwrap();
        garbage.age().unwrap();
        assert!(garbage.check().is_err());
        assert_eq!(garbage.walk().unwrap().found, garbage.expected());
        garbage.check().unwrap();
        assert_eq!(garbage.expected(), Found { index_files: 20, used: 1900, removed: 100 });
        // What is not marked goes.
        garbage.age().unwrap();
        fs::remove_dir_all(folder.path().join("vm/101")).unwrap();
        assert!(100 < garbage.walk().unwrap().found.removed);
        assert!(garbage.check().is_err());
    }
}
