//! Jobs with real states on a clock that is moved by hand; their runs are recorded instead of carried out.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::{Upid, UpidParts};
use farhold_rules::calendar::CalendarEvent;
use farhold_tasks::TaskFilter;
use farhold_tasks::job_state::{JobLock, JobStates, RunState};
use farhold_types::Clock as _;
use futures::FutureExt;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::gc::gc_key;
use crate::job_turn::is_taken;
use crate::schedule::run_status;
use crate::testing::TestServer;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-11-23T00:00:00Z, a Monday.
const MONDAY: i64 = 1_795_392_000;

fn sync_key(id: &str) -> JobKey {
    JobKey::new("syncjob", id).unwrap()
}

/// A run that goes on.
struct OpenRun {
    lock: JobLock,
    upid: Upid,
    ends: i64,
}

/// Starts nothing, but does with locks and states what jobs do.
struct Recorder {
    app: Arc<App>,
    /// How long runs last, in seconds.
    duration: Mutex<i64>,
    /// Whether jobs that need a datastore find it.
    has_stores: Mutex<bool>,
    open: Mutex<BTreeMap<String, OpenRun>>,
    /// All runs by the name of the job: when they began.
    runs: Mutex<HashMap<String, Vec<i64>>>,
    /// What was started, in order.
    order: Mutex<Vec<Arc<Work>>>,
    /// The task of all runs of one kind that begin in the same second.
    latest: Mutex<Option<Upid>>,
}

impl Recorder {
    fn start_now(&self, work: &Arc<Work>, event: Option<&WaitingEvent>) -> Result<(), NotStarted> {
        let key = match &**work {
            Work::Gc(store) => gc_key(store).unwrap(),
            Work::Prune(job) => JobKey::new("prunejob", job.id.as_str()).unwrap(),
            Work::Sync(job) => sync_key(job.id.as_str()),
            Work::Verify(job) => JobKey::new("verificationjob", job.id.as_str()).unwrap(),
            Work::LogRotation => log_rotation::key().unwrap(),
        };
        if !*self.has_stores.lock().unwrap() && work.lane().is_some() {
            return Err(NotStarted::Failed("datastore 'usb' is not mounted".to_owned()));
        }
        let now = self.app.clock.now();
        let locked = match event {
            Some(event) => self.app.job_states.lock_for(&key, event, now),
            None => self.app.job_states.lock_within(&key, Duration::ZERO),
        };
        let lock = match locked {
            Err(error) if is_taken(&error) => return Err(NotStarted::Busy),
            lock => lock.unwrap(),
        };
        let upid = self.upid(now, key.job_type());
        lock.start(&upid).unwrap();
        let run = OpenRun { lock, upid, ends: now.0 + *self.duration.lock().unwrap() };
        let before = self.open.lock().unwrap().insert(key.name().to_owned(), run);
        assert!(before.is_none(), "{work} runs twice at once");
        self.runs.lock().unwrap().entry(key.name().to_owned()).or_default().push(now.0);
        self.order.lock().unwrap().push(Arc::clone(work));
        Ok(())
    }

    fn upid(&self, now: Epoch, job_type: &str) -> Upid {
        let mut latest = self.latest.lock().unwrap();
        let same = latest.take().filter(|upid| upid.start_time() == now && upid.worker_type() == job_type);
        latest.insert(same.unwrap_or_else(|| upid(now, job_type))).clone()
    }

    /// Ends the runs whose time has come.
    fn end_runs(&self, now: i64) {
        let mut open = self.open.lock().unwrap();
        let ended: Vec<String> = open.iter().filter(|(_, run)| run.ends <= now).map(|(id, _)| id.clone()).collect();
        for id in ended {
            let run = open.remove(&id).unwrap();
            run.lock.finish(&run.upid, &TaskStatus::Ok, Epoch(now)).unwrap();
        }
    }
}

impl Starter for Recorder {
    fn start(&self, work: Arc<Work>, scheduled: ScheduledStart) -> BoxFuture<'static, Result<(), NotStarted>> {
        let started = self.start_now(&work, Some(&scheduled.event));
        async move { started }.boxed()
    }
}

fn upid(start: Epoch, worker_type: &str) -> Upid {
    Upid::new(UpidParts {
        node: "test".to_owned(),
        pid: 1,
        pstart: 1,
        task_id: 0,
        start_time: start,
        worker_type: worker_type.to_owned(),
        worker_id: None,
        authid: "root@pam".parse().unwrap(),
    })
    .unwrap()
}

/// A server with a scheduler whose runs are recorded.
struct Stage {
    server: TestServer,
    recorder: Arc<Recorder>,
    scheduler: Scheduler,
}

impl Stage {
    fn new() -> Self {
        Self::of(TestServer::new())
    }

    /// Keeps states of jobs in memory instead of files.
    fn in_memory() -> Self {
        let mut server = TestServer::new();
        Arc::get_mut(&mut server.app).unwrap().job_states = JobStates::in_memory();
        Self::of(server)
    }

    fn of(server: TestServer) -> Self {
        let recorder = Arc::new(Recorder {
            app: Arc::clone(&server.app),
            duration: Mutex::new(1),
            has_stores: Mutex::new(true),
            open: Mutex::default(),
            runs: Mutex::default(),
            order: Mutex::default(),
            latest: Mutex::default(),
        });
        let scheduler = Scheduler::with_starter(&server.app, recorder.clone());
        let stage = Self { server, recorder, scheduler };
        // It never ran otherwise, and would be started at the first check of each test.
        stage.app().job_states.create(&log_rotation::key().unwrap(), Epoch(MONDAY)).unwrap();
        stage
    }

    fn app(&self) -> &Arc<App> {
        &self.server.app
    }

    fn configure(&self, file: &str, text: &str) {
        fs::write(self.server.folder().join("etc").join(file), text).unwrap();
    }

    /// Configures sync jobs with these ids and schedules.
    fn sync_jobs<'a>(&self, jobs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let section = |(id, schedule)| {
            format!("sync: {id}\n\tremote-store bbb\n\tstore aaa\n\towner root@pam\n\tschedule {schedule}\n\n")
        };
        self.configure("sync.cfg", &jobs.into_iter().map(section).collect::<String>());
    }

    /// Sets the clock, in seconds after Monday.
    fn set(&self, time: i64) {
        self.server.clock.advance(MONDAY + time - self.app().clock.now().0);
    }

    /// Sets the clock, ends runs, and lets the scheduler check.
    async fn check(&self, time: i64) {
        self.set(time);
        self.recorder.end_runs(MONDAY + time);
        self.scheduler.check(Epoch(MONDAY + time)).await;
        self.scheduler.settled().await;
    }

    /// Checks at every full minute of a time.
    async fn check_each_minute(&self, from: i64, to: i64) {
        for time in (from..=to).step_by(60) {
            self.check(time).await;
        }
    }

    /// Returns when a job was started, in seconds after Monday, and forgets it.
    fn starts(&self, id: &str) -> Vec<i64> {
        let runs = self.recorder.runs.lock().unwrap().remove(id).unwrap_or_default();
        runs.into_iter().map(|time| time - MONDAY).collect()
    }

    fn state(&self, key: &JobKey) -> JobState {
        self.app().job_states.read_stored(key, self.app().clock.now()).unwrap()
    }

    fn created(&self, id: &str, time: i64) {
        self.app().job_states.create(&sync_key(id), Epoch(MONDAY + time)).unwrap();
    }

    /// Lets the process die and a new one begin: nobody writes how runs ended.
    fn restart(&mut self) {
        self.recorder.open.lock().unwrap().clear();
        Scheduler::settle(self.app());
        self.scheduler = Scheduler::with_starter(self.app(), self.recorder.clone());
    }
}

fn at(hour: i64, minute: i64, second: i64) -> i64 {
    hour * HOUR + minute * MINUTE + second
}

#[tokio::test]
async fn walk_through_1_an_overrun_is_followed_by_the_event_it_covered() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "hourly")]);
    stage.created("aaa", at(0, 30, 0));
    *stage.recorder.duration.lock().unwrap() = at(1, 10, 37);
    stage.check(at(1, 0, 0)).await;
    // It began three seconds after the minute in the specification; that makes no difference here.
    assert_eq!(stage.starts("aaa"), [at(1, 0, 0)]);
    *stage.recorder.duration.lock().unwrap() = 10;
    stage.check_each_minute(at(1, 1, 0), at(2, 10, 0)).await;
    assert_eq!(stage.starts("aaa"), [0; 0], "it runs");
    stage.set(at(2, 10, 50));
    stage.recorder.end_runs(MONDAY + at(2, 10, 50));
    let shown = run_status(stage.app(), &sync_key("aaa"), Some("hourly")).unwrap().next_run;
    assert_eq!(shown, Some(Epoch(MONDAY + at(2, 0, 0))), "the time that counts, not 3:00");
    stage.check_each_minute(at(2, 11, 0), at(2, 59, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(2, 11, 0)]);
}

#[tokio::test]
async fn walk_through_2_a_server_that_was_off_for_days_makes_one_run() {
    let mut stage = Stage::new();
    stage.sync_jobs([("aaa", "daily")]);
    stage.created("aaa", -HOUR);
    stage.check_each_minute(0, at(0, 5, 0)).await;
    assert_eq!(stage.starts("aaa"), [0]);
    stage.restart();
    stage.check_each_minute(3 * DAY + at(9, 31, 0), 3 * DAY + at(12, 0, 0)).await;
    assert_eq!(stage.starts("aaa"), [3 * DAY + at(9, 31, 0)]);
    let shown = run_status(stage.app(), &sync_key("aaa"), Some("daily")).unwrap().next_run;
    assert_eq!(shown, Some(Epoch(MONDAY + 4 * DAY)));
}

/// Also walk-through 3.
#[tokio::test]
async fn scenario_22_a_new_job_waits_for_its_first_event_and_shows_it() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "*:0/15")]);
    stage.created("aaa", at(10, 0, 30));
    stage.set(at(10, 0, 40));
    let shown = run_status(stage.app(), &sync_key("aaa"), Some("*:0/15")).unwrap().next_run;
    assert_eq!(shown, Some(Epoch(MONDAY + at(10, 15, 0))));
    stage.check_each_minute(at(10, 1, 0), at(10, 20, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(10, 15, 0)]);
}

#[tokio::test]
async fn walk_through_4_another_schedule_counts_from_its_change() {
    let stage = Stage::new();
    let key = JobKey::new("prunejob", "ppp").unwrap();
    let job = |schedule| format!("prune: ppp\n\tstore aaa\n\tkeep-last 1\n\tschedule {schedule}\n");
    stage.configure("prune.cfg", &job("monthly"));
    stage.app().job_states.create(&key, Epoch(MONDAY - 30 * DAY)).unwrap();
    stage.set(at(12, 0, 10));
    stage.configure("prune.cfg", &job("daily"));
    stage.app().job_states.schedule_changed(&key, stage.app().clock.now(), &stage.app().tasks).unwrap();
    stage.check_each_minute(at(12, 1, 0), DAY + MINUTE).await;
    assert_eq!(stage.starts("ppp"), [DAY]);
}

#[tokio::test]
async fn walk_through_5_seconds_delay_to_the_next_minute() {
    let stage = Stage::new();
    stage.configure("datastore.cfg", "datastore: aaa\n\tpath /a\n\tgc-schedule 8:00:30\n");
    stage.app().job_states.create(&gc_key(&"aaa".parse().unwrap()).unwrap(), Epoch(MONDAY)).unwrap();
    stage.check_each_minute(at(7, 58, 0), at(8, 5, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(8, 1, 0)]);
}

#[tokio::test]
async fn walk_through_6_a_lost_state_makes_a_job_due_only_at_its_event() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "10:00")]);
    stage.check_each_minute(at(9, 0, 0), at(9, 59, 0)).await;
    stage.check_each_minute(at(10, 1, 0), at(11, 0, 0)).await;
    assert_eq!(stage.starts("aaa"), [0; 0]);
    assert!(!stage.app().job_states.is_stored(&sync_key("aaa")), "a look writes nothing");
    stage.check(at(10, 0, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(10, 0, 0)]);
}

#[tokio::test]
async fn walk_through_7_a_job_of_a_store_that_is_away_runs_soon_after_it_is_back() {
    let stage = Stage::new();
    stage.configure("verification.cfg", "verification: vvv\n\tstore usb\n\tschedule 2:00\n");
    let key = JobKey::new("verificationjob", "vvv").unwrap();
    stage.app().job_states.create(&key, Epoch(MONDAY)).unwrap();
    let state = stage.state(&key);
    *stage.recorder.has_stores.lock().unwrap() = false;
    stage.check_each_minute(at(1, 58, 0), at(17, 20, 0)).await;
    assert_eq!(stage.state(&key), state, "attempts change nothing");
    *stage.recorder.has_stores.lock().unwrap() = true;
    stage.check_each_minute(at(17, 21, 0), at(18, 0, 0)).await;
    assert_eq!(stage.starts("vvv"), [at(17, 21, 0)]);
}

#[tokio::test]
async fn walk_through_8_a_change_just_before_the_event_does_not_lose_it() {
    let stage = Stage::new();
    let wednesday = 2 * DAY;
    stage.sync_jobs([("aaa", "Wed 02:30"), ("bbb", "Wed 02:30")]);
    stage.created("aaa", 0);
    stage.created("bbb", 0);
    let changed = |id: &str, time: i64| {
        stage.set(time);
        stage.app().job_states.schedule_changed(&sync_key(id), Epoch(MONDAY + time), &stage.app().tasks).unwrap();
    };
    changed("bbb", wednesday + at(2, 29, 59));
    stage.check(wednesday + at(2, 30, 0)).await;
    assert_eq!((stage.starts("aaa").len(), stage.starts("bbb").len()), (1, 1));
    stage.recorder.end_runs(i64::MAX);
    changed("aaa", wednesday + at(2, 30, 20));
    stage.check_each_minute(wednesday + at(2, 31, 0), wednesday + at(3, 0, 0)).await;
    assert_eq!(stage.starts("aaa"), [0; 0]);
}

#[tokio::test]
async fn walk_through_9_a_run_by_hand_over_the_event_is_followed_by_another() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "2:00")]);
    stage.created("aaa", 0);
    stage.set(at(1, 55, 0));
    *stage.recorder.duration.lock().unwrap() = at(0, 15, 30);
    let jobs = stage.app().settings.sync_jobs().load().unwrap().entries;
    let job = jobs.get("aaa").unwrap().unwrap().clone();
    stage.recorder.start_now(&Arc::new(Work::Sync(Box::new(job))), None).unwrap();
    stage.check_each_minute(at(1, 56, 0), at(2, 30, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(1, 55, 0), at(2, 11, 0)]);
}

#[tokio::test]
async fn scenario_97_a_job_that_outlasts_its_period_never_overlaps_and_follows_itself() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "minutely"), ("bbb", "minutely")]);
    stage.created("aaa", 0);
    stage.created("bbb", 0);
    *stage.recorder.duration.lock().unwrap() = 90;
    stage.check_each_minute(MINUTE, 10 * MINUTE).await;
    // Begins at minute 1 and ends at 2:30, so that the next one begins at 3. Whoever runs longer delays nobody else.
    let odd: Vec<i64> = (1..=9).step_by(2).map(|minute| minute * MINUTE).collect();
    assert_eq!((stage.starts("aaa"), stage.starts("bbb")), (odd.clone(), odd));
}

#[tokio::test]
async fn scenario_98_a_server_that_was_down_over_an_event_makes_one_run_after_its_start() {
    let mut stage = Stage::new();
    stage.sync_jobs([("aaa", "*:0/30"), ("bbb", "2:00")]);
    stage.created("aaa", 0);
    stage.created("bbb", 0);
    *stage.recorder.duration.lock().unwrap() = HOUR;
    stage.check_each_minute(at(0, 30, 0), at(0, 40, 0)).await;
    assert_eq!(stage.starts("aaa"), [at(0, 30, 0)]);
    // The server dies while `a` runs. Its state says so as soon as the server is back.
    stage.set(at(2, 10, 17));
    stage.restart();
    let JobState::Finished { state, updated, .. } = stage.state(&sync_key("aaa")) else {
        panic!("not told truthfully")
    };
    assert!(matches!(state, RunState::Unknown { .. }));
    assert_eq!(updated, None);
    *stage.recorder.duration.lock().unwrap() = 1;
    stage.check_each_minute(at(2, 11, 0), at(2, 29, 0)).await;
    assert_eq!((stage.starts("aaa"), stage.starts("bbb")), (vec![at(2, 11, 0)], vec![at(2, 11, 0)]));
}

#[tokio::test]
async fn kinds_are_started_in_order_and_jobs_that_do_nothing_are_not() {
    let stage = Stage::new();
    let jobs = "verification: vvv\n\tstore aaa\n\tschedule minutely\n\nverification: by-hand\n\tstore aaa\n\n";
    stage.configure("verification.cfg", jobs);
    let prune = |id: &str, more: &str| format!("prune: {id}\n\tstore aaa\n\tschedule minutely\n{more}\n");
    let jobs = [prune("ppp", "\tkeep-last 1\n"), prune("off", "\tkeep-last 1\n\tdisable true\n")];
    let jobs = [&jobs[..], &[prune("keeps-all", "")]].concat();
    stage.configure("prune.cfg", &jobs.concat());
    stage
        .configure("datastore.cfg", "datastore: aaa\n\tpath /a\n\tgc-schedule minutely\n\ndatastore: bbb\n\tpath /b\n");
    stage.sync_jobs([("sss", "minutely"), ("never", "02-30")]);
    stage.check(MINUTE).await;
    assert!(lock(&stage.scheduler.shared).complaints.is_empty());
    let mut order: Vec<String> = stage.recorder.order.lock().unwrap().iter().map(ToString::to_string).collect();
    let [gc, prune, verify] =
        ["garbage collection of datastore 'aaa'", "prune job 'ppp'", "verify job 'vvv'"].map(str::to_owned);
    order.retain(|started| started != "sync job 'sss'");
    assert_eq!(order, [gc, prune, verify]);
    assert_eq!(stage.starts("sss").len(), 1);
}

#[tokio::test]
async fn a_damaged_state_is_made_new_and_the_job_goes_on() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "*:0/5"), ("bbb", "*:0/5")]);
    stage.configure("datastore.cfg", "datastore: ggg\n\tpath /g\n\tgc-schedule *:0/5\n");
    for name in ["syncjob-aaa", "garbage_collection-ggg"] {
        fs::write(stage.server.folder().join(format!("lib/jobstates/{name}.json")), "{oops").unwrap();
    }
    stage.created("bbb", -3600);
    stage.check(MINUTE).await;
    assert_eq!(stage.state(&sync_key("aaa")), JobState::Created { time: Epoch(MONDAY + 30) });
    assert_eq!(stage.starts("bbb"), [MINUTE], "others are not concerned");
    stage.check_each_minute(2 * MINUTE, 6 * MINUTE).await;
    assert_eq!((stage.starts("aaa"), stage.starts("ggg")), (vec![5 * MINUTE], vec![5 * MINUTE]));
}

#[tokio::test]
async fn a_clock_that_was_wrong_by_years_neither_silences_a_job_nor_repeats_its_events() {
    let mut stage = Stage::new();
    stage.sync_jobs([("daily", "daily"), ("minutely", "minutely")]);
    let years = 70 * 365 * DAY;
    stage.check(years).await;
    assert_eq!((stage.starts("daily").len(), stage.starts("minutely").len()), (1, 1));
    stage.recorder.end_runs(i64::MAX);
    // The clock is set right.
    stage.check_each_minute(at(5, 0, 0), at(5, 10, 0)).await;
    assert_eq!(stage.starts("daily"), [0; 0]);
    assert_eq!(stage.starts("minutely").len(), 11);
    stage.restart();
    stage.check_each_minute(DAY, DAY + 10 * MINUTE).await;
    assert_eq!(stage.starts("daily"), [DAY]);
}

#[tokio::test]
async fn a_clock_that_jumps_makes_no_storm() {
    let stage = Stage::new();
    stage.sync_jobs([("hhh", "hourly"), ("ddd", "daily")]);
    stage.created("hhh", 0);
    stage.created("ddd", 0);
    stage.check(HOUR).await;
    assert_eq!(stage.starts("hhh"), [HOUR]);
    // A month forward, then back to where it was.
    stage.check_each_minute(30 * DAY + 30, 30 * DAY + 10 * MINUTE).await;
    assert_eq!((stage.starts("hhh").len(), stage.starts("ddd").len()), (1, 1));
    stage.check_each_minute(HOUR + MINUTE, 3 * HOUR).await;
    assert_eq!(stage.starts("hhh"), [2 * HOUR, 3 * HOUR], "not silent for a month");
    // Back over the last event: it is not answered again.
    stage.check_each_minute(2 * HOUR + 30 * MINUTE, 4 * HOUR).await;
    assert_eq!(stage.starts("hhh"), [4 * HOUR]);
}

#[tokio::test]
async fn a_section_in_which_something_is_wrong_keeps_no_other_job_from_starting() {
    let mut stage = Stage::new();
    stage.sync_jobs([("bbb", "8:00:00:00"), ("aaa", "minutely")]);
    stage.created("aaa", 0);
    stage.check_each_minute(MINUTE, 2 * MINUTE).await;
    stage.restart();
    stage.check(3 * MINUTE).await;
    let complaints = lock(&stage.scheduler.shared).complaints.clone();
    let [(subject, text)] = &complaints.iter().collect::<Vec<_>>()[..] else { panic!("{complaints:?}") };
    assert!(subject.contains("sync.cfg") && text.contains("bbb"), "{subject}: {text}");
    assert_eq!(stage.starts("aaa"), [MINUTE, 2 * MINUTE, 3 * MINUTE]);
    assert_eq!(stage.starts("bbb"), [0; 0]);
    // A job that is no longer understood is not started as it was before.
    stage.sync_jobs([("bbb", "minutely"), ("aaa", "minutely: no")]);
    stage.check_each_minute(4 * MINUTE, 5 * MINUTE).await;
    assert_eq!((stage.starts("aaa").len(), stage.starts("bbb").len()), (0, 2));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_leaves_its_jobs_as_they_were() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "minutely")]);
    stage.created("aaa", 0);
    stage.check(MINUTE).await;
    let path = stage.server.folder().join("etc/sync.cfg");
    fs::write(&path, b"\xff").unwrap();
    stage.check_each_minute(2 * MINUTE, 3 * MINUTE).await;
    let complaints = lock(&stage.scheduler.shared).complaints.clone();
    let [(subject, text)] = &complaints.iter().collect::<Vec<_>>()[..] else { panic!("{complaints:?}") };
    assert!(subject.contains("sync.cfg") && text.contains("line 1"), "{subject}: {text}");
    assert_eq!(stage.starts("aaa"), [MINUTE, 2 * MINUTE, 3 * MINUTE]);
    stage.sync_jobs([]);
    stage.check(4 * MINUTE).await;
    assert_eq!(stage.starts("aaa"), [0; 0]);
}

/// A starter whose starts in one datastore hang.
struct Hanging(Mutex<Vec<String>>);

impl Starter for Hanging {
    fn start(&self, work: Arc<Work>, _scheduled: ScheduledStart) -> BoxFuture<'static, Result<(), NotStarted>> {
        self.0.lock().unwrap().push(work.to_string());
        let hangs = work.lane().is_some_and(|store| store.as_str() == "dead");
        async move { if hangs { std::future::pending().await } else { Ok(()) } }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_datastore_that_does_not_answer_keeps_only_its_own_jobs_from_starting() {
    let stage = Stage::new();
    let jobs =
        ["dead", "alive"].map(|store| format!("verification: {store}\n\tstore {store}\n\tschedule minutely\n\n"));
    stage.configure("verification.cfg", &jobs.concat());
    stage.sync_jobs([("sss", "minutely")]);
    let starter = Arc::new(Hanging(Mutex::default()));
    let scheduler = Scheduler::with_starter(stage.app(), starter.clone());
    for minute in 0..3 {
        stage.set(minute * MINUTE);
        scheduler.check(Epoch(MONDAY + minute * MINUTE)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let started = starter.0.lock().unwrap().clone();
    let count = |name: &str| started.iter().filter(|started| started.contains(name)).count();
    assert_eq!((count("'dead'"), count("'alive'"), count("'sss'")), (1, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn the_loop_checks_at_each_full_minute_and_follows_a_clock_that_jumps() {
    let stage = Stage::new();
    stage.sync_jobs([("mmm", "minutely"), ("hhh", "hourly")]);
    stage.created("mmm", 0);
    stage.created("hhh", 0);
    stage.set(at(0, 0, 20));
    *stage.recorder.duration.lock().unwrap() = 0;
    let Stage { server, recorder, scheduler } = stage;
    let shutdown = CancellationToken::new();
    let (of_loop, runs) = (shutdown.clone(), Arc::clone(&recorder));
    let running = tokio::spawn(async move { scheduler.run(of_loop).await });
    let pass = async |seconds: i64| {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            server.clock.advance(1);
            recorder.end_runs(i64::MAX);
        }
    };
    let starts = |id: &str| {
        let runs = runs.runs.lock().unwrap().remove(id).unwrap_or_default();
        runs.into_iter().map(|time| time - MONDAY).collect::<Vec<_>>()
    };
    pass(39).await;
    assert_eq!(starts("mmm"), [0; 0], "the first check is at a full minute");
    pass(90).await;
    let found = starts("mmm");
    assert_eq!(found.iter().map(|time| time / MINUTE).collect::<Vec<_>>(), [1, 2]);
    assert!(found.iter().all(|time| time % MINUTE <= 2), "{found:?}");
    server.clock.advance(7 * HOUR);
    pass(3).await;
    assert_eq!((starts("mmm").len(), starts("hhh").len()), (1, 1), "no minute is waited for, and no event made up for");
    server.clock.advance(-7 * HOUR);
    pass(70).await;
    assert!(!starts("mmm").is_empty());
    shutdown.cancel();
    running.await.unwrap();
    pass(120).await;
    assert_eq!(starts("mmm"), [0; 0]);
}

/// What happens between two checks.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Time passes: minutes.
    Pass(i64),
    /// The clock is set back or forward a little: seconds.
    Nudge(i64),
    /// The clock is set forward by a lot: seconds.
    Leap(i64),
    /// The server dies and is off for minutes.
    Restart(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1_i64..20).prop_map(Step::Pass),
        2 => (-30_i64..90).prop_map(Step::Nudge),
        1 => (HOUR..3 * DAY).prop_map(Step::Leap),
        1 => (0_i64..200).prop_map(Step::Restart),
    ]
}

const SCHEDULES: [&str; 8] =
    ["minutely", "*:0/5", "*:3/10", "hourly", "2:30", "8..17:0/15", "mon..fri 9:00:30", "*:0/7"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every event is answered by a run that began at or after it, no event by two, and no job runs twice at once.
    #[test]
    fn every_event_is_answered_once(
        steps in proptest::collection::vec(any_step(), 1..40), duration in 0_i64..400, schedules in
        proptest::sample::subsequence(&SCHEDULES[..], 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut stage = Stage::new();
            let ids = ["aaa", "bbb", "ccc"];
            stage.sync_jobs(ids.into_iter().zip(schedules.iter().copied()));
            for id in ids {
                stage.created(id, 0);
            }
            *stage.recorder.duration.lock().unwrap() = duration;
            let mut now = 0_i64;
            // Events that passed, per job: the time of each.
            let mut passed: HashMap<&str, Vec<i64>> = HashMap::new();
            let events: Vec<CalendarEvent> = schedules.iter().map(|text| CalendarEvent::parse(text).unwrap()).collect();
            let pass_to = |now: &mut i64, to: i64, passed: &mut HashMap<&str, Vec<i64>>| {
                for (id, event) in ids.iter().zip(&events) {
                    let next = |from: i64| event.next_after(Epoch(MONDAY + from), &TimeZone::UTC).map(|t| t.0 - MONDAY);
                    let (mut from, mut count) = (*now, 0);
                    while let Some(found) = next(from).filter(|found| *found <= to && count < 10_000) {
                        passed.entry(*id).or_default().push(found);
                        (from, count) = (found, count + 1);
                    }
                }
                *now = to;
            };
            for step in &steps {
                match *step {
                    Step::Pass(minutes) => {
                        for _ in 0..minutes {
                            let next = (now.div_euclid(MINUTE) + 1) * MINUTE;
                            pass_to(&mut now, next, &mut passed);
                            stage.check(now).await;
                        }
                    }
                    Step::Nudge(seconds) => {
                        let to = (now + seconds).max(1);
                        pass_to(&mut now, to, &mut passed);
                        stage.check(now).await;
                    }
                    Step::Leap(seconds) => {
                        let to = now + seconds;
                        pass_to(&mut now, to, &mut passed);
                        stage.check(now).await;
                    }
                    Step::Restart(minutes) => {
                        let to = now + minutes * MINUTE;
                        pass_to(&mut now, to, &mut passed);
                        stage.set(now);
                        stage.restart();
                    }
                }
            }
            // Whatever runs ends, and there is one more check.
            *stage.recorder.duration.lock().unwrap() = 0;
            stage.set(now);
            stage.recorder.end_runs(i64::MAX);
            let next = (now.div_euclid(MINUTE) + 1) * MINUTE;
            stage.check(next).await;
            for (id, event) in ids.iter().zip(&events) {
                let starts = stage.starts(id);
                let last = starts.iter().copied().max().unwrap_or(0);
                for event in passed.remove(id).unwrap_or_default() {
                    assert!(event <= last, "{id}: the event at {event} has no run; runs: {starts:?}");
                }
                let mut answered = 0;
                for start in starts {
                    let next = event.next_after(Epoch(MONDAY + answered), &TimeZone::UTC).unwrap().0 - MONDAY;
                    assert!(next <= start, "{id}: the run at {start} has no event of its own");
                    answered = answered.max(start);
                }
            }
        });
    }
}

/// Minute schedules: a few jobs of each kind run often, many now and then.
fn schedule_of(number: usize) -> String {
    match number % 100 {
        0..=1 => "minutely".to_owned(),
        2..=9 => format!("*:{}/15", number % 15),
        minute => format!("{}..23/4:{}", number % 4, minute % 60),
    }
}

#[tokio::test]
async fn a_day_of_a_thousand_jobs_with_minute_schedules_runs_each_at_its_minutes() {
    let stage = Stage::new();
    let ids: Vec<String> = (0..1000).map(|number| format!("job{number}")).collect();
    let schedules: Vec<String> = (0..1000).map(schedule_of).collect();
    stage.sync_jobs(ids.iter().map(String::as_str).zip(schedules.iter().map(String::as_str)));
    for id in &ids {
        stage.created(id, 0);
    }
    *stage.recorder.duration.lock().unwrap() = 20;
    stage.check_each_minute(MINUTE, DAY).await;
    let mut count = 0;
    for (id, schedule) in ids.iter().zip(&schedules) {
        let event = CalendarEvent::parse(schedule).unwrap();
        let mut expected = Vec::new();
        let mut from = Epoch(MONDAY);
        while let Some(next) = event.next_after(from, &TimeZone::UTC).filter(|next| next.0 <= MONDAY + DAY) {
            expected.push(next.0 - MONDAY);
            from = next;
        }
        assert_eq!(stage.starts(id), expected, "{id}: {schedule}");
        count += expected.len();
    }
    assert!(30_000 < count, "{count}");
}

/// A server with one real job of each kind, each minutely and made a moment ago.
fn server_with_jobs_of_all_kinds() -> TestServer {
    let server = TestServer::new();
    server.add_datastore_without_chunks("aaa");
    server.add_datastore_without_chunks("bbb");
    let configure = |file: &str, text: &str| {
        let path = server.folder().join("etc").join(file);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, before + text).unwrap();
    };
    configure("prune.cfg", "prune: ppp\n\tstore aaa\n\tkeep-last 1\n\tschedule minutely\n");
    configure("verification.cfg", "verification: vvv\n\tstore aaa\n\tschedule minutely\n");
    configure("sync.cfg", "sync: sss\n\tremote-store bbb\n\tstore aaa\n\towner root@pam\n\tschedule minutely\n");
    let text = fs::read_to_string(server.folder().join("etc/datastore.cfg")).unwrap();
    let text = text.replacen("datastore: aaa\n", "datastore: aaa\n\tgc-schedule minutely\n", 1);
    fs::write(server.folder().join("etc/datastore.cfg"), text).unwrap();
    for (kind, name) in
        [("syncjob", "sss"), ("prunejob", "ppp"), ("verificationjob", "vvv"), ("garbage_collection", "aaa")]
    {
        server.app.job_states.create(&JobKey::new(kind, name).unwrap(), server.app.clock.now()).unwrap();
    }
    server
}

/// Waits for all tasks and returns the kinds of all that there ever were, in order.
async fn all_tasks(server: &TestServer) -> Vec<String> {
    for upid in server.app.tasks.running_here() {
        drop(server.app.tasks.wait(&upid).await);
    }
    let page = server.app.tasks.list(&TaskFilter::default(), |_| true).unwrap();
    let mut kinds: Vec<String> = page.items.iter().map(|item| item.worker_type.clone()).collect();
    kinds.sort_unstable();
    kinds
}

const ALL_KINDS: [&str; 5] = ["garbage_collection", "logrotate", "prunejob", "syncjob", "verificationjob"];

/// All of it is real (the configuration file, the look at the schedules, the starts, locks and states) but what a job does,
/// and the disk under the states: three files are written for each run, a million and a half of runs take minutes.
#[tokio::test]
async fn a_day_of_a_thousand_jobs_that_run_each_minute_runs_each_at_each_minute() {
    let stage = Stage::in_memory();
    let ids: Vec<String> = (0..1000).map(|number| format!("job{number}")).collect();
    stage.sync_jobs(ids.iter().map(|id| (id.as_str(), "minutely")));
    for id in &ids {
        stage.created(id, 0);
    }
    *stage.recorder.duration.lock().unwrap() = 20;
    stage.check_each_minute(MINUTE, DAY).await;
    let expected: Vec<i64> = (MINUTE..=DAY).step_by(60).collect();
    for id in &ids {
        assert_eq!(stage.starts(id), expected, "{id}");
    }
}

#[tokio::test]
async fn nothing_is_started_while_no_state_can_be_stored() {
    let stage = Stage::new();
    stage.sync_jobs([("aaa", "minutely")]);
    stage.created("aaa", 0);
    // Nothing can be written to it, as on a full disk.
    let trial = stage.server.folder().join("lib/jobstates/.trial.tmp");
    fs::create_dir(&trial).unwrap();
    stage.check_each_minute(MINUTE, 5 * MINUTE).await;
    assert_eq!(stage.starts("aaa"), [0; 0]);
    let complaints = lock(&stage.scheduler.shared).complaints.clone();
    assert_eq!(complaints.keys().collect::<Vec<_>>(), ["no job is started by its schedule"]);
    fs::remove_dir(&trial).unwrap();
    stage.check(6 * MINUTE).await;
    assert_eq!(stage.starts("aaa"), [6 * MINUTE]);
    assert_eq!(lock(&stage.scheduler.shared).complaints, HashMap::new());
}

#[tokio::test]
async fn real_jobs_of_all_kinds_run_as_root_and_tell_their_schedule() {
    let server = server_with_jobs_of_all_kinds();
    server.clock.advance(MINUTE);
    let scheduler = Scheduler::new(&server.app);
    scheduler.check(server.app.clock.now()).await;
    scheduler.settled().await;
    assert_eq!(all_tasks(&server).await, ALL_KINDS);
    let page = server.app.tasks.list(&TaskFilter::default(), |_| true).unwrap();
    for item in &page.items {
        assert_eq!(item.user.as_str(), "root@pam");
        let log = server.app.tasks.log_lines(&item.upid.parse().unwrap(), 2, 1).unwrap();
        let schedule = if item.worker_type == "logrotate" { "00:00" } else { "minutely" };
        assert!(log.lines[0].t.ends_with(&format!(": task triggered by schedule '{schedule}'")), "{:?}", log.lines);
    }
    // Nothing is due a second time, and a run by hand of the same job would not be waited for.
    scheduler.check(server.app.clock.now()).await;
    scheduler.settled().await;
    assert_eq!(server.app.tasks.list(&TaskFilter::default(), |_| true).unwrap().items.len(), 5);
}

/// Something happens between the look at the schedules and the start that it decided on.
struct Between<F>(StartJobs, F);

impl<F: Fn(Arc<Work>, ScheduledStart) -> BoxFuture<'static, ()> + Send + Sync + 'static> Starter for Between<F> {
    fn start(&self, work: Arc<Work>, scheduled: ScheduledStart) -> BoxFuture<'static, Result<(), NotStarted>> {
        let before = (self.1)(work.clone(), scheduled.clone());
        let start = self.0.start(work, scheduled);
        async move {
            before.await;
            start.await
        }
        .boxed()
    }
}

#[tokio::test]
async fn real_jobs_start_beside_sections_in_which_something_is_wrong() {
    let server = server_with_jobs_of_all_kinds();
    for (file, section) in
        [("sync.cfg", "sync: bad"), ("prune.cfg", "prune: bad"), ("verification.cfg", "verification: bad")]
    {
        let path = server.folder().join("etc").join(file);
        let good = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{section}\n\tnonsense 1\n\n{good}")).unwrap();
    }
    server.clock.advance(MINUTE);
    let scheduler = Scheduler::new(&server.app);
    scheduler.check(server.app.clock.now()).await;
    scheduler.settled().await;
    assert_eq!(all_tasks(&server).await, ALL_KINDS);
}

#[tokio::test]
async fn an_event_that_another_start_has_answered_meanwhile_is_not_answered_again() {
    let server = server_with_jobs_of_all_kinds();
    server.clock.advance(MINUTE);
    let app = Arc::clone(&server.app);
    let other = move |work: Arc<Work>, scheduled: ScheduledStart| {
        // As another process would do, or somebody by hand: it begins, and has ended before the start comes to its turn.
        let app = Arc::clone(&app);
        async move {
            StartJobs::new(&app).start(work, scheduled).await.unwrap();
            for upid in app.tasks.running_here() {
                drop(app.tasks.wait(&upid).await);
            }
        }
        .boxed()
    };
    let starter = Arc::new(Between(StartJobs::new(&server.app), other));
    let scheduler = Scheduler::with_starter(&server.app, starter);
    scheduler.check(server.app.clock.now()).await;
    scheduler.settled().await;
    assert_eq!(all_tasks(&server).await, ALL_KINDS);
    assert_eq!(lock(&scheduler.shared).complaints, HashMap::new(), "nothing that an operator must know");
    // The next event is another one.
    server.clock.advance(MINUTE);
    let scheduler = Scheduler::new(&server.app);
    scheduler.check(server.app.clock.now()).await;
    scheduler.settled().await;
    let all = all_tasks(&server).await;
    assert_eq!(all.len(), 9, "logs are put aside once a day: {all:?}");
}

#[tokio::test]
async fn an_event_is_answered_once_if_the_clock_is_set_back_before_the_start() {
    let server = server_with_jobs_of_all_kinds();
    server.app.job_states.create(&log_rotation::key().unwrap(), server.app.clock.now()).unwrap();
    server.clock.advance(MINUTE);
    let (app, clock) = (Arc::clone(&server.app), Arc::clone(&server.clock));
    let minute = app.clock.now();
    let set_back = move |_: Arc<Work>, _: ScheduledStart| {
        if clock.now() == minute {
            clock.advance(-20);
        }
        async {}.boxed()
    };
    let scheduler = Scheduler::with_starter(&app, Arc::new(Between(StartJobs::new(&app), set_back)));
    scheduler.check(minute).await;
    scheduler.settled().await;
    assert_eq!(all_tasks(&server).await, [""; 0], "runs would begin before the event that they answer");
    server.clock.advance(20);
    let scheduler = Scheduler::new(&app);
    for _ in 0..3 {
        scheduler.check(app.clock.now()).await;
        scheduler.settled().await;
        assert_eq!(all_tasks(&server).await, ["garbage_collection", "prunejob", "syncjob", "verificationjob"]);
        server.clock.advance(15);
    }
}
