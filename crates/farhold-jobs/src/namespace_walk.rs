//! Which groups of which namespaces somebody reaches in calls that work on many of them.
//!
//! Pure decisions over the ACL tree. Source: `docs/spec/rest-api.md` 3.4, "Namespace walk".

use farhold_rules::acl::{AclPath, AclTree, GroupAccess};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges};

/// Whoever has one of these on a namespace may know that it exists. Source: `docs/spec/rest-api.md` 3.4, `NS_ANY`.
pub const NS_ANY: Privileges = Privileges::DATASTORE_MODIFY
    .with(Privileges::DATASTORE_READ)
    .with(Privileges::DATASTORE_BACKUP)
    .with(Privileges::DATASTORE_AUDIT);

/// What somebody needs for the groups of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkNeeds {
    /// One of these is enough for all groups.
    pub full: Privileges,
    /// One of these is enough for own groups.
    pub own: Privileges,
}

/// Returns which groups of a namespace `caller` reaches; `None` if the namespace is passed over.
pub fn reachable(
    acl: &AclTree,
    caller: &Authid,
    store: &DatastoreName,
    namespace: &Namespace,
    needs: WalkNeeds,
) -> Option<GroupAccess> {
    let path = AclPath::datastore(store, namespace);
    acl.require_any(caller, &path, NS_ANY).ok()?;
    acl.full_or_owner(caller, &path, needs.full, needs.own).ok()
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;

    #[test]
    fn the_roles_on_each_namespace_decide() {
        const NEEDS: WalkNeeds = WalkNeeds { full: Privileges::DATASTORE_MODIFY, own: Privileges::DATASTORE_PRUNE };
        let (store, caller): (DatastoreName, Authid) = ("tank".parse().unwrap(), "a@pbs".parse().unwrap());
        let mut acl = AclTree::new();
        acl.set(&["datastore", "tank"], caller.clone(), Role::DatastoreAudit, true);
        acl.set(&["datastore", "tank", "all"], caller.clone(), Role::DatastoreAdmin, true);
        acl.set(&["datastore", "tank", "own"], caller.clone(), Role::DatastorePowerUser, true);
        acl.set(&["datastore", "tank", "all", "none"], caller.clone(), Role::NoAccess, true);
        let reach = |ns: &str| reachable(&acl, &caller, &store, &ns.parse().unwrap(), NEEDS);
        let owner: Authid = "b@pbs".parse().unwrap();
        assert!(reach("all").is_some_and(|access| access.covers(&owner)));
        assert!(reach("own/below").is_some_and(|access| access.covers(&caller) && !access.covers(&owner)));
        assert_eq!([reach(""), reach("all/none")], [None, None]);
    }
}
