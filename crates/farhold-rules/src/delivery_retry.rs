//! When a notification that could not be delivered is tried again.

use std::time::Duration;

/// Pause after the first attempt that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause. Source: our own choice; a target that comes back gets its mail within the hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Sum of pauses after which a delivery is given up. Source: our own choice: a long weekend.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

/// Returns how long to wait after `failures` attempts have failed, or `None` if no other one follows.
///
/// Only pauses count, so that neither a server that was off nor a clock that jumped gives up a delivery.
pub fn pause_after(failures: u32) -> Option<Duration> {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::ZERO;
    for _ in 0..failures {
        waited += pause;
        if PATIENCE <= waited {
            return None;
        }
        pause = if pause.is_zero() { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
    }
    Some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_end_after_three_days() {
        let pauses: Vec<u64> = (0..).map_while(pause_after).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses[..9], [0, 30, 60, 120, 240, 480, 960, 1920, 3600]);
        assert!(pauses[8..].iter().all(|pause| *pause == 3600));
        let sum: u64 = pauses.iter().sum();
        assert!((3 * 86_400..3 * 86_400 + 3600).contains(&sum), "{sum}");
    }

    #[test]
    fn a_count_that_makes_no_sense_is_answered_at_once() {
        assert_eq!(pause_after(u32::MAX), None);
    }
}
