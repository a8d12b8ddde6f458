//! A backup session: which requests it allows, in which order, and what they mean. No input or output.
//!
//! The server asks [`WriterState`] before it touches a file and tells it what it did. A refused request never ends the
//! session. How requests look: [`writer_request`](crate::writer_request).
//!
//! Source: `docs/spec/wire-protocol.md` 5.2 and 5.3.

mod archive;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

pub use archive::{Appended, ClosedIndex, DynamicEntry, FixedAppend, FixedEntry};
pub use refusal::WriterRefusal;
pub use state::{Phase, UploadCounts, WriterState, check_reuse};

/// Bytes of image data in a chunk of a fixed index, the last one excepted. Source: `docs/spec/wire-protocol.md` 5.3.
pub const FIXED_CHUNK_BYTES: u64 = 4_194_304;
/// Largest plain size of a chunk. Source: as above.
pub const MAX_CHUNK_BYTES: u64 = 16_777_216;
/// Smallest encoded size of a chunk: a header and one byte. Source: as above.
pub const MIN_ENCODED_CHUNK_BYTES: u64 = 13;
/// Smallest encoded size of a blob: a header. Source: as above.
pub const MIN_ENCODED_BLOB_BYTES: u64 = 12;
/// Largest encoded size of chunks and blobs. Source: as above.
pub const MAX_ENCODED_BLOB_BYTES: u64 = 16_777_260;
/// Entries of an index at most, so that the index can be read again: a file of 512 MiB with 40 bytes for each.
/// An image of 52 TB in fixed chunks.
pub const MAX_INDEX_ENTRIES: u64 = ((512 << 20) - 4096) / 40;
/// Chunks a session may know at most; bounds its memory to some 2 GiB where the reference has no limit.
pub const MAX_KNOWN_CHUNKS: usize = 2 * MAX_INDEX_ENTRIES as usize;
