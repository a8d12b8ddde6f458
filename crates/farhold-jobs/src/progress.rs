//! Progress of running tasks: what the progress endpoints and the command line's bar read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_format::upid::Upid;
use farhold_sync::{Progress, ProgressSnapshot, SyncEvent};
use tokio::time::Instant;

use crate::work_progress::{Work, WorkProgress};

/// Progress of one run of a sync.
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

/// Progress of one task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TaskProgress {
    /// Of a sync.
    Sync(Arc<RunProgress>),
    /// Of a verification, a garbage collection, a prune or a repair.
    Work(Arc<WorkProgress>),
}

/// Progress of all tasks that run in this process and tell it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ProgressBoard {
    tasks: Arc<Mutex<HashMap<Upid, TaskProgress>>>,
}

/// An entry of the board; dropping it removes the entry.
#[derive(Debug)]
pub struct BoardEntry<T> {
    board: ProgressBoard,
    upid: Upid,
    progress: Arc<T>,
}

impl ProgressBoard {
    /// Adds a run of a sync.
    pub fn enter(&self, upid: Upid) -> BoardEntry<RunProgress> {
        let run = Arc::new(RunProgress::new());
        self.add(upid, TaskProgress::Sync(Arc::clone(&run)), run)
    }

    /// Adds a task that begins with this work.
    pub fn enter_work(&self, upid: Upid, work: Work) -> BoardEntry<WorkProgress> {
        let progress = Arc::new(WorkProgress::new(work));
        self.add(upid, TaskProgress::Work(Arc::clone(&progress)), progress)
    }

    fn add<T>(&self, upid: Upid, task: TaskProgress, progress: Arc<T>) -> BoardEntry<T> {
        self.lock().insert(upid.clone(), task);
        BoardEntry { board: self.clone(), upid, progress }
    }

    /// Returns the progress of a task, or `None` if it does not run here now, or tells none.
    pub fn get(&self, upid: &Upid) -> Option<TaskProgress> {
        self.lock().get(upid).cloned()
    }

    /// Returns the progress of all tasks that run here now and tell it, in no particular order.
    pub fn all(&self) -> Vec<(Upid, TaskProgress)> {
        self.lock().iter().map(|(upid, task)| (upid.clone(), task.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Upid, TaskProgress>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> BoardEntry<T> {
    /// Returns the task's progress.
    pub fn run(&self) -> Arc<T> {
        Arc::clone(&self.progress)
    }
}

impl<T> Drop for BoardEntry<T> {
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
        let Some(TaskProgress::Sync(run)) = board.get(&upid) else { panic!("it is a sync") };
        assert_eq!(run.look().0.groups, 3);
        assert_eq!(board.all().len(), 1);
        drop(entry);
        assert!(board.get(&upid).is_none() && board.all().is_empty());
    }
}
