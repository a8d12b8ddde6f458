//! Mounting a store: its file system to a temporary place, and from there its directory to where the store belongs.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use farhold_rules::unmounting::Mode;
use farhold_settings::DatastoreConfig;
use farhold_tasks::{TaskContext, TaskFailure};

use super::unmounting::{Change, mode_of, set_mode};
use super::{RemovableError, uuid_of};
use crate::App;
use crate::stores::MountStatus;

/// Mode of mount points and of directories on the device. Source: `docs/spec/datastore-format.md` 23.
const STORE_MODE: u32 = 0o755;
/// Mode of the temporary place: for a moment the whole device can be seen there.
const TEMPORARY_MODE: u32 = 0o700;

/// What mounting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// The store was mounted.
    Now,
    /// It was already.
    Before,
}

/// Mounts a removable store. Blocking. What is left of an attempt that failed is removed, and so is the maintenance mode of an
/// unmount that was cut off.
///
/// # Errors
/// The device is not there or cannot be mounted; directories cannot be made, or lead out of the device.
pub(crate) fn mount_store(app: &App, config: &DatastoreConfig, task: &TaskContext) -> Result<Mounted, RemovableError> {
    let uuid = uuid_of(config)?;
    let places = app.stores.removable();
    let mount_point = app.stores.content_path(config);
    let _turn = app.stores.lock_mounts();
    if app.stores.mount_status(config) == MountStatus::Mounted {
        task.log(&format!("device is already mounted at '{}'", mount_point.display()));
        return Ok(Mounted::Before);
    }
    let temporary = places.temporary.join(random_name(app));
    make_directory(&temporary, TEMPORARY_MODE)?;
    task.log(&format!("temporarily mounting '{uuid}' to '{}'", temporary.display()));
    if let Err(error) = places.devices.mount(&uuid, &temporary) {
        // An empty directory in the way of nobody; the error to tell is the other one.
        let _ = fs::remove_dir(&temporary);
        return Err(error.into());
    }
    let shown = show(app, config, &temporary, &mount_point, task);
    let cleaned = places.devices.unmount(&temporary).map_err(RemovableError::from);
    let cleaned = cleaned.and_then(|()| fs::remove_dir(&temporary).map_err(directory_error(&temporary)));
    if let Err(error) = cleaned {
        task.warn(&format!("failed to remove the temporary mount: {}", TaskFailure::from_error(&error)));
    }
    shown?;
    end_interrupted_unmount(app, config, task);
    Ok(Mounted::Now)
}

/// Removes the maintenance mode that is left where the server was killed after it had let go of the device: nobody unmounts
/// the store, which was not mounted, and the mode would keep everybody out of it for ever.
fn end_interrupted_unmount(app: &App, config: &DatastoreConfig, task: &TaskContext) {
    if mode_of(config) != Mode::Unmount {
        return;
    }
    match set_mode(app, &config.name, Change::End) {
        Ok(()) => task.log("removed the maintenance mode 'unmount', which was left over"),
        Err(error) => {
            task.warn(&format!("failed to remove the maintenance mode: {}", TaskFailure::from_error(&error)));
        }
    }
}

/// Shows the store's directory of the device at its mount point.
fn show(
    app: &App,
    config: &DatastoreConfig,
    device: &Path,
    mount_point: &Path,
    task: &TaskContext,
) -> Result<(), RemovableError> {
    let directory = directory_on_device(device, &config.path)?;
    make_directory(mount_point, STORE_MODE)?;
    task.log(&format!("bind mount '{}'({}) to '{}'", config.name, config.path, mount_point.display()));
    Ok(app.stores.removable().devices.bind(&directory, mount_point)?)
}

/// Returns the directory of a store on its device, made if it is missing.
///
/// Symbolic links are refused: what is on the device may come from elsewhere and must not lead out of it.
fn directory_on_device(device: &Path, path: &str) -> Result<PathBuf, RemovableError> {
    let outside = || RemovableError::Path { path: path.to_owned() };
    let mut directory = device.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => directory.push(name),
            Component::CurDir => continue,
            _ => return Err(outside()),
        }
        match fs::symlink_metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(outside()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_directory(&directory, STORE_MODE)?,
            Err(error) => return Err(directory_error(&directory)(error)),
        }
    }
    Ok(directory)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), RemovableError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(directory_error(path))
}

fn directory_error(path: &Path) -> impl FnOnce(io::Error) -> RemovableError {
    let path = path.to_owned();
    |source| RemovableError::Directory { path, source }
}

fn random_name(app: &App) -> String {
    let mut random = [0; 16];
    app.randomness.fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_inside_of_the_device_and_never_lead_out() {
        let device = tempfile::tempdir().unwrap();
        let root = device.path();
        assert_eq!(directory_on_device(root, "a/b").unwrap(), root.join("a/b"));
        assert!(root.join("a/b").is_dir());
        assert_eq!(directory_on_device(root, ".").unwrap(), root);
        assert_eq!(directory_on_device(root, "a/./b/").unwrap(), root.join("a/b"));
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        for path in ["..", "a/../..", "/etc", "link", "link/sub", "file", "file/sub"] {
            let error = directory_on_device(root, path).unwrap_err();
            assert!(matches!(error, RemovableError::Path { .. }), "{path}: {error}");
        }
    }
}
