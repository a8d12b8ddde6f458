//! A local storage on which some files cannot be read.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use farhold_storage::{
    Durability, Entry, FileHold, Listing, Operation, RecordLock, Staging, Stat, Storage, StorageError, StorePath,
    WorkingFile,
};

/// The system's number of a failure of the device, EIO.
const DEVICE_FAILURE: i32 = 5;

/// Answers EIO where a sick file is read; a file that replaces it is healthy, and one that is renamed stays sick.
#[derive(Debug, Clone)]
pub struct SickStorage {
    inner: Arc<dyn Storage>,
    sick: Arc<Mutex<BTreeSet<StorePath>>>,
}

impl SickStorage {
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, sick: Arc::default() }
    }

    pub fn hurt(&self, path: &str) {
        self.sick.lock().unwrap().insert(path.parse().unwrap());
    }

    fn check(&self, path: &StorePath) -> Result<(), StorageError> {
        if self.sick.lock().unwrap().contains(path) {
            let error = io::Error::from_raw_os_error(DEVICE_FAILURE);
            return Err(StorageError::from_io(Operation::Read, Path::new(path.as_str()), error));
        }
        Ok(())
    }

    fn heal(&self, path: &StorePath) {
        self.sick.lock().unwrap().remove(path);
    }
}

impl Storage for SickStorage {
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        self.check(path)?;
        self.inner.read(path, max_bytes)
    }

    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        self.check(path)?;
        self.inner.read_start(path, max_bytes)
    }

    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        self.inner.stat(path)
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        self.inner.list(path)
    }

    fn list_all(&self, path: &StorePath) -> Result<Listing, StorageError> {
        self.inner.list_all(path)
    }

    fn list_stats(&self, path: &StorePath) -> Result<Vec<(String, Stat)>, StorageError> {
        self.inner.list_stats(path)
    }

    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        self.inner.write_atomic(path, content, durability, staging)?;
        self.heal(path);
        Ok(())
    }

    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        self.inner.create_exclusive(path, content)
    }

    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        self.inner.create_working(path)
    }

    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        self.inner.create_dir(path, mode)
    }

    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        self.inner.rename(from, to)?;
        self.heal(to);
        let mut sick = self.sick.lock().unwrap();
        if sick.remove(from) {
            sick.insert(to.clone());
        }
        Ok(())
    }

    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.inner.remove_file(path)?;
        self.heal(path);
        Ok(())
    }

    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        self.inner.remove_dir(path)
    }

    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        self.inner.remove_tree(path)
    }

    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        self.inner.touch_atime(path)
    }

    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        self.inner.sync_file(path)
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.inner.sync_all()
    }

    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError> {
        self.inner.record_lock(path)
    }

    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError> {
        self.inner.try_hold_file(path)
    }

    fn local_root(&self) -> Option<&Path> {
        self.inner.local_root()
    }
}
