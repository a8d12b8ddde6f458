//! `/farhold/sync`: what runs of sync jobs would do, and how far running ones are. Our own addition.

use std::sync::Arc;

use farhold_jobs::encryption_keys::check_job_keys;
use farhold_jobs::permission::{may_change, may_replace};
use farhold_jobs::{App, dry_run, sync_job_edit};
use farhold_types::{JobId, Namespace, Snapshot};

use super::admin_sync::runnable_job;
use super::{blocking, sync_params};
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, Shape, named, shapes};

const SNAPSHOT: Param = Param::required("snapshot", named::ANY_TEXT, "Snapshot, as type/id/time");
const DIRECTION: Field = Field::required("direction", Shape::Word(&["pull", "push"]), "Direction of the run");
const ACTION: Shape = Shape::Word(&["transfer", "compare", "refetch", "skip"]);
const UNREADABLE: &str = "What the source listed and makes no sense; it would be left out";
const TEXTS: Shape = Shape::List(&shapes::TEXT);
const REASON: Shape = Shape::Word(&[
    "first-of-group",
    "newer",
    "failed-before",
    "newest-on-target",
    "corrupt",
    "in-progress",
    "not-verified",
    "not-encrypted",
    "already-synced",
    "transfer-last",
    "partly-encrypted",
]);
const REMOVAL: Shape = Shape::Object(&[
    Field::required("time", shapes::EPOCH, "Time of the snapshot"),
    Field::required("is-protected", Shape::Boolean, "Whether it is protected and would stay"),
]);
const GROUP_REMOVAL: Shape = Shape::Object(&[
    Field::required("group", Shape::Text("type/id"), "The group"),
    Field::optional("kept", shapes::TEXT, "Why it would stay"),
    Field::required("snapshots", Shape::List(&REMOVAL), "Its snapshots; none if it would stay"),
]);
const NAMESPACE_REMOVAL: Shape = Shape::Object(&[
    Field::required("namespace", shapes::NAMESPACE, "The namespace of the target"),
    Field::optional("kept", shapes::TEXT, "Why it would stay"),
    Field::optional("groups", Shape::List(&GROUP_REMOVAL), "What would become of its groups"),
]);
const SNAPSHOT_PLAN: Shape = Shape::Object(&[
    Field::required("time", shapes::EPOCH, "Time of the snapshot"),
    Field::required("action", ACTION, "What would be done"),
    Field::required("reason", REASON, "The first rule that decides"),
    Field::optional("size-bytes", Shape::Integer, "Bytes of its content, if the source knows them"),
]);
const GROUP_PLAN: Shape = Shape::Object(&[
    Field::required("group", Shape::Text("type/id"), "The group"),
    Field::optional("failure", shapes::TEXT, "Why it would fail as a whole"),
    Field::required("snapshots", Shape::List(&SNAPSHOT_PLAN), "Snapshots of the source, oldest first"),
    Field::required("removals", Shape::List(&REMOVAL), "Snapshots of the target that vanished, oldest first"),
    Field::optional("unreadable", TEXTS, UNREADABLE),
]);
const NAMESPACE_PLAN: Shape = Shape::Object(&[
    Field::required("source", shapes::NAMESPACE, "Namespace on the source"),
    Field::required("target", shapes::NAMESPACE, "Namespace on the target"),
    Field::required("is-missing-on-target", Shape::Boolean, "Whether it would be created on the target"),
    Field::optional("failure", shapes::TEXT, "Why it would fail as a whole"),
    Field::required("groups-total", Shape::Integer, "Groups that the source lists"),
    Field::required("groups", Shape::List(&GROUP_PLAN), "Groups that the job takes, in order"),
    Field::required("removed-groups", Shape::List(&GROUP_REMOVAL), "Groups of the target that vanished"),
    Field::optional("removal-failure", shapes::TEXT, "Why it could not be found out what vanished"),
    Field::optional("unreadable", TEXTS, UNREADABLE),
]);
const PLAN: Shape = Shape::Object(&[
    DIRECTION,
    Field::required("is-compatibility-mode", Shape::Boolean, "Whether the remote has no namespaces"),
    Field::required("namespaces", Shape::List(&NAMESPACE_PLAN), "Namespaces, in order"),
    Field::required("removed-namespaces", Shape::List(&NAMESPACE_REMOVAL), "Namespaces that vanished"),
    Field::optional("removal-failure", shapes::TEXT, "Why it could not be found out what vanished"),
    Field::required("snapshots-to-fetch", Shape::Integer, "Snapshots that would be transferred"),
    Field::required("bytes-estimate", Shape::Integer, "Bytes of their content, the most that would go over the line"),
    Field::required("unreadable", TEXTS, UNREADABLE),
]);
const EXPLANATION: Shape = Shape::Object(&[
    DIRECTION,
    Field::required("namespace", shapes::NAMESPACE, "Namespace on the source"),
    Field::required("snapshot", Shape::Text("type/id/time"), "The snapshot"),
    Field::required("action", ACTION, "What the next run would do with it"),
    Field::required("reason", shapes::TEXT, "The first rule that decides"),
    Field::optional("removal", REMOVAL, "What would become of the copy on the target"),
]);

const LIKE_RUN: Access = Access::InHandler("The privileges that running the job needs");

/// What a job is called that has no name yet; only in messages.
const UNNAMED: &str = "unnamed-job";

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::post("/farhold/sync/plan", "Show what running a sync job would do that is not stored", plan_unstored)
            .params(&[named::JOB_ID
                .is_optional()
                .described("Name of the stored job that would be so; its earlier runs and options count then")])
            .params(&sync_params::new_job_options())
            .access(Access::InHandler(
                "The privileges that creating and running the job needs; for a stored job those that changing it needs",
            ))
            .returns(PLAN),
        Endpoint::get("/farhold/sync/{id}/plan", "Show what running a sync job would do", plan)
            .params(&[named::JOB_ID])
            .access(LIKE_RUN)
            .returns(PLAN),
        Endpoint::get("/farhold/sync/{id}/explain", "Show why a sync job takes a snapshot or leaves it out", explain)
            .params(&[
                named::JOB_ID,
                SNAPSHOT,
                named::NS.described("Namespace on the source; by default the one that the job starts from"),
            ])
            .access(LIKE_RUN)
            .returns(EXPLANATION),
    ]
}

async fn plan(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, id) = (request.caller()?.clone(), request.params.require("id")?);
    let (job, permit) = runnable_job(&app, caller, id).await?;
    Reply::json(&dry_run::plan(&app, &permit, &job).await?)
}

async fn plan_unstored(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let id: Option<JobId> = params.parse("id")?;
    let fields = sync_params::fields(&params)?;
    let (store, remote_store) = (params.require("store")?, params.require("remote-store")?);
    let (job, permit, is_stored) = {
        let app = Arc::clone(&app);
        blocking(move || {
            let acl = app.acl()?;
            let former = match &id {
                Some(id) => app.settings.sync_jobs().load()?.entries.get(id.as_str())?.cloned(),
                None => None,
            };
            let unnamed = || UNNAMED.parse().map_err(|_| ApiError::internal("a name of a job is wrong"));
            let id = id.map_or_else(unnamed, Ok)?;
            // As for the job when it is made: permissions first, for the job as it is given.
            let given = sync_job_edit::requested(id.clone(), &store, &remote_store, fields.clone());
            if let Some(former) = &former {
                may_replace(&acl, &caller, former, &given)?;
            }
            let permit = may_change(&acl, &caller, &given)?;
            let (job, keys) = sync_job_edit::create(id, store, remote_store, fields)?;
            check_job_keys(&app, &app.access.snapshot()?, &caller, &job.effective_owner(), &keys)?;
            Ok::<_, ApiError>((job, permit, former.is_some()))
        })
        .await?
    };
    let plan = match is_stored {
        true => dry_run::plan(&app, &permit, &job).await?,
        false => dry_run::plan_unstored(&app, &permit, &job).await?,
    };
    Reply::json(&plan)
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
