//! `/config/prune`, `/config/verify`, and below `/admin`: what the branches of stored jobs of a datastore do alike.
//!
//! Source: `docs/spec/rest-api.md` 9, 1.5.

use std::sync::Arc;
use std::time::Duration;

use farhold_jobs::App;
use farhold_jobs::schedule::run_status;
use farhold_jobs::store_jobs::{JobPermit, StoreJob, StoreJobError, may_change, may_read, may_see, visible};
use farhold_tasks::job_state::JobStateError;
use farhold_types::{Authid, Digest, JobId};
use serde_json::{Map, Value};

use super::blocking;
use super::errors::taken;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Param, Params, Shape, named};

/// A job of a datastore whose configuration is a branch of its own.
pub trait JobBranch: StoreJob {
    /// Returns a job of the values that a caller gives to create one.
    fn new_job(params: &Params) -> Result<Self, ApiError>;

    /// Resets one of the deletable fields.
    fn reset(&mut self, field: &str);

    /// Sets the fields that a caller gives to change a job.
    fn set(&mut self, params: &Params) -> Result<(), ApiError>;

    /// Returns the job as lists and reads show it.
    fn item(&self) -> Map<String, Value>;
}

/// Paths, parameters and answers of a branch.
pub struct Branch {
    /// Path of the list.
    pub list: &'static str,
    /// Path of one job.
    pub one: &'static str,
    /// What the five endpoints do: list, create, read, update, remove.
    pub summaries: [&'static str; 5],
    /// Parameters of a creation besides the id.
    pub new: Vec<Param>,
    /// Parameters of an update besides the id, `delete` and `digest`.
    pub changes: Vec<Param>,
    /// The `delete` parameter.
    pub delete: Param,
    /// Shape of one job.
    pub job: Shape,
    /// Shape of the list.
    pub jobs: Shape,
    /// Who may do something, for the documentation: list, the rest.
    pub access: [&'static str; 2],
}

/// Returns the endpoints of a branch.
pub fn endpoints<J: JobBranch>(branch: &Branch) -> Vec<Endpoint<App>> {
    let [in_list, in_handler] = branch.access.map(Access::InHandler);
    let [list_summary, create_summary, read_summary, update_summary, remove_summary] = branch.summaries;
    vec![
        Endpoint::get(branch.list, list_summary, list::<J>)
            .access(in_list)
            .returns(branch.jobs)
            .attributes(CONFIG_DIGEST),
        Endpoint::post(branch.list, create_summary, create::<J>)
            .params(&[named::JOB_ID])
            .params(&branch.new)
            .access(in_handler)
            .returns(Shape::Null),
        Endpoint::get(branch.one, read_summary, read::<J>)
            .params(&[named::JOB_ID])
            .access(in_handler)
            .returns(branch.job)
            .attributes(CONFIG_DIGEST),
        Endpoint::put(branch.one, update_summary, update::<J>)
            .params(&[named::JOB_ID])
            .params(&branch.changes)
            .params(&[branch.delete, named::DIGEST])
            .access(in_handler)
            .returns(Shape::Null),
        Endpoint::delete(branch.one, remove_summary, remove::<J>)
            .params(&[named::JOB_ID, named::DIGEST])
            .access(in_handler)
            .returns(Shape::Null),
    ]
}

impl From<StoreJobError> for ApiError {
    fn from(error: StoreJobError) -> Self {
        Self::from_chain(&error)
    }
}

async fn list<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let loaded = J::stored(&app.settings).load()?;
        let acl = app.acl()?;
        let shown = loaded.entries.all()?.into_iter().filter(|job| may_see(&acl, &caller, *job));
        let items: Vec<Value> = shown.map(|job| job.item().into()).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

/// Lists the jobs that the caller may see, each with how it last ran and when it runs next.
pub async fn list_states<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let loaded = J::stored(&app.settings).load()?;
        let acl = app.acl()?;
        let store = request.params.text("store");
        let is_shown =
            |job: &&J| store.is_none_or(|store| job.store().as_str() == store) && may_see(&acl, &caller, *job);
        let mut items: Vec<Value> = Vec::new();
        for job in loaded.entries.all()?.into_iter().filter(is_shown) {
            let mut item = job.item();
            let status = run_status(&app, &J::state_key(job.id())?, job.timer())?;
            if let Ok(Value::Object(members)) = serde_json::to_value(status) {
                item.extend(members);
            }
            items.push(item.into());
        }
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn read<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let id: JobId = request.params.require("id")?;
    blocking(move || {
        let loaded = J::stored(&app.settings).load()?;
        let acl = app.acl()?;
        let job: &J = visible(&acl, &caller, &loaded.entries, &id)?;
        may_read(&acl, &caller, job)?;
        Ok::<_, ApiError>(Reply::value(job.item()).with_digest(&loaded.digest))
    })
    .await
}

async fn create<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let job = J::new_job(&request.params)?;
    let id: JobId = request.params.require("id")?;
    blocking(move || {
        may_change(&*app.acl()?, &caller, &job)?;
        J::stored(&app.settings)
            .edit(None, |jobs| jobs.insert(job).map_err(taken("id", format!("{} job '{id}'", J::KIND))))?;
        app.job_states.create(&J::state_key(&id)?, app.clock.now())?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// A request of an update, without what the file's lock is needed for.
struct Update {
    caller: Authid,
    id: JobId,
    digest: Option<Digest>,
    params: Params,
}

async fn update<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let update = Update {
        caller: request.caller()?.clone(),
        id: request.params.require("id")?,
        digest: request.params.parse("digest")?,
        params: request.params,
    };
    blocking(move || change::<J>(&app, &update)).await
}

/// Changes a job: first what is to be reset, then what is given. The timer starts anew if the schedule is another one
/// (`docs/spec/rest-api.md` 19.2).
fn change<J: JobBranch>(app: &App, update: &Update) -> Result<Reply, ApiError> {
    let acl = app.acl()?;
    let edited = J::stored(&app.settings).edit(update.digest, |jobs| {
        let former: J = visible::<J>(&acl, &update.caller, jobs, &update.id)?.clone();
        may_change(&acl, &update.caller, &former)?;
        let mut job = former.clone();
        for field in update.params.texts("delete").unwrap_or_default() {
            job.reset(field);
        }
        job.set(&update.params)?;
        may_change(&acl, &update.caller, &job)?;
        let is_rescheduled = job.schedule().is_some() && job.schedule() != former.schedule();
        jobs.update(job)?;
        Ok::<_, ApiError>(is_rescheduled)
    })?;
    if edited.value {
        app.job_states.schedule_changed(&J::state_key(&update.id)?, app.clock.now(), &app.tasks)?;
    }
    Ok(Reply::null())
}

async fn remove<J: JobBranch>(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let id: JobId = request.params.require("id")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || {
        let acl = app.acl()?;
        J::stored(&app.settings).edit(digest, |jobs| {
            may_change(&acl, &caller, visible::<J>(&acl, &caller, jobs, &id)?)?;
            jobs.remove(id.as_str());
            Ok::<_, ApiError>(())
        })?;
        // A run that is under way keeps its own copy of the job and ends by itself; its state goes with the job.
        let key = J::state_key(&id)?;
        match app.job_states.lock_within(&key, Duration::ZERO) {
            Ok(_) | Err(JobStateError::Locked { .. }) => app.forget_job(&key)?,
            Err(error) => return Err(error.into()),
        }
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Checks that the caller may run the job that it names. Returns the job with the proof.
pub async fn permit<J: StoreJob>(app: &Arc<App>, request: Request<App>) -> Result<JobPermit<J>, ApiError> {
    let (app, caller) = (Arc::clone(app), request.caller()?.clone());
    let id: JobId = request.params.require("id")?;
    blocking(move || JobPermit::of(&app, &caller, &id)).await
}
