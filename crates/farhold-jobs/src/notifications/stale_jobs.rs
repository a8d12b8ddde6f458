//! Jobs with a limit for the time without success: looks at them every minute and queues what is to be told.
//!
//! What is remembered about each job outlives the server. It is stored after the news was queued, so that a server that
//! is killed in between tells twice rather than never.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use farhold_notify::EventId;
use farhold_rules::staleness::{StaleFacts, StaleWatch, look};
use farhold_rules::time_span::TimeSpan;
use farhold_settings::SettingsError;
use farhold_tasks::TaskFailure;
use farhold_tasks::job_state::{JobKey, JobState, JobStateError, RunState};
use farhold_types::{DatastoreName, Epoch, JobKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::after_run::{TellError, Worth, queue};
use super::event::{StaleJob, of_staleness};
use super::host_names::HostNames;
use crate::app::App;
use crate::job_files::JobFiles;
use crate::job_options::JobOptionsError;
use crate::job_runs::JobRunsError;

/// How often jobs are looked at: limits are hours and days.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How long after the start of the server the first look is. What became due while it was off runs first: after a weekend
/// without power each of hundreds of jobs would be told as stale, and as healthy a moment later. Source: our own choice; a
/// server that does not live that long tells nobody anything.
const FIRST_LOOK: Duration = Duration::from_secs(300);
/// Name of the file.
const FILE: &str = "stale-alarms.json";
/// Largest file that is read, in bytes: some hundred bytes for each of many thousand jobs.
const MAX_BYTES: usize = 4 << 20;

/// Why jobs were not looked at.
#[derive(Debug, Error)]
enum StaleCheckError {
    /// The options of jobs cannot be read.
    #[error(transparent)]
    Options(#[from] JobOptionsError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The state of a job cannot be read.
    #[error(transparent)]
    State(#[from] JobStateError),
    /// What was kept of the runs of a job cannot be read.
    #[error(transparent)]
    Runs(#[from] JobRunsError),
    /// The news cannot be queued.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// What is remembered about the jobs cannot be read or written.
    #[error("what is remembered about stale jobs cannot be kept")]
    Memory(#[source] std::io::Error),
}

/// What the file holds about a job. A later version may add members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Remembered {
    success: Option<i64>,
    since: i64,
    is_alarmed: bool,
}

impl From<StaleWatch> for Remembered {
    fn from(watch: StaleWatch) -> Self {
        Self { success: watch.success.map(|at| at.0), since: watch.since.0, is_alarmed: watch.is_alarmed }
    }
}

impl From<Remembered> for StaleWatch {
    fn from(remembered: Remembered) -> Self {
        let Remembered { success, since, is_alarmed } = remembered;
        Self { success: success.map(Epoch), since: Epoch(since), is_alarmed }
    }
}

/// Looks at the jobs every minute until `shutdown`, from a few minutes after the start on.
pub async fn watch_stale_jobs(app: Arc<App>, shutdown: CancellationToken) {
    let mut looks = interval_at(Instant::now() + FIRST_LOOK, LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let of_look = Arc::clone(&app);
        if tokio::task::spawn_blocking(move || check_stale_jobs(&of_look)).await.is_err() {
            tracing::error!("looking for stale jobs crashed");
        }
    }
}

/// Looks at all jobs with a limit and queues what is to be told. What fails for one job keeps no other from being looked
/// at; it is told in the server's log and tried again with the next look. Blocking.
pub fn check_stale_jobs(app: &App) {
    if let Err(error) = check(app) {
        tracing::error!("stale jobs cannot be looked for: {}", TaskFailure::from_error(&error));
    }
}

fn check(app: &App) -> Result<(), StaleCheckError> {
    let watched = app.job_options.all()?.into_iter();
    let watched: Vec<_> = watched.filter_map(|job| Some((job.kind, job.name, job.options.stale_after?))).collect();
    let before = recall(app)?;
    if watched.is_empty() && before.is_empty() {
        return Ok(());
    }
    // Jobs without a limit, or that are gone, are forgotten.
    let mut memory: BTreeMap<String, Remembered> = BTreeMap::new();
    for (kind, name, _) in &watched {
        let key = memory_key(*kind, name);
        memory.extend(before.get(&key).map(|watch| (key.clone(), *watch)));
    }
    let mut is_stored = memory == before;
    let files = JobFiles::of(&app.settings);
    for (kind, name, limit) in watched {
        let key = memory_key(kind, &name);
        let looked = look_at(app, &files, kind, &name, limit, memory.get(&key).copied());
        match looked {
            Ok(Some((watch, is_news))) => {
                is_stored &= memory.insert(key, watch) == Some(watch);
                // With the next job the server may be killed.
                if is_news {
                    store(app, &memory)?;
                    is_stored = true;
                }
            }
            Ok(None) => is_stored &= memory.remove(&key).is_none(),
            Err(error) => {
                let reason = TaskFailure::from_error(&error);
                tracing::error!("whether {kind} job '{name}' is stale cannot be told: {reason}");
            }
        }
    }
    if is_stored { Ok(()) } else { store(app, &memory) }
}

/// Returns what is to be remembered about a job, and whether something was queued; `None` if there is no such job.
fn look_at(
    app: &App,
    files: &JobFiles<'_>,
    kind: JobKind,
    name: &str,
    limit: Duration,
    before: Option<Remembered>,
) -> Result<Option<(Remembered, bool)>, StaleCheckError> {
    let Some(store) = store_of(files, kind, name)? else { return Ok(None) };
    let key = JobKey::new(kind.job_type(), name)?;
    let now = app.clock.now();
    let state = app.job_states.read(&key, now, &app.tasks)?;
    let summary = app.job_runs.summary(&key)?;
    let created = match &state {
        JobState::Created { time } => Some(*time),
        _ => None,
    };
    // Runs of which nothing was kept, because an earlier version ran them, still count by the job's state.
    let by_state = match &state {
        JobState::Finished { state: RunState::Ok { endtime } | RunState::Warning { endtime, .. }, .. } => {
            Some(*endtime)
        }
        _ => None,
    };
    let last_success = summary.as_ref().and_then(|summary| summary.totals.last_success).max(by_state);
    let (watch, news) = look(before.map(Into::into), StaleFacts { limit, created, last_success }, now);
    if let Some(news) = news {
        let last_error = match &state {
            JobState::Finished { state, .. } => super::event::error_of(&state.status()),
            _ => None,
        };
        let limit = TimeSpan(limit);
        let job = StaleJob { kind, name: name.to_owned(), store: store.clone(), limit, last_success, last_error };
        let event = of_staleness(&job, news, EventId::random(&*app.randomness), now, &HostNames::of(app));
        queue(app, &store, kind, Worth::Staleness, event, now)?;
    }
    Ok(Some((watch.into(), news.is_some())))
}

/// Returns the datastore of a configured job; `None` if there is no such job.
fn store_of(files: &JobFiles<'_>, kind: JobKind, name: &str) -> Result<Option<DatastoreName>, SettingsError> {
    Ok(match kind {
        JobKind::Sync => files.sync_jobs()?.get(name)?.map(|job| job.store.clone()),
        JobKind::Prune => files.prune_jobs()?.get(name)?.map(|job| job.store.clone()),
        JobKind::Verify => files.verify_jobs()?.get(name)?.map(|job| job.store.clone()),
        JobKind::Gc => files.datastores()?.get(name)?.map(|store| store.name.clone()),
    })
}

fn memory_key(kind: JobKind, name: &str) -> String {
    format!("{kind}/{name}")
}

/// Returns what is remembered. A file that makes no sense is as good as none: the alarms of jobs that are stale still are
/// raised a second time.
fn recall(app: &App) -> Result<BTreeMap<String, Remembered>, StaleCheckError> {
    let bytes = app.notifications.alarms.read(FILE, MAX_BYTES).map_err(StaleCheckError::Memory)?;
    let Some(bytes) = bytes else { return Ok(BTreeMap::new()) };
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!("what was remembered about stale jobs makes no sense and is forgotten: {error}");
        BTreeMap::new()
    }))
}

fn store(app: &App, memory: &BTreeMap<String, Remembered>) -> Result<(), StaleCheckError> {
    let bytes = serde_json::to_vec(memory).expect("maps with text keys always have a JSON form");
    app.notifications.alarms.put(FILE, &bytes).map_err(StaleCheckError::Memory)
}
