//! The blob container: one format for chunks and for small files.
//!
//! | offset | length | unencrypted | encrypted |
//! |---|---|---|---|
//! | 0 | 8 | magic | magic |
//! | 8 | 4 | CRC-32, little-endian, of everything after the header | the same |
//! | 12 | 16 | payload | IV |
//! | 28 | 16 | payload | authentication tag |
//! | 44 | rest | payload | ciphertext |
//!
//! The payload is plain data or one zstd stream; what is encrypted was compressed before. The CRC does not cover IV
//! and tag. A container says nothing about its own digest.
//!
//! Source: `docs/spec/datastore-format.md` 5.

mod decode;
mod encode;

use std::io;

use farhold_crypto::{CryptError, IV_BYTES, TAG_BYTES};
use thiserror::Error;

pub use decode::BlobDecoder;
pub use encode::{BlobEncoder, Compression};

/// Most plain bytes of a chunk on the wire.
pub const MAX_CHUNK_BYTES: usize = 16_777_216;
/// Most encoded bytes of a chunk or blob on the wire: [`MAX_CHUNK_BYTES`] and the larger header.
pub const MAX_ENCODED_BLOB_BYTES: usize = 16_777_260;
/// Most plain bytes that the encoder takes, as the reference does.
pub const MAX_INPUT_BYTES: usize = 128 << 20;

/// Length of the magic number that a container begins with, in bytes.
pub const MAGIC_BYTES: usize = 8;
const PLAIN_HEADER_BYTES: usize = 12;
const ENCRYPTED_HEADER_BYTES: usize = PLAIN_HEADER_BYTES + IV_BYTES + TAG_BYTES;

/// Which steps were applied to the content of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// Neither compressed nor encrypted.
    Plain,
    /// Compressed.
    Zstd,
    /// Encrypted.
    Encrypted,
    /// Compressed, then encrypted.
    EncryptedZstd,
}

impl BlobKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Zstd, Self::Encrypted, Self::EncryptedZstd];

    const fn new(is_encrypted: bool, is_compressed: bool) -> Self {
        match (is_encrypted, is_compressed) {
            (false, false) => Self::Plain,
            (false, true) => Self::Zstd,
            (true, false) => Self::Encrypted,
            (true, true) => Self::EncryptedZstd,
        }
    }

    /// Returns the first 8 bytes of a blob of this kind.
    pub const fn magic(self) -> [u8; MAGIC_BYTES] {
        match self {
            Self::Plain => [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1],
            Self::Zstd => [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f],
            Self::Encrypted => [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0],
            Self::EncryptedZstd => [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b],
        }
    }

    /// Returns whether a key is needed to read it.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Encrypted | Self::EncryptedZstd)
    }

    /// Returns whether the content is a zstd stream.
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::Zstd | Self::EncryptedZstd)
    }

    /// Returns the length of the header in bytes.
    pub const fn header_bytes(self) -> usize {
        if self.is_encrypted() { ENCRYPTED_HEADER_BYTES } else { PLAIN_HEADER_BYTES }
    }
}

/// Why a blob cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There are not even the bytes of the header.
    #[error("blob has {found} bytes, its header alone needs {needed}")]
    TooShort {
        /// Bytes present.
        found: usize,
        /// Bytes of the header.
        needed: usize,
    },
    /// It is no blob, or of a kind we do not know.
    #[error("blob has an unknown magic number {found:02x?}")]
    UnknownMagic {
        /// The first 8 bytes.
        found: [u8; 8],
    },
    /// The stored CRC does not fit the content: it is damaged.
    #[error("blob is damaged, its CRC is {found:08x} instead of {expected:08x}")]
    Damaged {
        /// The stored value.
        expected: u32,
        /// The value of the bytes present.
        found: u32,
    },
    /// The content is larger than the caller can take.
    #[error("blob content is larger than the expected maximum of {max_plain_bytes} bytes")]
    TooLarge {
        /// The caller's limit.
        max_plain_bytes: usize,
    },
    /// It is encrypted and no key was given.
    #[error("blob is encrypted and no key is at hand")]
    KeyMissing,
    /// It was expected to be encrypted and is not.
    #[error("blob is not encrypted")]
    NotEncrypted,
    /// It was expected not to be encrypted and is.
    #[error("blob is encrypted already")]
    IsEncrypted,
    /// Decryption or encryption failed.
    #[error("blob encryption layer failed")]
    Crypt {
        /// The cipher's reason.
        #[source]
        source: CryptError,
    },
    /// The zstd stream is invalid, or compression failed.
    #[error("blob compression layer failed")]
    Compression {
        /// The compressor's reason.
        #[source]
        source: io::Error,
    },
    /// More plain data than one blob may hold.
    #[error("{size_bytes} bytes are too many for one blob, at most {MAX_INPUT_BYTES} are possible")]
    InputTooLong {
        /// Length of the data.
        size_bytes: usize,
    },
}

/// Returns the kind of a blob, looking at its magic number and minimum length only.
///
/// # Errors
/// [`BlobError::TooShort`] and [`BlobError::UnknownMagic`].
pub fn kind(encoded: &[u8]) -> Result<BlobKind, BlobError> {
    let found = encoded.len();
    let magic =
        *encoded.first_chunk::<MAGIC_BYTES>().ok_or(BlobError::TooShort { found, needed: PLAIN_HEADER_BYTES })?;
    let kind =
        BlobKind::ALL.into_iter().find(|k| k.magic() == magic).ok_or(BlobError::UnknownMagic { found: magic })?;
    let needed = kind.header_bytes();
    if found < needed { Err(BlobError::TooShort { found, needed }) } else { Ok(kind) }
}

/// Returns the kind of a blob after checking length, magic number and CRC. Needs no key and decodes nothing.
///
/// # Errors
/// As [`kind`], and [`BlobError::Damaged`] if the CRC does not fit.
pub fn check(encoded: &[u8]) -> Result<BlobKind, BlobError> {
    let kind = kind(encoded)?;
    let (header, payload) = encoded.split_at(kind.header_bytes());
    let expected = u32::from_le_bytes(array(header, MAGIC_BYTES));
    let found = crc32fast::hash(payload);
    if expected == found { Ok(kind) } else { Err(BlobError::Damaged { expected, found }) }
}

/// Writes the CRC of a blob's payload into its header, whatever stood there; returns its kind. Decodes nothing.
///
/// # Errors
/// As [`kind`].
pub fn seal(encoded: &mut [u8]) -> Result<BlobKind, BlobError> {
    let kind = kind(encoded)?;
    let (header, payload) = encoded.split_at_mut(kind.header_bytes());
    header[MAGIC_BYTES..PLAIN_HEADER_BYTES].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    Ok(kind)
}

/// Returns the `N` header bytes at `offset`; the caller has checked that the header is complete.
fn array<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| header[offset + i])
}

#[cfg(test)]
mod tests;
