//! `/config/access`: settings of the realms, and those of WebAuthn.
//!
//! The built-in realms can be changed. Those of LDAP, Active Directory and OpenID are shown as the file has them, without
//! secrets; this server refuses logins there and keeps the sections.
//!
//! Source: `docs/spec/rest-api.md` 11, `docs/spec/config-and-access.md` 3.12.

use std::sync::Arc;

use farhold_access::RealmEdit;
use farhold_jobs::App;
use farhold_settings::{RealmConfig, RealmKind};
use farhold_types::{Digest, Privileges};
use serde_json::{Map, Value};

use super::super::blocking;
use super::{owned, realms};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

const AUDIT: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/access/domains"));
const ALLOCATE: Access = Access::Declared(Need::all(Privileges::REALM_ALLOCATE, "/access/domains"));
const DELETABLE: ParamKind = ParamKind::Enumeration { values: &["comment", "default"], strict: true };
const CHANGES: [Param; 4] = [
    named::COMMENT,
    named::flag("default", "Whether logins offer it first; others then do not"),
    named::delete(&DELETABLE),
    named::DIGEST,
];

const REALM: Shape = Shape::Object(realms::REALM);
const DIRECTORY: &[Field] = &[
    Field::required("server1", Shape::Text("host"), "Server"),
    Field::optional("server2", Shape::Text("host"), "Server if the first does not answer"),
    Field::optional("base-dn", Shape::Text("LDAP name"), "Where users are looked for"),
    Field::optional("port", Shape::Integer, "TCP port"),
    Field::optional("mode", Shape::Word(&["ldap", "ldap+starttls", "ldaps"]), "How the connection is protected"),
    Field::optional("verify", Shape::Boolean, "Whether the server's certificate is verified"),
    Field::optional("capath", Shape::Text("path"), "Certificates that are trusted"),
    Field::optional("bind-dn", Shape::Text("LDAP name"), "Who asks for users"),
    Field::optional("filter", Shape::Text("LDAP filter"), "Which entries are users"),
    Field::optional("user-classes", shapes::TEXT, "Classes of users"),
    Field::optional("sync-attributes", shapes::PROPERTY_STRING, "Which attributes become which members of a user"),
    Field::optional("sync-defaults-options", shapes::PROPERTY_STRING, "How users are synchronised"),
];
const LDAP: &[Field] = &[Field::required("user-attr", shapes::TEXT, "Attribute that holds the user's name")];
/// Without `client-key`, which is a secret.
const OPENID: &[Field] = &[
    Field::required("issuer-url", Shape::Text("URL"), "The provider"),
    Field::required("client-id", shapes::TEXT, "Name of this server at the provider"),
    Field::optional("scopes", shapes::TEXT, "What the provider is asked about users"),
    Field::optional("acr-values", shapes::TEXT, "How the provider should authenticate"),
    Field::optional("audiences", shapes::TEXT, "For whom tokens may be"),
    Field::optional("prompt", shapes::TEXT, "Whether the provider asks users"),
    Field::optional("autocreate", Shape::Boolean, "Whether unknown users are created"),
    Field::optional("username-claim", shapes::TEXT, "Which claim is the user's name"),
];
const AD_REALM: Shape = Shape::Joined(&[realms::REALM, DIRECTORY]);
const LDAP_REALM: Shape = Shape::Joined(&[realms::REALM, DIRECTORY, LDAP]);
const OPENID_REALM: Shape = Shape::Joined(&[realms::REALM, OPENID]);
const WEBAUTHN: Shape = Shape::Object(&[
    Field::optional("rp", shapes::TEXT, "Name of the site"),
    Field::optional("origin", Shape::Text("URL"), "Address of the site"),
    Field::optional("id", Shape::Text("domain"), "Domain of the site"),
    Field::optional("allow-subdomains", Shape::Boolean, "Whether it counts for domains below"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    let read = |path, summary, kind: RealmKind| {
        let read = move |app: Arc<App>, _: Request<App>| read(app, kind);
        Endpoint::get(path, summary, read).access(AUDIT).returns(REALM).attributes(CONFIG_DIGEST)
    };
    let change = |path, summary, kind: RealmKind| {
        let update = move |app: Arc<App>, request: Request<App>| update(app, request, kind);
        Endpoint::put(path, summary, update).params(&CHANGES).access(ALLOCATE).returns(Shape::Null)
    };
    let list = |path, summary, kind: RealmKind, shape: &'static Shape| {
        let list = move |app: Arc<App>, _: Request<App>| list(app, kind, shape);
        Endpoint::get(path, summary, list).access(AUDIT).returns(Shape::List(shape)).attributes(CONFIG_DIGEST)
    };
    vec![
        list("/config/access/ad", "List realms of Active Directory", RealmKind::Ad, &AD_REALM),
        list("/config/access/ldap", "List realms of LDAP", RealmKind::Ldap, &LDAP_REALM),
        list("/config/access/openid", "List realms of OpenID Connect", RealmKind::Openid, &OPENID_REALM),
        read("/config/access/pam", "Show the realm of system accounts", RealmKind::Pam),
        change("/config/access/pam", "Change the realm of system accounts", RealmKind::Pam),
        read("/config/access/pbs", "Show the realm of own accounts", RealmKind::Pbs),
        change("/config/access/pbs", "Change the realm of own accounts", RealmKind::Pbs),
        Endpoint::get("/config/access/tfa/webauthn", "Show the settings of WebAuthn", webauthn)
            .returns(Shape::Nullable(&WEBAUTHN)),
    ]
}

async fn read(app: Arc<App>, kind: RealmKind) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.realms().load()?;
        let realm = loaded.entries.require(kind.as_str())?;
        Ok::<_, ApiError>(Reply::value(realms::item(realm)).with_digest(&loaded.digest))
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>, kind: RealmKind) -> Result<Reply, ApiError> {
    let params = request.params;
    let digest: Option<Digest> = params.parse("digest")?;
    let edit = RealmEdit {
        delete: params.texts("delete").unwrap_or_default().into_iter().map(str::to_owned).collect(),
        comment: owned(&params, "comment"),
        default: params.boolean("default"),
    };
    blocking(move || app.access.update_realm(kind, edit, digest)).await?;
    Ok(Reply::null())
}

async fn list(app: Arc<App>, kind: RealmKind, shape: &'static Shape) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.realms().load()?;
        let of_kind = loaded.entries.all()?.into_iter().filter(|realm| realm.kind == kind);
        let items: Vec<Value> = of_kind
            .map(|realm| {
                let section = loaded.entries.section(realm.realm.as_str());
                let value = |name: &str| section.and_then(|section| section.get(name)).map(str::to_owned);
                Value::Object(item(realm, shape, value))
            })
            .collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

/// Returns the members that are declared, as far as the section has them.
fn item(realm: &RealmConfig, shape: &Shape, value: impl Fn(&str) -> Option<String>) -> Map<String, Value> {
    let mut item = realms::item(realm);
    for field in shape.fields().filter(|field| realms::REALM.iter().all(|common| common.name != field.name)) {
        let Some(text) = value(field.name) else { continue };
        let value = match field.shape {
            Shape::Boolean => Value::from(text == "true"),
            Shape::Integer => text.parse::<i64>().map_or(Value::Null, Value::from),
            _ => Value::from(text),
        };
        item.insert(field.name.to_owned(), value);
    }
    item
}

async fn webauthn(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.second_factors().load()?;
        let known = loaded.entries.webauthn().map(|settings| {
            let declared = settings.iter().filter(|(name, value)| {
                WEBAUTHN.fields().any(|field| field.name == *name && field.shape.check(value, "").is_ok())
            });
            declared.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<String, Value>>()
        });
        Ok::<_, ApiError>(known.map_or_else(Reply::null, Reply::value))
    })
    .await
}
