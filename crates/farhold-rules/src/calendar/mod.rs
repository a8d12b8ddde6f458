//! Calendar events: when a scheduled job is due next.
//!
//! Parsing and searching follow the specification field by field, because schedules of existing installations must
//! fire at the same moments. Where the reference product gives unusable answers (going back in time at a change of the
//! clocks) the specification chooses another one, and so do we. The zone comes in as an argument.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 1.

mod civil;
pub(crate) mod grammar;
#[cfg(test)]
mod tests;
mod values;

use std::str::FromStr;

use farhold_types::Epoch;
use jiff::tz::TimeZone;

pub(crate) use self::civil::local;
use self::civil::{Civil, resolve};
use self::grammar::{Date, Stopped, Time, Weekdays, skip_blanks, starts_with_letter};
use self::values::{Range, Values};

/// How often the search goes on before the answer is "never". Enough for `mon 02-29`, which is up to 40 years away.
/// Source: `docs/spec/schedules-and-tasks.md` 1.3.
const ROUNDS: usize = 1001;

/// Times further from the epoch than this (seconds, 31 million years) have no next event, so that sums cannot overflow.
const FURTHEST: i64 = 1_000_000_000_000_000;

/// A text that is no calendar event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse calendar event at '{rest}': expected {expected}")]
pub struct CalendarEventError {
    /// The part of the text at which parsing stopped.
    pub rest: String,
    /// What would have fitted there.
    pub expected: &'static str,
}

impl From<Stopped<'_>> for CalendarEventError {
    fn from(stopped: Stopped<'_>) -> Self {
        Self { rest: stopped.rest.to_owned(), expected: stopped.expected }
    }
}

/// A parsed calendar event such as `mon..fri 8..17:0/15`. Two texts that mean the same are equal here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarEvent {
    in_utc: bool,
    weekdays: Weekdays,
    year: Values,
    month: Values,
    day: Values,
    hour: Values,
    minute: Values,
    second: Values,
}

impl CalendarEvent {
    /// Parses an event.
    ///
    /// # Errors
    /// The text is none; the error says where and why.
    pub fn parse(text: &str) -> Result<Self, CalendarEventError> {
        let (body, in_utc) = match text.strip_suffix("UTC") {
            Some(body) => (body.trim_end_matches(' '), true),
            None => (text, false),
        };
        let event = match shorthand(body) {
            Some(event) => event,
            None => Self::parse_parts(body)?,
        };
        Ok(Self { in_utc, ..event })
    }

    fn parse_parts(body: &str) -> Result<Self, CalendarEventError> {
        let (mut event, mut rest, mut parts) = (Self::daily(), body, 0);
        if starts_with_letter(rest) {
            let (weekdays, after) = grammar::weekday_list(rest)?;
            event.weekdays = weekdays;
            (rest, parts) = (skip_blanks(after), parts + 1);
        }
        if let Ok((Date { year, month, day }, after)) = grammar::date(rest) {
            (event.year, event.month, event.day) = (year, month, day);
            (rest, parts) = (skip_blanks(after), parts + 1);
        }
        if !rest.is_empty() {
            let Time { hour, minute, second } = grammar::whole_time(rest)?;
            (event.hour, event.minute, event.second) = (hour, minute, second);
        } else if parts == 0 {
            return Err(Stopped { rest, expected: "a weekday, a date or a time" }.into());
        }
        Ok(event)
    }

    /// Midnight of every day.
    fn daily() -> Self {
        Self {
            in_utc: false,
            weekdays: Weekdays::ALL,
            year: Values::every(),
            month: Values::every(),
            day: Values::every(),
            hour: Values::only(0),
            minute: Values::only(0),
            second: Values::only(0),
        }
    }

    /// Returns the next time of the event, strictly later than `from`; `None`: never.
    ///
    /// `zone`: the local zone of the server; an event that ends in `UTC` ignores it.
    ///
    /// Source: `docs/spec/schedules-and-tasks.md` 1.3 and 1.4.
    pub fn next_after(&self, from: Epoch, zone: &TimeZone) -> Option<Epoch> {
        let from = Some(from.0).filter(|from| (-FURTHEST..=FURTHEST).contains(from))?;
        let zone = if self.in_utc { &TimeZone::UTC } else { zone };
        let mut time = from + 1;
        for _ in 0..ROUNDS {
            match self.step(&local(time, zone)) {
                Step::Matches => return Some(Epoch(time)),
                Step::Never => return None,
                Step::To(civil) => time = resolve(&civil, zone, from),
            }
        }
        None
    }

    /// Returns whether a moment whose clock shows `at` is one of the event, or else where to look next.
    fn step(&self, at: &Civil) -> Step {
        let Civil { year, month, day, hour, minute, second } = *at;
        if !self.year.contains(year) {
            return self.year.next_above(year).map_or(Step::Never, |year| Step::To(Civil::midnight(year, 1, 1)));
        }
        if !self.month.contains(month) {
            // Month 13 is January of the next year; so are days, hours and minutes beyond their range carried.
            return Step::To(Civil::midnight(year, self.month.next_above(month).unwrap_or(13), 1));
        }
        if !self.day.contains(day) {
            return Step::To(match self.day.next_above(day) {
                Some(day) => Civil::midnight(year, month, day),
                None => Civil::midnight(year, month + 1, 1),
            });
        }
        let weekday = at.weekday();
        if !self.weekdays.contains(weekday) {
            let next = (weekday + 1..7).find(|day| self.weekdays.contains(*day)).unwrap_or(7);
            return Step::To(Civil::midnight(year, month, day + next - weekday));
        }
        if !self.hour.contains(hour) {
            return Step::To(Civil { hour: self.hour.next_above(hour).unwrap_or(24), minute: 0, second: 0, ..*at });
        }
        if !self.minute.contains(minute) {
            return Step::To(Civil { minute: self.minute.next_above(minute).unwrap_or(60), second: 0, ..*at });
        }
        if !self.second.contains(second) {
            return Step::To(Civil { second: self.second.next_above(second).unwrap_or(60), ..*at });
        }
        Step::Matches
    }
}

impl FromStr for CalendarEvent {
    type Err = CalendarEventError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

enum Step {
    Matches,
    Never,
    To(Civil),
}

/// Returns the event of a name like `daily`.
///
/// Source: `docs/spec/schedules-and-tasks.md` 1.2.
fn shorthand(name: &str) -> Option<CalendarEvent> {
    let daily = CalendarEvent::daily();
    let first_day_of = |months: Range| CalendarEvent {
        month: Values::of(vec![months]),
        day: Values::only(1),
        ..CalendarEvent::daily()
    };
    let every = |step| Range { first: 1, last: Some(12), step };
    Some(match name {
        "minutely" => CalendarEvent { hour: Values::every(), minute: Values::every(), ..daily },
        "hourly" => CalendarEvent { hour: Values::every(), ..daily },
        "daily" => daily,
        "weekly" => CalendarEvent { weekdays: Weekdays::MONDAY, ..daily },
        "monthly" => CalendarEvent { day: Values::only(1), ..daily },
        "quarterly" => first_day_of(every(3)),
        "semiannually" | "semi-annually" => first_day_of(every(6)),
        "yearly" | "annually" => first_day_of(every(12)),
        _ => return None,
    })
}
