//! Command line of the automation: `cargo xtask <command>`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use xtask::relay::{RelayOptions, start};
use xtask::{bench, check, faults, fuzz, layers, manuals, scenarios, ui};

const USAGE: &str = "\
usage: cargo xtask <command>

  check    format, layers, the web interface if Node.js is there, lints, tests, licences and sources: what CI runs,
           before `cargo xtask ui test` and tests/clients/run
  ui build      build the web interface, for the next build of the program; needs Node.js 20 or newer
  ui test [OPTIONS]    its tests, then those in a real Chromium (/usr/bin/chromium, or what CHROMIUM names) against
             servers of this tree; options go to Playwright, such as the name of a test file
  ui pictures   make docs/screenshots, and the pictures that the tests compare screens with
  layers   compare the imports of the crates with the layer table
  scenarios     write docs/scenarios.md: the scenarios of the sync specification and the tests that show them
             --check                only compare it; fails if a scenario has no test
  openapi  write docs/openapi.json, the description of the REST interface; a test compares it
  man [FOLDER]  write manual pages and shell completions (default below target/man)
  bench CASE    measure pulls, pushes, backups and upkeep of two servers, see docs/benchmarks.md
    pull     a made-up disk image, near and over a long line
    groups   many groups of small snapshots over a long line: first pull, and nothing new
    decrypt  an encrypted image over a long line: first pull, and an identical second snapshot
    limits   memory with 32 workers, and a bandwidth limit
    push     an image: first push, identical second snapshot, many streams, an unchanged disk of 64 GiB
    push-groups   many groups of small snapshots over a long line: first push, and nothing new
    encrypt  an image that is encrypted while it is pushed: first push, and an identical second snapshot
    ingest   an image backed up by our client: first, with 1 % changed, unchanged
    verify   verification of an image, compared with decoding and hashing alone on two threads
    gc       garbage collection, compared with a plain serial walk
             --chunks N             size of an image in chunks of 4 MiB (default 512)
             --groups N             groups of three snapshots (default 100)
             --stored N             chunks whose garbage is collected (default 1000000)
             --indexes N            indexes that name them (default 10000)
             --runs N               runs of each measurement (default 3 in `pull`, `verify` and `gc`, else 1)
             --line near|far        only this line
             --program FILE         measure this build instead of the workspace's
  simulate [OPTIONS]    live through simulated worlds of two servers, see crates/farhold-simulation
             --seeds N              as many worlds (default 1000)
             --from S               beginning with this seed (default 1)
             --keep-going           do not stop at the first world that ends badly
             --seed S               only this one
             --trace                tell what happens
  faults   pull over lines that break, in full size; prints what is sent twice
             --mib N                size of the pulled disk (default 1024)
  fuzz [TARGET...]      every parser of outside bytes under libFuzzer; needs a C++ compiler
             --seconds N            time for each target (default 60)
  relay    relay TCP connections on loopback like a long-distance link
             --listen PORT          port on 127.0.0.1; 0 takes a free one
             --target HOST:PORT     where connections go
             --delay-ms N           one-way delay (default 40)
             --window-kib N         bytes in flight per connection and direction; 0 = no limit (default 1024)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (command, options) = arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    match command {
        "check" if options.is_empty() => check::check(&root()),
        "layers" if options.is_empty() => check::check_layers(&root()),
        "scenarios" if options.is_empty() => scenarios::write(&root()),
        "scenarios" if options == ["--check"] => scenarios::check(&root()),
        "openapi" if options.is_empty() => check::write_openapi(&root()),
        "man" => match options {
            [] => manuals::write(&root(), &root().join("target/man")),
            [folder] => manuals::write(&root(), Path::new(folder)),
            _ => bail!("one folder at most\n\n{USAGE}"),
        },
        "bench" => bench::bench(&root(), options),
        "simulate" => check::simulate(&root(), options),
        "ui" => match options {
            [what] if what == "build" => ui::build(&root()),
            [what] if what == "pictures" => ui::pictures(&root()),
            [what, more @ ..] if what == "test" => ui::test(&root(), more),
            _ => bail!("ui build, ui test or ui pictures\n\n{USAGE}"),
        },
        "fuzz" => fuzz::fuzz(&root(), options),
        "faults" => faults::run(&root(), options),
        "relay" => relay(options),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown command or option\n\n{USAGE}"),
    }
}

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    let manifest_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    layers::workspace_root(manifest_folder)
}

fn relay(options: &[String]) -> anyhow::Result<()> {
    let (mut listen, mut target) = (None, None);
    let (mut delay_ms, mut window_kib) = (40u64, 1024usize);
    for pair in options.chunks(2) {
        let [name, value] = pair else { bail!("option {} needs a value\n\n{USAGE}", pair[0]) };
        let what = || format!("invalid value of {name}: {value}");
        match name.as_str() {
            "--listen" => listen = Some(value.parse::<u16>().with_context(what)?),
            "--target" => target = value.to_socket_addrs().with_context(what)?.next(),
            "--delay-ms" => delay_ms = value.parse().with_context(what)?,
            "--window-kib" => window_kib = value.parse().with_context(what)?,
            _ => bail!("unknown option {name}\n\n{USAGE}"),
        }
    }
    let (Some(port), Some(target)) = (listen, target) else { bail!("--listen and --target are needed\n\n{USAGE}") };
    let options = RelayOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        target,
        one_way_delay: Duration::from_millis(delay_ms),
        window_bytes: window_kib.checked_mul(1024).context("window is too large")?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let relay = start(options).await?;
        println!("{} -> {target}", relay.address());
        tokio::signal::ctrl_c().await?;
        println!("{:?}", relay.stop().await);
        Ok(())
    })
}
