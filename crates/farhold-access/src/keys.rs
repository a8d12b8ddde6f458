//! The keys that sign tickets and anti-forgery tokens.
//!
//! New ticket keys are Ed25519 (PKCS#8 and SPKI, PEM). RSA keys of older installations, PKCS#8 or traditional, are still
//! loaded and used with PKCS#1 v1.5 and SHA-256.
//!
//! Source: `docs/spec/config-and-access.md` 3.15.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use farhold_settings::{ConfigDir, Protection, SettingsError};
use farhold_types::Randomness;
use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use sha2::Digest as _;
use sha3::Sha3_256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::pem;

const PRIVATE_FILE: &str = "authkey.key";
const PUBLIC_FILE: &str = "authkey.pub";
const CSRF_FILE: &str = "csrf.key";
/// Random bytes of a new anti-forgery key.
const CSRF_KEY_BYTES: usize = 64;
/// What stands before the 32 bytes of an Ed25519 public key in its SPKI form: the DER headers and the algorithm's name
/// (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why keys could not be loaded or made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("key files are not usable")]
    Settings(#[from] SettingsError),
    /// The private key is no Ed25519 or RSA key in PEM form.
    #[error(
        "{PRIVATE_FILE} holds no Ed25519 or RSA private key in PEM form; restore it, or remove it to get a new one"
    )]
    PrivateKey,
    /// The two files do not belong together.
    #[error("{PUBLIC_FILE} does not belong to {PRIVATE_FILE}; restore the pair, or remove both to get a new one")]
    Mismatch,
    /// The anti-forgery key is empty.
    #[error("{CSRF_FILE} is empty; restore it, or remove it to get a new one")]
    EmptyCsrfKey,
}

enum Signing {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// Both keys; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    signing: Arc<Signing>,
    csrf: Arc<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Keys {
    /// Returns the keys in `dir`; makes those that are missing. The ticket key is made anew if one of its two files is
    /// missing.
    ///
    /// # Errors
    /// A file that exists but holds no usable key. It is never overwritten.
    pub fn load_or_create(dir: &ConfigDir) -> Result<Self, KeyError> {
        let signing = match (dir.read(PRIVATE_FILE)?, dir.read(PUBLIC_FILE)?) {
            (Some(private), Some(public)) => {
                let signing = read_private(&Zeroizing::new(private)).ok_or(KeyError::PrivateKey)?;
                check_public(&signing, &public)?;
                signing
            }
            _ => create_signing(dir)?,
        };
        let csrf = match dir.read(CSRF_FILE)? {
            // Only the exact form is decoded: what else stands in the file is the key as it is.
            Some(text) => STANDARD_NO_PAD.decode(&text).unwrap_or(text),
            None => create_csrf(dir)?,
        };
        if csrf.is_empty() {
            return Err(KeyError::EmptyCsrfKey);
        }
        Ok(Self { signing: Arc::new(signing), csrf: Arc::new(Zeroizing::new(csrf)) })
    }

    /// Returns the signature of `text`.
    pub(crate) fn sign(&self, text: &str) -> Vec<u8> {
        match &*self.signing {
            Signing::Ed25519(key) => key.sign(text.as_bytes()).as_ref().to_vec(),
            Signing::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                // The padding is deterministic: the library asks for a source of randomness and does not use it.
                key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
                    .expect("the buffer has the length of the modulus");
                signature
            }
        }
    }

    /// Returns whether `signature` is the one of `text`.
    pub(crate) fn verify(&self, text: &str, signature: &[u8]) -> bool {
        let verified = match &*self.signing {
            Signing::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key.public_key()).verify(text.as_bytes(), signature)
            }
            Signing::Rsa(key) => UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.public_key())
                .verify(text.as_bytes(), signature),
        };
        verified.is_ok()
    }

    /// Returns the authentication code of `text` that new anti-forgery tokens carry.
    pub(crate) fn csrf_code(&self, text: &str) -> [u8; 32] {
        let mut mac = SimpleHmac::<Sha3_256>::new_from_slice(&self.csrf).expect("a key may have any length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Returns whether `code` is the one of `text`, in the present form or the one of older releases.
    pub(crate) fn verify_csrf_code(&self, text: &str, code: &[u8]) -> bool {
        let mut hash = sha2::Sha256::new();
        hash.update(text.as_bytes());
        hash.update(self.csrf.as_slice());
        let old: [u8; 32] = hash.finalize().into();
        (self.csrf_code(text).as_slice().ct_eq(code) | old.as_slice().ct_eq(code)).into()
    }
}

fn read_private(text: &[u8]) -> Option<Signing> {
    let (label, der) = pem::decode(std::str::from_utf8(text).ok()?)?;
    let der = Zeroizing::new(der);
    match label {
        "PRIVATE KEY" => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map(Signing::Ed25519)
            .or_else(|_| RsaKeyPair::from_pkcs8(&der).map(|key| Signing::Rsa(Box::new(key))))
            .ok(),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der).map(|key| Signing::Rsa(Box::new(key))).ok(),
        _ => None,
    }
}

/// Compares the public file with the private key, as far as its form is known: the other server process reads it.
fn check_public(signing: &Signing, public: &[u8]) -> Result<(), KeyError> {
    let der = std::str::from_utf8(public).ok().and_then(pem::decode).map(|(_, der)| der).ok_or(KeyError::Mismatch)?;
    let key = match signing {
        Signing::Ed25519(key) => key.public_key().as_ref().to_vec(),
        Signing::Rsa(key) => key.public_key().as_ref().to_vec(),
    };
    // Both forms of a public key end with the key's own encoding.
    if der.ends_with(&key) { Ok(()) } else { Err(KeyError::Mismatch) }
}

fn create_signing(dir: &ConfigDir) -> Result<Signing, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    dir.randomness().fill(seed.as_mut());
    let key = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("32 bytes are a seed");
    let private = key.to_pkcs8v1().expect("a key that was just made can be written");
    let public = [ED25519_SPKI_PREFIX.as_slice(), key.public_key().as_ref()].concat();
    let private = Zeroizing::new(pem::encode("PRIVATE KEY", private.as_ref()));
    dir.replace(PRIVATE_FILE, private.as_bytes(), Protection::Private)?;
    dir.replace(PUBLIC_FILE, pem::encode("PUBLIC KEY", &public).as_bytes(), Protection::Shared)?;
    Ok(Signing::Ed25519(key))
}

fn create_csrf(dir: &ConfigDir) -> Result<Vec<u8>, KeyError> {
    let mut key = vec![0; CSRF_KEY_BYTES];
    Randomness::fill(dir.randomness(), &mut key);
    dir.replace(CSRF_FILE, Zeroizing::new(STANDARD_NO_PAD.encode(&key)).as_bytes(), Protection::Shared)?;
    Ok(key)
}
