//! What configuration files may contain: section types, keys, and the rules for their values.
//!
//! Schemas are constants, written down where the files are known; this module only gives them their shape.
//!
//! Source: `docs/spec/config-and-access.md` 2.5.

use crate::config_error::ConfigTextErrorKind;
use crate::property_string::{PropertyError, PropertySchema};

/// Checks a text; the error says what is wrong without repeating the text, which may be a secret.
pub type Checker = fn(&str) -> Result<(), String>;

/// The rule for one value.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// `1 on yes true` or `0 off no false` in any letter case, written as `true` or `false`.
    Bool,
    /// A decimal integer within bounds, both included.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Text with a length in characters and an optional checker.
    Text {
        /// Smallest length.
        min: usize,
        /// Largest length.
        max: usize,
        /// Further rule.
        check: Option<Checker>,
    },
    /// One of a fixed set, checked at once.
    Enum(&'static [&'static str]),
    /// One of a fixed set, but any text passes here; whoever uses the value checks it.
    LenientEnum(&'static [&'static str]),
    /// A comma-separated list of `key=value`.
    Properties(&'static PropertySchema),
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// Wrong type, range, length or pattern.
    Value(String),
    /// Wrong inner structure of a property string.
    Properties(PropertyError),
}

impl ValueError {
    /// Returns the error of a file for the key that has this value.
    pub(crate) fn of_key(self, key: &str) -> ConfigTextErrorKind {
        let key = key.to_owned();
        match self {
            Self::Value(reason) => ConfigTextErrorKind::BadValue { key, reason },
            Self::Properties(error) => ConfigTextErrorKind::PropertyString { key, error: Box::new(error) },
        }
    }
}

impl Value {
    /// Returns `text` as it is kept: booleans and integers in their canonical form, all else verbatim.
    ///
    /// # Errors
    /// The text breaks the rule.
    pub fn normalise(&self, text: &str) -> Result<String, ValueError> {
        let wrong = |reason: String| Err(ValueError::Value(reason));
        match self {
            Self::Bool => match parse_bool(text) {
                Some(value) => Ok(value.to_string()),
                None => wrong("expected a boolean: true or false".to_owned()),
            },
            Self::Int { min, max } => match text.parse::<i64>() {
                Err(_) => wrong("expected an integer".to_owned()),
                Ok(n) if n < *min => wrong(format!("value must not be smaller than {min}")),
                Ok(n) if *max < n => wrong(format!("value must not be larger than {max}")),
                Ok(n) => Ok(n.to_string()),
            },
            Self::Text { min, max, check } => {
                let length = text.chars().count();
                if length < *min {
                    return wrong(format!("value must be at least {min} characters long"));
                }
                if *max < length {
                    return wrong(format!("value may only be {max} characters long"));
                }
                if let Some(check) = check {
                    check(text).map_err(ValueError::Value)?;
                }
                Ok(text.to_owned())
            }
            Self::Enum(values) if !values.contains(&text) => wrong(format!("expected one of {}", values.join(", "))),
            Self::Enum(_) | Self::LenientEnum(_) => Ok(text.to_owned()),
            Self::Properties(schema) => {
                schema.parse(text).map_err(ValueError::Properties)?;
                Ok(text.to_owned())
            }
        }
    }
}

/// Returns the boolean that configuration text means.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Whether a key may stand more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// At most one line.
    Once,
    /// Any number of lines; the values form a list.
    List,
}

/// One key of a section or property string.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name as written.
    pub name: &'static str,
    /// Rule for each value.
    pub value: Value,
    /// Whether it may repeat.
    pub repeat: Repeat,
    /// Whether it must be there.
    pub required: bool,
}

impl Key {
    /// Returns a key that may be left out.
    pub const fn optional(name: &'static str, value: Value) -> Self {
        Self { name, value, repeat: Repeat::Once, required: false }
    }

    /// Returns a key that must be there.
    pub const fn required(name: &'static str, value: Value) -> Self {
        Self { name, value, repeat: Repeat::Once, required: true }
    }

    /// Returns a key that may repeat.
    pub const fn list(name: &'static str, value: Value) -> Self {
        Self { name, value, repeat: Repeat::List, required: false }
    }

    /// Returns a key that may repeat and must be there once at least.
    pub const fn required_list(name: &'static str, value: Value) -> Self {
        Self { name, value, repeat: Repeat::List, required: true }
    }
}

/// One section type.
#[derive(Debug, Clone, Copy)]
pub struct SectionSchema {
    /// Word before the colon of the header.
    pub name: &'static str,
    /// Rule for the id.
    pub id: Value,
    /// All keys it may have.
    pub keys: &'static [Key],
}

impl SectionSchema {
    /// Returns the key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn check_id(&self, id: &str) -> Result<(), String> {
        match self.id.normalise(id) {
            Ok(_) => Ok(()),
            Err(ValueError::Value(reason)) => Err(reason),
            Err(ValueError::Properties(error)) => Err(error.to_string()),
        }
    }
}

/// One file: its section types.
#[derive(Debug, Clone, Copy)]
pub struct FileSchema {
    /// All section types it may have.
    pub sections: &'static [SectionSchema],
}

impl FileSchema {
    /// Returns the section type of this name.
    pub fn section(&self, name: &str) -> Option<&'static SectionSchema> {
        self.sections.iter().find(|section| section.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_and_integers_have_one_written_form() {
        for (text, value) in [("1", "true"), ("oN", "true"), ("YES", "true"), ("Off", "false"), ("no", "false")] {
            assert_eq!(Value::Bool.normalise(text).unwrap(), value);
        }
        let int = Value::Int { min: -5, max: 10 };
        for (text, value) in [("+007", "7"), ("-5", "-5"), ("0", "0"), ("-0", "0")] {
            assert_eq!(int.normalise(text).unwrap(), value);
        }
        for bad in ["", "11", "-6", "1.0", "two", "0x1", "9223372036854775808", "1 "] {
            assert!(int.normalise(bad).is_err(), "{bad}");
        }
        assert!(Value::Bool.normalise("maybe").is_err());
    }

    #[test]
    fn strict_sets_refuse_what_lenient_ones_let_through() {
        assert!(Value::Enum(&["a"]).normalise("b").is_err());
        assert_eq!(Value::LenientEnum(&["a"]).normalise("b").unwrap(), "b");
    }
}
