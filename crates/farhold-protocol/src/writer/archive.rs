//! One index under construction: what was appended to it and what its end must say.

use farhold_types::{ArchiveName, Digest};

use super::refusal::WriterRefusal;
use super::state::UploadCounts;
use super::{FIXED_CHUNK_BYTES, MAX_INDEX_ENTRIES};

/// An entry that a dynamic index gets at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicEntry {
    /// Where the chunk ends in the archive.
    pub end: u64,
    /// Its digest.
    pub digest: Digest,
}

/// A slot of a fixed index to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedEntry {
    /// Number of the slot, from 0.
    pub slot: u64,
    /// Digest of its chunk.
    pub digest: Digest,
}

/// What is left of an append: entries before the first wrong one count, also when the request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended<E> {
    /// Entries to write, in order.
    pub entries: Vec<E>,
    /// Why the rest is refused.
    pub refusal: Option<WriterRefusal>,
}

/// An append to a fixed index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAppend {
    /// Slots to write.
    pub appended: Appended<FixedEntry>,
    /// Size of the image in bytes afterwards; the index must have slots for it.
    pub size_bytes: u64,
}

/// An index that was closed, as the task log describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedIndex {
    /// Its name.
    pub archive: ArchiveName,
    /// Size of its content.
    pub size_bytes: u64,
    /// Its entries.
    pub chunk_count: u64,
    /// What was uploaded for it.
    pub uploaded: UploadCounts,
}

/// A writer.
#[derive(Debug)]
pub(super) struct Archive {
    pub name: ArchiveName,
    pub form: Form,
    pub uploaded: UploadCounts,
    /// Closed with an error; can only be abandoned with the session.
    pub is_broken: bool,
}

#[derive(Debug)]
pub(super) enum Form {
    Dynamic(DynamicForm),
    Fixed(FixedForm),
}

#[derive(Debug, Default)]
pub(super) struct DynamicForm {
    /// End of the last chunk.
    end: u64,
    count: u64,
}

impl DynamicForm {
    pub fn append(&mut self, digest: Digest, start: u64, length: u64) -> Result<DynamicEntry, WriterRefusal> {
        if start != self.end {
            return Err(WriterRefusal::Offset { expected: self.end, found: start });
        }
        if self.count == MAX_INDEX_ENTRIES {
            return Err(WriterRefusal::TooManyEntries);
        }
        // Chunks have at most 16 MiB each and their number is bounded: no overflow.
        self.end += length;
        self.count += 1;
        Ok(DynamicEntry { end: self.end, digest })
    }
}

#[derive(Debug)]
pub(super) struct FixedForm {
    size: u64,
    /// Whether the size can still grow: it was not announced, and no chunk ended between two slots yet.
    grows: bool,
    is_incremental: bool,
    /// Pairs appended, also to slots written before.
    count: u64,
    has_short_chunk: bool,
}

impl FixedForm {
    pub const fn new(size: Option<u64>, is_incremental: bool) -> Self {
        let (size, grows) = match size {
            Some(size) => (size, false),
            None => (0, true),
        };
        Self { size, grows, is_incremental, count: 0, has_short_chunk: false }
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    pub fn check_chunk(&self, writer: u64, length: u64) -> Result<(), WriterRefusal> {
        if FIXED_CHUNK_BYTES < length {
            return Err(WriterRefusal::ChunkTooLarge { length });
        }
        if length < FIXED_CHUNK_BYTES && self.has_short_chunk {
            return Err(WriterRefusal::SecondShortChunk { writer, length });
        }
        Ok(())
    }

    pub fn note_chunk(&mut self, length: u64) {
        self.has_short_chunk |= length < FIXED_CHUNK_BYTES;
    }

    pub fn append(&mut self, digest: Digest, start: u64, length: u64) -> Result<FixedEntry, WriterRefusal> {
        if !start.is_multiple_of(FIXED_CHUNK_BYTES) {
            return Err(WriterRefusal::Unaligned { start });
        }
        let slot = start / FIXED_CHUNK_BYTES;
        if MAX_INDEX_ENTRIES <= slot {
            return Err(WriterRefusal::TooManyEntries);
        }
        let end = start + length;
        let new_size = if self.grows { self.size.max(end) } else { self.size };
        if new_size < end {
            return Err(WriterRefusal::BeyondSize { end, size: self.size });
        }
        if FIXED_CHUNK_BYTES < length || (length < FIXED_CHUNK_BYTES && end != new_size) {
            return Err(WriterRefusal::Length { start, length });
        }
        self.size = new_size;
        self.grows &= end.is_multiple_of(FIXED_CHUNK_BYTES);
        self.count += 1;
        Ok(FixedEntry { slot, digest })
    }
}

fn expect(what: &'static str, expected: u64, found: u64) -> Result<(), WriterRefusal> {
    if expected == found { Ok(()) } else { Err(WriterRefusal::Total { what, expected, found }) }
}

impl Archive {
    /// Checks what a close request says; changes nothing.
    pub fn check_totals(&self, chunk_count: u64, size: u64) -> Result<(), WriterRefusal> {
        match &self.form {
            Form::Dynamic(form) => {
                expect("number of chunks", form.count, chunk_count)?;
                expect("size", form.end, size)?;
                if form.count == 0 { Err(WriterRefusal::Empty) } else { Ok(()) }
            }
            Form::Fixed(form) => {
                expect("number of chunks", form.count, chunk_count)?;
                if form.size == 0 {
                    return Err(WriterRefusal::Empty);
                }
                // QEMU tells what it sent this time, which says nothing about an index that began full.
                if form.is_incremental {
                    return Ok(());
                }
                expect("number of chunks", self.chunk_count(), chunk_count)?;
                expect("size", form.size, size)
            }
        }
    }

    /// Returns the entries of the index.
    pub const fn chunk_count(&self) -> u64 {
        match &self.form {
            Form::Dynamic(form) => form.count,
            Form::Fixed(form) => form.size.div_ceil(FIXED_CHUNK_BYTES),
        }
    }

    /// Returns the size of its content.
    pub const fn size_bytes(&self) -> u64 {
        match &self.form {
            Form::Dynamic(form) => form.end,
            Form::Fixed(form) => form.size,
        }
    }
}
