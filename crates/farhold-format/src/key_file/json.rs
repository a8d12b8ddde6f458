//! The JSON form of a key file.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use farhold_crypto::EncryptionKey;
use farhold_crypto::kdf::ScryptCost;
use farhold_types::Fingerprint;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Content, Derivation, KeyFile, KeyFileError, split_data};

/// Members in the order in which the reference writes them.
#[derive(Serialize, Deserialize)]
struct Stored {
    kdf: Option<StoredKdf>,
    created: String,
    modified: String,
    data: Zeroizing<String>,
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
    let stored: Stored = serde_json::from_slice(text).map_err(|error| KeyFileError::Json { reason: reason(&error) })?;
    let data = decode(&stored.data, "data")?;
    const DATA: KeyFileError = KeyFileError::Member { member: "data" };
    let protected = |derivation| {
        let (iv, tag, ciphertext) = split_data(&data).ok_or(DATA)?;
        Ok::<_, KeyFileError>(Content::Protected { derivation, iv, tag, ciphertext })
    };
    let content = match stored.kdf {
        None => Content::Plain(EncryptionKey::from_slice(&data).map_err(|_| DATA)?),
        Some(StoredKdf::Scrypt { n, r, p, salt }) => {
            protected(Derivation::Scrypt { cost: ScryptCost { n, r, p }, salt: decode(&salt, "salt")?.to_vec() })?
        }
        Some(StoredKdf::Pbkdf2 { iter, salt }) => {
            protected(Derivation::Pbkdf2 { rounds: iter, salt: decode(&salt, "salt")?.to_vec() })?
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
        Content::Plain(key) => (None, Zeroizing::new(key.expose().to_vec())),
        Content::Protected { derivation, iv, tag, ciphertext } => {
            let kdf = match derivation {
                Derivation::Scrypt { cost: ScryptCost { n, r, p }, salt } => {
                    StoredKdf::Scrypt { n: *n, r: *r, p: *p, salt: BASE64_STANDARD.encode(salt) }
                }
                Derivation::Pbkdf2 { rounds, salt } => {
                    StoredKdf::Pbkdf2 { iter: *rounds, salt: BASE64_STANDARD.encode(salt) }
                }
            };
            (Some(kdf), Zeroizing::new([&iv[..], tag, ciphertext].concat()))
        }
    };
    let stored = Stored {
        kdf,
        created: file.created.to_string(),
        modified: file.modified.to_string(),
        data: Zeroizing::new(BASE64_STANDARD.encode(&*data)),
        fingerprint: file.fingerprint,
        hint: file.hint.clone(),
    };
    serde_json::to_string(&stored).expect("texts and integers have a JSON form")
}

fn decode(text: &str, member: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    BASE64_STANDARD.decode(text).map(Zeroizing::new).map_err(|_| KeyFileError::Member { member })
}

/// Returns what the parser says as far as it quotes nothing of the text, and where it stopped.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // Names of members are ours; a member with a wrong type is quoted with its value.
    if text.starts_with("missing field") || text.starts_with("EOF") {
        return text;
    }
    let what = if error.is_data() { "unexpected value" } else { "not JSON" };
    format!("{what} at line {} column {}", error.line(), error.column())
}
