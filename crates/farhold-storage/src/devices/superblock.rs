//! Which file system a block device holds, by the bytes at its start.
//!
//! | file system | magic at | magic | UUID at |
//! |---|---|---|---|
//! | ext2, ext3, ext4 | 0x438 | `53 ef` | 0x468 |
//! | xfs | 0 | `XFSB` | 0x20 |
//! | f2fs | 0x400 | `10 20 f5 f2` | 0x46c |
//! | btrfs | 0x10040 | `_BHRfS_M` | 0x10020 |
//!
//! Source: the on-disk formats as documented with the Linux kernel. Other file systems are found where the system keeps
//! links by UUID.

use super::FileSystemUuid;

/// Bytes from the start of a device that hold every superblock of the table: btrfs lies furthest.
pub const SUPERBLOCK_BYTES: usize = 0x1_1000;

/// A file system that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Name of the kernel's driver. That of ext4 mounts the older ones too.
    pub driver: &'static str,
    /// The file system's UUID.
    pub uuid: FileSystemUuid,
}

struct Layout {
    driver: &'static str,
    magic_at: usize,
    magic: &'static [u8],
    uuid_at: usize,
}

const LAYOUTS: [Layout; 4] = [
    Layout { driver: "ext4", magic_at: 0x438, magic: &[0x53, 0xef], uuid_at: 0x468 },
    Layout { driver: "xfs", magic_at: 0, magic: b"XFSB", uuid_at: 0x20 },
    Layout { driver: "f2fs", magic_at: 0x400, magic: &[0x10, 0x20, 0xf5, 0xf2], uuid_at: 0x46c },
    Layout { driver: "btrfs", magic_at: 0x1_0040, magic: b"_BHRfS_M", uuid_at: 0x1_0020 },
];

/// Returns the file system whose device starts with these bytes. A device may be shorter than [`SUPERBLOCK_BYTES`].
pub fn recognise(start: &[u8]) -> Option<Superblock> {
    LAYOUTS.iter().find_map(|layout| {
        let magic = start.get(layout.magic_at..layout.magic_at + layout.magic.len())?;
        let uuid: &[u8; 16] = start.get(layout.uuid_at..layout.uuid_at + 16)?.try_into().ok()?;
        let is_it = magic == layout.magic;
        is_it.then(|| Superblock { driver: layout.driver, uuid: FileSystemUuid::from_bytes(uuid) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [0x7f, 0x3c, 0x9a, 0x10, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0xc0, 0xde];

    fn device(layout: &Layout) -> Vec<u8> {
        let mut start = vec![0; SUPERBLOCK_BYTES];
        start[layout.magic_at..][..layout.magic.len()].copy_from_slice(layout.magic);
        start[layout.uuid_at..][..16].copy_from_slice(&UUID);
        start
    }

    #[test]
    fn each_file_system_is_recognised_and_nothing_else() {
        for layout in &LAYOUTS {
            let found = recognise(&device(layout)).unwrap();
            assert_eq!(found.driver, layout.driver);
            assert_eq!(found.uuid.as_str(), "7f3c9a10-0000-4000-8000-00000000c0de");
        }
        assert_eq!(recognise(&[0; SUPERBLOCK_BYTES]), None);
    }

    #[test]
    fn short_devices_are_no_fault() {
        for layout in &LAYOUTS {
            let start = device(layout);
            for length in [0, 1, layout.magic_at + 1, layout.uuid_at + 15] {
                assert_eq!(recognise(&start[..length]), None, "{} {length}", layout.driver);
            }
        }
    }
}
