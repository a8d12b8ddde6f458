//! Plain data to blobs.

use std::io::Cursor;

use farhold_crypto::{CryptConfig, IV_BYTES, Iv};
use zstd::bulk::Compressor;

use super::decode::OUTPUT_FULL;
use super::{BlobError, BlobKind, MAGIC_BYTES, MAX_INPUT_BYTES, PLAIN_HEADER_BYTES};

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
        let is_encrypted = encryption.is_some();
        let header_bytes = BlobKind::new(is_encrypted, false).header_bytes();
        let mut encoded = Vec::with_capacity(header_bytes + size_bytes);
        encoded.resize(header_bytes, 0);
        let is_compressed = compression == Compression::On && self.compress(plain, &mut encoded)?;
        if !is_compressed {
            encoded.truncate(header_bytes);
            encoded.extend_from_slice(plain);
        }
        let (header, payload) = encoded.split_at_mut(header_bytes);
        if let Some((key, iv)) = encryption {
            let tag = key.encrypt_in_place(&iv, payload).map_err(|source| BlobError::Crypt { source })?;
            header[PLAIN_HEADER_BYTES..][..IV_BYTES].copy_from_slice(&iv);
            header[PLAIN_HEADER_BYTES + IV_BYTES..].copy_from_slice(&tag);
        }
        header[..MAGIC_BYTES].copy_from_slice(&BlobKind::new(is_encrypted, is_compressed).magic());
        header[MAGIC_BYTES..PLAIN_HEADER_BYTES].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        Ok(encoded)
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
