//! When scheduled jobs run next, as lists show it.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 9.3; `docs/spec/sync.md` W36.

use farhold_rules::calendar::CalendarEvent;
use farhold_rules::schedule_due;
use farhold_tasks::job_state::{JobKey, JobState, JobStateError, LastRun};
use farhold_types::Epoch;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::app::App;

/// What lists show about the runs of a job; serialises to their fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunStatus {
    /// The last run.
    #[serde(flatten)]
    pub last: LastRun,
    /// When it runs next; absent without schedule, or if that never happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Epoch>,
}

/// Returns what lists show about the runs of a job. Blocking.
///
/// `schedule`: its calendar event; `None` also for a job that is switched off.
///
/// # Errors
/// The state file exists and cannot be read.
pub fn run_status(app: &App, key: &JobKey, schedule: Option<&str>) -> Result<RunStatus, JobStateError> {
    let now = app.clock.now();
    let state = app.job_states.read(key, now, &app.tasks)?;
    Ok(RunStatus {
        next_run: schedule.and_then(|text| next_run(text, &state, now, &app.time_zone)),
        last: state.last_run(),
    })
}

/// Returns when a job runs next: the first time of its schedule after its last run began, or after its creation or the
/// last change of the schedule. While a job runs, or waits for its turn, that may lie in the past.
///
/// The scheduler reckons in the same way; the reference tells another time after a run that outlasted its period.
///
/// `None`: never, or `schedule` is no calendar event.
///
/// Source: `docs/spec/sync.md` W36.
pub fn next_run(schedule: &str, state: &JobState, now: Epoch, zone: &TimeZone) -> Option<Epoch> {
    let event = CalendarEvent::parse(schedule).ok()?;
    schedule_due::next_run(&event, state.schedule_reference(), now, zone)
}

#[cfg(test)]
mod tests {
    use farhold_tasks::job_state::RunState;

    use super::*;

    /// A run that started at 01:00:03.
    const UPID: &str = "UPID:pbs:00000269:0000A5F6:00000000:00000E13:syncjob:a:root@pam:";

    fn next(schedule: &str, state: &JobState) -> Option<i64> {
        next_run(schedule, state, Epoch(20_000), &TimeZone::UTC).map(|time| time.0)
    }

    #[test]
    fn the_next_run_counts_from_the_start_of_the_last_one() {
        let finished = |updated| JobState::Finished {
            upid: UPID.parse().unwrap(),
            state: RunState::Ok { endtime: Epoch(2 * 3600 + 640) },
            updated,
        };
        assert_eq!(next("hourly", &finished(None)), Some(2 * 3600), "not 3:00, as the end of the run has it");
        assert_eq!(next("hourly", &finished(Some(Epoch(5 * 3600 + 1)))), Some(6 * 3600));
        assert_eq!(next("hourly", &finished(Some(Epoch(100 * 86_400)))), Some(6 * 3600), "the clock was wrong then");
        let started = JobState::Started { upid: UPID.parse().unwrap() };
        assert_eq!(next("hourly", &started), Some(2 * 3600), "in the past while it runs");
        assert_eq!(next("*:0/15", &JobState::Created { time: Epoch(18_030) }), Some(18_900));
        assert_eq!(next("minutely", &JobState::Unknown), Some(19_980));
    }

    #[test]
    fn what_never_happens_has_no_next_run() {
        for schedule in ["02-30", "1-2-3", "no event", ""] {
            assert_eq!(next(schedule, &JobState::Created { time: Epoch(0) }), None, "{schedule:?}");
        }
    }
}
