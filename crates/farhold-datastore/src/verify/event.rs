//! What a verification tells while it runs.

use farhold_format::blob::BlobError;
use farhold_types::{ArchiveName, Digest, Namespace, Snapshot};
use thiserror::Error;

use super::VerifyStopped;
use crate::error::{ChunkError, DatastoreError};

/// Why a snapshot was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It was removed meanwhile.
    Gone,
    /// It is being written or removed.
    Busy,
    /// It was verified not long ago.
    Recent,
}

/// What is wrong with a file of a snapshot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It cannot be read, or it is no index.
    #[error(transparent)]
    Read(#[from] DatastoreError),
    /// It is no valid blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It has another size than the manifest lists.
    #[error("wrong size ({found} != {expected})")]
    Size {
        /// Bytes listed.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// It has another checksum than the manifest lists.
    #[error("wrong checksum ({found} != {expected})")]
    Checksum {
        /// Listed.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// Some of its chunks are damaged, missing, or not what it says; each was told before.
    #[error("chunks could not be verified")]
    Chunks,
}

/// What is wrong with a chunk of an index.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChunkProblem {
    /// It is missing or cannot be read.
    #[error(transparent)]
    Read(#[from] ChunkError),
    /// It is no valid container, or cannot be decoded.
    #[error("chunk is damaged")]
    Blob(#[from] BlobError),
    /// Its content is not what its name says.
    #[error("chunk has the digest {found}")]
    Digest {
        /// Digest of the content.
        found: Digest,
    },
    /// It was found damaged or missing before.
    #[error("chunk was marked as corrupt")]
    KnownBad,
    /// It is encrypted and must not be, or the other way round.
    #[error("chunk is {}", if *is_encrypted { "encrypted, and should not be" } else { "not encrypted, but should be" })]
    Kind {
        /// What it is.
        is_encrypted: bool,
    },
    /// It has another length than the index says.
    #[error("chunk has {found} bytes, the index says {expected}")]
    Length {
        /// Bytes that the index gives it.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
}

/// Something that happened. Chunks are told from several threads, in no order.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyEvent<'a> {
    /// A snapshot begins; not told of one that is skipped or unreadable.
    Snapshot {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Bytes of its content.
        size_bytes: u64,
    },
    /// A snapshot is not looked at.
    Skipped {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Why.
        reason: SkipReason,
    },
    /// A snapshot failed because its manifest cannot be read.
    Unreadable {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Why.
        error: &'a DatastoreError,
    },
    /// A file of the snapshot begins.
    File {
        /// Which.
        archive: &'a ArchiveName,
        /// Bytes of its content.
        size_bytes: u64,
    },
    /// A chunk of the file was read and examined; not told of those seen before.
    Examined {
        /// Bytes that the index gives it.
        size_bytes: u64,
    },
    /// All chunks of an index were looked at.
    Chunks {
        /// The index.
        archive: &'a ArchiveName,
        /// Encoded bytes read for it; chunks seen before are not read again.
        read_bytes: u64,
        /// Plain bytes of the chunks read.
        plain_bytes: u64,
        /// Chunks with something wrong.
        error_count: u64,
    },
    /// Something is wrong with a chunk.
    Chunk {
        /// The index that refers to it.
        archive: &'a ArchiveName,
        /// Which.
        digest: Digest,
        /// What is wrong.
        problem: &'a ChunkProblem,
    },
    /// A damaged chunk was set aside.
    SetAside {
        /// Which.
        digest: Digest,
        /// Path of the file within the store now.
        path: &'a str,
    },
    /// A damaged chunk could not be set aside.
    NotSetAside {
        /// Which.
        digest: Digest,
        /// Why.
        error: &'a ChunkError,
    },
    /// Something is wrong with a file; the snapshot has failed.
    FileFailed {
        /// Where the snapshot lies.
        namespace: &'a Namespace,
        /// Which snapshot.
        snapshot: &'a Snapshot,
        /// Which file.
        archive: &'a ArchiveName,
        /// What is wrong.
        problem: &'a FileProblem,
    },
    /// The result could not be noted in the manifest; the snapshot counts as failed.
    NotNoted {
        /// Where it lies.
        namespace: &'a Namespace,
        /// Which.
        snapshot: &'a Snapshot,
        /// Why.
        error: &'a DatastoreError,
    },
}

/// Who looks on while a verification runs, and may stop it.
#[derive(Clone, Copy)]
pub struct VerifyWatch<'a> {
    /// Called with everything that happens, from several threads.
    pub on_event: &'a (dyn Fn(&VerifyEvent<'_>) + Sync),
    /// Asked between files and between chunks.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl VerifyWatch<'_> {
    pub(super) fn tell(&self, event: &VerifyEvent<'_>) {
        (self.on_event)(event);
    }

    pub(super) fn check(&self) -> Result<(), VerifyStopped> {
        if (self.is_stopped)() { Err(VerifyStopped) } else { Ok(()) }
    }
}

impl std::fmt::Debug for VerifyWatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyWatch").finish_non_exhaustive()
    }
}
