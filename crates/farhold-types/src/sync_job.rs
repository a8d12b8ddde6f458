//! A sync job as it is configured. Source: `docs/spec/sync.md` 2.1.

use crate::byte_size::ByteSize;
use crate::enums::SyncDirection;
use crate::group_filter::GroupFilter;
use crate::identity::Authid;
use crate::name::{DatastoreName, JobId, KeyId, RemoteName};
use crate::namespace::Namespace;

/// Limits of the bytes per second on the network, and how much may be sent at once after a pause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Received bytes per second.
    pub rate_in: Option<ByteSize>,
    /// Size of the receiving bucket in bytes.
    pub burst_in: Option<ByteSize>,
    /// Sent bytes per second.
    pub rate_out: Option<ByteSize>,
    /// Size of the sending bucket in bytes.
    pub burst_out: Option<ByteSize>,
}

/// A stored sync job. Absent options stay absent, since a rewritten file holds only what was set; the accessors name
/// the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncJob {
    /// Job id.
    pub id: JobId,
    /// Local datastore: target of a pull, source of a push.
    pub store: DatastoreName,
    /// Local anchor.
    pub ns: Option<Namespace>,
    /// Owner of pulled groups, and identity of all run-time checks.
    pub owner: Option<Authid>,
    /// Remote; none means that the source is another local datastore.
    pub remote: Option<RemoteName>,
    /// Datastore on the remote, or the other local datastore.
    pub remote_store: DatastoreName,
    /// Anchor on the other side.
    pub remote_ns: Option<Namespace>,
    /// Direction.
    pub sync_direction: Option<SyncDirection>,
    /// Remove what vanished from the source.
    pub remove_vanished: Option<bool>,
    /// Levels below the anchor, 0 to 7; none means all.
    pub max_depth: Option<u8>,
    /// Free text.
    pub comment: Option<String>,
    /// Calendar event.
    pub schedule: Option<String>,
    /// Which groups are in scope.
    pub group_filter: Vec<GroupFilter>,
    /// Bandwidth limits.
    pub limits: RateLimits,
    /// Only the newest so many snapshots of a group.
    pub transfer_last: Option<u64>,
    /// Fetch snapshots again that failed verification here.
    pub resync_corrupt: Option<bool>,
    /// Only fully encrypted snapshots.
    pub encrypted_only: Option<bool>,
    /// Only snapshots whose last verification was good.
    pub verified_only: Option<bool>,
    /// Run when the store's device is mounted.
    pub run_on_mount: Option<bool>,
    /// Unmount after a run that mounting started.
    pub unmount_on_done: Option<bool>,
    /// Groups handled at once, 1 to 32.
    pub worker_threads: Option<u8>,
    /// Key that encrypts on push.
    pub active_encryption_key: Option<KeyId>,
    /// Keys that decrypt on pull.
    pub associated_key: Vec<KeyId>,
}

impl SyncJob {
    /// Number of groups handled at once when a job does not say.
    pub const DEFAULT_WORKER_THREADS: u8 = 1;

    /// Returns a job without options.
    pub const fn new(id: JobId, store: DatastoreName, remote_store: DatastoreName) -> Self {
        Self {
            id,
            store,
            ns: None,
            owner: None,
            remote: None,
            remote_store,
            remote_ns: None,
            sync_direction: None,
            remove_vanished: None,
            max_depth: None,
            comment: None,
            schedule: None,
            group_filter: Vec::new(),
            limits: RateLimits { rate_in: None, burst_in: None, rate_out: None, burst_out: None },
            transfer_last: None,
            resync_corrupt: None,
            encrypted_only: None,
            verified_only: None,
            run_on_mount: None,
            unmount_on_done: None,
            worker_threads: None,
            active_encryption_key: None,
            associated_key: Vec::new(),
        }
    }

    /// Returns the direction, pull if not set.
    pub fn direction(&self) -> SyncDirection {
        self.sync_direction.unwrap_or_default()
    }

    /// Returns the owner, `root@pam` if not set.
    pub fn effective_owner(&self) -> Authid {
        self.owner.clone().unwrap_or_else(Authid::root)
    }

    /// Returns the local anchor, the root if not set.
    pub fn local_anchor(&self) -> Namespace {
        self.ns.clone().unwrap_or_default()
    }

    /// Returns the anchor on the other side, the root if not set.
    pub fn remote_anchor(&self) -> Namespace {
        self.remote_ns.clone().unwrap_or_default()
    }

    /// Returns the worker id of the job's tasks: `<remote or ->:<remote-store>:<store>:<ns>:<job id>`.
    ///
    /// Source: `docs/spec/sync.md` 14.1.
    pub fn worker_id(&self) -> String {
        let remote = self.remote.as_ref().map_or("-", RemoteName::as_str);
        format!("{remote}:{}:{}:{}:{}", self.remote_store, self.store, self.local_anchor(), self.id)
    }
}
