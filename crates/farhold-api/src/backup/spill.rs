//! Bodies that wait on disk: one file without a name for each session, in slots of the largest body.
//!
//! Only what is full of bodies that nobody can work on yet gets here. A slot is used again; when none is in use the
//! file is cut to nothing, so that a session does not hold space for a busy moment.

use std::sync::{Arc, Mutex, PoisonError};

use farhold_datastore::WorkingFile;
use farhold_format::blob::MAX_ENCODED_BLOB_BYTES;

use crate::error::ApiError;

/// Bytes from one slot to the next: the largest body, rounded up to whole pages.
const SLOT_BYTES: u64 = (MAX_ENCODED_BLOB_BYTES as u64).next_multiple_of(65_536);

/// Makes the file of a session. Blocking.
pub(super) type MakeScratch = Box<dyn Fn() -> Result<Box<dyn WorkingFile>, ApiError> + Send + Sync>;

/// The file of one session, made when it is first needed.
pub(super) struct Spill {
    make: MakeScratch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<Arc<dyn WorkingFile>>,
    used: Vec<bool>,
}

/// A slot; free again when dropped.
pub(super) struct Slot {
    spill: Arc<Spill>,
    file: Arc<dyn WorkingFile>,
    number: usize,
    length: u64,
}

impl Spill {
    pub fn new(make: MakeScratch) -> Arc<Self> {
        Arc::new(Self { make, state: Mutex::default() })
    }

    /// Returns an empty slot. Blocking.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn slot(self: &Arc<Self>) -> Result<Slot, ApiError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(state.file.insert((self.make)()?.into())),
        };
        let number = state.used.iter().position(|is_used| !is_used).unwrap_or(state.used.len());
        if number == state.used.len() {
            state.used.push(true);
        } else {
            state.used[number] = true;
        }
        Ok(Slot { spill: Arc::clone(self), file, number, length: 0 })
    }

    #[cfg(test)]
    pub fn slots_in_use(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used.iter().filter(|is_used| **is_used).count()
    }
}

impl Slot {
    fn offset(&self) -> u64 {
        self.number as u64 * SLOT_BYTES
    }

    /// Adds to the end of the slot. Blocking.
    ///
    /// # Errors
    /// No space, or the slot is full.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let length = self.length + bytes.len() as u64;
        if SLOT_BYTES < length {
            return Err(ApiError::internal("a body is larger than any can be"));
        }
        self.file.write_at(self.offset() + self.length, bytes).map_err(|error| ApiError::from_chain(&error))?;
        self.length = length;
        Ok(())
    }

    /// Returns what is in the slot. Blocking.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, ApiError> {
        let wanted = usize::try_from(self.length).unwrap_or(usize::MAX);
        let bytes = self.file.read_at(self.offset(), wanted).map_err(|error| ApiError::from_chain(&error))?;
        if bytes.len() == wanted { Ok(bytes) } else { Err(ApiError::internal("a body that waited on disk is cut off")) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.spill.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used[self.number] = false;
        if state.used.iter().all(|is_used| !is_used) {
            state.used.clear();
            // The space comes back with the session at the latest.
            let _ = self.file.set_length(0);
        }
    }
}
