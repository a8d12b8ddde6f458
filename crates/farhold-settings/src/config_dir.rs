//! The configuration directory: locks, reading within a bound, atomic replacement.
//!
//! Readers take no lock, since a file is only ever replaced as a whole. Writers hold the file's lock from before they
//! read until after the rename.
//!
//! Source: `docs/spec/config-and-access.md` 1 and 2.10.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farhold_format::section_config::MAX_CONFIG_BYTES;
use farhold_types::{Digest, Randomness};
use sha2::Digest as _;

use crate::error::SettingsError;

/// How long a writer waits for a lock. Source: `docs/spec/config-and-access.md` 2.10.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Pause between two attempts to get a lock; short against a save, long against an attempt.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Mode of the directory.
const DIR_MODE: u32 = 0o700;
/// Mode of lock files.
const LOCK_MODE: u32 = 0o660;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Mode 0640, owner root, group of the service.
    Shared,
    /// Mode 0600, owner and group root.
    Private,
    /// Mode 0640, owner and group of the service.
    Service,
}

impl Protection {
    /// Returns the mode bits.
    pub const fn mode(self) -> u32 {
        match self {
            Self::Shared | Self::Service => 0o640,
            Self::Private => 0o600,
        }
    }
}

/// User and group of the service, for servers that run as root and give files away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceOwner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The configuration directory; cheap to clone.
#[derive(Clone)]
pub struct ConfigDir {
    path: Arc<Path>,
    randomness: Arc<dyn Randomness>,
    owner: Option<ServiceOwner>,
    lock_wait: Duration,
}

/// A held lock; dropping it gives it free.
#[derive(Debug)]
pub struct ConfigLock {
    _file: File,
}

impl ConfigDir {
    /// Returns the directory at `path`. `randomness` makes the names of temporary files.
    pub fn new(path: impl Into<PathBuf>, randomness: Arc<dyn Randomness>) -> Self {
        Self { path: path.into().into(), randomness, owner: None, lock_wait: LOCK_WAIT }
    }

    /// Gives written files away as the reference product does; only root can.
    #[must_use]
    pub fn with_owner(self, owner: ServiceOwner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Waits for locks at most this long.
    #[must_use]
    pub fn with_lock_wait(self, lock_wait: Duration) -> Self {
        Self { lock_wait, ..self }
    }

    /// Makes the directory if it is missing, and checks that nobody but its owner can enter it.
    ///
    /// # Errors
    /// [`SettingsError::Unsafe`] for another mode than 0700, or another owner than the service if one was named; a
    /// server must not start then. [`SettingsError::Io`].
    ///
    /// Source: `docs/spec/config-and-access.md` 1.
    pub fn prepare(&self) -> Result<(), SettingsError> {
        let fail = |source| SettingsError::Io { file: self.path.display().to_string(), action: "prepare", source };
        match fs::DirBuilder::new().mode(DIR_MODE).create(&self.path) {
            Ok(()) => {
                // The process's mask may have taken bits away.
                fs::set_permissions(&self.path, fs::Permissions::from_mode(DIR_MODE)).map_err(fail)?;
                if let Some(owner) = self.owner {
                    std::os::unix::fs::chown(&self.path, Some(owner.uid), Some(owner.gid)).map_err(fail)?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fail(e)),
        }
        let found = fs::metadata(&self.path).map_err(fail)?;
        let unsafe_because =
            |reason: String| Err(SettingsError::Unsafe { directory: self.path.display().to_string(), reason });
        if found.mode() & 0o777 != DIR_MODE || !found.is_dir() {
            return unsafe_because(format!("it must be a directory of mode 0700, found {:04o}", found.mode() & 0o777));
        }
        match self.owner {
            Some(owner) if (found.uid(), found.gid()) != (owner.uid, owner.gid) => {
                unsafe_because(format!("it must belong to user {} and group {}", owner.uid, owner.gid))
            }
            _ => Ok(()),
        }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the source of randomness.
    pub fn randomness(&self) -> &dyn Randomness {
        &*self.randomness
    }

    /// Takes a lock exclusively.
    ///
    /// # Errors
    /// [`SettingsError::Busy`] if it does not get free in time; [`SettingsError::Io`].
    pub fn lock(&self, name: &str) -> Result<ConfigLock, SettingsError> {
        let fail = |source| SettingsError::Io { file: name.to_owned(), action: "lock", source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(LOCK_MODE)
            .open(self.path.join(name))
            .map_err(fail)?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(ConfigLock { _file: file }),
                Err(TryLockError::Error(source)) => return Err(fail(source)),
                Err(TryLockError::WouldBlock) if self.lock_wait <= waited => {
                    return Err(SettingsError::Busy { lock: name.to_owned() });
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(LOCK_PAUSE);
                    waited += LOCK_PAUSE;
                }
            }
        }
    }

    /// Returns the content of a file, or `None` if it does not exist.
    ///
    /// # Errors
    /// [`SettingsError::Io`], also for a file beyond the size bound.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, SettingsError> {
        let fail = |source| SettingsError::Io { file: name.to_owned(), action: "read", source };
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        if MAX_CONFIG_BYTES < bytes.len() {
            return Err(fail(io::Error::other(format!("larger than {MAX_CONFIG_BYTES} bytes"))));
        }
        Ok(Some(bytes))
    }

    /// Replaces a file as a whole, or makes it: temporary file, flush, rename. A failure leaves the old file.
    ///
    /// # Errors
    /// [`SettingsError::Io`].
    pub fn replace(&self, name: &str, bytes: &[u8], protection: Protection) -> Result<(), SettingsError> {
        let fail = |source| SettingsError::Io { file: name.to_owned(), action: "write", source };
        let (temporary, mut file) = self.create_temporary(name).map_err(fail)?;
        let written = file
            .set_permissions(fs::Permissions::from_mode(protection.mode()))
            .and_then(|()| self.give_away(&file, protection))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, self.path.join(name)));
        if let Err(e) = written {
            // The first error says more than one about the clean-up could.
            let _ = fs::remove_file(&temporary);
            return Err(fail(e));
        }
        // The rename is what counts, so it has to survive a crash too.
        self.sync_folder_of(name).map_err(fail)
    }

    /// Makes a folder in this directory if it is missing, and gives it mode and owner in any case.
    ///
    /// # Errors
    /// [`SettingsError::Io`].
    pub(crate) fn prepare_folder(&self, name: &str, mode: u32) -> Result<(), SettingsError> {
        let fail = |source| SettingsError::Io { file: name.to_owned(), action: "prepare", source };
        let path = self.path.join(name);
        match fs::DirBuilder::new().mode(mode).create(&path) {
            Ok(()) => File::open(&*self.path).and_then(|dir| dir.sync_all()).map_err(fail)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fail(e)),
        }
        let folder = File::open(&path).map_err(fail)?;
        folder.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
        self.give_away(&folder, Protection::Shared).map_err(fail)
    }

    /// Removes a file for good; a missing one is no error. An absolute `name` may lie elsewhere.
    ///
    /// # Errors
    /// [`SettingsError::Io`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), SettingsError> {
        let fail = |source| SettingsError::Io { file: name.to_owned(), action: "remove", source };
        match fs::remove_file(self.path.join(name)) {
            Ok(()) => self.sync_folder_of(name).map_err(fail),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(fail(e)),
        }
    }

    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        File::open(path.parent().unwrap_or(&self.path))?.sync_all()
    }

    fn create_temporary(&self, name: &str) -> io::Result<(PathBuf, File)> {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        /// Two equal names in a row mean a broken source of randomness; then it is better to stop.
        const ATTEMPTS: usize = 16;
        for _ in 0..ATTEMPTS {
            let mut random = [0; 6];
            self.randomness.fill(&mut random);
            let suffix: String =
                random.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect();
            let path = self.path.join(name).with_extension(format!("tmp_{suffix}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    fn give_away(&self, file: &File, protection: Protection) -> io::Result<()> {
        let Some(owner) = self.owner else {
            return Ok(());
        };
        let (uid, gid) = match protection {
            Protection::Shared => (0, owner.gid),
            Protection::Private => (0, 0),
            Protection::Service => (owner.uid, owner.gid),
        };
        std::os::unix::fs::fchown(file, Some(uid), Some(gid))
    }
}

/// Returns the digest of a file's content, SHA-256; a missing file counts as empty.
pub fn digest_of(bytes: Option<&[u8]>) -> Digest {
    Digest(sha2::Sha256::digest(bytes.unwrap_or_default()).into())
}
