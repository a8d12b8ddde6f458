//! The grammar of weekday lists, number lists, dates and times of the day, shared by calendar events and daily windows.
//!
//! Each parser takes a text and returns what it read and the rest behind it, or where it stopped and what it expected.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 1.1.

use super::values::{Range, Values};

/// Where a parser stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped<'a> {
    /// What was left over.
    pub rest: &'a str,
    /// What would have fitted there.
    pub expected: &'static str,
}

pub(crate) type Parsed<'a, T> = Result<(T, &'a str), Stopped<'a>>;

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Some days of the week; bit 0 is Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weekdays(u8);

impl Weekdays {
    /// All seven days, that is no filter.
    pub const ALL: Self = Self(0x7f);

    /// Monday alone.
    pub const MONDAY: Self = Self(1);

    /// Returns whether the day is among them. `day`: 0 for Monday to 6 for Sunday.
    pub fn contains(self, day: i64) -> bool {
        (0..7).contains(&day) && self.0 >> day & 1 == 1
    }
}

/// Returns whether `text` can only start with a list of weekdays, because it starts with a letter.
pub(crate) fn starts_with_letter(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Returns `text` without blanks and tabs in front.
pub(crate) fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Parses days and ranges of days, `mon,wed..fri`. A range may wrap around the end of the week.
pub(crate) fn weekday_list(text: &str) -> Parsed<'_, Weekdays> {
    let (mut days, mut rest) = (0, text);
    loop {
        let (first, after) = weekday(rest)?;
        let (last, after) = match after.strip_prefix("..") {
            Some(end) => weekday(end)?,
            None => (first, after),
        };
        let count = (last + 7 - first) % 7 + 1;
        days = (0..count).fold(days, |days, n| days | 1 << ((first + n) % 7));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((Weekdays(days), after)),
        }
    }
}

fn weekday(text: &str) -> Parsed<'_, usize> {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let name = word.to_ascii_lowercase();
    let day = WEEKDAYS.iter().position(|day| name == *day || name == day[..3]);
    // Of an unknown weekday only the word is reported.
    let stopped = Stopped { rest: if word.is_empty() { text } else { word }, expected: "a weekday" };
    day.map(|day| (day, rest)).ok_or(stopped)
}

/// Year, month and day of an event.
pub(crate) struct Date {
    pub year: Values,
    pub month: Values,
    pub day: Values,
}

/// Parses `year-month-day` or `month-day`.
pub(crate) fn date(text: &str) -> Parsed<'_, Date> {
    fn month_day(text: &str) -> Parsed<'_, (Values, Values)> {
        let (month, rest) = values(text, 1, 13)?;
        let (day, rest) = values(after(rest, "-")?, 1, 32)?;
        Ok(((month, day), rest))
    }
    fn with_year(text: &str) -> Parsed<'_, Date> {
        let (year, rest) = values(text, 0, 2200)?;
        let ((month, day), rest) = month_day(after(rest, "-")?)?;
        Ok((Date { year, month, day }, rest))
    }
    with_year(text)
        .or_else(|_| month_day(text).map(|((month, day), rest)| (Date { year: Values::every(), month, day }, rest)))
}

/// Hour, minute and second of an event.
pub(crate) struct Time {
    pub hour: Values,
    pub minute: Values,
    pub second: Values,
}

/// Parses a whole text as `[hour:]minute[:second]`.
///
/// What is no list of hours may still be one of minutes: `24:00` is minute 24, second 0 of every hour.
pub(crate) fn whole_time(text: &str) -> Result<Time, Stopped<'_>> {
    fn minutes(text: &str, hour: Values) -> Result<Time, Stopped<'_>> {
        let (minute, rest) = values(text, 0, 60)?;
        let (second, rest) = match rest.strip_prefix(':') {
            Some(seconds) => values(seconds, 0, 60)?,
            None => (Values::only(0), rest),
        };
        match rest {
            "" => Ok(Time { hour, minute, second }),
            _ => Err(Stopped { rest, expected: "the end" }),
        }
    }
    fn with_hours(text: &str) -> Result<Time, Stopped<'_>> {
        let (hour, rest) = values(text, 0, 24)?;
        minutes(after(rest, ":")?, hour)
    }
    with_hours(text).or_else(|with_hours| {
        // Whichever form came further tells better what is wrong.
        minutes(text, Values::every())
            .map_err(|alone| if alone.rest.len() <= with_hours.rest.len() { alone } else { with_hours })
    })
}

/// Parses a number below `limit`.
pub(crate) fn number(text: &str, limit: u32) -> Parsed<'_, i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text[..end].parse::<u32>() {
        Ok(number) if number < limit => Ok((i64::from(number), &text[end..])),
        Ok(_) => Err(Stopped { rest: text, expected: "a smaller number" }),
        Err(_) => Err(Stopped { rest: text, expected: "a number" }),
    }
}

/// Parses a list of numbers below `limit`; a step without start begins at `lowest`.
fn values(text: &str, lowest: i64, limit: u32) -> Parsed<'_, Values> {
    if let Some(rest) = text.strip_prefix('*') {
        let Some(step) = rest.strip_prefix('/') else {
            return Ok((Values::every(), rest));
        };
        return match number(step, limit)? {
            (0, _) => Err(Stopped { rest: step, expected: "a step above 0" }),
            (step, rest) => Ok((Values::of(vec![Range { first: lowest, last: None, step }]), rest)),
        };
    }
    let (mut ranges, mut text) = (Vec::new(), text);
    loop {
        let (range, rest) = range(text, limit)?;
        ranges.push(range);
        match rest.strip_prefix(',') {
            Some(next) => text = next,
            None => return Ok((Values::of(ranges), rest)),
        }
    }
}

/// Parses `a`, `a..b`, `a/step` or `a..b/step`.
fn range(text: &str, limit: u32) -> Parsed<'_, Range> {
    let (first, rest) = number(text, limit)?;
    let (last, rest) = match rest.strip_prefix("..") {
        Some(end) => match number(end, limit)? {
            (last, rest) if first <= last => (Some(last), rest),
            _ => return Err(Stopped { rest: end, expected: "a range that ascends" }),
        },
        None => (None, rest),
    };
    let only_first = Range { first, last: Some(first), step: 1 };
    match rest.strip_prefix('/') {
        Some(step) => match number(step, limit)? {
            (0, rest) => Ok((only_first, rest)),
            (step, rest) => Ok((Range { first, last, step }, rest)),
        },
        None if last.is_some() => Ok((Range { first, last, step: 1 }, rest)),
        None => Ok((only_first, rest)),
    }
}

fn after<'a>(text: &'a str, separator: &'static str) -> Result<&'a str, Stopped<'a>> {
    text.strip_prefix(separator).ok_or(Stopped { rest: text, expected: separator })
}
