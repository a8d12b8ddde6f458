//! Whole pulls between a source and a target in memory.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use farhold_sync::{RequestFault, SourceError, SyncError};
use farhold_types::{CLIENT_LOG_NAME, MANIFEST_NAME};
use support::{Content, MemorySource, MemoryTarget, encode, lost, ns, options, sync, sync_until};
use tokio_util::sync::CancellationToken;

const LENGTH: usize = 65536;

/// Two groups with one and two snapshots; the second snapshot shares two of three chunks.
fn small_store() -> Arc<MemorySource> {
    let source = MemorySource::new();
    source.add("", "ct/1/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(b"a"))]);
    let disk = |seeds| ("drive.img.fidx", Content::Chunks(seeds, LENGTH));
    source.add("", "vm/1/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(b"b")), disk(&[1, 2, 3])]);
    source.add("", "vm/1/2026-01-02T10:00:00Z", &[("conf.blob", Content::Blob(b"b")), disk(&[1, 2, 4])]);
    source.edit("", "vm/1/2026-01-02T10:00:00Z", |files| {
        files.insert(CLIENT_LOG_NAME.into(), encode(b"log"));
    });
    Arc::new(source)
}

fn assert_same(source: &MemorySource, target: &MemoryTarget) {
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}

#[tokio::test]
async fn a_first_pull_copies_everything_and_a_second_asks_for_no_chunk_and_opens_no_session() {
    let (source, target) = (small_store(), MemoryTarget::new());
    let (report, log) = sync(options(), &source, &target).await;
    let report = report.unwrap();
    assert_same(&source, &target);
    assert_eq!((report.chunks, report.groups, report.snapshots, report.changed_snapshots), (4, 2, 3, 3));
    assert_eq!(source.chunk_requests(), 4);
    assert_eq!(
        log.iter().map(|line| line.split(" (").next().unwrap()).collect::<Vec<_>>(),
        [
            "----",
            "Syncing datastore 'src', root namespace into datastore 'dst', root namespace",
            "Found 2 groups to sync",
            "[ct/1]: 2026-01-01T10:00:00Z: start sync",
            "[ct/1]: 2026-01-01T10:00:00Z/conf.blob: sync archive",
            "[ct/1]: 2026-01-01T10:00:00Z: sync done",
            "[ct/1]: percentage done: 50.00%",
            "[vm/1]: 2026-01-01T10:00:00Z: start sync",
            "[vm/1]: 2026-01-01T10:00:00Z/conf.blob: sync archive",
            "[vm/1]: 2026-01-01T10:00:00Z/drive.img.fidx: sync archive",
            "[vm/1]: 2026-01-01T10:00:00Z/drive.img.fidx: downloaded 30.162 KiB",
            "[vm/1]: 2026-01-01T10:00:00Z: sync done",
            "[vm/1]: percentage done: 75.00%",
            "[vm/1]: 2026-01-02T10:00:00Z: start sync",
            "[vm/1]: 2026-01-02T10:00:00Z/conf.blob: sync archive",
            "[vm/1]: 2026-01-02T10:00:00Z/drive.img.fidx: sync archive",
            "[vm/1]: 2026-01-02T10:00:00Z/drive.img.fidx: downloaded 10.055 KiB",
            "[vm/1]: Snapshot vm/1/2026-01-02T10:00:00Z: got backup log file client.log.blob",
            "[vm/1]: 2026-01-02T10:00:00Z: sync done",
            "[vm/1]: percentage done: 100.00%",
            "Finished syncing root namespace, current progress: 2 groups, 3 snapshots",
        ]
    );
    let opened = source.counts.opened.load(Ordering::SeqCst);
    let (report, log) = sync(options(), &source, &target).await;
    assert_eq!(report.unwrap().changed_snapshots, 0);
    assert_eq!((source.chunk_requests(), source.counts.opened.load(Ordering::SeqCst)), (0, opened));
    assert_eq!(
        log[2..],
        [
            "Found 2 groups to sync (out of 2 total)",
            "[ct/1]: re-sync snapshot 2026-01-01T10:00:00Z",
            "[ct/1]: 2026-01-01T10:00:00Z: no data changes",
            "[ct/1]: percentage done: 50.00% (1/2 groups)",
            "[vm/1]: vm/1: skipped: 1 snapshot(s) (2026-01-01T10:00:00Z) - older than the newest snapshot present on \
             sync target",
            "[vm/1]: re-sync snapshot 2026-01-02T10:00:00Z",
            "[vm/1]: 2026-01-02T10:00:00Z: no data changes",
            "[vm/1]: percentage done: 100.00% (2/2 groups)",
            "Finished syncing root namespace, current progress: 2 groups, 2 snapshots",
        ]
    );
}

#[tokio::test]
async fn notes_and_a_late_log_of_the_newest_snapshot_come_over_without_chunks() {
    let (source, target) = (small_store(), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    source.chunk_requests();
    source.edit_manifest("", "vm/1/2026-01-02T10:00:00Z", |manifest| manifest.set_notes("new"));
    source.edit("", "ct/1/2026-01-01T10:00:00Z", |files| {
        files.insert(CLIENT_LOG_NAME.into(), encode(b"late"));
    });
    let (report, log) = sync(options(), &source, &target).await;
    assert_eq!(report.unwrap().changed_snapshots, 1);
    assert_same(&source, &target);
    assert_eq!(source.chunk_requests(), 0);
    assert!(log.iter().any(|l| l.contains("[ct/1]: Snapshot ct/1/2026-01-01T10:00:00Z: got backup log file")));
}

#[tokio::test]
async fn a_chunk_that_merely_lies_in_the_store_is_fetched_all_the_same() {
    let (source, target) = (small_store(), MemoryTarget::new());
    *target.store.chunks.lock().unwrap() = source.chunks.lock().unwrap().clone();
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(source.chunk_requests(), 4, "presence proves nothing about the source");
}

#[tokio::test]
async fn a_reusable_chunk_that_was_lost_is_fetched_again() {
    let (source, target) = (small_store(), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    source.chunk_requests();
    target.store.chunks.lock().unwrap().clear();
    source.add("", "vm/1/2026-01-03T10:00:00Z", &[("drive.img.fidx", Content::Chunks(&[1, 2, 5], LENGTH))]);
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(source.chunk_requests(), 3);
    assert_same(&source, &target);
}

#[tokio::test]
async fn what_the_source_sends_wrong_fails_the_group_and_leaves_nothing_behind() {
    type Damage = fn(&MemorySource);
    const WHAT: &str = "vm/1/2026-01-01T10:00:00Z";
    fn flipped(bytes: &Bytes, at: usize) -> Bytes {
        let mut bytes = bytes.to_vec();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        bytes.into()
    }
    fn each_chunk(source: &MemorySource, change: impl Fn(&Bytes) -> Bytes) {
        source.chunks.lock().unwrap().values_mut().for_each(|chunk| *chunk = change(chunk));
    }
    fn file(source: &MemorySource, file: &str, change: impl Fn(&Bytes) -> Bytes) {
        source.edit("", WHAT, |files| {
            let changed = change(&files[file]);
            files.insert(file.into(), changed);
        });
    }
    fn rewritten_manifest(source: &MemorySource, from: &str, to: &str) {
        source.edit("", WHAT, |files| {
            let json = farhold_format::manifest::Manifest::from_blob(&files[MANIFEST_NAME]).unwrap().to_json();
            assert!(json.contains(from));
            files.insert(MANIFEST_NAME.into(), encode(json.replace(from, to).as_bytes()));
        });
    }
    let cases: Vec<(&str, Damage, &str)> = vec![
        ("chunk with a flipped byte", |s| each_chunk(s, |c| flipped(c, 100)), "cannot be decoded"),
        ("chunk cut short", |s| each_chunk(s, |c| c.slice(..20)), "cannot be decoded"),
        ("chunk of nothing", |s| each_chunk(s, |_| Bytes::new()), "cannot be decoded"),
        ("chunk with other content", |s| each_chunk(s, |_| encode(&[7; LENGTH])), "has wrong content"),
        ("chunk with more content", |s| each_chunk(s, |_| encode(&[7; LENGTH + 1])), "cannot be decoded"),
        ("chunk with less content", |s| each_chunk(s, |_| encode(&[7; LENGTH - 1])), "instead of 65536"),
        ("endless chunk", |s| each_chunk(s, |_| vec![0; 1 << 20].into()), "too large"),
        ("missing chunk", |s| s.chunks.lock().unwrap().clear(), "no such chunk"),
        (
            "blob with a flipped byte",
            |s| file(s, "conf.blob", |b| flipped(b, 3)),
            "wrong checksum for file 'conf.blob'",
        ),
        ("blob cut short", |s| file(s, "conf.blob", |b| b.slice(1..)), "wrong size for file 'conf.blob'"),
        ("endless blob", |s| file(s, "conf.blob", |_| vec![0; 1 << 21].into()), "too large"),
        ("index with a flipped digest", |s| file(s, "drive.img.fidx", |b| flipped(b, 4100)), "wrong checksum for file"),
        ("index cut short", |s| file(s, "drive.img.fidx", |b| b.slice(..4100)), "index cannot be used"),
        ("endless index", |s| file(s, "drive.img.fidx", |_| vec![0; 1 << 22].into()), "too large"),
        ("index of nothing", |s| file(s, "drive.img.fidx", |_| Bytes::new()), "index cannot be used"),
        (
            "missing file",
            |s| {
                s.edit("", WHAT, |f| {
                    f.remove("conf.blob");
                })
            },
            "404",
        ),
        ("hostile name", |s| rewritten_manifest(s, "conf.blob", "../../../etc/cron.d/x.blob"), "manifest of"),
        ("absolute name", |s| rewritten_manifest(s, "conf.blob", "/etc/x.blob"), "manifest of"),
        ("twice the same name", |s| rewritten_manifest(s, "conf.blob", "drive.img.fidx"), "manifest of"),
        ("the manifest as a file", |s| rewritten_manifest(s, "conf.blob", "index.json.blob"), "manifest of"),
        ("manifest of another group", |s| rewritten_manifest(s, "\"1\"", "\"2\""), "belongs to"),
        ("wrong size in the manifest", |s| rewritten_manifest(s, "196608", "196609"), "wrong size for file"),
    ];
    for (what, damage, expected) in cases {
        let source = Arc::new(MemorySource::new());
        let archives = [("conf.blob", Content::Blob(b"b")), ("drive.img.fidx", Content::Chunks(&[1, 2, 3], LENGTH))];
        source.add("", WHAT, &archives);
        source.add("", "vm/2/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(b"x"))]);
        damage(&source);
        let target = MemoryTarget::new();
        let (result, log) = sync(options(), &source, &target).await;
        let Err(SyncError::SomeFailed(report)) = result else { panic!("{what}: {result:?}\n{}", log.join("\n")) };
        assert_eq!((report.failures.count, report.behind), (1, 1), "{what}");
        assert!(report.failures.first[0].contains(expected), "{what}: {}", report.failures.first[0]);
        assert_eq!(target.directories(), 1, "{what}: only the good group stays");
        assert!(log.iter().any(|l| l.starts_with("[vm/1]: sync group vm/1 failed - ")), "{what}");
        // Once the source is sound again, everything comes over.
        source.add("", WHAT, &archives);
        sync(options(), &source, &target).await.0.unwrap();
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn a_broken_snapshot_stops_its_group_because_gaps_are_never_filled() {
    let (source, target) = (small_store(), MemoryTarget::new());
    source.edit("", "vm/1/2026-01-01T10:00:00Z", |files| {
        files.insert("conf.blob".into(), encode(b"other"));
    });
    let (result, log) = sync(options(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(_))));
    assert_eq!(target.finished().len(), 1);
    assert!(log.iter().any(|l| l == "[vm/1]: percentage done: 75.00% (1/2 groups, 1/2 snapshots in group #2)"));
}

#[tokio::test]
async fn content_that_differs_for_the_same_time_is_never_overwritten() {
    let (source, target) = (small_store(), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    let before = target.finished();
    source.add("", "vm/1/2026-01-02T10:00:00Z", &[("drive.img.fidx", Content::Chunks(&[8, 9], LENGTH))]);
    let (result, log) = sync(options(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(_))));
    assert!(log.iter().any(|l| l.contains("refusing to overwrite vm/1/2026-01-02T10:00:00Z: its content differs")));
    assert_eq!(target.finished(), before);
}

#[tokio::test]
async fn local_damage_of_manifest_or_index_is_repaired_by_the_next_run() {
    for (file, bytes) in
        [(MANIFEST_NAME, &b"junk"[..]), ("drive.img.fidx", b"junk"), ("drive.img.fidx", b""), ("conf.blob", b"")]
    {
        let (source, target) = (small_store(), MemoryTarget::new());
        sync(options(), &source, &target).await.0.unwrap();
        source.edit_manifest("", "vm/1/2026-01-02T10:00:00Z", |manifest| manifest.set_notes("new"));
        target.edit("", "vm/1/2026-01-02T10:00:00Z", |files| {
            files.insert(file.into(), Bytes::from_static(bytes));
        });
        sync(options(), &source, &target).await.0.unwrap();
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn a_snapshot_that_vanishes_before_its_turn_is_no_error_and_leaves_no_directory() {
    for removes_all in [true, false] {
        let (source, target) = (small_store(), MemoryTarget::new());
        let inner = Arc::downgrade(&source);
        let asked = AtomicUsize::new(0);
        source.set_file_fault(move |what, _| {
            if what.starts_with("open vm/1/2026-01-02") && asked.fetch_add(1, Ordering::SeqCst) == 0 {
                let source = inner.upgrade().unwrap();
                if removes_all {
                    source.remove("", "vm/1/2026-01-02T10:00:00Z");
                } else {
                    source.edit("", "vm/1/2026-01-02T10:00:00Z", |files| files.clear());
                }
            }
            None
        });
        let (result, log) = sync(options(), &source, &target).await;
        result.unwrap();
        assert_eq!(target.directories(), 2);
        assert!(log.contains(&"[vm/1]: 2026-01-02T10:00:00Z: skipped because vanished since start of sync".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_connections_are_repaired_within_the_run() {
    let (source, target) = (small_store(), MemoryTarget::new());
    let losses = AtomicUsize::new(0);
    source.set_chunk_fault(move |_, _| losses.fetch_add(1, Ordering::SeqCst).is_multiple_of(2).then(lost));
    let failures = AtomicUsize::new(0);
    source.set_file_fault(move |what, _| {
        (what != "namespaces" && failures.fetch_add(1, Ordering::SeqCst).is_multiple_of(3)).then(lost)
    });
    sync(options(), &source, &target).await.0.unwrap();
    assert_same(&source, &target);
}

#[tokio::test]
async fn a_full_target_fails_the_group_but_keeps_what_was_finished() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let archives = [
        ("a.img.fidx", Content::Chunks(&[1, 2, 3], LENGTH)),
        ("b.img.fidx", Content::Chunks(&[4, 5, 6, 7, 8, 9], LENGTH)),
    ];
    source.add("", "vm/1/2026-01-01T10:00:00Z", &archives);
    let store = target.store.clone();
    source.set_chunk_fault(move |_, count| {
        store.is_full.store(3 <= count, Ordering::SeqCst);
        None
    });
    let (result, _) = sync(options(), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert!(report.failures.first[0].ends_with("cannot store a chunk - no space left"), "{:?}", report.failures);
    assert_eq!((target.finished().len(), target.directories()), (0, 1));
    source.clear_faults();
    source.chunk_requests();
    target.store.is_full.store(false, Ordering::SeqCst);
    sync(options(), &source, &target).await.0.unwrap();
    assert_same(&source, &target);
    assert_eq!(source.chunk_requests(), 6);
}

#[tokio::test(start_paused = true)]
async fn noted_chunks_that_were_damaged_since_are_fetched_again() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let state = tempfile::tempdir().unwrap();
    let mut options = options();
    options.state_dir = Some(state.path().to_owned());
    let seeds: Vec<u64> = (100..140).collect();
    source.add("", "vm/1/2026-01-01T10:00:00Z", &[("b.img.fidx", Content::Chunks(&seeds, LENGTH))]);
    source.set_chunk_fault(|_, count| (20 <= count).then(lost));
    assert!(sync(options.clone(), &source, &target).await.0.is_err());
    {
        let mut chunks = target.store.chunks.lock().unwrap();
        let digests: Vec<_> = chunks.keys().copied().collect();
        chunks.remove(&digests[0]);
        // As after a power failure.
        chunks.insert(digests[1], Bytes::new());
    }
    source.clear_faults();
    source.chunk_requests();
    let _ = sync(options, &source, &target).await.0;
    assert_eq!(source.chunk_requests(), 22);
}

#[tokio::test]
async fn a_run_cancelled_anywhere_leaves_a_state_that_the_next_run_finishes() {
    for stop_after in 0..40 {
        let (source, target) = (small_store(), MemoryTarget::new());
        let cancel = CancellationToken::new();
        let steps = Arc::new(AtomicUsize::new(0));
        let (token, counter) = (cancel.clone(), steps.clone());
        let step = move || {
            if counter.fetch_add(1, Ordering::SeqCst) == stop_after {
                token.cancel();
            }
        };
        let other = step.clone();
        source.set_file_fault(move |_, _| {
            step();
            None
        });
        source.set_chunk_fault(move |_, _| {
            other();
            None
        });
        let (result, _) = sync_until(options(), &source, &target, cancel.clone()).await;
        assert_eq!(cancel.is_cancelled(), matches!(result, Err(SyncError::Cancelled)), "{stop_after}: {result:?}");
        let all = source.snapshots.lock().unwrap().clone();
        assert!(target.finished().iter().all(|(key, files)| all[key][MANIFEST_NAME] == files[MANIFEST_NAME]));
        assert!(target.groups.lock().unwrap().values().all(|g| !g.is_locked), "{stop_after}: locks are free");
        source.clear_faults();
        sync(options(), &source, &target).await.0.unwrap();
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn owner_lock_and_listing_errors_stay_with_their_group_or_namespace() {
    let (source, target) = (small_store(), MemoryTarget::new());
    source.add_namespace("a");
    source.add_namespace("a/b");
    source.add("a/b", "host/x/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(b"c"))]);
    source.set_file_fault(|what, _| (what == "groups a").then(|| SourceError::new(RequestFault::Refused, "ENOENT")));
    target.groups.lock().unwrap().entry((String::new(), "ct/1".parse().unwrap())).or_default().owner =
        Some("u1@pbs".parse().unwrap());
    target.groups.lock().unwrap().entry((String::new(), "vm/1".parse().unwrap())).or_default().is_locked = true;
    let (result, log) = sync(options(), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!(report.failures.count, 3);
    assert_eq!(target.finished().len(), 1);
    for line in [
        "[ct/1]: sync group ct/1 failed - owner check failed (root@pam != u1@pbs)",
        "[vm/1]: sync group vm/1 failed - group vm/1 is locked",
        "Created namespace a",
        "Encountered errors while syncing namespace a - failed to retrieve backup groups from the source - ENOENT",
        "Finished syncing namespace a/b, current progress: 3 groups, 1 snapshots",
    ] {
        assert!(log.contains(&line.to_owned()), "{line}\n{}", log.join("\n"));
    }
    let text = SyncError::SomeFailed(report).to_string();
    assert!(text.starts_with("sync failed with some errors. (ct/1: owner check failed"), "{text}");
}

#[tokio::test]
async fn namespaces_are_mapped_and_limited() {
    let source = MemorySource::new();
    for at in ["a", "a/b", "a/b/c", "x"] {
        source.add_namespace(at);
        source.add(at, "host/small/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(at.as_bytes()))]);
    }
    let (source, target) = (Arc::new(source), MemoryTarget::new());
    let mut options = options();
    (options.source_anchor, options.target_anchor, options.max_depth) = (ns("a"), ns("t"), Some(1));
    sync(options, &source, &target).await.0.unwrap();
    let found: Vec<_> = target.finished().keys().map(|(at, _)| at.clone()).collect();
    assert_eq!(found, ["t", "t/b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_and_sessions_copy_the_same_and_keep_their_bounds() {
    let source = MemorySource::new();
    for (position, at) in ["", "a", "b"].into_iter().enumerate() {
        if !at.is_empty() {
            source.add_namespace(at);
        }
        for group in 0..4u64 {
            for day in 1..=3u64 {
                // No group has a chunk of another.
                let first = (position as u64 * 4 + group) * 1000 + day * 20;
                let seeds: Vec<u64> = (first..first + 300).collect();
                let what = format!("vm/{group}/2026-01-0{day}T10:00:00Z");
                source.add(at, &what, &[("data.pxar.didx", Content::Chunks(&seeds, 1024))]);
            }
        }
    }
    let (source, target) = (Arc::new(source), MemoryTarget::new());
    let mut options = options();
    options.worker_threads = 4;
    options.sessions_per_archive = 3;
    let (report, log) = sync(options, &source, &target).await;
    assert_eq!(report.unwrap().groups, 12);
    assert_same(&source, &target);
    assert_eq!(source.chunk_requests(), 12 * 340, "each digest once per group");
    // For each worker one session and one being closed; for the run two additional ones, eight ahead within groups, and
    // sixteen ahead of their groups' turns.
    let most = source.counts.most_open.load(Ordering::SeqCst);
    assert!(most <= 4 * 2 + 2 + 8 + 16, "{most}");
    let rules: Vec<_> = log.iter().filter(|l| *l == "----").collect();
    assert_eq!(rules.len(), 3);
    assert!(log.iter().any(|l| l.contains("group sync done: percentage done: 100.00% (4/4 groups)")));
}

#[tokio::test]
async fn many_unfinished_snapshots_are_counted_and_only_some_are_named() {
    let (source, target) = (MemorySource::new(), MemoryTarget::new());
    for day in 1..=28 {
        let what = format!("vm/1/2026-01-{day:02}T10:00:00Z");
        source.add("", &what, &[("conf.blob", Content::Blob(b"a"))]);
        source.edit("", &what, |files| {
            files.remove(MANIFEST_NAME);
        });
    }
    let (report, log) = sync(options(), &Arc::new(source), &target).await;
    report.unwrap();
    let about_them: Vec<_> = log.iter().filter(|line| line.contains("in-progress")).collect();
    assert_eq!(about_them.len(), 21, "{log:?}");
    assert!(about_them[20].contains("skipping 8 more snapshot(s) of vm/1"), "{}", about_them[20]);
}

#[tokio::test]
async fn one_digest_with_two_lengths_is_refused() {
    use farhold_format::index::DynamicIndexBuilder;
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    const WHAT: &str = "host/x/2026-01-01T10:00:00Z";
    source.add("", WHAT, &[("data.pxar.didx", Content::Chunks(&[1], LENGTH))]);
    let digest = *source.chunks.lock().unwrap().keys().next().unwrap();
    let mut index = DynamicIndexBuilder::new([1; 16], farhold_types::Epoch(1));
    index.push(4096, digest).unwrap();
    index.push(4100, digest).unwrap();
    let index = index.finish().unwrap();
    source.edit_manifest("", WHAT, |m| {
        (m.files[0].checksum, m.files[0].size_bytes) = (index.checksum(), index.size_bytes());
    });
    source.edit("", WHAT, |files| {
        files.insert("data.pxar.didx".into(), index.as_bytes().clone());
    });
    let (result, _) = sync(options(), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert!(report.failures.first[0].contains("bytes instead of"), "{:?}", report.failures);
    assert_eq!(source.chunk_requests(), 0);
}
