//! What is remembered about a job between its runs: one state file and one lock file per job.
//!
//! | file | content |
//! |---|---|
//! | `<type>-<name>.json` | one JSON value, no line break at the end, mode 0644, replaced atomically |
//! | `<type>-<name>.lck` | empty, mode 0660; locked (`flock`) for as long as the job runs |
//!
//! ```text
//! {"created":{"time":<epoch>}}
//! {"started":{"upid":"<UPID>"}}
//! {"finished":{"upid":"<UPID>","state":<state>,"updated":<epoch or null>}}
//! "unknown"
//! ```
//!
//! What was read is remembered as long as the file stays the same, so that a scheduler may look at a thousand jobs each
//! minute. All calls are blocking. Source: `docs/spec/schedules-and-tasks.md` 9.1, `docs/spec/sync.md` 15.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_types::{Epoch, is_safe_id};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::file_lock::{FileLock, LockKind, lock};
use crate::log_writer::create_directory;
use crate::registry::TaskRegistry;

/// Longest wait for the lock of a job that runs. Source: `docs/spec/schedules-and-tasks.md` 9.1.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Age that a job without state file is taken to have. Source: `docs/spec/schedules-and-tasks.md` 9.1.
const MISSING_AGE_S: i64 = 30;

/// Largest state file that is read, in bytes. Real ones have some hundred bytes plus the error text.
const MAX_STATE_BYTES: u64 = 256 * 1024;

/// Why a job's state could not be read, written or locked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobStateError {
    /// The job runs already.
    #[error("could not acquire lock of job '{job}', it is still running")]
    Locked {
        /// Type and name.
        job: String,
    },
    /// A file could not be read or written.
    #[error("failed to {action} job state {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Type or name cannot be part of a file name.
    #[error("invalid job name")]
    Name,
}

/// A job by type and name, safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobKey {
    job_type: &'static str,
    name: String,
}

impl JobKey {
    /// Makes a key. `job_type`: for example `syncjob`; `name`: the job's id, or a datastore for garbage collection.
    ///
    /// # Errors
    /// One of them does not match `[A-Za-z0-9_][A-Za-z0-9._-]*` or is longer than 100 bytes.
    pub fn new(job_type: &'static str, name: &str) -> Result<Self, JobStateError> {
        let is_sound = |text: &str| is_safe_id(text) && text.len() <= 100;
        if !is_sound(job_type) || !is_sound(name) {
            return Err(JobStateError::Name);
        }
        Ok(Self { job_type, name: name.to_owned() })
    }

    /// Returns the key of a sync job.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sync(id: &farhold_types::JobId) -> Result<Self, JobStateError> {
        Self::new("syncjob", id.as_str())
    }

    /// Returns the type, for example `syncjob`.
    pub const fn job_type(&self) -> &'static str {
        self.job_type
    }

    /// Returns the name: the job's id, or a datastore for garbage collection.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the job's files, without extension: no path separator is in it.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.job_type, self.name)
    }
}

/// State of a job. The serde form is the content of its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Never ran.
    Created {
        /// When it was created, or last given another schedule.
        time: Epoch,
    },
    /// A run has begun.
    Started {
        /// Its task.
        upid: Upid,
    },
    /// The last run has ended.
    Finished {
        /// Its task.
        upid: Upid,
        /// How it ended.
        state: RunState,
        /// When the job was given another schedule since then.
        updated: Option<Epoch>,
    },
    /// The file makes no sense.
    Unknown,
}

/// How a run ended. The serde form is the one of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// Success.
    #[serde(rename = "OK")]
    Ok {
        /// When it ended.
        endtime: Epoch,
    },
    /// Success with warnings.
    Warning {
        /// How many.
        count: u64,
        /// When it ended.
        endtime: Epoch,
    },
    /// Failure.
    Error {
        /// The text of the result line.
        message: String,
        /// When it ended.
        endtime: Epoch,
    },
    /// The run left no result.
    Unknown {
        /// When it was last heard of.
        endtime: Epoch,
    },
}

impl RunState {
    /// Makes the state from a task's result.
    pub fn new(status: TaskStatus, endtime: Epoch) -> Self {
        match status {
            TaskStatus::Ok => Self::Ok { endtime },
            TaskStatus::Warnings(count) => Self::Warning { count, endtime },
            TaskStatus::Error(message) => Self::Error { message, endtime },
            TaskStatus::Unknown => Self::Unknown { endtime },
        }
    }

    /// Returns the task's result.
    pub fn status(&self) -> TaskStatus {
        match self {
            Self::Ok { .. } => TaskStatus::Ok,
            Self::Warning { count, .. } => TaskStatus::Warnings(*count),
            Self::Error { message, .. } => TaskStatus::Error(message.clone()),
            Self::Unknown { .. } => TaskStatus::Unknown,
        }
    }

    /// Returns when the run ended.
    pub const fn end_time(&self) -> Epoch {
        match self {
            Self::Ok { endtime }
            | Self::Warning { endtime, .. }
            | Self::Error { endtime, .. }
            | Self::Unknown { endtime } => *endtime,
        }
    }
}

/// The last run of a job as lists show it; serialises to their fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastRun {
    /// The task of the last or current run; absent if it never ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_upid: Option<String>,
    /// Result; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_state: Option<String>,
    /// When it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_endtime: Option<Epoch>,
}

impl JobState {
    /// Returns the fields that lists show about the last run.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 9.3.
    pub fn last_run(&self) -> LastRun {
        match self {
            Self::Created { .. } | Self::Unknown => LastRun::default(),
            Self::Started { upid } => LastRun { last_run_upid: Some(upid.to_string()), ..LastRun::default() },
            Self::Finished { upid, state, .. } => LastRun {
                last_run_upid: Some(upid.to_string()),
                last_run_state: Some(state.status().to_string()),
                last_run_endtime: Some(state.end_time()),
            },
        }
    }

    /// Returns from when on the next event of the schedule counts, for the scheduler: creation or last change of the
    /// schedule, else the start of the last or current run. `None` for an unknown state.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 9.2.
    pub fn schedule_reference(&self) -> Option<Epoch> {
        match self {
            Self::Created { time } => Some(*time),
            Self::Started { upid } => Some(upid.start_time()),
            Self::Finished { upid, updated, .. } => Some(updated.unwrap_or(upid.start_time())),
            Self::Unknown => None,
        }
    }
}

/// The state files of one server.
#[derive(Debug, Clone)]
pub struct JobStates {
    directory: PathBuf,
    /// What the files said, by their paths. Never more than there are jobs.
    known: Arc<Mutex<HashMap<PathBuf, (Stamp, JobState)>>>,
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

/// The lock of a job, held for a whole run. Dropping it releases it.
#[derive(Debug)]
pub struct JobLock {
    states: JobStates,
    key: JobKey,
    lock: FileLock,
}

impl JobStates {
    /// Opens the directory with the state files, making it if needed.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: PathBuf) -> Result<Self, JobStateError> {
        match create_directory(&directory) {
            Ok(()) => Ok(Self { directory, known: Arc::default() }),
            Err(source) => Err(JobStateError::Io { action: "create directory for", path: directory, source }),
        }
    }

    fn state_path(&self, key: &JobKey) -> PathBuf {
        self.directory.join(format!("{}.json", key.file_stem()))
    }

    fn lock_path(&self, key: &JobKey) -> PathBuf {
        self.directory.join(format!("{}.lck", key.file_stem()))
    }

    /// Returns the state as it is stored. A missing file means created a moment before `now`; one that cannot be
    /// understood is [`JobState::Unknown`].
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read_stored(&self, key: &JobKey, now: Epoch) -> Result<JobState, JobStateError> {
        let path = self.state_path(key);
        match self.read_file(&path) {
            Ok(state) => Ok(state),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known().remove(&path);
                Ok(JobState::Created { time: Epoch(now.0.saturating_sub(MISSING_AGE_S)) })
            }
            Err(source) => Err(JobStateError::Io { action: "read", path, source }),
        }
    }

    fn read_file(&self, path: &Path) -> io::Result<JobState> {
        let found = Stamp::of(&std::fs::metadata(path)?);
        if let Some((stamp, state)) = self.known().get(path)
            && *stamp == found
        {
            return Ok(state.clone());
        }
        let file = File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        let mut text = Vec::new();
        file.take(MAX_STATE_BYTES).read_to_end(&mut text)?;
        let state = serde_json::from_slice(&text).unwrap_or(JobState::Unknown);
        self.known().insert(path.to_owned(), (stamp, state.clone()));
        Ok(state)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, (Stamp, JobState)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether anything was ever stored for the job.
    pub fn is_stored(&self, key: &JobKey) -> bool {
        self.state_path(key).exists()
    }

    /// Stores the end of runs whose process is gone, as their logs tell it, and returns their tasks; for the start of a
    /// server, after which nobody else would. A job whose lock is held is left alone: its process lives.
    ///
    /// # Errors
    /// The directory cannot be listed. What cannot be written is left as it is, and logged.
    pub fn finish_left_over(&self, tasks: &TaskRegistry) -> Result<Vec<Upid>, JobStateError> {
        let fail = |source| JobStateError::Io { action: "list", path: self.directory.clone(), source };
        let mut finished = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match self.finish_if_gone(&path, tasks) {
                Ok(upid) => finished.extend(upid),
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot store the end of a job's run"),
            }
        }
        Ok(finished)
    }

    fn finish_if_gone(&self, path: &Path, tasks: &TaskRegistry) -> io::Result<Option<Upid>> {
        let gone = |state: JobState| match state {
            JobState::Started { upid } => tasks.ended(&upid).map(|end| (upid, end)),
            _ => None,
        };
        if gone(self.read_file(path)?).is_none() {
            return Ok(None);
        }
        let Some(_lock) = lock(&path.with_extension("lck"), LockKind::Exclusive, Duration::ZERO)? else {
            return Ok(None);
        };
        // Only what is found under the lock is what is replaced.
        let Some((upid, (status, end_time))) = gone(self.read_file(path)?) else { return Ok(None) };
        let state = RunState::new(status, end_time.unwrap_or(upid.start_time()));
        self.replace(path, &JobState::Finished { upid: upid.clone(), state, updated: None })?;
        Ok(Some(upid))
    }

    /// Returns the state with a run that has vanished taken as finished, as its log says. The file is not changed.
    ///
    /// # Errors
    /// As [`read_stored`](Self::read_stored).
    pub fn read(&self, key: &JobKey, now: Epoch, tasks: &TaskRegistry) -> Result<JobState, JobStateError> {
        let stored = self.read_stored(key, now)?;
        let JobState::Started { upid } = stored else {
            return Ok(stored);
        };
        Ok(match tasks.ended(&upid) {
            None => JobState::Started { upid },
            Some((status, end_time)) => {
                let state = RunState::new(status, end_time.unwrap_or(upid.start_time()));
                JobState::Finished { upid, state, updated: None }
            }
        })
    }

    /// Writes the state of a job that was just created, and its lock file.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn create(&self, key: &JobKey, now: Epoch) -> Result<(), JobStateError> {
        self.write(key, &JobState::Created { time: now })?;
        // An empty lock file lies beside every state file; one that is locked right now exists already.
        let path = self.lock_path(key);
        lock(&path, LockKind::Shared, Duration::ZERO).map(drop).map_err(|source| JobStateError::Io {
            action: "create lock of",
            path,
            source,
        })
    }

    /// Removes both files of a job. A run goes on and leaves no new ones; files that are missing are no error.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self, key: &JobKey) -> Result<(), JobStateError> {
        for path in [self.lock_path(key), self.state_path(key)] {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(JobStateError::Io { action: "remove", path, source });
                }
                _ => drop(self.known().remove(&path)),
            }
        }
        Ok(())
    }

    /// Takes the lock of a job, waiting up to [`LOCK_WAIT`] for a run that may be about to end.
    ///
    /// # Errors
    /// [`JobStateError::Locked`] if it still runs then.
    pub fn lock(&self, key: &JobKey) -> Result<JobLock, JobStateError> {
        self.lock_within(key, LOCK_WAIT)
    }

    /// Takes the lock of a job, waiting up to `wait`; for the scheduler, which does not wait.
    ///
    /// # Errors
    /// [`JobStateError::Locked`] if it is not free in time.
    pub fn lock_within(&self, key: &JobKey, wait: Duration) -> Result<JobLock, JobStateError> {
        let path = self.lock_path(key);
        match lock(&path, LockKind::Exclusive, wait) {
            Ok(Some(held)) => Ok(JobLock { states: self.clone(), key: key.clone(), lock: held }),
            Ok(None) => Err(JobStateError::Locked { job: key.file_stem() }),
            Err(source) => Err(JobStateError::Io { action: "lock", path, source }),
        }
    }

    /// Remembers that the job was given another schedule, unless it runs: events before `now` no longer count.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn schedule_changed(&self, key: &JobKey, now: Epoch, tasks: &TaskRegistry) -> Result<(), JobStateError> {
        let _lock = match self.lock_within(key, Duration::ZERO) {
            Err(JobStateError::Locked { .. }) => return Ok(()),
            held => held?,
        };
        let changed = match self.read(key, now, tasks)? {
            JobState::Started { .. } => return Ok(()),
            JobState::Created { .. } | JobState::Unknown => JobState::Created { time: now },
            JobState::Finished { upid, state, .. } => JobState::Finished { upid, state, updated: Some(now) },
        };
        self.write(key, &changed)
    }

    fn write(&self, key: &JobKey, state: &JobState) -> Result<(), JobStateError> {
        let path = self.state_path(key);
        self.replace(&path, state).map_err(|source| JobStateError::Io { action: "write", path, source })
    }

    /// Replaces a state file: temporary file, mode 0644, rename.
    fn replace(&self, path: &Path, state: &JobState) -> io::Result<()> {
        let text = serde_json::to_vec(state)?;
        // Writers of one job exclude each other by its lock; creation may meet one of them, hence names that differ.
        let temporary = path.with_extension(match state {
            JobState::Created { .. } => "created.tmp",
            _ => "tmp",
        });
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(&text)?;
        let stamp = Stamp::of(&file.metadata()?);
        std::fs::rename(&temporary, path)?;
        self.known().insert(path.to_owned(), (stamp, state.clone()));
        Ok(())
    }
}

impl JobLock {
    /// Returns the job.
    pub const fn key(&self) -> &JobKey {
        &self.key
    }

    /// Writes that a run has begun. A job that was removed meanwhile leaves no trace: nothing is written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(&self, upid: &Upid) -> Result<(), JobStateError> {
        self.write(&JobState::Started { upid: upid.clone() })
    }

    /// Writes how a run has ended, as [`start`](Self::start) does.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&self, upid: &Upid, status: &TaskStatus, end_time: Epoch) -> Result<(), JobStateError> {
        let state = RunState::new(status.clone(), end_time);
        self.write(&JobState::Finished { upid: upid.clone(), state, updated: None })
    }

    /// Returns whether the job was removed, and perhaps made anew, since it was locked.
    pub fn is_left_over(&self) -> bool {
        // Removal takes the lock file away first, so a lock whose file is gone or another one belongs to a removed job.
        !self.lock.is_of(&self.states.lock_path(&self.key))
    }

    fn write(&self, state: &JobState) -> Result<(), JobStateError> {
        if self.is_left_over() {
            return Ok(());
        }
        let path = self.states.lock_path(&self.key);
        self.states.write(&self.key, state)?;
        if !path.exists() {
            self.states.remove(&self.key)?;
        }
        Ok(())
    }
}
