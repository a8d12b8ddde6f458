//! Removing from a datastore of this server: the steps that [`crate::LocalTarget`] runs on blocking threads.
//!
//! Owner and protection are looked at under the lock that the removal itself needs, so nothing can be given away or
//! protected in between.

use farhold_datastore::{Datastore, DatastoreError, GroupLock, RemoveGroups};
use farhold_rules::removal_plan::OwnedGroup;
use farhold_types::{Authid, Epoch, Group, Namespace};

use crate::target::Removed;

pub(crate) fn groups(store: &Datastore, ns: &Namespace) -> Result<Vec<OwnedGroup>, DatastoreError> {
    match store.groups_and_owners(ns) {
        Ok(groups) => Ok(groups.into_iter().map(|(group, owner)| OwnedGroup { group, owner }).collect()),
        Err(DatastoreError::NamespaceMissing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the lock and the owner of a group, or nothing if the group is gone.
pub(crate) fn lock(
    store: &Datastore,
    ns: &Namespace,
    group: &Group,
) -> Result<Option<(Authid, GroupLock)>, DatastoreError> {
    let lock = match store.lock_group(ns, group) {
        Ok(lock) => lock,
        Err(DatastoreError::GroupMissing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some((store.owner(ns, group)?, lock)))
}

pub(crate) fn remove_snapshot(store: &Datastore, lock: &GroupLock, time: Epoch) -> Result<Removed, DatastoreError> {
    match store.remove_locked_snapshot(lock, time) {
        Ok(()) => Ok(Removed::Yes),
        Err(DatastoreError::Protected { .. }) => Ok(Removed::Protected),
        Err(DatastoreError::SnapshotMissing { .. }) => Ok(Removed::Gone),
        Err(error) => Err(error),
    }
}

/// Directories are removed only while they are empty, which is atomic: no lock is needed.
pub(crate) fn remove_empty_namespace(store: &Datastore, ns: &Namespace) -> Result<bool, DatastoreError> {
    if ns.is_root() {
        return Ok(false);
    }
    store.remove_namespace_level(ns, RemoveGroups::No)?;
    Ok(!store.namespace_exists(ns)?)
}
