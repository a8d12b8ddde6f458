//! `cargo xtask bench pull`: pulls a made-up disk image from one real server into another and measures it.
//!
//! Both servers are processes of the release binary with their own folders, set up by commands as anybody would. Each
//! run starts both anew, pulls into an empty datastore, pulls again, and compares the copy with the original. What is
//! measured and why: `docs/benchmarks.md`.

mod image;
mod report;
mod server;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::relay::{RelayOptions, start};
use image::Image;
use report::{Measurement, Report};
use server::{Installation, connections_to, machine_cpu_seconds};

/// Chunks of the image: 2 GiB, as in the reference measurements.
const DEFAULT_CHUNKS: usize = 512;
/// Runs of each measurement; the median counts.
const DEFAULT_RUNS: usize = 3;
/// Most chunks and runs that can be asked for, so that the benchmark ends.
const MAX_CHUNKS: usize = 8192;
const MAX_RUNS: usize = 100;

/// The long line: 80 ms round trip, and at most 12.5 MiB/s on one connection.
const FAR_DELAY: Duration = Duration::from_millis(40);
const FAR_WINDOW_BYTES: usize = 1 << 20;

/// Name of the datastore on both sides, and of the account on the source.
const STORE: &str = "bench";
const USER: &str = "bench@pbs";
const TOKEN_NAME: &str = "pull";

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    chunks: usize,
    runs: usize,
    lines: Vec<Line>,
    program: Option<PathBuf>,
}

/// Between the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing but loopback.
    Near,
    /// A relay that delays and bounds.
    Far,
}

impl Line {
    /// Name of the line in the report, and of the remote.
    const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

impl BenchOptions {
    /// Reads the arguments behind `bench pull`.
    ///
    /// # Errors
    /// An unknown option or a value out of range.
    pub fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options =
            Self { chunks: DEFAULT_CHUNKS, runs: DEFAULT_RUNS, lines: vec![Line::Near, Line::Far], program: None };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { bail!("option {} needs a value", pair[0]) };
            let what = || format!("invalid value of {name}: {value}");
            match name.as_str() {
                "--chunks" => options.chunks = value.parse().with_context(what)?,
                "--runs" => options.runs = value.parse().with_context(what)?,
                "--line" if value == "near" => options.lines = vec![Line::Near],
                "--line" if value == "far" => options.lines = vec![Line::Far],
                "--program" => options.program = Some(value.into()),
                _ => bail!("unknown option or value: {name} {value}"),
            }
        }
        ensure!((1..=MAX_CHUNKS).contains(&options.chunks), "--chunks must be 1 to {MAX_CHUNKS}");
        ensure!((1..=MAX_RUNS).contains(&options.runs), "--runs must be 1 to {MAX_RUNS}");
        Ok(options)
    }
}

/// Measures and prints. `root`: folder of the workspace; everything made lies in its target folder and is removed.
///
/// # Errors
/// A server, a command or a comparison failed; another benchmark runs.
pub fn pull(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let options = BenchOptions::parse(arguments)?;
    let own = std::env::current_exe()?;
    let builds = own.parent().and_then(Path::parent).context("the program lies in no target folder")?.to_owned();
    if cfg!(debug_assertions) {
        // The yardstick and the relay must be as fast as what they are compared with.
        build(root)?;
        let status =
            Command::new(builds.join("release").join("xtask")).args(["bench", "pull"]).args(arguments).status()?;
        ensure!(status.success(), "the benchmark ended with {status}");
        return Ok(());
    }
    let program = match options.program.clone() {
        Some(program) => program,
        None => builds.join("release").join("farhold"),
    };
    ensure!(program.exists(), "{} is missing: run without --release, or build it first", program.display());
    let folder = builds.join("bench-pull");
    let lock = File::create(builds.join("bench-pull.lock"))?;
    lock.try_lock().context("another benchmark runs")?;
    remove(&folder)?;
    let outcome = Bench::set_up(&folder, &program, &options).and_then(|bench| bench.measure(&options));
    match outcome {
        Ok(report) => {
            remove(&folder)?;
            print!("{report}");
            Ok(())
        }
        // The logs of the servers may tell why.
        Err(error) => Err(error.context(format!("see the logs in {}", folder.display()))),
    }
}

fn build(root: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--locked", "-p", "farhold", "-p", "xtask"];
    let status = Command::new(cargo).args(arguments).current_dir(root).status()?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

struct Bench {
    source: Installation,
    target: Installation,
    source_store: PathBuf,
    target_store: PathBuf,
    relay_address: SocketAddr,
    image: Image,
}

impl Bench {
    /// Makes two servers: one with the image and an account that may read it, one with remotes and an empty datastore.
    fn set_up(folder: &Path, program: &Path, options: &BenchOptions) -> anyhow::Result<Self> {
        eprintln!("setting up two servers in {}", folder.display());
        let source = Installation::new(program, folder.join("source"))?;
        let target = Installation::new(program, folder.join("target"))?;
        let [source_store, target_store] = ["source-store", "target-store"].map(|name| folder.join(name));
        let running = (source.start()?, target.start()?);

        source.run(&["datastore", "create", STORE, text(&source_store)?])?;
        source.run(&["user", "create", USER])?;
        let token = source.run(&["user", "generate-token", USER, TOKEN_NAME])?;
        let token: serde_json::Value = serde_json::from_str(token.trim_start_matches("Result: "))?;
        let member = |name: &str| token[name].as_str().with_context(|| format!("a new token has no {name}"));
        let (authid, secret) = (member("tokenid")?, member("value")?);
        let path = format!("/datastore/{STORE}");
        for holder in [USER, authid] {
            source.run(&["acl", "update", &path, "DatastoreReader", "--auth-id", holder])?;
        }
        let certificate = source.run(&["cert", "info"])?;
        let fingerprint = certificate.lines().find_map(|line| line.strip_prefix("Fingerprint (sha256): "));
        let fingerprint = fingerprint.context("cert info shows no fingerprint")?.trim();

        target.run(&["datastore", "create", STORE, text(&target_store)?])?;
        // Free now; the relay takes it later.
        let relay_address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        for (line, address) in [(Line::Near, source.address()), (Line::Far, relay_address)] {
            let port = address.port().to_string();
            let create = ["remote", "create", line.name(), "--host", "127.0.0.1", "--port", &port];
            let account = ["--auth-id", authid, "--password", secret, "--fingerprint", fingerprint];
            target.run(&[&create[..], &account[..]].concat())?;
        }
        running.0.stop()?;
        running.1.stop()?;

        eprintln!("making an image of {} chunks", options.chunks);
        let image = Image::write(&source_store, options.chunks)?;
        Ok(Self { source, target, source_store, target_store, relay_address, image })
    }

    fn measure(&self, options: &BenchOptions) -> anyhow::Result<Report> {
        // Two threads for a relay: one core must not hold up both directions.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut report = Report::new(self.image.content_bytes(), self.image.stored_bytes());
        report.yardsticks.push(self.image.decode_and_hash_seconds(&self.source_store)?);
        for line in &options.lines {
            for run in 1..=options.runs {
                eprintln!("{} {run} of {}", line.name(), options.runs);
                let aside = self.target_store.with_file_name(format!("done-{}", report.measurements.len()));
                report.measurements.push(self.run(*line, &runtime, &aside)?);
            }
            report.yardsticks.push(self.image.decode_and_hash_seconds(&self.source_store)?);
        }
        Ok(report)
    }

    fn run(&self, line: Line, runtime: &tokio::runtime::Runtime, aside: &Path) -> anyhow::Result<Measurement> {
        // What earlier steps wrote must not be on its way to the disk meanwhile.
        nix::unistd::sync();
        let relay = match line {
            Line::Near => None,
            Line::Far => Some(runtime.block_on(start(RelayOptions {
                listen: self.relay_address,
                target: self.source.address(),
                one_way_delay: FAR_DELAY,
                window_bytes: FAR_WINDOW_BYTES,
            }))?),
        };
        let (source, target) = (self.source.start()?, self.target.start()?);
        // Servers run for weeks: the hash of the account's secret, which each server computes once, is no part of a pull.
        self.target.run(&["remote", "scan", line.name()])?;
        let carried = || relay.as_ref().map(crate::relay::Relay::statistics);

        let before = (source.usage()?, target.usage()?, machine_cpu_seconds()?);
        let port = self.source.address().port();
        let mut connections = 0;
        let arguments = ["pull", line.name(), STORE, STORE];
        let (first, log) = self.target.time_task(&arguments, || connections = connections.max(connections_to(port)))?;
        let after = (source.usage()?, target.usage()?, machine_cpu_seconds()?);
        let on_wire = carried();
        ensure!(log.contains("TASK OK"), "the pull failed: {log}");

        let (again, _) = self.target.time_task(&arguments, || ())?;
        let on_wire_again = carried();
        source.stop()?;
        target.stop()?;
        if let Some(relay) = relay {
            runtime.block_on(relay.stop());
        }
        self.image.compare(&self.source_store, &self.target_store)?;
        self.image.move_aside(&self.target_store, aside)?;

        let (source_cpu, target_cpu) =
            (after.0.cpu_seconds - before.0.cpu_seconds, after.1.cpu_seconds - before.1.cpu_seconds);
        Ok(Measurement {
            line: line.name(),
            seconds: first.as_secs_f64(),
            again_seconds: again.as_secs_f64(),
            source_cpu,
            target_cpu,
            other_cpu: after.2 - before.2 - source_cpu - target_cpu,
            source_peak_bytes: after.0.peak_bytes,
            target_peak_bytes: after.1.peak_bytes,
            connections,
            wire_bytes: on_wire.map(|on_wire| on_wire.up_bytes + on_wire.down_bytes),
            again_wire_bytes: on_wire
                .zip(on_wire_again)
                .map(|(first, both)| both.up_bytes + both.down_bytes - first.up_bytes - first.down_bytes),
        })
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8 text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<BenchOptions> {
        BenchOptions::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options_have_defaults_and_bounds() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.chunks, options.runs), (512, 3));
        assert_eq!(options.lines, [Line::Near, Line::Far]);
        assert_eq!(parse(&["--line", "far", "--runs", "1"]).unwrap().lines, [Line::Far]);
        for wrong in [&["--runs", "0"][..], &["--chunks", "9000"], &["--line", "x"], &["--runs"], &["--nothing", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
