//! What the owner of a push job may do on the remote, asked at run time for every namespace.

use farhold_types::Namespace;

use crate::rights::{OwnerDenied, Unrestricted};

/// Answers for the owner of a push job. Each namespace of the target is asked for by its own path,
/// `/remote/<remote>/<store>/<namespace>`.
///
/// What the remote itself allows its account is another matter, which shows in its answers.
///
/// Source: `docs/spec/sync.md` 3.4, push.
pub trait PushRights: Send + Sync + 'static {
    /// Checks `Remote.DatastoreBackup`, which pushing into a namespace needs.
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied>;

    /// Checks `Remote.DatastorePrune`, which removing snapshots and groups needs.
    fn may_prune(&self, ns: &Namespace) -> Result<(), OwnerDenied>;

    /// Checks `Remote.DatastoreModify`, which creating or removing the namespace needs.
    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied>;
}

impl PushRights for Unrestricted {
    fn may_backup(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }

    fn may_prune(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }

    fn may_modify(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }
}
