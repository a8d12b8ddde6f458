//! A dynamic index under construction.

use std::sync::Arc;

use farhold_crypto::Sha256;
use farhold_format::index::{
    DYNAMIC_ENTRY_BYTES, HEADER_BYTES, MAX_INDEX_BYTES, dynamic_index_entry, dynamic_index_header,
};
use farhold_types::{ArchiveKind, ArchiveName, Digest};

use super::BackupError;
use super::index_file::{BATCH_BYTES, FinishedIndex, IndexFile, OpenState};
use super::writer::Session;

/// A dynamic index under construction; grows by appending. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct DynamicFile {
    open: OpenState<State>,
}

#[derive(Debug)]
struct State {
    file: IndexFile,
    /// Entries that are not written yet.
    pending: Vec<u8>,
    written: u64,
    size_bytes: u64,
    chunk_count: u64,
    hasher: Sha256,
}

impl State {
    fn flush(&mut self) -> Result<(), BackupError> {
        self.file.file.write_at(self.written, &self.pending)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl DynamicFile {
    pub(super) fn create(session: &Arc<Session>, archive: &ArchiveName) -> Result<Self, BackupError> {
        let file = IndexFile::create(session, archive, ArchiveKind::DynamicIndex)?;
        let state = State {
            file,
            pending: Vec::new(),
            written: HEADER_BYTES as u64,
            size_bytes: 0,
            chunk_count: 0,
            hasher: Sha256::new(),
        };
        Ok(Self { open: OpenState::new(archive, state) })
    }

    /// Returns the archive's name.
    pub fn archive(&self) -> &ArchiveName {
        self.open.archive()
    }

    /// Appends the chunk that ends at content offset `end`; it starts where the one before ends.
    ///
    /// # Errors
    /// [`BackupError::Order`] unless `end` is behind the start; [`BackupError::IndexTooLong`] above 512 MiB of index;
    /// [`BackupError::Closed`]; the storage fails, then the index is worth nothing.
    pub fn push(&self, end: u64, digest: &Digest) -> Result<(), BackupError> {
        let mut state = self.open.lock();
        let state = state.as_mut().ok_or_else(|| self.open.closed())?;
        if end <= state.size_bytes {
            return Err(BackupError::Order { archive: self.archive().clone(), start: state.size_bytes, end });
        }
        let length = (HEADER_BYTES + DYNAMIC_ENTRY_BYTES) as u64 + state.chunk_count * DYNAMIC_ENTRY_BYTES as u64;
        if MAX_INDEX_BYTES < length {
            return Err(state.file.too_long());
        }
        let entry = dynamic_index_entry(end, digest);
        state.hasher.update(&entry);
        state.pending.extend_from_slice(&entry);
        state.size_bytes = end;
        state.chunk_count += 1;
        if BATCH_BYTES <= state.pending.len() { state.flush() } else { Ok(()) }
    }

    /// Closes the index and gives the file its final name, if its entries have the checksum `expected`.
    ///
    /// # Errors
    /// [`BackupError::Empty`]: nothing happened. [`BackupError::Checksum`] and all others: the index is closed and gone.
    pub fn finish(&self, expected: &Digest) -> Result<FinishedIndex, BackupError> {
        let (_closed, mut state) = self.open.close(|state| state.chunk_count == 0)?;
        let checksum = std::mem::take(&mut state.hasher).finish();
        state.file.check(expected, checksum)?;
        state.flush()?;
        let (uuid, created) = (state.file.uuid, state.file.created);
        state.file.publish(&dynamic_index_header(uuid, created, &checksum))?;
        Ok(FinishedIndex { uuid, checksum, size_bytes: state.size_bytes, chunk_count: state.chunk_count })
    }
}
