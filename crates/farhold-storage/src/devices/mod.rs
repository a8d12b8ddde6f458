//! File systems that come and go: finding them by their UUID, mounting and unmounting them.
//!
//! [`BackingDevices`] is where the outside begins; [`LinuxDevices`] is this host. With the feature `testing` there is
//! `FakeDevices`, whose devices are folders. All calls block.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 11, `docs/spec/datastore-format.md` 23.

#[cfg(any(test, feature = "testing"))]
mod fake;
mod linux;
mod mount_table;
mod superblock;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(any(test, feature = "testing"))]
pub use fake::FakeDevices;
pub use linux::LinuxDevices;

/// UUID of a file system, as 36 characters in lower case. Those of FAT and NTFS are shorter and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileSystemUuid(String);

impl FileSystemUuid {
    /// Returns the UUID with these bytes, as superblocks hold it.
    pub(crate) fn from_bytes(bytes: &[u8; 16]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileSystemUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no UUID of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the UUID of a file system, 32 lower-case hex digits in groups of 8, 4, 4, 4 and 12")]
pub struct FileSystemUuidError;

impl FromStr for FileSystemUuid {
    type Err = FileSystemUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = |group: &str| group.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        if lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| is_hex(group)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FileSystemUuidError)
        }
    }
}

/// Why a device could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No block device holds this file system.
    #[error("no device with the file system {uuid} found")]
    NotFound {
        /// The UUID.
        uuid: FileSystemUuid,
    },
    /// The system refused to mount it.
    #[error("failed to mount {} to {}", device.display(), directory.display())]
    Mount {
        /// The block device.
        device: PathBuf,
        /// Where it should appear.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused to show a directory in a second place.
    #[error("failed to bind mount {} to {}", source_directory.display(), mount_point.display())]
    Bind {
        /// The directory.
        source_directory: PathBuf,
        /// The second place.
        mount_point: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused to unmount it, for example because somebody uses it.
    #[error("failed to unmount {}", mount_point.display())]
    Unmount {
        /// The mount point.
        mount_point: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is there cannot be looked at.
    #[error("failed to look for block devices")]
    Look(#[source] io::Error),
}

/// A block device as it is plugged in now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockDevice {
    /// Where it is found.
    pub path: PathBuf,
    /// Another one each time that a device is plugged in, as far as the system tells.
    pub incarnation: String,
}

impl fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.incarnation)
    }
}

/// The file systems of one host that can be mounted by their UUID.
///
/// What this promises: [`mount`](Self::mount) and [`bind`](Self::bind) end with the content visible at the place, or
/// with an error and nothing changed; [`unmount`](Self::unmount) fails as long as anybody uses what it should remove.
pub trait BackingDevices: Send + Sync {
    /// Returns whether this file system, or a directory of it, is mounted exactly at `mount_point`. What cannot be found
    /// out counts as not mounted.
    fn is_mounted(&self, uuid: &FileSystemUuid, mount_point: &Path) -> bool;

    /// Returns the devices that are plugged in and may hold a file system. Reads none of them: disks at rest stay so.
    ///
    /// # Errors
    /// [`DeviceError::Look`].
    fn present(&self) -> Result<Vec<BlockDevice>, DeviceError>;

    /// Returns which file system a device holds; `None` if none that is known.
    ///
    /// # Errors
    /// The device cannot be read, now.
    fn read_uuid(&self, device: &BlockDevice) -> io::Result<Option<FileSystemUuid>>;

    /// Mounts the file system to a directory that exists and is empty.
    ///
    /// # Errors
    /// [`DeviceError::NotFound`], [`DeviceError::Mount`], [`DeviceError::Look`].
    fn mount(&self, uuid: &FileSystemUuid, directory: &Path) -> Result<(), DeviceError>;

    /// Shows a directory at `mount_point` too, which is a directory that exists.
    ///
    /// # Errors
    /// [`DeviceError::Bind`].
    fn bind(&self, directory: &Path, mount_point: &Path) -> Result<(), DeviceError>;

    /// Undoes one of the two above.
    ///
    /// # Errors
    /// [`DeviceError::Unmount`].
    fn unmount(&self, mount_point: &Path) -> Result<(), DeviceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_lower_case_uuids_are_taken() {
        let uuid: FileSystemUuid = "7f3c9a10-0000-4000-8000-00000000c0de".parse().unwrap();
        assert_eq!(uuid.to_string(), "7f3c9a10-0000-4000-8000-00000000c0de");
        for text in [
            "",
            "7F3C9A10-0000-4000-8000-00000000C0DE",
            "7f3c9a1-00000-4000-8000-00000000c0de",
            "7f3c9a1000004000800000000000c0de",
            "1234-ABCD",
            "../../../etc-0000-4000-8000-00000000",
        ] {
            assert_eq!(text.parse::<FileSystemUuid>(), Err(FileSystemUuidError), "{text:?}");
        }
    }

    #[test]
    fn bytes_of_a_superblock_become_the_usual_text() {
        let bytes = [0x7f, 0x3c, 0x9a, 0x10, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0xc0, 0xde];
        assert_eq!(FileSystemUuid::from_bytes(&bytes).as_str(), "7f3c9a10-0000-4000-8000-00000000c0de");
    }
}
