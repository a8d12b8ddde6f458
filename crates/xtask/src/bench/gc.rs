//! `bench gc`: collecting the garbage of a large datastore, compared with a plain serial walk that does the same.

use std::fmt::Write;

use anyhow::{Context, ensure};

use super::Options;
use super::garbage::{Found, Garbage};
use super::report::median;
use super::server::machine_cpu_seconds;
use super::site::{Line, STORE, Site};

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    eprintln!("making {} chunks and {} indexes", options.stored, options.indexes);
    let garbage = Garbage::make(&site.source_store, options.stored, options.indexes)?;
    let mut table =
        String::from("| run | serial s | mark | sweep | collection s | share | CPU s | others | peak MiB |\n");
    let mut shares = Vec::new();
    for run in 1..=options.runs {
        eprintln!("{run} of {}", options.runs);
        garbage.age()?;
        let walk = garbage.walk()?;
        // The walk also sees the chunk of the check of access times, if a collection was here before.
        let extra = walk.found.used - garbage.expected().used;
        ensure!(extra <= 1 && Found { used: walk.found.used - extra, ..walk.found } == garbage.expected(), "{walk:?}");
        garbage.check()?;

        garbage.age()?;
        let running = site.start(Line::Near)?;
        let (usage, machine) = (running.source.usage()?, machine_cpu_seconds()?);
        let seconds = site.source.time_task(&["garbage-collection", "start", STORE], || ())?.as_secs_f64();
        let others = machine_cpu_seconds()? - machine;
        let after = running.source.usage()?;
        let status = site.source.run(&["garbage-collection", "status", STORE, "--output-format", "json"])?;
        running.stop()?;
        garbage.check()?;
        // With the chunk of the check of access times.
        let expected = garbage.expected();
        ensure!(found(&status)? == Found { used: expected.used + 1, ..expected }, "unexpected result: {status}");

        let serial = (walk.mark + walk.sweep).as_secs_f64();
        let (mark, sweep) = (walk.mark.as_secs_f64(), walk.sweep.as_secs_f64());
        let cpu = after.cpu_seconds - usage.cpu_seconds;
        let (share, others, peak) = (seconds / serial, others - cpu, after.peak_bytes >> 20);
        shares.push(share);
        write!(table, "| {run} | {serial:.2} | {mark:.2} | {sweep:.2} | {seconds:.2} | {share:.2} |")?;
        writeln!(table, " {cpu:.2} | {others:.2} | {peak} |")?;
    }
    writeln!(table, "median share: {:.2}", median(shares.into_iter()))?;
    Ok(table)
}

fn found(status: &str) -> anyhow::Result<Found> {
    let status: serde_json::Value = serde_json::from_str(status)?;
    let count = |name: &str| {
        let count = status[name].as_u64().and_then(|count| usize::try_from(count).ok());
        count.with_context(|| format!("no {name} in {status}"))
    };
    Ok(Found {
        index_files: count("index-file-count")?,
        used: count("disk-chunks")?,
        removed: count("removed-chunks")?,
    })
}
