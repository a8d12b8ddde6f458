//! `bench ingest`: our own client backs up a disk image, then again with one chunk of a hundred changed, then unchanged.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use farhold_testkit::disk_image::{CHUNK_BYTES, disk_image_chunk};

use super::Options;
use super::server::Usage;
use super::site::{STORE, Site, text};

/// Every so many chunks one is changed: 1 %.
const CHANGED_EVERY: usize = 100;

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    let disk = site.source_store.with_file_name("disk.raw");
    eprintln!("writing a disk of {} chunks", options.chunks);
    let mut file = File::create(&disk)?;
    for position in 0..options.chunks {
        file.write_all(&disk_image_chunk(7, position as u64))?;
    }
    file.sync_all()?;
    let archive = format!("disk.img:{}", text(&disk)?);
    let mut table = String::from(
        "| line, run | seconds | MiB/s content | CPU s client | CPU s server | requests | wire MiB | peak client | peak server |\n",
    );
    let mut times = 1_767_261_600..;
    // Each change brings content that was never there.
    let mut seeds = 1000..;
    for line in &options.lines {
        for run in 1..=options.runs {
            let id = format!("{}-{run}", line.name());
            let running = site.start(*line)?;
            for step in ["first", "1 % changed", "unchanged"] {
                eprintln!("{id}, {step}");
                if step == "1 % changed" {
                    let seed = seeds.next().context("no seed left")?;
                    for position in (0..options.chunks).step_by(CHANGED_EVERY) {
                        let other = disk_image_chunk(seed, position as u64);
                        file.write_all_at(&other, (position * CHUNK_BYTES) as u64)?;
                    }
                    file.sync_all()?;
                }
                let time = times.next().context("no time left")?.to_string();
                let arguments =
                    ["client", "backup", &archive, "--backup-type", "vm", "--backup-id", &id, "--backup-time", &time];
                let before = (running.source.usage()?, site.source.requests()?, running.wire_bytes());
                let (elapsed, client) = timed(site, &running.address(*line), &arguments)?;
                let after = (running.source.usage()?, site.source.requests()?, running.wire_bytes());
                let seconds = elapsed.as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "figures for people")]
                let rate = (options.chunks * CHUNK_BYTES) as f64 / 1_048_576.0 / seconds;
                write!(table, "| {id}, {step} | {seconds:.2} | {rate:.0} | {:.2} |", client.cpu_seconds)?;
                write!(table, " {:.2} | {} |", after.0.cpu_seconds - before.0.cpu_seconds, after.1 - before.1)?;
                write!(table, " {} |", (after.2.unwrap_or_default() - before.2.unwrap_or_default()) >> 20)?;
                writeln!(table, " {} | {} |", client.peak_bytes >> 20, after.0.peak_bytes >> 20)?;
            }
            running.stop()?;
            let index = site.source_store.join("vm").join(&id);
            ensure!(index.is_dir(), "no backup in {}", index.display());
        }
    }
    Ok(table)
}

/// Runs the client as a user would, and returns how long it took and what it used.
fn timed(site: &Site, address: &str, arguments: &[&str]) -> anyhow::Result<(Duration, Usage)> {
    let account = &site.account;
    let repository = format!("{}@{address}:{STORE}", account.authid);
    let environment = [
        ("PBS_REPOSITORY", repository.as_str()),
        ("PBS_PASSWORD", account.secret.as_str()),
        ("PBS_FINGERPRINT", account.fingerprint.as_str()),
    ];
    let begin = Instant::now();
    let usage = site.target.run_measured(arguments, &environment)?;
    Ok((begin.elapsed(), usage))
}
