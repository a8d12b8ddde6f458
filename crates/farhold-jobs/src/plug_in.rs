//! Mounting removable datastores when their devices are plugged in, without udev.
//!
//! Every few seconds it is looked which block devices there are, as long as a removable datastore is configured. Of each
//! one that was not there before, the beginning is read once; disks at rest are left alone. Then a device is mounted as
//! `uuid-mount` does it. Source: `docs/spec/schedules-and-tasks.md` 11.4.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use farhold_rules::acl::Denied;
use farhold_rules::plug_in::PlugIns;
use farhold_settings::SettingsError;
use farhold_storage::{BlockDevice, DeviceError, FileSystemUuid};
use farhold_tasks::TaskFailure;
use farhold_types::Authid;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::removable::{MountPermit, RemovableError, may_mount, mount, store_on_device};
use crate::stores::MountStatus;
use crate::task_work::{Crashed, blocking};

/// Pause between two looks: short enough for somebody who stands before the machine.
const LOOK_PERIOD: Duration = Duration::from_secs(3);

/// Why nothing was mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlugInError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What is plugged in cannot be found out.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The store cannot be mounted.
    #[error(transparent)]
    Mount(#[from] RemovableError),
    /// Root may do it, so this does not happen.
    #[error("permission check failed")]
    Denied(Box<Denied>),
    /// A thread of this server crashed.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

/// What was found at the last look.
#[derive(Default)]
pub struct PlugInWatch {
    plug_ins: PlugIns,
    /// The file systems of the devices that are there, so that each device is read once.
    known: HashMap<BlockDevice, Option<FileSystemUuid>>,
}

impl PlugInWatch {
    /// Looks until `shutdown`. What goes wrong is logged, once.
    pub async fn run(mut self, app: Arc<App>, shutdown: CancellationToken) {
        let mut complaint = String::new();
        loop {
            let outcome = self.look(&app).await;
            let text = outcome.err().map(|error| TaskFailure::from_error(&error).text().to_owned()).unwrap_or_default();
            if !text.is_empty() && text != complaint {
                tracing::warn!("devices that are plugged in are not noticed: {text}");
            }
            complaint = text;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
        }
    }

    /// Looks once, and starts to mount the datastores whose devices have appeared since the last look.
    ///
    /// # Errors
    /// The configuration or the devices cannot be read. A store that cannot be mounted is logged.
    pub async fn look(&mut self, app: &Arc<App>) -> Result<(), PlugInError> {
        let (of_look, known) = (Arc::clone(app), std::mem::take(&mut self.known));
        let (now, known) = blocking(move || {
            let mut known = known;
            let now = what_is_there(&of_look, &mut known)?;
            Ok::<_, PlugInError>((now, known))
        })
        .await?;
        self.known = known;
        for uuid in self.plug_ins.look(now) {
            if let Err(error) = mount_device(app, &uuid).await {
                tracing::warn!("file system {uuid} is not mounted: {}", TaskFailure::from_error(&error));
            }
        }
        Ok(())
    }
}

/// Returns each configured UUID and the device that holds it. Blocking.
fn what_is_there(
    app: &App,
    known: &mut HashMap<BlockDevice, Option<FileSystemUuid>>,
) -> Result<Vec<(String, Option<String>)>, PlugInError> {
    let stores = app.settings.datastores().load()?.entries;
    let mut wanted: Vec<&str> = stores.usable().filter_map(|store| store.backing_device.as_deref()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        known.clear();
        return Ok(Vec::new());
    }
    let devices = &app.stores.removable().devices;
    let present = devices.present()?;
    known.retain(|device, _| present.contains(device));
    for device in present {
        // What cannot be read yet is tried again at the next look.
        if !known.contains_key(&device)
            && let Ok(uuid) = devices.read_uuid(&device)
        {
            known.insert(device, uuid);
        }
    }
    let holds = |device: &Option<FileSystemUuid>, uuid: &str| device.as_ref().is_some_and(|d| d.as_str() == uuid);
    let device_of = |uuid: &str| known.iter().find(|(_, held)| holds(held, uuid)).map(|(device, _)| device.to_string());
    Ok(wanted.into_iter().map(|uuid| (uuid.to_owned(), device_of(uuid))).collect())
}

/// Mounts the one store that lies on a device, unless it is mounted.
async fn mount_device(app: &Arc<App>, uuid: &str) -> Result<(), PlugInError> {
    let (of_look, uuid) = (Arc::clone(app), uuid.to_owned());
    let permit = blocking(move || permit_for(&of_look, &uuid)).await?;
    if let Some(permit) = permit {
        mount(app, &permit).await?;
    }
    Ok(())
}

fn permit_for(app: &App, uuid: &str) -> Result<Option<MountPermit>, PlugInError> {
    let Some(name) = store_on_device(app, uuid)? else { return Ok(None) };
    let stores = app.settings.datastores().load()?.entries;
    let is_mounted =
        stores.get(name.as_str())?.is_none_or(|config| app.stores.mount_status(config) != MountStatus::NotMounted);
    if is_mounted {
        return Ok(None);
    }
    let permit = may_mount(&*app.acl()?, &Authid::root(), &name);
    permit.map(Some).map_err(|denied| PlugInError::Denied(Box::new(denied)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use farhold_settings::{DatastoreConfig, Entries};
    use farhold_types::DatastoreName;

    use super::*;
    use crate::removable::unmount;
    use crate::testing::TestServer;

    const UUID: &str = "7f3c9a10-0000-4000-8000-00000000c0de";

    fn uuid() -> FileSystemUuid {
        UUID.parse().unwrap()
    }

    fn add_store(server: &TestServer, name: &str, path: &str) {
        let config = DatastoreConfig::new(name.parse().unwrap(), path.to_owned());
        let config = DatastoreConfig { backing_device: Some(UUID.to_owned()), ..config };
        let add = |stores: &mut Entries<_>| stores.insert(config);
        server.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
    }

    fn plug(server: &TestServer) {
        let device = server.folder().join("device");
        fs::create_dir_all(device.join("pbs/.chunks")).unwrap();
        server.devices.plug(&uuid(), &device);
    }

    /// Waits for all tasks of this kind and returns how many there were.
    async fn mounts(server: &TestServer) -> usize {
        for upid in server.app.tasks.running_here() {
            drop(server.app.tasks.wait(&upid).await);
        }
        let page = server.app.tasks.list(&farhold_tasks::TaskFilter::default(), |_| true).unwrap();
        page.items.iter().filter(|item| item.worker_type == "mount-device").count()
    }

    fn is_mounted(server: &TestServer) -> bool {
        let stores = server.app.settings.datastores().load().unwrap().entries;
        server.app.stores.mount_status(stores.get("usb").unwrap().unwrap()) == MountStatus::Mounted
    }

    #[tokio::test]
    async fn a_store_is_mounted_when_its_device_appears_and_left_alone_when_unmounted_by_hand() {
        let server = TestServer::new();
        add_store(&server, "usb", "pbs");
        let mut watch = PlugInWatch::default();
        watch.look(&server.app).await.unwrap();
        assert_eq!((mounts(&server).await, is_mounted(&server)), (0, false));
        plug(&server);
        watch.look(&server.app).await.unwrap();
        assert_eq!((mounts(&server).await, is_mounted(&server)), (1, true));
        watch.look(&server.app).await.unwrap();
        assert_eq!(mounts(&server).await, 1);

        let name: DatastoreName = "usb".parse().unwrap();
        let permit = may_mount(&server.app.acl().unwrap(), &Authid::root(), &name).unwrap();
        let upid = unmount(&server.app, &permit).await.unwrap();
        server.ended(upid.as_str()).await;
        for _ in 0..3 {
            watch.look(&server.app).await.unwrap();
        }
        assert_eq!((mounts(&server).await, is_mounted(&server)), (1, false), "somebody wanted it so");

        server.devices.pull(&uuid());
        watch.look(&server.app).await.unwrap();
        plug(&server);
        watch.look(&server.app).await.unwrap();
        assert_eq!((mounts(&server).await, is_mounted(&server)), (2, true));
    }

    #[tokio::test]
    async fn a_device_that_is_there_when_the_server_starts_is_mounted_unless_two_stores_lie_on_it() {
        let server = TestServer::new();
        add_store(&server, "usb", "pbs");
        plug(&server);
        PlugInWatch::default().look(&server.app).await.unwrap();
        assert_eq!((mounts(&server).await, is_mounted(&server)), (1, true));
        // Another server on the same device finds it mounted.
        PlugInWatch::default().look(&server.app).await.unwrap();
        assert_eq!(mounts(&server).await, 1);

        let server = TestServer::new();
        add_store(&server, "usb", "pbs");
        add_store(&server, "second", "other");
        plug(&server);
        PlugInWatch::default().look(&server.app).await.unwrap();
        assert_eq!((mounts(&server).await, is_mounted(&server)), (0, false));
    }
}
