//! `/admin/sync`: state of sync jobs, and running them. Source: `docs/spec/rest-api.md` 13.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::permission::{RunPermit, may_change_stored, may_see};
use farhold_jobs::schedule::run_status;
use farhold_jobs::sync_run::{SyncRunError, start_job};
use farhold_tasks::job_state::JobKey;
use farhold_types::{Authid, JobId, SyncJob};
use serde_json::{Map, Value};

use super::{blocking, sync_params};
use crate::declare::{Access, Answer, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Shape, named, shapes};

impl From<SyncRunError> for ApiError {
    fn from(error: SyncRunError) -> Self {
        Self::from_chain(&error)
    }
}

const JOBS: Shape = Shape::List(&Shape::Joined(&[sync_params::JOB, shapes::JOB_STATE]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/sync", "List sync jobs and how they last ran", list)
            .params(&[named::STORE.is_optional().described("Only jobs of this datastore"), named::LIST_SYNC_DIRECTION])
            .access(Access::InHandler("Jobs that the caller may see"))
            .returns(JOBS)
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/admin/sync/{id}/run", "Run a sync job now", run)
            .params(&[named::JOB_ID])
            .access(Access::InHandler("Privileges on the datastore and the remote, by the job's options"))
            .answer(Answer::Task),
    ]
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let loaded = app.settings.sync_jobs().load()?;
        let acl = app.acl()?;
        let direction = request.params.text("sync-direction");
        let store = request.params.text("store");
        let is_shown = |job: &&SyncJob| {
            sync_params::is_listed(job, direction)
                && store.is_none_or(|store| job.store.as_str() == store)
                && may_see(&acl, &caller, job).is_ok()
        };
        let mut items = Vec::new();
        for job in loaded.entries.all()?.into_iter().filter(is_shown) {
            let mut item = sync_params::item(job);
            item.extend(runs(&app, job)?);
            items.push(Value::from(item));
        }
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

/// Returns the members that tell about the last and the next run.
fn runs(app: &App, job: &SyncJob) -> Result<Map<String, Value>, ApiError> {
    let status = run_status(app, &JobKey::sync(&job.id)?, job.schedule.as_deref())?;
    match serde_json::to_value(status) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Ok(Map::new()),
    }
}

/// Returns a job, and the proof that the caller may run it.
///
/// # Errors
/// 400: there is no such job, or the caller may not run it.
pub(super) async fn runnable_job(app: &Arc<App>, caller: Authid, id: JobId) -> Result<(SyncJob, RunPermit), ApiError> {
    let app = Arc::clone(app);
    blocking(move || {
        let loaded = app.settings.sync_jobs().load()?;
        let job = loaded.entries.get(id.as_str())?;
        let job = job.ok_or_else(|| ApiError::bad_request(format!("no such sync job '{id}'")))?.clone();
        let permit = may_change_stored(&*app.acl()?, &caller, &job)?;
        Ok::<_, ApiError>((job, permit))
    })
    .await
}

async fn run(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, id) = (request.caller()?.clone(), request.params.require("id")?);
    let (job, permit) = runnable_job(&app, caller, id).await?;
    let upid = start_job(&app, &permit, job, None).await?;
    Ok(Reply::value(upid.to_string()))
}
