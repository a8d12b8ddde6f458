//! How much memory a garbage collection takes. A program of its own, so that nothing else is measured.
#![allow(missing_docs, reason = "a test")]

#[allow(dead_code, unused_imports, unused_macros, reason = "shared by tests that need different parts")]
#[path = "it/support.rs"]
mod support;

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use farhold_datastore::gc::{GcOptions, GcWatch};
use farhold_datastore::{AccessTimeCheck, Datastore};
use farhold_format::index::FixedIndexBuilder;
use farhold_storage::{
    Durability, Entry, EntryKind, FILE_MODE, FileHold, FileTime, MemoryStorage, RecordLock, Staging, Stat, Storage,
    StorageError, StorePath, WorkingFile,
};
use farhold_types::{Digest, Epoch};

/// Chunks of the store. With a million, a collection must stay below 300 MiB.
const CHUNKS: u32 = 1 << 18;
const MAX_BYTES: u64 = 300 * (1 << 20) / 4;
/// Chunks in each folder.
const IN_FOLDER: u32 = CHUNKS / 65_536;

/// The digest of a chunk: its folder first, then its number in it.
fn digest(number: u32) -> Digest {
    let mut bytes = farhold_crypto::sha256(&number.to_le_bytes()).0;
    bytes[..2].copy_from_slice(&u16::try_from(number / IN_FOLDER).expect("a folder").to_be_bytes());
    Digest(bytes)
}

/// A store with so many chunks, half of them in use, that takes no memory for them.
#[derive(Debug)]
struct Vast(MemoryStorage);

fn stat(is_used: bool) -> Stat {
    let time = FileTime { seconds: if is_used { 1_800_000_000 } else { 0 }, nanoseconds: 0 };
    Stat { kind: EntryKind::File, size_bytes: 1, mode: FILE_MODE, inode: 1, accessed: time, modified: time }
}

fn is_chunk(path: &StorePath) -> bool {
    path.as_str().starts_with(".chunks/") && 64 < path.as_str().len()
}

impl Storage for Vast {
    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        if path.as_str() != ".chunks" {
            return self.0.list(path);
        }
        let folder = |number: u32| Entry { name: format!("{number:04x}"), kind: EntryKind::Directory };
        Ok((0..65_536).map(folder).collect())
    }
    fn list_stats(&self, path: &StorePath) -> Result<Vec<(String, Stat)>, StorageError> {
        let folder = u32::from_str_radix(path.file_name().expect("a folder"), 16).expect("a number");
        let numbers = folder * IN_FOLDER..(folder + 1) * IN_FOLDER;
        Ok(numbers.map(|number| (digest(number).to_string(), stat(number % 2 == 0))).collect())
    }
    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        if is_chunk(path) { Ok(stat(false)) } else { self.0.stat(path) }
    }
    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        if is_chunk(path) { Ok(()) } else { self.0.touch_atime(path) }
    }
    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        if is_chunk(path) { Ok(()) } else { self.0.remove_file(path) }
    }
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<bytes::Bytes, StorageError> {
        self.0.read(path, max_bytes)
    }
    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<bytes::Bytes, StorageError> {
        self.0.read_start(path, max_bytes)
    }
    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        self.0.write_atomic(path, content, durability, staging)
    }
    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        self.0.create_exclusive(path, content)
    }
    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        self.0.create_working(path)
    }
    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        self.0.create_dir(path, mode)
    }
    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        self.0.rename(from, to)
    }
    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        self.0.remove_dir(path)
    }
    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        self.0.remove_tree(path)
    }
    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.0.sync_file(path)
    }
    fn sync_all(&self) -> Result<(), StorageError> {
        self.0.sync_all()
    }
    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError> {
        self.0.record_lock(path)
    }
    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError> {
        self.0.try_hold_file(path)
    }
    fn local_root(&self) -> Option<&Path> {
        None
    }
}

/// Returns a value of `/proc/self/status` in bytes.
fn memory(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[test]
fn a_collection_of_very_many_chunks_takes_little_memory() {
    let memory_storage = support::memory();
    let count = u64::from(CHUNKS / 2);
    let mut index = FixedIndexBuilder::new([1; 16], Epoch(1), count * 4096, 4096).unwrap();
    for position in 0..CHUNKS / 2 {
        index.set(position as usize, digest(position * 2)).unwrap();
    }
    let directory: StorePath = "vm/100/2026-01-01T10:00:00Z".parse().unwrap();
    memory_storage.create_dirs(&directory).unwrap();
    let at = directory.join("disk.img.fidx").unwrap();
    memory_storage.create_exclusive(&at, index.finish().unwrap().as_bytes()).unwrap();
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(support::options(Arc::new(Vast(memory_storage)), locks.path())).unwrap();
    let options = GcOptions {
        cutoff_seconds: 86_700,
        // The default, whose memory does not depend on the number of chunks.
        cache_capacity: 1 << 20,
        access_time_check: AccessTimeCheck::Skip,
        threads: NonZero::new(4).unwrap(),
    };
    let upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:garbage_collection:golden:root@pam:".parse().unwrap();
    // From here on the peak counts, where the system can tell.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS");
    let status = store.collect_garbage(&options, &upid, &GcWatch { on_event: &|_| {}, is_stopped: &|| false }).unwrap();
    assert_eq!((status.disk_chunks, status.removed_chunks, status.pending_chunks), (count, count, 0));
    assert_eq!(status.cache_stats.unwrap().misses, count);
    if let (Some(before), Some(peak)) = (before, memory("VmHWM")) {
        assert!(peak.saturating_sub(before) < MAX_BYTES, "{} MiB", (peak - before) >> 20);
        println!("{} MiB", peak.saturating_sub(before) >> 20);
    }
}
