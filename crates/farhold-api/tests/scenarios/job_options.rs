//! Options of jobs that only we have: who may see and change them, and that they go with the job.

use farhold_types::Role;
use serde_json::json;

use crate::desk::{Desk, ROOT, USER, remote_job, with};

const GC: &str = "/farhold/job-options/gc/local";
const SYNC: &str = "/farhold/job-options/sync/pbs2-local";

#[tokio::test(start_paused = true)]
async fn options_are_set_shown_and_reset() {
    let desk = Desk::with_job().await;
    let none = json!({"type": "sync", "id": "pbs2-local"});
    assert_eq!(desk.get(ROOT, SYNC).await.data(), none);
    assert_eq!(desk.get(ROOT, "/farhold/job-options").await.data(), json!([]));
    let set = json!({
        "verify-after": true, "traffic-control": true, "stale-after": "26h",
        "ping-success": "https://ping.example/a", "ping-failure": "http://[::1]:8080/b?c=d",
    });
    desk.put(ROOT, SYNC, set.clone()).await.data();
    let mut shown = with(none.clone(), set);
    shown["stale-after"] = json!("1d 2h");
    assert_eq!(desk.get(ROOT, SYNC).await.data(), shown);
    assert_eq!(desk.get(ROOT, "/farhold/job-options").await.data(), json!([shown]));
    // What is reset comes before what is given.
    let mixed = json!({"delete": ["stale-after", "verify-after", "ping-success"], "stale-after": "90m"});
    desk.put(ROOT, SYNC, mixed).await.data();
    let rest = json!({"traffic-control": true, "stale-after": "1h 30m", "ping-failure": "http://[::1]:8080/b?c=d"});
    assert_eq!(desk.get(ROOT, SYNC).await.data(), with(none.clone(), rest));
    desk.put(ROOT, SYNC, json!({"delete": ["stale-after", "traffic-control", "ping-failure"]})).await.data();
    assert_eq!(desk.get(ROOT, SYNC).await.data(), none);
    assert_eq!(desk.get(ROOT, "/farhold/job-options").await.data(), json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_for_a_job_is_refused_and_no_address_is_told() {
    let desk = Desk::with_job().await;
    for (path, params, words) in [
        (GC, json!({"verify-after": true}), ["verify-after", "pull"]),
        (GC, json!({"traffic-control": true}), ["traffic-control", "remote"]),
        (SYNC, json!({"stale-after": "59s"}), ["stale-after", "minute"]),
        (SYNC, json!({"stale-after": "11y"}), ["stale-after", "ten years"]),
        (SYNC, json!({"stale-after": "soon"}), ["stale-after", "number"]),
        (SYNC, json!({"ping-success": "ftp://s3cret.example/"}), ["ping-success", "http://"]),
        (SYNC, json!({"ping-failure": "https://u:s3cret@ping.example/"}), ["ping-failure", "password"]),
        (SYNC, json!({"delete": ["schedule"]}), ["delete", "schedule"]),
        ("/farhold/job-options/tape/local", json!({}), ["type", "tape"]),
        ("/farhold/job-options/gc/other", json!({"stale-after": "1h"}), ["no such", "other"]),
        ("/farhold/job-options/sync/other", json!({"stale-after": "1h"}), ["no such", "other"]),
    ] {
        let answer = desk.put(ROOT, path, params).await;
        answer.refused(400, &words);
        assert!(!answer.body.contains("s3cret"), "{}", answer.body);
    }
    assert_eq!(desk.get(ROOT, "/farhold/job-options").await.data(), json!([]));
    // False is no wish, so it may be said of any job.
    desk.put(ROOT, GC, json!({"verify-after": false, "traffic-control": false})).await.data();
}

#[tokio::test(start_paused = true)]
async fn who_may_only_read_a_job_sees_no_whole_address_and_changes_nothing() {
    let desk = Desk::with_job().await;
    let set = json!({"stale-after": "2w", "ping-success": "https://ping.example:8443/token?a=b"});
    desk.put(ROOT, GC, set.clone()).await.data();
    desk.put(ROOT, SYNC, json!({"stale-after": "2w"})).await.data();
    for path in [GC, SYNC] {
        desk.get(USER, path).await.refused(400, &[]);
        desk.put(USER, path, json!({"delete": ["stale-after"]})).await.refused(400, &[]);
    }
    assert_eq!(desk.get(USER, "/farhold/job-options").await.data(), json!([]));
    desk.grant(&[("/datastore/local", Role::DatastoreAudit)]);
    let seen = json!({"type": "gc", "id": "local", "stale-after": "2w", "ping-success": "https://ping.example:8443"});
    assert_eq!(desk.get(USER, GC).await.data(), seen);
    assert_eq!(desk.get(USER, "/farhold/job-options").await.data(), json!([seen]));
    desk.put(USER, GC, json!({"delete": ["stale-after"]})).await.refused(400, &["Datastore.Modify"]);
    desk.grant(&[("/datastore/local", Role::DatastoreAdmin)]);
    assert_eq!(desk.get(USER, GC).await.data()["ping-success"], set["ping-success"]);
    desk.put(USER, GC, json!({"delete": ["stale-after", "ping-success"]})).await.data();
    assert_eq!(desk.get(USER, GC).await.data(), json!({"type": "gc", "id": "local"}));
}

#[tokio::test(start_paused = true)]
async fn options_go_with_their_job() {
    let desk = Desk::with_job().await;
    let jobs = [
        ("sync", "pbs2-local", "/config/sync", remote_job()),
        ("prune", "p-1", "/config/prune", json!({"id": "p-1", "store": "local", "schedule": "daily", "keep-last": 1})),
        ("verify", "v-1", "/config/verify", json!({"id": "v-1", "store": "local"})),
    ];
    for (kind, id, branch, job) in &jobs {
        if *kind != "sync" {
            desk.post(ROOT, branch, job.clone()).await.data();
        }
        desk.put(ROOT, &format!("/farhold/job-options/{kind}/{id}"), json!({"stale-after": "1h"})).await.data();
    }
    desk.put(ROOT, GC, json!({"stale-after": "1h"})).await.data();
    let kinds = async || {
        let all = desk.get(ROOT, "/farhold/job-options").await.data();
        all.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, ["sync", "prune", "verify", "gc"]);
    for (kind, id, branch, job) in &jobs {
        desk.delete(ROOT, &format!("{branch}/{id}")).await.data();
        assert!(!kinds().await.contains(&(*kind).to_owned()));
        // A new job of the same name begins without options.
        desk.post(ROOT, branch, job.clone()).await.data();
        assert!(!kinds().await.contains(&(*kind).to_owned()));
        desk.put(ROOT, &format!("/farhold/job-options/{kind}/{id}"), json!({"stale-after": "1h"})).await.data();
    }
    let upid = desk.delete(ROOT, "/config/datastore/local").await.data();
    desk.server.ended(upid.as_str().unwrap()).await;
    assert_eq!(desk.server.app.job_options.all().unwrap(), [], "a datastore takes its jobs along");
}
