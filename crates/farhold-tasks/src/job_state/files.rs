//! Job states in files: where they lie on disk, and what was read of them.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::JobState;
use super::states::{HeldLock, StatePlace};
use crate::file_lock::{FileLock, LockKind, lock};
use crate::log_writer::create_directory;

/// Largest state file that is read, in bytes. Real ones have some hundred bytes plus the error text.
const MAX_STATE_BYTES: u64 = 256 * 1024;

/// Bytes that are written to find out whether a state can be: what the file system hands out at least.
const TRIAL_BYTES: usize = 4096;
/// Name of the file that they are written to. It makes no job's name.
const TRIAL_FILE: &str = ".trial.tmp";

/// The state files of one server.
#[derive(Debug)]
pub(super) struct StateFiles {
    directory: PathBuf,
    /// What the files said, by the names of their jobs. Never more than there are jobs.
    known: Mutex<HashMap<String, (Stamp, Arc<JobState>)>>,
}

/// What tells one content of a state file from another: files are replaced, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), changed }
    }
}

/// The lock file of a job, locked.
#[derive(Debug)]
struct HeldFile {
    lock: FileLock,
    path: PathBuf,
}

impl HeldLock for HeldFile {
    fn is_current(&self) -> bool {
        self.lock.is_of(&self.path)
    }
}

impl StateFiles {
    /// Opens the directory with the files, making it if needed.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        create_directory(directory)?;
        Ok(Self { directory: directory.to_owned(), known: Mutex::default() })
    }

    fn lock_path(&self, stem: &str) -> PathBuf {
        self.directory.join(format!("{stem}.lck"))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Stamp, Arc<JobState>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_file(&self, stem: &str) -> io::Result<Arc<JobState>> {
        let path = self.path(stem);
        let found = Stamp::of(&std::fs::metadata(&path)?);
        if let Some((stamp, state)) = self.known().get(stem)
            && *stamp == found
        {
            return Ok(Arc::clone(state));
        }
        let file = File::open(&path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut text = Vec::new();
        file.take(MAX_STATE_BYTES).read_to_end(&mut text)?;
        let state = Arc::new(serde_json::from_slice(&text).unwrap_or(JobState::Unknown));
        self.known().insert(stem.to_owned(), (stamp, Arc::clone(&state)));
        Ok(state)
    }
}

impl StatePlace for StateFiles {
    fn read(&self, stem: &str) -> io::Result<Option<Arc<JobState>>> {
        match self.read_file(stem) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known().remove(stem);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Temporary file, mode 0644, rename.
    fn write(&self, stem: &str, state: JobState) -> io::Result<()> {
        let (path, text) = (self.path(stem), serde_json::to_vec(&state)?);
        // Writers of one job exclude each other by its lock; creation may meet one of them, hence names that differ.
        let temporary = path.with_extension(match state {
            JobState::Created { .. } => "created.tmp",
            _ => "tmp",
        });
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(&text)?;
        let stamp = Stamp::of(&file.metadata()?);
        std::fs::rename(&temporary, &path)?;
        self.known().insert(stem.to_owned(), (stamp, Arc::new(state)));
        Ok(())
    }

    fn remove(&self, stem: &str) -> io::Result<()> {
        for path in [self.lock_path(stem), self.path(stem)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.known().remove(stem);
        Ok(())
    }

    fn lock(&self, stem: &str, wait: Duration) -> io::Result<Option<Box<dyn HeldLock>>> {
        let path = self.lock_path(stem);
        let held = lock(&path, LockKind::Exclusive, wait)?;
        Ok(held.map(|lock| Box::new(HeldFile { lock, path }) as Box<dyn HeldLock>))
    }

    fn make_lock(&self, stem: &str) -> io::Result<()> {
        // An empty lock file lies beside every state file; one that is locked right now exists already.
        lock(&self.lock_path(stem), LockKind::Shared, Duration::ZERO).map(drop)
    }

    fn has_lock(&self, stem: &str) -> bool {
        self.lock_path(stem).exists()
    }

    fn stems(&self) -> io::Result<Vec<String>> {
        let mut stems = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            stems.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(stems)
    }

    fn try_out(&self) -> io::Result<()> {
        let path = self.directory.join(TRIAL_FILE);
        let written = File::create(&path).and_then(|mut file| file.write_all(&[0; TRIAL_BYTES]));
        match std::fs::remove_file(&path) {
            Err(error) if written.is_ok() => Err(error),
            _ => written,
        }
    }

    fn path(&self, stem: &str) -> PathBuf {
        if stem.is_empty() { self.directory.clone() } else { self.directory.join(format!("{stem}.json")) }
    }
}
