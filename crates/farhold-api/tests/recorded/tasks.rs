//! Worker tasks, as the recordings' server had written them down.

use std::sync::Arc;
use std::time::Duration;

use farhold_tasks::TaskKind;
use farhold_types::Authid;
use serde_json::{Value, json};

use crate::replay::{Exchange, Replayed, exchanges};

fn get(caller: &str, path: &str) -> Exchange {
    Exchange {
        seq: 0,
        caller: caller.to_owned(),
        method: "GET".to_owned(),
        path: format!("/api2/json/nodes/localhost/tasks{path}"),
        content_type: None,
        body: None,
        server: None,
        status: 200,
        response: Value::Null,
        note: None,
    }
}

/// Starts a task of `sync@pbs!t1` that logs a line and waits until it is stopped.
async fn start(replayed: &Replayed) -> String {
    let authid: Authid = "sync@pbs!t1".parse().unwrap();
    let kind = TaskKind::new("verificationjob", Some("golden:weekly".to_owned()));
    let logged = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&logged);
    let worker = move |task: farhold_tasks::TaskContext| async move {
        task.log("it runs");
        told.notify_one();
        task.cancelled().await;
        Err(farhold_tasks::TaskFailure::new("stopped by request"))
    };
    let upid = replayed.app().tasks.spawn(kind, &authid, worker).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), logged.notified()).await.unwrap();
    upid.to_string()
}

#[tokio::test]
async fn a_running_task_is_listed_polled_stopped_and_kept() {
    let replayed = Replayed::new();
    let upid = start(&replayed).await;
    let status = replayed.call(&get("sync-user", &format!("/{upid}/status"))).await.json();
    assert_eq!(status["data"]["status"], "running");
    assert_eq!((&status["data"]["user"], &status["data"]["tokenid"]), (&json!("sync@pbs"), &json!("t1")));
    let listed = replayed.call(&get("reader", "?running=1")).await.json();
    assert_eq!((&listed["data"][0]["upid"], &listed["total"]), (&json!(upid), &json!(1)));
    assert_eq!(replayed.call(&get("nobody", "?running=1")).await.json(), json!({ "data": [], "total": 0 }));

    let log = format!("/{upid}/log?start=1&limit=50&test-status=true");
    let page = replayed.call(&get("sync", &log)).await.json();
    assert_eq!((&page["active"], &page["success"], &page["total"]), (&json!(true), &json!(1), &json!(1)));
    assert!(page["data"][0]["t"].as_str().unwrap().ends_with(": it runs"), "{page}");

    let stop = |caller: &str| Exchange { method: "DELETE".to_owned(), ..get(caller, &format!("/{upid}")) };
    for (caller, expected) in [("nobody", 400), ("sync-user", 400), ("sync", 200)] {
        assert_eq!(replayed.call(&stop(caller)).await.status, expected, "{caller}");
    }
    replayed.app().tasks.wait(&upid.parse().unwrap()).await.unwrap();
    let page = replayed.call(&get("sync", &log)).await.json();
    assert_eq!((&page["active"], &page["total"]), (&json!(false), &json!(page["data"].as_array().unwrap().len())));
    let status = replayed.call(&get("sync", &format!("/{upid}/status"))).await.json();
    assert_eq!(status["data"]["exitstatus"], "stopped by request");
    assert_eq!(replayed.call(&stop("sync")).await.status, 200, "it ended already");
    let download = replayed.call(&get("sync", &format!("/{upid}/log?download=1"))).await;
    assert!(String::from_utf8(download.body.to_vec()).unwrap().ends_with("TASK ERROR: stopped by request\n"));
}

#[tokio::test(start_paused = true)]
async fn wrong_task_calls_are_refused_as_recorded() {
    let replayed = Replayed::new();
    let mut count = 0;
    for exchange in exchanges("tasks") {
        let is_refusal = (400..404).contains(&exchange.status);
        if is_refusal && exchange.path.contains("/tasks") && replayed.offers(&exchange.method, &exchange.path) {
            count += 1;
            let answer = replayed.call(&exchange).await;
            assert_eq!(answer.status, exchange.status, "{exchange:?}");
        }
    }
    assert!(70 < count, "{count}");
}
