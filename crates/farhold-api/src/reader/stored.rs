//! A snapshot of a datastore as the content of a reader session.

use bytes::Bytes;
use farhold_datastore::{ChunkError, Datastore, DatastoreError, ErrorKind, SharedSnapshotLock};
use farhold_types::{ArchiveName, Digest, Namespace, Snapshot};

use super::{ReadError, SnapshotContent};

/// A snapshot under its shared lock: while this lives it can be neither removed nor written.
pub struct StoredSnapshot {
    store: Datastore,
    namespace: Namespace,
    snapshot: Snapshot,
    _lock: SharedSnapshotLock,
}

impl StoredSnapshot {
    /// Locks a snapshot for reading; does not wait. Blocking.
    ///
    /// The caller has checked that the datastore may be read, and whose snapshot it is.
    ///
    /// # Errors
    /// The snapshot is missing, or is being written or removed.
    pub fn lock(store: Datastore, namespace: Namespace, snapshot: Snapshot) -> Result<Self, DatastoreError> {
        let lock = store.lock_snapshot_shared(&namespace, &snapshot)?;
        Ok(Self { store, namespace, snapshot, _lock: lock })
    }
}

impl std::fmt::Debug for StoredSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSnapshot").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

impl SnapshotContent for StoredSnapshot {
    fn file(&self, archive: &ArchiveName) -> Result<Bytes, ReadError> {
        self.store.read_file(&self.namespace, &self.snapshot, archive).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ReadError::Missing { what: archive.to_string() },
            _ => ReadError::Failed { what: archive.to_string(), source: error.into() },
        })
    }

    fn chunk(&self, digest: &Digest) -> Result<Bytes, ReadError> {
        self.store.read_chunk(digest).map_err(|error| match error {
            ChunkError::Missing { .. } => ReadError::Missing { what: format!("chunk {digest}") },
            error => ReadError::Failed { what: format!("chunk {digest}"), source: error.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use farhold_datastore::OpenOptions;
    use farhold_types::{Clock, Epoch, Randomness};

    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Epoch {
            Epoch(1_795_000_000)
        }
    }

    impl Randomness for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(1);
        }
    }

    #[test]
    fn files_are_found_and_the_snapshot_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let (root, locks) = (folder.path().join("store"), folder.path().join("locks"));
        let options = OpenOptions::local("tank".parse().unwrap(), &root, locks, Arc::new(Fixed), Arc::new(Fixed));
        // Creating a store makes 65,536 folders; opening one needs only their parent.
        fs::create_dir_all(root.join(".chunks")).unwrap();
        let store = Datastore::open(options).unwrap();
        let snapshot: Snapshot = "vm/100/2026-01-31T10:00:00Z".parse().unwrap();
        let directory = root.join(snapshot.to_string());
        let lock = |s: &Snapshot| StoredSnapshot::lock(store.clone(), Namespace::root(), s.clone());
        assert!(lock(&snapshot).is_err(), "there is no such snapshot yet");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("index.json.blob"), "manifest").unwrap();

        let stored = lock(&snapshot).unwrap();
        assert_eq!(&stored.file(&ArchiveName::manifest()).unwrap()[..], b"manifest");
        assert!(matches!(stored.file(&ArchiveName::client_log()), Err(ReadError::Missing { .. })));
        assert!(matches!(stored.chunk(&Digest([1; 32])), Err(ReadError::Missing { .. })));
        fs::create_dir(directory.join("client.log.blob")).unwrap();
        assert!(matches!(stored.file(&ArchiveName::client_log()), Err(ReadError::Failed { .. })));

        assert!(lock(&snapshot).is_ok(), "several readers at once");
        assert!(store.lock_snapshot(&Namespace::root(), &snapshot).is_err());
        drop(stored);
        assert!(store.lock_snapshot(&Namespace::root(), &snapshot).is_ok());
    }
}
