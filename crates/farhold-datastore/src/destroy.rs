//! Removing a store with everything in it.
//!
//! In two steps, because the configuration goes between them: while content may be left, the store must stay
//! configured (in maintenance mode `delete`), so that the removal can be started again. Source:
//! `docs/spec/datastore-format.md` 20, "Destroy with data".

use farhold_storage::{StorageError, StorePath};
use farhold_types::BackupType;

use crate::error::DatastoreError;
use crate::gc_status::GC_STATUS;
use crate::layout::{self, CHUNK_DIRECTORY_MODE, CHUNKS, NAMESPACES, PROCESS_LOCK};
use crate::open::{OpenError, OpenOptions};
use crate::store::Datastore;

impl Datastore {
    /// Opens a store that is to be destroyed; also what an interrupted destruction left, a lock file without chunks.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_to_destroy(options: OpenOptions) -> Result<Self, OpenError> {
        let storage = &*options.storage;
        let is_missing = |path: &StorePath| match storage.stat(path) {
            Ok(_) => Ok(false),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        };
        // Without its lock file it is no store, but perhaps the place where one is mounted.
        if is_missing(&layout::chunks_dir())? && !is_missing(&layout::process_lock())? {
            storage.create_dir(&layout::chunks_dir(), CHUNK_DIRECTORY_MODE)?;
        }
        Self::open(options)
    }

    /// Removes all backups, then all chunks. The caller has made sure that nobody uses the store.
    ///
    /// Chunks go last and only if all backups are gone, so that a failure in between leaves no backup with holes that
    /// looks complete: what is left of backups still has its chunks. Can be repeated.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`], after a part was removed.
    pub fn destroy_content(&self) -> Result<(), DatastoreError> {
        let types = BackupType::ALL.map(BackupType::as_str);
        for name in [NAMESPACES].into_iter().chain(types) {
            ignore_missing(self.storage().remove_tree(&at(name)))?;
        }
        self.remove_if_present(&at(GC_STATUS))?;
        ignore_missing(self.storage().remove_tree(&at(CHUNKS)))
    }

    /// Removes the lock file of a store without content. Its directory stays.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn destroy_lock_file(&self) -> Result<(), DatastoreError> {
        self.remove_if_present(&at(PROCESS_LOCK))?;
        Ok(())
    }

    /// Removes what is left of a store without content: its lock file, and its directory unless it holds something that
    /// is not ours.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn destroy_shell(&self) -> Result<(), DatastoreError> {
        self.destroy_lock_file()?;
        match self.storage().remove_dir(&StorePath::root()) {
            Err(StorageError::NotEmpty { .. }) => Ok(()),
            other => ignore_missing(other),
        }
    }
}

fn at(name: &str) -> StorePath {
    layout::join(&StorePath::root(), name)
}

fn ignore_missing(result: Result<(), StorageError>) -> Result<(), DatastoreError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
