//! Names and values that every room of Farhold uses.
//!
//! Text from outside is parsed into one of these types once, at the edge, and passed on as that type. A value that
//! exists is valid: lengths, patterns and ranges were checked when it was made. Nothing here does IO, waits, or reads
//! the clock; the outside comes in through the [`Clock`] and [`Randomness`] traits.
//!
//! Source of the rules: `docs/spec/datastore-format.md` 2 and 11, `docs/spec/rest-api.md` 2,
//! `docs/spec/config-and-access.md` 5.

mod archive;
mod backup;
mod byte_size;
mod digest;
mod enums;
mod epoch;
mod group_filter;
mod identity;
mod job_options;
mod listing;
mod name;
mod namespace;
mod outside;
mod privilege;
mod prune_job;
mod secret;
mod sync_job;
mod traffic_rule;
mod verify_job;

pub use archive::{ArchiveKind, ArchiveName, CATALOG_NAME, CLIENT_LOG_NAME, KEY_BLOB_NAME, MANIFEST_NAME};
pub use backup::{BackupId, BackupType, Group, Snapshot};
pub use byte_size::{ByteSize, format_bytes};
pub use digest::{Digest, Fingerprint};
pub use enums::{CryptMode, SyncDirection, SyncLevel, VerifyState};
pub use epoch::Epoch;
pub use group_filter::{FilterAction, FilterKind, GroupFilter};
pub use identity::{Authid, Realm, TokenName, Userid};
pub use job_options::{JobKind, JobOptions, PingUrl, PingUrlError, UnknownJobKind};
pub use listing::{
    DeleteStatistics, GroupItem, NamespaceItem, SnapshotFileItem, SnapshotItem, VerificationItem, VersionItem,
};
pub use name::{DatastoreName, JobId, KeyId, NameError, RemoteName, RuleName, is_safe_id};
pub use namespace::{MAX_NAMESPACE_DEPTH, MAX_NAMESPACE_LENGTH, Namespace, NamespaceError};
pub use outside::{Clock, Randomness};
pub use privilege::{Privileges, Role};
pub use prune_job::{KeepOptions, PruneJob};
pub use secret::Secret;
pub use sync_job::{RateLimits, SyncJob};
pub use traffic_rule::TrafficRule;
pub use verify_job::VerifyJob;
