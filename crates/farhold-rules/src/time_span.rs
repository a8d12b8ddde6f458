//! Time spans: durations as people write and read them, `1h 30m`.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 2.1.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Names of a unit and its length in seconds. A year is 365.25 days, a month 30.44 days.
const UNITS: [(&[&str], u64); 7] = [
    (&["y", "year", "years"], 31_557_600),
    (&["M", "month", "months"], 2_630_016),
    (&["w", "week", "weeks"], 604_800),
    (&["d", "day", "days"], 86_400),
    (&["h", "hr", "hour", "hours"], 3600),
    (&["m", "min", "minute", "minutes"], 60),
    (&["s", "sec", "second", "seconds"], 1),
];

/// Names of a unit below a second and its length in nanoseconds.
const SMALL_UNITS: [(&[&str], u64); 3] =
    [(&["ms", "msec"], 1_000_000), (&["us", "usec", "\u{b5}s"], 1000), (&["ns", "nsec"], 1)];

/// A text that is no time span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeSpanError {
    /// Nothing but blanks.
    #[error("empty time span")]
    Empty,
    /// No whole number where one must stand.
    #[error("time span: expected a number at '{rest}'")]
    NoNumber {
        /// The rest of the text.
        rest: String,
    },
    /// A word that is no unit.
    #[error("time span: unknown unit '{unit}'")]
    UnknownUnit {
        /// The word.
        unit: String,
    },
    /// Longer than can be counted.
    #[error("time span is too long")]
    TooLong,
}

/// A duration with the text form of the reference product: parsed from `1h 30m`, printed like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    /// Parses numbers with units, in any order; a number without unit is seconds, repeats are added.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text.trim_start_matches(BLANKS);
        if rest.is_empty() {
            return Err(TimeSpanError::Empty);
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
            if digits.is_empty() {
                return Err(TimeSpanError::NoNumber { rest: rest.to_owned() });
            }
            let count: u64 = digits.parse().map_err(|_| TimeSpanError::TooLong)?;
            let after = after.trim_start_matches(BLANKS);
            let end = after.find(|c: char| c.is_ascii_digit() || BLANKS.contains(&c)).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let part = length(count, unit)?;
            total = total.checked_add(part).ok_or(TimeSpanError::TooLong)?;
            rest = after.trim_start_matches(BLANKS);
        }
        Ok(Self(total))
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn length(count: u64, unit: &str) -> Result<Duration, TimeSpanError> {
    if unit.is_empty() {
        return Ok(Duration::from_secs(count));
    }
    if let Some((_, seconds)) = UNITS.iter().find(|(names, _)| names.contains(&unit)) {
        return count.checked_mul(*seconds).map(Duration::from_secs).ok_or(TimeSpanError::TooLong);
    }
    let small = SMALL_UNITS.iter().find(|(names, _)| names.contains(&unit));
    let (_, nanoseconds) = small.ok_or_else(|| TimeSpanError::UnknownUnit { unit: unit.to_owned() })?;
    count.checked_mul(*nanoseconds).map(Duration::from_nanos).ok_or(TimeSpanError::TooLong)
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut seconds = self.0.as_secs();
        for (names, length) in &UNITS[..UNITS.len() - 1] {
            if *length <= seconds {
                parts.push(format!("{}{}", seconds / length, names[0]));
                seconds %= length;
            }
        }
        // Rounding does not carry into the minutes: 59.95 s is `60s`.
        let tenths = seconds * 10 + (u64::from(self.0.subsec_nanos()) + 50_000_000) / 100_000_000;
        let shorter_than_a_tenth = seconds == 0 && self.0.subsec_nanos() < 100_000_000;
        match (shorter_than_a_tenth, parts.is_empty()) {
            (true, false) => {}
            (true, true) if self.0.is_zero() => parts.push("0s".to_owned()),
            (true, true) => parts.push("<0.1s".to_owned()),
            (false, _) if tenths.is_multiple_of(10) => parts.push(format!("{}s", tenths / 10)),
            (false, _) => parts.push(format!("{}.{}s", tenths / 10, tenths % 10)),
        }
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const GOLDEN: &str = include_str!("../../../tests/golden/time-spans-and-windows.json");

    #[test]
    fn recorded_spans_are_read_and_printed_as_recorded() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        for row in golden["spans"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let span: TimeSpan = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
            let nanos = u32::try_from(row["nanos"].as_u64().unwrap()).unwrap();
            assert_eq!(span.0, Duration::new(row["seconds"].as_u64().unwrap(), nanos), "{text:?}");
            assert_eq!(span.to_string(), row["printed"].as_str().unwrap(), "{text:?}");
        }
        for text in golden["spans_rejected"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert!(text.parse::<TimeSpan>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_an_error() {
        for text in ["600000000000y", "18446744073709551615 1", "20000000000000000000"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(TimeSpanError::TooLong), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_seconds_survive_printing(seconds: u64) {
            let span = TimeSpan(Duration::from_secs(seconds));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
