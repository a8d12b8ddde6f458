//! A client adds its log to a snapshot. Source: `docs/spec/wire-protocol.md` 5.5.

use std::sync::Arc;
use std::time::Duration;

use farhold_datastore::MAX_CLIENT_LOG_BYTES;
use farhold_format::blob;
use farhold_jobs::{App, Operation};
use farhold_types::Privileges;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::place::{Own, Place, snapshot_of};
use crate::declare::{Access, Body, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, NS, STORE};

/// Logs that are received at once, so that they take a bounded part of the memory.
const LOGS_AT_ONCE: usize = 4;
/// How long a part of a log may take.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Nobody may do this for others.
const OWN_ONLY: Own = Own { full: Privileges::NONE, part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    let turns = Arc::new(Semaphore::new(LOGS_AT_ONCE));
    let handler = move |app, request| upload(app, request, Arc::clone(&turns));
    vec![
        Endpoint::post("/admin/datastore/{store}/upload-backup-log", "Add the client's log to a snapshot", handler)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME])
            .access(Access::InHandler("Datastore.Backup on /datastore/{store}/{namespace}, and own group"))
            .raw_body(),
    ]
}

async fn upload(app: Arc<App>, request: Request<App>, turns: Arc<Semaphore>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let (place, snapshot, store) = blocking(move || {
        let store = place.open_group(&snapshot.group, OWN_ONLY, Operation::Write)?;
        Ok::<_, ApiError>((place, snapshot, store))
    })
    .await?;
    let _turn = turns.acquire().await.map_err(|_| ApiError::internal("server is stopping"))?;
    let encoded = receive(request.body).await?;
    blocking(move || {
        blob::check(&encoded).map_err(|error| ApiError::from_chain(&error))?;
        store.put_client_log(&place.ns, &snapshot, &encoded)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn receive(mut body: Body) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let frame = timeout(STALL_LIMIT, body.frame()).await;
        let frame = frame.map_err(|_| ApiError::bad_request("the log did not arrive in time"))?;
        let Some(frame) = frame else { return Ok(bytes) };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the log broke off: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if MAX_CLIENT_LOG_BYTES < bytes.len() + part.len() {
            return Err(ApiError::bad_request(format!("the log has more than {MAX_CLIENT_LOG_BYTES} bytes")));
        }
        bytes.extend_from_slice(&part);
    }
}
