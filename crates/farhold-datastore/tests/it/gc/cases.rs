//! What garbage collection removes, keeps, counts and refuses.

use farhold_datastore::gc::{GcError, MarkError};
use farhold_datastore::{CacheStats, Datastore, LockError};
use farhold_storage::{Fault, FaultKind, FaultyStorage, Operation, Storage};

use super::{Bench, CUTOFF, HOUR, START, UPID, ZEROS, chunk, index_of, path};
use crate::support::{local_options, root, snapshot};

const A: &str = "vm/100/2026-01-01T10:00:00Z";
const B: &str = "vm/100/2026-01-02T10:00:00Z";

#[test]
fn chunks_of_a_removed_snapshot_wait_for_the_cutoff_and_go() {
    let bench = Bench::new();
    bench.backup(A, &[1, 2]);
    bench.backup(B, &[2, 3, 3]);
    bench.remove(A);
    bench.advance(HOUR);
    let status = bench.collect();
    let counts = |s: &farhold_datastore::GcStatus| (s.disk_chunks, s.pending_chunks, s.removed_chunks);
    assert_eq!(counts(&status), (3, 1, 0), "with the chunk of the access time check");
    assert_eq!((status.index_file_count, status.index_data_bytes), (1, 300));
    assert_eq!(status.upid.as_deref(), Some(UPID));
    assert_eq!(status.cache_stats, Some(CacheStats { hits: 1, misses: 2 }));
    bench.advance(CUTOFF - HOUR);
    assert_eq!(counts(&bench.collect()), (3, 1, 0), "a cut-off old to the second");
    bench.advance(1);
    let status = bench.collect();
    assert_eq!(counts(&status), (3, 0, 1));
    assert_eq!(status.removed_bytes, chunk(1).1.len() as u64);
    assert!(!bench.has(1) && bench.has(2) && bench.has(3));
    assert_eq!(bench.store.gc_status().unwrap(), status, "what is stored");
    crate::support::check_whole(&bench.store, &root(), &snapshot(B));
}

#[test]
fn damaged_chunks_stay_as_long_as_nothing_better_is_there() {
    let bench = Bench::new();
    bench.backup(A, &[1, 2]);
    for number in [1, 2, 3] {
        let name = chunk(number).0.to_string();
        bench.write(&format!(".chunks/{}/{name}.0.bad", &name[..4]), b"bad");
    }
    let missing = chunk(2).0.to_string();
    bench.memory.remove_file(&path(&format!(".chunks/{}/{missing}", &missing[..4]))).unwrap();
    bench.advance(HOUR);
    let (status, told) = bench.collect_telling();
    let status = status.unwrap();
    assert_eq!((status.still_bad, status.removed_bad, status.pending_bytes), (2, 0, 6));
    assert_eq!((status.disk_chunks, status.disk_bytes), (2, chunk(1).1.len() as u64 + 159 + 3));
    assert!(told.contains(&format!("missing {missing} vm/100/2026-01-01T10:00:00Z/root.pxar.didx")), "{told:?}");
    bench.advance(CUTOFF);
    let status = bench.collect();
    // Of chunk 1 there is a good one, of chunk 3 nobody knows.
    assert_eq!((status.still_bad, status.removed_bad, status.removed_bytes), (0, 2, 6));
    assert_eq!(bench.chunk_files(), [chunk(1).0.to_string(), format!("{missing}.0.bad")]);
}

#[test]
fn index_files_at_odd_places_keep_their_chunks_unless_they_are_hidden() {
    let bench = Bench::new();
    for number in [1, 2, 3, 4, 5] {
        bench.insert(number);
    }
    bench.write("foo/x.didx", &index_of(&[1]));
    bench.write(".foo/x.didx", &index_of(&[2]));
    bench.write("vm/no group!/2026-01-01T10:00:00Z/x.didx", &index_of(&[3]));
    // Without owner, without manifest, and hidden: the regular way finds it all the same.
    bench.write("vm/100/2026-01-01T10:00:00Z/.hidden.didx", &index_of(&[4]));
    bench.advance(2 * CUTOFF);
    let (status, told) = bench.collect_telling();
    assert_eq!(status.unwrap().index_file_count, 3);
    let told: Vec<&str> = told.iter().map(String::as_str).filter(|line| line.starts_with("stray")).collect();
    assert_eq!(told, ["stray foo/x.didx", "stray vm/no group!/2026-01-01T10:00:00Z/x.didx", "strays 2"]);
    assert_eq!([1, 2, 3, 4, 5].map(|number| bench.has(number)), [true, false, true, true, false]);
}

#[test]
fn a_hidden_directory_among_namespaces_stops_the_collection_and_a_hidden_file_does_not() {
    let bench = Bench::new();
    bench.write("ns/.x/vm/100/2026-01-01T10:00:00Z/x.didx", &index_of(&[1]));
    let error = bench.collect_telling().0.unwrap_err();
    assert!(matches!(&error, GcError::Mark(MarkError::NoNamespace { path }) if path == "ns/.x"), "{error:?}");
    let bench = Bench::new();
    bench.write("ns/.x", b"");
    bench.collect();
}

#[test]
fn names_that_listings_leave_out_stop_the_collection_if_indexes_may_hide_there() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let rows: [(&[u8], bool, bool); 4] = [
        (b"caf\xe9", true, false),
        (b".caf\xe9", true, true),
        (b"caf\xe9.didx", false, false),
        (b"caf\xe9.txt", false, true),
    ];
    for (name, is_directory, is_fine) in rows {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (base, locks) = (directory.path().join("store"), directory.path().join("locks"));
        std::fs::create_dir_all(base.join(".chunks/bb9f")).unwrap();
        let at = base.join(OsStr::from_bytes(name));
        if is_directory {
            std::fs::create_dir(at).unwrap()
        } else {
            std::fs::write(at, b"").unwrap()
        }
        let store = Datastore::open(local_options(&base, &locks)).unwrap();
        let watch = farhold_datastore::gc::GcWatch { on_event: &|_| {}, is_stopped: &|| false };
        let outcome = store.collect_garbage(&Bench::new().options, &super::upid(), &watch);
        let is_refused = matches!(outcome, Err(GcError::Mark(MarkError::ForeignName { .. })));
        assert_eq!((outcome.is_ok(), is_refused), (is_fine, !is_fine), "{name:?}: {outcome:?}");
    }
}

#[test]
fn failures_while_marking_remove_nothing_and_failures_while_sweeping_stop() {
    let rows = [
        (Operation::Touch, 1, "touching"),
        (Operation::Read, 0, "reading an index"),
        (Operation::List, 0, "listing the store"),
        (Operation::RemoveFile, 0, "removing"),
    ];
    for (operation, after, name) in rows {
        let faulty = std::cell::OnceCell::new();
        let bench = Bench::with(|memory| {
            let storage = FaultyStorage::new(std::sync::Arc::new(memory), vec![]);
            faulty.set(storage.clone()).unwrap();
            storage
        });
        let faulty = faulty.into_inner().unwrap();
        bench.backup(A, &[1]);
        bench.insert(2);
        bench.advance(2 * CUTOFF);
        let kind = FaultKind::Error(std::io::ErrorKind::PermissionDenied);
        // The first chunk touched is the one of the access time check.
        faulty.plan(Fault { operation: Some(operation), after, kind });
        // An index that cannot be read is read once more.
        let hits = if operation == Operation::Read { 2 } else { 1 };
        if hits == 2 {
            faulty.plan(Fault { operation: Some(operation), after, kind });
        }
        let error = bench.collect_telling().0.unwrap_err();
        assert_eq!(faulty.hit_count(), hits, "{name}");
        assert!(bench.has(1) && bench.has(2), "{name}: {error:?}");
        assert_eq!(matches!(error, GcError::Sweep(_)), operation == Operation::RemoveFile, "{name}: {error:?}");
        // The next one does the work.
        assert_eq!(bench.collect().removed_chunks, 1, "{name}");
    }
}

#[test]
fn the_cutoff_respects_writers_and_a_file_system_whose_clock_is_behind() {
    let bench = Bench::new();
    bench.insert(1);
    bench.advance(HOUR);
    let writer = bench.store.lock_process_shared().unwrap();
    bench.insert(2);
    bench.advance(2 * CUTOFF);
    let (status, told) = bench.collect_telling();
    let began = START + HOUR;
    assert!(told.contains(&format!("cutoff {CUTOFF} {}", began - 300)), "{told:?}");
    assert_eq!(status.unwrap().removed_chunks, 1);
    assert!(bench.has(2), "touched since the writer began");
    drop(writer);
    assert_eq!(bench.collect().removed_chunks, 1);

    let bench = Bench::new();
    bench.memory.set_seconds(START - 3 * CUTOFF);
    bench.backup(A, &[1]);
    bench.insert(2);
    let (status, told) = bench.collect_telling();
    assert!(told.contains(&format!("cutoff {CUTOFF} {}", START - 4 * CUTOFF)), "{told:?}");
    assert_eq!(status.unwrap().removed_chunks, 0, "just written");
    assert!(bench.has(1) && bench.has(2));
}

#[test]
fn leftovers_go_when_they_are_old_and_foreign_files_stay() {
    let bench = Bench::new();
    let name = chunk(1).0.to_string();
    let at = |ending: &str| format!(".chunks/{}/{name}{ending}", &name[..4]);
    for ending in [".tmp_Ab3xYz", ".using", ".10.bad", ".note"] {
        bench.write(&at(ending), b"x");
    }
    bench.write(".chunks/zzzz/file", b"x");
    bench.memory.create_dirs(&path(&at(""))).unwrap();
    bench.advance(CUTOFF);
    let (status, told) = bench.collect_telling();
    assert_eq!(status.unwrap().disk_chunks, 1);
    assert!(!told.iter().any(|line| line.starts_with("leftovers")), "{told:?}");
    bench.advance(1);
    let (_, told) = bench.collect_telling();
    assert!(told.contains(&"leftovers 1".to_owned()), "{told:?}");
    let expected = ["", ".10.bad", ".note"]
        .map(|ending| if ending.is_empty() { format!("{name}/") } else { format!("{name}{ending}") });
    let mut expected: Vec<String> = expected.into_iter().collect();
    let mut left = bench.chunk_files();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn progress_is_told_for_each_per_cent_in_the_order_of_folders() {
    let bench = Bench::new();
    for day in 1..=4 {
        bench.backup(&format!("vm/100/2026-01-0{day}T10:00:00Z"), &[day, day + 1]);
    }
    let (_, told) = bench.collect_telling();
    let mut folders: Vec<u64> =
        (1..=5).map(|number| chunk(number).0).map(|d| u64::from(d.0[0]) * 256 + u64::from(d.0[1])).collect();
    folders.push(0xbb9f);
    folders.sort_unstable();
    let swept = folders.iter().enumerate().map(|(seen, folder)| format!("swept {} {seen}", folder * 100 / 65536));
    let mut expected = vec!["kept".to_owned(), format!("cutoff {CUTOFF} {}", START - CUTOFF), "marking".to_owned()];
    expected.extend((1..=4).map(|done| format!("marked {} {done}/4", done * 25)));
    expected.push("sweeping".to_owned());
    expected.extend(swept);
    expected.push("finished".to_owned());
    assert_eq!(told, expected);
    assert!(bench.memory.all_paths().iter().any(|path| path.ends_with(ZEROS)));
}

#[test]
fn a_memory_of_any_size_marks_the_same_chunks() {
    for cache_capacity in [0, 1, 5, 1000] {
        let mut bench = Bench::new();
        bench.options.cache_capacity = cache_capacity;
        let numbers: Vec<u8> = (0..50).chain(0..50).collect();
        bench.backup(A, &numbers);
        bench.backup(B, &[60]);
        bench.insert(70);
        bench.advance(2 * CUTOFF);
        let status = bench.collect();
        assert_eq!((status.disk_chunks, status.removed_chunks), (52, 1), "{cache_capacity}");
        let cache = status.cache_stats.unwrap();
        let expected = if cache_capacity == 0 { 0 } else { 101 };
        assert_eq!(cache.hits + cache.misses, expected, "{cache_capacity}");
    }
}

#[test]
fn two_collections_exclude_each_other_and_so_do_writers_of_another_process() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (base, locks) = (directory.path().join("store"), directory.path().join("locks"));
    std::fs::create_dir_all(base.join(".chunks/bb9f")).unwrap();
    let open = || Datastore::open(local_options(&base, &locks)).unwrap();
    let (ours, foreign) = (open(), open());
    let bench = Bench::new();
    let watch = farhold_datastore::gc::GcWatch { on_event: &|_| {}, is_stopped: &|| false };
    let collect = |store: &Datastore| store.collect_garbage(&bench.options, &super::upid(), &watch);
    let is_busy = |outcome| matches!(outcome, Err(GcError::Busy(LockError::Busy { .. })));
    let writer = foreign.lock_process_shared().unwrap();
    assert!(is_busy(collect(&ours)));
    drop(writer);
    let running = ours.lock_process_exclusive().unwrap();
    assert!(is_busy(collect(&ours)) && is_busy(collect(&foreign)));
    assert!(foreign.lock_process_shared().is_err());
    drop(running);
    // Writers of the same process are no obstacle.
    let writer = ours.lock_process_shared().unwrap();
    assert!(collect(&ours).is_ok());
    drop(writer);
    assert!(collect(&foreign).is_ok());
    let status = std::fs::read_to_string(base.join(".gc-status")).unwrap();
    assert!(status.starts_with(&format!(r#"{{"upid":"{UPID}","index-file-count":0,"#)), "{status}");
}

#[test]
fn a_collection_that_is_stopped_while_marking_removes_nothing() {
    let bench = Bench::new();
    bench.backup(A, &[1]);
    bench.insert(2);
    bench.advance(2 * CUTOFF);
    let mut stopped_sweeps = 0;
    for calls in 0..100 {
        let (asked, told) = (std::sync::atomic::AtomicUsize::new(0), super::Told::default());
        let is_stopped = || calls <= asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match bench.collect_watched(&|event| told.add(event), &is_stopped) {
            Ok(status) => {
                assert_eq!(status.removed_chunks, 1);
                assert!(0 < calls && 0 < stopped_sweeps && bench.has(1) && !bench.has(2));
                return;
            }
            Err(error) => {
                assert!(error.is_stopped(), "{error:?}");
                let has_swept = told.lines().contains(&"sweeping".to_owned());
                assert_eq!(matches!(error, GcError::Stopped), has_swept);
                assert!(bench.has(2) || has_swept);
                stopped_sweeps += usize::from(has_swept);
                // Should it be gone, it comes back for the next round.
                bench.insert(2);
                bench.advance(2 * CUTOFF);
            }
        }
    }
    panic!("it never ended");
}
