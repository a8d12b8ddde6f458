//! How full a file system is.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::error::{Operation, StorageError};

/// Room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystemSpace {
    /// All of it.
    pub total_bytes: u64,
    /// What is used.
    pub used_bytes: u64,
    /// What ordinary users may still use; less than the rest where some is reserved for root.
    pub available_bytes: u64,
}

/// Returns the room of the file system that `path` lies on. Blocking.
///
/// # Errors
/// The path does not exist, or the device fails.
pub fn file_system_space(path: &Path) -> Result<FileSystemSpace, StorageError> {
    let counts = statvfs(path).map_err(|errno| StorageError::from_io(Operation::Stat, path, errno.into()))?;
    // The kernel's counts are 64 bits wide on every platform that we build for.
    let bytes = |blocks: u64| blocks.saturating_mul(counts.fragment_size());
    Ok(FileSystemSpace {
        total_bytes: bytes(counts.blocks()),
        used_bytes: bytes(counts.blocks().saturating_sub(counts.blocks_free())),
        available_bytes: bytes(counts.blocks_available()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_and_available_fit_into_the_total() {
        let space = file_system_space(Path::new("/")).unwrap();
        assert!(0 < space.total_bytes);
        assert!(space.used_bytes + space.available_bytes <= space.total_bytes, "{space:?}");
        assert!(file_system_space(Path::new("/no/such/path")).is_err());
    }
}
