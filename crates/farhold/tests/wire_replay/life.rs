//! How sessions end: finished, given up, stopped, cut; what a hypervisor does; what follows a finished backup.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_jobs::Operation;
use farhold_types::{ArchiveKind, Digest, Namespace, Snapshot};
use serde_json::json;

use crate::connection::Session;
use crate::runtime;
use crate::scripted::*;
use crate::stage::Stage;

#[test]
fn whatever_ends_a_session_before_its_end_removes_the_snapshot_and_frees_the_group() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let manifest_only = async |session: &mut Session| manifest(session, "host/new/2026-01-01T10:00:00Z").await;
        for step in 0..6 {
            let mut session = client.session("new", DAYS[0]).await;
            match step {
                0 => {}
                1 => drop(ok(&mut session, "POST", "/fixed_index?archive-name=d.img.fidx&size=8388608", "").await),
                2 => {
                    let writer = ok(&mut session, "POST", "/dynamic_index?archive-name=d.didx", "").await;
                    upload(&mut session, "dynamic", writer.as_u64().unwrap(), 3, 100_000).await;
                }
                3 => manifest_only(&mut session).await,
                4 => {
                    // The end fails: a dead end, and still locked.
                    let blob = encoded(b"no manifest");
                    let path = format!("/blob?file-name=index.json.blob&encoded-size={}", blob.len());
                    ok(&mut session, "POST", &path, blob).await;
                    assert_eq!(call(&mut session, "POST", "/finish", "").await.status, 400);
                    assert_eq!(call(&mut session, "POST", "/finish", "").await.status, 400);
                    assert_eq!(client.upgrade(&path_of_new()).await.0, 400, "the group is locked");
                }
                _ => {
                    // In the middle of a body.
                    ok(&mut session, "POST", "/dynamic_index?archive-name=d.didx", "").await;
                    let digest = Digest([0; 32]);
                    let path = format!("/dynamic_chunk?wid=1&size=100000&encoded-size=100000&digest={digest}");
                    session.cut_in_upload(&path, 50_000).await;
                    stage.wait_for_sessions(0).await;
                    assert_unchanged(&before, &stage, "a connection cut in an upload");
                    continue;
                }
            }
            drop(session);
            stage.wait_for_sessions(0).await;
            assert_unchanged(&before, &stage, &format!("step {step}"));
        }
    });
}

fn path_of_new() -> String {
    path("new", DAYS[0], "")
}

#[test]
fn stopping_the_task_ends_the_session_and_says_so() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let mut session = client.session("new", DAYS[0]).await;
        ok(&mut session, "POST", "/fixed_index?archive-name=d.img.fidx&size=8388608", "").await;
        let upid = stage.app().tasks.running_here().pop().unwrap();
        stage.app().tasks.abort(&upid);
        let status = stage.app().tasks.wait(&upid).await.unwrap();
        assert_eq!(status.to_string(), "task aborted");
        assert_unchanged(&before, &stage, "the stopped session");
        assert_eq!(call(&mut session, "GET", "/previous_backup_time", "").await.status, 0, "the connection is closed");
        let log = fs::read_to_string(stage.app().tasks.log_path(&upid)).unwrap();
        let lines: Vec<&str> = log.lines().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(
            lines,
            [
                "starting new backup on datastore 'local' from 127.0.0.1: \"host/new/2026-01-01T10:00:00Z\"",
                "protocol upgrade done",
                "POST /fixed_index",
                "created new fixed index 1 (\"host/new/2026-01-01T10:00:00Z/d.img.fidx\")",
                "backup failed: task aborted",
                "removing failed backup",
                "removing backup snapshot \"host/new/2026-01-01T10:00:00Z\"",
                "TASK ERROR: task aborted",
            ]
        );
    });
}

#[test]
fn the_next_session_of_a_group_can_begin_when_the_answer_to_finish_is_there() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let mut open = Vec::new();
        for second in 0..20 {
            let mut session = client.session("busy", DAYS[0] + second).await;
            manifest(&mut session, "host/busy/2026-01-01T10:00:00Z").await;
            ok(&mut session, "POST", "/finish", "").await;
            // Real clients close only later, and without a word.
            open.push(session);
        }
        drop(open);
        stage.wait_for_sessions(0).await;
        let snapshots = fs::read_dir(stage.root.join("host/busy")).unwrap().flatten();
        assert_eq!(snapshots.filter(|entry| entry.path().is_dir()).count(), 20);
    });
}

#[test]
fn a_backup_that_is_being_finished_when_its_client_goes_away_is_finished_and_told_so() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        for (day, is_stopped) in [(0, false), (1, true)] {
            let mut session = client.session("gone", DAYS[day]).await;
            let upid = stage.app().tasks.running_here().pop().unwrap();
            let snapshot: Snapshot = format!("host/gone/2026-01-0{}T10:00:00Z", day + 1).parse().unwrap();
            manifest(&mut session, &snapshot.to_string()).await;
            // What is left over is removed under the manifest's lock, which somebody holds for a moment.
            fs::write(stage.root.join(snapshot.to_string()).join("left.tmp_didx"), b"").unwrap();
            let store = stage.app().stores.open(&"local".parse().unwrap(), Operation::Write).unwrap();
            let lock = store.lock_manifest(&Namespace::root(), &snapshot).unwrap();
            drop(session.send_with("POST", "/finish", &[], Bytes::new()).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if is_stopped {
                stage.app().tasks.abort(&upid);
            }
            session.cut().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(lock);
            let status = stage.app().tasks.wait(&upid).await.unwrap().to_string();
            let log = fs::read_to_string(stage.app().tasks.log_path(&upid)).unwrap();
            assert!(stage.root.join(snapshot.to_string()).join("index.json.blob").exists(), "{log}");
            assert_eq!(status, "OK", "{log}");
            assert!(!log.contains("failed") && log.contains("backup finished successfully"), "{log}");
        }
    });
}

#[test]
fn a_hypervisor_uploads_unreferenced_zeros_appends_in_any_order_and_closes_with_what_it_sent() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let first = good_backup(&client, "vm", 0).await;
        let (_, session) = client.upgrade(&path("vm", DAYS[1], "&debug=0&benchmark=0")).await;
        let mut session = session.unwrap();
        let session = &mut session;
        // Its libraries ask for what may not exist, and go on.
        assert_eq!(call(session, "GET", "/previous?archive-name=index.json.blob", "").await.status, 200);
        assert_eq!(call(session, "GET", "/previous?archive-name=f.img.fidx", "").await.status, 400);
        assert_eq!(call(session, "GET", "/previous?archive-name=d.img.fidx", "").await.status, 200);
        let reuse = format!("/fixed_index?archive-name=d.img.fidx&size=8388608&reuse-csum={}", checksum(&first));
        let unchanged = ok(session, "POST", &reuse, "").await.as_u64().unwrap();
        upload(session, "fixed", unchanged, 0, SLOT).await;
        let new = ok(session, "POST", "/fixed_index?archive-name=f.img.fidx&size=12583912", "").await.as_u64().unwrap();
        upload(session, "fixed", new, 0, SLOT).await;
        let (tail, middle) =
            (upload(session, "fixed", new, 5, 1000).await, upload(session, "fixed", new, 4, SLOT).await);
        let slots = [first[0], middle, first[1], tail];
        for (slot, digest) in [(3, tail), (1, middle), (0, first[0]), (2, first[1])] {
            assert_eq!(put(session, "/fixed_index", append(new, &[(digest, slot * SLOT)])).await.status, 200);
        }
        ok(session, "POST", &close(new, 4, 3 * SLOT + 1000, &checksum(&slots)), "").await;
        ok(session, "POST", &close(unchanged, 0, 0, &checksum(&first)), "").await;
        manifest(session, "host/vm/2026-01-02T10:00:00Z").await;
        ok(session, "POST", "/finish", "").await;
        let snapshot = stage.root.join("host/vm/2026-01-02T10:00:00Z");
        let index = |name: &str| {
            let bytes = Bytes::from(fs::read(snapshot.join(name)).unwrap());
            Index::parse(ArchiveKind::FixedIndex, bytes).unwrap().digests().collect::<Vec<_>>()
        };
        assert_eq!(index("d.img.fidx"), first);
        assert_eq!(index("f.img.fidx"), slots);
        let manifest = Manifest::from_blob(&fs::read(snapshot.join("index.json.blob")).unwrap()).unwrap();
        let statistics = &manifest.unprotected["chunk_upload_stats"];
        // Creating a store leaves a chunk of zeros, so both are duplicates.
        assert_eq!((&statistics["count"], &statistics["duplicates"]), (&json!(4), &json!(2)));
    });
}

#[test]
fn a_benchmark_leaves_nothing_and_succeeds() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let (status, session) = client.upgrade(&path("benchmark", DAYS[0], "&benchmark=1")).await;
        assert_eq!(status, 101);
        let upid = stage.app().tasks.running_here().pop().unwrap();
        let mut session = session.unwrap();
        for _ in 0..3 {
            ok(&mut session, "POST", "/speedtest", vec![0x41; 4 << 20]).await;
        }
        drop(session);
        assert_eq!(stage.app().tasks.wait(&upid).await.unwrap().to_string(), "OK");
        assert_unchanged(&before, &stage, "the benchmark");
    });
}

#[test]
fn a_finished_backup_is_verified_at_once_if_the_datastore_wants_that() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let edit = |all: &mut farhold_settings::Entries<farhold_settings::Datastores>| {
            let mut config = all.require("local")?.clone();
            config.verify_new = Some(true);
            all.update(config)
        };
        stage.app().settings.datastores().edit::<_, farhold_settings::SettingsError>(None, edit).unwrap();
        good_backup(&client, "a", 0).await;
        stage.wait_for_sessions(0).await;
        let file = stage.root.join("host/a/2026-01-01T10:00:00Z/index.json.blob");
        let manifest = Manifest::from_blob(&fs::read(file).unwrap()).unwrap();
        let state = &manifest.unprotected["verify_state"];
        assert_eq!(state["state"], "ok");
        let upid = state["upid"].as_str().unwrap();
        assert!(upid.contains(":verify:local\\x3ahost-a-695645A0:sync@pbs!t1:"), "{upid}");
        // One that never came to its end, and a benchmark, are not.
        drop(client.session("a", DAYS[1]).await);
        let (_, benchmark) = client.upgrade(&path("benchmark", DAYS[0], "&benchmark=1")).await;
        drop(benchmark);
        stage.wait_for_sessions(0).await;
        let tasks = stage.app().tasks.list(&farhold_tasks::TaskFilter::default(), |_| true).unwrap().items;
        let kinds: Vec<String> =
            tasks.iter().map(|task| serde_json::to_value(task).unwrap()["worker_type"].to_string()).collect();
        assert_eq!(kinds.iter().filter(|kind| kind.contains("verify")).count(), 1, "{kinds:?}");
    });
}
