//! A fixed index under construction.

use std::io;
use std::path::Path;
use std::sync::Arc;

use farhold_crypto::Sha256;
use farhold_format::index::{
    FIXED_CHUNK_BYTES, FIXED_ENTRY_BYTES, HEADER_BYTES, Index, MAX_INDEX_BYTES, fixed_index_bytes, fixed_index_header,
};
use farhold_storage::{Operation, StorageError};
use farhold_types::{ArchiveKind, ArchiveName, Digest};

use super::BackupError;
use super::index_file::{BATCH_BYTES, FinishedIndex, IndexFile, OpenState};
use super::writer::Session;

/// How much of the file is read at once for the checksum, in bytes; a whole number of entries.
const READ_BYTES: usize = 1 << 20;

/// A fixed index under construction; its slots are filled in any order. Dropped before [`finish`](Self::finish), it
/// leaves nothing.
///
/// The file has holes where nothing was written yet, so that neither memory nor space follows an announced size.
#[derive(Debug)]
pub struct FixedFile {
    open: OpenState<State>,
}

#[derive(Debug)]
struct State {
    file: IndexFile,
    size_bytes: u64,
    /// Digests for the slots from `pending_slot` on that are not written yet.
    pending: Vec<u8>,
    pending_slot: u64,
}

fn slots(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(FIXED_CHUNK_BYTES)
}

fn offset(slot: u64) -> u64 {
    HEADER_BYTES as u64 + slot * FIXED_ENTRY_BYTES as u64
}

impl State {
    fn flush(&mut self) -> Result<(), BackupError> {
        if !self.pending.is_empty() {
            self.file.file.write_at(offset(self.pending_slot), &self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    fn set_size(&mut self, size_bytes: u64) -> Result<(), BackupError> {
        match fixed_index_bytes(size_bytes, FIXED_CHUNK_BYTES) {
            Some(length) if length <= MAX_INDEX_BYTES => {
                self.size_bytes = size_bytes;
                Ok(())
            }
            _ => Err(self.file.too_long()),
        }
    }

    /// Returns the checksum over all slots as they lie in the file.
    fn checksum(&self) -> Result<Digest, BackupError> {
        let (mut at, end) = (offset(0), offset(slots(self.size_bytes)));
        let mut hasher = Sha256::new();
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let piece = self.file.file.read_at(at, wanted)?;
            if piece.len() < wanted {
                // The length was set before, so somebody else cut the file off.
                let (path, source) = (Path::new(self.file.archive.as_str()), io::ErrorKind::UnexpectedEof.into());
                return Err(StorageError::from_io(Operation::Read, path, source).into());
            }
            hasher.update(&piece);
            at += wanted as u64;
        }
        Ok(hasher.finish())
    }
}

impl FixedFile {
    pub(super) fn create(
        session: &Arc<Session>,
        archive: &ArchiveName,
        size_bytes: Option<u64>,
        base: Option<&Index>,
    ) -> Result<Self, BackupError> {
        if size_bytes == Some(0) {
            return Err(BackupError::Empty { archive: archive.clone() });
        }
        let file = IndexFile::create(session, archive, ArchiveKind::FixedIndex)?;
        let mut state = State { file, size_bytes: 0, pending: Vec::new(), pending_slot: 0 };
        if let Some(size_bytes) = size_bytes {
            state.set_size(size_bytes)?;
            // Shows at once what the file system cannot hold.
            state.file.file.set_length(offset(slots(size_bytes)))?;
        }
        if let Some(base) = base {
            let size_bytes = size_bytes.ok_or_else(|| BackupError::SizeMissing { archive: archive.clone() })?;
            check_base(base, size_bytes)
                .map_err(|reason| BackupError::BaseUnfit { archive: archive.clone(), reason })?;
            state.file.file.write_at(offset(0), base.entries())?;
        }
        Ok(Self { open: OpenState::new(archive, state) })
    }

    /// Returns the archive's name.
    pub fn archive(&self) -> &ArchiveName {
        self.open.archive()
    }

    /// Returns the number of slots; 0 for a closed index and one of unknown size that has not grown yet.
    pub fn slots(&self) -> u64 {
        slots(self.size_bytes())
    }

    /// Returns the size of the content in bytes, as far as it is known; 0 for a closed index.
    pub fn size_bytes(&self) -> u64 {
        self.open.lock().as_ref().map_or(0, |state| state.size_bytes)
    }

    /// Changes the size of the content; slots that vanish are forgotten when the index is closed.
    ///
    /// # Errors
    /// [`BackupError::IndexTooLong`], [`BackupError::Closed`].
    pub fn resize(&self, size_bytes: u64) -> Result<(), BackupError> {
        self.open.lock().as_mut().ok_or_else(|| self.open.closed())?.set_size(size_bytes)
    }

    /// Puts a digest into a slot, counted from 0; the second call for a slot counts.
    ///
    /// # Errors
    /// [`BackupError::Slot`], [`BackupError::Closed`]; the storage fails, then the index is worth nothing.
    pub fn set(&self, slot: u64, digest: &Digest) -> Result<(), BackupError> {
        let mut state = self.open.lock();
        let state = state.as_mut().ok_or_else(|| self.open.closed())?;
        let slots = slots(state.size_bytes);
        if slots <= slot {
            return Err(BackupError::Slot { archive: self.archive().clone(), slot, slots });
        }
        let next = state.pending_slot + (state.pending.len() / FIXED_ENTRY_BYTES) as u64;
        if slot != next || BATCH_BYTES <= state.pending.len() {
            state.flush()?;
        }
        if state.pending.is_empty() {
            state.pending_slot = slot;
        }
        state.pending.extend_from_slice(digest.as_bytes());
        Ok(())
    }

    /// Closes the index and gives the file its final name, if its slots have the checksum `expected`. Slots never set
    /// are zero.
    ///
    /// # Errors
    /// [`BackupError::Empty`]: nothing happened. [`BackupError::Checksum`] and all others: the index is closed and gone.
    pub fn finish(&self, expected: &Digest) -> Result<FinishedIndex, BackupError> {
        let (_closed, mut state) = self.open.close(|state| state.size_bytes == 0)?;
        state.flush()?;
        state.file.file.set_length(offset(slots(state.size_bytes)))?;
        let checksum = state.checksum()?;
        state.file.check(expected, checksum)?;
        let (uuid, created, size_bytes) = (state.file.uuid, state.file.created, state.size_bytes);
        state.file.publish(&fixed_index_header(uuid, created, size_bytes, FIXED_CHUNK_BYTES, &checksum))?;
        Ok(FinishedIndex { uuid, checksum, size_bytes, chunk_count: slots(size_bytes) })
    }
}

/// Checks that the digests of `base` can start an index for this size; says what differs.
fn check_base(base: &Index, size_bytes: u64) -> Result<(), String> {
    match base.chunk_size_bytes() {
        Some(FIXED_CHUNK_BYTES) => {}
        Some(other) => return Err(format!("its chunks have {other} bytes")),
        None => return Err("it is a dynamic index".to_owned()),
    }
    let (found, needed) = (base.chunk_count() as u64, slots(size_bytes));
    if found == needed { Ok(()) } else { Err(format!("it has {found} chunks, the new one {needed}")) }
}
