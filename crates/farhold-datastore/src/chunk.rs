//! Reading, touching and inserting chunks. Source: `docs/spec/datastore-format.md` 4, 13.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_format::blob::{self, MAX_ENCODED_BLOB_BYTES};
use farhold_storage::{Durability, EntryKind, Staging, StorageError, StorePath};
use farhold_types::{Digest, SyncLevel};

use crate::error::ChunkError;
use crate::layout::{self, CHUNK_DIRECTORY_MODE};
use crate::store::Datastore;

/// Number of internal locks that insertions share, chosen by the first bytes of the digest: enough that even a hundred
/// writers of different chunks practically never meet (64 locks let eight of them meet half the time), few enough to sit
/// in the handle, at 8 bytes each.
pub(crate) const INSERTION_LOCKS: usize = 4096;
/// Attempts to write a chunk whose folders vanish: one that finds them missing, one after making them, and one for a
/// cleaner between.
const WRITE_ATTEMPTS: u32 = 3;

/// What an insertion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The chunk was written.
    New,
    /// The store had it already; its access time was set to now.
    Duplicate,
}

impl Datastore {
    /// Returns a chunk in its stored, encoded form. Its content is not checked.
    ///
    /// # Errors
    /// [`ChunkError::Missing`], [`ChunkError::Empty`] for a file without content, [`ChunkError::TooLarge`] above
    /// 16,777,260 bytes.
    pub fn read_chunk(&self, digest: &Digest) -> Result<Bytes, ChunkError> {
        self.read_chunk_at(digest, &layout::chunk(digest))
    }

    /// Returns a chunk from a file that may have another name.
    pub(crate) fn read_chunk_at(&self, digest: &Digest, path: &StorePath) -> Result<Bytes, ChunkError> {
        let digest = *digest;
        match self.storage().read(path, MAX_ENCODED_BLOB_BYTES as u64) {
            Ok(content) if content.is_empty() => Err(ChunkError::Empty { digest }),
            Ok(content) => Ok(content),
            Err(StorageError::TooLarge { max_bytes, .. }) => Err(ChunkError::TooLarge { digest, max_bytes }),
            Err(StorageError::NotAFile { .. }) => Err(ChunkError::NotAFile { digest }),
            Err(error) if error.is_not_found() => Err(ChunkError::Missing { digest }),
            Err(source) => Err(ChunkError::Storage { digest, source }),
        }
    }

    /// Returns whether the store has a file with content for this chunk.
    ///
    /// # Errors
    /// [`ChunkError::Storage`].
    pub fn has_chunk(&self, digest: &Digest) -> Result<bool, ChunkError> {
        match self.storage().stat(&layout::chunk(digest)) {
            Ok(stat) => Ok(stat.kind == EntryKind::File && stat.size_bytes != 0),
            Err(error) if error.is_not_found() => Ok(false),
            Err(source) => Err(ChunkError::Storage { digest: *digest, source }),
        }
    }

    /// Marks a chunk as in use by setting its access time to now. Returns `false` if the store has no such chunk, or
    /// only an empty file of its name (which garbage collection then still finds touched).
    ///
    /// Takes the short lock of the chunk: a sweep of this process looks at the access time a last time under it, so a
    /// chunk that was found here stays.
    ///
    /// # Errors
    /// [`ChunkError::Storage`].
    pub fn touch_chunk(&self, digest: &Digest) -> Result<bool, ChunkError> {
        let _guard = self.insertion_guard(digest);
        let touched = self.storage().touch_atime(&layout::chunk(digest));
        self.inner.process_lock.note_use(self.clock().now());
        match touched {
            Ok(()) => self.has_chunk(digest),
            Err(error) if error.is_not_found() => Ok(false),
            Err(source) => Err(ChunkError::Storage { digest: *digest, source }),
        }
    }

    /// Stores a chunk in its encoded form, or touches the one that is there.
    ///
    /// The caller has verified the content against the digest. Hold the shared process lock, so that garbage collection
    /// spares the chunk until an index names it. Visible on return; durable on return with sync level `file`, else with
    /// the commit of the snapshot.
    ///
    /// # Errors
    /// [`ChunkError::NotAChunk`] for data that is no blob, [`ChunkError::Refused`] for an encrypted chunk where an
    /// unencrypted one or one of other length lies, and for an unencrypted one where an encrypted one lies,
    /// [`ChunkError::Storage`] otherwise; nothing is changed then.
    ///
    /// Source: `docs/spec/datastore-format.md` 13. Differences: a symbolic link counts as a missing chunk, wherever it
    /// points, and so does a file that does not begin like a chunk, or that has another length and is no chunk by its own
    /// checksum; these are replaced. And an encrypted and an unencrypted chunk never stand for each other, whatever their
    /// lengths: the reference calls that a duplicate if the lengths agree, so that whoever uploads garbage as an encrypted
    /// chunk damages the later backups of others, and replaces an encrypted chunk by a shorter unencrypted one, so that
    /// whoever has the key can damage the earlier ones.
    pub fn insert_chunk(&self, digest: &Digest, encoded: &[u8]) -> Result<Inserted, ChunkError> {
        let kind = insertable(digest, encoded)?;
        let _guard = self.insertion_guard(digest);
        self.insert_guarded(digest, kind, encoded)
    }

    /// Inserts under the insertion lock, which the caller holds.
    pub(crate) fn insert_guarded(
        &self,
        digest: &Digest,
        kind: blob::BlobKind,
        encoded: &[u8],
    ) -> Result<Inserted, ChunkError> {
        let inserted = self.insert_or_touch(digest, kind, encoded);
        self.inner.process_lock.note_use(self.clock().now());
        inserted
    }

    fn insert_or_touch(&self, digest: &Digest, kind: blob::BlobKind, encoded: &[u8]) -> Result<Inserted, ChunkError> {
        let digest = *digest;
        let failed = |source| ChunkError::Storage { digest, source };
        let path = layout::chunk(&digest);
        let stat = match self.storage().stat(&path) {
            Ok(stat) => stat,
            Err(error) if error.is_not_found() => return self.write_chunk(&digest, encoded),
            Err(source) => return Err(failed(source)),
        };
        let length = encoded.len() as u64;
        match stat.kind {
            EntryKind::File => {}
            EntryKind::Link => return self.write_chunk(&digest, encoded),
            _ => return Err(ChunkError::NotAFile { digest }),
        }
        if stat.size_bytes == 0 {
            tracing::warn!(%digest, "replacing an empty chunk file");
            return self.write_chunk(&digest, encoded);
        }
        let Some(stored) = self.stored_kind(&digest)? else {
            tracing::warn!(%digest, "replacing a chunk file that is no chunk");
            return self.write_chunk(&digest, encoded);
        };
        match (kind.is_encrypted(), stored.is_encrypted()) {
            (true, false) => {
                return Err(ChunkError::Refused { digest, reason: "it is encrypted and the stored one is not" });
            }
            (false, true) => {
                return Err(ChunkError::Refused { digest, reason: "the stored one is encrypted and it is not" });
            }
            _ => {}
        }
        if stat.size_bytes != length {
            if !self.is_undamaged(&digest) {
                tracing::warn!(%digest, "replacing a damaged chunk file");
                return self.write_chunk(&digest, encoded);
            }
            if !kind.is_encrypted() {
                if length < stat.size_bytes {
                    return self.write_chunk(&digest, encoded);
                }
            } else if !stored.is_compressed() && !kind.is_compressed() {
                let reason = "the stored one is uncompressed like it, but of another length";
                return Err(ChunkError::Refused { digest, reason });
            }
        }
        match self.storage().touch_atime(&path) {
            Ok(()) => Ok(Inserted::Duplicate),
            // Garbage collection of another process was faster.
            Err(error) if error.is_not_found() => self.write_chunk(&digest, encoded),
            Err(source) => Err(failed(source)),
        }
    }

    /// Returns whether the stored file is a chunk by its own checksum. A power failure may leave the beginning of one that
    /// no finished snapshot refers to; kept, it would damage all later snapshots that do.
    fn is_undamaged(&self, digest: &Digest) -> bool {
        self.read_chunk(digest).is_ok_and(|stored| blob::check(&stored).is_ok())
    }

    /// Returns what kind of chunk the stored file begins like; `None` if it begins like none.
    fn stored_kind(&self, digest: &Digest) -> Result<Option<blob::BlobKind>, ChunkError> {
        let start = match self.storage().read_start(&layout::chunk(digest), blob::MAGIC_BYTES as u64) {
            Ok(start) => start,
            // Garbage collection of another process was faster.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(source) => return Err(ChunkError::Storage { digest: *digest, source }),
        };
        Ok(blob::BlobKind::ALL.into_iter().find(|kind| kind.magic() == start[..]))
    }

    fn write_chunk(&self, digest: &Digest, encoded: &[u8]) -> Result<Inserted, ChunkError> {
        let path = layout::chunk(digest);
        let durability = match self.inner.sync_level {
            SyncLevel::File => Durability::Durable,
            SyncLevel::None | SyncLevel::Filesystem => Durability::Cached,
        };
        let failed = |source| ChunkError::Storage { digest: *digest, source };
        let mut attempt = 1;
        loop {
            let folder = self.inner.staging.folder(&self.inner.storage, &*self.inner.randomness).map_err(failed)?;
            match self.storage().write_atomic(&path, encoded, durability, Staging::In(&folder.path)) {
                Ok(()) => return Ok(Inserted::New),
                Err(error) if error.is_not_found() && attempt < WRITE_ATTEMPTS => attempt += 1,
                Err(source) => return Err(failed(source)),
            }
            // Either the chunk's folder is missing, which the reference never repairs, or the staging folder is.
            if let Some(parent) = path.parent() {
                match self.storage().create_dir(&parent, CHUNK_DIRECTORY_MODE) {
                    Ok(()) => {}
                    Err(StorageError::AlreadyExists { .. }) => self.inner.staging.release(),
                    Err(source) => return Err(failed(source)),
                }
            }
        }
    }

    /// Keeps other insertions of this process away from chunks whose digest starts like this one.
    pub(crate) fn insertion_guard(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        let start = digest.as_bytes();
        let number = usize::from(u16::from_be_bytes([start[0], start[1]])) % INSERTION_LOCKS;
        let lock: &Mutex<()> = &self.inner.insertion[number];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the kind of an encoded chunk that is not too large.
pub(crate) fn insertable(digest: &Digest, encoded: &[u8]) -> Result<blob::BlobKind, ChunkError> {
    let digest = *digest;
    if MAX_ENCODED_BLOB_BYTES < encoded.len() {
        return Err(ChunkError::TooLarge { digest, max_bytes: MAX_ENCODED_BLOB_BYTES as u64 });
    }
    blob::kind(encoded).map_err(|source| ChunkError::NotAChunk { digest, source })
}
