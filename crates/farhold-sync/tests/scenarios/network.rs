//! Sources that cannot be reached for a while, or break in the middle.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_sync::{
    Listed, Source, SourceError, SourceSnapshot, SyncError, SyncEvent, SyncOptions, Unrestricted, Visibility,
};
use farhold_types::{ArchiveName, Digest, Group, Namespace, Snapshot, SnapshotItem};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Content, Log, MemorySnapshot, MemorySource, MemoryTarget, Shared, TargetHandle, encode, lost, options, sync,
};

const LENGTH: usize = 65536;
const FIRST: &str = "2026-01-01T10:00:00Z";

fn with_notes(state: &Path, patience: Duration) -> SyncOptions {
    SyncOptions { state_dir: Some(state.to_owned()), patience, ..options() }
}

fn disk(seeds: &[u64]) -> Content<'_> {
    Content::Chunks(seeds, LENGTH)
}

fn assert_same(source: &MemorySource, target: &MemoryTarget) {
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}

/// Runs a sync with any source and returns its result, its lines and its events.
async fn sync_from<S: Source>(
    options: SyncOptions,
    source: S,
    target: &Arc<MemoryTarget>,
) -> (Result<farhold_sync::SyncReport, SyncError>, Arc<Log>) {
    let log = Log::new(options.worker_threads);
    let to = Arc::new(TargetHandle(target.clone()));
    let cancel = CancellationToken::new();
    let result = farhold_sync::run(options, Arc::new(source), to, Arc::new(Unrestricted), log.clone(), cancel).await;
    (result, log)
}

fn retries(log: &Log) -> usize {
    log.events.lock().unwrap().iter().filter(|event| matches!(event, SyncEvent::Retry { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn scenario_50a_a_connection_lost_in_the_middle_of_a_new_snapshot_keeps_what_was_finished() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let state = tempfile::tempdir().unwrap();
    let seeds: Vec<u64> = (100..140).collect();
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", disk(&[1, 2, 3])), ("b.img.fidx", disk(&seeds))]);
    source.set_chunk_fault(|_, count| (23 <= count).then(lost));
    let (result, _) = sync(with_notes(state.path(), farhold_sync::DEFAULT_PATIENCE), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!(report.chunks, 23);
    assert_eq!((target.finished().len(), target.directories()), (0, 1), "unfinished, but kept");
    source.clear_faults();
    source.chunk_requests();
    sync(with_notes(state.path(), farhold_sync::DEFAULT_PATIENCE), &source, &target).await.0.unwrap();
    assert_same(&source, &target);
    assert_eq!(source.chunk_requests(), 20, "neither the finished archive nor noted chunks come again");
    for job in std::fs::read_dir(state.path()).unwrap() {
        assert!(!job.unwrap().path().join("journals").exists(), "no notes stay behind");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_10_a_link_that_breaks_more_often_than_a_snapshot_takes_still_gets_it_through() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let state = tempfile::tempdir().unwrap();
    let seeds: Vec<u64> = (100..200).collect();
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", disk(&[1, 2, 3])), ("b.img.fidx", disk(&seeds))]);
    let (mut runs, mut requests) = (0, 0);
    loop {
        runs += 1;
        // Each run gets twenty chunks and gives up at once.
        let begin = source.counts.chunks.load(Ordering::SeqCst);
        source.set_chunk_fault(move |_, count| (begin + 20 <= count).then(lost));
        let (result, _) = sync(with_notes(state.path(), Duration::ZERO), &source, &target).await;
        if result.is_ok() {
            break;
        }
        assert!(runs < 20, "it never ends");
    }
    requests += source.chunk_requests();
    assert_same(&source, &target);
    assert!((5..=7).contains(&runs), "{runs} runs");
    assert!(requests < 103 + runs * 40, "{requests} requests for 103 chunks: only those on their way were lost");
}

#[tokio::test(start_paused = true)]
async fn a_black_out_of_thirty_seconds_in_the_middle_of_an_archive_costs_time_and_no_error() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let seeds: Vec<u64> = (0..60).collect();
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", disk(&seeds))]);
    let begin = Instant::now();
    let since = Arc::new(Mutex::new(None));
    let is_dark = {
        let since = since.clone();
        move |begins: bool| {
            let mut since = since.lock().unwrap();
            if begins && since.is_none() {
                *since = Some(Instant::now());
            }
            since.is_some_and(|at: Instant| at.elapsed() < Duration::from_secs(30))
        }
    };
    let dark = is_dark.clone();
    source.set_chunk_fault(move |_, count| dark(count == 30).then(lost));
    source.set_file_fault(move |_, _| is_dark(false).then(lost));
    let (result, log) = sync_from(options(), Shared(source.clone()), &target).await;
    let report = result.unwrap();
    assert_same(&source, &target);
    assert!(begin.elapsed() < Duration::from_secs(45), "{:?}", begin.elapsed());
    assert!(5 <= report.retries && report.retries == retries(&log) as u64, "{}", report.retries);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_its_source_can_be_stopped() {
    let source = Arc::new(MemorySource::new());
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", disk(&[1, 2, 3]))]);
    for what in ["namespaces", "groups ", "snapshots vm/1", "a.img.fidx", "chunk"] {
        let target = MemoryTarget::new();
        source.set_file_fault(move |asked, _| (asked == what).then(lost));
        source.set_chunk_fault(move |_, _| (what == "chunk").then(lost));
        let cancel = CancellationToken::new();
        let begin = Instant::now();
        let stopping = cancel.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(4)).await;
            stopping.cancel();
        });
        let (result, _) = crate::support::sync_until(options(), &source, &target, cancel).await;
        assert!(matches!(result, Err(SyncError::Cancelled)), "{what}: {result:?}");
        assert_eq!(begin.elapsed(), Duration::from_secs(4), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_of_a_broken_session_go_through_another_one_at_once_and_the_session_is_replaced() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let seeds: Vec<u64> = (0..3000).collect();
    source.add("", &format!("vm/1/{FIRST}"), &[("a.pxar.didx", Content::Chunks(&seeds, 1024))]);
    let losses = Arc::new(AtomicUsize::new(0));
    let count_losses = losses.clone();
    source.set_chunk_fault(move |_, count| {
        let is_lost = count == 200 || count == 400;
        is_lost.then(|| count_losses.fetch_add(1, Ordering::SeqCst)).map(|_| lost())
    });
    let mut options = options();
    options.sessions_per_archive = 4;
    // Far enough for all four sessions.
    let far = Far::new(&source, 20);
    let (result, log) = sync_from(options, far, &target).await;
    assert_eq!(result.unwrap().retries, 0, "{:#?}", log.texts());
    assert_same(&source, &target);
    assert_eq!((losses.load(Ordering::SeqCst), source.chunk_requests()), (2, 3002));
    let opened = source.counts.opened.load(Ordering::SeqCst);
    assert_eq!(opened, 4 + 2, "each session that broke was opened again");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_always_breaks_its_connection_fails_its_group_and_not_the_run() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", disk(&[1, 2, 3]))]);
    source.add("", &format!("vm/2/{FIRST}"), &[("a.img.fidx", disk(&[4, 5, 6]))]);
    let poisoned = farhold_crypto::sha256(&crate::support::content(2, LENGTH)).to_string();
    source.set_chunk_fault(move |digest, _| (digest == poisoned).then(lost));
    let (result, _) = sync(options(), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!((report.failures.count, report.behind), (1, 1));
    assert!(report.failures.first[0].starts_with("vm/1: "), "{:?}", report.failures);
    assert_eq!(target.finished().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn scenario_57_a_group_whose_connection_broke_loses_no_vanished_snapshots() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let second = "2026-01-02T10:00:00Z";
    for group in ["ct/1", "vm/1"] {
        source.add("", &format!("{group}/{FIRST}"), &[("a.img.fidx", disk(&[1, 2, 3]))]);
    }
    sync(options(), &source, &target).await.0.unwrap();
    for group in ["ct/1", "vm/1"] {
        source.remove("", &format!("{group}/{FIRST}"));
        let seeds = if group == "vm/1" { [7, 8, 9] } else { [4, 5, 6] };
        source.add("", &format!("{group}/{second}"), &[("a.img.fidx", disk(&seeds))]);
    }
    let broken = farhold_crypto::sha256(&crate::support::content(8, LENGTH)).to_string();
    source.set_chunk_fault(move |digest, _| (digest == broken).then(lost));
    let removing = || SyncOptions { remove_vanished: true, ..options() };
    let (result, log) = sync(removing(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(_))), "{result:?}");
    let names = || target.finished().keys().map(|(_, snapshot)| snapshot.to_string()).collect::<Vec<_>>();
    assert_eq!(names(), [format!("ct/1/{second}"), format!("vm/1/{FIRST}")], "{log:#?}");
    source.clear_faults();
    sync(removing(), &source, &target).await.0.unwrap();
    assert_eq!(names(), [format!("ct/1/{second}"), format!("vm/1/{second}")]);
}

#[tokio::test(start_paused = true)]
async fn scenario_68_a_remote_without_namespaces_gives_its_root_and_an_error() {
    let source = MemorySource { has_no_namespaces: true, ..MemorySource::new() };
    for group in ["vm/1", "vm/2"] {
        for day in ["2026-01-01", "2026-01-02"] {
            let archives = [("qemu-server.conf.blob", Content::Blob(b"a"))];
            source.add("", &format!("{group}/{day}T10:00:00Z"), &archives);
        }
    }
    let (source, target) = (Arc::new(source), MemoryTarget::new());
    let (result, log) = sync(options(), &source, &target).await;
    assert!(result.unwrap_err().to_string().starts_with("sync failed with some errors."));
    assert_same(&source, &target);
    assert_eq!(log, recorded("pull-remote-without-namespaces"));
    let with = |max_depth, anchor: &str| SyncOptions { max_depth, source_anchor: anchor.parse().unwrap(), ..options() };
    sync(with(Some(0), ""), &source, &target).await.0.unwrap();
    for options in [with(Some(1), ""), with(None, "a"), with(Some(0), "a")] {
        assert!(matches!(sync(options, &source, &target).await.0, Err(SyncError::Map(_))));
    }
}

/// The lines of a recorded run between the lines of the job and its end.
fn recorded(name: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/task-logs");
    let text = std::fs::read_to_string(format!("{folder}/{name}.log")).unwrap();
    let lines = text.lines().skip(2).map(|line| line.split_once(": ").unwrap().1.to_owned());
    lines.take_while(|line| !line.starts_with("queued notification")).collect()
}

/// A line without what differs from run to run: amounts, rates, and the text of an error.
fn shape(line: &str) -> String {
    for (mark, keep) in [(": downloaded ", ": downloaded"), (" failed - ", " failed"), ("Summary: ", "Summary")] {
        if let Some((before, _)) = line.split_once(mark) {
            return format!("{before}{keep}");
        }
    }
    line.split(", current progress").next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_log_of_a_connection_that_breaks_for_good_in_one_archive_is_like_the_recorded_one() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let conf = ("qemu-server.conf.blob", Content::Blob(b"a"));
    let archives = [conf, ("drive-scsi0.img.fidx", disk(&[1, 2])), ("drive-scsi1.img.fidx", disk(&[3, 4]))];
    source.add("", &format!("vm/1/{FIRST}"), &archives);
    source.add("", &format!("vm/2/{FIRST}"), &[("qemu-server.conf.blob", Content::Blob(b"b"))]);
    let broken = farhold_crypto::sha256(&crate::support::content(4, LENGTH)).to_string();
    source.set_chunk_fault(move |digest, _| (digest == broken).then(lost));
    let (result, log) = sync(options(), &source, &target).await;
    assert!(result.is_err());
    // We tell each attempt, and keep the unfinished snapshot.
    let ours = log.iter().filter(|line| !line.starts_with("connection to the source failed")).map(|line| shape(line));
    let theirs = recorded("pull-connection-cut");
    let theirs = theirs.iter().filter(|line| !line.starts_with("removing backup snapshot")).map(|line| shape(line));
    assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
}

/// A source behind a long line: every answer takes a while.
struct Far {
    source: Shared,
    delay: Duration,
    breaks: Breaks,
}

/// What happens to chunks, by how many were asked for before.
type Breaks = Option<Arc<dyn Fn(usize, &Bytes, &mut BytesMut) -> Option<Result<Bytes, SourceError>> + Send + Sync>>;

struct FarSnapshot {
    snapshot: MemorySnapshot,
    delay: Duration,
    breaks: Breaks,
    asked: AtomicUsize,
}

impl Far {
    fn new(source: &Arc<MemorySource>, milliseconds: u64) -> Self {
        Self { source: Shared(source.clone()), delay: Duration::from_millis(milliseconds), breaks: None }
    }
}

impl Source for Far {
    type Snapshot = FarSnapshot;

    fn identity(&self) -> String {
        self.source.identity()
    }

    async fn namespaces(&self, anchor: &Namespace, depth: Option<u8>) -> Result<Listed<Namespace>, SourceError> {
        sleep(self.delay).await;
        self.source.namespaces(anchor, depth).await
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<Group>, SourceError> {
        sleep(self.delay).await;
        self.source.groups(ns).await
    }

    async fn visibility(&self, ns: &Namespace) -> Result<Visibility, SourceError> {
        sleep(self.delay).await;
        self.source.visibility(ns).await
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, SourceError> {
        sleep(self.delay).await;
        self.source.snapshots(ns, group).await
    }

    async fn peek_manifest(&self, ns: &Namespace, snapshot: &Snapshot, max_bytes: u64) -> Result<Bytes, SourceError> {
        sleep(self.delay).await;
        self.source.peek_manifest(ns, snapshot, max_bytes).await
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<FarSnapshot, SourceError> {
        sleep(self.delay).await;
        let (snapshot, asked) = (self.source.open(ns, snapshot).await?, AtomicUsize::new(0));
        Ok(FarSnapshot { snapshot, delay: self.delay, breaks: self.breaks.clone(), asked })
    }
}

impl SourceSnapshot for FarSnapshot {
    async fn file(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        sleep(self.delay).await;
        self.snapshot.file(name, max_bytes).await
    }

    async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        sleep(self.delay).await;
        self.snapshot.chunk(digest, max_bytes).await
    }

    async fn resume_chunk(&self, digest: &Digest, max_bytes: u64, begun: &mut BytesMut) -> Result<Bytes, SourceError> {
        let chunk = self.chunk(digest, max_bytes).await?;
        let count = self.asked.fetch_add(1, Ordering::SeqCst);
        self.breaks.as_ref().and_then(|breaks| breaks(count, &chunk, begun)).unwrap_or(Ok(chunk))
    }

    async fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_chunk_goes_on_where_it_broke_off_however_often_and_parts_that_do_not_fit_are_thrown_away() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    // Too large to be fetched before the snapshot's turn.
    source.add("", &format!("vm/1/{FIRST}"), &[("a.img.fidx", Content::Chunks(&[1], 2 << 20))]);
    // Some bytes at a time, each over a connection of its own: far more often than a chunk may be lost whole.
    let goes_on = |_, chunk: &Bytes, begun: &mut BytesMut| {
        let end = (begun.len() + 4000).min(chunk.len());
        begun.extend_from_slice(&chunk[begun.len()..end]);
        Some(if end == chunk.len() { Ok(chunk.clone()) } else { Err(lost()) })
    };
    let far = Far { breaks: Some(Arc::new(goes_on)), ..Far::new(&source, 20) };
    sync_from(options(), far, &target).await.0.unwrap();
    assert_same(&source, &target);
    let requests = source.chunk_requests();
    assert!(50 < requests, "{requests}");

    let (target, attempts) = (MemoryTarget::new(), Arc::new(Mutex::new(Vec::new())));
    let seen = attempts.clone();
    let splices = move |_, chunk: &Bytes, begun: &mut BytesMut| {
        let mut attempts = seen.lock().unwrap();
        attempts.push(begun.len());
        match attempts.len() {
            1 => {
                begun.extend_from_slice(&[7; 100]);
                Some(Err(lost()))
            }
            2 => {
                begun.extend_from_slice(&chunk[100..]);
                Some(Ok(std::mem::take(begun).freeze()))
            }
            _ => None,
        }
    };
    let far = Far { breaks: Some(Arc::new(splices)), ..Far::new(&source, 20) };
    sync_from(options(), far, &target).await.0.unwrap();
    assert_same(&source, &target);
    assert_eq!(*attempts.lock().unwrap(), [0, 100, 0], "the last time everything");
}

/// Eight groups with one snapshot of two archives and a log.
fn eight_groups() -> Arc<MemorySource> {
    let source = MemorySource::new();
    for group in 1..=8u64 {
        let what = format!("vm/{group}/{FIRST}");
        let seeds: Vec<u64> = (0..20).map(|i| group * 100 + i).collect();
        source.add("", &what, &[("conf.blob", Content::Blob(b"a")), ("a.img.fidx", disk(&seeds))]);
        source.edit("", &what, |files| drop(files.insert("client.log.blob".to_owned(), encode(b"log"))));
    }
    Arc::new(source)
}

#[tokio::test(start_paused = true)]
async fn scenario_74_four_workers_are_faster_over_a_long_line_and_keep_groups_apart() {
    let mut took = Vec::new();
    for workers in [1, 4] {
        let (source, target) = (eight_groups(), MemoryTarget::new());
        let begin = Instant::now();
        let far = Far::new(&source, 50);
        let options = SyncOptions { worker_threads: workers, ..options() };
        let (result, log) = sync_from(options, far, &target).await;
        result.unwrap();
        took.push(begin.elapsed());
        assert_same(&source, &target);
        // One session for each group that is worked on, and those that are prepared ahead: all at once is no more than
        // the groups that there are.
        assert!(source.counts.most_open.load(Ordering::SeqCst) <= 8);
        for group in 1..=8 {
            let prefix = format!("[vm/{group}]: ");
            let lines: Vec<_> =
                log.texts().iter().filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned())).collect();
            let expected = [
                ": start sync",
                "/conf.blob: sync archive",
                "/a.img.fidx: sync archive",
                "/a.img.fidx: downloaded",
                "got backup log file client.log.blob",
                ": sync done",
            ];
            let found = lines.iter().map(String::as_str);
            assert_in_order(found, &expected);
        }
        if workers == 4 {
            let all = log.texts();
            let own = |line: &&String| line.starts_with("[vm/");
            assert!(all.iter().filter(own).count() >= 8 * 6, "{all:#?}");
        }
    }
    assert!(took[1] < took[0], "{took:?}");
}

#[track_caller]
fn assert_in_order<'a>(mut lines: impl Iterator<Item = &'a str>, expected: &[&str]) {
    for part in expected {
        assert!(lines.any(|line| line.contains(part)), "'{part}' is missing or in another place");
    }
}

#[tokio::test(start_paused = true)]
async fn scenario_75_one_of_four_parallel_groups_fails_and_the_others_are_finished() {
    let (source, target) = (eight_groups(), MemoryTarget::new());
    source.edit("", &format!("vm/3/{FIRST}"), |files| drop(files.insert("conf.blob".to_owned(), encode(b"wrong"))));
    let (result, log) = sync(SyncOptions { worker_threads: 4, ..options() }, &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!((report.failures.count, report.groups), (1, 8));
    assert_eq!(target.finished().len(), 7);
    assert_eq!(log.iter().filter(|line| line.contains(" failed - ")).count(), 1);
    assert!(log.iter().any(|line| line.starts_with("[vm/3]: sync group vm/3 failed - ")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("100.00% (8/8 groups)")), "{log:#?}");
}
