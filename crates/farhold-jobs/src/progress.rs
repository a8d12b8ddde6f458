//! Progress of running syncs, by task: what the progress endpoint and the command line's bar read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_format::upid::Upid;
use farhold_sync::{Progress, ProgressSnapshot, SyncEvent};
use tokio::time::Instant;

/// Progress of one run.
#[derive(Debug)]
pub struct RunProgress {
    since: Instant,
    progress: Mutex<Progress>,
}

impl RunProgress {
    fn new() -> Self {
        Self { since: Instant::now(), progress: Mutex::default() }
    }

    /// Takes one event of the run.
    pub fn observe(&self, event: &SyncEvent) {
        self.lock().observe(event, self.since.elapsed());
    }

    /// Returns how far the run is, and how long it runs already.
    pub fn look(&self) -> (ProgressSnapshot, Duration) {
        (self.lock().look(), self.since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Progress of all syncs that run in this process.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    runs: Mutex<HashMap<Upid, Arc<RunProgress>>>,
}

/// An entry of the board; dropping it removes the entry.
#[derive(Debug)]
pub struct BoardEntry<'a> {
    board: &'a ProgressBoard,
    upid: Upid,
    run: Arc<RunProgress>,
}

impl ProgressBoard {
    /// Adds a run.
    pub fn enter(&self, upid: Upid) -> BoardEntry<'_> {
        let run = Arc::new(RunProgress::new());
        self.lock().insert(upid.clone(), Arc::clone(&run));
        BoardEntry { board: self, upid, run }
    }

    /// Returns the progress of a task, or `None` if it is no sync that runs here now.
    pub fn get(&self, upid: &Upid) -> Option<Arc<RunProgress>> {
        self.lock().get(upid).cloned()
    }

    /// Returns the progress of all syncs that run here now, in no particular order.
    pub fn all(&self) -> Vec<(Upid, Arc<RunProgress>)> {
        self.lock().iter().map(|(upid, run)| (upid.clone(), Arc::clone(run))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Upid, Arc<RunProgress>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardEntry<'_> {
    /// Returns the run's progress.
    pub fn run(&self) -> Arc<RunProgress> {
        Arc::clone(&self.run)
    }
}

impl Drop for BoardEntry<'_> {
    fn drop(&mut self) {
        self.board.lock().remove(&self.upid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_on_the_board_while_its_entry_lives() {
        let board = ProgressBoard::default();
        let upid: Upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:syncjob:a:root@pam:".parse().unwrap();
        let entry = board.enter(upid.clone());
        entry.run().observe(&SyncEvent::GroupsFound { index: 0, selected: 3, total: 4 });
        assert_eq!(board.get(&upid).unwrap().look().0.groups, 3);
        assert_eq!(board.all().len(), 1);
        drop(entry);
        assert!(board.get(&upid).is_none() && board.all().is_empty());
    }
}
