//! Snapshots and their files. Source: `docs/spec/rest-api.md` 12.5.

use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError};
use farhold_jobs::{App, Operation};
use farhold_types::{BackupId, BackupType, Group, Namespace, Privileges, SnapshotItem};

use super::BY_NAMESPACE;
use super::groups::{LIST, REMOVE};
use super::place::{Own, Place, snapshot_of};
use crate::declare::{Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, NS, STORE};
use crate::schema::{Shape, shapes};

/// What listing the files of a snapshot needs.
const FILES: Own =
    Own { full: Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_READ), part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/snapshots", "List snapshots", list)
            .params(&[STORE, NS, BACKUP_TYPE.is_optional(), BACKUP_ID.is_optional()])
            .access(BY_NAMESPACE)
            .returns(Shape::List(&shapes::SNAPSHOT_ITEM)),
        Endpoint::delete("/admin/datastore/{store}/snapshots", "Remove a snapshot", remove)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME])
            .access(BY_NAMESPACE)
            .returns(Shape::Null),
        Endpoint::get("/admin/datastore/{store}/files", "List the files of a snapshot", files)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME])
            .access(BY_NAMESPACE)
            .returns(Shape::List(&shapes::FILE_ITEM)),
    ]
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let backup_type: Option<BackupType> = request.params.parse("backup-type")?;
    let backup_id: Option<BackupId> = request.params.parse("backup-id")?;
    blocking(move || {
        let access = place.group_access(LIST)?;
        let datastore = place.open(Operation::Read)?;
        let mut items: Vec<SnapshotItem> = Vec::new();
        for group in groups(&datastore, &place.ns, backup_type, backup_id)? {
            // A group without readable owner belongs to nobody; a group may also go meanwhile.
            let Ok(owner) = datastore.owner(&place.ns, &group) else { continue };
            if access.covers(&owner) {
                items.extend(datastore.snapshot_items(&place.ns, &group).unwrap_or_default());
            }
        }
        Reply::json(&items)
    })
    .await
}

/// Returns the groups that may exist and match the filters.
///
/// With an ID whatever is missing is no error, which sync peers rely on; without one a missing namespace is.
fn groups(
    datastore: &Datastore,
    ns: &Namespace,
    backup_type: Option<BackupType>,
    backup_id: Option<BackupId>,
) -> Result<Vec<Group>, DatastoreError> {
    let types = backup_type.map_or_else(|| BackupType::ALL.to_vec(), |one| vec![one]);
    match backup_id {
        Some(id) => Ok(types.into_iter().map(|backup_type| Group::new(backup_type, id.clone())).collect()),
        None => {
            let groups = datastore.groups(ns)?.into_iter().map(|info| info.group);
            Ok(groups.filter(|group| types.contains(&group.backup_type)).collect())
        }
    }
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, REMOVE, Operation::Write)?;
        datastore.remove_snapshot(&place.ns, &snapshot)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn files(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, FILES, Operation::Read)?;
        let item = datastore.snapshot_item(&place.ns, &snapshot)?;
        if !item.is_finished() {
            return Err(ApiError::bad_request(format!("snapshot '{snapshot}' has no readable manifest")));
        }
        Reply::json(&item.files)
    })
    .await
}
