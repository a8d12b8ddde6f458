//! Points in time as whole seconds, and their UTC text form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::NameError;

/// Seconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 in UTC: `2026-01-31T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// Last second of the year 9999, the largest time that can be formatted.
    pub const MAX: Self = Self(253_402_300_799);
    /// First second of the year 0.
    pub const MIN: Self = Self(-62_167_219_200);

    /// Returns the time that a snapshot directory name means: always 20 characters, UTC, `Z`.
    ///
    /// Second 60 maps to the next second. A day that the month does not have counts on into the next month.
    ///
    /// # Errors
    /// Any other form, or a month, day, hour, minute or second out of range.
    ///
    /// Source: `docs/spec/datastore-format.md` 2.
    pub fn parse_rfc3339_utc(text: &str) -> Result<Self, NameError> {
        const FORM: NameError = NameError::Form("backup time must have the form YYYY-MM-DDTHH:MM:SSZ");
        let b = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if b.len() != 20 || separators.iter().any(|&(i, c)| b[i] != c) {
            return Err(FORM);
        }
        let number = |from: usize, to: usize| -> Result<i64, NameError> {
            b[from..to]
                .iter()
                .try_fold(0i64, |n, c| if c.is_ascii_digit() { Ok(n * 10 + i64::from(c - b'0')) } else { Err(FORM) })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let in_range =
            (1..=12).contains(&month) && (1..=31).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
        if !in_range {
            return Err(NameError::Form("backup time is out of range"));
        }
        let time = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        if Self::MAX.0 < time { Err(NameError::Form("backup time is out of range")) } else { Ok(Self(time)) }
    }

    /// Returns the seconds from `earlier` to `self`, negative if `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Date of a day counted from 1970-01-01, as (year, month, day).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400));
        let second = self.0.rem_euclid(86_400);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_documented_time_has_the_documented_name() {
        assert_eq!(Epoch(1_593_179_765).to_string(), "2020-06-26T13:56:05Z");
        assert_eq!(Epoch::parse_rfc3339_utc("2020-06-26T13:56:05Z"), Ok(Epoch(1_593_179_765)));
        assert_eq!(Epoch::MAX.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Epoch::MIN.to_string(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn wrong_forms_and_ranges_are_refused() {
        for text in [
            "",
            "2020-06-26T13:56:05",
            "2020-13-26T13:56:05Z",
            "2020-06-32T13:56:05Z",
            "2020-06-26T24:00:00Z",
            "2020-06-26T13:60:05Z",
            "2020-06-26T13:56:61Z",
            "2020-00-01T00:00:00Z",
            "2020-06-26 13:56:05Z",
            "+020-06-26T13:56:05Z",
            "2020-06-26T13:56:05z",
            "20200-6-26T13:56:05Z",
            "２020-06-26T13:56:0Z",
        ] {
            assert!(Epoch::parse_rfc3339_utc(text).is_err(), "{text}");
        }
        assert_eq!(Epoch::parse_rfc3339_utc("2016-12-31T23:59:60Z"), Ok(Epoch(1_483_228_800)));
    }

    proptest! {
        #[test]
        fn every_time_of_four_digit_years_survives_the_round_trip(time in Epoch::MIN.0..=Epoch::MAX.0) {
            prop_assert_eq!(Epoch::parse_rfc3339_utc(&Epoch(time).to_string()), Ok(Epoch(time)));
        }
    }
}
