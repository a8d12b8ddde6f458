//! The host's full name.

use super::HostFiles;

/// Returns the host's name with its domain: as the kernel has it, else as `/etc/hosts` knows it, else without.
///
/// `hostname`: the name up to the first dot. Blocking.
pub fn full_name(host: &dyn HostFiles, hostname: &str) -> String {
    let is_full = |name: &&str| name.strip_prefix(hostname).is_some_and(|rest| rest.starts_with('.'));
    let kernel = host.text("/proc/sys/kernel/hostname").unwrap_or_default();
    if let Some(name) = Some(kernel.trim()).filter(is_full) {
        return name.to_owned();
    }
    let hosts = host.text("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.flat_map(|line| line.split_whitespace().skip(1)).find(is_full);
    found.unwrap_or(hostname).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::FakeHost;

    #[test]
    fn the_domain_comes_from_the_kernel_or_the_hosts_file() {
        let host = FakeHost::default();
        assert_eq!(full_name(&host, "pbs"), "pbs");
        host.set(
            "/etc/hosts",
            "127.0.0.1 localhost\n# 10.0.0.1 pbs.old.example\n10.0.0.2 pbs2.example pbs.example pbs\n",
        );
        assert_eq!(full_name(&host, "pbs"), "pbs.example");
        host.set("/proc/sys/kernel/hostname", "pbs.kernel.example\n");
        assert_eq!(full_name(&host, "pbs"), "pbs.kernel.example");
        host.set("/proc/sys/kernel/hostname", "other.example\n");
        assert_eq!(full_name(&host, "pbs"), "pbs.example");
    }
}
