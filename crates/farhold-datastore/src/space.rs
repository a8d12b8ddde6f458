//! How full the file system of a store is.

use farhold_storage::{FileSystemSpace, file_system_space};

use crate::error::DatastoreError;
use crate::store::Datastore;

impl Datastore {
    /// Returns the room of the file system that the store lies on; `None` for a store that lies on none.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn space(&self) -> Result<Option<FileSystemSpace>, DatastoreError> {
        Ok(self.local_root().map(file_system_space).transpose()?)
    }
}
