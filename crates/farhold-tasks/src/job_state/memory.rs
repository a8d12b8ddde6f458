//! Job states in memory, for tests with very many runs: what one is told is what the files would tell, without files.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::JobState;
use super::states::{HeldLock, StatePlace};

/// Lock and state of one job.
#[derive(Debug, Default)]
struct Kept {
    state: Option<Arc<JobState>>,
    /// The lock, and which one it is: another number after the job was removed and made anew.
    lock: Option<(u64, bool)>,
}

#[derive(Debug, Default)]
struct Jobs {
    kept: HashMap<String, Kept>,
    locks_made: u64,
}

/// The states of one server.
#[derive(Debug, Default, Clone)]
pub(super) struct StateMemory {
    jobs: Arc<Mutex<Jobs>>,
}

impl StateMemory {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Held {
    memory: StateMemory,
    stem: String,
    number: u64,
}

impl Held {
    fn with<R>(&self, act: impl FnOnce(&mut bool) -> R) -> Option<R> {
        let mut jobs = self.memory.jobs();
        let (number, is_held) = jobs.kept.get_mut(&self.stem)?.lock.as_mut()?;
        (*number == self.number).then(|| act(is_held))
    }
}

impl HeldLock for Held {
    fn is_current(&self) -> bool {
        self.with(|_| ()).is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.with(|is_held| *is_held = false);
    }
}

impl StatePlace for StateMemory {
    fn read(&self, stem: &str) -> io::Result<Option<Arc<JobState>>> {
        Ok(self.jobs().kept.get(stem).and_then(|kept| kept.state.clone()))
    }

    fn write(&self, stem: &str, state: JobState) -> io::Result<()> {
        let state = Some(Arc::new(state));
        let mut jobs = self.jobs();
        match jobs.kept.get_mut(stem) {
            Some(kept) => kept.state = state,
            None => drop(jobs.kept.insert(stem.to_owned(), Kept { state, lock: None })),
        }
        Ok(())
    }

    fn remove(&self, stem: &str) -> io::Result<()> {
        self.jobs().kept.remove(stem);
        Ok(())
    }

    /// Does not wait.
    fn lock(&self, stem: &str, _wait: Duration) -> io::Result<Option<Box<dyn HeldLock>>> {
        self.make_lock(stem)?;
        let mut jobs = self.jobs();
        let Some((number, is_held)) = jobs.kept.get_mut(stem).and_then(|kept| kept.lock.as_mut()) else {
            return Ok(None);
        };
        if std::mem::replace(is_held, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { memory: self.clone(), stem: stem.to_owned(), number: *number })))
    }

    fn make_lock(&self, stem: &str) -> io::Result<()> {
        let mut jobs = self.jobs();
        let Jobs { kept, locks_made } = &mut *jobs;
        if kept.get(stem).is_none_or(|kept| kept.lock.is_none()) {
            *locks_made += 1;
            kept.entry(stem.to_owned()).or_default().lock = Some((*locks_made, false));
        }
        Ok(())
    }

    fn has_lock(&self, stem: &str) -> bool {
        self.jobs().kept.get(stem).is_some_and(|kept| kept.lock.is_some())
    }

    fn stems(&self) -> io::Result<Vec<String>> {
        let jobs = self.jobs();
        Ok(jobs.kept.iter().filter(|(_, kept)| kept.state.is_some()).map(|(stem, _)| stem.clone()).collect())
    }

    fn try_out(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, stem: &str) -> PathBuf {
        PathBuf::from(stem)
    }
}
