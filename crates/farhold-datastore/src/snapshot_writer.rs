//! Writing a snapshot, as a pull does.
//!
//! A new snapshot is finished when its manifest appears, and that comes last. Files of a snapshot that is finished
//! already are replaced only in [`SnapshotWriter::commit`]; until then the new ones wait under names ending in `.tmp`,
//! so that a failure leaves the old snapshot whole.
//!
//! Source: `docs/spec/datastore-format.md` 12, 16, 22.

use std::collections::BTreeSet;

use bytes::Bytes;
use farhold_format::manifest::Manifest;
use farhold_storage::{EntryKind, Staging, StorePath, is_random_temporary};
use farhold_types::{ArchiveName, CLIENT_LOG_NAME, Epoch, MANIFEST_NAME, Namespace, Snapshot, SyncLevel};

use crate::error::{DatastoreError, ErrorKind};
use crate::layout::{self, PROTECTED};
use crate::lock::{GroupLock, Sharing, SnapshotLock};
use crate::snapshot::FlushFailures;
use crate::store::Datastore;

/// What was there when the writing of a snapshot began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotOrigin {
    /// Nothing.
    New,
    /// A directory without manifest, left by an interrupted write. Its files may be used again after checking them.
    Unfinished,
    /// A finished snapshot.
    Finished,
}

/// A snapshot being written; holds its exclusive lock.
///
/// Dropping it without [`commit`](Self::commit) or [`discard`](Self::discard) keeps the files written so far for the
/// next attempt; without a manifest they are no finished snapshot. Without any file the new directory goes, too.
#[derive(Debug)]
pub struct SnapshotWriter {
    store: Datastore,
    snapshot: Snapshot,
    group: GroupLock,
    lock: SnapshotLock,
    origin: SnapshotOrigin,
    /// Files that wait under their temporary names; always empty unless the snapshot was finished.
    waiting: BTreeSet<ArchiveName>,
    is_committed: bool,
    /// When it began.
    flushes: FlushFailures,
}

/// Whether a file of a snapshot directory is what an interrupted write leaves.
pub(crate) fn is_leftover(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("tmp" | "tmpdec" | "tmp_fidx" | "tmp_didx")) || is_random_temporary(name)
}

impl Datastore {
    /// Begins to write the snapshot at `time` of the locked group: locks it and creates its directory if it is missing.
    ///
    /// Left-overs of earlier interrupted writes in it are removed.
    ///
    /// # Errors
    /// Busy; [`DatastoreError::GroupRemoved`] if the group was removed under the lock.
    pub fn begin_snapshot(&self, group: &GroupLock, time: Epoch) -> Result<SnapshotWriter, DatastoreError> {
        self.check_alive(group)?;
        let snapshot = group.group().at(time);
        let file = self.inner.locks.snapshot(group.namespace(), &snapshot, Sharing::Exclusive)?;
        let lock = SnapshotLock { file };
        let directory = layout::snapshot_dir(group.namespace(), &snapshot);
        let origin = if !self.is_directory(&directory)? {
            self.storage().create_dirs(&directory)?;
            SnapshotOrigin::New
        } else if self.snapshot_info(group.namespace(), &snapshot)?.has_manifest {
            SnapshotOrigin::Finished
        } else {
            SnapshotOrigin::Unfinished
        };
        let writer = SnapshotWriter {
            store: self.clone(),
            snapshot,
            group: group.clone(),
            lock,
            origin,
            waiting: BTreeSet::new(),
            is_committed: false,
            flushes: self.flush_failures(),
        };
        if origin != SnapshotOrigin::New {
            writer.remove_leftovers()?;
        }
        Ok(writer)
    }

    /// Removes what interrupted writes left in a snapshot directory. The caller holds the exclusive snapshot lock.
    pub(crate) fn remove_snapshot_leftovers(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        keep: &BTreeSet<String>,
    ) -> Result<usize, DatastoreError> {
        let directory = layout::snapshot_dir(namespace, snapshot);
        let entries = self.storage().list(&directory)?;
        let leftovers: Vec<StorePath> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::File && is_leftover(&entry.name))
            .filter(|entry| !keep.contains(&entry.name))
            .map(|entry| layout::join(&directory, &entry.name))
            .collect();
        if leftovers.is_empty() {
            return Ok(0);
        }
        // A change of notes writes a temporary file under nothing but this lock.
        let _lock = self.lock_manifest(namespace, snapshot)?;
        for path in &leftovers {
            self.remove_if_present(path)?;
        }
        Ok(leftovers.len())
    }
}

impl SnapshotWriter {
    /// Returns the snapshot being written.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the namespace it lies in.
    pub fn namespace(&self) -> &Namespace {
        self.group.namespace()
    }

    /// Returns what was there before.
    pub fn origin(&self) -> SnapshotOrigin {
        self.origin
    }

    /// Returns whether no finished snapshot was there before.
    pub fn is_new(&self) -> bool {
        self.origin != SnapshotOrigin::Finished
    }

    fn path(&self, name: &str) -> StorePath {
        layout::snapshot_file(self.namespace(), &self.snapshot, name)
    }

    /// Where a file of a finished snapshot waits. The whole name is kept, because `a.fidx` and `a.didx` may coexist.
    fn waiting_path(&self, archive: &ArchiveName) -> StorePath {
        self.path(&format!("{archive}.tmp"))
    }

    fn remove_leftovers(&self) -> Result<usize, DatastoreError> {
        let keep = self.waiting.iter().map(|archive| format!("{archive}.tmp")).collect();
        self.store.remove_snapshot_leftovers(self.namespace(), &self.snapshot, &keep)
    }

    /// Returns a file that is there: the one put last, else the one found. Nothing about its content was checked.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`], also for files above the size limits of [`Datastore::read_file`].
    pub fn existing(&self, archive: &ArchiveName) -> Result<Option<Bytes>, DatastoreError> {
        if self.waiting.contains(archive) {
            let limit = farhold_format::index::MAX_INDEX_BYTES;
            return Ok(Some(self.store.storage().read(&self.waiting_path(archive), limit)?));
        }
        match self.store.read_file(self.namespace(), &self.snapshot, archive) {
            Ok(content) => Ok(Some(content)),
            Err(DatastoreError::FileMissing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a blob or index, whose content the caller has verified. Call it for an index after all its chunks are in.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`]; nothing is changed then.
    pub fn put(&mut self, archive: &ArchiveName, content: &[u8]) -> Result<(), DatastoreError> {
        let is_waiting = self.origin == SnapshotOrigin::Finished && !self.is_committed;
        let path = if is_waiting { self.waiting_path(archive) } else { self.path(archive.as_str()) };
        let durability = self.store.small_file_durability();
        self.store.make_way(&path)?;
        self.store.storage().write_atomic(&path, content, durability, Staging::Beside)?;
        if is_waiting {
            self.waiting.insert(archive.clone());
        }
        Ok(())
    }

    /// Writes the client log. It belongs to no manifest and may come before or after the commit.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn put_log(&mut self, content: &[u8]) -> Result<(), DatastoreError> {
        let durability = self.store.small_file_durability();
        self.store.storage().write_atomic(&self.path(CLIENT_LOG_NAME), content, durability, Staging::Beside)?;
        Ok(())
    }

    /// Finishes the snapshot with this manifest, given in its stored form and verified by the caller.
    ///
    /// As [`Self::commit_with`], whatever manifest is there.
    ///
    /// # Errors
    /// As [`Self::commit_with`].
    pub fn commit(&mut self, manifest_blob: &[u8]) -> Result<(), DatastoreError> {
        let manifest_blob = Bytes::copy_from_slice(manifest_blob);
        self.commit_with(&|_| Ok(manifest_blob.clone()))
    }

    /// Finishes the snapshot with the manifest that `make` makes of the stored one, both in their stored form.
    ///
    /// First everything written before becomes durable as the store's sync level asks, then waiting files move into
    /// place, then the manifest appears as one step, and then that becomes durable too. When this returns, the snapshot
    /// survives what the sync level promises.
    ///
    /// `make` gets what is stored under the manifest lock, so that a note or verification set at the same time is not
    /// lost; nothing if there is no manifest or one that is too large to be one. It may be called twice. A manifest
    /// equal to the stored one is not written again.
    ///
    /// Where files of a finished snapshot are replaced by different ones, a kill between the renames leaves a snapshot
    /// whose old manifest names new files; verification finds that. All space is taken before the first rename.
    ///
    /// # Errors
    /// That of `make`; busy; [`DatastoreError::Storage`]. A new snapshot is not finished then, unless only the last flush
    /// failed.
    pub fn commit_with(
        &mut self,
        make: &dyn Fn(Option<&Bytes>) -> Result<Bytes, DatastoreError>,
    ) -> Result<(), DatastoreError> {
        self.remove_leftovers()?;
        let store = self.store.clone();
        let durability = store.small_file_durability();
        let (manifest, target) = (ArchiveName::manifest(), self.path(MANIFEST_NAME));
        if self.waiting.is_empty() {
            store.flush_since(self.flushes)?;
            let _lock = store.lock_manifest(self.namespace(), &self.snapshot)?;
            let stored = self.stored_manifest()?;
            let made = make(stored.as_ref())?;
            if stored.as_ref() != Some(&made) {
                let durability = if stored.is_some() { store.careful_durability() } else { durability };
                store.make_way(&target)?;
                store.storage().write_atomic(&target, &made, durability, Staging::Beside)?;
            }
        } else {
            let before = self.stored_manifest()?;
            self.put(&manifest, &make(before.as_ref())?)?;
            store.flush_since(self.flushes)?;
            let _lock = store.lock_manifest(self.namespace(), &self.snapshot)?;
            let stored = self.stored_manifest()?;
            if stored != before {
                self.put(&manifest, &make(stored.as_ref())?)?;
            }
            let others: Vec<ArchiveName> =
                self.waiting.iter().filter(|archive| **archive != manifest).cloned().collect();
            for archive in others.into_iter().chain([manifest]) {
                let path = self.path(archive.as_str());
                store.make_way(&path)?;
                store.storage().rename(&self.waiting_path(&archive), &path)?;
                self.waiting.remove(&archive);
            }
            if store.sync_level() == SyncLevel::File {
                // Flushes the directory, and with it all renames.
                store.storage().sync_file(&target)?;
            }
        }
        self.is_committed = true;
        store.flush_since(self.flushes)
    }

    /// Returns the manifest in place, in its stored form; nothing if there is none or if it cannot be one.
    fn stored_manifest(&self) -> Result<Option<Bytes>, DatastoreError> {
        match self.store.read_file(self.namespace(), &self.snapshot, &ArchiveName::manifest()) {
            Ok(raw) => Ok(Some(raw)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the length in bytes of a regular file that is in place.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn file_bytes(&self, archive: &ArchiveName) -> Result<Option<u64>, DatastoreError> {
        self.store.file_bytes(self.namespace(), &self.snapshot, archive)
    }

    /// Removes files that `manifest` does not name, after the commit. Returns their names.
    ///
    /// Spares the manifest, the client log, `.protected` and directories.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn remove_unlisted(&mut self, manifest: &Manifest) -> Result<Vec<String>, DatastoreError> {
        let listed: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let spared = [MANIFEST_NAME, CLIENT_LOG_NAME, PROTECTED];
        let mut removed = Vec::new();
        let directory = layout::snapshot_dir(self.namespace(), &self.snapshot);
        for entry in self.store.storage().list(&directory)? {
            let is_spared = listed.contains(entry.name.as_str()) || spared.contains(&entry.name.as_str());
            // Temporary files may belong to a change of notes at this moment; those of the dead are gone since the commit.
            if entry.kind == EntryKind::Directory || is_spared || is_leftover(&entry.name) {
                continue;
            }
            self.store.storage().remove_file(&layout::join(&directory, &entry.name))?;
            removed.push(entry.name);
        }
        Ok(removed)
    }

    /// Gives up. A snapshot that was not finished before is removed, and its group if that is empty then; a finished
    /// one stays as it was. A protected directory is never removed.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn discard(self) -> Result<(), DatastoreError> {
        let (store, group) = (self.store.clone(), self.group.clone());
        if self.discard_snapshot()? {
            store.remove_group_if_empty(&group)?;
        }
        Ok(())
    }

    /// Does what [`Self::discard`] does, but leaves the group for further snapshots. Returns whether the snapshot was
    /// removed.
    ///
    /// # Errors
    /// As [`Self::discard`].
    pub fn discard_snapshot(mut self) -> Result<bool, DatastoreError> {
        self.drop_waiting();
        let is_protected = self.store.is_protected(self.namespace(), &self.snapshot)?;
        if self.is_committed || self.origin == SnapshotOrigin::Finished || is_protected {
            return Ok(false);
        }
        self.store.storage().remove_tree(&layout::snapshot_dir(self.namespace(), &self.snapshot))?;
        self.lock.file.remove_file();
        Ok(true)
    }

    fn drop_waiting(&mut self) {
        for archive in std::mem::take(&mut self.waiting) {
            // What stays is removed by the next attempt.
            let _ = self.store.storage().remove_file(&self.waiting_path(&archive));
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.drop_waiting();
        if self.origin == SnapshotOrigin::New && !self.is_committed {
            // An empty directory is nothing to resume, and the reference refuses a backup at its time. With files in
            // it this fails, as it should.
            let _ = self.store.storage().remove_dir(&layout::snapshot_dir(self.namespace(), &self.snapshot));
        }
    }
}
