//! Images of known size: each piece is read where it lies, by the worker that hashes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use farhold_format::index::FIXED_CHUNK_BYTES;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::chunk_work::{ChunkWork, Hashed, Share};
use crate::error::BackupError;

/// An open image.
#[derive(Clone)]
pub(crate) struct Image {
    file: Arc<File>,
    size_bytes: u64,
}

impl Image {
    pub(crate) fn new(file: File, size_bytes: u64) -> Self {
        Self { file: Arc::new(file), size_bytes }
    }

    /// Returns the number of pieces.
    pub(crate) const fn chunk_count(&self) -> u64 {
        self.size_bytes.div_ceil(FIXED_CHUNK_BYTES)
    }

    /// Returns the length of a piece in bytes.
    pub(crate) const fn chunk_bytes(&self, position: u64) -> usize {
        let start = position * FIXED_CHUNK_BYTES;
        let left = self.size_bytes - start;
        (if left < FIXED_CHUNK_BYTES { left } else { FIXED_CHUNK_BYTES }) as usize
    }

    /// Reads and hashes a piece. Pieces that the file system knows as holes are not read. Blocks.
    ///
    /// # Errors
    /// [`BackupError::Read`], [`BackupError::Shrank`].
    pub(crate) fn chunk(&self, work: &ChunkWork, position: u64, memory: Share) -> Result<Hashed, BackupError> {
        let start = position * FIXED_CHUNK_BYTES;
        let length = self.chunk_bytes(position);
        if length as u64 == FIXED_CHUNK_BYTES && self.is_hole(start, FIXED_CHUNK_BYTES) {
            return Ok(work.zeros());
        }
        let mut buffer = work.buffer();
        // What is in a used buffer is overwritten, so that only a new one must be cleared.
        buffer.resize(length, 0);
        let mut filled = 0;
        while filled < length {
            let offset = start + filled as u64;
            match self.file.read_at(&mut buffer[filled..], offset) {
                Ok(0) => return Err(BackupError::Shrank { expected_bytes: self.size_bytes, found_bytes: offset }),
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BackupError::Read { position: offset, source }),
            }
        }
        Ok(work.hash(buffer, memory))
    }

    /// Returns whether the file system holds no data for a range. What it says about holes is believed, as by all programs
    /// that copy sparse files. Moves the file's position, which nobody uses.
    fn is_hole(&self, start: u64, length: u64) -> bool {
        let Ok(offset) = i64::try_from(start) else { return false };
        match lseek(&*self.file, offset, Whence::SeekData) {
            Ok(data) => u64::try_from(data).is_ok_and(|data| start + length <= data),
            // No data up to the end. A file that became shorter says the same, which must not pass for zeros.
            Err(Errno::ENXIO) => self.file.metadata().is_ok_and(|metadata| start + length <= metadata.len()),
            Err(_) => false,
        }
    }
}
