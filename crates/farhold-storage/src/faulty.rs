//! A wrapper that fails where a test plans it and records what was called.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::backend::{Durability, Entry, FileHold, Listing, RecordLock, Staging, Stat, Storage};
use crate::error::{Operation, StorageError};
use crate::path::StorePath;
use crate::working_file::WorkingFile;

/// What a planned fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The call fails with this kind of system error and changes nothing; e.g. `StorageFull` is ENOSPC.
    Error(io::ErrorKind),
    /// The process dies in the call: every later call fails too. An atomic write or an exclusive creation leaves half
    /// of its content behind, as a kill does.
    Crash,
}

/// A planned fault: the call number `after` (from 0) that matches `operation` fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which operation counts; `None` counts all that change something.
    pub operation: Option<Operation>,
    /// How many matching calls succeed before.
    pub after: usize,
    /// What happens then.
    pub kind: FaultKind,
}

#[derive(Debug, Default)]
struct State {
    planned: Vec<Fault>,
    hit: usize,
    crashed: bool,
    /// Files that the device cannot give back.
    unreadable: BTreeSet<StorePath>,
    /// Files whose content may not be on the device yet.
    unflushed: BTreeSet<StorePath>,
    calls: Vec<(Operation, StorePath)>,
}

/// A storage with planned faults.
#[derive(Debug, Clone)]
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    state: Arc<Mutex<State>>,
}

impl FaultyStorage {
    /// Wraps `inner` with these faults. Each happens at most once.
    pub fn new(inner: Arc<dyn Storage>, planned: Vec<Fault>) -> Self {
        Self { inner, state: Arc::new(Mutex::new(State { planned, ..State::default() })) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans another fault; its count starts now.
    pub fn plan(&self, fault: Fault) {
        self.lock().planned.push(fault);
    }

    /// Lets the device fail (EIO) each time that a file is read as a whole or in its beginning. A file that replaces it is
    /// sound, and one that is renamed stays unreadable.
    pub fn make_unreadable(&self, path: StorePath) {
        self.lock().unreadable.insert(path);
    }

    /// Lets the power fail: what was written and not flushed since is empty. Names are where they were put, since a file
    /// system keeps the order of its own changes and writes content when it likes.
    ///
    /// # Panics
    /// The storage below refuses to write.
    pub fn lose_power(&self) {
        let unflushed = std::mem::take(&mut self.lock().unflushed);
        for path in unflushed {
            self.inner.write_atomic(&path, b"", Durability::Cached, Staging::Beside).expect("the file is there");
        }
    }

    /// Returns how many planned faults happened.
    pub fn hit_count(&self) -> usize {
        self.lock().hit
    }

    /// Returns all calls so far, in order.
    pub fn calls(&self) -> Vec<(Operation, StorePath)> {
        self.lock().calls.clone()
    }

    /// Returns how many calls of this operation were made so far.
    pub fn call_count(&self, operation: Operation) -> usize {
        self.lock().calls.iter().filter(|(called, _)| *called == operation).count()
    }

    /// Forgets the recorded calls.
    pub fn clear_calls(&self) {
        self.lock().calls.clear();
    }

    /// Counts one call; returns the error it must fail with, and whether the process dies in it.
    fn enter(&self, operation: Operation, path: &StorePath) -> Result<(), (StorageError, bool)> {
        let mut state = self.lock();
        let fail = |kind: io::ErrorKind| StorageError::from_io(operation, Path::new(path.as_str()), kind.into());
        if state.crashed {
            return Err((fail(io::ErrorKind::BrokenPipe), false));
        }
        state.calls.push((operation, path.clone()));
        let mut due = None;
        state.planned.retain_mut(|fault| {
            if !fault.operation.map_or(changes(operation), |planned| planned == operation) {
                return true;
            }
            if fault.after == 0 && due.is_none() {
                due = Some(fault.kind);
                return false;
            }
            fault.after = fault.after.saturating_sub(1);
            true
        });
        match due {
            None => Ok(()),
            Some(FaultKind::Error(kind)) => {
                state.hit += 1;
                Err((fail(kind), false))
            }
            Some(FaultKind::Crash) => {
                state.hit += 1;
                state.crashed = true;
                Err((fail(io::ErrorKind::BrokenPipe), true))
            }
        }
    }

    fn check(&self, operation: Operation, path: &StorePath) -> Result<(), StorageError> {
        self.enter(operation, path).map_err(|(error, _)| error)
    }

    fn check_read(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::Read, path)?;
        if self.lock().unreadable.contains(path) {
            let error = io::Error::from_raw_os_error(nix::libc::EIO);
            return Err(StorageError::from_io(Operation::Read, Path::new(path.as_str()), error));
        }
        Ok(())
    }
}

/// Returns where a file below `from` is after `from` became `to`; nothing for any other file.
fn below(path: &StorePath, from: &StorePath, to: &StorePath) -> Option<StorePath> {
    let rest = path.as_str().strip_prefix(from.as_str())?.strip_prefix('/')?;
    format!("{to}/{rest}").parse().ok()
}

/// Whether an operation changes the store or makes it durable.
fn changes(operation: Operation) -> bool {
    !matches!(operation, Operation::Read | Operation::Stat | Operation::List | Operation::Lock)
}

impl Storage for FaultyStorage {
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        self.check_read(path)?;
        self.inner.read(path, max_bytes)
    }

    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        self.check_read(path)?;
        self.inner.read_start(path, max_bytes)
    }

    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        self.check(Operation::Stat, path)?;
        self.inner.stat(path)
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        self.check(Operation::List, path)?;
        self.inner.list(path)
    }

    fn list_all(&self, path: &StorePath) -> Result<Listing, StorageError> {
        self.check(Operation::List, path)?;
        self.inner.list_all(path)
    }

    fn list_stats(&self, path: &StorePath) -> Result<Vec<(String, Stat)>, StorageError> {
        self.check(Operation::List, path)?;
        self.inner.list_stats(path)
    }

    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        if let Err((error, dies)) = self.enter(Operation::WriteAtomic, path) {
            if dies && let Some(name) = path.file_name() {
                let directory = match staging {
                    Staging::Beside => path.parent().unwrap_or_default(),
                    Staging::In(directory) => directory.clone(),
                };
                if let Ok(temporary) = directory.join(&format!("{}.tmp_killed", crate::stem(name))) {
                    let _ = self.inner.create_exclusive(&temporary, &content[..content.len() / 2]);
                }
            }
            return Err(error);
        }
        self.inner.write_atomic(path, content, durability, staging)?;
        let mut state = self.lock();
        state.unreadable.remove(path);
        match durability {
            Durability::Cached => state.unflushed.insert(path.clone()),
            Durability::Durable => state.unflushed.remove(path),
        };
        Ok(())
    }

    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        if let Err((error, dies)) = self.enter(Operation::CreateExclusive, path) {
            if dies {
                let _ = self.inner.create_exclusive(path, &content[..content.len() / 2]);
            }
            return Err(error);
        }
        self.inner.create_exclusive(path, content)?;
        self.lock().unflushed.insert(path.clone());
        Ok(())
    }

    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        self.check(Operation::CreateWorking, path)?;
        let inner = self.inner.create_working(path)?;
        self.lock().unflushed.insert(path.clone());
        Ok(Box::new(FaultyWorkingFile { inner, storage: self.clone(), path: path.clone() }))
    }

    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        self.check(Operation::CreateDir, path)?;
        self.inner.create_dir(path, mode)
    }

    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::Rename, from)?;
        self.inner.rename(from, to)?;
        let mut state = self.lock();
        if state.unreadable.remove(from) {
            state.unreadable.insert(to.clone());
        } else {
            state.unreadable.remove(to);
        }
        state.unflushed.remove(to);
        for path in std::mem::take(&mut state.unflushed) {
            let moved = if path == *from { Some(to.clone()) } else { below(&path, from, to) };
            state.unflushed.insert(moved.unwrap_or(path));
        }
        Ok(())
    }

    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::RemoveFile, path)?;
        self.inner.remove_file(path)?;
        let mut state = self.lock();
        state.unreadable.remove(path);
        state.unflushed.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::RemoveDir, path)?;
        self.inner.remove_dir(path)
    }

    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::RemoveTree, path)?;
        self.inner.remove_tree(path)?;
        self.lock().unflushed.retain(|file| !file.is_below(path));
        Ok(())
    }

    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::Touch, path)?;
        self.inner.touch_atime(path)
    }

    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.check(Operation::SyncFile, path)?;
        self.inner.sync_file(path)?;
        self.lock().unflushed.remove(path);
        Ok(())
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.check(Operation::SyncAll, &StorePath::root())?;
        self.inner.sync_all()?;
        self.lock().unflushed.clear();
        Ok(())
    }

    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError> {
        self.check(Operation::Lock, path)?;
        self.inner.record_lock(path)
    }

    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError> {
        self.check(Operation::Lock, path)?;
        self.inner.try_hold_file(path)
    }

    fn local_root(&self) -> Option<&Path> {
        self.inner.local_root()
    }
}

#[derive(Debug)]
struct FaultyWorkingFile {
    inner: Box<dyn WorkingFile>,
    storage: FaultyStorage,
    path: StorePath,
}

impl WorkingFile for FaultyWorkingFile {
    fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), StorageError> {
        if let Err((error, dies)) = self.storage.enter(Operation::WriteAt, &self.path) {
            if dies {
                let _ = self.inner.write_at(offset, &content[..content.len() / 2]);
            }
            return Err(error);
        }
        self.inner.write_at(offset, content)
    }

    fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        self.storage.check(Operation::Read, &self.path)?;
        self.inner.read_at(offset, max_bytes)
    }

    fn set_length(&self, length_bytes: u64) -> Result<(), StorageError> {
        self.storage.check(Operation::WriteAt, &self.path)?;
        self.inner.set_length(length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;

    fn path(text: &str) -> StorePath {
        text.parse().unwrap()
    }

    #[test]
    fn the_wrapper_without_faults_passes_the_suite() {
        crate::suite::run(&|| (Box::new(FaultyStorage::new(Arc::new(MemoryStorage::new()), Vec::new())), Box::new(())));
    }

    #[test]
    fn an_unreadable_file_is_so_under_another_name_too_and_a_new_one_in_its_place_is_not() {
        let storage = FaultyStorage::new(Arc::new(MemoryStorage::new()), Vec::new());
        let write = |name| storage.write_atomic(&path(name), b"1", Durability::Cached, Staging::Beside).unwrap();
        let is_readable = |name| match (storage.read(&path(name), 1), storage.read_start(&path(name), 1)) {
            (Ok(_), Ok(_)) => true,
            (Err(whole), Err(beginning)) => {
                assert!(whole.is_device_fault() && beginning.is_device_fault());
                false
            }
            both => panic!("{both:?}"),
        };
        ["a", "b"].into_iter().for_each(write);
        storage.make_unreadable(path("a"));
        assert!(!is_readable("a") && is_readable("b"));
        storage.rename(&path("a"), &path("c")).unwrap();
        write("a");
        assert!(is_readable("a") && !is_readable("c"));
        storage.rename(&path("b"), &path("c")).unwrap();
        assert!(is_readable("c"));
        storage.make_unreadable(path("c"));
        storage.remove_file(&path("c")).unwrap();
        storage.create_exclusive(&path("c"), b"1").unwrap();
        assert!(is_readable("c"));
    }

    #[test]
    fn a_power_failure_empties_what_was_not_flushed_wherever_it_was_moved() {
        let memory = MemoryStorage::new();
        let storage = FaultyStorage::new(Arc::new(memory.clone()), Vec::new());
        let write = |name, durability| storage.write_atomic(&path(name), b"1", durability, Staging::Beside).unwrap();
        storage.create_dir(&path("d"), 0o755).unwrap();
        write("synced", Durability::Cached);
        storage.sync_all().unwrap();
        write("durable", Durability::Durable);
        write("flushed", Durability::Cached);
        storage.sync_file(&path("flushed")).unwrap();
        write("d/moved", Durability::Cached);
        write("gone", Durability::Cached);
        write("lost", Durability::Cached);
        storage.rename(&path("d"), &path("e")).unwrap();
        storage.remove_file(&path("gone")).unwrap();
        storage.lose_power();
        let content = |name| memory.read(&path(name), 1).map(|content| content.len()).ok();
        let found = ["synced", "durable", "flushed", "e/moved", "gone", "lost"].map(content);
        assert_eq!(found, [Some(1), Some(1), Some(1), Some(0), None, Some(0)]);
    }

    #[test]
    fn a_planned_fault_happens_once_and_at_its_place() {
        let fault = Fault {
            operation: Some(Operation::CreateDir),
            after: 1,
            kind: FaultKind::Error(io::ErrorKind::StorageFull),
        };
        let storage = FaultyStorage::new(Arc::new(MemoryStorage::new()), vec![fault]);
        storage.create_dir(&path("a"), 0o755).unwrap();
        assert!(storage.create_dir(&path("b"), 0o755).unwrap_err().is_no_space());
        storage.create_dir(&path("b"), 0o755).unwrap();
        assert_eq!((storage.hit_count(), storage.call_count(Operation::CreateDir)), (1, 3));
    }

    #[test]
    fn after_a_crash_nothing_works_and_a_half_file_stays() {
        let memory = MemoryStorage::new();
        let crash = Fault { operation: Some(Operation::WriteAtomic), after: 0, kind: FaultKind::Crash };
        let storage = FaultyStorage::new(Arc::new(memory.clone()), vec![crash]);
        assert!(storage.write_atomic(&path("f.blob"), b"abcd", Durability::Cached, Staging::Beside).is_err());
        assert!(storage.read(&path("f.tmp_killed"), 10).is_err());
        assert_eq!(memory.read(&path("f.tmp_killed"), 10).unwrap(), "ab");
        assert_eq!(memory.all_paths(), ["f.tmp_killed"]);
    }
}
