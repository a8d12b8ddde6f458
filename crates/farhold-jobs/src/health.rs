//! Whether the server is up and its loops move: what `/health` answers, and nothing more.
//!
//! A loop that works for the whole server is watched: it says that it is alive at least as often as it promised. One
//! that hangs, or whose task has ended although nobody stopped it, makes the server unhealthy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It serves, and all its loops move.
    Ok,
    /// It does not serve yet.
    Starting,
    /// It was told to stop.
    Stopping,
    /// These loops have not moved for too long.
    Stuck(Vec<&'static str>),
}

impl Verdict {
    /// Returns the word for it, which tells no details.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stuck(_) => "stuck",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Starting,
    Serving,
    Stopping,
}

#[derive(Debug)]
struct Watched {
    seen: Instant,
    limit: Duration,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    loops: BTreeMap<&'static str, Watched>,
}

/// The health of one server. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

/// The sign of life of one loop.
///
/// Dropping it says nothing: a loop that panicked is missed after its limit.
#[derive(Debug)]
pub struct LoopWatch {
    health: Health,
    name: &'static str,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the server serves from now on.
    pub fn serving(&self) {
        self.lock().phase = Phase::Serving;
    }

    /// Says that the server was told to stop.
    pub fn stopping(&self) {
        self.lock().phase = Phase::Stopping;
    }

    /// Begins to watch a loop. `limit`: the longest time between two signs of life; several times what is usual.
    pub fn watch(&self, name: &'static str, limit: Duration) -> LoopWatch {
        self.lock().loops.insert(name, Watched { seen: Instant::now(), limit });
        LoopWatch { health: self.clone(), name }
    }

    /// Returns how the server is.
    pub fn verdict(&self) -> Verdict {
        let state = self.lock();
        match state.phase {
            Phase::Starting => return Verdict::Starting,
            Phase::Stopping => return Verdict::Stopping,
            Phase::Serving => {}
        }
        let is_stuck = |watched: &Watched| watched.limit < watched.seen.elapsed();
        let stuck: Vec<&'static str> =
            state.loops.iter().filter(|(_, watched)| is_stuck(watched)).map(|(name, _)| *name).collect();
        if stuck.is_empty() { Verdict::Ok } else { Verdict::Stuck(stuck) }
    }
}

impl LoopWatch {
    /// Says that the loop is alive.
    pub fn beat(&self) {
        if let Some(watched) = self.health.lock().loops.get_mut(self.name) {
            watched.seen = Instant::now();
        }
    }

    /// Says that the loop was stopped in order, and is not to be missed.
    pub fn finish(self) {
        self.health.lock().loops.remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_move_is_told_until_it_does() {
        let health = Health::default();
        assert_eq!(health.verdict(), Verdict::Starting);
        let scheduler = health.watch("scheduler", Duration::from_secs(300));
        let dispatcher = health.watch("dispatcher", Duration::from_secs(60));
        health.serving();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(health.verdict(), Verdict::Ok);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(health.verdict(), Verdict::Stuck(vec!["dispatcher"]));
        dispatcher.beat();
        assert_eq!(health.verdict(), Verdict::Ok);
        drop(scheduler);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(health.verdict(), Verdict::Stuck(vec!["dispatcher", "scheduler"]), "one ended without a word");
        dispatcher.finish();
        assert_eq!(health.verdict(), Verdict::Stuck(vec!["scheduler"]));
        health.stopping();
        assert_eq!((health.verdict(), health.verdict().as_str()), (Verdict::Stopping, "stopping"));
    }
}
