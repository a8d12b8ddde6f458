//! Chunks that are missing or bad.

use std::fs;
use std::sync::atomic::Ordering;

use farhold_crypto::sha256;
use farhold_sync::RequestFault;
use farhold_sync::SourceError;
use farhold_sync::repair::{RepairError, RepairEvent, RepairOptions, RepairReach, RepairReport};
use farhold_types::{Digest, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, ONE, TWO, flip, repair_options};
use crate::encrypted::add_encrypted;
use crate::support::{Content, content, encode, lost};

const LENGTH: usize = 64 << 10;

fn digest(seed: u64) -> Digest {
    sha256(&content(seed, LENGTH))
}

fn image(seeds: &[u64]) -> [(&str, Content<'_>); 2] {
    [("qemu-server.conf.blob", Content::Blob(b"conf")), ("drive.img.fidx", Content::Chunks(seeds, LENGTH))]
}

/// Two snapshots that share chunks 2 and 3, on both sides.
async fn shared() -> Bench {
    let bench = Bench::new();
    bench.source.add("", ONE, &image(&[1, 2, 3]));
    bench.source.add("", TWO, &image(&[2, 3, 4]));
    bench.pull().await;
    bench
}

#[tokio::test]
async fn only_what_is_missing_or_bad_is_fetched_and_all_snapshots_are_whole_again() {
    let mut bench = shared().await;
    fs::remove_file(bench.chunk(&digest(2))).unwrap();
    flip(&bench.chunk(&digest(4)));
    bench.mark_failed(ONE);
    bench.mark_failed(TWO);
    let report = bench.repair().await;
    let RepairReport { snapshots, examined, damaged, mended, chunks, files, unmended, .. } = report;
    // With the newer one the older one is whole again, too.
    assert_eq!((snapshots, examined, damaged, mended), (2, 2, 1, 1), "{:#?}", bench.told);
    assert_eq!((chunks, files, unmended), (2, 0, Vec::new()));
    assert_eq!(bench.source.chunk_requests(), 2);
    assert!(bench.is_ok(ONE) && bench.is_ok(TWO));
    assert!(fs::exists(bench.chunk(&digest(4)).with_extension("0.bad")).unwrap(), "the bad one is kept aside");
    assert_eq!(fs::read(bench.chunk(&digest(2))).unwrap(), encode(&content(2, LENGTH)));

    // A second run finds nothing to look at and asks the source for nothing.
    let before = bench.source.counts.files.load(Ordering::SeqCst);
    let again = bench.repair().await;
    assert_eq!((again.snapshots, again.examined), (2, 0));
    assert_eq!(bench.source.counts.files.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_chunk_that_was_set_aside_is_found_although_no_state_says_so() {
    let mut bench = shared().await;
    let chunk = bench.chunk(&digest(3));
    fs::rename(&chunk, chunk.with_extension("0.bad")).unwrap();
    let report = bench.repair().await;
    assert_eq!((report.examined, report.mended, report.chunks), (2, 1, 1), "the second finds it mended");
    assert!(bench.is_ok(ONE) && bench.is_ok(TWO));
}

#[tokio::test]
async fn damage_that_nobody_knows_of_is_found_by_verifying_everything() {
    let mut bench = shared().await;
    flip(&bench.chunk(&digest(1)));
    assert_eq!(bench.repair().await.examined, 0);
    let everything = RepairOptions { reach: RepairReach::Everything, ..repair_options() };
    let report = bench.run(everything).await.unwrap();
    assert_eq!((report.examined, report.damaged, report.mended, report.chunks), (2, 1, 1, 1));
    assert!(bench.is_ok(ONE) && bench.is_ok(TWO));
}

#[tokio::test]
async fn a_dry_run_says_what_would_come_and_changes_nothing() {
    let mut bench = shared().await;
    flip(&bench.chunk(&digest(1)));
    fs::remove_file(bench.chunk(&digest(3))).unwrap();
    bench.mark_failed(ONE);
    let before = bench.content();
    let report = bench.run(RepairOptions { is_dry: true, ..repair_options() }).await.unwrap();
    assert_eq!((report.damaged, report.mended, report.chunks), (1, 1, 2), "{:#?}", bench.told);
    assert_eq!(bench.source.chunk_requests(), 0);
    assert_eq!(bench.content(), before);
}

#[tokio::test]
async fn chunks_are_found_in_other_snapshots_and_groups_of_the_source() {
    let mut bench = shared().await;
    bench.source.add("", "ct/9/2026-01-05T10:00:00Z", &[("root.pxar.didx", Content::Chunks(&[7, 1], LENGTH))]);
    bench.source.remove("", ONE);
    fs::remove_file(bench.chunk(&digest(1))).unwrap();
    fs::remove_file(bench.chunk(&digest(2))).unwrap();
    bench.mark_failed(ONE);
    let report = bench.repair().await;
    assert_eq!((report.mended, report.chunks), (1, 2), "{:#?}", bench.told);
    assert!(bench.is_ok(ONE));
    assert!(bench.has_told("NoCopy"));
}

/// Once such a snapshot was told to be still damaged: the chunk had come with the older one, whose copy the search does
/// not open again, so it was thought to be missing.
#[tokio::test]
async fn a_chunk_that_came_with_an_older_snapshot_mends_the_newer_one_that_has_no_copy() {
    let mut bench = shared().await;
    bench.source.remove("", TWO);
    fs::remove_file(bench.chunk(&digest(2))).unwrap();
    for is_dry in [true, false] {
        bench.mark_failed(ONE);
        bench.mark_failed(TWO);
        let report = bench.run(RepairOptions { is_dry, ..repair_options() }).await.unwrap();
        assert_eq!((report.damaged, report.mended, report.chunks), (2, 2, 1), "{is_dry}: {:#?}", bench.told);
        assert_eq!(report.unmended, Vec::new());
    }
    assert!(bench.is_ok(ONE) && bench.is_ok(TWO));
}

#[tokio::test]
async fn a_chunk_that_is_bad_again_when_it_has_just_come_is_told_as_a_failing_disk() {
    let mut bench = shared().await;
    let chunk = bench.chunk(&digest(1));
    flip(&chunk);
    bench.mark_failed(ONE);
    bench.hook = Some(std::sync::Arc::new(move |event| {
        if matches!(event, RepairEvent::Chunks { .. }) {
            flip(&chunk);
        }
    }));
    let report = bench.repair().await;
    assert_eq!((report.mended, report.chunks, report.unmended.len()), (0, 1, 1));
    let why = &report.unmended[0].why;
    assert!(why.starts_with("1 chunk(s) that were just mended are bad again, the disk may be failing"), "{why}");
    // One that goes bad in another run is just mended again.
    bench.hook = None;
    assert_eq!(bench.repair().await.mended, 1);
    assert!(bench.is_ok(ONE));
}

#[tokio::test]
async fn what_nobody_has_is_reported_and_the_rest_is_mended() {
    let mut bench = shared().await;
    for seed in [1, 4] {
        fs::remove_file(bench.chunk(&digest(seed))).unwrap();
    }
    bench.source.chunks.lock().unwrap().remove(&digest(4));
    bench.mark_failed(ONE);
    bench.mark_failed(TWO);
    let report = bench.repair().await;
    assert_eq!((report.damaged, report.mended, report.chunks), (2, 1, 1));
    assert_eq!(report.unmended.len(), 1);
    let unmended = &report.unmended[0];
    assert_eq!(unmended.what, TWO);
    assert!(unmended.why.contains("drive.img.fidx: 1 chunk(s) are missing or bad"), "{}", unmended.why);
    assert!(bench.has_told("no such chunk") && bench.is_ok(ONE));
    assert_eq!(bench.state(TWO).unwrap().0, VerifyState::Failed);
}

#[tokio::test]
async fn a_chunk_with_other_content_is_refused() {
    let mut bench = shared().await;
    flip(&bench.chunk(&digest(1)));
    bench.source.chunks.lock().unwrap().insert(digest(1), encode(&content(99, LENGTH)));
    bench.mark_failed(ONE);
    let report = bench.repair().await;
    assert_eq!((report.mended, report.chunks, report.unmended.len()), (0, 0, 1));
    assert!(bench.has_told("what came is bad"), "{:#?}", bench.told);
    assert!(!fs::exists(bench.chunk(&digest(1))).unwrap());
}

#[tokio::test]
async fn a_chunk_that_is_whole_is_never_replaced() {
    let mut bench = shared().await;
    bench.mark_failed(ONE);
    let report = bench.repair().await;
    assert_eq!((report.examined, report.damaged), (1, 0));
    assert_eq!(bench.source.chunk_requests(), 0);
    assert!(bench.is_ok(ONE), "the state was wrong and is right now");
}

#[tokio::test]
async fn encrypted_chunks_count_by_their_checksum_and_by_the_entry_of_an_index() {
    let mut bench = Bench::new();
    add_encrypted(&bench.source, ONE, 1, &[1, 2]);
    bench.pull().await;
    let all: Vec<Digest> = bench.source.chunks.lock().unwrap().keys().copied().collect();
    let is_here = |bench: &Bench, digest: &Digest| fs::exists(bench.chunk(digest)).unwrap();
    let stored: Vec<Digest> = all.into_iter().filter(|digest| is_here(&bench, digest)).collect();
    let good = bench.source.chunks.lock().unwrap()[&stored[0]].clone();
    flip(&bench.chunk(&stored[0]));
    bench.mark_failed(ONE);
    // In the clear it would be another chunk, with a broken container none at all.
    let mut broken = good.to_vec();
    *broken.last_mut().unwrap() ^= 1;
    for bad in [encode(&content(1, 64 << 10)), broken.into()] {
        bench.source.chunks.lock().unwrap().insert(stored[0], bad);
        let report = bench.repair().await;
        assert_eq!((report.mended, report.chunks), (0, 0), "{:#?}", bench.told);
    }
    bench.source.chunks.lock().unwrap().insert(stored[0], good);
    let report = bench.repair().await;
    assert_eq!((report.mended, report.chunks), (1, 1), "{:#?}", bench.told);
    assert!(bench.is_ok(ONE));
}

#[tokio::test(start_paused = true)]
async fn a_broken_line_is_survived() {
    let mut bench = shared().await;
    for seed in [1, 2, 3] {
        fs::remove_file(bench.chunk(&digest(seed))).unwrap();
    }
    bench.mark_failed(ONE);
    bench.source.set_chunk_fault(|_, count| (count % 3 != 2).then(lost));
    let report = bench.repair().await;
    assert_eq!((report.mended, report.chunks), (1, 3), "{:#?}", bench.told);
    assert!(bench.has_told("Retry") && 1 < bench.source.counts.opened.load(Ordering::SeqCst));
    assert!(bench.is_ok(ONE));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_away_leaves_everything_as_it_was() {
    let mut bench = shared().await;
    fs::remove_file(bench.chunk(&digest(1))).unwrap();
    bench.mark_failed(ONE);
    bench.source.set_file_fault(|_, _| Some(lost()));
    let report = bench.repair().await;
    assert_eq!((report.mended, report.unmended.len()), (0, 1));
    assert!(report.unmended[0].why.contains("connection reset"), "{:?}", report.unmended);
}

#[tokio::test]
async fn a_refusal_of_the_source_is_told_with_its_words() {
    let mut bench = shared().await;
    fs::remove_file(bench.chunk(&digest(1))).unwrap();
    bench.mark_failed(ONE);
    bench.source.set_file_fault(|what, _| {
        what.starts_with("open").then(|| SourceError::new(RequestFault::Refused, "missing Datastore.Read"))
    });
    let report = bench.repair().await;
    assert!(report.unmended[0].why.contains("missing Datastore.Read"), "{:?}", report.unmended);
}

#[tokio::test]
async fn a_stopped_run_keeps_what_was_mended() {
    let mut bench = shared().await;
    fs::remove_file(bench.chunk(&digest(1))).unwrap();
    bench.mark_failed(ONE);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    bench.source.set_file_fault(move |what, _| {
        if what == "drive.img.fidx" {
            stop.cancel();
        }
        None
    });
    let outcome = bench.run_until(repair_options(), cancel).await;
    assert!(matches!(outcome, Err(RepairError::Cancelled)), "{outcome:?}");
    bench.source.clear_faults();
    assert_eq!(bench.repair().await.mended, 1);
}

#[tokio::test]
async fn namespaces_are_mapped_and_the_depth_is_kept_to() {
    let mut bench = Bench::new();
    for at in ["site", "site/a"] {
        bench.source.add_namespace(at);
        bench.source.add(at, ONE, &image(&[1]));
    }
    let store = bench.store.clone();
    for at in ["x", "x/a"] {
        store.create_namespace(&at.parse().unwrap()).unwrap();
    }
    let source = std::sync::Arc::new(crate::support::Shared(bench.source.clone()));
    let target = std::sync::Arc::new(farhold_sync::LocalTarget::open(store).unwrap());
    let options = farhold_sync::SyncOptions {
        source_anchor: "site".parse().unwrap(),
        target_anchor: "x".parse().unwrap(),
        ..crate::support::options()
    };
    let (rights, log) = (std::sync::Arc::new(farhold_sync::Unrestricted), crate::support::Log::new(1));
    farhold_sync::run(options, source, target, rights, log, CancellationToken::new()).await.unwrap();
    fs::remove_file(bench.chunk(&digest(1))).unwrap();
    let options = |max_depth, anchor: &str, source_anchor: &str| RepairOptions {
        reach: RepairReach::Everything,
        anchor: anchor.parse().unwrap(),
        source_anchor: source_anchor.parse().unwrap(),
        max_depth,
        ..repair_options()
    };
    let elsewhere = bench.run(options(None, "x", "other")).await.unwrap();
    assert_eq!((elsewhere.damaged, elsewhere.mended), (2, 0));
    let report = bench.run(options(Some(0), "x", "site")).await.unwrap();
    assert_eq!((report.snapshots, report.mended), (1, 1), "{:#?}", bench.told);
}
