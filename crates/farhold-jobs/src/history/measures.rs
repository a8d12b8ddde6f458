//! From samples to the measures of a row. Names: `docs/spec/rest-api.md` 12.11 and 15.4.

use farhold_rules::history::rate;
use farhold_types::DatastoreName;

use super::sample::Sample;
use crate::host::cpu_usage;
use crate::host::kernel::DiskCounters;

/// What is measured of the host.
pub const HOST_MEASURES: &[&str; 16] = &[
    "cpu",
    "iowait",
    "memtotal",
    "memused",
    "swaptotal",
    "swapused",
    "netin",
    "netout",
    "loadavg",
    "total",
    "used",
    "read_ios",
    "read_bytes",
    "write_ios",
    "write_bytes",
    "io_ticks",
];

/// What is measured of a datastore.
pub const STORE_MEASURES: &[&str; 8] =
    &["total", "available", "used", "read_ios", "read_bytes", "write_ios", "write_bytes", "io_ticks"];

const MS_PER_S: f64 = 1_000.0;

/// Returns the seconds between two samples.
fn seconds(earlier: &Sample, later: &Sample) -> f64 {
    later.time.seconds_since(earlier.time) as f64
}

/// Returns requests, bytes and seconds of work per second: reads, bytes read, writes, bytes written, time.
fn disk_rates(earlier: Option<DiskCounters>, later: Option<DiskCounters>, seconds: f64) -> [Option<f64>; 5] {
    let (Some(earlier), Some(later)) = (earlier, later) else { return [None; 5] };
    let per_second = |counter: fn(&DiskCounters) -> u64| rate(counter(&earlier), counter(&later), seconds);
    [
        per_second(|disk| disk.read_ios),
        per_second(|disk| disk.read_bytes),
        per_second(|disk| disk.write_ios),
        per_second(|disk| disk.write_bytes),
        per_second(|disk| disk.request_ms).map(|ms| ms / MS_PER_S),
    ]
}

/// Returns the measures of the host at a sample. Those of counters need the sample before.
pub fn host_values(before: Option<&Sample>, sample: &Sample) -> [Option<f64>; 16] {
    let now = &sample.host;
    let usage = before.and_then(|before| cpu_usage(&before.host.cpu?, &now.cpu?));
    let passed = before.map_or(0.0, |before| seconds(before, sample));
    let networks = before.and_then(|before| before.host.network).zip(now.network);
    let [read_ios, read_bytes, write_ios, write_bytes, io_ticks] =
        disk_rates(before.and_then(|before| before.host.disk), now.disk, passed);
    [
        usage.map(|usage| usage.busy),
        usage.map(|usage| usage.waiting),
        now.memory.map(|memory| memory.total as f64),
        now.memory.map(|memory| memory.used as f64),
        now.memory.map(|memory| memory.swap_total as f64),
        now.memory.map(|memory| memory.swap_used() as f64),
        networks.and_then(|(before, now)| rate(before.0, now.0, passed)),
        networks.and_then(|(before, now)| rate(before.1, now.1, passed)),
        now.load.map(|load| load[0]),
        now.space.map(|space| space.total_bytes as f64),
        now.space.map(|space| space.used_bytes as f64),
        read_ios,
        read_bytes,
        write_ios,
        write_bytes,
        io_ticks,
    ]
}

/// Returns the measures of a datastore at a sample; `None` if it was not looked at.
pub fn store_values(name: &DatastoreName, before: Option<&Sample>, sample: &Sample) -> Option<[Option<f64>; 8]> {
    let now = sample.store(name)?;
    let passed = before.map_or(0.0, |before| seconds(before, sample));
    let disk_before = before.and_then(|before| before.store(name)?.disk);
    let [read_ios, read_bytes, write_ios, write_bytes, io_ticks] = disk_rates(disk_before, now.disk, passed);
    Some([
        now.space.map(|space| space.total_bytes as f64),
        now.space.map(|space| space.available_bytes as f64),
        now.space.map(|space| space.used_bytes as f64),
        read_ios,
        read_bytes,
        write_ios,
        write_bytes,
        io_ticks,
    ])
}
