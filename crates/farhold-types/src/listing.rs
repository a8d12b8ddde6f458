//! Items of listings as they cross the wire: what our server answers and what a remote tells us.
//!
//! Members that a peer may leave out are optional. Unknown members are ignored. Source:
//! `docs/spec/wire-protocol.md` 8, `docs/spec/rest-api.md` 12.

use serde::{Deserialize, Serialize};

use crate::backup::{BackupId, BackupType, Group, Snapshot};
use crate::digest::Fingerprint;
use crate::enums::{CryptMode, VerifyState};
use crate::epoch::Epoch;
use crate::identity::Authid;
use crate::namespace::Namespace;

/// A namespace of a datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceItem {
    /// The namespace; empty for the root.
    pub ns: Namespace,
    /// Never filled on file system stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A backup group of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupItem {
    /// Type of the group.
    pub backup_type: BackupType,
    /// Id of the group.
    pub backup_id: BackupId,
    /// Time of the newest finished snapshot, 0 when there is none.
    pub last_backup: Epoch,
    /// Number of finished snapshots.
    pub backup_count: u64,
    /// File names of the newest finished snapshot.
    pub files: Vec<String>,
    /// Owner of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Authid>,
    /// First line of the group's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl GroupItem {
    /// Returns the group's name.
    pub fn group(&self) -> Group {
        Group::new(self.backup_type, self.backup_id.clone())
    }
}

/// A file of a snapshot. `filename` is what the peer says and not checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotFileItem {
    /// File name with extension.
    pub filename: String,
    /// Absent for files that the manifest does not list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crypt_mode: Option<CryptMode>,
    /// Content size of an index, file size of a blob, in bytes; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// Result of the last verification of a snapshot. `upid` is the text of the verifying task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationItem {
    /// Task id of the verification.
    pub upid: String,
    /// Its result.
    pub state: VerifyState,
}

/// A snapshot of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotItem {
    /// Type of the group.
    pub backup_type: BackupType,
    /// Id of the group.
    pub backup_id: BackupId,
    /// Backup time.
    pub backup_time: Epoch,
    /// First line of the notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Result of the last verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationItem>,
    /// Fingerprint of the key that signed or encrypted the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Files: the manifest's entries, then the manifest, then others that are present.
    pub files: Vec<SnapshotFileItem>,
    /// Sum of the files' sizes in bytes. Absent while the backup runs, or when the manifest cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Owner of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Authid>,
    /// Whether the snapshot is protected from removal.
    #[serde(default)]
    pub protected: bool,
}

impl SnapshotItem {
    /// Returns the snapshot's name.
    pub fn snapshot(&self) -> Snapshot {
        Group::new(self.backup_type, self.backup_id.clone()).at(self.backup_time)
    }

    /// Returns whether the manifest was readable, that is, the backup is finished.
    pub const fn is_finished(&self) -> bool {
        self.size.is_some()
    }
}

/// What a deletion of a group or namespace removed and left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeleteStatistics {
    /// Groups that are gone completely.
    pub removed_groups: u64,
    /// Snapshots that stayed because they are protected.
    pub protected_snapshots: u64,
    /// Snapshots that were removed.
    pub removed_snapshots: u64,
}

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionItem {
    /// `major.minor`.
    pub version: String,
    /// Patch number.
    pub release: String,
    /// Revision id, arbitrary.
    pub repoid: String,
}
