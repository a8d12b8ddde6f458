//! Rate limits that connections share, and how a connection keeps to them.
//!
//! A [`SharedBucket`] limits one direction of all connections that use it. A [`Throttle`] tells a connection which bucket
//! holds for it at the moment; that may change while it is open. The stream asks before and after each transfer through
//! a [`Gate`] for each direction: data that was transferred is never held back, the transfer after it waits.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 4 and 5.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use farhold_rules::rate::{TokenBucket, Turn};
use tokio::time::{Instant, Sleep, sleep_until};

/// What one transfer takes under a limit, as a part of what may pass in a second. Each connection can be one transfer
/// ahead of the limit, and a run has some dozens; much less would cost more system calls than it is worth.
const TRANSFERS_PER_SECOND: u64 = 50;

/// The least that one transfer takes under a limit: a few packets; less only if the limit is that for a whole second.
const LEAST_BYTES: u64 = 4096;

/// Longest sleep of a connection that waits; then it looks whether the limits are others by now. With the time after which
/// rules are read again this stays below the 5 s within which they must count (`docs/spec/schedules-and-tasks.md` 5).
const LONGEST_SLEEP: Duration = Duration::from_secs(2);

/// A direction, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What comes in.
    In,
    /// What goes out.
    Out,
}

/// A token bucket that limits one direction of all connections that share it.
#[derive(Debug)]
pub struct SharedBucket {
    start: Instant,
    bucket: Mutex<TokenBucket>,
}

impl SharedBucket {
    /// Returns a bucket without credit. `rate_bytes_per_s`: 0 means unlimited; `burst_bytes`: the rate if `None`.
    pub fn new(rate_bytes_per_s: u64, burst_bytes: Option<u64>) -> Self {
        let bucket = TokenBucket::new(rate_bytes_per_s, burst_bytes, Duration::ZERO);
        Self { start: Instant::now(), bucket: Mutex::new(bucket) }
    }

    /// Changes the limits for all connections that use it. What was consumed stays.
    pub fn set_limits(&self, rate_bytes_per_s: u64, burst_bytes: Option<u64>) {
        let now = self.start.elapsed();
        self.locked().set_limits(rate_bytes_per_s, burst_bytes, now);
    }

    /// Returns how many bytes passed so far.
    pub fn total_bytes(&self) -> u64 {
        self.locked().total_bytes()
    }

    /// Returns the most that one transfer should take; none without a limit.
    fn most_bytes(&self) -> Option<usize> {
        let rate = self.locked().rate_bytes_per_s();
        let most = (rate / TRANSFERS_PER_SECOND).max(LEAST_BYTES.min(rate));
        (rate != 0).then(|| usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Counts a transfer and returns its place in the line if the next one has to wait.
    fn register(&self, bytes: usize) -> Option<Turn> {
        let now = self.start.elapsed();
        let mut bucket = self.locked();
        let pause = bucket.register(now, bytes as u64);
        (!pause.is_zero()).then(|| bucket.turn())
    }

    fn rest(&self, turn: Turn) -> Duration {
        let now = self.start.elapsed();
        self.locked().rest(now, turn)
    }

    /// A panic elsewhere leaves counters that are good enough to go on with.
    fn locked(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What holds for one connection.
pub trait Throttle: Send + Sync {
    /// Returns the bucket that limits a direction now; none if nothing does. Asked before and after each transfer and
    /// while the connection waits, so it must be quick and must not wait for files.
    fn bucket(&self, direction: Direction) -> Option<Arc<SharedBucket>>;

    /// Takes note of a transfer.
    fn transferred(&self, direction: Direction, bytes: usize) {
        let _ = (direction, bytes);
    }
}

/// Makes the throttle of each connection of a client, by the address that it leads to.
#[derive(Clone)]
pub struct Throttles(Arc<dyn Fn(IpAddr) -> Arc<dyn Throttle> + Send + Sync>);

impl Throttles {
    /// Returns what calls `make` for each new connection.
    pub fn new(make: impl Fn(IpAddr) -> Arc<dyn Throttle> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn of(&self, peer: IpAddr) -> Arc<dyn Throttle> {
        (self.0)(peer)
    }
}

impl fmt::Debug for Throttles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throttles")
    }
}

/// One direction of one connection: lets transfers through as its bucket allows.
#[derive(Default)]
pub struct Gate {
    wait: Option<Wait>,
}

struct Wait {
    bucket: Arc<SharedBucket>,
    turn: Turn,
    sleep: Pin<Box<Sleep>>,
}

impl Gate {
    /// Waits for the turn of the connection. While it waits, `paused` is told how long it will sleep at the most before it
    /// looks again.
    pub fn poll_turn(
        &mut self,
        throttle: &dyn Throttle,
        direction: Direction,
        paused: impl Fn(Duration),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while let Some(wait) = &mut self.wait {
            if wait.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // Another bucket, or none, may hold by now, or the limits are others.
            let is_same = throttle.bucket(direction).is_some_and(|bucket| Arc::ptr_eq(&bucket, &wait.bucket));
            let rest = if is_same { wait.bucket.rest(wait.turn) } else { Duration::ZERO };
            if rest.is_zero() {
                self.wait = None;
            } else {
                let sleep = rest.min(LONGEST_SLEEP);
                paused(sleep);
                wait.sleep.as_mut().reset(Instant::now() + sleep);
            }
        }
        Poll::Ready(())
    }

    /// Returns the most that the next transfer should take; none without a limit.
    pub fn most_bytes(throttle: &dyn Throttle, direction: Direction) -> Option<usize> {
        throttle.bucket(direction)?.most_bytes()
    }

    /// Counts a transfer; the next one waits if it has to.
    pub fn transferred(
        &mut self,
        throttle: &dyn Throttle,
        direction: Direction,
        bytes: usize,
        paused: impl Fn(Duration),
    ) {
        throttle.transferred(direction, bytes);
        let Some(bucket) = throttle.bucket(direction) else { return };
        let Some(turn) = bucket.register(bytes) else { return };
        let sleep = bucket.rest(turn).min(LONGEST_SLEEP);
        paused(sleep);
        self.wait = Some(Wait { bucket, turn, sleep: Box::pin(sleep_until(Instant::now() + sleep)) });
    }
}

/// Both directions of one connection under one throttle.
pub struct Limit {
    throttle: Arc<dyn Throttle>,
    reading: Gate,
    writing: Gate,
}

impl Limit {
    /// Returns where a connection stands that has transferred nothing yet.
    pub fn new(throttle: Arc<dyn Throttle>) -> Self {
        Self { throttle, reading: Gate::default(), writing: Gate::default() }
    }

    /// Waits for the turn of the connection in a direction. Its pauses are noted in `pauses`.
    pub fn poll_turn(&mut self, direction: Direction, pauses: &Pauses, cx: &mut Context<'_>) -> Poll<()> {
        let (throttle, gate) = self.gate(direction);
        gate.poll_turn(throttle, direction, |length| pauses.begin(length), cx)
    }

    /// Returns the most that the next transfer should take; none without a limit.
    pub fn most_bytes(&self, direction: Direction) -> Option<usize> {
        Gate::most_bytes(&*self.throttle, direction)
    }

    /// Counts a transfer; the next one waits if it has to, which is noted in `pauses`.
    pub fn transferred(&mut self, direction: Direction, bytes: usize, pauses: &Pauses) {
        let (throttle, gate) = self.gate(direction);
        gate.transferred(throttle, direction, bytes, |length| pauses.begin(length));
    }

    fn gate(&mut self, direction: Direction) -> (&dyn Throttle, &mut Gate) {
        let gate = match direction {
            Direction::In => &mut self.reading,
            Direction::Out => &mut self.writing,
        };
        (&*self.throttle, gate)
    }
}

/// Pauses that limits of our own caused on one connection: time in which the other end cannot be blamed for silence.
/// Cheap to clone; all clones are of the same connection.
#[derive(Debug, Clone)]
pub struct Pauses(Arc<PauseTimes>);

#[derive(Debug)]
struct PauseTimes {
    start: Instant,
    /// Milliseconds after `start` of the end of the last pause; may lie in the future.
    until_ms: AtomicU64,
    /// Milliseconds of all pauses together, those of both directions.
    total_ms: AtomicU64,
}

impl Default for Pauses {
    /// Returns those of a connection that never paused.
    fn default() -> Self {
        let [until_ms, total_ms] = [const { AtomicU64::new(0) }; 2];
        Self(Arc::new(PauseTimes { start: Instant::now(), until_ms, total_ms }))
    }
}

/// Work that took longer than it may, pauses aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct TooSlow;

impl Pauses {
    /// Notes a pause that begins now.
    pub fn begin(&self, length: Duration) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.until_ms.fetch_max(ms(self.0.start.elapsed()).saturating_add(ms(length)), Ordering::Relaxed);
        self.0.total_ms.fetch_add(ms(length), Ordering::Relaxed);
    }

    /// Returns the end of the last pause; may lie in the future, and before the first pause is when the connection began.
    pub fn until(&self) -> Instant {
        // Pauses are short, so this stays far from what an `Instant` can hold.
        self.0.start + Duration::from_millis(self.0.until_ms.load(Ordering::Relaxed))
    }

    fn total(&self) -> Duration {
        Duration::from_millis(self.0.total_ms.load(Ordering::Relaxed))
    }

    /// Returns a deadline that begins when a present pause ends, and moves by the pauses until it is reached.
    pub fn deadline(&self, limit: Duration) -> Deadline {
        let begin = Instant::now().max(self.until());
        Deadline { end: begin + limit, before: self.total(), pauses: self.clone() }
    }

    /// Waits for `work`, but no longer than `limit` and the pauses meanwhile.
    ///
    /// # Errors
    /// [`TooSlow`]; the work is dropped.
    pub async fn within<F: Future>(&self, limit: Duration, work: F) -> Result<F::Output, TooSlow> {
        let deadline = self.deadline(limit);
        tokio::select! {
            biased;
            output = work => Ok(output),
            () = deadline.passed() => Err(TooSlow),
        }
    }
}

/// A deadline that moves by the pauses of a connection.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// Without the pauses.
    end: Instant,
    /// Pauses before it was set.
    before: Duration,
    pauses: Pauses,
}

impl Deadline {
    /// Waits until it has passed.
    ///
    /// # Cancel safety
    /// It may be dropped and waited for again.
    pub async fn passed(&self) {
        loop {
            let end = self.end + self.pauses.total().saturating_sub(self.before);
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A throttle whose bucket can be exchanged.
    #[derive(Default)]
    struct Changing(Mutex<Option<Arc<SharedBucket>>>);

    impl Throttle for Changing {
        fn bucket(&self, _: Direction) -> Option<Arc<SharedBucket>> {
            self.0.lock().unwrap().clone()
        }
    }

    async fn turn(gate: &mut Gate, throttle: &Changing, pauses: &Pauses) {
        std::future::poll_fn(|cx| gate.poll_turn(throttle, Direction::In, |length| pauses.begin(length), cx)).await;
    }

    async fn waited(gate: &mut Gate, throttle: &Changing, pauses: &Pauses) -> Duration {
        let begin = Instant::now();
        turn(gate, throttle, pauses).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_learns_of_other_limits_and_of_none() {
        let bucket = Arc::new(SharedBucket::new(1000, None));
        let throttle = Changing(Mutex::new(Some(Arc::clone(&bucket))));
        let (mut gate, pauses) = (Gate::default(), Pauses::default());
        let note = |length| pauses.begin(length);
        gate.transferred(&throttle, Direction::In, 7000, note);
        assert_eq!(waited(&mut gate, &throttle, &pauses).await.as_secs_f64().round(), 7.0);
        assert_eq!(waited(&mut gate, &throttle, &pauses).await, Duration::ZERO);

        gate.transferred(&throttle, Direction::In, 3_600_000, note);
        bucket.set_limits(10_000_000, None);
        let took = waited(&mut gate, &throttle, &pauses).await;
        assert!(took < Duration::from_secs(5), "an hour under the former limit, now {took:?}");

        bucket.set_limits(1000, None);
        gate.transferred(&throttle, Direction::In, 3_600_000, note);
        *throttle.0.lock().unwrap() = None;
        let took = waited(&mut gate, &throttle, &pauses).await;
        assert!(took < Duration::from_secs(5), "the rule is gone: {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_of_our_own_do_not_count_as_slowness() {
        let bucket = Arc::new(SharedBucket::new(1000, None));
        let throttle = Changing(Mutex::new(Some(bucket)));
        let (mut gate, pauses) = (Gate::default(), Pauses::default());
        let begin = Instant::now();
        let work = async {
            for _ in 0..10 {
                gate.transferred(&throttle, Direction::In, 6000, |length| pauses.begin(length));
                turn(&mut gate, &throttle, &pauses).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        assert_eq!(pauses.within(Duration::from_secs(11), work).await, Ok(()));
        assert!(Duration::from_secs(55) < begin.elapsed(), "{:?}", begin.elapsed());
        let begin = Instant::now();
        let slow = tokio::time::sleep(Duration::from_secs(60));
        assert_eq!(pauses.within(Duration::from_secs(11), slow).await, Err(TooSlow));
        assert_eq!(begin.elapsed(), Duration::from_secs(11));
    }

    #[test]
    fn one_transfer_is_a_small_part_of_a_second_or_a_few_packets() {
        let most = |rate| SharedBucket::new(rate, None).most_bytes();
        assert_eq!([0, 10, 100 << 10, 10 << 20].map(most), [None, Some(10), Some(4096), Some((10 << 20) / 50)]);
    }
}
