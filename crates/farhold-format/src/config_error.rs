//! What can be wrong with the text of a configuration file.
//!
//! Messages never contain a value, since it may be a secret.

use thiserror::Error;

use crate::property_string::PropertyError;

/// A configuration file that cannot be used as it is, with the place of the first fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}{}{}: {kind}", line_text(*line), section_text(section.as_deref()))]
pub struct ConfigTextError {
    /// Name of the file.
    pub file: String,
    /// Line, counted from 1; 0 if the fault has no line (a section that is about to be written).
    pub line: usize,
    /// Header of the section, `type: id`, if the fault is inside one.
    pub section: Option<String>,
    /// What is wrong.
    pub kind: ConfigTextErrorKind,
}

fn line_text(line: usize) -> String {
    if line == 0 { String::new() } else { format!(" line {line}") }
}

fn section_text(section: Option<&str>) -> String {
    section.map_or_else(String::new, |header| format!(", section '{header}'"))
}

impl ConfigTextError {
    pub(crate) fn new(file: &str, line: usize, section: Option<String>, kind: ConfigTextErrorKind) -> Self {
        Self { file: file.to_owned(), line, section, kind }
    }
}

/// What is wrong. Letters in the descriptions are the classes of `docs/spec/config-and-access.md` 8.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigTextErrorKind {
    /// U: not UTF-8.
    #[error("file is not valid UTF-8; restore or re-encode it")]
    NotUtf8,
    /// U: beyond the size bound.
    #[error("file is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
    /// H: a header line was expected.
    #[error(
        "expected a header such as 'type: id' in the first column; comments and indented lines outside of a section \
         are not possible"
    )]
    HeaderExpected,
    /// P: a property line was expected.
    #[error("expected an indented line 'key value'; put a blank line before the next section")]
    PropertyExpected,
    /// T: a section type that this file does not have.
    #[error("unknown section type '{found}', expected one of: {known}")]
    UnknownType {
        /// The type found.
        found: String,
        /// The types that this file may have.
        known: String,
    },
    /// I: an id that breaks the rule of its type.
    #[error("invalid section id: {reason}")]
    BadId {
        /// The rule that is broken.
        reason: String,
    },
    /// K: a key that this section or file does not have.
    #[error("unknown key '{key}'; remove the line")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// D: a key that may stand only once.
    #[error("key '{key}' may stand only once; remove the other line")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// M: a key that must be there.
    #[error("key '{key}' is missing; add a line for it")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// V: a value that breaks the rule of its key.
    #[error("key '{key}': {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// The rule that is broken.
        reason: String,
    },
    /// V: a line of a `key: value` file that is none.
    #[error("expected 'key: value'")]
    KeyValueExpected,
    /// S: a property string with wrong inner structure.
    #[error("key '{key}': {error}")]
    PropertyString {
        /// The key.
        key: String,
        /// What is wrong inside.
        error: Box<PropertyError>,
    },
    /// A: a line of the access control list that is none.
    #[error("{reason}")]
    AclLine {
        /// What is wrong.
        reason: String,
    },
}

impl ConfigTextErrorKind {
    /// Returns the key that the error is about, if it is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { key }
            | Self::DuplicateKey { key }
            | Self::MissingKey { key }
            | Self::BadValue { key, .. }
            | Self::PropertyString { key, .. } => Some(key),
            _ => None,
        }
    }
}
