use std::collections::BTreeSet;
use std::time::Duration;

use farhold_datastore::GcStatus;
use farhold_format::task_log::TaskStatus;
use farhold_settings::{Entries, SettingsError, TrafficRules};
use farhold_tasks::{TaskFailure, TaskKind};
use farhold_types::{JobKind, Role, SyncJob, TrafficRule};

use super::*;
use crate::history::take_sample;
use crate::job_options::JobOptionsError;
use crate::job_runs::{JobRun, RunFigures};
use crate::testing::{START, TestServer};

fn add_sync_job(server: &TestServer, id: &str, store: &str) -> ListedJob {
    let mut job = SyncJob::new(id.parse().unwrap(), store.parse().unwrap(), "far".parse().unwrap());
    job.remote = Some("pbs2".parse().unwrap());
    job.schedule = Some("hourly".to_owned());
    server.app.settings.sync_jobs().edit::<_, SettingsError>(None, |jobs| jobs.insert(job)).unwrap();
    all_jobs(&server.app).unwrap().into_iter().find(|job| job.kind == JobKind::Sync && job.id() == id).unwrap()
}

fn text(server: &TestServer, caller: &str) -> String {
    let app = &server.app;
    app.metrics.text(app, &app.acl().unwrap(), &caller.parse().unwrap()).unwrap()
}

/// Returns the value of the sample that begins with `front`.
fn value(text: &str, front: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(front))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A server of which everything is known that metrics tell.
async fn busy_server() -> TestServer {
    let server = TestServer::new();
    let app = &server.app;
    server.add_datastore_without_chunks("tank");
    let job = add_sync_job(&server, "in1", "tank");
    let options = |options: &mut farhold_types::JobOptions| {
        options.stale_after = Some(Duration::from_secs(26 * 3600));
        Ok::<_, JobOptionsError>(())
    };
    app.job_options.edit(&job.key, options).unwrap();
    let upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B024598:syncjob:a:root@pam:".parse().unwrap();
    let figures = RunFigures {
        bytes: Some(1_000),
        snapshots: Some(3),
        behind: Some(2),
        failures: Some(1),
        retries: Some(4),
        rate_bytes_per_s: Some(250),
    };
    let ended = farhold_types::Epoch(START.0 + 20);
    app.job_runs.record(&job.key, &JobRun::new(&upid, ended, &TaskStatus::Warnings(1), figures)).unwrap();
    let failed = TaskStatus::Error("no route".to_owned());
    app.job_runs.record(&job.key, &JobRun::new(&upid, ended, &failed, RunFigures { behind: None, ..figures })).unwrap();
    let rule = TrafficRule::new("slow".parse().unwrap(), vec!["10.0.0.0/8".to_owned()]);
    let add = |rules: &mut Entries<TrafficRules>| rules.insert(rule);
    app.settings.traffic_rules().edit::<_, SettingsError>(None, add).unwrap();
    app.history.add(take_sample(app));
    let tank = "tank".parse().unwrap();
    app.census.count(app, &tank).unwrap();
    let gc = GcStatus {
        upid: Some("u".to_owned()),
        index_data_bytes: 900,
        disk_bytes: 300,
        pending_bytes: 7,
        ..GcStatus::default()
    };
    app.census.note_gc(&tank, &gc);
    for work in [|| Ok(()), || Err(TaskFailure::new("no"))] {
        let kind = TaskKind::new("verify", None);
        let upid = app.tasks.spawn(kind, &Authid::root(), move |_| async move { work() }).await.unwrap();
        app.tasks.wait(&upid).await.unwrap();
    }
    let numbers: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
    server.host.set("/proc/self/stat", &format!("7 (a) S {}", numbers.join(" ")));
    server.host.set("/proc/self/status", "VmSize:\t  2000 kB\nVmRSS:\t   30 kB\nThreads:\t9\n");
    server.host.set("/proc/self/limits", "Max open files            1024     4096   files\n");
    server.host.set("/proc/stat", "cpu 1 2\nbtime 1795000000\n");
    server.host.set("/proc/self/fd/0", "");
    server
}

#[tokio::test]
async fn every_metric_of_the_table_is_told_and_no_other() {
    let server = busy_server().await;
    let (app, job) = (&server.app, add_sync_job(&server, "in2", "tank"));
    // While it runs, a task and a sync are told too.
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let kind = TaskKind::new("syncjob", None);
    let root = Authid::root();
    let running = app.tasks.spawn(kind, &root, move |_| async move {
        let _ = wait.await;
        Ok::<_, TaskFailure>(())
    });
    let upid = running.await.unwrap();
    let lock = app.job_states.lock(&job.key).unwrap();
    lock.start(&upid).unwrap();
    let entry = app.progress.enter(upid.clone());
    let text = text(&server, "root@pam");
    drop((entry, release));
    let told: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    let known: Vec<String> = METRICS.iter().map(Metric::sample_name).collect();
    assert_eq!(told, known.iter().map(String::as_str).collect(), "{text}");
    for (front, expected) in [
        ("farhold_job_running{kind=\"sync\",id=\"in2\",datastore=\"tank\"}", 1.0),
        ("farhold_job_running{kind=\"sync\",id=\"in1\",datastore=\"tank\"}", 0.0),
        ("farhold_job_snapshots_behind{kind=\"sync\",id=\"in1\"", 2.0),
        ("farhold_job_last_success_timestamp_seconds{kind=\"sync\",id=\"in1\"", 1_795_311_020.0),
        ("farhold_job_failures_in_row{kind=\"sync\",id=\"in1\"", 1.0),
        ("farhold_job_bytes_total{kind=\"sync\",id=\"in1\"", 2_000.0),
        ("farhold_job_last_run_duration_seconds{kind=\"sync\",id=\"in1\"", 20.0),
        ("farhold_job_stale_after_seconds{kind=\"sync\",id=\"in1\"", 93_600.0),
        ("farhold_datastore_deduplication_factor{datastore=\"tank\"}", 3.0),
        ("farhold_datastore_mounted{datastore=\"tank\"}", 1.0),
        ("farhold_tasks_ended_total{type=\"verify\",result=\"error\"}", 1.0),
        ("farhold_tasks_running{type=\"syncjob\"}", 1.0),
        ("process_open_fds", 1.0),
    ] {
        assert_eq!(value(&text, front), Some(expected), "{front} in\n{text}");
    }
    let info = "farhold_job_info{kind=\"sync\",id=\"in1\",datastore=\"tank\",namespace=\"\",remote=\"pbs2\",schedule=\"hourly\"}";
    assert_eq!(value(&text, info), Some(1.0), "{text}");
}

#[tokio::test]
async fn a_caller_is_told_what_they_may_see() {
    let server = busy_server().await;
    server.add_datastore_without_chunks("other");
    server.grant("/datastore/tank", "ana@pbs", Role::DatastoreAudit);
    server.grant("/remote", "rick@pbs", Role::RemoteAudit);
    server.grant("/datastore/tank", "rick@pbs", Role::DatastoreAudit);
    server.grant("/system/status", "sam@pbs!prometheus", Role::Audit);
    server.grant("/system/status", "sam@pbs", Role::Audit);
    server.clock.advance(FACTS_AGE_S);
    let has = |caller: &str, front: &str| value(&text(&server, caller), front).is_some();
    let (job, tank, other) = (
        "farhold_job_info{kind=\"sync\"",
        "farhold_datastore_info{datastore=\"tank\"",
        "farhold_datastore_info{datastore=\"other\"",
    );
    let whole = "process_open_fds";
    for (caller, expected) in [
        ("root@pam", [true, true, true, true]),
        ("sam@pbs!prometheus", [true, true, true, true]),
        ("rick@pbs", [true, true, false, false]),
        ("ana@pbs", [false, true, false, false]),
        ("nobody@pbs", [false, false, false, false]),
    ] {
        assert_eq!([job, tank, other, whole].map(|front| has(caller, front)), expected, "{caller}");
    }
    assert!(
        has("ana@pbs", "farhold_job_info{kind=\"gc\",id=\"tank\"")
            && !has("ana@pbs", "farhold_job_info{kind=\"gc\",id=\"other\"")
    );
    assert_eq!(text(&server, "nobody@pbs"), "");
}

#[tokio::test]
async fn many_callers_cost_one_look_and_no_datastore_is_asked() {
    let server = TestServer::new();
    for number in 0..50 {
        // Not there at all: whoever asked for their content would fail.
        let config =
            farhold_settings::DatastoreConfig::new(format!("s{number:03}").parse().unwrap(), "/nowhere".to_owned());
        server.app.settings.datastores().edit::<_, SettingsError>(None, |stores| stores.insert(config)).unwrap();
    }
    let jobs: String = (0..500)
        .map(|number| {
            format!(
                "sync: job{number:03}\n\tremote pbs2\n\tremote-store far\n\tstore s{:03}\n\tschedule hourly\n\n",
                number % 50
            )
        })
        .collect();
    std::fs::write(server.folder().join("etc/sync.cfg"), jobs).unwrap();
    let first = text(&server, "root@pam");
    assert_eq!(first.lines().filter(|line| line.starts_with("farhold_job_running{kind=\"sync\"")).count(), 500);
    assert_eq!(first.lines().filter(|line| line.starts_with("farhold_datastore_info{")).count(), 50);
    // Gone, but nobody looks again so soon.
    std::fs::remove_file(server.folder().join("etc/sync.cfg")).unwrap();
    server.clock.advance(FACTS_AGE_S - 1);
    assert_eq!(text(&server, "root@pam"), first);
    server.clock.advance(1);
    assert!(!text(&server, "root@pam").contains("kind=\"sync\""));
    // A clock that was set back does not freeze them.
    add_sync_job(&server, "in1", "s001");
    server.clock.advance(-3600);
    assert!(text(&server, "root@pam").contains("id=\"in1\""));
}

#[test]
fn names_and_help_follow_the_conventions() {
    let mut seen = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(name.starts_with("farhold_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(!name.ends_with("_total") && !metric.help.is_empty() && !metric.help.contains('\n'), "{name}");
    }
}

#[test]
fn hostile_names_stay_in_their_label() {
    let mut samples = Samples::default();
    let labels = vec![("rule", "a\"} 1\n# TYPE x\\".to_owned())];
    samples.0.insert("farhold_traffic_send_bytes_per_second", vec![(labels, 1.5)]);
    let text = encode(samples);
    let line = text.lines().nth(2).unwrap();
    assert_eq!(line, "farhold_traffic_send_bytes_per_second{rule=\"a\\\"} 1\\n# TYPE x\\\\\"} 1.5");
    assert_eq!(text.lines().count(), 3);
}

fn document(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_lists_every_metric_as_the_table_has_it() {
    let page = document("monitoring.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} |", metric.sample_name(), labels.join(", "), metric.help)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_board_and_the_alarms_name_only_metrics_that_exist() {
    let known: BTreeSet<String> = METRICS.iter().map(Metric::sample_name).collect();
    let board = document("grafana-dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(&board).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| panel["type"] == "row" || panel["targets"][0]["expr"].is_string()));
    let mut ids: Vec<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "ids differ");
    for text in [board, document("prometheus-alerts.yaml")] {
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let words = text.split(|c: char| !is_of_name(c));
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("farhold_") || word.starts_with("process_")).collect();
        assert!(10 < named.len() + 3);
        let unknown: Vec<&&str> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
