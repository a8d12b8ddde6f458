//! Stored configuration: load, lock, check, replace, hand out.
//!
//! [`Settings`] gives access to each file of the configuration directory. Loading takes no lock and returns the content
//! with its digest. Editing takes the file's lock, compares the digest the caller has seen, and replaces the file as a
//! whole. Everything blocks: call it where waiting for a disk, or up to 10 s for a lock, is fine.
//!
//! Lock order, where several are held: token removal takes `acl`, `user`, `token.shadow`; user removal takes `user`,
//! `tfa`, `acl`, and each of `shadow.json` and `token.shadow` for its own change only. The two orders differ because
//! the reference product's do; a wait ends after 10 s, so the worst case of both at once is an error, not a standstill.
//! Archiving and removing an encryption key takes `sync`, then `encryption-keys`, so that no job starts to name the key
//! meanwhile; so does whoever edits a job and loads its keys.
//!
//! Source: `docs/spec/config-and-access.md` 1 to 3.

pub mod checkers;
mod config_dir;
mod encryption_keys;
mod entries;
mod error;
pub mod records;
mod removal;
pub mod schemas;
mod store;

pub use config_dir::{ConfigDir, ConfigLock, LOCK_WAIT, Protection, ServiceOwner, digest_of};
pub use encryption_keys::{Archiving, KEY_DIRECTORY, KeyFileState, KeyStoreError, KeyUse};
pub use entries::{ConfigFile, Entries, Usable};
pub use error::{FieldError, SettingsError};
pub use farhold_format::acl_file::{Acl, AclEntry, AclSubject, check_new_path};
pub use records::datastore::{
    ChunkOrder, DatastoreConfig, Datastores, Maintenance, MaintenanceType, NotificationMode, NotifyLevels, NotifyWhen,
    Tuning,
};
pub use records::encryption_key::{EncryptionKeyConfig, EncryptionKeys};
pub use records::metric_server::{MetricServer, MetricServers};
pub use records::node::NodeConfig;
pub use records::notification::{NotificationSecrets, Notifications, Origin, TargetSecrets};
pub use records::prune::PruneJobs;
pub use records::realm::{RealmConfig, RealmKind, Realms};
pub use records::remote::{RemoteConfig, Remotes, StoredSecret};
pub use records::second_factors::{Factor, FactorKind, SecondFactors, UserFactors};
pub use records::secrets::{PasswordHashes, TokenHashes};
pub use records::sync::SyncJobs;
pub use records::traffic::TrafficRules;
pub use records::user::{TokenConfig, UserConfig, UserEntry, Users, Validity};
pub use records::verify::VerifyJobs;
pub use removal::{JobsOfKey, jobs_using_datastore, jobs_using_key, jobs_using_remote};
pub use store::{ConfigStore, Document, Edited, Loaded};

/// The stored configuration of one server; cheap to clone.
#[derive(Clone)]
pub struct Settings {
    dir: ConfigDir,
}

macro_rules! stores {
    ($($(#[$doc:meta])* $name:ident: $document:ty;)*) => {
        impl Settings {
            $($(#[$doc])*
            pub fn $name(&self) -> ConfigStore<$document> {
                ConfigStore::new(self.dir.clone())
            })*
        }
    };
}

stores! {
    /// Returns access to `remote.cfg`.
    remotes: Entries<Remotes>;
    /// Returns access to `sync.cfg`.
    sync_jobs: Entries<SyncJobs>;
    /// Returns access to `datastore.cfg`.
    datastores: Entries<Datastores>;
    /// Returns access to `user.cfg`.
    users: Entries<Users>;
    /// Returns access to `domains.cfg`.
    realms: Entries<Realms>;
    /// Returns access to `prune.cfg`.
    prune_jobs: Entries<PruneJobs>;
    /// Returns access to `verification.cfg`.
    verify_jobs: Entries<VerifyJobs>;
    /// Returns access to `traffic-control.cfg`.
    traffic_rules: Entries<TrafficRules>;
    /// Returns access to `metricserver.cfg`.
    metric_servers: Entries<MetricServers>;
    /// Returns access to `notifications.cfg`.
    notifications: Entries<Notifications>;
    /// Returns access to `notifications-priv.cfg`, which is changed together with `notifications.cfg` only.
    notification_secrets: Entries<NotificationSecrets>;
    /// Returns access to `encryption-keys.cfg`.
    encryption_keys: Entries<EncryptionKeys>;
    /// Returns access to `acl.cfg`.
    acl: Acl;
    /// Returns access to `node.cfg`.
    node: NodeConfig;
    /// Returns access to `token.shadow`.
    token_hashes: TokenHashes;
    /// Returns access to `shadow.json`.
    passwords: PasswordHashes;
    /// Returns access to `tfa.json`.
    second_factors: SecondFactors;
}

impl Settings {
    /// Returns the configuration in `dir`.
    pub fn new(dir: ConfigDir) -> Self {
        Self { dir }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &ConfigDir {
        &self.dir
    }
}
