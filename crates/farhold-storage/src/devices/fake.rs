//! Devices for tests: each is a folder, and what is mounted is a symbolic link to it. Needs no privilege.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::{BackingDevices, BlockDevice, DeviceError, FileSystemUuid};

/// Folders that stand for devices.
#[derive(Debug, Default)]
pub struct FakeDevices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plugged: BTreeMap<FileSystemUuid, PathBuf>,
    busy: bool,
}

impl FakeDevices {
    /// Plugs in a device whose root is `folder`, which exists.
    pub fn plug(&self, uuid: &FileSystemUuid, folder: &Path) {
        self.state().plugged.insert(uuid.clone(), fs::canonicalize(folder).unwrap());
    }

    /// Pulls a device out, mounted or not.
    pub fn pull(&self, uuid: &FileSystemUuid) {
        self.state().plugged.remove(uuid);
    }

    /// Lets every attempt to unmount fail, as if somebody had a file open; or not any more.
    pub fn set_busy(&self, busy: bool) {
        self.state().busy = busy;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// Replaces an empty directory by a link.
fn show(folder: &Path, place: &Path) -> io::Result<()> {
    let folder = fs::canonicalize(folder)?;
    fs::remove_dir(place)?;
    symlink(folder, place)
}

impl BackingDevices for FakeDevices {
    fn is_mounted(&self, uuid: &FileSystemUuid, mount_point: &Path) -> bool {
        let state = self.state();
        let shown = fs::read_link(mount_point);
        state.plugged.get(uuid).is_some_and(|folder| shown.is_ok_and(|shown| shown.starts_with(folder)))
    }

    fn present(&self) -> Result<Vec<BlockDevice>, DeviceError> {
        let device = |(uuid, folder): (&FileSystemUuid, &PathBuf)| BlockDevice {
            path: folder.clone(),
            incarnation: uuid.to_string(),
        };
        Ok(self.state().plugged.iter().map(device).collect())
    }

    fn read_uuid(&self, device: &BlockDevice) -> io::Result<Option<FileSystemUuid>> {
        Ok(device.incarnation.parse().ok())
    }

    fn mount(&self, uuid: &FileSystemUuid, directory: &Path) -> Result<(), DeviceError> {
        let state = self.state();
        let folder = state.plugged.get(uuid).ok_or_else(|| DeviceError::NotFound { uuid: uuid.clone() })?;
        show(folder, directory).map_err(|source| DeviceError::Mount {
            device: folder.clone(),
            directory: directory.to_owned(),
            source,
        })
    }

    fn bind(&self, directory: &Path, mount_point: &Path) -> Result<(), DeviceError> {
        show(directory, mount_point).map_err(|source| DeviceError::Bind {
            source_directory: directory.to_owned(),
            mount_point: mount_point.to_owned(),
            source,
        })
    }

    fn unmount(&self, mount_point: &Path) -> Result<(), DeviceError> {
        let unmount = || {
            if self.state().busy {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            fs::read_link(mount_point)?;
            fs::remove_file(mount_point)?;
            fs::create_dir(mount_point)
        };
        unmount().map_err(|source| DeviceError::Unmount { mount_point: mount_point.to_owned(), source })
    }
}
