//! Worker tasks: list, state, log, stop. Source: `docs/spec/rest-api.md` 15.1 to 15.3.

use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_jobs::App;
use farhold_jobs::task_access::{may_see_task, may_stop_task};
use farhold_tasks::{AbortRequest, LogPage, TaskFilter};
use farhold_types::{Authid, Epoch};
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use serde_json::json;

use super::blocking;
use crate::declare::{Access, Answer, Endpoint, Reply, Request, full_body};
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, LIMIT, NODE, START, STATUS_FILTER, STORE, UPID, flag};
use crate::schema::{Field, Param, ParamKind, Params, Shape, shapes};

const TASK_ACCESS: Access = Access::InHandler("own tasks, or Sys.Audit on /system/tasks, or the privileges of the job");

const EPOCH: ParamKind = ParamKind::Integer { min: None, max: None };

/// Most lines of a log that a download sends, so that the memory it takes has a bound.
const MAX_DOWNLOAD_LINES: u64 = 1_000_000;

const TASKS: Shape = Shape::List(&Shape::Object(&[
    Field::required("upid", shapes::UPID, "The task"),
    Field::required("node", Shape::Text("node"), "Always localhost"),
    Field::required("pid", Shape::Integer, "ID of its process"),
    Field::required("pstart", Shape::Integer, "When its process started, in clock ticks since boot"),
    Field::required("starttime", shapes::EPOCH, "When it started"),
    Field::required("worker_type", Shape::Text("worker type"), "What it does"),
    Field::required("worker_id", Shape::Nullable(&Shape::Text("worker ID")), "What it works on"),
    Field::required("user", shapes::AUTHID, "Who started it"),
    Field::optional("endtime", shapes::EPOCH, "When it ended; absent while it runs"),
    Field::optional("status", Shape::Text("result"), "Result; absent while it runs"),
]));
const STATUS: Shape = Shape::Object(&[
    Field::required("upid", shapes::UPID, "The task"),
    Field::required("node", Shape::Text("node"), "Node of the UPID"),
    Field::required("pid", Shape::Integer, "ID of its process"),
    Field::required("pstart", Shape::Integer, "When its process started, in clock ticks since boot"),
    Field::required("starttime", shapes::EPOCH, "When it started"),
    Field::required("type", Shape::Text("worker type"), "What it does"),
    Field::required("id", Shape::Nullable(&Shape::Text("worker ID")), "What it works on"),
    Field::required("user", shapes::USERID, "Who started it, without the API token"),
    Field::optional("tokenid", Shape::Text("token name"), "API token that started it"),
    Field::required("status", Shape::Word(&["running", "stopped"]), "Whether it runs"),
    Field::optional("exitstatus", Shape::Text("result"), "Result; absent while it runs"),
    Field::optional("endtime", shapes::EPOCH, "When it ended, if that is known"),
]);
const LOG: Shape = Shape::Either(&[Shape::List(&shapes::LOG_LINE), Shape::Bytes("text/plain")]);
/// The log's answer is the same in both formats.
const LOG_MEMBERS: &[Field] = &[
    Field::required("total", Shape::Integer, "Lines of the log"),
    Field::required("success", Shape::Integer, "Always 1"),
    Field::optional("active", Shape::Boolean, "Whether the task runs; with test-status"),
];
/// The number of entries is one too high if there may be more.
const TOTAL: &[Field] =
    &[Field::required("total", Shape::Integer, "Entries up to the end of this page, and one if there may be more")];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/nodes/{node}/tasks", "List worker tasks", list)
            .params(&[
                NODE,
                START,
                LIMIT,
                STORE.is_optional().described("Only tasks of this datastore"),
                flag("running", "Only running tasks"),
                flag("errors", "Without tasks that ended with OK"),
                Param::optional("userfilter", ANY_TEXT, "Only tasks whose user ID contains this text"),
                Param::optional("typefilter", ANY_TEXT, "Only tasks whose worker type contains this text"),
                Param::optional("since", EPOCH, "Only tasks that started at this time or later"),
                Param::optional("until", EPOCH, "Only tasks that started at this time or earlier"),
                STATUS_FILTER,
            ])
            .access(TASK_ACCESS)
            .returns(TASKS)
            .attributes(TOTAL),
        Endpoint::get("/nodes/{node}/tasks/{upid}/status", "Show the state of a task", status)
            .params(&[NODE, UPID])
            .access(TASK_ACCESS)
            .returns(STATUS),
        Endpoint::get("/nodes/{node}/tasks/{upid}/log", "Show the log of a task", log)
            .params(&[
                NODE,
                UPID,
                START.described("Number of the first line, from 1"),
                LIMIT,
                flag("download", "Get the whole log as a text file; no other parameter is allowed"),
                flag("test-status", "Also say whether the task runs"),
            ])
            .access(TASK_ACCESS)
            .answer(Answer::Raw)
            .returns(LOG)
            .attributes(LOG_MEMBERS),
        Endpoint::delete("/nodes/{node}/tasks/{upid}", "Ask a task to stop", stop)
            .params(&[NODE, UPID])
            .access(Access::InHandler("own tasks, or Sys.Modify on /system/tasks"))
            .returns(Shape::Null),
    ]
}

fn filter_of(params: &Params) -> Result<TaskFilter, ApiError> {
    // Negative ones are refused by the declaration.
    let count = |name: &str| params.integer_or_default(name).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    Ok(TaskFilter {
        start: count("start"),
        limit: count("limit"),
        only_running: params.boolean_or_default("running"),
        without_ok: params.boolean_or_default("errors"),
        user_part: params.text("userfilter").map(str::to_owned),
        type_part: params.text("typefilter").map(str::to_owned),
        statuses: params.parse_list("statusfilter")?,
        since: params.integer("since").map(Epoch),
        until: params.integer("until").map(Epoch),
        store: params.parse("store")?,
    })
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let filter = filter_of(&request.params)?;
    blocking(move || {
        let acl = app.acl()?;
        let page = app.tasks.list(&filter, |upid| may_see_task(&acl, &caller, upid).is_ok())?;
        Ok::<_, ApiError>(Reply::json(&page.items)?.with_total(page.total))
    })
    .await
}

/// Returns the task that the path names.
fn upid_of(params: &Params) -> Result<Upid, ApiError> {
    let text: String = params.require("upid")?;
    text.parse().map_err(|error: farhold_format::upid::UpidError| ApiError::parameter("upid", error.to_string()))
}

fn check_visible(app: &App, caller: &Authid, upid: &Upid) -> Result<(), ApiError> {
    let acl = app.acl()?;
    may_see_task(&acl, caller, upid).map_err(|hidden| ApiError::from_chain(&hidden))
}

async fn status(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let upid = upid_of(&request.params)?;
    blocking(move || {
        check_visible(&app, &caller, &upid)?;
        Reply::json(&app.tasks.status(&upid))
    })
    .await
}

async fn log(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = &request.params;
    let upid = upid_of(params)?;
    let is_download = params.boolean_or_default("download");
    if is_download && ["start", "limit", "test-status"].iter().any(|name| params.has(name)) {
        return Err(ApiError::parameter("download", "cannot be combined with other parameters"));
    }
    let count = |name: &str| params.integer_or_default(name).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let (start, limit) = if is_download { (0, MAX_DOWNLOAD_LINES) } else { (count("start"), count("limit")) };
    let asks_whether_active = params.boolean_or_default("test-status");
    let name = download_name(&upid);
    let (page, is_active) = blocking(move || {
        check_visible(&app, &caller, &upid)?;
        // Asked first: a task that ends meanwhile is seen again by the next poll, with its last lines.
        let is_active = app.tasks.is_running(&upid);
        Ok::<_, ApiError>((app.tasks.log_lines(&upid, start, limit)?, is_active))
    })
    .await?;
    if is_download { download(&page, &name) } else { Ok(page_reply(&page, asks_whether_active.then_some(is_active))) }
}

/// Returns the answer with its members at the top level, the same in both formats.
fn page_reply(page: &LogPage, is_active: Option<bool>) -> Reply {
    let mut answer = json!({ "data": page.lines, "total": page.total, "success": 1 });
    if let Some(is_active) = is_active {
        answer["active"] = json!(is_active);
    }
    Reply::raw("application/json", full_body(answer.to_string().into()))
}

fn download(page: &LogPage, name: &str) -> Result<Reply, ApiError> {
    let mut text = String::new();
    for line in &page.lines {
        text.push_str(&line.t);
        text.push('\n');
    }
    let disposition = HeaderValue::from_str(&format!("attachment; filename={name}"))
        .map_err(|_| ApiError::internal("name of the log is no header value"))?;
    Ok(Reply::raw("text/plain", full_body(text.into())).with_header(CONTENT_DISPOSITION, disposition))
}

fn download_name(upid: &Upid) -> String {
    format!("task-{}-{}-{}.log", upid.node(), upid.worker_type(), upid.start_time())
}

async fn stop(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let upid = upid_of(&request.params)?;
    blocking(move || {
        let acl = app.acl()?;
        may_stop_task(&acl, &caller, &upid)?;
        match app.tasks.abort(&upid) {
            // The caller wants it not to run.
            AbortRequest::Sent | AbortRequest::AlreadyEnded => Ok::<_, ApiError>(Reply::null()),
            AbortRequest::OtherProcess => Err(ApiError::bad_request(format!(
                "the task runs in process {}, which cannot be reached from here; stop it there, for example with Ctrl-C",
                upid.pid()
            ))),
        }
    })
    .await
}
