//! `/farhold/tasks` and `/farhold/sync/progress`: how far running tasks are. Our own addition, which no other client knows.

use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_jobs::App;
use farhold_jobs::progress::{RunProgress, TaskProgress};
use farhold_jobs::task_access::may_see_task;
use farhold_jobs::work_progress::WorkProgress;
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Shape, named, shapes};

const CURRENT: Shape = Shape::Object(&[
    Field::required("ns", shapes::NAMESPACE, "Namespace that is worked on"),
    Field::required("group", Shape::Text("type/id"), "Group that is worked on"),
    Field::required("snapshot", Shape::Nullable(&shapes::EPOCH), "Time of the snapshot that is transferred"),
    Field::required("snapshots_done", Shape::Integer, "Snapshots of the group that are done"),
    Field::required("snapshots", Shape::Integer, "Snapshots of the group that are to be done"),
]);
/// How far a task is, whatever it does. Rates are bytes of content per second.
const WORK: &[Field] = &[
    Field::required(
        "phase",
        Shape::Word(&["sync", "verify", "mark", "sweep", "prune", "repair", "search"]),
        "What it does at the moment",
    ),
    Field::required("done", Shape::Number, "What is done of the phase, with the part that is under way"),
    Field::required("total", Shape::Nullable(&Shape::Number), "What is to be done in the phase, once that is known"),
    Field::required(
        "unit",
        Shape::Word(&["bytes", "groups", "snapshots", "index-files", "percent", "chunks"]),
        "What done and total count",
    ),
    Field::required("rate", Shape::Nullable(&Shape::Number), "Bytes of content per second, lately"),
    Field::required("eta", Shape::Nullable(&Shape::Number), "Seconds that it will still take, if that can be told"),
    Field::required("elapsed", Shape::Number, "Seconds since it began"),
];
const SYNC_FIELDS: [Field; 14] = [
    Field::required("bytes_done", Shape::Integer, "Bytes of content that are done"),
    Field::required("bytes_left", Shape::Integer, "Bytes of content that are left"),
    Field::required("bytes_total", Shape::Integer, "Both together"),
    Field::required("bytes_planned", Shape::Integer, "Bytes of content of all snapshots that are planned"),
    Field::required("bytes_received", Shape::Integer, "Bytes that came over the line"),
    Field::required("namespaces_done", Shape::Integer, "Namespaces that are done"),
    Field::required("namespaces", Shape::Nullable(&Shape::Integer), "Namespaces, once they are known"),
    Field::required("groups_done", Shape::Integer, "Groups that are done"),
    Field::required("groups", Shape::Nullable(&Shape::Integer), "Groups that are known so far"),
    Field::required("snapshots_done", Shape::Integer, "Snapshots that are done"),
    Field::required("snapshots", Shape::Nullable(&Shape::Integer), "Snapshots that are known so far"),
    Field::required("failures", Shape::Integer, "What failed for good"),
    Field::required("retries", Shape::Integer, "What was tried again"),
    Field::required("current", Shape::List(&CURRENT), "Groups that are worked on"),
];
/// What a sync tells besides.
const SYNC: &[Field] = &SYNC_FIELDS;
/// The same in answers that are also about other tasks, which do not have it.
const ONLY_SYNC: &[Field] = &optional(SYNC_FIELDS);
const TASK: &[Field] = &[
    Field::required("upid", shapes::UPID, "The task"),
    Field::required("type", Shape::Text("worker type"), "What it does"),
    Field::required("id", Shape::Nullable(&Shape::Text("worker ID")), "What it works on"),
];

const LIKE_LOG: Access = Access::InHandler("Tasks whose log the caller may read");

const fn optional<const N: usize>(mut fields: [Field; N]) -> [Field; N] {
    let mut position = 0;
    while position < N {
        fields[position].is_required = false;
        position += 1;
    }
    fields
}

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get(
            "/farhold/tasks/{upid}/progress",
            "Show how far a running sync, verification, garbage collection, prune or repair is",
            progress,
        )
        .params(&[named::UPID])
        .access(LIKE_LOG)
        .returns(Shape::Joined(&[WORK, ONLY_SYNC])),
        Endpoint::get("/farhold/tasks/progress", "Show how far all running tasks are that tell it", tasks_progress)
            .access(LIKE_LOG)
            .returns(Shape::List(&Shape::Joined(&[TASK, WORK, ONLY_SYNC]))),
        Endpoint::get("/farhold/sync/progress", "Show how far all running syncs are", syncs_progress)
            .access(LIKE_LOG)
            .returns(Shape::List(&Shape::Joined(&[TASK, WORK, SYNC]))),
    ]
}

/// Returns the members that tell how far a task is.
fn item(task: &TaskProgress) -> Map<String, Value> {
    match task {
        TaskProgress::Sync(run) => sync_item(run),
        TaskProgress::Work(work) => work_item(work),
        // What tells its progress one day and has no form yet.
        _ => Map::new(),
    }
}

fn work_item(work: &WorkProgress) -> Map<String, Value> {
    let look = work.look();
    let members = [
        ("phase", json!(look.work.phase())),
        // Finer than any bar, and short.
        ("done", json!((look.done * 1000.0).round() / 1000.0)),
        ("total", json!(look.total)),
        ("unit", json!(look.work.unit())),
        ("rate", json!(look.rate_bytes_per_s)),
        ("eta", json!(look.time_left.map(|left| left.as_secs_f64()))),
        ("elapsed", json!(look.elapsed.as_secs_f64())),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the members that tell how far a sync is. Times are in seconds, rates in bytes of content per second.
fn sync_item(run: &RunProgress) -> Map<String, Value> {
    let (look, elapsed) = run.look();
    let current = look.current.iter().map(|current| {
        json!({
            "ns": current.namespace,
            "group": current.group,
            "snapshot": current.snapshot,
            "snapshots_done": current.snapshots_done,
            "snapshots": current.snapshots,
        })
    });
    let members = [
        ("phase", json!("sync")),
        ("done", json!(look.bytes_done)),
        ("total", json!(look.bytes_done + look.bytes_left)),
        ("unit", json!("bytes")),
        ("bytes_done", json!(look.bytes_done)),
        ("bytes_left", json!(look.bytes_left)),
        ("bytes_total", json!(look.bytes_done + look.bytes_left)),
        ("bytes_planned", json!(look.bytes_planned)),
        ("bytes_received", json!(look.bytes_received)),
        ("namespaces_done", json!(look.namespaces_done)),
        ("namespaces", json!(look.namespaces)),
        ("groups_done", json!(look.groups_done)),
        ("groups", json!(look.groups)),
        ("snapshots_done", json!(look.snapshots_done)),
        ("snapshots", json!(look.snapshots)),
        ("failures", json!(look.failures)),
        ("retries", json!(look.retries)),
        ("rate", json!(look.rate_bytes_per_s)),
        ("eta", json!(look.time_left().map(|left| left.as_secs_f64()))),
        ("elapsed", json!(elapsed.as_secs_f64())),
        ("current", current.collect()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Answers 404 for a task that tells no progress, does not run in this process, or may not be seen.
async fn progress(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let upid: Upid = request.params.require("upid")?;
    let not_found = || ApiError::not_found("no task that tells its progress runs under this task id");
    let task = app.progress.get(&upid).ok_or_else(not_found)?;
    // Whoever may not read the task's log learns nothing here either.
    let is_visible = blocking(move || Ok::<_, ApiError>(may_see_task(&*app.acl()?, &caller, &upid).is_ok())).await?;
    if !is_visible {
        return Err(not_found());
    }
    Ok(Reply::value(item(&task)))
}

async fn tasks_progress(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    all(app, request, |_| true).await
}

async fn syncs_progress(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    all(app, request, |task| matches!(task, TaskProgress::Sync(_))).await
}

/// Answers a list, ordered by task: the members of one, and its `upid`, `type` and `id`.
async fn all(app: Arc<App>, request: Request<App>, is_wanted: fn(&TaskProgress) -> bool) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let mut tasks = app.progress.all();
        tasks.retain(|(upid, task)| is_wanted(task) && may_see_task(&acl, &caller, upid).is_ok());
        tasks.sort_by_cached_key(|(upid, _)| upid.to_string());
        let items: Vec<Value> = tasks
            .iter()
            .map(|(upid, task)| {
                let mut item = item(task);
                item.insert("upid".to_owned(), json!(upid.to_string()));
                item.insert("type".to_owned(), json!(upid.worker_type()));
                item.insert("id".to_owned(), json!(upid.worker_id()));
                item.into()
            })
            .collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}
