//! Token-bucket arithmetic: how long a connection must pause after a transfer.
//!
//! The bucket counts what was consumed, not what is left: a new one is fully consumed, so a burst value does not
//! speed up the start. Time comes in as an argument; waiting is the caller's part.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 4.

use std::time::Duration;

/// Pauses below this are not waited for; they stay in the bucket. Source: `docs/spec/schedules-and-tasks.md` 4.
pub const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// One direction of one limit, shared by all connections it applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBucket {
    rate: u64,
    burst: u64,
    consumed: u64,
    total: u64,
    updated: Duration,
}

impl TokenBucket {
    /// Returns a bucket without credit.
    ///
    /// `rate_bytes_per_s`: 0 means unlimited, traffic is still counted. `burst_bytes`: size of the bucket, the rate if
    /// `None`. `now`: time since any fixed moment; later calls must use the same one.
    pub fn new(rate_bytes_per_s: u64, burst_bytes: Option<u64>, now: Duration) -> Self {
        let burst = burst_bytes.unwrap_or(rate_bytes_per_s);
        Self { rate: rate_bytes_per_s, burst, consumed: burst, total: 0, updated: now }
    }

    /// Counts `bytes` that were transferred at `now` and returns how long to pause before the next transfer.
    ///
    /// A clock that goes backwards changes nothing. Pauses below [`SHORTEST_PAUSE`] are returned as zero.
    pub fn register(&mut self, now: Duration, bytes: u64) -> Duration {
        self.refill(now);
        self.consumed = self.consumed.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        let excess = self.consumed.saturating_sub(self.burst);
        if excess == 0 || self.rate == 0 {
            return Duration::ZERO;
        }
        let nanoseconds = u128::from(excess) * 1_000_000_000 / u128::from(self.rate);
        let pause = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        if pause < SHORTEST_PAUSE { Duration::ZERO } else { pause }
    }

    /// Changes rate and bucket size; what was consumed stays, up to the new size if that is smaller than the old one.
    pub fn set_limits(&mut self, rate_bytes_per_s: u64, burst_bytes: Option<u64>, now: Duration) {
        self.refill(now);
        let burst = burst_bytes.unwrap_or(rate_bytes_per_s);
        if burst < self.burst {
            self.consumed = self.consumed.min(burst);
        }
        (self.rate, self.burst) = (rate_bytes_per_s, burst);
    }

    /// Returns how many bytes were counted since the bucket was made.
    pub const fn total_bytes(&self) -> u64 {
        self.total
    }

    fn refill(&mut self, now: Duration) {
        let Some(elapsed) = now.checked_sub(self.updated) else {
            return;
        };
        let credit = u128::from(self.rate).saturating_mul(elapsed.as_nanos()) / 1_000_000_000;
        let credit = u64::try_from(credit).unwrap_or(u64::MAX);
        // Without this the rest below one byte would be lost at each of many small transfers.
        if credit != 0 || self.rate == 0 {
            self.updated = now;
            self.consumed = self.consumed.saturating_sub(credit);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Returns the seconds that `total` bytes take in pieces of `piece` bytes, when the link itself takes no time.
    fn seconds(bucket: &mut TokenBucket, start: Duration, total: u64, piece: u64) -> f64 {
        let mut now = start;
        for _ in 0..total / piece {
            now += bucket.register(now, piece);
        }
        (now - start).as_secs_f64()
    }

    #[test]
    fn a_burst_value_does_not_speed_up_the_start() {
        let start = Duration::from_secs(5);
        for burst in [None, Some(10 * MIB), Some(1024)] {
            let took = seconds(&mut TokenBucket::new(MIB, burst, start), start, 10 * MIB, 16 * 1024);
            assert!((9.9..10.2).contains(&took), "{burst:?}: {took}");
        }
    }

    #[test]
    fn credit_builds_up_while_the_link_idles_up_to_the_burst_value() {
        let mut bucket = TokenBucket::new(MIB, Some(5 * MIB), Duration::ZERO);
        let took = seconds(&mut bucket, Duration::from_secs(60), 10 * MIB, 16 * 1024);
        assert!((4.9..5.2).contains(&took), "{took}");
    }

    #[test]
    fn small_excess_is_not_waited_for_but_remembered() {
        let mut bucket = TokenBucket::new(1000, None, Duration::ZERO);
        assert_eq!(bucket.register(Duration::ZERO, 9), Duration::ZERO);
        assert_eq!(bucket.register(Duration::ZERO, 1), Duration::from_millis(10));
    }

    #[test]
    fn a_clock_that_goes_backwards_and_rate_zero_change_nothing() {
        let mut bucket = TokenBucket::new(1000, None, Duration::from_secs(100));
        assert_eq!(bucket.register(Duration::from_secs(50), 1000), Duration::from_secs(1));
        let mut unlimited = TokenBucket::new(0, Some(1), Duration::ZERO);
        assert_eq!(unlimited.register(Duration::ZERO, u64::MAX), Duration::ZERO);
        assert_eq!(unlimited.total_bytes(), u64::MAX);
    }

    #[test]
    fn a_smaller_bucket_forgives_what_does_not_fit() {
        let mut bucket = TokenBucket::new(1000, Some(5000), Duration::ZERO);
        bucket.set_limits(1000, Some(1000), Duration::ZERO);
        assert_eq!(bucket.register(Duration::ZERO, 500), Duration::from_millis(500));
        bucket.set_limits(1000, Some(2000), Duration::ZERO);
        assert_eq!(bucket.register(Duration::ZERO, 500), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn never_faster_than_rate_plus_burst(
            rate in 1u64..10_000_000,
            burst in proptest::option::of(1u64..10_000_000),
            steps in proptest::collection::vec((0u64..100_000, 0u64..50_000_000), 1..100),
        ) {
            let mut bucket = TokenBucket::new(rate, burst, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut sent = 0u128;
            for (bytes, idle_ns) in steps {
                now += Duration::from_nanos(idle_ns);
                now += bucket.register(now, bytes);
                sent += u128::from(bytes);
                // Up to 10 ms of excess are let through.
                let allowed = u128::from(rate) * (now.as_nanos() + 10_000_000) / 1_000_000_000 + 2;
                prop_assert!(sent <= allowed);
            }
        }
    }
}
