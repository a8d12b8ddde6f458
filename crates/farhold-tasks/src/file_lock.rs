//! Exclusive and shared `flock` with a bounded wait.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// Pause between two tries for a lock. Short enough to go unnoticed, long enough to cost nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How to hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A held lock; dropping it releases it. The file stays.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

impl FileLock {
    /// Returns whether `path` still names the file that is locked.
    pub(crate) fn is_of(&self, path: &Path) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (self.file.metadata(), std::fs::metadata(path)) {
            (Ok(held), Ok(found)) => identity(held) == identity(found),
            _ => false,
        }
    }
}

/// Takes the lock on `path`, making the file with mode 0660 if it is missing, and waits at most `wait` for it.
///
/// Returns `None` if another holder kept it for that long. Blocking.
pub(crate) fn lock(path: &Path, kind: LockKind, wait: Duration) -> io::Result<Option<FileLock>> {
    let mut file = open_shared_file(path)?;
    // Counting pauses instead of reading a clock: the wait is a bound, not a promise.
    let tries = wait.as_millis() / RETRY_PAUSE.as_millis();
    for attempt in 0..=tries {
        let held = match kind {
            LockKind::Shared => file.try_lock_shared(),
            LockKind::Exclusive => file.try_lock(),
        };
        match held {
            Ok(()) => {
                let held = FileLock { file };
                if held.is_of(path) {
                    return Ok(Some(held));
                }
                // The file was removed while we waited: a lock on it keeps nobody out.
                file = open_shared_file(path)?;
            }
            Err(TryLockError::WouldBlock) if attempt < tries => std::thread::sleep(RETRY_PAUSE),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn open_shared_file(path: &Path) -> io::Result<File> {
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o660).open(path) {
        Ok(file) => {
            // The umask must not take the group's rights away.
            file.set_permissions(Permissions::from_mode(0o660))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(path)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_keeps_everybody_out_and_shared_ones_only_writers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lck");
        let short = Duration::from_millis(20);
        let first = lock(&path, LockKind::Exclusive, short).unwrap().unwrap();
        assert!(lock(&path, LockKind::Shared, short).unwrap().is_none());
        drop(first);
        let _reader = lock(&path, LockKind::Shared, short).unwrap().unwrap();
        assert!(lock(&path, LockKind::Shared, short).unwrap().is_some());
        assert!(lock(&path, LockKind::Exclusive, short).unwrap().is_none());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    #[test]
    fn a_lock_on_a_removed_file_is_not_taken_for_one_on_the_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lck");
        let first = lock(&path, LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
        assert!(first.is_of(&path));
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || lock(&path, LockKind::Exclusive, Duration::from_secs(10)).unwrap().unwrap())
        };
        std::fs::remove_file(&path).unwrap();
        assert!(!first.is_of(&path));
        drop(first);
        // Whether it opened the file before or after it was removed, it holds the one that is there.
        let second = waiting.join().unwrap();
        assert!(second.is_of(&path));
        assert!(lock(&path, LockKind::Exclusive, Duration::ZERO).unwrap().is_none());
    }
}
