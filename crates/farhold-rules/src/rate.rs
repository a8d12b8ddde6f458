//! Token-bucket arithmetic: how long a connection must pause after a transfer.
//!
//! The bucket counts what was consumed, not what is left: a new one is fully consumed, so a burst value does not
//! speed up the start. Time comes in as an argument; waiting is the caller's part.
//!
//! Connections that share a bucket wait in a line: each until what was consumed up to its own transfer is paid for. So
//! none is ahead of the limit by more than one transfer, and each gets as many transfers as the others.
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
    /// Bytes paid for by the time that passed, since the bucket was made.
    paid: u64,
    updated: Duration,
}

/// The place of a transfer in the line of those that wait for their bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// How much must have been paid until it is over.
    paid: u64,
}

impl TokenBucket {
    /// Returns a bucket without credit.
    ///
    /// `rate_bytes_per_s`: 0 means unlimited, traffic is still counted. `burst_bytes`: size of the bucket, the rate if
    /// `None`. `now`: time since any fixed moment; later calls must use the same one.
    pub fn new(rate_bytes_per_s: u64, burst_bytes: Option<u64>, now: Duration) -> Self {
        let burst = burst_bytes.unwrap_or(rate_bytes_per_s);
        Self { rate: rate_bytes_per_s, burst, consumed: burst, total: 0, paid: 0, updated: now }
    }

    /// Counts `bytes` that were transferred at `now` and returns how long to pause before the next transfer.
    ///
    /// A clock that goes backwards changes nothing. Pauses below [`SHORTEST_PAUSE`] are returned as zero.
    pub fn register(&mut self, now: Duration, bytes: u64) -> Duration {
        self.refill(now);
        self.consumed = self.consumed.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        let pause = self.time_for(self.excess());
        if pause < SHORTEST_PAUSE { Duration::ZERO } else { pause }
    }

    /// Returns the place in the line of the transfer that was counted last.
    pub const fn turn(&self) -> Turn {
        Turn { paid: self.paid.saturating_add(self.excess()) }
    }

    /// Returns how long a transfer must still pause at `now`. Limits that changed meanwhile count from then on.
    pub fn rest(&mut self, now: Duration, turn: Turn) -> Duration {
        self.refill(now);
        // Nobody owes more than all together: a change of limits may have forgiven something.
        self.time_for(turn.paid.saturating_sub(self.paid).min(self.excess()))
    }

    const fn excess(&self) -> u64 {
        self.consumed.saturating_sub(self.burst)
    }

    /// Returns how long so many bytes take, rounded up; none with rate 0.
    fn time_for(&self, bytes: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        let nanoseconds = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
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

    /// Returns the limit in bytes per second, 0 for none.
    pub const fn rate_bytes_per_s(&self) -> u64 {
        self.rate
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
            self.paid = self.paid.saturating_add(credit);
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

    /// Connections that always have something to transfer, under one bucket.
    struct Crowd {
        bucket: TokenBucket,
        /// When each may transfer next, and what it has transferred.
        members: Vec<(Duration, Option<Turn>, u64)>,
        now: Duration,
    }

    impl Crowd {
        fn new(bucket: TokenBucket, count: usize) -> Self {
            Self { bucket, members: vec![(Duration::ZERO, None, 0); count], now: Duration::ZERO }
        }

        /// Lets the connections transfer pieces until `end`.
        fn run(&mut self, end: Duration, piece: impl Fn(usize) -> u64) {
            while let Some(index) = (0..self.members.len()).min_by_key(|i| self.members[*i].0) {
                if end <= self.members[index].0 {
                    break;
                }
                self.now = self.now.max(self.members[index].0);
                let (next, turn, total) = &mut self.members[index];
                // As a stream does it: it looks again when the pause ends.
                let rest = turn.map_or(Duration::ZERO, |turn| self.bucket.rest(self.now, turn));
                if !rest.is_zero() {
                    *next = self.now + rest;
                    continue;
                }
                let bytes = piece(index);
                let pause = self.bucket.register(self.now, bytes);
                *total += bytes;
                *turn = (!pause.is_zero()).then(|| self.bucket.turn());
                // A transfer takes some time by itself, so that rests below the shortest pause do not stop the clock.
                *next = self.now + pause.max(Duration::from_micros(10));
            }
            self.now = end;
            for (next, turn, _) in &mut self.members {
                // Who waits is woken now and then, and looks whether the limits are others.
                *next = turn.map_or(end, |turn| end + self.bucket.rest(end, turn));
            }
        }

        fn total(&self) -> u64 {
            self.members.iter().map(|(_, _, total)| total).sum()
        }
    }

    #[test]
    fn connections_under_one_bucket_get_equal_shares() {
        for (count, rate) in [(2, MIB), (7, 100 * 1024), (33, 10 * MIB)] {
            let mut crowd = Crowd::new(TokenBucket::new(rate, None, Duration::ZERO), count);
            crowd.run(Duration::from_secs(60), |_| rate / 50);
            let fair = crowd.total() / count as u64;
            for (index, (_, _, own)) in crowd.members.iter().enumerate() {
                assert!(own.abs_diff(fair) <= fair / 10, "{count} at {rate}: {index} has {own} instead of {fair}");
            }
            assert!(rate * 57 <= crowd.total(), "{count} at {rate}: {}", crowd.total());
        }
    }

    #[test]
    fn who_waits_under_a_slow_limit_goes_on_when_it_becomes_faster() {
        let mut bucket = TokenBucket::new(1000, None, Duration::ZERO);
        assert_eq!(bucket.register(Duration::ZERO, 100_000), Duration::from_secs(100));
        let turn = bucket.turn();
        assert_eq!(bucket.rest(Duration::from_secs(10), turn), Duration::from_secs(90));
        bucket.set_limits(45_000, Some(1000), Duration::from_secs(10));
        assert_eq!(bucket.rest(Duration::from_secs(10), turn), Duration::from_secs(2));
        bucket.set_limits(100, Some(1000), Duration::from_secs(11));
        assert_eq!(bucket.rest(Duration::from_secs(11), turn), Duration::from_secs(450));
        bucket.set_limits(0, None, Duration::from_secs(11));
        assert_eq!(bucket.rest(Duration::from_secs(11), turn), Duration::ZERO);
    }

    #[test]
    fn what_a_smaller_bucket_forgives_nobody_waits_for() {
        let mut bucket = TokenBucket::new(1000, Some(5000), Duration::ZERO);
        bucket.register(Duration::ZERO, 2000);
        let turn = bucket.turn();
        bucket.set_limits(1000, Some(1000), Duration::ZERO);
        assert_eq!(bucket.rest(Duration::ZERO, turn), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_crowd_is_never_faster_than_rate_plus_burst_also_if_the_limits_change(
            count in 1usize..12,
            pieces in proptest::collection::vec(1u64..60_000, 12),
            limits in proptest::collection::vec((2_000u64..2_000_000, proptest::option::of(1u64..500_000), 1u64..5_000), 1..5),
        ) {
            let bucket = TokenBucket::new(limits[0].0, limits[0].1, Duration::ZERO);
            let mut crowd = Crowd::new(bucket, count);
            // One transfer of each may be ahead of the limit.
            let ahead: u64 = pieces.iter().take(count).sum();
            let mut allowed = ahead;
            let mut largest_burst = limits[0].1.unwrap_or(limits[0].0);
            for (rate, burst, milliseconds) in limits {
                crowd.bucket.set_limits(rate, burst, crowd.now);
                let end = crowd.now + Duration::from_millis(milliseconds);
                crowd.run(end, |index| pieces[index]);
                // A change may give what the new bucket holds more, or forgive what is owed beyond the new bucket.
                largest_burst = largest_burst.max(burst.unwrap_or(rate));
                allowed += rate * (milliseconds + 10) / 1000 + largest_burst + ahead + 2;
                prop_assert!(crowd.total() <= allowed, "{} of {allowed}", crowd.total());
            }
        }

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
