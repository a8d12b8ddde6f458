//! `bench push`: one disk image into an empty datastore of the remote, an identical second snapshot, and many streams at
//! once; `bench encrypt` does the first two with a key.

use std::fmt::Write;
use std::fs;

use anyhow::Context;

use super::Options;
use super::image::{FIRST, GROUP, Image, SECOND, move_aside};
use super::key::{self, KEY};
use super::site::{Direction, Line, Running, STORE, Site};

/// Groups that are pushed at once, each with a worker of its own.
const STREAMS: usize = 8;
/// Chunks of the disk whose identical second snapshot is counted in requests: 64 GiB.
const UNCHANGED_CHUNKS: usize = 16 << 10;

const TABLE: &str = "| line, run | seconds | / T | MiB/s stored | CPU s pusher | CPU s receiver | requests | wire MiB | read MiB | peak pusher | peak receiver |\n";

/// Measures plain pushes and returns a table.
pub(super) fn measure(site: &Site, options: &Options) -> anyhow::Result<String> {
    let (from, to) = (site.sending_store(Direction::Push), site.receiving_store(Direction::Push));
    eprintln!("making an image of {} chunks", options.chunks);
    let image = Image::write(from, options.chunks)?;
    let meter = Meter { site, t: image.decode_and_hash_seconds(from)?, stored_bytes: image.stored_bytes() };
    let mut table = format!("T = {:.2} CPU s to decode and hash the image on one thread\n{TABLE}", meter.t);
    for line in &options.lines {
        for run in 1..=options.runs {
            eprintln!("{} {run} of {}", line.name(), options.runs);
            let running = site.start(*line)?;
            let command = Direction::Push.command(*line);
            table += &meter.run(&running, &format!("{} {run}, first", line.name()), &command)?;
            image.write_snapshot(from, GROUP, SECOND)?;
            table += &meter.run(&running, &format!("{} {run}, identical", line.name()), &command)?;
            table += &meter.run(&running, &format!("{} {run}, nothing new", line.name()), &command)?;
            running.stop()?;
            for time in [FIRST, SECOND] {
                image.compare_pushed(from, to, time)?;
            }
            move_aside(to, &to.with_file_name(format!("done-{}-{run}", line.name())), image.stored_digests())?;
            fs::remove_dir_all(from.join(GROUP).join(SECOND.to_string()))?;
        }
    }

    eprintln!("{STREAMS} streams at once");
    image.split(from, STREAMS)?;
    let running = site.start(Line::Near)?;
    let create = ["sync-job", "create", "streams", "--store", STORE, "--remote", Line::Near.name()];
    let streams = STREAMS.to_string();
    let rest = ["--remote-store", STORE, "--sync-direction", "push", "--worker-threads", &streams];
    site.target.run(&[&create[..], &rest[..]].concat())?;
    let command = ["sync-job", "run", "streams"];
    table += &meter.run(&running, &format!("near, {STREAMS} streams"), &command)?;
    running.stop()?;
    move_aside(to, &to.with_file_name("done-streams"), image.stored_digests())?;
    move_aside(from, &from.with_file_name("done-source"), image.stored_digests())?;

    eprintln!("a disk of {} GiB that does not change", UNCHANGED_CHUNKS >> 8);
    let disk = Image::write_uniform(from, UNCHANGED_CHUNKS)?;
    let running = site.start(Line::Near)?;
    let command = Direction::Push.command(Line::Near);
    table += &meter.run(&running, "near, 64 GiB first", &command)?;
    disk.write_snapshot(from, GROUP, SECOND)?;
    table += &meter.run(&running, "near, 64 GiB unchanged", &command)?;
    running.stop()?;
    Ok(table)
}

/// Measures encrypting pushes and returns a table.
pub(super) fn measure_encrypting(site: &Site, options: &Options) -> anyhow::Result<String> {
    let (from, to) = (site.sending_store(Direction::Push), site.receiving_store(Direction::Push));
    eprintln!("making an image of {} chunks", options.chunks);
    let image = Image::write(from, options.chunks)?;
    let meter = Meter { site, t: image.decode_and_hash_seconds(from)?, stored_bytes: image.stored_bytes() };
    let folder = from.parent().context("a datastore in no folder")?;
    let encrypted = image.encrypted(from, &key::config())?;
    let mut table = format!("T = {:.2} CPU s to decode and hash the image on one thread\n{TABLE}", meter.t);
    let mut is_set_up = false;
    for line in &options.lines {
        let job = format!("encrypt-{}", line.name());
        for run in 1..=options.runs {
            eprintln!("{} {run} of {}", line.name(), options.runs);
            let running = site.start(*line)?;
            if !is_set_up {
                key::import(&site.target, folder)?;
                is_set_up = true;
            }
            if run == 1 {
                let create = ["sync-job", "create", &job, "--store", STORE, "--remote", line.name()];
                let rest = ["--remote-store", STORE, "--sync-direction", "push", "--active-encryption-key", KEY];
                site.target.run(&[&create[..], &rest[..]].concat())?;
            }
            let command = ["sync-job", "run", &job];
            table += &meter.run(&running, &format!("{} {run}, first", line.name()), &command)?;
            image.write_snapshot(from, GROUP, SECOND)?;
            table += &meter.run(&running, &format!("{} {run}, identical", line.name()), &command)?;
            running.stop()?;
            for time in [FIRST, SECOND] {
                encrypted.compare_index(to, time)?;
            }
            move_aside(to, &to.with_file_name(format!("done-{}-{run}", line.name())), encrypted.stored_digests())?;
            fs::remove_dir_all(from.join(GROUP).join(SECOND.to_string()))?;
        }
    }
    Ok(table)
}

/// Measures one command after the other.
struct Meter<'a> {
    site: &'a Site,
    /// CPU seconds of decoding and hashing the image on one thread.
    t: f64,
    stored_bytes: u64,
}

impl Meter<'_> {
    /// Runs a command on the pusher and returns a row.
    fn run(&self, running: &Running<'_>, name: &str, command: &[&str]) -> anyhow::Result<String> {
        let look = || {
            let wire = running.wire_bytes().unwrap_or_default();
            anyhow::Ok((running.target.usage()?, running.source.usage()?, self.site.source.requests()?, wire))
        };
        let before = look()?;
        let seconds = self.site.target.time_task(command, || ())?.as_secs_f64();
        let after = look()?;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let rate = self.stored_bytes as f64 / 1_048_576.0 / seconds;
        let mut row = format!("| {name} | {seconds:.2} | {:.2} | {rate:.0} |", seconds / self.t);
        let cpu = (after.0.cpu_seconds - before.0.cpu_seconds, after.1.cpu_seconds - before.1.cpu_seconds);
        write!(row, " {:.2} | {:.2} | {} |", cpu.0, cpu.1, after.2 - before.2)?;
        write!(row, " {} | {} |", (after.3 - before.3) >> 20, (after.0.read_bytes - before.0.read_bytes) >> 20)?;
        writeln!(row, " {} | {} |", after.0.peak_bytes >> 20, after.1.peak_bytes >> 20)?;
        eprint!("{row}");
        Ok(row)
    }
}
