//! History of the usage of a datastore. Source: `docs/spec/rest-api.md` 12.11.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::history::Subject;
use farhold_types::{DatastoreName, Privileges};

use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::rrd::{RRD_PARAMS, STORE_ROWS, history_rows};
use crate::error::ApiError;
use crate::schema::named::STORE;

const SEES_SIZES: Need =
    Need::any(Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_BACKUP), "/datastore/{store}");

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/rrd", "Show the history of a datastore's usage", rrd)
            .params(&[STORE])
            .params(&RRD_PARAMS)
            .access(Access::Declared(SEES_SIZES))
            .returns(STORE_ROWS),
    ]
}

async fn rrd(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store: DatastoreName = request.params.require("store")?;
    let (checked, name) = (Arc::clone(&app), store.clone());
    blocking(move || {
        let is_known = checked.settings.datastores().load()?.entries.contains(name.as_str());
        if is_known { Ok(()) } else { Err(ApiError::bad_request(format!("no such datastore '{name}'"))) }
    })
    .await?;
    history_rows(app, Subject::Store(store), request.params).await
}
