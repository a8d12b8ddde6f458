//! When a scheduled job is due: whether an event of its schedule waits for a run, and which one comes next.
//!
//! All events since a job last began become one run, so what counts is whether the first of them has passed. The time of
//! the last run is what a clock said then. A clock that was wrong may have said a time that has not come yet; such a time
//! must not keep a job from running for years, and one that is only a little ahead must not make it run twice for one
//! event: see [`is_believable`].
//!
//! Source: `docs/spec/schedules-and-tasks.md` 9.2 and 9.3; `docs/spec/sync.md` 15 and W36.

use farhold_types::Epoch;
use jiff::tz::TimeZone;

use crate::calendar::CalendarEvent;

/// Seconds between two looks at the schedules. Source: `docs/spec/schedules-and-tasks.md` 9.2.
pub const CHECK_PERIOD_S: i64 = 60;

/// Age in seconds that a job with a missing or unreadable state is taken to have. Source: as above, 9.1 and 9.2.
pub const UNKNOWN_AGE_S: i64 = 30;

/// How far ahead of the clock a time of a last run may lie and still be believed, in seconds: a day is more than any
/// mistake about the time zone makes, and a job that waits so long is missed by its operator no sooner.
const BELIEVED_AHEAD_S: i64 = 24 * 60 * 60;

/// Whether a job runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// An event has passed, this one first, and no run began since then.
    Now {
        /// The first event that waits.
        event: Epoch,
    },
    /// Nothing waits.
    Later {
        /// The next event.
        event: Epoch,
    },
    /// There is no such event any more.
    Never,
}

/// Returns whether a job runs now.
///
/// `last`: creation, last change of the schedule, or start of the last run, whichever was last; `None` if that is unknown.
/// `zone`: the local zone of the server. A job that runs at the moment counts from the start of this run, and is due again
/// as soon as it ends if an event has passed meanwhile.
///
/// Source: `docs/spec/schedules-and-tasks.md` 9.2.
pub fn due(event: &CalendarEvent, last: Option<Epoch>, now: Epoch, zone: &TimeZone) -> Due {
    match next_run(event, last, now, zone) {
        Some(event) if event <= now => Due::Now { event },
        Some(event) => Due::Later { event },
        None => Due::Never,
    }
}

/// Returns the event that a job runs for next; it lies in the past while the job waits for its turn. `None`: never.
///
/// The arguments are those of [`due`], so that what lists show is what happens. Source: `docs/spec/sync.md` W36.
pub fn next_run(event: &CalendarEvent, last: Option<Epoch>, now: Epoch, zone: &TimeZone) -> Option<Epoch> {
    event.next_after(counted_from(event, last, now, zone), zone)
}

/// Returns from when on the events of a schedule count: `last`, unless that is unknown or not to be believed.
pub fn counted_from(event: &CalendarEvent, last: Option<Epoch>, now: Epoch, zone: &TimeZone) -> Epoch {
    match last {
        None => Epoch(now.0.saturating_sub(UNKNOWN_AGE_S)),
        Some(last) if is_believable(event, last, now, zone) => last,
        Some(_) => counted_anew(now),
    }
}

/// Returns from when on events count if the former time is not to be believed: those of the minute before `now` do, since
/// they were not looked at before.
pub const fn counted_anew(now: Epoch) -> Epoch {
    Epoch(now.0.saturating_sub(CHECK_PERIOD_S))
}

/// Returns whether `last` can be the time of a job's last run, although the clock may show an earlier one now.
///
/// A clock that was set back a little makes it lie ahead. Then events up to `last` were answered before, and are not
/// answered again: at most one event, and at most those of one day. If it lies further ahead, the clock was wrong at that
/// time, or is now, and the job would be silent for too long: then the schedule counts from now.
pub fn is_believable(event: &CalendarEvent, last: Epoch, now: Epoch, zone: &TimeZone) -> bool {
    if last <= now {
        return true;
    }
    if BELIEVED_AHEAD_S < last.0.saturating_sub(now.0) {
        return false;
    }
    let answered = event.next_after(now, zone).filter(|first| *first <= last);
    let second = answered.and_then(|first| event.next_after(first, zone));
    second.is_none_or(|second| last < second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    /// 2026-11-23T00:00:00Z, a Monday.
    const MONDAY: i64 = 1_795_392_000;

    fn event(text: &str) -> CalendarEvent {
        CalendarEvent::parse(text).unwrap()
    }

    fn judge(text: &str, last: i64, now: i64) -> Due {
        due(&event(text), Some(Epoch(MONDAY + last)), Epoch(MONDAY + now), &TimeZone::UTC)
    }

    fn now(event: i64) -> Due {
        Due::Now { event: Epoch(MONDAY + event) }
    }

    fn later(event: i64) -> Due {
        Due::Later { event: Epoch(MONDAY + event) }
    }

    #[test]
    fn the_walk_throughs_of_the_specification() {
        // 1: started 01:00:03, ended 02:10:40. Not due until 02:00, due at each check from then on.
        assert_eq!(judge("hourly", HOUR + 3, HOUR + 59 * MINUTE), later(2 * HOUR));
        assert_eq!(judge("hourly", HOUR + 3, 2 * HOUR), now(2 * HOUR));
        assert_eq!(judge("hourly", HOUR + 3, 2 * HOUR + 11 * MINUTE), now(2 * HOUR));
        // 2: server off from Monday to Thursday: one run, and the next one on Friday.
        let thursday = 3 * DAY + 9 * HOUR + 31 * MINUTE;
        assert_eq!(judge("daily", 0, thursday), now(DAY));
        assert_eq!(judge("daily", thursday, thursday + MINUTE), later(4 * DAY));
        // 3: created at 10:00:30.
        assert_eq!(judge("*:0/15", 10 * HOUR + 30, 10 * HOUR + 14 * MINUTE), later(10 * HOUR + 15 * MINUTE));
        assert_eq!(judge("*:0/15", 10 * HOUR + 30, 10 * HOUR + 15 * MINUTE), now(10 * HOUR + 15 * MINUTE));
        // 4: changed to `daily` at 12:00:10.
        assert_eq!(judge("daily", 12 * HOUR + 10, 12 * HOUR + MINUTE), later(DAY));
        // 5: seconds delay to the next minute.
        assert_eq!(judge("8:00:30", 0, 8 * HOUR), later(8 * HOUR + 30));
        assert_eq!(judge("8:00:30", 0, 8 * HOUR + MINUTE), now(8 * HOUR + 30));
        // 9: by hand from 01:55; the event at 02:00 is answered after its end.
        assert_eq!(judge("2:00", 2 * HOUR - 5 * MINUTE, 2 * HOUR + 11 * MINUTE), now(2 * HOUR));
    }

    #[test]
    fn an_unknown_state_makes_a_job_due_only_at_its_event() {
        let unknown = |now: i64| due(&event("10:00"), None, Epoch(MONDAY + now), &TimeZone::UTC);
        assert_eq!(unknown(10 * HOUR), now(10 * HOUR));
        assert_eq!(unknown(10 * HOUR + MINUTE), later(DAY + 10 * HOUR));
        assert_eq!(unknown(9 * HOUR), later(10 * HOUR));
    }

    #[test]
    fn what_never_happens_is_never_due() {
        assert_eq!(judge("02-30", 0, 400 * DAY), Due::Never);
        assert_eq!(judge("2026-11-23", 0, 400 * DAY), Due::Never);
    }

    #[test]
    fn a_clock_set_back_a_little_repeats_no_event() {
        // Ran at 10:00:00; the clock goes back by some seconds, minutes or hours.
        assert_eq!(judge("hourly", 10 * HOUR, 10 * HOUR - 1), later(11 * HOUR));
        assert_eq!(judge("hourly", 10 * HOUR + 3, 9 * HOUR + 30 * MINUTE), later(11 * HOUR));
        assert_eq!(judge("daily", DAY, DAY - 14 * HOUR), later(2 * DAY));
        assert_eq!(judge("minutely", 10 * HOUR, 10 * HOUR - 30), later(10 * HOUR + MINUTE));
        assert_eq!(judge("Wed 02:30", 2 * DAY + 3 * HOUR, 2 * DAY + 2 * HOUR), later(9 * DAY + 9000));
    }

    #[test]
    fn a_last_run_far_ahead_of_the_clock_does_not_silence_a_job() {
        // Ran in 2099, when the clock was wrong.
        let years = 73 * 365 * DAY;
        assert_eq!(judge("daily", years, 5 * HOUR), later(DAY));
        assert_eq!(judge("daily", years, DAY), now(DAY), "an event of the minute before counts");
        assert_eq!(judge("yearly", 300 * DAY, 5 * HOUR), later(39 * DAY), "though only one event lies between");
        // More than one event would go by without a run.
        assert_eq!(judge("hourly", 10 * HOUR, 7 * HOUR + 30 * MINUTE), later(8 * HOUR));
        assert_eq!(judge("minutely", 10 * HOUR, 10 * HOUR - 10 * MINUTE), now(10 * HOUR - 10 * MINUTE));
    }

    /// Schedules of all kinds.
    const SCHEDULES: [&str; 12] = [
        "minutely",
        "*:0/5",
        "*:3/10",
        "hourly",
        "2:30",
        "8:00:30",
        "mon..fri 8..17:0/15",
        "daily",
        "daily UTC",
        "sat 22:00",
        "monthly",
        "02-30",
    ];

    fn any_event() -> impl Strategy<Value = CalendarEvent> {
        proptest::sample::select(&SCHEDULES[..]).prop_map(event)
    }

    fn any_zone() -> impl Strategy<Value = TimeZone> {
        let zone = |name| TimeZone::get(name).unwrap();
        proptest::sample::select(vec![TimeZone::UTC, zone("Europe/Vienna"), zone("America/St_Johns")])
    }

    #[test]
    fn a_day_of_a_thousand_jobs_that_run_each_minute_misses_none_and_repeats_none() {
        let minutely = event("minutely");
        // Created at different seconds of the minute before.
        let mut last: Vec<i64> = (0..1000).map(|job| MONDAY - 1 - job % 59).collect();
        let mut runs = vec![0; last.len()];
        for check in (MONDAY..MONDAY + DAY).step_by(60) {
            for (last, runs) in last.iter_mut().zip(&mut runs) {
                if let Due::Now { event } = due(&minutely, Some(Epoch(*last)), Epoch(check), &TimeZone::UTC) {
                    assert_eq!(event.0, check, "the event of this minute");
                    (*last, *runs) = (check, *runs + 1);
                }
            }
        }
        assert!(runs.iter().all(|runs| *runs == 1440), "{runs:?}");
    }

    proptest! {
        /// However wrong clocks were, a job is silent for at most a day and one event more than its schedule says.
        #[test]
        fn no_job_is_silent_for_long(
            event in any_event(), zone in any_zone(), last in any::<i64>(), now in MONDAY..MONDAY + 800 * DAY,
        ) {
            let (last, now) = (Epoch(last), Epoch(now));
            match due(&event, Some(last), now, &zone) {
                // The reference has no answer for some times far from ours.
                Due::Never => prop_assert!(event == self::event("02-30") || last < now),
                Due::Now { event } => prop_assert!(event <= now),
                Due::Later { event: found } => {
                    prop_assert!(now < found);
                    let a_day_on = event.next_after(Epoch(now.0 + DAY), &zone).unwrap();
                    prop_assert!(found <= a_day_on);
                    let first = event.next_after(now, &zone).unwrap();
                    let second = event.next_after(first, &zone).unwrap();
                    prop_assert!(found <= second);
                }
            }
        }

        /// After a run that began now nothing is due, whatever was before.
        #[test]
        fn a_run_answers_everything_before_it(
            event in any_event(), zone in any_zone(), now in MONDAY..MONDAY + 800 * DAY,
        ) {
            let is_due = matches!(due(&event, Some(Epoch(now)), Epoch(now), &zone), Due::Now { .. });
            prop_assert!(!is_due);
        }

        /// An event that has passed since the last run is found, the first one of them.
        #[test]
        fn every_event_since_the_last_run_makes_a_job_due(
            event in any_event(), zone in any_zone(), last in MONDAY..MONDAY + 400 * DAY, later in 0..40 * DAY,
        ) {
            let (last, now) = (Epoch(last), Epoch(last + later));
            let first = event.next_after(last, &zone);
            let expected = first.filter(|first| *first <= now).map(|event| Due::Now { event });
            match due(&event, Some(last), now, &zone) {
                found @ Due::Now { .. } => prop_assert_eq!(Some(found), expected),
                _ => prop_assert_eq!(None, expected),
            }
        }
    }
}
