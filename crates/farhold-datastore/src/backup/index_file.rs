//! What fixed and dynamic indexes under construction have in common: a working file beside the final name.
//!
//! Source: `docs/spec/datastore-format.md` 12.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_storage::{StorageError, StorePath, WorkingFile};
use farhold_types::{ArchiveKind, ArchiveName, Digest, Epoch, SyncLevel};

use super::BackupError;
use super::writer::Session;

/// Indexes of one name that may be under construction at once; a session cannot name more writers than these.
const MAX_OF_ONE_NAME: u32 = 256;
/// How many bytes of entries are gathered before they are written.
pub(super) const BATCH_BYTES: usize = 64 << 10;

/// A closed index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedIndex {
    /// The random name in the header.
    pub uuid: [u8; 16],
    /// Checksum over the entries.
    pub checksum: Digest,
    /// Content bytes described.
    pub size_bytes: u64,
    /// Number of entries.
    pub chunk_count: u64,
}

/// The state of an index under construction until it is closed; shared by all who write to it.
#[derive(Debug)]
pub(super) struct OpenState<S> {
    archive: ArchiveName,
    /// `None` once it is closed.
    state: Mutex<Option<S>>,
}

impl<S> OpenState<S> {
    pub(super) fn new(archive: &ArchiveName, state: S) -> Self {
        Self { archive: archive.clone(), state: Mutex::new(Some(state)) }
    }

    pub(super) const fn archive(&self) -> &ArchiveName {
        &self.archive
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn closed(&self) -> BackupError {
        BackupError::Closed { archive: self.archive.clone() }
    }

    /// Closes the index and returns its state together with the lock, so that nobody sees it half done.
    ///
    /// # Errors
    /// [`BackupError::Closed`]; [`BackupError::Empty`] if `is_empty` says so, and it stays open.
    pub(super) fn close(
        &self,
        is_empty: impl FnOnce(&S) -> bool,
    ) -> Result<(MutexGuard<'_, Option<S>>, S), BackupError> {
        let mut guard = self.lock();
        match guard.take() {
            None => Err(self.closed()),
            Some(state) if is_empty(&state) => {
                *guard = Some(state);
                Err(BackupError::Empty { archive: self.archive.clone() })
            }
            Some(state) => Ok((guard, state)),
        }
    }
}

/// The file of an index under construction. It is removed when this is dropped before [`Self::publish`].
#[derive(Debug)]
pub(super) struct IndexFile {
    pub(super) session: Arc<Session>,
    pub(super) archive: ArchiveName,
    pub(super) file: Box<dyn WorkingFile>,
    pub(super) uuid: [u8; 16],
    pub(super) created: Epoch,
    /// `None` once it has its final name or is removed.
    temporary: Option<StorePath>,
}

impl IndexFile {
    pub(super) fn create(
        session: &Arc<Session>,
        archive: &ArchiveName,
        kind: ArchiveKind,
    ) -> Result<Self, BackupError> {
        let (extension, expected) = match kind {
            ArchiveKind::FixedIndex => ("tmp_fidx", "a fixed index"),
            _ => ("tmp_didx", "a dynamic index"),
        };
        if archive.kind() != kind {
            return Err(BackupError::WrongKind { archive: archive.clone(), expected });
        }
        let mut uuid = [0; 16];
        session.store.randomness().fill(&mut uuid);
        let (file, temporary) = session.while_active(|| {
            let mut number = 0;
            loop {
                // No archive name has a `~`, so these names are nobody else's.
                let own = if number == 0 { extension.to_owned() } else { format!("~{number}.{extension}") };
                let path = session.path(&archive.with_extension(&own));
                match session.store.storage().create_working(&path) {
                    Ok(file) => return Ok((file, path)),
                    Err(StorageError::AlreadyExists { .. }) if number < MAX_OF_ONE_NAME => number += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        })?;
        let created = session.store.clock().now();
        let (session, archive) = (Arc::clone(session), archive.clone());
        Ok(Self { session, archive, file, uuid, created, temporary: Some(temporary) })
    }

    /// Completes the file with its header and gives it its final name.
    pub(super) fn publish(&mut self, header: &[u8]) -> Result<(), BackupError> {
        self.file.write_at(0, header)?;
        let session = Arc::clone(&self.session);
        session.while_active(|| {
            let Some(temporary) = &self.temporary else { return Err(self.closed()) };
            let (storage, target) = (session.store.storage(), session.path(self.archive.as_str()));
            storage.rename(temporary, &target)?;
            self.temporary = None;
            if session.store.sync_level() == SyncLevel::File {
                storage.sync_file(&target)?;
            }
            Ok(())
        })
    }

    pub(super) fn closed(&self) -> BackupError {
        BackupError::Closed { archive: self.archive.clone() }
    }

    pub(super) fn too_long(&self) -> BackupError {
        BackupError::IndexTooLong { archive: self.archive.clone() }
    }

    /// Fails unless the entries have the checksum that the client says.
    pub(super) fn check(&self, expected: &Digest, found: Digest) -> Result<(), BackupError> {
        if *expected == found {
            return Ok(());
        }
        Err(BackupError::Checksum { archive: self.archive.clone(), expected: *expected, found })
    }
}

impl Drop for IndexFile {
    fn drop(&mut self) {
        let Some(temporary) = self.temporary.take() else { return };
        // After the session's end the directory is gone, or somebody else's.
        let removed = self.session.while_active(|| Ok(self.session.store.storage().remove_file(&temporary)?));
        if let Err(error) = removed
            && !matches!(error, BackupError::Ended)
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %temporary, error, "could not remove an index that was not closed");
        }
    }
}
