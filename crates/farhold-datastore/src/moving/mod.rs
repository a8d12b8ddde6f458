//! Moving backup groups to other namespaces of the same store.
//!
//! A move renames snapshot directories; no chunk is read or touched. Both groups are locked for the whole of it. What a
//! kill leaves is some snapshots here and the newer ones there, each complete, and the next attempt goes on.
//!
//! Source: `docs/spec/datastore-format.md` 21.

mod journal;

use farhold_storage::StorageError;
use farhold_types::{ArchiveKind, Authid, Epoch, Group, Namespace};
use thiserror::Error;

pub use self::journal::MoveJournalError;
use crate::error::{DatastoreError, ErrorKind};
use crate::layout::{self, NOTES};
use crate::lock::GroupLock;
use crate::store::Datastore;

/// Snapshots that are locked and written down together. The reference takes up to 512; each costs an open file, of which
/// a process often has only 1,024.
const BATCH: usize = 64;

/// Whether a group may be moved into one that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// If all snapshots there are older and the owner is the same.
    Allowed,
    /// Only if there is no snapshot there.
    Refused,
}

/// What became of the notes of a moved group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MovedNotes {
    /// It had none, or the same as the target.
    Nothing,
    /// They are the target's now.
    Moved,
    /// The target has others and keeps them; these are gone.
    Dropped(String),
}

/// What a move of a group did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMove {
    /// Snapshots that have moved.
    pub snapshots: u64,
    /// What became of its notes.
    pub notes: MovedNotes,
    /// Whether the source group is gone. It stays if something lies in it that is no snapshot.
    pub is_source_removed: bool,
}

/// Why a group was not moved, or only in part.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// Both namespaces are the same.
    #[error("source and target namespace must be different")]
    SameNamespace,
    /// There are snapshots at the target, and merging is not allowed.
    #[error("group '{group}' exists already in {}", .target.log_name())]
    Exists {
        /// The group.
        group: Group,
        /// Where it was to go.
        target: Namespace,
    },
    /// The group at the target belongs to somebody else.
    #[error("group '{group}' belongs to '{found}' in {}, and to '{owner}' here", .target.log_name())]
    OwnerDiffers {
        /// The group.
        group: Group,
        /// Where it was to go.
        target: Namespace,
        /// Owner of the source.
        owner: Box<Authid>,
        /// Owner at the target.
        found: Box<Authid>,
    },
    /// A snapshot at the target is not older than all that were to move.
    #[error("group '{group}' in {} has a snapshot of {newest}, which is not older than {oldest}", .target.log_name())]
    NotOlder {
        /// The group.
        group: Group,
        /// Where it was to go.
        target: Namespace,
        /// Newest snapshot at the target.
        newest: Epoch,
        /// Oldest snapshot of the source.
        oldest: Epoch,
    },
    /// The journal for garbage collection cannot be written.
    #[error(transparent)]
    Journal(#[from] MoveJournalError),
    /// A group or snapshot is missing or busy, or the storage failed.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
}

impl MoveError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::SameNamespace | Self::Exists { .. } | Self::OwnerDiffers { .. } | Self::NotOlder { .. } => {
                ErrorKind::Conflict
            }
            Self::Journal(MoveJournalError::Busy { .. }) => ErrorKind::Busy,
            Self::Journal(_) => ErrorKind::Io,
            Self::Datastore(error) => error.kind(),
        }
    }
}

impl From<StorageError> for MoveError {
    fn from(error: StorageError) -> Self {
        Self::Datastore(error.into())
    }
}

impl Datastore {
    /// Moves a group to another namespace, oldest snapshot first.
    ///
    /// Takes the locks of both groups and of the snapshots; does not wait, except for changes of notes. The target's
    /// namespace must exist. The group keeps its owner.
    ///
    /// # Errors
    /// [`MoveError`]. If it is busy or the storage fails, older snapshots may have moved; calling it again with
    /// [`Merge::Allowed`] goes on.
    pub fn move_group(
        &self,
        source: &Namespace,
        target: &Namespace,
        group: &Group,
        merge: Merge,
    ) -> Result<GroupMove, MoveError> {
        if source == target {
            return Err(MoveError::SameNamespace);
        }
        let from = self.lock_group(source, group)?;
        let owner = self.owner_or_tidy(&from)?;
        let opened = self.open_group(target, group, &owner)?;
        let outcome = self.check_target(&from, &owner, &opened.lock, &opened.owner, merge);
        let outcome = outcome.and_then(|times| self.move_content(&from, &opened.lock, &times));
        if outcome.is_err() && opened.is_new {
            // Made for nothing, unless some snapshots have moved.
            let _ = self.remove_group_if_empty(&opened.lock);
        }
        outcome
    }

    /// Returns the owner of a group that is to move. What a kill at the end of a move left of one is removed.
    fn owner_or_tidy(&self, from: &GroupLock) -> Result<Authid, DatastoreError> {
        let (namespace, group) = (from.namespace(), from.group());
        match self.owner(namespace, group) {
            Err(DatastoreError::OwnerUnreadable { .. }) if self.remove_group_if_empty(from)? => {
                Err(DatastoreError::GroupMissing { namespace: namespace.clone(), group: group.clone() })
            }
            outcome => outcome,
        }
    }

    /// Returns the times of the snapshots to move, oldest first, if they may go to the target.
    fn check_target(
        &self,
        from: &GroupLock,
        owner: &Authid,
        to: &GroupLock,
        found: &Authid,
        merge: Merge,
    ) -> Result<Vec<Epoch>, MoveError> {
        let (group, target) = (to.group().clone(), to.namespace().clone());
        if owner != found {
            return Err(MoveError::OwnerDiffers {
                group,
                target,
                owner: Box::new(owner.clone()),
                found: Box::new(found.clone()),
            });
        }
        let times = self.snapshot_times(from.namespace(), from.group())?;
        let there = self.snapshot_times(to.namespace(), to.group())?;
        let Some(newest) = there.last().copied() else { return Ok(times) };
        if merge == Merge::Refused {
            return Err(MoveError::Exists { group, target });
        }
        match times.first().copied() {
            Some(oldest) if oldest <= newest => Err(MoveError::NotOlder { group, target, newest, oldest }),
            _ => Ok(times),
        }
    }

    fn move_content(&self, from: &GroupLock, to: &GroupLock, times: &[Epoch]) -> Result<GroupMove, MoveError> {
        let mut snapshots = 0;
        for batch in times.chunks(BATCH) {
            snapshots += self.move_batch(from, to, batch)?;
        }
        let notes = self.move_notes(from, to)?;
        let is_source_removed = self.remove_group_if_empty(from)?;
        self.flush()?;
        Ok(GroupMove { snapshots, notes, is_source_removed })
    }

    /// Moves a few snapshots that are locked together. Returns how many; those that are gone meanwhile do not count.
    fn move_batch(&self, from: &GroupLock, to: &GroupLock, times: &[Epoch]) -> Result<u64, MoveError> {
        let (mut locked, mut indexes) = (Vec::new(), Vec::new());
        for time in times {
            let here = from.group().at(*time);
            match self.lock_snapshot(from.namespace(), &here) {
                Ok(lock) => locked.push((here.clone(), lock)),
                // Pruning removes single snapshots without the lock of their group.
                Err(DatastoreError::SnapshotMissing { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let files = self.snapshot_info(from.namespace(), &here)?.files;
            let names = files.iter().filter(|file| file.kind() != ArchiveKind::Blob);
            indexes.extend(names.map(|file| layout::snapshot_file(to.namespace(), &here, file.as_str())));
        }
        self.note_moves(&indexes)?;
        for (snapshot, lock) in &locked {
            // Whoever changes the notes writes beside the manifest, so the directory must not go away meanwhile.
            let manifest_lock = self.lock_manifest(from.namespace(), snapshot)?;
            let place = |namespace| layout::snapshot_dir(namespace, snapshot);
            self.storage().rename(&place(from.namespace()), &place(to.namespace()))?;
            manifest_lock.file.remove_file();
            lock.file.remove_file();
        }
        Ok(locked.len() as u64)
    }

    fn move_notes(&self, from: &GroupLock, to: &GroupLock) -> Result<MovedNotes, MoveError> {
        let notes = self.group_notes(from.namespace(), from.group())?;
        let there = self.group_notes(to.namespace(), to.group())?;
        if notes == there {
            return Ok(MovedNotes::Nothing);
        }
        let path_of = |lock: &GroupLock| layout::join(&layout::group_dir(lock.namespace(), lock.group()), NOTES);
        if there.is_empty() {
            self.storage().rename(&path_of(from), &path_of(to))?;
            return Ok(MovedNotes::Moved);
        }
        Ok(if notes.is_empty() { MovedNotes::Nothing } else { MovedNotes::Dropped(notes) })
    }
}
