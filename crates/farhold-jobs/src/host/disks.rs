//! The disks of the host. Source of what is told: `docs/spec/rest-api.md` 15.4.
//!
//! What lies on a disk is taken from the notes of the device manager (`/run/udev/data`) where there are some; the disks
//! themselves are never opened.

use super::HostFiles;
use super::kernel::Mount;

/// Bytes of a sector in `/sys`, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// What a disk or partition is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// For nothing that we know of.
    Unused,
    /// It is mounted.
    Mounted,
    /// It belongs to a logical volume.
    Lvm,
    /// It belongs to a ZFS pool.
    Zfs,
    /// It is part of a mapped device.
    DeviceMapper,
    /// It is divided into partitions.
    Partitions,
    /// It holds a file system that is not mounted.
    FileSystem,
}

impl Usage {
    /// Returns the word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Mounted => "mounted",
            Self::Lvm => "lvm",
            Self::Zfs => "zfs",
            Self::DeviceMapper => "devicemapper",
            Self::Partitions => "partitions",
            Self::FileSystem => "filesystem",
        }
    }
}

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Name below `/dev`.
    pub name: String,
    /// What it is used for.
    pub usage: Usage,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Kind of file system on it.
    pub file_system: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Name below `/dev`.
    pub name: String,
    /// What it is used for.
    pub usage: Usage,
    /// `unknown`, `hdd`, `ssd` or `usb`.
    pub kind: &'static str,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether it has a GUID partition table.
    pub is_gpt: bool,
    /// Vendor.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// World wide name.
    pub wwn: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// What the device manager has noted about a device.
struct Notes(String);

impl Notes {
    fn of(host: &dyn HostFiles, folder: &str) -> Self {
        let number = host.text(&format!("{folder}/dev")).unwrap_or_default();
        Self(host.text(&format!("/run/udev/data/b{}", number.trim())).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Returns the disks of the host, by name. Virtual ones such as loop devices are none, and neither are CD drives.
pub fn disks(host: &dyn HostFiles) -> Vec<Disk> {
    let mounts = super::mounts(host);
    let names = host.names("/sys/block").unwrap_or_default();
    names.iter().filter(|name| !name.starts_with("sr")).filter_map(|name| disk(host, name, &mounts)).collect()
}

fn disk(host: &dyn HostFiles, name: &str, mounts: &[Mount]) -> Option<Disk> {
    let folder = format!("/sys/block/{name}");
    host.names(&format!("{folder}/device")).ok()?;
    let size_bytes = size(host, &folder).filter(|size| *size != 0)?;
    let notes = Notes::of(host, &folder);
    let word = |file: &str| {
        let text = host.text(&format!("{folder}/{file}")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let inside = host.names(&folder).unwrap_or_default();
    let parts = inside.iter().filter(|inner| host.text(&format!("{folder}/{inner}/partition")).is_ok());
    let partitions: Vec<Partition> = parts.filter_map(|part| partition(host, &folder, part, mounts)).collect();
    let usage = match usage(host, &folder, name, &notes, mounts) {
        Usage::Unused | Usage::FileSystem if !partitions.is_empty() => Usage::Partitions,
        other => other,
    };
    let kind = match word("queue/rotational").as_deref() {
        _ if notes.get("ID_BUS") == Some("usb") => "usb",
        Some("0") => "ssd",
        Some("1") => "hdd",
        _ => "unknown",
    };
    Some(Disk {
        name: name.to_owned(),
        usage,
        kind,
        size_bytes,
        is_gpt: notes.get("ID_PART_TABLE_TYPE") == Some("gpt"),
        vendor: word("device/vendor"),
        model: word("device/model"),
        wwn: notes.get("ID_WWN").map(str::to_owned).or_else(|| word("wwid")),
        serial: notes.get("ID_SERIAL_SHORT").map(str::to_owned).or_else(|| word("serial")),
        partitions,
    })
}

fn partition(host: &dyn HostFiles, disk: &str, name: &str, mounts: &[Mount]) -> Option<Partition> {
    let folder = format!("{disk}/{name}");
    let notes = Notes::of(host, &folder);
    Some(Partition {
        name: name.to_owned(),
        usage: usage(host, &folder, name, &notes, mounts),
        size_bytes: size(host, &folder)?,
        file_system: notes.get("ID_FS_TYPE").map(str::to_owned),
    })
}

fn size(host: &dyn HostFiles, folder: &str) -> Option<u64> {
    host.text(&format!("{folder}/size")).ok()?.trim().parse::<u64>().ok()?.checked_mul(SECTOR_BYTES)
}

fn usage(host: &dyn HostFiles, folder: &str, name: &str, notes: &Notes, mounts: &[Mount]) -> Usage {
    let path = format!("/dev/{name}");
    if mounts.iter().any(|mount| mount.source == path) {
        return Usage::Mounted;
    }
    match notes.get("ID_FS_TYPE") {
        Some("LVM2_member") => Usage::Lvm,
        Some("zfs_member") => Usage::Zfs,
        _ if host.names(&format!("{folder}/holders")).is_ok_and(|holders| !holders.is_empty()) => Usage::DeviceMapper,
        Some(_) => Usage::FileSystem,
        None => Usage::Unused,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::FakeHost;
    use super::*;

    #[test]
    fn disks_are_told_with_their_partitions_and_virtual_ones_are_not() {
        let host = FakeHost::sample();
        let found = disks(&host);
        assert_eq!(found.len(), 1, "{found:?}");
        let disk = &found[0];
        assert_eq!((disk.name.as_str(), disk.usage, disk.kind), ("sda", Usage::Mounted, "ssd"));
        assert_eq!((disk.size_bytes, disk.is_gpt), (528_435_199 * 512, false));
        assert_eq!((disk.vendor.as_deref(), disk.model.as_deref()), (Some("QEMU"), Some("QEMU HARDDISK")));
        assert_eq!(disk.partitions.len(), 1);
        assert_eq!((disk.partitions[0].name.as_str(), disk.partitions[0].usage), ("sda1", Usage::Unused));
    }

    #[test]
    fn the_notes_of_the_device_manager_tell_what_lies_on_a_disk() {
        let host = FakeHost::sample();
        host.set("/proc/self/mountinfo", "");
        assert_eq!(disks(&host)[0].usage, Usage::Partitions);
        host.set("/sys/block/sda/dev", "8:0\n");
        host.set(
            "/run/udev/data/b8:0",
            "S:disk/by-id/x\nE:ID_BUS=usb\nE:ID_PART_TABLE_TYPE=gpt\nE:ID_SERIAL_SHORT=s1\nE:ID_WWN=0x5\n",
        );
        let disk = &disks(&host)[0];
        assert_eq!((disk.kind, disk.is_gpt), ("usb", true));
        assert_eq!((disk.serial.as_deref(), disk.wwn.as_deref()), (Some("s1"), Some("0x5")));
        host.set("/run/udev/data/b8:0", "E:ID_FS_TYPE=LVM2_member\n");
        assert_eq!(disks(&host)[0].usage, Usage::Lvm);
        assert_eq!(disks(&FakeHost::default()), []);
    }
}
