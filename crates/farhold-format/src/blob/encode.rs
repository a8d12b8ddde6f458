//! Plain data to blobs.

use std::io::Cursor;

use farhold_crypto::{CryptConfig, IV_BYTES, Iv};
use zstd::bulk::Compressor;

use super::decode::OUTPUT_FULL;
use super::{BlobError, BlobKind, MAGIC_BYTES, MAX_INPUT_BYTES, PLAIN_HEADER_BYTES, kind};

/// Level at which the reference compresses. Source: `docs/spec/datastore-format.md` 25.
const ZSTD_LEVEL: i32 = 1;

/// Whether to try compression. A result larger than the input is not used in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Store the data as it is.
    Off,
    /// Compress it if that does not make it longer.
    On,
}

/// Encodes blobs, one after the other. Keeps its zstd context, so use one per worker.
pub struct BlobEncoder {
    compressor: Compressor<'static>,
}

impl BlobEncoder {
    /// Returns an encoder with a fresh context.
    pub fn new() -> Self {
        let compressor = Compressor::new(ZSTD_LEVEL).expect("a built-in compression level is accepted");
        Self { compressor }
    }

    /// Returns the blob with content `plain`.
    ///
    /// `encryption`: key and IV, which must be random and fresh for every blob. Content that compression would make
    /// longer, the empty one included, stays uncompressed.
    ///
    /// # Errors
    /// [`BlobError::InputTooLong`] above [`MAX_INPUT_BYTES`]; otherwise only if the libraries run out of memory.
    pub fn encode(
        &mut self,
        plain: &[u8],
        compression: Compression,
        encryption: Option<(&CryptConfig, Iv)>,
    ) -> Result<Vec<u8>, BlobError> {
        let size_bytes = plain.len();
        if MAX_INPUT_BYTES < size_bytes {
            return Err(BlobError::InputTooLong { size_bytes });
        }
        let header_bytes = BlobKind::new(encryption.is_some(), false).header_bytes();
        let mut encoded = Vec::with_capacity(header_bytes + size_bytes);
        encoded.resize(header_bytes, 0);
        let is_compressed = compression == Compression::On && self.compress(plain, &mut encoded)?;
        if !is_compressed {
            encoded.truncate(header_bytes);
            encoded.extend_from_slice(plain);
        }
        finish(encoded, is_compressed, encryption)
    }

    /// Puts the encryption layer on a blob that has none: returns an encrypted one with the same content. Content that
    /// was compressed keeps its compressed form, other content is compressed if that does not make it longer.
    ///
    /// `stored`: the blob, which a decoder has read without an error. `plain`: the content that it found. `iv`: random
    /// and fresh for every blob. The opposite of [`super::BlobDecoder::decrypt_into`].
    ///
    /// # Errors
    /// As [`Self::encode`]. [`BlobError::IsEncrypted`] if it is encrypted already.
    pub fn encrypt(&mut self, stored: &[u8], plain: &[u8], key: &CryptConfig, iv: Iv) -> Result<Vec<u8>, BlobError> {
        let kind = kind(stored)?;
        if kind.is_encrypted() {
            return Err(BlobError::IsEncrypted);
        }
        let payload = &stored[kind.header_bytes()..];
        // No reader takes a compressed form that is longer than the content.
        if !kind.is_compressed() || plain.len() < payload.len() {
            return self.encode(plain, Compression::On, Some((key, iv)));
        }
        let header_bytes = BlobKind::EncryptedZstd.header_bytes();
        let mut encoded = Vec::with_capacity(header_bytes + payload.len());
        encoded.resize(header_bytes, 0);
        encoded.extend_from_slice(payload);
        finish(encoded, true, Some((key, iv)))
    }

    /// Appends the compressed form of `plain` to `encoded` and returns whether it is at most as long as `plain`.
    ///
    /// `encoded` has room for `plain`. When the answer is no, what follows the header is undefined.
    fn compress(&mut self, plain: &[u8], encoded: &mut Vec<u8>) -> Result<bool, BlobError> {
        if plain.is_empty() {
            return Ok(false);
        }
        let mut output = Cursor::new(encoded);
        let header_bytes = output.get_ref().len();
        output.set_position(header_bytes as u64);
        match self.compressor.compress_to_buffer(plain, &mut output) {
            Ok(compressed_bytes) => Ok(compressed_bytes <= plain.len()),
            Err(e) if e.to_string() == OUTPUT_FULL => Ok(false),
            Err(source) => Err(BlobError::Compression { source }),
        }
    }
}

/// Encrypts the payload behind the room for a header, if that is wanted, and fills in the header.
fn finish(
    mut encoded: Vec<u8>,
    is_compressed: bool,
    encryption: Option<(&CryptConfig, Iv)>,
) -> Result<Vec<u8>, BlobError> {
    let kind = BlobKind::new(encryption.is_some(), is_compressed);
    let (header, payload) = encoded.split_at_mut(kind.header_bytes());
    if let Some((key, iv)) = encryption {
        let tag = key.encrypt_in_place(&iv, payload).map_err(|source| BlobError::Crypt { source })?;
        header[PLAIN_HEADER_BYTES..][..IV_BYTES].copy_from_slice(&iv);
        header[PLAIN_HEADER_BYTES + IV_BYTES..].copy_from_slice(&tag);
    }
    header[..MAGIC_BYTES].copy_from_slice(&kind.magic());
    header[MAGIC_BYTES..PLAIN_HEADER_BYTES].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    Ok(encoded)
}

/// Returns an unencrypted blob around a payload that is there already.
pub(super) fn wrap(kind: BlobKind, payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(PLAIN_HEADER_BYTES + payload.len());
    encoded.extend_from_slice(&kind.magic());
    encoded.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    encoded.extend_from_slice(payload);
    encoded
}

impl Default for BlobEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for BlobEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobEncoder").finish_non_exhaustive()
    }
}
