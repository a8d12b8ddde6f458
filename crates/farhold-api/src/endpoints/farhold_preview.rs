//! `/farhold/schedule` and `/farhold/group-filter`: what parameters of jobs mean, before a job has them. Our own addition.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_rules::calendar::CalendarEvent;
use farhold_types::{Epoch, Group, GroupFilter};
use serde_json::json;

use super::blocking;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Shape, named, shapes};

/// Most times that are told: what a form shows below its field.
const MOST_RUNS: i64 = 20;
/// Most groups that are looked at: those of a large server, and a body of half a MiB does not hold many more.
const MOST_GROUPS: usize = 10_000;
/// Most filters: one for each group of a mid-sized server. Each may be an expression that runs over all groups.
const MOST_FILTERS: usize = 1_000;

const COUNT: Param = Param::optional(
    "count",
    ParamKind::Integer { min: Some(1), max: Some(MOST_RUNS) },
    "How many times to tell; fewer where there are no more",
)
.or_default(DefaultValue::Integer(5));
const GROUPS: Param =
    Param::optional("groups", ParamKind::List(&named::GROUP_KIND), "Groups as type/id, at most 10000");

const RUNS: Shape = Shape::Object(&[
    Field::required("runs", Shape::List(&shapes::EPOCH), "The next times of the schedule, in order"),
    Field::required("time-zone", shapes::TEXT, "Zone of the server, in which schedules are read"),
]);
const MATCHES: Shape = Shape::Object(&[
    Field::required("matches", Shape::List(&Shape::Boolean), "For each group whether the filters take it"),
    Field::required("count", Shape::Integer, "How many groups they take"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/schedule", "Show the next times of a schedule", schedule)
            .params(&[named::SCHEDULE.is_required().described("The schedule, a calendar event"), COUNT])
            .access(Access::Any)
            .returns(RUNS),
        Endpoint::post("/farhold/group-filter", "Show which groups some filters take", group_filter)
            .params(&[named::GROUP_FILTER.described("The filters, at most 1000; all groups if there are none"), GROUPS])
            .access(Access::Any)
            .returns(MATCHES),
    ]
}

async fn schedule(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let text: String = request.params.require("schedule")?;
    let count: usize = request.params.integer_as("count")?.unwrap_or(5);
    let event = CalendarEvent::parse(&text).map_err(|error| ApiError::parameter("schedule", error.to_string()))?;
    let now = app.clock.now();
    let times =
        std::iter::successors(event.next_after(now, &app.time_zone), |last| event.next_after(*last, &app.time_zone));
    let runs: Vec<Epoch> = times.take(count).collect();
    Ok(Reply::value(json!({ "runs": runs, "time-zone": app.time_zone.iana_name().unwrap_or("UTC") })))
}

async fn group_filter(_: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let filters: Vec<GroupFilter> = request.params.parse_list("group-filter")?.unwrap_or_default();
    let groups: Vec<Group> = request.params.parse_list("groups")?.unwrap_or_default();
    let bounded = |name: &str, count: usize, most: usize| match count <= most {
        true => Ok(()),
        false => Err(ApiError::parameter(name, format!("at most {most} values are possible"))),
    };
    bounded("group-filter", filters.len(), MOST_FILTERS)?;
    bounded("groups", groups.len(), MOST_GROUPS)?;
    blocking(move || {
        let matches: Vec<bool> = groups.iter().map(|group| GroupFilter::in_scope(&filters, group)).collect();
        let count = matches.iter().filter(|matches| **matches).count();
        Ok::<_, ApiError>(Reply::value(json!({ "matches": matches, "count": count })))
    })
    .await
}
