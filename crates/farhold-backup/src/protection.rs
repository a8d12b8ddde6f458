//! Whether a backup is encrypted or signed, and small files in that form.
//!
//! Source: `docs/spec/datastore-format.md` 5 and 10.2.

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, Iv};
use farhold_format::blob::{BlobEncoder, Compression, MAX_ENCODED_BLOB_BYTES};
use farhold_types::{CryptMode, Randomness};

use crate::error::BackupError;

/// How the content of a backup is protected.
#[derive(Debug, Clone, Default)]
pub enum Protection {
    /// Not at all.
    #[default]
    None,
    /// The content stays plain, the manifest is signed with this key.
    SignOnly(Arc<CryptConfig>),
    /// The content is encrypted and the manifest signed with this key.
    Encrypt(Arc<CryptConfig>),
}

impl Protection {
    /// Returns the mode as the manifest names it.
    pub const fn crypt_mode(&self) -> CryptMode {
        match self {
            Self::None => CryptMode::None,
            Self::SignOnly(_) => CryptMode::SignOnly,
            Self::Encrypt(_) => CryptMode::Encrypt,
        }
    }

    /// Returns the key that signs the manifest.
    pub const fn key(&self) -> Option<&Arc<CryptConfig>> {
        match self {
            Self::None => None,
            Self::SignOnly(key) | Self::Encrypt(key) => Some(key),
        }
    }

    /// Returns the key that encrypts the content.
    pub const fn encrypting_key(&self) -> Option<&Arc<CryptConfig>> {
        match self {
            Self::None | Self::SignOnly(_) => None,
            Self::Encrypt(key) => Some(key),
        }
    }
}

/// Returns a small file as a blob: compressed if that helps, and encrypted only by [`Protection::Encrypt`].
///
/// # Errors
/// [`BackupError::SmallFileTooLarge`] if the blob would be larger than servers take, [`BackupError::Encode`].
pub fn small_blob(content: &[u8], protection: &Protection, randomness: &dyn Randomness) -> Result<Bytes, BackupError> {
    let too_large = || BackupError::SmallFileTooLarge { limit_bytes: MAX_ENCODED_BLOB_BYTES };
    let encryption = protection.encrypting_key().map(|key| (&**key, fresh_iv(randomness)));
    if farhold_format::blob::MAX_INPUT_BYTES < content.len() {
        return Err(too_large());
    }
    let encoded = BlobEncoder::new()
        .encode(content, Compression::On, encryption)
        .map_err(|source| BackupError::Encode { source })?;
    if MAX_ENCODED_BLOB_BYTES < encoded.len() { Err(too_large()) } else { Ok(Bytes::from(encoded)) }
}

/// Returns an initialisation vector that was never used before.
pub(crate) fn fresh_iv(randomness: &dyn Randomness) -> Iv {
    let mut iv = Iv::default();
    randomness.fill(&mut iv);
    iv
}
