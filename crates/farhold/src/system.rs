//! The real outside world: clock, randomness, and facts about this process and host.
//!
//! The only place in the product that reads the clock, the operating system's random source or `/proc`.

use std::time::{SystemTime, UNIX_EPOCH};

use farhold_types::{Clock, Epoch, Randomness};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Epoch {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Epoch(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        // Without randomness no key, salt or identifier may be made; there is nothing sensible to go on with.
        getrandom::fill(buffer).expect("the operating system provides random bytes");
    }
}

/// Returns the host name up to its first dot, or `localhost` if it cannot be read or does not fit a UPID.
pub fn node_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default();
    let short = name.split('.').next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let valid = !short.is_empty() && short.chars().all(fits) && !short.starts_with('-') && !short.ends_with('-');
    if valid { short.to_owned() } else { "localhost".to_owned() }
}

/// Returns this process's start time in clock ticks since boot (field 22 of its stat file), 0 if it cannot be read.
///
/// Source: `docs/spec/schedules-and-tasks.md` 6.1.
pub fn process_start_ticks() -> u64 {
    std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse_start_ticks(&stat)).unwrap_or(0)
}

/// Returns field 22 of a stat file's text. The command name in field 2 may contain blanks and parentheses.
fn parse_start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Most open files that are asked for. Some systems allow a billion, which programs that we start would close one by one.
const MAX_OPEN_FILES: u64 = 65_536;

/// Returns how many files this process may have open, sockets included.
pub fn open_files_limit() -> u64 {
    // A system that does not tell has the limit that is usual.
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Lets this process have as many files open as the system allows it: a connection is one, and services start with 1,024.
///
/// # Errors
/// The system refuses.
pub fn raise_open_files_limit() -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(MAX_OPEN_FILES);
    if soft < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_an_odd_command_name() {
        let fields: Vec<String> = (3..=30).map(|n| n.to_string()).collect();
        assert_eq!(parse_start_ticks(&format!("17 (a ) b) {}", fields.join(" "))), Some(22));
        assert_eq!(parse_start_ticks("nonsense"), None);
        assert!(process_start_ticks() > 0);
    }
}
