//! The sync jobs that run after a store was mounted, one after the other. Source: `docs/spec/sync.md` 16.

use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_rules::mount_jobs::{MountJobs, jobs_on_mount};
use farhold_settings::SettingsError;
use farhold_tasks::{TaskContext, TaskFailure, TaskKind};
use farhold_types::{Authid, JobId};
use thiserror::Error;

use super::{MountPermit, RemovableError, unmount};
use crate::App;
use crate::permission::{JobDenied, may_change_stored};
use crate::sync_run::{SyncRunError, start_job};
use crate::task_work::{Crashed, blocking};

/// Starts the task that runs the jobs that wait for this store, if there are any. What goes wrong is a warning of
/// `mounting`, the task that mounted the store: it is mounted all the same.
pub(super) async fn start(app: &Arc<App>, permit: &MountPermit, mounting: &TaskContext) {
    let (server, store) = (Arc::clone(app), permit.store().clone());
    let chosen = blocking(move || {
        let jobs = server.settings.sync_jobs().load()?.entries;
        Ok::<_, RemovableError>(jobs_on_mount(jobs.usable(), &store))
    });
    let jobs = match chosen.await {
        Ok(jobs) if jobs.ids.is_empty() => return,
        Ok(jobs) => jobs,
        Err(error) => {
            mounting.warn(&format!("no sync jobs are run: {}", TaskFailure::from_error(&error)));
            return;
        }
    };
    mounting.log(&format!("starting {} sync jobs", jobs.ids.len()));
    let kind = TaskKind::new("mount-sync-jobs", Some(permit.store().to_string()));
    let (server, permit_of_task) = (Arc::clone(app), permit.clone());
    let worker = move |task: TaskContext| async move { run_all(&server, &permit_of_task, jobs, &task).await };
    if let Err(error) = app.tasks.spawn(kind, permit.caller(), worker).await {
        mounting.warn(&format!("failed to start the sync jobs: {}", TaskFailure::from_error(&error)));
    }
}

async fn run_all(app: &Arc<App>, permit: &MountPermit, jobs: MountJobs, task: &TaskContext) -> Result<(), TaskFailure> {
    let count = jobs.ids.len();
    let names: Vec<&str> = jobs.ids.iter().map(JobId::as_str).collect();
    task.log(&format!("will run {count} sync jobs: {}", names.join(", ")));
    for (index, id) in jobs.ids.iter().enumerate() {
        if task.is_cancelled() || task.shutdown().is_cancelled() {
            return Err(RemovableError::Aborted.into());
        }
        task.log(&format!("[{}/{count}] starting '{id}'...", index + 1));
        match start_stored(app, id).await {
            // How a job ends is its own task's result.
            Ok(upid) => drop(app.tasks.wait(&upid).await),
            Err(error) => task.warn(&format!("sync job '{id}' cannot be started: {}", TaskFailure::from_error(&error))),
        }
    }
    if jobs.unmounts_when_done {
        task.log("unmounting the datastore");
        unmount(app, permit).await?;
    }
    Ok(())
}

/// Why a job was not started.
#[derive(Debug, Error)]
enum NotStarted {
    #[error(transparent)]
    Run(#[from] SyncRunError),
    #[error(transparent)]
    Denied(#[from] JobDenied),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

/// Starts a job as it is configured now, as root.
async fn start_stored(app: &Arc<App>, id: &JobId) -> Result<Upid, NotStarted> {
    let (server, wanted) = (Arc::clone(app), id.clone());
    let (acl, job) = blocking(move || {
        let jobs = server.settings.sync_jobs().load()?.entries;
        let job = jobs.get(wanted.as_str())?.cloned().ok_or(SyncRunError::UnknownJob { id: wanted })?;
        Ok::<_, NotStarted>((server.acl()?, job))
    })
    .await?;
    let permit = may_change_stored(&acl, &Authid::root(), &job)?;
    Ok(start_job(app, &permit, job, None).await?)
}
