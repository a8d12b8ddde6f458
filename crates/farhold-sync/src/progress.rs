//! How far a run is, for a bar, the progress endpoint and metrics: another reader of the event stream.

use std::time::Duration;

use crate::event::{GroupEvent, SyncEvent};

/// Weight of the newest second in the shown rate: about ten seconds of memory, so that the bar does not jump.
const RATE_WEIGHT: f64 = 0.1;

/// A look at a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProgressSnapshot {
    /// Content bytes of chunks that were fetched.
    pub bytes_done: u64,
    /// Content bytes of chunks that the archives begun so far still need.
    pub bytes_left: u64,
    /// Encoded bytes that came over the network.
    pub bytes_received: u64,
    /// Groups finished.
    pub groups_done: usize,
    /// Groups found so far.
    pub groups: usize,
    /// Snapshots handled.
    pub snapshots_done: usize,
    /// Pauses because the source could not be reached.
    pub retries: u64,
    /// Content bytes per second, smoothed.
    pub rate_bytes_per_s: f64,
}

impl ProgressSnapshot {
    /// Returns how long the archives begun so far will still take, if that can be told.
    pub fn time_left(&self) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = self.bytes_left as f64 / self.rate_bytes_per_s;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Adds up events. `now` of all calls is the time since any fixed moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    state: ProgressSnapshot,
    rate_since: Duration,
    rate_bytes: u64,
}

impl Progress {
    /// Takes one event.
    pub fn observe(&mut self, event: &SyncEvent, now: Duration) {
        match event {
            SyncEvent::GroupsFound { selected, .. } => self.state.groups += selected,
            SyncEvent::Group { event, .. } => self.group(event, now),
            SyncEvent::Retry { .. } => self.state.retries += 1,
            _ => {}
        }
    }

    /// Returns how far the run is.
    pub const fn look(&self) -> ProgressSnapshot {
        self.state
    }

    fn group(&mut self, event: &GroupEvent, now: Duration) {
        match event {
            GroupEvent::ArchivePlanned { missing_bytes, .. } => self.state.bytes_left += missing_bytes,
            GroupEvent::ChunkStored { encoded_bytes, plain_bytes } => {
                self.state.bytes_done += plain_bytes;
                self.state.bytes_left = self.state.bytes_left.saturating_sub(*plain_bytes);
                self.state.bytes_received += encoded_bytes;
                self.rate_bytes += plain_bytes;
                self.update_rate(now);
            }
            GroupEvent::SnapshotProgress { .. } => self.state.snapshots_done += 1,
            GroupEvent::Finished { .. } => self.state.groups_done += 1,
            _ => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn update_rate(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.rate_since).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        let rate = self.rate_bytes as f64 / seconds;
        let weight = if self.state.rate_bytes_per_s == 0.0 { 1.0 } else { 1.0 - (1.0 - RATE_WEIGHT).powf(seconds) };
        self.state.rate_bytes_per_s += (rate - self.state.rate_bytes_per_s) * weight;
        self.rate_since = now;
        self.rate_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_left_rate_and_time_left_follow_the_chunks() {
        let mut progress = Progress::default();
        let group = |event| SyncEvent::Group { index: 0, group: "vm/1".parse().unwrap(), event };
        let second = Duration::from_secs;
        progress.observe(&SyncEvent::GroupsFound { index: 0, selected: 2, total: 3 }, second(0));
        progress.observe(&group(GroupEvent::ArchivePlanned { missing_chunks: 4, missing_bytes: 400 }), second(0));
        for i in 1..=2 {
            progress.observe(&group(GroupEvent::ChunkStored { encoded_bytes: 10, plain_bytes: 100 }), second(i));
        }
        let look = progress.look();
        assert_eq!((look.bytes_done, look.bytes_left, look.bytes_received, look.groups), (200, 200, 20, 2));
        assert!((look.rate_bytes_per_s - 100.0).abs() < 1e-9);
        assert_eq!(look.time_left(), Some(second(2)));
        assert_eq!(ProgressSnapshot { bytes_left: 1, ..ProgressSnapshot::default() }.time_left(), None);
    }
}
