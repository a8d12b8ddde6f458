//! The known members of `unprotected`, which may change after the backup.
//!
//! Source: `docs/spec/datastore-format.md` 10.1 and 10.5.

use farhold_types::{Digest, Fingerprint, VerificationItem};
use serde_json::{Value, json};

use super::{Manifest, ManifestError};
use crate::upid::Upid;

/// Notes of the snapshot, a string.
pub const NOTES: &str = "notes";
/// Result of the last verification, an object with `state` and `upid`.
pub const VERIFY_STATE: &str = "verify_state";
/// What the backup uploaded, an object of four counts.
pub const CHUNK_UPLOAD_STATS: &str = "chunk_upload_stats";
/// Fingerprint of the key that signed the snapshot.
pub const KEY_FINGERPRINT: &str = "key-fingerprint";
/// Signature of the manifest from which a sync with a key made this one.
pub const SYNC_SOURCE_SIGNATURE: &str = "sync-source-signature";
/// Older name of [`SYNC_SOURCE_SIGNATURE`], read but never written.
pub const CHANGE_DETECTION_FINGERPRINT: &str = "change-detection-fingerprint";

impl Manifest {
    /// Returns the notes; `None` if they were never set.
    pub fn notes(&self) -> Option<&str> {
        self.unprotected.get(NOTES)?.as_str()
    }

    /// Sets the notes.
    pub fn set_notes(&mut self, notes: &str) {
        self.unprotected.insert(NOTES.to_owned(), Value::String(notes.to_owned()));
    }

    /// Returns the result of the last verification. One without a readable task id counts as none.
    pub fn verify_state(&self) -> Option<VerificationItem> {
        let item: VerificationItem = serde_json::from_value(self.unprotected.get(VERIFY_STATE)?.clone()).ok()?;
        item.upid.parse::<Upid>().is_ok().then_some(item)
    }

    /// Sets the result of the last verification.
    pub fn set_verify_state(&mut self, item: &VerificationItem) {
        self.unprotected.insert(VERIFY_STATE.to_owned(), json!({ "state": item.state, "upid": item.upid }));
    }

    /// Returns the fingerprint of the key that signed the snapshot; `None` if it names none.
    ///
    /// # Errors
    /// [`ManifestError::KeyFingerprint`] if the member is there but is no fingerprint.
    pub fn key_fingerprint(&self) -> Result<Option<Fingerprint>, ManifestError> {
        match self.unprotected.get(KEY_FINGERPRINT) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| ManifestError::KeyFingerprint),
            Some(_) => Err(ManifestError::KeyFingerprint),
        }
    }

    /// Returns the signature that a sync with a key noted about its source, also under the older name; `None` if there
    /// is none.
    ///
    /// # Errors
    /// [`ManifestError::SourceSignature`] if the member is there but is not 32 bytes in hex.
    pub fn sync_source_signature(&self) -> Result<Option<Digest>, ManifestError> {
        let member =
            [SYNC_SOURCE_SIGNATURE, CHANGE_DETECTION_FINGERPRINT].into_iter().find_map(|key| self.unprotected.get(key));
        match member {
            None | Some(Value::Null) => Ok(None),
            // It is a signature, but has the text form of a fingerprint.
            Some(Value::String(text)) => {
                let bytes = text.parse::<Fingerprint>().map_err(|_| ManifestError::SourceSignature)?;
                Ok(Some(Digest(bytes.0)))
            }
            Some(_) => Err(ManifestError::SourceSignature),
        }
    }

    /// Notes the signature of the source manifest and drops one under the older name.
    pub fn set_sync_source_signature(&mut self, signature: Digest) {
        let text = Fingerprint(signature.0).to_string();
        self.unprotected.remove(CHANGE_DETECTION_FINGERPRINT);
        self.unprotected.insert(SYNC_SOURCE_SIGNATURE.to_owned(), Value::String(text));
    }
}
