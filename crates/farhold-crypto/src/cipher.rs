//! AES-256 in GCM mode with 16-byte IVs, the only cipher of the format.
//!
//! The IV is used at its full length, so the first counter block comes from GHASH over it. Taking only 12 bytes, as
//! most libraries demand, gives other output. Source: `docs/spec/datastore-format.md` 5.

use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};

use crate::CryptError;
use crate::key::EncryptionKey;

/// Length of an IV in bytes.
pub const IV_BYTES: usize = 16;
/// Length of an authentication tag in bytes.
pub const TAG_BYTES: usize = 16;

/// An initialisation vector; must be random and never used twice with one key.
pub type Iv = [u8; IV_BYTES];
/// An authentication tag.
pub type Tag = [u8; TAG_BYTES];

/// The cipher set up for one key. Wipes its key schedule when dropped.
pub(crate) struct Cipher(AesGcm<Aes256, U16>);

impl Cipher {
    pub(crate) fn new(key: &EncryptionKey) -> Self {
        Self(AesGcm::new(key.expose().into()))
    }

    /// Encrypts `buffer` in place and returns the tag.
    pub(crate) fn encrypt_in_place(&self, iv: &Iv, buffer: &mut [u8]) -> Result<Tag, CryptError> {
        let size_bytes = buffer.len();
        self.0
            .encrypt_inout_detached(iv.into(), &[], buffer.into())
            .map(Into::into)
            .map_err(|_| CryptError::TooLong { size_bytes })
    }

    /// Decrypts `buffer` in place. On failure it still holds the ciphertext.
    pub(crate) fn decrypt_in_place(&self, iv: &Iv, tag: &Tag, buffer: &mut [u8]) -> Result<(), CryptError> {
        self.0.decrypt_inout_detached(iv.into(), &[], buffer.into(), tag.into()).map_err(|_| CryptError::NotAuthentic)
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::consts::U12;

    use super::*;

    #[test]
    fn the_whole_iv_counts_not_only_its_first_12_bytes() {
        let key = EncryptionKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let iv: Iv = std::array::from_fn(|i| u8::try_from(i + 0x10).unwrap());
        let mut buffer = *b"hello";
        let tag = Cipher::new(&key).encrypt_in_place(&iv, &mut buffer).unwrap();
        let short: [u8; 12] = std::array::from_fn(|i| iv[i]);
        let other = AesGcm::<Aes256, U12>::new(key.expose().into());
        let opened = other.decrypt_inout_detached((&short).into(), &[], (&mut buffer[..]).into(), (&tag).into());
        assert!(opened.is_err());
    }
}
