//! The deliveries of one recipient: one after the other, the oldest that is due first. Pure, except for the file names.

use std::time::Duration;

use farhold_rules::delivery_retry::pause_after;
use farhold_types::Epoch;
use tokio::time::Instant;

use super::delivery::Delivery;

/// Deliveries that wait for one recipient at most. Source: our own choice; a recipient that was away for three days
/// wants no more.
const MAX_IN_LANE: usize = 1000;

/// Pause of a delivery that was tried in vain for longer than deliveries are, but was not given up: our own files or settings
/// are in the way. Source: our own choice, as long as the longest of the others.
const LONG_PAUSE: Duration = Duration::from_secs(3600);

/// Pause of all that wait for a recipient, if our own settings say not how to reach it. Source: our own choice; what they
/// get wrong is one line a minute in the log, and soon noticed when it is mended.
const HELD_PAUSE: Duration = Duration::from_secs(60);

/// A delivery that waits in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) file: String,
    pub(super) failures: u32,
    pub(super) due: Instant,
}

impl Waiting {
    /// Returns what waits in a file that was just found. The pause after a failed attempt of an earlier life of the
    /// server goes on, but never longer than a whole one: the clock may have been set.
    pub(super) fn new(delivery: &Delivery, now: Epoch, at: Instant) -> Self {
        let pause = pause_after(delivery.failures).unwrap_or_default();
        let waited = delivery.last_attempt.and_then(|last| u64::try_from(now.seconds_since(last)).ok());
        let rest = waited.map_or(Duration::ZERO, |waited| pause.saturating_sub(Duration::from_secs(waited)));
        Self { file: delivery.file_name(), failures: delivery.failures, due: at + rest }
    }
}

/// What waits for one recipient.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// In the order in which it came.
    waiting: Vec<Waiting>,
    /// The file that is being delivered.
    under_way: Option<String>,
    only_newest: bool,
}

impl Lane {
    pub(super) fn new(only_newest: bool) -> Self {
        Self { only_newest, ..Self::default() }
    }

    /// Adds what has come, and returns the files that wait in vain: the oldest beyond what may wait.
    pub(super) fn add(&mut self, waiting: Waiting) -> Vec<String> {
        self.waiting.push(waiting);
        self.excess()
    }

    fn excess(&mut self) -> Vec<String> {
        let bound = if self.only_newest { 1 } else { MAX_IN_LANE };
        let excess = self.waiting.len().saturating_sub(bound);
        let under_way = self.under_way.as_deref();
        let mut dropped = Vec::new();
        let mut number = 0;
        self.waiting.retain(|waiting| {
            number += 1;
            let is_dropped = number <= excess && under_way != Some(waiting.file.as_str());
            if is_dropped {
                dropped.push(waiting.file.clone());
            }
            !is_dropped
        });
        dropped
    }

    /// Returns the file to deliver now, if there is one and none is under way.
    pub(super) fn start(&mut self, now: Instant) -> Option<String> {
        if self.under_way.is_some() {
            return None;
        }
        let due = self.waiting.iter().find(|waiting| waiting.due <= now)?;
        self.under_way = Some(due.file.clone());
        self.under_way.clone()
    }

    /// Notes that what was under way has come to its end; it waits no more. If it `arrived`, the recipient is there, and
    /// everything that waits is due.
    pub(super) fn settled(&mut self, arrived: bool, now: Instant) {
        let Some(file) = self.under_way.take() else { return };
        self.waiting.retain(|waiting| waiting.file != file);
        if arrived {
            self.waiting.iter_mut().for_each(|waiting| waiting.due = waiting.due.min(now));
        }
    }

    /// Notes that the attempt has failed for the given number of times, and returns the files that wait in vain: what has
    /// newer ones behind it where only the newest counts.
    pub(super) fn failed(&mut self, failures: u32, now: Instant) -> Vec<String> {
        let Some(file) = self.under_way.take() else { return Vec::new() };
        for waiting in &mut self.waiting {
            if waiting.file == file {
                waiting.failures = failures;
                // Where our own files are in the way, nobody gives up; nor is it tried again at once, for ever.
                waiting.due = now + pause_after(failures).unwrap_or(LONG_PAUSE);
            }
        }
        self.excess()
    }

    /// Notes that what was under way was not tried, for a reason that holds for everything in the lane.
    pub(super) fn held(&mut self, now: Instant) -> Vec<String> {
        if self.under_way.take().is_none() {
            return Vec::new();
        }
        self.waiting.iter_mut().for_each(|waiting| waiting.due = waiting.due.max(now + HELD_PAUSE));
        self.excess()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the files of everything that waits.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|waiting| waiting.file.as_str())
    }

    /// Returns how many attempts of what is under way had failed before.
    pub(super) fn failures_under_way(&self) -> u32 {
        let under_way = self.waiting.iter().find(|waiting| self.under_way.as_ref() == Some(&waiting.file));
        under_way.map_or(0, |waiting| waiting.failures)
    }

    /// Returns whether newer deliveries make older ones pointless.
    pub(super) const fn only_newest(&self) -> bool {
        self.only_newest
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Returns how many wait, and of how many of them an attempt failed.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting.iter().filter(|waiting| 0 < waiting.failures).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(file: &str, due: Instant) -> Waiting {
        Waiting { file: file.to_owned(), failures: 0, due }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_a_success_makes_the_rest_due() {
        let now = Instant::now();
        let mut lane = Lane::new(false);
        for name in ["a", "b"] {
            assert_eq!(lane.add(waiting(name, now)), [""; 0]);
        }
        assert_eq!(lane.start(now).as_deref(), Some("a"));
        assert_eq!(lane.start(now), None, "one is under way");
        assert_eq!(lane.failed(1, now), [""; 0]);
        assert_eq!(lane.start(now).as_deref(), Some("b"), "what waits for a second attempt holds up nothing");
        lane.settled(true, now);
        assert_eq!(lane.start(now).as_deref(), Some("a"), "the recipient is back");
        lane.settled(true, now);
        assert!(lane.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_delivery_waits_for_its_pause() {
        let now = Instant::now();
        let mut lane = Lane::new(false);
        lane.add(waiting("a", now));
        lane.start(now);
        lane.failed(2, now);
        assert_eq!(lane.start(now + Duration::from_secs(59)), None);
        assert_eq!(lane.start(now + Duration::from_secs(60)).as_deref(), Some("a"));
        lane.settled(false, now);
        assert!(lane.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_more_often_than_is_tried_still_waits() {
        let now = Instant::now();
        let mut lane = Lane::new(false);
        lane.add(waiting("a", now));
        for failures in [80, 1000, u32::MAX] {
            lane.start(now + Duration::from_secs(3600)).unwrap();
            lane.failed(failures, now);
            assert_eq!(lane.start(now + Duration::from_secs(3599)), None, "{failures}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_up_by_our_own_settings_waits_together_and_counts_no_failure() {
        let now = Instant::now();
        let mut lane = Lane::new(false);
        for name in ["a", "b"] {
            lane.add(waiting(name, now));
        }
        lane.start(now).unwrap();
        assert_eq!(lane.held(now), [""; 0]);
        assert_eq!(lane.start(now + Duration::from_secs(59)), None, "one line in the log is enough");
        assert_eq!(lane.start(now + Duration::from_secs(60)).as_deref(), Some("a"));
        assert_eq!(lane.counts(), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn of_pings_only_the_newest_waits() {
        let now = Instant::now();
        let mut lane = Lane::new(true);
        lane.add(waiting("a", now));
        assert_eq!(lane.add(waiting("b", now)), ["a"]);
        assert_eq!(lane.start(now).as_deref(), Some("b"));
        assert_eq!(lane.add(waiting("c", now)), [""; 0], "what is under way is not taken away");
        assert_eq!(lane.failed(1, now), ["b"], "but not tried again");
        assert_eq!(lane.start(now).as_deref(), Some("c"));
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_for_one_recipient_drops_the_oldest() {
        let now = Instant::now();
        let mut lane = Lane::new(false);
        let dropped: Vec<String> = (0..1002).flat_map(|n| lane.add(waiting(&n.to_string(), now))).collect();
        assert_eq!(dropped, ["0", "1"]);
    }
}
