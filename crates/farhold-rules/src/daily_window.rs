//! Daily windows: parts of the day, on all or some weekdays.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 2.2.

use std::str::FromStr;

use farhold_types::Epoch;
use jiff::tz::TimeZone;

use crate::calendar::grammar::{Parsed, Stopped, Weekdays, number, skip_blanks, starts_with_letter, weekday_list};
use crate::calendar::local;

/// A text that is no daily window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse daily duration at '{rest}': expected {expected}")]
pub struct DailyWindowError {
    /// The part of the text at which parsing stopped.
    pub rest: String,
    /// What would have fitted there.
    pub expected: &'static str,
}

impl From<Stopped<'_>> for DailyWindowError {
    fn from(stopped: Stopped<'_>) -> Self {
        Self { rest: stopped.rest.to_owned(), expected: stopped.expected }
    }
}

/// A part of the day such as `mon..fri 8:00-17:30`, half open and never over midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyWindow {
    weekdays: Weekdays,
    /// Minutes since midnight; the end is outside.
    start: i64,
    end: i64,
}

impl DailyWindow {
    /// Parses a window.
    ///
    /// # Errors
    /// The text is none, or ends before it starts.
    pub fn parse(text: &str) -> Result<Self, DailyWindowError> {
        let (weekdays, rest) = if starts_with_letter(text) {
            let (weekdays, rest) = weekday_list(text)?;
            (weekdays, skip_blanks(rest))
        } else {
            (Weekdays::ALL, text)
        };
        let (start, rest) = clock(rest)?;
        let rest = skip_blanks(rest);
        let end_text = rest.strip_prefix('-').ok_or(Stopped { rest, expected: "-" })?;
        let (end, rest) = clock(skip_blanks(end_text))?;
        if !rest.is_empty() {
            return Err(Stopped { rest, expected: "the end" }.into());
        }
        if end < start {
            return Err(Stopped { rest: end_text, expected: "an end that is not before the start" }.into());
        }
        Ok(Self { weekdays, start, end })
    }

    /// Returns whether the window contains the moment `time` by the clock of `zone`; seconds do not count.
    pub fn contains(&self, time: Epoch, zone: &TimeZone) -> bool {
        let at = local(time.0, zone);
        self.contains_minute(at.weekday(), at.hour * 60 + at.minute)
    }

    /// `weekday`: 0 for Monday. `minute`: since midnight.
    fn contains_minute(&self, weekday: i64, minute: i64) -> bool {
        self.weekdays.contains(weekday) && (self.start..self.end).contains(&minute)
    }
}

impl FromStr for DailyWindow {
    type Err = DailyWindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Parses `H` or `H:M` into minutes since midnight.
fn clock(text: &str) -> Parsed<'_, i64> {
    let (hour, rest) = number(text, 24)?;
    let (minute, rest) = match rest.strip_prefix(':') {
        Some(minute) => number(minute, 60)?,
        None => (0, rest),
    };
    Ok((hour * 60 + minute, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const GOLDEN: &str = include_str!("../../../tests/golden/time-spans-and-windows.json");

    #[test]
    fn recorded_windows_cover_the_recorded_minutes() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        for row in golden["windows"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let window = DailyWindow::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            let ranges: Vec<(i64, i64)> = serde_json::from_value(row["minutes_of_week"].clone()).unwrap();
            for minute in 0..7 * 1440 {
                let expected = ranges.iter().any(|(start, end)| (*start..*end).contains(&minute));
                assert_eq!(window.contains_minute(minute / 1440, minute % 1440), expected, "{text:?} {minute}");
            }
        }
    }

    #[test]
    fn recorded_wrong_windows_are_refused() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        for text in golden["windows_rejected"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert!(DailyWindow::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_window_is_compared_with_the_local_clock() {
        let window = DailyWindow::parse("sun 11:00-11:30").unwrap();
        let vienna = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-11-22 is a Sunday; 10:00:00 UTC is 11:00:00 there.
        let start = 1_795_305_600 + 10 * 3600;
        for (time, inside) in [(start - 1, false), (start, true), (start + 1799, true), (start + 1800, false)] {
            assert_eq!(window.contains(Epoch(time), &vienna), inside, "{time}");
            assert!(!window.contains(Epoch(time), &TimeZone::UTC));
        }
    }
}
