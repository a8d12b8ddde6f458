//! The server's own log, as far back as memory is given to it: what an administrator reads from afar.
//!
//! The system's journal is not read: a server may run without one, and what other services write there is not ours to
//! hand out. Lines come from the composition root, which writes them to standard error as well.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use farhold_types::Epoch;

/// Most lines that are kept: some days of a quiet server, and at most 20 MiB of a noisy one.
const MAX_LINES: usize = 10_000;

/// Longest line that is kept, in bytes.
const MAX_LINE_BYTES: usize = 2_048;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number, from 1 since the server started.
    pub number: u64,
    /// When it was written.
    pub time: Epoch,
    /// What it says, with its own time stamp.
    pub text: String,
}

#[derive(Debug, Default)]
struct Lines {
    written: u64,
    kept: VecDeque<LogLine>,
}

/// The latest lines of one server's log.
#[derive(Debug, Default)]
pub struct ServerLog {
    lines: Mutex<Lines>,
}

impl ServerLog {
    /// Adds the lines of a text. Long ones are cut, the oldest make room.
    pub fn push(&self, now: Epoch, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let end = (0..=line.len().min(MAX_LINE_BYTES)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            if lines.kept.len() == MAX_LINES {
                lines.kept.pop_front();
            }
            lines.written += 1;
            let number = lines.written;
            lines.kept.push_back(LogLine { number, time: now, text: line[..end].to_owned() });
        }
    }

    /// Returns the kept lines that `is_wanted` admits, oldest first.
    pub fn lines(&self, is_wanted: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().filter(|line| is_wanted(line)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_stay_and_long_ones_are_cut() {
        let log = ServerLog::default();
        log.push(Epoch(7), &format!("{}ä\n\nsecond\n", "x".repeat(MAX_LINE_BYTES - 1)));
        let lines = log.lines(|_| true);
        assert_eq!((lines.len(), lines[0].text.len(), lines[1].text.as_str()), (2, MAX_LINE_BYTES - 1, "second"));
        for number in 0..MAX_LINES {
            log.push(Epoch(8), &number.to_string());
        }
        let lines = log.lines(|line| line.time == Epoch(8));
        assert_eq!((lines.len(), lines[0].number, lines[0].text.as_str()), (MAX_LINES, 3, "0"));
        assert!(log.lines(|line| line.time == Epoch(7)).is_empty());
    }
}
