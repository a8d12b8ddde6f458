//! Running a stored verify job. Source: `docs/spec/rest-api.md` 9 and 13, `docs/spec/schedules-and-tasks.md` 6.2 and 9.

use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_tasks::{TaskContext, TaskKind};
use farhold_types::VerifyJob;

use crate::app::App;
use crate::job_end::{JobPlace, RunDetails, VerifyFindings, at_end};
use crate::job_turn::{ScheduledStart, lock_stored, tell_schedule};
use crate::store_jobs::{JobPermit, StoreJob};
use crate::stores::Operation;
use crate::task_work::{blocking, in_background};
use crate::verify::{Ending, Reach, Run, VerifyAge, VerifyError, VerifyScope, VerifyThreads, WORK, options};

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
/// `start`: the calendar event that it is started for; such a start does not wait. One by hand, without, waits up to 10 s for a
/// run of the same job that is about to end.
///
/// # Errors
/// The job runs or was removed; the store cannot be used, then nothing of the job's state changes; the task cannot be
/// started.
pub async fn run_verify_job(
    app: &Arc<App>,
    permit: JobPermit<VerifyJob>,
    start: Option<ScheduledStart>,
) -> Result<Upid, VerifyError> {
    let JobPermit { granted, job } = permit;
    let (of_app, of_job, of_turn) = (Arc::clone(app), job.clone(), start.clone());
    let prepare = move || {
        let threads = VerifyThreads { read: of_job.read_threads, verify: of_job.verify_threads };
        let handle = of_app.stores.open(&of_job.store, Operation::Read)?;
        let options = options(&of_app, &of_job.store, threads)?;
        let lock = lock_stored::<VerifyJob, VerifyError>(&of_app, &of_job.id, of_turn.as_ref())?;
        Ok::<_, VerifyError>((handle, options, lock))
    };
    let (handle, options, lock) = blocking(prepare).await?;
    let lock = Arc::new(lock);
    let details = RunDetails::Verify(VerifyFindings::default());
    let (at_end, slot) = at_end(app, &lock, JobPlace::store(job.store.clone()), details);
    let kind = TaskKind::new(VerifyJob::JOB_TYPE, Some(job.worker_id()));
    let (clock, board) = (Arc::clone(&app.clock), app.progress.clone());
    let worker = move |context: TaskContext| {
        in_background(WORK, move || {
            lock.start(context.upid())?;
            context.log(&format!("Starting datastore verify job '{}'", job.worker_id()));
            tell_schedule(&context, start.as_ref());
            let scope = VerifyScope::Below(job.anchor(), job.max_depth);
            let mut run = Run::new(&handle, options, age(&job).reverify(clock.now()), &context, &board);
            let result = run.run(&scope, Reach::Everything, Ending::OfJob);
            slot.set(RunDetails::Verify(run.into_findings()));
            result
        })
    };
    Ok(app.tasks.spawn_with_end(kind, granted.authid(), at_end, worker).await?)
}
