//! Mounting and unmounting removable datastores. Source: `docs/spec/rest-api.md` 12.11.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::removable::{MountPermit, RemovableError, may_mount, mount, store_on_device, unmount};
use farhold_types::{Authid, DatastoreName, Privileges};
use serde_json::Value;

use crate::declare::{Access, Answer, Endpoint, Need, Reply, Request};
use crate::endpoints::{blocking, errors};
use crate::error::ApiError;
use crate::schema::named::STORE;
use crate::schema::{Param, ParamKind, Shape, shapes};

/// Any text: what is no UUID belongs to no datastore.
const UUID: Param = Param::required(
    "uuid",
    ParamKind::Text { min_length: 0, max_length: Some(256), check: None, hint: "<uuid>" },
    "UUID of the file system that was plugged in",
);

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    let on_store = Access::Both(
        Need::all(Privileges::DATASTORE_MODIFY, "/datastore/{store}"),
        Need::all(Privileges::SYS_MODIFY, "/system/disks"),
    );
    vec![
        Endpoint::post(
            "/admin/datastore/{store}/mount",
            "Mount a removable datastore and run the jobs that wait for it",
            start_mount,
        )
        .params(&[STORE])
        .access(on_store)
        .answer(Answer::Task),
        Endpoint::post(
            "/admin/datastore/{store}/unmount",
            "Unmount a removable datastore as soon as nothing uses it",
            start_unmount,
        )
        .params(&[STORE])
        .access(on_store)
        .answer(Answer::Task),
        Endpoint::post(
            "/farhold/uuid-mount",
            "Mount the one removable datastore of a file system, if there is one",
            mount_by_uuid,
        )
        .params(&[UUID])
        .access(Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/disks")))
        .returns(Shape::Nullable(&shapes::UPID)),
    ]
}

impl From<RemovableError> for ApiError {
    fn from(error: RemovableError) -> Self {
        Self::from_chain(&error)
    }
}

/// Returns the proof that the caller may do it. That it needs a privilege on the disks too is known to everybody, so
/// its lack is told before the datastore is looked up.
async fn permit(app: &Arc<App>, caller: Authid, store: DatastoreName) -> Result<MountPermit, ApiError> {
    let app = Arc::clone(app);
    blocking(move || may_mount(&*app.acl()?, &caller, &store).map_err(|denied| errors::forbidden(&denied))).await
}

async fn start_mount(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let permit = permit(&app, request.caller()?.clone(), request.params.require("store")?).await?;
    Ok(Reply::value(mount(&app, &permit).await?.to_string()))
}

async fn start_unmount(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let permit = permit(&app, request.caller()?.clone(), request.params.require("store")?).await?;
    Ok(Reply::value(unmount(&app, &permit).await?.to_string()))
}

async fn mount_by_uuid(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (server, uuid) = (Arc::clone(&app), request.params.require::<String>("uuid")?);
    let Some(store) = blocking(move || Ok::<_, ApiError>(store_on_device(&server, &uuid)?)).await? else {
        return Ok(Reply::value(Value::Null));
    };
    let permit = permit(&app, request.caller()?.clone(), store).await?;
    Ok(Reply::value(mount(&app, &permit).await?.to_string()))
}
