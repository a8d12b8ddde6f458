//! The host, its settings, its log and the usage of datastores, as callers with different rights see them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "support/in_process.rs"]
mod in_process;

use std::sync::Arc;

use farhold_api::{ApiError, Router, endpoints};
use farhold_jobs::App;
use farhold_jobs::history::take_sample;
use farhold_jobs::host::FileSystemSpace;
use farhold_jobs::testing::{START, TestServer};
use farhold_types::Role;
use http::Method;
use serde_json::{Value, json};

const CONFIG: &str = "/nodes/{node}/config";
const USAGE: &str = "/status/datastore-usage";
const METRICS: &str = "/status/metrics";
const JOURNAL: &str = "/nodes/{node}/journal";
const SYSLOG: &str = "/nodes/{node}/syslog";

struct Site {
    server: TestServer,
    router: Router<App>,
}

impl Site {
    fn new() -> Self {
        let server = TestServer::new();
        server.host.let_processors_run();
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        Self { server, router }
    }

    async fn call(&self, caller: &str, method: Method, path: &str, mut params: Value) -> Result<Value, ApiError> {
        if path.contains("{node}") {
            params["node"] = json!("localhost");
        }
        in_process::call(&self.router, caller, method, path, params).await
    }

    async fn get(&self, caller: &str, path: &str, params: Value) -> Value {
        self.call(caller, Method::GET, path, params).await.unwrap()
    }

    async fn put_config(&self, params: Value) -> Result<Value, ApiError> {
        self.call("root@pam", Method::PUT, CONFIG, params).await
    }

    fn sample(&self) {
        self.server.clock.advance(10);
        self.server.app.history.add(take_sample(&self.server.app));
    }

    fn set_used(&self, used_bytes: u64) {
        let (total_bytes, available_bytes) = (1_000, 1_000 - used_bytes);
        self.server.host.set_space(FileSystemSpace { total_bytes, used_bytes, available_bytes });
    }
}

fn stores(usage: &Value) -> Vec<&str> {
    usage.as_array().unwrap().iter().map(|item| item["store"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn sizes_are_for_those_who_may_see_the_store_and_names_for_those_who_reach_into_it() {
    let site = Site::new();
    for name in ["local", "other"] {
        site.server.add_datastore_without_chunks(name);
    }
    site.server.grant("/datastore/local", "audit@pbs", Role::DatastoreAudit);
    site.server.grant("/datastore/local/site-a", "inside@pbs", Role::DatastoreReader);
    site.server.grant("/nowhere", "nobody@pbs", Role::Audit);
    site.sample();
    let all = site.get("root@pam", USAGE, json!({})).await;
    assert_eq!(stores(&all), ["local", "other"]);
    let audit = site.get("audit@pbs", USAGE, json!({})).await;
    assert_eq!(stores(&audit), ["local"]);
    assert!(audit[0]["total"].as_u64().unwrap() > 0 && audit[0]["gc-status"].is_object());
    assert_eq!(audit[0]["history"].as_array().unwrap().len(), 1_440);
    let inside = site.get("inside@pbs", USAGE, json!({})).await;
    let name_only = json!([{ "store": "local", "mount-status": "nonremovable", "backend-type": "filesystem" }]);
    assert_eq!(inside, name_only);
    assert_eq!(site.get("nobody@pbs", USAGE, json!({})).await, json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fills_up_has_a_date_and_one_that_cannot_be_opened_an_error() {
    let site = Site::new();
    site.server.add_datastore_without_chunks("local");
    for half_hour in 0..10 {
        site.set_used(100 + 10 * half_hour);
        site.sample();
        site.server.clock.advance(1_790);
    }
    let usage = site.get("root@pam", USAGE, json!({})).await;
    // From 19 hundredths of the whole on, one hundredth in half an hour.
    let date = usage[0]["estimated-full-date"].as_i64().unwrap();
    let expected = START.0 + 9 * 1_800 + 81 * 1_800;
    assert!((date - expected).abs() <= 1_800, "{date} instead of about {expected}");
    std::fs::remove_dir_all(site.server.store_path("local")).unwrap();
    site.server.app.stores.close(&"local".parse().unwrap());
    let usage = site.get("root@pam", USAGE, json!({})).await;
    assert!(usage[0]["error"].is_string() && usage[0].get("total").is_none(), "{usage}");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_those_of_what_the_caller_may_see_and_of_the_time_asked_for() {
    let site = Site::new();
    site.server.add_datastore_without_chunks("local");
    site.server.grant("/system/status", "host@pbs", Role::Audit);
    site.server.grant("/datastore/local", "store@pbs", Role::DatastoreAudit);
    site.server.grant("/nowhere", "nobody@pbs", Role::Audit);
    (0..3).for_each(|_| site.sample());
    let metrics = async |caller: &str, params: Value| {
        let answer = site.get(caller, METRICS, params).await;
        answer["data"].as_array().unwrap().clone()
    };
    let newest = metrics("root@pam", json!({})).await;
    assert_eq!(newest.len(), 16 + 5);
    assert!(newest.iter().all(|item| item["timestamp"] == START.0 + 30), "{newest:?}");
    let busy = newest.iter().find(|item| item["metric"] == "cpu_current").unwrap();
    assert!((busy["value"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    let ids = |items: &[Value]| {
        let mut ids: Vec<_> = items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids(&metrics("host@pbs", json!({})).await), ["host"]);
    assert_eq!(ids(&metrics("store@pbs", json!({})).await), ["datastore/local"]);
    assert!(metrics("nobody@pbs", json!({})).await.is_empty());
    let all = metrics("store@pbs", json!({ "history": true })).await;
    assert_eq!(all.len(), 3 * 5);
    let later = metrics("store@pbs", json!({ "history": true, "start-time": START.0 + 10 })).await;
    assert_eq!(later.len(), 2 * 5, "only what came after");
}

#[tokio::test(start_paused = true)]
async fn settings_are_changed_one_by_one_and_a_stale_digest_changes_nothing() {
    let site = Site::new();
    site.put_config(json!({ "http-proxy": "me:pw@proxy:3128", "task-log-max-days": 7 })).await.unwrap();
    site.put_config(json!({ "delete": ["task-log-max-days"], "description": "rack 4\nops", "digest": "" }))
        .await
        .unwrap();
    let config = site.get("root@pam", CONFIG, json!({})).await;
    assert_eq!(config, json!({ "http-proxy": "me:pw@proxy:3128", "description": "rack 4\nops" }));
    let stale = site.put_config(json!({ "email-from": "a@b.c", "digest": "0".repeat(64) })).await.unwrap_err();
    assert_eq!(stale.status().as_u16(), 400);
    let wrong = site.put_config(json!({ "http-proxy": "me:hunter2@" })).await.unwrap_err();
    assert!(!wrong.text().contains("hunter2"), "{wrong}");
    assert_eq!(site.get("root@pam", CONFIG, json!({})).await, config);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_read_in_pages_by_time_and_from_a_mark_on() {
    let site = Site::new();
    let app = &site.server.app;
    assert_eq!(site.get("root@pam", SYSLOG, json!({})).await, json!([{ "n": 1, "t": "no content" }]));
    for number in 0..5 {
        app.server_log.push(app.clock.now(), &format!("line {number}"));
        site.server.clock.advance(60);
    }
    let page = site.get("root@pam", SYSLOG, json!({ "start": 1, "limit": 2 })).await;
    assert_eq!(page, json!([{ "n": 2, "t": "line 1" }, { "n": 3, "t": "line 2" }]));
    // The clock starts at 01:30:00.
    let late = site.get("root@pam", SYSLOG, json!({ "since": "2026-11-22 01:33", "service": "farhold" })).await;
    assert_eq!(late, json!([{ "n": 1, "t": "line 3" }, { "n": 2, "t": "line 4" }]));
    let other = site.get("root@pam", SYSLOG, json!({ "service": "sshd" })).await;
    assert_eq!(other[0]["t"], "no content");
    let texts = |answer: &Value| -> Vec<String> {
        let lines = answer.as_array().unwrap();
        lines[1..lines.len() - 1].iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    };
    let first = site.get("root@pam", JOURNAL, json!({ "lastentries": 2 })).await;
    assert_eq!(texts(&first), ["line 3", "line 4"]);
    app.server_log.push(app.clock.now(), "line 5");
    let (start, end) = (first[0].clone(), first[3].clone());
    let next = site.get("root@pam", JOURNAL, json!({ "startcursor": end })).await;
    assert_eq!(texts(&next), ["line 5"]);
    let before = site.get("root@pam", JOURNAL, json!({ "endcursor": start })).await;
    assert_eq!(texts(&before), ["line 0", "line 1", "line 2"]);
    let wrong = site.call("root@pam", Method::GET, JOURNAL, json!({ "startcursor": "s=x;i=1" })).await;
    assert_eq!(wrong.unwrap_err().status().as_u16(), 400);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_do_to_its_host_is_refused_and_says_so() {
    let site = Site::new();
    for (method, path, params, told) in [
        (Method::POST, "/nodes/{node}/status", json!({ "command": "reboot" }), "neither restarts nor shuts down"),
        (Method::PUT, "/nodes/{node}/time", json!({ "timezone": "Europe/Vienna" }), "set it there"),
        (Method::PUT, "/nodes/{node}/time", json!({ "timezone": "Nowhere/City" }), "no such time zone"),
        (Method::PUT, "/nodes/{node}/disks/wipedisk", json!({ "disk": "sda" }), "changes no disks"),
        (Method::POST, "/nodes/{node}/disks/initgpt", json!({ "disk": "sda" }), "changes no disks"),
        (Method::POST, "/nodes/{node}/disks/directory", json!({ "disk": "sda", "name": "usb" }), "changes no disks"),
        (Method::GET, "/nodes/{node}/disks/smart", json!({ "disk": "sda" }), "smartctl -a /dev/sda"),
        (Method::GET, "/nodes/{node}/disks/smart", json!({ "disk": "sdz" }), "no such disk"),
        (Method::DELETE, "/nodes/{node}/certificates/custom", json!({}), "no certificate"),
    ] {
        let error = site.call("root@pam", method, path, params).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 400, "{path}");
        assert!(error.text().contains(told), "{path}: {error}");
    }
    site.call("root@pam", Method::PUT, "/nodes/{node}/time", json!({ "timezone": "UTC" })).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_tells_nothing_has_a_short_status_and_no_made_up_numbers() {
    let site = Site::new();
    let known = site.get("root@pam", "/nodes/{node}/status", json!({})).await;
    assert!(known["memory"]["total"].is_u64() && known["cpu"].is_f64());
    for file in ["/proc/stat", "/proc/meminfo", "/proc/loadavg", "/proc/uptime", "/proc/cpuinfo"] {
        site.server.host.remove(file);
    }
    let status = site.get("root@pam", "/nodes/{node}/status", json!({})).await;
    for absent in ["memory", "swap", "loadavg", "uptime", "cpuinfo", "cpu", "wait"] {
        assert!(status.get(absent).is_none(), "{absent}: {status}");
    }
    assert!(status["kversion"].is_string() && status["root"].is_object());
    let disks = site.get("root@pam", "/nodes/{node}/disks/list", json!({ "include-partitions": true })).await;
    assert_eq!(disks[0]["name"], "sda");
    assert_eq!(disks[0]["partitions"][0]["devpath"], "/dev/sda1");
    let unused = site.get("root@pam", "/nodes/{node}/disks/list", json!({ "usage-type": "unused" })).await;
    assert_eq!(unused, json!([]));
}
