//! Removable datastores: mounting, running the jobs that wait for that, unmounting.
//!
//! A removable store lies in a directory of a file system that is known by its UUID. Mounting shows this directory at
//! the store's place; unmounting first keeps new work out, by maintenance mode `unmount`, and waits for what runs.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 11, `docs/spec/sync.md` 16.

mod mounting;
mod run_on_mount;
#[cfg(test)]
mod tests;
mod unmounting;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_rules::acl::{AclPath, AclTree, Denied, Granted};
use farhold_settings::{DatastoreConfig, SettingsError};
use farhold_storage::{DeviceError, FileSystemUuid, FileSystemUuidError};
use farhold_tasks::{TaskContext, TaskError, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};
use thiserror::Error;

use crate::App;
use crate::stores::{MountStatus, StoreAccessError};
use crate::task_work::{Crashed, blocking};

pub(crate) use mounting::{Mounted, mount_store};
pub use unmounting::unmount;
pub(crate) use unmounting::{Then, unmount_store};

/// Why a store could not be mounted or unmounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemovableError {
    /// There is no such store.
    #[error("no such datastore '{name}'")]
    Unknown {
        /// The name.
        name: DatastoreName,
    },
    /// The store is not on a device of its own.
    #[error("datastore '{name}' is not removable")]
    NotRemovable {
        /// The store.
        name: DatastoreName,
    },
    /// The store is not mounted.
    #[error("datastore '{name}' is not mounted")]
    NotMounted {
        /// The store.
        name: DatastoreName,
    },
    /// The store is being removed.
    #[error("datastore '{name}' is being deleted")]
    BeingDeleted {
        /// The store.
        name: DatastoreName,
    },
    /// The configuration names no UUID.
    #[error("backing-device of datastore '{name}' makes no sense")]
    Uuid {
        /// The store.
        name: DatastoreName,
        /// Why.
        #[source]
        source: FileSystemUuidError,
    },
    /// A directory on the way to the store's is none, or would lead out of the device.
    #[error("'{path}' is no path inside of the device")]
    Path {
        /// The path as configured.
        path: String,
    },
    /// A directory cannot be made or looked at.
    #[error("failed to prepare directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device cannot be mounted or unmounted.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Somebody asked to stop waiting.
    #[error("aborted, due to user request")]
    Aborted,
    /// Somebody set another maintenance mode while the task waited.
    #[error("aborted, since the maintenance mode is not 'unmount' any more")]
    ModeChanged,
    /// The configuration cannot be read or changed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A task cannot be started.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A thread of this server crashed.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

/// The proof that somebody may mount and unmount a store.
#[derive(Debug, Clone)]
pub struct MountPermit {
    store: DatastoreName,
    caller: Authid,
    granted: [Granted; 2],
}

impl MountPermit {
    /// Returns the store.
    pub const fn store(&self) -> &DatastoreName {
        &self.store
    }

    /// Returns who may do it.
    pub const fn caller(&self) -> &Authid {
        &self.caller
    }

    /// Returns the permissions that were checked.
    pub const fn granted(&self) -> &[Granted; 2] {
        &self.granted
    }
}

/// Checks whether `caller` may mount and unmount a store. Pure.
///
/// # Errors
/// Datastore.Modify on the store or Sys.Modify on the disks is missing.
///
/// Source: `docs/spec/rest-api.md` 12.
pub fn may_mount(acl: &AclTree, caller: &Authid, store: &DatastoreName) -> Result<MountPermit, Denied> {
    let path = AclPath::datastore(store, &Namespace::root());
    let on_store = acl.require_all(caller, &path, Privileges::DATASTORE_MODIFY)?;
    let granted = [on_store, may_change_disks(acl, caller)?];
    Ok(MountPermit { store: store.clone(), caller: caller.clone(), granted })
}

/// Checks whether `caller` may change the disks of this host. Pure.
///
/// # Errors
/// Sys.Modify is missing.
pub fn may_change_disks(acl: &AclTree, caller: &Authid) -> Result<Granted, Denied> {
    acl.require_all(caller, &AclPath::system(&["disks"]), Privileges::SYS_MODIFY)
}

/// Starts the task that mounts a store and then starts the jobs that wait for that. It succeeds at once if the store is
/// mounted, and starts no jobs then.
///
/// # Errors
/// [`RemovableError::Unknown`], [`RemovableError::NotRemovable`], [`RemovableError::Task`]; all else is its result.
pub async fn mount(app: &Arc<App>, permit: &MountPermit) -> Result<Upid, RemovableError> {
    let (server, name) = (Arc::clone(app), permit.store.clone());
    blocking(move || removable_store(&server, &name)).await?;
    let kind = TaskKind::new("mount-device", Some(permit.store.to_string()));
    let (server, permit_of_task) = (Arc::clone(app), permit.clone());
    let worker = move |task: TaskContext| async move {
        let (app, name, context) = (Arc::clone(&server), permit_of_task.store.clone(), task.clone());
        let mounted = blocking(move || mount_store(&app, &removable_store(&app, &name)?, &context)).await?;
        if mounted == Mounted::Now {
            run_on_mount::start(&server, &permit_of_task, &task).await;
        }
        Ok::<(), TaskFailure>(())
    };
    Ok(app.tasks.spawn(kind, &permit.caller, worker).await?)
}

/// Returns the one store that is configured for the file system with this UUID. `None` if there is none or more than
/// one, and for a text that is no UUID. Blocking.
///
/// Source: `docs/spec/schedules-and-tasks.md` 11.4.
///
/// # Errors
/// The configuration cannot be read.
pub fn store_on_device(app: &App, uuid: &str) -> Result<Option<DatastoreName>, SettingsError> {
    let stores = app.settings.datastores().load()?.entries;
    let mut on_device = stores.usable().filter(|store| store.backing_device.as_deref() == Some(uuid));
    Ok(match (on_device.next(), on_device.next()) {
        (Some(store), None) => Some(store.name.clone()),
        _ => None,
    })
}

/// Returns the configuration of a removable store.
fn removable_store(app: &App, name: &DatastoreName) -> Result<DatastoreConfig, RemovableError> {
    let loaded = app.settings.datastores().load()?;
    let config = loaded.entries.get(name.as_str())?.ok_or_else(|| RemovableError::Unknown { name: name.clone() })?;
    match app.stores.mount_status(config) {
        MountStatus::NonRemovable => Err(RemovableError::NotRemovable { name: name.clone() }),
        _ => Ok(config.clone()),
    }
}

/// Returns the line that explains a failed run on a removable store whose device is not there any more.
///
/// The errors of such a run name files and namespaces that "do not exist", one after the other. Nothing is said of a run
/// that was refused because the device was not there when it began: that error says it already.
pub(crate) fn gone_meanwhile(app: &App, name: &DatastoreName, status: &TaskStatus) -> Option<String> {
    let TaskStatus::Error(error) = status else { return None };
    let refusal = StoreAccessError::NotMounted { name: name.clone() }.to_string();
    if error.ends_with(&refusal) {
        return None;
    }
    let stores = app.settings.datastores().load().ok()?.entries;
    let config = stores.get(name.as_str()).ok()??;
    (app.stores.mount_status(config) == MountStatus::NotMounted).then(|| {
        format!(
            "datastore '{name}' is not mounted any more: its device was pulled out or unmounted meanwhile; plug it in \
             and mount it, then run this again"
        )
    })
}

fn uuid_of(config: &DatastoreConfig) -> Result<FileSystemUuid, RemovableError> {
    let Some(device) = &config.backing_device else {
        return Err(RemovableError::NotRemovable { name: config.name.clone() });
    };
    device.parse().map_err(|source| RemovableError::Uuid { name: config.name.clone(), source })
}
