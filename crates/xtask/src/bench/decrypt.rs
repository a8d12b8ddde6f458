//! `bench decrypt`: an encrypted disk image that is decrypted while it is pulled, and an identical second snapshot.

use std::fmt::Write;
use std::fs;

use anyhow::Context;

use super::Options;
use super::image::{FIRST, GROUP, Image, SECOND, move_aside};
use super::key::{self, KEY};
use super::server::machine_cpu_seconds;
use super::site::{STORE, Site};

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    eprintln!("making an encrypted image of {} chunks", options.chunks);
    let image = Image::write_encrypted(&site.source_store, options.chunks, key::config())?;
    let folder = site.source_store.parent().context("a datastore in no folder")?;

    let mut table = String::from(
        "| line, run | first s | CPU s target | others | second s | CPU s target | wire MiB | peak MiB |\n",
    );
    let mut is_set_up = false;
    for line in &options.lines {
        for run in 1..=options.runs {
            eprintln!("{} {run} of {}", line.name(), options.runs);
            let running = site.start(*line)?;
            let job = format!("decrypt-{}", line.name());
            if !is_set_up {
                key::import(&site.target, folder)?;
                is_set_up = true;
            }
            if run == 1 {
                let create = ["sync-job", "create", &job, "--store", STORE, "--remote", line.name()];
                let rest = ["--remote-store", STORE, "--associated-key", KEY];
                site.target.run(&[&create[..], &rest[..]].concat())?;
            }
            let mut cells = String::new();
            let mut wire = running.wire_bytes().unwrap_or_default();
            for time in [FIRST, SECOND] {
                if time == SECOND {
                    image.write_snapshot(&site.source_store, GROUP, SECOND)?;
                }
                let before = (running.target.usage()?, running.source.usage()?, machine_cpu_seconds()?);
                let elapsed = site.target.time_task(&["sync-job", "run", &job], || ())?;
                let after = (running.target.usage()?, running.source.usage()?, machine_cpu_seconds()?);
                let target_cpu = after.0.cpu_seconds - before.0.cpu_seconds;
                let others = after.2 - before.2 - target_cpu - (after.1.cpu_seconds - before.1.cpu_seconds);
                write!(cells, " {:.2} | {target_cpu:.2} |", elapsed.as_secs_f64())?;
                if time == FIRST {
                    write!(cells, " {others:.2} |")?;
                }
            }
            wire = running.wire_bytes().unwrap_or_default() - wire;
            let peak = running.target.usage()?.peak_bytes >> 20;
            running.stop()?;
            for time in [FIRST, SECOND] {
                image.compare_decrypted(&site.target_store, time)?;
            }
            writeln!(table, "| {} {run} |{cells} {} | {peak} |", line.name(), wire >> 20)?;
            let aside = site.target_store.with_file_name(format!("done-{}-{run}", line.name()));
            move_aside(&site.target_store, &aside, image.plain_digests())?;
            fs::remove_dir_all(site.source_store.join(GROUP).join(SECOND.to_string()))?;
        }
    }
    Ok(table)
}
