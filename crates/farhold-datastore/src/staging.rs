//! The private folder for chunk files that are being written.
//!
//! Chunks are written under a temporary name and renamed into one of 65,536 folders. If the temporary files lay there
//! too, finding those of a killed process would mean listing all folders. They lie in
//! `.chunks/.farhold-tmp/<random name>/` instead, one such folder per open store, on the same file system, so that the
//! rename stays one step. The reference looks at nothing in `.chunks` but its numbered folders.
//!
//! The file `lock` in the folder is locked while its owner lives. A folder whose lock is free belongs to a killed
//! process and is removed by the next writer; a live one is never touched, whatever process it belongs to.
//!
//! Source: `docs/spec/datastore-format.md` 3, 12.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_storage::{EntryKind, FileHold, Storage, StorageError, StorePath};
use farhold_types::Randomness;

use crate::layout::{self, CHUNK_DIRECTORY_MODE};

/// Name of the folder in `.chunks`.
const STAGING: &str = ".farhold-tmp";
/// Name of the file that tells whether the owner lives.
const LOCK: &str = "lock";
/// How often a folder is made anew when a cleaner took it away before it was locked.
const ATTEMPTS: u32 = 10;

fn staging_root() -> StorePath {
    layout::join(&layout::chunks_dir(), STAGING)
}

/// One staging folder; it is removed with the last user.
#[derive(Debug)]
pub(crate) struct StagingFolder {
    storage: Arc<dyn Storage>,
    pub(crate) path: StorePath,
    _hold: Box<dyn FileHold>,
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        // What stays is removed by the next writer.
        let _ = self.storage.remove_tree(&self.path);
        let _ = self.storage.remove_dir(&staging_root());
    }
}

#[derive(Debug, Default)]
pub(crate) struct StagingArea {
    current: Mutex<Option<Arc<StagingFolder>>>,
}

impl StagingArea {
    fn current(&self) -> MutexGuard<'_, Option<Arc<StagingFolder>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the folder of this open store; makes it if there is none.
    pub(crate) fn folder(
        &self,
        storage: &Arc<dyn Storage>,
        randomness: &dyn Randomness,
    ) -> Result<Arc<StagingFolder>, StorageError> {
        let mut current = self.current();
        if let Some(folder) = &*current {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(make_folder(storage, randomness)?);
        *current = Some(Arc::clone(&folder));
        Ok(folder)
    }

    /// Lets go of the folder; it is removed when nobody writes into it any more.
    pub(crate) fn release(&self) {
        drop(self.current().take());
    }

    /// Removes the folders of dead processes. Returns how many.
    pub(crate) fn remove_abandoned(&self, storage: &Arc<dyn Storage>) -> Result<usize, StorageError> {
        let entries = match storage.list(&staging_root()) {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let path = layout::join(&staging_root(), &entry.name);
            let hold = match storage.try_hold_file(&layout::join(&path, LOCK)) {
                Ok(Some(hold)) => hold,
                Ok(None) => continue,
                // Removed meanwhile by its owner.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            storage.remove_tree(&path)?;
            drop(hold);
            removed += 1;
        }
        // Stays if somebody is at work in it.
        let _ = storage.remove_dir(&staging_root());
        Ok(removed)
    }
}

fn make_folder(storage: &Arc<dyn Storage>, randomness: &dyn Randomness) -> Result<StagingFolder, StorageError> {
    let mut attempt = 1;
    let error = loop {
        match try_make_folder(storage, randomness) {
            Ok(Some(folder)) => return Ok(folder),
            Ok(None) if attempt < ATTEMPTS => attempt += 1,
            Ok(None) => break StorageError::AlreadyExists { path: staging_root().to_string() },
            // The folder above may have been removed as empty between two steps; a missing `.chunks` stays an error.
            Err(error) if error.is_not_found() && attempt < ATTEMPTS => attempt += 1,
            Err(error) => break error,
        }
    };
    // Stays if somebody else is at work in it.
    let _ = storage.remove_dir(&staging_root());
    Err(error)
}

/// Returns `None` if the fresh folder was taken for an abandoned one or its name is in use.
fn try_make_folder(
    storage: &Arc<dyn Storage>,
    randomness: &dyn Randomness,
) -> Result<Option<StagingFolder>, StorageError> {
    match storage.create_dir(&staging_root(), CHUNK_DIRECTORY_MODE) {
        Ok(()) | Err(StorageError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut bytes = [0; 8];
    randomness.fill(&mut bytes);
    let path = layout::join(&staging_root(), &format!("{:016x}", u64::from_be_bytes(bytes)));
    match storage.create_dir(&path, CHUNK_DIRECTORY_MODE) {
        Ok(()) => {}
        Err(StorageError::AlreadyExists { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    match storage.try_hold_file(&layout::join(&path, LOCK)) {
        Ok(hold) => Ok(hold.map(|hold| StagingFolder { storage: Arc::clone(storage), path, _hold: hold })),
        Err(error) => {
            let _ = storage.remove_tree(&path);
            Err(error)
        }
    }
}
