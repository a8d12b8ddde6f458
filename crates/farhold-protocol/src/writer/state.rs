//! The state of one backup session.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use farhold_types::{ArchiveName, Digest};

use super::archive::{Appended, Archive, ClosedIndex, DynamicEntry, DynamicForm, FixedAppend, FixedForm, Form};
use super::refusal::WriterRefusal;
use super::{FIXED_CHUNK_BYTES, MAX_INDEX_ENTRIES, MAX_KNOWN_CHUNKS};
use crate::writer_request::{MAX_WRITERS, WriterKind};

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Takes uploads.
    Active,
    /// The manifest is being completed. A session whose manifest cannot be completed stays here.
    Finishing,
    /// The snapshot is complete.
    Finished,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Finishing => "being finished",
            Self::Finished => "finished",
        })
    }
}

/// Counts of what was uploaded. Source: `docs/spec/datastore-format.md` 10.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadCounts {
    /// Chunks.
    pub chunk_count: u64,
    /// Their plain bytes; for a session plus the encoded bytes of all blobs.
    pub size_bytes: u64,
    /// Encoded bytes of the chunks.
    pub encoded_bytes: u64,
    /// Chunks that the server already had.
    pub duplicate_count: u64,
}

impl UploadCounts {
    fn add(&mut self, other: Self) {
        self.chunk_count += other.chunk_count;
        self.size_bytes += other.size_bytes;
        self.encoded_bytes += other.encoded_bytes;
        self.duplicate_count += other.duplicate_count;
    }
}

/// Checks whether the index of a base snapshot can be the beginning of a new one; returns the size of the new image.
///
/// `base`: checksum (recomputed) and number of chunks of the base's index of the same name; `None` without base or
/// index. `wanted`: the client's checksum, `None` if it is not even one.
///
/// # Errors
/// [`WriterRefusal`].
pub fn check_reuse(
    size: Option<u64>,
    base: Option<(Digest, u64)>,
    wanted: Option<Digest>,
) -> Result<u64, WriterRefusal> {
    let (checksum, expected) = base.ok_or(WriterRefusal::NoBase)?;
    let size = size.ok_or(WriterRefusal::ReuseWithoutSize)?;
    if wanted != Some(checksum) {
        return Err(WriterRefusal::ReuseChecksum);
    }
    let found = size.div_ceil(FIXED_CHUNK_BYTES);
    if found == expected { Ok(size) } else { Err(WriterRefusal::ReuseCount { expected, found }) }
}

/// State of one backup session.
///
/// Methods that take a writer's number expect it in 1 to
/// [`MAX_WRITERS`](crate::writer_request::MAX_WRITERS), which the parameters ensure.
#[derive(Debug)]
pub struct WriterState {
    phase: Phase,
    last_writer: u64,
    writers: BTreeMap<u64, Archive>,
    known: HashMap<Digest, u32>,
    file_count: u64,
    /// Over the closed archives and all blobs.
    uploaded: UploadCounts,
}

impl Default for WriterState {
    fn default() -> Self {
        Self::new()
    }
}

impl WriterState {
    /// Returns the state of a session that has just begun.
    pub fn new() -> Self {
        Self {
            phase: Phase::Active,
            last_writer: 0,
            writers: BTreeMap::new(),
            known: HashMap::new(),
            file_count: 0,
            uploaded: UploadCounts::default(),
        }
    }

    /// Returns how far the backup is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns what was uploaded for closed archives, and all blobs.
    pub const fn uploaded(&self) -> UploadCounts {
        self.uploaded
    }

    /// Returns how many different chunks may be named in appends.
    pub fn known_count(&self) -> usize {
        self.known.len()
    }

    /// Checks that the session still takes uploads.
    ///
    /// # Errors
    /// [`WriterRefusal::NotActive`].
    pub const fn check_active(&self) -> Result<(), WriterRefusal> {
        match self.phase {
            Phase::Active => Ok(()),
            phase => Err(WriterRefusal::NotActive { phase }),
        }
    }

    /// Checks that the session may make another index, before its file is made.
    ///
    /// One more is made than requests can name, as the reference does; each has an open file, so there is an end.
    ///
    /// # Errors
    /// The session is not active, or made too many.
    pub fn check_new_index(&self) -> Result<(), WriterRefusal> {
        self.check_active()?;
        if self.last_writer <= u64::from(MAX_WRITERS) { Ok(()) } else { Err(WriterRefusal::TooManyWriters) }
    }

    /// Checks the announced size of a fixed index before its file is made, and what [`Self::check_new_index`] checks.
    ///
    /// # Errors
    /// As there, or the image is too large.
    pub fn check_new_fixed(&self, size: Option<u64>) -> Result<(), WriterRefusal> {
        self.check_new_index()?;
        match size {
            Some(size) if MAX_INDEX_ENTRIES < size.div_ceil(FIXED_CHUNK_BYTES) => Err(WriterRefusal::TooManyEntries),
            _ => Ok(()),
        }
    }

    /// Registers a dynamic index whose file exists now; returns its writer's number.
    ///
    /// A name may be used twice. The 257th writer gets a number that no request can name.
    ///
    /// # Errors
    /// As [`Self::check_new_index`].
    pub fn register_dynamic(&mut self, name: ArchiveName) -> Result<u64, WriterRefusal> {
        self.register(name, Form::Dynamic(DynamicForm::default()))
    }

    /// Registers a fixed index whose file exists now; returns its writer's number.
    ///
    /// `size`: of the image, if it is known. `is_incremental`: the index began with the content of the base's one.
    ///
    /// # Errors
    /// As [`Self::check_new_index`].
    pub fn register_fixed(
        &mut self,
        name: ArchiveName,
        size: Option<u64>,
        is_incremental: bool,
    ) -> Result<u64, WriterRefusal> {
        self.register(name, Form::Fixed(FixedForm::new(size, is_incremental)))
    }

    fn register(&mut self, name: ArchiveName, form: Form) -> Result<u64, WriterRefusal> {
        self.check_new_index()?;
        self.last_writer += 1;
        let archive = Archive { name, form, uploaded: UploadCounts::default(), is_broken: false };
        self.writers.insert(self.last_writer, archive);
        Ok(self.last_writer)
    }

    fn writer(&self, kind: WriterKind, writer: u64) -> Result<&Archive, WriterRefusal> {
        let archive = self.writers.get(&writer).ok_or(WriterRefusal::UnknownWriter { writer })?;
        match (&archive.form, kind) {
            (Form::Dynamic(_), WriterKind::Fixed) | (Form::Fixed(_), WriterKind::Dynamic) => {
                Err(WriterRefusal::WrongKind { writer, wanted: kind })
            }
            _ if archive.is_broken => Err(WriterRefusal::Broken { writer }),
            _ => Ok(archive),
        }
    }

    fn writer_mut(&mut self, kind: WriterKind, writer: u64) -> Result<&mut Archive, WriterRefusal> {
        self.writer(kind, writer)?;
        self.writers.get_mut(&writer).ok_or(WriterRefusal::UnknownWriter { writer })
    }

    /// Checks that a chunk may be uploaded for a writer. Asked before the chunk is stored, so that nothing is stored
    /// in vain, and again by [`WriterState::register_chunk`].
    ///
    /// # Errors
    /// [`WriterRefusal`].
    pub fn check_chunk(&self, kind: WriterKind, writer: u64, plain_bytes: u64) -> Result<(), WriterRefusal> {
        self.check_active()?;
        match &self.writer(kind, writer)?.form {
            Form::Fixed(form) => form.check_chunk(writer, plain_bytes),
            Form::Dynamic(_) => Ok(()),
        }
    }

    /// Registers a chunk that was stored: it may be appended from now on, to any index of the session.
    ///
    /// # Errors
    /// The writer is not open, or does not take this chunk. The chunk does not become known then.
    pub fn register_chunk(
        &mut self,
        kind: WriterKind,
        writer: u64,
        digest: Digest,
        plain_bytes: u32,
        encoded_bytes: u64,
        is_duplicate: bool,
    ) -> Result<(), WriterRefusal> {
        let length = u64::from(plain_bytes);
        self.check_chunk(kind, writer, length)?;
        self.know(digest, plain_bytes)?;
        let archive = self.writer_mut(kind, writer)?;
        if let Form::Fixed(form) = &mut archive.form {
            form.note_chunk(length);
        }
        archive.uploaded.add(UploadCounts {
            chunk_count: 1,
            size_bytes: length,
            encoded_bytes,
            duplicate_count: u64::from(is_duplicate),
        });
        Ok(())
    }

    /// Makes the chunks of an index of the base snapshot known. `chunks`: digests and lengths.
    ///
    /// # Errors
    /// The session knows too many chunks.
    pub fn register_previous(&mut self, chunks: impl IntoIterator<Item = (Digest, u32)>) -> Result<(), WriterRefusal> {
        chunks.into_iter().try_for_each(|(digest, plain_bytes)| self.know(digest, plain_bytes))
    }

    fn know(&mut self, digest: Digest, plain_bytes: u32) -> Result<(), WriterRefusal> {
        if MAX_KNOWN_CHUNKS <= self.known.len() && !self.known.contains_key(&digest) {
            return Err(WriterRefusal::TooManyChunks);
        }
        self.known.insert(digest, plain_bytes);
        Ok(())
    }

    fn known_length(&self, digest: &Digest) -> Result<u64, WriterRefusal> {
        self.known.get(digest).map(|length| u64::from(*length)).ok_or(WriterRefusal::UnknownChunk { digest: *digest })
    }

    /// Appends to a dynamic index. `starts`: where each chunk begins.
    ///
    /// # Errors
    /// Nothing was appended. A refusal in the middle is in the result, see [`Appended`].
    pub fn append_dynamic(
        &mut self,
        writer: u64,
        digests: &[Digest],
        starts: &[u64],
    ) -> Result<Appended<DynamicEntry>, WriterRefusal> {
        self.append(WriterKind::Dynamic, writer, digests, starts, |form, digest, start, length| match form {
            Form::Dynamic(form) => form.append(digest, start, length),
            Form::Fixed(_) => Err(WriterRefusal::WrongKind { writer, wanted: WriterKind::Dynamic }),
        })
    }

    /// Writes slots of a fixed index, in any order and also repeatedly. `starts`: where each chunk begins.
    ///
    /// # Errors
    /// Nothing was appended. A refusal in the middle is in the result, see [`Appended`].
    pub fn append_fixed(
        &mut self,
        writer: u64,
        digests: &[Digest],
        starts: &[u64],
    ) -> Result<FixedAppend, WriterRefusal> {
        let appended =
            self.append(WriterKind::Fixed, writer, digests, starts, |form, digest, start, length| match form {
                Form::Fixed(form) => form.append(digest, start, length),
                Form::Dynamic(_) => Err(WriterRefusal::WrongKind { writer, wanted: WriterKind::Fixed }),
            })?;
        let size_bytes = match &self.writer(WriterKind::Fixed, writer)?.form {
            Form::Fixed(form) => form.size(),
            Form::Dynamic(_) => return Err(WriterRefusal::WrongKind { writer, wanted: WriterKind::Fixed }),
        };
        Ok(FixedAppend { appended, size_bytes })
    }

    fn append<E>(
        &mut self,
        kind: WriterKind,
        writer: u64,
        digests: &[Digest],
        starts: &[u64],
        mut place: impl FnMut(&mut Form, Digest, u64, u64) -> Result<E, WriterRefusal>,
    ) -> Result<Appended<E>, WriterRefusal> {
        self.check_active()?;
        if digests.len() != starts.len() {
            return Err(WriterRefusal::ListLengths { digests: digests.len(), offsets: starts.len() });
        }
        self.writer(kind, writer)?;
        let mut entries = Vec::with_capacity(digests.len());
        for (digest, start) in digests.iter().zip(starts) {
            let placed = self
                .known_length(digest)
                .and_then(|length| place(&mut self.writer_mut(kind, writer)?.form, *digest, *start, length));
            match placed {
                Ok(entry) => entries.push(entry),
                Err(refusal) => return Ok(Appended { entries, refusal: Some(refusal) }),
            }
        }
        Ok(Appended { entries, refusal: None })
    }

    /// Checks what the end of an index says, before its file gets its name. After a refusal the writer stays usable.
    ///
    /// # Errors
    /// [`WriterRefusal`].
    pub fn check_close(&self, kind: WriterKind, writer: u64, chunk_count: u64, size: u64) -> Result<(), WriterRefusal> {
        self.check_active()?;
        self.writer(kind, writer)?.check_totals(chunk_count, size)
    }

    /// Closes an index whose file has its name now; returns what the task log tells about it.
    ///
    /// To be called under the same lock over appends of this writer as [`WriterState::check_close`].
    ///
    /// # Errors
    /// The writer is not open.
    pub fn close(&mut self, kind: WriterKind, writer: u64) -> Result<ClosedIndex, WriterRefusal> {
        self.writer(kind, writer)?;
        let archive = self.writers.remove(&writer).ok_or(WriterRefusal::UnknownWriter { writer })?;
        self.file_count += 1;
        self.uploaded.add(archive.uploaded);
        let (size_bytes, chunk_count) = (archive.size_bytes(), archive.chunk_count());
        Ok(ClosedIndex { archive: archive.name, size_bytes, chunk_count, uploaded: archive.uploaded })
    }

    /// Makes a writer unusable whose file could not be written, or whose checksum was wrong at the end. It stays, so
    /// that the backup cannot be finished any more.
    pub fn break_writer(&mut self, writer: u64) {
        if let Some(archive) = self.writers.get_mut(&writer) {
            archive.is_broken = true;
        }
    }

    /// Counts a blob that was stored.
    pub fn register_blob(&mut self, encoded_bytes: u64) {
        self.file_count += 1;
        self.uploaded.size_bytes += encoded_bytes;
    }

    /// Begins to finish the backup; returns what was uploaded.
    ///
    /// # Errors
    /// Something is missing; the session stays active.
    pub fn begin_finish(&mut self) -> Result<UploadCounts, WriterRefusal> {
        self.check_active()?;
        if !self.writers.is_empty() {
            return Err(WriterRefusal::OpenWriters { count: self.writers.len() });
        }
        if self.file_count == 0 {
            return Err(WriterRefusal::NothingUploaded);
        }
        self.phase = Phase::Finishing;
        Ok(self.uploaded)
    }

    /// Takes the beginning of the end back: the base snapshot is not there. May be repeated when it is back.
    pub fn back_to_active(&mut self) {
        if self.phase == Phase::Finishing {
            self.phase = Phase::Active;
        }
    }

    /// Notes that the snapshot is complete.
    pub fn finished(&mut self) {
        self.phase = Phase::Finished;
    }
}
