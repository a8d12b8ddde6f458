//! Why a backup session refuses a request.

use farhold_types::Digest;
use thiserror::Error;

use super::state::Phase;
use crate::writer_request::{MAX_WRITERS, WriterKind};

/// Why a request inside a backup session is refused. The session goes on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriterRefusal {
    /// The backup is being finished, or is finished.
    #[error("the backup is {phase} and takes nothing more")]
    NotActive {
        /// How far it is.
        phase: Phase,
    },
    /// No writer has this number.
    #[error("there is no open writer {writer}")]
    UnknownWriter {
        /// The number.
        writer: u64,
    },
    /// The writer belongs to an index of the other kind.
    #[error("writer {writer} does not write a {} index", match wanted {
        WriterKind::Fixed => "fixed",
        WriterKind::Dynamic => "dynamic",
    })]
    WrongKind {
        /// The number.
        writer: u64,
        /// What the request is for.
        wanted: WriterKind,
    },
    /// The writer's index was closed with a wrong checksum, or could not be written; nothing can be done with it.
    #[error("writer {writer} had an error before")]
    Broken {
        /// The number.
        writer: u64,
    },
    /// The session neither got this chunk nor the index of the base snapshot that names it.
    #[error("chunk {digest} is not known in this session")]
    UnknownChunk {
        /// Its digest.
        digest: Digest,
    },
    /// Two lists belong together and differ in length.
    #[error("{digests} digests came with {offsets} offsets")]
    ListLengths {
        /// Length of the one.
        digests: usize,
        /// Length of the other.
        offsets: usize,
    },
    /// The next chunk of a dynamic index does not begin where the one before ended.
    #[error("chunk begins at {found} where {expected} comes next")]
    Offset {
        /// End of the chunk before.
        expected: u64,
        /// What the request says.
        found: u64,
    },
    /// A chunk of a fixed index begins between two slots.
    #[error("chunk begins at {start}, which is no multiple of {} bytes", super::FIXED_CHUNK_BYTES)]
    Unaligned {
        /// Where.
        start: u64,
    },
    /// A chunk ends behind the end of the image.
    #[error("chunk ends at {end} in an image of {size} bytes")]
    BeyondSize {
        /// Where it ends.
        end: u64,
        /// Size of the image.
        size: u64,
    },
    /// A chunk of a fixed index has another length than its slot.
    #[error("chunk of {length} bytes at {start} is not the last one and has another length than the others")]
    Length {
        /// Where it begins.
        start: u64,
        /// Its length.
        length: u64,
    },
    /// The index would be larger than what can be read.
    #[error("the index has more than {} entries", super::MAX_INDEX_ENTRIES)]
    TooManyEntries,
    /// The session knows as many chunks as it may.
    #[error("the session knows more than {} chunks", super::MAX_KNOWN_CHUNKS)]
    TooManyChunks,
    /// The session made as many indexes as it may, and more than it can name.
    #[error("a session makes no more than {} indexes", MAX_WRITERS + 1)]
    TooManyWriters,
    /// A chunk is too large for a fixed index.
    #[error("chunk of {length} bytes is too large for a fixed index")]
    ChunkTooLarge {
        /// Its length.
        length: u64,
    },
    /// A second short chunk for one fixed index.
    #[error("chunk of {length} bytes is the second short one of writer {writer}")]
    SecondShortChunk {
        /// The writer.
        writer: u64,
        /// Length of the second one.
        length: u64,
    },
    /// A number at the end of an index is wrong.
    #[error("{what} is {found} where {expected} was expected")]
    Total {
        /// Which one.
        what: &'static str,
        /// As the server counted.
        expected: u64,
        /// As the request says.
        found: u64,
    },
    /// An index without any chunk cannot be closed.
    #[error("the index has no chunk")]
    Empty,
    /// A backup with open writers cannot be finished.
    #[error("{count} writer(s) are still open")]
    OpenWriters {
        /// How many.
        count: usize,
    },
    /// A backup without any file cannot be finished.
    #[error("nothing was uploaded")]
    NothingUploaded,
    /// An index can be reused only for an image of known size.
    #[error("reuse of an index needs the size of the image")]
    ReuseWithoutSize,
    /// There is no base snapshot.
    #[error("there is no previous backup to use")]
    NoBase,
    /// The index of the base snapshot is another one than the client has in mind.
    #[error("the index of the previous backup has another checksum")]
    ReuseChecksum,
    /// The new image has another number of chunks than that of the base snapshot.
    #[error("the index of the previous backup has {expected} chunks and the new one {found}")]
    ReuseCount {
        /// Chunks there.
        expected: u64,
        /// Chunks of the new image.
        found: u64,
    },
}

impl WriterRefusal {
    /// Returns the HTTP status of the refusal.
    pub const fn status(&self) -> u16 {
        400
    }
}
