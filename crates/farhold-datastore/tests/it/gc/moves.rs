//! Snapshots that move to another namespace while a collection runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use farhold_datastore::Merge;
use farhold_datastore::gc::GcEvent;

use super::{Bench, CUTOFF};
use crate::support::{check_whole, root, snapshot};

const A: &str = "vm/100/2026-01-01T10:00:00Z";
const B: &str = "vm/100/2026-01-02T10:00:00Z";

#[test]
fn a_group_that_moves_behind_the_collection_keeps_its_chunks() {
    let mut moment = 0;
    let mut was_missed = false;
    loop {
        let bench = Bench::new();
        let (from, to) = (root(), "b".parse().unwrap());
        bench.store.create_namespace(&to).unwrap();
        bench.backup(A, &[1, 2]);
        bench.advance(2 * CUTOFF);
        let (looks, told, is_over) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
        let is_stopped = || {
            if looks.fetch_add(1, Ordering::SeqCst) == moment {
                bench.store.move_group(&from, &to, &snapshot(A).group, Merge::Refused).unwrap();
                is_over.store(true, Ordering::SeqCst);
            }
            false
        };
        let on_event = |event: &GcEvent<'_>| {
            if let GcEvent::MovedIndex { path } = event {
                told.lock().unwrap().push((*path).to_owned());
            }
        };
        bench.collect_watched(&on_event, &is_stopped).unwrap();
        if !is_over.into_inner() {
            break;
        }
        check_whole(&bench.store, &to, &snapshot(A));
        was_missed |= told.into_inner().unwrap() == ["ns/b/vm/100/2026-01-01T10:00:00Z/root.pxar.didx"];
        moment += 1;
    }
    assert!(5 < moment && was_missed);
}

#[test]
fn what_builds_on_a_moved_snapshot_keeps_its_chunks_when_that_one_is_removed() {
    // All at once, and with a pause of the collection before the removal.
    for pause in 0..3 {
        let mut moment = 0;
        loop {
            let bench = Bench::new();
            let from = "b".parse().unwrap();
            bench.store.create_namespace(&from).unwrap();
            bench.backup(A, &[1, 2]);
            bench.store.move_group(&root(), &from, &snapshot(A).group, Merge::Refused).unwrap();
            bench.store.take_moved_indexes(|_| Ok::<_, farhold_datastore::MoveJournalError>(())).unwrap();
            bench.advance(2 * CUTOFF);
            // Looks so far, and the number of the one at which the group moved. Several threads look; one at a time acts.
            let steps = Mutex::new((0, None));
            let is_stopped = || {
                let mut steps = steps.lock().unwrap();
                let look = steps.0;
                steps.0 += 1;
                if look == moment {
                    bench.store.move_group(&from, &root(), &snapshot(A).group, Merge::Refused).unwrap();
                    // Both chunks are taken over without a touch.
                    bench.snapshot_of(B, &[1, 2]);
                    steps.1 = Some(look);
                }
                if steps.1.is_some_and(|moved| moved + pause == look) {
                    bench.remove(A);
                }
                false
            };
            bench.collect_watched(&|_| {}, &is_stopped).unwrap();
            if steps.into_inner().unwrap().1.is_none() {
                break;
            }
            check_whole(&bench.store, &root(), &snapshot(B));
            moment += 1;
        }
        assert!(5 < moment);
    }
}
