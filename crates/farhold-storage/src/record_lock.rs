//! Record locks on a file of the local file system.
//!
//! Taken as open-file-description locks: they exclude the traditional POSIX record locks of other programs exactly as
//! those exclude each other, but they end when this handle is closed and not when any descriptor of the process on the
//! file is. Where the kernel does not know them, the traditional ones are used.
//!
//! A lock on a file that is not under its name any more excludes nobody. So whoever takes a lock looks for that, and opens
//! the file anew.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::backend::{FILE_MODE, RecordLock};
use crate::error::{Operation, StorageError};

/// A record lock on the whole of one file.
#[derive(Debug)]
pub(crate) struct LocalRecordLock {
    open: Mutex<Open>,
    path: PathBuf,
}

#[derive(Debug)]
struct Open {
    file: File,
    is_held: bool,
}

/// Opens the file for reading and writing; creates it with mode 0644 if it is missing.
fn open_file(path: &Path) -> io::Result<File> {
    let existed = path.symlink_metadata().is_ok();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    if !existed {
        file.set_permissions(std::fs::Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

impl LocalRecordLock {
    /// Opens the file for reading and writing; creates it with mode 0644 if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = open_file(path).map_err(|source| StorageError::from_io(Operation::Lock, path, source))?;
        Ok(Self { open: Mutex::new(Open { file, is_held: false }), path: path.to_owned() })
    }

    /// Returns whether the open file is the one that others find under its name.
    fn is_in_place(&self, file: &File) -> io::Result<bool> {
        let held = file.metadata()?;
        match self.path.symlink_metadata() {
            Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that the open file is the one that others lock. It may have been removed or replaced since it was opened,
    /// or another file system was mounted in its place.
    fn check_place(&self, open: &mut Open, kind: libc::c_int) -> io::Result<()> {
        if self.is_in_place(&open.file)? {
            return Ok(());
        }
        if !open.is_held {
            open.file = open_file(&self.path)?;
        } else if kind == libc::F_WRLCK {
            return Err(io::Error::other("the lock file was removed or replaced while it was in use"));
        }
        Ok(())
    }

    fn set(&self, kind: libc::c_int) -> Result<bool, StorageError> {
        let failed = |source| StorageError::from_io(Operation::Lock, &self.path, source);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if kind != libc::F_UNLCK {
            self.check_place(&mut open, kind).map_err(failed)?;
        }
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0, // to the end of the file, wherever that is
            l_pid: 0,
        };
        let outcome = match fcntl(&open.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Err(Errno::EINVAL) => fcntl(&open.file, FcntlArg::F_SETLK(&lock)),
            outcome => outcome,
        };
        match outcome {
            Ok(_) => {
                open.is_held = kind != libc::F_UNLCK;
                Ok(true)
            }
            Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

impl RecordLock for LocalRecordLock {
    fn try_shared(&self) -> Result<bool, StorageError> {
        self.set(libc::F_RDLCK)
    }

    fn try_exclusive(&self) -> Result<bool, StorageError> {
        self.set(libc::F_WRLCK)
    }

    fn unlock(&self) -> Result<(), StorageError> {
        self.set(libc::F_UNLCK).map(|_| ())
    }
}
