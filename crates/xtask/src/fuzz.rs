//! `cargo xtask fuzz`: every parser of outside bytes under libFuzzer, with coverage, each for a while.
//!
//! The pinned toolchain is enough: coverage is asked of LLVM by ordinary code generation options. A C++ compiler builds
//! libFuzzer itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use farhold_fuzz::{TARGETS, Target, target};

/// Seconds for each target unless asked otherwise.
const DEFAULT_SECONDS: u64 = 60;
/// Longest run of one input in seconds; the slowest honest ones take milliseconds.
const HANG_SECONDS: u64 = 5;
/// What LLVM adds for libFuzzer: counters for edges, a table of them, and calls at comparisons.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Runs the targets named in `options`, or all, each for `--seconds N`.
///
/// # Errors
/// A target crashed, hung or took too much memory; the input that did it is kept, and named.
pub fn fuzz(root: &Path, options: &[String]) -> anyhow::Result<()> {
    let (seconds, targets) = parse(options)?;
    let program = build(root)?;
    let mut failed = Vec::new();
    for target in targets {
        let began = Instant::now();
        if run(root, &program, target, seconds)? {
            println!("{:<20} no fault in {} s", target.name, began.elapsed().as_secs());
        } else {
            println!("{:<20} FAILED", target.name);
            failed.push(target.name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}; logs and inputs are in target/fuzz", failed.join(", "));
    Ok(())
}

fn parse(options: &[String]) -> anyhow::Result<(u64, Vec<&'static Target>)> {
    let (mut seconds, mut targets) = (DEFAULT_SECONDS, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--seconds" => {
                seconds = options.next().context("--seconds needs a number")?.parse().context("--seconds")?
            }
            name => match target(name) {
                Some(target) => targets.push(target),
                None => {
                    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                    bail!("no target '{name}'; there are {}", names.join(", "));
                }
            },
        }
    }
    ensure!(seconds != 0, "--seconds must be at least 1");
    if targets.is_empty() {
        targets = TARGETS.iter().collect();
    }
    Ok((seconds, targets))
}

/// Builds the fuzzer and returns its path.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    let target_dir = root.join("target/fuzz/build");
    // The versions of the workspace, to which cargo adds what only the fuzzer needs.
    fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock")).context("cannot copy Cargo.lock")?;
    // With a target named, the options do not reach build scripts.
    let status = Command::new("cargo")
        .args(["build", "--release", "--target", &host])
        .current_dir(root.join("fuzz"))
        .env("RUSTFLAGS", COVERAGE.join(" "))
        .env("CARGO_TARGET_DIR", &target_dir)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the fuzzer does not build");
    Ok(target_dir.join(host).join("release/farhold-libfuzzer"))
}

fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output().context("cannot start rustc")?;
    ensure!(output.status.success(), "rustc does not tell its host");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs one target. What it found worth keeping is kept for the next time.
fn run(root: &Path, program: &Path, target: &Target, seconds: u64) -> anyhow::Result<bool> {
    let folder = root.join("target/fuzz").join(target.name);
    let (seeds, corpus, faults) = (folder.join("seeds"), folder.join("corpus"), folder.join("faults"));
    for folder in [&seeds, &corpus, &faults] {
        fs::create_dir_all(folder)?;
    }
    for (position, seed) in (target.seeds)().iter().enumerate() {
        fs::write(seeds.join(position.to_string()), seed)?;
    }
    let log = fs::File::create(folder.join("log"))?;
    let status = Command::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.max_input_bytes))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", faults.display()))
        .args(["-rss_limit_mb=2048", "-print_final_stats=1"])
        .args([&corpus, &seeds])
        .env("FARHOLD_FUZZ_TARGET", target.name)
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn all_targets_run_for_a_minute_unless_some_are_named() {
        let (seconds, targets) = parse(&[]).unwrap();
        assert_eq!((seconds, targets.len()), (60, TARGETS.len()));
        let (seconds, targets) = parse(&options("blob --seconds 5 upid")).unwrap();
        assert_eq!((seconds, targets.iter().map(|target| target.name).collect::<Vec<_>>()), (5, vec!["blob", "upid"]));
    }

    #[test]
    fn unknown_targets_and_times_are_refused() {
        for wrong in ["blobs", "--seconds", "--seconds x", "--seconds 0"] {
            assert!(parse(&options(wrong)).is_err(), "{wrong}");
        }
    }
}
