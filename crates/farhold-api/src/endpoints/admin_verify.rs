//! `/admin/verify`: state of verify jobs, and running them. Source: `docs/spec/rest-api.md` 13.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::verify_job::run_verify_job;
use farhold_types::VerifyJob;

use super::config_verify::VERIFY_JOB;
use super::store_jobs;
use crate::declare::{Access, Answer, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Shape, named, shapes};

const JOBS: Shape = Shape::List(&Shape::Joined(&[VERIFY_JOB, shapes::JOB_STATE]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/verify", "List verify jobs and how they last ran", store_jobs::list_states::<VerifyJob>)
            .params(&[named::STORE.is_optional().described("Only jobs of this datastore")])
            .access(Access::InHandler(
                "Jobs on whose datastore and namespace the caller has Datastore.Audit or Datastore.Verify",
            ))
            .returns(JOBS)
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/admin/verify/{id}/run", "Run a verify job now", run)
            .params(&[named::JOB_ID])
            .access(Access::InHandler("Datastore.Verify on the job's datastore and namespace"))
            .answer(Answer::Task),
    ]
}

async fn run(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let permit = store_jobs::permit::<VerifyJob>(&app, request).await?;
    Ok(Reply::value(run_verify_job(&app, permit, None).await?.to_string()))
}
