//! The snapshot being filled.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use farhold_format::blob;
use farhold_format::index::Index;
use farhold_format::manifest::CHUNK_UPLOAD_STATS;
use farhold_storage::{Staging, StorageError, StorePath, WorkingFile};
use farhold_types::{ArchiveKind, ArchiveName, Digest, Epoch, MANIFEST_NAME, Namespace, Snapshot, SyncLevel};
use serde_json::json;

use super::begin::Held;
use super::{BackupError, BackupKind, DynamicFile, FixedFile, UploadStatistics};
use crate::chunk::Inserted;
use crate::error::DatastoreError;
use crate::layout;
use crate::snapshot::{FlushFailures, change_unprotected};
use crate::store::Datastore;

/// Name of an uploaded manifest until the backup is finished. Not a name of the reference, but of its kind.
const WAITING_MANIFEST: &str = "index.json.tmp";

/// How far a session is.
enum Phase {
    /// Takes data.
    Active(Held),
    /// Tried to finish and failed: can only be removed.
    Stuck(Held),
    /// Complete, or removed. Nothing is held any more.
    Over,
}

/// What a session and its open indexes share.
pub(super) struct Session {
    pub(super) store: Datastore,
    pub(super) namespace: Namespace,
    pub(super) snapshot: Snapshot,
    kind: BackupKind,
    base: Option<Epoch>,
    /// When it began.
    flushes: FlushFailures,
    /// Read while something is written to the snapshot, so that its end waits for that.
    phase: RwLock<Phase>,
}

impl Session {
    pub(super) fn path(&self, name: &str) -> StorePath {
        layout::snapshot_file(&self.namespace, &self.snapshot, name)
    }

    fn read_phase(&self) -> RwLockReadGuard<'_, Phase> {
        self.phase.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_phase(&self) -> RwLockWriteGuard<'_, Phase> {
        self.phase.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step that changes the snapshot. It cannot end meanwhile.
    pub(super) fn while_active<R>(&self, step: impl FnOnce() -> Result<R, BackupError>) -> Result<R, BackupError> {
        match &*self.read_phase() {
            Phase::Active(_) => step(),
            Phase::Stuck(_) | Phase::Over => Err(BackupError::Ended),
        }
    }

    fn finish(&self, statistics: &UploadStatistics) -> Result<(), BackupError> {
        let mut phase = self.write_phase();
        if !matches!(*phase, Phase::Active(_)) {
            return Err(BackupError::Ended);
        }
        if let Some(time) = self.base {
            let base = self.snapshot.group.at(time);
            if !self.store.is_directory(&layout::snapshot_dir(&self.namespace, &base))? {
                return Err(BackupError::BaseVanished { base });
            }
        }
        let Phase::Active(mut held) = std::mem::replace(&mut *phase, Phase::Over) else {
            return Err(BackupError::Ended);
        };
        held.base = None;
        held.process = None;
        if let Err(error) = self.complete(statistics) {
            *phase = Phase::Stuck(held);
            return Err(error);
        }
        if self.kind == BackupKind::Benchmark
            && let Err(error) = self.remove(&held)
        {
            // It looks finished, so it must not be forgotten.
            *phase = Phase::Stuck(held);
            return Err(error);
        }
        Ok(())
    }

    /// Gives the manifest its statistics and its name, after everything else is where the sync level wants it.
    fn complete(&self, statistics: &UploadStatistics) -> Result<(), BackupError> {
        let store = &self.store;
        let waiting = self.path(WAITING_MANIFEST);
        let raw = match store.storage().read(&waiting, blob::MAX_ENCODED_BLOB_BYTES as u64) {
            Ok(raw) => raw,
            Err(error) if error.is_not_found() => return Err(BackupError::ManifestMissing),
            Err(error) => return Err(error.into()),
        };
        let manifest = change_unprotected(&self.snapshot, &raw, |unprotected| {
            let statistics = json!({
                "count": statistics.count,
                "size": statistics.size_bytes,
                "compressed_size": statistics.compressed_bytes,
                "duplicates": statistics.duplicates,
            });
            unprotected.insert(CHUNK_UPLOAD_STATS.to_owned(), statistics);
        })?;
        store.storage().write_atomic(&waiting, &manifest, store.small_file_durability(), Staging::Beside)?;
        // Of indexes that were never closed.
        let keep = [WAITING_MANIFEST.to_owned()].into();
        store.remove_snapshot_leftovers(&self.namespace, &self.snapshot, &keep)?;
        store.flush_since(self.flushes)?;
        // Nobody else can change the manifest: there is none, and the snapshot is locked.
        let manifest = self.path(MANIFEST_NAME);
        store.storage().rename(&waiting, &manifest)?;
        if store.sync_level() == SyncLevel::File {
            store.storage().sync_file(&manifest)?;
        }
        store.flush_since(self.flushes)?;
        Ok(())
    }

    fn discard(&self) -> Result<(), BackupError> {
        let mut phase = self.write_phase();
        match std::mem::replace(&mut *phase, Phase::Over) {
            Phase::Active(held) | Phase::Stuck(held) => self.remove(&held),
            Phase::Over => Ok(()),
        }
    }

    /// Removes the snapshot, and its group if that is empty then. The locks are held until it is done.
    fn remove(&self, held: &Held) -> Result<(), BackupError> {
        // A client's log or notes are written under nothing but this lock, and a directory in which a file appears meanwhile
        // cannot be removed. Whoever holds the lock too long must not keep an unfinished backup there.
        let manifest_lock = self.store.lock_manifest(&self.namespace, &self.snapshot).ok();
        // First the manifest: what a kill leaves must not look finished.
        self.store.remove_if_present(&self.path(MANIFEST_NAME))?;
        match self.store.storage().remove_tree(&layout::snapshot_dir(&self.namespace, &self.snapshot)) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {
                if let Some(lock) = &manifest_lock {
                    lock.file.remove_file();
                }
                held.snapshot.file.remove_file();
            }
        }
        self.store.remove_group_if_empty(&held.group)?;
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("namespace", &self.namespace).field("snapshot", &self.snapshot).finish()
    }
}

/// A backup being received. All calls block and may be made from many threads at once.
///
/// Dropping it without [`finish`](Self::finish) removes the snapshot, with everything in it, before the locks are given
/// back; chunks stay until garbage collection. That reads and writes files: end it on a blocking thread, with
/// [`discard`](Self::discard) if the outcome matters. Open [`FixedFile`]s and [`DynamicFile`]s do not keep it alive;
/// after its end they only fail.
#[derive(Debug)]
pub struct BackupWriter {
    session: Arc<Session>,
}

impl BackupWriter {
    pub(super) fn new(
        store: Datastore,
        namespace: Namespace,
        snapshot: Snapshot,
        kind: BackupKind,
        base: Option<Epoch>,
        held: Held,
    ) -> Self {
        let phase = RwLock::new(Phase::Active(held));
        let flushes = store.flush_failures();
        Self { session: Arc::new(Session { store, namespace, snapshot, kind, base, flushes, phase }) }
    }

    /// Returns the store that is written to.
    pub fn store(&self) -> &Datastore {
        &self.session.store
    }

    /// Returns the namespace that is written to.
    pub fn namespace(&self) -> &Namespace {
        &self.session.namespace
    }

    /// Returns the snapshot being written.
    pub fn snapshot(&self) -> &Snapshot {
        &self.session.snapshot
    }

    /// Returns what the session is for.
    pub fn kind(&self) -> BackupKind {
        self.session.kind
    }

    /// Returns the time of the newest finished snapshot, whose chunks may be referred to after its index was read; `None`
    /// if there is none or its verification failed.
    pub fn base(&self) -> Option<Epoch> {
        self.session.base
    }

    fn base_snapshot(&self) -> Result<Snapshot, BackupError> {
        Ok(self.session.snapshot.group.at(self.session.base.ok_or(BackupError::NoBase)?))
    }

    /// Returns an index of the base; its file is [`Index::as_bytes`].
    ///
    /// # Errors
    /// [`BackupError::NoBase`]; [`BackupError::Datastore`] of kind not found, or corrupt for what is no valid index.
    pub fn base_index(&self, archive: &ArchiveName) -> Result<Index, BackupError> {
        Ok(self.session.store.open_index(&self.session.namespace, &self.base_snapshot()?, archive)?)
    }

    /// Returns a file of the base as it is stored.
    ///
    /// # Errors
    /// [`BackupError::NoBase`]; [`BackupError::Datastore`] of kind not found.
    pub fn base_file(&self, archive: &ArchiveName) -> Result<Bytes, BackupError> {
        Ok(self.session.store.read_file(&self.session.namespace, &self.base_snapshot()?, archive)?)
    }

    /// Stores a chunk as [`Datastore::insert_chunk`] does; the caller has verified it. The shared process lock is held
    /// meanwhile.
    ///
    /// # Errors
    /// [`BackupError::Chunk`]; [`BackupError::Ended`].
    pub fn insert_chunk(&self, digest: &Digest, encoded: &[u8]) -> Result<Inserted, BackupError> {
        self.session.while_active(|| Ok(self.session.store.insert_chunk(digest, encoded)?))
    }

    /// Starts a fixed index of `size_bytes` of content in chunks of 4 MiB; without a size it grows with
    /// [`FixedFile::resize`].
    ///
    /// `base`: the index whose digests it starts with; it must have as many chunks, of the same size. A name may be used
    /// several times, also at once; the index closed last stays.
    ///
    /// # Errors
    /// [`BackupError::WrongKind`], [`BackupError::SizeMissing`], [`BackupError::BaseUnfit`], [`BackupError::Empty`] for a
    /// size of 0, [`BackupError::IndexTooLong`] above 64 TiB, [`BackupError::Ended`]; nothing stays then.
    pub fn create_fixed(
        &self,
        archive: &ArchiveName,
        size_bytes: Option<u64>,
        base: Option<&Index>,
    ) -> Result<FixedFile, BackupError> {
        FixedFile::create(&self.session, archive, size_bytes, base)
    }

    /// Starts a dynamic index. Names as for [`Self::create_fixed`].
    ///
    /// # Errors
    /// [`BackupError::WrongKind`], [`BackupError::Ended`].
    pub fn create_dynamic(&self, archive: &ArchiveName) -> Result<DynamicFile, BackupError> {
        DynamicFile::create(&self.session, archive)
    }

    /// Stores an uploaded blob, which replaces an earlier one of its name. The manifest is a blob, too.
    ///
    /// # Errors
    /// [`BackupError::WrongKind`]; [`BackupError::NotABlob`] for a wrong magic, length or checksum; [`BackupError::Ended`].
    pub fn put_blob(&self, archive: &ArchiveName, encoded: &[u8]) -> Result<(), BackupError> {
        if archive.kind() != ArchiveKind::Blob {
            return Err(BackupError::WrongKind { archive: archive.clone(), expected: "a blob" });
        }
        blob::check(encoded).map_err(|source| BackupError::NotABlob { archive: archive.clone(), source })?;
        let name = if archive.as_str() == MANIFEST_NAME { WAITING_MANIFEST } else { archive.as_str() };
        let store = &self.session.store;
        self.session.while_active(|| {
            let path = self.session.path(name);
            Ok(store.storage().write_atomic(&path, encoded, store.small_file_durability(), Staging::Beside)?)
        })
    }

    /// Returns an empty file without a name, for what must wait on disk. It vanishes when it is dropped.
    ///
    /// # Errors
    /// [`BackupError::Datastore`]; [`BackupError::Ended`].
    pub fn scratch_file(&self) -> Result<Box<dyn WorkingFile>, BackupError> {
        self.session.while_active(|| Ok(self.session.store.scratch_file()?))
    }

    /// Makes the snapshot complete.
    ///
    /// First the base must still be there. Then the process lock and the lock on the base are given back, the manifest
    /// gets its `chunk_upload_stats`, everything becomes durable as the sync level asks, the manifest appears as one step
    /// and becomes durable. All locks are free on return. A benchmark is removed instead of staying.
    ///
    /// The caller has checked that no index is open and something was uploaded; indexes still open are lost.
    ///
    /// # Errors
    /// [`BackupError::BaseVanished`]: nothing happened, and it may be tried again. [`BackupError::Ended`]: finished or
    /// given up before. All others, [`BackupError::ManifestMissing`] and a manifest that is none included: the session can
    /// only be discarded; group and snapshot stay locked until then.
    pub fn finish(&self, statistics: &UploadStatistics) -> Result<(), BackupError> {
        self.session.finish(statistics)
    }

    /// Removes the snapshot, and its group if that is empty then. Does nothing after [`Self::finish`]. All locks are free
    /// on return.
    ///
    /// # Errors
    /// [`BackupError::Datastore`]; what stays is no finished snapshot, unless its manifest could not be removed.
    pub fn discard(&self) -> Result<(), BackupError> {
        self.session.discard()
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        if let Err(error) = self.session.discard() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(snapshot = %self.session.snapshot, error, "could not remove an unfinished backup");
        }
    }
}

impl Datastore {
    /// Returns an empty file without a name, on the store's file system.
    fn scratch_file(&self) -> Result<Box<dyn WorkingFile>, DatastoreError> {
        let folder = self.inner.staging.folder(&self.inner.storage, &*self.inner.randomness)?;
        let mut attempt = 1;
        loop {
            let mut bytes = [0; 8];
            self.inner.randomness.fill(&mut bytes);
            let path = layout::join(&folder.path, &format!("scratch-{:016x}", u64::from_be_bytes(bytes)));
            match self.storage().create_working(&path) {
                Ok(file) => {
                    self.storage().remove_file(&path)?;
                    return Ok(file);
                }
                Err(StorageError::AlreadyExists { .. }) if attempt < SCRATCH_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How many names are tried for a scratch file. One suffices unless the random source repeats itself.
const SCRATCH_ATTEMPTS: u32 = 10;
