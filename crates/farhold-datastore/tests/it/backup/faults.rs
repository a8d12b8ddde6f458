//! Kills and full disks at every step of a session.

use std::io;
use std::sync::Arc;

use farhold_datastore::Datastore;
use farhold_datastore::backup::{BackupKind, UploadStatistics};
use farhold_storage::{Fault, FaultKind, FaultyStorage, Operation};
use farhold_types::{Snapshot, SyncLevel};

use super::{Bench, authid, fill, first, second};
use crate::support::{check_whole, options, root, sample, snapshot};

const LEVELS: [SyncLevel; 3] = [SyncLevel::None, SyncLevel::File, SyncLevel::Filesystem];

fn faulty(bench: &Bench, level: SyncLevel, fault: Option<Fault>) -> (FaultyStorage, Datastore) {
    let faulty = FaultyStorage::new(Arc::new(bench.memory.clone()), fault.into_iter().collect());
    let mut options = options(Arc::new(faulty.clone()), bench.locks.path());
    options.sync_level = level;
    (faulty, Datastore::open(options).expect("valid"))
}

/// A session from begin to end; removed if it fails.
fn back_up(store: &Datastore, snapshot: &Snapshot) -> Result<(), Box<dyn std::error::Error>> {
    let writer = store.begin_backup(&root(), snapshot, &authid("sync@pbs!t1"), BackupKind::Normal)?;
    let sample = sample(snapshot, b"other content");
    fill(&writer, &sample)?;
    let fixed = writer.create_fixed(&"disk.img.fidx".parse()?, Some(1), None)?;
    fixed.set(0, &sample.chunk.0)?;
    fixed.finish(&farhold_crypto::sha256(sample.chunk.0.as_bytes()))?;
    drop(fixed);
    writer.finish(&UploadStatistics::default())?;
    Ok(())
}

/// Whether the snapshot is finished; then it is whole.
fn is_finished(bench: &Bench, snapshot: &Snapshot) -> bool {
    let Ok(info) = bench.store.snapshot_info(&root(), snapshot) else { return false };
    if info.has_manifest {
        check_whole(&bench.store, &root(), snapshot);
        let (manifest, _) = bench.store.read_manifest(&root(), snapshot).expect("valid");
        assert!(manifest.unprotected.contains_key("chunk_upload_stats"));
    }
    info.has_manifest
}

fn cases() -> [Snapshot; 2] {
    // In a group with a base, and in a group of its own.
    [second(), snapshot("ct/7/2026-01-02T10:00:00Z")]
}

#[test]
fn a_kill_at_any_step_leaves_a_whole_backup_or_an_unfinished_one() {
    for (level, target) in LEVELS.into_iter().zip(cases().into_iter().cycle()) {
        let mut stops = 0;
        loop {
            let bench = Bench::new();
            bench.back_up(&first());
            let crash = Fault { operation: None, after: stops, kind: FaultKind::Crash };
            let (faulty, store) = faulty(&bench, level, Some(crash));
            let outcome = back_up(&store, &target);
            drop(store);
            check_whole(&bench.store, &root(), &first());
            if faulty.hit_count() == 0 {
                outcome.unwrap();
                assert!(is_finished(&bench, &target));
                break;
            }
            stops += 1;
            assert!(is_finished(&bench, &target) || outcome.is_err(), "a reported success must be there, stop {stops}");
            // The next time works, whatever was left.
            let next = target.group.at(farhold_types::Epoch(target.time.0 + 1));
            let (_, store) = self::faulty(&bench, level, None);
            back_up(&store, &next).unwrap();
            assert!(is_finished(&bench, &next));
            // And what was left can be removed.
            store.remove_group(&root(), &target.group).unwrap();
        }
        assert!(12 < stops, "{stops}");
    }
}

#[test]
fn without_space_at_any_step_the_error_says_so_and_the_backup_is_gone() {
    for (level, target) in LEVELS.into_iter().zip(cases().into_iter().cycle()) {
        let mut failures = 0;
        loop {
            let bench = Bench::new();
            bench.back_up(&first());
            let before = bench.paths();
            let kind = FaultKind::Error(io::ErrorKind::StorageFull);
            let (faulty, store) = faulty(&bench, level, Some(Fault { operation: None, after: failures, kind }));
            let outcome = back_up(&store, &target);
            drop(store);
            check_whole(&bench.store, &root(), &first());
            if faulty.hit_count() == 0 {
                outcome.unwrap();
                break;
            }
            failures += 1;
            let Err(error) = outcome else {
                // A fault in what nobody needs, e.g. removing the staging folder.
                assert!(is_finished(&bench, &target));
                continue;
            };
            let chain = format!("{error}: {:?}", error.source().map(ToString::to_string));
            assert!(chain.contains("not enough space"), "{chain}");
            assert!(!is_finished(&bench, &target), "failure {failures}");
            assert!(bench.is_free(&root(), &target));
            let without_chunks = |paths: Vec<String>| -> Vec<String> {
                paths.into_iter().filter(|p| !p.starts_with(".chunks")).collect()
            };
            let mut left = without_chunks(bench.paths());
            left.retain(|path| path != "ct/");
            assert_eq!(left, without_chunks(before), "failure {failures}");
            // At the same time again: nothing is in the way.
            let (_, store) = self::faulty(&bench, level, None);
            back_up(&store, &target).unwrap();
        }
        assert!(12 < failures, "{failures}");
    }
}

#[test]
fn a_benchmark_that_cannot_be_removed_at_once_is_removed_later() {
    let run = snapshot("host/benchmark/2026-01-01T10:00:00Z");
    let kind = FaultKind::Error(io::ErrorKind::PermissionDenied);
    let mut finished_count = 0;
    for after in 0.. {
        let bench = Bench::new();
        let (faulty, store) = faulty(&bench, SyncLevel::None, None);
        let writer = store.begin_backup(&root(), &run, &authid("joe@pbs"), BackupKind::Benchmark).unwrap();
        fill(&writer, &sample(&run, b"content")).unwrap();
        faulty.plan(Fault { operation: None, after, kind });
        let outcome = writer.finish(&UploadStatistics::default());
        finished_count += usize::from(is_finished(&bench, &run));
        if faulty.hit_count() == 0 {
            outcome.unwrap();
            break;
        }
        writer.discard().unwrap();
        assert!(bench.is_free(&root(), &run), "{after}: {outcome:?}");
        assert!(!bench.paths().iter().any(|path| path.starts_with("host/benchmark/")), "{after}: {outcome:?}");
    }
    assert!(0 < finished_count);
}

#[test]
fn a_failed_flush_is_the_failure_of_every_session_that_wrote_before_it() {
    let bench = Bench::new();
    let (faulty, store) = faulty(&bench, SyncLevel::Filesystem, None);
    let begin = |text: &str| {
        let snapshot = snapshot(text);
        let writer = store.begin_backup(&root(), &snapshot, &authid("sync@pbs!t1"), BackupKind::Normal).unwrap();
        fill(&writer, &sample(&snapshot, text.as_bytes())).unwrap();
        (writer, snapshot)
    };
    let (one, other) = (begin("vm/1/2026-01-01T10:00:00Z"), begin("vm/2/2026-01-01T10:00:00Z"));
    faulty.plan(Fault { operation: Some(Operation::SyncAll), after: 0, kind: FaultKind::Error(io::ErrorKind::Other) });
    // The system tells it once, to whoever comes first.
    for (writer, snapshot) in [one, other] {
        writer.finish(&UploadStatistics::default()).unwrap_err();
        drop(writer);
        assert!(!is_finished(&bench, &snapshot), "{snapshot}");
    }
    let (writer, snapshot) = begin("vm/2/2026-01-02T10:00:00Z");
    writer.finish(&UploadStatistics::default()).unwrap();
    assert!(is_finished(&bench, &snapshot));
}
