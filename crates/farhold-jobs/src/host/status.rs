//! The state of the host at one moment. Source of what is told: `docs/spec/rest-api.md` 15.4.

use std::path::Path;
use std::time::Duration;

use farhold_storage::FileSystemSpace;

use super::HostFiles;
use super::kernel::{
    CpuTimes, Memory, Processors, parse_cpu_times, parse_load, parse_memory, parse_processors, parse_uptime,
};

/// How busy the processors were between two readings, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuUsage {
    /// Working.
    pub busy: f64,
    /// Waiting for disks.
    pub waiting: f64,
}

/// Returns the usage between two readings; `None` if no time passed, or the counters began anew.
pub fn cpu_usage(earlier: &CpuTimes, later: &CpuTimes) -> Option<CpuUsage> {
    let total = later.total.checked_sub(earlier.total).filter(|ticks| *ticks != 0)? as f64;
    // The kernel's idle counters may go backwards by a little.
    let idle = later.idle.saturating_sub(earlier.idle) as f64;
    let waiting = later.io_wait.saturating_sub(earlier.io_wait) as f64;
    Some(CpuUsage {
        busy: (1.0 - (idle + waiting) / total).clamp(0.0, 1.0),
        waiting: (waiting / total).clamp(0.0, 1.0),
    })
}

/// Pause between two readings of the processors' times, where nobody has read them lately.
const CPU_PAUSE: Duration = Duration::from_millis(200);

/// Returns the times of the processors now.
pub fn cpu_times(host: &dyn HostFiles) -> Option<CpuTimes> {
    parse_cpu_times(&host.text("/proc/stat").ok()?)
}

/// Processors, as administrators see them.
pub type CpuFacts = Processors;

/// The kernel, as `uname` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernel {
    /// Name of the system, such as `Linux`.
    pub sysname: String,
    /// Release, such as `6.18.44`.
    pub release: String,
    /// When and how it was built.
    pub version: String,
    /// Kind of machine, such as `x86_64`.
    pub machine: String,
}

impl Kernel {
    /// Reads it.
    pub fn of(host: &dyn HostFiles) -> Self {
        let word = |name: &str| {
            host.text(&format!("/proc/sys/kernel/{name}")).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        Self {
            sysname: word("ostype"),
            release: word("osrelease"),
            version: word("version"),
            machine: host.machine().to_owned(),
        }
    }
}

/// How the host was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// By EFI firmware; otherwise by a BIOS.
    pub is_efi: bool,
    /// With checked signatures.
    pub is_secure: bool,
}

impl Boot {
    /// Name of the EFI variable that says whether signatures were checked, with the id of its vendor.
    const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

    /// Reads it.
    pub fn of(host: &dyn HostFiles) -> Self {
        let is_efi = host.names("/sys/firmware/efi").is_ok();
        // Four bytes of attributes, then one that is 1 or 0.
        let is_secure = host.text(Self::SECURE_BOOT).is_ok_and(|text| text.as_bytes().get(4) == Some(&1));
        Self { is_efi, is_secure }
    }
}

/// The state of the host at one moment. What cannot be read here is `None`.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Usage of the processors.
    pub cpu: Option<CpuUsage>,
    /// The processors.
    pub processors: Option<Processors>,
    /// Memory and swap space.
    pub memory: Option<Memory>,
    /// Room of the root file system.
    pub root: Option<FileSystemSpace>,
    /// Seconds since the host started.
    pub uptime_s: Option<u64>,
    /// Load of the last minute, five and fifteen minutes.
    pub load: Option<[f64; 3]>,
    /// The kernel.
    pub kernel: Kernel,
    /// How it was started.
    pub boot: Boot,
}

/// Returns the state of the host. Blocking.
///
/// `earlier`: a reading of the processors' times some seconds old; without one this takes two, a moment apart.
pub fn node_status(host: &dyn HostFiles, earlier: Option<CpuTimes>) -> NodeStatus {
    let earlier = earlier.or_else(|| {
        let times = cpu_times(host)?;
        std::thread::sleep(CPU_PAUSE);
        Some(times)
    });
    let text = |path: &str| host.text(path).ok();
    NodeStatus {
        cpu: earlier.zip(cpu_times(host)).and_then(|(earlier, later)| cpu_usage(&earlier, &later)),
        processors: text("/proc/cpuinfo").and_then(|text| parse_processors(&text)),
        memory: text("/proc/meminfo").and_then(|text| parse_memory(&text)),
        root: host.space(Path::new("/")).ok(),
        uptime_s: text("/proc/uptime").and_then(|text| parse_uptime(&text)),
        load: text("/proc/loadavg").and_then(|text| parse_load(&text)),
        kernel: Kernel::of(host),
        boot: Boot::of(host),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::FakeHost;
    use super::*;

    #[test]
    fn usage_is_the_part_that_was_neither_idle_nor_waiting() {
        let earlier = CpuTimes { total: 1_000, idle: 500, io_wait: 100 };
        let later = CpuTimes { total: 1_200, idle: 550, io_wait: 150 };
        assert_eq!(cpu_usage(&earlier, &later), Some(CpuUsage { busy: 0.5, waiting: 0.25 }));
        assert_eq!(cpu_usage(&later, &later), None);
        assert_eq!(cpu_usage(&later, &earlier), None);
        let backwards = CpuTimes { total: 1_100, idle: 490, io_wait: 90 };
        assert_eq!(cpu_usage(&earlier, &backwards), Some(CpuUsage { busy: 1.0, waiting: 0.0 }));
    }

    #[test]
    fn what_a_host_does_not_tell_is_absent() {
        let status = node_status(&FakeHost::default(), None);
        assert!(status.cpu.is_none() && status.memory.is_none() && status.root.is_none() && status.load.is_none());
        assert!(status.processors.is_none() && status.uptime_s.is_none());
        assert_eq!(status.kernel.release, "");

        let status = node_status(&FakeHost::sample(), Some(CpuTimes::default()));
        assert_eq!(status.uptime_s, Some(7_686));
        assert_eq!(status.kernel.sysname, "Linux");
        assert!(status.cpu.is_some() && !status.boot.is_efi && !status.boot.is_secure);
    }
}
