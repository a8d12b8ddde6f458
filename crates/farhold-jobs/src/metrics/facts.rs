//! Everything that metrics are made of, gathered once for all who ask at about the same time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use farhold_storage::FileSystemSpace;
use farhold_tasks::EndedCounts;
use farhold_tasks::job_state::JobState;
use farhold_types::{DatastoreName, Epoch, JobKind, RuleName};

use super::jobs::{JobListError, ListedJob, all_jobs};
use super::process::ProcessFacts;
use crate::app::App;
use crate::census::StoreCounts;
use crate::job_runs::JobSummary;
use crate::notifications::NotificationCounts;
use crate::progress::TaskProgress;
use crate::schedule::next_run;
use crate::stores::{MountStatus, maintenance_word};
use crate::traffic::Rates;

/// What is known of a job.
#[derive(Debug)]
pub(super) struct JobFacts {
    pub(super) job: ListedJob,
    pub(super) summary: Option<Arc<JobSummary>>,
    pub(super) is_running: bool,
    pub(super) current_rate: Option<f64>,
    pub(super) next_run: Option<Epoch>,
    pub(super) stale_after: Option<Duration>,
}

/// What is known of a datastore.
#[derive(Debug)]
pub(super) struct StoreFacts {
    pub(super) name: DatastoreName,
    pub(super) backend: &'static str,
    pub(super) maintenance: &'static str,
    pub(super) is_there: bool,
    pub(super) space: Option<FileSystemSpace>,
    pub(super) counts: Option<Arc<StoreCounts>>,
}

/// What is known of a server.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) time: Epoch,
    pub(super) jobs: Vec<JobFacts>,
    pub(super) stores: Vec<StoreFacts>,
    pub(super) running: BTreeMap<String, u64>,
    pub(super) ended: EndedCounts,
    pub(super) traffic: Vec<(RuleName, Rates)>,
    pub(super) notifications: NotificationCounts,
    pub(super) process: ProcessFacts,
}

impl Facts {
    /// Gathers everything. Blocking, but no datastore is asked: what they hold was looked at before, in the background.
    ///
    /// Costs, for each job, one small file and the size and time of another one.
    pub(super) fn gather(app: &App) -> Result<Self, JobListError> {
        let time = app.clock.now();
        let options = app.job_options.all().unwrap_or_else(|error| {
            tracing::warn!("metrics lack the options of jobs: {error}");
            Vec::new()
        });
        let stale_after: HashMap<(JobKind, &str), Duration> = options
            .iter()
            .filter_map(|of_job| Some(((of_job.kind, of_job.name.as_str()), of_job.options.stale_after?)))
            .collect();
        let jobs = all_jobs(app)?.into_iter().map(|job| {
            let stale_after = stale_after.get(&(job.kind, job.id())).copied();
            job_facts(app, job, stale_after, time)
        });
        let jobs = jobs.collect();
        let sample = app.history.samples(None).pop();
        let stores = app.settings.datastores().load()?;
        let stores = stores.entries.usable().map(|store| StoreFacts {
            name: store.name.clone(),
            backend: if store.is_s3() { "s3" } else { "filesystem" },
            maintenance: store.maintenance().map_or("", |mode| maintenance_word(mode.maintenance_type)),
            is_there: app.stores.mount_status(store) != MountStatus::NotMounted,
            space: sample.as_ref().and_then(|sample| sample.store(&store.name)?.space),
            counts: app.census.counts(&store.name),
        });
        let stores = stores.collect();
        let mut running: BTreeMap<String, u64> = BTreeMap::new();
        for upid in app.tasks.running_here() {
            *running.entry(upid.worker_type().to_owned()).or_default() += 1;
        }
        let rules = app.settings.traffic_rules().load()?;
        let rules: Vec<_> = rules.entries.usable().collect();
        let rates = app.traffic.rates_of(&rules);
        Ok(Self {
            time,
            jobs,
            stores,
            running,
            ended: app.tasks.ended_counts(),
            traffic: rules.iter().map(|rule| rule.name.clone()).zip(rates).collect(),
            notifications: app.notifications.counts(),
            process: ProcessFacts::read(&*app.host),
        })
    }
}

fn job_facts(app: &App, job: ListedJob, stale_after: Option<Duration>, now: Epoch) -> JobFacts {
    let summary = app.job_runs.summary(&job.key).unwrap_or_else(|error| {
        tracing::warn!(job = job.id(), "{error}: {}", error.source);
        None
    });
    // A state that cannot be read is nothing that the other jobs should vanish for.
    let state = app.job_states.read(&job.key, now, &app.tasks).unwrap_or_else(|error| {
        tracing::warn!(job = job.id(), "{error}");
        JobState::Unknown
    });
    let current_rate = match &state {
        JobState::Started { upid } => match app.progress.get(upid) {
            Some(TaskProgress::Sync(run)) => Some(run.look().0.rate_bytes_per_s),
            _ => None,
        },
        _ => None,
    };
    let next_run = job.schedule.as_deref().and_then(|schedule| next_run(schedule, &state, now, &app.time_zone));
    JobFacts {
        is_running: matches!(state, JobState::Started { .. }),
        job,
        summary,
        current_rate,
        next_run,
        stale_after,
    }
}
