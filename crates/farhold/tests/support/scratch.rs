//! Folders for tests, in memory where the system offers that.

use std::fs;
use std::path::Path;

/// Beginning of the names of our folders; the process id follows, so that left-overs can be told from folders in use.
const PREFIX: &str = "farhold-test-";

/// Makes a folder for this process, in memory if possible, after removing what processes that ended left behind.
pub fn scratch() -> tempfile::TempDir {
    let shared_memory = Path::new("/dev/shm");
    let place = if shared_memory.is_dir() { shared_memory.to_owned() } else { std::env::temp_dir() };
    for entry in fs::read_dir(&place).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(place).unwrap()
}
