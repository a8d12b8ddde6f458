//! Running a stored verify job. Source: `docs/spec/rest-api.md` 9 and 13, `docs/spec/schedules-and-tasks.md` 6.2 and 9.

use std::sync::Arc;
use std::time::Duration;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_rules::acl::Granted;
use farhold_tasks::job_state::LOCK_WAIT;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, JobId, VerifyJob};

use crate::app::App;
use crate::store_jobs::{StoreJob, StoreJobError, may_change, visible};
use crate::stores::Operation;
use crate::verify::{Ending, Reach, Run, VerifyAge, VerifyError, VerifyScope, VerifyThreads, in_background, options};

/// Proof that somebody may run a stored verify job, and the job.
#[derive(Debug, Clone)]
pub struct VerifyPermit {
    granted: Granted,
    job: VerifyJob,
}

impl VerifyPermit {
    /// Looks up a job that `caller` wants to run. Blocking.
    ///
    /// # Errors
    /// [`VerifyError::Job`]; there is no difference between a job that is missing and one that the caller may not see.
    pub fn of(app: &App, caller: &Authid, id: &JobId) -> Result<Self, VerifyError> {
        let loaded = app.settings.verify_jobs().load()?;
        let acl = app.acl()?;
        let job = visible(&acl, caller, &loaded.entries, id)?.clone();
        Ok(Self { granted: may_change(&acl, caller, &job)?, job })
    }

    /// Returns the job.
    pub const fn job(&self) -> &VerifyJob {
        &self.job
    }
}

/// Returns what a job leaves out.
fn age(job: &VerifyJob) -> VerifyAge {
    if !job.skips_verified() {
        return VerifyAge::All;
    }
    // Beyond what a number of days can be nothing is outdated.
    let days = job.outdated_after.map(|days| i64::try_from(days).unwrap_or(i64::MAX));
    VerifyAge::Unverified { outdated_after_days: days }
}

/// Starts a stored verify job and returns the task's name. It verifies all groups in its scope, whoever runs it.
///
/// `schedule`: the calendar event that started it; such a start does not wait. One by hand, without, waits up to 10 s for a
/// run of the same job that is about to end.
///
/// # Errors
/// The job runs or was removed; the store cannot be used, then nothing of the job's state changes; the task cannot be
/// started.
pub async fn run_verify_job(
    app: &Arc<App>,
    permit: VerifyPermit,
    schedule: Option<String>,
) -> Result<Upid, VerifyError> {
    let VerifyPermit { granted, job } = permit;
    let wait = if schedule.is_some() { Duration::ZERO } else { LOCK_WAIT };
    let (of_app, of_job) = (Arc::clone(app), job.clone());
    let prepare = move || {
        let threads = VerifyThreads { read: of_job.read_threads, verify: of_job.verify_threads };
        let handle = of_app.stores.open(&of_job.store, Operation::Read)?;
        let options = options(&of_app, &of_job.store, threads)?;
        let key = VerifyJob::state_key(&of_job.id)?;
        let lock = of_app.job_states.lock_within(&key, wait)?;
        if !of_app.settings.verify_jobs().load()?.entries.contains(of_job.id.as_str()) {
            of_app.job_states.remove(&key)?;
            return Err(StoreJobError::Unknown { kind: VerifyJob::KIND, id: of_job.id.to_string() }.into());
        }
        Ok::<_, VerifyError>((handle, options, lock))
    };
    let prepared = tokio::task::spawn_blocking(prepare).await;
    let (handle, options, lock) = prepared.map_err(|_| VerifyError::CutOff)??;
    let lock = Arc::new(lock);
    let at_end = {
        let (lock, clock) = (Arc::clone(&lock), Arc::clone(&app.clock));
        Box::new(move |context: &TaskContext, status: &TaskStatus| {
            if let Err(error) = lock.finish(context.upid(), status, clock.now()) {
                context.warn(&format!("failed to store the job's state: {}", TaskFailure::from_error(&error)));
            }
        })
    };
    let kind = TaskKind::new(VerifyJob::JOB_TYPE, Some(job.worker_id()));
    let clock = Arc::clone(&app.clock);
    let worker = move |context: TaskContext| {
        in_background(move || {
            lock.start(context.upid())?;
            context.log(&format!("Starting datastore verify job '{}'", job.worker_id()));
            if let Some(event) = schedule {
                context.log(&format!("task triggered by schedule '{event}'"));
            }
            let scope = VerifyScope::Below(job.anchor(), job.max_depth);
            let run = Run::new(&handle, options, age(&job).reverify(clock.now()), &context);
            run.run(&scope, Reach::Everything, Ending::OfJob)
        })
    };
    Ok(app.tasks.spawn_with_end(kind, granted.authid(), at_end, worker).await?)
}
