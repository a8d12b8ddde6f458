//! The JSON form of a key file.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use farhold_crypto::EncryptionKey;
use farhold_crypto::kdf::ScryptCost;
use farhold_types::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{Content, Derivation, KeyFile, KeyFileError, split_data};

/// Members in the order in which the reference writes them.
#[derive(Serialize, Deserialize)]
struct Stored {
    kdf: Option<StoredKdf>,
    created: String,
    modified: String,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum StoredKdf {
    Scrypt {
        n: u64,
        r: u64,
        p: u64,
        salt: String,
    },
    #[serde(rename = "PBKDF2")]
    Pbkdf2 {
        iter: u32,
        salt: String,
    },
}

pub(super) fn read(text: &[u8]) -> Result<KeyFile, KeyFileError> {
    let stored: Stored = serde_json::from_slice(text).map_err(|source| KeyFileError::Json { source })?;
    let data = decode(&stored.data, "data")?;
    const DATA: KeyFileError = KeyFileError::Member { member: "data" };
    let protected = |derivation| {
        let (iv, tag, ciphertext) = split_data(&data).ok_or(DATA)?;
        Ok::<_, KeyFileError>(Content::Protected { derivation, iv, tag, ciphertext })
    };
    let content = match stored.kdf {
        None => Content::Plain(EncryptionKey::from_slice(&data).map_err(|_| DATA)?),
        Some(StoredKdf::Scrypt { n, r, p, salt }) => {
            protected(Derivation::Scrypt { cost: ScryptCost { n, r, p }, salt: decode(&salt, "salt")? })?
        }
        Some(StoredKdf::Pbkdf2 { iter, salt }) => {
            protected(Derivation::Pbkdf2 { rounds: iter, salt: decode(&salt, "salt")? })?
        }
    };
    Ok(KeyFile {
        created: stored.created.parse()?,
        modified: stored.modified.parse()?,
        fingerprint: stored.fingerprint,
        hint: stored.hint,
        content,
    })
}

pub(super) fn write(file: &KeyFile) -> String {
    let (kdf, data) = match &file.content {
        Content::Plain(key) => (None, key.expose().to_vec()),
        Content::Protected { derivation, iv, tag, ciphertext } => {
            let kdf = match derivation {
                Derivation::Scrypt { cost: ScryptCost { n, r, p }, salt } => {
                    StoredKdf::Scrypt { n: *n, r: *r, p: *p, salt: BASE64_STANDARD.encode(salt) }
                }
                Derivation::Pbkdf2 { rounds, salt } => {
                    StoredKdf::Pbkdf2 { iter: *rounds, salt: BASE64_STANDARD.encode(salt) }
                }
            };
            (Some(kdf), [&iv[..], tag, ciphertext].concat())
        }
    };
    let stored = Stored {
        kdf,
        created: file.created.to_string(),
        modified: file.modified.to_string(),
        data: BASE64_STANDARD.encode(data),
        fingerprint: file.fingerprint,
        hint: file.hint.clone(),
    };
    serde_json::to_string(&stored).expect("texts and integers have a JSON form")
}

fn decode(text: &str, member: &'static str) -> Result<Vec<u8>, KeyFileError> {
    BASE64_STANDARD.decode(text).map_err(|_| KeyFileError::Member { member })
}
