//! `bench pull`: one disk image into an empty datastore, and again when nothing is new; compared with what decoding and
//! hashing alone cost.

use std::path::Path;

use super::Options;
use super::image::{Image, move_aside};
use super::report::{Measurement, Report};
use super::server::{connections_to, machine_cpu_seconds};
use super::site::{Line, STORE, Site};

/// Measures and returns the report.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    eprintln!("making an image of {} chunks", options.chunks);
    let image = Image::write(&site.source_store, options.chunks)?;
    let mut report = Report::new(image.content_bytes(), image.stored_bytes());
    report.yardsticks.push(image.decode_and_hash_seconds(&site.source_store)?);
    for line in &options.lines {
        for run in 1..=options.runs {
            eprintln!("{} {run} of {}", line.name(), options.runs);
            let aside = site.target_store.with_file_name(format!("done-{}", report.measurements.len()));
            report.measurements.push(pull(site, &image, *line, &aside)?);
        }
        report.yardsticks.push(image.decode_and_hash_seconds(&site.source_store)?);
    }
    Ok(report.to_string())
}

fn pull(site: &Site, image: &Image, line: Line, aside: &Path) -> anyhow::Result<Measurement> {
    let running = site.start(line)?;
    let before = (running.source.usage()?, running.target.usage()?, machine_cpu_seconds()?);
    let port = site.source.address().port();
    let mut connections = 0;
    let arguments = ["pull", line.name(), STORE, STORE];
    let first = site.target.time_task(&arguments, || connections = connections.max(connections_to(port)))?;
    let after = (running.source.usage()?, running.target.usage()?, machine_cpu_seconds()?);
    let on_wire = running.wire_bytes();

    let again = site.target.time_task(&arguments, || ())?;
    let on_wire_again = running.wire_bytes();
    running.stop()?;
    image.compare(&site.source_store, &site.target_store)?;
    move_aside(&site.target_store, aside, image.stored_digests())?;

    let source_cpu = after.0.cpu_seconds - before.0.cpu_seconds;
    let target_cpu = after.1.cpu_seconds - before.1.cpu_seconds;
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
        wire_bytes: on_wire,
        again_wire_bytes: on_wire.zip(on_wire_again).map(|(first, both)| both - first),
    })
}
