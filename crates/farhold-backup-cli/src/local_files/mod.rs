//! The client's local files: tickets, accepted fingerprints, recent repositories, and how they are written.
//!
//! Files are replaced as a whole, by renaming, and only their owner can read them. Reading is lenient: what is damaged
//! counts as absent, for all of it can be had again.

pub mod fingerprints;
pub mod recent;
pub mod tickets;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Largest local file that is read, in bytes: thousands of tickets.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Mode of folders that are made: their owner alone.
const FOLDER_MODE: u32 = 0o700;

/// Returns the text of a file, empty if the file is missing.
///
/// # Errors
/// It cannot be read, or is too large to be one of ours. Bytes that are no text are replaced.
pub fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
        Ok(file) => file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?,
    };
    if MAX_FILE_BYTES < bytes.len() as u64 {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces a file by this content, mode 0600; missing folders are made with mode 0700.
///
/// # Errors
/// Nothing is changed then.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a new file of this content, mode 0600; missing folders are made with mode 0700.
///
/// # Errors
/// `AlreadyExists` if there is one.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

/// Returns a new file, mode 0600, in the folder of `path`.
fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    tempfile::NamedTempFile::new_in(folder)
}

/// Removes a file; a missing one is no error.
///
/// # Errors
/// It cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_and_folders_are_for_their_owner_alone_and_a_new_file_never_replaces_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(read(&path).unwrap(), "");
        create(&path, b"one").unwrap();
        assert_eq!(create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap(), "one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap(), "three");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // Nothing is left over beside the file.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
