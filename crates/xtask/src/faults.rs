//! `cargo xtask faults`: pulls over lines that break, in full size, and prints what that cost.
//!
//! The tests are those of `crates/farhold/tests/scenarios/faults.rs`, which also run small and short in CI. What is
//! broken how: `docs/benchmarks.md`, "Network faults".

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::check::cargo_program;

/// Size of the disk that is pulled, in MiB.
const DEFAULT_MIB: u64 = 1024;
/// Most that can be asked for: two copies lie in memory.
const MAX_MIB: u64 = 8192;

const HEAD: &str = "| fault | connections cut | to be sent | sent | sent twice | seconds |\n|---|---|---|---|---|---|";

/// Runs the faults one after the other and prints a table.
///
/// # Errors
/// An unknown option, or a fault that cost too much or failed a pull; the test's own output tells which.
pub fn run(root: &Path, options: &[String]) -> anyhow::Result<()> {
    let mib = match options {
        [] => DEFAULT_MIB,
        [name, value] if name == "--mib" => value.parse().context("--mib needs a number")?,
        _ => bail!("unknown option: {}", options.join(" ")),
    };
    ensure!((64..=MAX_MIB).contains(&mib), "--mib must be 64 to {MAX_MIB}");
    let mut test = Command::new(cargo_program())
        .args(["test", "--release", "--locked", "-p", "farhold", "--test", "scenarios", "--"])
        .args(["--ignored", "--exact", "faults::full_size_faults", "--nocapture"])
        .env("FARHOLD_FAULTS_MIB", mib.to_string())
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = test.stdout.take().context("no output")?;
    println!("{HEAD}");
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.find("| ") {
            // The first row stands behind the name of the test.
            Some(start) if line.ends_with(" |") => println!("{}", &line[start..]),
            _ => eprintln!("{line}"),
        }
    }
    let status = test.wait()?;
    ensure!(status.success(), "the test ended with {status}");
    Ok(())
}
