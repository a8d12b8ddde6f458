//! `/access/domains`, and `/access/tfa` of a server on which nobody has a second factor.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_settings::RealmConfig;
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::SELF_OR_MODIFY;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Shape, named, shapes};

const REALMS: Shape = Shape::List(&Shape::Object(&[
    Field::required("realm", Shape::Text("realm"), "Name of the realm"),
    Field::required("type", Shape::Word(&["pam", "pbs", "openid", "ldap", "ad"]), "Kind of the realm"),
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("default", Shape::Boolean, "Whether logins offer it first"),
]));
const FACTOR: &[Field] = &[
    Field::required("type", Shape::Word(&["totp", "u2f", "webauthn", "recovery", "yubico"]), "Kind of the factor"),
    Field::required("id", Shape::Text("ID"), "Names it among the factors of the user"),
    Field::optional("description", shapes::TEXT, "What it is"),
    Field::required("created", shapes::EPOCH, "When it was added"),
    Field::optional("enable", Shape::Boolean, "Whether it counts; true if absent"),
];
const FACTORS: Shape = Shape::List(&Shape::Object(FACTOR));
const USERS: Shape = Shape::List(&Shape::Object(&[
    Field::required("userid", shapes::USERID, "The user"),
    Field::required("entries", FACTORS, "Second factors of the user"),
    Field::optional("totp-locked", Shape::Boolean, "Whether one-time passwords are locked"),
    Field::optional("tfa-locked-until", shapes::EPOCH, "Until when all factors are locked"),
]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/domains", "List authentication realms", list)
            .access(Access::World)
            .returns(REALMS)
            .attributes(CONFIG_DIGEST),
        Endpoint::get("/access/tfa", "List users with a second factor", no_factors).returns(USERS),
        Endpoint::get("/access/tfa/{userid}", "List the second factors of a user", no_factors)
            .params(&[named::USERID])
            .access(SELF_OR_MODIFY)
            .returns(FACTORS),
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
