//! The states of one server's jobs: which one follows which, and who may write it. Where they lie is somebody else's
//! business: in files ([`super::files`]), or in memory for tests.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_types::Epoch;

use super::files::StateFiles;
use super::{JobKey, JobState, JobStateError, LOCK_WAIT, RunState, ScheduleBasis, WaitingEvent};
use crate::registry::TaskRegistry;

/// Age that a job without state file is taken to have. Source: `docs/spec/schedules-and-tasks.md` 9.1.
const MISSING_AGE_S: i64 = 30;

/// Where states are kept, each under the name of its job ([`JobKey::file_stem`]).
pub(super) trait StatePlace: fmt::Debug + Send + Sync {
    /// Returns the state of a job, `None` if nothing is stored.
    fn read(&self, stem: &str) -> io::Result<Option<Arc<JobState>>>;
    /// Replaces the state of a job, all at once.
    fn write(&self, stem: &str, state: JobState) -> io::Result<()>;
    /// Removes lock and state of a job, in this order; what is missing is no error.
    fn remove(&self, stem: &str) -> io::Result<()>;
    /// Takes the lock of a job, making it if it is missing; `None` if another holder kept it for so long.
    fn lock(&self, stem: &str, wait: Duration) -> io::Result<Option<Box<dyn HeldLock>>>;
    /// Makes the lock of a job if it is missing.
    fn make_lock(&self, stem: &str) -> io::Result<()>;
    /// Returns whether there is a lock of this job.
    fn has_lock(&self, stem: &str) -> bool;
    /// Returns the names of all jobs with a state.
    fn stems(&self) -> io::Result<Vec<String>>;
    /// Returns whether a state could be written at the moment.
    fn try_out(&self) -> io::Result<()>;
    /// Returns where the state of a job lies, for messages.
    fn path(&self, stem: &str) -> PathBuf;
}

/// A lock that is held until this is dropped.
pub(super) trait HeldLock: fmt::Debug + Send + Sync {
    /// Returns whether it is still the lock of the job: it is not if the job was removed since, and perhaps made anew.
    fn is_current(&self) -> bool;
}

/// The job states of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobStates {
    place: Arc<dyn StatePlace>,
}

/// The lock of a job, held for a whole run. Dropping it releases it.
#[derive(Debug)]
pub struct JobLock {
    states: JobStates,
    key: JobKey,
    lock: Box<dyn HeldLock>,
    /// The event that the run answers, if its schedule started it.
    answers: Option<Epoch>,
}

impl JobStates {
    /// Opens the directory with the state files, making it if needed.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: PathBuf) -> Result<Self, JobStateError> {
        match StateFiles::open(&directory) {
            Ok(files) => Ok(Self { place: Arc::new(files) }),
            Err(source) => Err(JobStateError::Io { action: "create directory for", path: directory, source }),
        }
    }

    /// Returns states that lie in memory, for tests with very many runs.
    #[cfg(any(test, feature = "testing"))]
    pub fn in_memory() -> Self {
        Self { place: Arc::<super::memory::StateMemory>::default() }
    }

    fn failed(&self, action: &'static str, stem: &str) -> impl FnOnce(io::Error) -> JobStateError {
        let path = self.place.path(stem);
        move |source| JobStateError::Io { action, path, source }
    }

    /// Returns the state as it is stored. A missing file means created a moment before `now`; one that cannot be
    /// understood is [`JobState::Unknown`].
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read_stored(&self, key: &JobKey, now: Epoch) -> Result<JobState, JobStateError> {
        let missing = || JobState::Created { time: Epoch(now.0.saturating_sub(MISSING_AGE_S)) };
        Ok(self.find(key)?.map_or_else(missing, Arc::unwrap_or_clone))
    }

    /// Returns the state as it is stored; `None` if nothing is.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn find(&self, key: &JobKey) -> Result<Option<Arc<JobState>>, JobStateError> {
        let stem = key.file_stem();
        self.place.read(stem).map_err(|source| self.failed("read", stem)(source))
    }

    /// Returns whether anything was ever stored for the job.
    pub fn is_stored(&self, key: &JobKey) -> bool {
        !matches!(self.find(key), Ok(None))
    }

    /// Stores the end of runs whose process is gone, as their logs tell it, and returns their tasks; for the start of a
    /// server, after which nobody else would. A job whose lock is held is left alone: its process lives.
    ///
    /// # Errors
    /// The directory cannot be listed. What cannot be written is left as it is, and logged.
    pub fn finish_left_over(&self, tasks: &TaskRegistry) -> Result<Vec<Upid>, JobStateError> {
        let mut finished = Vec::new();
        for stem in self.place.stems().map_err(|source| self.failed("list", "")(source))? {
            match self.finish_if_gone(&stem, tasks) {
                Ok(upid) => finished.extend(upid),
                Err(error) => tracing::warn!(job = stem, %error, "cannot store the end of a job's run"),
            }
        }
        Ok(finished)
    }

    fn finish_if_gone(&self, stem: &str, tasks: &TaskRegistry) -> io::Result<Option<Upid>> {
        let gone = |state: Option<Arc<JobState>>| match state.as_deref() {
            Some(JobState::Started { upid }) => tasks.ended(upid).map(|end| (upid.clone(), end)),
            _ => None,
        };
        if gone(self.place.read(stem)?).is_none() {
            return Ok(None);
        }
        let Some(_lock) = self.place.lock(stem, Duration::ZERO)? else {
            return Ok(None);
        };
        // Only what is found under the lock is what is replaced.
        let Some((upid, (status, end_time))) = gone(self.place.read(stem)?) else { return Ok(None) };
        let state = RunState::new(status, end_time.unwrap_or(upid.start_time()));
        self.place.write(stem, JobState::Finished { upid: upid.clone(), state, updated: None })?;
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
        self.write(key, JobState::Created { time: now })?;
        let stem = key.file_stem();
        self.place.make_lock(stem).map_err(|source| self.failed("create lock of", stem)(source))
    }

    /// Removes both files of a job. A run goes on and leaves no new ones; files that are missing are no error.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self, key: &JobKey) -> Result<(), JobStateError> {
        let stem = key.file_stem();
        self.place.remove(stem).map_err(|source| self.failed("remove", stem)(source))
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
        let stem = key.file_stem();
        match self.place.lock(stem, wait) {
            Ok(Some(lock)) => Ok(JobLock { states: self.clone(), key: key.clone(), lock, answers: None }),
            Ok(None) => Err(JobStateError::Locked { job: stem.to_owned() }),
            Err(source) => Err(self.failed("lock", stem)(source)),
        }
    }

    /// Takes the lock of a job for the run that `event` waits for, without waiting for another run. `now`: the time on the
    /// clock that names of tasks are made with.
    ///
    /// # Errors
    /// [`JobStateError::Locked`]; [`JobStateError::Overtaken`] if the event no longer waits, or has not come yet on a
    /// clock that was set back: its run would begin before it, and there would be another one after it.
    pub fn lock_for(&self, key: &JobKey, event: &WaitingEvent, now: Epoch) -> Result<JobLock, JobStateError> {
        let mut lock = self.lock_within(key, Duration::ZERO)?;
        if now < event.time || ScheduleBasis::of(self.find(key)?.as_ref()) != event.basis {
            return Err(JobStateError::Overtaken { job: key.file_stem().to_owned() });
        }
        lock.answers = Some(event.time);
        Ok(lock)
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
        self.write(key, changed)
    }

    /// Tells whether states can be written at the moment: a start whose state cannot be stored would be one of the same
    /// event at each look at the schedules.
    ///
    /// # Errors
    /// Why not, such as that no space is left.
    pub fn try_out(&self) -> Result<(), JobStateError> {
        self.place.try_out().map_err(|source| self.failed("write", "")(source))
    }

    fn write(&self, key: &JobKey, state: JobState) -> Result<(), JobStateError> {
        let stem = key.file_stem();
        self.place.write(stem, state).map_err(|source| self.failed("write", stem)(source))
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
        self.write(JobState::Started { upid: upid.clone() })
    }

    /// Writes how a run has ended, as [`start`](Self::start) does. If the clock was set back just before the run began,
    /// the event that it answers counts as answered nevertheless.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&self, upid: &Upid, status: &TaskStatus, end_time: Epoch) -> Result<(), JobStateError> {
        let state = RunState::new(status.clone(), end_time);
        let updated = self.answers.filter(|event| upid.start_time() < *event);
        self.write(JobState::Finished { upid: upid.clone(), state, updated })
    }

    /// Returns whether the job was removed, and perhaps made anew, since it was locked.
    pub fn is_left_over(&self) -> bool {
        // Removal takes the lock away first, so a lock that is gone or another one belongs to a removed job.
        !self.lock.is_current()
    }

    fn write(&self, state: JobState) -> Result<(), JobStateError> {
        if self.is_left_over() {
            return Ok(());
        }
        self.states.write(&self.key, state)?;
        if !self.states.place.has_lock(self.key.file_stem()) {
            self.states.remove(&self.key)?;
        }
        Ok(())
    }
}
