//! The local file system as a backend.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use farhold_types::Randomness;
use nix::fcntl::{AT_FDCWD, OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::backend::{
    Durability, Entry, EntryKind, FILE_MODE, FileHold, FileReader, FileTime, Folders, Listing, RecordLock, Staging,
    Stat, Storage,
};
use crate::error::{Operation, StorageError};
use crate::local_folders::LocalFolders;
use crate::path::StorePath;
use crate::record_lock::LocalRecordLock;
use crate::temporary::random_temporary;
use crate::working_file::WorkingFile;

/// How many temporary names are tried before giving up. One suffices unless the random source repeats itself.
const TEMPORARY_NAME_ATTEMPTS: usize = 100;

/// Files of this size and more are handed to the disk as soon as they are written, so that the flush at the end of a
/// snapshot finds little left to do. Small ones are better written together.
const EARLY_WRITE_BYTES: usize = 64 * 1024;

/// Files below one directory of the local file system.
///
/// New files and directories belong to the user the process runs as; ownership is not changed.
pub struct LocalStorage {
    root: PathBuf,
    randomness: Arc<dyn Randomness>,
}

impl LocalStorage {
    /// Returns the storage below `root`, an absolute path. Nothing is opened or created yet.
    ///
    /// `randomness` makes the names of temporary files.
    pub fn new(root: impl Into<PathBuf>, randomness: Arc<dyn Randomness>) -> Self {
        Self { root: root.into(), randomness }
    }

    /// Returns the full path, after checking that every directory above its last component is a real one.
    fn resolve(&self, operation: Operation, path: &StorePath) -> Result<PathBuf, StorageError> {
        let mut full = self.root.clone();
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            full.push(component);
            if components.peek().is_none() {
                break;
            }
            let meta = fs::symlink_metadata(&full).map_err(|source| StorageError::from_io(operation, &full, source))?;
            if !meta.is_dir() {
                return Err(StorageError::NotADirectory { path: full.display().to_string() });
            }
        }
        Ok(full)
    }

    pub(crate) fn resolve_dir(&self, operation: Operation, path: &StorePath) -> Result<PathBuf, StorageError> {
        let full = self.resolve(operation, path)?;
        if !path.is_root() {
            let meta = fs::symlink_metadata(&full).map_err(|source| StorageError::from_io(operation, &full, source))?;
            if !meta.is_dir() {
                return Err(StorageError::NotADirectory { path: full.display().to_string() });
            }
        }
        Ok(full)
    }

    fn open_file(&self, path: &StorePath) -> Result<(File, fs::Metadata, PathBuf), StorageError> {
        let full = self.resolve(Operation::Read, path)?;
        // Not blocking: a pipe somebody put here must not stop the thread.
        let opened =
            OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(&full);
        let file = match opened {
            Ok(file) => file,
            Err(source) if source.raw_os_error() == Some(nix::libc::ELOOP) => {
                return Err(StorageError::NotAFile { path: full.display().to_string() });
            }
            Err(source) => return Err(StorageError::from_io(Operation::Read, &full, source)),
        };
        let meta = file.metadata().map_err(|source| StorageError::from_io(Operation::Read, &full, source))?;
        if !meta.is_file() {
            return Err(StorageError::NotAFile { path: full.display().to_string() });
        }
        Ok((file, meta, full))
    }

    /// Creates a new temporary file for the target `name` in `directory` and fills it.
    fn write_temporary(
        &self,
        directory: &Path,
        name: &str,
        content: &[u8],
        durability: Durability,
    ) -> Result<PathBuf, StorageError> {
        let (mut file, path) = self.create_temporary(directory, name)?;
        let filled = file
            .set_permissions(Permissions::from_mode(FILE_MODE))
            .and_then(|()| file.write_all(content))
            .and_then(|()| if durability == Durability::Durable { file.sync_all() } else { Ok(()) });
        if filled.is_ok() && durability == Durability::Cached && EARLY_WRITE_BYTES <= content.len() {
            start_writing(&file);
        }
        // A network file system may tell only now that there was no space.
        let closed = nix::unistd::close(file).map_err(io::Error::from);
        match filled.and(closed) {
            Ok(()) => Ok(path),
            Err(source) => {
                let _ = fs::remove_file(&path);
                Err(StorageError::from_io(Operation::WriteAtomic, &path, source))
            }
        }
    }

    fn create_temporary(&self, directory: &Path, name: &str) -> Result<(File, PathBuf), StorageError> {
        let mut attempt = 1;
        loop {
            let path = directory.join(random_temporary(name, &*self.randomness));
            match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists && attempt < TEMPORARY_NAME_ATTEMPTS => {
                    attempt += 1;
                }
                Err(source) => return Err(StorageError::from_io(Operation::WriteAtomic, &path, source)),
            }
        }
    }
}

impl std::fmt::Debug for LocalStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStorage").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Lets the system begin to write a file to the disk, without waiting for it. A matter of speed only.
///
/// The advice that the content is not needed in memory any more does that: dirty pages are handed to the disk.
fn start_writing(file: &File) {
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn kind_of(file_type: fs::FileType) -> EntryKind {
    if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_dir() {
        EntryKind::Directory
    } else if file_type.is_symlink() {
        EntryKind::Link
    } else {
        EntryKind::Other
    }
}

fn stat_of(meta: &fs::Metadata) -> Stat {
    Stat {
        kind: kind_of(meta.file_type()),
        size_bytes: meta.len(),
        mode: meta.mode() & 0o777,
        inode: meta.ino(),
        accessed: FileTime { seconds: meta.atime(), nanoseconds: meta.atime_nsec() },
        modified: FileTime { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() },
    }
}

impl Storage for LocalStorage {
    fn read(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let (file, meta, full) = self.open_file(path)?;
        let too_large = || StorageError::TooLarge { path: full.display().to_string(), max_bytes };
        if max_bytes < meta.len() {
            return Err(too_large());
        }
        let mut content = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1));
        // One byte more than allowed shows a file that grew meanwhile.
        file.take(max_bytes.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|source| StorageError::from_io(Operation::Read, &full, source))?;
        if max_bytes < content.len() as u64 {
            return Err(too_large());
        }
        Ok(content.into())
    }

    fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<Bytes, StorageError> {
        let (file, _, full) = self.open_file(path)?;
        let mut content = Vec::new();
        file.take(max_bytes)
            .read_to_end(&mut content)
            .map_err(|source| StorageError::from_io(Operation::Read, &full, source))?;
        Ok(content.into())
    }

    fn open_reader(&self, path: &StorePath) -> Result<Box<dyn FileReader>, StorageError> {
        let (file, _, path) = self.open_file(path)?;
        Ok(Box::new(LocalReader { file, path }))
    }

    fn stat(&self, path: &StorePath) -> Result<Stat, StorageError> {
        let full = self.resolve(Operation::Stat, path)?;
        let meta = if path.is_root() { fs::metadata(&full) } else { fs::symlink_metadata(&full) };
        let meta = meta.map_err(|source| StorageError::from_io(Operation::Stat, &full, source))?;
        Ok(stat_of(&meta))
    }

    fn list_stats(&self, path: &StorePath) -> Result<Vec<(String, Stat)>, StorageError> {
        let full = self.resolve_dir(Operation::List, path)?;
        let failed = |source| StorageError::from_io(Operation::List, &full, source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Relative to the open directory, and of a link itself.
            match entry.metadata() {
                Ok(meta) => found.push((name, stat_of(&meta))),
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed(source)),
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn list(&self, path: &StorePath) -> Result<Vec<Entry>, StorageError> {
        Ok(self.list_all(path)?.entries)
    }

    fn list_all(&self, path: &StorePath) -> Result<Listing, StorageError> {
        let full = self.resolve_dir(Operation::List, path)?;
        let failed = |source| StorageError::from_io(Operation::List, &full, source);
        let (mut entries, mut foreign) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&full).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    let kind = entry.file_type().map_or(EntryKind::Other, kind_of);
                    foreign.push(Entry { name: name.to_string_lossy().into_owned(), kind });
                    continue;
                }
            };
            match entry.file_type() {
                Ok(file_type) => entries.push(Entry { name, kind: kind_of(file_type) }),
                // Gone between the two calls.
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed(source)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Listing { entries, foreign })
    }

    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), StorageError> {
        let target = self.resolve(Operation::WriteAtomic, path)?;
        let (Some(name), Some(parent)) = (path.file_name(), target.parent()) else {
            return Err(StorageError::NotAFile { path: target.display().to_string() });
        };
        let directory = match staging {
            Staging::Beside => parent.to_owned(),
            Staging::In(directory) => self.resolve_dir(Operation::WriteAtomic, directory)?,
        };
        let temporary = self.write_temporary(&directory, name, content, durability)?;
        if let Err(source) = fs::rename(&temporary, &target) {
            let _ = fs::remove_file(&temporary);
            return Err(StorageError::from_io(Operation::WriteAtomic, &target, source));
        }
        if durability == Durability::Durable {
            sync_directory_of(&target).map_err(|source| StorageError::from_io(Operation::SyncFile, &target, source))?;
        }
        Ok(())
    }

    fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), StorageError> {
        let full = self.resolve(Operation::CreateExclusive, path)?;
        let failed = |source| StorageError::from_io(Operation::CreateExclusive, &full, source);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&full).map_err(failed)?;
        let filled = file.set_permissions(Permissions::from_mode(FILE_MODE)).and_then(|()| file.write_all(content));
        if let Err(source) = filled {
            let _ = fs::remove_file(&full);
            return Err(failed(source));
        }
        Ok(())
    }

    fn create_working(&self, path: &StorePath) -> Result<Box<dyn WorkingFile>, StorageError> {
        let full = self.resolve(Operation::CreateWorking, path)?;
        let failed = |source| StorageError::from_io(Operation::CreateWorking, &full, source);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(FILE_MODE).open(&full).map_err(failed)?;
        if let Err(source) = file.set_permissions(Permissions::from_mode(FILE_MODE)) {
            let _ = fs::remove_file(&full);
            return Err(failed(source));
        }
        Ok(Box::new(LocalWorkingFile { file, path: full }))
    }

    fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), StorageError> {
        let full = self.resolve(Operation::CreateDir, path)?;
        let failed = |source| StorageError::from_io(Operation::CreateDir, &full, source);
        DirBuilder::new().mode(mode).create(&full).map_err(failed)?;
        let made = fs::symlink_metadata(&full).map_err(failed)?.mode() & 0o777;
        if made != mode {
            // The umask took bits away.
            fs::set_permissions(&full, Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok(())
    }

    fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), StorageError> {
        let source_path = self.resolve(Operation::Rename, from)?;
        let target = self.resolve(Operation::Rename, to)?;
        fs::rename(&source_path, &target)
            .map_err(|source| StorageError::from_io(Operation::Rename, &source_path, source))
    }

    fn remove_file(&self, path: &StorePath) -> Result<(), StorageError> {
        let full = self.resolve(Operation::RemoveFile, path)?;
        fs::remove_file(&full).map_err(|source| StorageError::from_io(Operation::RemoveFile, &full, source))
    }

    fn remove_dir(&self, path: &StorePath) -> Result<(), StorageError> {
        let full = self.resolve_dir(Operation::RemoveDir, path)?;
        fs::remove_dir(&full).map_err(|source| StorageError::from_io(Operation::RemoveDir, &full, source))
    }

    fn remove_tree(&self, path: &StorePath) -> Result<(), StorageError> {
        let full = self.resolve_dir(Operation::RemoveTree, path)?;
        fs::remove_dir_all(&full).map_err(|source| StorageError::from_io(Operation::RemoveTree, &full, source))
    }

    fn touch_atime(&self, path: &StorePath) -> Result<(), StorageError> {
        let full = self.resolve(Operation::Touch, path)?;
        utimensat(AT_FDCWD, &full, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT, UtimensatFlags::NoFollowSymlink)
            .map_err(|errno| StorageError::from_io(Operation::Touch, &full, errno.into()))
    }

    fn folders(&self, directory: &StorePath) -> Result<Box<dyn Folders + '_>, StorageError> {
        Ok(Box::new(LocalFolders::open(self, directory)?))
    }

    fn sync_file(&self, path: &StorePath) -> Result<(), StorageError> {
        let (file, _, full) = self.open_file(path)?;
        file.sync_all()
            .and_then(|()| sync_directory_of(&full))
            .map_err(|source| StorageError::from_io(Operation::SyncFile, &full, source))
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        let failed = |source| StorageError::from_io(Operation::SyncAll, &self.root, source);
        let directory = File::open(&self.root).map_err(failed)?;
        nix::unistd::syncfs(&directory).map_err(|errno| failed(errno.into()))
    }

    fn record_lock(&self, path: &StorePath) -> Result<Box<dyn RecordLock>, StorageError> {
        Ok(Box::new(LocalRecordLock::open(&self.resolve(Operation::Lock, path)?)?))
    }

    fn try_hold_file(&self, path: &StorePath) -> Result<Option<Box<dyn FileHold>>, StorageError> {
        let full = self.resolve(Operation::Lock, path)?;
        let failed = |source| StorageError::from_io(Operation::Lock, &full, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&full)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let held = file.metadata().map_err(failed)?.ino();
        match fs::symlink_metadata(&full) {
            Ok(meta) if meta.ino() == held => Ok(Some(Box::new(LocalHold(file)))),
            Ok(_) => Ok(None),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    fn local_root(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

/// A locked file; the lock ends when the file is closed.
#[derive(Debug)]
struct LocalHold(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl FileHold for LocalHold {}

#[derive(Debug)]
struct LocalReader {
    file: File,
    /// Where it was opened, for messages.
    path: PathBuf,
}

impl FileReader for LocalReader {
    fn next(&mut self, max_bytes: usize) -> Result<Bytes, StorageError> {
        let mut content = Vec::new();
        let read = (&self.file).take(max_bytes as u64).read_to_end(&mut content);
        read.map_err(|source| StorageError::from_io(Operation::Read, &self.path, source))?;
        Ok(content.into())
    }
}

#[derive(Debug)]
struct LocalWorkingFile {
    file: File,
    /// Where it was created, for messages.
    path: PathBuf,
}

impl LocalWorkingFile {
    fn failed(&self, operation: Operation, source: io::Error) -> StorageError {
        StorageError::from_io(operation, &self.path, source)
    }
}

impl WorkingFile for LocalWorkingFile {
    fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(content, offset).map_err(|source| self.failed(Operation::WriteAt, source))
    }

    fn read_at(&self, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let mut content = vec![0; max_bytes];
        let mut filled = 0;
        while filled < max_bytes {
            match self.file.read_at(&mut content[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(Operation::Read, source)),
            }
        }
        content.truncate(filled);
        Ok(content)
    }

    fn set_length(&self, length_bytes: u64) -> Result<(), StorageError> {
        self.file.set_len(length_bytes).map_err(|source| self.failed(Operation::WriteAt, source))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::suite::SeededRandomness;

    fn storage(directory: &tempfile::TempDir) -> LocalStorage {
        LocalStorage::new(directory.path(), Arc::new(SeededRandomness::new(1)))
    }

    fn path(text: &str) -> StorePath {
        text.parse().unwrap()
    }

    #[test]
    fn the_local_file_system_passes_the_suite() {
        crate::suite::run(&|| {
            let directory = tempfile::tempdir().unwrap();
            let storage = storage(&directory);
            (Box::new(storage), Box::new(directory))
        });
    }

    #[test]
    fn links_are_never_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        let directory = tempfile::tempdir().unwrap();
        symlink(outside.path(), directory.path().join("link")).unwrap();
        symlink(outside.path().join("secret"), directory.path().join("file")).unwrap();
        let storage = storage(&directory);
        assert!(matches!(storage.read(&path("link/secret"), 10), Err(StorageError::NotADirectory { .. })));
        assert!(matches!(storage.read(&path("file"), 10), Err(StorageError::NotAFile { .. })));
        assert!(matches!(storage.list(&path("link")), Err(StorageError::NotADirectory { .. })));
        assert!(matches!(storage.remove_tree(&path("link")), Err(StorageError::NotADirectory { .. })));
        assert!(matches!(storage.create_dirs(&path("link/a/b")), Err(StorageError::NotADirectory { .. })));
        let accessed = || fs::metadata(outside.path().join("secret")).unwrap().accessed().unwrap();
        let before = accessed();
        let folders = storage.folders(&StorePath::root()).unwrap();
        assert!(matches!(folders.touch_atime("link", "secret"), Err(StorageError::NotADirectory { .. })));
        assert!(matches!(folders.list_stats("link"), Err(StorageError::NotADirectory { .. })));
        fs::create_dir(directory.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), directory.path().join("folder/file")).unwrap();
        storage.folders(&StorePath::root()).unwrap().touch_atime("folder", "file").unwrap();
        assert_eq!(accessed(), before);
        assert_eq!(storage.stat(&path("file")).unwrap().kind, EntryKind::Link);
        storage.write_atomic(&path("file"), b"new", Durability::Cached, Staging::Beside).unwrap();
        assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"x");
        assert_eq!(storage.read(&path("file"), 10).unwrap(), "new");
    }

    #[test]
    fn names_that_are_no_text_are_told_apart_from_the_others() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"))).unwrap();
        fs::write(directory.path().join("plain"), b"x").unwrap();
        let storage = storage(&directory);
        let names: Vec<String> =
            storage.list(&StorePath::root()).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["plain"]);
        let expected = Entry { name: "caf\u{fffd}".to_owned(), kind: EntryKind::Directory };
        assert_eq!(storage.list_all(&StorePath::root()).unwrap().foreign, [expected]);
    }

    #[test]
    fn modes_do_not_depend_on_the_umask() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage(&directory);
        storage.create_dir(&path("d"), 0o750).unwrap();
        storage.write_atomic(&path("d/f"), b"", Durability::Durable, Staging::Beside).unwrap();
        assert_eq!(storage.stat(&path("d")).unwrap().mode, 0o750);
        assert_eq!(storage.stat(&path("d/f")).unwrap().mode, 0o644);
    }

    #[test]
    fn a_failed_rename_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage(&directory);
        storage.create_dirs(&path("d/target/full")).unwrap();
        assert!(storage.write_atomic(&path("d/target"), b"x", Durability::Cached, Staging::Beside).is_err());
        assert_eq!(storage.list(&path("d")).unwrap().len(), 1);
    }

    #[test]
    fn reading_a_pipe_is_an_error_and_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(storage(&directory).read(&path("pipe"), 10), Err(StorageError::NotAFile { .. })));
    }
}
