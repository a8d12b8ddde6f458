//! Fixed and dynamic indexes: which chunks, in which order, make up an archive.
//!
//! | offset | length | fixed index (`.fidx`) | dynamic index (`.didx`) |
//! |---|---|---|---|
//! | 0 | 8 | magic | magic |
//! | 8 | 16 | uuid, random | uuid, random |
//! | 24 | 8 | creation time, i64 seconds since the epoch | the same |
//! | 32 | 32 | index checksum | index checksum |
//! | 64 | 8 | size of the content in bytes, u64 | zero |
//! | 72 | 8 | chunk size, u64, a power of two | zero |
//! | 80 | 4016 | zero | zero |
//! | 4096 | n entries | digest (32) | end offset u64 (8), digest (32) |
//!
//! Integers are little-endian. The index checksum is SHA-256 over the entries as stored. [`Index::checksum`] is always
//! recomputed; what the header says about it is [`Index::stored_checksum`], which only tells whether they changed since. An [`Index`] that exists has at least one chunk, and its
//! chunks cover the content without gap or overlap.
//!
//! Source: `docs/spec/datastore-format.md` 7 and 8.

mod builder;

use std::sync::OnceLock;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_types::{ArchiveKind, Digest, Epoch};
use thiserror::Error;

pub use builder::{
    DynamicIndexBuilder, FixedIndexBuilder, dynamic_index_entry, dynamic_index_header, fixed_index_header,
};

/// Length of an index header in bytes.
pub const HEADER_BYTES: usize = 4096;
/// Chunk size that fixed indexes have in practice; the only one the reference's backup protocol writes.
pub const FIXED_CHUNK_BYTES: u64 = 4 << 20;
/// Longest index that is read or made, in bytes. It bounds the memory for one index and still describes images of
/// 64 TiB and file archives of 50 TiB at the usual chunk sizes. Our own limit.
pub const MAX_INDEX_BYTES: u64 = 512 << 20;

/// Smallest chunk size a client may choose; bounds how long the index of a given content can get.
const MIN_FIXED_CHUNK_BYTES: u64 = 64 << 10;

const DIGEST_BYTES: usize = 32;
/// Length of an entry of a fixed index in bytes.
pub const FIXED_ENTRY_BYTES: usize = DIGEST_BYTES;
/// Length of an entry of a dynamic index in bytes.
pub const DYNAMIC_ENTRY_BYTES: usize = 8 + DIGEST_BYTES;

/// First 8 bytes of SHA-256 of `Proxmox Backup fixed sized chunk index v1.0`.
const FIXED_MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
/// First 8 bytes of SHA-256 of `Proxmox Backup dynamic sized chunk index v1.0`.
const DYNAMIC_MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];

const UUID: usize = 8;
const CREATED: usize = 24;
const CHECKSUM: usize = 32;
const SIZE: usize = 64;
const CHUNK_SIZE: usize = 72;

/// Why an index cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// An archive of this kind has no index.
    #[error("a blob is not an index")]
    NotAnIndex,
    /// There is not even a complete header.
    #[error("index has {found} bytes, its header alone needs {HEADER_BYTES}")]
    TooShort {
        /// Bytes present.
        found: usize,
    },
    /// It would take more memory than we allow for one index.
    #[error("index is longer than the {MAX_INDEX_BYTES} bytes we handle")]
    TooLong,
    /// The file is no index of the expected kind.
    #[error("index has the wrong magic number {found:02x?}")]
    WrongMagic {
        /// The first 8 bytes.
        found: [u8; 8],
    },
    /// The chunk size of a fixed index must be a power of two.
    #[error("index has the chunk size {found}, which is not a power of two")]
    ChunkSize {
        /// The chunk size stored.
        found: u64,
    },
    /// The file length does not fit the header or the length of an entry.
    #[error("index has {found} bytes of entries, which does not fit its {expected}")]
    Length {
        /// Bytes behind the header.
        found: usize,
        /// What decides the length.
        expected: &'static str,
    },
    /// There is no chunk.
    #[error("index has no entries")]
    Empty,
    /// An end offset is not larger than the one before it.
    #[error("index entry {position} ends at {end}, not behind its start {start}")]
    Order {
        /// Which entry, counted from 0.
        position: usize,
        /// End of the entry before.
        start: u64,
        /// End of this entry.
        end: u64,
    },
    /// A builder was given a position that the index does not have.
    #[error("index has no entry {position}, only {count}")]
    Position {
        /// The position given.
        position: usize,
        /// Number of entries.
        count: usize,
    },
    /// A builder was finished before every entry was set.
    #[error("index entry {position} was never set")]
    Missing {
        /// The first entry that is missing.
        position: usize,
    },
}

/// A chunk of an archive and the part of the content it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRef {
    /// Names the chunk.
    pub digest: Digest,
    /// Offset of its first byte in the content.
    pub start: u64,
    /// Offset behind its last byte, larger than `start`.
    pub end: u64,
}

impl ChunkRef {
    /// Returns the plain length of the chunk in bytes, at least 1.
    pub const fn size_bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// An index file that passed every check. Cheap to clone; holds the file's bytes and reads entries in place.
#[derive(Clone)]
pub struct Index {
    bytes: Bytes,
    layout: Layout,
    size_bytes: u64,
    /// Made when somebody asks: who only wants the digests saves it.
    checksum: OnceLock<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Fixed { chunk_size_bytes: u64 },
    Dynamic,
}

impl Layout {
    const fn entry_bytes(self) -> usize {
        match self {
            Self::Fixed { .. } => FIXED_ENTRY_BYTES,
            Self::Dynamic => DYNAMIC_ENTRY_BYTES,
        }
    }
}

impl Index {
    /// Reads the bytes of an index file of the given kind.
    ///
    /// # Errors
    /// Every [`IndexError`] that is about a file. Beyond what the reference rejects, end offsets of a dynamic index
    /// must increase strictly, and the file may have at most [`MAX_INDEX_BYTES`].
    pub fn parse(kind: ArchiveKind, bytes: Bytes) -> Result<Self, IndexError> {
        let magic = match kind {
            ArchiveKind::FixedIndex => FIXED_MAGIC,
            ArchiveKind::DynamicIndex => DYNAMIC_MAGIC,
            ArchiveKind::Blob => return Err(IndexError::NotAnIndex),
        };
        let found = bytes.len();
        let (header, entries) = bytes.split_at_checked(HEADER_BYTES).ok_or(IndexError::TooShort { found })?;
        if MAX_INDEX_BYTES < found as u64 {
            return Err(IndexError::TooLong);
        }
        let found: [u8; 8] = array(header, 0);
        if found != magic {
            return Err(IndexError::WrongMagic { found });
        }
        let (layout, size_bytes) = match kind {
            ArchiveKind::FixedIndex => check_fixed(header, entries)?,
            _ => (Layout::Dynamic, check_dynamic(entries)?),
        };
        Ok(Self { bytes, layout, size_bytes, checksum: OnceLock::new() })
    }

    /// Returns which kind of index this is.
    pub const fn kind(&self) -> ArchiveKind {
        match self.layout {
            Layout::Fixed { .. } => ArchiveKind::FixedIndex,
            Layout::Dynamic => ArchiveKind::DynamicIndex,
        }
    }

    /// Returns the length of the content in bytes, at least 1. This is the size a manifest lists.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the chunk size of a fixed index in bytes, `None` for a dynamic one.
    pub const fn chunk_size_bytes(&self) -> Option<u64> {
        match self.layout {
            Layout::Fixed { chunk_size_bytes } => Some(chunk_size_bytes),
            Layout::Dynamic => None,
        }
    }

    /// Returns the number of chunks, at least 1. Chunks that occur repeatedly count each time.
    pub fn chunk_count(&self) -> usize {
        self.entries().len() / self.layout.entry_bytes()
    }

    /// Returns the chunk at `position`, counted from 0 in content order.
    pub fn chunk(&self, position: usize) -> Option<ChunkRef> {
        let entry = self.entry(position)?;
        let number = position as u64;
        let (start, end) = match self.layout {
            // No overflow: every position of a checked index starts before its size.
            Layout::Fixed { chunk_size_bytes: length } => {
                let start = number * length;
                (start, start.saturating_add(length).min(self.size_bytes))
            }
            Layout::Dynamic => {
                let before = position.checked_sub(1).and_then(|p| self.entry(p));
                (before.map_or(0, |e| u64_at(e, 0)), u64_at(entry, 0))
            }
        };
        Some(ChunkRef { digest: Digest(array(entry, entry.len() - DIGEST_BYTES)), start, end })
    }

    /// Returns all chunks in content order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkRef> + '_ {
        (0..self.chunk_count()).map(|position| self.chunk(position).expect("position is below the count"))
    }

    /// Returns the digests of all chunks in content order, read in place.
    pub fn digests(&self) -> impl ExactSizeIterator<Item = Digest> + '_ {
        let entry_bytes = self.layout.entry_bytes();
        self.entries().chunks_exact(entry_bytes).map(move |entry| Digest(array(entry, entry_bytes - DIGEST_BYTES)))
    }

    /// Returns the index checksum, computed from the entries. This is the checksum a manifest lists. The first call takes as
    /// long as hashing all entries.
    pub fn checksum(&self) -> Digest {
        *self.checksum.get_or_init(|| sha256(self.entries()))
    }

    /// Returns the index checksum that the header names. Not that of the entries if either was damaged.
    pub fn stored_checksum(&self) -> Digest {
        Digest(array(&self.bytes, CHECKSUM))
    }

    /// Returns the uuid of the file.
    pub fn uuid(&self) -> [u8; 16] {
        array(&self.bytes, UUID)
    }

    /// Returns the time at which the index was started.
    pub fn created(&self) -> Epoch {
        Epoch(i64::from_le_bytes(array(&self.bytes, CREATED)))
    }

    /// Returns the bytes of the file.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the entries as they are stored, without the header.
    pub fn entries(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    fn entry(&self, position: usize) -> Option<&[u8]> {
        let entry_bytes = self.layout.entry_bytes();
        let start = position.checked_mul(entry_bytes)?;
        self.entries().get(start..)?.get(..entry_bytes)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("kind", &self.kind())
            .field("size_bytes", &self.size_bytes)
            .field("chunk_count", &self.chunk_count())
            .field("checksum", &self.checksum())
            .finish_non_exhaustive()
    }
}

/// Returns the exact length of a fixed index file for content of `size_bytes` in chunks of `chunk_size_bytes`.
///
/// `None` if the chunk size is 0 or the length exceeds what a `u64` holds.
pub const fn fixed_index_bytes(size_bytes: u64, chunk_size_bytes: u64) -> Option<u64> {
    if chunk_size_bytes == 0 {
        return None;
    }
    match size_bytes.div_ceil(chunk_size_bytes).checked_mul(FIXED_ENTRY_BYTES as u64) {
        Some(entries) => entries.checked_add(HEADER_BYTES as u64),
        None => None,
    }
}

/// Returns how many entries a dynamic index file of `length_bytes` has; `None` if no index file has that length.
pub const fn dynamic_index_entries(length_bytes: u64) -> Option<u64> {
    match length_bytes.checked_sub(HEADER_BYTES as u64) {
        Some(entries) if entries % DYNAMIC_ENTRY_BYTES as u64 == 0 => Some(entries / DYNAMIC_ENTRY_BYTES as u64),
        _ => None,
    }
}

/// Returns how long the index file of content with `size_bytes` can be, to bound a download before it starts.
///
/// Never more than [`MAX_INDEX_BYTES`]. Fixed indexes are taken to have chunks of at least 64 KiB, the smallest a
/// client can choose; dynamic ones chunks of at least one byte. 0 for blobs, which have no index.
pub fn max_index_bytes(kind: ArchiveKind, size_bytes: u64) -> u64 {
    let longest = match kind {
        ArchiveKind::FixedIndex => fixed_index_bytes(size_bytes, MIN_FIXED_CHUNK_BYTES).unwrap_or(u64::MAX),
        ArchiveKind::DynamicIndex => {
            size_bytes.saturating_mul(DYNAMIC_ENTRY_BYTES as u64).saturating_add(HEADER_BYTES as u64)
        }
        ArchiveKind::Blob => 0,
    };
    longest.min(MAX_INDEX_BYTES)
}

fn check_fixed(header: &[u8], entries: &[u8]) -> Result<(Layout, u64), IndexError> {
    let (size_bytes, chunk_size_bytes) = (u64_at(header, SIZE), u64_at(header, CHUNK_SIZE));
    if !chunk_size_bytes.is_power_of_two() {
        return Err(IndexError::ChunkSize { found: chunk_size_bytes });
    }
    let expected = fixed_index_bytes(size_bytes, chunk_size_bytes);
    let length = HEADER_BYTES as u64 + entries.len() as u64;
    if expected != Some(length) {
        return Err(IndexError::Length { found: entries.len(), expected: "content size and chunk size" });
    }
    if entries.is_empty() {
        return Err(IndexError::Empty);
    }
    Ok((Layout::Fixed { chunk_size_bytes }, size_bytes))
}

/// Returns the content size that the entries of a dynamic index describe.
fn check_dynamic(entries: &[u8]) -> Result<u64, IndexError> {
    if !entries.len().is_multiple_of(DYNAMIC_ENTRY_BYTES) {
        return Err(IndexError::Length { found: entries.len(), expected: "entries of 40 bytes" });
    }
    if entries.is_empty() {
        return Err(IndexError::Empty);
    }
    let mut start = 0;
    for (position, entry) in entries.chunks_exact(DYNAMIC_ENTRY_BYTES).enumerate() {
        let end = u64_at(entry, 0);
        if end <= start {
            return Err(IndexError::Order { position, start, end });
        }
        start = end;
    }
    Ok(start)
}

/// Returns the `N` bytes at `offset`; the caller has checked that they are there.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut copy = [0; N];
    copy.copy_from_slice(&bytes[offset..offset + N]);
    copy
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset))
}

#[cfg(test)]
mod tests;
