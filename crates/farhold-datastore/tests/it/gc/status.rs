//! The stored result of a collection, and disks that fail while it is written.

use std::sync::Arc;

use farhold_datastore::GcStatus;
use farhold_storage::{Fault, FaultKind, FaultyStorage, Operation, Storage as _};

use super::{Bench, CUTOFF, chunk, path};
use crate::support::{check_whole, root, snapshot};

const A: &str = "vm/100/2026-01-01T10:00:00Z";
const STATUS: &str = ".gc-status";

#[test]
fn a_torn_result_reads_as_none_and_the_next_collection_replaces_it() {
    let bench = Bench::new();
    bench.backup(A, &[1]);
    let status = bench.collect();
    let whole = bench.memory.read(&path(STATUS), 1 << 16).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        bench.memory.remove_file(&path(STATUS)).unwrap();
        bench.memory.create_exclusive(&path(STATUS), &whole[..length]).unwrap();
        assert_eq!(bench.store.gc_status().unwrap(), GcStatus::default(), "{length} bytes");
        bench.advance(1);
        assert_eq!(bench.collect(), status);
        assert_eq!(bench.store.gc_status().unwrap(), status);
    }
}

/// What was collected is collected, whether or not there is room to write it down, and the result before stays.
#[test]
fn a_full_disk_costs_the_result_and_nothing_else() {
    let faulty = std::cell::OnceCell::new();
    let bench = Bench::with(|memory| {
        let storage = FaultyStorage::new(Arc::new(memory), vec![]);
        faulty.set(storage.clone()).unwrap();
        storage
    });
    bench.backup(A, &[1]);
    let before = bench.collect();
    bench.insert(2);
    bench.advance(2 * CUTOFF);
    let kind = FaultKind::Error(std::io::ErrorKind::StorageFull);
    faulty.get().unwrap().plan(Fault { operation: Some(Operation::WriteAtomic), after: 0, kind });
    let (status, told) = bench.collect_telling();
    assert_eq!(faulty.get().unwrap().hit_count(), 1);
    assert_eq!(status.unwrap().removed_chunks, 1);
    assert!(told.iter().any(|line| line.starts_with("StatusNotStored")), "{told:?}");
    assert_eq!(bench.store.gc_status().unwrap(), before);
    assert!(bench.has(1) && !bench.has(2));
    // With room again, it is written.
    let after = bench.collect();
    assert_eq!(bench.store.gc_status().unwrap(), after);
}

/// Its times lie in the future for us: what is used stays, what is not goes when those times are over.
#[test]
fn a_file_system_whose_clock_is_ahead_keeps_longer_and_loses_nothing() {
    let bench = Bench::new();
    let ahead = 3 * CUTOFF;
    let now = super::START;
    bench.memory.set_seconds(now + ahead);
    bench.backup(A, &[1]);
    bench.insert(2);
    assert_eq!(bench.collect().removed_chunks, 0);
    bench.advance(2 * CUTOFF);
    bench.memory.set_seconds(now + 2 * CUTOFF + ahead);
    assert_eq!(bench.collect().removed_chunks, 0, "used in the future");
    bench.advance(ahead);
    bench.memory.set_seconds(now + 2 * CUTOFF + 2 * ahead);
    assert_eq!(bench.collect().removed_chunks, 1);
    assert!(bench.has(1) && !bench.has(2));
    check_whole(&bench.store, &root(), &snapshot(A));
}

/// Verification sets a chunk aside at whichever moment of a collection: as long as nothing better is there, it stays.
#[test]
fn a_chunk_that_is_set_aside_meanwhile_stays_under_its_new_name() {
    let name = chunk(1).0.to_string();
    let good = path(&format!(".chunks/{}/{name}", &name[..4]));
    let bad = path(&format!(".chunks/{}/{name}.0.bad", &name[..4]));
    for moment in 0.. {
        let bench = Bench::new();
        bench.backup(A, &[1, 2]);
        bench.insert(3);
        bench.advance(2 * CUTOFF);
        let looks = std::sync::atomic::AtomicUsize::new(0);
        let look = || {
            if looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == moment {
                bench.memory.rename(&good, &bad).unwrap();
            }
            false
        };
        let status = bench.collect_watched(&|_| {}, &look).unwrap();
        assert_eq!((status.removed_chunks, status.removed_bad), (1, 0), "{moment}");
        if looks.into_inner() <= moment {
            assert!(5 < moment);
            break;
        }
        assert!(bench.memory.stat(&bad).is_ok(), "{moment}");
        // It is whole in truth and comes back; the one set aside goes in its time.
        bench.insert(1);
        bench.advance(2 * CUTOFF);
        assert_eq!(bench.collect().removed_bad, 1, "{moment}");
        check_whole(&bench.store, &root(), &snapshot(A));
    }
}
