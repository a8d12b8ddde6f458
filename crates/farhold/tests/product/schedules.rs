//! A server that listens and runs jobs by their schedules, on a clock that stands shortly before a full minute until the
//! test lets it go.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use farhold::compose::{Housekeeping, Parts};
use farhold_format::task_log::TaskStatus;
use farhold_tasks::TaskFilter;
use farhold_tasks::job_state::{JobKey, JobState};
use farhold_types::{Clock, Epoch};

use crate::site::Site;

/// 2026-11-22T01:30:59Z.
const START: i64 = 1_795_311_059;

/// Longest wait for what should take two seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct WaitingClock(OnceLock<Instant>);

impl Clock for WaitingClock {
    fn now(&self) -> Epoch {
        let passed = self.0.get().map_or(0, |started| started.elapsed().as_secs());
        Epoch(START + i64::try_from(passed).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_minutely_schedule_runs_at_the_full_minute() {
    let clock = Arc::new(WaitingClock::default());
    let of_site: Arc<dyn Clock> = clock.clone();
    let mut site = Site::with(|parts| Parts { clock: of_site, housekeeping: Housekeeping::On, ..parts });
    for store in ["first", "second"] {
        site.add_store(store);
    }
    site.listen().await;
    for (id, store, schedule) in [("every-minute", "first", "minutely"), ("sometimes", "second", "02:00")] {
        let options = ["--store", store, "--keep-last", "1", "--schedule", schedule];
        site.run(&[&["prune-job", "create", id][..], &options].concat()).await.ok();
    }
    clock.0.set(Instant::now()).unwrap();
    let finished = |id: &str| {
        let key = JobKey::new("prunejob", id).unwrap();
        matches!(site.app.job_states.read_stored(&key, Epoch(START)).unwrap(), JobState::Finished { .. })
    };
    let begun = Instant::now();
    while !finished("every-minute") && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(finished("every-minute") && !finished("sometimes"));

    let page = site.app.tasks.list(&TaskFilter::default(), |_| true).unwrap();
    let run = page.items.iter().find(|item| item.worker_type == "prunejob").unwrap();
    assert_eq!(run.user, "root@pam");
    assert!(START < run.starttime.0, "not before the full minute");
    let upid = run.upid.parse().unwrap();
    assert_eq!(site.app.tasks.wait(&upid).await.unwrap(), TaskStatus::Ok);
    let log = site.app.tasks.log_lines(&upid, 0, 0).unwrap();
    assert!(log.lines.iter().any(|line| line.t.ends_with("task triggered by schedule 'minutely'")), "{log:?}");
    let shown = site.run(&["prune-job", "list"]).await.ok();
    assert!(shown.contains("every-minute"), "{shown}");
    // The loop ends with the server.
    site.stop().await;
}
