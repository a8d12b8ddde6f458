//! Collections while others work on the store. What happens meanwhile happens at every moment at which a collection looks
//! whether it shall stop, one after the other: between all its steps, that is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use farhold_datastore::SharedProcessLock;

use super::{Bench, CUTOFF, chunk};
use crate::support::{INDEX, check_whole, root, snapshot};

const A: &str = "vm/100/2026-01-01T10:00:00Z";
const B: &str = "vm/100/2026-01-02T10:00:00Z";
const C: &str = "vm/100/2026-01-03T10:00:00Z";

/// Something that happens meanwhile, and the lock of whoever does it.
type Step<'a> = &'a (dyn Fn(&Bench, &mut Option<SharedProcessLock>) + Sync);

/// Runs a collection for each moment: `work` is done in it, in the order of `steps`, one step at each look.
///
/// `prepare` fills the store; all chunks are old then. `check` gets the store after the collection.
fn at_every_moment(prepare: impl Fn(&Bench), steps: &[Step<'_>], check: impl Fn(&Bench, usize)) {
    let mut moment = 0;
    loop {
        let bench = Bench::new();
        prepare(&bench);
        bench.advance(2 * CUTOFF);
        let (looks, writer) = (AtomicUsize::new(0), Mutex::new(None));
        let look = || {
            // Several threads look: the next step begins when that before it is over.
            let mut writer = writer.lock().expect("no panic");
            let number = looks.fetch_add(1, Ordering::SeqCst);
            if let Some(step) = number.checked_sub(moment).and_then(|step| steps.get(step)) {
                step(&bench, &mut writer);
            }
            false
        };
        bench.collect_watched(&|_| {}, &look).expect("collected");
        let looks = looks.into_inner();
        for step in steps.iter().skip(looks.saturating_sub(moment)) {
            step(&bench, &mut writer.lock().expect("no panic"));
        }
        check(&bench, moment);
        if looks <= moment {
            break;
        }
        moment += 1;
    }
    assert!(5 < moment, "a collection looks often");
}

#[test]
fn a_backup_may_reuse_a_snapshot_that_is_removed_afterwards() {
    at_every_moment(
        |bench| bench.backup(A, &[1, 2]),
        &[
            &|bench, writer| *writer = Some(bench.store.lock_process_shared().unwrap()),
            // Chunk 1 is taken over from A without a touch, and chunk 3 uploaded.
            &|bench, _| bench.insert_all(&[3]),
            &|bench, writer| {
                bench.finish(&snapshot(B), &[1, 3]);
                *writer = None;
            },
            &|bench, _| bench.remove(A),
        ],
        |bench, moment| {
            check_whole(&bench.store, &root(), &snapshot(B));
            assert!(bench.has(1) && bench.has(3), "{moment}");
        },
    );
}

#[test]
fn chains_of_backups_may_lose_all_but_their_end() {
    at_every_moment(
        |bench| bench.backup(A, &[1]),
        &[
            &|bench, _| bench.snapshot_of(B, &[1]),
            &|bench, _| bench.remove(A),
            &|bench, _| bench.snapshot_of(C, &[1]),
            &|bench, _| bench.remove(B),
        ],
        |bench, _| check_whole(&bench.store, &root(), &snapshot(C)),
    );
}

#[test]
fn older_snapshots_may_vanish_while_newer_ones_build_on_them() {
    // The newest snapshot is another one; the reference would go on.
    at_every_moment(
        |bench| {
            bench.backup(A, &[1]);
            bench.backup("vm/100/2026-02-01T10:00:00Z", &[5]);
        },
        &[&|bench, _| {
            bench.snapshot_of(B, &[1]);
            bench.remove(A);
        }],
        |bench, _| check_whole(&bench.store, &root(), &snapshot(B)),
    );
}

#[test]
fn a_removal_that_a_collection_meets_half_done_hides_no_newer_snapshot() {
    use farhold_storage::Storage as _;
    at_every_moment(
        |bench| bench.backup(A, &[1]),
        &[
            &|bench, _| {
                bench.snapshot_of(B, &[1]);
                // Of a removal that goes on: the directory is still there, its index is not. All may be gone if another
                // thread was faster.
                for name in ["index.json.blob", INDEX] {
                    let _ = bench.memory.remove_file(&super::path(&format!("{A}/{name}")));
                }
            },
            &|_, _| {},
            &|bench, _| bench.remove(A),
        ],
        |bench, _| check_whole(&bench.store, &root(), &snapshot(B)),
    );
}

#[test]
fn a_group_may_be_removed_and_made_anew() {
    at_every_moment(
        |bench| bench.backup(A, &[1]),
        &[&|bench, _| bench.remove(A), &|bench, _| bench.backup(B, &[1, 2])],
        |bench, _| check_whole(&bench.store, &root(), &snapshot(B)),
    );
}

#[test]
fn a_chunk_that_a_sync_finds_is_there_when_it_commits() {
    at_every_moment(
        |bench| {
            bench.backup(A, &[5, 6]);
            bench.insert_all(&[1]);
        },
        &[&|bench, writer| {
            *writer = Some(bench.store.lock_process_shared().unwrap());
            if !bench.store.touch_chunk(&chunk(1).0).unwrap() {
                bench.insert(1);
            }
        }],
        |bench, _| {
            bench.snapshot_of(B, &[1]);
            check_whole(&bench.store, &root(), &snapshot(B));
        },
    );
}

#[test]
fn a_clock_that_is_set_back_while_chunks_are_marked_removes_none_of_them() {
    for moment in 0.. {
        let bench = Bench::new();
        bench.backup(A, &[1]);
        bench.backup(B, &[2, 3]);
        bench.advance(2 * CUTOFF);
        let looks = AtomicUsize::new(0);
        let look = || {
            if looks.fetch_add(1, Ordering::SeqCst) == moment {
                bench.advance(-CUTOFF - 60);
            }
            false
        };
        let outcome = bench.collect_watched(&|_| {}, &look);
        assert!(bench.has(1) && bench.has(2) && bench.has(3), "{moment}: {outcome:?}");
        if looks.into_inner() <= moment {
            outcome.unwrap();
            break;
        }
    }
}

/// A backup that runs while the clock is wrong: what it uses looks old to the sweep, also after the clock was put right.
#[test]
fn a_clock_that_is_set_back_while_chunks_are_removed_takes_none_from_a_backup() {
    for is_put_right in [false, true] {
        for moment in 0.. {
            let bench = Bench::new();
            bench.backup(A, &[1]);
            bench.insert_all(&[2, 3, 4]);
            bench.advance(2 * CUTOFF);
            let (looks, used) = (AtomicUsize::new(0), Mutex::new(None));
            let look = || {
                if looks.fetch_add(1, Ordering::SeqCst) == moment {
                    let writer = bench.store.lock_process_shared().unwrap();
                    bench.advance(-3 * CUTOFF);
                    let is_there = bench.store.touch_chunk(&chunk(3).0).unwrap();
                    if !is_there {
                        bench.insert(3);
                    }
                    bench.insert(4);
                    if is_put_right {
                        bench.advance(3 * CUTOFF);
                    }
                    *used.lock().unwrap() = Some(writer);
                }
                false
            };
            let outcome = bench.collect_watched(&|_| {}, &look);
            let was_used = used.lock().unwrap().is_some();
            assert!(!was_used || bench.has(3) && bench.has(4), "{moment}: {outcome:?}");
            assert!(bench.has(1), "{moment}");
            if looks.into_inner() <= moment {
                assert_eq!(outcome.unwrap().removed_chunks, 3);
                break;
            }
        }
    }
}

#[test]
fn insertions_and_touches_of_other_threads_meet_no_half_removed_chunk() {
    for _ in 0..20 {
        let bench = Bench::new();
        bench.insert_all(&(0..200).collect::<Vec<u8>>());
        bench.advance(2 * CUTOFF);
        std::thread::scope(|scope| {
            let kept = scope.spawn(|| {
                let _writer = bench.store.lock_process_shared().unwrap();
                for number in (0..200).rev() {
                    if number % 2 == 0 || !bench.store.touch_chunk(&chunk(number).0).unwrap() {
                        bench.insert(number);
                    }
                }
                (0..200).all(|number| bench.has(number))
            });
            let status = bench.collect();
            assert!(status.removed_chunks <= 200);
            assert!(kept.join().unwrap());
        });
    }
}

/// The clock was an hour ahead, or right, when the writer began, and is set back while it works. What it used since then is
/// dated before its start.
#[test]
fn what_a_running_writer_used_after_the_clock_was_set_back_stays() {
    for is_back_later in [false, true] {
        let mut bench = Bench::new();
        bench.options.cutoff_seconds = 60;
        bench.backup(A, &[1]);
        bench.advance(3600);
        let writer = bench.store.lock_process_shared().unwrap();
        bench.advance(-3600);
        bench.insert_all(&[2]);
        assert!(bench.store.touch_chunk(&chunk(1).0).unwrap());
        // The writer works on for longer than unused chunks are kept, with or without the clock being right again.
        bench.advance(if is_back_later { 2 * 3600 } else { 600 });
        bench.remove(A);
        bench.collect();
        assert!(bench.has(1) && bench.has(2), "{is_back_later}");
        bench.finish(&snapshot(B), &[1, 2]);
        drop(writer);
        bench.advance(2 * 3600);
        bench.collect();
        check_whole(&bench.store, &root(), &snapshot(B));
    }
}
