//! The simulation as a test: many worlds, the same world twice, and worlds with planted faults.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use farhold_simulation::plant::Plant;
use farhold_simulation::world::Statistics;
use farhold_simulation::{Ending, simulate};

/// Worlds of an ordinary test run; `cargo xtask simulate` lives through as many others as one likes.
const WORLDS: u64 = 1500;

/// Worlds within which each planted fault must show.
const WORLDS_PER_FAULT: u64 = 1200;

fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn live(seed: u64, traces: bool, plant: Plant) -> Ending {
    simulate(seed, scratch().path(), traces, plant)
}

/// Lives through worlds until `is_over` says so, on all cores.
fn live_through(seeds: std::ops::Range<u64>, is_over: impl Fn(u64, Ending) -> bool + Sync) {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seeds.end <= seed || is_over(seed, live(seed, false, Plant::Nothing)) {
                        next.store(seeds.end, Ordering::Relaxed);
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn every_world_ends_well() {
    let (total, bad) = (Mutex::new(Statistics::default()), Mutex::new(Vec::new()));
    live_through(1..1 + WORLDS, |seed, ending| match ending.outcome {
        Ok(statistics) => {
            total.lock().unwrap_or_else(PoisonError::into_inner).add(&statistics);
            false
        }
        Err(text) => {
            let hint = format!("seed {seed} (cargo xtask simulate --seed {seed} --trace): {text}");
            bad.lock().unwrap_or_else(PoisonError::into_inner).push(hint);
            true
        }
    });
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    // Worlds in which nothing happens would end well, too.
    let total = total.into_inner().unwrap();
    assert!(WORLDS * 3 < total.runs && WORLDS * 3 < total.changed_snapshots, "{total:?}");
    assert!(WORLDS * 20 < total.chunks && WORLDS / 10 < total.deaths, "{total:?}");
    let done = total.done;
    assert!(WORLDS / 2 < done.collections && WORLDS / 2 < done.collected_chunks && WORLDS / 2 < done.moves, "{done:?}");
    assert!(WORLDS < done.verified && WORLDS / 20 < done.failed && WORLDS / 20 < done.pruned, "{done:?}");
    assert!(WORLDS / 10 < done.unmounts && WORLDS / 20 < done.runs_on_mount && WORLDS / 2 < done.pushes, "{done:?}");
    assert!(total.runs / 2 < total.good_runs && total.good_runs < total.runs, "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in [3, 17, 34, 124, 434, 976] {
        let (first, second) = (live(seed, true, Plant::Nothing), live(seed, true, Plant::Nothing));
        assert!(1000 < first.trace.len(), "seed {seed}");
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}

#[test]
fn planted_faults_are_found() {
    let next = AtomicU64::new(0);
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(plant) = Plant::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let found = (1..=WORLDS_PER_FAULT).find(|seed| live(*seed, false, *plant).outcome.is_err());
                    println!("{plant:?} shows in world {found:?}");
                    if found.is_none() {
                        missed.lock().unwrap_or_else(PoisonError::into_inner).push(*plant);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:?} did not show within {WORLDS_PER_FAULT} worlds");
}
