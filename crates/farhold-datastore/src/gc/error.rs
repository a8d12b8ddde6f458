//! Why a garbage collection did not complete.

use farhold_storage::StorageError;
use farhold_types::{Group, Namespace};
use thiserror::Error;

use super::damaged::DamagedIndexes;
use super::event::Stopped;
use crate::access_time::AccessTimeError;
use crate::error::DatastoreError;
use crate::lock::LockError;
use crate::moving::MoveJournalError;

/// Why a garbage collection did not complete.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GcError {
    /// One runs already, or another process works on the store.
    #[error("garbage collection runs already, or another process works on the datastore")]
    Busy(#[source] LockError),
    /// The process lock cannot be used.
    #[error(transparent)]
    Lock(LockError),
    /// Access times are not kept: chunks that are in use would be removed.
    #[error("access time check failed, garbage collection would remove chunks that are in use")]
    AccessTime(#[from] AccessTimeError),
    /// Not every chunk in use could be marked; nothing was removed.
    #[error("marking used chunks failed")]
    Mark(#[from] MarkError),
    /// Unused chunks could not be removed, or not all of them.
    #[error("removing unused chunks failed")]
    Sweep(#[source] StorageError),
    /// The clock was set back while unused chunks were removed, so that what is used now looks as if nobody had used it for
    /// long.
    #[error("the clock was set back by {seconds} s while unused chunks were removed")]
    ClockSetBack {
        /// By how much.
        seconds: i64,
    },
    /// It was asked to stop while it removed chunks.
    #[error("garbage collection was stopped")]
    Stopped,
}

impl GcError {
    /// Returns whether the collection ended because it was asked to stop.
    pub const fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped | Self::Mark(MarkError::Stopped))
    }
}

impl From<LockError> for GcError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy { .. } => Self::Busy(error),
            error => Self::Lock(error),
        }
    }
}

/// Why not every chunk in use could be marked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MarkError {
    /// Index files are there and tell nobody which chunks they name.
    #[error(
        "index files are damaged and nobody knows which chunks they need, so none was removed: {indexes}; \
         repair their snapshots from a copy, or forget them"
    )]
    Damaged {
        /// Which.
        indexes: DamagedIndexes,
    },
    /// A directory stands where a namespace belongs and can be none, so nobody would look into it.
    #[error("directory '{path}' is no namespace, index files in it would not be found")]
    NoNamespace {
        /// Its path within the store.
        path: String,
    },
    /// A name outside of UTF-8, so that index files may lie where nobody looks.
    #[error("'{name}' in directory '{directory}' is no UTF-8 name, index files in it would not be found; rename it")]
    ForeignName {
        /// Path of the directory within the store.
        directory: String,
        /// The name, with replacement characters.
        name: String,
    },
    /// Snapshots of a group vanish again and again.
    #[error("snapshots of group '{group}' in {} keep vanishing while they are marked", namespace.log_name())]
    Restless {
        /// Where the group lies.
        namespace: Namespace,
        /// The group.
        group: Group,
    },
    /// The clock was set back, so that what is marked now looks as if it had not been used for long.
    #[error("the clock was set back by {seconds} s meanwhile")]
    ClockSetBack {
        /// By how much.
        seconds: i64,
    },
    /// Namespaces, groups or snapshots cannot be listed.
    #[error(transparent)]
    List(#[from] DatastoreError),
    /// A directory cannot be listed, or a chunk cannot be touched.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The journal of moves cannot be read.
    #[error(transparent)]
    Moves(#[from] MoveJournalError),
    /// It was asked to stop.
    #[error("garbage collection was stopped")]
    Stopped,
}

impl From<Stopped> for MarkError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
