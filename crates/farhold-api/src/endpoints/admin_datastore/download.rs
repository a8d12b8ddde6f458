//! Files of a snapshot as they are stored. Source: `docs/spec/rest-api.md` 12.10.

use std::sync::Arc;

use farhold_jobs::{App, Operation};
use farhold_types::{ArchiveName, Privileges};

use super::BY_NAMESPACE;
use super::place::{Own, Place, snapshot_of};
use crate::declare::{Answer, Endpoint, Reply, Request, full_body};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::Shape;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, FILE_NAME, NS, STORE};

/// What reading content needs.
const READ: Own = Own { full: Privileges::DATASTORE_READ, part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/download", "Download a file of a snapshot as it is stored", download)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME, FILE_NAME])
            .access(BY_NAMESPACE)
            .answer(Answer::Raw)
            .returns(Shape::Bytes("application/octet-stream")),
    ]
}

async fn download(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let file_name: String = request.params.require("file-name")?;
    let bytes = blocking(move || {
        let datastore = place.open_group(&snapshot.group, READ, Operation::Read)?;
        // Only files of a snapshot have names of archives; everything else does not exist as far as callers can see.
        let archive: ArchiveName =
            file_name.parse().map_err(|_| ApiError::bad_request(format!("'{snapshot}' has no file '{file_name}'")))?;
        Ok::<_, ApiError>(datastore.read_file(&place.ns, &snapshot, &archive)?)
    })
    .await?;
    Ok(Reply::raw("application/octet-stream", full_body(bytes)))
}
