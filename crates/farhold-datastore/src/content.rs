//! The content of a snapshot's file, as it was before the backup: put together from its chunks, or taken out of its blob.
//!
//! Everything is checked on the way: the file against the manifest before the first byte, each chunk against its digest.
//! Encrypted content is refused; a server has no keys for it.

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobDecoder, BlobError, MAX_CHUNK_BYTES};
use farhold_format::index::{ChunkRef, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, CryptMode, Digest, MANIFEST_NAME, Namespace, Snapshot};
use thiserror::Error;

use crate::error::{ChunkError, DatastoreError};
use crate::lock::SharedSnapshotLock;
use crate::store::Datastore;

/// Longest decoded client log, in bytes. A stored one has at most 32 MiB, and text shrinks to a quarter or less.
const MAX_LOG_CONTENT_BYTES: usize = 128 << 20;

/// Why content cannot be read, or not to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The file is encrypted.
    #[error("'{archive}' is encrypted")]
    Encrypted {
        /// The file.
        archive: ArchiveName,
    },
    /// The manifest does not list the file.
    #[error("'{archive}' is not listed in the manifest")]
    NotListed {
        /// The file.
        archive: ArchiveName,
    },
    /// The file is not the one that the manifest lists.
    #[error("'{archive}' differs from what the manifest says")]
    Differs {
        /// The file.
        archive: ArchiveName,
    },
    /// A blob cannot be decoded.
    #[error("'{archive}' cannot be decoded")]
    Blob {
        /// The file.
        archive: ArchiveName,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// A chunk cannot be decoded.
    #[error("chunk {digest} of '{archive}' cannot be decoded")]
    Chunk {
        /// The file.
        archive: ArchiveName,
        /// The chunk.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// A chunk has other content than its name says, or another length than the index says.
    #[error("chunk {digest} of '{archive}' has the wrong content")]
    WrongChunk {
        /// The file.
        archive: ArchiveName,
        /// The chunk.
        digest: Digest,
    },
    /// A chunk cannot be read.
    #[error(transparent)]
    Read(#[from] ChunkError),
    /// Snapshot, manifest or file cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
}

enum Parts {
    /// All of a blob, until it was handed out.
    Blob(Option<Bytes>),
    Chunks {
        index: Index,
        next: usize,
    },
}

/// The content of one file, from its beginning to its end. While this lives, the snapshot can be neither removed nor
/// moved.
pub struct ArchiveContent {
    store: Datastore,
    archive: ArchiveName,
    parts: Parts,
    size_bytes: u64,
    decoder: BlobDecoder,
    /// The chunk before, which often comes again: images are full of chunks of zeros.
    last: Option<(Digest, Bytes)>,
    _lock: SharedSnapshotLock,
}

impl Datastore {
    /// Opens the content of a file of a snapshot, after comparing the file with the manifest. Blocking.
    ///
    /// Manifest and client log are in no manifest, so they are only decoded.
    ///
    /// # Errors
    /// [`ContentError`]; also if the snapshot is being written, removed or moved.
    pub fn open_content(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<ArchiveContent, ContentError> {
        let lock = self.lock_snapshot_shared(namespace, snapshot)?;
        let is_listed = ![MANIFEST_NAME, CLIENT_LOG_NAME].contains(&archive.as_str());
        let listed = if is_listed { Some(self.listed(namespace, snapshot, archive)?) } else { None };
        let mut decoder = BlobDecoder::new();
        let (parts, size_bytes) = match archive.kind() {
            ArchiveKind::Blob => {
                let encoded = self.read_file(namespace, snapshot, archive)?;
                require_same(listed.as_ref(), archive, encoded.len() as u64, sha256(&encoded))?;
                let max_bytes =
                    if archive.as_str() == CLIENT_LOG_NAME { MAX_LOG_CONTENT_BYTES } else { MAX_CHUNK_BYTES };
                let plain = decoder.decode(&encoded, None, max_bytes).map_err(|source| match source {
                    BlobError::KeyMissing => ContentError::Encrypted { archive: archive.clone() },
                    source => ContentError::Blob { archive: archive.clone(), source },
                })?;
                let size_bytes = plain.len() as u64;
                (Parts::Blob(Some(plain.into())), size_bytes)
            }
            ArchiveKind::FixedIndex | ArchiveKind::DynamicIndex => {
                let index = self.open_index(namespace, snapshot, archive)?;
                require_same(listed.as_ref(), archive, index.size_bytes(), index.checksum())?;
                let size_bytes = index.size_bytes();
                (Parts::Chunks { index, next: 0 }, size_bytes)
            }
        };
        let (store, archive) = (self.clone(), archive.clone());
        Ok(ArchiveContent { store, archive, parts, size_bytes, decoder, last: None, _lock: lock })
    }

    /// Returns what the manifest says of a file that is not encrypted.
    fn listed(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<ManifestFile, ContentError> {
        let (manifest, _): (Manifest, _) = self.read_manifest(namespace, snapshot)?;
        let Some(file) = manifest.file(archive) else {
            // A file that is not there at all is told as such.
            self.read_file(namespace, snapshot, archive)?;
            return Err(ContentError::NotListed { archive: archive.clone() });
        };
        if file.crypt_mode == CryptMode::Encrypt {
            return Err(ContentError::Encrypted { archive: archive.clone() });
        }
        Ok(file.clone())
    }
}

fn require_same(
    listed: Option<&ManifestFile>,
    archive: &ArchiveName,
    size_bytes: u64,
    checksum: Digest,
) -> Result<(), ContentError> {
    match listed {
        Some(file) if (file.size_bytes, file.checksum) != (size_bytes, checksum) => {
            Err(ContentError::Differs { archive: archive.clone() })
        }
        _ => Ok(()),
    }
}

impl ArchiveContent {
    /// Returns the length of the content in bytes.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the next part, at most 16 MiB; `None` at the end. Blocking. After an error there is no more.
    ///
    /// # Errors
    /// A chunk is missing or damaged: [`ContentError::Read`], [`ContentError::Chunk`], [`ContentError::WrongChunk`].
    pub fn next_part(&mut self) -> Result<Option<Bytes>, ContentError> {
        let chunk = match &mut self.parts {
            Parts::Blob(content) => return Ok(content.take()),
            Parts::Chunks { index, next } => {
                let Some(chunk) = index.chunk(*next) else { return Ok(None) };
                *next += 1;
                chunk
            }
        };
        let part = self.read(&chunk);
        if part.is_err() {
            self.parts = Parts::Blob(None);
        }
        part.map(Some)
    }

    fn read(&mut self, chunk: &ChunkRef) -> Result<Bytes, ContentError> {
        let (archive, digest) = (&self.archive, chunk.digest);
        let wrong = || ContentError::WrongChunk { archive: archive.clone(), digest };
        if let Some((last, plain)) = &self.last
            && *last == digest
        {
            return if plain.len() as u64 == chunk.size_bytes() { Ok(plain.clone()) } else { Err(wrong()) };
        }
        let encoded = self.store.read_chunk(&digest)?;
        let plain = self.decoder.decode(&encoded, None, MAX_CHUNK_BYTES).map_err(|source| match source {
            BlobError::KeyMissing => ContentError::Encrypted { archive: archive.clone() },
            source => ContentError::Chunk { archive: archive.clone(), digest, source },
        })?;
        if plain.len() as u64 != chunk.size_bytes() || sha256(&plain) != digest {
            return Err(wrong());
        }
        let plain = Bytes::from(plain);
        self.last = Some((digest, plain.clone()));
        Ok(plain)
    }
}

impl std::fmt::Debug for ArchiveContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveContent").field("archive", &self.archive).finish_non_exhaustive()
    }
}
