//! Whether the process that runs a task still exists.

use std::io::Read;

/// Longest `/proc/<pid>/stat` that is read, in bytes; real ones have a few hundred.
const MAX_STAT_BYTES: u64 = 4096;

/// Tells which processes exist. Tests pass a table of their own.
pub trait LiveProcesses: Send + Sync {
    /// Returns whether a process with this id exists that started at `pstart` (clock ticks since boot).
    fn exists(&self, pid: u32, pstart: u64) -> bool;
}

/// The processes of this machine, by `/proc`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcFs;

impl LiveProcesses for ProcFs {
    fn exists(&self, pid: u32, pstart: u64) -> bool {
        process_start(pid) == Some(pstart)
    }
}

/// Returns the start of a process of this machine in clock ticks since boot; `None` if there is none with this id.
pub fn process_start(pid: u32) -> Option<u64> {
    let mut stat = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.take(MAX_STAT_BYTES).read_to_end(&mut stat).ok()?;
    parse_process_start(&String::from_utf8_lossy(&stat))
}

/// Returns the start of a process in clock ticks since boot, from the text of `/proc/<pid>/stat`: field 22, counted
/// behind the command name, which may itself contain blanks and parentheses.
///
/// `None` for a process that has ended and only waits to be collected (states `Z` and `X`), or for other text.
pub fn parse_process_start(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    // Field 3 is the state; 18 more follow before field 22.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_field_22_behind_the_command_name() {
        let stat = "10899 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 407733 99 100";
        assert_eq!(parse_process_start(stat), Some(407_733));
        assert_eq!(parse_process_start(&stat.replace(") S", ") Z")), None);
        assert_eq!(parse_process_start("10899 (a"), None);
        assert_eq!(parse_process_start("10899 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_exists_only_with_its_own_start() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let pstart = parse_process_start(&stat).unwrap();
        assert!(ProcFs.exists(std::process::id(), pstart));
        assert!(!ProcFs.exists(std::process::id(), pstart + 1));
        assert!(!ProcFs.exists(u32::MAX, pstart));
    }
}
