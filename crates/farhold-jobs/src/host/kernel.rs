//! What the kernel's texts say. Pure: text in, values out; lines that look otherwise than expected are left out.

/// Bytes of a sector in the kernel's counters, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// Time that all processors together have spent since the start of the host, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// All of it.
    pub total: u64,
    /// With nothing to do.
    pub idle: u64,
    /// With nothing to do but to wait for disks.
    pub io_wait: u64,
}

/// Returns the first line of `/proc/stat`.
pub fn parse_cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are part of user and nice already.
    let (idle, io_wait) = (*ticks.get(3)?, ticks.get(4).copied().unwrap_or(0));
    let total = ticks.iter().take(8).fold(0_u64, |sum, ticks| sum.saturating_add(*ticks));
    Some(CpuTimes { total, idle, io_wait })
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What nothing uses, not even a cache.
    pub free: u64,
    /// What programs cannot have any more.
    pub used: u64,
    /// All swap space.
    pub swap_total: u64,
    /// Swap space that nothing uses.
    pub swap_free: u64,
}

impl Memory {
    /// Returns the bytes of swap space that are used.
    pub const fn swap_used(&self) -> u64 {
        self.swap_total.saturating_sub(self.swap_free)
    }
}

/// Returns what `/proc/meminfo` says.
pub fn parse_memory(meminfo: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let (total, free) = (bytes("MemTotal")?, bytes("MemFree")?);
    let available = bytes("MemAvailable").unwrap_or(free);
    Some(Memory {
        total,
        free,
        used: total.saturating_sub(available),
        swap_total: bytes("SwapTotal").unwrap_or(0),
        swap_free: bytes("SwapFree").unwrap_or(0),
    })
}

/// Returns the load of the last minute, five and fifteen minutes, from `/proc/loadavg`.
pub fn parse_load(loadavg: &str) -> Option<[f64; 3]> {
    let mut numbers = loadavg.split_ascii_whitespace().map(|word| word.parse::<f64>().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Returns the whole seconds since the host started, from `/proc/uptime`.
pub fn parse_uptime(uptime: &str) -> Option<u64> {
    uptime.split('.').next()?.trim().parse().ok()
}

/// What an interface has carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
}

/// Returns the interfaces of `/proc/net/dev`.
pub fn parse_network(dev: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect();
        let (received_bytes, sent_bytes) = (*counters.first()?, *counters.get(8)?);
        Some(Interface { name: name.trim().to_owned(), received_bytes, sent_bytes })
    };
    dev.lines().filter_map(interface).collect()
}

/// What a disk has done since the start of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskCounters {
    /// Finished read requests.
    pub read_ios: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Finished write requests.
    pub write_ios: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Milliseconds that all requests together have taken.
    pub request_ms: u64,
}

/// A disk or partition with its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDisk {
    /// Major number of the device.
    pub major: u32,
    /// Minor number of the device.
    pub minor: u32,
    /// Name below `/dev`.
    pub name: String,
    /// The counters.
    pub counters: DiskCounters,
}

/// Returns the disks and partitions of `/proc/diskstats`.
pub fn parse_disk_counters(diskstats: &str) -> Vec<NamedDisk> {
    let disk = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| words.get(index)?.parse::<u64>().ok();
        Some(NamedDisk {
            major: words.first()?.parse().ok()?,
            minor: words.get(1)?.parse().ok()?,
            name: (*words.get(2)?).to_owned(),
            counters: DiskCounters {
                read_ios: number(3)?,
                read_bytes: number(5)?.saturating_mul(SECTOR_BYTES),
                write_ios: number(7)?,
                write_bytes: number(9)?.saturating_mul(SECTOR_BYTES),
                request_ms: number(13)?,
            },
        })
    };
    diskstats.lines().filter_map(disk).collect()
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Major number of the file system's device.
    pub major: u32,
    /// Minor number of the file system's device.
    pub minor: u32,
    /// Where it is mounted.
    pub place: String,
    /// Kind of file system, such as `ext4`.
    pub file_system: String,
    /// What is mounted, such as `/dev/sda1`.
    pub source: String,
    /// Options, such as `rw,relatime`.
    pub options: String,
}

/// Returns the mounts of `/proc/self/mountinfo`.
pub fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let front: Vec<&str> = front.split(' ').collect();
        let mut back = back.split(' ');
        let (major, minor) = front.get(2)?.split_once(':')?;
        Some(Mount {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            place: unescaped(front.get(4)?),
            options: (*front.get(5)?).to_owned(),
            file_system: back.next()?.to_owned(),
            source: unescaped(back.next()?),
        })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// Returns a path of the mount table as it is: blanks, tabs, line feeds and backslashes are written as octal numbers.
fn unescaped(text: &str) -> String {
    let mut plain = text.to_owned();
    for (escape, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(escape, character);
    }
    plain
}

/// Processors of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors {
    /// Name of the first one; empty if it is not told.
    pub model: String,
    /// Number of chips.
    pub sockets: u64,
    /// Number of logical processors.
    pub count: u64,
}

/// Returns what `/proc/cpuinfo` says; its form differs by architecture.
pub fn parse_processors(cpuinfo: &str) -> Option<Processors> {
    let values = |name: &'static str| {
        cpuinfo.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let count = values("processor").count() as u64;
    let mut chips: Vec<&str> = values("physical id").collect();
    chips.sort_unstable();
    chips.dedup();
    let model = values("model name").next().or_else(|| values("Model").next()).unwrap_or_default().to_owned();
    (count != 0).then(|| Processors { model, sockets: (chips.len() as u64).max(1), count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_leave_guests_out_and_tolerate_old_kernels() {
        let times = parse_cpu_times("cpu  100 5 50 800 40 0 3 2 90 1\ncpu0 1 1 1 1 1 0 0 0 0 0\n").unwrap();
        assert_eq!(times, CpuTimes { total: 1_000, idle: 800, io_wait: 40 });
        assert_eq!(parse_cpu_times("cpu 1 2 3 4").unwrap(), CpuTimes { total: 10, idle: 4, io_wait: 0 });
        assert_eq!(parse_cpu_times("cpu0 1 2 3 4\n"), None);
        assert_eq!(parse_cpu_times("cpu a b"), None);
    }

    #[test]
    fn memory_that_caches_hold_is_not_used() {
        let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    700 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n";
        let memory = parse_memory(text).unwrap();
        assert_eq!((memory.total, memory.free, memory.used), (1_024_000, 102_400, 307_200));
        assert_eq!((memory.swap_total, memory.swap_free), (51_200, 20_480));
        assert_eq!(parse_memory("MemTotal: 1000 kB\nMemFree: 100 kB\n").unwrap().used, 900 * 1024);
        assert_eq!(parse_memory("MemTotal: 99999999999999999999 kB\nMemFree: 1 kB"), None);
        assert_eq!(parse_memory(""), None);
    }

    #[test]
    fn load_and_uptime_are_the_first_words() {
        assert_eq!(parse_load("2.24 3.22 4.06 6/128 3828\n"), Some([2.24, 3.22, 4.06]));
        assert_eq!(parse_load("2.24 3.22"), None);
        assert_eq!(parse_uptime("7686.69 13501.74\n"), Some(7_686));
        assert_eq!(parse_uptime("soon"), None);
    }

    #[test]
    fn interfaces_are_read_with_and_without_a_blank_behind_the_colon() {
        let text = "Inter-|   Receive\n face |bytes packets\n    lo:  10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\neth0:5000 7 0 0 0 0 0 0 700 3 0 0 0 0 0 0\n";
        let all = parse_network(text);
        let eth0 = Interface { name: "eth0".to_owned(), received_bytes: 5_000, sent_bytes: 700 };
        assert_eq!((all.len(), &all[1]), (2, &eth0));
    }

    #[test]
    fn disks_count_sectors_of_512_bytes() {
        let text = "   8       0 sda 4000 10 100000 900 2000 5 60000 700 0 800 1600 0 0 0 0 1 2\n   8  x sdb 1\n   8 1 sda1 1 2 3\n";
        let all = parse_disk_counters(text);
        assert_eq!(all.len(), 1, "broken lines are left out");
        let counters = DiskCounters {
            read_ios: 4_000,
            read_bytes: 51_200_000,
            write_ios: 2_000,
            write_bytes: 30_720_000,
            request_ms: 1_600,
        };
        assert_eq!((all[0].name.as_str(), all[0].counters), ("sda", counters));
    }

    #[test]
    fn mounts_with_optional_fields_and_odd_names_are_read() {
        let text = "36 35 8:1 / /mnt/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue\nnonsense\n22 27 0:21 / /proc rw - proc proc rw\n";
        let all = parse_mounts(text);
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!((first.major, first.minor, first.place.as_str()), (8, 1, "/mnt/a b"));
        assert_eq!((first.file_system.as_str(), first.source.as_str()), ("ext4", "/dev/sda1"));
        assert_eq!(first.options, "rw,noatime");
    }

    #[test]
    fn processors_are_counted_by_chip_and_thread() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nphysical id\t: 0\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\nphysical id\t: 0\n";
        let found = parse_processors(text).unwrap();
        assert_eq!((found.model.as_str(), found.sockets, found.count), ("AMD EPYC", 1, 2));
        let arm = parse_processors("processor : 0\nBogoMIPS : 50\n").unwrap();
        assert_eq!((arm.model.as_str(), arm.sockets, arm.count), ("", 1, 1));
        assert_eq!(parse_processors(""), None);
    }
}
