//! Changing the two built-in realms. Asks for no permission.
//!
//! Source: `docs/spec/config-and-access.md` 3.12, `docs/spec/rest-api.md` 11.

use farhold_settings::{RealmKind, SettingsError};
use farhold_types::Digest;

use crate::Access;
use crate::account::new_comment;

/// New values for a realm; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RealmEdit {
    /// Fields to clear first, by name: `comment` and `default`.
    pub delete: Vec<String>,
    /// Free text; blank clears it.
    pub comment: Option<String>,
    /// Whether logins offer it first. Setting it clears it on all others.
    pub default: Option<bool>,
}

impl Access {
    /// Changes the built-in realm of this kind.
    ///
    /// An update that says nothing about `default` leaves it alone, unlike in the reference (`rest-api.md` 19.15).
    ///
    /// # Errors
    /// `expected` is not the digest of `domains.cfg`, wrong values.
    pub fn update_realm(
        &self,
        kind: RealmKind,
        edit: RealmEdit,
        expected: Option<Digest>,
    ) -> Result<(), SettingsError> {
        self.settings().realms().edit::<_, SettingsError>(expected, |realms| {
            let deletes = |name: &str| edit.delete.iter().any(|deleted| deleted == name);
            let mut realm = realms.require(kind.as_str())?.clone();
            if deletes("comment") {
                realm.comment = None;
            }
            if let Some(comment) = &edit.comment {
                realm.comment = new_comment(comment);
            }
            if deletes("default") || edit.default == Some(false) {
                realm.default = None;
            }
            if edit.default == Some(true) {
                let others: Vec<_> =
                    realms.all()?.into_iter().filter(|other| other.default.is_some()).cloned().collect();
                for mut other in others {
                    other.default = None;
                    realms.update(other)?;
                }
                realm.default = Some(true);
            }
            realms.update(realm)
        })?;
        Ok(())
    }
}
