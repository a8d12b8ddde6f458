//! `/config/notifications`: where notifications go, and which. Source: `docs/spec/rest-api.md` 11.
//!
//! A test of a target delivers at once and says why it could not.

mod fields;
mod matchers;
mod targets;

use farhold_format::section_config::Section;
use farhold_jobs::App;
use farhold_settings::{Entries, Notifications};
use farhold_types::Privileges;

use crate::declare::{Access, Endpoint, Need};
use crate::error::ApiError;

const AUDIT: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/notifications"));
const MODIFY: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/notifications"));

pub fn endpoints() -> Vec<Endpoint<App>> {
    [targets::endpoints(), matchers::endpoints()].into_iter().flatten().collect()
}

/// Returns the entry of a name and kind.
///
/// # Errors
/// 404: there is none.
fn find<'e>(entries: &'e Entries<Notifications>, name: &str, kind: &str) -> Result<&'e Section, ApiError> {
    let found = entries.get(name)?.filter(|section| section.section_type() == kind);
    found.ok_or_else(|| ApiError::not_found(format!("no such {kind} '{name}'")))
}

/// Checks that a name is free: targets of all kinds and matchers share one name space.
fn check_free(entries: &Entries<Notifications>, name: &str) -> Result<(), ApiError> {
    if entries.contains(name) {
        return Err(ApiError::bad_request(format!("a target or matcher '{name}' already exists")));
    }
    Ok(())
}
