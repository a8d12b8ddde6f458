//! `/admin/prune`: state of prune jobs, and running them. Source: `docs/spec/rest-api.md` 13.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::prune::run_prune_job;
use farhold_types::PruneJob;

use super::config_prune::PRUNE_JOB;
use super::store_jobs;
use crate::declare::{Access, Answer, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Shape, named, shapes};

const JOBS: Shape = Shape::List(&Shape::Joined(&[PRUNE_JOB, shapes::KEEP, shapes::JOB_STATE]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/prune", "List prune jobs and how they last ran", store_jobs::list_states::<PruneJob>)
            .params(&[named::STORE.is_optional().described("Only jobs of this datastore")])
            .access(Access::InHandler(
                "Jobs on whose datastore and namespace the caller has Datastore.Audit or Datastore.Modify",
            ))
            .returns(JOBS)
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/admin/prune/{id}/run", "Run a prune job now, also one whose schedule is switched off", run)
            .params(&[named::JOB_ID])
            .access(Access::InHandler("Datastore.Modify on the job's datastore and namespace"))
            .answer(Answer::Task),
    ]
}

async fn run(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let permit = store_jobs::permit::<PruneJob>(&app, request).await?;
    Ok(Reply::value(run_prune_job(&app, permit, None).await?.to_string()))
}
