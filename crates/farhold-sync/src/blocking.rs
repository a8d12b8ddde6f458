//! Where the blocking work of the engine runs: hashing, decoding and every step on a datastore.
//!
//! A server uses threads. A simulation must be able to repeat a run exactly, so there the same pieces of work run one
//! after the other as tasks of a single-threaded runtime, each after a pause that the simulation names. In both ways a
//! piece that was begun runs to its end, also when nobody waits for it any more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How many pieces of work the check pool runs at once inline: what a small machine does, whatever this one has.
const INLINE_POOL_SIZE: usize = 3;

/// Names how long each piece of inline work lasts, in the order in which they are begun.
pub trait Pace: Send + Sync + 'static {
    /// Returns the pause before the next piece of work takes effect.
    fn next(&self) -> Duration;
}

impl<F: Fn() -> Duration + Send + Sync + 'static> Pace for F {
    fn next(&self) -> Duration {
        self()
    }
}

/// Where blocking work runs.
#[derive(Clone, Default)]
pub enum Blocking {
    /// On the runtime's threads for blocking work.
    #[default]
    Threads,
    /// On the runtime's own thread, each piece as a task of its own that first sleeps as long as the pace says. With a
    /// paused clock and a single thread the whole run is a function of its inputs.
    Inline(Arc<dyn Pace>),
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Inline(_) => "Inline",
        })
    }
}

impl Blocking {
    /// Begins a piece of work that `tracker` waits for.
    pub(crate) fn spawn<R: Send + 'static>(
        &self,
        tracker: &TaskTracker,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        match self {
            Self::Threads => tracker.spawn_blocking(work),
            Self::Inline(pace) => tracker.spawn(after(pace.next(), work)),
        }
    }

    /// Begins a piece of work that nobody needs to wait for.
    pub(crate) fn spawn_untracked<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work),
            Self::Inline(pace) => tokio::spawn(after(pace.next(), work)),
        }
    }

    /// Returns how many pieces of work the check pool runs at once: one more than there are cores.
    pub(crate) fn pool_size(&self) -> usize {
        match self {
            Self::Threads => std::thread::available_parallelism().map_or(2, usize::from) + 1,
            Self::Inline(_) => INLINE_POOL_SIZE,
        }
    }
}

async fn after<R>(pause: Duration, work: impl FnOnce() -> R) -> R {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    work()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn inline_work_takes_effect_in_the_order_of_its_pauses_and_also_when_nobody_waits() {
        let begun = AtomicU64::new(0);
        let pace = move || Duration::from_millis([30, 10, 20][begun.fetch_add(1, Ordering::Relaxed) as usize % 3]);
        let blocking = Blocking::Inline(Arc::new(pace));
        let (tracker, done) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
        for number in 0..3 {
            let done = done.clone();
            drop(blocking.spawn(&tracker, move || done.lock().map(|mut done| done.push(number)).is_ok()));
        }
        tracker.close();
        tracker.wait().await;
        assert_eq!(*done.lock().unwrap_or_else(std::sync::PoisonError::into_inner), [1, 2, 0]);
    }
}
