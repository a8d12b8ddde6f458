//! One value against one kind: from text (forms, query strings, command lines) and as JSON.

use serde_json::Value;

use super::{Param, ParamKind};

/// A refused value: where inside the parameter (empty, or `/[index]`), and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) place: String,
    pub(super) reason: String,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { place: String::new(), reason }
    }
}

impl ParamKind {
    /// Returns the JSON value that a text stands for.
    ///
    /// For lists: the value of one element. Booleans accept `1 on yes true` and `0 off no false` in any case; integers
    /// are decimal with optional sign, without blanks.
    ///
    /// # Errors
    /// The reason, as a fragment without the parameter's name.
    ///
    /// Source: `docs/spec/rest-api.md` 1.2, "scalar parsing in form mode".
    pub fn parse_text(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "1" | "on" | "yes" | "true" => Ok(Value::Bool(true)),
                "0" | "off" | "no" | "false" => Ok(Value::Bool(false)),
                _ => Err("value is not a boolean, use one of 1 on yes true 0 off no false".to_owned()),
            },
            Self::Integer { min, max } => {
                let number: i64 = text.parse().map_err(|_| "value is not an integer".to_owned())?;
                check_range(number, *min, *max)?;
                Ok(Value::from(number))
            }
            Self::Number => {
                let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                let number: Option<f64> = text.parse().ok().filter(|n: &f64| is_decimal && n.is_finite());
                number.map(Value::from).ok_or_else(|| "value is not a number".to_owned())
            }
            Self::Text { .. } | Self::Enumeration { .. } => {
                self.check_text(text)?;
                Ok(Value::from(text))
            }
            Self::List(element) => element.parse_text(text),
        }
    }

    /// Checks a value that came as JSON; types are strict.
    pub(super) fn check_json(&self, value: &Value) -> Result<(), Refusal> {
        match (self, value) {
            (Self::Boolean, Value::Bool(_)) => Ok(()),
            (Self::Boolean, _) => Err("value must be a JSON boolean".to_owned().into()),
            (Self::Integer { min, max }, Value::Number(number)) => match number.as_i64() {
                Some(number) => Ok(check_range(number, *min, *max)?),
                None => Err("value must be a JSON integer of at most 64 bits".to_owned().into()),
            },
            (Self::Integer { .. }, _) => Err("value must be a JSON integer".to_owned().into()),
            (Self::Number, Value::Number(_)) => Ok(()),
            (Self::Number, _) => Err("value must be a JSON number".to_owned().into()),
            (Self::Text { .. } | Self::Enumeration { .. }, Value::String(text)) => Ok(self.check_text(text)?),
            (Self::Text { .. } | Self::Enumeration { .. }, _) => Err("value must be a JSON string".to_owned().into()),
            (Self::List(element), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    element
                        .check_json(value)
                        .map_err(|refusal| Refusal { place: format!("/[{index}]"), reason: refusal.reason })?;
                }
                Ok(())
            }
            (Self::List(_), _) => Err("value must be a JSON array".to_owned().into()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Text { min_length, max_length, check, .. } => {
                let length = text.chars().count();
                if length < *min_length {
                    return Err(format!("value must be at least {min_length} characters long"));
                }
                if let Some(max) = max_length.filter(|max| *max < length) {
                    return Err(format!("value may only be {max} characters long"));
                }
                check.map_or(Ok(()), |check| check(text))
            }
            Self::Enumeration { values, strict: true } if !values.contains(&text) => Err(unknown_word(text, values)),
            _ => Ok(()),
        }
    }

    /// Returns the type as usage lines show it: `<string>`, `<integer> (1 - 32)`, `<boolean>`, `pull|push`.
    ///
    /// Lists show the type of one element. Source: `docs/spec/cli.md` 1.
    pub fn type_text(&self) -> String {
        match self {
            Self::Boolean => "<boolean>".to_owned(),
            Self::Integer { min: None, max: None } => "<integer>".to_owned(),
            Self::Integer { min, max } => {
                let min = min.map_or_else(|| "-N".to_owned(), |n| n.to_string());
                let max = max.map_or_else(|| "N".to_owned(), |n| n.to_string());
                format!("<integer> ({min} - {max})")
            }
            Self::Number => "<number>".to_owned(),
            Self::Text { hint, .. } => (*hint).to_owned(),
            Self::Enumeration { values, .. } => values.join("|"),
            Self::List(element) => element.type_text(),
        }
    }
}

impl Param {
    /// Checks a value that passed the first stage against its typed form.
    ///
    /// # Errors
    /// The reason as a plain text that names the parameter.
    pub fn check_typed(&self, value: &Value) -> Result<(), String> {
        if let Value::Array(values) = value {
            return values.iter().try_for_each(|value| self.check_typed(value));
        }
        let kind = if let ParamKind::List(element) = self.kind { *element } else { self.kind };
        let word = if let (ParamKind::Enumeration { values, strict: false }, Some(text)) = (kind, value.as_str()) {
            if values.contains(&text) { Ok(()) } else { Err(unknown_word(text, values)) }
        } else {
            Ok(())
        };
        word.and_then(|()| self.typed.map_or(Ok(()), |check| check(value)))
            .map_err(|reason| format!("invalid value for '{}': {reason}", self.name))
    }
}

fn unknown_word(text: &str, values: &[&str]) -> String {
    let shown: String = text.chars().take(64).collect();
    format!("value '{shown}' is not one of {}", values.join(", "))
}

fn check_range(number: i64, min: Option<i64>, max: Option<i64>) -> Result<(), String> {
    if let Some(min) = min.filter(|min| number < *min) {
        return Err(format!("value must be at least {min}"));
    }
    if let Some(max) = max.filter(|max| *max < number) {
        return Err(format!("value may be at most {max}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::named;
    use super::*;

    #[test]
    fn texts_are_read_as_the_reference_reads_forms() {
        for yes in ["1", "on", "yes", "true", "TRUE", "Yes"] {
            assert_eq!(ParamKind::Boolean.parse_text(yes), Ok(Value::Bool(true)), "{yes}");
        }
        for no in ["0", "off", "No", "false"] {
            assert_eq!(ParamKind::Boolean.parse_text(no), Ok(Value::Bool(false)), "{no}");
        }
        for bad in ["", "2", "y", " 1", "t"] {
            assert!(ParamKind::Boolean.parse_text(bad).is_err(), "{bad}");
        }
        let integer = ParamKind::Integer { min: None, max: Some(100) };
        for (text, number) in [("7", 7), ("+7", 7), ("-7", -7), ("007", 7)] {
            assert_eq!(integer.parse_text(text), Ok(Value::from(number)), "{text}");
        }
        for bad in ["", " 1", "1 ", "0x1", "1.0", "99999999999999999999", "101"] {
            assert!(integer.parse_text(bad).is_err(), "{bad}");
        }
        for bad in ["", "nan", "inf", "0x1", "1 "] {
            assert!(ParamKind::Number.parse_text(bad).is_err(), "{bad}");
        }
        assert_eq!(ParamKind::Number.parse_text("1.5"), Ok(Value::from(1.5)));
    }

    #[test]
    fn lengths_count_characters_and_json_types_are_strict() {
        let text = ParamKind::Text { min_length: 1, max_length: Some(3), check: None, hint: "<string>" };
        assert!(text.check_json(&Value::from("äöü")).is_ok());
        assert!(text.check_json(&Value::from("äöüx")).is_err());
        assert!(text.check_json(&Value::from(1)).is_err());
        assert!(ParamKind::Boolean.check_json(&Value::from(1)).is_err());
        assert!(ParamKind::Integer { min: None, max: None }.check_json(&Value::from(1.0)).is_err());
        assert!(ParamKind::Integer { min: None, max: None }.check_json(&Value::Null).is_err());
        let refusal = named::GROUP_FILTER.kind.check_json(&serde_json::json!(["type:vm", "x", "y"])).unwrap_err();
        assert_eq!(refusal.place, "/[1]");
    }

    #[test]
    fn type_texts_follow_the_usage_lines() {
        assert_eq!(ParamKind::Integer { min: Some(1), max: None }.type_text(), "<integer> (1 - N)");
        assert_eq!(ParamKind::Integer { min: Some(0), max: Some(7) }.type_text(), "<integer> (0 - 7)");
        assert_eq!(ParamKind::Integer { min: None, max: None }.type_text(), "<integer>");
        assert_eq!(named::SYNC_DIRECTION.kind.type_text(), "pull|push");
        assert_eq!(named::SCHEDULE.kind.type_text(), "<calendar-event>");
    }
}
