//! A configuration directory for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use farhold_settings::{ConfigDir, Settings};
use farhold_types::Randomness;

/// Counts, so that two names never are equal.
#[derive(Default)]
pub struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().for_each(|b| *b = self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// Returns an empty directory and the settings in it, which do not wait for locks.
pub fn empty() -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().unwrap();
    let config = ConfigDir::new(dir.path(), Arc::new(Counting::default())).with_lock_wait(Duration::ZERO);
    (dir, Settings::new(config))
}

/// Returns the bytes of a test fixture file.
pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
