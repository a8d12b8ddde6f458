//! How many round trips a push waits for, by a clock that only the line moves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farhold_sync::{Blocking, SyncOptions};
use tokio::time::Instant;

use crate::support::remote::{MemoryRemote, Pushed, push, push_options};
use crate::support::{Content, MemorySource};
use crate::transfer::assert_same;

const ROUND_TRIP: Duration = Duration::from_millis(80);

/// Options with which nothing but requests takes time.
fn timed() -> SyncOptions {
    SyncOptions { blocking: Blocking::Inline(Arc::new(|| Duration::ZERO)), ..push_options() }
}

fn groups(count: u64, snapshots: u64) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for group in 1..=count {
        for day in 1..=snapshots {
            let seeds = [group * 100 + day, group];
            let archives =
                [("qemu-server.conf.blob", Content::Blob(b"conf")), ("root.pxar.didx", Content::Chunks(&seeds, 4096))];
            source.add("", &format!("vm/{group}/2026-01-0{day}T10:00:00Z"), &archives);
        }
    }
    Arc::new(source)
}

async fn timed_push(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    remote: &Arc<MemoryRemote>,
) -> (Pushed, Duration) {
    *remote.round_trip.lock().unwrap() = ROUND_TRIP;
    let begin = Instant::now();
    let pushed = push(options, source, remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    (pushed, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_first_push_of_many_small_groups_overlaps_them_with_one_worker_and_tells_them_in_order() {
    let (source, remote) = (groups(100, 3), MemoryRemote::new());
    let (pushed, elapsed) = timed_push(timed(), &source, &remote).await;
    assert_same(&source, &remote);
    println!("{elapsed:?} for 300 snapshots");
    assert!(elapsed < 300 * Duration::from_millis(100), "{elapsed:?} for 300 snapshots");
    assert!(remote.most_sessions.load(Ordering::SeqCst) <= 9);
    // The log reads as if one group came after the other.
    let texts = pushed.texts();
    let of_groups: Vec<&str> =
        texts.iter().filter_map(|line| line.strip_prefix('[')?.split_once(']')).map(|x| x.0).collect();
    let mut order = of_groups.clone();
    order.dedup();
    assert_eq!(order, (1..=100).map(|n| format!("vm/{n}")).collect::<Vec<_>>());
    let percentages: Vec<f64> = texts
        .iter()
        .filter_map(|line| line.split_once("percentage done: ")?.1.split_once('%')?.0.parse().ok())
        .collect();
    assert!(percentages.len() == 300 && percentages.is_sorted() && percentages[299] == 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_push_of_a_hundred_groups_with_nothing_new_asks_four_times() {
    let (source, remote) = (groups(100, 3), MemoryRemote::new());
    push(timed(), &source, &remote).await.result.unwrap();
    remote.take_requests();
    let options = SyncOptions { remove_vanished: true, ..timed() };
    let (pushed, elapsed) = timed_push(options, &source, &remote).await;
    assert_eq!(remote.take_requests(), ["version", "namespaces", "groups ", "all snapshots "]);
    assert_eq!(pushed.report().bytes, 0);
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn large_groups_come_one_after_the_other_with_one_worker_and_side_by_side_with_more() {
    let source = MemorySource::new();
    let seeds: Vec<u64> = vec![7; 700];
    for group in 1..=4 {
        let archives = [("a.pxar.didx", Content::Chunks(&seeds, 65536))];
        source.add("", &format!("host/h{group}/2026-01-01T10:00:00Z"), &archives);
    }
    let source = Arc::new(source);
    for (workers, most) in [(1, 1), (3, 3)] {
        let remote = MemoryRemote::new();
        let options = SyncOptions { worker_threads: workers, ..timed() };
        timed_push(options, &source, &remote).await;
        assert_eq!(remote.most_sessions.load(Ordering::SeqCst), most);
    }
}

#[tokio::test(start_paused = true)]
async fn many_small_namespaces_overlap_as_groups_do() {
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    for n in 1..=40 {
        source.add_namespace(&format!("n{n}"));
        source.add(&format!("n{n}"), "vm/1/2026-01-01T10:00:00Z", &[("c.blob", Content::Blob(b"c"))]);
        remote.put_finished(&format!("n{n}"), "ct/1/2025-01-01T10:00:00Z", "sync@pbs!t1");
    }
    let source = Arc::new(source);
    let (pushed, elapsed) = timed_push(timed(), &source, &remote).await;
    println!("{elapsed:?} for 40 namespaces");
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
    let mut order: Vec<String> =
        pushed.texts().into_iter().filter(|line| line.starts_with("Finished syncing")).collect();
    let snapshots = |line: &String| line.rsplit(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap();
    assert_eq!(order.iter().map(snapshots).collect::<Vec<_>>(), (0..=40).collect::<Vec<_>>());
    order.dedup();
    assert_eq!(order.len(), 41);
}

#[tokio::test(start_paused = true)]
async fn uploads_of_a_large_archive_overlap_within_the_byte_budget() {
    let source = MemorySource::new();
    let seeds: Vec<u64> = (0..640).collect();
    source.add("", "host/x/2026-01-01T10:00:00Z", &[("a.pxar.didx", Content::Chunks(&seeds, 65536))]);
    let (source, remote) = (Arc::new(source), MemoryRemote::new());
    let (_, elapsed) = timed_push(timed(), &source, &remote).await;
    assert_eq!(remote.most_uploads.load(Ordering::SeqCst), 64);
    // Ten waves of uploads, and some requests around them.
    assert!(elapsed < 30 * ROUND_TRIP, "{elapsed:?}");
    let (narrow, remote) = (SyncOptions { budget_bytes: 0, ..timed() }, MemoryRemote::new());
    timed_push(narrow, &source, &remote).await;
    assert!(remote.most_uploads.load(Ordering::SeqCst) <= 64, "the smallest budget lets every chunk through");
}

/// On disk the manifest marks a snapshot as finished, also that of a session whose target lost power.
#[tokio::test(start_paused = true)]
async fn the_manifest_is_sent_when_the_target_has_everything_else() {
    let (source, remote) = (groups(1, 3), MemoryRemote::new());
    source.edit("", "vm/1/2026-01-01T10:00:00Z", |files| {
        drop(files.insert(farhold_types::CLIENT_LOG_NAME.into(), crate::support::encode(b"log")));
    });
    timed_push(timed(), &source, &remote).await;
    let requests = remote.take_requests();
    let manifests = requests.windows(2).filter(|two| two[0] == "blob index.json.blob");
    assert_eq!(manifests.map(|two| two[1].as_str()).collect::<Vec<_>>(), ["finish"; 3], "{requests:?}");
}
