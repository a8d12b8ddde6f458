//! The form in which the source has a file, against that of the store: the same, encrypted, or decrypted on its way.

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, IV_BYTES, Iv};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{CryptMode, Digest, Fingerprint};

use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::decrypt::chunks::decrypt_chunk;
use crate::decrypt::decrypt_blob;
use crate::options::SyncKey;
use crate::outcome::{ArchiveFailure, chain};

/// What makes the store's form of the source's.
#[derive(Clone)]
pub(super) enum Form {
    /// Nothing.
    Same,
    /// The source's is encrypted with this key, the store's is not.
    Decrypted(Arc<CryptConfig>),
    /// The store's is encrypted with this key, the source's is not.
    Encrypted(Arc<CryptConfig>),
}

/// A chunk as the source has it, and as it is wanted in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) there: ExpectedChunk,
    pub(super) here: ExpectedChunk,
}

impl Piece {
    /// Returns a chunk that is the same on both sides.
    pub(super) const fn same(chunk: ExpectedChunk) -> Self {
        Self { there: chunk, here: chunk }
    }
}

fn is_encrypted(file: &ManifestFile) -> bool {
    file.crypt_mode == CryptMode::Encrypt
}

/// Returns whether the two manifests say that one copy was encrypted or decrypted on its way: the same files, of which at
/// least one is encrypted on one side only.
pub(super) fn is_other_form(here: &Manifest, there: &Manifest) -> bool {
    let has = |file: &ManifestFile| there.file(&file.name).is_some();
    let differs = |file: &ManifestFile| there.file(&file.name).is_some_and(|t| is_encrypted(t) != is_encrypted(file));
    here.files.len() == there.files.len() && here.files.iter().all(has) && here.files.iter().any(differs)
}

impl Form {
    /// Returns what makes a file of the store of that of the source. An error says which key is missing, for people.
    pub(super) fn between(
        (here, its_manifest): (&ManifestFile, &Manifest),
        (there, source): (&ManifestFile, &Manifest),
        keys: &[SyncKey],
    ) -> Result<Self, String> {
        match (is_encrypted(there), is_encrypted(here)) {
            (false, false) | (true, true) => Ok(Self::Same),
            (true, false) => key_of(source, keys, "the source's copy is encrypted").map(Self::Decrypted),
            (false, true) => key_of(its_manifest, keys, "the source's copy is not encrypted, that of the store is")
                .map(Self::Encrypted),
        }
    }

    /// Proves a chunk that came, and returns it in the form of the store with its digest there.
    ///
    /// `iv`: random and fresh, for a chunk that is encrypted.
    pub(super) fn chunk(
        &self,
        bench: &mut Bench,
        there: &ExpectedChunk,
        encoded: &Bytes,
        iv: Iv,
    ) -> Result<(Digest, Bytes), ArchiveFailure> {
        match self {
            Self::Same => there.check(bench, encoded).map(|()| (there.digest, encoded.clone())),
            Self::Decrypted(key) => {
                let (digest, decrypted) = decrypt_chunk(bench, there, key, encoded)?;
                Ok((digest, decrypted.into()))
            }
            Self::Encrypted(key) => {
                there.check(bench, encoded)?;
                let Bench { encoder, plain, .. } = bench;
                let digest = key.chunk_digest(plain);
                let sealed = encoder.encrypt(encoded, plain, key, iv);
                let sealed =
                    sealed.map_err(|source| ArchiveFailure::ChunkEncryption { digest: there.digest, source })?;
                Ok((digest, sealed.into()))
            }
        }
    }

    /// Returns a blob in the form of the store.
    pub(super) fn blob(&self, bench: &mut Bench, content: Bytes) -> Result<Bytes, String> {
        match self {
            Self::Same => Ok(content),
            Self::Decrypted(key) => {
                decrypt_blob(bench, &content, key).map(|(decrypted, _)| decrypted).map_err(|error| chain(&error))
            }
            Self::Encrypted(_) => {
                Err("an encrypted blob cannot be made again, each encryption of it differs".to_owned())
            }
        }
    }
}

fn key_of(manifest: &Manifest, keys: &[SyncKey], what: &str) -> Result<Arc<CryptConfig>, String> {
    let unknown = || format!("{what}, and nothing says with which key");
    let fingerprint: Fingerprint = manifest.key_fingerprint().map_err(|_| unknown())?.ok_or_else(unknown)?;
    let key = keys.iter().find(|key| key.config.fingerprint() == fingerprint);
    let missing = || format!("{what}, and the key {} is not here or may not be used", fingerprint.short());
    key.map(|key| Arc::clone(&key.config)).ok_or_else(missing)
}

/// Returns a fresh initialisation vector.
pub(super) fn fresh_iv(randomness: &dyn farhold_types::Randomness) -> Iv {
    let mut iv = [0; IV_BYTES];
    randomness.fill(&mut iv);
    iv
}
