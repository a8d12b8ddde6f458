//! Where in a datastore a call works, and what its caller may do there.
//!
//! Source: `docs/spec/rest-api.md` 3.4, "OWN".

use std::sync::Arc;

use farhold_datastore::Datastore;
use farhold_jobs::namespace_walk::NS_ANY;
use farhold_jobs::{App, Operation, StoreHandle};
use farhold_rules::acl::{AclPath, AclTree, GroupAccess};
use farhold_types::{Authid, BackupId, BackupType, DatastoreName, Epoch, Group, Namespace, Privileges, Snapshot};

use crate::declare::Request;
use crate::endpoints::errors::forbidden;
use crate::error::ApiError;
use crate::schema::Params;

/// A namespace of a datastore, and who wants something there.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) app: Arc<App>,
    pub(super) caller: Authid,
    pub(super) store: DatastoreName,
    pub(super) ns: Namespace,
}

/// What a caller needs for a group.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// One of these is enough for every group.
    pub(super) full: Privileges,
    /// One of these is enough for own groups.
    pub(super) part: Privileges,
}

impl Place {
    /// Returns the place that the parameters `store` and `ns` name.
    pub(super) fn of(app: Arc<App>, request: &Request<App>) -> Result<Self, ApiError> {
        Self::with_ns(app, request, "ns")
    }

    /// Returns the place whose namespace another parameter names.
    pub(super) fn with_ns(app: Arc<App>, request: &Request<App>, parameter: &str) -> Result<Self, ApiError> {
        Ok(Self {
            app,
            caller: request.caller()?.clone(),
            store: request.params.require("store")?,
            ns: request.params.parse(parameter)?.unwrap_or_default(),
        })
    }

    /// Returns the place's path in the access control tree.
    pub(super) fn path(&self) -> AclPath {
        AclPath::datastore(&self.store, &self.ns)
    }

    /// Returns which groups of the namespace the caller may reach. Blocking.
    ///
    /// # Errors
    /// 403 if none at all.
    pub(super) fn group_access(&self, own: Own) -> Result<GroupAccess, ApiError> {
        let acl = self.app.acl()?;
        acl.full_or_owner(&self.caller, &self.path(), own.full, own.part).map_err(|denied| forbidden(&denied))
    }

    /// Opens the datastore. Blocking.
    ///
    /// # Errors
    /// 400.
    pub(super) fn open(&self, operation: Operation) -> Result<StoreHandle, ApiError> {
        Ok(self.app.stores.open(&self.store, operation)?)
    }

    /// Opens the datastore for work on one group, after all checks in their order. Blocking.
    ///
    /// # Errors
    /// 403 without privilege on the namespace; 400 if the store cannot be opened, or the group belongs to somebody else
    /// and the caller may reach own groups only.
    pub(super) fn open_group(&self, group: &Group, own: Own, operation: Operation) -> Result<StoreHandle, ApiError> {
        let access = self.group_access(own)?;
        let datastore = self.open(operation)?;
        self.require_group(&datastore, group, &access)?;
        Ok(datastore)
    }

    /// Checks that the caller reaches a group of the namespace. Blocking.
    ///
    /// # Errors
    /// 400 if it belongs to somebody else and the caller may reach own groups only.
    pub(super) fn require_group(
        &self,
        datastore: &Datastore,
        group: &Group,
        access: &GroupAccess,
    ) -> Result<(), ApiError> {
        if let GroupAccess::Owned(_) = access {
            let owner = datastore.owner(&self.ns, group)?;
            if !access.covers(&owner) {
                return Err(ApiError::bad_request(format!(
                    "group '{group}' belongs to '{owner}', not to '{}'",
                    self.caller
                )));
            }
        }
        Ok(())
    }
}

/// Returns whether the caller may know of a namespace.
pub(super) fn may_know(acl: &AclTree, caller: &Authid, store: &DatastoreName, ns: &Namespace) -> bool {
    acl.privileges(caller, &AclPath::datastore(store, ns)).all.contains_any(NS_ANY)
}

/// Returns the group that the parameters name.
pub(super) fn group_of(params: &Params) -> Result<Group, ApiError> {
    Ok(Group::new(params.require::<BackupType>("backup-type")?, params.require::<BackupId>("backup-id")?))
}

/// Returns the snapshot that the parameters name.
pub(super) fn snapshot_of(params: &Params) -> Result<Snapshot, ApiError> {
    let time =
        params.integer("backup-time").ok_or_else(|| ApiError::parameter("backup-time", "parameter is missing"))?;
    if Epoch::MAX.0 < time {
        return Err(ApiError::bad_request("backup-time is beyond the year 9999"));
    }
    Ok(group_of(params)?.at(Epoch(time)))
}
