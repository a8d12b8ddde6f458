//! What the next run of a job would do, without doing it.
//!
//! Keys, datastores and rights are looked at as a run does, so that what keeps a run from starting shows here too.
//! Nothing is written, no task exists, and the job's lock is not taken: a run may go on at the same time.

use std::sync::Arc;

use farhold_sync::{Explanation, RunPlan};
use farhold_types::{Namespace, Snapshot, SyncDirection, SyncJob};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::permission::RunPermit;
use crate::sync_request::SyncRequest;
use crate::sync_run::{SyncRunError, prepare, request_of};

/// Returns what a run of the job would do. The permit is the one that running it needs.
///
/// # Errors
/// As [`crate::sync_run::start_job`], and what would fail the run as a whole.
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn plan(app: &Arc<App>, _: &RunPermit, job: &SyncJob) -> Result<RunPlan, SyncRunError> {
    let prepared = prepare(app, &request_of(app, job).await?).await?;
    Ok(prepared.plan(CancellationToken::new()).await?)
}

/// Returns what a run of a job would do that is not stored. Nothing is known of earlier runs of it.
///
/// # Errors
/// As [`plan`].
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn plan_unstored(app: &Arc<App>, permit: &RunPermit, job: &SyncJob) -> Result<RunPlan, SyncRunError> {
    // The name must be that of no job, whose notes would be looked at.
    let request = SyncRequest { name: format!("plan of {}", permit.caller()), ..SyncRequest::of_job(job)? };
    Ok(prepare(app, &request).await?.plan(CancellationToken::new()).await?)
}

/// Returns why a run of the job would take one snapshot of the source's namespace `ns` or not. No namespace: the one
/// that the job starts from.
///
/// # Errors
/// As [`plan`].
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn explain(
    app: &Arc<App>,
    _: &RunPermit,
    job: &SyncJob,
    ns: Option<Namespace>,
    snapshot: &Snapshot,
) -> Result<Explanation, SyncRunError> {
    let prepared = prepare(app, &request_of(app, job).await?).await?;
    let ns = ns.unwrap_or_else(|| match job.direction() {
        SyncDirection::Pull => job.remote_anchor(),
        SyncDirection::Push => job.local_anchor(),
    });
    Ok(prepared.explain(&ns, snapshot, CancellationToken::new()).await?)
}
