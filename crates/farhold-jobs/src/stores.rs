//! The datastores of one server: looked up in the configuration, opened once, counted while in use.
//!
//! Looking up a store checks its maintenance mode against what the caller wants to do. Work that runs already goes on
//! when the mode changes; only new look-ups are refused. Source: `docs/spec/datastore-format.md` 15,
//! `docs/spec/rest-api.md` 3.5.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farhold_datastore::{Datastore, OpenError, OpenOptions};
use farhold_settings::{DatastoreConfig, FieldError, MaintenanceType, Settings, SettingsError};
use farhold_storage::{BackingDevices, FileSystemUuid};
use farhold_types::{Clock, DatastoreName, Randomness, SyncLevel};
use thiserror::Error;

use crate::active_operations::{ActiveOperations, others};

/// What a caller wants to do with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read backups.
    Read,
    /// Add, change or remove backups.
    Write,
    /// Neither: only reach it.
    Lookup,
}

/// Why a store cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreAccessError {
    /// No store of this name is configured.
    #[error("no such datastore '{name}'")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The maintenance mode forbids the operation.
    #[error("datastore '{name}' is in {mode} maintenance mode{message}")]
    Maintenance {
        /// The store.
        name: DatastoreName,
        /// The mode's word.
        mode: &'static str,
        /// Empty, or a colon and the administrator's message.
        message: String,
    },
    /// The store's device is not mounted.
    #[error("datastore '{name}' is not mounted")]
    NotMounted {
        /// The store.
        name: DatastoreName,
    },
    /// The store lies in an object storage, which this server cannot use.
    #[error("datastore '{name}' has an S3 backend, which is not supported")]
    Unsupported {
        /// The store.
        name: DatastoreName,
    },
    /// The expert settings have a word that nobody knows.
    #[error("datastore '{name}' cannot be opened")]
    Tuning {
        /// The store.
        name: DatastoreName,
        /// The wrong word.
        #[source]
        source: FieldError,
    },
    /// The directory is no usable store.
    #[error("datastore '{name}' cannot be opened")]
    Open {
        /// The store.
        name: DatastoreName,
        /// What is wrong.
        #[source]
        source: OpenError,
    },
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Returns the configuration word of a maintenance type.
pub(crate) const fn maintenance_word(kind: MaintenanceType) -> &'static str {
    match kind {
        MaintenanceType::ReadOnly => "read-only",
        MaintenanceType::Offline => "offline",
        MaintenanceType::Delete => "delete",
        MaintenanceType::Unmount => "unmount",
        MaintenanceType::S3Refresh => "s3-refresh",
    }
}

/// Returns whether a store in this maintenance mode refuses the operation.
const fn is_refused(kind: MaintenanceType, operation: Operation) -> bool {
    match (kind, operation) {
        (MaintenanceType::Delete, _) => true,
        (MaintenanceType::ReadOnly, Operation::Write) => true,
        (MaintenanceType::ReadOnly, _) | (_, Operation::Lookup) => false,
        _ => true,
    }
}

struct Opened {
    path: PathBuf,
    sync_level: SyncLevel,
    datastore: Datastore,
    operations: Arc<ActiveOperations>,
}

/// A store in use. Counts as an operation until it is dropped.
pub struct StoreHandle {
    datastore: Datastore,
    operations: Arc<ActiveOperations>,
    operation: Operation,
}

impl StoreHandle {
    fn new(opened: &Opened, operation: Operation) -> Self {
        opened.operations.begin(operation);
        Self { datastore: opened.datastore.clone(), operations: Arc::clone(&opened.operations), operation }
    }
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        self.operations.end(self.operation);
    }
}

impl Deref for StoreHandle {
    type Target = Datastore;
    fn deref(&self) -> &Datastore {
        &self.datastore
    }
}

/// Whether the device of a store is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountStatus {
    /// The store lies on no device of its own.
    NonRemovable,
    /// It is mounted in its place.
    Mounted,
    /// It is not.
    NotMounted,
}

impl MountStatus {
    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonRemovable => "nonremovable",
            Self::Mounted => "mounted",
            Self::NotMounted => "notmounted",
        }
    }
}

/// Where removable stores are mounted, and by whom.
#[derive(Clone)]
pub struct RemovablePlaces {
    /// The host's devices.
    pub devices: Arc<dyn BackingDevices>,
    /// Each removable store is a folder in here, `/mnt/datastore` of the reference.
    pub mounts: PathBuf,
    /// Devices are mounted here for a moment, `/run/proxmox-backup/mount` of the reference.
    pub temporary: PathBuf,
}

/// The datastores of one server.
pub struct Stores {
    settings: Settings,
    lock_directory: PathBuf,
    removable: RemovablePlaces,
    /// Held while something is mounted or unmounted: two at once could mount one over the other.
    mounting: Mutex<()>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    open: Mutex<HashMap<DatastoreName, Opened>>,
}

impl Stores {
    /// Returns the stores that `settings` configures.
    ///
    /// `lock_directory`: where the locks of all stores lie, e.g. `/run/proxmox-backup/locks`.
    pub fn new(
        settings: Settings,
        lock_directory: PathBuf,
        removable: RemovablePlaces,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let (mounting, open) = (Mutex::default(), Mutex::default());
        Self { settings, lock_directory, removable, mounting, clock, randomness, open }
    }

    /// Returns a store for an operation, opening it if it is not open yet. Blocking.
    ///
    /// # Errors
    /// [`StoreAccessError`]; never says "not found" in a way that peers take for an old server.
    pub fn open(&self, name: &DatastoreName, operation: Operation) -> Result<StoreHandle, StoreAccessError> {
        let loaded = self.settings.datastores().load()?;
        let Some(config) = loaded.entries.get(name.as_str())? else {
            return Err(StoreAccessError::Unknown { name: name.to_string() });
        };
        check_maintenance(config, operation)?;
        if self.mount_status(config) == MountStatus::NotMounted {
            return Err(StoreAccessError::NotMounted { name: name.clone() });
        }
        let handle = self.open_configured(config, operation)?;
        // Unmounting and removal set the mode first and then wait for who is counted, or refuse. So whoever finds no mode
        // after having been counted is seen by them: nobody writes below a mount point that is empty again, or into a store
        // that is being destroyed.
        if self.settings.datastores().digest()? != loaded.digest {
            match self.settings.datastores().load()?.entries.get(name.as_str())? {
                Some(config) => check_maintenance(config, operation)?,
                None => return Err(StoreAccessError::Unknown { name: name.to_string() }),
            }
        }
        Ok(handle)
    }

    /// Returns where the content of a store lies in the file system.
    pub fn content_path(&self, config: &DatastoreConfig) -> PathBuf {
        config.content_path(&self.removable.mounts)
    }

    /// Returns whether the store's device is there. Blocking, but opens nothing.
    pub fn mount_status(&self, config: &DatastoreConfig) -> MountStatus {
        let Some(device) = &config.backing_device else { return MountStatus::NonRemovable };
        let place = self.content_path(config);
        match device.parse::<FileSystemUuid>() {
            Ok(uuid) if self.removable.devices.is_mounted(&uuid, &place) => MountStatus::Mounted,
            _ => MountStatus::NotMounted,
        }
    }

    /// Returns where removable stores are mounted, and by whom.
    pub const fn removable(&self) -> &RemovablePlaces {
        &self.removable
    }

    /// Waits until nothing is being mounted or unmounted, and keeps others from it until the guard is dropped. Blocking.
    pub fn lock_mounts(&self) -> MutexGuard<'_, ()> {
        self.mounting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_configured(&self, config: &DatastoreConfig, operation: Operation) -> Result<StoreHandle, StoreAccessError> {
        let name = &config.name;
        if config.is_s3() {
            return Err(StoreAccessError::Unsupported { name: name.clone() });
        }
        let tuning =
            config.tuning_options().map_err(|source| StoreAccessError::Tuning { name: name.clone(), source })?;
        let path = self.content_path(config);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = open.get(name)
            && opened.path == path
            && opened.sync_level == tuning.sync_level
        {
            return Ok(StoreHandle::new(opened, operation));
        }
        let options = OpenOptions { sync_level: tuning.sync_level, ..self.open_options(name, path.clone()) };
        let datastore =
            Datastore::open(options).map_err(|source| StoreAccessError::Open { name: name.clone(), source })?;
        // Whoever still uses the store under its former settings keeps counting, so that the sum stays true.
        let operations = match open.get(name) {
            Some(former) => Arc::clone(&former.operations),
            None => Arc::new(ActiveOperations::new(&self.operations_directory(), name)),
        };
        let opened = Opened { path, sync_level: tuning.sync_level, datastore, operations };
        let handle = StoreHandle::new(&opened, operation);
        open.insert(name.clone(), opened);
        Ok(handle)
    }

    /// Returns the options under which a store in `path` is opened, created or adopted.
    pub fn open_options(&self, name: &DatastoreName, path: PathBuf) -> OpenOptions {
        OpenOptions::local(
            name.clone(),
            path,
            self.lock_directory.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.randomness),
        )
    }

    /// Returns how many operations of all programs of this host read from and write to the store now, as (read, write). Zeros
    /// for an unknown one. Blocking.
    pub fn active_operations(&self, name: &DatastoreName) -> (u64, u64) {
        let own = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.get(name).map(|opened| Arc::clone(&opened.operations));
        match own {
            Some(operations) => operations.sum(),
            None => others(&self.operations_directory(), name.as_str()),
        }
    }

    /// Returns where all programs tell what they do with stores, beside the locks.
    fn operations_directory(&self) -> PathBuf {
        self.lock_directory.with_file_name("active-operations")
    }

    /// Forgets an open store, so that its files are closed when the last operation on it ends.
    pub fn close(&self, name: &DatastoreName) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Checks that the maintenance mode admits the operation.
fn check_maintenance(config: &DatastoreConfig, operation: Operation) -> Result<(), StoreAccessError> {
    let Some(maintenance) = config.maintenance() else { return Ok(()) };
    if !is_refused(maintenance.maintenance_type, operation) {
        return Ok(());
    }
    let message = maintenance.message.map(|text| format!(": {text}")).unwrap_or_default();
    let mode = maintenance_word(maintenance.maintenance_type);
    Err(StoreAccessError::Maintenance { name: config.name.clone(), mode, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_store_after_whoever_closed_it_has_counted_its_users() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let server = crate::testing::TestServer::new();
        let name: DatastoreName = "tank".parse().unwrap();
        let base = server.folder().join("tank");
        std::fs::create_dir_all(base.join(".chunks")).unwrap();
        let set = |mode: Option<&str>| {
            let mut config = DatastoreConfig::new(name.clone(), base.display().to_string());
            config.maintenance_mode = mode.map(ToOwned::to_owned);
            let replace = |stores: &mut farhold_settings::Entries<_>| {
                stores.remove(name.as_str());
                stores.insert(config)
            };
            server.app.settings.datastores().edit::<_, SettingsError>(None, replace).unwrap();
        };
        for _ in 0..30 {
            set(None);
            let got = AtomicU64::new(0);
            std::thread::scope(|scope| {
                let opener = scope.spawn(|| {
                    // Counted in the test before it is given back.
                    while let Ok(handle) = server.app.stores.open(&name, Operation::Write) {
                        got.fetch_add(1, Ordering::SeqCst);
                        drop(handle);
                    }
                });
                while got.load(Ordering::SeqCst) == 0 && !opener.is_finished() {
                    std::thread::yield_now();
                }
                set(Some("delete"));
                while server.app.stores.active_operations(&name) != (0, 0) {
                    std::thread::yield_now();
                }
                let before = got.load(Ordering::SeqCst);
                opener.join().unwrap();
                assert_eq!(got.load(Ordering::SeqCst), before);
            });
        }
    }

    #[test]
    fn maintenance_modes_refuse_what_the_specification_says() {
        use MaintenanceType::{Delete, Offline, ReadOnly, S3Refresh, Unmount};
        use Operation::{Lookup, Read, Write};
        let refused: Vec<_> = [ReadOnly, Offline, Delete, Unmount, S3Refresh]
            .into_iter()
            .map(|kind| [Read, Write, Lookup].map(|operation| is_refused(kind, operation)))
            .collect();
        assert_eq!(
            refused,
            [[false, true, false], [true, true, false], [true, true, true], [true, true, false], [true, true, false]]
        );
    }
}
