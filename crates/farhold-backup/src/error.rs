//! Everything that can make a backup fail.

use std::io;
use std::path::PathBuf;

use farhold_client::ClientError;
use farhold_format::blob::BlobError;
use farhold_types::ArchiveName;
use thiserror::Error;

/// Why a backup failed. The server removes the unfinished snapshot by itself.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to back up.
    #[error("backup has no archives")]
    NoArchives,
    /// Two archives have one name.
    #[error("archive name {name} is used twice")]
    DuplicateName {
        /// The name.
        name: ArchiveName,
    },
    /// The name belongs to a file that the protocol itself writes.
    #[error("archive name {name} is reserved")]
    ReservedName {
        /// The name.
        name: ArchiveName,
    },
    /// A source cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The source.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A source is a directory. There is no library that writes file archives.
    #[error("{} is a directory", path.display())]
    Directory {
        /// The source.
        path: PathBuf,
    },
    /// A source is of a kind from which this archive cannot be made.
    #[error("{} is no {expected}", path.display())]
    WrongKind {
        /// The source.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The source of an index has no content; an index cannot describe that.
    #[error("source of {name} is empty")]
    Empty {
        /// The archive.
        name: ArchiveName,
    },
    /// A small file is too large for one blob.
    #[error("content is too large for a single blob of {limit_bytes} bytes")]
    SmallFileTooLarge {
        /// The largest blob.
        limit_bytes: usize,
    },
    /// One archive cannot be stored.
    #[error("archive {name} cannot be stored")]
    Archive {
        /// The archive.
        name: ArchiveName,
        /// Why not.
        #[source]
        source: Box<BackupError>,
    },
    /// A source cannot be read to its end.
    #[error("cannot read the source at byte {position}")]
    Read {
        /// Where reading failed.
        position: u64,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An image became shorter while it was read.
    #[error("the source ended at byte {found_bytes}, it had {expected_bytes} bytes when the backup began")]
    Shrank {
        /// Its size at the beginning.
        expected_bytes: u64,
        /// Where it ended.
        found_bytes: u64,
    },
    /// A chunk or blob cannot be encoded.
    #[error("content cannot be encoded")]
    Encode {
        /// The encoder's reason.
        #[source]
        source: BlobError,
    },
    /// The server refused a request, or it cannot be reached any more.
    #[error("{step} failed")]
    Server {
        /// What was asked for.
        step: &'static str,
        /// What went wrong.
        #[source]
        source: ClientError,
    },
    /// It is unknown whether the server finished the snapshot: the connection was lost while it did.
    #[error("the connection was lost while the server finished the snapshot")]
    Uncertain {
        /// What went wrong.
        #[source]
        source: ClientError,
    },
    /// The caller cancelled it.
    #[error("backup was cancelled")]
    Cancelled,
    /// A thread of ours died.
    #[error("a worker thread ended unexpectedly")]
    Worker,
}

impl BackupError {
    /// Returns whether the caller cancelled the backup.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Returns the remote's or the network's part in the failure, if there is one. For [`ClientError::Untrusted`] and
    /// [`ClientError::FingerprintMismatch`] the caller knows best where a fingerprint is configured.
    pub const fn client_error(&self) -> Option<&ClientError> {
        match self {
            Self::Archive { source, .. } => source.client_error(),
            Self::Server { source, .. } | Self::Uncertain { source } => Some(source),
            _ => None,
        }
    }

    /// Returns what the operator can do about it, if there is something particular to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Directory { .. } => Some(
                "directories cannot be archived here; make an archive with another program and store that, \
                 or use the reference client",
            ),
            Self::ReservedName { .. } => {
                Some("choose another name; a client log is stored after the backup with 'snapshot upload-log'")
            }
            Self::Empty { .. } => Some("store small or empty files as .conf or .log"),
            Self::SmallFileTooLarge { .. } => Some("store a large file as .img or .pxar"),
            Self::Shrank { .. } => Some("back up a snapshot of the volume, not one that is being changed"),
            Self::Uncertain { .. } => Some("list the snapshots of the group: if this one is there it is complete"),
            Self::Archive { source, .. } => source.hint(),
            Self::Server { source, .. } => server_hint(source),
            _ => None,
        }
    }
}

/// Returns what the operator can do about a failure of the server or the network.
pub(crate) fn server_hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Broken { .. } | ClientError::Silent { .. } | ClientError::Closed { .. } => Some(
            "the server or the network failed, or the session was ended there; the task log on the server tells more",
        ),
        ClientError::Status { text, .. } if is_about_space(text) => {
            Some("the datastore is full; prune it and collect garbage, or give it more space")
        }
        ClientError::Status { status: 403, .. } => Some("the account lacks a privilege on the datastore or namespace"),
        _ => None,
    }
}

/// Returns whether a server's text says that its disk is full.
fn is_about_space(text: &str) -> bool {
    text.contains("No space left") || text.contains("not enough space") || text.contains("ENOSPC")
}
