//! A repair that is killed, or runs out of space, at each of its changes in turn: nothing else suffers, and the next
//! repair mends.

use std::io;

use farhold_datastore::Datastore;
use farhold_storage::{Fault, FaultKind};
use farhold_sync::repair::{RepairOptions, RepairReport};

use crate::play::{failed_snapshots, repair_options, repaired};
use crate::world::{Damage, Kind, OTHERS, VICTIM, World};

/// Repairs after planning the fault. Returns what the run reported, unless the fault ended it.
async fn repair_with(world: &World, store: &Datastore, options: RepairOptions, fault: Fault) -> Option<RepairReport> {
    world.storage.plan(fault);
    repaired(world, store, options).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_dies_or_runs_out_of_space_at_any_of_its_changes_harms_nothing_and_the_next_one_mends() {
    let cells = [
        (Kind::Chunk, Damage::Flipped),
        (Kind::Index, Damage::Short),
        (Kind::Manifest, Damage::Flipped),
        (Kind::Blob, Damage::Missing),
    ];
    let mut faults = 0;
    for (kind, damage) in cells {
        for fault in [FaultKind::Crash, FaultKind::Error(io::ErrorKind::StorageFull)] {
            for after in 0.. {
                let world = World::hurt(kind, damage);
                let store = world.store.as_ref().unwrap().clone();
                let fault = Fault { operation: None, after, kind: fault };
                let report = repair_with(&world, &store, repair_options(true), fault).await;
                let cell = format!("{} {}: {fault:?}", kind.word(), damage.word());
                if world.storage.hit_count() == 0 {
                    assert_eq!(report.unwrap().mended, 1, "{cell}");
                    assert_ne!(after, 0, "{cell}");
                    break;
                }
                faults += 1;
                drop(store);
                let store = world.reopen();
                for other in failed_snapshots(&store) {
                    assert!(other == VICTIM && !OTHERS.contains(&other.as_str()), "{cell}: {other} was hurt");
                }
                let report = repaired(&world, &store, repair_options(true)).await.unwrap();
                assert_eq!(report.unmended, Vec::new(), "{cell}");
                assert_eq!(failed_snapshots(&store), Vec::<String>::new(), "{cell}");
            }
        }
    }
    assert!(20 < faults, "{faults}");
}

/// What is left would only be verified, and fetched, for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_finds_no_space_for_a_chunk_ends_and_tells_how_much_it_did_not_look_at() {
    let mut ended_early = 0;
    for after in 0.. {
        // Three snapshots refer to this chunk; the second of all four that are looked at is the first of them.
        let world = World::hurt(Kind::Lock, Damage::Missing);
        world.remove_chunk(2);
        let store = world.store.as_ref().unwrap().clone();
        let fault = Fault { operation: None, after, kind: FaultKind::Error(io::ErrorKind::StorageFull) };
        let report = repair_with(&world, &store, repair_options(true), fault).await;
        if world.storage.hit_count() == 0 {
            break;
        }
        let Some(report) = report.filter(|report| report.unexamined != 0) else { continue };
        ended_early += 1;
        assert_eq!((report.examined, report.unexamined, report.chunks), (2, 2, 0), "{report:?}");
        assert_eq!(report.unmended.len(), 1);
        let report = repaired(&world, &store, repair_options(true)).await.unwrap();
        assert_eq!((report.unexamined, report.chunks, report.unmended.len()), (0, 1, 0));
        assert_eq!(failed_snapshots(&store), Vec::<String>::new());
    }
    assert_ne!(ended_early, 0);
}

/// A garbage collection at the same time neither waits for the repair nor takes what it put in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_beside_a_repair_keeps_what_was_mended() {
    let world = World::hurt(Kind::Chunk, Damage::Missing);
    let store = world.store.as_ref().unwrap().clone();
    let (collected, repaired) = tokio::join!(
        tokio::task::spawn_blocking({
            let store = store.clone();
            move || (0..5).map(|_| crate::play::collect_with(&store)).collect::<Vec<_>>()
        }),
        repaired(&world, &store, repair_options(true)),
    );
    assert_eq!(repaired.unwrap().unmended, Vec::new());
    assert!(collected.unwrap().iter().all(|outcome| outcome.starts_with("goes on")));
    assert!(world.has_chunk(1));
    assert_eq!(failed_snapshots(&store), Vec::<String>::new());
}
