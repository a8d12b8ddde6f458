//! How sessions end, and that they leave each other alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farhold_datastore::Datastore;
use farhold_datastore::backup::{BackupError, BackupKind, UploadStatistics};
use farhold_storage::{Durability, FaultyStorage, Operation, Staging, Storage};
use farhold_types::{ArchiveName, Namespace, SyncLevel};

use super::{Bench, authid, digest, fill, first, second};
use crate::support::{INDEX, check_whole, local_options, memory, options, root, sample, snapshot};

fn manifest_name() -> ArchiveName {
    ArchiveName::manifest()
}

#[test]
fn a_finished_backup_is_whole_has_its_statistics_and_frees_everything() {
    let bench = Bench::new();
    bench.back_up(&first());
    let writer = bench.begin(&second()).unwrap();
    let sample = sample(&second(), b"other content");
    fill(&writer, &sample).unwrap();
    assert!(!bench.store.snapshot_info(&root(), &second()).unwrap().has_manifest, "only the end makes it finished");
    let statistics = UploadStatistics { count: 3, size_bytes: 500, compressed_bytes: 200, duplicates: 1 };
    writer.finish(&statistics).unwrap();
    assert!(bench.is_free(&root(), &second()));
    assert!(bench.store.lock_snapshot(&root(), &first()).is_ok());
    check_whole(&bench.store, &root(), &second());
    let (manifest, _) = bench.store.read_manifest(&root(), &second()).unwrap();
    let expected = serde_json::json!({ "count": 3, "size": 500, "compressed_size": 200, "duplicates": 1 });
    assert_eq!(manifest.unprotected["chunk_upload_stats"], expected);
    assert!(manifest.has_same_protected_content(&sample.parsed));
    let files: Vec<String> = bench.paths().into_iter().filter(|path| path.contains("2026-01-02")).collect();
    let expected = ["", "a.conf.blob", "index.json.blob", "root.pxar.didx"];
    assert_eq!(files, expected.map(|name| format!("vm/100/2026-01-02T10:00:00Z/{name}")));
    // The end is the end.
    for outcome in [
        writer.finish(&statistics),
        writer.put_blob(&"a.conf.blob".parse().unwrap(), &sample.blob),
        writer.insert_chunk(&sample.chunk.0, &sample.chunk.1).map(|_| ()),
        writer.create_dynamic(&"b.didx".parse().unwrap()).map(|_| ()),
        writer.create_fixed(&"b.fidx".parse().unwrap(), Some(1), None).map(|_| ()),
        writer.scratch_file().map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(BackupError::Ended)));
    }
    writer.discard().unwrap();
    drop(writer);
    check_whole(&bench.store, &root(), &second());
    // The next one may start at once.
    bench.back_up(&snapshot("vm/100/2026-01-03T10:00:00Z"));
}

#[test]
fn a_backup_that_is_not_finished_goes_with_its_group_and_its_locks() {
    let bench = Bench::new();
    let before = bench.paths();
    for end in 0..3 {
        let writer = bench.begin(&first()).unwrap();
        fill(&writer, &sample(&first(), b"content")).unwrap();
        let open = writer.create_fixed(&"open.fidx".parse().unwrap(), Some(1), None).unwrap();
        match end {
            0 => drop(writer),
            1 => {
                writer.discard().unwrap();
                writer.discard().unwrap();
            }
            _ => std::thread::spawn(move || drop(writer)).join().unwrap(),
        }
        assert!(bench.is_free(&root(), &first()));
        assert!(matches!(open.finish(&digest(0)), Err(BackupError::Checksum { .. } | BackupError::Ended)));
        let after: Vec<String> = bench.paths().into_iter().filter(|path| !path.starts_with(".chunks")).collect();
        let expected: Vec<String> = before.iter().filter(|path| !path.starts_with(".chunks")).cloned().collect();
        assert_eq!(after, [expected, vec!["vm/".to_owned()]].concat());
    }
    // Where something else lies in the group, it stays.
    bench.back_up(&first());
    drop(bench.begin(&second()).unwrap());
    assert_eq!(bench.store.snapshots(&root(), &first().group).unwrap().len(), 1);
}

#[test]
fn what_outlives_its_session_does_not_touch_the_next_one() {
    let bench = Bench::new();
    let old = bench.begin(&first()).unwrap();
    let stale = old.create_dynamic(&INDEX.parse().unwrap()).unwrap();
    stale.push(5, &digest(1)).unwrap();
    old.discard().unwrap();
    let writer = bench.begin(&first()).unwrap();
    let sample = sample(&first(), b"content");
    let index = writer.create_dynamic(&INDEX.parse().unwrap()).unwrap();
    // Both have the same temporary name.
    assert!(stale.finish(&digest(0)).is_err());
    drop(stale);
    index.push(sample.parsed.files[0].size_bytes, &sample.chunk.0).unwrap();
    index.finish(&sample.parsed.files[0].checksum).unwrap();
    drop(old);
    fill(&writer, &sample).unwrap();
    writer.finish(&UploadStatistics::default()).unwrap();
    check_whole(&bench.store, &root(), &first());
}

#[test]
fn without_a_usable_manifest_a_backup_cannot_finish_and_can_only_be_removed() {
    use farhold_format::blob::{BlobEncoder, Compression};
    let plain = |text: &[u8]| BlobEncoder::new().encode(text, Compression::Off, None).unwrap();
    let encrypted = crate::support::container(farhold_format::blob::BlobKind::Encrypted, 60, 1);
    for manifest in [None, Some(plain(b"{}")), Some(plain(b"no json")), Some(encrypted)] {
        let bench = Bench::new();
        bench.back_up(&first());
        let writer = bench.begin(&second()).unwrap();
        fill(&writer, &sample(&second(), b"content")).unwrap();
        match &manifest {
            Some(blob) => writer.put_blob(&manifest_name(), blob).unwrap(),
            None => bench.memory.remove_file(&"vm/100/2026-01-02T10:00:00Z/index.json.tmp".parse().unwrap()).unwrap(),
        }
        let error = writer.finish(&UploadStatistics::default()).unwrap_err();
        assert_eq!(manifest.is_none(), matches!(error, BackupError::ManifestMissing), "{error}");
        assert!(matches!(writer.finish(&UploadStatistics::default()), Err(BackupError::Ended)));
        assert!(matches!(writer.put_blob(&manifest_name(), &plain(b"{}")), Err(BackupError::Ended)));
        // The base is free already, the group and the snapshot are not.
        assert!(bench.store.lock_snapshot(&root(), &first()).is_ok());
        assert!(bench.store.oldest_writer().is_none() && !bench.is_free(&root(), &second()));
        assert!(!bench.store.snapshot_info(&root(), &second()).unwrap().has_manifest);
        drop(writer);
        assert!(bench.is_free(&root(), &second()));
        assert_eq!(bench.store.snapshots(&root(), &first().group).unwrap().len(), 1);
    }
}

#[test]
fn a_base_that_vanished_can_come_back() {
    let bench = Bench::new();
    bench.back_up(&first());
    let writer = bench.begin(&second()).unwrap();
    fill(&writer, &sample(&second(), b"content")).unwrap();
    let (here, away) = ("vm/100/2026-01-01T10:00:00Z".parse().unwrap(), "away".parse().unwrap());
    bench.memory.rename(&here, &away).unwrap();
    let error = writer.finish(&UploadStatistics::default()).unwrap_err();
    assert!(matches!(error, BackupError::BaseVanished { .. }), "{error}");
    assert!(bench.store.oldest_writer().is_some());
    bench.memory.rename(&away, &here).unwrap();
    writer.finish(&UploadStatistics::default()).unwrap();
    check_whole(&bench.store, &root(), &second());
}

#[test]
fn a_benchmark_leaves_nothing_whether_it_finishes_or_not() {
    let run = snapshot("host/benchmark/2026-01-01T10:00:00Z");
    for finishes in [true, false] {
        let bench = Bench::new();
        let writer = bench.store.begin_backup(&root(), &run, &authid("joe@pbs"), BackupKind::Benchmark).unwrap();
        fill(&writer, &sample(&run, b"content")).unwrap();
        if finishes {
            writer.finish(&UploadStatistics::default()).unwrap();
            assert!(bench.is_free(&root(), &run));
        }
        drop(writer);
        assert!(!bench.paths().iter().any(|path| path.starts_with("host/benchmark")));
    }
}

#[test]
fn sessions_of_different_groups_do_not_meet_and_of_one_group_exclude_each_other() {
    let bench = Bench::new();
    let namespace: Namespace = "a".parse().unwrap();
    bench.store.create_namespace(&namespace).unwrap();
    let caller = authid("sync@pbs!t1");
    let begin = |namespace: &Namespace, snapshot: &str| {
        bench.store.begin_backup(namespace, &crate::support::snapshot(snapshot), &caller, BackupKind::Normal)
    };
    let one = begin(&root(), "vm/100/2026-01-01T10:00:00Z").unwrap();
    let two = begin(&namespace, "vm/100/2026-01-01T10:00:00Z").unwrap();
    let three = begin(&root(), "ct/100/2026-01-01T10:00:00Z").unwrap();
    assert!(begin(&root(), "vm/100/2026-01-02T10:00:00Z").is_err());
    for writer in [&one, &two, &three] {
        fill(writer, &sample(writer.snapshot(), b"shared content")).unwrap();
    }
    one.finish(&UploadStatistics::default()).unwrap();
    drop(two);
    three.finish(&UploadStatistics::default()).unwrap();
    check_whole(&bench.store, &root(), one.snapshot());
    check_whole(&bench.store, &root(), three.snapshot());
    assert!(bench.store.groups(&namespace).unwrap().is_empty());
}

#[test]
fn everything_is_flushed_before_the_manifest_appears_and_after() {
    for (level, flushes) in [(SyncLevel::None, 0), (SyncLevel::File, 0), (SyncLevel::Filesystem, 2)] {
        let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
        let faulty = FaultyStorage::new(Arc::new(memory), Vec::new());
        let mut options = options(Arc::new(faulty.clone()), locks.path());
        options.sync_level = level;
        let store = farhold_datastore::Datastore::open(options).unwrap();
        let writer = store.begin_backup(&root(), &first(), &authid("joe@pbs"), BackupKind::Normal).unwrap();
        fill(&writer, &sample(&first(), b"content")).unwrap();
        writer.finish(&UploadStatistics::default()).unwrap();
        assert_eq!(faulty.call_count(Operation::SyncAll), flushes, "{level:?}");
        let calls = faulty.calls();
        let last = |operation, name: &str| {
            calls.iter().rposition(|(called, path)| *called == operation && path.as_str().ends_with(name))
        };
        let appears = last(Operation::Rename, "index.json.tmp").unwrap();
        match level {
            SyncLevel::Filesystem => {
                let first_flush = calls.iter().position(|(called, _)| *called == Operation::SyncAll).unwrap();
                assert!(last(Operation::WriteAtomic, "").unwrap() < first_flush);
                assert!(last(Operation::WriteAt, "").unwrap() < first_flush);
                assert!(first_flush < appears && appears < last(Operation::SyncAll, "").unwrap());
            }
            SyncLevel::File => {
                assert!(last(Operation::SyncFile, INDEX).unwrap() < appears);
                assert!(appears < last(Operation::SyncFile, "index.json.blob").unwrap());
            }
            SyncLevel::None => assert_eq!(faulty.call_count(Operation::SyncFile), 0),
        }
    }
}

#[test]
fn left_overs_in_the_directory_do_not_stay_in_a_finished_backup() {
    let bench = Bench::new();
    let writer = bench.begin(&first()).unwrap();
    fill(&writer, &sample(&first(), b"content")).unwrap();
    let never_closed = writer.create_dynamic(&"x.didx".parse().unwrap()).unwrap();
    let path = "vm/100/2026-01-01T10:00:00Z/index.json.tmp_Ab3xYz".parse().unwrap();
    bench.memory.write_atomic(&path, b"half", Durability::Cached, Staging::Beside).unwrap();
    writer.finish(&UploadStatistics::default()).unwrap();
    drop(never_closed);
    assert!(!bench.paths().iter().any(|path| path.contains("tmp")), "{:?}", bench.paths());
}

#[test]
fn uploads_that_race_with_the_end_are_stored_or_refused() {
    for _ in 0..20 {
        let bench = Bench::new();
        let writer = bench.begin(&first()).unwrap();
        fill(&writer, &sample(&first(), b"content")).unwrap();
        std::thread::scope(|scope| {
            for number in 0..4u8 {
                let (writer, store) = (&writer, &bench.store);
                scope.spawn(move || {
                    for round in 0..10u8 {
                        let (digest, encoded) = crate::support::chunk(&[number, round]);
                        match writer.insert_chunk(&digest, &encoded) {
                            Ok(_) => assert!(store.has_chunk(&digest).expect("looked")),
                            Err(error) => assert!(matches!(error, BackupError::Ended), "{error}"),
                        }
                        match writer.create_dynamic(&format!("x{number}.didx").parse().expect("valid")) {
                            Ok(index) => drop(index),
                            Err(error) => assert!(matches!(error, BackupError::Ended), "{error}"),
                        }
                    }
                });
            }
            scope.spawn(|| writer.finish(&UploadStatistics::default()).expect("finished"));
        });
        check_whole(&bench.store, &root(), &first());
        assert!(bench.is_free(&root(), &first()));
        assert!(!bench.paths().iter().any(|path| path.contains("tmp")), "{:?}", bench.paths());
    }
}

#[test]
fn a_log_that_arrives_while_a_backup_is_given_up_does_not_keep_it_there() {
    let folder = tempfile::tempdir().unwrap();
    let root_folder = folder.path().join("store");
    std::fs::create_dir_all(root_folder.join(".chunks")).unwrap();
    let store = Datastore::open(local_options(&root_folder, &folder.path().join("locks"))).unwrap();
    let (target, is_over) = (first(), AtomicBool::new(false));
    let failure = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = store.put_client_log(&root(), &target, &sample(&target, b"log").blob);
            }
        });
        let failure = (0..100).find_map(|_| {
            match store.begin_backup(&root(), &target, &authid("sync@pbs!t1"), BackupKind::Normal) {
                Ok(writer) => writer.discard().err().map(|error| format!("{error:?}")),
                Err(error) => Some(format!("{error:?}")),
            }
        });
        is_over.store(true, Ordering::Relaxed);
        failure
    });
    assert_eq!(failure, None);
    assert!(!root_folder.join("vm/100").exists());
}
