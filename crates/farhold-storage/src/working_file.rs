//! Files that are written piece by piece, at any position.

use std::fmt;

use crate::error::StorageError;

/// An open file that its maker fills at any position, under a name that nothing else looks at yet.
///
/// When it is complete, [`Storage::rename`](crate::Storage::rename) gives it its final name; to forget it, remove it.
/// Both work while it is open, and the open file stays usable: removed at once, it is scratch space that vanishes with
/// the process. What was written becomes durable as with [`Durability::Cached`](crate::Durability::Cached).
///
/// Parts never written are zero and take no space where the file system can leave holes. All calls may be made from any
/// number of threads; concurrent writes to overlapping ranges leave a mixture.
pub trait WorkingFile: Send + Sync + fmt::Debug {
    /// Writes `content` at `offset`, and makes the file longer if needed.
    ///
    /// # Errors
    /// No space; the file would be too long for the file system. A part may be written then.
    fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), StorageError>;

    /// Returns the `max_bytes` from `offset` on, or less at the end of the file.
    ///
    /// # Errors
    /// The device reports an error.
    fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError>;

    /// Cuts the file off or extends it with zeros.
    ///
    /// # Errors
    /// The file system cannot hold a file of that length.
    fn set_length(&self, length_bytes: u64) -> Result<(), StorageError>;
}
