//! A clock, a table of processes and registries for tests.
#![allow(dead_code, reason = "every test program uses another part")]
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use farhold_tasks::{LiveProcesses, TaskOptions, TaskRegistry};
use farhold_types::{Clock, Epoch};

/// 2026-11-22T01:30:00Z.
pub const NOON: i64 = 1_795_311_000;

/// A clock that stands still unless it is moved.
pub struct FakeClock(pub AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> Epoch {
        Epoch(self.0.load(Ordering::SeqCst))
    }
}

/// Processes that all live, or all do not.
pub struct FakeProcesses(pub AtomicBool);

impl LiveProcesses for FakeProcesses {
    fn exists(&self, _pid: u32, _pstart: u64) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

pub struct World {
    pub directory: tempfile::TempDir,
    pub clock: Arc<FakeClock>,
    pub processes: Arc<FakeProcesses>,
}

impl World {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            clock: Arc::new(FakeClock(AtomicI64::new(NOON))),
            processes: Arc::new(FakeProcesses(AtomicBool::new(true))),
        }
    }

    pub fn options(&self) -> TaskOptions {
        TaskOptions {
            directory: self.directory.path().join("tasks"),
            node: "vm".to_owned(),
            pid: 0x1234,
            pstart: 0x5678,
            first_task_id: 0,
            clock: self.clock.clone(),
            time_zone: jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
            processes: self.processes.clone(),
        }
    }

    pub fn registry(&self) -> TaskRegistry {
        TaskRegistry::open(self.options()).unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join("tasks").join(name)).unwrap()
    }
}

/// Unpacks the recorded task directory to `target`.
pub fn unpack_recorded(target: &Path) {
    let packed = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/tasks.tar.zst")).unwrap();
    let mut bytes = Vec::new();
    zstd::Decoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(target).unwrap();
}
