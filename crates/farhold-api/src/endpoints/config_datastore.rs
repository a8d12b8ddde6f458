//! `/config/datastore`: the configuration of datastores. Source: `docs/spec/rest-api.md` 8.
//!
//! Stores in an object storage are not offered: creating one is refused.

mod fields;

use std::path::{Component, Path};
use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::datastore_jobs::{
    DatastoreJobError, NewDatastore, RemoveDatastore, create_datastore, prepare_removal, remove_datastore,
};
use farhold_jobs::gc::gc_key;
use farhold_jobs::removable::may_change_disks;
use farhold_rules::acl::AclPath;
use farhold_settings::{DatastoreConfig, MaintenanceType};
use farhold_types::{DatastoreName, Digest, Namespace, Privileges};
use serde_json::Value;

use super::blocking;
use super::errors::forbidden;
use super::keep::keep_options;
use crate::declare::{Access, Answer, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{DATASTORE_NAME, DIGEST, KEEP, delete, flag};
use crate::schema::{DefaultValue, Shape};
use fields::{BACKEND, BACKING_DEVICE, DELETABLE, PATH, PRUNE_SCHEDULE, STORE, item, options, set_options, unset};

/// Keys that pruning had in the datastore before there were prune jobs.
const FORMER_PRUNE_KEYS: [&str; 7] =
    ["prune-schedule", "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"];

pub fn endpoints() -> Vec<Endpoint<App>> {
    let on_store = |privileges| Access::Declared(Need::all(privileges, "/datastore/{name}"));
    vec![
        Endpoint::get("/config/datastore", "List the datastores in the configuration", list)
            .access(Access::InHandler("lists datastores with Datastore.Audit"))
            .returns(Shape::List(&STORE))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/config/datastore", "Create a datastore", create)
            .params(&[DATASTORE_NAME, PATH, BACKING_DEVICE, BACKEND])
            .params(&options())
            .params(&[PRUNE_SCHEDULE])
            .params(&KEEP)
            .params(&[
                flag("reuse-datastore", "Take over the datastore that lies in the path")
                    .or_default(DefaultValue::Boolean(false)),
                flag("overwrite-in-use", "Take over an object storage that another server uses")
                    .or_default(DefaultValue::Boolean(false)),
            ])
            .access(Access::Declared(Need::all(Privileges::DATASTORE_ALLOCATE, "/datastore")))
            .answer(Answer::Task),
        Endpoint::get("/config/datastore/{name}", "Show the configuration of a datastore", read)
            .params(&[DATASTORE_NAME])
            .access(on_store(Privileges::DATASTORE_AUDIT))
            .returns(STORE)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/config/datastore/{name}", "Change the configuration of a datastore", update)
            .params(&[DATASTORE_NAME])
            .params(&options())
            .params(&[PRUNE_SCHEDULE])
            .params(&KEEP)
            .params(&[delete(&DELETABLE), DIGEST])
            .access(on_store(Privileges::DATASTORE_MODIFY))
            .returns(Shape::Null),
        Endpoint::delete("/config/datastore/{name}", "Remove a datastore", remove)
            .params(&[
                DATASTORE_NAME,
                flag("keep-job-configs", "Keep the jobs and permissions of the datastore"),
                flag("destroy-data", "Also remove all backups"),
                DIGEST,
            ])
            .access(on_store(Privileges::DATASTORE_ALLOCATE))
            .answer(Answer::Task),
    ]
}

impl From<DatastoreJobError> for ApiError {
    fn from(error: DatastoreJobError) -> Self {
        match &error {
            DatastoreJobError::Disks(denied) => forbidden(denied),
            _ => Self::from_chain(&error),
        }
    }
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let acl = app.acl()?;
        let loaded = app.settings.datastores().load()?;
        let is_visible = |config: &&DatastoreConfig| {
            let path = AclPath::datastore(&config.name, &Namespace::root());
            acl.require_all(&caller, &path, Privileges::DATASTORE_AUDIT).is_ok()
        };
        let items: Vec<Value> = loaded.entries.usable().filter(is_visible).map(item).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: DatastoreName = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.datastores().load()?;
        match loaded.entries.get(name.as_str())? {
            Some(config) => Ok(Reply::value(item(config)).with_digest(&loaded.digest)),
            None => Err(ApiError::from(DatastoreJobError::Unknown { name })),
        }
    })
    .await
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let params = &request.params;
    let name: DatastoreName = params.require("name")?;
    let path: String = params.require("path")?;
    let server = Arc::clone(&app);
    let wanted = name.clone();
    let is_taken =
        blocking(move || Ok::<_, ApiError>(server.settings.datastores().load()?.entries.contains(wanted.as_str())))
            .await?;
    if is_taken {
        return Err(ApiError::parameter("name", format!("datastore '{name}' already exists")));
    }
    let is_removable = params.has("backing-device");
    if is_removable == path.starts_with('/') {
        let expected = if is_removable { "relative path on the device" } else { "absolute path" };
        return Err(ApiError::parameter("path", format!("must be {}", expected)));
    }
    if is_removable {
        if Path::new(&path).components().any(|part| part == Component::ParentDir) {
            return Err(ApiError::parameter("path", "must not lead out of the device"));
        }
        let (server, creator) = (Arc::clone(&app), caller.clone());
        blocking(move || may_change_disks(&*server.acl()?, &creator).map_err(|denied| forbidden(&denied))).await?;
    }
    let mut config = DatastoreConfig::new(name, path);
    config.backing_device = params.text("backing-device").map(str::to_owned);
    config.backend = params.text("backend").map(str::to_owned);
    if config.is_s3() {
        return Err(ApiError::parameter("backend", "datastores in an object storage cannot be created yet"));
    }
    set_options(&mut config, params, fields::Purpose::Create)?;
    let new = NewDatastore {
        config,
        reuses_existing: params.boolean_or_default("reuse-datastore"),
        prune_schedule: params.text("prune-schedule").map(str::to_owned),
        keep: keep_options(params)?,
    };
    Ok(Reply::value(create_datastore(&app, &caller, new).await?.to_string()))
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params.clone();
    let name: DatastoreName = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    if let Some(key) = FORMER_PRUNE_KEYS.iter().find(|key| params.has(key)) {
        return Err(ApiError::parameter(*key, "pruning is set up by prune jobs, not by the datastore"));
    }
    blocking(move || {
        let edited = app.settings.datastores().edit(digest, |stores| {
            let mut config = match stores.get(name.as_str())? {
                Some(config) => config.clone(),
                None => return Err(ApiError::from(DatastoreJobError::Unknown { name: name.clone() })),
            };
            let former_schedule = config.gc_schedule.clone();
            let is_being_deleted =
                config.maintenance().is_some_and(|mode| mode.maintenance_type == MaintenanceType::Delete);
            for key in params.texts("delete").unwrap_or_default() {
                unset(&mut config, key);
            }
            let former = config.maintenance_mode.clone();
            set_options(&mut config, &params, fields::Purpose::Update)?;
            let touches_mode = config.maintenance_mode != former
                || params.texts("delete").is_some_and(|keys| keys.contains(&"maintenance-mode"));
            if is_being_deleted && touches_mode {
                return Err(ApiError::bad_request("datastore is being deleted"));
            }
            let is_rescheduled = config.gc_schedule.is_some() && config.gc_schedule != former_schedule;
            stores.update(config)?;
            Ok(is_rescheduled)
        })?;
        if edited.value {
            // A new schedule never fires for a moment in the past.
            let key = gc_key(&name)?;
            app.job_states.schedule_changed(&key, app.clock.now(), &app.tasks)?;
        }
        // Whoever opens the store next gets it with the new settings.
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let name: DatastoreName = request.params.require("name")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    let how = RemoveDatastore {
        keeps_job_configs: request.params.boolean_or_default("keep-job-configs"),
        destroys_data: request.params.boolean_or_default("destroy-data"),
    };
    let (server, remover, store) = (Arc::clone(&app), caller.clone(), name.clone());
    blocking(move || {
        let acl = server.acl()?;
        match prepare_removal(&server, &acl, &remover, &store, digest, how) {
            Err(error @ DatastoreJobError::Unknown { .. }) => Err(ApiError::not_found(error.to_string())),
            other => Ok::<_, ApiError>(other?),
        }
    })
    .await?;
    Ok(Reply::value(remove_datastore(&app, &caller, &name, how).await?.to_string()))
}
