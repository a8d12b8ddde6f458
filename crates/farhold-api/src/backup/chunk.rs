//! Checks of uploaded containers. Source: `docs/spec/wire-protocol.md` 5.3, steps 2 to 4 of a chunk's upload.

use farhold_crypto::sha256;
use farhold_format::blob::{self, BlobDecoder, BlobError, BlobKind, MAX_CHUNK_BYTES};
use farhold_types::Digest;

/// Room for plain content that a bench keeps between chunks: a chunk of usual size.
const KEPT_BYTES: usize = 4 << 20;

/// Why a chunk is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ChunkFault {
    /// No container, or its content cannot be decoded.
    #[error("chunk {digest} is no valid container")]
    Container {
        digest: Digest,
        #[source]
        source: BlobError,
    },
    /// The content is not what the digest says.
    #[error("content of chunk {digest} has the digest {found}")]
    Digest { digest: Digest, found: Digest },
    /// The content has another length than the request says.
    #[error("content of chunk {digest} has {found} bytes, not {expected}")]
    Length { digest: Digest, expected: usize, found: usize },
}

/// What a thread needs to check chunks; reused, so that not every chunk takes fresh memory.
#[derive(Debug, Default)]
pub(super) struct Bench {
    decoder: BlobDecoder,
    plain: Vec<u8>,
}

impl Bench {
    /// Checks a chunk and writes the right CRC into its header. Of an encrypted one only the header can be checked.
    ///
    /// # Errors
    /// [`ChunkFault`].
    pub fn check(&mut self, encoded: &mut [u8], digest: &Digest, plain_bytes: usize) -> Result<(), ChunkFault> {
        let digest = *digest;
        let container = |source| ChunkFault::Container { digest, source };
        let kind = blob::seal(encoded).map_err(container)?;
        let plain = match kind {
            BlobKind::Encrypted | BlobKind::EncryptedZstd => return Ok(()),
            BlobKind::Plain => &encoded[kind.header_bytes()..],
            BlobKind::Zstd => {
                self.decoder.decode_into(encoded, None, MAX_CHUNK_BYTES, &mut self.plain).map_err(container)?;
                &self.plain[..]
            }
        };
        let (found, length) = (sha256(plain), plain.len());
        self.plain.clear();
        self.plain.shrink_to(KEPT_BYTES);
        if found != digest {
            return Err(ChunkFault::Digest { digest, found });
        }
        if length != plain_bytes {
            return Err(ChunkFault::Length { digest, expected: plain_bytes, found: length });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use farhold_format::blob::{BlobEncoder, Compression};

    use super::*;

    fn encoded(plain: &[u8], compression: Compression) -> Vec<u8> {
        BlobEncoder::new().encode(plain, compression, None).unwrap()
    }

    #[test]
    fn content_must_have_the_announced_digest_and_length() {
        let plain = vec![7; 5000];
        let digest = sha256(&plain);
        let mut bench = Bench::default();
        for compression in [Compression::Off, Compression::On] {
            let good = encoded(&plain, compression);
            bench.check(&mut good.clone(), &digest, 5000).unwrap();
            let wrong = bench.check(&mut good.clone(), &Digest([0; 32]), 5000);
            assert!(matches!(wrong, Err(ChunkFault::Digest { .. })));
            let wrong = bench.check(&mut good.clone(), &digest, 4999);
            assert!(matches!(wrong, Err(ChunkFault::Length { .. })));
            let mut cut = good[..good.len() - 1].to_vec();
            assert!(bench.check(&mut cut, &digest, 5000).is_err());
            let mut flipped = good;
            flipped[20] ^= 1;
            assert!(bench.check(&mut flipped, &digest, 5000).is_err());
        }
    }

    #[test]
    fn the_crc_is_made_anew_whatever_was_sent() {
        let plain = b"some content";
        let mut sent = encoded(plain, Compression::Off);
        let right = sent.clone();
        sent[8..12].fill(0xff);
        Bench::default().check(&mut sent, &sha256(plain), plain.len()).unwrap();
        assert_eq!(sent, right);
    }

    #[test]
    fn of_an_encrypted_chunk_only_the_header_is_checked() {
        let mut encrypted = BlobKind::Encrypted.magic().to_vec();
        encrypted.resize(44, 0);
        Bench::default().check(&mut encrypted.clone(), &Digest([0; 32]), 1).unwrap();
        encrypted.pop();
        assert!(Bench::default().check(&mut encrypted, &Digest([0; 32]), 1).is_err());
        assert!(Bench::default().check(&mut [0; 100], &Digest([0; 32]), 1).is_err());
    }

    #[test]
    fn content_beyond_the_largest_chunk_is_refused() {
        let plain = vec![0; MAX_CHUNK_BYTES + 1];
        let mut sent = encoded(&plain, Compression::On);
        assert!(sent.len() < 100_000);
        let refused = Bench::default().check(&mut sent, &sha256(&plain), plain.len());
        assert!(matches!(refused, Err(ChunkFault::Container { source: BlobError::TooLarge { .. }, .. })));
    }
}
