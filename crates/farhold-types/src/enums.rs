//! Small enumerations of the wire and of configuration files.

use serde::{Deserialize, Serialize};

/// How a file of a snapshot is protected. A missing value on the wire or on disk means [`CryptMode::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CryptMode {
    /// Neither encrypted nor signed.
    #[default]
    None,
    /// Encrypted; the manifest is signed.
    Encrypt,
    /// Plain content, signed manifest.
    SignOnly,
}

/// Result of the last verification of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyState {
    /// Every file and chunk was sound.
    Ok,
    /// Something was missing or damaged.
    Failed,
}

/// Which way a sync job moves data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncDirection {
    /// From the remote into the local datastore.
    #[default]
    Pull,
    /// From the local datastore to the remote.
    Push,
}

/// When written data is forced to disk. Source: `docs/spec/datastore-format.md` 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncLevel {
    /// Never.
    None,
    /// Each new chunk file and its directory.
    File,
    /// The whole file system, once, before a finished snapshot is reported.
    #[default]
    Filesystem,
}
