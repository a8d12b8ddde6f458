//! Dates and times of the day without a zone, and the way from there to seconds since the epoch and back.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Length of the Gregorian cycle of 400 years: afterwards dates, weekdays and the rules of a zone repeat.
const CYCLE: i64 = 146_097 * DAY;

/// Start of the year 9000, seconds since the epoch. The time library ends with the year 9999, our arithmetic does not:
/// later times are looked up whole cycles earlier.
const LAST_LOOKED_UP: i64 = 221_845_392_000;
/// Start of the year -9000, the same at the other end.
const FIRST_LOOKED_UP: i64 = -346_179_744_000;

/// A date and a time of the day. Fields may lie outside of their range until [`Civil::seconds`] carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

impl Civil {
    /// Returns midnight of a day.
    pub const fn midnight(year: i64, month: i64, day: i64) -> Self {
        Self { year, month, day, hour: 0, minute: 0, second: 0 }
    }

    /// Returns the seconds since 1970-01-01 00:00:00 of the same clock; fields beyond their range are carried.
    pub fn seconds(&self) -> i64 {
        let year = self.year + (self.month - 1).div_euclid(12);
        let month = (self.month - 1).rem_euclid(12) + 1;
        let days = days_before(year, month) + self.day - 1;
        days * DAY + self.hour * 3600 + self.minute * 60 + self.second
    }

    /// Returns the date and time so many seconds after 1970-01-01 00:00:00 of the same clock.
    pub fn from_seconds(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = date_of(days);
        Self { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60 }
    }

    /// Returns the weekday, 0 for Monday. All fields must be in their range.
    pub fn weekday(&self) -> i64 {
        // 1970-01-01 was a Thursday.
        (days_before(self.year, self.month) + self.day - 1 + 3).rem_euclid(7)
    }
}

/// Returns the days from 1970-01-01 to the first day of a month, proleptic Gregorian. `month`: 1 to 12.
fn days_before(year: i64, month: i64) -> i64 {
    // Years start in March here, so that the leap day is the last one of a year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    // 719_468 days lie between 0000-03-01 and 1970-01-01.
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

/// Returns year, month and day so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// Returns the clock of `zone` at `time`, seconds since the epoch.
pub(crate) fn local(time: i64, zone: &TimeZone) -> Civil {
    let offset = match Timestamp::from_second(looked_up(time)) {
        Ok(time) => i64::from(zone.to_offset(time).seconds()),
        Err(_) => 0,
    };
    Civil::from_seconds(time + offset)
}

/// Returns the seconds since the epoch at which the clock of `zone` shows `civil`.
///
/// In a gap the time moves forward by the length of the gap. A time that exists twice is its first occurrence if that
/// lies after `after`, otherwise the second.
///
/// Source: `docs/spec/schedules-and-tasks.md` 1.4.
pub(crate) fn resolve(civil: &Civil, zone: &TimeZone, after: i64) -> i64 {
    let seconds = civil.seconds();
    let Some(date_time) = date_time(looked_up(seconds)) else {
        return seconds;
    };
    let offset = match zone.to_ambiguous_timestamp(date_time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } => before,
        AmbiguousOffset::Fold { before, .. } if after < seconds - i64::from(before.seconds()) => before,
        AmbiguousOffset::Fold { after: second, .. } => second,
    };
    seconds - i64::from(offset.seconds())
}

/// Returns the same moment of a year that the time library knows.
fn looked_up(seconds: i64) -> i64 {
    if LAST_LOOKED_UP < seconds {
        seconds - ((seconds - LAST_LOOKED_UP) / CYCLE + 1) * CYCLE
    } else if seconds < FIRST_LOOKED_UP {
        seconds + ((FIRST_LOOKED_UP - seconds) / CYCLE + 1) * CYCLE
    } else {
        seconds
    }
}

fn date_time(seconds: i64) -> Option<DateTime> {
    let civil = Civil::from_seconds(seconds);
    DateTime::new(
        i16::try_from(civil.year).ok()?,
        i8::try_from(civil.month).ok()?,
        i8::try_from(civil.day).ok()?,
        i8::try_from(civil.hour).ok()?,
        i8::try_from(civil.minute).ok()?,
        i8::try_from(civil.second).ok()?,
        0,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_are_where_they_belong() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((1900, 3, 1), -25_508),
            ((2026, 11, 22), 20_779),
        ] {
            let (year, month, day) = date;
            assert_eq!(Civil::midnight(year, month, day).seconds(), days * DAY, "{date:?}");
            assert_eq!(date_of(days), date);
        }
        assert_eq!(Civil::midnight(9000, 1, 1).seconds(), LAST_LOOKED_UP);
        assert_eq!(Civil::midnight(-9000, 1, 1).seconds(), FIRST_LOOKED_UP);
    }

    #[test]
    fn fields_beyond_their_range_are_carried() {
        let carried = |civil: Civil| Civil::from_seconds(civil.seconds());
        assert_eq!(carried(Civil::midnight(2026, 16, 1)), Civil::midnight(2027, 4, 1));
        assert_eq!(carried(Civil::midnight(2026, 2, 31)), Civil::midnight(2026, 3, 3));
        let late = Civil { hour: 28, minute: 60, ..Civil::midnight(2026, 12, 31) };
        assert_eq!(carried(late), Civil { hour: 5, ..Civil::midnight(2027, 1, 1) });
    }

    proptest! {
        #[test]
        fn every_second_survives_the_way_to_a_date_and_back(seconds in -1_000_000_000_000_i64..1_000_000_000_000) {
            prop_assert_eq!(Civil::from_seconds(seconds).seconds(), seconds);
        }

        #[test]
        fn dates_and_weekdays_are_those_of_the_time_library(seconds in -62_000_000_000_i64..250_000_000_000) {
            let civil = Civil::from_seconds(seconds);
            let theirs = TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).unwrap());
            prop_assert_eq!(date_time(seconds), Some(theirs));
            prop_assert_eq!(civil.weekday(), i64::from(theirs.weekday().to_monday_zero_offset()));
        }
    }
}
