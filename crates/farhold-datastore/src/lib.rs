//! Datastores: namespaces, groups, snapshots, owners, locks and chunks, byte for byte as the reference lays them out.
//!
//! [`Datastore`] is a cheap handle on one open store. Its calls block, and they are safe to make from many threads and,
//! through locks that all programs on a host share, from many processes. It knows nothing of HTTP, tasks or
//! configuration files, and it reaches files only through [`farhold_storage::Storage`].
//!
//! What it promises: a snapshot is finished exactly when its manifest exists, and its manifest is written last; a
//! failed or killed write never hurts a finished snapshot; a chunk is never replaced by what contradicts it.
//!
//! Lock order: group, snapshot, manifest, then the short internal lock of a chunk. The process lock is taken before
//! all of them.
//!
//! Source: `docs/spec/datastore-format.md`.

mod access_time;
pub mod backup;
mod census;
mod chunk;
mod chunk_repair;
mod cleaning;
mod client_log;
mod content;
mod damage;
mod destroy;
mod error;
pub mod gc;
mod gc_status;
mod group;
mod item;
mod layout;
mod listing;
mod lock;
mod lock_name;
mod moving;
mod open;
mod process_lock;
mod removal;
mod snapshot;
mod snapshot_writer;
mod space;
mod staging;
mod store;
pub mod verify;

pub use access_time::AccessTimeError;
pub use census::{GroupCensus, SnapshotState};
pub use chunk::Inserted;
pub use client_log::MAX_CLIENT_LOG_BYTES;
pub use content::{ArchiveContent, ContentError};
pub use damage::GroupProblem;
pub use error::{ChunkError, DatastoreError, ErrorKind};
pub use farhold_storage::{FileReader, WorkingFile};
pub use gc_status::{CacheStats, GcStatus};
pub use listing::{GroupInfo, SnapshotInfo};
pub use lock::{GroupLock, LockError, ManifestLock, SharedSnapshotLock, SnapshotLock};
pub use moving::{GroupMove, Merge, MoveError, MoveJournalError, MovedNotes};
pub use open::{AccessTimeCheck, OpenError, OpenOptions};
pub use removal::{NamespaceRemoval, RemoveGroups};
pub use snapshot_writer::{SnapshotOrigin, SnapshotWriter};
pub use store::{Datastore, ExclusiveProcessLock, SharedProcessLock};
