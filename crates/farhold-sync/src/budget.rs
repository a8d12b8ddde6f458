//! Bytes of chunks in flight: what bounds the memory of a run, and that of all runs of a server together.
//!
//! A run has a budget of its own, and what it takes from that it also takes from the room that all runs share. Beyond its
//! first chunk it takes no more than its share, which leaves as much for one more run: slow runs, each of which would fill
//! its whole budget and hold it for minutes, leave a fast one that begins later enough to fill its line. A run never waits
//! for others for ever: if it gets nothing from the room for a while, as when others hold all of it for lines on which
//! nothing comes, it goes on with one chunk at a time beside the room. Nobody who holds a part of the room waits for more of
//! it with the same chunk, so that there is no deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{AcquireError, Mutex, Notify, OwnedSemaphorePermit, Semaphore};

/// Smallest byte budget that lets the largest chunk through.
pub(crate) const MIN_BUDGET_BYTES: u32 = 16 << 20;

/// Bytes of chunks in flight at once in all runs of a server: four runs at their full speed. A hundred runs at once had
/// a gigabyte and more before there was such a bound.
const DEFAULT_ROOM_BYTES: u32 = 320 << 20;

/// How long a run waits for the room before it goes on beside it: longer than it takes until its turn comes among hundreds
/// of runs that all move, short enough for one whose neighbours do not.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Room for the chunks in flight of all runs of one server. Cheap to clone; the copies are the same room.
#[derive(Debug, Clone)]
pub struct ChunkRoom {
    free: Arc<Semaphore>,
    bytes: u32,
    /// Runs that use it.
    runs: Arc<AtomicUsize>,
}

impl ChunkRoom {
    /// Returns room for so many bytes; it is never smaller than the largest chunk.
    pub fn new(bytes: u32) -> Self {
        let bytes = bytes.max(MIN_BUDGET_BYTES);
        Self { free: Arc::new(Semaphore::new(bytes as usize)), bytes, runs: Arc::default() }
    }

    /// Returns what each run may take, in bytes, so that one more finds as much.
    fn share(&self) -> usize {
        self.bytes as usize / self.runs.load(Ordering::Relaxed).saturating_add(1)
    }
}

impl Default for ChunkRoom {
    fn default() -> Self {
        Self::new(DEFAULT_ROOM_BYTES)
    }
}

/// What one run may have in flight.
#[derive(Debug)]
pub(crate) struct Budget {
    own: Arc<Semaphore>,
    part: Option<Arc<Part>>,
    /// Whose turn it is to take a place in the room.
    turn: Mutex<()>,
    /// One chunk beside the room.
    beside: Arc<Semaphore>,
    /// Whether the last chunk had to go beside the room: then the next one does not wait as long.
    is_starved: AtomicBool,
}

impl Budget {
    /// Returns a budget of so many bytes, at least as much as the largest chunk; `room`: what is shared with others.
    pub(crate) fn new(bytes: u32, room: Option<ChunkRoom>) -> Self {
        let own = Arc::new(Semaphore::new(bytes.max(MIN_BUDGET_BYTES) as usize));
        let part = room.map(|room| Arc::new(Part::new(room)));
        let beside = Arc::new(Semaphore::new(1));
        Self { own, part, turn: Mutex::default(), beside, is_starved: AtomicBool::new(false) }
    }

    /// Waits for a place for a chunk of so many bytes, not more than the whole budget, which it keeps until the returned
    /// value is dropped. Cancel safe; places are given in the order of the calls.
    ///
    /// # Errors
    /// The budget was closed, which nobody does.
    pub(crate) async fn acquire(&self, bytes: u32) -> Result<Charge, AcquireError> {
        let own = Arc::clone(&self.own).acquire_many_owned(bytes).await?;
        let Some(part) = &self.part else { return Ok(Charge { own, place: None }) };
        let _turn = self.turn.lock().await;
        let beside = async {
            if !self.is_starved.load(Ordering::Relaxed) {
                tokio::time::sleep(ROOM_WAIT).await;
            }
            Arc::clone(&self.beside).acquire_owned().await
        };
        tokio::select! {
            biased;
            place = part.take(bytes) => {
                self.is_starved.store(false, Ordering::Relaxed);
                Ok(Charge { own, place: Some(Place::InRoom(place?)) })
            }
            place = beside => {
                self.is_starved.store(true, Ordering::Relaxed);
                Ok(Charge { own, place: Some(Place::Beside(place?)) })
            }
        }
    }
}

/// The part of a room that one run holds.
#[derive(Debug)]
struct Part {
    room: ChunkRoom,
    held_bytes: AtomicUsize,
    changed: Notify,
}

impl Part {
    fn new(room: ChunkRoom) -> Self {
        room.runs.fetch_add(1, Ordering::Relaxed);
        Self { room, held_bytes: AtomicUsize::new(0), changed: Notify::new() }
    }

    /// Waits for a place in the room. One caller at a time.
    async fn take(self: &Arc<Self>, bytes: u32) -> Result<InRoom, AcquireError> {
        let bytes = bytes.min(self.room.bytes);
        loop {
            let held = self.held_bytes.load(Ordering::Acquire);
            // The share grows when others end, which is seen when the next chunk of the run's own is done.
            if held == 0 || held + bytes as usize <= self.room.share() {
                break;
            }
            self.changed.notified().await;
        }
        let permit = Arc::clone(&self.room.free).acquire_many_owned(bytes).await?;
        self.held_bytes.fetch_add(permit.num_permits(), Ordering::AcqRel);
        Ok(InRoom { permit, part: Arc::clone(self) })
    }

    fn give_back(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::AcqRel);
        // Kept for the one that looks next, if nobody waits yet.
        self.changed.notify_one();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in the room; given back when dropped.
#[derive(Debug)]
struct InRoom {
    permit: OwnedSemaphorePermit,
    part: Arc<Part>,
}

impl InRoom {
    fn shrink_to(&mut self, bytes: usize) {
        let spare = self.permit.num_permits().saturating_sub(bytes);
        drop(self.permit.split(spare));
        self.part.give_back(spare);
    }
}

impl Drop for InRoom {
    fn drop(&mut self) {
        self.part.give_back(self.permit.num_permits());
    }
}

/// Where a chunk has its place among those of all runs; given back when dropped.
#[derive(Debug)]
enum Place {
    InRoom(InRoom),
    Beside(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit),
}

/// The place of one chunk in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    own: OwnedSemaphorePermit,
    place: Option<Place>,
}

impl Charge {
    /// Gives back what is not needed for so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        drop(self.own.split(self.own.num_permits().saturating_sub(bytes)));
        if let Some(Place::InRoom(place)) = &mut self.place {
            place.shrink_to(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MIB: u32 = 1 << 20;

    fn now(budget: &Budget, bytes: u32) -> Option<Charge> {
        // Without the bound on what a task may do in one turn, which is none of the budget's.
        tokio::task::unconstrained(budget.acquire(bytes)).now_or_never().map(Result::unwrap)
    }

    #[tokio::test(start_paused = true)]
    async fn all_runs_together_have_no_more_in_flight_than_the_room_has() {
        let room = ChunkRoom::new(32 * MIB);
        let runs: Vec<Budget> = (0..10).map(|_| Budget::new(80 * MIB, Some(room.clone()))).collect();
        let mut held: Vec<Charge> = runs.iter().filter_map(|run| now(run, 4 * MIB)).collect();
        assert_eq!(held.len(), 8);
        // What compression spares is room for others, and what ends too.
        held[0].shrink_to(MIB as usize);
        held[1].shrink_to(3 * MIB as usize);
        let another = now(&runs[8], 4 * MIB).unwrap();
        assert!(now(&runs[9], 4 * MIB).is_none());
        drop(another);
        assert!(now(&runs[9], 4 * MIB).is_some());
        drop(held);
        assert_eq!(room.free.available_permits(), 32 * MIB as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_runs_leave_as_much_for_a_fast_one_that_begins_later() {
        let room = ChunkRoom::new(320 * MIB);
        let slow: Vec<Budget> = (0..10).map(|_| Budget::new(80 * MIB, Some(room.clone()))).collect();
        let held: Vec<Charge> = slow.iter().flat_map(|run| (0..20).filter_map(|_| now(run, 4 * MIB))).collect();
        assert_eq!(held.len(), 10 * 7, "an eleventh of the room each, in whole chunks");
        let fast = Budget::new(80 * MIB, Some(room.clone()));
        let mut of_fast: Vec<Charge> = (0..20).filter_map(|_| now(&fast, 4 * MIB)).collect();
        assert_eq!(of_fast.len(), 6);
        assert!(now(&slow[0], 4 * MIB).is_none());
        // Its next chunk comes when one of its own is done, and when others end its share grows.
        of_fast.pop();
        assert!(now(&fast, 4 * MIB).is_some());
        drop((held, slow));
        of_fast.pop();
        let more = (0..20).filter_map(|_| now(&fast, 4 * MIB)).collect::<Vec<_>>();
        assert_eq!(of_fast.len() + more.len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_alone_has_its_own_budget_and_one_without_room_too() {
        for room in [None, Some(ChunkRoom::default())] {
            let run = Budget::new(80 * MIB, room);
            let held: Vec<Charge> = (0..30).filter_map(|_| now(&run, 4 * MIB)).collect();
            assert_eq!(held.len(), 20);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_goes_on_although_others_hold_all_the_room_for_ever() {
        let room = ChunkRoom::new(16 * MIB);
        let (stuck, run) = (Budget::new(80 * MIB, Some(room.clone())), Budget::new(80 * MIB, Some(room.clone())));
        let held = now(&stuck, 16 * MIB).unwrap();
        let begin = tokio::time::Instant::now();
        for _ in 0..100 {
            let charge = run.acquire(16 * MIB).await.unwrap();
            assert!(now(&run, MIB).is_none(), "one at a time");
            drop(charge);
        }
        assert_eq!(begin.elapsed(), ROOM_WAIT, "it waits once, not with every chunk");
        // As soon as there is room it is used again.
        drop(held);
        let in_room = run.acquire(10 * MIB).await.unwrap();
        assert_eq!(room.free.available_permits(), 6 * MIB as usize);
        drop(in_room);
        assert_eq!(room.free.available_permits(), 16 * MIB as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let room = ChunkRoom::new(16 * MIB);
        let (one, other) = (Budget::new(80 * MIB, Some(room.clone())), Budget::new(80 * MIB, Some(room.clone())));
        let held = now(&one, 16 * MIB).unwrap();
        assert!(now(&other, 8 * MIB).is_none());
        drop(held);
        assert_eq!((room.free.available_permits(), other.own.available_permits()), (16 << 20, 80 << 20));
    }
}
