//! The handle on an open datastore, and the locks it hands out.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use farhold_storage::{EntryKind, Storage, StorageError, StorePath};
use farhold_types::{Clock, DatastoreName, Epoch, Group, Namespace, Randomness, Snapshot, SyncLevel};

use crate::error::DatastoreError;
use crate::layout;
use crate::lock::{GroupLock, LockDirectory, LockError, ManifestLock, SharedSnapshotLock, Sharing, SnapshotLock};
use crate::process_lock::ProcessLock;
use crate::staging::StagingArea;

/// An open datastore. Clones are the same store and cost nothing.
///
/// Open a store once per process: garbage collection learns only from this handle and its clones since when the writers
/// of this process run.
#[derive(Clone)]
pub struct Datastore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) name: DatastoreName,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) locks: LockDirectory,
    pub(crate) process_lock: ProcessLock,
    pub(crate) staging: StagingArea,
    pub(crate) insertion: Box<[Mutex<()>]>,
    /// How many flushes of the whole file system have failed.
    pub(crate) failed_flushes: AtomicU64,
    pub(crate) sync_level: SyncLevel,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
}

impl fmt::Debug for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datastore").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Datastore {
    /// Returns the store's name.
    pub fn name(&self) -> &DatastoreName {
        &self.inner.name
    }

    /// Returns the store's directory, if it lies on the local file system.
    pub fn local_root(&self) -> Option<&Path> {
        self.inner.storage.local_root()
    }

    /// Returns when this store flushes what it writes.
    pub fn sync_level(&self) -> SyncLevel {
        self.inner.sync_level
    }

    /// Returns the clock that the store was opened with.
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// Returns the source of randomness that the store was opened with.
    pub fn randomness(&self) -> &dyn Randomness {
        &*self.inner.randomness
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.inner.storage
    }

    pub(crate) fn is_directory(&self, path: &StorePath) -> Result<bool, DatastoreError> {
        match self.storage().stat(path) {
            Ok(stat) => Ok(stat.kind == EntryKind::Directory),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file. Returns whether it was there.
    pub(crate) fn remove_if_present(&self, path: &StorePath) -> Result<bool, StorageError> {
        match self.storage().remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Checks that the store is there: its lock file would be made anew in the place where it was mounted.
    fn check_chunks(&self) -> Result<(), StorageError> {
        self.storage().stat(&layout::chunks_dir()).map(drop)
    }

    /// Registers a writer with all processes that use this store: garbage collection keeps off, or spares everything
    /// touched from now on. Hold it during a whole pull or backup session.
    ///
    /// The first writer of a process also removes what killed writers left of chunks.
    ///
    /// # Errors
    /// [`LockError::Busy`] while another process collects garbage; [`LockError::Storage`] if the store is not there.
    pub fn lock_process_shared(&self) -> Result<SharedProcessLock, LockError> {
        self.check_chunks()?;
        let (number, is_first) = self.inner.process_lock.add_shared(self.inner.clock.now())?;
        let lock = SharedProcessLock { store: self.clone(), number };
        if is_first && let Err(error) = self.inner.staging.remove_abandoned(&self.inner.storage) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not remove temporary files of earlier writers"
            );
        }
        Ok(lock)
    }

    /// Keeps writers of other processes away. Writers of this process may go on, see [`Self::oldest_writer`].
    ///
    /// # Errors
    /// [`LockError::Busy`] while another process writes, or this one holds the lock already; [`LockError::Storage`] if the
    /// store is not there.
    pub fn lock_process_exclusive(&self) -> Result<ExclusiveProcessLock, LockError> {
        self.check_chunks()?;
        self.inner.process_lock.take_exclusive()?;
        Ok(ExclusiveProcessLock { store: self.clone() })
    }

    /// Returns the start of the writer that runs longest in this process, if any writes.
    pub fn oldest_writer(&self) -> Option<Epoch> {
        self.inner.process_lock.oldest_writer()
    }

    /// Locks an existing group against everybody else; does not wait.
    ///
    /// # Errors
    /// Missing group, or busy.
    pub fn lock_group(&self, namespace: &Namespace, group: &Group) -> Result<GroupLock, DatastoreError> {
        let lock = self.inner.locks.group(namespace, group)?;
        if !self.is_directory(&layout::group_dir(namespace, group))? {
            lock.mark_removed();
            return Err(DatastoreError::GroupMissing { namespace: namespace.clone(), group: group.clone() });
        }
        Ok(lock)
    }

    /// Locks an existing snapshot against everybody else; does not wait.
    ///
    /// # Errors
    /// Missing snapshot, or busy: it is being written, read, verified or removed.
    pub fn lock_snapshot(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<SnapshotLock, DatastoreError> {
        let file = self.inner.locks.snapshot(namespace, snapshot, Sharing::Exclusive)?;
        if !self.is_directory(&layout::snapshot_dir(namespace, snapshot))? {
            file.remove_file();
            return Err(Self::snapshot_missing(namespace, snapshot));
        }
        Ok(SnapshotLock { file })
    }

    /// Locks an existing snapshot against changes and removal, together with other readers; does not wait.
    ///
    /// # Errors
    /// Missing snapshot, or busy: it is being written or removed.
    pub fn lock_snapshot_shared(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<SharedSnapshotLock, DatastoreError> {
        let file = self.inner.locks.snapshot(namespace, snapshot, Sharing::Shared)?;
        if !self.is_directory(&layout::snapshot_dir(namespace, snapshot))? {
            return Err(Self::snapshot_missing(namespace, snapshot));
        }
        Ok(SharedSnapshotLock { file })
    }

    /// Locks the manifest of a snapshot for a change. Waits up to 5 s.
    ///
    /// # Errors
    /// Busy.
    pub fn lock_manifest(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<ManifestLock, DatastoreError> {
        Ok(self.inner.locks.manifest(namespace, snapshot)?)
    }

    pub(crate) fn snapshot_missing(namespace: &Namespace, snapshot: &Snapshot) -> DatastoreError {
        DatastoreError::SnapshotMissing { namespace: namespace.clone(), snapshot: snapshot.clone() }
    }
}

/// A registered writer; ends when dropped.
#[derive(Debug)]
pub struct SharedProcessLock {
    store: Datastore,
    number: u64,
}

impl Drop for SharedProcessLock {
    fn drop(&mut self) {
        if self.store.inner.process_lock.remove_shared(self.number) {
            self.store.inner.staging.release();
        }
    }
}

/// The exclusive process lock; ends when dropped.
#[derive(Debug)]
pub struct ExclusiveProcessLock {
    store: Datastore,
}

impl Drop for ExclusiveProcessLock {
    fn drop(&mut self) {
        self.store.inner.process_lock.release_exclusive();
    }
}
