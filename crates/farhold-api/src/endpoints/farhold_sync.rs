//! `/farhold/sync`: what runs of sync jobs would do, and how far running ones are. Our own addition.

use std::sync::Arc;

use farhold_jobs::{App, dry_run};
use farhold_types::{Namespace, Snapshot};

use super::admin_sync::runnable_job;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Param, named};

const SNAPSHOT: Param = Param::required("snapshot", named::ANY_TEXT, "Snapshot, as type/id/time");
const LIKE_RUN: Access = Access::InHandler("The privileges that running the job needs");

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/sync/{id}/plan", "Show what running a sync job would do", plan)
            .params(&[named::JOB_ID])
            .access(LIKE_RUN),
        Endpoint::get("/farhold/sync/{id}/explain", "Show why a sync job takes a snapshot or leaves it out", explain)
            .params(&[
                named::JOB_ID,
                SNAPSHOT,
                named::NS.described("Namespace on the source; by default the one that the job starts from"),
            ])
            .access(LIKE_RUN),
    ]
}

async fn plan(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, id) = (request.caller()?.clone(), request.params.require("id")?);
    let (job, permit) = runnable_job(&app, caller, id).await?;
    Reply::json(&dry_run::plan(&app, &permit, &job).await?)
}

async fn explain(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let snapshot: String = request.params.require("snapshot")?;
    let snapshot: Snapshot =
        snapshot.parse().map_err(|error| ApiError::parameter("snapshot", format!("expected type/id/time: {error}")))?;
    let ns: Option<Namespace> = request.params.parse("ns")?;
    let (caller, id) = (request.caller()?.clone(), request.params.require("id")?);
    let (job, permit) = runnable_job(&app, caller, id).await?;
    Reply::json(&dry_run::explain(&app, &permit, &job, ns, &snapshot).await?)
}
