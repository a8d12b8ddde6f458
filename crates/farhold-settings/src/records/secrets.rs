//! `token.shadow` and `shadow.json`: what proves who somebody is.
//!
//! Source: `docs/spec/config-and-access.md` 3.10 and 3.11.

use std::collections::BTreeMap;

use farhold_types::{Authid, Secret, Userid};
use serde_json::Value;

use crate::config_dir::Protection;
use crate::error::SettingsError;
use crate::store::Document;

pub(super) fn json_error(file: &str, reason: impl ToString) -> SettingsError {
    SettingsError::Json { file: file.to_owned(), reason: reason.to_string() }
}

/// Returns the object of a JSON file; a missing file and `null` are an empty object, an empty file is an error.
pub(super) fn read_object(file: &str, bytes: Option<&[u8]>) -> Result<BTreeMap<String, Value>, SettingsError> {
    let Some(bytes) = bytes else {
        return Ok(BTreeMap::new());
    };
    // The parser's own message names a position and never shows content.
    match serde_json::from_slice(bytes)
        .map_err(|e| json_error(file, format!("line {}, column {}", e.line(), e.column())))?
    {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(object) => Ok(object.into_iter().collect()),
        _ => Err(json_error(file, "the top level is no object")),
    }
}

/// The hashes of token secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenHashes {
    hashes: BTreeMap<Authid, Secret>,
}

impl TokenHashes {
    /// Returns the hash of a token's secret, in the form of crypt(3).
    pub fn get(&self, tokenid: &Authid) -> Option<&Secret> {
        self.hashes.get(tokenid)
    }

    /// Sets the hash of a token's secret.
    pub fn set(&mut self, tokenid: Authid, hash: Secret) {
        self.hashes.insert(tokenid, hash);
    }

    /// Removes a token; returns whether it was there.
    pub fn remove(&mut self, tokenid: &Authid) -> bool {
        self.hashes.remove(tokenid).is_some()
    }

    /// Removes all tokens of a user.
    pub fn remove_tokens_of(&mut self, userid: &Userid) {
        self.hashes.retain(|tokenid, _| tokenid.user() != userid);
    }
}

impl Document for TokenHashes {
    const FILE: &'static str = "token.shadow";
    const LOCK: &'static str = "token.shadow.lock";
    const PROTECTION: Protection = Protection::Service;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        let mut hashes = BTreeMap::new();
        for (key, value) in read_object(Self::FILE, bytes)? {
            let tokenid = key.parse().map_err(|_| json_error(Self::FILE, "a key is no user or token id"))?;
            let Value::String(hash) = value else {
                return Err(json_error(Self::FILE, format!("the value of '{key}' is no text")));
            };
            hashes.insert(tokenid, Secret::new(hash));
        }
        Ok(Self { hashes })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        let object: BTreeMap<String, &str> =
            self.hashes.iter().map(|(tokenid, hash)| (tokenid.to_string(), hash.expose())).collect();
        serde_json::to_vec(&object).map_err(|e| json_error(Self::FILE, e))
    }
}

/// The hashes of passwords of the realm `pbs`, by user name without realm.
///
/// Entries of another type than text are kept; they never match a password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PasswordHashes {
    hashes: BTreeMap<String, Value>,
}

impl std::fmt::Debug for PasswordHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.hashes.keys()).finish()
    }
}

impl PasswordHashes {
    /// Returns the hash of a user's password, in the form of crypt(3).
    pub fn get(&self, name: &str) -> Option<Secret> {
        self.hashes.get(name).and_then(Value::as_str).map(Secret::new)
    }

    /// Sets the hash of a user's password.
    pub fn set(&mut self, name: &str, hash: &Secret) {
        self.hashes.insert(name.to_owned(), Value::String(hash.expose().to_owned()));
    }

    /// Removes a user; returns whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.hashes.remove(name).is_some()
    }
}

impl Document for PasswordHashes {
    const FILE: &'static str = "shadow.json";
    const LOCK: &'static str = "shadow.json.lock";
    const PROTECTION: Protection = Protection::Private;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        Ok(Self { hashes: read_object(Self::FILE, bytes)? })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        serde_json::to_vec_pretty(&self.hashes).map_err(|e| json_error(Self::FILE, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_secret_files_are_told_apart_from_empty_ones() {
        for bad in ["", "[]", "{\"nobody\":\"x\"}", "{\"a@pbs!t\":1}", "{"] {
            assert!(matches!(TokenHashes::parse(Some(bad.as_bytes())), Err(SettingsError::Json { .. })), "{bad}");
        }
        for bad in ["", "[]", "{"] {
            assert!(matches!(PasswordHashes::parse(Some(bad.as_bytes())), Err(SettingsError::Json { .. })), "{bad}");
        }
        for empty in [None, Some("null".as_bytes()), Some("{}".as_bytes())] {
            assert_eq!(TokenHashes::parse(empty).unwrap(), TokenHashes::default());
            assert_eq!(PasswordHashes::parse(empty).unwrap(), PasswordHashes::default());
        }
        let odd = PasswordHashes::parse(Some(br#"{"a":1,"b":"*"}"#)).unwrap();
        assert!(odd.get("a").is_none() && odd.get("b").is_some());
    }
}
