//! The 32 secret bytes of a backup encryption key.

use std::fmt;

use farhold_types::Randomness;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::CryptError;

/// Length of an encryption key in bytes. Source: `docs/spec/datastore-format.md` 25.
pub const KEY_BYTES: usize = 32;

/// A backup encryption key, or a key derived from a passphrase. Wiped when dropped; its `Debug` form shows nothing.
#[derive(Clone)]
pub struct EncryptionKey([u8; KEY_BYTES]);

impl EncryptionKey {
    /// Wraps the bytes of a key.
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns a fresh random key.
    pub fn generate(randomness: &dyn Randomness) -> Self {
        let mut key = Self([0; KEY_BYTES]);
        randomness.fill(&mut key.0);
        key
    }

    /// Returns the key made of exactly these bytes.
    ///
    /// # Errors
    /// [`CryptError::KeyLength`] unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptError> {
        bytes.try_into().map(Self).map_err(|_| CryptError::KeyLength { found: bytes.len() })
    }

    /// Returns the secret bytes, for the one place that stores or uses them.
    pub const fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) const fn expose_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

impl Drop for EncryptionKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Randomness for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
        }
    }

    #[test]
    fn debug_output_hides_the_bytes() {
        assert_eq!(format!("{:?}", EncryptionKey::new([0xab; 32])), "EncryptionKey(***)");
    }

    #[test]
    fn a_key_has_exactly_32_bytes() {
        assert_eq!(EncryptionKey::from_slice(&[7; 32]), Ok(EncryptionKey::new([7; 32])));
        assert_eq!(EncryptionKey::from_slice(&[7; 31]), Err(CryptError::KeyLength { found: 31 }));
        assert_eq!(EncryptionKey::from_slice(&[7; 33]), Err(CryptError::KeyLength { found: 33 }));
    }

    #[test]
    fn a_generated_key_is_filled_to_the_last_byte() {
        let expected: Vec<u8> = (1..=32).collect();
        assert_eq!(EncryptionKey::generate(&Counting).expose().as_slice(), expected);
    }
}
