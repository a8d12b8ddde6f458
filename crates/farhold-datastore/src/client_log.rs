//! The client's log, which may be added to a snapshot once. Source: `docs/spec/wire-protocol.md` 5.5.

use farhold_storage::{Staging, StorageError};
use farhold_types::{CLIENT_LOG_NAME, Namespace, Snapshot};

use crate::error::DatastoreError;
use crate::layout;
use crate::store::Datastore;

/// Longest log that is taken, in bytes. Real ones have some KiB; the reference has no limit and was seen to take 20 MiB,
/// and whatever is taken must be readable in one piece.
pub const MAX_CLIENT_LOG_BYTES: usize = 32 << 20;

impl Datastore {
    /// Adds the client's log to a snapshot, also to one that is being written; `encoded` is a blob that the caller has
    /// checked. Takes the manifest lock, so that of two logs sent at once one is refused.
    ///
    /// # Errors
    /// [`DatastoreError::SnapshotMissing`]; [`DatastoreError::Storage`] of kind conflict if there is a log already; busy.
    pub fn put_client_log(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        encoded: &[u8],
    ) -> Result<(), DatastoreError> {
        if !self.is_directory(&layout::snapshot_dir(namespace, snapshot))? {
            return Err(Self::snapshot_missing(namespace, snapshot));
        }
        let _lock = self.lock_manifest(namespace, snapshot)?;
        let path = layout::snapshot_file(namespace, snapshot, CLIENT_LOG_NAME);
        match self.storage().stat(&path) {
            Ok(_) => return Err(StorageError::AlreadyExists { path: path.to_string() }.into()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.storage().write_atomic(&path, encoded, self.careful_durability(), Staging::Beside)?;
        Ok(())
    }
}
