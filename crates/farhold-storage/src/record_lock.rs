//! Record locks on a file of the local file system.
//!
//! Taken as open-file-description locks: they exclude the traditional POSIX record locks of other programs exactly as
//! those exclude each other, but they end when this handle is closed and not when any descriptor of the process on the
//! file is. Where the kernel does not know them, the traditional ones are used.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::backend::{FILE_MODE, RecordLock};
use crate::error::{Operation, StorageError};

/// A record lock on the whole of one file.
#[derive(Debug)]
pub(crate) struct LocalRecordLock {
    file: File,
    path: PathBuf,
}

impl LocalRecordLock {
    /// Opens the file for reading and writing; creates it with mode 0644 if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::from_io(Operation::Lock, path, source);
        let existed = path.symlink_metadata().is_ok();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(failed)?;
        if !existed {
            file.set_permissions(std::fs::Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    fn set(&self, kind: libc::c_int) -> Result<bool, StorageError> {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0, // to the end of the file, wherever that is
            l_pid: 0,
        };
        let outcome = match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Err(Errno::EINVAL) => fcntl(&self.file, FcntlArg::F_SETLK(&lock)),
            outcome => outcome,
        };
        match outcome {
            Ok(_) => Ok(true),
            Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(StorageError::from_io(Operation::Lock, &self.path, errno.into())),
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
