//! The scheduler: looks once a minute which jobs are due and starts them.
//!
//! - A job is due if an event of its schedule has passed since its last run began; however many passed, it runs once.
//! - Nothing is waited for. A job that runs is left alone until the next minute. Starts of jobs of one datastore follow
//!   each other (garbage collection, prune, verify); different datastores, and sync jobs, are started beside each other,
//!   so that a datastore that does not answer keeps nobody else from starting.
//! - A job that cannot be started keeps its state and is tried again each minute. Why is logged once.
//! - A start is one for what was found at the look: if the job ran meanwhile, or the clock was set back, it is none.
//! - Nothing is started while states of jobs cannot be stored, as on a full disk.
//! - A clock that jumps makes no storm and loses no job: see [`farhold_rules::schedule_due`].
//!
//! Time and zone come from the [`App`], so that a test may let a day pass in seconds. Source:
//! `docs/spec/schedules-and-tasks.md` 9.

mod log_rotation;
mod starts;
#[cfg(test)]
mod tests;
mod timetable;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farhold_rules::schedule_due::{CHECK_PERIOD_S, UNKNOWN_AGE_S, counted_anew, is_believable};
use farhold_tasks::TaskFailure;
use farhold_tasks::job_state::{JobKey, JobState, JobStateError, ScheduleBasis, WaitingEvent};
use farhold_types::{DatastoreName, Epoch};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::starts::{NotStarted, StartJobs};
pub use self::timetable::Work;

use self::timetable::{TimedJob, Timetable};
use crate::app::App;
use crate::job_turn::ScheduledStart;
use crate::task_work::{Crashed, blocking};

/// Longest pause between two looks at the clock: a clock that jumps is noticed within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Pause between looks in the last second of a minute, so that jobs start right after it.
const LAST_PAUSE: Duration = Duration::from_millis(50);
/// Starts of one kind that are made beside each other in one datastore, and of sync jobs: enough to be done with a
/// thousand in seconds, few enough to leave threads to others.
const STARTS_AT_ONCE: usize = 8;
/// How long a scheduler that ends waits for starts that are being made.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Longest time between two turns of the loop that is still healthy: it turns each second, and a check of many jobs takes
/// seconds.
const ALIVE_LIMIT: Duration = Duration::from_secs(120);

/// Starts a job; what the scheduler is given instead of the real jobs in tests.
pub trait Starter: Send + Sync + 'static {
    /// Starts a job for an event of its schedule, without waiting for a run of the same job.
    fn start(&self, work: Arc<Work>, scheduled: ScheduledStart) -> BoxFuture<'static, Result<(), NotStarted>>;
}

/// The scheduler of one server.
pub struct Scheduler {
    app: Arc<App>,
    starter: Arc<dyn Starter>,
    shared: Arc<Mutex<Shared>>,
    tracker: TaskTracker,
}

/// What rounds leave for each other.
#[derive(Default)]
struct Shared {
    timetable: Timetable,
    /// Jobs whose start is being made.
    starting: HashSet<JobKey>,
    /// Datastores in which starts are being made.
    busy_stores: HashSet<DatastoreName>,
    /// From when on the events of jobs count whose state tells an impossible time and cannot be changed as they run.
    counted_anew: HashMap<JobKey, Epoch>,
    /// What was told about jobs that could not be started, so that it is told once.
    complaints: HashMap<String, String>,
}

impl Shared {
    /// Logs something about `subject` unless that was the last thing logged about it.
    fn complain(&mut self, subject: String, text: String) {
        if self.complaints.get(&subject) != Some(&text) {
            tracing::warn!("{subject}: {text}");
            self.complaints.insert(subject, text);
        }
    }
}

/// A job that is to be started.
struct Start {
    key: JobKey,
    scheduled: ScheduledStart,
    work: Arc<Work>,
}

impl Scheduler {
    /// Returns the scheduler of a server, which starts its jobs.
    pub fn new(app: &Arc<App>) -> Self {
        Self::with_starter(app, Arc::new(StartJobs::new(app)))
    }

    /// Returns a scheduler that lets `starter` start jobs.
    pub fn with_starter(app: &Arc<App>, starter: Arc<dyn Starter>) -> Self {
        Self { app: Arc::clone(app), starter, shared: Arc::default(), tracker: TaskTracker::new() }
    }

    /// Checks at every full minute of the server's clock until `shutdown`, then waits a while for starts in the making.
    ///
    /// The first check is at the first full minute. A clock that jumps is followed: what counts is that the minute is
    /// another one.
    pub async fn run(&self, shutdown: CancellationToken) {
        let alive = self.app.health.watch("scheduler", ALIVE_LIMIT);
        let mut minute = minute_of(self.app.clock.now());
        loop {
            alive.beat();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause_after(self.app.clock.now())) => {}
            }
            let now = self.app.clock.now();
            if minute_of(now) != minute {
                minute = minute_of(now);
                self.check(now).await;
            }
        }
        alive.finish();
        self.tracker.close();
        if tokio::time::timeout(END_LIMIT, self.tracker.wait()).await.is_err() {
            tracing::warn!("scheduled jobs were being started when the server stopped");
        }
    }

    /// Stores how runs ended whose process is gone, so that their jobs tell the truth and are due again; for the start of
    /// a server. Blocking.
    pub fn settle(app: &App) {
        match app.job_states.finish_left_over(&app.tasks) {
            Ok(ended) => {
                for upid in ended {
                    tracing::warn!(%upid, "a job's run ended with the server that ran it");
                }
            }
            Err(error) => tracing::warn!("states of jobs: {}", TaskFailure::from_error(&error)),
        }
    }

    /// Finds the jobs that are due at `now` and begins to start them. What goes wrong is logged.
    pub async fn check(&self, now: Epoch) {
        let (app, shared) = (Arc::clone(&self.app), Arc::clone(&self.shared));
        let planned = blocking(move || Ok::<_, Crashed>(plan(&app, &mut lock(&shared), now))).await;
        match planned {
            Ok(due) => self.begin(due),
            Err(error) => tracing::error!("the schedules were not looked at: {error}"),
        }
    }

    /// Waits until all starts that were begun are made.
    pub async fn settled(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Begins to start jobs. A datastore in which starts of an earlier round are still being made is left alone.
    fn begin(&self, due: Vec<Start>) {
        let mut lanes: BTreeMap<Option<DatastoreName>, Vec<Start>> = BTreeMap::new();
        {
            let mut shared = lock(&self.shared);
            for start in due {
                let lane = start.work.lane();
                if shared.starting.contains(&start.key) || lane.as_ref().is_some_and(|s| shared.busy_stores.contains(s))
                {
                    continue;
                }
                lanes.entry(lane).or_default().push(start);
            }
            for (lane, starts) in &lanes {
                shared.busy_stores.extend(lane.clone());
                shared.starting.extend(starts.iter().map(|start| start.key.clone()));
            }
        }
        for (lane, starts) in lanes {
            let (starter, shared) = (Arc::clone(&self.starter), Arc::clone(&self.shared));
            self.tracker.spawn(async move {
                let mut starts = starts.into_iter().peekable();
                while let Some(first) = starts.next() {
                    let rank = first.work.rank();
                    let mut of_kind = vec![first];
                    while let Some(next) = starts.next_if(|next| next.work.rank() == rank) {
                        of_kind.push(next);
                    }
                    let each = futures::stream::iter(of_kind);
                    each.for_each_concurrent(STARTS_AT_ONCE, |start| make(&*starter, &shared, start)).await;
                }
                if let Some(store) = lane {
                    lock(&shared).busy_stores.remove(&store);
                }
            });
        }
    }
}

/// Makes one start, and remembers why it could not be made.
async fn make(starter: &dyn Starter, shared: &Mutex<Shared>, start: Start) {
    let work = Arc::clone(&start.work);
    let made = starter.start(start.work, start.scheduled).await;
    let mut shared = lock(shared);
    shared.starting.remove(&start.key);
    match made {
        Ok(()) if shared.complaints.is_empty() => {}
        Ok(()) => drop(shared.complaints.remove(&work.to_string())),
        Err(NotStarted::Busy) => {}
        Err(NotStarted::Failed(reason)) => shared.complain(work.to_string(), format!("not started: {reason}")),
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn minute_of(time: Epoch) -> i64 {
    time.0.div_euclid(CHECK_PERIOD_S)
}

/// Returns how long to wait for the next look at the clock.
fn pause_after(now: Epoch) -> Duration {
    if now.0.rem_euclid(CHECK_PERIOD_S) == CHECK_PERIOD_S - 1 { LAST_PAUSE } else { LONGEST_PAUSE }
}

/// Returns the jobs that are due, in the order in which they are started. Blocking.
fn plan(app: &App, shared: &mut Shared, now: Epoch) -> Vec<Start> {
    let mut timetable = std::mem::take(&mut shared.timetable);
    for (subject, text) in timetable.refresh(&app.settings) {
        shared.complain(subject, text);
    }
    let mut due = Vec::new();
    for job in timetable.jobs() {
        match waiting_event(app, shared, job, now) {
            Ok(Some(event)) => {
                let scheduled = ScheduledStart { schedule: job.schedule.clone(), event };
                due.push(Start { key: job.key.clone(), scheduled, work: Arc::clone(&job.work) });
            }
            Ok(None) => {}
            Err(error) => shared.complain(job.work.to_string(), TaskFailure::from_error(&error).text().to_owned()),
        }
    }
    shared.timetable = timetable;
    if !due.is_empty()
        && let Err(error) = app.job_states.try_out()
    {
        // Whatever began now would leave no trace of it, and begin anew each minute.
        let text = TaskFailure::from_error(&error).text().to_owned();
        shared.complain("no job is started by its schedule".to_owned(), text);
        return Vec::new();
    }
    shared.complaints.remove("no job is started by its schedule");
    due
}

/// Returns the event that a job is to be started for, if one waits. Its state is changed only if it makes no sense.
/// Blocking.
fn waiting_event(
    app: &App,
    shared: &mut Shared,
    job: &mut TimedJob,
    now: Epoch,
) -> Result<Option<WaitingEvent>, JobStateError> {
    let key = &job.key;
    let mut stored = app.job_states.find(key)?;
    if job.runs_first_of_all && stored.is_none() {
        return Ok(Some(WaitingEvent { time: now, basis: ScheduleBasis::default() }));
    }
    let unknown = Epoch(now.0.saturating_sub(UNKNOWN_AGE_S));
    let last = match stored.as_deref() {
        Some(JobState::Unknown) => {
            // The same age that a missing state has: what is due now and cannot be started is not forgotten.
            app.job_states.schedule_changed(key, unknown, &app.tasks)?;
            if matches!(*job.work, Work::Gc(_)) {
                return Ok(None);
            }
            stored = app.job_states.find(key)?;
            unknown
        }
        Some(JobState::Started { upid }) if app.tasks.runs_here(upid) && upid.start_time() <= now => return Ok(None),
        state => state.map_or(unknown, |state| state.schedule_reference().unwrap_or(now)),
    };
    let last = if last <= now || is_believable(&job.event, last, now, &app.time_zone) {
        shared.counted_anew.remove(key);
        last
    } else {
        // The clock was wrong when that was written. While the job runs its state cannot be changed.
        let from = *shared.counted_anew.entry(key.clone()).or_insert_with(|| counted_anew(now));
        app.job_states.schedule_changed(key, from, &app.tasks)?;
        stored = app.job_states.find(key)?;
        if stored.as_ref().and_then(|state| state.schedule_reference()) != Some(from) {
            return Ok(None);
        }
        tracing::warn!("{}: its last run lies in the future; its schedule counts from now on", job.work);
        shared.counted_anew.remove(key);
        from
    };
    let waits = job.next_after(last, &app.time_zone).filter(|next| *next <= now);
    Ok(waits.map(|time| WaitingEvent { time, basis: ScheduleBasis::of(stored.as_ref()) }))
}
