//! The directories in one directory of the local file system, as a collection goes through them.
//!
//! The directory stays open, so that the system looks up two names for each entry and not a whole path, and its entries
//! are listed once, so that nobody has to look whether each is a real directory. One that was made later, or is none, is
//! handled in the ordinary way.

use std::collections::HashSet;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::RawDir;

use crate::backend::{EntryKind, FileTime, Folders, Stat, Storage as _, entry};
use crate::error::{Operation, StorageError};
use crate::local::LocalStorage;
use crate::path::StorePath;

pub(crate) struct LocalFolders<'a> {
    storage: &'a LocalStorage,
    directory: StorePath,
    open: OwnedFd,
    /// Names of the real directories in it.
    known: Names,
}

/// Longest path below the directory that is handled here, in bytes; those of chunks have 69.
const PATH_BYTES: usize = 128;
/// Memory for the entries that the system gives at once, in bytes: some hundred chunks, on the stack of whoever lists.
const LISTED_BYTES: usize = 32 << 10;

impl<'a> LocalFolders<'a> {
    pub(crate) fn open(storage: &'a LocalStorage, directory: &StorePath) -> Result<Self, StorageError> {
        let full = storage.resolve_dir(Operation::List, directory)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = open(&full, flags, Mode::empty())
            .map_err(|errno| StorageError::from_io(Operation::List, &full, errno.into()))?;
        let failed = |errno: Errno| StorageError::from_io(Operation::List, &full, errno.into());
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listed = Dir::openat(&open, ".", flags, Mode::empty()).map_err(failed)?;
        let mut known = Names::default();
        for entry in listed.iter() {
            let entry = entry.map_err(failed)?;
            if entry.file_type() == Some(Type::Directory)
                && let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                known.insert(name);
            }
        }
        Ok(Self { storage, directory: directory.clone(), open, known })
    }

    /// Does something with an entry of a folder, given its path below the directory; in the ordinary way, given its path below
    /// the root, if the folder is not known or the name is none.
    fn with_entry<T>(
        &self,
        (operation, folder, name): (Operation, &str, &str),
        here: impl FnOnce(&CStr) -> nix::Result<T>,
        ordinary: impl FnOnce(&StorePath) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut path = [0; PATH_BYTES];
        let length = folder.len() + name.len() + 1;
        let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        if PATH_BYTES <= length || !is_name || !self.known.contains(folder) {
            return ordinary(&entry(&self.directory, &[folder, name])?);
        }
        path[..folder.len()].copy_from_slice(folder.as_bytes());
        path[folder.len()] = b'/';
        path[folder.len() + 1..length].copy_from_slice(name.as_bytes());
        // The rest is zeros.
        let path = CStr::from_bytes_with_nul(&path[..=length]).unwrap_or_default();
        here(path).map_err(|errno| self.failed(operation, folder, name, errno))
    }

    fn failed(&self, operation: Operation, folder: &str, name: &str, errno: Errno) -> StorageError {
        let shown = self.storage.local_root().map(|root| root.join(self.directory.as_str()).join(folder).join(name));
        StorageError::from_io(operation, &shown.unwrap_or_default(), errno.into())
    }
}

/// Names of directories. Those of four hexadecimal digits, of which there are many and which are looked for a million times,
/// are one bit each.
struct Names {
    numbers: Box<[u64; 1024]>,
    others: HashSet<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self { numbers: Box::new([0; 1024]), others: HashSet::new() }
    }
}

impl Names {
    /// Returns the number that a name is, as it is written here: no two names are the same number.
    fn number(name: &str) -> Option<u16> {
        let digits: [u8; 4] = name.as_bytes().try_into().ok()?;
        digits.into_iter().try_fold(0, |number, digit| match digit {
            b'0'..=b'9' => Some(number << 4 | u16::from(digit - b'0')),
            b'a'..=b'f' => Some(number << 4 | u16::from(digit - b'a' + 10)),
            _ => None,
        })
    }

    fn insert(&mut self, name: &str) {
        match Self::number(name) {
            Some(number) => self.numbers[usize::from(number >> 6)] |= 1 << (number & 63),
            None => {
                self.others.insert(name.to_owned());
            }
        }
    }

    fn contains(&self, name: &str) -> bool {
        match Self::number(name) {
            Some(number) => self.numbers[usize::from(number >> 6)] >> (number & 63) & 1 == 1,
            None => self.others.contains(name),
        }
    }
}

impl Folders for LocalFolders<'_> {
    fn touch_atime(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        let (now, omit) = (&TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT);
        let touch = |path: &CStr| utimensat(&self.open, path, now, omit, UtimensatFlags::NoFollowSymlink);
        self.with_entry((Operation::Touch, folder, name), touch, |path| self.storage.touch_atime(path))
    }

    fn stat(&self, folder: &str, name: &str) -> Result<Stat, StorageError> {
        let stat = |path: &CStr| Ok(stat_of(&fstatat(&self.open, path, AtFlags::AT_SYMLINK_NOFOLLOW)?));
        self.with_entry((Operation::Stat, folder, name), stat, |path| self.storage.stat(path))
    }

    fn remove_file(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        let remove = |path: &CStr| unlinkat(&self.open, path, UnlinkatFlags::NoRemoveDir);
        self.with_entry((Operation::RemoveFile, folder, name), remove, |path| self.storage.remove_file(path))
    }

    fn list_stats(&self, folder: &str) -> Result<Vec<(String, Stat)>, StorageError> {
        if !self.known.contains(folder) {
            return self.storage.list_stats(&entry(&self.directory, &[folder])?);
        }
        let failed = |errno| self.failed(Operation::List, folder, "", errno);
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let listed = openat(&self.open, folder, flags, Mode::empty()).map_err(failed)?;
        let mut found = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); LISTED_BYTES];
        let mut entries = RawDir::new(&listed, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| failed(Errno::from_raw(errno.raw_os_error())))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match fstatat(&listed, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat_of(&stat),
                // Gone between the two calls.
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            if let Ok(name) = name.to_str() {
                found.push((name.to_owned(), stat));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

fn stat_of(stat: &FileStat) -> Stat {
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => EntryKind::File,
        libc::S_IFDIR => EntryKind::Directory,
        libc::S_IFLNK => EntryKind::Link,
        _ => EntryKind::Other,
    };
    Stat {
        kind,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o777,
        inode: stat.st_ino,
        accessed: FileTime { seconds: stat.st_atime, nanoseconds: stat.st_atime_nsec },
        modified: FileTime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_whether_they_are_numbers_or_not() {
        let all = ["0000", "003f", "0040", "ffff", "FFFF", "fff", "00000", "00g0", "-001", "", "ä00", "bad chunks"];
        let mut names = Names::default();
        for (count, name) in all.iter().enumerate() {
            let known: Vec<_> = all.iter().filter(|name| names.contains(name)).collect();
            assert_eq!(known, all.iter().take(count).collect::<Vec<_>>());
            names.insert(name);
        }
    }
}
