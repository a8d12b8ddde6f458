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
use crate::pull::{Opened, Origin, PullError, PullRequest, blocking, check, open};

/// Returns what a run of the job would do. The permit is the one that running it needs.
///
/// # Errors
/// As [`crate::pull::start_job`], and what would fail the run as a whole.
///
/// # Cancel safety
/// It may be dropped at any time.
pub async fn plan(app: &Arc<App>, _: &RunPermit, job: &SyncJob) -> Result<RunPlan, PullError> {
    let (request, opened) = prepare(app, job).await?;
    let Opened { store, target, origin, rights, keys } = opened;
    let (options, target, rights) = (request.options(app, keys), Arc::new(target), Arc::new(rights));
    let cancel = CancellationToken::new();
    let plan = match origin {
        Origin::Remote(source) => farhold_sync::plan(options, Arc::new(*source), target, rights, cancel).await,
        Origin::Local(source, _handle) => farhold_sync::plan(options, Arc::new(source), target, rights, cancel).await,
    };
    drop(store);
    Ok(plan?)
}

/// Returns why a run of the job would take one snapshot of the source's namespace `ns` or not.
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
    ns: &Namespace,
    snapshot: &Snapshot,
) -> Result<Explanation, PullError> {
    let (request, opened) = prepare(app, job).await?;
    let Opened { store, target, origin, rights, keys } = opened;
    let (options, target, rights) = (request.options(app, keys), Arc::new(target), Arc::new(rights));
    let cancel = CancellationToken::new();
    let explanation = match origin {
        Origin::Remote(source) => {
            farhold_sync::explain(options, Arc::new(*source), target, rights, ns, snapshot, cancel).await
        }
        Origin::Local(source, _handle) => {
            farhold_sync::explain(options, Arc::new(source), target, rights, ns, snapshot, cancel).await
        }
    };
    drop(store);
    Ok(explanation?)
}

async fn prepare(app: &Arc<App>, job: &SyncJob) -> Result<(PullRequest, Opened), PullError> {
    if job.direction() == SyncDirection::Push {
        return Err(PullError::Unsupported("push"));
    }
    let request = PullRequest::of_job(job);
    check(&request)?;
    let (app, asked) = (Arc::clone(app), request.clone());
    let opened = blocking(move || open(&app, &asked)).await?;
    Ok((request, opened))
}
