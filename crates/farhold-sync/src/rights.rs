//! What the owner of a job may do on the target, asked at run time for every namespace.

use farhold_rules::acl::Denied;
use farhold_types::Namespace;
use thiserror::Error;

/// The owner lacks a privilege.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("permission check failed - missing {missing} on {path}")]
pub struct OwnerDenied {
    /// The missing privilege.
    pub missing: String,
    /// The access control path it was looked for on.
    pub path: String,
}

/// Answers for the owner of the job.
///
/// Source: `docs/spec/sync.md` 3.4.
pub trait OwnerRights: Send + Sync + 'static {
    /// Checks `Datastore.Backup` on a target namespace.
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied>;

    /// Checks `Datastore.Modify` on a target namespace, which creating or removing its children needs.
    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied>;

    /// Returns whether the owner has `Datastore.Backup` or `Datastore.Audit` on a target namespace. One that it has not
    /// is passed over when vanished namespaces are removed.
    fn may_see(&self, ns: &Namespace) -> bool;
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

    fn may_see(&self, _: &Namespace) -> bool {
        true
    }
}

impl From<Denied> for OwnerDenied {
    fn from(denied: Denied) -> Self {
        Self { missing: denied.missing_text(), path: denied.path.to_string() }
    }
}
