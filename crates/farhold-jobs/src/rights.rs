//! What the owner of a job may do on the target, from the access control list.

use farhold_access::AccessSnapshot;
use farhold_rules::acl::{AclPath, Denied};
use farhold_sync::{OwnerDenied, OwnerRights, SourceRights};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};

/// Rights of one owner on one datastore, as the lists stood when the run began. An owner that is disabled has none.
pub struct AclRights {
    access: AccessSnapshot,
    owner: Authid,
    store: DatastoreName,
}

impl AclRights {
    /// Returns the rights of `owner` on the namespaces of `store`.
    pub const fn new(access: AccessSnapshot, owner: Authid, store: DatastoreName) -> Self {
        Self { access, owner, store }
    }

    fn require(&self, ns: &Namespace, needed: Privileges) -> Result<(), OwnerDenied> {
        let path = AclPath::datastore(&self.store, ns);
        let denied = |d: Denied| OwnerDenied { missing: d.missing_text(), path: d.path.to_string() };
        self.access.require_all(&self.owner, &path, needed).map(drop).map_err(denied)
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

/// What the owner of a job may read of another local datastore. Source: `docs/spec/sync.md` 3.4.
pub struct SourceAclRights {
    access: AccessSnapshot,
    owner: Authid,
    store: DatastoreName,
}

impl SourceAclRights {
    /// Returns the rights of `owner` on the groups of `store`.
    pub const fn new(access: AccessSnapshot, owner: Authid, store: DatastoreName) -> Self {
        Self { access, owner, store }
    }
}

impl SourceRights for SourceAclRights {
    fn may_read(&self, ns: &Namespace, group_owner: &Authid) -> bool {
        let path = AclPath::datastore(&self.store, ns);
        let groups =
            self.access.full_or_owner(&self.owner, &path, Privileges::DATASTORE_READ, Privileges::DATASTORE_BACKUP);
        groups.is_ok_and(|groups| groups.covers(group_owner))
    }
}
