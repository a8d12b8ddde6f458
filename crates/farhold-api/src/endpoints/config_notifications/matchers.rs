//! Matchers: which notifications go to which targets.

use std::sync::Arc;

use farhold_format::section_config::Section;
use farhold_jobs::App;
use farhold_settings::{Entries, Notifications};
use farhold_types::Digest;
use serde_json::{Map, Value, json};

use super::fields::{MATCHER, MATCHER_DELETABLE, MATCHER_FIELDS, NAME};
use super::{AUDIT, MODIFY, check_free, find};
use crate::declare::{CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::section_fields::{Purpose, members, reset_deleted, set_given};
use crate::error::ApiError;
use crate::schema::{Field, Shape, named, shapes};

const KIND: &str = "matcher";

/// The fields of events that rules may name. Source: `docs/spec/rest-api.md` 11.
const EVENT_FIELDS: [&str; 5] = ["datastore", "hostname", "job-id", "media-pool", "type"];
/// The types of events, those of the reference product too. Source: `docs/spec/rest-api.md` 11.
const EVENT_TYPES: [&str; 10] = [
    "acme",
    "gc",
    "package-updates",
    "prune",
    "sync",
    "system-mail",
    "tape-backup",
    "tape-load",
    "thresholds",
    "verify",
];

const FIELDS_SHAPE: Shape = Shape::List(&Shape::Object(&[Field::required("name", shapes::TEXT, "Name of the field")]));
const VALUES_SHAPE: Shape = Shape::List(&Shape::Object(&[
    Field::required("field", shapes::TEXT, "Name of the field"),
    Field::required("value", shapes::TEXT, "A value it may have"),
    Field::required("comment", Shape::Nullable(&shapes::TEXT), "Comment of what has this name"),
]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/config/notifications/matchers", "List notification matchers", list)
            .access(AUDIT)
            .returns(Shape::List(&MATCHER)),
        Endpoint::post("/config/notifications/matchers", "Create a notification matcher", create)
            .params(&[NAME])
            .params(&MATCHER_FIELDS)
            .access(MODIFY)
            .returns(Shape::Null)
            .fails_with(&[404]),
        Endpoint::get("/config/notifications/matchers/{name}", "Show a notification matcher", read)
            .params(&[NAME])
            .access(AUDIT)
            .returns(MATCHER)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/config/notifications/matchers/{name}", "Change a notification matcher", update)
            .params(&[NAME])
            .params(&MATCHER_FIELDS)
            .params(&[named::delete(&MATCHER_DELETABLE), named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::delete("/config/notifications/matchers/{name}", "Remove a notification matcher", remove)
            .params(&[NAME])
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::get("/config/notifications/matcher-fields", "List the fields that events have", event_fields)
            .access(AUDIT)
            .returns(FIELDS_SHAPE),
        Endpoint::get("/config/notifications/matcher-field-values", "List values of fields of events", event_values)
            .access(AUDIT)
            .returns(VALUES_SHAPE),
    ]
}

fn item(section: &Section) -> Map<String, Value> {
    let mut item = members(section, &MATCHER_FIELDS);
    item.insert("name".to_owned(), section.id().into());
    item.insert("origin".to_owned(), Notifications::origin(section).as_str().into());
    item
}

async fn list(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.notifications().load()?;
        let matchers = loaded.entries.all()?.into_iter().filter(|section| section.section_type() == KIND);
        let items: Vec<Value> = matchers.map(|section| item(section).into()).collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.notifications().load()?;
        Ok::<_, ApiError>(Reply::value(item(find(&loaded.entries, &name, KIND)?)).with_digest(&loaded.digest))
    })
    .await
}

/// Checks that all targets of a matcher exist.
fn check_targets(entries: &Entries<Notifications>, matcher: &Section) -> Result<(), ApiError> {
    let is_target = |name: &str| entries.section(name).is_some_and(|section| section.section_type() != KIND);
    match matcher.list("target").iter().find(|target| !is_target(target)) {
        Some(target) => Err(ApiError::not_found(format!("no such target '{target}'"))),
        None => Ok(()),
    }
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    let mut matcher = Section::new(KIND, name.clone());
    set_given(&mut matcher, &MATCHER_FIELDS, &request.params, Purpose::Create);
    blocking(move || {
        app.settings.notifications().edit(None, |entries| {
            check_free(entries, &name)?;
            check_targets(entries, &matcher)?;
            entries.insert(matcher)?;
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: String = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    blocking(move || {
        app.settings.notifications().edit(digest, |entries| {
            let mut matcher = find(entries, &name, KIND)?.clone();
            reset_deleted(&mut matcher, &params);
            set_given(&mut matcher, &MATCHER_FIELDS, &params, Purpose::Update);
            if params.has("target") {
                check_targets(entries, &matcher)?;
            }
            entries.update(matcher)?;
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Removes a matcher; one that is always there becomes what it was.
async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    blocking(move || {
        app.settings.notifications().edit(None, |entries| {
            find(entries, &name, KIND)?;
            entries.remove(&name);
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn event_fields(_: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(EVENT_FIELDS.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()))
}

async fn event_values(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let mut values: Vec<Value> = Vec::new();
        let mut add = |field: &str, value: &str, comment: Option<&str>| {
            values.push(json!({ "field": field, "value": value, "comment": comment }));
        };
        for store in app.settings.datastores().load()?.entries.usable() {
            add("datastore", store.name.as_str(), store.comment.as_deref());
        }
        add("hostname", &app.node.name, None);
        for job in app.settings.prune_jobs().load()?.entries.usable() {
            add("job-id", job.id.as_str(), job.comment.as_deref());
        }
        for job in app.settings.sync_jobs().load()?.entries.usable() {
            add("job-id", job.id.as_str(), job.comment.as_deref());
        }
        for job in app.settings.verify_jobs().load()?.entries.usable() {
            add("job-id", job.id.as_str(), job.comment.as_deref());
        }
        EVENT_TYPES.iter().for_each(|event| add("type", event, None));
        Ok::<_, ApiError>(Reply::value(values))
    })
    .await
}
