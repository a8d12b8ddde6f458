//! A deterministic simulation of two servers, one of which pulls from the other or pushes to it.
//!
//! The engine and the datastores are the real ones; disks, time, the line between the servers and everybody around them
//! are simulated and driven by one integer. [`simulate`] lives through the world of a seed: rounds in which a job runs
//! while clients back up, administrators prune, garbage is collected, disks fill or are unmounted, chunks rot,
//! connections break and servers are killed or lose power; after each round an [audit](audit::audit), and in the end runs without
//! faults that must reach what an independent [model] of the rules says. The same seed gives the same world.
//!
//! `cargo xtask simulate --seeds N` lives through as many worlds as one likes, `--seed S --trace` tells one.

pub mod acts;
pub mod audit;
pub mod backup;
pub mod collection;
pub mod damage;
pub mod disk;
pub mod facts;
mod last_runs;
pub mod ledger;
pub mod model;
pub mod mount;
pub mod moving;
pub mod network;
pub mod plant;
pub mod pruning;
pub mod pushing;
pub mod removable;
pub mod rng;
mod schedules;
pub mod server;
pub mod turns;
pub mod verification;
pub mod world;

use std::path::Path;

use crate::plant::Plant;
use crate::world::{Statistics, World};

/// How a world ended.
#[derive(Debug)]
pub struct Ending {
    /// What was done, or what is wrong.
    pub outcome: Result<Statistics, String>,
    /// What happened, if it was asked for.
    pub trace: String,
}

/// Lives through the world of `seed`. `folder`: an empty folder for lock files and private notes.
pub fn simulate(seed: u64, folder: &Path, traces: bool, plant: Plant) -> Ending {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ending { outcome: Err(format!("no runtime: {error}")), trace: String::new() },
    };
    runtime.block_on(async {
        match World::new(seed, folder, traces, plant) {
            Err(error) => Ending { outcome: Err(format!("{error:#}")), trace: String::new() },
            Ok(world) => {
                let outcome = world.live().await.map_err(|error| format!("{error:#}"));
                Ending { outcome, trace: world.book.take_trace() }
            }
        }
    })
}
