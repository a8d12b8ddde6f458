//! Failures of storage operations, told apart by what the caller can do about them.

use std::fmt;
use std::io;
use std::path::Path;

use thiserror::Error;

/// An operation of the storage trait, for error texts, recordings and planned faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Read a whole file.
    Read,
    /// Look at one entry.
    Stat,
    /// List a directory.
    List,
    /// Replace a file atomically.
    WriteAtomic,
    /// Create a file that must not exist.
    CreateExclusive,
    /// Create a file to be filled piece by piece.
    CreateWorking,
    /// Write a piece of a file, or change its length.
    WriteAt,
    /// Create a directory.
    CreateDir,
    /// Rename an entry.
    Rename,
    /// Remove a file.
    RemoveFile,
    /// Remove an empty directory.
    RemoveDir,
    /// Remove a directory with everything in it.
    RemoveTree,
    /// Set the access time of a file to now.
    Touch,
    /// Flush a file and its directory.
    SyncFile,
    /// Flush the file system.
    SyncAll,
    /// Open or take a lock.
    Lock,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Stat => "look at",
            Self::List => "list",
            Self::WriteAtomic => "write",
            Self::CreateExclusive => "create",
            Self::CreateWorking => "create",
            Self::WriteAt => "write to",
            Self::CreateDir => "create directory",
            Self::Rename => "rename",
            Self::RemoveFile => "remove",
            Self::RemoveDir => "remove directory",
            Self::RemoveTree => "remove directory tree",
            Self::Touch => "set access time of",
            Self::SyncFile => "flush",
            Self::SyncAll => "flush the file system of",
            Self::Lock => "lock",
        })
    }
}

/// Why a storage operation failed. `path` is the full path where the backend has one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The entry, or a directory on the way to it, does not exist.
    #[error("'{path}' does not exist")]
    NotFound {
        /// The missing entry.
        path: String,
    },
    /// The entry exists although it must not.
    #[error("'{path}' already exists")]
    AlreadyExists {
        /// The existing entry.
        path: String,
    },
    /// A directory was expected; symbolic links do not count as directories.
    #[error("'{path}' is not a directory (symbolic links are not followed)")]
    NotADirectory {
        /// The entry found.
        path: String,
    },
    /// A regular file was expected.
    #[error("'{path}' is not a regular file")]
    NotAFile {
        /// The entry found.
        path: String,
    },
    /// The directory is not empty.
    #[error("directory '{path}' is not empty")]
    NotEmpty {
        /// The directory.
        path: String,
    },
    /// The file is larger than the caller accepts.
    #[error("'{path}' is larger than {max_bytes} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// Largest accepted size in bytes.
        max_bytes: u64,
    },
    /// No space, no inodes, or the quota is used up.
    #[error("not enough space to {operation} '{path}'")]
    NoSpace {
        /// What was tried.
        operation: Operation,
        /// On which entry.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process may not do this, or the file system is read-only.
    #[error("no permission to {operation} '{path}'")]
    Denied {
        /// What was tried.
        operation: Operation,
        /// On which entry.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other failure of the system.
    #[error("could not {operation} '{path}'")]
    Io {
        /// What was tried.
        operation: Operation,
        /// On which entry.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StorageError {
    /// Returns the error of `operation` on `path` that `source` means.
    pub fn from_io(operation: Operation, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.display().to_string();
        match source.kind() {
            Kind::NotFound => Self::NotFound { path },
            Kind::AlreadyExists => Self::AlreadyExists { path },
            Kind::NotADirectory => Self::NotADirectory { path },
            Kind::DirectoryNotEmpty => Self::NotEmpty { path },
            Kind::IsADirectory => Self::NotAFile { path },
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::NoSpace { operation, path, source },
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::Denied { operation, path, source },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Returns whether the entry does not exist.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns whether the device could not give back what it holds. Other failures of the system may pass, e.g. too many
    /// open files.
    pub fn is_device_fault(&self) -> bool {
        match self {
            Self::Io { operation: Operation::Read | Operation::Stat | Operation::List, source, .. } => {
                source.raw_os_error() == Some(nix::libc::EIO)
            }
            _ => false,
        }
    }

    /// Returns whether space ran out.
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}
