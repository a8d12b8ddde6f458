//! How scheduled jobs are started: as `root@pam`, and as they are configured.

use std::error::Error;
use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_settings::SettingsError;
use farhold_tasks::TaskFailure;
use farhold_types::Authid;
use futures::future::{BoxFuture, FutureExt};

use super::{Starter, Work, log_rotation};
use crate::app::App;
use crate::gc::{GcPermit, GcRunError, start_gc};
use crate::job_turn::{ScheduledStart, is_taken};
use crate::permission::may_change_stored;
use crate::prune::{PruneError, run_prune_job};
use crate::store_jobs::{JobPermit, may_change};
use crate::sync_run::{SyncRunError, start_job};
use crate::task_work::{Crashed, blocking};
use crate::verify::VerifyError;
use crate::verify_job::run_verify_job;

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotStarted {
    /// It runs, or ran since it was looked at. It is started at a later minute if an event waits.
    #[error("it runs already")]
    Busy,
    /// It cannot be started now.
    #[error("{0}")]
    Failed(String),
}

impl NotStarted {
    pub(super) fn because(error: &(dyn Error + 'static)) -> Self {
        Self::Failed(TaskFailure::from_error(error).text().to_owned())
    }
}

/// Starts the jobs of a server.
pub struct StartJobs {
    app: Arc<App>,
}

impl StartJobs {
    /// Returns what starts the jobs of `app`.
    pub fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

impl Starter for StartJobs {
    fn start(&self, work: Arc<Work>, scheduled: ScheduledStart) -> BoxFuture<'static, Result<(), NotStarted>> {
        let app = Arc::clone(&self.app);
        async move { start(&app, &work, scheduled).await.map(drop) }.boxed()
    }
}

async fn start(app: &Arc<App>, work: &Work, scheduled: ScheduledStart) -> Result<Upid, NotStarted> {
    let of_acl = Arc::clone(app);
    let acl = blocking(move || Ok::<_, AclUnread>(of_acl.acl()?)).await.map_err(|error| NotStarted::because(&error))?;
    let root = Authid::root();
    match work {
        Work::Gc(store) => {
            let permit = GcPermit::of(&acl, &root, store).map_err(|denied| NotStarted::because(&denied))?;
            start_gc(app, &permit, Some(scheduled)).await.map_err(|error| match error {
                GcRunError::Running { .. } => NotStarted::Busy,
                error => NotStarted::because(&error),
            })
        }
        Work::Prune(job) => {
            let granted = may_change(&acl, &root, &**job).map_err(|error| NotStarted::because(&error))?;
            let started = run_prune_job(app, JobPermit { granted, job: (**job).clone() }, Some(scheduled)).await;
            started.map_err(|error| match error {
                PruneError::JobState(error) if is_taken(&error) => NotStarted::Busy,
                error => NotStarted::because(&error),
            })
        }
        Work::Sync(job) => {
            let permit = may_change_stored(&acl, &root, job).map_err(|error| NotStarted::because(&error))?;
            let started = start_job(app, &permit, (**job).clone(), Some(scheduled)).await;
            started.map_err(|error| match error {
                SyncRunError::JobState(error) if is_taken(&error) => NotStarted::Busy,
                error => NotStarted::because(&error),
            })
        }
        Work::Verify(job) => {
            let granted = may_change(&acl, &root, &**job).map_err(|error| NotStarted::because(&error))?;
            let started = run_verify_job(app, JobPermit { granted, job: (**job).clone() }, Some(scheduled)).await;
            started.map_err(|error| match error {
                VerifyError::JobState(error) if is_taken(&error) => NotStarted::Busy,
                error => NotStarted::because(&error),
            })
        }
        Work::LogRotation => log_rotation::start(app, &root, scheduled).await,
    }
}

/// Why permissions cannot be read.
#[derive(Debug, thiserror::Error)]
enum AclUnread {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Crashed(#[from] Crashed),
}
