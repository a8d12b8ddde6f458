//! Key derivation, authenticated encryption, signing and fingerprints.
//!
//! Everything a datastore needs from a backup encryption key: [`CryptConfig`] holds one and encrypts, decrypts, signs
//! and names chunks with it. [`kdf`] turns passphrases into keys, [`sha256`] names plain chunks. Randomness comes in
//! as an argument, no function does IO.
//!
//! Source of the parameters: `docs/spec/datastore-format.md` 5 and 6.

mod cipher;
mod config;
mod hash;
pub mod kdf;
mod key;

pub use cipher::{IV_BYTES, Iv, TAG_BYTES, Tag};
pub use config::CryptConfig;
pub use hash::{Sha256, sha256};
pub use key::{EncryptionKey, KEY_BYTES};

use thiserror::Error;

/// Why a cryptographic operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CryptError {
    /// The authentication tag does not fit: wrong key, or IV, tag or ciphertext were changed.
    #[error("decryption failed, the key is wrong or the data was changed")]
    NotAuthentic,
    /// More data than the cipher may process under one IV (64 GiB).
    #[error("{size_bytes} bytes are too many to encrypt at once")]
    TooLong {
        /// Length of the data.
        size_bytes: usize,
    },
    /// A key must have 32 bytes.
    #[error("a key must have {KEY_BYTES} bytes, found {found}")]
    KeyLength {
        /// Number of bytes given.
        found: usize,
    },
    /// The parameters of a key derivation are out of range or would need too much memory or time.
    #[error("key derivation parameters are not acceptable: {reason}")]
    KdfParameters {
        /// What is wrong with them.
        reason: &'static str,
    },
}
