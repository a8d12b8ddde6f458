//! The storage trait and the values it speaks in.

use std::fmt;
use std::path::Path;

use bytes::Bytes;

use crate::error::StorageError;
use crate::path::StorePath;
use crate::working_file::WorkingFile;

/// Mode of new regular files. Source: `docs/spec/datastore-format.md` 3.
pub const FILE_MODE: u32 = 0o644;
/// Mode of new directories unless the caller names another. Source: as above.
pub const DIRECTORY_MODE: u32 = 0o755;

/// What survives a power failure once a write returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is promised until [`Storage::sync_all`] or [`Storage::sync_file`] returned.
    Cached,
    /// Content and directory entry are on stable storage when the call returns.
    Durable,
}

/// Where the temporary file of an atomic write lies.
#[derive(Debug, Clone, Copy)]
pub enum Staging<'a> {
    /// Beside the target, under the target's name with the last extension replaced by `tmp_` and six random characters.
    Beside,
    /// In this directory of the same store, under the same kind of name. It must exist.
    In(&'a StorePath),
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it points.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// All entries of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Those whose names are UTF-8, sorted by name.
    pub entries: Vec<Entry>,
    /// The others, in no order; their names are shown with replacement characters.
    pub foreign: Vec<Entry>,
}

/// A file time: seconds since the epoch and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Whole seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: i64,
}

/// What is known about an entry without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Size of a regular file in bytes; of anything else without meaning.
    pub size_bytes: u64,
    /// The nine permission bits; what the backend would create where it has none.
    pub mode: u32,
    /// A number that differs between entries that exist at the same time.
    pub inode: u64,
    /// Last access, the mark of garbage collection.
    pub accessed: FileTime,
    /// Last change of the content.
    pub modified: FileTime,
}

/// A file lock that lasts until the value is dropped or its process dies.
pub trait FileHold: Send + Sync + fmt::Debug {}

/// A record lock on one file, as processes that share a store see it.
///
/// Conflicts with what other programs hold as POSIX record locks on the whole file. Where the system offers nothing
/// better it is such a lock itself, which vanishes when any descriptor of the process on that file is closed: open it
/// once per process and store. It ends when the value is dropped.
///
/// Source: `docs/spec/datastore-format.md` 14.1.
pub trait RecordLock: Send + Sync + fmt::Debug {
    /// Takes the shared lock, or turns an exclusive one into it. Returns `false` if somebody else holds it exclusively.
    ///
    /// # Errors
    /// The system refuses for another reason.
    fn try_shared(&self) -> Result<bool, StorageError>;

    /// Takes the exclusive lock, or turns a shared one into it. Returns `false` if somebody else holds any.
    ///
    /// # Errors
    /// As [`Self::try_shared`].
    fn try_exclusive(&self) -> Result<bool, StorageError>;

    /// Gives the lock back.
    ///
    /// # Errors
    /// As [`Self::try_shared`].
    fn unlock(&self) -> Result<(), StorageError>;
}

/// A regular file that is read piece by piece, whatever becomes of its name meanwhile.
pub trait FileReader: Send + fmt::Debug {
    /// Returns the next bytes, at least one and at most `max_bytes`; none at the end of the file.
    ///
    /// # Errors
    /// The device reports an error.
    fn next(&mut self, max_bytes: usize) -> Result<Bytes, StorageError>;
}

/// A file that was read as a whole.
#[derive(Debug)]
struct WholeFile(Bytes);

impl FileReader for WholeFile {
    fn next(&mut self, max_bytes: usize) -> Result<Bytes, StorageError> {
        Ok(self.0.split_to(max_bytes.min(self.0.len())))
    }
}

/// The directories in one directory, for work that goes through the entries of all of them.
pub trait Folders: Send + Sync {
    /// Does what [`Storage::touch_atime`] does with the entry `name` of the directory `folder`. That the latter is a real
    /// directory may have been looked after before.
    ///
    /// # Errors
    /// As [`Storage::touch_atime`].
    fn touch_atime(&self, folder: &str, name: &str) -> Result<(), StorageError>;

    /// Does what [`Storage::stat`] does with the entry `name` of the directory `folder`.
    ///
    /// # Errors
    /// As [`Storage::stat`].
    fn stat(&self, folder: &str, name: &str) -> Result<Stat, StorageError>;

    /// Does what [`Storage::remove_file`] does with the entry `name` of the directory `folder`.
    ///
    /// # Errors
    /// As [`Storage::remove_file`].
    fn remove_file(&self, folder: &str, name: &str) -> Result<(), StorageError>;

    /// Does what [`Storage::list_stats`] does with the directory `folder`.
    ///
    /// # Errors
    /// As [`Storage::list_stats`].
    fn list_stats(&self, folder: &str) -> Result<Vec<(String, Stat)>, StorageError>;
}

/// Knows no way to save anything.
struct PlainFolders<'a, S: ?Sized> {
    storage: &'a S,
    directory: StorePath,
}

impl<S: Storage + ?Sized> Folders for PlainFolders<'_, S> {
    fn touch_atime(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.storage.touch_atime(&entry(&self.directory, &[folder, name])?)
    }

    fn stat(&self, folder: &str, name: &str) -> Result<Stat, StorageError> {
        self.storage.stat(&entry(&self.directory, &[folder, name])?)
    }

    fn remove_file(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.storage.remove_file(&entry(&self.directory, &[folder, name])?)
    }

    fn list_stats(&self, folder: &str) -> Result<Vec<(String, Stat)>, StorageError> {
        self.storage.list_stats(&entry(&self.directory, &[folder])?)
    }
}

/// Returns the path of an entry; what can be no name is missing.
pub(crate) fn entry(directory: &StorePath, names: &[&str]) -> Result<StorePath, StorageError> {
    let joined = names.iter().try_fold(directory.clone(), |path, name| path.join(name));
    joined.map_err(|_| StorageError::NotFound { path: format!("{directory}/{}", names.join("/")) })
}

/// Files and directories below one root.
///
/// Guarantees of every backend:
///
/// - **Inside.** No call reads or changes anything outside the root. Directories on the way are real directories:
///   a symbolic link among them is [`StorageError::NotADirectory`]. The last component is not followed either.
/// - **Visible.** What a call returned as done is visible to every later call of every process at once.
/// - **Atomic.** [`write_atomic`](Self::write_atomic) and [`rename`](Self::rename) replace a file as one step: readers
///   see the old or the new content, never a mixture and never a gap. After a failed call the old content is in place,
///   and the temporary file is gone; after a kill a temporary file may stay. Only a failure to flush the directory
///   can be reported after the new content became visible.
/// - **Durable.** As [`Durability`] says. Directory changes without one are durable after [`sync_all`](Self::sync_all).
/// - **Concurrent.** All calls may be made from any number of threads and processes.
///
/// Failures are [`StorageError`]s; a missing entry is always [`StorageError::NotFound`].
pub trait Storage: Send + Sync + fmt::Debug {
    /// Returns the content of a regular file of at most `max_bytes`.
    ///
    /// # Errors
    /// Missing, not a regular file, or larger (then nothing of it is kept in memory).
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError>;

    /// Returns the first `max_bytes` of a regular file, or less if it is shorter.
    ///
    /// # Errors
    /// Missing or not a regular file.
    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError>;

    /// Opens a regular file to read it piece by piece.
    ///
    /// # Errors
    /// Missing or not a regular file.
    fn open_reader(&self, path: &StorePath) -> Result<Box<dyn FileReader>, StorageError> {
        Ok(Box::new(WholeFile(self.read(path, u64::MAX)?)))
    }

    /// Returns what is known about an entry; a link is described itself, not its target.
    ///
    /// # Errors
    /// Missing.
    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError>;

    /// Returns the entries of a directory, sorted by name. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// Missing or not a directory.
    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError>;

    /// Returns the entries of a directory, and those that [`Self::list`] leaves out.
    ///
    /// # Errors
    /// Missing or not a directory.
    fn list_all(&self, path: &StorePath) -> Result<Listing, StorageError> {
        Ok(Listing { entries: self.list(path)?, foreign: Vec::new() })
    }

    /// Returns the entries of a directory with what is known about each, sorted by name. Names that are not UTF-8 are left
    /// out, and so is what vanishes while this works.
    ///
    /// # Errors
    /// Missing or not a directory.
    fn list_stats(&self, path: &StorePath) -> Result<Vec<(String, Stat)>, StorageError> {
        let mut found = Vec::new();
        for entry in self.list(path)? {
            let Ok(child) = path.join(&entry.name) else { continue };
            match self.stat(&child) {
                Ok(stat) => found.push((entry.name, stat)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Replaces a file by a new one with this content and mode 0644, or creates it, as one step.
    ///
    /// # Errors
    /// The directory is missing, there is no space, the target is a directory.
    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError>;

    /// Creates a file with this content that must not exist, mode 0644. A kill may leave it incomplete.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`]; the file is removed again after any other failure.
    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError>;

    /// Creates an empty file that must not exist, mode 0644, to be filled piece by piece.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`], or the directory is missing.
    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError>;

    /// Creates a directory with this mode, whatever the process' umask.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`], or its parent is missing.
    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError>;

    /// Creates a directory and its missing parents with mode 0755; existing ones are left alone.
    ///
    /// # Errors
    /// Something on the way is not a directory.
    fn create_dirs(&self, path: &StorePath) -> Result<(), StorageError> {
        match self.create_dir(path, DIRECTORY_MODE) {
            Ok(()) => Ok(()),
            Err(StorageError::AlreadyExists { path: shown }) => match self.stat(path)?.kind {
                EntryKind::Directory => Ok(()),
                _ => Err(StorageError::NotADirectory { path: shown }),
            },
            Err(error) if error.is_not_found() => {
                let Some(parent) = path.parent() else { return Err(error) };
                self.create_dirs(&parent)?;
                match self.create_dir(path, DIRECTORY_MODE) {
                    Err(StorageError::AlreadyExists { .. }) => Ok(()),
                    other => other,
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Renames a file or directory within the store as one step; an existing file at `to` is replaced.
    ///
    /// # Errors
    /// `from` is missing, the parent of `to` is missing, `to` is a directory that is not empty.
    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError>;

    /// Removes a file or link.
    ///
    /// # Errors
    /// Missing, or a directory.
    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Missing, not a directory, or [`StorageError::NotEmpty`].
    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError>;

    /// Removes a directory and everything below it; links are removed, not followed. Not atomic.
    ///
    /// # Errors
    /// Missing or not a directory. After a failure a part may be gone.
    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError>;

    /// Sets the access time of an entry to now and leaves the modification time alone. Links are not followed.
    ///
    /// # Errors
    /// Missing.
    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError>;

    /// Returns the directories in `directory`, to go through the entries of all of them at least expense.
    ///
    /// # Errors
    /// Missing or not a directory.
    fn folders(&self, directory: &StorePath) -> Result<Box<dyn Folders + '_>, StorageError> {
        Ok(Box::new(PlainFolders { storage: self, directory: directory.clone() }))
    }

    /// Flushes one regular file and its entry in the directory to stable storage.
    ///
    /// # Errors
    /// Missing, or the device reports an error.
    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError>;

    /// Flushes everything written so far to stable storage.
    ///
    /// # Errors
    /// The device reports an error.
    fn sync_all(&self) -> Result<(), StorageError>;

    /// Opens the record lock of a file, which is created if it is missing (mode 0644).
    ///
    /// # Errors
    /// The file cannot be opened for reading and writing.
    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError>;

    /// Creates the file if it is missing and locks it against every other holder in any process (and in this one).
    ///
    /// Returns `None` if somebody holds it, or if it was removed while being locked.
    ///
    /// # Errors
    /// The directory is missing, or the system refuses.
    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError>;

    /// Returns the directory on the local file system, if the store has one.
    fn local_root(&self) -> Option<&Path>;
}
