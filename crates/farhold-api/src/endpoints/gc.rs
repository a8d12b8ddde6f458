//! Garbage collection: starting it, and what it found. Source: `docs/spec/rest-api.md` 12.9 and 13.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::gc::{GcPermit, GcRunError, report, start_gc};
use farhold_rules::acl::AclPath;
use farhold_types::{DatastoreName, Namespace, Privileges};
use serde_json::json;

use super::blocking;
use crate::declare::{Access, Answer, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::STORE;
use crate::schema::{Field, Shape, shapes};

/// Who may know what a collection found. The reference asks for less in the lists (rest-api.md 19.12).
const SEE: Privileges = Privileges::DATASTORE_AUDIT.with(Privileges::DATASTORE_MODIFY);

/// What is told about a store beside the result of its last collection.
const STORE_AND_RUNS: &[Field] = &[
    Field::required("store", shapes::STORE, "The datastore"),
    Field::optional("schedule", shapes::CALENDAR_EVENT, "When it is collected"),
    Field::optional("next-run", shapes::EPOCH, "When it is collected next; absent without a schedule"),
    Field::optional("last-run-endtime", shapes::EPOCH, "When the last run ended; absent while one runs"),
    Field::optional("last-run-state", Shape::Text("result of a task"), "Its result; absent while one runs"),
    Field::optional("duration", Shape::Integer, "Seconds that it took"),
];
const REPORT: Shape = Shape::Joined(&[STORE_AND_RUNS, shapes::GC_STATUS]);
const REPORTS: Shape = Shape::List(&REPORT);

impl From<GcRunError> for ApiError {
    fn from(error: GcRunError) -> Self {
        Self::from_chain(&error)
    }
}

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/admin/datastore/{store}/gc", "Show what the last garbage collection found", show)
            .params(&[STORE])
            .access(Access::Declared(Need::all(Privileges::DATASTORE_AUDIT, "/datastore/{store}")))
            .returns(REPORT),
        Endpoint::post("/admin/datastore/{store}/gc", "Start a garbage collection", start)
            .params(&[STORE])
            .access(Access::Declared(Need::all(Privileges::DATASTORE_MODIFY, "/datastore/{store}")))
            .answer(Answer::Task),
        Endpoint::get("/admin/gc", "Show what the last garbage collection of each datastore found", list)
            .params(&[STORE.is_optional().described("Only this datastore")])
            .access(Access::InHandler("Datastores on which the caller has Datastore.Audit or Datastore.Modify"))
            .returns(REPORTS),
        Endpoint::get("/admin/gc/{store}", "Show what the last garbage collection of a datastore found", list_one)
            .params(&[STORE])
            .access(Access::Declared(Need::any(SEE, "/datastore/{store}")))
            .returns(REPORTS),
    ]
}

async fn show(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store: DatastoreName = request.params.require("store")?;
    blocking(move || Ok::<_, ApiError>(Reply::value(json!(report(&app, &store)?)))).await
}

async fn list_one(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store: DatastoreName = request.params.require("store")?;
    blocking(move || Ok::<_, ApiError>(Reply::value(json!([report(&app, &store)?])))).await
}

/// Stores that cannot be read now are left out, unless one is asked for.
async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let only: Option<DatastoreName> = request.params.parse("store")?;
    blocking(move || {
        let acl = app.acl()?;
        let is_visible = |store: &DatastoreName| {
            acl.require_any(&caller, &AclPath::datastore(store, &Namespace::root()), SEE).is_ok()
        };
        if let Some(store) = only {
            // What may not be seen is answered as what does not exist.
            let found =
                if is_visible(&store) { report(&app, &store) } else { Err(GcRunError::Unknown { name: store }) };
            return Ok::<_, ApiError>(Reply::value(json!([found?])));
        }
        let stores = app.settings.datastores().load()?;
        let visible = stores.entries.usable().map(|config| &config.name).filter(|name| is_visible(name));
        let reports: Vec<_> = visible.filter_map(|name| report(&app, name).ok()).collect();
        Ok(Reply::value(json!(reports)))
    })
    .await
}

async fn start(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, store) = (request.caller()?.clone(), request.params.require::<DatastoreName>("store")?);
    let of_app = Arc::clone(&app);
    let permit = blocking(move || {
        let acl = of_app.acl()?;
        GcPermit::of(&acl, &caller, &store).map_err(|denied| super::errors::forbidden(&denied))
    })
    .await?;
    let upid = start_gc(&app, &permit, None).await?;
    Ok(Reply::value(upid.to_string()))
}
