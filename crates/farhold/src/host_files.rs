//! The real host: `/proc`, `/sys`, and file systems.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use farhold_jobs::host::HostFiles;
use farhold_storage::{FileSystemSpace, file_system_space};

/// Largest file that is read: the kernel's tables of a large host have some hundred KiB.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The host this program runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemHost;

impl HostFiles for SystemHost {
    fn text(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        // The kernel tells no sizes for these files.
        let read = File::open(path)?.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)?;
        if MAX_TEXT_BYTES < read as u64 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "file is larger than expected"));
        }
        Ok(text)
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn space(&self, path: &Path) -> io::Result<FileSystemSpace> {
        file_system_space(path).map_err(io::Error::other)
    }

    fn device(&self, path: &Path) -> io::Result<(u32, u32)> {
        let device = fs::metadata(path)?.dev();
        let number = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
        Ok((number(nix::sys::stat::major(device)), number(nix::sys::stat::minor(device))))
    }

    fn machine(&self) -> &'static str {
        // The names of architectures are those of `uname`, where we build for.
        std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use farhold_jobs::host::{kernel, node_status};

    use super::*;

    #[test]
    fn this_host_can_be_read() {
        let status = node_status(&SystemHost, None);
        assert!(status.root.is_some_and(|root| 0 < root.total_bytes));
        if cfg!(target_os = "linux") {
            assert!(status.cpu.is_some() && status.memory.is_some() && status.load.is_some());
            assert!(0 < status.processors.unwrap().count);
            assert!(!kernel::parse_mounts(&SystemHost.text("/proc/self/mountinfo").unwrap()).is_empty());
        }
        assert!(SystemHost.text("/no/such/file").is_err() && SystemHost.names("/no/such/folder").is_err());
    }
}
