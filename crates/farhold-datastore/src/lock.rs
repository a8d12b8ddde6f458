//! Locks on groups, snapshots and manifests, as all programs on this host that use the store see them.
//!
//! A lock is `flock` on an empty file in a directory outside the store. It belongs to the open file: a second attempt
//! from the same process conflicts as well. Order: group, then snapshot, then manifest.
//!
//! Source: `docs/spec/datastore-format.md` 14.2.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farhold_types::{Group, Namespace, Snapshot};
use thiserror::Error;

use crate::lock_name;

/// Mode of lock files. Source: `docs/spec/datastore-format.md` 3.
const LOCK_FILE_MODE: u32 = 0o660;
/// Mode of directories of lock files. Source: as above, 14.2.
const LOCK_DIRECTORY_MODE: u32 = 0o755;
/// Pause between two attempts at a manifest lock.
const MANIFEST_PAUSE: Duration = Duration::from_millis(20);
/// Attempts at a manifest lock: together 5 s, the documented wait.
const MANIFEST_ATTEMPTS: u32 = 250;

/// Why a lock was not obtained.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody holds it.
    #[error("{what} is locked by another operation")]
    Busy {
        /// What is locked.
        what: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("lock file '{path}' cannot be used", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process lock of the store cannot be used.
    #[error(transparent)]
    Storage(#[from] farhold_storage::StorageError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Exclusive,
    Shared,
}

/// An open and locked file; closing it gives the lock back.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
    path: PathBuf,
}

impl FileLock {
    /// Removes the lock file while it is held, because the object it stands for is gone.
    pub(crate) fn remove_file(&self) {
        // A file that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// The directory of one store's locks.
#[derive(Debug)]
pub(crate) struct LockDirectory(PathBuf);

impl LockDirectory {
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn try_lock(
        &self,
        relative: &Path,
        sharing: Sharing,
        what: impl Fn() -> String,
    ) -> Result<FileLock, LockError> {
        let path = self.0.join(relative);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = open_lock_file(&path).map_err(failed)?;
        let outcome = match sharing {
            Sharing::Exclusive => file.try_lock(),
            Sharing::Shared => file.try_lock_shared(),
        };
        match outcome {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Busy { what: what() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Another file at this path means that the locked one was removed together with its object.
        let held = file.metadata().map_err(failed)?.ino();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.ino() == held => Ok(FileLock { _file: file, path }),
            Ok(_) => Err(LockError::Busy { what: what() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Err(LockError::Busy { what: what() }),
            Err(source) => Err(failed(source)),
        }
    }

    fn lock_waiting(&self, relative: &Path, what: impl Fn() -> String) -> Result<FileLock, LockError> {
        let mut attempt = 1;
        loop {
            match self.try_lock(relative, Sharing::Exclusive, &what) {
                Err(LockError::Busy { .. }) if attempt < MANIFEST_ATTEMPTS => {
                    attempt += 1;
                    std::thread::sleep(MANIFEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn group(&self, namespace: &Namespace, group: &Group) -> Result<GroupLock, LockError> {
        let what = || format!("group '{group}' in {}", namespace.log_name());
        let file = self.try_lock(&lock_name::group(namespace, group), Sharing::Exclusive, what)?;
        let (namespace, group) = (namespace.clone(), group.clone());
        Ok(GroupLock { inner: Arc::new(HeldGroup { namespace, group, file, removed: AtomicBool::new(false) }) })
    }

    pub(crate) fn snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        sharing: Sharing,
    ) -> Result<FileLock, LockError> {
        let what = || format!("snapshot '{snapshot}' in {}", namespace.log_name());
        self.try_lock(&lock_name::snapshot(namespace, snapshot), sharing, what)
    }

    pub(crate) fn manifest(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<ManifestLock, LockError> {
        let what = || format!("manifest of snapshot '{snapshot}' in {}", namespace.log_name());
        Ok(ManifestLock { file: self.lock_waiting(&lock_name::manifest(namespace, snapshot), what)? })
    }
}

/// Opens a file to be locked, for reading and writing; makes it and its directory if they are missing. A link is refused.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(LOCK_DIRECTORY_MODE).create(parent)?;
    }
    match options.clone().create_new(true).mode(LOCK_FILE_MODE).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(LOCK_FILE_MODE))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

#[derive(Debug)]
struct HeldGroup {
    namespace: Namespace,
    group: Group,
    file: FileLock,
    removed: AtomicBool,
}

/// The exclusive lock on a group. Clones share it; it ends with the last clone.
#[derive(Debug, Clone)]
pub struct GroupLock {
    inner: Arc<HeldGroup>,
}

impl GroupLock {
    /// Returns the group's namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// Returns the group.
    pub fn group(&self) -> &Group {
        &self.inner.group
    }

    /// Returns whether the group was removed under this lock; the lock is worth nothing then.
    pub fn is_removed(&self) -> bool {
        self.inner.removed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_removed(&self) {
        self.inner.removed.store(true, Ordering::Release);
        self.inner.file.remove_file();
    }
}

/// The exclusive lock on a snapshot: nobody reads, writes, removes or protects it meanwhile.
#[derive(Debug)]
pub struct SnapshotLock {
    pub(crate) file: FileLock,
}

/// A shared lock on a snapshot: it can be read, but not removed.
#[derive(Debug)]
pub struct SharedSnapshotLock {
    #[expect(dead_code, reason = "closing it gives the lock back")]
    pub(crate) file: FileLock,
}

/// The exclusive lock on a manifest.
#[derive(Debug)]
pub struct ManifestLock {
    pub(crate) file: FileLock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_locks_agree_and_exclusive_ones_exclude_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let locks = LockDirectory::new(directory.path().join("store"));
        let snapshot: Snapshot = "vm/100/2022-05-02T08:11:33Z".parse().unwrap();
        let root = Namespace::root();
        let first = locks.snapshot(&root, &snapshot, Sharing::Shared).unwrap();
        let second = locks.snapshot(&root, &snapshot, Sharing::Shared).unwrap();
        assert!(matches!(locks.snapshot(&root, &snapshot, Sharing::Exclusive), Err(LockError::Busy { .. })));
        drop((first, second));
        let _exclusive = locks.snapshot(&root, &snapshot, Sharing::Exclusive).unwrap();
        assert!(locks.snapshot(&root, &snapshot, Sharing::Shared).is_err());
        let path = directory.path().join("store").join(lock_name::snapshot(&root, &snapshot));
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o660);
    }

    #[test]
    fn a_group_lock_ends_with_its_last_clone() {
        let directory = tempfile::tempdir().unwrap();
        let locks = LockDirectory::new(directory.path().to_owned());
        let (root, group): (Namespace, Group) = (Namespace::root(), "vm/100".parse().unwrap());
        let lock = locks.group(&root, &group).unwrap();
        let clone = lock.clone();
        drop(lock);
        assert!(locks.group(&root, &group).is_err());
        clone.mark_removed();
        assert!(clone.is_removed());
        // The file is gone, so the next one locks a new file.
        assert!(locks.group(&root, &group).is_ok());
    }

    #[test]
    fn a_manifest_lock_waits_for_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let locks = LockDirectory::new(directory.path().to_owned());
        let snapshot: Snapshot = "vm/100/2022-05-02T08:11:33Z".parse().unwrap();
        let held = locks.manifest(&Namespace::root(), &snapshot).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| locks.manifest(&Namespace::root(), &snapshot).is_ok());
            std::thread::sleep(MANIFEST_PAUSE * 2);
            drop(held);
            assert!(waiting.join().unwrap());
        });
    }
}
