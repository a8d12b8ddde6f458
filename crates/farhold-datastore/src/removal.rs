//! Removing snapshots, groups and namespaces. Chunks are not touched; garbage collection finds them later.
//!
//! A snapshot loses its manifest first, so that a kill in the middle leaves an unfinished snapshot and not a finished
//! one with holes. Source: `docs/spec/datastore-format.md` 20.

use farhold_storage::{Entry, EntryKind, StorageError, is_random_temporary};
use farhold_types::{
    BackupType, DeleteStatistics, Epoch, Group, MANIFEST_NAME, MAX_NAMESPACE_DEPTH, Namespace, Snapshot,
};

use crate::error::DatastoreError;
use crate::layout::{self, NAMESPACES, NOTES, OWNER};
use crate::lock::{GroupLock, Sharing, SnapshotLock};
use crate::store::Datastore;

/// Whether the removal of a namespace also removes the groups in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveGroups {
    /// Remove all groups first; protected snapshots stay.
    Yes,
    /// Remove only what is empty.
    No,
}

/// What the removal of namespaces did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceRemoval {
    /// What was removed and what stayed because it is protected.
    pub statistics: DeleteStatistics,
    /// Namespaces that are gone, deepest first.
    pub removed: Vec<Namespace>,
    /// Namespaces that had to stay because something is left in them, deepest first.
    pub remaining: Vec<Namespace>,
}

impl Datastore {
    /// Removes a snapshot, and its group if it was the last and nobody has the group locked, the caller included.
    ///
    /// # Errors
    /// Missing; [`DatastoreError::Protected`]; busy while it is read, written or verified.
    pub fn remove_snapshot(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<(), DatastoreError> {
        self.remove_snapshot_directory(namespace, snapshot)?;
        // A busy group is in use and stays.
        if let Ok(group) = self.inner.locks.group(namespace, &snapshot.group) {
            self.remove_group_if_empty(&group)?;
        }
        Ok(())
    }

    fn remove_snapshot_directory(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<(), DatastoreError> {
        let lock: SnapshotLock = self.lock_snapshot(namespace, snapshot)?;
        let manifest_lock = self.lock_manifest(namespace, snapshot)?;
        if self.is_protected(namespace, snapshot)? {
            return Err(DatastoreError::Protected { snapshot: snapshot.clone() });
        }
        self.remove_if_present(&layout::snapshot_file(namespace, snapshot, MANIFEST_NAME))?;
        self.storage().remove_tree(&layout::snapshot_dir(namespace, snapshot))?;
        manifest_lock.file.remove_file();
        lock.file.remove_file();
        Ok(())
    }

    /// Removes a snapshot of a group that the caller has locked. The group stays, even if it is empty then.
    ///
    /// # Errors
    /// As [`Self::remove_snapshot`].
    pub fn remove_locked_snapshot(&self, lock: &GroupLock, time: Epoch) -> Result<(), DatastoreError> {
        self.check_alive(lock)?;
        self.remove_snapshot_directory(lock.namespace(), &lock.group().at(time))
    }

    /// Removes the locked group if it holds no snapshot and nothing foreign. Returns whether it is gone; then the lock is
    /// worth nothing.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn remove_group_if_empty(&self, lock: &GroupLock) -> Result<bool, DatastoreError> {
        if lock.is_removed() {
            // What is there now belongs to somebody else.
            return Ok(true);
        }
        let directory = layout::group_dir(lock.namespace(), lock.group());
        let farhold_storage::Listing { entries, foreign } = match self.storage().list_all(&directory) {
            Ok(listing) => listing,
            Err(error) if error.is_not_found() => {
                lock.mark_removed();
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let is_ours = |name: &str| name == NOTES || is_random_temporary(name);
        // With something else in it the directory has to stay, and so must its owner.
        let keeps =
            |entry: &Entry| entry.kind == EntryKind::Directory || !(is_ours(&entry.name) || entry.name == OWNER);
        if !foreign.is_empty() || entries.iter().any(keeps) {
            return Ok(false);
        }
        // The owner goes last: what a kill leaves is a group that is still listed.
        let files = entries.iter().map(|entry| entry.name.as_str()).filter(|name| is_ours(name)).chain([OWNER]);
        for name in files {
            self.remove_if_present(&layout::join(&directory, name))?;
        }
        self.storage().remove_dir(&directory)?;
        lock.mark_removed();
        Ok(true)
    }

    /// Removes all snapshots of a group that are not protected, and the group if none is left.
    ///
    /// # Errors
    /// Missing; busy, also when one of its snapshots is, after a part was removed.
    pub fn remove_group(&self, namespace: &Namespace, group: &Group) -> Result<DeleteStatistics, DatastoreError> {
        let lock = self.lock_group(namespace, group)?;
        self.remove_locked_group(&lock)
    }

    /// Does what [`Self::remove_group`] does with a group that the caller has locked.
    ///
    /// # Errors
    /// As [`Self::remove_group`].
    pub fn remove_locked_group(&self, lock: &GroupLock) -> Result<DeleteStatistics, DatastoreError> {
        let mut statistics = DeleteStatistics::default();
        for time in self.snapshot_times(lock.namespace(), lock.group())? {
            match self.remove_snapshot_directory(lock.namespace(), &lock.group().at(time)) {
                Ok(()) => statistics.removed_snapshots += 1,
                Err(DatastoreError::Protected { .. }) => statistics.protected_snapshots += 1,
                Err(error) => return Err(error),
            }
        }
        if statistics.protected_snapshots == 0 && self.remove_group_if_empty(lock)? {
            statistics.removed_groups = 1;
        }
        Ok(statistics)
    }

    /// Removes a namespace and everything below it, deepest level first. The root itself stays.
    ///
    /// With [`RemoveGroups::No`] only what is empty goes. A missing namespace is no error and changes nothing.
    ///
    /// # Errors
    /// A group or snapshot is busy, or the storage fails, after a part was removed.
    pub fn remove_namespace(
        &self,
        namespace: &Namespace,
        groups: RemoveGroups,
    ) -> Result<NamespaceRemoval, DatastoreError> {
        let mut removal = NamespaceRemoval::default();
        if !self.namespace_exists(namespace)? {
            return Ok(removal);
        }
        let mut levels = self.namespaces(namespace, MAX_NAMESPACE_DEPTH)?;
        // Stable: within one depth the order of the listing stays.
        levels.sort_by_key(|level| std::cmp::Reverse(level.depth()));
        for level in levels {
            let statistics = self.remove_namespace_level(&level, groups)?;
            removal.statistics.removed_groups += statistics.removed_groups;
            removal.statistics.removed_snapshots += statistics.removed_snapshots;
            removal.statistics.protected_snapshots += statistics.protected_snapshots;
            if level.is_root() {
                if !self.group_directories(&level)?.is_empty() {
                    removal.remaining.push(level);
                }
            } else if self.namespace_exists(&level)? {
                removal.remaining.push(level);
            } else {
                removal.removed.push(level);
            }
        }
        Ok(removal)
    }

    /// Removes one namespace without those below it: its groups if asked, then what is empty of it.
    ///
    /// # Errors
    /// As [`Self::remove_namespace`].
    pub fn remove_namespace_level(
        &self,
        namespace: &Namespace,
        groups: RemoveGroups,
    ) -> Result<DeleteStatistics, DatastoreError> {
        let mut statistics = DeleteStatistics::default();
        if groups == RemoveGroups::Yes {
            for group in self.group_directories(namespace)? {
                let removed = match self.remove_group(namespace, &group) {
                    Ok(removed) => removed,
                    // Somebody else removed it.
                    Err(DatastoreError::GroupMissing { .. }) => continue,
                    Err(error) => return Err(error),
                };
                statistics.removed_groups += removed.removed_groups;
                statistics.removed_snapshots += removed.removed_snapshots;
                statistics.protected_snapshots += removed.protected_snapshots;
            }
        }
        let directory = layout::namespace_dir(namespace);
        let children = BackupType::ALL.map(BackupType::as_str).into_iter().chain([NAMESPACES]);
        let mut paths: Vec<_> = children.map(|name| layout::join(&directory, name)).collect();
        if !namespace.is_root() {
            paths.push(directory);
        }
        for path in paths {
            match self.storage().remove_dir(&path) {
                Ok(()) | Err(StorageError::NotEmpty { .. } | StorageError::NotADirectory { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(statistics)
    }

    /// Removes an unfinished snapshot directory that nobody works on, as an aborted backup leaves it. Finished and
    /// protected ones stay. Returns whether it was removed; the group stays.
    ///
    /// # Errors
    /// Missing or busy.
    pub fn remove_unfinished(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<bool, DatastoreError> {
        let file = self.inner.locks.snapshot(namespace, snapshot, Sharing::Exclusive)?;
        let info = self.snapshot_info(namespace, snapshot)?;
        if info.has_manifest || info.is_protected {
            return Ok(false);
        }
        self.storage().remove_tree(&layout::snapshot_dir(namespace, snapshot))?;
        file.remove_file();
        Ok(true)
    }
}
