//! `/farhold/job-options`: options of jobs that only we have. The jobs themselves stay exactly as the reference has them.

use std::sync::Arc;
use std::time::Duration;

use farhold_jobs::App;
use farhold_jobs::job_options::{JobLookUp, JobOptionsError, JobSeen, look_up};
use farhold_rules::acl::AclTree;
use farhold_rules::time_span::TimeSpan;
use farhold_types::{Authid, JobKind, JobOptions, PingUrl};
use serde_json::{Map, Value};

use super::blocking;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Params, Shape, named, pattern, shapes};

/// Least limit of staleness: schedules have no finer grain.
const SHORTEST_STALE: Duration = Duration::from_secs(60);
/// Largest limit of staleness, ten years: more means never, and is most likely a slip.
const LONGEST_STALE: Duration = Duration::from_secs(10 * 366 * 86_400);

pub(super) const KINDS: &[&str] = &["sync", "prune", "verify", "gc"];
pub(super) const TYPE: Param =
    Param::required("type", ParamKind::Enumeration { values: KINDS, strict: true }, "Kind of the job");
pub(super) const ID: Param = Param::required(
    "id",
    ParamKind::Text { min_length: 3, max_length: Some(32), check: Some(safe_id), hint: "<string>" },
    "Name of the job; for a garbage collection the datastore",
)
.looks_like(pattern::SAFE_ID);
const DELETABLE: &[&str] = &["verify-after", "traffic-control", "stale-after", "ping-success", "ping-failure"];
const DELETABLE_KIND: ParamKind = ParamKind::Enumeration { values: DELETABLE, strict: true };
const STALE_AFTER: Param = Param::optional(
    "stale-after",
    ParamKind::Text { min_length: 1, max_length: Some(64), check: Some(stale_after), hint: "<time span>" },
    "Raise a notification if the job has had no success for so long, such as 26h; at least one minute",
);

const fn ping(name: &'static str, description: &'static str) -> Param {
    Param::optional(
        name,
        ParamKind::Text { min_length: 1, max_length: Some(2048), check: Some(ping_url), hint: "<http or https URL>" },
        description,
    )
}

const OPTIONS: [Param; 5] = [
    named::flag("verify-after", "Sync jobs that pull: verify the snapshots that came"),
    named::flag("traffic-control", "Sync jobs: obey the traffic-control rules of this server towards the remote"),
    STALE_AFTER,
    ping("ping-success", "Address to call after a run that succeeded; it is treated as a secret"),
    ping("ping-failure", "Address to call after a run that failed; it is treated as a secret"),
];

const PING: Shape = Shape::Text("URL; scheme and host only for those who may not change the job");
const JOB_OPTIONS: Shape = Shape::Object(&[
    Field::required("type", Shape::Word(KINDS), "Kind of the job"),
    Field::required("id", shapes::TEXT, "Name of the job; for a garbage collection the datastore"),
    Field::optional("verify-after", Shape::Boolean, "Whether the snapshots that came are verified; absent means no"),
    Field::optional("traffic-control", Shape::Boolean, "Whether traffic-control rules hold for it; absent means no"),
    Field::optional("stale-after", Shape::Text("time span"), "How long it may be without success; absent means ever"),
    Field::optional("ping-success", PING, "Address that is called after a run that succeeded"),
    Field::optional("ping-failure", PING, "Address that is called after a run that failed"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/job-options", "List the jobs that have options of Farhold's own", list)
            .access(Access::InHandler("Jobs that the caller may read"))
            .returns(Shape::List(&JOB_OPTIONS)),
        Endpoint::get("/farhold/job-options/{type}/{id}", "Show options of a job that only Farhold has", read)
            .params(&[TYPE, ID])
            .access(Access::InHandler("The privileges that reading the job needs"))
            .returns(JOB_OPTIONS),
        Endpoint::put("/farhold/job-options/{type}/{id}", "Change options of a job that only Farhold has", update)
            .params(&[TYPE, ID])
            .params(&OPTIONS)
            .params(&[named::delete(&DELETABLE_KIND)])
            .access(Access::InHandler("The privileges that changing the job needs"))
            .returns(Shape::Null),
    ]
}

impl From<JobOptionsError> for ApiError {
    fn from(error: JobOptionsError) -> Self {
        Self::from_chain(&error)
    }
}

fn safe_id(text: &str) -> Result<(), String> {
    if farhold_types::is_safe_id(text) { Ok(()) } else { Err("value is no name of a job".to_owned()) }
}

fn stale_after(text: &str) -> Result<(), String> {
    parse_stale_after(text).map(drop)
}

fn parse_stale_after(text: &str) -> Result<Duration, String> {
    let TimeSpan(span) = text.parse().map_err(|error: farhold_rules::time_span::TimeSpanError| error.to_string())?;
    if span < SHORTEST_STALE {
        return Err("time span must be at least one minute".to_owned());
    }
    if LONGEST_STALE < span {
        return Err("time span must be at most ten years".to_owned());
    }
    Ok(Duration::from_secs(span.as_secs()))
}

fn ping_url(text: &str) -> Result<(), String> {
    text.parse::<PingUrl>().map(drop).map_err(|error| error.to_string())
}

/// Returns the members of an answer.
fn item(job: &JobSeen, options: &JobOptions) -> Map<String, Value> {
    let address = |url: &PingUrl| if job.may_change() { url.expose().to_owned() } else { url.origin() };
    let members = [
        ("type", Some(Value::from(job.kind.as_str()))),
        ("id", Some(Value::from(job.key.name()))),
        ("verify-after", options.verify_after.map(Value::from)),
        ("traffic-control", options.traffic_control.map(Value::from)),
        ("stale-after", options.stale_after.map(|span| Value::from(TimeSpan(span).to_string()))),
        ("ping-success", options.ping_success.as_ref().map(|url| Value::from(address(url)))),
        ("ping-failure", options.ping_failure.as_ref().map(|url| Value::from(address(url)))),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let mut items: Vec<Value> = Vec::new();
        let jobs = JobLookUp::new(&app, &acl, &caller);
        for stored in app.job_options.all()? {
            // Jobs that may not be read are left out, and so are those that are gone.
            let Ok(job) = jobs.find(stored.kind, &stored.name) else { continue };
            items.push(item(&job, &stored.options).into());
        }
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

fn job_of(app: &App, acl: &AclTree, caller: &Authid, params: &Params) -> Result<JobSeen, ApiError> {
    let kind: JobKind = params.require("type")?;
    let id: String = params.require("id")?;
    Ok(look_up(app, acl, caller, kind, &id)?)
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let job = job_of(&app, &*app.acl()?, &caller, &request.params)?;
        Ok::<_, ApiError>(Reply::value(item(&job, &app.job_options.read(&job.key)?)))
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let params = &request.params;
        let key = job_of(&app, &acl, &caller, params)?.require_change()?.key;
        app.job_options.edit(&key, |options| {
            // Once more under the lock: who removes a job takes it away before its options.
            let job = job_of(&app, &acl, &caller, params)?;
            change(options, &job, params)
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Changes options: first what is to be reset, then what is given.
fn change(options: &mut JobOptions, job: &JobSeen, params: &Params) -> Result<(), ApiError> {
    for name in params.texts("delete").unwrap_or_default() {
        match name {
            "verify-after" => options.verify_after = None,
            "traffic-control" => options.traffic_control = None,
            "stale-after" => options.stale_after = None,
            "ping-success" => options.ping_success = None,
            "ping-failure" => options.ping_failure = None,
            _ => {}
        }
    }
    if let Some(verifies) = params.boolean("verify-after") {
        if verifies && !job.pulls {
            return Err(ApiError::parameter("verify-after", "only for sync jobs that pull"));
        }
        options.verify_after = Some(verifies);
    }
    if let Some(follows) = params.boolean("traffic-control") {
        if follows && !job.has_remote {
            return Err(ApiError::parameter("traffic-control", "only for sync jobs with a remote"));
        }
        options.traffic_control = Some(follows);
    }
    if let Some(text) = params.text("stale-after") {
        let span = parse_stale_after(text).map_err(|reason| ApiError::parameter("stale-after", reason))?;
        options.stale_after = Some(span);
    }
    if let Some(url) = params.parse("ping-success")? {
        options.ping_success = Some(url);
    }
    if let Some(url) = params.parse("ping-failure")? {
        options.ping_failure = Some(url);
    }
    Ok(())
}
