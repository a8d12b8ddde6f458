//! Making index files.

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_types::{Digest, Epoch};

use super::{
    CHECKSUM, CHUNK_SIZE, CREATED, DIGEST_BYTES, DYNAMIC_ENTRY_BYTES, DYNAMIC_MAGIC, FIXED_MAGIC, HEADER_BYTES, Index,
    IndexError, Layout, MAX_INDEX_BYTES, SIZE, UUID, fixed_index_bytes, u64_at,
};

/// Makes a fixed index for content of known size. Chunks may come in any order.
#[derive(Debug)]
pub struct FixedIndexBuilder {
    file: Vec<u8>,
    is_set: Vec<bool>,
    size_bytes: u64,
    chunk_size_bytes: u64,
}

impl FixedIndexBuilder {
    /// Starts an index without chunks. `uuid`: random bytes.
    ///
    /// # Errors
    /// [`IndexError::ChunkSize`] unless the chunk size is a power of two, [`IndexError::Empty`] for content without
    /// bytes, [`IndexError::TooLong`] if the file would exceed [`MAX_INDEX_BYTES`].
    pub fn new(uuid: [u8; 16], created: Epoch, size_bytes: u64, chunk_size_bytes: u64) -> Result<Self, IndexError> {
        if !chunk_size_bytes.is_power_of_two() {
            return Err(IndexError::ChunkSize { found: chunk_size_bytes });
        }
        if size_bytes == 0 {
            return Err(IndexError::Empty);
        }
        let length = fixed_index_bytes(size_bytes, chunk_size_bytes).filter(|length| *length <= MAX_INDEX_BYTES);
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(IndexError::TooLong)?;
        let mut file = header(FIXED_MAGIC, uuid, created);
        file[SIZE..][..8].copy_from_slice(&size_bytes.to_le_bytes());
        file[CHUNK_SIZE..][..8].copy_from_slice(&chunk_size_bytes.to_le_bytes());
        file.resize(length, 0);
        let is_set = vec![false; (length - HEADER_BYTES) / DIGEST_BYTES];
        Ok(Self { file, is_set, size_bytes, chunk_size_bytes })
    }

    /// Returns how many chunks the index has in the end.
    pub const fn chunk_count(&self) -> usize {
        self.is_set.len()
    }

    /// Sets the digest of the chunk at `position`, counted from 0. A second call for one position replaces the first.
    ///
    /// # Errors
    /// [`IndexError::Position`] if the content has no such chunk.
    pub fn set(&mut self, position: usize, digest: Digest) -> Result<(), IndexError> {
        let count = self.is_set.len();
        *self.is_set.get_mut(position).ok_or(IndexError::Position { position, count })? = true;
        self.file[HEADER_BYTES + position * DIGEST_BYTES..][..DIGEST_BYTES].copy_from_slice(digest.as_bytes());
        Ok(())
    }

    /// Returns the finished index; its file is [`Index::as_bytes`].
    ///
    /// # Errors
    /// [`IndexError::Missing`] if a chunk was never set.
    pub fn finish(self) -> Result<Index, IndexError> {
        if let Some(position) = self.is_set.iter().position(|is_set| !is_set) {
            return Err(IndexError::Missing { position });
        }
        Ok(seal(self.file, Layout::Fixed { chunk_size_bytes: self.chunk_size_bytes }, self.size_bytes))
    }
}

/// Makes a dynamic index by appending chunks in content order.
#[derive(Debug)]
pub struct DynamicIndexBuilder {
    file: Vec<u8>,
}

impl DynamicIndexBuilder {
    /// Starts an index without chunks. `uuid`: random bytes.
    pub fn new(uuid: [u8; 16], created: Epoch) -> Self {
        Self { file: header(DYNAMIC_MAGIC, uuid, created) }
    }

    /// Returns the content offset behind the last chunk.
    pub fn size_bytes(&self) -> u64 {
        if self.file.len() == HEADER_BYTES { 0 } else { u64_at(&self.file, self.file.len() - DYNAMIC_ENTRY_BYTES) }
    }

    /// Appends the chunk that ends at content offset `end`.
    ///
    /// # Errors
    /// [`IndexError::Order`] unless `end` is larger than the end of the chunk before, [`IndexError::TooLong`] if the
    /// file would exceed [`MAX_INDEX_BYTES`].
    pub fn push(&mut self, end: u64, digest: Digest) -> Result<(), IndexError> {
        let start = self.size_bytes();
        if end <= start {
            let position = (self.file.len() - HEADER_BYTES) / DYNAMIC_ENTRY_BYTES;
            return Err(IndexError::Order { position, start, end });
        }
        if MAX_INDEX_BYTES < (self.file.len() + DYNAMIC_ENTRY_BYTES) as u64 {
            return Err(IndexError::TooLong);
        }
        self.file.extend_from_slice(&end.to_le_bytes());
        self.file.extend_from_slice(digest.as_bytes());
        Ok(())
    }

    /// Returns the finished index; its file is [`Index::as_bytes`].
    ///
    /// # Errors
    /// [`IndexError::Empty`] if no chunk was appended.
    pub fn finish(self) -> Result<Index, IndexError> {
        let size_bytes = self.size_bytes();
        if size_bytes == 0 { Err(IndexError::Empty) } else { Ok(seal(self.file, Layout::Dynamic, size_bytes)) }
    }
}

/// Returns the header of a fixed index whose entries are written elsewhere. `size_bytes`: of the content; `checksum`:
/// SHA-256 over the entries.
pub fn fixed_index_header(
    uuid: [u8; 16],
    created: Epoch,
    size_bytes: u64,
    chunk_size_bytes: u64,
    checksum: &Digest,
) -> Vec<u8> {
    let mut header = header(FIXED_MAGIC, uuid, created);
    header[CHECKSUM..][..DIGEST_BYTES].copy_from_slice(checksum.as_bytes());
    header[SIZE..][..8].copy_from_slice(&size_bytes.to_le_bytes());
    header[CHUNK_SIZE..][..8].copy_from_slice(&chunk_size_bytes.to_le_bytes());
    header
}

/// Returns the header of a dynamic index whose entries are written elsewhere. `checksum`: SHA-256 over the entries.
pub fn dynamic_index_header(uuid: [u8; 16], created: Epoch, checksum: &Digest) -> Vec<u8> {
    let mut header = header(DYNAMIC_MAGIC, uuid, created);
    header[CHECKSUM..][..DIGEST_BYTES].copy_from_slice(checksum.as_bytes());
    header
}

/// Returns the entry of a dynamic index for a chunk that ends at content offset `end`.
pub fn dynamic_index_entry(end: u64, digest: &Digest) -> [u8; DYNAMIC_ENTRY_BYTES] {
    let mut entry = [0; DYNAMIC_ENTRY_BYTES];
    entry[..8].copy_from_slice(&end.to_le_bytes());
    entry[8..].copy_from_slice(digest.as_bytes());
    entry
}

fn header(magic: [u8; 8], uuid: [u8; 16], created: Epoch) -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..8].copy_from_slice(&magic);
    header[UUID..][..16].copy_from_slice(&uuid);
    header[CREATED..][..8].copy_from_slice(&created.0.to_le_bytes());
    header
}

/// Writes the checksum into the header.
fn seal(mut file: Vec<u8>, layout: Layout, size_bytes: u64) -> Index {
    let checksum = sha256(&file[HEADER_BYTES..]);
    file[CHECKSUM..][..DIGEST_BYTES].copy_from_slice(checksum.as_bytes());
    Index { bytes: Bytes::from(file), layout, size_bytes, checksum: checksum.into() }
}
