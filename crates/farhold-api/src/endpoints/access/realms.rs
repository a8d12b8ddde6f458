//! `/access/domains`: the realms, for whoever is about to log in.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_settings::RealmConfig;
use farhold_types::Realm;
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::USERS_MODIFY;
use crate::declare::{Access, Answer, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, Shape, named, shapes};

/// What every realm has.
pub(super) const REALM: &[Field] = &[
    Field::required("realm", Shape::Text("realm"), "Name of the realm"),
    Field::required("type", Shape::Word(&["pam", "pbs", "openid", "ldap", "ad"]), "Kind of the realm"),
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("default", Shape::Boolean, "Whether logins offer it first"),
];
const REMOVE_VANISHED: Param =
    Param::optional("remove-vanished", named::ANY_TEXT, "What goes with users that are not found any more");

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/domains", "List authentication realms", list)
            .access(Access::World)
            .returns(Shape::List(&Shape::Object(REALM)))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/access/domains/{realm}/sync", "Synchronise users and groups of a realm", synchronise)
            .params(&[named::REALM.is_required(), named::flag("dry-run", "Change nothing")])
            .params(&[named::flag("enable-new", "Enable new users"), REMOVE_VANISHED])
            .access(Access::Declared(USERS_MODIFY))
            .answer(Answer::Task)
            .returns(shapes::UPID),
    ]
}

/// Returns what every realm shows.
pub(super) fn item(realm: &RealmConfig) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert("realm".to_owned(), json!(realm.realm));
    item.insert("type".to_owned(), json!(realm.kind.as_str()));
    let optional = [
        ("comment", realm.comment.as_ref().map(|text| Value::from(text.trim()))),
        ("default", realm.default.map(Value::from)),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

async fn list(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.realms().load()?;
        let items: Vec<Value> = loaded.entries.all()?.into_iter().map(|realm| Value::Object(item(realm))).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn synchronise(_app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let realm: Realm = request.params.require("realm")?;
    Err(ApiError::bad_request(format!("realm '{realm}': this server synchronises no users from directories")))
}
