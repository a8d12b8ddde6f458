//! Property strings: comma-separated `key=value` inside one value of a configuration file.
//!
//! Nothing is trimmed. One key of a schema may be the default key, whose value may stand without `key=`. Values may be
//! quoted, with the escapes `\"`, `\\` and `\n`.
//!
//! Source: `docs/spec/config-and-access.md` 2.7, `docs/spec/rest-api.md` 2.6.

use thiserror::Error;

use crate::config_schema::{Key, ValueError};

/// A rule over all properties together; the error says what is wrong.
pub type PropertyCheck = fn(&Properties) -> Result<(), String>;

/// What a property string may contain. Writing follows the order of `keys`.
#[derive(Debug, Clone, Copy)]
pub struct PropertySchema {
    /// Key whose value may stand alone.
    pub default_key: Option<&'static str>,
    /// All keys.
    pub keys: &'static [Key],
    /// Rule over all of them.
    pub check: Option<PropertyCheck>,
}

/// Why a text is not a property string of its schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// A value without `key=`, and there is no default key.
    #[error("expected 'key=value' between commas")]
    MissingKeyName,
    /// A key the schema does not have; blanks are part of the key.
    #[error("unknown property '{key}'")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that occurs twice.
    #[error("property '{key}' may stand only once")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that must be there.
    #[error("property '{key}' is missing")]
    MissingRequired {
        /// The key.
        key: String,
    },
    /// A value that breaks the rule of its key.
    #[error("property '{key}': {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// The rule that is broken.
        reason: String,
    },
    /// A quote without end, an unknown escape, or text behind the closing quote.
    #[error("invalid quoting")]
    Quoting,
    /// The properties do not fit together.
    #[error("{reason}")]
    Together {
        /// What is wrong.
        reason: String,
    },
}

/// The properties of one string, unquoted, in the order found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    values: Vec<(String, String)>,
}

impl Properties {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key, or removes the key.
    pub fn set(&mut self, key: &str, value: Option<String>) {
        self.values.retain(|(name, _)| name != key);
        self.values.extend(value.map(|value| (key.to_owned(), value)));
    }

    /// Returns keys and values in the order found.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl PropertySchema {
    /// Returns the properties of `text`. A comma at the end is accepted, and so is the empty text if nothing is required.
    ///
    /// # Errors
    /// See [`PropertyError`].
    pub fn parse(&self, text: &str) -> Result<Properties, PropertyError> {
        let mut properties = Properties::default();
        let mut rest = text;
        while !rest.is_empty() {
            let name_end = rest.find(['=', ',', '"']).filter(|at| rest.as_bytes()[*at] == b'=');
            let key = match name_end {
                Some(end) => {
                    let key = &rest[..end];
                    rest = &rest[end + 1..];
                    key
                }
                None => self.default_key.ok_or(PropertyError::MissingKeyName)?,
            };
            let (value, after) = take_value(rest)?;
            rest = after;
            let key_schema = self
                .keys
                .iter()
                .find(|k| k.name == key)
                .ok_or_else(|| PropertyError::UnknownKey { key: key.to_owned() })?;
            if properties.get(key).is_some() {
                return Err(PropertyError::DuplicateKey { key: key.to_owned() });
            }
            let value = key_schema.value.normalise(&value).map_err(|error| PropertyError::BadValue {
                key: key.to_owned(),
                reason: match error {
                    ValueError::Value(reason) => reason,
                    ValueError::Properties(inner) => inner.to_string(),
                },
            })?;
            properties.set(key, Some(value));
        }
        if let Some(key) = self.keys.iter().find(|key| key.required && properties.get(key.name).is_none()) {
            return Err(PropertyError::MissingRequired { key: key.name.to_owned() });
        }
        if let Some(check) = self.check {
            check(&properties).map_err(|reason| PropertyError::Together { reason })?;
        }
        Ok(properties)
    }

    /// Returns the text of `properties`: keys in schema order, the default key without its name, quotes only around
    /// values with `"`, `\` or a line feed.
    ///
    /// A comma in a value is not quoted, as in the reference product; such a text does not parse back, so callers encode
    /// free text (percent form) first and check the result.
    pub fn write(&self, properties: &Properties) -> String {
        let mut parts = Vec::new();
        for key in self.keys {
            let Some(value) = properties.get(key.name) else {
                continue;
            };
            let value = if value.contains(['"', '\\', '\n']) { quoted(value) } else { value.to_owned() };
            // Without its name an empty value would vanish, and one with an equals sign would be taken for another key.
            let is_default = self.default_key == Some(key.name) && !value.is_empty() && !value.contains('=');
            parts.push(if is_default { value } else { format!("{}={value}", key.name) });
        }
        parts.join(",")
    }
}

/// Returns the value at the start of `text`, and what follows behind its comma.
fn take_value(text: &str) -> Result<(String, &str), PropertyError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(',').unwrap_or((text, ""));
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = &quoted[at + 1..];
                return match rest.strip_prefix(',') {
                    Some(rest) => Ok((value, rest)),
                    None if rest.is_empty() => Ok((value, rest)),
                    None => Err(PropertyError::Quoting),
                };
            }
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, 'n')) => value.push('\n'),
                _ => return Err(PropertyError::Quoting),
            },
            c => value.push(c),
        }
    }
    Err(PropertyError::Quoting)
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config_schema::Value;

    const TEXT: Value = Value::Text { min: 0, max: 64, check: None };
    const SCHEMA: PropertySchema = PropertySchema {
        default_key: Some("type"),
        keys: &[
            Key::required("type", TEXT),
            Key::optional("message", TEXT),
            Key::optional("n", Value::Int { min: 1, max: 9 }),
        ],
        check: None,
    };

    #[test]
    fn default_key_quotes_and_a_trailing_comma_are_read() {
        for (text, type_value, message) in [
            ("offline", "offline", None),
            ("type=offline,", "offline", None),
            ("message=a b,offline", "offline", Some("a b")),
            ("\"off,\\\"\\\\\\nx\",message=\"=\"", "off,\"\\\nx", Some("=")),
            ("a,message=x=y", "a", Some("x=y")),
            ("a,message=", "a", Some("")),
        ] {
            let properties = SCHEMA.parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((properties.get("type"), properties.get("message")), (Some(type_value), message), "{text}");
        }
    }

    #[test]
    fn wrong_property_strings_are_refused() {
        use PropertyError as E;
        for (text, expected) in [
            ("", E::MissingRequired { key: "type".into() }),
            ("message=x", E::MissingRequired { key: "type".into() }),
            ("a,message=\"x", E::Quoting),
            ("a,message=\"x\"y", E::Quoting),
            ("a,message=\"\\t\"", E::Quoting),
            ("a,message=a,b", E::DuplicateKey { key: "type".into() }),
            ("a, message=a", E::UnknownKey { key: " message".into() }),
            ("a,foo=1", E::UnknownKey { key: "foo".into() }),
        ] {
            assert_eq!(SCHEMA.parse(text), Err(expected), "{text}");
        }
        assert!(matches!(SCHEMA.parse("a,n=0"), Err(E::BadValue { .. })));
        let without_default = PropertySchema { default_key: None, ..SCHEMA };
        assert_eq!(without_default.parse("none"), Err(E::MissingKeyName));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(kind in "[^,]{0,8}", message in proptest::option::of("[^,]{0,12}"), n in proptest::option::of(1..10)) {
            let mut properties = Properties::default();
            properties.set("type", Some(kind));
            properties.set("message", message);
            properties.set("n", n.map(|n: i32| n.to_string()));
            prop_assert_eq!(SCHEMA.parse(&SCHEMA.write(&properties)).unwrap(), properties);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,20}") {
            let _ = SCHEMA.parse(&text);
        }
    }
}
