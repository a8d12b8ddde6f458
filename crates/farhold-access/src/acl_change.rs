//! Changing and showing the access control list.
//!
//! Source: `docs/spec/rest-api.md` 5.5 and 5.6, `docs/spec/config-and-access.md` 3.9.

use std::collections::{BTreeMap, BTreeSet};

use farhold_rules::acl::{AclPath, Effective};
use farhold_settings::{AclEntry, AclSubject, SettingsError, check_new_path};
use farhold_types::{Authid, Digest, Privileges, Role};
use thiserror::Error;

use crate::{Access, AccessSnapshot};

/// Paths that a list of permissions always asks about, besides those of the tree.
const LISTED_PATHS: [&str; 5] = ["/", "/access", "/datastore", "/remote", "/system"];

/// One entry to add or to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclChange {
    /// Where.
    pub path: AclPath,
    /// Which role.
    pub role: Role,
    /// For whom; needed.
    pub authid: Option<Authid>,
    /// For which group; always refused.
    pub group: Option<String>,
    /// Add or remove.
    pub action: AclAction,
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclAction {
    /// Add it, or change its flag.
    Set {
        /// Whether it counts below its path too.
        is_propagated: bool,
    },
    /// Remove it; that it is not there is fine.
    Remove,
}

/// Why the access control list was not changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AclChangeError {
    /// A token without permission.
    #[error("API tokens need Permissions.Modify on /access/acl to change access control entries")]
    UnprivilegedToken,
    /// A user without permission, about somebody else than its tokens.
    #[error("without Permissions.Modify on /access/acl you may only change entries of your own API tokens")]
    NotOwnToken,
    /// Groups do not exist.
    #[error("parameter 'group': groups of users are not supported")]
    Groups,
    /// Nobody named.
    #[error("parameter 'auth-id' is missing")]
    NoSubject,
    /// The user or token does not exist.
    #[error("'{authid}' does not exist")]
    UnknownSubject {
        /// Who was named.
        authid: Authid,
    },
    /// Nothing looks at this path.
    #[error("invalid access control path '{path}': {reason}")]
    Path {
        /// The path.
        path: AclPath,
        /// What is wrong.
        reason: String,
    },
    /// The stored configuration could not be changed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Access {
    /// Adds or removes an entry on behalf of `caller`, who needs `Permissions.Modify` on `/access/acl`; users without it
    /// may change entries of their own tokens.
    ///
    /// Removing asks neither whether the path makes sense nor whether the user exists, so that stale entries can go.
    ///
    /// # Errors
    /// Not allowed, a group, nobody named, `expected` is not the digest of `acl.cfg`, unknown user, unknown place.
    pub fn change_acl(
        &self,
        caller: &Authid,
        change: AclChange,
        expected: Option<Digest>,
    ) -> Result<(), AclChangeError> {
        let snapshot = self.snapshot()?;
        let may_all = snapshot.require_all(caller, &AclPath::access(&["acl"]), Privileges::PERMISSIONS_MODIFY).is_ok();
        if !may_all && caller.is_token() {
            return Err(AclChangeError::UnprivilegedToken);
        }
        if change.group.is_some() {
            return Err(AclChangeError::Groups);
        }
        let authid = change.authid.ok_or(AclChangeError::NoSubject)?;
        let is_own_token = authid.is_token() && authid.user() == caller.user();
        if !may_all && !is_own_token {
            return Err(AclChangeError::NotOwnToken);
        }
        let (path, role) = (change.path, change.role);
        self.settings().acl().edit::<_, AclChangeError>(expected, |acl| {
            let parts = path.components().to_vec();
            let AclAction::Set { is_propagated } = change.action else {
                acl.remove(&parts, &AclSubject::Authid(authid), role);
                return Ok(());
            };
            let users = self.settings().users().load()?.entries;
            let exists =
                if authid.is_token() { users.token(&authid).is_some() } else { users.user(authid.user()).is_some() };
            if !exists {
                return Err(AclChangeError::UnknownSubject { authid });
            }
            check_new_path(&path.to_string()).map_err(|reason| AclChangeError::Path { path: path.clone(), reason })?;
            acl.set(AclEntry { path: parts, subject: AclSubject::Authid(authid), role, is_propagated });
            Ok(())
        })?;
        Ok(())
    }

    /// Returns the entries that `caller` may see, with the digest of `acl.cfg`: all with `Sys.Audit` on `/access/acl`,
    /// otherwise those of its own tokens, and none if it is a token.
    ///
    /// `below`: only this path and what is below it.
    ///
    /// # Errors
    /// `user.cfg` or `acl.cfg` is not usable.
    pub fn visible_acl(
        &self,
        caller: &Authid,
        below: Option<&AclPath>,
    ) -> Result<(Vec<AclEntry>, Digest), SettingsError> {
        let sees_all = self.snapshot()?.require_all(caller, &AclPath::access(&["acl"]), Privileges::SYS_AUDIT).is_ok();
        let loaded = self.settings().acl().load()?;
        let is_visible = |entry: &AclEntry| match &entry.subject {
            _ if sees_all => true,
            AclSubject::Authid(authid) => !caller.is_token() && authid.is_token() && authid.user() == caller.user(),
            AclSubject::Group(_) => false,
        };
        let is_below = |entry: &AclEntry| below.is_none_or(|path| entry.path.starts_with(path.components()));
        let entries = loaded.entries.entries().filter(|entry| is_visible(entry) && is_below(entry)).collect();
        Ok((entries, loaded.digest))
    }

    /// Returns what `authid` may do on `path`, or without one on every path of the tree and a few fixed ones, by path.
    /// Paths without any privilege are left out. Who is not active has none.
    ///
    /// # Errors
    /// `user.cfg` or `acl.cfg` is not usable.
    pub fn permissions(
        &self,
        authid: &Authid,
        path: Option<&AclPath>,
    ) -> Result<BTreeMap<String, Effective>, SettingsError> {
        let snapshot = self.snapshot()?;
        let held =
            snapshot.paths_to_list(path).into_iter().map(|path| (path.to_string(), snapshot.privileges(authid, &path)));
        Ok(held.filter(|(_, effective)| !effective.all.is_empty()).collect())
    }

    /// Returns whether `caller` may see what `authid` may do: itself, its own tokens, or anybody with `Sys.Audit` on
    /// `/access`.
    ///
    /// # Errors
    /// `user.cfg` or `acl.cfg` is not usable.
    pub fn may_see_permissions(&self, caller: &Authid, authid: &Authid) -> Result<bool, SettingsError> {
        Ok(caller.owns(authid)
            || self.snapshot()?.require_all(caller, &AclPath::access(&[]), Privileges::SYS_AUDIT).is_ok())
    }
}

impl AccessSnapshot {
    /// Returns `path` alone, or without one every node of the tree and the places that everybody asks about.
    pub(crate) fn paths_to_list(&self, path: Option<&AclPath>) -> BTreeSet<AclPath> {
        if let Some(path) = path {
            return BTreeSet::from([path.clone()]);
        }
        let paths = self.acl().paths();
        let nodes = paths.iter().flat_map(|path| beginnings(path)).chain(LISTED_PATHS);
        // A file may hold paths that no call could ask about.
        nodes.filter_map(|path| path.parse().ok()).collect()
    }
}

/// Returns a path and every path above it but the root: the nodes of the tree that lead to it.
fn beginnings(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at != 0).chain([path.len()]);
    ends.map(|end| &path[..end])
}
