//! Unmounting a store: keep new work out, wait for what runs, let go of the device.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use farhold_datastore::{Datastore, LockError};
use farhold_format::upid::Upid;
use farhold_rules::unmounting::{Mode, Step, Users, begun, ended, next_step};
use farhold_settings::{DatastoreConfig, MaintenanceType};
use farhold_storage::DeviceError;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, DatastoreName};

use super::{MountPermit, RemovableError, removable_store};
use crate::App;
use crate::gc::{GcPermit, GcRunError, running_gc, start_gc};
use crate::stores::MountStatus;
use crate::task_work::blocking;

/// Pause between two looks at who still uses the store. Source: `docs/spec/schedules-and-tasks.md` 11.3.
const POLL: Duration = Duration::from_secs(1);

/// How often unmounting is tried while the system says that somebody uses the file system, and the pause between two
/// attempts: the last operation is counted out a moment before its last file is closed.
const ATTEMPTS: u32 = 5;
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// Sets maintenance mode `unmount` and starts the task that unmounts a store as soon as nobody uses it.
///
/// With `gc-on-unmount` garbage collection is started first, or the running one is waited for; how it ends, and whether
/// it can be started, does not matter. If unmounting fails in the end, the mode stays, so that nobody starts to use the store again.
///
/// # Errors
/// The store is unknown, not removable, or not mounted; the task cannot be started. All else is the task's result.
pub async fn unmount(app: &Arc<App>, permit: &MountPermit) -> Result<Upid, RemovableError> {
    let (server, name) = (Arc::clone(app), permit.store.clone());
    let config = blocking(move || mounted_store(&server, &name)).await?;
    let not_collected = match config.gc_on_unmount {
        Some(true) => collect_garbage(app, &permit.store).await.err(),
        _ => None,
    };
    let (server, name) = (Arc::clone(app), permit.store.clone());
    blocking(move || set_mode(&server, &name, Change::Begin)).await?;
    let kind = TaskKind::new("unmount-device", Some(permit.store.to_string()));
    let (server, name) = (Arc::clone(app), permit.store.clone());
    let worker = move |task: TaskContext| async move {
        if let Some(error) = not_collected {
            task.log(&format!("no garbage is collected: {}", TaskFailure::from_error(&error)));
        }
        if let Err(error) = wait_until_unused(&server, &name, &task).await {
            clear_mode(&server, &name, &task).await;
            return Err(TaskFailure::from(error));
        }
        blocking(move || unmount_store(&server, &removable_store(&server, &name)?, Then::ClearMode)).await?;
        Ok(())
    };
    match app.tasks.spawn(kind, &permit.caller, worker).await {
        Ok(upid) => Ok(upid),
        Err(error) => {
            let (server, name) = (Arc::clone(app), permit.store.clone());
            blocking(move || set_mode(&server, &name, Change::End)).await?;
            Err(error.into())
        }
    }
}

/// What follows after a store was unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It can be mounted and used again.
    ClearMode,
    /// Nothing; its configuration is gone.
    Nothing,
}

/// Unmounts a store that nobody uses. Blocking.
///
/// # Errors
/// With [`Then::ClearMode`]: the maintenance mode is not `unmount`, then nothing was changed. The system refused.
pub(crate) fn unmount_store(app: &App, config: &DatastoreConfig, then: Then) -> Result<(), RemovableError> {
    let name = &config.name;
    let _turn = app.stores.lock_mounts();
    if then == Then::ClearMode && mode_of(config) != Mode::Unmount {
        return Err(RemovableError::ModeChanged);
    }
    if app.stores.mount_status(config) == MountStatus::Mounted {
        let mount_point = app.stores.content_path(config);
        let mut attempt = 1;
        loop {
            // Before each attempt: whoever looked at the mode before it was set may have opened the store once more, and
            // what is kept open then would be in the way for ever.
            app.stores.close(name);
            match app.stores.removable().devices.unmount(&mount_point) {
                Ok(()) => break,
                Err(DeviceError::Unmount { source, .. })
                    if source.kind() == ErrorKind::ResourceBusy && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    std::thread::sleep(PAUSE_BETWEEN_ATTEMPTS);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    if then == Then::ClearMode {
        set_mode(app, name, Change::End)?;
    }
    Ok(())
}

/// Returns the configuration of a removable store that is mounted.
fn mounted_store(app: &App, name: &DatastoreName) -> Result<DatastoreConfig, RemovableError> {
    let config = removable_store(app, name)?;
    match app.stores.mount_status(&config) {
        MountStatus::Mounted if mode_of(&config) == Mode::Delete => {
            Err(RemovableError::BeingDeleted { name: name.clone() })
        }
        MountStatus::Mounted => Ok(config),
        _ => Err(RemovableError::NotMounted { name: name.clone() }),
    }
}

/// Returns the maintenance mode as the rules of unmounting see it.
pub(super) fn mode_of(config: &DatastoreConfig) -> Mode {
    match config.maintenance().map(|mode| mode.maintenance_type) {
        None => Mode::Unset,
        Some(MaintenanceType::Unmount) => Mode::Unmount,
        Some(MaintenanceType::Delete) => Mode::Delete,
        Some(_) => Mode::Other,
    }
}

/// Waits until no operation uses the store, of this process or another one.
async fn wait_until_unused(app: &Arc<App>, name: &DatastoreName, task: &TaskContext) -> Result<(), RemovableError> {
    let mut told = None;
    loop {
        let (server, store) = (Arc::clone(app), name.clone());
        let (mode, users) = blocking(move || users_of(&server, &store)).await?;
        match next_step(mode, &users) {
            Step::GiveUp => {
                task.log("somebody changed the maintenance mode, which is not 'unmount' any more");
                return Err(RemovableError::ModeChanged);
            }
            Step::Unmount => return Ok(()),
            Step::Wait if told != Some(users) => {
                task.log(&line_of(&users));
                told = Some(users);
            }
            Step::Wait => {}
        }
        tokio::select! {
            biased;
            () = task.cancelled() => return Err(RemovableError::Aborted),
            () = task.shutdown().cancelled() => return Err(RemovableError::Aborted),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Returns what is waited for.
fn line_of(users: &Users) -> String {
    let Users { readers, writers, others } = users;
    match others {
        true => "waiting for another process that uses the datastore".to_owned(),
        false => format!("waiting for active operations to finish: read {readers}, write {writers}"),
    }
}

/// Returns the maintenance mode of a store and who uses it.
fn users_of(app: &App, name: &DatastoreName) -> Result<(Mode, Users), RemovableError> {
    let config = removable_store(app, name)?;
    let mode = mode_of(&config);
    let (readers, writers) = app.stores.active_operations(name);
    let mut users = Users { readers, writers, others: false };
    let is_next = next_step(mode, &users) == Step::Unmount;
    if is_next && app.stores.mount_status(&config) == MountStatus::Mounted {
        // A directory that is no store any more is used by nobody.
        if let Ok(store) = Datastore::open(app.stores.open_options(name, app.stores.content_path(&config))) {
            users.others = matches!(store.lock_process_exclusive(), Err(LockError::Busy { .. }));
        }
    }
    Ok((mode, users))
}

/// Removes the maintenance mode after waiting was given up, unless somebody set another one.
async fn clear_mode(app: &Arc<App>, name: &DatastoreName, task: &TaskContext) {
    let (server, store) = (Arc::clone(app), name.clone());
    if let Err(error) = blocking(move || set_mode(&server, &store, Change::End)).await {
        task.warn(&format!("failed to remove the maintenance mode: {}", TaskFailure::from_error(&error)));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Sets mode `unmount`, whatever was set before, unless the store is being removed.
    Begin,
    /// Removes mode `unmount`, and no other one.
    End,
}

pub(super) fn set_mode(app: &App, name: &DatastoreName, change: Change) -> Result<(), RemovableError> {
    app.settings.datastores().edit::<_, RemovableError>(None, |stores| {
        let Some(mut config) = stores.get(name.as_str())?.cloned() else { return Ok(()) };
        let mode = mode_of(&config);
        let wanted = match change {
            Change::Begin => begun(mode).map_err(|_| RemovableError::BeingDeleted { name: name.clone() })?,
            Change::End => ended(mode),
        };
        config.maintenance_mode = match wanted {
            Mode::Unmount => Some("unmount".to_owned()),
            Mode::Unset => None,
            Mode::Delete | Mode::Other => return Ok(()),
        };
        Ok(stores.update(config)?)
    })?;
    Ok(())
}

/// Starts garbage collection of a store, as root, unless one runs. Returns why that was not possible, which keeps nobody
/// from unmounting.
async fn collect_garbage(app: &Arc<App>, name: &DatastoreName) -> Result<(), GcRunError> {
    let (server, store) = (Arc::clone(app), name.clone());
    let permit = blocking(move || {
        let is_running = running_gc(&server, &store)?.is_some();
        Ok::<_, GcRunError>((!is_running).then(|| server.acl().map(|acl| GcPermit::of(&acl, &Authid::root(), &store))))
    });
    let Some(permit) = permit.await? else { return Ok(()) };
    let Ok(permit) = permit? else { return Ok(()) };
    match start_gc(app, &permit, None).await {
        Ok(_) | Err(GcRunError::Running { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use farhold_settings::{Entries, SettingsError};

    use super::*;
    use crate::testing::TestServer;

    #[test]
    fn the_mode_of_a_removal_is_neither_replaced_nor_removed() {
        let server = TestServer::new();
        let name: DatastoreName = "usb".parse().unwrap();
        let mut config = DatastoreConfig::new(name.clone(), "pbs".to_owned());
        config.backing_device = Some("7f3c9a10-0000-4000-8000-00000000c0de".to_owned());
        config.maintenance_mode = Some("delete".to_owned());
        let add = |stores: &mut Entries<_>| stores.insert(config);
        server.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
        let refused = set_mode(&server.app, &name, Change::Begin).unwrap_err();
        assert!(matches!(refused, RemovableError::BeingDeleted { .. }), "{refused}");
        set_mode(&server.app, &name, Change::End).unwrap();
        let stores = server.app.settings.datastores().load().unwrap().entries;
        assert_eq!(stores.get("usb").unwrap().unwrap().maintenance_mode.as_deref(), Some("delete"));
    }
}
