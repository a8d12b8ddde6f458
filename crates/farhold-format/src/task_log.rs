//! Text of task logs and task lists: stamped lines, results, and the lines of `active` and `archive`.
//!
//! | text | form |
//! |---|---|
//! | log line | `<RFC 3339 local time with numeric offset, 25 bytes>: <message>` |
//! | result line | message `TASK OK`, `TASK WARNINGS: <n>`, `TASK ERROR: <text>` |
//! | running task in a list | `<UPID>` |
//! | finished task in a list | `<UPID> <end time, 8 upper-case hex digits> <status>` |
//!
//! Source: `docs/spec/schedules-and-tasks.md` 6.3, 7.1, 7.2.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use farhold_types::Epoch;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::upid::{Upid, UpidError};

/// Length of a time stamp in bytes; the message starts two bytes later.
pub const STAMP_BYTES: usize = 25;

/// How many bytes at the end of a log are searched for the result line. Source: `docs/spec/schedules-and-tasks.md` 7.1.
pub const STATUS_TAIL_BYTES: usize = 8192;

/// Longest message of one log call, in bytes; longer ones are cut. Keeps one bad peer from filling the log volume.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Longest error text in a result line, in bytes. Half of [`STATUS_TAIL_BYTES`], so that the line that carries the
/// stamp is found from the end of the file, also by the reference.
pub const MAX_RESULT_TEXT_BYTES: usize = STATUS_TAIL_BYTES / 2;

/// Longest line of a task list that is looked at, in bytes: a UPID, an end time and an error text.
pub const MAX_LIST_LINE_BYTES: usize = STATUS_TAIL_BYTES;

/// How a task ended. Displays as the status text of lists and replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStatus {
    /// Success without warnings.
    Ok,
    /// Success, with this many lines at warning or error level; never 0 when written by us.
    Warnings(u64),
    /// Failure with this text, not empty.
    Error(String),
    /// No result was found.
    Unknown,
}

/// The text is no status text: it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("task status is empty")]
pub struct TaskStatusError;

impl TaskStatus {
    /// Returns the message of the last line of a log, for example `TASK OK`.
    ///
    /// An error text longer than [`MAX_RESULT_TEXT_BYTES`] is cut. It keeps its line breaks.
    pub fn result_message(&self) -> String {
        match self {
            Self::Error(text) => format!("TASK ERROR: {}", shortened(text, MAX_RESULT_TEXT_BYTES)),
            other => format!("TASK {other}"),
        }
    }

    /// Returns the status that a message announces, or `None` if the message is not the one of a result line.
    pub fn from_result_message(message: &str) -> Option<Self> {
        message.strip_prefix("TASK ")?.parse().ok()
    }

    /// Returns the status as task lists keep it: an error text only up to its first line break.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 7.2.
    pub fn first_line(&self) -> Self {
        match self {
            Self::Error(text) => {
                let line = text.lines().map(str::trim_end).find(|line| !line.is_empty()).unwrap_or("unknown error");
                Self::Error(shortened(line, MAX_RESULT_TEXT_BYTES).into_owned())
            }
            other => other.clone(),
        }
    }
}

impl FromStr for TaskStatus {
    type Err = TaskStatusError;

    fn from_str(text: &str) -> Result<Self, TaskStatusError> {
        let known = match text {
            "OK" => Some(Self::Ok),
            "unknown" => Some(Self::Unknown),
            _ => text.strip_prefix("WARNINGS: ").and_then(|n| n.parse().ok()).map(Self::Warnings),
        };
        if let Some(status) = known {
            return Ok(status);
        }
        match text.strip_prefix("ERROR: ").unwrap_or(text) {
            "" => Err(TaskStatusError),
            error => Ok(Self::Error(error.to_owned())),
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Unknown => f.write_str("unknown"),
            Self::Warnings(count) => write!(f, "WARNINGS: {count}"),
            // An error whose text reads like something else (`OK`) must not come back as that.
            Self::Error(text) if text.parse().as_ref() != Ok(self) => write!(f, "ERROR: {text}"),
            Self::Error(text) => f.write_str(text),
        }
    }
}

/// Returns the time as it stands at the start of a log line: local time with numeric offset, always
/// [`STAMP_BYTES`] long (also `+00:00` for UTC). Times outside of the years 0 to 9999 become the nearest such time.
pub fn stamp(time: Epoch, zone: &TimeZone) -> String {
    // One day of margin, so that adding the offset stays within four-digit years.
    let time = time.0.clamp(Epoch::MIN.0 + 86_400, Epoch::MAX.0 - 86_400);
    let offset_minutes =
        jiff::Timestamp::from_second(time).map_or(0, |timestamp| zone.to_offset(timestamp).seconds() / 60);
    // Old local mean times have seconds in their offset, which the form cannot show: shift by what is shown.
    let local = Epoch(time + i64::from(offset_minutes) * 60).to_string();
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    format!("{}{sign}{hours:02}:{minutes:02}", local.trim_end_matches('Z'))
}

/// Returns the text of one log call, with the line break at the end.
///
/// A message may have several lines; only the first gets the stamp. Control characters other than line break and tab
/// are replaced, messages over [`MAX_MESSAGE_BYTES`] are cut, and a later line that looks stamped is moved in by a
/// blank, so that text from a peer cannot pass for lines of the log.
pub fn stamped_line(time: Epoch, zone: &TimeZone, message: &str) -> String {
    let message = shortened(message, MAX_MESSAGE_BYTES);
    let mut text = String::with_capacity(STAMP_BYTES + message.len() + 3);
    text.push_str(&stamp(time, zone));
    text.push_str(": ");
    for (number, line) in message.split('\n').enumerate() {
        if number != 0 {
            text.push('\n');
            if split_stamp(line).is_some() {
                text.push(' ');
            }
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        text.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }));
    }
    text.push('\n');
    text
}

/// Returns the time and the message of a stamped line, or `None` for continuation lines and damaged ones.
pub fn split_stamp(line: &str) -> Option<(Epoch, &str)> {
    let local = line.get(..19)?;
    let seconds = Epoch::parse_rfc3339_utc(&format!("{local}Z")).ok()?.0;
    let rest = line.get(19..)?;
    if let Some(message) = rest.strip_prefix("Z: ") {
        return Some((Epoch(seconds), message));
    }
    let (offset, message) = (rest.get(..6)?, rest.get(6..)?.strip_prefix(": ")?);
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = offset.as_bytes() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    if 23 < hours || 59 < minutes {
        return None;
    }
    let offset_seconds = (hours * 60 + minutes) * 60;
    Some((Epoch(if sign == b'+' { seconds - offset_seconds } else { seconds + offset_seconds }), message))
}

/// Returns how a task ended and when, judged by the end of its log.
///
/// `tail`: the last [`STATUS_TAIL_BYTES`] (or fewer) of the file. `start_time`: end time if nothing is found.
/// The last line that is a result line decides, also if other lines follow it. Without a result the status is unknown,
/// with the time of the last stamped line. Only meaningful for tasks that no longer run.
///
/// Source: `docs/spec/schedules-and-tasks.md` 7.1, with the choice made there.
pub fn status_from_tail(tail: &[u8], start_time: Epoch) -> (TaskStatus, Epoch) {
    let mut last_time = None;
    for line in tail.rsplit(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let Some((time, message)) = split_stamp(&line) else {
            continue;
        };
        if let Some(status) = TaskStatus::from_result_message(message) {
            return (status, time);
        }
        last_time.get_or_insert(time);
    }
    (TaskStatus::Unknown, last_time.unwrap_or(start_time))
}

/// One line of a task list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskListEntry {
    /// The task.
    pub upid: Upid,
    /// End time and result; `None` while it runs.
    pub end: Option<(Epoch, TaskStatus)>,
}

/// Why a line of a task list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TaskListEntryError {
    /// The line does not start with a UPID.
    #[error("line does not start with a UPID")]
    Upid(#[source] UpidError),
    /// The end time is not made of 8 or more hex digits, or is too large.
    #[error("invalid end time in task list")]
    EndTime,
    /// The status is missing.
    #[error("missing status in task list")]
    Status(#[source] TaskStatusError),
}

impl FromStr for TaskListEntry {
    type Err = TaskListEntryError;

    /// Reads a line without its line break.
    fn from_str(line: &str) -> Result<Self, TaskListEntryError> {
        let mut parts = line.splitn(3, ' ');
        let upid = parts.next().unwrap_or_default().parse().map_err(TaskListEntryError::Upid)?;
        let Some(end_time) = parts.next() else {
            return Ok(Self { upid, end: None });
        };
        if !(8..=16).contains(&end_time.len()) || !end_time.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TaskListEntryError::EndTime);
        }
        let end_time = i64::from_str_radix(end_time, 16).map_err(|_| TaskListEntryError::EndTime)?;
        let status = parts.next().unwrap_or_default().parse().map_err(TaskListEntryError::Status)?;
        Ok(Self { upid, end: Some((Epoch(end_time), status)) })
    }
}

impl fmt::Display for TaskListEntry {
    /// Writes the line without its line break. Of an error text only the first line is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            None => write!(f, "{}", self.upid),
            Some((time, status)) => write!(f, "{} {:08X} {}", self.upid, time.0.max(0), status.first_line()),
        }
    }
}

/// Returns `text`, cut to at most about `max_bytes` at a character boundary, with a note about what is missing.
fn shortened(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let keep = text.floor_char_boundary(max_bytes);
    Cow::Owned(format!("{} ... ({} more bytes)", &text[..keep], text.len() - keep))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UPID: &str = "UPID:vm:00005E36:00077FD1:0000000F:6B035722:sync:a:root@pam:";

    fn vienna() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn stamps_are_local_time_with_numeric_offset() {
        let time = Epoch(1_795_311_000);
        assert_eq!(stamp(time, &vienna()), "2026-11-22T02:30:00+01:00");
        assert_eq!(stamp(time, &TimeZone::UTC), "2026-11-22T01:30:00+00:00");
        assert_eq!(stamp(time, &TimeZone::posix("NST3:30").unwrap()), "2026-11-21T22:00:00-03:30");
        assert_eq!(
            split_stamp("2026-11-22T02:30:00+01:00: sync datastore 'local' from 'pbs2/local'"),
            Some((time, "sync datastore 'local' from 'pbs2/local'"))
        );
        assert_eq!(split_stamp("2026-11-22T01:30:00Z: "), Some((time, "")));
    }

    #[test]
    fn lines_without_a_sound_stamp_are_continuation_lines() {
        for line in [
            "",
            "TASK OK",
            "2026-11-22T02:30:00+01:00 TASK OK",
            "2026-11-22T02:30:00+24:00: x",
            "2026-11-22T02:30:00+0100: x",
            "2026-11-22T02:30:00: x",
            "2026-13-22T02:30:00+01:00: x",
            "2026-11-22T02:30:0é+01:00: x",
            "2026-11-22T02:30:00+1é:0: x",
        ] {
            assert_eq!(split_stamp(line), None, "{line}");
        }
    }

    #[test]
    fn messages_cannot_forge_lines_nor_grow_without_bound() {
        let time = Epoch(1_795_311_000);
        let line = stamped_line(time, &vienna(), "a\r\n2026-11-22T02:30:00+01:00: TASK OK\u{1b}[2J");
        assert_eq!(line, "2026-11-22T02:30:00+01:00: a\n 2026-11-22T02:30:00+01:00: TASK OK\u{FFFD}[2J\n");
        assert!(stamped_line(time, &vienna(), &"ü".repeat(MAX_MESSAGE_BYTES)).len() < MAX_MESSAGE_BYTES + 100);
    }

    #[test]
    fn the_last_result_line_decides_also_if_lines_follow() {
        let log = "2026-11-22T02:30:00+01:00: TASK OK\n\
                   2026-11-22T02:30:01+01:00: TASK ERROR: umount: busy\nsecond line\n\n\
                   2026-11-22T02:30:05+01:00: POST /x: failed\n";
        assert_eq!(
            status_from_tail(log.as_bytes(), Epoch(0)),
            (TaskStatus::Error("umount: busy".to_owned()), Epoch(1_795_311_001))
        );
        assert_eq!(
            status_from_tail(b"2026-11-22T02:30:05+01:00: work\n2026-11-22T02:3", Epoch(0)),
            (TaskStatus::Unknown, Epoch(1_795_311_005))
        );
        assert_eq!(status_from_tail(b"\xff\xfe\n", Epoch(7)), (TaskStatus::Unknown, Epoch(7)));
    }

    #[test]
    fn the_longest_result_line_is_found_in_the_tail() {
        let status = TaskStatus::Error("x\n".repeat(100_000));
        let line = stamped_line(Epoch(1_795_311_000), &vienna(), &status.result_message());
        assert!(line.len() < STATUS_TAIL_BYTES);
        assert_eq!(
            status_from_tail(line.as_bytes(), Epoch(0)),
            (TaskStatus::Error("x".to_owned()), Epoch(1_795_311_000))
        );
    }

    #[test]
    fn status_texts_read_and_write() {
        for (text, status) in [
            ("OK", TaskStatus::Ok),
            ("unknown", TaskStatus::Unknown),
            ("WARNINGS: 3", TaskStatus::Warnings(3)),
            ("WARNINGS: many", TaskStatus::Error("WARNINGS: many".to_owned())),
            ("sync aborted", TaskStatus::Error("sync aborted".to_owned())),
            ("ERROR: OK", TaskStatus::Error("OK".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(status.clone()), "{text}");
            assert_eq!(status.to_string(), text);
        }
        assert_eq!("ERROR: x".parse(), Ok(TaskStatus::Error("x".to_owned())));
        assert_eq!("".parse::<TaskStatus>(), Err(TaskStatusError));
        assert_eq!("ERROR: ".parse::<TaskStatus>(), Err(TaskStatusError));
        assert_eq!(TaskStatus::Warnings(2).result_message(), "TASK WARNINGS: 2");
        assert_eq!(TaskStatus::Error("no".to_owned()).result_message(), "TASK ERROR: no");
    }

    #[test]
    fn list_lines_read_and_write_and_damage_is_named() {
        for line in [UPID.to_owned(), format!("{UPID} 6B035723 OK"), format!("{UPID} 6B035723 a - b c")] {
            assert_eq!(line.parse::<TaskListEntry>().unwrap().to_string(), line);
        }
        let entry = TaskListEntry {
            upid: UPID.parse().unwrap(),
            end: Some((Epoch(0x6B03_5723), TaskStatus::Error("\nfirst\nsecond".to_owned()))),
        };
        assert_eq!(entry.to_string(), format!("{UPID} 6B035723 first"));
        for bad in [
            "",
            "x",
            " ",
            "UPID:",
            &format!("{UPID} "),
            &format!("{UPID} 6B03572 OK"),
            &format!("{UPID} 6B035723"),
            &format!("{UPID} 6B035723 "),
            &format!("{UPID} +6B035723 OK"),
            &format!("{UPID} FFFFFFFFFFFFFFFF OK"),
        ] {
            assert!(bad.parse::<TaskListEntry>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_time_survives_the_stamp(time in 0i64..4_000_000_000, offset in -14i32..=14) {
            let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(offset * 3600).unwrap());
            let line = stamped_line(Epoch(time), &zone, "m");
            prop_assert_eq!(line.len(), STAMP_BYTES + 4);
            prop_assert_eq!(split_stamp(line.trim_end()), Some((Epoch(time), "m")));
        }

        #[test]
        fn every_error_text_reads_back_from_its_status(text in "[^\n\r]{1,60}") {
            let status = TaskStatus::Error(text);
            prop_assert_eq!(status.to_string().parse::<TaskStatus>(), Ok(status));
        }

        #[test]
        fn no_tail_makes_the_reader_panic(tail: Vec<u8>) {
            let _ = status_from_tail(&tail, Epoch(0));
        }
    }
}
