//! Cutting a stream of content into chunks, as a backup client does before it uploads.
//!
//! Two rules: images are cut into equal pieces ([`FixedChunker`]); archives are cut where a rolling hash over the last
//! 64 bytes says so ([`ContentChunker`]), so that data which moves within an archive is still cut at the same places.
//! A chunker keeps no content: the caller holds the bytes of the chunk begun so far in one piece and asks where it ends.
//! That saves a copy, and the content already scanned is not scanned again. The first quarter of the average size is not
//! looked at but for its last window, because no cut is possible there (measured: 0.8 to 0.9 GiB/s on one core).
//!
//! Not here: suggested boundaries of payload streams (section 9, end), which need an archiver.
//!
//! Source: `docs/spec/datastore-format.md` 9.

mod table;

use thiserror::Error;

use crate::index::FIXED_CHUNK_BYTES;
use table::TABLE;

/// Number of bytes that the rolling hash looks at.
const WINDOW_BYTES: usize = 64;

/// Average size of the chunks of an archive. Chunks have between a quarter and four times of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkSize {
    average_bytes: usize,
}

/// A chunk size that clients do not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("chunk size must be a power of two from 64 to 4096 KiB, not {found_kib}")]
pub struct ChunkSizeError {
    /// The size asked for, in KiB.
    pub found_kib: u64,
}

impl ChunkSize {
    /// Size for file archives: 4 MiB.
    pub const ARCHIVE: Self = Self { average_bytes: 4 << 20 };
    /// Size for the file catalog: 512 KiB.
    pub const CATALOG: Self = Self { average_bytes: 512 << 10 };

    /// Returns the size of this many KiB.
    ///
    /// # Errors
    /// Anything but 64, 128, 256, 512, 1024, 2048 and 4096.
    pub const fn from_kib(kib: u64) -> Result<Self, ChunkSizeError> {
        if kib.is_power_of_two() && 64 <= kib && kib <= 4096 {
            Ok(Self { average_bytes: (kib as usize) << 10 })
        } else {
            Err(ChunkSizeError { found_kib: kib })
        }
    }

    /// Returns the average in bytes.
    pub const fn average_bytes(self) -> usize {
        self.average_bytes
    }

    /// Returns the least size of a chunk that is not the last one, in bytes.
    pub const fn min_bytes(self) -> usize {
        self.average_bytes / 4
    }

    /// Returns the largest size of a chunk, in bytes.
    pub const fn max_bytes(self) -> usize {
        self.average_bytes * 4
    }
}

/// Says where chunks end.
pub trait Chunker: Send {
    /// Returns the largest size of a chunk, in bytes.
    fn max_bytes(&self) -> usize;

    /// Returns the length of the chunk that begins with `begun`, or `None` if it does not end there.
    ///
    /// `begun`: all bytes of the current chunk that are there so far, and perhaps some behind it. From call to call it
    /// may only grow, until an end is found; then the next chunk begins behind that end. What is left when the input
    /// ends is the last chunk.
    fn end(&mut self, begun: &[u8]) -> Option<usize>;
}

/// Cuts images into pieces of [`FIXED_CHUNK_BYTES`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedChunker;

impl FixedChunker {
    const BYTES: usize = FIXED_CHUNK_BYTES as usize;
}

impl Chunker for FixedChunker {
    fn max_bytes(&self) -> usize {
        Self::BYTES
    }

    fn end(&mut self, begun: &[u8]) -> Option<usize> {
        (Self::BYTES <= begun.len()).then_some(Self::BYTES)
    }
}

/// Cuts archives where their content says so.
#[derive(Debug, Clone)]
pub struct ContentChunker {
    size: ChunkSize,
    /// Bytes of the current chunk that the hash has seen or will never need to see.
    scanned: usize,
    hash: u32,
}

impl ContentChunker {
    /// Returns a chunker at the beginning of a stream.
    pub const fn new(size: ChunkSize) -> Self {
        Self { size, scanned: 0, hash: 0 }
    }

    /// Starts the hash of a chunk: the first place where it may end is known, and the hash there depends on nothing but
    /// the window before it.
    fn first_hash(begun: &[u8], min_bytes: usize) -> u32 {
        begun[min_bytes - WINDOW_BYTES..min_bytes].iter().fold(0, |hash, byte| enter(hash, *byte))
    }
}

impl Chunker for ContentChunker {
    fn max_bytes(&self) -> usize {
        self.size.max_bytes()
    }

    fn end(&mut self, begun: &[u8]) -> Option<usize> {
        let (min_bytes, max_bytes) = (self.size.min_bytes(), self.size.max_bytes());
        if begun.len() < min_bytes {
            return None;
        }
        let mask = u32::try_from(2 * self.size.average_bytes - 1).unwrap_or(u32::MAX);
        let least = mask - 2;
        if self.scanned < min_bytes {
            self.hash = Self::first_hash(begun, min_bytes);
            self.scanned = min_bytes;
            if least <= self.hash & mask {
                return Some(self.cut(min_bytes));
            }
        }
        let known = &begun[..begun.len().min(max_bytes)];
        let mut hash = self.hash;
        let arriving = &known[self.scanned..];
        let leaving = &known[self.scanned - WINDOW_BYTES..];
        for (position, (byte, oldest)) in arriving.iter().zip(leaving).enumerate() {
            // 64 is a multiple of 32, so what leaves has been rotated back to where it was.
            hash = enter(hash, *byte) ^ TABLE[usize::from(*oldest)];
            if least <= hash & mask {
                return Some(self.cut(self.scanned + position + 1));
            }
        }
        if known.len() == max_bytes {
            return Some(self.cut(max_bytes));
        }
        self.hash = hash;
        self.scanned = known.len();
        None
    }
}

impl ContentChunker {
    /// Gets ready for the next chunk.
    const fn cut(&mut self, length: usize) -> usize {
        self.scanned = 0;
        self.hash = 0;
        length
    }
}

const fn enter(hash: u32, byte: u8) -> u32 {
    hash.rotate_left(1) ^ TABLE[byte as usize]
}

#[cfg(test)]
mod tests;
