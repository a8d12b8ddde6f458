//! `/config/sync`: stored sync jobs. Source: `docs/spec/rest-api.md` 7, `docs/spec/sync.md` 2 and 3.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::encryption_keys::{KeyRefused, check_job_keys};
use farhold_jobs::permission::{JobDenied, may_change, may_change_stored, may_read, may_replace, may_see};
use farhold_jobs::sync_job_edit::{self, DELETABLE, JobEditError};
use farhold_tasks::job_state::{JobKey, JobStateError};
use farhold_types::{Digest, JobId, SyncJob};
use serde_json::Value;

use super::errors::taken;
use super::{blocking, sync_params, trimmed};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{ParamKind, Shape, named};

const DELETABLE_KIND: ParamKind = ParamKind::Enumeration { values: DELETABLE, strict: true };
const IN_HANDLER: Access = Access::InHandler("Privileges on the datastore and the remote, by the job's options");

const JOB: Shape = Shape::Object(sync_params::JOB);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/config/sync", "List sync jobs", list)
            .params(&[named::LIST_SYNC_DIRECTION])
            .access(Access::InHandler("Jobs that the caller may see"))
            .returns(Shape::List(&JOB))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/config/sync", "Create a sync job", create)
            .params(&[named::JOB_ID])
            .params(&sync_params::new_job_options())
            .access(IN_HANDLER)
            .returns(Shape::Null),
        Endpoint::get("/config/sync/{id}", "Show a sync job", read)
            .params(&[named::JOB_ID])
            .access(IN_HANDLER)
            .returns(JOB)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/config/sync/{id}", "Change a sync job", update)
            .params(&[named::JOB_ID])
            .params(&sync_params::job_options())
            .params(&[named::delete(&DELETABLE_KIND), named::DIGEST])
            .access(IN_HANDLER)
            .returns(Shape::Null),
        Endpoint::delete("/config/sync/{id}", "Remove a sync job", remove)
            .params(&[named::JOB_ID, named::DIGEST])
            .access(IN_HANDLER)
            .returns(Shape::Null),
    ]
}

impl From<JobDenied> for ApiError {
    fn from(error: JobDenied) -> Self {
        Self::from_chain(&error)
    }
}

impl From<KeyRefused> for ApiError {
    fn from(error: KeyRefused) -> Self {
        Self::from_chain(&error)
    }
}

impl From<JobEditError> for ApiError {
    fn from(error: JobEditError) -> Self {
        Self::from_chain(&error)
    }
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let loaded = app.settings.sync_jobs().load()?;
        let acl = app.acl()?;
        let direction = request.params.text("sync-direction");
        let is_shown = |job: &&SyncJob| sync_params::is_listed(job, direction) && may_see(&acl, &caller, job).is_ok();
        let items: Vec<Value> =
            loaded.entries.all()?.into_iter().filter(is_shown).map(|job| sync_params::item(job).into()).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let id: JobId = request.params.require("id")?;
    blocking(move || {
        let loaded = app.settings.sync_jobs().load()?;
        let job = loaded.entries.get(id.as_str())?.ok_or_else(|| unknown(&id))?;
        may_read(&*app.acl()?, &caller, job)?;
        Ok::<_, ApiError>(Reply::value(sync_params::item(job)).with_digest(&loaded.digest))
    })
    .await
}

fn unknown(id: &JobId) -> ApiError {
    ApiError::bad_request(format!("no such sync job '{id}'"))
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = request.params;
    let id: JobId = params.require("id")?;
    let fields = sync_params::fields(&params)?;
    let (store, remote_store) = (params.require("store")?, params.require("remote-store")?);
    blocking(move || {
        let acl = app.acl()?;
        // The permission is asked for the job as it is given, before anything about it is told.
        let given = sync_job_edit::requested(id.clone(), &store, &remote_store, fields.clone());
        may_change(&acl, &caller, &given)?;
        let (job, keys) = sync_job_edit::create(id.clone(), store, remote_store, fields)?;
        app.settings.sync_jobs().edit(None, |jobs| {
            // Under the lock of the jobs: a key that a job begins to name is not removed meanwhile.
            check_job_keys(&app, &app.access.snapshot()?, &caller, &job.effective_owner(), &keys)?;
            jobs.insert(job).map_err(taken("id", format!("sync job '{id}'")))
        })?;
        app.job_states.create(&JobKey::sync(&id)?, app.clock.now())?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = request.params;
    let id: JobId = params.require("id")?;
    let digest: Option<Digest> = params.parse("digest")?;
    let mut fields = sync_params::fields(&params)?;
    // A comment of blanks removes it.
    let is_comment_removed = fields.comment.as_ref().is_some_and(|comment| comment.trim().is_empty());
    fields.comment = fields.comment.and_then(|comment| trimmed(&comment));
    blocking(move || {
        let acl = app.acl()?;
        let edited = app.settings.sync_jobs().edit(digest, |jobs| {
            let former = jobs.get(id.as_str())?.ok_or_else(|| unknown(&id))?.clone();
            let mut delete = params.texts("delete").unwrap_or_default();
            if is_comment_removed {
                delete.push("comment");
            }
            // Before anything else: the rules between options would tell how the job is set.
            may_change_stored(&acl, &caller, &former)?;
            let (job, keys) = sync_job_edit::update(&former, &delete, fields)?;
            may_replace(&acl, &caller, &former, &job)?;
            check_job_keys(&app, &app.access.snapshot()?, &caller, &job.effective_owner(), &keys)?;
            let is_rescheduled = job.schedule.is_some() && job.schedule != former.schedule;
            jobs.update(job)?;
            Ok::<_, ApiError>(is_rescheduled)
        })?;
        if edited.value {
            app.job_states.schedule_changed(&JobKey::sync(&id)?, app.clock.now(), &app.tasks)?;
        }
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let id: JobId = request.params.require("id")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || {
        let acl = app.acl()?;
        let key = JobKey::sync(&id)?;
        app.settings.sync_jobs().edit(digest, |jobs| {
            let job = jobs.get(id.as_str())?;
            let job = job.ok_or_else(|| ApiError::not_found(format!("no such sync job '{id}'")))?;
            may_change_stored(&acl, &caller, job)?;
            jobs.remove(id.as_str());
            Ok::<_, ApiError>(())
        })?;
        // A run that is under way keeps its own copy of the job and ends by itself. Its state goes with the job; the
        // reference waits 10 s here and then reports a failure, although the job is gone.
        match app.job_states.lock_within(&key, std::time::Duration::ZERO) {
            Ok(_) | Err(JobStateError::Locked { .. }) => app.forget_job(&key)?,
            Err(error) => return Err(error.into()),
        }
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
