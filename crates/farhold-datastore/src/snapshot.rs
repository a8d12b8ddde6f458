//! Reading snapshots and changing what may change after a backup: notes, verification, protection.
//!
//! Source: `docs/spec/datastore-format.md` 10.4, 16.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use farhold_format::blob::{BlobDecoder, BlobEncoder, Compression, MAX_ENCODED_BLOB_BYTES};
use farhold_format::index::{Index, IndexError, MAX_INDEX_BYTES};
use farhold_format::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError};
use farhold_storage::{Durability, FileReader, Staging, StorageError};
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME, Namespace, Snapshot, SyncLevel};
use serde_json::{Map, Value};

use crate::client_log::MAX_CLIENT_LOG_BYTES;
use crate::error::DatastoreError;
use crate::layout::{self, PROTECTED};
use crate::lock::SnapshotLock;
use crate::store::Datastore;

/// How many flushes of a store had failed at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlushFailures(u64);

impl Datastore {
    /// Returns a file of a snapshot as it is stored: a blob of at most 16,777,260 bytes, an index of at most 512 MiB or the
    /// client's log.
    ///
    /// # Errors
    /// Missing snapshot or file; [`DatastoreError::Storage`] for larger files and what is not a regular file.
    pub fn read_file(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<Bytes, DatastoreError> {
        let max_bytes = match archive.kind() {
            ArchiveKind::Blob if archive.as_str() == CLIENT_LOG_NAME => MAX_CLIENT_LOG_BYTES as u64,
            ArchiveKind::Blob => MAX_ENCODED_BLOB_BYTES as u64,
            ArchiveKind::FixedIndex | ArchiveKind::DynamicIndex => MAX_INDEX_BYTES,
        };
        let read = self.storage().read(&layout::snapshot_file(namespace, snapshot, archive.as_str()), max_bytes);
        read.map_err(|error| self.no_file(namespace, snapshot, archive, error))
    }

    /// Opens a file of a snapshot to read it piece by piece, as it is stored.
    ///
    /// # Errors
    /// Missing snapshot or file; [`DatastoreError::Storage`] for what is not a regular file.
    pub fn open_file(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<Box<dyn FileReader>, DatastoreError> {
        let opened = self.storage().open_reader(&layout::snapshot_file(namespace, snapshot, archive.as_str()));
        opened.map_err(|error| self.no_file(namespace, snapshot, archive, error))
    }

    /// Returns why a file of a snapshot cannot be read.
    fn no_file(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
        error: StorageError,
    ) -> DatastoreError {
        if !error.is_not_found() {
            return error.into();
        }
        match self.is_directory(&layout::snapshot_dir(namespace, snapshot)) {
            Ok(true) => DatastoreError::FileMissing { snapshot: snapshot.clone(), archive: archive.clone() },
            Ok(false) => Self::snapshot_missing(namespace, snapshot),
            Err(error) => error,
        }
    }

    /// Returns the manifest of a snapshot, and its file as it is stored.
    ///
    /// # Errors
    /// Missing snapshot or manifest; [`DatastoreError::Manifest`] if it is damaged.
    pub fn read_manifest(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<(Manifest, Bytes), DatastoreError> {
        let raw = self.read_file(namespace, snapshot, &ArchiveName::manifest())?;
        match Manifest::from_blob(&raw) {
            Ok(manifest) => Ok((manifest, raw)),
            Err(source) => Err(DatastoreError::Manifest { snapshot: snapshot.clone(), source }),
        }
    }

    /// Returns an index of a snapshot; that its checksum is the manifest's is for the caller to compare.
    ///
    /// # Errors
    /// Missing snapshot or file; [`DatastoreError::Index`] if it is no valid index, a blob included.
    pub fn open_index(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<Index, DatastoreError> {
        let content = self.read_file(namespace, snapshot, archive)?;
        Index::parse(archive.kind(), content).map_err(|source: IndexError| DatastoreError::Index {
            snapshot: snapshot.clone(),
            archive: archive.clone(),
            source,
        })
    }

    /// Changes the unsigned part of a manifest and leaves everything else as it is, members we do not know included.
    ///
    /// Takes the manifest lock, waiting up to 5 s; the snapshot may be locked by anybody. Replaces the file as one step.
    ///
    /// # Errors
    /// Missing snapshot or manifest; busy; [`DatastoreError::Manifest`] if it is damaged.
    pub fn update_manifest(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<(), DatastoreError> {
        let _lock = self.lock_manifest(namespace, snapshot)?;
        let raw = self.read_file(namespace, snapshot, &ArchiveName::manifest())?;
        let encoded = change_unprotected(snapshot, &raw, change)?;
        let path = layout::snapshot_file(namespace, snapshot, MANIFEST_NAME);
        self.storage().write_atomic(&path, &encoded, self.careful_durability(), Staging::Beside)?;
        Ok(())
    }

    /// Returns the notes of a snapshot, empty if it has none.
    ///
    /// # Errors
    /// As [`Self::read_manifest`].
    pub fn snapshot_notes(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<String, DatastoreError> {
        let (manifest, _) = self.read_manifest(namespace, snapshot)?;
        Ok(manifest.notes().unwrap_or_default().to_owned())
    }

    /// Replaces the notes of a snapshot; empty notes are stored as such.
    ///
    /// # Errors
    /// As [`Self::update_manifest`].
    pub fn set_snapshot_notes(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        notes: &str,
    ) -> Result<(), DatastoreError> {
        self.update_manifest(namespace, snapshot, |unprotected| {
            unprotected.insert("notes".to_owned(), Value::String(notes.to_owned()));
        })
    }

    /// Returns whether a snapshot is protected from removal; `false` for a missing one.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn is_protected(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<bool, DatastoreError> {
        match self.storage().stat(&layout::snapshot_file(namespace, snapshot, PROTECTED)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Protects a snapshot from removal, or lifts the protection. Takes the exclusive snapshot lock.
    ///
    /// # Errors
    /// Missing snapshot; busy while it is read or written.
    pub fn set_protected(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        is_protected: bool,
    ) -> Result<(), DatastoreError> {
        let lock: SnapshotLock = self.lock_snapshot(namespace, snapshot)?;
        let marker = layout::snapshot_file(namespace, snapshot, PROTECTED);
        let outcome = if is_protected {
            match self.storage().create_exclusive(&marker, b"") {
                Err(StorageError::AlreadyExists { .. }) => Ok(()),
                // Whoever was told that the snapshot is protected must find it so after a power failure.
                Ok(()) if self.careful_durability() == Durability::Durable => self.storage().sync_file(&marker),
                outcome => outcome,
            }
        } else {
            self.remove_if_present(&marker).map(drop)
        };
        drop(lock);
        Ok(outcome?)
    }

    /// Flushes what was written to the store, as its sync level asks at the end of a backup.
    ///
    /// # Errors
    /// The device reports an error.
    pub fn flush(&self) -> Result<(), DatastoreError> {
        self.flush_since(self.flush_failures())
    }

    /// Returns the failed flushes so far, for [`Self::flush_since`].
    pub(crate) fn flush_failures(&self) -> FlushFailures {
        FlushFailures(self.inner.failed_flushes.load(Ordering::SeqCst))
    }

    /// Does what [`Self::flush`] does, for somebody who began to write when `before` was returned. The system tells a failure
    /// to write to the device only once, to whoever flushes first, whosever files it hit.
    pub(crate) fn flush_since(&self, before: FlushFailures) -> Result<(), DatastoreError> {
        if self.sync_level() == SyncLevel::Filesystem
            && let Err(error) = self.storage().sync_all()
        {
            self.inner.failed_flushes.fetch_add(1, Ordering::SeqCst);
            return Err(error.into());
        }
        if self.flush_failures() == before { Ok(()) } else { Err(DatastoreError::FlushFailed) }
    }
}

/// Returns a manifest in its stored form after a change of its unsigned part; everything else stays as it is.
pub(crate) fn change_unprotected(
    snapshot: &Snapshot,
    raw: &[u8],
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Vec<u8>, DatastoreError> {
    let unreadable = |source| DatastoreError::Manifest { snapshot: snapshot.clone(), source };
    Manifest::from_blob(raw).map_err(unreadable)?;
    let text = BlobDecoder::new()
        .decode(raw, None, MAX_MANIFEST_BYTES)
        .map_err(|source| unreadable(ManifestError::Blob { source }))?;
    let mut manifest: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|source| unreadable(ManifestError::Json { source }))?;
    let unprotected = manifest.entry("unprotected").or_insert_with(|| Value::Object(Map::new()));
    if !unprotected.is_object() {
        // Only null gets here: the manifest was parsed, and null reads as absent.
        *unprotected = Value::Object(Map::new());
    }
    if let Value::Object(members) = unprotected {
        change(members);
    }
    let text = serde_json::to_string_pretty(&manifest).map_err(|source| unreadable(ManifestError::Json { source }))?;
    let encoded = BlobEncoder::new()
        .encode(text.as_bytes(), Compression::On, None)
        .map_err(|source| DatastoreError::ManifestEncoding { snapshot: snapshot.clone(), source })?;
    // What is written must read back, or the snapshot would be lost with the old file.
    Manifest::from_blob(&encoded).map_err(unreadable)?;
    Ok(encoded)
}
