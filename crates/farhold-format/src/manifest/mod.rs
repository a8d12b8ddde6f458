//! The manifest of a snapshot: which files belong to it, how they are protected, and what was noted since.
//!
//! On disk it is the blob `index.json.blob`, never encrypted, with JSON inside. Type, id, time and the list of files
//! never change after the backup and can be signed; everything in `unprotected` may change and is not signed. Members
//! of `unprotected` that we do not know are kept; others are ignored when read and lost when written, as the reference
//! does.
//!
//! Source: `docs/spec/datastore-format.md` 10.

mod json;
mod unprotected;

use std::collections::HashSet;

use farhold_crypto::CryptConfig;
use farhold_types::{
    ArchiveName, BackupId, BackupType, CLIENT_LOG_NAME, CryptMode, Digest, Epoch, Fingerprint, Group, MANIFEST_NAME,
    Snapshot,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::blob::{self, BlobDecoder, BlobEncoder, BlobError, Compression};

pub use unprotected::{
    CHANGE_DETECTION_FINGERPRINT, CHUNK_UPLOAD_STATS, KEY_FINGERPRINT, NOTES, SYNC_SOURCE_SIGNATURE, VERIFY_STATE,
};

/// Longest JSON text of a manifest that is read, in bytes; it has some 200 bytes a file. Our own limit, as large as
/// the largest blob that can be uploaded.
pub const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// Most JSON values in a manifest; [`MAX_MANIFEST_BYTES`] full of files have fewer. A value takes up to some hundred
/// bytes of memory, so this bounds what reading a crafted manifest can take. Our own limit.
pub const MAX_MANIFEST_VALUES: usize = 1 << 20;

/// Largest size a file may state, in bytes: more does not fit a file offset.
const MAX_FILE_BYTES: u64 = i64::MAX as u64;

/// The manifest of a snapshot.
///
/// One that was read names every file once, with sizes up to 2^63 - 1, and names neither itself nor the client log.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Type of the backup group.
    pub backup_type: BackupType,
    /// Id of the backup group.
    pub backup_id: BackupId,
    /// Backup time.
    pub backup_time: Epoch,
    /// The files, in the order of the backup.
    pub files: Vec<ManifestFile>,
    /// What may change after the backup; not signed.
    pub unprotected: Map<String, Value>,
    /// Signature over everything but `unprotected`.
    pub signature: Option<Digest>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Name of the file.
    pub name: ArchiveName,
    /// How its content is protected.
    pub crypt_mode: CryptMode,
    /// Content size of an index, file size of a blob, in bytes.
    pub size_bytes: u64,
    /// Index checksum of an index, SHA-256 over the whole file of a blob.
    pub checksum: Digest,
}

/// What checking a signature found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// There is none, so nothing was checked.
    Unsigned,
    /// It was made with the key at hand and fits.
    Valid,
}

/// Why a manifest cannot be read, or is not what it claims to be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The container is damaged, or the content is too long.
    #[error("manifest container cannot be read")]
    Blob {
        /// The container's reason.
        #[source]
        source: BlobError,
    },
    /// Manifests are never encrypted.
    #[error("manifest is encrypted")]
    Encrypted,
    /// The text is too long.
    #[error("manifest has {size_bytes} bytes, more than {MAX_MANIFEST_BYTES}")]
    TooLong {
        /// Length of the text.
        size_bytes: usize,
    },
    /// The text holds too many values.
    #[error("manifest has more than {MAX_MANIFEST_VALUES} values")]
    TooManyValues,
    /// The text is no JSON, or a member is missing or has a wrong form.
    #[error("manifest is not valid")]
    Json {
        /// The parser's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The backup time is before the year 0 or after the year 9999.
    #[error("manifest has the impossible backup time {found}")]
    Time {
        /// Seconds since the epoch.
        found: i64,
    },
    /// A file is listed twice.
    #[error("manifest lists {name} twice")]
    Duplicate {
        /// The name.
        name: ArchiveName,
    },
    /// A file is listed that never belongs there: the manifest or the client log.
    #[error("manifest lists {name}, which it must not")]
    Reserved {
        /// The name.
        name: ArchiveName,
    },
    /// A file claims an impossible size.
    #[error("manifest lists {name} with an impossible size of {size_bytes} bytes")]
    FileSize {
        /// The name.
        name: ArchiveName,
        /// The size listed.
        size_bytes: u64,
    },
    /// `key-fingerprint` is there but no fingerprint.
    #[error("manifest has an invalid key fingerprint")]
    KeyFingerprint,
    /// `sync-source-signature`, or the older member for it, is there but no signature.
    #[error("manifest has an invalid signature of its sync source")]
    SourceSignature,
    /// The snapshot was made with another key.
    #[error("wrong key, manifest was made with {} and not with {}", expected.short(), found.short())]
    WrongKey {
        /// Fingerprint that the manifest names.
        expected: Fingerprint,
        /// Fingerprint of the key at hand.
        found: Fingerprint,
    },
    /// The signature does not fit: the manifest was changed, or was signed with another key.
    #[error("manifest signature does not fit its content")]
    Signature,
}

impl Manifest {
    /// Starts a manifest without files and signature.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            backup_type: snapshot.group.backup_type,
            backup_id: snapshot.group.backup_id.clone(),
            backup_time: snapshot.time,
            files: Vec::new(),
            unprotected: Map::new(),
            signature: None,
        }
    }

    /// Reads a manifest from the bytes of its file.
    ///
    /// # Errors
    /// [`ManifestError::Blob`] if the container is damaged or holds more than [`MAX_MANIFEST_BYTES`],
    /// [`ManifestError::Encrypted`], and as [`Self::parse`]. Signatures are not looked at.
    pub fn from_blob(encoded: &[u8]) -> Result<Self, ManifestError> {
        let container = |source| ManifestError::Blob { source };
        if blob::kind(encoded).map_err(container)?.is_encrypted() {
            return Err(ManifestError::Encrypted);
        }
        let text = BlobDecoder::new().decode(encoded, None, MAX_MANIFEST_BYTES).map_err(container)?;
        Self::parse(&text)
    }

    /// Reads a manifest from its JSON text.
    ///
    /// # Errors
    /// [`ManifestError::TooLong`], [`ManifestError::TooManyValues`], [`ManifestError::Json`], and everything that is about the list of files.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if MAX_MANIFEST_BYTES < text.len() {
            return Err(ManifestError::TooLong { size_bytes: text.len() });
        }
        if MAX_MANIFEST_VALUES < json::count_values(text) {
            return Err(ManifestError::TooManyValues);
        }
        let manifest = json::read(text).map_err(|source| ManifestError::Json { source })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns the JSON text as the reference writes it: two blanks of indentation, sorted keys, no final line break.
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// Returns the bytes of the manifest's file.
    ///
    /// # Errors
    /// As [`BlobEncoder::encode`], that is, only if memory runs out or the text exceeds 128 MiB.
    pub fn to_blob(&self, encoder: &mut BlobEncoder) -> Result<Vec<u8>, BlobError> {
        encoder.encode(self.to_json().as_bytes(), Compression::On, None)
    }

    /// Returns which snapshot the manifest says it describes. Nobody checked that against the place it lies in.
    pub fn snapshot(&self) -> Snapshot {
        Group::new(self.backup_type, self.backup_id.clone()).at(self.backup_time)
    }

    /// Returns the file of this name.
    pub fn file(&self, name: &ArchiveName) -> Option<&ManifestFile> {
        self.files.iter().find(|file| file.name == *name)
    }

    /// Returns the sum of the files' sizes in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size_bytes))
    }

    /// Returns whether every file is encrypted. True for a manifest without files.
    pub fn is_fully_encrypted(&self) -> bool {
        self.files.iter().all(|file| file.crypt_mode == CryptMode::Encrypt)
    }

    /// Returns whether no file is encrypted. True for a manifest without files.
    pub fn is_unencrypted(&self) -> bool {
        self.files.iter().all(|file| file.crypt_mode != CryptMode::Encrypt)
    }

    /// Returns the bytes that are signed: all but `unprotected` and `signature`, sorted keys, no white space.
    pub fn canonical(&self) -> Vec<u8> {
        json::canonical(self)
    }

    /// Returns whether everything but `unprotected` and `signature` is equal in both.
    pub fn has_same_protected_content(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }

    /// Returns the signature that `key` gives.
    pub fn compute_signature(&self, key: &CryptConfig) -> Digest {
        key.sign(&self.canonical())
    }

    /// Signs the manifest with `key` and notes the key's fingerprint.
    pub fn sign(&mut self, key: &CryptConfig) {
        self.signature = Some(self.compute_signature(key));
        self.unprotected.insert(KEY_FINGERPRINT.to_owned(), Value::String(key.fingerprint().to_string()));
    }

    /// Checks the signature with `key`, if there is one.
    ///
    /// # Errors
    /// [`ManifestError::WrongKey`] if the manifest names another key, [`ManifestError::Signature`] if the signature
    /// does not fit, [`ManifestError::KeyFingerprint`].
    pub fn check_signature(&self, key: &CryptConfig) -> Result<SignatureState, ManifestError> {
        let Some(signature) = &self.signature else { return Ok(SignatureState::Unsigned) };
        if let Some(expected) = self.key_fingerprint()?
            && expected != key.fingerprint()
        {
            return Err(ManifestError::WrongKey { expected, found: key.fingerprint() });
        }
        if key.is_signature_of(signature, &self.canonical()) {
            Ok(SignatureState::Valid)
        } else {
            Err(ManifestError::Signature)
        }
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !(Epoch::MIN..=Epoch::MAX).contains(&self.backup_time) {
            return Err(ManifestError::Time { found: self.backup_time.0 });
        }
        let mut names = HashSet::new();
        for ManifestFile { name, size_bytes, .. } in &self.files {
            if [MANIFEST_NAME, CLIENT_LOG_NAME].contains(&name.as_str()) {
                return Err(ManifestError::Reserved { name: name.clone() });
            }
            if MAX_FILE_BYTES < *size_bytes {
                return Err(ManifestError::FileSize { name: name.clone(), size_bytes: *size_bytes });
            }
            if !names.insert(name) {
                return Err(ManifestError::Duplicate { name: name.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
