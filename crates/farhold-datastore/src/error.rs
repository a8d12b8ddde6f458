//! Failures of datastore operations, told apart by what the caller can do about them.

use farhold_format::blob::BlobError;
use farhold_format::index::IndexError;
use farhold_format::manifest::ManifestError;
use farhold_storage::StorageError;
use farhold_types::{ArchiveName, Digest, Group, Namespace, Snapshot};
use thiserror::Error;

use crate::lock::LockError;

/// What kind of failure it is, for status codes and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object does not exist.
    NotFound,
    /// Somebody else holds a lock on it; later may work.
    Busy,
    /// The request contradicts what is stored, e.g. removing what is protected.
    Conflict,
    /// Stored data is damaged.
    Corrupt,
    /// Space ran out.
    NoSpace,
    /// The system refuses, or a device fails.
    Io,
}

impl ErrorKind {
    pub(crate) fn of_storage(error: &StorageError) -> Self {
        match error {
            error if error.is_device_fault() => Self::Corrupt,
            StorageError::NotFound { .. } => Self::NotFound,
            StorageError::NoSpace { .. } => Self::NoSpace,
            StorageError::AlreadyExists { .. } | StorageError::NotEmpty { .. } => Self::Conflict,
            StorageError::TooLarge { .. } | StorageError::NotAFile { .. } | StorageError::NotADirectory { .. } => {
                Self::Corrupt
            }
            _ => Self::Io,
        }
    }
}

/// Why an operation on namespaces, groups or snapshots failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatastoreError {
    /// The whole store is away, for example because its file system was unmounted. An empty directory in its place must not
    /// pass for a store without backups.
    #[error("datastore '{store}' is not there any more: it has no directory '.chunks'")]
    StoreAway {
        /// The store.
        store: String,
    },
    /// The namespace does not exist.
    #[error("namespace '{namespace}' does not exist")]
    NamespaceMissing {
        /// The missing namespace.
        namespace: Namespace,
    },
    /// The group does not exist.
    #[error("group '{group}' does not exist in {}", namespace.log_name())]
    GroupMissing {
        /// Where it was looked for.
        namespace: Namespace,
        /// The missing group.
        group: Group,
    },
    /// The snapshot does not exist.
    #[error("snapshot '{snapshot}' does not exist in {}", namespace.log_name())]
    SnapshotMissing {
        /// Where it was looked for.
        namespace: Namespace,
        /// The missing snapshot.
        snapshot: Snapshot,
    },
    /// The snapshot has no such file.
    #[error("snapshot '{snapshot}' has no file '{archive}'")]
    FileMissing {
        /// The snapshot.
        snapshot: Snapshot,
        /// The missing file.
        archive: ArchiveName,
    },
    /// The group has no owner file, or it does not name a user or token.
    #[error("owner of group '{group}' cannot be read: {reason}")]
    OwnerUnreadable {
        /// The group.
        group: Group,
        /// What is wrong.
        reason: String,
    },
    /// The snapshot is protected from removal.
    #[error("snapshot '{snapshot}' is protected")]
    Protected {
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// The group was removed while its lock was held; lock it anew.
    #[error("group '{group}' was removed meanwhile")]
    GroupRemoved {
        /// The group.
        group: Group,
    },
    /// The manifest is missing, damaged or not a manifest.
    #[error("manifest of snapshot '{snapshot}' cannot be read")]
    Manifest {
        /// The snapshot.
        snapshot: Snapshot,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// The manifest could not be encoded again.
    #[error("manifest of snapshot '{snapshot}' cannot be written")]
    ManifestEncoding {
        /// The snapshot.
        snapshot: Snapshot,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// An index is damaged.
    #[error("index '{archive}' of snapshot '{snapshot}' cannot be read")]
    Index {
        /// The snapshot.
        snapshot: Snapshot,
        /// The index.
        archive: ArchiveName,
        /// What is wrong with it.
        #[source]
        source: IndexError,
    },
    /// What was written may not be on the device: somebody else, who flushed the file system meanwhile, was told so.
    #[error("the file system could not write everything to its device")]
    FlushFailed,
    /// A lock is not free.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl DatastoreError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NamespaceMissing { .. }
            | Self::GroupMissing { .. }
            | Self::SnapshotMissing { .. }
            | Self::FileMissing { .. } => ErrorKind::NotFound,
            Self::Protected { .. } | Self::GroupRemoved { .. } => ErrorKind::Conflict,
            Self::OwnerUnreadable { .. } | Self::Manifest { .. } | Self::Index { .. } => ErrorKind::Corrupt,
            Self::StoreAway { .. } | Self::ManifestEncoding { .. } | Self::FlushFailed => ErrorKind::Io,
            Self::Lock(LockError::Busy { .. }) => ErrorKind::Busy,
            Self::Lock(_) => ErrorKind::Io,
            Self::Storage(error) => ErrorKind::of_storage(error),
        }
    }
}

/// Why a chunk could not be read or inserted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The store has no such chunk.
    #[error("chunk {digest} is missing")]
    Missing {
        /// The chunk.
        digest: Digest,
    },
    /// The chunk file has no content: the marker of an object store's cache, or damage.
    #[error("chunk {digest} has an empty file")]
    Empty {
        /// The chunk.
        digest: Digest,
    },
    /// The chunk is larger than a chunk can be.
    #[error("chunk {digest} is larger than {max_bytes} bytes")]
    TooLarge {
        /// The chunk.
        digest: Digest,
        /// Largest possible size in bytes.
        max_bytes: u64,
    },
    /// Something else than a regular file has the chunk's name.
    #[error("entry of chunk {digest} is not a regular file")]
    NotAFile {
        /// The chunk.
        digest: Digest,
    },
    /// What should be inserted is not an encoded chunk.
    #[error("data for chunk {digest} is not an encoded chunk")]
    NotAChunk {
        /// The chunk.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// The stored chunk contradicts the new one, so that one of them must be damaged.
    #[error("chunk {digest} is refused: {reason}")]
    Refused {
        /// The chunk.
        digest: Digest,
        /// Why.
        reason: &'static str,
    },
    /// The storage failed.
    #[error("chunk {digest}")]
    Storage {
        /// The chunk.
        digest: Digest,
        /// How it failed.
        #[source]
        source: StorageError,
    },
}

impl ChunkError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Empty { .. } | Self::TooLarge { .. } | Self::NotAFile { .. } | Self::NotAChunk { .. } => {
                ErrorKind::Corrupt
            }
            Self::Refused { .. } => ErrorKind::Conflict,
            Self::Storage { source, .. } => ErrorKind::of_storage(source),
        }
    }
}
