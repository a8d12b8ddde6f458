//! Counts what a source delivers beside chunks: manifests, indexes, blobs and logs, each time it comes.
//!
//! Source: `docs/spec/sync.md` 14.3 and C.2 W32.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Files and their bytes.
#[derive(Debug, Default)]
pub(crate) struct ReceivedFiles {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl ReceivedFiles {
    /// Counts a file that came.
    pub(crate) fn add(&self, content: &Bytes) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
    }

    /// Returns the number of files and their bytes.
    pub(crate) fn look(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}
