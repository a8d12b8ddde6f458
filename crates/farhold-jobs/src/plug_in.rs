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
    use std::process::{Command, Stdio};

    use farhold_settings::{DatastoreConfig, Entries};
    use farhold_storage::{BackingDevices as _, LinuxDevices};
    use farhold_types::DatastoreName;

    use super::*;
    use crate::removable::unmount;
    use crate::stores::{RemovablePlaces, Stores};
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

    /// Runs a program of the host and returns what it printed, if it went well.
    fn run(program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A loop device; let go when dropped.
    struct LoopDevice(String);

    impl Drop for LoopDevice {
        fn drop(&mut self) {
            run("losetup", &["--detach", &self.0]);
        }
    }

    /// Looks until something comes true: the kernel lets go of a device when nobody has it open any more, and other tests
    /// look at all devices too.
    async fn in_the_end(watch: &mut PlugInWatch, server: &TestServer, is_so: impl Fn() -> bool) -> bool {
        for _ in 0..200 {
            watch.look(&server.app).await.unwrap();
            let _ = mounts(server).await;
            if is_so() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// The real devices of this host, with an ext4 image on a loop device. Needs root, loop devices and `mkfs.ext4`; says
    /// "not run" otherwise.
    #[tokio::test]
    async fn a_real_device_is_mounted_when_it_is_plugged_in_and_again_after_it_was_away() {
        let mut server = TestServer::new();
        let folder = server.folder().to_owned();
        let at = |name: &str| folder.join(name);
        let places = RemovablePlaces {
            devices: Arc::new(LinuxDevices),
            mounts: at("real-mnt"),
            temporary: at("run/real-mount"),
        };
        let image = at("image");
        let app = Arc::get_mut(&mut server.app).unwrap();
        let (clock, randomness) = (Arc::clone(&app.clock), Arc::clone(&app.randomness));
        app.stores = Stores::new(app.settings.clone(), app.api_log_directory.join("locks"), places, clock, randomness);
        add_store(&server, "usb", "pbs");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let path = image.to_str().unwrap();
        let attach = || run("losetup", &["--find", "--show", path]).map(LoopDevice);
        let made = run("mkfs.ext4", &["-q", "-F", "-U", UUID, path]);
        let Some(device) = made.and_then(|_| attach()) else {
            eprintln!("not run: no loop device can be made here");
            return;
        };
        let place = at("to-prepare");
        fs::create_dir(&place).unwrap();
        if let Err(error) = LinuxDevices.mount(&uuid(), &place) {
            eprintln!("not run: nothing may be mounted here: {error}");
            return;
        }
        fs::create_dir_all(place.join("pbs/.chunks")).unwrap();
        LinuxDevices.unmount(&place).unwrap();
        drop(device);

        let mut watch = PlugInWatch::default();
        assert!(!is_mounted(&server));
        for round in 1..=2 {
            let nothing_there = || {
                !LinuxDevices
                    .present()
                    .unwrap()
                    .iter()
                    .any(|found| LinuxDevices.read_uuid(found).is_ok_and(|held| held.as_ref() == Some(&uuid())))
            };
            assert!(in_the_end(&mut watch, &server, nothing_there).await, "{round}: it does not go away");
            let device = attach().unwrap();
            let is_there = in_the_end(&mut watch, &server, || is_mounted(&server)).await;
            let stores = server.app.settings.datastores().load().unwrap().entries;
            let content = server.app.stores.content_path(stores.get("usb").unwrap().unwrap());
            let found = content.join(".chunks").exists();
            let permit = may_mount(&server.app.acl().unwrap(), &Authid::root(), &"usb".parse().unwrap()).unwrap();
            let upid = unmount(&server.app, &permit).await.unwrap();
            let ended = server.ended(upid.as_str()).await;
            drop(device);
            assert!(is_there && found, "{round}");
            assert_eq!(ended, farhold_format::task_log::TaskStatus::Ok, "{round}");
            assert_eq!((mounts(&server).await, is_mounted(&server)), (round, false));
        }
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
