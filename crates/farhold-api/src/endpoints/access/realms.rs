//! `/access/domains`, and `/access/tfa` of a server on which nobody has a second factor.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_settings::RealmConfig;
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::SELF_OR_MODIFY;
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::named;

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/domains", "List authentication realms", list).access(Access::World),
        Endpoint::get("/access/tfa", "List users with a second factor", no_factors),
        Endpoint::get("/access/tfa/{userid}", "List the second factors of a user", no_factors)
            .params(&[named::USERID])
            .access(SELF_OR_MODIFY),
    ]
}

fn item(realm: &RealmConfig) -> Value {
    let mut item = Map::new();
    item.insert("realm".to_owned(), json!(realm.realm));
    item.insert("type".to_owned(), json!(realm.kind.as_str()));
    let optional = [
        ("comment", realm.comment.as_ref().map(|text| Value::from(text.trim()))),
        ("default", realm.default.map(Value::from)),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(item)
}

async fn list(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.realms().load()?;
        let items: Vec<Value> = loaded.entries.all()?.into_iter().map(item).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn no_factors(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(Vec::<Value>::new()))
}
