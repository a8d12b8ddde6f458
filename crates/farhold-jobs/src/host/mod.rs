//! The host this server runs on, read from the kernel's files.
//!
//! [`HostFiles`] is where the outside begins: it hands out the texts of `/proc` and `/sys` and the sizes of file systems.
//! Everything that understands them is pure and stands in [`kernel`]. A system without these files is a host of which
//! less is known: what cannot be read is absent, never made up.

pub mod disks;
pub mod kernel;
mod names;
mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::io;
use std::path::Path;

pub use farhold_storage::FileSystemSpace;
pub use names::full_name;
pub use status::{CpuFacts, CpuUsage, Kernel, NodeStatus, cpu_usage, node_status};

use kernel::{DiskCounters, Mount, parse_disk_counters, parse_mounts};

/// What this server reads of its host. All calls may block.
pub trait HostFiles: Send + Sync {
    /// Returns the text of a small file such as `/proc/meminfo`.
    ///
    /// # Errors
    /// The file does not exist, is larger than a MiB, or is no text.
    fn text(&self, path: &str) -> io::Result<String>;

    /// Returns the names in a folder, sorted.
    ///
    /// # Errors
    /// There is no such folder.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;

    /// Returns the room of the file system that `path` lies on.
    ///
    /// # Errors
    /// The path does not exist, or its device fails.
    fn space(&self, path: &Path) -> io::Result<FileSystemSpace>;

    /// Returns the device of the file system that `path` lies on, as (major, minor).
    ///
    /// # Errors
    /// The path does not exist.
    fn device(&self, path: &Path) -> io::Result<(u32, u32)>;

    /// Returns the kind of machine, such as `x86_64`.
    fn machine(&self) -> &'static str;
}

/// Returns the counters of the disk that `path` lies on; `None` where no single disk is behind it.
pub fn disk_of(host: &dyn HostFiles, path: &Path) -> Option<DiskCounters> {
    let (major, minor) = host.device(path).ok()?;
    let all = parse_disk_counters(&host.text("/proc/diskstats").ok()?);
    if let Some(found) = all.iter().find(|disk| (disk.major, disk.minor) == (major, minor)) {
        return Some(found.counters);
    }
    // File systems that span devices have a number of their own; the mount tells a device they lie on.
    let mounts = mounts(host);
    let source = mounts.iter().find(|mount| (mount.major, mount.minor) == (major, minor))?.source.as_str();
    let name = source.strip_prefix("/dev/")?;
    all.iter().find(|disk| disk.name == name).map(|disk| disk.counters)
}

/// Returns what is mounted; empty where that cannot be told.
pub fn mounts(host: &dyn HostFiles) -> Vec<Mount> {
    host.text("/proc/self/mountinfo").map(|text| parse_mounts(&text)).unwrap_or_default()
}

/// Returns the bytes that all network cards of this host have received and sent; `None` where that cannot be told.
///
/// Bridges, tunnels and the loopback are left out: what goes through them is counted at a card already.
pub fn network(host: &dyn HostFiles) -> Option<(u64, u64)> {
    let all = kernel::parse_network(&host.text("/proc/net/dev").ok()?);
    let is_card = |name: &str| host.names(&format!("/sys/class/net/{name}/device")).is_ok();
    let cards = all.iter().filter(|interface| is_card(&interface.name));
    Some(cards.fold((0, 0), |(received, sent), card| {
        (received.saturating_add(card.received_bytes), sent.saturating_add(card.sent_bytes))
    }))
}

#[cfg(test)]
mod tests {
    use super::testing::FakeHost;
    use super::*;

    #[test]
    fn the_disk_behind_a_path_is_found_by_number_or_through_its_mount() {
        let host = FakeHost::sample();
        let counters = disk_of(&host, Path::new("/")).unwrap();
        assert_eq!((counters.read_ios, counters.read_bytes), (4_000, 100_000 * 512));
        host.set_device("/srv/spanning", (0, 40));
        assert_eq!(disk_of(&host, Path::new("/srv/spanning")), Some(counters), "through its mount");
        host.set_device("/srv/unknown", (0, 99));
        assert_eq!(disk_of(&host, Path::new("/srv/unknown")), None);
    }

    #[test]
    fn only_cards_count_as_network() {
        assert_eq!(network(&FakeHost::sample()), Some((5_000, 700)));
        assert_eq!(network(&FakeHost::default()), None);
    }
}
