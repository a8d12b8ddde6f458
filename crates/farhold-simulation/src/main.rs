//! Command line of the simulation, called by `cargo xtask simulate`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use farhold_simulation::plant::Plant;
use farhold_simulation::simulate;
use farhold_simulation::world::Statistics;

const USAGE: &str = "\
usage: simulate [--seeds N] [--from S]    live through the worlds of N seeds (default 1000) from S on (default 1)
       simulate --seed S [--trace]        live through one and tell what happens
       --keep-going                       do not stop at the first world that ends badly
       --plant FAULT                      plant a fault, for example WritersIgnored
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A folder in memory if there is one: lock files are made and removed all the time.
fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.context("cannot make a folder for lock files")
}

fn planted(name: Option<&String>) -> anyhow::Result<Plant> {
    let is_meant = |plant: &&Plant| name.is_some_and(|name| *name == format!("{plant:?}"));
    let plant = Plant::ALL.iter().find(is_meant).copied();
    plant.with_context(|| format!("--plant needs one of {:?}", Plant::ALL))
}

fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let (mut seeds, mut from, mut traces, mut keeps_going) = (1000u64, 1u64, false, false);
    let mut plant = Plant::Nothing;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || -> anyhow::Result<u64> {
            let value = arguments.next().with_context(|| format!("{argument} needs a number\n\n{USAGE}"))?;
            value.parse().with_context(|| format!("invalid number {value}"))
        };
        match argument.as_str() {
            "--seeds" => seeds = number()?,
            "--from" => from = number()?,
            "--seed" => (from, seeds) = (number()?, 1),
            "--plant" => plant = planted(arguments.next())?,
            "--trace" => traces = true,
            "--keep-going" => keeps_going = true,
            _ => bail!("unknown option {argument}\n\n{USAGE}"),
        }
    }
    let next = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let total = Mutex::new(Statistics::default());
    let folder = scratch()?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while keeps_going || !has_failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if seeds <= number {
                        break;
                    }
                    let seed = from + number;
                    let own = folder.path().join(seed.to_string());
                    let ending = simulate(seed, &own, traces, plant);
                    let _ = std::fs::remove_dir_all(&own);
                    if traces {
                        println!("{}", ending.trace);
                    }
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match ending.outcome {
                        Ok(statistics) => total.add(&statistics),
                        Err(text) => {
                            has_failed.store(true, Ordering::Relaxed);
                            println!("seed {seed} ends badly: {text}");
                        }
                    }
                }
            });
        }
    });
    let has_failed = has_failed.load(Ordering::Relaxed);
    println!("{:?}", total.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(!has_failed)
}
