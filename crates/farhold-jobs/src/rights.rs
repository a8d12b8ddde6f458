//! What the owner of a job may do with a datastore, from the access control list.

use farhold_access::AccessSnapshot;
use farhold_rules::acl::AclPath;
use farhold_sync::{OwnerDenied, OwnerRights, SourceRights};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};

/// Rights of one owner on one datastore, as the lists stood when the run began. An owner that is disabled has none.
///
/// As [`OwnerRights`] of the target, and as [`SourceRights`] of another local datastore.
/// Source: `docs/spec/sync.md` 3.4.
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
        self.access.require_all(&self.owner, &path, needed).map(drop).map_err(OwnerDenied::from)
    }
}

impl OwnerRights for AclRights {
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::DATASTORE_BACKUP)
    }

    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::DATASTORE_MODIFY)
    }

    fn may_see(&self, ns: &Namespace) -> bool {
        [Privileges::DATASTORE_BACKUP, Privileges::DATASTORE_AUDIT]
            .iter()
            .any(|needed| self.require(ns, *needed).is_ok())
    }
}

impl SourceRights for AclRights {
    fn may_read(&self, ns: &Namespace, group_owner: &Authid) -> bool {
        let path = AclPath::datastore(&self.store, ns);
        let (read, backup) = (Privileges::DATASTORE_READ, Privileges::DATASTORE_BACKUP);
        self.access.full_or_owner(&self.owner, &path, read, backup).is_ok_and(|groups| groups.covers(group_owner))
    }
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;
    use crate::testing::TestServer;

    #[test]
    fn rights_follow_the_access_control_list() {
        let server = TestServer::new();
        server.grant("/datastore/dst", "u1@pbs", Role::DatastoreBackup);
        server.grant("/datastore/dst/a", "u1@pbs", Role::DatastoreAdmin);
        let owner: Authid = "u1@pbs".parse().unwrap();
        let rights = |owner: &Authid| {
            AclRights::new(server.app.access.snapshot().unwrap(), owner.clone(), "dst".parse().unwrap())
        };
        let ns = |text: &str| text.parse::<Namespace>().unwrap();
        let of_owner = rights(&owner);
        assert!(of_owner.may_backup(&ns("")).is_ok() && of_owner.may_modify(&ns("a/b")).is_ok());
        assert!(of_owner.may_see(&ns("b")) && !rights(&"u2@pbs".parse().unwrap()).may_see(&ns("b")));
        let denied = of_owner.may_modify(&ns("")).unwrap_err();
        assert_eq!(denied.to_string(), "permission check failed - missing Datastore.Modify on /datastore/dst");
        let other: Authid = "u2@pbs".parse().unwrap();
        assert!(of_owner.may_read(&ns(""), &owner) && !of_owner.may_read(&ns(""), &other));
        assert!(of_owner.may_read(&ns("a"), &other));
        assert!(rights(&other).may_backup(&ns("a")).is_err(), "whoever does not exist has no rights");
    }
}
