//! What a schedule and group filters mean, before a job has them.

use farhold_types::Clock;
use serde_json::{Value, json};

use crate::desk::{Desk, ROOT, USER, remote_job, with};

const SCHEDULE: &str = "/farhold/schedule";
const FILTER: &str = "/farhold/group-filter";

#[tokio::test(start_paused = true)]
async fn the_next_times_of_a_schedule_are_told_to_everybody() {
    let desk = Desk::new();
    // 2027-01-01.
    let midnight = 1_798_761_600;
    desk.server.clock.advance(midnight - desk.server.clock.now().0);
    let runs = async |params: Value| desk.call(USER, "GET", SCHEDULE, params).await.data();
    let day = |hours: &[i64]| hours.iter().map(|hour| midnight + hour * 3_600).collect::<Vec<_>>();
    let told = runs(json!({ "schedule": "8..20/6:0" })).await;
    assert_eq!(told, json!({ "runs": day(&[8, 14, 20, 32, 38]), "time-zone": "UTC" }));
    assert_eq!(runs(json!({ "schedule": "hourly", "count": "2" })).await["runs"], json!(day(&[1, 2])));
    assert_eq!(runs(json!({ "schedule": "2027-01-02" })).await["runs"], json!(day(&[24])));
    assert_eq!(runs(json!({ "schedule": "02-30" })).await["runs"], json!([]));
    assert_eq!(runs(json!({ "schedule": "minutely", "count": "20" })).await["runs"].as_array().unwrap().len(), 20);
    for count in ["0", "21"] {
        desk.call(USER, "GET", SCHEDULE, json!({ "schedule": "daily", "count": count })).await.refused(400, &["count"]);
    }
    desk.get(USER, SCHEDULE).await.refused(400, &["schedule"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_as_when_the_job_is_made() {
    let desk = Desk::with_job().await;
    for schedule in ["noon", "mon..", "24:00:00", ""] {
        let job =
            desk.post(ROOT, "/config/sync", with(remote_job(), json!({ "id": "new", "schedule": schedule }))).await;
        let told = desk.call(ROOT, "GET", SCHEDULE, json!({ "schedule": schedule })).await;
        assert_eq!((job.status, &job.body), (told.status, &told.body), "{schedule:?}");
        assert_eq!(job.status, 400, "{schedule:?}");
    }
    for filter in ["type:tape", "regex:(", "group:vm", "group:vm/100/x", "name:x", ""] {
        let filters = json!({ "group-filter": ["type:vm", filter] });
        let job = with(with(remote_job(), json!({ "id": "new" })), filters.clone());
        let job = desk.post(ROOT, "/config/sync", job).await;
        let told = desk.post(ROOT, FILTER, with(filters, json!({ "groups": ["vm/1"] }))).await;
        assert_eq!((job.status, &job.body), (told.status, &told.body), "{filter:?}");
        assert_eq!(job.status, 400, "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_say_of_each_group_whether_they_take_it() {
    let desk = Desk::new();
    let groups = json!(["vm/100", "vm/9100", "ct/100", "host/web"]);
    let taken = async |filters: Value| {
        let answer = desk.post(USER, FILTER, json!({ "group-filter": filters, "groups": groups })).await.data();
        let matches: Vec<bool> = serde_json::from_value(answer["matches"].clone()).unwrap();
        assert_eq!(answer["count"], json!(matches.iter().filter(|matches| **matches).count()));
        matches
    };
    assert_eq!(taken(json!([])).await, [true; 4]);
    assert_eq!(taken(json!(["type:vm", "exclude:regex:/9"])).await, [true, false, false, false]);
    assert_eq!(taken(json!(["exclude:type:vm"])).await, [false, false, true, true]);
    assert_eq!(taken(json!(["group:host/web", "regex:^ct/"])).await, [false, false, true, true]);
    let none = desk.post(USER, FILTER, json!({ "groups": [] })).await.data();
    assert_eq!(none, json!({ "matches": [], "count": 0 }));
}

#[tokio::test(start_paused = true)]
async fn what_filters_are_tried_on_has_a_bound() {
    let desk = Desk::new();
    let groups = |count: u32| (0..count).map(|id| format!("vm/{id}")).collect::<Vec<_>>();
    let filters = |count: u32| (0..count).map(|id| format!("group:vm/{id}")).collect::<Vec<_>>();
    let most = json!({ "group-filter": filters(1_000), "groups": groups(10_000) });
    assert_eq!(desk.post(USER, FILTER, most).await.data()["count"], json!(1_000));
    desk.post(USER, FILTER, json!({ "groups": groups(10_001) })).await.refused(400, &["groups", "10000"]);
    let many = json!({ "group-filter": filters(1_001), "groups": groups(1) });
    desk.post(USER, FILTER, many).await.refused(400, &["group-filter", "1000"]);
    for group in ["vm", "vm/", "tape/1", "vm/1/2", ""] {
        desk.post(USER, FILTER, json!({ "groups": [group] })).await.refused(400, &["groups"]);
    }
}
