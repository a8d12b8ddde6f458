//! The six keep options as parameters and as members of an answer. Source: `docs/spec/rest-api.md` 2.3, KEEP.

use farhold_types::KeepOptions;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::Params;

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
