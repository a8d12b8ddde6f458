//! `/farhold/metrics` and `/farhold/job-runs`: what jobs, datastores and the program do, for monitoring and plots.

use std::sync::Arc;

use bytes::Bytes;
use farhold_jobs::job_runs::KEPT_RUNS;
use farhold_jobs::metrics::{JobListError, ListedJob, all_jobs};
use farhold_jobs::{App, JobRun, JobRunsError, JobSummary};
use farhold_types::JobKind;
use serde_json::{Map, Value};

use super::blocking;
use super::farhold_job_options::{ID, KINDS, TYPE};
use crate::declare::{Access, Answer, Endpoint, Reply, Request, full_body};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, shapes};

/// Content type of the text form that Prometheus and everything like it reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const LIMIT: Param = Param::optional(
    "limit",
    ParamKind::Integer { min: Some(1), max: Some(KEPT_RUNS as i64) },
    "Only so many runs, the latest ones",
);

const JOB: &[Field] = &[
    Field::required("type", Shape::Word(KINDS), "Kind of the job"),
    Field::required("id", shapes::TEXT, "Name of the job; for a garbage collection the datastore"),
    Field::required("store", shapes::STORE, "The local datastore"),
    Field::optional("remote", shapes::TEXT, "The remote of a sync job"),
];
const FIGURES: &[Field] = &[
    Field::optional("bytes", Shape::Integer, "Bytes that a sync moved over the network, or that a collection freed"),
    Field::optional("snapshots", Shape::Integer, "Snapshots that a sync transferred or changed"),
    Field::optional("behind", Shape::Integer, "Snapshots that a sync selected and that are not complete on the target"),
    Field::optional("failures", Shape::Integer, "Snapshots, groups and namespaces that failed"),
    Field::optional("retries", Shape::Integer, "How often a sync waited for another side"),
    Field::optional("rate", Shape::Integer, "Bytes per second while chunks were moved"),
];
const RUN: &[Field] = &[
    Field::required("upid", shapes::UPID, "The task"),
    Field::required("starttime", shapes::EPOCH, "When it began"),
    Field::required("endtime", shapes::EPOCH, "When it ended"),
    Field::required("status", shapes::TEXT, "How it ended, as in task lists"),
    Field::required("success", Shape::Boolean, "Whether that is a success; warnings are"),
];
const LAST_RUN: &[Field] = &[
    Field::optional("last-run-upid", shapes::UPID, "Task of the last run"),
    Field::optional("last-run-starttime", shapes::EPOCH, "When the last run began"),
    Field::optional("last-run-endtime", shapes::EPOCH, "When the last run ended"),
    Field::optional("last-run-state", shapes::TEXT, "How the last run ended"),
    Field::optional("last-success", shapes::EPOCH, "When the last successful run ended"),
    Field::optional("failures-in-row", Shape::Integer, "Failed runs since the last success"),
    Field::optional("runs", Shape::Integer, "Runs that ended"),
    Field::optional("failed-runs", Shape::Integer, "Runs that failed"),
    Field::optional("total-bytes", Shape::Integer, "Bytes of all runs"),
    Field::optional("total-snapshots", Shape::Integer, "Snapshots of all runs"),
    Field::optional("total-retries", Shape::Integer, "Waits of all runs for another side"),
    Field::optional("behind", Shape::Integer, "Snapshots behind after the last run that could tell"),
    Field::optional("rate", Shape::Integer, "Bytes per second of the last run that moved chunks"),
];

const VISIBLE: Access =
    Access::InHandler("Jobs that lists show to the caller, or all with Sys.Audit on /system/status");

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/metrics", "Show metrics for Prometheus; also at /metrics of the server", metrics)
            .access(Access::InHandler(
                "Jobs that lists show to the caller, datastores with Datastore.Audit, all with Sys.Audit on /system/status",
            ))
            .answer(Answer::Raw)
            .returns(Shape::Bytes(TEXT)),
        Endpoint::get("/farhold/job-runs", "List jobs with what their runs add up to", list)
            .access(VISIBLE)
            .returns(Shape::List(&Shape::Joined(&[JOB, LAST_RUN]))),
        Endpoint::get("/farhold/job-runs/{type}/{id}", "List the kept runs of a job, oldest first", runs)
            .params(&[TYPE, ID, LIMIT])
            .access(VISIBLE)
            .returns(Shape::List(&Shape::Joined(&[RUN, FIGURES]))),
    ]
}

impl From<JobListError> for ApiError {
    fn from(error: JobListError) -> Self {
        Self::from_chain(&error)
    }
}

impl From<JobRunsError> for ApiError {
    fn from(error: JobRunsError) -> Self {
        Self::from_chain(&error)
    }
}

async fn metrics(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let text = blocking(move || Ok::<_, ApiError>(app.metrics.text(&app, &*app.acl()?, &caller)?)).await?;
    Ok(Reply::raw(TEXT, full_body(Bytes::from(text))))
}

/// Returns the jobs that the caller may see.
fn visible(app: &App, request: &Request<App>) -> Result<Vec<ListedJob>, ApiError> {
    let (acl, caller) = (app.acl()?, request.caller()?);
    let sees_all = farhold_jobs::metrics::sees_all(&acl, caller);
    let mut jobs = all_jobs(app)?;
    jobs.retain(|job| sees_all || job.is_visible(&acl, caller));
    Ok(jobs)
}

fn known<T: Into<Value>>(members: &mut Map<String, Value>, name: &str, value: Option<T>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value.into());
    }
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let mut items: Vec<Value> = Vec::new();
        for job in visible(&app, &request)? {
            let mut item = Map::new();
            item.insert("type".to_owned(), job.kind.as_str().into());
            item.insert("id".to_owned(), job.id().into());
            item.insert("store".to_owned(), job.store.as_str().into());
            known(&mut item, "remote", job.remote.as_ref().map(|remote| remote.as_str()));
            if let Some(summary) = app.job_runs.summary(&job.key)? {
                add_summary(&mut item, &summary);
            }
            items.push(item.into());
        }
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

fn add_summary(item: &mut Map<String, Value>, summary: &JobSummary) {
    let (last, totals) = (&summary.last, &summary.totals);
    item.insert("last-run-upid".to_owned(), last.upid.to_string().into());
    item.insert("last-run-starttime".to_owned(), last.started.0.into());
    item.insert("last-run-endtime".to_owned(), last.ended.0.into());
    item.insert("last-run-state".to_owned(), last.status.to_string().into());
    known(item, "last-success", totals.last_success.map(|time| time.0));
    item.insert("failures-in-row".to_owned(), totals.failures_in_row.into());
    item.insert("runs".to_owned(), totals.runs.into());
    item.insert("failed-runs".to_owned(), totals.failures.into());
    item.insert("total-bytes".to_owned(), totals.bytes.into());
    item.insert("total-snapshots".to_owned(), totals.snapshots.into());
    item.insert("total-retries".to_owned(), totals.retries.into());
    known(item, "behind", totals.behind);
    known(item, "rate", totals.rate_bytes_per_s);
}

fn run_item(run: &JobRun) -> Value {
    let mut item = Map::new();
    item.insert("upid".to_owned(), run.upid.to_string().into());
    item.insert("starttime".to_owned(), run.started.0.into());
    item.insert("endtime".to_owned(), run.ended.0.into());
    item.insert("status".to_owned(), run.status.to_string().into());
    item.insert("success".to_owned(), run.is_success().into());
    let figures = &run.figures;
    known(&mut item, "bytes", figures.bytes);
    known(&mut item, "snapshots", figures.snapshots);
    known(&mut item, "behind", figures.behind);
    known(&mut item, "failures", figures.failures);
    known(&mut item, "retries", figures.retries);
    known(&mut item, "rate", figures.rate_bytes_per_s);
    item.into()
}

/// Answers a job that the caller may not see like one that does not exist.
async fn runs(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (kind, id): (JobKind, String) = (request.params.require("type")?, request.params.require("id")?);
    let limit = request.params.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(KEPT_RUNS);
    blocking(move || {
        let job = visible(&app, &request)?.into_iter().find(|job| job.kind == kind && job.id() == id);
        let job = job.ok_or_else(|| ApiError::not_found(format!("no such job '{id}'")))?;
        let runs = app.job_runs.runs(&job.key, limit)?;
        Ok::<_, ApiError>(Reply::value(runs.iter().map(run_item).collect::<Vec<_>>()))
    })
    .await
}
