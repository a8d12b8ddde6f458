//! `bench verify`: verification of the disk image, compared with what decoding and hashing alone need on two threads.

use std::fmt::Write;

use anyhow::ensure;

use super::Options;
use super::image::{GROUP, Image};
use super::report::median;
use super::server::machine_cpu_seconds;
use super::site::{Line, STORE, Site};

/// Threads of the yardstick: the cores of the machine that the goal is about.
const YARDSTICK_THREADS: usize = 2;

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    eprintln!("making an image of {} chunks", options.chunks);
    let image = Image::write(&site.source_store, options.chunks)?;
    let mut table = String::from("| run | T2 | seconds | share | CPU s | others | peak MiB |\n");
    let mut shares = Vec::new();
    for run in 1..=options.runs {
        eprintln!("{run} of {}", options.runs);
        // Before and after, so that what else the machine does hits both alike.
        let before = image.decode_and_hash_on(&site.source_store, YARDSTICK_THREADS)?;
        let running = site.start(Line::Near)?;
        let (usage, machine) = (running.source.usage()?, machine_cpu_seconds()?);
        let arguments = ["verify", STORE, "--ignore-verified", "false"];
        let seconds = site.source.time_task(&arguments, || ())?.as_secs_f64();
        let others = machine_cpu_seconds()? - machine;
        let after = running.source.usage()?;
        running.stop()?;
        let yardstick = f64::midpoint(before, image.decode_and_hash_on(&site.source_store, YARDSTICK_THREADS)?);
        let cpu = after.cpu_seconds - usage.cpu_seconds;
        let share = yardstick / seconds;
        shares.push(share);
        let (others, peak) = (others - cpu, after.peak_bytes >> 20);
        writeln!(table, "| {run} | {yardstick:.2} | {seconds:.2} | {share:.2} | {cpu:.2} | {others:.2} | {peak} |")?;
        ensure!(image.is_verified(&site.source_store)?, "{GROUP} is not noted as verified");
    }
    writeln!(table, "median share: {:.2}", median(shares.into_iter()))?;
    Ok(table)
}
