//! Query strings in form encoding, built by clients and read by servers.

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use thiserror::Error;

/// Everything but letters, digits and `-._~` is escaped; real clients escape `/` in namespaces, too.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Most parameters a query may have: far more than any endpoint knows, few enough to bound the work.
pub const MAX_PARAMETERS: usize = 1024;

/// Why a query string could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A name or value is not UTF-8 after decoding, or holds a broken escape.
    #[error("query string holds a name or value with a wrong escape or encoding")]
    Encoding,
    /// Too many parameters.
    #[error("query string has more than {MAX_PARAMETERS} parameters")]
    TooMany,
}

/// Parameters of a request, in the order they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Returns a query without parameters.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.pairs.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a parameter if there is a value.
    #[must_use]
    pub fn with_option(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Returns whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns names and values in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Reads a query string as it stands behind the `?`. Empty pieces are skipped, `+` means a blank.
    ///
    /// # Errors
    /// A broken escape, text that is not UTF-8, or more than [`MAX_PARAMETERS`] parameters.
    ///
    /// Source: `docs/spec/wire-protocol.md` 2.5.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut pairs = Vec::new();
        for piece in text.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err(QueryError::TooMany);
            }
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self { pairs })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            if i != 0 {
                f.write_char('&')?;
            }
            write!(f, "{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED))?;
        }
        Ok(())
    }
}

fn decode(text: &str) -> Result<String, QueryError> {
    let spaced = text.replace('+', " ");
    let bytes = spaced.as_bytes();
    let broken = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'%')
        .any(|(i, _)| !bytes.get(i + 1..i + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if broken {
        return Err(QueryError::Encoding);
    }
    percent_decode(bytes).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| QueryError::Encoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn namespaces_are_escaped_as_recorded() {
        assert_eq!(Query::new().with("ns", "site-a/rack1").to_string(), "ns=site-a%2Frack1");
        assert_eq!(Query::new().with_option("ns", None::<&str>).to_string(), "");
    }

    #[test]
    fn wrong_escapes_and_encodings_are_refused() {
        for text in ["a=%", "a=%2", "a=%zz", "%ff=1", "a=%c3"] {
            assert_eq!(Query::parse(text), Err(QueryError::Encoding), "{text}");
        }
        assert_eq!(Query::parse(&"a&".repeat(MAX_PARAMETERS + 1)), Err(QueryError::TooMany));
        assert_eq!(
            Query::parse("&a=1+2&&b").unwrap().pairs(),
            [("a".to_owned(), "1 2".to_owned()), ("b".to_owned(), String::new())]
        );
    }

    proptest! {
        #[test]
        fn every_query_survives_the_round_trip(pairs in proptest::collection::vec(("\\PC{1,8}", "\\PC{0,12}"), 0..6)) {
            let query = pairs.iter().fold(Query::new(), |q, (name, value)| q.with(name, value));
            prop_assert_eq!(Query::parse(&query.to_string()).unwrap(), query);
        }
    }
}
