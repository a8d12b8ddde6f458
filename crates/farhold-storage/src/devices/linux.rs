//! The block devices of this host, through the Linux kernel alone: neither udev nor the `mount` program is needed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::superblock::{SUPERBLOCK_BYTES, Superblock, recognise};
use super::{BackingDevices, BlockDevice, DeviceError, FileSystemUuid, mount_table};

/// Links to block devices by UUID, kept by udev where there is one.
const LINKS: &str = "/dev/disk/by-uuid";
/// All block devices that the kernel knows, one folder each.
const BLOCK_DEVICES: &str = "/sys/class/block";
/// What is mounted for this process.
const MOUNT_TABLE: &str = "/proc/self/mountinfo";
/// The kernel's file systems; those without a device have a mark in front.
const FILE_SYSTEMS: &str = "/proc/filesystems";

/// Devices that are not read in search of a file system: drives whose medium may be missing (reading them can take
/// minutes), and memory disks.
const NOT_SEARCHED: [&str; 4] = ["fd", "sr", "ram", "zram"];

/// Backups hold no programs to run and no devices to use, whoever wrote them.
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// This host.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxDevices;

impl LinuxDevices {
    /// Returns the device that holds a file system.
    fn find(self, uuid: &FileSystemUuid) -> Result<PathBuf, DeviceError> {
        if let Ok(device) = fs::canonicalize(Path::new(LINKS).join(uuid.as_str())) {
            return Ok(device);
        }
        for entry in fs::read_dir(BLOCK_DEVICES).map_err(DeviceError::Look)? {
            let name = entry.map_err(DeviceError::Look)?.file_name();
            let Some(name) = name.to_str().filter(|name| is_searched(name)) else { continue };
            // In names of devices the kernel writes `!` for `/`.
            let device = Path::new("/dev").join(name.replace('!', "/"));
            if superblock(&device).is_some_and(|superblock| superblock.uuid == *uuid) {
                return Ok(device);
            }
        }
        Err(DeviceError::NotFound { uuid: uuid.clone() })
    }
}

impl BackingDevices for LinuxDevices {
    fn is_mounted(&self, uuid: &FileSystemUuid, mount_point: &Path) -> bool {
        let Ok(table) = fs::read(MOUNT_TABLE) else { return false };
        let Some(source) = mount_table::source_of(&table, mount_point).filter(|source| source.is_absolute()) else {
            return false;
        };
        let number = |path: &Path| {
            let metadata = fs::metadata(path).ok().filter(|metadata| metadata.file_type().is_block_device());
            metadata.map(|metadata| metadata.rdev())
        };
        let Some(mounted) = number(&source) else { return false };
        match number(&Path::new(LINKS).join(uuid.as_str())) {
            Some(linked) => linked == mounted,
            None => superblock(&source).is_some_and(|superblock| superblock.uuid == *uuid),
        }
    }

    fn present(&self) -> Result<Vec<BlockDevice>, DeviceError> {
        let mut devices = Vec::new();
        for entry in fs::read_dir(BLOCK_DEVICES).map_err(DeviceError::Look)? {
            let entry = entry.map_err(DeviceError::Look)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_searched(name)) else { continue };
            let fact = |file: &str| {
                let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
                text.trim().to_owned()
            };
            // A loop device or card reader without medium has no size. Partitions share the number of their disk.
            if ["", "0"].contains(&fact("size").as_str()) {
                continue;
            }
            let sequence = [fact("diskseq"), fact("../diskseq")].into_iter().find(|text| !text.is_empty());
            let incarnation = format!("{} {}", fact("dev"), sequence.unwrap_or_default());
            devices.push(BlockDevice { path: Path::new("/dev").join(name.replace('!', "/")), incarnation });
        }
        Ok(devices)
    }

    fn read_uuid(&self, device: &BlockDevice) -> io::Result<Option<FileSystemUuid>> {
        if let Some(superblock) = recognise(&beginning(&device.path)?) {
            return Ok(Some(superblock.uuid));
        }
        // A kind of file system that only udev knows.
        Ok(fs::read_dir(LINKS).into_iter().flatten().flatten().find_map(|link| {
            let leads_here = fs::canonicalize(link.path()).is_ok_and(|target| target == device.path);
            link.file_name().to_str().filter(|_| leads_here)?.parse().ok()
        }))
    }

    fn mount(&self, uuid: &FileSystemUuid, directory: &Path) -> Result<(), DeviceError> {
        let device = self.find(uuid)?;
        let drivers = match superblock(&device) {
            Some(superblock) => vec![superblock.driver.to_owned()],
            None => drivers().map_err(DeviceError::Look)?,
        };
        let mut refusal = nix::Error::ENODEV;
        for driver in drivers {
            match mount(Some(&device), directory, Some(driver.as_str()), FLAGS, None::<&str>) {
                Ok(()) => return Ok(()),
                // Another driver's file system.
                Err(nix::Error::EINVAL) => refusal = nix::Error::EINVAL,
                Err(error) => {
                    refusal = error;
                    break;
                }
            }
        }
        Err(DeviceError::Mount { device, directory: directory.to_owned(), source: refusal.into() })
    }

    fn bind(&self, directory: &Path, mount_point: &Path) -> Result<(), DeviceError> {
        let bound = mount(Some(directory), mount_point, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.map_err(|error| DeviceError::Bind {
            source_directory: directory.to_owned(),
            mount_point: mount_point.to_owned(),
            source: error.into(),
        })
    }

    fn unmount(&self, mount_point: &Path) -> Result<(), DeviceError> {
        umount2(mount_point, MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|error| DeviceError::Unmount { mount_point: mount_point.to_owned(), source: error.into() })
    }
}

/// Returns whether a block device may hold a file system of its own: not if it is part of another device, such as a
/// mirror, whose superblock it shows as its own.
fn is_searched(name: &str) -> bool {
    let without_number = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_part = || {
        let holders = fs::read_dir(Path::new(BLOCK_DEVICES).join(name).join("holders"));
        holders.is_ok_and(|mut holders| holders.next().is_some())
    };
    !NOT_SEARCHED.contains(&without_number) && !is_part()
}

/// Returns what a device holds; `None` also if it cannot be read.
fn superblock(device: &Path) -> Option<Superblock> {
    recognise(&beginning(device).ok()?)
}

/// Returns as much of a device as superblocks need.
fn beginning(device: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(SUPERBLOCK_BYTES);
    File::open(device)?.take(SUPERBLOCK_BYTES as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Returns the kernel's file systems that live on devices.
fn drivers() -> io::Result<Vec<String>> {
    let text = fs::read_to_string(FILE_SYSTEMS)?;
    Ok(text.lines().filter_map(|line| line.strip_prefix('\t')).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_no_device_holds_is_not_mounted_and_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let uuid: FileSystemUuid = "00000000-1111-2222-3333-444444444444".parse().unwrap();
        assert!(!LinuxDevices.is_mounted(&uuid, folder.path()));
        assert!(!LinuxDevices.is_mounted(&uuid, Path::new("/")));
        // Without the kernel's list of devices (in some containers) the search itself fails.
        let error = LinuxDevices.mount(&uuid, folder.path()).unwrap_err();
        assert!(matches!(error, DeviceError::NotFound { .. } | DeviceError::Look(_)), "{error}");
    }

    #[test]
    fn drives_without_medium_are_not_searched() {
        for name in ["sr0", "fd0", "ram15", "zram0"] {
            assert!(!is_searched(name), "{name}");
        }
        assert!(is_searched("no-such-device"));
    }
}
