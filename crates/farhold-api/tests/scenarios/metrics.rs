//! The runs of jobs as calls tell them, and who is told.

use std::sync::Arc;

use farhold_api::declare::{ConnectionInfo, empty_body};
use farhold_api::{Router, endpoints};
use farhold_format::task_log::TaskStatus;
use farhold_jobs::testing::TestServer;
use farhold_jobs::{JobRun, RunFigures};
use farhold_tasks::job_state::JobKey;
use farhold_types::{Epoch, Role};
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;

use crate::desk::{Desk, ROOT, USER};

const ALL: &str = "/farhold/job-runs";
const SYNC: &str = "/farhold/job-runs/sync/pbs2-local";
const UPID: &str = "UPID:pbs1:00006035:0004D06C:000000A4:6B024598:syncjob:a:root@pam:";

fn run(desk: &Desk, end: i64, status: &TaskStatus, behind: u64) {
    let figures = RunFigures { bytes: Some(10), behind: Some(behind), ..RunFigures::default() };
    let run = JobRun::new(&UPID.parse().unwrap(), Epoch(end), status, figures);
    let key = JobKey::new("syncjob", "pbs2-local").unwrap();
    desk.server.app.job_runs.record(&key, &run).unwrap();
}

#[tokio::test(start_paused = true)]
async fn runs_and_what_they_add_up_to_are_told() {
    let desk = Desk::with_job().await;
    let never = json!([
        {"type": "sync", "id": "pbs2-local", "store": "local", "remote": "pbs2"},
        {"type": "gc", "id": "local", "store": "local"},
    ]);
    assert_eq!(desk.get(ROOT, ALL).await.data(), never);
    assert_eq!(desk.get(ROOT, SYNC).await.data(), json!([]));
    run(&desk, 1_795_311_060, &TaskStatus::Ok, 0);
    run(&desk, 1_795_311_090, &TaskStatus::Error("no route".to_owned()), 2);
    let mut told = never;
    told[0] = json!({
        "type": "sync", "id": "pbs2-local", "store": "local", "remote": "pbs2",
        "last-run-upid": UPID, "last-run-starttime": 1_795_311_000, "last-run-endtime": 1_795_311_090,
        "last-run-state": "no route", "last-success": 1_795_311_060, "failures-in-row": 1, "runs": 2,
        "failed-runs": 1, "total-bytes": 20, "total-snapshots": 0, "total-retries": 0, "behind": 2,
    });
    assert_eq!(desk.get(ROOT, ALL).await.data(), told);
    let last = json!([{
        "upid": UPID, "starttime": 1_795_311_000, "endtime": 1_795_311_090, "status": "no route",
        "success": false, "bytes": 10, "behind": 2,
    }]);
    assert_eq!(desk.get(ROOT, &format!("{SYNC}?limit=1")).await.data(), last);
    assert_eq!(desk.get(ROOT, SYNC).await.data().as_array().unwrap().len(), 2);
    // They go with the job.
    desk.delete(ROOT, "/config/sync/pbs2-local").await.data();
    assert_eq!(desk.get(ROOT, SYNC).await.status, 404);
    let key = JobKey::new("syncjob", "pbs2-local").unwrap();
    assert!(desk.server.app.job_runs.summary(&key).unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn only_jobs_that_the_caller_may_see_are_told_and_all_of_them_to_an_auditor_of_the_system() {
    let desk = Desk::with_job().await;
    let count = async || desk.get(USER, ALL).await.data().as_array().unwrap().len();
    assert_eq!((count().await, desk.get(USER, SYNC).await.status), (0, 404));
    desk.server.grant("/datastore/local", USER, Role::DatastoreAudit);
    assert_eq!((count().await, desk.get(USER, SYNC).await.status), (1, 404));
    desk.server.grant("/remote", USER, Role::RemoteAudit);
    assert_eq!((count().await, desk.get(USER, SYNC).await.status), (2, 200));
    let desk = Desk::with_job().await;
    desk.server.grant("/system/status", USER, Role::Audit);
    assert_eq!(desk.get(USER, ALL).await.data().as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_page_outside_of_the_interface_wants_the_same_credentials() {
    let server = TestServer::new();
    let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
    let router = router.with_page("metrics", &["farhold", "metrics"]);
    let ask = async |method: &str, path: &str, caller: Option<&str>| {
        let request = Request::builder().method(method).uri(path).body(empty_body()).unwrap();
        let trusted = caller.map(|caller| caller.parse().unwrap());
        let response = router.dispatch(request, ConnectionInfo { peer: None, trusted }).await;
        let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, content_type.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    };
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let (status, content_type, body) = ask("GET", "/metrics", Some(ROOT)).await;
    assert_eq!((status, content_type.as_str()), (200, text));
    assert!(body.contains("\nfarhold_build_info{version=\""), "{body}");
    assert_eq!(ask("GET", "/api2/json/farhold/metrics", Some(ROOT)).await, (200, text.to_owned(), body));
    let (status, _, body) = ask("GET", "/metrics", None).await;
    assert_eq!((status, body.contains("farhold_")), (401, false));
    assert_eq!(ask("GET", "/metrics", Some(USER)).await, (200, text.to_owned(), String::new()));
    assert_eq!(ask("POST", "/metrics", Some(ROOT)).await.0, 400);
    assert_eq!(ask("GET", "/metrics/x", Some(ROOT)).await.0, 404);
}
