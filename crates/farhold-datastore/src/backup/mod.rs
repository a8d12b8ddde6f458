//! The disk side of a backup session: one new snapshot that a client or another server fills.
//!
//! [`Datastore::begin_backup`] makes all checks, takes all locks and creates the snapshot directory. The
//! [`BackupWriter`] takes chunks, indexes and blobs from many threads; [`BackupWriter::finish`] makes the snapshot
//! complete, and anything else that ends the writer removes it, and its group if that is empty then.
//!
//! The manifest gets its final name in `finish` and not when it is uploaded, so that a snapshot counts as finished only
//! once everything else is durable as the store's sync level asks; a kill before leaves an unfinished directory.
//!
//! What a session knows beyond the disk (known chunks, writer numbers, counts that a client announces, decoding and
//! checking of chunk content) is not here.
//!
//! Source: `docs/spec/datastore-format.md` 12 to 16, `docs/spec/wire-protocol.md` 5.

mod begin;
mod dynamic;
mod error;
mod fixed;
mod index_file;
mod writer;

pub use begin::BeginBackupError;
pub use dynamic::DynamicFile;
pub use error::BackupError;
pub use fixed::FixedFile;
pub use index_file::FinishedIndex;
pub use writer::BackupWriter;

use farhold_types::{BackupType, Group};

#[cfg(doc)]
use crate::store::Datastore;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// A backup that stays.
    Normal,
    /// A measurement in the group `host/benchmark`; its snapshot never stays, and the group's owner does not matter.
    Benchmark,
}

/// Returns whether this is the group `host/benchmark`, which only benchmarks use.
pub fn is_benchmark_group(group: &Group) -> bool {
    group.backup_type == BackupType::Host && group.backup_id.as_str() == "benchmark"
}

/// What a session uploaded; kept in the manifest as `chunk_upload_stats`.
///
/// Source: `docs/spec/datastore-format.md` 10.1, which says what counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadStatistics {
    /// Chunks uploaded.
    pub count: u64,
    /// Plain bytes of the chunks, and encoded bytes of the blobs.
    pub size_bytes: u64,
    /// Encoded bytes of the chunks.
    pub compressed_bytes: u64,
    /// Uploaded chunks that the store had already.
    pub duplicates: u64,
}
