//! The parameters of one request after all checks, with typed getters.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{DefaultValue, Param};
use crate::error::ApiError;

/// Checked parameters: a JSON object whose members keep the declarations they were checked against.
///
/// Holds only what the caller gave; defaults are looked up by the `_or_default` getters. May contain secrets, so `Debug`
/// shows names only.
#[derive(Clone, Default)]
pub struct Params {
    values: Map<String, Value>,
    defaults: Vec<(&'static str, DefaultValue)>,
}

impl Params {
    /// Wraps an object that was checked against `declared`; only the checks of this module may call it.
    pub(super) fn checked(values: Map<String, Value>, declared: &[Param]) -> Self {
        let defaults = declared.iter().filter_map(|p| p.default.map(|default| (p.name, default))).collect();
        Self { values, defaults }
    }

    /// Returns whether the caller gave this parameter.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns the value as JSON.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns all given parameters as a JSON object.
    pub const fn as_object(&self) -> &Map<String, Value> {
        &self.values
    }

    /// Returns a text or a word of an enumeration.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str)
    }

    /// Returns a boolean if it was given.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.values.get(name).and_then(Value::as_bool)
    }

    /// Returns an integer if it was given.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.values.get(name).and_then(Value::as_i64)
    }

    /// Returns an integer as a type whose range the declaration keeps, `None` if it was not given.
    ///
    /// # Errors
    /// 400 if the declaration lets through what the type cannot hold.
    pub fn integer_as<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let fit = |number| T::try_from(number).map_err(|_| ApiError::parameter(name, "value is out of range"));
        self.integer(name).map(fit).transpose()
    }

    /// Returns a number if it was given.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(Value::as_f64)
    }

    /// Returns the texts of a list if it was given.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let values = self.values.get(name)?.as_array()?;
        Some(values.iter().filter_map(Value::as_str).collect())
    }

    /// Returns a boolean, or its declared default, or `false`.
    pub fn boolean_or_default(&self, name: &str) -> bool {
        self.boolean(name).unwrap_or_else(|| matches!(self.default(name), Some(DefaultValue::Boolean(true))))
    }

    /// Returns an integer, or its declared default.
    pub fn integer_or_default(&self, name: &str) -> Option<i64> {
        self.integer(name).or(match self.default(name) {
            Some(DefaultValue::Integer(number)) => Some(number),
            _ => None,
        })
    }

    /// Returns a text, or its declared default.
    pub fn text_or_default(&self, name: &str) -> Option<&str> {
        self.text(name).or(match self.default(name) {
            Some(DefaultValue::Text(text)) => Some(text),
            _ => None,
        })
    }

    fn default(&self, name: &str) -> Option<DefaultValue> {
        self.defaults.iter().find(|(n, _)| *n == name).map(|(_, default)| *default)
    }

    /// Returns a text parsed into its type, `None` if it was not given.
    ///
    /// # Errors
    /// 400 with a plain text that names the parameter.
    pub fn parse<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.text(name).map(|text| parse_one(name, text)).transpose()
    }

    /// Returns a required text parsed into its type.
    ///
    /// # Errors
    /// 400, also when it is missing.
    pub fn require<T>(&self, name: &str) -> Result<T, ApiError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.parse(name)?.ok_or_else(|| ApiError::parameter(name, super::verify::MISSING))
    }

    /// Returns a list of texts, each parsed into its type, `None` if it was not given.
    ///
    /// # Errors
    /// 400 with a plain text that names the parameter.
    pub fn parse_list<T>(&self, name: &str) -> Result<Option<Vec<T>>, ApiError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.texts(name).map(|texts| texts.into_iter().map(|text| parse_one(name, text)).collect()).transpose()
    }
}

fn parse_one<T>(name: &str, text: &str) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error| ApiError::bad_request(format!("invalid value for '{name}': {error}")))
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
