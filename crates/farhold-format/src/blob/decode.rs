//! Blobs to plain data.

use std::io;

use farhold_crypto::{CryptConfig, IV_BYTES, Iv, Tag};
use zstd::bulk::Decompressor;

use super::encode::wrap;
use super::{BlobEncoder, BlobError, BlobKind, Compression, PLAIN_HEADER_BYTES, array, check, kind};

/// Spare memory that [`BlobDecoder::decode`] may leave in its result; more is given back.
const MAX_SPARE_BYTES: usize = 64 << 10;

/// Text by which zstd says that its output does not fit.
pub(super) const OUTPUT_FULL: &str = "Destination buffer is too small";

/// Decodes blobs, one after the other. Keeps its zstd context and a scratch buffer, so use one per worker.
pub struct BlobDecoder {
    decompressor: Decompressor<'static>,
    /// Holds a decrypted zstd stream; never larger than the largest blob decoded.
    decrypted: Vec<u8>,
}

impl BlobDecoder {
    /// Returns a decoder with a fresh context.
    pub fn new() -> Self {
        Self { decompressor: Decompressor::default(), decrypted: Vec::new() }
    }

    /// Returns the plain content of a blob, at most `max_plain_bytes` long.
    ///
    /// Checks magic and CRC first. `key` is used for encrypted blobs only. Never takes more memory for the result than
    /// `max_plain_bytes`, whatever the blob announces or would produce.
    ///
    /// # Errors
    /// As [`super::check`]; [`BlobError::TooLarge`], [`BlobError::KeyMissing`], [`BlobError::Crypt`] for a wrong key or
    /// changed data, [`BlobError::Compression`] for an invalid zstd stream.
    pub fn decode(
        &mut self,
        encoded: &[u8],
        key: Option<&CryptConfig>,
        max_plain_bytes: usize,
    ) -> Result<Vec<u8>, BlobError> {
        let mut plain = Vec::new();
        self.decode_into(encoded, key, max_plain_bytes, &mut plain)?;
        if MAX_SPARE_BYTES < plain.capacity() - plain.len() {
            plain.shrink_to_fit();
        }
        Ok(plain)
    }

    /// Replaces the content of `plain` by that of a blob, as [`Self::decode`] does, reusing the memory of `plain`.
    ///
    /// # Errors
    /// As [`Self::decode`]; `plain` is empty then.
    pub fn decode_into(
        &mut self,
        encoded: &[u8],
        key: Option<&CryptConfig>,
        max_plain_bytes: usize,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        plain.clear();
        let result = self.decode_unchecked_length(encoded, key, max_plain_bytes, plain);
        // A reused buffer may have had room for more than is allowed now.
        let result = result.and_then(|()| fits(plain.len(), max_plain_bytes));
        if result.is_err() {
            plain.clear();
        }
        result
    }

    /// Takes the encryption layer off a blob: replaces the content of `plain` by its plain content, as
    /// [`Self::decode_into`] does, and returns a blob with the same content that is not encrypted. Content that was
    /// compressed keeps its compressed form, other content is compressed if that does not make it longer.
    ///
    /// # Errors
    /// As [`Self::decode`] and [`BlobEncoder::encode`]; `plain` is empty then. [`BlobError::NotEncrypted`].
    pub fn decrypt_into(
        &mut self,
        encoded: &[u8],
        key: &CryptConfig,
        max_plain_bytes: usize,
        plain: &mut Vec<u8>,
        encoder: &mut BlobEncoder,
    ) -> Result<Vec<u8>, BlobError> {
        plain.clear();
        let kind = kind(encoded)?;
        if !kind.is_encrypted() {
            return Err(BlobError::NotEncrypted);
        }
        self.decode_into(encoded, Some(key), max_plain_bytes, plain)?;
        if !kind.is_compressed() {
            return encoder.encode(plain, Compression::On, None);
        }
        Ok(wrap(BlobKind::Zstd, &self.decrypted))
    }

    fn decode_unchecked_length(
        &mut self,
        encoded: &[u8],
        key: Option<&CryptConfig>,
        max_plain_bytes: usize,
        plain: &mut Vec<u8>,
    ) -> Result<(), BlobError> {
        let kind = check(encoded)?;
        let (header, payload) = encoded.split_at(kind.header_bytes());
        if !kind.is_compressed() {
            fits(payload.len(), max_plain_bytes)?;
        }
        if !kind.is_encrypted() {
            if kind.is_compressed() {
                return decompress(&mut self.decompressor, payload, max_plain_bytes, plain);
            }
            plain.extend_from_slice(payload);
            return Ok(());
        }
        let key = key.ok_or(BlobError::KeyMissing)?;
        let iv: Iv = array(header, PLAIN_HEADER_BYTES);
        let tag: Tag = array(header, PLAIN_HEADER_BYTES + IV_BYTES);
        let decrypted = if kind.is_compressed() { &mut self.decrypted } else { &mut *plain };
        decrypted.clear();
        decrypted.extend_from_slice(payload);
        key.decrypt_in_place(&iv, &tag, decrypted).map_err(|source| BlobError::Crypt { source })?;
        if kind.is_compressed() {
            decompress(&mut self.decompressor, &self.decrypted, max_plain_bytes, plain)?;
        }
        Ok(())
    }
}

impl Default for BlobDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for BlobDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobDecoder").finish_non_exhaustive()
    }
}

const fn fits(size_bytes: usize, max_plain_bytes: usize) -> Result<(), BlobError> {
    if size_bytes <= max_plain_bytes { Ok(()) } else { Err(BlobError::TooLarge { max_plain_bytes }) }
}

/// Fills `plain` with the content of a zstd stream, in one pass, without growing it beyond `max_plain_bytes`.
fn decompress(
    decompressor: &mut Decompressor<'static>,
    stream: &[u8],
    max_plain_bytes: usize,
    plain: &mut Vec<u8>,
) -> Result<(), BlobError> {
    let compression = |source| BlobError::Compression { source };
    if stream.is_empty() {
        return Err(compression(io::Error::new(io::ErrorKind::UnexpectedEof, "zstd stream is empty")));
    }
    // Our writers and the reference's announce the size. A stream that does not gets room for the largest result;
    // the system provides that memory only as far as it is written to.
    let size = Decompressor::upper_bound(stream);
    fits(size.unwrap_or(0), max_plain_bytes)?;
    plain
        .try_reserve_exact(size.unwrap_or(max_plain_bytes))
        .map_err(|e| compression(io::Error::new(io::ErrorKind::OutOfMemory, e)))?;
    match decompressor.decompress_to_buffer(stream, plain) {
        Ok(_) => Ok(()),
        Err(e) if size.is_none() && e.to_string() == OUTPUT_FULL => Err(BlobError::TooLarge { max_plain_bytes }),
        Err(source) => Err(compression(source)),
    }
}
