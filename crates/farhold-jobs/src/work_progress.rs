//! How far a task is that goes through a known number of things, in one or more phases.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_sync::RateMeter;
use tokio::time::Instant;

/// What a task does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It verifies groups.
    VerifyGroups,
    /// It verifies snapshots.
    VerifySnapshots,
    /// It marks the chunks of index files as used.
    Mark,
    /// It removes unused chunks; counted in per cent of their folders.
    Sweep,
    /// It prunes groups.
    PruneGroups,
    /// It goes through the snapshots of the group that it prunes.
    PruneSnapshots,
    /// It verifies and mends snapshots.
    RepairSnapshots,
    /// It looks for chunks in other snapshots of the source.
    SearchChunks,
}

impl Work {
    /// Returns the word for the phase.
    pub const fn phase(self) -> &'static str {
        match self {
            Self::VerifyGroups | Self::VerifySnapshots => "verify",
            Self::Mark => "mark",
            Self::Sweep => "sweep",
            Self::PruneGroups | Self::PruneSnapshots => "prune",
            Self::RepairSnapshots => "repair",
            Self::SearchChunks => "search",
        }
    }

    /// Returns the word for what is counted.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::VerifyGroups | Self::PruneGroups => "groups",
            Self::VerifySnapshots | Self::PruneSnapshots | Self::RepairSnapshots => "snapshots",
            Self::Mark => "index-files",
            Self::Sweep => "percent",
            Self::SearchChunks => "chunks",
        }
    }
}

/// A look at a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkLook {
    /// What it does.
    pub work: Work,
    /// How many things are done, with the part of the one that is under way.
    pub done: f64,
    /// How many there are, once that is known.
    pub total: Option<f64>,
    /// Bytes of content per second, lately; none if it counts no bytes.
    pub rate_bytes_per_s: Option<f64>,
    /// How long the phase will still take if all things take as long as those before.
    pub time_left: Option<Duration>,
    /// How long the task runs already.
    pub elapsed: Duration,
}

/// Progress of one task.
#[derive(Debug)]
pub struct WorkProgress {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    work: Work,
    /// When the phase began, after the task.
    begun: Duration,
    done: f64,
    total: Option<f64>,
    rate: RateMeter,
}

impl WorkProgress {
    pub(crate) fn new(work: Work) -> Self {
        let state = State { work, begun: Duration::ZERO, done: 0.0, total: None, rate: RateMeter::default() };
        Self { since: Instant::now(), state: Mutex::new(state) }
    }

    /// Begins a phase in which so many things are to be done, if their number is known.
    pub fn begin(&self, work: Work, total: Option<f64>) {
        let now = self.since.elapsed();
        let mut state = self.lock();
        (state.work, state.begun, state.done, state.total) = (work, now, 0.0, total);
    }

    /// So many things of the phase are done, and so many there are.
    pub fn reach(&self, done: f64, total: f64) {
        let mut state = self.lock();
        (state.done, state.total) = (done.min(total), Some(total));
    }

    /// So many bytes of content were gone through.
    pub fn count_bytes(&self, bytes: u64) {
        let now = self.since.elapsed();
        self.lock().rate.add(bytes, now);
    }

    /// Returns how far the task is.
    pub fn look(&self) -> WorkLook {
        let elapsed = self.since.elapsed();
        let state = self.lock();
        let in_phase = elapsed.saturating_sub(state.begun).as_secs_f64();
        let left = state.total.map(|total| in_phase * (total - state.done) / state.done);
        let rate = state.rate.bytes_per_s();
        WorkLook {
            work: state.work,
            done: state.done,
            total: state.total,
            rate_bytes_per_s: (0.0 < rate).then_some(rate),
            // Before the first thing is done nothing can be told.
            time_left: left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            elapsed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_left_is_reckoned_from_the_things_of_the_phase() {
        let progress = WorkProgress::new(Work::Mark);
        let look = progress.look();
        assert_eq!((look.total, look.time_left, look.rate_bytes_per_s), (None, None, None));
        progress.begin(Work::Mark, Some(8.0));
        assert_eq!((progress.look().total, progress.look().time_left), (Some(8.0), None));
        tokio::time::advance(Duration::from_secs(30)).await;
        progress.reach(2.0, 8.0);
        assert_eq!(progress.look().time_left, Some(Duration::from_secs(90)));
        progress.begin(Work::Sweep, Some(100.0));
        tokio::time::advance(Duration::from_secs(10)).await;
        progress.reach(50.0, 100.0);
        let look = progress.look();
        assert_eq!((look.time_left, look.elapsed), (Some(Duration::from_secs(10)), Duration::from_secs(40)));
        progress.reach(101.0, 100.0);
        assert_eq!((progress.look().done, progress.look().time_left), (100.0, Some(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_told_once_bytes_were_counted_for_a_second() {
        let progress = WorkProgress::new(Work::VerifyGroups);
        progress.count_bytes(100);
        assert_eq!(progress.look().rate_bytes_per_s, None);
        tokio::time::advance(Duration::from_secs(2)).await;
        progress.count_bytes(100);
        assert_eq!(progress.look().rate_bytes_per_s, Some(100.0));
    }
}
