//! Notes of snapshots and groups. Source: `docs/spec/rest-api.md` 12.6.

use std::sync::Arc;

use farhold_datastore::DatastoreError;
use farhold_jobs::{App, Operation};

use super::BY_NAMESPACE;
use super::groups::{CHANGE, LIST};
use super::place::{Place, group_of, snapshot_of};
use crate::declare::{Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, NS, STORE};
use crate::schema::{Param, Shape, shapes};

const NOTES: Param = Param::required("notes", ANY_TEXT, "The text, may have several lines or none");

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    let snapshot = [STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME];
    let group = [STORE, NS, BACKUP_TYPE, BACKUP_ID];
    vec![
        Endpoint::get("/admin/datastore/{store}/notes", "Show the notes of a snapshot", get_notes)
            .params(&snapshot)
            .access(BY_NAMESPACE)
            .returns(shapes::TEXT),
        Endpoint::put("/admin/datastore/{store}/notes", "Replace the notes of a snapshot", set_notes)
            .params(&snapshot)
            .params(&[NOTES])
            .access(BY_NAMESPACE)
            .returns(Shape::Null),
        Endpoint::get("/admin/datastore/{store}/group-notes", "Show the notes of a backup group", get_group_notes)
            .params(&group)
            .access(BY_NAMESPACE)
            .returns(shapes::TEXT),
        Endpoint::put("/admin/datastore/{store}/group-notes", "Replace the notes of a backup group", set_group_notes)
            .params(&group)
            .params(&[NOTES])
            .access(BY_NAMESPACE)
            .returns(Shape::Null),
    ]
}

async fn get_notes(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, LIST, Operation::Read)?;
        Ok::<_, ApiError>(Reply::value(datastore.snapshot_notes(&place.ns, &snapshot)?))
    })
    .await
}

async fn set_notes(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let notes: String = request.params.require("notes")?;
    blocking(move || {
        let datastore = place.open_group(&snapshot.group, CHANGE, Operation::Write)?;
        datastore.set_snapshot_notes(&place.ns, &snapshot, &notes)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn get_group_notes(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let group = group_of(&request.params)?;
    blocking(move || {
        let datastore = place.open_group(&group, LIST, Operation::Read)?;
        match datastore.group_notes(&place.ns, &group) {
            // As in the reference product: what does not exist has no notes.
            Err(DatastoreError::GroupMissing { .. }) => Ok(Reply::value("")),
            other => Ok::<_, ApiError>(Reply::value(other?)),
        }
    })
    .await
}

async fn set_group_notes(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let group = group_of(&request.params)?;
    let notes: String = request.params.require("notes")?;
    blocking(move || {
        let datastore = place.open_group(&group, CHANGE, Operation::Write)?;
        let lock = datastore.lock_group(&place.ns, &group)?;
        datastore.set_group_notes(&lock, &notes)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
