//! Everything derived from one encryption key.

use std::fmt;
use std::sync::LazyLock;

use farhold_types::{Digest, Fingerprint};
use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;

use crate::cipher::{Cipher, Iv, Tag};
use crate::hash::{Sha256, sha256};
use crate::key::EncryptionKey;
use crate::{CryptError, kdf};

/// Salt and rounds that turn an encryption key into its id key. Source: `docs/spec/datastore-format.md` 6.1.
const ID_KEY_SALT: &[u8] = b"_id_key";
const ID_KEY_ROUNDS: u32 = 10;

/// Text whose SHA-256 value, followed by the id key, gives the fingerprint.
const FINGERPRINT_TEXT: &[u8] = b"Proxmox Backup Encryption Key Fingerprint";

static FINGERPRINT_INPUT: LazyLock<Digest> = LazyLock::new(|| sha256(FINGERPRINT_TEXT));

/// One encryption key, ready for use: encrypts and decrypts, names chunks, signs manifests, knows its fingerprint.
///
/// Making one costs ten hash rounds and a key schedule; make it once per key. Wiped when dropped; `Debug` shows only
/// the fingerprint. Source of all derivations: `docs/spec/datastore-format.md` 6.1.
pub struct CryptConfig {
    key: EncryptionKey,
    id_key: EncryptionKey,
    cipher: Cipher,
    fingerprint: Fingerprint,
}

impl CryptConfig {
    /// Derives everything from `key`.
    pub fn new(key: EncryptionKey) -> Self {
        let id_key = kdf::pbkdf2_hmac_sha256(key.expose(), ID_KEY_SALT, ID_KEY_ROUNDS);
        let fingerprint = Fingerprint(digest_with(&id_key, FINGERPRINT_INPUT.as_bytes()).0);
        Self { cipher: Cipher::new(&key), key, id_key, fingerprint }
    }

    /// Returns the key it was made from.
    pub const fn key(&self) -> &EncryptionKey {
        &self.key
    }

    /// Returns the fingerprint of the key.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the digest that names the encrypted chunk with content `plain`: SHA-256 over `plain`, then the id key.
    pub fn chunk_digest(&self, plain: &[u8]) -> Digest {
        digest_with(&self.id_key, plain)
    }

    /// Returns [`Self::chunk_digest`] and the SHA-256 value of `plain`, reading it once.
    pub fn chunk_digests(&self, plain: &[u8]) -> (Digest, Digest) {
        let mut hasher = Sha256::new();
        hasher.update(plain);
        let mut keyed = hasher.clone();
        keyed.update(self.id_key.expose());
        (keyed.finish(), hasher.finish())
    }

    /// Returns the HMAC-SHA-256 value of `message` under the id key.
    pub fn sign(&self, message: &[u8]) -> Digest {
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(self.id_key.expose()).expect("HMAC takes keys of any length");
        mac.update(message);
        Digest(mac.finalize().into_bytes().into())
    }

    /// Returns whether `signature` is what [`Self::sign`] gives for `message`. Takes the same time for every answer.
    pub fn is_signature_of(&self, signature: &Digest, message: &[u8]) -> bool {
        self.sign(message).0.ct_eq(&signature.0).into()
    }

    /// Returns the tag and the ciphertext of `plain`, which has the same length. `iv` must be random.
    ///
    /// # Errors
    /// [`CryptError::TooLong`] from 64 GiB on.
    pub fn encrypt(&self, iv: &Iv, plain: &[u8]) -> Result<(Tag, Vec<u8>), CryptError> {
        let mut buffer = plain.to_vec();
        let tag = self.encrypt_in_place(iv, &mut buffer)?;
        Ok((tag, buffer))
    }

    /// Encrypts `buffer` in place and returns the tag. `iv` must be random.
    ///
    /// # Errors
    /// [`CryptError::TooLong`] from 64 GiB on.
    pub fn encrypt_in_place(&self, iv: &Iv, buffer: &mut [u8]) -> Result<Tag, CryptError> {
        self.cipher.encrypt_in_place(iv, buffer)
    }

    /// Returns the plain data of `ciphertext`, which has the same length.
    ///
    /// # Errors
    /// [`CryptError::NotAuthentic`] if the key is another one, or IV, tag or ciphertext were changed.
    pub fn decrypt(&self, iv: &Iv, tag: &Tag, ciphertext: &[u8]) -> Result<Vec<u8>, CryptError> {
        let mut buffer = ciphertext.to_vec();
        self.decrypt_in_place(iv, tag, &mut buffer)?;
        Ok(buffer)
    }

    /// Decrypts `buffer` in place; on failure it still holds the ciphertext, never unchecked plain data.
    ///
    /// # Errors
    /// As [`Self::decrypt`].
    pub fn decrypt_in_place(&self, iv: &Iv, tag: &Tag, buffer: &mut [u8]) -> Result<(), CryptError> {
        self.cipher.decrypt_in_place(iv, tag, buffer)
    }
}

impl fmt::Debug for CryptConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptConfig").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn digest_with(id_key: &EncryptionKey, data: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(data);
    hasher.update(id_key.expose());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counting_key() -> CryptConfig {
        CryptConfig::new(EncryptionKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap())))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn derived_values_are_the_documented_ones() {
        let config = counting_key();
        assert_eq!(hex(config.id_key.expose()), "7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c");
        assert_eq!(FINGERPRINT_INPUT.to_string(), "6ed0ef77471fff4d55c7a8fe4a9db62161407f134c725ddf30992d25ec45ed26");
        assert_eq!(
            config.fingerprint().to_string(),
            "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"
        );
        assert_eq!(config.fingerprint().short(), "0e:ab:d4:46:0b:6e:b9:ca");
        assert_eq!(
            config.chunk_digest(b"hello").to_string(),
            "e34178a27b992c4a218599bf7f43ed50bc464a03d624d9092306fe2ed74d557e"
        );
        assert_eq!(
            config.chunk_digest(&vec![0; 4 << 20]).to_string(),
            "348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636"
        );
        let zero = CryptConfig::new(EncryptionKey::new([0; 32]));
        assert_eq!(hex(zero.id_key.expose()), "1fa7f0ef7eae0e67adbec4219b31d02fbb831d686fda90ea02c47b91c6df888e");
    }

    #[test]
    fn both_digests_of_a_chunk_are_those_that_are_computed_alone() {
        let config = counting_key();
        for plain in [&b""[..], b"hello", &vec![7; 100_000]] {
            assert_eq!(config.chunk_digests(plain), (config.chunk_digest(plain), sha256(plain)));
        }
    }

    #[test]
    fn the_documented_sample_encrypts_and_decrypts() {
        let config = counting_key();
        let iv: Iv = std::array::from_fn(|i| u8::try_from(i + 0x10).unwrap());
        let (tag, ciphertext) = config.encrypt(&iv, b"hello").unwrap();
        assert_eq!(hex(&tag), "bbe022b70269e0f0d9e91942ac3d0c83");
        assert_eq!(hex(&ciphertext), "e23f560c88");
        assert_eq!(config.decrypt(&iv, &tag, &ciphertext).unwrap(), b"hello");
    }

    #[test]
    fn any_change_and_any_other_key_make_decryption_fail() {
        let config = counting_key();
        let (tag, ciphertext) = config.encrypt(&[9; 16], b"some content").unwrap();
        for i in 0..16 {
            let (mut other_iv, mut other_tag) = ([9; 16], tag);
            other_iv[i] ^= 1;
            other_tag[i] ^= 0x80;
            assert_eq!(config.decrypt(&other_iv, &tag, &ciphertext), Err(CryptError::NotAuthentic), "iv byte {i}");
            assert_eq!(
                config.decrypt(&[9; 16], &other_tag, &ciphertext),
                Err(CryptError::NotAuthentic),
                "tag byte {i}"
            );
        }
        for i in 0..ciphertext.len() {
            let mut other = ciphertext.clone();
            other[i] ^= 1;
            assert_eq!(config.decrypt(&[9; 16], &tag, &other), Err(CryptError::NotAuthentic), "byte {i}");
        }
        assert_eq!(config.decrypt(&[9; 16], &tag, &ciphertext[1..]), Err(CryptError::NotAuthentic));
        let other = CryptConfig::new(EncryptionKey::new([1; 32]));
        assert_eq!(other.decrypt(&[9; 16], &tag, &ciphertext), Err(CryptError::NotAuthentic));
    }

    #[test]
    fn a_failed_decryption_leaves_the_ciphertext() {
        let config = counting_key();
        let (tag, ciphertext) = config.encrypt(&[9; 16], b"some content").unwrap();
        let mut buffer = ciphertext.clone();
        assert!(config.decrypt_in_place(&[8; 16], &tag, &mut buffer).is_err());
        assert_eq!(buffer, ciphertext);
    }

    #[test]
    fn signatures_depend_on_key_and_message() {
        let config = counting_key();
        let signature = config.sign(b"message");
        assert!(config.is_signature_of(&signature, b"message"));
        assert!(!config.is_signature_of(&signature, b"massage"));
        assert!(!CryptConfig::new(EncryptionKey::new([1; 32])).is_signature_of(&signature, b"message"));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let text = format!("{:?}", counting_key());
        assert!(text.contains("0e:ab:d4") && !text.contains("***") && !text.contains("7c2c01"), "{text}");
    }

    proptest! {
        #[test]
        fn encryption_is_undone_by_decryption(
            key: [u8; 32], iv: Iv, plain in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let config = CryptConfig::new(EncryptionKey::new(key));
            let (tag, ciphertext) = config.encrypt(&iv, &plain).unwrap();
            prop_assert_eq!(ciphertext.len(), plain.len());
            prop_assert_eq!(config.decrypt(&iv, &tag, &ciphertext).unwrap(), plain);
        }
    }
}
