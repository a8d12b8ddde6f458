//! `cargo xtask bench CASE`: measures pulls and pushes between two real servers, backups of our client, and
//! what keeps a datastore healthy.
//!
//! Both servers are processes of the release binary with their own folders, set up by commands as anybody would. What is
//! measured and why: `docs/benchmarks.md`.

mod decrypt;
mod garbage;
mod gc;
mod groups;
mod image;
mod ingest;
mod key;
mod limits;
mod pull;
mod push;
mod report;
mod server;
mod site;
mod verify;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::check::cargo_program;
use site::{Direction, Line, Site};

/// Chunks of an image: 2 GiB, as in the reference measurements.
const DEFAULT_CHUNKS: usize = 512;
/// Groups of three small snapshots, as in the reference measurements.
const DEFAULT_GROUPS: usize = 100;
/// Chunks and indexes whose garbage is collected: the goal's.
const DEFAULT_STORED: usize = 1_000_000;
const DEFAULT_INDEXES: usize = 10_000;
/// Runs of each measurement; the median counts.
const DEFAULT_RUNS: usize = 3;
/// Most chunks, groups and runs that can be asked for, so that a benchmark ends.
const MAX_CHUNKS: usize = 8192;
const MAX_GROUPS: usize = 10_000;
const MAX_STORED: usize = 10_000_000;
const MAX_INDEXES: usize = 100_000;
const MAX_RUNS: usize = 100;

/// What to measure.
#[derive(Debug, Clone)]
struct Options {
    case: Case,
    chunks: usize,
    groups: usize,
    stored: usize,
    indexes: usize,
    runs: usize,
    lines: Vec<Line>,
    program: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Pull,
    Groups,
    Decrypt,
    Limits,
    Push,
    PushGroups,
    Encrypt,
    Ingest,
    Verify,
    Gc,
}

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let (case, arguments) = arguments.split_first().context("what to measure is missing")?;
        let case = match case.as_str() {
            "pull" => Case::Pull,
            "groups" => Case::Groups,
            "decrypt" => Case::Decrypt,
            "limits" => Case::Limits,
            "push" => Case::Push,
            "push-groups" => Case::PushGroups,
            "encrypt" => Case::Encrypt,
            "ingest" => Case::Ingest,
            "verify" => Case::Verify,
            "gc" => Case::Gc,
            _ => bail!("unknown benchmark: {case}"),
        };
        let lines = match case {
            Case::Pull | Case::Push | Case::Ingest => vec![Line::Near, Line::Far],
            Case::Encrypt | Case::Verify | Case::Gc => vec![Line::Near],
            Case::Groups | Case::PushGroups | Case::Decrypt | Case::Limits => vec![Line::Far],
        };
        let runs = if matches!(case, Case::Pull | Case::Verify | Case::Gc) { DEFAULT_RUNS } else { 1 };
        let mut options = Self {
            case,
            chunks: DEFAULT_CHUNKS,
            groups: DEFAULT_GROUPS,
            stored: DEFAULT_STORED,
            indexes: DEFAULT_INDEXES,
            runs,
            lines,
            program: None,
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { bail!("option {} needs a value", pair[0]) };
            let what = || format!("invalid value of {name}: {value}");
            match name.as_str() {
                "--chunks" => options.chunks = value.parse().with_context(what)?,
                "--groups" => options.groups = value.parse().with_context(what)?,
                "--stored" => options.stored = value.parse().with_context(what)?,
                "--indexes" => options.indexes = value.parse().with_context(what)?,
                "--runs" => options.runs = value.parse().with_context(what)?,
                "--line" if value == "near" => options.lines = vec![Line::Near],
                "--line" if value == "far" => options.lines = vec![Line::Far],
                "--program" => options.program = Some(value.into()),
                _ => bail!("unknown option or value: {name} {value}"),
            }
        }
        ensure!((1..=MAX_CHUNKS).contains(&options.chunks), "--chunks must be 1 to {MAX_CHUNKS}");
        ensure!((1..=MAX_GROUPS).contains(&options.groups), "--groups must be 1 to {MAX_GROUPS}");
        ensure!((1..=MAX_STORED).contains(&options.stored), "--stored must be 1 to {MAX_STORED}");
        ensure!((1..=MAX_INDEXES).contains(&options.indexes), "--indexes must be 1 to {MAX_INDEXES}");
        ensure!((1..=MAX_RUNS).contains(&options.runs), "--runs must be 1 to {MAX_RUNS}");
        Ok(options)
    }
}

/// Measures and prints. `root`: folder of the workspace; everything made lies in its target folder and is removed.
///
/// # Errors
/// A server, a command or a comparison failed; another benchmark runs.
pub fn bench(root: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let options = Options::parse(arguments)?;
    let own = std::env::current_exe()?;
    let builds = own.parent().and_then(Path::parent).context("the program lies in no target folder")?.to_owned();
    if cfg!(debug_assertions) {
        // The yardstick and the relay must be as fast as what they are compared with.
        build(root)?;
        let status = Command::new(builds.join("release").join("xtask")).arg("bench").args(arguments).status()?;
        ensure!(status.success(), "the benchmark ended with {status}");
        return Ok(());
    }
    let program = match options.program.clone() {
        Some(program) => program,
        None => builds.join("release").join("farhold"),
    };
    ensure!(program.exists(), "{} is missing: run without --release, or build it first", program.display());
    let folder = builds.join("bench");
    let lock = File::create(builds.join("bench.lock"))?;
    lock.try_lock().context("another benchmark runs")?;
    remove(&folder)?;
    let measured = Site::set_up(&folder, &program).and_then(|site| match options.case {
        Case::Pull => pull::measure(&site, &options),
        Case::Groups => groups::measure(&site, &options, Direction::Pull),
        Case::Decrypt => decrypt::measure(&site, &options),
        Case::Limits => limits::measure(&site, &options),
        Case::Push => push::measure(&site, &options),
        Case::PushGroups => groups::measure(&site, &options, Direction::Push),
        Case::Encrypt => push::measure_encrypting(&site, &options),
        Case::Ingest => ingest::measure(&site, &options),
        Case::Verify => verify::measure(&site, &options),
        Case::Gc => gc::measure(&site, &options),
    });
    match measured {
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
    let arguments = ["build", "--release", "--locked", "-p", "farhold", "-p", "xtask"];
    let status = Command::new(cargo_program()).args(arguments).current_dir(root).status()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options_have_defaults_and_bounds() {
        let options = parse(&["pull"]).unwrap();
        assert_eq!((options.chunks, options.runs), (512, 3));
        assert_eq!(options.lines, [Line::Near, Line::Far]);
        assert_eq!(parse(&["groups"]).unwrap().lines, [Line::Far]);
        assert_eq!(parse(&["pull", "--line", "far", "--runs", "1"]).unwrap().lines, [Line::Far]);
        let wrong_options =
            [&["--runs", "0"][..], &["--chunks", "9000"], &["--line", "x"], &["--runs"], &["--nothing", "1"]];
        for wrong in wrong_options {
            assert!(parse(&[&["pull"], wrong].concat()).is_err(), "{wrong:?}");
        }
        assert!(parse(&[]).is_err() && parse(&["nothing"]).is_err());
    }
}
