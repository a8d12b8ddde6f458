//! When a job has been without success for too long, whatever the reason.
//!
//! A job is looked at again and again; what is remembered between two looks is a [`StaleWatch`]. One alarm is raised for
//! each lapse, and only a success ends a lapse.

use std::time::Duration;

use farhold_types::Epoch;

/// What is known about a job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleFacts {
    /// Longest time without success that is fine.
    pub limit: Duration,
    /// When the job was made, if that is known still.
    pub created: Option<Epoch>,
    /// When its last successful run ended.
    pub last_success: Option<Epoch>,
}

/// What is remembered about a job between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleWatch {
    /// The last success that was seen.
    pub success: Option<Epoch>,
    /// From when on the time without success counts. Never later than the last look.
    pub since: Epoch,
    /// Whether an alarm was raised for this lapse.
    pub is_alarmed: bool,
}

/// What is to be told about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleNews {
    /// It has been without success for too long.
    Stale,
    /// It has succeeded after an alarm.
    Healthy,
}

/// Returns what is to be remembered about a job, and what is to be told.
///
/// `before`: what was remembered; none at the first look. A job that never succeeded counts from its creation, or from
/// the first look if that is not known. A clock that was wrong silences no job: what lies in the future counts from the
/// look that saw it there.
pub fn look(before: Option<StaleWatch>, facts: StaleFacts, now: Epoch) -> (StaleWatch, Option<StaleNews>) {
    let same_lapse = before.filter(|before| before.success == facts.last_success);
    let since = match (same_lapse, facts.last_success) {
        (Some(before), Some(_)) => before.since,
        // A changed schedule moves the time of creation; the first one counts.
        (Some(before), None) => before.since.min(facts.created.unwrap_or(before.since)),
        (None, Some(success)) => success,
        (None, None) => facts.created.unwrap_or(now),
    };
    let since = since.min(now);
    let was_alarmed = before.is_some_and(|before| before.is_alarmed);
    // A success that is gone, because what was kept about the runs was lost, ends no lapse.
    let is_recovered = was_alarmed && same_lapse.is_none() && facts.last_success.is_some();
    let is_late = facts.limit.as_secs() < u64::try_from(now.seconds_since(since)).unwrap_or(0);
    let stays_alarmed = was_alarmed && !is_recovered;
    let watch = StaleWatch { success: facts.last_success, since, is_alarmed: stays_alarmed || is_late };
    let news = match (is_late && !stays_alarmed, is_recovered) {
        // A success that is itself too old already: the lapse goes on, and was told.
        (true, true) => None,
        (true, false) => Some(StaleNews::Stale),
        (false, true) => Some(StaleNews::Healthy),
        (false, false) => None,
    };
    (watch, news)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;

    /// Looks at a job every hour and returns the hours in which something was told.
    struct Job {
        watch: Option<StaleWatch>,
        facts: StaleFacts,
        news: Vec<(i64, StaleNews)>,
    }

    impl Job {
        fn new(limit_h: u64, created_h: Option<i64>) -> Self {
            let created = created_h.map(|hour| Epoch(hour * HOUR));
            let facts = StaleFacts { limit: Duration::from_secs(limit_h * 3600), created, last_success: None };
            Self { watch: None, facts, news: Vec::new() }
        }

        fn look(&mut self, hours: impl IntoIterator<Item = i64>) {
            for hour in hours {
                let (watch, news) = look(self.watch, self.facts, Epoch(hour * HOUR));
                self.watch = Some(watch);
                self.news.extend(news.map(|news| (hour, news)));
            }
        }

        fn succeed(&mut self, hour: i64) {
            self.facts.last_success = Some(Epoch(hour * HOUR));
        }
    }

    #[test]
    fn one_alarm_for_each_lapse_and_one_all_clear() {
        let mut job = Job::new(26, Some(0));
        job.look(1..=60);
        assert_eq!(job.news, [(27, StaleNews::Stale)], "counted from its creation");
        job.succeed(60);
        job.look(61..=120);
        assert_eq!(job.news[1..], [(61, StaleNews::Healthy), (87, StaleNews::Stale)]);
        job.succeed(121);
        job.look(121..=130);
        job.succeed(130);
        job.look(131..=150);
        assert_eq!(job.news[3..], [(121, StaleNews::Healthy)]);
    }

    #[test]
    fn a_longer_limit_during_a_lapse_raises_no_second_alarm() {
        let mut job = Job::new(26, Some(0));
        job.look(1..=30);
        job.facts.limit = Duration::from_secs(48 * 3600);
        job.look(31..=100);
        assert_eq!(job.news, [(27, StaleNews::Stale)]);
    }

    #[test]
    fn a_job_whose_creation_is_not_known_counts_from_the_first_look() {
        let mut job = Job::new(2, None);
        job.look(100..=104);
        assert_eq!(job.news, [(103, StaleNews::Stale)]);
        let mut changed = Job::new(10, Some(0));
        changed.look(1..=5);
        changed.facts.created = Some(Epoch(5 * HOUR));
        changed.look(6..=12);
        assert_eq!(changed.news, [(11, StaleNews::Stale)], "another schedule gives no time");
    }

    #[test]
    fn a_success_too_long_ago_is_told_once_and_not_as_health() {
        let mut job = Job::new(2, Some(0));
        job.look(1..=5);
        // The server was off after a success, for longer than the limit.
        job.succeed(6);
        job.look([20, 21, 22]);
        assert_eq!(job.news, [(3, StaleNews::Stale)]);
        job.succeed(22);
        job.look([23]);
        assert_eq!(job.news[1..], [(23, StaleNews::Healthy)]);
    }

    #[test]
    fn a_success_in_the_future_silences_a_job_no_longer_than_the_limit() {
        let mut job = Job::new(3, Some(0));
        job.succeed(1_000_000);
        job.look(1..=10);
        assert_eq!(job.news, [(5, StaleNews::Stale)]);
        // The clock is set back after the first look.
        let mut back = Job::new(3, Some(500));
        back.look([500]);
        back.look(1..=10);
        assert_eq!(back.news, [(5, StaleNews::Stale)]);
    }

    #[test]
    fn lost_runs_end_no_lapse() {
        let mut job = Job::new(2, Some(0));
        job.succeed(1);
        job.look(1..=5);
        job.facts.last_success = None;
        job.look(6..=10);
        assert_eq!(job.news, [(4, StaleNews::Stale)]);
    }

    proptest! {
        /// Alarms and all-clears alternate, an alarm comes exactly while the job is late, and looking twice tells nothing.
        #[test]
        fn alarms_and_all_clears_alternate(
            steps in prop::collection::vec((0..20_i64, any::<bool>()), 1..60),
            limit in 1..40_u64,
        ) {
            let mut job = Job::new(limit, Some(0));
            let (mut now, mut last) = (0, 0);
            for (hours, succeeds) in steps {
                now += hours;
                if succeeds {
                    job.succeed(now);
                    last = now;
                }
                job.look([now]);
                let told = job.news.len();
                job.look([now]);
                prop_assert_eq!(told, job.news.len());
                let is_late = limit < u64::try_from(now - last).unwrap();
                let is_alarmed = job.news.last().is_some_and(|(_, news)| *news == StaleNews::Stale);
                prop_assert_eq!(is_alarmed, is_late);
            }
            for pair in job.news.windows(2) {
                prop_assert_ne!(pair[0].1, pair[1].1);
            }
        }
    }
}
