//! What a caller asks for, and the bounds within which it is done.

use std::num::NonZeroUsize;

use farhold_format::chunker::ChunkSize;
use farhold_types::{DatastoreName, Namespace, Snapshot};

use crate::archive::BackupArchive;
use crate::protection::Protection;

/// Least memory budget: one chunk of the largest size being read while another one is on its way.
const MIN_MEMORY_BYTES: usize = 40 << 20;

/// A backup to be made.
#[derive(Debug)]
pub struct BackupRequest {
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// Its archives, in the order in which they are sent.
    pub archives: Vec<BackupArchive>,
    /// Whether it is encrypted or signed. Not at all by default.
    pub protection: Protection,
    /// Average size of the chunks of `.didx` archives. [`ChunkSize::ARCHIVE`] by default, as in the reference client: with
    /// another size nothing deduplicates against its backups.
    pub chunk_size: ChunkSize,
    /// What the backup may use.
    pub limits: Limits,
}

impl BackupRequest {
    /// Returns a request with the defaults stated at the fields.
    pub fn new(snapshot: Snapshot, archives: Vec<BackupArchive>) -> Self {
        Self {
            snapshot,
            archives,
            protection: Protection::None,
            chunk_size: ChunkSize::ARCHIVE,
            limits: Limits::default(),
        }
    }
}

/// What a backup or restore may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pieces of blocking work (reading, hashing, encoding) at once. By default as many as there are processors.
    pub workers: NonZeroUsize,
    /// Content held in memory, in bytes; less than 40 MiB counts as 40 MiB. By default 128 MiB: 32 chunks of the usual
    /// size, enough for a fast and distant server.
    pub memory_bytes: usize,
    /// Chunks on their way to or from the server at once. By default 64, the reference client's queue.
    pub transfers: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let transfers = const { NonZeroUsize::new(64).expect("64 is not 0") };
        Self { workers, memory_bytes: 128 << 20, transfers }
    }
}

impl Limits {
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.max(MIN_MEMORY_BYTES)
    }
}

/// Where the snapshot goes on the server.
#[derive(Debug, Clone)]
pub struct BackupPlace {
    /// Datastore.
    pub store: DatastoreName,
    /// Namespace, which must exist.
    pub ns: Namespace,
    /// Whether to bypass the server's cache of a datastore on object storage. Servers before 4.0 refuse that.
    pub no_cache: bool,
}
