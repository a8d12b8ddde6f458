//! What a failure stops, what it does not, and what the next run makes of it (`docs/adr/0009`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farhold_format::blob::BlobEncoder;
use farhold_sync::{SyncError, SyncOptions, Unrestricted};
use farhold_types::MANIFEST_NAME;
use tokio_util::sync::CancellationToken;

use crate::support::remote::{MemoryRemote, connection_lost, push, push_options, push_with, refused};
use crate::support::{Content, MemorySource};
use crate::transfer::{assert_same, small_store};

const FIRST: &str = "host/x/2026-01-01T10:00:00Z";
const SECOND: &str = "host/x/2026-01-02T10:00:00Z";
const THIRD: &str = "host/x/2026-01-03T10:00:00Z";

/// One group with three snapshots, and another group.
fn three() -> Arc<MemorySource> {
    let source = MemorySource::new();
    for (seed, what) in [(1, FIRST), (2, SECOND), (3, THIRD), (4, "vm/1/2026-01-01T10:00:00Z")] {
        source.add("", what, &[("a.pxar.didx", Content::Chunks(&[seed], 4096)), ("c.blob", Content::Blob(b"c"))]);
    }
    Arc::new(source)
}

fn kept(dir: &tempfile::TempDir) -> SyncOptions {
    SyncOptions { state_dir: Some(dir.path().to_owned()), ..push_options() }
}

/// Damages the only chunk of a snapshot.
fn damage(source: &MemorySource, what: &str) {
    source.edit("", what, |files| drop(files.insert("a.pxar.didx".into(), b"no index".as_slice().into())));
}

fn times(remote: &MemoryRemote) -> Vec<String> {
    remote.finished()
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_at_the_source_is_passed_over_and_told_in_every_run() {
    let (source, remote, dir) = (three(), MemoryRemote::new(), tempfile::tempdir().unwrap());
    damage(&source, SECOND);
    let first = push(kept(&dir), &source, &remote).await;
    assert!(matches!(first.result, Err(SyncError::SomeFailed(_))));
    assert_eq!(times(&remote).len(), 3, "the others are there");
    assert!(first.has_line("Failed to push snapshot host/x/2026-01-02T10:00:00Z to remote!"));
    for _ in 0..2 {
        let next = push(kept(&dir), &source, &remote).await;
        assert!(next.result.is_ok() && next.has_line("2026-01-02T10:00:00Z: could not be pushed when it was its turn"));
    }
    // When it is gone from the source nobody needs to know any more.
    source.remove("", SECOND);
    let last = push(kept(&dir), &source, &remote).await;
    assert!(last.result.is_ok() && !last.has_line("could not be pushed"));
}

#[tokio::test]
async fn without_a_record_nothing_is_passed_over() {
    let (source, remote) = (three(), MemoryRemote::new());
    damage(&source, SECOND);
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_err());
    assert_eq!(times(&remote), [":host/x/2026-01-01T10:00:00Z", ":vm/1/2026-01-01T10:00:00Z"]);
    assert!(pushed.has_line("Failed to push group host/x to remote!"));
}

#[tokio::test]
async fn the_newest_snapshot_is_tried_again_once_it_is_repaired() {
    let (source, remote, dir) = (three(), MemoryRemote::new(), tempfile::tempdir().unwrap());
    let good = source.snapshots.lock().unwrap()[&(String::new(), crate::support::snapshot(THIRD))].clone();
    damage(&source, THIRD);
    assert!(push(kept(&dir), &source, &remote).await.result.is_err());
    source.edit("", THIRD, |files| *files = good);
    let pushed = push(kept(&dir), &source, &remote).await;
    assert!(pushed.result.is_ok() && !pushed.has_line("could not be pushed"));
    assert_same(&source, &remote);
}

#[tokio::test]
async fn a_chunk_that_is_damaged_in_the_store_is_never_sent() {
    let (source, remote, dir) = (three(), MemoryRemote::new(), tempfile::tempdir().unwrap());
    let other = crate::support::encode(b"something else");
    source.chunks.lock().unwrap().values_mut().for_each(|chunk| *chunk = other.clone());
    let pushed = push(kept(&dir), &source, &remote).await;
    assert!(pushed.result.is_err() && times(&remote).is_empty() && remote.count("chunk") == 0);
    assert!(remote.state().groups.is_empty(), "nothing is left of the sessions");
}

#[tokio::test]
async fn what_the_target_refuses_stops_the_group_but_not_the_others() {
    let (source, remote, dir) = (three(), MemoryRemote::new(), tempfile::tempdir().unwrap());
    remote.set_fault(|request, _| (request == format!("open {SECOND}")).then(|| refused("group is busy")));
    let pushed = push(kept(&dir), &source, &remote).await;
    assert!(pushed.result.is_err());
    assert_eq!(times(&remote), [":host/x/2026-01-01T10:00:00Z", ":vm/1/2026-01-01T10:00:00Z"]);
    let report = pushed.report();
    assert_eq!((report.failures.count, report.behind), (1, 2), "the one that was refused and the one after it");
    remote.clear_fault();
    assert!(push(kept(&dir), &source, &remote).await.result.is_ok());
    assert_same(&source, &remote);
}

#[tokio::test(start_paused = true)]
async fn scenario_84_a_session_that_breaks_is_begun_anew_in_the_same_run() {
    for word in ["open", "chunk", "append", "close", "blob", "finish", "create"] {
        let (source, remote) = (small_store(), MemoryRemote::new());
        let broken = Arc::new(AtomicUsize::new(0));
        remote.set_fault(move |request, _| {
            let breaks = request.starts_with(word) && broken.fetch_add(1, Ordering::SeqCst) == 1;
            breaks.then(connection_lost)
        });
        let pushed = push(push_options(), &source, &remote).await;
        assert!(pushed.result.is_ok(), "{word}: {:#?}", pushed.texts());
        assert_same(&source, &remote);
        assert_eq!(pushed.report().retries, 1, "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_last_answer_was_lost_counts_as_finished() {
    let (source, remote) = (three(), MemoryRemote::new());
    *remote.lost_answers.lock().unwrap() = vec!["finish".to_owned()];
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_same(&source, &remote);
    assert_eq!(pushed.report().changed_snapshots, 4);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_began_although_the_answer_was_lost_is_waited_out() {
    let (source, remote) = (three(), MemoryRemote::new());
    *remote.lost_answers.lock().unwrap() = vec!["open".to_owned()];
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_same(&source, &remote);
    assert_eq!(pushed.report().retries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_given_up_and_nothing_unfinished_is_left() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    let options = SyncOptions { patience: Duration::from_secs(20), ..push_options() };
    remote.set_fault(|_, count| (20 < count).then(connection_lost));
    let pushed = push(options, &source, &remote).await;
    assert!(matches!(pushed.result, Err(SyncError::SomeFailed(_))));
    let state = remote.state();
    let all = state.groups.values().flat_map(|group| group.snapshots.values());
    assert!(all.clone().all(|dir| dir.files.contains_key(MANIFEST_NAME)), "unfinished snapshots disappear");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_push_ends_soon_and_leaves_nothing_unfinished() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    *remote.round_trip.lock().unwrap() = Duration::from_millis(80);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stop.cancel();
    });
    let begin = tokio::time::Instant::now();
    let pushed = push_with(push_options(), &source, &remote, Unrestricted, cancel).await;
    assert!(matches!(pushed.result, Err(SyncError::Cancelled)));
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(!pushed.has_line("Failed"), "it says so once, as a whole");
    let open = remote.sessions_now.load(Ordering::SeqCst);
    assert_eq!(open, 0);
    // The next run does the rest.
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_same(&source, &remote);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_breaks_every_session_is_not_tried_for_ever() {
    let (source, remote) = (three(), MemoryRemote::new());
    remote.set_fault(|request, _| (request.starts_with("blob c.blob")).then(connection_lost));
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_err() && times(&remote).is_empty());
    assert_eq!(remote.count("open host/x"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_while_it_removes_does_not_wait_for_the_deletion() {
    let (source, remote) = (three(), MemoryRemote::new());
    push(push_options(), &source, &remote).await.result.unwrap();
    remote.put_finished("", "vm/9/2026-01-01T10:00:00Z", "sync@pbs!t1");
    *remote.round_trip.lock().unwrap() = Duration::from_secs(600);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    // Version, namespaces, groups and the snapshots of two groups are through.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4 * 600 + 60)).await;
        stop.cancel();
    });
    let begin = tokio::time::Instant::now();
    let options = SyncOptions { remove_vanished: true, ..push_options() };
    let pushed = push_with(options, &source, &remote, Unrestricted, cancel).await;
    assert!(matches!(pushed.result, Err(SyncError::Cancelled)));
    assert!(begin.elapsed() < Duration::from_secs(4 * 600 + 120));
    assert!(!pushed.has_line("Failed"), "{:#?}", pushed.texts());
}

#[tokio::test]
async fn a_target_that_says_that_its_previous_index_is_huge_may_not_send_so_much() {
    let (first, second, archive) = ("host/x/2026-01-01T10:00:00Z", "host/x/2026-01-02T10:00:00Z", "a.pxar.didx");
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    source.add("", first, &[(archive, Content::Chunks(&[1, 2], 3000))]);
    let source = Arc::new(source);
    push(push_options(), &source, &remote).await.result.unwrap();
    let (mut files, mut manifest) = (remote.files("", first), remote.manifest("", first));
    manifest.files[0].size_bytes = 1 << 50;
    files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    remote.put("", first, &remote.account.to_string(), files);
    source.add("", second, &[(archive, Content::Chunks(&[1, 3], 3000))]);
    assert_eq!(push(push_options(), &source, &remote).await.result.unwrap().chunks, 1);
    assert_eq!(remote.most_previous_bytes.load(Ordering::SeqCst), 16 << 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_has_been_removed_although_the_answer_was_lost() {
    let (source, remote) = (three(), MemoryRemote::new());
    push(push_options(), &source, &remote).await.result.unwrap();
    let account = remote.account.to_string();
    for (at, what) in
        [("", "vm/1/2025-01-01T10:00:00Z"), ("", "ct/9/2025-01-01T10:00:00Z"), ("x", "ct/9/2025-01-01T10:00:00Z")]
    {
        remote.put_finished(at, what, &account);
    }
    *remote.lost_answers.lock().unwrap() =
        ["delete snapshot", "delete group", "delete namespace"].map(str::to_owned).to_vec();
    let options = SyncOptions { remove_vanished: true, ..push_options() };
    let pushed = push(options, &source, &remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_same(&source, &remote);
    assert_eq!(remote.state().namespaces.len(), 1);
    assert_eq!(pushed.report().retries, 3);
    let removed = pushed.report().removed.unwrap();
    assert_eq!(
        (removed.snapshots, removed.groups, removed.namespaces),
        (2, 2, 1),
        "of a lost group nobody said how many"
    );
}
