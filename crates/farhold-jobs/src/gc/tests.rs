//! Garbage collection as a task: log, result, state.

use std::path::Path;

use farhold_datastore::GcStatus;
use farhold_datastore::gc::GcEvent;
use farhold_format::task_log::TaskStatus;
use farhold_format::upid::Upid;
use farhold_settings::{Datastores, Entries, SettingsError};
use farhold_types::{Authid, DatastoreName, Digest, Role};
use serde_json::Value;

use super::log::summary;
use super::{GcPermit, GcRunError, report, running_gc, start_gc, tell_progress};
use crate::datastore_jobs::is_nested;
use crate::testing::{START, TestServer};
use crate::work_progress::Work;

fn name() -> DatastoreName {
    "tank".parse().expect("valid")
}

fn permit(server: &TestServer) -> GcPermit {
    GcPermit::of(&server.app.acl().expect("read"), &Authid::root(), &name()).expect("root may")
}

fn tune(server: &TestServer, tuning: &str) {
    let edit = |all: &mut Entries<Datastores>| {
        let mut config = all.require("tank")?.clone();
        config.tuning = Some(tuning.to_owned());
        all.update(config)
    };
    server.app.settings.datastores().edit::<_, SettingsError>(None, edit).expect("edited");
}

async fn log_of(server: &TestServer, upid: &str) -> Vec<String> {
    // The names of notifications are random.
    let without_id = |line: String| line.split(" (id=").next().expect("one at least").to_owned();
    server.log_of(upid).await.into_iter().map(without_id).collect()
}

fn recorded(seq: u64) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/api/datastore-change.jsonl");
    let text = std::fs::read_to_string(path).expect("present");
    let mut exchanges = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    exchanges.find(|exchange| exchange["seq"] == seq).expect("recorded")["response"]["data"].clone()
}

#[test]
fn the_result_is_told_as_recorded() {
    for (log, answer, pointer, status) in [(288, 290, "", "TASK WARNINGS: 1"), (295, 320, "/0", "TASK OK")] {
        let lines: Vec<String> = recorded(log).as_array().expect("lines").iter().map(text_of).collect();
        let first =
            lines.iter().position(|line| line.starts_with("Chunk cache") || line.starts_with("Removed garbage"));
        let told: Vec<&String> =
            lines[first.expect("told")..].iter().filter(|line| !line.starts_with("queued")).collect();
        let status_of = recorded(answer).pointer(pointer).expect("there").clone();
        let found: GcStatus = serde_json::from_value(status_of.clone()).expect("a status");
        let mut ours = summary(&found);
        ours.push(status.to_owned());
        assert_eq!(ours.iter().collect::<Vec<_>>(), told, "{status_of}");
    }
}

fn text_of(line: &Value) -> String {
    line["t"].as_str().expect("text").split_once(": ").map(|(_, text)| text.to_owned()).expect("stamped")
}

#[test]
fn bad_chunks_and_an_empty_store_have_lines_of_their_own() {
    let empty = summary(&GcStatus::default());
    let expected = [
        "Removed garbage: 0 B",
        "Removed chunks: 0",
        "Original data usage: 0 B",
        "On-Disk chunks: 0",
        "Deduplication factor: 1.00",
    ];
    assert_eq!(empty, expected);
    let lines = summary(&GcStatus { removed_bad: 2, still_bad: 1, pending_bytes: 1024, ..GcStatus::default() });
    assert_eq!(
        &lines[2..5],
        ["Pending removals: 1 KiB (in 0 chunks)", "Removed bad chunks: 2", "Leftover bad chunks: 1"]
    );
}

#[tokio::test]
async fn a_collection_is_logged_and_its_result_kept() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    assert_eq!(report(&server.app, &name()).unwrap().last_run_state, None);
    let start = server.scheduled(&super::gc_key(&name()).unwrap(), "daily");
    let upid = start_gc(&server.app, &permit(&server), Some(start)).await.unwrap().to_string();
    let expected = [
        "starting garbage collection on store tank",
        "task triggered by schedule 'daily'",
        "Access time update check successful, proceeding with GC.",
        "Using access time cutoff 1d 5m, minimum access time is 2026-11-21T01:25:00Z",
        "Start GC phase1 (mark used chunks)",
        "Start GC phase2 (sweep unused chunks)",
        "processed 73% (0 chunks)",
        "Removed garbage: 0 B",
        "Removed chunks: 0",
        "Original data usage: 0 B",
        "On-Disk chunks: 1",
        "Deduplication factor: 0.00",
        "Average chunk size: 159 B",
        "queued notification",
        "TASK OK",
    ];
    assert_eq!(log_of(&server, &upid).await, expected);
    assert!(upid.ends_with(":garbage_collection:tank:root@pam:"), "{upid}");
    let report = report(&server.app, &name()).unwrap();
    assert_eq!((report.last_run_state.as_deref(), report.last_run_endtime), (Some("OK"), Some(START)));
    assert_eq!((report.status.upid.as_deref(), report.duration), (Some(upid.as_str()), Some(0)));
    assert_eq!(store.gc_status().unwrap(), report.status);
    assert_eq!(running_gc(&server.app, &name()).unwrap(), None);
    // Without the check nothing is left in the store that was not there.
    tune(&server, "gc-atime-safety-check=false,gc-atime-cutoff=1,gc-cache-capacity=0");
    let upid = start_gc(&server.app, &permit(&server), None).await.unwrap().to_string();
    let lines = log_of(&server, &upid).await;
    let cutoff = "Using access time cutoff 1m, minimum access time is 2026-11-22T01:29:00Z";
    assert_eq!(&lines[1..3], ["Access time update check disabled by datastore tuning options.", cutoff]);
}

#[tokio::test]
async fn what_is_wrong_with_the_store_is_told_and_nothing_is_removed() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    let digest: Digest = store.gc_status().map(|_| Digest([7; 32])).unwrap();
    let snapshot = server.store_path("tank").join("vm/100/2026-01-01T10:00:00Z");
    std::fs::create_dir_all(&snapshot).unwrap();
    let mut index = farhold_format::index::DynamicIndexBuilder::new([1; 16], START);
    index.push(5, digest).unwrap();
    std::fs::write(snapshot.join("a.didx"), index.finish().unwrap().as_bytes()).unwrap();
    std::fs::create_dir_all(server.store_path("tank").join("odd")).unwrap();
    std::fs::copy(snapshot.join("a.didx"), server.store_path("tank").join("odd/b.didx")).unwrap();
    let upid = start_gc(&server.app, &permit(&server), None).await.unwrap().to_string();
    let lines = log_of(&server, &upid).await;
    let path = |end: &str| server.store_path("tank").join(end).display().to_string();
    let index = path("vm/100/2026-01-01T10:00:00Z/a.didx");
    let missing = format!("warning: unable to access non-existent chunk {digest}, required by \"{index}\"");
    assert!(lines.contains(&missing), "{lines:?}");
    let odd = format!("warning: index file at an unexpected place: \"{}\"", path("odd/b.didx"));
    assert!(lines.contains(&odd), "{lines:?}");
    assert_eq!(server.ended(&upid).await, TaskStatus::Warnings(3));

    std::fs::write(snapshot.join("a.didx"), b"").unwrap();
    let upid = start_gc(&server.app, &permit(&server), None).await.unwrap().to_string();
    let TaskStatus::Error(text) = server.ended(&upid).await else { panic!("it failed") };
    assert!(
        text.starts_with(
            "marking used chunks failed: index files are damaged and nobody knows which chunks they need, so none "
        ) && text.contains("'vm/100/2026-01-01T10:00:00Z/a.didx' (index has 0 bytes, its header alone needs 4096)"),
        "{text}"
    );
    let lines = log_of(&server, &upid).await;
    let damaged = format!("warning: index file \"{index}\" is damaged: index has 0 bytes, its header alone needs 4096");
    assert!(lines.contains(&damaged), "{lines:?}");
    let is_hint = |line: &String| line.starts_with("hint: ") && line.contains("farhold datastore repair tank --from");
    assert_eq!(lines.iter().filter(|line| is_hint(line)).count(), 1, "{lines:?}");
    let report = report(&server.app, &name()).unwrap();
    assert_eq!(report.last_run_state.as_deref(), Some(text.as_str()));
    assert_eq!(report.status.index_file_count, 2, "of the last complete one");
}

#[tokio::test]
async fn one_collection_runs_at_a_time_and_stops_when_it_is_told() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    // Another one, as it looks from here: the job's lock is held.
    let key = super::gc_key(&name()).unwrap();
    server.app.job_states.create(&key, START).unwrap();
    let lock = server.app.job_states.lock(&key).unwrap();
    let start = server.scheduled(&super::gc_key(&name()).unwrap(), "daily");
    let refused = start_gc(&server.app, &permit(&server), Some(start)).await;
    assert!(matches!(refused, Err(GcRunError::Running { source: Some(_), .. })), "{refused:?}");
    drop(lock);
    // Somebody of another process holds the store itself.
    let exclusive = store.lock_process_exclusive().unwrap();
    let upid = start_gc(&server.app, &permit(&server), None).await.unwrap().to_string();
    let TaskStatus::Error(text) = server.ended(&upid).await else { panic!("it failed") };
    assert!(text.starts_with("garbage collection runs already, or another process works on the datastore"), "{text}");
    drop(exclusive);
    // Marking waits for the journal of moves before it comes to its end.
    let journal = server.folder().join("run/locks/tank/move-journal");
    std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
    std::fs::write(&journal, format!("{}\n", server.store_path("tank").join("a.didx").display())).unwrap();
    let held = std::fs::File::open(&journal).unwrap();
    held.lock().unwrap();
    let upid = start_gc(&server.app, &permit(&server), None).await.unwrap();
    server.app.tasks.abort(&upid);
    drop(held);
    let aborted = "marking used chunks failed: abort requested - aborting task";
    assert_eq!(server.ended(upid.as_str()).await, TaskStatus::Error(aborted.to_owned()));
}

#[tokio::test]
async fn stores_that_lie_in_each_other_are_not_collected() {
    let server = TestServer::new();
    server.add_datastore_without_chunks("tank");
    let inner = server.store_path("tank").join("inner");
    let config = farhold_settings::DatastoreConfig::new("inner".parse().unwrap(), inner.display().to_string());
    server.app.settings.datastores().edit::<_, SettingsError>(None, |all| all.insert(config)).unwrap();
    let refused = start_gc(&server.app, &permit(&server), None).await;
    assert!(matches!(&refused, Err(GcRunError::Nested { other, .. }) if other.as_str() == "inner"), "{refused:?}");
    let rows = [("/a/b", "/a/b/c", true), ("/a/b/", "/a/./b", true), ("/a/b", "/a/bc", false), ("/", "/x", true)];
    for (one, other, expected) in rows {
        let overlaps = is_nested(Path::new(one), Path::new(other));
        assert_eq!((overlaps, is_nested(Path::new(other), Path::new(one))), (expected, expected), "{one} {other}");
    }
}

#[test]
fn collecting_needs_datastore_modify_on_the_store() {
    let server = TestServer::new();
    server.grant("/datastore/tank", "admin@pbs", Role::DatastoreAdmin);
    server.grant("/datastore/tank/a", "other@pbs", Role::DatastoreAdmin);
    server.grant("/datastore/tank", "backup@pbs", Role::DatastorePowerUser);
    let acl = server.app.acl().unwrap();
    let may = |user: &str| GcPermit::of(&acl, &user.parse().unwrap(), &name()).is_ok();
    assert_eq!(["admin@pbs", "other@pbs", "backup@pbs", "root@pam"].map(may), [true, false, false, true]);
}

#[test]
fn progress_counts_index_files_and_then_folders() {
    let board = crate::progress::ProgressBoard::default();
    let upid: Upid = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:garbage_collection:a:root@pam:".parse().unwrap();
    let progress = board.enter_work(upid, Work::Mark).run();
    let told = |event: GcEvent<'_>| {
        tell_progress(&progress, &event);
        let look = progress.look();
        (look.work.phase(), look.work.unit(), look.done, look.total)
    };
    assert_eq!(told(GcEvent::Marking), ("mark", "index-files", 0.0, None));
    assert_eq!(told(GcEvent::Marked { percent: 3, done: 7, total: 200 }), ("mark", "index-files", 7.0, Some(200.0)));
    assert_eq!(told(GcEvent::StrayIndexes { count: 1 }), ("mark", "index-files", 7.0, Some(200.0)));
    assert_eq!(told(GcEvent::Sweeping), ("sweep", "percent", 0.0, Some(100.0)));
    assert_eq!(told(GcEvent::Swept { percent: 40, chunks: 9 }), ("sweep", "percent", 40.0, Some(100.0)));
}
