//! How long a run was busy with chunks, by the clock on the wall.
//!
//! Several workers fetch at the same time; the sum of their times would make the rate of the whole run look smaller than
//! it is. What counts is the time in which at least one of them fetched.
//!
//! Source: `docs/spec/sync.md` 14.3 and C.2 W32.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
struct State {
    active: usize,
    since: Option<Instant>,
    total: Duration,
}

/// Adds up the time in which at least one phase was active.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phases {
    state: Arc<Mutex<State>>,
}

impl Phases {
    /// Begins a phase, which lasts until the returned value is dropped.
    pub(crate) fn begin(&self) -> Phase {
        self.with(|state| {
            state.active += 1;
            if state.active == 1 {
                state.since = Some(Instant::now());
            }
        });
        Phase(self.clone())
    }

    /// Returns the time up to the end of the last phase that ended.
    pub(crate) fn total(&self) -> Duration {
        self.with(|state| state.total)
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A phase that lasts.
#[derive(Debug)]
#[must_use]
pub(crate) struct Phase(Phases);

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.with(|state| {
            state.active -= 1;
            if state.active == 0
                && let Some(since) = state.since.take()
            {
                state.total += since.elapsed();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_which_several_are_busy_counts_once_and_idle_time_not_at_all() {
        let phases = Phases::default();
        let second = || tokio::time::sleep(Duration::from_secs(1));
        let first = phases.begin();
        second().await;
        let other = phases.begin();
        second().await;
        drop(first);
        second().await;
        drop(other);
        second().await;
        let last = phases.begin();
        second().await;
        assert_eq!(phases.total(), Duration::from_secs(3));
        drop(last);
        assert_eq!(phases.total(), Duration::from_secs(4));
    }
}
