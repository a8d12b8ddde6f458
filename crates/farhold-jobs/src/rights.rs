//! What the owner of a job may do with a datastore, here or on a remote, from the access control list.

use farhold_access::AccessSnapshot;
use farhold_rules::acl::AclPath;
use farhold_sync::{OwnerDenied, OwnerRights, PushRights, SourceRights};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges, RemoteName};

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

    fn may_see(&self, ns: &Namespace) -> bool {
        [Privileges::DATASTORE_READ, Privileges::DATASTORE_BACKUP]
            .iter()
            .any(|needed| self.require(ns, *needed).is_ok())
    }
}

/// Rights of one owner on a datastore of a remote: what this server lets him do there, whatever the remote says.
///
/// Each namespace has its own path, `/remote/<remote>/<store>/<namespace>`. As the lists stood when the run began.
/// Source: `docs/spec/sync.md` 3.4, push.
pub struct RemoteAclRights {
    access: AccessSnapshot,
    owner: Authid,
    remote: RemoteName,
    store: DatastoreName,
}

impl RemoteAclRights {
    /// Returns the rights of `owner` on the namespaces of `store` of `remote`.
    pub const fn new(access: AccessSnapshot, owner: Authid, remote: RemoteName, store: DatastoreName) -> Self {
        Self { access, owner, remote, store }
    }

    fn require(&self, ns: &Namespace, needed: Privileges) -> Result<(), OwnerDenied> {
        let path = AclPath::remote_store(&self.remote, &self.store, ns);
        self.access.require_all(&self.owner, &path, needed).map(drop).map_err(OwnerDenied::from)
    }
}

impl PushRights for RemoteAclRights {
    fn may_backup(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::REMOTE_DATASTORE_BACKUP)
    }

    fn may_prune(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::REMOTE_DATASTORE_PRUNE)
    }

    fn may_modify(&self, ns: &Namespace) -> Result<(), OwnerDenied> {
        self.require(ns, Privileges::REMOTE_DATASTORE_MODIFY)
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
        let of_nobody = rights(&"u2@pbs".parse().unwrap());
        assert!(OwnerRights::may_see(&of_owner, &ns("b")) && !OwnerRights::may_see(&of_nobody, &ns("b")));
        assert!(SourceRights::may_see(&of_owner, &ns("b")) && !SourceRights::may_see(&of_nobody, &ns("b")));
        let denied = of_owner.may_modify(&ns("")).unwrap_err();
        assert_eq!(denied.to_string(), "permission check failed - missing Datastore.Modify on /datastore/dst");
        let other: Authid = "u2@pbs".parse().unwrap();
        assert!(of_owner.may_read(&ns(""), &owner) && !of_owner.may_read(&ns(""), &other));
        assert!(of_owner.may_read(&ns("a"), &other));
        assert!(rights(&other).may_backup(&ns("a")).is_err(), "whoever does not exist has no rights");
    }

    #[test]
    fn a_source_namespace_is_seen_by_who_may_read_or_back_up_there() {
        let server = TestServer::new();
        for (store, role) in
            [("read", Role::DatastoreReader), ("backup", Role::DatastoreBackup), ("audit", Role::DatastoreAudit)]
        {
            server.grant(&format!("/datastore/{store}/a"), "u1@pbs", role);
        }
        for (store, ns, is_seen) in
            [("read", "a/b", true), ("backup", "a", true), ("audit", "a", false), ("read", "", false)]
        {
            let access = server.app.access.snapshot().unwrap();
            let rights = AclRights::new(access, "u1@pbs".parse().unwrap(), store.parse().unwrap());
            assert_eq!(SourceRights::may_see(&rights, &ns.parse().unwrap()), is_seen, "{store} '{ns}'");
        }
    }

    #[test]
    fn rights_on_a_remote_are_asked_for_by_the_path_of_each_namespace() {
        let server = TestServer::new();
        server.grant("/remote/pbs2/tank", "u1@pbs", Role::RemoteSyncPushOperator);
        server.grant("/remote/pbs2/tank/a", "u1@pbs", Role::RemoteDatastorePowerUser);
        server.grant("/remote/pbs2/tank/a/b", "u1@pbs", Role::RemoteDatastoreAdmin);
        let names = || ("u1@pbs".parse().unwrap(), "pbs2".parse().unwrap(), "tank".parse().unwrap());
        let (owner, remote, store) = names();
        let rights = RemoteAclRights::new(server.app.access.snapshot().unwrap(), owner, remote, store);
        for (ns, backup, prune, modify) in
            [("", true, false, false), ("a", true, true, false), ("a/b/c", true, true, true), ("x", true, false, false)]
        {
            let ns: Namespace = ns.parse().unwrap();
            let found = [rights.may_backup(&ns), rights.may_prune(&ns), rights.may_modify(&ns)];
            assert_eq!(found.map(|answer| answer.is_ok()), [backup, prune, modify], "'{ns}'");
        }
        let denied = rights.may_modify(&"a".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(denied, "permission check failed - missing Remote.DatastoreModify on /remote/pbs2/tank/a");
    }
}
