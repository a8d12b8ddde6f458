//! Blocking work of the product that takes turns with everything else in a world.
//!
//! A garbage collection or a verification blocks its thread until it is done, and backups and syncs go on meanwhile. Here
//! it gets a thread of its own that runs only while the world stands still: at the places where it asks whether to go on,
//! and where it lists directories, it now and then hands the turn back together with a pause. So there is always exactly
//! one thread that runs, and a seed gives the same order each time.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use farhold_storage::FileTime;
use tokio::runtime::Handle;

use crate::rng::Rng;

/// How often and how long the work pauses.
#[derive(Debug, Clone)]
pub struct Rhythm {
    /// Chance of the work.
    pub rng: Rng,
    /// Pauses of a thousand places where there may be one.
    pub pauses_permille: u64,
    /// Longest pause in milliseconds.
    pub longest_ms: u64,
}

impl Rhythm {
    /// Returns one that a whole world or a single piece of work may have: from none at all to many pauses.
    pub fn random(rng: &Rng) -> Self {
        let pauses_permille = *rng.pick(&[0, 5, 30, 150]).unwrap_or(&0);
        let longest_ms = *rng.pick(&[30, 300, 3000]).unwrap_or(&300);
        Self { rng: rng.fork(), pauses_permille, longest_ms }
    }

    fn next(&self) -> Option<Duration> {
        (self.rng.below(1000) < self.pauses_permille).then(|| self.rng.millis(1, self.longest_ms))
    }
}

/// What the work's thread knows of its turn.
struct Turn {
    rhythm: Rhythm,
    pauses: SyncSender<Duration>,
    goes_on: Receiver<()>,
    /// Whether nobody waits for the work any more.
    is_abandoned: bool,
    glasses: Glasses,
}

/// What a planted fault lets the work see instead of what is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Glasses {
    /// Chunks that were accessed before this second look as if that had been long ago.
    pub old_before: Option<i64>,
    /// Damaged files look as they did before.
    pub is_blind_to_damage: bool,
    /// Good chunks look damaged now and then.
    pub invents_damage: bool,
    /// Nothing is protected.
    pub is_blind_to_protection: bool,
}

impl Glasses {
    /// Returns what a time of access looks like.
    pub fn accessed(&self, truth: FileTime) -> FileTime {
        match self.old_before {
            Some(second) if truth.seconds < second => FileTime { seconds: 0, nanoseconds: 0 },
            _ => truth,
        }
    }
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Hands the turn back for a while, if this is the thread of such work and it is time for a pause. Returns whether the work
/// should stop since nobody waits for it.
///
/// Call it only where no lock is held that others wait for.
pub fn breathe() -> bool {
    TURN.with_borrow_mut(|turn| {
        let Some(turn) = turn else { return false };
        if let Some(pause) = turn.rhythm.next().filter(|_| !turn.is_abandoned) {
            let went_on = turn.pauses.send(pause).is_ok() && turn.goes_on.recv() != Err(RecvError);
            turn.is_abandoned = !went_on;
        }
        turn.is_abandoned
    })
}

/// Does something without a pause in it.
pub fn without_pause<R>(work: impl FnOnce() -> R) -> R {
    let exchange = |permille| {
        TURN.with_borrow_mut(|turn| {
            let turn = turn.as_mut()?;
            Some(std::mem::replace(&mut turn.rhythm.pauses_permille, permille))
        })
    };
    let before = exchange(0);
    let outcome = work();
    exchange(before.unwrap_or(0));
    outcome
}

/// Does something without a pause in it that sees the truth.
pub fn undisturbed<R>(work: impl FnOnce() -> R) -> R {
    let turn = TURN.take();
    let outcome = work();
    TURN.set(turn);
    outcome
}

/// Returns what the work on this thread sees; the truth on all other threads.
pub fn glasses() -> Glasses {
    TURN.with_borrow(|turn| turn.as_ref().map(|turn| turn.glasses).unwrap_or_default())
}

/// Lets the work on this thread see something else from now on.
pub fn put_on(glasses: Glasses) {
    TURN.with_borrow_mut(|turn| {
        if let Some(turn) = turn {
            turn.glasses = glasses;
        }
    });
}

/// The work as the world sees it. Dropping it lets the work stop and waits for that.
struct Worker<R> {
    goes_on: Option<SyncSender<()>>,
    paused: Receiver<Duration>,
    thread: Option<JoinHandle<R>>,
}

impl<R> Drop for Worker<R> {
    fn drop(&mut self) {
        self.goes_on.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Does blocking work in turns with the rest of the world. `meanwhile` is done in each pause, before the work goes on.
///
/// # Errors
/// The work panicked, or there is no thread for it.
pub async fn in_turns<R: Send + 'static>(
    rhythm: Rhythm,
    work: impl FnOnce() -> R + Send + 'static,
    mut meanwhile: impl FnMut(),
) -> anyhow::Result<R> {
    let (pauses, paused) = sync_channel(0);
    let (sender, goes_on) = sync_channel(0);
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().spawn(move || {
        // The world's time is that of its runtime.
        let _entered = runtime.enter();
        TURN.set(Some(Turn { rhythm, pauses, goes_on, is_abandoned: false, glasses: Glasses::default() }));
        let outcome = work();
        TURN.take();
        outcome
    })?;
    let mut worker = Worker { goes_on: Some(sender), paused, thread: Some(thread) };
    // The end of the work closes the channel.
    while let Ok(pause) = worker.paused.recv() {
        tokio::time::sleep(pause).await;
        meanwhile();
        if let Some(goes_on) = &worker.goes_on {
            let _ = goes_on.send(());
        }
    }
    let thread = worker.thread.take().context("the work ends once")?;
    thread.join().map_err(|_| anyhow::anyhow!("the work panicked"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    fn rhythm(pauses_permille: u64) -> Rhythm {
        Rhythm { rng: Rng::new(1), pauses_permille, longest_ms: 10 }
    }

    #[tokio::test(start_paused = true)]
    async fn work_and_world_take_turns_at_every_place() {
        let order = Arc::new(Mutex::new(String::new()));
        let told = |order: &Mutex<String>, what| order.lock().unwrap_or_else(PoisonError::into_inner).push(what);
        let of_work = order.clone();
        let work = move || {
            for _ in 0..3 {
                told(&of_work, 'w');
                assert!(!breathe());
            }
            undisturbed(breathe);
            7
        };
        let outcome = in_turns(rhythm(1000), work, || told(&order, 'm')).await;
        assert_eq!(outcome.unwrap(), 7);
        assert_eq!(*order.lock().unwrap(), "wmwmwm");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_nobody_waits_for_is_told_so_and_waited_for() {
        let was_told = Arc::new(Mutex::new(false));
        let of_work = was_told.clone();
        let work = move || *of_work.lock().unwrap() = breathe();
        let limit = Duration::from_micros(1);
        assert!(tokio::time::timeout(limit, in_turns(rhythm(1000), work, || {})).await.is_err());
        assert!(*was_told.lock().unwrap());
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_an_error() {
        assert!(in_turns(rhythm(0), || panic!("as planned"), || {}).await.is_err());
    }

    #[test]
    fn other_threads_never_pause_and_see_the_truth() {
        assert!(!breathe());
        put_on(Glasses { old_before: Some(1), ..Glasses::default() });
        assert!(glasses().old_before.is_none());
    }
}
