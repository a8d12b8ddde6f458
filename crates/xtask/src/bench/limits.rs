//! `bench limits`: memory with 32 workers, and whether `rate-in` holds.

use std::fmt::Write;

use anyhow::ensure;

use super::Options;
use super::image::{FIRST, Image, move_aside};
use super::site::{Line, STORE, Site};

/// Groups that are pulled at once.
const WORKERS: usize = 32;
/// Bytes per second of the limited pull, and how long it should take.
const RATE_BYTES: u64 = 4 << 20;
const RATE_SECONDS: u64 = 30;

/// Measures and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    let mut table = String::new();
    eprintln!("making an image of {} chunks in {WORKERS} groups", options.chunks);
    let image = Image::write(&site.source_store, options.chunks)?;
    for group in 1..WORKERS {
        image.write_snapshot(&site.source_store, &format!("vm/{}", 900 + group), FIRST)?;
    }
    let create = |job: &str, line: Line, more: &[&str]| {
        let arguments = ["sync-job", "create", job, "--store", STORE, "--remote", line.name(), "--remote-store", STORE];
        site.target.run(&[&arguments[..], more].concat())
    };
    for line in &options.lines {
        let running = site.start(*line)?;
        let job = format!("workers-{}", line.name());
        create(&job, *line, &["--worker-threads", &WORKERS.to_string()])?;
        let elapsed = site.target.time_task(&["sync-job", "run", &job], || ())?;
        let (source, target) = (running.source.usage()?.peak_bytes >> 20, running.target.usage()?.peak_bytes >> 20);
        running.stop()?;
        writeln!(
            table,
            "{WORKERS} groups of {} MiB, {WORKERS} workers, {}: {:.2} s, peak source {source} MiB, target {target} MiB",
            image.content_bytes() >> 20,
            line.name(),
            elapsed.as_secs_f64(),
        )?;
        let aside = site.target_store.with_file_name(format!("done-{}", line.name()));
        move_aside(&site.target_store, &aside, image.stored_digests())?;
    }

    let running = site.start(Line::Near)?;
    let wanted = RATE_BYTES * RATE_SECONDS;
    let bytes = image.stored_bytes();
    ensure!(wanted <= bytes, "the image is too small for {RATE_SECONDS} s");
    let rate = format!("{}MiB", RATE_BYTES >> 20);
    create("limited", Line::Near, &["--rate-in", &rate, "--group-filter", "group:vm/900"])?;
    let elapsed = site.target.time_task(&["sync-job", "run", "limited"], || ())?;
    running.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (carried, allowed) = (bytes as f64, RATE_BYTES as f64 * elapsed.as_secs_f64());
    writeln!(
        table,
        "rate-in {rate}: {} MiB in {:.1} s = {:.3} of the limit",
        bytes >> 20,
        elapsed.as_secs_f64(),
        carried / allowed
    )?;
    Ok(table)
}
