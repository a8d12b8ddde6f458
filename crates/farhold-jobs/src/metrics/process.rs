//! What the kernel says of this program.

use crate::host::HostFiles;

/// Units of processor time per second in `/proc`: always 100 for programs, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of this program; what cannot be read is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ProcessFacts {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) start_time: Option<f64>,
}

impl ProcessFacts {
    pub(super) fn read(host: &dyn HostFiles) -> Self {
        let text = |path: &str| host.text(path).unwrap_or_default();
        let stat = text("/proc/self/stat");
        // The name in parentheses may hold anything; the fields after it are numbers, from the third on.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let status = text("/proc/self/status");
        let of_status = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let limits = text("/proc/self/limits");
        let max_fds = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let boot = text("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: of_status("VmRSS").map(|kib| kib * 1024),
            virtual_bytes: of_status("VmSize").map(|kib| kib * 1024),
            open_fds: host.names("/proc/self/fd").ok().map(|names| names.len() as u64),
            max_fds: max_fds.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()),
            threads: of_status("Threads"),
            start_time: boot.zip(field(22)).map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;

    #[test]
    fn what_the_kernel_says_is_understood_and_what_it_does_not_say_is_absent() {
        let host = FakeHost::sample();
        assert_eq!(ProcessFacts::read(&host), ProcessFacts::default());
        let numbers: Vec<String> = (4..=52).map(|number| (number * 100).to_string()).collect();
        host.set("/proc/self/stat", &format!("7 (a) b) S {}", numbers.join(" ")));
        host.set("/proc/self/status", "Name:\ta\nVmSize:\t  2000 kB\nVmRSS:\t   30 kB\nThreads:\t9\n");
        host.set("/proc/self/limits", "Limit  Soft Hard Units\nMax open files            1024     4096   files\n");
        host.set("/proc/stat", "cpu 1 2\nbtime 1795000000\n");
        for name in ["0", "1", "2"] {
            host.set(&format!("/proc/self/fd/{name}"), "");
        }
        let expected = ProcessFacts {
            cpu_seconds: Some(29.0),
            resident_bytes: Some(30 * 1024),
            virtual_bytes: Some(2000 * 1024),
            open_fds: Some(3),
            max_fds: Some(1024),
            threads: Some(9),
            start_time: Some(1_795_000_022.0),
        };
        assert_eq!(ProcessFacts::read(&host), expected);
    }
}
