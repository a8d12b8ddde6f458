//! Groups: owner, notes, creation. Source: `docs/spec/datastore-format.md` 16.

use farhold_storage::{Durability, EntryKind, Staging, StorageError, StorePath, is_random_temporary};
use farhold_types::{Authid, Group, Namespace, SyncLevel};

use crate::error::DatastoreError;
use crate::layout::{self, NOTES, OWNER};
use crate::lock::GroupLock;
use crate::store::Datastore;

/// Largest owner file that is read, in bytes. An auth id has at most 64 characters; further lines are ignored.
const MAX_OWNER_BYTES: u64 = 4096;
/// Largest notes file that is read, in bytes. The reference limits a request to 512 KiB; this leaves room.
const MAX_NOTES_BYTES: u64 = 1 << 20;

/// A locked group.
pub(crate) struct OpenedGroup {
    pub(crate) owner: Authid,
    pub(crate) lock: GroupLock,
    /// Whether its directory was made for this.
    pub(crate) is_new: bool,
}

impl Datastore {
    pub(crate) fn small_file_durability(&self) -> Durability {
        match self.sync_level() {
            SyncLevel::File => Durability::Durable,
            SyncLevel::None | SyncLevel::Filesystem => Durability::Cached,
        }
    }

    /// How a file is written whose loss would cost what is in the store already: one that replaces a file of a finished
    /// snapshot, or names the owner of snapshots. A file system may put the new name on the device before the content; after
    /// a power failure the file is empty then, and nothing that is written later replaces it.
    pub(crate) fn careful_durability(&self) -> Durability {
        match self.sync_level() {
            SyncLevel::File | SyncLevel::Filesystem => Durability::Durable,
            SyncLevel::None => Durability::Cached,
        }
    }

    /// Returns the owner of a group.
    ///
    /// # Errors
    /// Missing group; [`DatastoreError::OwnerUnreadable`] without a usable owner file.
    pub fn owner(&self, namespace: &Namespace, group: &Group) -> Result<Authid, DatastoreError> {
        let unreadable = |reason: String| DatastoreError::OwnerUnreadable { group: group.clone(), reason };
        let directory = layout::group_dir(namespace, group);
        let content = match self.storage().read_start(&layout::join(&directory, OWNER), MAX_OWNER_BYTES) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => {
                if self.is_directory(&directory)? {
                    return Err(unreadable("there is no owner file".to_owned()));
                }
                return Err(DatastoreError::GroupMissing { namespace: namespace.clone(), group: group.clone() });
            }
            Err(error) if matches!(error, StorageError::NotAFile { .. }) || error.is_device_fault() => {
                return Err(unreadable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = str::from_utf8(first).map_err(|_| unreadable("it is not text".to_owned()))?;
        text.trim_end().parse().map_err(|error: farhold_types::NameError| unreadable(error.to_string()))
    }

    /// Makes `owner` the owner of the locked group. Replaces the owner file as one step.
    ///
    /// # Errors
    /// The group was removed under the lock; [`DatastoreError::Storage`].
    pub fn set_owner(&self, lock: &GroupLock, owner: &Authid) -> Result<(), DatastoreError> {
        self.check_alive(lock)?;
        let path = layout::join(&layout::group_dir(lock.namespace(), lock.group()), OWNER);
        let content = format!("{owner}\n");
        self.make_way(&path)?;
        self.storage().write_atomic(&path, content.as_bytes(), self.careful_durability(), Staging::Beside)?;
        Ok(())
    }

    pub(crate) fn check_alive(&self, lock: &GroupLock) -> Result<(), DatastoreError> {
        if lock.is_removed() {
            return Err(DatastoreError::GroupRemoved { group: lock.group().clone() });
        }
        Ok(())
    }

    /// Locks a group, after creating it with `owner` if it is missing. Returns the owner it has, and the lock.
    ///
    /// The caller decides whether the owner found may be written to. Missing directories above the group are created,
    /// the namespace's is not. A group without usable owner is completed as long as nothing in it was ever finished: that
    /// is what a kill or a power failure during its first backup leaves.
    ///
    /// # Errors
    /// Missing namespace; busy; [`DatastoreError::OwnerUnreadable`] for a group with a finished snapshot and no usable
    /// owner.
    pub fn create_group(
        &self,
        namespace: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> Result<(Authid, GroupLock), DatastoreError> {
        let opened = self.open_group(namespace, group, owner)?;
        Ok((opened.owner, opened.lock))
    }

    /// Does what [`Self::create_group`] does, and tells whether the group is new.
    pub(crate) fn open_group(
        &self,
        namespace: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> Result<OpenedGroup, DatastoreError> {
        self.check_namespace(namespace)?;
        // The lock comes first, so that nobody sees or removes the group while it has no owner.
        let lock = self.inner.locks.group(namespace, group)?;
        let directory = layout::group_dir(namespace, group);
        let is_new = !self.is_directory(&directory)?;
        if is_new {
            self.storage().create_dirs(&directory)?;
        } else {
            self.remove_group_leftovers(&directory)?;
        }
        match self.owner(namespace, group) {
            Ok(owner) => return Ok(OpenedGroup { owner, lock, is_new }),
            Err(error @ DatastoreError::OwnerUnreadable { .. }) => {
                if !is_new && self.has_finished_snapshot(namespace, group)? {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = self.set_owner(&lock, owner) {
            if is_new {
                let _ = self.storage().remove_dir(&directory);
            }
            return Err(error);
        }
        Ok(OpenedGroup { owner: owner.clone(), lock, is_new })
    }

    fn has_finished_snapshot(&self, namespace: &Namespace, group: &Group) -> Result<bool, DatastoreError> {
        Ok(self.snapshots(namespace, group)?.iter().any(|snapshot| snapshot.has_manifest))
    }

    /// Removes what killed writers left beside owner and notes. The caller holds the group lock.
    fn remove_group_leftovers(&self, directory: &StorePath) -> Result<(), DatastoreError> {
        for entry in self.storage().list(directory)? {
            if entry.kind == EntryKind::File && is_random_temporary(&entry.name) {
                self.storage().remove_file(&layout::join(directory, &entry.name))?;
            }
        }
        Ok(())
    }

    /// Returns the notes of a group, empty if it has none. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// Missing group; [`DatastoreError::Storage`] for notes above 1 MiB.
    pub fn group_notes(&self, namespace: &Namespace, group: &Group) -> Result<String, DatastoreError> {
        let directory = layout::group_dir(namespace, group);
        match self.storage().read(&layout::join(&directory, NOTES), MAX_NOTES_BYTES) {
            Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
            Err(error) if error.is_not_found() => {
                if self.is_directory(&directory)? {
                    return Ok(String::new());
                }
                Err(DatastoreError::GroupMissing { namespace: namespace.clone(), group: group.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the notes of the locked group; empty notes leave an empty file.
    ///
    /// # Errors
    /// The group was removed under the lock; [`DatastoreError::Storage`].
    pub fn set_group_notes(&self, lock: &GroupLock, notes: &str) -> Result<(), DatastoreError> {
        self.check_alive(lock)?;
        let path = layout::join(&layout::group_dir(lock.namespace(), lock.group()), NOTES);
        self.make_way(&path)?;
        self.storage().write_atomic(&path, notes.as_bytes(), self.careful_durability(), Staging::Beside)?;
        Ok(())
    }
}
