//! Users and permissions at one moment.

use std::sync::Arc;

use farhold_rules::acl::{AclPath, AclTree, Denied, Effective, Granted, GroupAccess, Need};
use farhold_settings::{Acl, AclSubject, Entries, Users};
use farhold_types::{Authid, Digest, Epoch, Privileges};

/// Users, tokens and access control list as the files said when it was taken; cheap to clone.
///
/// Who does not exist, is switched off or has expired holds nothing.
#[derive(Debug, Clone)]
pub struct AccessSnapshot {
    pub(crate) content: Arc<Content>,
    pub(crate) now: Epoch,
}

#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) users: Entries<Users>,
    pub(crate) tree: Arc<AclTree>,
    pub(crate) digests: (Digest, Digest),
}

impl AccessSnapshot {
    /// Returns users and tokens.
    pub fn users(&self) -> &Entries<Users> {
        &self.content.users
    }

    /// Returns the tree, which does not know who is active.
    pub fn acl(&self) -> &Arc<AclTree> {
        &self.content.tree
    }

    /// Returns whether a user or token may act at all.
    pub fn is_active(&self, authid: &Authid) -> bool {
        self.content.users.is_active(authid, self.now)
    }

    /// Returns what `authid` may do on `path`.
    pub fn privileges(&self, authid: &Authid, path: &AclPath) -> Effective {
        if self.is_active(authid) { self.acl().privileges(authid, path) } else { Effective::default() }
    }

    /// Proves that `authid` holds all of `needed` on `path`.
    ///
    /// # Errors
    /// [`Denied`] with those it lacks; all of them if it is not active.
    pub fn require_all(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> Result<Granted, Denied> {
        self.require_active(authid, path, needed, Need::All)?;
        self.acl().require_all(authid, path, needed)
    }

    /// Proves that `authid` holds one of `needed` on `path`.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn require_any(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> Result<Granted, Denied> {
        self.require_active(authid, path, needed, Need::Any)?;
        self.acl().require_any(authid, path, needed)
    }

    /// Proves which backup groups `authid` may reach below `path`: all with any of `full`, its own with any of `owned`.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn full_or_owner(
        &self,
        authid: &Authid,
        path: &AclPath,
        full: Privileges,
        owned: Privileges,
    ) -> Result<GroupAccess, Denied> {
        self.require_active(authid, path, full | owned, Need::Any)?;
        self.acl().full_or_owner(authid, path, full, owned)
    }

    /// Returns whether `authid` holds any of `needed` at or below `path`; see [`AclTree::has_any_below`].
    pub fn has_any_below(&self, authid: &Authid, path: &AclPath, needed: Privileges) -> bool {
        self.is_active(authid) && self.acl().has_any_below(authid, path, needed)
    }

    fn require_active(&self, authid: &Authid, path: &AclPath, missing: Privileges, need: Need) -> Result<(), Denied> {
        if self.is_active(authid) {
            return Ok(());
        }
        Err(Denied { authid: authid.clone(), path: path.clone(), missing, need })
    }
}

/// Returns the tree of a list's entries; groups have no members and are left out.
pub(crate) fn tree_of(acl: &Acl) -> AclTree {
    let mut tree = AclTree::new();
    for entry in acl.entries() {
        if let AclSubject::Authid(authid) = entry.subject {
            tree.set(&entry.path, authid, entry.role, entry.is_propagated);
        }
    }
    tree
}
