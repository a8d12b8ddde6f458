//! Key files: a backup encryption key as JSON, plain or protected by a passphrase.
//!
//! The same form serves a client's own key, the keys a server holds for sync jobs, and the master-key copy. Reading
//! knows no more than the text; whether a passphrase fits shows in [`KeyFile::decrypt`].
//!
//! Source: `docs/spec/datastore-format.md` 6.2.

mod json;
mod time;

use std::fmt;

use farhold_crypto::kdf::{self, ScryptCost};
use farhold_crypto::{CryptConfig, CryptError, EncryptionKey, IV_BYTES, Iv, KEY_BYTES, TAG_BYTES, Tag};
use farhold_types::{Fingerprint, Randomness, Secret};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use time::LocalTime;

/// Longest key file that is read, in bytes. They have some 400. Our own limit.
pub const MAX_KEY_FILE_BYTES: usize = 64 << 10;
/// Shortest passphrase, in bytes.
pub const MIN_PASSPHRASE_BYTES: usize = 5;

/// Length of a salt in a new file, in bytes.
const SALT_BYTES: usize = 32;
/// Rounds of PBKDF2 in a new file.
const PBKDF2_ROUNDS: u32 = 65_535;
/// Most characters of a password hint.
const MAX_HINT_CHARS: usize = 64;

/// How a key file protects its key, by the name that parameters and listings use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kdf {
    /// Not at all.
    None,
    /// By a passphrase and scrypt.
    #[default]
    Scrypt,
    /// By a passphrase and PBKDF2.
    Pbkdf2,
}

impl fmt::Display for Kdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Scrypt => "scrypt",
            Self::Pbkdf2 => "pbkdf2",
        })
    }
}

impl std::str::FromStr for Kdf {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "none" => Ok(Self::None),
            "scrypt" => Ok(Self::Scrypt),
            "pbkdf2" => Ok(Self::Pbkdf2),
            _ => Err("expected none, scrypt or pbkdf2"),
        }
    }
}

/// Why a key file cannot be read, opened or made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is too long to be one.
    #[error("key file has {size_bytes} bytes, more than {MAX_KEY_FILE_BYTES}")]
    TooLong {
        /// Its length.
        size_bytes: usize,
    },
    /// The text is no JSON, or a member is missing or has a wrong type.
    #[error("key file is not valid: {reason}")]
    Json {
        /// What is wrong, without content: parsers quote what they did not expect, and that may be the key.
        reason: String,
    },
    /// A member has a wrong form.
    #[error("key file has an invalid member {member}")]
    Member {
        /// Its name.
        member: &'static str,
    },
    /// The key is protected and no passphrase was given.
    #[error("key is protected by a passphrase and none was given")]
    PassphraseMissing,
    /// The passphrase is too short to be right or to protect anything.
    #[error("passphrase must have at least {MIN_PASSPHRASE_BYTES} bytes")]
    PassphraseTooShort,
    /// The passphrase does not fit.
    #[error("passphrase is wrong, or the key file was changed")]
    WrongPassphrase,
    /// The file names another fingerprint than its key has.
    #[error("key has the fingerprint {}, but its file names {}", found.short(), expected.short())]
    Fingerprint {
        /// Fingerprint in the file.
        expected: Fingerprint,
        /// Fingerprint of the key.
        found: Fingerprint,
    },
    /// A hint must have 1 to 64 characters, none of them a control character.
    #[error("password hint must have 1 to {MAX_HINT_CHARS} characters without control characters")]
    Hint,
    /// The key derivation refused its parameters.
    #[error("key derivation failed")]
    Derivation {
        /// Its reason.
        #[source]
        source: CryptError,
    },
}

/// A key file. Its `Debug` form does not show the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// When the key was made.
    pub created: LocalTime,
    /// When the file was last changed.
    pub modified: LocalTime,
    /// Fingerprint of the key; absent in old files.
    pub fingerprint: Option<Fingerprint>,
    /// What reminds the owner of the passphrase.
    pub hint: Option<String>,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Plain(EncryptionKey),
    Protected { derivation: Derivation, iv: Iv, tag: Tag, ciphertext: [u8; KEY_BYTES] },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Derivation {
    Scrypt { cost: ScryptCost, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

impl Derivation {
    fn derive(&self, passphrase: &Secret) -> Result<CryptConfig, KeyFileError> {
        let passphrase = passphrase.expose().as_bytes();
        if passphrase.len() < MIN_PASSPHRASE_BYTES {
            return Err(KeyFileError::PassphraseTooShort);
        }
        let key = match self {
            Self::Scrypt { cost, salt } => kdf::scrypt(passphrase, salt, *cost),
            Self::Pbkdf2 { rounds, salt } => kdf::pbkdf2(passphrase, salt, *rounds),
        };
        key.map(CryptConfig::new).map_err(|source| KeyFileError::Derivation { source })
    }
}

impl KeyFile {
    /// Returns a key file without protection, as servers keep them for sync jobs.
    pub fn plain(key: EncryptionKey, created: LocalTime) -> Self {
        let fingerprint = Some(CryptConfig::new(key.clone()).fingerprint());
        Self { created, modified: created, fingerprint, hint: None, content: Content::Plain(key) }
    }

    /// Returns a key file that protects `key` by a passphrase.
    ///
    /// [`Kdf::None`] protects nothing and gives what [`Self::plain`] does. Takes about a third of a second with
    /// scrypt.
    ///
    /// # Errors
    /// [`KeyFileError::PassphraseTooShort`], [`KeyFileError::Hint`] (also for any hint without protection).
    pub fn protected(
        key: EncryptionKey,
        method: Kdf,
        passphrase: &Secret,
        hint: Option<&str>,
        created: LocalTime,
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyFileError> {
        let mut file = Self::plain(key, created);
        if hint.is_some_and(|hint| method == Kdf::None || !is_valid_hint(hint)) {
            return Err(KeyFileError::Hint);
        }
        let Content::Plain(key) = &file.content else { return Ok(file) };
        let mut salt = vec![0; SALT_BYTES];
        randomness.fill(&mut salt);
        let derivation = match method {
            Kdf::None => return Ok(file),
            Kdf::Scrypt => Derivation::Scrypt { cost: ScryptCost::STANDARD, salt },
            Kdf::Pbkdf2 => Derivation::Pbkdf2 { rounds: PBKDF2_ROUNDS, salt },
        };
        let mut iv = [0; IV_BYTES];
        randomness.fill(&mut iv);
        let mut ciphertext = *key.expose();
        let tag = derivation
            .derive(passphrase)?
            .encrypt_in_place(&iv, &mut ciphertext)
            .map_err(|source| KeyFileError::Derivation { source })?;
        file.content = Content::Protected { derivation, iv, tag, ciphertext };
        file.hint = hint.map(str::to_owned);
        Ok(file)
    }

    /// Reads the text of a key file. Unknown members are ignored; a hint is taken as it is.
    ///
    /// # Errors
    /// [`KeyFileError::TooLong`], [`KeyFileError::Json`], [`KeyFileError::Member`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyFileError> {
        if MAX_KEY_FILE_BYTES < text.len() {
            return Err(KeyFileError::TooLong { size_bytes: text.len() });
        }
        json::read(text)
    }

    /// Returns the text of the file, compact. It contains the key itself if that is not protected.
    pub fn to_json(&self) -> Secret {
        Secret::new(json::write(self))
    }

    /// Returns how the key is protected.
    pub const fn kdf(&self) -> Kdf {
        match &self.content {
            Content::Plain(_) => Kdf::None,
            Content::Protected { derivation: Derivation::Scrypt { .. }, .. } => Kdf::Scrypt,
            Content::Protected { derivation: Derivation::Pbkdf2 { .. }, .. } => Kdf::Pbkdf2,
        }
    }

    /// Returns the key. The passphrase is needed, and looked at, only if there is protection.
    ///
    /// # Errors
    /// [`KeyFileError::PassphraseMissing`], [`KeyFileError::PassphraseTooShort`], [`KeyFileError::WrongPassphrase`],
    /// [`KeyFileError::Fingerprint`] if the file names another one, [`KeyFileError::Derivation`] if the file asks for
    /// too much memory or time.
    pub fn decrypt(&self, passphrase: Option<&Secret>) -> Result<EncryptionKey, KeyFileError> {
        let key = match &self.content {
            Content::Plain(key) => key.clone(),
            Content::Protected { derivation, iv, tag, ciphertext } => {
                let wrapping = derivation.derive(passphrase.ok_or(KeyFileError::PassphraseMissing)?)?;
                let mut key = *ciphertext;
                wrapping.decrypt_in_place(iv, tag, &mut key).map_err(|_| KeyFileError::WrongPassphrase)?;
                EncryptionKey::new(key)
            }
        };
        let found = CryptConfig::new(key.clone()).fingerprint();
        match self.fingerprint {
            Some(expected) if expected != found => Err(KeyFileError::Fingerprint { expected, found }),
            _ => Ok(key),
        }
    }
}

fn is_valid_hint(hint: &str) -> bool {
    (1..=MAX_HINT_CHARS).contains(&hint.chars().count()) && !hint.chars().any(char::is_control)
}

/// Splits what a protected key file stores: IV, tag, encrypted key.
fn split_data(data: &[u8]) -> Option<(Iv, Tag, [u8; KEY_BYTES])> {
    let (iv, rest) = data.split_first_chunk::<IV_BYTES>()?;
    let (tag, ciphertext) = rest.split_first_chunk::<TAG_BYTES>()?;
    Some((*iv, *tag, ciphertext.try_into().ok()?))
}

#[cfg(test)]
mod tests;
