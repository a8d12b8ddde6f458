//! The form in which a push sends content: as it is stored, or encrypted with the job's key.
//!
//! A chunk is hashed first and encoded only if the target does not have it: hashing is cheap, compressing and encrypting
//! are not. What the backup client compressed stays as it compressed it. IVs are random and fresh for every blob.
//!
//! Source: `docs/spec/sync.md` 10.4 steps 6 to 8, C.1 FAULT 12 and 14, C.2 W4, W27 and W28; `docs/spec/datastore-format.md`
//! 5, 10.3 and 10.5.

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, IV_BYTES, Iv, sha256};
use farhold_format::blob::{self, BlobError, MAX_ENCODED_BLOB_BYTES, MAX_INPUT_BYTES};
use farhold_format::manifest::{Manifest, ManifestFile, VERIFY_STATE};
use farhold_types::{CryptMode, Digest, Randomness};

use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::options::Encryption;
use crate::outcome::ArchiveFailure;

/// A chunk as the target gets to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentChunk {
    /// Its digest on the target.
    pub(crate) digest: Digest,
    /// Content length in bytes.
    pub(crate) plain_bytes: u64,
    /// The bytes to send; none if the target has the chunk.
    pub(crate) upload: Option<Bytes>,
}

/// The form in which a snapshot is sent. Cheap to clone, for jobs on the pool: all functions that take a bench run there.
#[derive(Debug, Clone)]
pub(crate) enum ChunkForm {
    /// As it is stored, also if that is encrypted.
    AsStored,
    /// Encrypted on the way. The files are plain on the source.
    Encrypted(Arc<Sealer>),
}

/// Encrypts with one key.
pub(crate) struct Sealer {
    key: Arc<CryptConfig>,
    randomness: Arc<dyn Randomness>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key", &self.key.fingerprint().short()).finish_non_exhaustive()
    }
}

impl ChunkForm {
    /// Returns the form that encrypts.
    pub(crate) fn encrypted(encryption: &Encryption) -> Self {
        let Encryption { key, randomness } = encryption;
        Self::Encrypted(Arc::new(Sealer { key: key.config.clone(), randomness: randomness.clone() }))
    }

    /// Checks a chunk of the source and returns what is to be sent of it.
    ///
    /// `stored`: what lies in the store. `is_on_target`: asked once, with the digest on the target.
    ///
    /// # Errors
    /// The chunk is damaged, of the wrong kind, or not the one that the index names.
    pub(crate) fn prepare(
        &self,
        bench: &mut Bench,
        chunk: &ExpectedChunk,
        stored: &Bytes,
        is_on_target: impl FnOnce(&Digest) -> bool,
    ) -> Result<SentChunk, ArchiveFailure> {
        let ExpectedChunk { digest, length, is_encrypted } = *chunk;
        let Self::Encrypted(sealer) = self else {
            chunk.check(bench, stored)?;
            let upload = (!is_on_target(&digest)).then(|| stored.clone());
            return Ok(SentChunk { digest, plain_bytes: length.into(), upload });
        };
        let undecodable = |source| ArchiveFailure::Chunk { digest, source };
        if is_encrypted || blob::kind(stored).map_err(undecodable)?.is_encrypted() {
            return Err(ArchiveFailure::ChunkMode { digest, is_encrypted: true });
        }
        chunk.decode(bench, stored)?;
        let Bench { encoder, plain, .. } = bench;
        let (keyed, plain_digest) = sealer.key.chunk_digests(plain);
        if plain_digest != digest {
            return Err(ArchiveFailure::ChunkDigest { digest });
        }
        let upload = if is_on_target(&keyed) {
            None
        } else {
            let sealed = encoder.encrypt(stored, plain, &sealer.key, sealer.iv());
            Some(sealed.map_err(|source| ArchiveFailure::ChunkEncryption { digest, source })?.into())
        };
        Ok(SentChunk { digest: keyed, plain_bytes: length.into(), upload })
    }

    /// Checks a blob of the source against its entry in the manifest, and returns what is to be sent and the entry of the
    /// new manifest.
    ///
    /// # Errors
    /// The file is not what the manifest says, or cannot be encrypted.
    pub(crate) fn blob(
        &self,
        bench: &mut Bench,
        file: &ManifestFile,
        stored: Bytes,
    ) -> Result<(Bytes, ManifestFile), ArchiveFailure> {
        let (archive, found) = (file.name.clone(), stored.len() as u64);
        if found != file.size_bytes {
            return Err(ArchiveFailure::Size { archive, expected: file.size_bytes, found });
        }
        if sha256(&stored) != file.checksum {
            return Err(ArchiveFailure::Checksum { archive });
        }
        let Self::Encrypted(sealer) = self else {
            // The target would refuse it, too, but as a fault of its own.
            blob::check(&stored).map_err(|source| ArchiveFailure::Blob { archive, source })?;
            return Ok((stored, file.clone()));
        };
        let sealed = sealer.seal(bench, &stored).and_then(|sealed| match sealed.len() {
            length if length <= MAX_ENCODED_BLOB_BYTES => Ok(sealed),
            _ => Err(BlobError::TooLarge { max_plain_bytes: MAX_ENCODED_BLOB_BYTES }),
        });
        let sealed = sealed.map_err(|source| ArchiveFailure::BlobEncryption { archive: archive.clone(), source })?;
        let (size_bytes, checksum) = (sealed.len() as u64, sha256(&sealed));
        Ok((sealed, ManifestFile { name: archive, crypt_mode: CryptMode::Encrypt, size_bytes, checksum }))
    }

    /// Returns the client log as it is to be sent. One that is encrypted already stays as it is.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn client_log(&self, bench: &mut Bench, stored: Bytes) -> Result<Bytes, BlobError> {
        let kind = blob::check(&stored)?;
        match self {
            Self::Encrypted(sealer) if !kind.is_encrypted() => sealer.seal(bench, &stored),
            _ => Ok(stored),
        }
    }

    /// Returns the entry of the new manifest for an index.
    ///
    /// `checksum`: that of the index on the target.
    pub(crate) fn index_entry(&self, file: &ManifestFile, checksum: Digest) -> ManifestFile {
        let crypt_mode = match self {
            Self::AsStored => file.crypt_mode,
            Self::Encrypted(_) => CryptMode::Encrypt,
        };
        ManifestFile { crypt_mode, checksum, ..file.clone() }
    }

    /// Returns whether the indexes of the newest finished snapshot of the target can name chunks that this one needs.
    /// A key for the next snapshot does not matter to one that is sent as it is (`docs/spec/sync.md` C.2 W6).
    pub(crate) fn may_use_previous(&self, previous: &Manifest) -> bool {
        match self {
            Self::AsStored => true,
            Self::Encrypted(sealer) => {
                previous.key_fingerprint().is_ok_and(|found| found == Some(sealer.key.fingerprint()))
            }
        }
    }

    /// Returns the manifest of the snapshot on the target.
    ///
    /// `files`: its entries, in the order of the source. As stored it says what the source's says, signature included.
    /// Encrypted it is signed with the key and notes the signature that the key gives to the source's manifest, so that
    /// others with the key can tell from what it was made; a verification is left out, which was one of other chunks.
    pub(crate) fn manifest(&self, source: &Manifest, files: Vec<ManifestFile>) -> Manifest {
        let mut manifest = Manifest { files, ..source.clone() };
        if let Self::Encrypted(sealer) = self {
            manifest.unprotected.remove(VERIFY_STATE);
            manifest.set_sync_source_signature(source.compute_signature(&sealer.key));
            manifest.sign(&sealer.key);
        }
        manifest
    }
}

impl Sealer {
    /// Returns the key.
    pub(crate) const fn key(&self) -> &Arc<CryptConfig> {
        &self.key
    }

    /// Fills `bytes` with randomness.
    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.randomness.fill(bytes);
    }

    fn iv(&self) -> Iv {
        let mut iv = [0; IV_BYTES];
        self.fill(&mut iv);
        iv
    }

    /// Returns a plain blob with the encryption on.
    fn seal(&self, bench: &mut Bench, stored: &Bytes) -> Result<Bytes, BlobError> {
        if blob::kind(stored)?.is_encrypted() {
            return Err(BlobError::IsEncrypted);
        }
        // A buffer of its own: that of the bench stays as small as chunks are.
        let plain = bench.decoder.decode(stored, None, MAX_INPUT_BYTES)?;
        bench.encoder.encrypt(stored, &plain, &self.key, self.iv()).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests;
