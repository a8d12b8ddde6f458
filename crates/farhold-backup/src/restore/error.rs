//! Everything that can make a restore fail.

use std::io;
use std::path::PathBuf;

use farhold_client::ClientError;
use farhold_format::blob::BlobError;
use farhold_format::index::IndexError;
use farhold_format::manifest::ManifestError;
use farhold_types::{ArchiveName, Digest, Fingerprint};
use thiserror::Error;

use crate::error::server_hint;

/// Why a restore failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The snapshot has no such archive.
    #[error("snapshot has no archive '{archive}'")]
    NotInSnapshot {
        /// The name asked for.
        archive: String,
    },
    /// The short name fits several archives.
    #[error("'{archive}' could be {first} or {second}")]
    Ambiguous {
        /// The name asked for.
        archive: String,
        /// One of them.
        first: ArchiveName,
        /// Another one.
        second: ArchiveName,
    },
    /// The server refused a request, or it cannot be reached any more.
    #[error("cannot read {what} from the server")]
    Server {
        /// What was asked for.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<ClientError>,
    },
    /// The manifest cannot be read.
    #[error("manifest cannot be used")]
    Manifest {
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// The manifest was changed after it was signed.
    #[error("manifest is not authentic")]
    Signature {
        /// What does not fit.
        #[source]
        source: ManifestError,
    },
    /// The snapshot was made with another key.
    #[error("snapshot was made with the key {expected}, the key at hand is {found}")]
    WrongKey {
        /// Fingerprint of the key it was made with.
        expected: Fingerprint,
        /// Fingerprint of the key at hand.
        found: Fingerprint,
    },
    /// The snapshot was made with a key, and there is none at hand.
    #[error("snapshot was made with the key {expected}, and no key is at hand")]
    KeyMissing {
        /// Fingerprint of the key it was made with.
        expected: Fingerprint,
    },
    /// The archive is encrypted, and there is no key at hand.
    #[error("archive {name} is encrypted, and no key is at hand")]
    KeyNeeded {
        /// The archive.
        name: ArchiveName,
        /// Fingerprint of the key, if the manifest names it.
        expected: Option<Fingerprint>,
    },
    /// The archive is not what the manifest says.
    #[error("archive {name} is damaged: {reason}")]
    Corrupt {
        /// The archive.
        name: ArchiveName,
        /// What is wrong.
        reason: &'static str,
    },
    /// The index cannot be read.
    #[error("index {name} is damaged")]
    Index {
        /// The archive.
        name: ArchiveName,
        /// What is wrong.
        #[source]
        source: IndexError,
    },
    /// A small file cannot be decoded.
    #[error("archive {name} cannot be decoded")]
    Blob {
        /// The archive.
        name: ArchiveName,
        /// What is wrong.
        #[source]
        source: BlobError,
    },
    /// A chunk cannot be decoded.
    #[error("chunk {digest} cannot be decoded")]
    Chunk {
        /// The chunk.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: BlobError,
    },
    /// A chunk has other content than its name and place say.
    #[error("chunk {digest} is damaged: {reason}")]
    CorruptChunk {
        /// The chunk.
        digest: Digest,
        /// What is wrong.
        reason: &'static str,
    },
    /// The target file exists already.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// There is an incomplete file of another restore to this target.
    #[error("{} is in the way", path.display())]
    Unfinished {
        /// The incomplete file.
        path: PathBuf,
    },
    /// The target file cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// The target.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The content cannot be written.
    #[error("cannot write the restored content")]
    Write {
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The caller cancelled it.
    #[error("restore was cancelled")]
    Cancelled,
    /// A thread of ours died.
    #[error("a worker thread ended unexpectedly")]
    Worker,
}

impl RestoreError {
    pub(super) fn server(what: impl Into<String>, source: ClientError) -> Self {
        Self::Server { what: what.into(), source: Box::new(source) }
    }

    /// Returns whether the caller cancelled the restore.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Returns the remote's or the network's part in the failure, if there is one; see
    /// [`crate::BackupError::client_error`].
    pub const fn client_error(&self) -> Option<&ClientError> {
        match self {
            Self::Server { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Returns what the operator can do about it, if there is something particular to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotInSnapshot { .. } => Some("list the files of the snapshot to see its archives"),
            Self::Ambiguous { .. } => Some("give the name with its last ending"),
            Self::Server { source, .. } if source.status() == Some(400) => Some(
                "check snapshot and namespace, and that the account may read them; list the snapshots of the group",
            ),
            Self::Server { source, .. } => server_hint(source),
            Self::WrongKey { .. } | Self::KeyMissing { .. } | Self::KeyNeeded { .. } => Some(
                "give the key file with which the snapshot was made; 'key show' tells the fingerprint of a key file",
            ),
            Self::Signature { .. } => {
                Some("the manifest was changed on the server; restore from another copy of the snapshot")
            }
            Self::Corrupt { .. }
            | Self::Index { .. }
            | Self::Blob { .. }
            | Self::Chunk { .. }
            | Self::CorruptChunk { .. } => {
                Some("verify the snapshot on the server; restore from another snapshot or another copy of this one")
            }
            Self::TargetExists { .. } => Some("choose another target, or move the file away"),
            Self::Unfinished { .. } => {
                Some("another restore to this target is running, or was killed: then remove the file")
            }
            Self::Write { source } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the file system of the target is full; the incomplete file was removed")
            }
            _ => None,
        }
    }
}
