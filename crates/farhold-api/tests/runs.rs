//! What a run would do, and how far it is: the plan says it, the run does it, and asking writes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "support/in_process.rs"]
mod in_process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use farhold_api::declare::{ConnectionInfo, empty_body};
use farhold_api::{ApiError, Router, endpoints};
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_jobs::work_progress::Work;
use farhold_sync::{GroupEvent, SyncEvent};
use farhold_types::Role;
use http::Method;
use serde_json::{Value, json};

const PLAN: &str = "/farhold/sync/{id}/plan";
const UNSTORED: &str = "/farhold/sync/plan";
const EXPLAIN: &str = "/farhold/sync/{id}/explain";

/// A server with the recorded store `golden` and an empty one, and a job `pull` from the one into the other.
struct Site {
    server: TestServer,
    router: Router<App>,
}

impl Site {
    async fn new() -> Self {
        let server = TestServer::new();
        let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/golden.tar.zst");
        let packed = zstd::Decoder::new(fs::File::open(packed).unwrap()).unwrap();
        tar::Archive::new(packed).unpack(server.folder().join("stores")).unwrap();
        server.configure_datastore("golden");
        server.add_datastore("dst");
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        let site = Self { server, router };
        let job = json!({
            "id": "pull", "store": "dst", "remote-store": "golden", "remove-vanished": true,
            "group-filter": ["type:vm", "type:host"],
        });
        site.call("root@pam", Method::POST, "/config/sync", job).await.unwrap();
        site
    }

    async fn call(&self, caller: &str, method: Method, path: &str, params: Value) -> Result<Value, ApiError> {
        in_process::call(&self.router, caller, method, path, params).await
    }

    async fn get(&self, path: &str, params: Value) -> Value {
        self.call("root@pam", Method::GET, path, params).await.unwrap()
    }

    async fn run(&self) {
        let upid = self.call("root@pam", Method::POST, "/admin/sync/{id}/run", json!({ "id": "pull" })).await.unwrap();
        let status = self.server.ended(upid.as_str().unwrap()).await;
        assert_eq!(status, TaskStatus::Ok);
    }

    /// Returns all files of the server with content and time of change, folders with their time of change.
    fn state(&self) -> BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)> {
        let mut state = BTreeMap::new();
        look(self.server.folder(), &mut state);
        state
    }
}

fn look(folder: &Path, state: &mut BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        // Notes on who uses which datastore at the moment, a dry run too.
        if path.ends_with("active-operations") {
            continue;
        }
        let content = metadata.is_file().then(|| fs::read(&path).unwrap());
        state.insert(path.clone(), (content, metadata.modified().unwrap()));
        // The 65,536 folders of chunks: none of them is there in `golden` without a chunk in it.
        if metadata.is_dir() && !path.ends_with("dst/.chunks") {
            look(&path, state);
        }
    }
}

fn snapshots(plan: &Value, action: &str) -> usize {
    let namespaces = plan["namespaces"].as_array().unwrap();
    let groups = namespaces.iter().flat_map(|namespace| namespace["groups"].as_array().unwrap());
    groups
        .flat_map(|group| group["snapshots"].as_array().unwrap())
        .filter(|snapshot| snapshot["action"] == action)
        .count()
}

#[tokio::test]
async fn a_plan_is_what_the_run_does_and_writes_nothing() {
    let site = Site::new().await;
    // What the first opening of a store leaves is there before.
    site.get(PLAN, json!({ "id": "pull" })).await;
    let before = site.state();
    let plan = site.get(PLAN, json!({ "id": "pull" })).await;
    let snapshot = "vm/100/2026-01-01T10:00:00Z";
    site.get(EXPLAIN, json!({ "id": "pull", "snapshot": snapshot })).await;
    assert!(site.state() == before, "a dry run changed something");
    let to_fetch = plan["snapshots-to-fetch"].as_u64().unwrap();
    assert_eq!(to_fetch as usize, snapshots(&plan, "transfer"));
    assert!(5 < to_fetch && 0 < plan["bytes-estimate"].as_u64().unwrap(), "{plan}");

    site.run().await;
    let listed = |store: &str, ns: &str| json!({ "store": store, "ns": ns });
    let mut pulled = 0;
    for namespace in plan["namespaces"].as_array().unwrap() {
        let ns = namespace["target"].as_str().unwrap();
        let there = site.get("/admin/datastore/{store}/snapshots", listed("dst", ns)).await;
        pulled += there.as_array().unwrap().len();
    }
    assert_eq!(pulled as u64, to_fetch, "what was planned is there");
    let again = site.get(PLAN, json!({ "id": "pull" })).await;
    assert_eq!((snapshots(&again, "transfer"), again["bytes-estimate"].as_u64()), (0, Some(0)), "{again}");
    assert!(0 < snapshots(&again, "compare"));
}

#[tokio::test]
async fn a_job_that_is_not_stored_has_the_plan_that_it_would_have_and_nothing_is_stored() {
    let site = Site::new().await;
    let stored = site.get(PLAN, json!({ "id": "pull" })).await;
    let job = json!({
        "store": "dst", "remote-store": "golden", "remove-vanished": true, "group-filter": ["type:vm", "type:host"],
        "schedule": "daily",
    });
    let unstored = async |more: Value| {
        let mut job = job.clone();
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        site.call("root@pam", Method::POST, UNSTORED, job).await
    };
    unstored(json!({})).await.unwrap();
    let before = site.state();
    assert_eq!(unstored(json!({})).await.unwrap(), stored);
    assert_eq!(unstored(json!({ "id": "other" })).await.unwrap(), stored);
    assert_eq!(unstored(json!({ "id": "pull" })).await.unwrap(), stored);
    let fewer = unstored(json!({ "group-filter": ["type:vm"], "id": "pull" })).await.unwrap();
    assert!(fewer["snapshots-to-fetch"].as_u64() < stored["snapshots-to-fetch"].as_u64(), "{fewer}");
    for (more, words) in [
        (json!({ "remote-store": "dst" }), "different datastores"),
        (json!({ "sync-direction": "push" }), "a push job needs a remote"),
        (json!({ "active-encryption-key": "key0" }), "only possible for push jobs"),
        (json!({ "group-filter": ["type:tape"] }), "group-filter"),
        (json!({ "schedule": "noon" }), "schedule"),
        (json!({ "remote-store": "nosuch" }), "nosuch"),
        (json!({ "remote": "far" }), "far"),
    ] {
        let error = unstored(more).await.unwrap_err();
        assert!(format!("{error:?}").contains(words), "{error:?}");
    }
    assert!(site.state() == before, "a dry run changed something");
}

#[tokio::test]
async fn a_plan_of_what_is_not_stored_needs_what_making_and_running_the_job_needs() {
    let site = Site::new().await;
    let own = json!({ "store": "dst", "remote-store": "golden", "owner": "sync@pbs" });
    let plan = async |more: Value| {
        let mut job = own.clone();
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = site.call("sync@pbs", Method::POST, UNSTORED, job).await;
        answer.map(drop).map_err(|error| error.text().to_owned())
    };
    assert!(plan(json!({})).await.unwrap_err().contains("/datastore/dst"));
    site.server.grant("/datastore/dst", "sync@pbs", Role::DatastoreAudit);
    site.server.grant("/datastore/dst", "sync@pbs", Role::DatastoreBackup);
    site.server.grant("/datastore/golden", "sync@pbs", Role::DatastoreReader);
    plan(json!({})).await.unwrap();
    plan(json!({ "id": "another" })).await.unwrap();
    assert!(plan(json!({ "remove-vanished": true })).await.unwrap_err().contains("Datastore.Prune"));
    assert!(plan(json!({ "owner": "root@pam" })).await.unwrap_err().contains("Datastore.Modify"));
    // The stored job belongs to root, and nothing of it shows to who may not change it.
    assert!(plan(json!({ "id": "pull" })).await.unwrap_err().starts_with("permission check failed"));
}

#[tokio::test]
async fn a_job_may_have_the_name_of_a_call_beside_it() {
    let site = Site::new().await;
    let job = json!({ "id": "progress", "store": "dst", "remote-store": "golden", "max-depth": 0 });
    site.call("root@pam", Method::POST, "/config/sync", job).await.unwrap();
    let planned = json!({ "store": "dst", "remote-store": "golden" });
    site.call("root@pam", Method::POST, "/farhold/sync/plan", planned).await.unwrap();
    for (path, status) in [("/progress/plan", 200), ("/pull/plan", 200), ("/progress", 200), ("/progress/nosuch", 404)]
    {
        let request = http::Request::builder().uri(format!("/api2/json/farhold/sync{path}"));
        let connection = ConnectionInfo { peer: None, trusted: Some("root@pam".parse().unwrap()) };
        let response = site.router.dispatch(request.body(empty_body()).unwrap(), connection).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn an_explanation_names_the_rule_that_decides() {
    let site = Site::new().await;
    let explain = async |snapshot: &str| site.get(EXPLAIN, json!({ "id": "pull", "snapshot": snapshot })).await;
    let taken = explain("vm/100/2026-01-01T10:00:00Z").await;
    assert_eq!(taken["action"], "transfer", "{taken}");
    assert!(taken["reason"].as_str().unwrap().contains("no finished snapshot"), "{taken}");
    let filtered = explain("ct/101/2026-01-01T10:00:00Z").await;
    assert_eq!(filtered["action"], "skip");
    assert!(filtered["reason"].as_str().unwrap().contains("group filter"), "{filtered}");
    let elsewhere = json!({ "id": "pull", "snapshot": "vm/100/2026-01-01T10:00:00Z", "ns": "nosuch" });
    let missing = site.get(EXPLAIN, elsewhere).await;
    assert!(missing["reason"].as_str().unwrap().contains("'nosuch'"), "{missing}");
    let wrong = json!({ "id": "pull", "snapshot": "vm/100" });
    let error = site.call("root@pam", Method::GET, EXPLAIN, wrong).await.unwrap_err();
    assert!(error.parameters().is_some(), "{error}");
}

#[tokio::test]
async fn only_who_may_run_a_job_learns_what_it_would_do() {
    let site = Site::new().await;
    site.server.grant("/datastore", "audit@pbs", Role::Audit);
    let params = [json!({ "id": "pull" }), json!({ "id": "pull", "snapshot": "vm/100/2026-01-01T10:00:00Z" })];
    for (path, params) in [PLAN, EXPLAIN].into_iter().zip(params) {
        let error = site.call("audit@pbs", Method::GET, path, params.clone()).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 400);
        let text = error.text();
        assert!(text.contains("Datastore.Backup") && text.ends_with(" on /datastore/dst"), "{text}");
        let error = site.call("nobody@pbs", Method::GET, path, params).await.unwrap_err();
        assert!(!error.text().contains("/datastore"), "{error}");
    }
    // What keeps a run from starting shows here too.
    let push =
        json!({ "id": "push", "store": "dst", "remote": "rec2", "remote-store": "far", "sync-direction": "push" });
    site.call("root@pam", Method::POST, "/config/sync", push).await.unwrap();
    let error = site.call("root@pam", Method::GET, PLAN, json!({ "id": "push" })).await.unwrap_err();
    assert!(error.text().contains("no such remote 'rec2'"), "{error}");
}

#[tokio::test]
async fn progress_of_a_run_is_told_to_those_who_may_read_its_log() {
    const ONE: &str = "/farhold/tasks/{upid}/progress";
    const ALL: &str = "/farhold/sync/progress";
    const TASKS: &str = "/farhold/tasks/progress";
    let server = TestServer::new();
    let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
    let site = Site { server, router };
    let task = r"UPID:test:00006035:0004D06C:000000A4:6B0357AF:syncjob:r2\x3asrc\x3adst\x3a\x3ajob1:sync@pbs:";
    let upid: Upid = task.parse().unwrap();
    let entry = site.server.app.progress.enter(upid);
    let run = entry.run();
    let group = |event| SyncEvent::Group { index: 0, group: "vm/1".parse().unwrap(), event };
    run.observe(&SyncEvent::ScopeFound { namespaces: 3 });
    run.observe(&SyncEvent::GroupsFound { index: 0, selected: 4, total: 5 });
    run.observe(&group(GroupEvent::Planned { snapshots: 2, bytes: 300 }));
    run.observe(&group(GroupEvent::ArchivePlanned { missing_chunks: 2, missing_bytes: 200 }));
    run.observe(&group(GroupEvent::ChunkStored { encoded_bytes: 10, plain_bytes: 100 }));
    let of_task = json!({ "upid": task });
    let collection = "UPID:test:00006035:0004D06C:000000A5:6B0357AF:garbage_collection:dst:root@pam:";
    let of_collection = site.server.app.progress.enter_work(collection.parse().unwrap(), Work::Mark);
    of_collection.run().reach(5.0, 20.0);
    site.server.grant("/datastore/dst", "other@pbs", Role::Audit);
    site.server.grant("/system/tasks", "audit@pbs", Role::Audit);
    let error = site.call("other@pbs", Method::GET, ONE, of_task.clone()).await.unwrap_err();
    assert_eq!(error.status().as_u16(), 404, "{error}");
    assert_eq!(site.call("other@pbs", Method::GET, ALL, json!({})).await.unwrap(), json!([]));
    for caller in ["root@pam", "sync@pbs", "audit@pbs"] {
        let one = site.call(caller, Method::GET, ONE, of_task.clone()).await.unwrap();
        for (name, value) in [
            ("bytes_done", 100),
            ("bytes_left", 100),
            ("bytes_total", 200),
            ("bytes_planned", 300),
            ("bytes_received", 10),
            ("namespaces", 3),
            ("groups", 4),
            ("snapshots", 2),
            ("snapshots_done", 0),
            ("retries", 0),
            ("done", 100),
            ("total", 200),
        ] {
            assert_eq!(one[name], value, "{caller}: {name}");
        }
        assert_eq!((&one["current"][0]["group"], &one["current"][0]["snapshots"]), (&json!("vm/1"), &json!(2)));
        let all = site.call(caller, Method::GET, ALL, json!({})).await.unwrap();
        assert_eq!((&all[0]["upid"], &all[0]["id"]), (&json!(task), &json!("r2:src:dst::job1")));
        assert_eq!(all[0]["bytes_planned"], one["bytes_planned"]);
        assert_eq!((&one["phase"], &one["unit"]), (&json!("sync"), &json!("bytes")));
    }
    let both = site.get(TASKS, json!({})).await;
    assert_eq!((&both[0]["id"], &both[1]["type"]), (&json!("r2:src:dst::job1"), &json!("garbage_collection")));
    let own = site.call("sync@pbs", Method::GET, TASKS, json!({})).await.unwrap();
    assert_eq!(own.as_array().unwrap().len(), 1, "{own}");
    let one = site.get(ONE, json!({ "upid": collection })).await;
    assert_eq!((&one["phase"], &one["unit"]), (&json!("mark"), &json!("index-files")));
    assert_eq!((&one["done"], &one["total"], &one["rate"]), (&json!(5.0), &json!(20.0), &Value::Null));
    assert!(one["bytes_done"].is_null() && one["eta"].is_number(), "{one}");
    drop((entry, of_collection));
    assert_eq!(site.get(ALL, json!({})).await, json!([]));
    assert_eq!(site.get(TASKS, json!({})).await, json!([]));
}
