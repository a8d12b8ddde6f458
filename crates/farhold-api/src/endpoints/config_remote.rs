//! `/config/remote`: the servers we sync with. Source: `docs/spec/rest-api.md` 6, `docs/spec/sync.md` 1.

use std::sync::Arc;

use farhold_client::ClientError;
use farhold_jobs::App;
use farhold_jobs::remotes::{RemoteClientError, remote_client};
use farhold_rules::acl::AclPath;
use farhold_settings::{RemoteConfig, SettingsError, StoredSecret};
use farhold_types::{DatastoreName, Digest, Namespace, Privileges, RateLimits, RemoteName, Secret};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::errors::taken;
use super::{blocking, trimmed};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named, shapes};

const NAME: Param = named::REMOTE_ID.named("name").is_required();
const DELETABLE: ParamKind =
    ParamKind::Enumeration { values: &["comment", "fingerprint", "port", "use-node-proxy"], strict: true };
const USE_NODE_PROXY: Param = named::flag("use-node-proxy", "Connect through the proxy of the node's settings")
    .or_default(DefaultValue::Boolean(false));
const SETTINGS: [Param; 7] = [
    named::HOST,
    named::PORT,
    named::AUTH_ID.described("User ID or API token ID to log in with at the remote"),
    named::PASSWORD,
    named::FINGERPRINT,
    named::COMMENT,
    USE_NODE_PROXY,
];

const ON_REMOTE_AUDIT: Access = Access::Declared(Need::all(Privileges::REMOTE_AUDIT, "/remote/{name}"));
const ON_REMOTE_MODIFY: Access = Access::Declared(Need::all(Privileges::REMOTE_MODIFY, "/remote/{name}"));

const REMOTE: Shape = Shape::Object(&[
    Field::required("name", Shape::Text("name of a remote"), "Name of the remote"),
    Field::required("host", Shape::Text("host name or address"), "Where it is"),
    Field::optional("port", Shape::Integer, "Its port; 8007 if absent"),
    Field::required("auth-id", shapes::AUTHID, "Whom we log in as"),
    Field::optional("fingerprint", shapes::FINGERPRINT, "Fingerprint of its certificate"),
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("use-node-proxy", Shape::Boolean, "Whether we connect through the proxy of the node's settings"),
]);
/// As the remote says it; words of later versions are passed on.
const REMOTE_STORES: Shape = Shape::List(&Shape::Object(&[
    Field::required("store", shapes::STORE, "Name of the datastore"),
    Field::required("comment", Shape::Nullable(&shapes::TEXT), "Comment"),
    Field::optional("mount-status", shapes::TEXT, "Whether its device is mounted"),
    Field::optional("maintenance", shapes::TEXT, "Its maintenance mode"),
    Field::optional("backend-type", shapes::TEXT, "Kind of its storage"),
]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    let required = |param: Param| match param.name {
        "host" | "auth-id" | "password" => param.is_required(),
        _ => param,
    };
    vec![
        Endpoint::get("/config/remote", "List remotes", list)
            .access(Access::InHandler("Remotes on which the caller has Remote.Audit"))
            .returns(Shape::List(&REMOTE))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/config/remote", "Create a remote", create)
            .params(&[NAME])
            .params(&SETTINGS.map(required))
            .access(Access::Declared(Need::all(Privileges::REMOTE_MODIFY, "/remote")))
            .returns(Shape::Null),
        Endpoint::get("/config/remote/{name}", "Show a remote", read)
            .params(&[NAME])
            .access(ON_REMOTE_AUDIT)
            .returns(REMOTE)
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/config/remote/{name}", "Change a remote", update)
            .params(&[NAME])
            .params(&SETTINGS)
            .params(&[named::delete(&DELETABLE), named::DIGEST])
            .access(ON_REMOTE_MODIFY)
            .returns(Shape::Null),
        Endpoint::delete("/config/remote/{name}", "Remove a remote", remove)
            .params(&[NAME, named::DIGEST])
            .access(ON_REMOTE_MODIFY)
            .returns(Shape::Null),
        Endpoint::get("/config/remote/{name}/scan", "List the datastores of a remote", scan_stores)
            .params(&[NAME])
            .access(ON_REMOTE_AUDIT)
            .returns(REMOTE_STORES)
            .fails_with(&[500]),
        Endpoint::get("/config/remote/{name}/scan/{store}/namespaces", "List namespaces of a remote", scan_namespaces)
            .params(&[NAME, named::STORE])
            .access(ON_REMOTE_AUDIT)
            .returns(Shape::List(&shapes::NAMESPACE_ITEM))
            .fails_with(&[500]),
        Endpoint::get("/config/remote/{name}/scan/{store}/groups", "List backup groups of a remote", scan_groups)
            .params(&[NAME, named::STORE, named::NS.named("namespace")])
            .access(ON_REMOTE_AUDIT)
            .returns(Shape::List(&shapes::GROUP_ITEM))
            .fails_with(&[500]),
    ]
}

/// Returns what callers may see of a remote: everything but its password.
fn item(remote: &RemoteConfig) -> Value {
    let mut item = Map::new();
    item.insert("name".to_owned(), json!(remote.name));
    item.insert("host".to_owned(), json!(remote.host));
    item.insert("auth-id".to_owned(), json!(remote.auth_id));
    let optional = [
        ("port", remote.port.map(Value::from)),
        ("fingerprint", remote.fingerprint.clone().map(Value::from)),
        ("comment", remote.comment.as_ref().map(|comment| Value::from(comment.trim()))),
        ("use-node-proxy", remote.use_node_proxy.map(Value::from)),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(item)
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let loaded = app.settings.remotes().load()?;
        let acl = app.acl()?;
        let may_see = |remote: &&RemoteConfig| {
            acl.require_all(&caller, &AclPath::remote(&remote.name), Privileges::REMOTE_AUDIT).is_ok()
        };
        let items: Vec<Value> = loaded.entries.all()?.into_iter().filter(may_see).map(item).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: RemoteName = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.remotes().load()?;
        let remote = loaded.entries.get(name.as_str())?.ok_or_else(|| unknown(&name))?;
        Ok::<_, ApiError>(Reply::value(item(remote)).with_digest(&loaded.digest))
    })
    .await
}

fn unknown(name: &RemoteName) -> ApiError {
    ApiError::bad_request(format!("no such remote '{name}'"))
}

/// Returns the port that the caller gave.
pub fn port(params: &Params) -> Result<Option<u16>, ApiError> {
    let out_of_range = |_| ApiError::bad_request("port must be between 0 and 65535");
    params.integer("port").map(|port| u16::try_from(port).map_err(out_of_range)).transpose()
}

fn stored_secret(params: &Params) -> Option<StoredSecret> {
    params.text("password").map(|password| StoredSecret::encode(&Secret::new(password)))
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let missing = || ApiError::bad_request("a required parameter is missing");
    let remote = RemoteConfig {
        name: params.require("name")?,
        host: params.text("host").ok_or_else(missing)?.to_owned(),
        port: port(&params)?,
        auth_id: params.require("auth-id")?,
        password: stored_secret(&params).ok_or_else(missing)?,
        fingerprint: params.text("fingerprint").map(str::to_owned),
        // The file format cannot keep blanks at the ends.
        comment: params.text("comment").map(|comment| comment.trim().to_owned()),
        use_node_proxy: params.boolean("use-node-proxy"),
    };
    blocking(move || {
        let what = format!("remote '{}'", remote.name);
        app.settings.remotes().edit(None, |remotes| remotes.insert(remote).map_err(taken("name", what)))?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: RemoteName = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    let port = port(&params)?;
    blocking(move || {
        app.settings.remotes().edit(digest, |remotes| {
            let mut remote = remotes.get(name.as_str())?.ok_or_else(|| unknown(&name))?.clone();
            for field in params.texts("delete").unwrap_or_default() {
                match field {
                    "comment" => remote.comment = None,
                    "fingerprint" => remote.fingerprint = None,
                    "port" => remote.port = None,
                    "use-node-proxy" => remote.use_node_proxy = None,
                    other => return Err(ApiError::parameter("delete", format!("'{other}' cannot be deleted"))),
                }
            }
            if let Some(comment) = params.text("comment") {
                remote.comment = trimmed(comment);
            }
            if let Some(host) = params.text("host") {
                remote.host = host.to_owned();
            }
            if let Some(auth_id) = params.parse("auth-id")? {
                remote.auth_id = auth_id;
            }
            if let Some(fingerprint) = params.text("fingerprint") {
                remote.fingerprint = Some(fingerprint.to_owned());
            }
            remote.port = port.or(remote.port);
            remote.password = stored_secret(&params).unwrap_or(remote.password);
            remote.use_node_proxy = params.boolean("use-node-proxy").or(remote.use_node_proxy);
            remotes.update(remote)?;
            Ok(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: RemoteName = request.params.require("name")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || match app.settings.remove_remote(&name, digest) {
        Ok(_) => Ok(Reply::null()),
        Err(SettingsError::NotFound { .. }) => Err(ApiError::not_found(format!("no such remote '{name}'"))),
        Err(error @ SettingsError::InUse { .. }) => Err(ApiError::parameter("name", error.to_string())),
        Err(error) => Err(error.into()),
    })
    .await
}

/// Returns a client for the remote that a scan names.
async fn client(app: Arc<App>, params: &Params) -> Result<farhold_client::Client, ApiError> {
    let name: RemoteName = params.require("name")?;
    blocking(move || remote_client(&app, &name, &RateLimits::default()).map(|(client, _)| client)).await
}

/// A connection, login or remote error is a 500 with its cause; an answer that makes no sense is a 400.
fn scan_failed(name: Option<&str>, error: &ClientError) -> ApiError {
    let status = match error {
        ClientError::Protocol { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let hint = error.hint().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    let chain = ApiError::from_chain(error);
    let name = name.unwrap_or_default();
    ApiError::new(status, format!("remote '{name}': {}{hint}", chain.text()))
}

async fn scan_stores(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let client = client(app, &request.params).await?;
    let stores = client.datastores().await.map_err(|e| scan_failed(request.params.text("name"), &e))?;
    Reply::json(&stores.items)
}

async fn scan_namespaces(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store: DatastoreName = request.params.require("store")?;
    let client = client(app, &request.params).await?;
    let namespaces = client.namespaces(&store, &Namespace::root(), None).await;
    Reply::json(&namespaces.map_err(|e| scan_failed(request.params.text("name"), &e))?.items)
}

async fn scan_groups(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let store: DatastoreName = request.params.require("store")?;
    let ns: Namespace = request.params.parse("namespace")?.unwrap_or_default();
    let client = client(app, &request.params).await?;
    let groups = client.groups(&store, &ns).await;
    Reply::json(&groups.map_err(|e| scan_failed(request.params.text("name"), &e))?.items)
}

impl From<RemoteClientError> for ApiError {
    fn from(error: RemoteClientError) -> Self {
        Self::from_chain(&error)
    }
}
