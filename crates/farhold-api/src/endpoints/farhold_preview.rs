//! `/farhold/schedule` and `/farhold/group-filter`: what parameters of jobs mean, before a job has them. Our own addition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farhold_jobs::App;
use farhold_rules::calendar::CalendarEvent;
use farhold_types::{Epoch, Group, GroupFilter};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocking;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named, shapes};

/// Most times that are told: what a form shows below its field.
const MOST_RUNS: i64 = 20;
/// Most groups that are looked at: those of a large server, and a body of half a MiB does not hold many more.
const MOST_GROUPS: usize = 10_000;
/// Most filters: one for each group of a mid-sized server. Each may be an expression that runs over all groups.
const MOST_FILTERS: usize = 1_000;

/// How long the groups are looked at: a thousand plain expressions on ten thousand groups take about that long, and whoever
/// waits for a preview waits no longer. Source: our own choice.
const LONGEST: Duration = Duration::from_secs(3);

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
    let turns = Arc::new(Turns::default());
    vec![
        Endpoint::get("/farhold/schedule", "Show the next times of a schedule", schedule)
            .params(&[named::SCHEDULE.is_required().described("The schedule, a calendar event"), COUNT])
            .access(Access::Any)
            .returns(RUNS),
        Endpoint::post("/farhold/group-filter", "Show which groups some filters take", move |_, request| {
            group_filter(request, Arc::clone(&turns))
        })
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

async fn group_filter(request: Request<App>, turns: Arc<Turns>) -> Result<Reply, ApiError> {
    let count = |name: &str| request.params.texts(name).map_or(0, |texts| texts.len());
    let bounded = |name: &str, most: usize| match count(name) <= most {
        true => Ok(()),
        false => Err(ApiError::parameter(name, format!("at most {most} values are possible"))),
    };
    bounded("group-filter", MOST_FILTERS)?;
    bounded("groups", MOST_GROUPS)?;
    let caller = request.caller.as_ref().map(ToString::to_string).unwrap_or_default();
    let turn = turns.of(caller).await;
    blocking(move || {
        let _turn = turn;
        let end = Instant::now() + LONGEST;
        let matches = matches(&request.params, || end < Instant::now())?;
        let count = matches.iter().filter(|matches| **matches).count();
        Ok::<_, ApiError>(Reply::value(json!({ "matches": matches, "count": count })))
    })
    .await
}

/// Returns of each group whether the filters take it, unless that takes too long.
fn matches(params: &Params, mut is_over: impl FnMut() -> bool) -> Result<Vec<bool>, ApiError> {
    let filters: Vec<GroupFilter> = params.parse_list("group-filter")?.unwrap_or_default();
    let groups: Vec<Group> = params.parse_list("groups")?.unwrap_or_default();
    let mut matches = Vec::with_capacity(groups.len());
    for group in &groups {
        if is_over() {
            let text = format!("{} expressions on {} groups take too long; try fewer", filters.len(), groups.len());
            return Err(ApiError::parameter("group-filter", text));
        }
        matches.push(GroupFilter::in_scope(&filters, group));
    }
    Ok(matches)
}

/// Whose turn it is: each caller has one call at a time worked on, so that nobody takes all processors.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Turns {
    /// Waits for a turn of a caller.
    async fn of(&self, caller: String) -> Option<OwnedSemaphorePermit> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody has or waits for.
            turns.retain(|_, turn| 1 < Arc::strong_count(turn));
            Arc::clone(turns.entry(caller).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        turn.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_caller_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let first = turns.of("a@pbs".to_owned()).await;
        let other = turns.of("b@pbs".to_owned()).await;
        assert!(first.is_some() && other.is_some());
        let wait = std::time::Duration::from_secs(5);
        assert!(tokio::time::timeout(wait, turns.of("a@pbs".to_owned())).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(wait, turns.of("a@pbs".to_owned())).await.is_ok());
        drop(other);
        drop(turns.of("c@pbs".to_owned()).await);
        drop(turns.of("d@pbs".to_owned()).await);
        assert_eq!(turns.0.lock().unwrap().len(), 1, "who is done is forgotten");
    }

    #[test]
    fn what_takes_too_long_is_given_up_with_words() {
        let lists = [("group-filter", vec!["regex:a"; 3]), ("groups", vec!["vm/1"; 10])];
        let input = lists
            .into_iter()
            .flat_map(|(name, texts)| texts.into_iter().map(move |text| (name.to_owned(), text.to_owned())));
        let params = [named::GROUP_FILTER, GROUPS];
        let params = crate::schema::verify_form(&params, input.collect()).unwrap();
        assert_eq!(matches(&params, || false).unwrap(), [false; 10]);
        let mut left = 5;
        let error = matches(&params, || {
            left -= 1;
            left == 0
        })
        .unwrap_err();
        assert!(error.to_string().contains("3 expressions on 10 groups take too long"), "{error}");
        assert_eq!(left, 0, "and nothing more is done");
    }
}
