//! Who may do what on which path, and why: for administrators who wonder.
//!
//! Beyond the reference. Explains what [`crate::AccessSnapshot`] decides and decides nothing itself.

use std::collections::BTreeSet;

use farhold_rules::acl::{AclPath, Effective, Explanation};
use farhold_settings::SettingsError;
use farhold_types::{Authid, Privileges};
use thiserror::Error;

use crate::{Access, AccessSnapshot};

/// Most rows of one answer: more is a question that nobody reads the answer of.
const MAX_ROWS: usize = 10_000;

/// Why nothing was explained.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Too many users, tokens and paths.
    #[error("more than {MAX_ROWS} combinations of users and paths; name a path or a user")]
    TooMany,
    /// The stored configuration is not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// What one user or token may do on one path, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What the list says.
    pub explanation: Explanation,
    /// Whether the user or token exists, is enabled and has not expired. If not, it holds nothing, whatever the list says.
    pub is_active: bool,
}

impl Check {
    /// Returns what is really held.
    pub fn held(&self) -> Effective {
        if self.is_active { self.explanation.effective } else { Effective::default() }
    }

    /// Returns whether a privilege is held, and the reason in words.
    pub fn decide(&self, privilege: Privileges) -> (bool, String) {
        let reason = self.explanation.reason(privilege);
        match (self.is_active, reason.is_allowed()) {
            (false, true) => {
                (false, format!("does not exist, is disabled or has expired; otherwise {}", reason.text()))
            }
            (_, is_allowed) => (is_allowed, reason.text()),
        }
    }
}

impl Access {
    /// Explains what `authid` may do on `path`, ordered by user or token and path.
    ///
    /// Without `authid`: every user and token of the server and of the list, as far as the list says anything about them on
    /// the way to the path. Without `path`: every path of the list and the beginnings of the tree.
    ///
    /// # Errors
    /// Too many combinations; `user.cfg` or `acl.cfg` is not usable.
    pub fn check(&self, authid: Option<&Authid>, path: Option<&AclPath>) -> Result<Vec<Check>, CheckError> {
        let snapshot = self.snapshot()?;
        let people = match authid {
            Some(authid) => BTreeSet::from([authid.clone()]),
            None => everybody(&snapshot)?,
        };
        let paths = snapshot.paths_to_list(path);
        if MAX_ROWS < people.len().saturating_mul(paths.len()) {
            return Err(CheckError::TooMany);
        }
        let mut rows = Vec::new();
        for person in &people {
            let is_active = snapshot.is_active(person);
            for path in &paths {
                let explanation = snapshot.acl().explain(person, path);
                if authid.is_some() || person.is_root() || explanation.has_entries() {
                    rows.push(Check { explanation, is_active });
                }
            }
        }
        Ok(rows)
    }
}

/// Returns all users and tokens that exist or that the list names.
fn everybody(snapshot: &AccessSnapshot) -> Result<BTreeSet<Authid>, SettingsError> {
    let mut people: BTreeSet<Authid> = snapshot.acl().authids().into_iter().collect();
    for user in snapshot.users().all_users()? {
        people.extend(snapshot.users().tokens_of(&user.userid).into_iter().map(|token| token.tokenid.clone()));
        people.insert(user.userid.clone().into());
    }
    Ok(people)
}
