//! The six keep options as parameters. Source: `docs/spec/rest-api.md` 2.3, KEEP.

use farhold_types::KeepOptions;

use crate::error::ApiError;
use crate::schema::Params;

/// Returns the keep options that the caller gave.
///
/// # Errors
/// A value that is no count; the declared parameters refuse it before.
pub fn keep_options(params: &Params) -> Result<KeepOptions, ApiError> {
    let mut keep = KeepOptions::default();
    for (name, _) in KeepOptions::default().named() {
        if let Some(count) = params.integer(name) {
            let count = u64::try_from(count).map_err(|_| ApiError::parameter(name, "value must be at least 1"))?;
            keep.set(name, Some(count));
        }
    }
    Ok(keep)
}
