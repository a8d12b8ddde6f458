//! The six keep options as parameters and as members of an answer. Source: `docs/spec/rest-api.md` 2.3, KEEP.

use farhold_types::KeepOptions;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::{Field, Params, Shape};

/// The keep options as answers show them; those that are not set are absent.
pub const KEEP_FIELDS: &[Field] = &[
    Field::optional("keep-last", Shape::Integer, "Number of newest backups it keeps"),
    Field::optional("keep-hourly", Shape::Integer, "Number of hours of which it keeps the newest backup"),
    Field::optional("keep-daily", Shape::Integer, "Number of days of which it keeps the newest backup"),
    Field::optional("keep-weekly", Shape::Integer, "Number of weeks of which it keeps the newest backup"),
    Field::optional("keep-monthly", Shape::Integer, "Number of months of which it keeps the newest backup"),
    Field::optional("keep-yearly", Shape::Integer, "Number of years of which it keeps the newest backup"),
];

/// Returns the keep options that the caller gave.
///
/// # Errors
/// A value that is no count; the declared parameters refuse it before.
pub fn keep_options(params: &Params) -> Result<KeepOptions, ApiError> {
    let mut keep = KeepOptions::default();
    for (name, _) in KeepOptions::default().named() {
        keep.set(name, params.integer_as(name)?);
    }
    Ok(keep)
}

/// Adds the options that are set to an answer.
pub fn put_keep(answer: &mut Map<String, Value>, keep: &KeepOptions) {
    for (name, count) in keep.named() {
        if let Some(count) = count {
            answer.insert(name.to_owned(), Value::from(count));
        }
    }
}
