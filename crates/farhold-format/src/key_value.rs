//! The `key: value` lines of `node.cfg`.
//!
//! Leading lines that start with `#` form a description; later ones and blank lines are skipped and lost on a rewrite.
//!
//! Source: `docs/spec/config-and-access.md` 2.9.

use std::collections::BTreeMap;

use crate::config_error::{ConfigTextError, ConfigTextErrorKind};
use crate::config_schema::Key;
use crate::section_config::config_text;

/// Description and values of a `key: value` file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyValues {
    /// Text of the leading `#` lines, joined by line feeds.
    pub description: Option<String>,
    values: BTreeMap<String, String>,
}

impl KeyValues {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Sets the value of a key, or removes the key.
    pub fn set(&mut self, key: &str, value: Option<String>) {
        match value {
            Some(value) => self.values.insert(key.to_owned(), value),
            None => self.values.remove(key),
        };
    }

    /// Returns keys and values in byte order of the key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Returns the content of a `key: value` file; of a repeated key the last value.
///
/// # Errors
/// Not UTF-8, a line without colon or with nothing before it, an unknown key, a value against the rule of its key.
pub fn parse(keys: &[Key], file: &str, bytes: &[u8]) -> Result<KeyValues, ConfigTextError> {
    let text = config_text(file, bytes)?;
    let mut result = KeyValues::default();
    let mut description: Vec<&str> = Vec::new();
    let mut in_description = true;
    for (index, line) in text.lines().enumerate() {
        let fail = |kind| ConfigTextError::new(file, index + 1, None, kind);
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            if in_description {
                description.push(comment);
            }
            continue;
        }
        in_description = false;
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line
            .split_once(':')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| fail(ConfigTextErrorKind::KeyValueExpected))?;
        let schema = find(keys, key).map_err(fail)?;
        let value = schema.value.normalise(value.trim_start()).map_err(|e| fail(e.of_key(key)))?;
        result.set(key, Some(value));
    }
    result.description = Some(description.join("\n")).filter(|_| !description.is_empty());
    Ok(result)
}

/// Returns the text: description lines, then the keys in byte order.
///
/// # Errors
/// An unknown key, or a value that breaks its rule, contains a control character, or has white space at its ends.
pub fn write(keys: &[Key], file: &str, content: &KeyValues) -> Result<String, ConfigTextError> {
    let fail = |kind| ConfigTextError::new(file, 0, None, kind);
    let mut text = String::new();
    if let Some(description) = &content.description {
        description.split('\n').for_each(|line| text.push_str(&format!("#{line}\n")));
    }
    for (key, value) in &content.values {
        let schema = find(keys, key).map_err(fail)?;
        schema.value.normalise(value).map_err(|e| fail(e.of_key(key)))?;
        if value.chars().any(char::is_control) || value.trim() != value {
            let reason = "value cannot be written on one line".to_owned();
            return Err(fail(ConfigTextErrorKind::BadValue { key: key.clone(), reason }));
        }
        text.push_str(&format!("{key}: {value}\n"));
    }
    Ok(text)
}

fn find<'k>(keys: &'k [Key], key: &str) -> Result<&'k Key, ConfigTextErrorKind> {
    keys.iter().find(|k| k.name == key).ok_or_else(|| ConfigTextErrorKind::UnknownKey { key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_schema::Value;

    const KEYS: &[Key] = &[
        Key::optional("email-from", Value::Text { min: 2, max: 64, check: None }),
        Key::optional("task-log-max-days", Value::Int { min: 0, max: i64::MAX }),
    ];

    fn parsed(text: &str) -> Result<KeyValues, ConfigTextError> {
        parse(KEYS, "node.cfg", text.as_bytes())
    }

    #[test]
    fn the_description_is_what_stands_before_the_first_other_line() {
        let content =
            parsed("# rack 4 \n#ops\n\n#lost\ntask-log-max-days:007\n  email-from:  a@b  \nemail-from: c@d").unwrap();
        assert_eq!(content.description.as_deref(), Some(" rack 4 \nops"));
        assert_eq!(content.get("email-from"), Some("c@d"), "the last of a repeated key wins");
        let text = write(KEYS, "node.cfg", &content).unwrap();
        assert_eq!(text, "# rack 4 \n#ops\nemail-from: c@d\ntask-log-max-days: 7\n");
        assert_eq!(parsed(&text).unwrap(), content);
        assert_eq!(write(KEYS, "node.cfg", &parsed("").unwrap()).unwrap(), "");
    }

    #[test]
    fn wrong_lines_are_refused_with_their_class() {
        use ConfigTextErrorKind as K;
        assert_eq!(parsed("email-from backup@x").unwrap_err().kind, K::KeyValueExpected);
        assert_eq!(parsed(": x").unwrap_err().kind, K::KeyValueExpected);
        assert_eq!(parsed("email-from : x").unwrap_err().kind, K::UnknownKey { key: "email-from ".into() });
        assert_eq!(parsed("foo: 1").unwrap_err().kind, K::UnknownKey { key: "foo".into() });
        let error = parsed("\nemail-from: x").unwrap_err();
        assert!(matches!(error.kind, K::BadValue { .. }) && error.line == 2);
    }

    #[test]
    fn a_value_with_a_line_feed_cannot_be_written() {
        let mut content = KeyValues::default();
        content.set("email-from", Some("a\nb".to_owned()));
        assert!(write(KEYS, "node.cfg", &content).is_err());
    }
}
