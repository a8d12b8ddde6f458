//! Times in key files: local time with its offset.

use std::fmt;
use std::str::FromStr;

use farhold_types::Epoch;

use super::KeyFileError;

/// Largest offset from UTC that is read, in minutes: 23:59.
const MAX_OFFSET_MINUTES: i32 = 24 * 60 - 1;

/// A point in time and the offset of the clock that showed it. Displays as `2020-06-26T15:56:05+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    time: Epoch,
    offset_minutes: i32,
}

impl LocalTime {
    /// Returns `time` as seen `offset_minutes` east of UTC; offsets of a day or more are cut to 23:59.
    pub fn new(time: Epoch, offset_minutes: i32) -> Self {
        Self { time, offset_minutes: offset_minutes.clamp(-MAX_OFFSET_MINUTES, MAX_OFFSET_MINUTES) }
    }

    /// Returns `time` as seen in UTC.
    pub const fn utc(time: Epoch) -> Self {
        Self { time, offset_minutes: 0 }
    }

    /// Returns the point in time.
    pub const fn epoch(&self) -> Epoch {
        self.time
    }
}

impl FromStr for LocalTime {
    type Err = KeyFileError;
    /// Reads 25 characters with an offset, or 20 that end in `Z`. Nothing else, no fractions.
    fn from_str(text: &str) -> Result<Self, KeyFileError> {
        const FORM: KeyFileError = KeyFileError::Member { member: "created or modified" };
        let (clock, offset) = text.split_at_checked(19).ok_or(FORM)?;
        let shown = Epoch::parse_rfc3339_utc(&format!("{clock}Z")).map_err(|_| FORM)?;
        if offset == "Z" {
            return Ok(Self::utc(shown));
        }
        let b = offset.as_bytes();
        let digits = [1, 2, 4, 5].map(|i| b.get(i).copied().unwrap_or_default());
        if b.len() != 6 || !matches!(b[0], b'+' | b'-') || b[3] != b':' || !digits.iter().all(u8::is_ascii_digit) {
            return Err(FORM);
        }
        let [h1, h0, m1, m0] = digits.map(|digit| i32::from(digit - b'0'));
        let (hours, minutes) = (h1 * 10 + h0, m1 * 10 + m0);
        if 23 < hours || 59 < minutes {
            return Err(FORM);
        }
        let offset_minutes = (hours * 60 + minutes) * if b[0] == b'-' { -1 } else { 1 };
        Ok(Self { time: Epoch(shown.0 - i64::from(offset_minutes) * 60), offset_minutes })
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Epoch(self.time.0.saturating_add(i64::from(self.offset_minutes) * 60)).to_string();
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.abs();
        write!(f, "{}{sign}{:02}:{:02}", shown.trim_end_matches('Z'), offset / 60, offset % 60)
    }
}
