//! Collections of stores with damaged index files: whatever one of them named stays, until it is mended or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farhold_datastore::GcStatus;
use farhold_datastore::gc::{GcError, IndexDamage, MarkError};
use farhold_storage::{Fault, FaultKind, FaultyStorage, Operation, Storage as _};

use super::{Bench, CUTOFF, chunk, index_of, path};
use crate::support::{INDEX, check_whole, root, snapshot};

const A: &str = "vm/100/2026-01-01T10:00:00Z";
const B: &str = "vm/100/2026-01-02T10:00:00Z";
const C: &str = "ct/7/2026-01-02T10:00:00Z";

fn at(snapshot: &str) -> String {
    format!("{snapshot}/{INDEX}")
}

/// Replaces the index of a snapshot.
fn put(bench: &Bench, snapshot: &str, content: &[u8]) {
    bench.memory.remove_file(&path(&at(snapshot))).expect("removed");
    bench.memory.create_exclusive(&path(&at(snapshot)), content).expect("written");
}

/// An index whose byte at `position` has another bit.
fn flipped(numbers: &[u8], position: usize) -> Vec<u8> {
    let mut bytes = index_of(numbers);
    bytes[position] ^= 1;
    bytes
}

/// The paths that a refusal names, and how many it does not.
fn refused(outcome: Result<GcStatus, GcError>) -> (Vec<String>, u64) {
    match outcome.expect_err("refused") {
        GcError::Mark(MarkError::Damaged { indexes }) => {
            (indexes.named.into_iter().map(|index| index.path).collect(), indexes.unnamed)
        }
        error => panic!("another failure: {error:?}"),
    }
}

#[test]
fn nothing_is_removed_if_an_index_cannot_be_understood() {
    let whole = index_of(&[1, 2]);
    let standing_still = [&whole[..4096 + 40], &whole[4096..4096 + 40]].concat();
    let rows: [(&str, &[u8]); 5] = [
        ("vm/100/2026-01-01T10:00:00Z/x.didx", b""),
        ("vm/100/2026-01-01T10:00:00Z/x.didx", &whole[..4096]),
        ("vm/100/2026-01-01T10:00:00Z/x.didx", &whole[..whole.len() - 1]),
        ("vm/100/2026-01-01T10:00:00Z/x.fidx", &whole),
        ("foo/x.didx", &standing_still),
    ];
    for (place, content) in rows {
        let bench = Bench::new();
        bench.insert(9);
        bench.write(place, content);
        bench.advance(2 * CUTOFF);
        assert_eq!(refused(bench.collect_telling().0), (vec![place.to_owned()], 0));
        assert!(bench.has(9), "{place} of {} bytes", content.len());
    }
}

/// The chunk that the true index names and the damaged one does not is the one that would go.
#[test]
fn a_bit_that_flipped_in_an_index_costs_no_chunk() {
    // Of an offset, the first and the last digest.
    for position in [4096, 4096 + 8, 4096 + 79] {
        for threads in [1, 4] {
            let mut bench = Bench::new();
            bench.options.threads = std::num::NonZero::new(threads).unwrap();
            bench.backup(A, &[1, 2]);
            bench.backup(B, &[3]);
            bench.insert(9);
            put(&bench, A, &flipped(&[1, 2], position));
            bench.advance(2 * CUTOFF);
            let (outcome, told) = bench.collect_telling();
            let text = format!("{:#}", outcome.as_ref().unwrap_err());
            assert_eq!(refused(outcome), (vec![at(A)], 0), "{position}");
            assert!([1, 2, 3, 9].into_iter().all(|number| bench.has(number)), "{position}: {text}");
            assert_eq!(told.iter().filter(|line| line.starts_with("damaged")).count(), 1, "{told:?}");
            assert!(!told.contains(&"sweeping".to_owned()), "{told:?}");
            // Mended, it keeps its chunks; nothing else is needed.
            put(&bench, A, &index_of(&[1, 2]));
            bench.advance(1);
            assert_eq!(bench.collect().removed_chunks, 1);
            check_whole(&bench.store, &root(), &snapshot(A));
        }
    }
}

#[test]
fn a_damaged_index_is_forgotten_with_its_snapshot() {
    let bench = Bench::new();
    bench.backup(A, &[1]);
    bench.backup(B, &[2]);
    put(&bench, A, &flipped(&[1], 4110));
    bench.advance(2 * CUTOFF);
    refused(bench.collect_telling().0);
    bench.remove(A);
    let status = bench.collect();
    assert_eq!((status.removed_chunks, bench.has(1), bench.has(2)), (1, false, true));
}

/// The manifest knows the entries, so the header alone was damaged: a verification finds nothing either.
#[test]
fn a_damaged_header_is_no_harm_if_the_manifest_knows_the_entries() {
    let bench = Bench::new();
    bench.backup(A, &[1, 2]);
    bench.insert(9);
    put(&bench, A, &flipped(&[1, 2], 40));
    bench.advance(2 * CUTOFF);
    let status = bench.collect();
    assert_eq!((status.removed_chunks, status.index_file_count, status.index_data_bytes), (1, 1, 200));
    check_whole(&bench.store, &root(), &snapshot(A));
    // Without one nobody knows.
    bench.insert(9);
    bench.memory.remove_file(&path(&format!("{A}/index.json.blob"))).unwrap();
    bench.advance(2 * CUTOFF);
    assert_eq!(refused(bench.collect_telling().0).0, [at(A)]);
    assert!(bench.has(9));
}

#[test]
fn a_directory_in_the_place_of_an_index_is_a_damaged_index() {
    let bench = Bench::new();
    bench.backup(A, &[1]);
    bench.memory.remove_file(&path(&at(A))).unwrap();
    bench.memory.create_dirs(&path(&at(A))).unwrap();
    bench.advance(2 * CUTOFF);
    assert_eq!(refused(bench.collect_telling().0).0, [at(A)]);
    assert!(bench.has(1));
}

/// All are told in one run, in whichever way they are damaged, and everything else is marked all the same.
#[test]
fn all_damaged_indexes_are_told_and_named_up_to_a_bound() {
    let bench = Bench::new();
    bench.backup(C, &[30]);
    for day in 1..=28 {
        let name = format!("vm/100/2026-02-{day:02}T10:00:00Z");
        bench.backup(&name, &[day]);
        match day % 3 {
            0 => put(&bench, &name, b"short"),
            1 => put(&bench, &name, &flipped(&[day], 4100)),
            _ => {}
        }
    }
    bench.advance(2 * CUTOFF);
    let now = bench.memory.stat(&path(&at(C))).unwrap().accessed.seconds;
    let (outcome, told) = bench.collect_telling();
    let damaged = told.iter().filter(|line| line.starts_with("damaged")).count();
    let text = outcome.as_ref().unwrap_err().to_string();
    let (named, unnamed) = refused(outcome);
    assert_eq!((damaged, named.len(), unnamed), (19, 10, 9), "{text}");
    for number in [30, 2, 5, 8] {
        let name = chunk(number).0.to_string();
        let accessed = bench.memory.stat(&path(&format!(".chunks/{}/{name}", &name[..4]))).unwrap().accessed.seconds;
        assert!(now < accessed, "{number} was marked");
    }
}

#[test]
fn indexes_with_the_same_damaged_entries_are_all_told() {
    for threads in [1, 4] {
        let mut bench = Bench::new();
        bench.options.threads = std::num::NonZero::new(threads).unwrap();
        for name in [A, B, C] {
            bench.backup(name, &[1, 2]);
            put(&bench, name, &flipped(&[1, 2], 4110));
        }
        bench.advance(2 * CUTOFF);
        assert_eq!(refused(bench.collect_telling().0).0, [at(C), at(A), at(B)]);
    }
}

/// A disk that fails once is asked again before anything is called damaged.
#[test]
fn an_index_that_can_be_read_the_second_time_is_not_damaged() {
    let faulty = std::cell::OnceCell::new();
    let bench = Bench::with(|memory| {
        let storage = FaultyStorage::new(Arc::new(memory), vec![]);
        faulty.set(storage.clone()).unwrap();
        storage
    });
    bench.backup(A, &[1, 2]);
    bench.insert(9);
    bench.advance(2 * CUTOFF);
    let kind = FaultKind::Error(std::io::ErrorKind::Other);
    faulty.get().unwrap().plan(Fault { operation: Some(Operation::Read), after: 0, kind });
    let status = bench.collect();
    assert_eq!(faulty.get().unwrap().hit_count(), 1);
    assert_eq!((status.removed_chunks, status.index_file_count, status.index_data_bytes), (1, 1, 200));
    assert!(bench.has(1) && bench.has(2));
}

/// It was damaged when it was read, and is replaced or removed before anybody asks again; at whichever moment that happens,
/// what is there then keeps its chunks.
#[test]
fn an_index_that_is_mended_or_removed_meanwhile_is_not_called_damaged_and_keeps_what_is_there() {
    for is_mended in [true, false] {
        let mut outcomes = (0, 0);
        for moment in 0.. {
            let bench = Bench::new();
            bench.backup(A, &[1, 2]);
            put(&bench, A, &flipped(&[1, 2], 4110));
            bench.insert(9);
            bench.advance(2 * CUTOFF);
            let looks = AtomicUsize::new(0);
            let look = || {
                if looks.fetch_add(1, Ordering::SeqCst) == moment {
                    if is_mended {
                        put(&bench, A, &index_of(&[1, 2]));
                    } else {
                        // What builds on it has its own index, and did not touch what it took over.
                        bench.snapshot_of(B, &[1, 2]);
                        bench.remove(A);
                    }
                }
                false
            };
            let outcome = bench.collect_watched(&|_| {}, &look);
            let is_over = looks.into_inner() <= moment;
            match outcome {
                Ok(status) => {
                    outcomes.0 += 1;
                    assert_eq!(status.removed_chunks, 1, "{moment}");
                }
                Err(error) => {
                    outcomes.1 += 1;
                    assert_eq!(refused(Err(error)).0, [at(A)], "{moment}");
                }
            }
            assert!(bench.has(1) && bench.has(2), "{moment}");
            if is_over {
                break;
            }
            check_whole(&bench.store, &root(), &snapshot(if is_mended { A } else { B }));
        }
        assert!(0 < outcomes.0 && 0 < outcomes.1, "{outcomes:?}");
    }
}

#[test]
fn an_index_that_cannot_be_read_says_why() {
    let faulty = std::cell::OnceCell::new();
    let bench = Bench::with(|memory| {
        let storage = FaultyStorage::new(Arc::new(memory), vec![]);
        faulty.set(storage.clone()).unwrap();
        storage
    });
    bench.backup(A, &[1]);
    for _ in 0..2 {
        let kind = FaultKind::Error(std::io::ErrorKind::PermissionDenied);
        faulty.get().unwrap().plan(Fault { operation: Some(Operation::Read), after: 0, kind });
    }
    let error = bench.collect_telling().0.unwrap_err();
    let GcError::Mark(MarkError::Damaged { indexes }) = &error else { panic!("{error:?}") };
    assert!(matches!(indexes.named[0].damage, IndexDamage::Unreadable(_)));
    let text = format!("{indexes}");
    assert!(text.contains(&at(A)) && text.contains("ermission"), "{text}");
}
