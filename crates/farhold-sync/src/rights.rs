//! What the owner of a job may do on the target, asked at run time for every namespace.

use std::sync::Arc;

use farhold_rules::acl::{AclPath, AclTree, Denied};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};
use thiserror::Error;

use crate::local_source::SourceRights;

/// The owner lacks a privilege.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("permission check failed - missing {missing} on {path}")]
pub struct OwnerDenied {
    /// The missing privilege.
    pub missing: String,
    /// The access control path it was looked for on.
    pub path: String,
}

/// Answers for the owner of the job, from the access control list as it is now.
///
/// Source: `docs/spec/sync.md` 3.4.
pub trait OwnerRights: Send + Sync + 'static {
    /// Checks `Datastore.Backup` on a target namespace.
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied>;

    /// Checks `Datastore.Modify` on a target namespace, which creating or removing its children needs.
    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied>;
}

/// Rights of an owner who may do everything, such as `root@pam`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unrestricted;

impl OwnerRights for Unrestricted {
    fn may_backup(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }

    fn may_modify(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }
}

/// What the owner of a job may do with one datastore, by the access control list as it is when asked.
///
/// As [`OwnerRights`] of the target store, and as [`SourceRights`] of a local source store.
pub struct AclRights {
    acl: Box<dyn Fn() -> Arc<AclTree> + Send + Sync>,
    owner: Authid,
    store: DatastoreName,
}

impl AclRights {
    /// Returns the rights of `owner` in `store`; `acl` returns the current list.
    pub fn new(acl: impl Fn() -> Arc<AclTree> + Send + Sync + 'static, owner: Authid, store: DatastoreName) -> Self {
        Self { acl: Box::new(acl), owner, store }
    }

    fn require(&self, ns: &Namespace, needed: Privileges) -> Result<(), OwnerDenied> {
        let path = AclPath::datastore(&self.store, ns);
        (self.acl)().require_all(&self.owner, &path, needed).map(|_| ()).map_err(OwnerDenied::from)
    }
}

impl From<Denied> for OwnerDenied {
    fn from(denied: Denied) -> Self {
        Self { missing: denied.missing_text(), path: denied.path.to_string() }
    }
}

impl OwnerRights for AclRights {
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::DATASTORE_BACKUP)
    }

    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::DATASTORE_MODIFY)
    }
}

impl SourceRights for AclRights {
    fn may_read(&self, ns: &Namespace, group_owner: &Authid) -> bool {
        let path = AclPath::datastore(&self.store, ns);
        let (read, backup) = (Privileges::DATASTORE_READ, Privileges::DATASTORE_BACKUP);
        (self.acl)().full_or_owner(&self.owner, &path, read, backup).is_ok_and(|access| access.covers(group_owner))
    }
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;

    #[test]
    fn rights_follow_the_access_control_list() {
        let owner: Authid = "u1@pbs".parse().unwrap();
        let mut tree = AclTree::new();
        tree.set(&["datastore", "dst"], owner.clone(), Role::DatastoreBackup, true);
        tree.set(&["datastore", "dst", "a"], owner.clone(), Role::DatastoreAdmin, true);
        let tree = Arc::new(tree);
        let rights = AclRights::new(move || tree.clone(), owner.clone(), "dst".parse().unwrap());
        let ns = |text: &str| text.parse::<Namespace>().unwrap();
        assert!(rights.may_backup(&ns("")).is_ok() && rights.may_modify(&ns("a/b")).is_ok());
        let denied = rights.may_modify(&ns("")).unwrap_err();
        assert_eq!(denied.to_string(), "permission check failed - missing Datastore.Modify on /datastore/dst");
        let other: Authid = "u2@pbs".parse().unwrap();
        assert!(rights.may_read(&ns(""), &owner) && !rights.may_read(&ns(""), &other));
        assert!(rights.may_read(&ns("a"), &other));
    }
}
