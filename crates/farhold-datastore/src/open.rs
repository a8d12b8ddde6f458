//! Opening, creating and adopting stores. Source: `docs/spec/datastore-format.md` 3, 23.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farhold_storage::{Entry, EntryKind, LocalStorage, Storage, StorageError, StorePath};
use farhold_types::{Clock, DatastoreName, Randomness, SyncLevel};
use thiserror::Error;

use crate::access_time::AccessTimeError;
use crate::chunk::INSERTION_LOCKS;
use crate::layout::{self, CHUNK_DIRECTORY_MODE, CHUNK_FOLDERS};
use crate::lock::LockDirectory;
use crate::process_lock::ProcessLock;
use crate::staging::StagingArea;
use crate::store::{Datastore, Inner};

/// Mode of the store's own directory. Source: `docs/spec/datastore-format.md` 3.
const BASE_MODE: u32 = 0o755;

/// What an open store works with.
#[derive(Clone)]
pub struct OpenOptions {
    /// Name of the store; locks lie in a directory of this name.
    pub name: DatastoreName,
    /// Its files.
    pub storage: Arc<dyn Storage>,
    /// Directory of the locks of all stores, e.g. `/run/proxmox-backup/locks`. Made on demand.
    pub lock_directory: PathBuf,
    /// When written data is flushed.
    pub sync_level: SyncLevel,
    /// Tells since when writers run.
    pub clock: Arc<dyn Clock>,
    /// Makes names of temporary files and folders.
    pub randomness: Arc<dyn Randomness>,
}

impl OpenOptions {
    /// Returns the options for a store in `path` of the local file system, with the default sync level.
    pub fn local(
        name: DatastoreName,
        path: impl Into<PathBuf>,
        lock_directory: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let storage = Arc::new(LocalStorage::new(path, Arc::clone(&randomness)));
        let (lock_directory, sync_level) = (lock_directory.into(), SyncLevel::default());
        Self { name, storage, lock_directory, sync_level, clock, randomness }
    }
}

/// Whether creating or adopting a store checks that access times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTimeCheck {
    /// Check; the default of the option `gc-atime-safety-check`.
    Run,
    /// Trust.
    Skip,
}

/// Why a store cannot be opened, created or adopted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is not absolute, or is the root directory.
    #[error("datastore path '{path}' must be absolute and not the root directory", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Something that every store has is missing.
    #[error("'{path}' is missing; this is no datastore, or its file system is not mounted")]
    Missing {
        /// What is missing.
        path: String,
    },
    /// Something is not of the kind it must be.
    #[error("'{path}' is not a {expected}")]
    Kind {
        /// What was looked at.
        path: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Permission bits are not what they must be.
    #[error("'{path}' has mode {found:04o}, it must be {expected:04o}")]
    Mode {
        /// What was looked at.
        path: String,
        /// The permission bits found.
        found: u32,
        /// The permission bits needed.
        expected: u32,
    },
    /// A new store needs an empty directory.
    #[error("directory is not empty, it contains '{entry}'")]
    NotEmpty {
        /// The first entry that must not be there.
        entry: String,
    },
    /// There is a store already.
    #[error("there is a datastore already in '{path}'; adopt it instead")]
    Exists {
        /// What was found.
        path: String,
    },
    /// The directory could not be made.
    #[error("directory '{path}' cannot be created", path = path.display())]
    Base {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The access time check failed.
    #[error("access time check failed")]
    AccessTime(#[source] AccessTimeError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Datastore {
    /// Opens a store that exists. Creates a missing `.lock`, nothing else.
    ///
    /// # Errors
    /// [`OpenError::Path`]; [`OpenError::Missing`] without `.chunks`; `.lock` cannot be opened for writing.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        check_path(&*options.storage)?;
        check_entry(&*options.storage, &layout::chunks_dir(), EntryKind::Directory, None)?;
        let record = options.storage.record_lock(&layout::process_lock())?;
        Ok(Self {
            inner: Arc::new(Inner {
                locks: LockDirectory::new(options.lock_directory.join(options.name.as_str())),
                name: options.name,
                storage: options.storage,
                process_lock: ProcessLock::new(record),
                staging: StagingArea::default(),
                failed_flushes: AtomicU64::new(0),
                insertion: (0..INSERTION_LOCKS).map(|_| std::sync::Mutex::new(())).collect(),
                sync_level: options.sync_level,
                clock: options.clock,
                randomness: options.randomness,
            }),
        })
    }

    /// Creates an empty store and opens it: its directory if missing, `.chunks` with its 65,536 folders, `.lock`.
    ///
    /// Everything belongs to the user of this process; ownership is not handed to anybody else.
    ///
    /// # Errors
    /// [`OpenError::Path`]; [`OpenError::NotEmpty`] unless the directory has only names starting with a dot and
    /// lost+found; [`OpenError::Exists`]; the access time check fails.
    pub fn create(options: OpenOptions, access_time: AccessTimeCheck) -> Result<Self, OpenError> {
        let storage = &*options.storage;
        check_path(storage)?;
        if let Some(base) = storage.local_root() {
            make_base(base)?;
        }
        let listing = storage.list_all(&StorePath::root())?;
        let foreign = |entry: &Entry| !entry.name.starts_with('.') && entry.name != "lost+found";
        if let Some(entry) = listing.entries.into_iter().find(foreign).or(listing.foreign.into_iter().next()) {
            return Err(OpenError::NotEmpty { entry: entry.name });
        }
        match storage.create_dir(&layout::chunks_dir(), CHUNK_DIRECTORY_MODE) {
            Ok(()) => {}
            Err(StorageError::AlreadyExists { path }) => return Err(OpenError::Exists { path }),
            Err(error) => return Err(error.into()),
        }
        let created = Self::fill_new(options.clone(), access_time);
        if created.is_err() {
            // What is left would neither be a store nor let one be created.
            for removed in [storage.remove_tree(&layout::chunks_dir()), storage.remove_file(&layout::process_lock())] {
                if let Err(error) = removed
                    && !error.is_not_found()
                {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(store = %options.name, error, "could not remove what is left of a failed creation");
                }
            }
        }
        created
    }

    /// Makes what a store has besides `.chunks`, and opens it.
    fn fill_new(options: OpenOptions, access_time: AccessTimeCheck) -> Result<Self, OpenError> {
        let storage = &*options.storage;
        // Not before it is known that the directory is ours to change.
        if let Some(base) = storage.local_root() {
            set_base_mode(base)?;
        }
        for number in 0..CHUNK_FOLDERS {
            storage.create_dir(&layout::chunk_folder(number), CHUNK_DIRECTORY_MODE)?;
        }
        let store = Self::open(options)?;
        store.run_access_time_check(access_time)?;
        Ok(store)
    }

    /// Takes over a store that exists, as it is, after checking that its skeleton is complete, and opens it.
    ///
    /// Checked as far as this process can see: kinds and modes of the directory, `.chunks`, its 65,536 folders and
    /// `.lock`. Who owns them matters only in that this process must be able to write.
    ///
    /// # Errors
    /// [`OpenError`] names the first entry that deviates.
    pub fn adopt(options: OpenOptions, access_time: AccessTimeCheck) -> Result<Self, OpenError> {
        let storage = &*options.storage;
        check_path(storage)?;
        check_entry(storage, &StorePath::root(), EntryKind::Directory, Some(BASE_MODE))?;
        check_entry(storage, &layout::chunks_dir(), EntryKind::Directory, Some(CHUNK_DIRECTORY_MODE))?;
        let lock = layout::process_lock();
        check_entry(storage, &lock, EntryKind::File, Some(farhold_storage::FILE_MODE))?;
        for number in 0..CHUNK_FOLDERS {
            let folder = layout::chunk_folder(number);
            check_entry(storage, &folder, EntryKind::Directory, Some(CHUNK_DIRECTORY_MODE))?;
        }
        let store = Self::open(options)?;
        store.run_access_time_check(access_time)?;
        Ok(store)
    }

    fn run_access_time_check(&self, check: AccessTimeCheck) -> Result<(), OpenError> {
        if check == AccessTimeCheck::Skip {
            return Ok(());
        }
        let outcome = self.check_access_time().map_err(OpenError::AccessTime);
        self.inner.staging.release();
        outcome
    }
}

fn check_path(storage: &dyn Storage) -> Result<(), OpenError> {
    match storage.local_root() {
        Some(path) if !path.is_absolute() || path.parent().is_none() => Err(OpenError::Path { path: path.to_owned() }),
        _ => Ok(()),
    }
}

fn shown(storage: &dyn Storage, path: &StorePath) -> String {
    match storage.local_root() {
        Some(root) => root.join(path.as_str()).display().to_string(),
        None => path.to_string(),
    }
}

fn check_entry(storage: &dyn Storage, path: &StorePath, kind: EntryKind, mode: Option<u32>) -> Result<(), OpenError> {
    let stat = match storage.stat(path) {
        Ok(stat) => stat,
        Err(error) if error.is_not_found() => return Err(OpenError::Missing { path: shown(storage, path) }),
        Err(error) => return Err(error.into()),
    };
    if stat.kind != kind {
        let expected = if kind == EntryKind::Directory { "directory" } else { "regular file" };
        return Err(OpenError::Kind { path: shown(storage, path), expected });
    }
    match mode {
        Some(expected) if stat.mode != expected => {
            Err(OpenError::Mode { path: shown(storage, path), found: stat.mode, expected })
        }
        _ => Ok(()),
    }
}

/// Creates the directory of a new store; an existing one stays as it is.
fn make_base(base: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Base { path: base.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(BASE_MODE).create(base).map_err(failed)
}

/// Gives the directory of a new store the mode it must have.
fn set_base_mode(base: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Base { path: base.to_owned(), source };
    std::fs::set_permissions(base, std::fs::Permissions::from_mode(BASE_MODE)).map_err(failed)
}
