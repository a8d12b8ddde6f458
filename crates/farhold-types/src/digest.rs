//! 32-byte digests and fingerprints and their text forms.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, text_value};

fn parse_hex(text: &[u8]) -> Option<[u8; 32]> {
    let nibble = |c: u8| (c as char).to_digit(16).and_then(|n| u8::try_from(n).ok());
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

/// A SHA-256 value that names a chunk or checks a file. Text form: 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = NameError;
    /// Reads exactly 64 lower-case hex digits.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const FORM: NameError = NameError::Form("digest must have 64 lower-case hex digits");
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(FORM);
        }
        parse_hex(text.as_bytes()).map(Self).ok_or(FORM)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: a collection names millions of chunk files.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

text_value!(Digest);

/// SHA-256 of a certificate or of an encryption key. Text form: 32 lower-case hex pairs joined by `:`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Returns the first 8 bytes in colon form, as logs show it.
    pub fn short(&self) -> String {
        self.to_string()[..23].to_owned()
    }
}

impl FromStr for Fingerprint {
    type Err = NameError;
    /// Reads 64 hex digits in either case; colons are ignored.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
        parse_hex(&digits).map(Self).ok_or(NameError::Form("fingerprint must have 32 hex pairs joined by ':'"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            if i != 0 {
                f.write_str(":")?;
            }
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

text_value!(Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_lower_case_and_fingerprints_take_both() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
        let fingerprint: Fingerprint = vec!["AB"; 32].join(":").parse().unwrap();
        assert_eq!(fingerprint.short(), "ab:ab:ab:ab:ab:ab:ab:ab");
        assert_eq!(fingerprint.to_string().len(), 95);
        assert!("ab:cd".parse::<Fingerprint>().is_err());
    }
}
