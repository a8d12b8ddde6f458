//! A host that is made up of a few files.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use farhold_storage::FileSystemSpace;

use super::HostFiles;

/// A host of which is known what a test says.
#[derive(Debug, Default)]
pub struct FakeHost {
    texts: Mutex<BTreeMap<String, String>>,
    devices: Mutex<BTreeMap<PathBuf, (u32, u32)>>,
    space: Mutex<Option<FileSystemSpace>>,
    /// Whose room is told only after a release.
    hanging: Mutex<Option<PathBuf>>,
    released: Condvar,
    /// How often the times of the processors were read, if they go on.
    readings: Mutex<Option<u64>>,
}

impl FakeHost {
    /// Returns a small host: two processors, one disk `sda` with one partition, one network card.
    pub fn sample() -> Self {
        let host = Self::default();
        for (path, text) in [
            ("/proc/stat", "cpu  100 5 50 800 40 0 3 2 90 1\n"),
            ("/proc/loadavg", "2.24 3.22 4.06 6/128 3828\n"),
            ("/proc/uptime", "7686.69 13501.74\n"),
            (
                "/proc/meminfo",
                "MemTotal: 24682416 kB\nMemFree: 5774484 kB\nMemAvailable: 23155580 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            ),
            (
                "/proc/cpuinfo",
                "processor\t: 0\nmodel name\t: AMD EPYC\nphysical id\t: 0\n\nprocessor\t: 1\nphysical id\t: 0\n",
            ),
            ("/proc/sys/kernel/ostype", "Linux\n"),
            ("/proc/sys/kernel/osrelease", "6.18.44-fc-v445\n"),
            ("/proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC @0\n"),
            (
                "/proc/net/dev",
                "    lo:  10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\neth0:5000 7 0 0 0 0 0 0 700 3 0 0 0 0 0 0\n",
            ),
            ("/sys/class/net/eth0/device/vendor", "0x1af4\n"),
            (
                "/proc/diskstats",
                "8 0 sda 4000 10 100000 900 2000 5 60000 700 0 800 1600\n8 1 sda1 9 0 9 9 9 0 9 9 0 9 9\n",
            ),
            (
                "/proc/self/mountinfo",
                "1 0 8:0 / / rw,relatime - ext4 /dev/sda rw\n2 1 0:40 / /srv/spanning rw - btrfs /dev/sda rw\n",
            ),
            ("/sys/block/sda/size", "528435199\n"),
            ("/sys/block/sda/queue/rotational", "0\n"),
            ("/sys/block/sda/device/model", "QEMU HARDDISK   \n"),
            ("/sys/block/sda/device/vendor", "QEMU\n"),
            ("/sys/block/sda/sda1/size", "1000\n"),
            ("/sys/block/sda/sda1/partition", "1\n"),
            ("/sys/block/loop0/size", "0\n"),
        ] {
            host.set(path, text);
        }
        host.set_device("/", (8, 0));
        host.set_space(FileSystemSpace {
            total_bytes: 270_553_174_016,
            used_bytes: 41_583_120_384,
            available_bytes: 55_989_628_928,
        });
        host
    }

    /// Lets the processors go on: between any two readings of their times they work, idle and wait alike.
    pub fn let_processors_run(&self) {
        *self.readings.lock().unwrap() = Some(0);
    }

    /// Sets the text of a file.
    pub fn set(&self, path: &str, text: &str) {
        self.texts.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    /// Removes a file; the processors stop.
    pub fn remove(&self, path: &str) {
        self.texts.lock().unwrap().remove(path);
        *self.readings.lock().unwrap() = None;
    }

    /// Sets the device of a path and of what lies below it.
    pub fn set_device(&self, path: &str, device: (u32, u32)) {
        self.devices.lock().unwrap().insert(PathBuf::from(path), device);
    }

    /// Lets a path's device not answer, or answer again.
    pub fn set_hanging(&self, path: Option<PathBuf>) {
        *self.hanging.lock().unwrap() = path;
        self.released.notify_all();
    }

    /// Returns the room of all file systems.
    pub fn space_now(&self) -> FileSystemSpace {
        self.space.lock().unwrap().unwrap()
    }

    /// Sets the room of all file systems.
    pub fn set_space(&self, space: FileSystemSpace) {
        *self.space.lock().unwrap() = Some(space);
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl HostFiles for FakeHost {
    fn text(&self, path: &str) -> io::Result<String> {
        if path == "/proc/stat"
            && let Some(readings) = self.readings.lock().unwrap().as_mut()
        {
            *readings += 1;
            return Ok(format!("cpu  {readings} 0 0 {readings} {readings} 0 0 0 0 0\n"));
        }
        self.texts.lock().unwrap().get(path).cloned().ok_or_else(missing)
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let texts = self.texts.lock().unwrap();
        let below = texts.keys().filter_map(|file| file.strip_prefix(path)?.strip_prefix('/')?.split('/').next());
        let mut names: Vec<String> = below.map(str::to_owned).collect();
        names.dedup();
        if names.is_empty() { Err(missing()) } else { Ok(names) }
    }

    fn space(&self, path: &Path) -> io::Result<FileSystemSpace> {
        let hanging = self.hanging.lock().unwrap();
        drop(self.released.wait_while(hanging, |hanging| hanging.as_deref() == Some(path)).unwrap());
        self.space.lock().unwrap().ok_or_else(missing)
    }

    fn device(&self, path: &Path) -> io::Result<(u32, u32)> {
        let devices = self.devices.lock().unwrap();
        path.ancestors().find_map(|above| devices.get(above).copied()).ok_or_else(missing)
    }

    fn machine(&self) -> &'static str {
        "x86_64"
    }
}
