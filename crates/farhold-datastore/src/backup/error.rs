//! Why a step of a running session failed.

use farhold_format::blob::BlobError;
use farhold_storage::StorageError;
use farhold_types::{ArchiveName, Digest, Snapshot};
use thiserror::Error;

use crate::error::{ChunkError, DatastoreError, ErrorKind};

/// Why a step of a running session failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The session is finished, failed to finish, or was given up.
    #[error("backup takes no more data")]
    Ended,
    /// There is no finished snapshot before this one, or its verification failed.
    #[error("there is no previous backup")]
    NoBase,
    /// The previous snapshot was removed behind its lock. The session may go on and finish once it is back.
    #[error("previous snapshot '{base}' does not exist any more")]
    BaseVanished {
        /// The snapshot that is missing.
        base: Snapshot,
    },
    /// The archive's name is of another kind.
    #[error("'{archive}' is not the name of {expected}")]
    WrongKind {
        /// The name given.
        archive: ArchiveName,
        /// What it should name.
        expected: &'static str,
    },
    /// An index starts as a copy of a previous one, so its size must be known.
    #[error("size of '{archive}' must be given to reuse the previous index")]
    SizeMissing {
        /// The new index.
        archive: ArchiveName,
    },
    /// The previous index does not have the form of the new one.
    #[error("previous index of '{archive}' cannot be reused: {reason}")]
    BaseUnfit {
        /// The new index.
        archive: ArchiveName,
        /// What differs.
        reason: String,
    },
    /// The index would be longer than we handle.
    #[error("index '{archive}' would be too long")]
    IndexTooLong {
        /// The index.
        archive: ArchiveName,
    },
    /// The index has no such place.
    #[error("index '{archive}' has no slot {slot}, only {slots}")]
    Slot {
        /// The index.
        archive: ArchiveName,
        /// The slot given, counted from 0.
        slot: u64,
        /// Number of slots.
        slots: u64,
    },
    /// A chunk of a dynamic index does not end behind the one before it.
    #[error("chunk appended to '{archive}' ends at {end}, not behind its start {start}")]
    Order {
        /// The index.
        archive: ArchiveName,
        /// Where the chunk before ends.
        start: u64,
        /// Where the new one ends.
        end: u64,
    },
    /// The index is closed already.
    #[error("index '{archive}' is closed")]
    Closed {
        /// The index.
        archive: ArchiveName,
    },
    /// An index without chunks cannot be closed.
    #[error("index '{archive}' has no chunks")]
    Empty {
        /// The index.
        archive: ArchiveName,
    },
    /// The entries written are not those that the client means. The index is gone.
    #[error("index '{archive}' has the checksum {found} instead of {expected}")]
    Checksum {
        /// The index.
        archive: ArchiveName,
        /// What the client says.
        expected: Digest,
        /// What was written.
        found: Digest,
    },
    /// What was uploaded is no blob, or damaged.
    #[error("'{archive}' is not a valid blob")]
    NotABlob {
        /// The file.
        archive: ArchiveName,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// No manifest was uploaded.
    #[error("backup has no manifest")]
    ManifestMissing,
    /// A chunk was not stored.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The store failed, or what it holds cannot be read.
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
}

impl From<StorageError> for BackupError {
    fn from(error: StorageError) -> Self {
        Self::Datastore(error.into())
    }
}

impl BackupError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoBase | Self::BaseVanished { .. } | Self::ManifestMissing => ErrorKind::NotFound,
            Self::NotABlob { .. } | Self::Checksum { .. } => ErrorKind::Corrupt,
            Self::Chunk(error) => error.kind(),
            Self::Datastore(error) => error.kind(),
            _ => ErrorKind::Conflict,
        }
    }
}
