//! Lines that are cut and servers that die in the middle of a backup: nothing unfinished stays, nothing finished is lost.

use std::time::Duration;

use farhold_client::{BackupSession, ClientError};
use farhold_testkit::relay::Faults;
use farhold_types::{Namespace, Snapshot};

use crate::scene::{Archive, Scene, Step, store, write};

const GROUP: &str = "ct/101";
const FIRST: &str = "ct/101/2026-01-01T10:00:00Z";
const SECOND: &str = "ct/101/2026-01-02T10:00:00Z";
const THIRD: &str = "ct/101/2026-01-03T10:00:00Z";

fn time(snapshot: &str) -> i64 {
    snapshot.parse::<Snapshot>().unwrap().time.0
}

#[track_caller]
fn assert_lost(result: Result<(), ClientError>, what: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "{what}: {error:?}");
}

/// Cuts the line and waits until the session knows.
async fn cut(scene: &Scene, session: &BackupSession) {
    scene.relay.cut_all();
    scene.until("the line is cut", async |_| session.previous_backup_time().await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_after_any_step_leaves_no_trace_and_the_same_backup_can_be_made_again() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::dynamic(0..10, 50_000);
    for last in Step::ALL.into_iter().filter(|step| *step != Step::Finished) {
        let session = scene.open_when_free(FIRST).await;
        write(&session, &archive, last).await.unwrap();
        cut(&scene, &session).await;
        assert_lost(session.finish().await, &format!("{last:?}"));
        scene.until("the group is removed", async |scene| scene.has_no_trace_of(GROUP)).await;
    }
    // Now there is a snapshot before, which must outlive all of it and stay free.
    write(&scene.open_when_free(FIRST).await, &archive, Step::Finished).await.unwrap();
    for last in Step::ALL.into_iter().filter(|step| *step != Step::Finished) {
        let session = scene.open_when_free(SECOND).await;
        write(&session, &archive, last).await.unwrap();
        cut(&scene, &session).await;
        assert_lost(session.finish().await, &format!("{last:?}"));
        let is_so = async |scene: &Scene| scene.snapshots(GROUP).await == (vec![time(FIRST)], Vec::new());
        scene.until("only the first snapshot is left", is_so).await;
    }
    write(&scene.open_when_free(SECOND).await, &archive, Step::Finished).await.unwrap();
    assert_eq!(scene.snapshots(GROUP).await, (vec![time(FIRST), time(SECOND)], Vec::new()));
    scene.client.delete_snapshot(&store(), &Namespace::root(), &FIRST.parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_in_the_middle_of_uploads_leaves_no_trace() {
    let scene = Scene::new(Duration::from_millis(2)).await;
    let archive = Archive::fixed(0..12);
    for sent in [1 << 20, 10 << 20, 30 << 20] {
        let session = scene.open_when_free(FIRST).await;
        let before = scene.relay.statistics().up_bytes;
        let (writing, cutting) = (write(&session, &archive, Step::Finished), async {
            let is_so = async |scene: &Scene| before + sent <= scene.relay.statistics().up_bytes;
            scene.until("bytes are carried", is_so).await;
            scene.relay.cut_all();
        });
        let (written, ()) = futures::future::join(writing, cutting).await;
        assert_lost(written, "in the middle");
        scene.until("the group is removed", async |scene| scene.has_no_trace_of(GROUP)).await;
    }
    write(&scene.open_when_free(FIRST).await, &archive, Step::Finished).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_dropped_leaves_no_trace() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::dynamic(0..10, 50_000);
    for is_closed in [false, true] {
        let session = scene.open_when_free(FIRST).await;
        write(&session, &archive, Step::Described).await.unwrap();
        if is_closed {
            session.close().await;
        }
        drop(session);
        scene.until("the group is removed", async |scene| scene.has_no_trace_of(GROUP)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_last_answer_is_lost_is_there() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::dynamic(0..3, 50_000);
    let session = scene.open(FIRST).await.unwrap();
    write(&session, &archive, Step::Described).await.unwrap();
    scene.relay.set_faults(Faults { stalls_down: true, ..Faults::NONE });
    let (finished, ()) = futures::future::join(session.finish(), async {
        let (store, snapshot) = (scene.site.store("tank"), FIRST.parse::<Snapshot>().unwrap());
        // The group is free only when everything is done.
        let is_so = async |_: &Scene| store.lock_group(&Namespace::root(), &snapshot.group).is_ok();
        scene.until("the backup is finished", is_so).await;
        scene.relay.cut_all();
    })
    .await;
    assert_lost(finished, "the answer was lost");
    scene.relay.set_faults(Faults::NONE);
    assert_eq!(scene.snapshots(GROUP).await, (vec![time(FIRST)], Vec::new()));
    write(&scene.open_when_free(SECOND).await, &archive, Step::Finished).await.unwrap();
    assert_eq!(scene.snapshots(GROUP).await, (vec![time(FIRST), time(SECOND)], Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_pauses_costs_nothing_but_time() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::fixed(0..8);
    let session = scene.open(FIRST).await.unwrap();
    let (written, ()) = futures::future::join(write(&session, &archive, Step::Finished), async {
        let is_so = async |scene: &Scene| 8 << 20 <= scene.relay.statistics().up_bytes;
        scene.until("bytes are carried", is_so).await;
        scene.relay.set_faults(Faults::BLACK_OUT);
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.relay.set_faults(Faults::NONE);
    })
    .await;
    written.unwrap();
    assert_eq!(scene.snapshots(GROUP).await, (vec![time(FIRST)], Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_task_ends_the_session_and_leaves_no_trace() {
    let scene = Scene::new(Duration::ZERO).await;
    let session = scene.open(FIRST).await.unwrap();
    write(&session, &Archive::dynamic(0..3, 50_000), Step::Uploaded).await.unwrap();
    let tasks = scene.site.run(&["task", "list", "--output-format", "json"]).await.ok();
    let tasks: serde_json::Value = serde_json::from_str(&tasks).unwrap();
    let upid = tasks[0]["upid"].as_str().unwrap();
    assert!(upid.contains(":backup:tank"), "{upid}");
    scene.site.run(&["task", "stop", upid]).await.ok();
    scene.until("the group is removed", async |scene| scene.has_no_trace_of(GROUP)).await;
    assert_lost(session.finish().await, "stopped");
    let tasks = scene.site.run(&["task", "list", "--all", "true", "--output-format", "json"]).await.ok();
    let tasks: serde_json::Value = serde_json::from_str(&tasks).unwrap();
    let status = tasks.as_array().unwrap().iter().find(|task| task["upid"] == upid).unwrap()["status"].as_str();
    assert!(status.unwrap().contains("aborted"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_what_was_finished_and_removes_the_rest_when_it_starts() {
    let mut scene = Scene::with_process().await;
    let archive = Archive::dynamic(0..10, 50_000);
    write(&scene.open(FIRST).await.unwrap(), &archive, Step::Finished).await.unwrap();
    for last in [Step::Opened, Step::Uploaded, Step::Closed, Step::Described] {
        let session = scene.open(SECOND).await.unwrap();
        write(&session, &archive, last).await.unwrap();
        scene.restart();
        assert_lost(session.finish().await, &format!("{last:?}"));
        assert_eq!(scene.snapshots(GROUP).await, (vec![time(FIRST)], Vec::new()), "{last:?}");
    }
    let session = scene.open(SECOND).await.unwrap();
    assert_eq!(session.previous_backup_time().await.unwrap().unwrap().0, time(FIRST));
    write(&session, &archive, Step::Finished).await.unwrap();
    scene.restart();
    write(&scene.open(THIRD).await.unwrap(), &archive, Step::Finished).await.unwrap();
    let all = vec![time(FIRST), time(SECOND), time(THIRD)];
    assert_eq!(scene.snapshots(GROUP).await, (all, Vec::new()));
}
