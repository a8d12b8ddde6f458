//! Scenarios 20 and 21: what goes with a job, and with its datastore.

use std::net::TcpListener;

use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_jobs::Operation;
use farhold_types::Role;
use serde_json::json;

use crate::desk::{Desk, ROOT, USER, remote_job, with};

#[tokio::test]
async fn scenario_20_a_removed_job_leaves_no_files() {
    let desk = Desk::new();
    desk.create_job(ROOT, remote_job()).await;
    assert_eq!(desk.job_states(), ["syncjob-pbs2-local.json", "syncjob-pbs2-local.lck"]);
    desk.delete(ROOT, "/config/sync/pbs2-local").await.data();
    assert_eq!((desk.file("sync.cfg").trim(), desk.job_states()), ("", Vec::new()));
    desk.delete(ROOT, "/config/sync/pbs2-local").await.refused(404, &["pbs2-local"]);
    desk.get(ROOT, "/config/sync/pbs2-local").await.refused(400, &["pbs2-local"]);
    desk.post(ROOT, "/admin/sync/pbs2-local/run", json!({})).await.refused(400, &["pbs2-local"]);
}

/// The reference waits 10 s, answers 400 although the job is gone, and leaves its files for ever.
#[tokio::test]
async fn scenario_20_a_job_can_be_removed_while_it_runs_and_its_run_goes_on() {
    let desk = Desk::new();
    desk.server.add_datastore_without_chunks("local");
    // Connections to it are accepted by the system and never answered, so the run waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let remote = json!({"name": "pbs2", "host": "127.0.0.1", "port": port, "auth-id": "a@pbs", "password": "secret-1"});
    desk.post(ROOT, "/config/remote", remote).await.data();
    desk.create_job(ROOT, remote_job()).await;
    let upid = desk.post(ROOT, "/admin/sync/pbs2-local/run", json!({})).await.data();
    let upid: Upid = upid.as_str().unwrap().parse().unwrap();
    desk.delete(ROOT, "/config/sync/pbs2-local").await.data();
    assert!(desk.server.app.tasks.is_running(&upid));
    assert_eq!(desk.job_states(), Vec::<String>::new());

    // A new job of that name has nothing to do with the old run.
    desk.create_job(ROOT, remote_job()).await;
    desk.delete(ROOT, &format!("/nodes/localhost/tasks/{upid}")).await.data();
    assert!(matches!(desk.server.ended(&upid.to_string()).await, TaskStatus::Error(_)));
    let jobs = desk.get(ROOT, "/admin/sync").await.data();
    assert!(jobs[0].get("last-run-upid").is_none(), "{jobs}");
    desk.delete(ROOT, "/config/sync/pbs2-local").await.data();
    assert_eq!(desk.job_states(), Vec::<String>::new());
}

#[tokio::test]
async fn scenario_21_the_jobs_of_a_datastore_go_with_it() {
    let jobs = [
        with(remote_job(), json!({"id": "pull1"})),
        with(remote_job(), json!({"id": "push1", "sync-direction": "push"})),
        json!({"id": "reads", "store": "tank", "remote-store": "local"}),
    ];
    for keeps in [false, true] {
        let desk = Desk::new();
        desk.server.add_datastore_without_chunks("local");
        for job in &jobs {
            desk.create_job(ROOT, job.clone()).await;
        }
        let keep = json!({"keep-job-configs": keeps.to_string()});
        let upid = desk.call(ROOT, "DELETE", "/config/datastore/local", keep).await.data();
        assert_eq!(desk.server.ended(upid.as_str().unwrap()).await, TaskStatus::Ok);
        let left = desk.call(ROOT, "GET", "/config/sync", json!({"sync-direction": "all"})).await.data();
        let mut left: Vec<&str> = left.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
        left.sort_unstable();
        let expected: &[&str] = if keeps { &["pull1", "push1", "reads"] } else { &["reads"] };
        assert_eq!(left, expected);
        let states = desk.job_states();
        assert_eq!(states.iter().any(|name| name.contains("pull1") || name.contains("push1")), keeps, "{states:?}");
    }
}

#[tokio::test]
async fn a_datastore_in_use_keeps_its_jobs_until_its_removal_succeeds() {
    let desk = Desk::new();
    desk.server.add_datastore_without_chunks("local");
    desk.create_job(ROOT, remote_job()).await;
    let user = desk.server.app.stores.open(&"local".parse().unwrap(), Operation::Write).unwrap();
    let remove = async || {
        let upid = desk.delete(ROOT, "/config/datastore/local").await.data();
        desk.server.ended(upid.as_str().unwrap()).await
    };
    let failed = remove().await;
    assert!(
        matches!(&failed, TaskStatus::Error(text) if text.contains("in use by 0 reading and 1 writing")),
        "{failed}"
    );
    assert!(desk.file("sync.cfg").contains("pbs2-local"), "the store is still there, and so must be its job");
    drop(user);
    assert_eq!(remove().await, TaskStatus::Ok);
    assert_eq!(desk.file("sync.cfg").trim(), "");
}

#[tokio::test(start_paused = true)]
async fn a_datastore_stays_with_jobs_that_the_caller_may_not_change() {
    let desk = Desk::new();
    desk.server.add_datastore_without_chunks("local");
    desk.create_job(ROOT, remote_job()).await;
    desk.grant(&[("/datastore/local", Role::Admin)]);
    let refused = desk.delete(USER, "/config/datastore/local").await;
    refused.refused(400, &["pbs2-local"]);
    assert!(!refused.body.contains("/remote"), "the job is hidden from the caller: {}", refused.body);
    assert!(desk.file("sync.cfg").contains("pbs2-local") && desk.file("datastore.cfg").contains("local"));
}
