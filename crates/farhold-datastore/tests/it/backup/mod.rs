//! The disk side of backup sessions. `docs/spec/wire-protocol.md` 5, `docs/spec/datastore-format.md` 12 to 16.

mod begin;
mod ends;
mod faults;
mod files;

use std::sync::Arc;

use farhold_datastore::Datastore;
use farhold_datastore::backup::{BackupError, BackupKind, BackupWriter, BeginBackupError, UploadStatistics};
use farhold_storage::MemoryStorage;
use farhold_types::{Authid, Digest, Namespace, Snapshot};

use crate::support::{BLOB, INDEX, Sample, memory, options, root, sample, snapshot};

/// A store in memory, and the files and locks behind it.
struct Bench {
    memory: MemoryStorage,
    locks: tempfile::TempDir,
    store: Datastore,
}

fn authid(text: &str) -> Authid {
    text.parse().expect("valid")
}

fn first() -> Snapshot {
    snapshot("vm/100/2026-01-01T10:00:00Z")
}

fn second() -> Snapshot {
    snapshot("vm/100/2026-01-02T10:00:00Z")
}

impl Bench {
    fn new() -> Self {
        let (memory, locks) = (memory(), tempfile::tempdir().expect("created"));
        let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).expect("opened");
        Self { memory, locks, store }
    }

    fn begin(&self, snapshot: &Snapshot) -> Result<BackupWriter, BeginBackupError> {
        self.store.begin_backup(&root(), snapshot, &authid("sync@pbs!t1"), BackupKind::Normal)
    }

    /// A finished backup.
    fn back_up(&self, snapshot: &Snapshot) {
        let writer = self.begin(snapshot).expect("begun");
        fill(&writer, &sample(snapshot, b"content")).expect("filled");
        writer.finish(&UploadStatistics::default()).expect("finished");
    }

    /// What the store holds, without what it keeps only while somebody writes.
    fn paths(&self) -> Vec<String> {
        self.memory.all_paths().into_iter().filter(|path| !path.starts_with(".chunks/.farhold")).collect()
    }

    /// Whether anybody still holds a lock around this snapshot.
    fn is_free(&self, namespace: &Namespace, snapshot: &Snapshot) -> bool {
        let is_busy = |outcome: Result<(), farhold_datastore::DatastoreError>| {
            outcome.is_err_and(|error| error.kind() == farhold_datastore::ErrorKind::Busy)
        };
        !is_busy(self.store.lock_group(namespace, &snapshot.group).map(|_| ()))
            && !is_busy(self.store.lock_snapshot(namespace, snapshot).map(|_| ()))
            && self.store.oldest_writer().is_none()
    }
}

/// Uploads everything that a sample consists of, as a client does: chunk, index, blob, manifest.
fn fill(writer: &BackupWriter, sample: &Sample) -> Result<(), BackupError> {
    writer.insert_chunk(&sample.chunk.0, &sample.chunk.1)?;
    let index = writer.create_dynamic(&INDEX.parse().expect("valid"))?;
    let file = &sample.parsed.files[0];
    index.push(file.size_bytes, &sample.chunk.0)?;
    index.finish(&file.checksum)?;
    writer.put_blob(&BLOB.parse().expect("valid"), &sample.blob)?;
    writer.put_blob(&"index.json.blob".parse().expect("valid"), &sample.manifest)
}

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}
