//! Byte amounts with a unit, as people write them and as configuration files keep them.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 3; examples in `tests/golden/byte-sizes.json`.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, text_value};

/// Unit letters with their power.
const LETTERS: [(char, i32); 5] = [('k', 1), ('m', 2), ('g', 3), ('t', 4), ('p', 5)];

/// An amount with the unit it was written in. Displays as `20 MiB`: three decimals at most, the unit kept.
#[derive(Clone, Copy)]
pub struct ByteSize {
    value: f64,
    power: i32,
    binary: bool,
}

impl ByteSize {
    /// Returns the number of bytes, the fraction cut off, limited to what a `u64` holds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates, which is the rule")]
    pub fn bytes(&self) -> u64 {
        (self.value * self.factor()) as u64
    }

    fn factor(&self) -> f64 {
        let base: f64 = if self.binary { 1024.0 } else { 1000.0 };
        base.powi(self.power)
    }

    fn unit(&self) -> String {
        let letter = LETTERS.iter().find(|(_, p)| *p == self.power).map(|(c, _)| c.to_ascii_uppercase());
        match (letter, self.binary) {
            (None, _) => "B".to_owned(),
            (Some(letter), false) => format!("{letter}B"),
            (Some(letter), true) => format!("{letter}iB"),
        }
    }
}

impl PartialEq for ByteSize {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for ByteSize {}

impl FromStr for ByteSize {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        const FORM: NameError =
            NameError::Form("byte size must be a number with an optional unit, such as 500000, 20 MB or 1.5GiB");
        if text.is_empty() {
            return Err(NameError::TooShort { min: 1 });
        }
        if 64 < text.chars().count() {
            return Err(NameError::TooLong { max: 64 });
        }
        let mut rest = text.strip_suffix(['b', 'B']).unwrap_or(text);
        let mut binary = false;
        if let Some(without) = rest.strip_suffix('i') {
            (rest, binary) = (without, true);
        }
        let mut power = 0;
        let letter = rest.chars().next_back().map(|c| c.to_ascii_lowercase());
        if let Some((_, p)) = LETTERS.iter().find(|(c, _)| Some(*c) == letter) {
            (rest, power) = (&rest[..rest.len() - 1], *p);
        }
        let number = rest.trim_end();
        let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
        let value: f64 = number.parse().map_err(|_| FORM)?;
        if !plain || !value.is_finite() || value.is_sign_negative() {
            return Err(FORM);
        }
        Ok(Self { value, power, binary: binary && power != 0 })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", three_decimals(self.value), self.unit())
    }
}

text_value!(ByteSize);

/// Returns `value` with at most three decimals and no trailing zeros, never with an exponent.
fn three_decimals(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    let rounded = if rounded.is_finite() { rounded } else { value };
    format!("{rounded}")
}

/// Returns `bytes` scaled by powers of 1024 for log lines and tables: `16.785 MiB`, `1022 B`.
///
/// The unit is chosen before rounding, and `PiB` is the largest.
#[expect(clippy::cast_precision_loss, reason = "shown with three decimals only")]
pub fn format_bytes(bytes: u64) -> String {
    let power = LETTERS.iter().map(|(_, p)| *p).rev().find(|p| 1024u64.pow(p.unsigned_abs()) <= bytes).unwrap_or(0);
    let size = ByteSize { value: bytes as f64 / 1024f64.powi(power), power, binary: power != 0 };
    size.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> serde_json::Value {
        serde_json::from_str(include_str!("../../../tests/golden/byte-sizes.json")).unwrap()
    }

    #[test]
    fn recorded_sizes_parse_to_the_recorded_bytes_and_text() {
        let golden = golden();
        let rows = golden["parse"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let text = row["text"].as_str().unwrap();
            let size: ByteSize = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(Some(size.bytes()), row["bytes"].as_u64(), "{text}");
            assert_eq!(Some(size.to_string().as_str()), row["stored"].as_str(), "{text}");
        }
    }

    #[test]
    fn recorded_wrong_sizes_and_those_our_specification_refuses_are_refused() {
        let golden = golden();
        let wrong = golden["rejected"].as_array().unwrap().iter();
        let odd = golden["odd_accepted_by_the_reference"].as_array().unwrap().iter();
        for row in wrong.chain(odd) {
            let text = row["text"].as_str().or(row.as_str()).unwrap();
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn automatic_scaling_matches_the_recorded_table() {
        for row in golden()["format"].as_array().unwrap() {
            let Some(bytes) = row["bytes"].as_u64() else {
                continue;
            };
            assert_eq!(format_bytes(bytes), row["base2"].as_str().unwrap());
        }
        assert_eq!(format_bytes(1_073_741_823), "1024 MiB");
    }
}
