//! A small server for the replay tests: a few endpoints with the reference's schemas over values in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use farhold_api::declare::{
    Access, AuthFailure, Body, CallHead, ConnectionInfo, Context, Denied, Endpoint, Need, Quantity, Reply, Request,
    full_body,
};
use farhold_api::schema::{DefaultValue, Param, ParamKind, named};
use farhold_api::{ApiError, Router};
use farhold_types::{Authid, Privileges};
use futures::future::{BoxFuture, FutureExt};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

/// Credentials that the scene accepts; everything else fails.
pub const ADMIN: &str = "admin@pbs!full";
pub const NOBODY: &str = "nobody@pbs!t1";

#[derive(Default)]
pub struct Scene {
    rules: Mutex<BTreeMap<String, Map<String, Value>>>,
}

impl Context for Scene {
    type Granted = Authid;

    fn authenticate<'a>(&'a self, head: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>> {
        let text = head.headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("");
        let known = [ADMIN, NOBODY].contains(&text);
        let caller = if known { text.parse().ok() } else { None };
        async move { caller.ok_or_else(|| AuthFailure { reason: "unknown".to_owned() }) }.boxed()
    }

    fn require<'a>(
        &'a self,
        caller: &'a Authid,
        path: &'a str,
        _privileges: Privileges,
        _quantity: Quantity,
    ) -> BoxFuture<'a, Result<Authid, Denied>> {
        let granted = caller.to_string() == ADMIN;
        async move { if granted { Ok(caller.clone()) } else { Err(Denied { reason: path.to_owned() }) } }.boxed()
    }
}

type Answered = Result<Reply, ApiError>;

async fn version(_: Arc<Scene>, _: Request<Scene>) -> Answered {
    Ok(Reply::value(json!({"version": "4.2", "release": "1", "repoid": "x"})))
}

async fn ping(_: Arc<Scene>, _: Request<Scene>) -> Answered {
    Ok(Reply::value(json!({"pong": true})))
}

async fn nothing(_: Arc<Scene>, _: Request<Scene>) -> Answered {
    Ok(Reply::null())
}

async fn empty_list(_: Arc<Scene>, request: Request<Scene>) -> Answered {
    if request.params.text("store").is_some_and(|store| store.starts_with("no")) {
        return Err(ApiError::bad_request("no such datastore"));
    }
    if request.params.text("ns") == Some("nope") || request.params.text("parent") == Some("zz/y") {
        return Err(ApiError::bad_request("no such namespace"));
    }
    Ok(Reply::value(json!([])).with_total(0))
}

async fn create_rule(scene: Arc<Scene>, request: Request<Scene>) -> Answered {
    let name = request.params.text("name").unwrap_or("").to_owned();
    let mut rules = scene.rules.lock().unwrap();
    if rules.contains_key(&name) {
        return Err(ApiError::parameter("name", "rule exists"));
    }
    rules.insert(name, request.params.as_object().clone());
    Ok(Reply::null())
}

async fn read_rule(scene: Arc<Scene>, request: Request<Scene>) -> Answered {
    let rules = scene.rules.lock().unwrap();
    let rule = rules.get(request.params.text("name").unwrap_or(""));
    rule.map(|r| Reply::value(r.clone())).ok_or_else(|| ApiError::bad_request("no such rule"))
}

async fn update_rule(scene: Arc<Scene>, request: Request<Scene>) -> Answered {
    let mut rules = scene.rules.lock().unwrap();
    let rule = rules.get_mut(request.params.text("name").unwrap_or(""));
    let rule = rule.ok_or_else(|| ApiError::bad_request("no such rule"))?;
    for name in request.params.texts("delete").unwrap_or_default() {
        rule.remove(name);
    }
    for (name, value) in request.params.as_object().iter().filter(|(name, _)| *name != "delete") {
        rule.insert(name.clone(), value.clone());
    }
    Ok(Reply::null())
}

async fn delete_rule(scene: Arc<Scene>, request: Request<Scene>) -> Answered {
    if request.params.has("digest") {
        return Err(ApiError::bad_request("configuration changed meanwhile"));
    }
    let removed = scene.rules.lock().unwrap().remove(request.params.text("name").unwrap_or(""));
    removed.map(|_| Reply::null()).ok_or_else(|| ApiError::not_found("no such rule"))
}

fn network(text: &str) -> Result<(), String> {
    let well_formed = text.split_once('/').is_some_and(|(a, p)| {
        a.parse::<std::net::IpAddr>().is_ok() && !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())
    });
    if well_formed { Ok(()) } else { Err("value is no network".to_owned()) }
}

const NETWORK: ParamKind =
    ParamKind::Text { min_length: 1, max_length: Some(43), check: Some(network), hint: "<string>" };
const DELETABLE: ParamKind = ParamKind::Enumeration {
    values: &["rate-in", "burst-in", "rate-out", "burst-out", "comment", "timeframe", "users"],
    strict: true,
};
const RULE_NAME: Param = named::JOB_ID.named("name");

fn rule_fields() -> Vec<Param> {
    vec![
        Param::optional("network", ParamKind::List(&NETWORK), "Networks"),
        Param::optional("timeframe", ParamKind::List(&named::ANY_TEXT), "Time frames"),
        Param::optional("users", ParamKind::List(&named::ANY_TEXT), "Users"),
        named::COMMENT,
        named::RATE_IN,
        named::RATE_OUT,
        named::BURST_IN,
        named::BURST_OUT,
    ]
}

pub fn router() -> Router<Scene> {
    let audit = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/traffic-control"));
    let expire = Param::optional("expire", ParamKind::Integer { min: Some(0), max: None }, "When the account ends");
    let debug = named::flag("debug", "Verbose").or_default(DefaultValue::Boolean(false));
    let mut create = rule_fields();
    create[0] = create[0].is_required();
    create.push(RULE_NAME);
    let mut update = rule_fields();
    update.extend([RULE_NAME, named::DIGEST, named::delete(&DELETABLE)]);
    let endpoints = vec![
        Endpoint::get("/version", "Show the version", version),
        Endpoint::get("/ping", "Check whether the server answers", ping).access(Access::World),
        Endpoint::get("/access/users", "List users", empty_list),
        Endpoint::get("/access/users/{userid}", "Read a user", nothing).params(&[named::USERID]),
        Endpoint::put("/access/users/{userid}", "Update a user", nothing).params(&[
            named::USERID,
            named::flag("enable", "Enable the account"),
            expire,
            named::COMMENT,
        ]),
        Endpoint::get("/admin/datastore/{store}/groups", "List groups", empty_list).params(&[named::STORE, named::NS]),
        Endpoint::get("/admin/datastore/{store}/snapshots", "List snapshots", empty_list).params(&[
            named::STORE,
            named::NS,
            named::BACKUP_TYPE.is_optional(),
            named::BACKUP_ID.is_optional(),
        ]),
        Endpoint::get("/admin/datastore/{store}/files", "List files", empty_list).params(&[
            named::STORE,
            named::NS,
            named::BACKUP_TYPE,
            named::BACKUP_ID,
            named::BACKUP_TIME,
        ]),
        Endpoint::get("/admin/datastore/{store}/namespace", "List namespaces", empty_list).params(&[
            named::STORE,
            named::NS.named("parent"),
            named::MAX_DEPTH,
        ]),
        Endpoint::post("/admin/datastore/{store}/namespace", "Create a namespace", empty_list).params(&[
            named::STORE,
            named::NS.named("parent"),
            named::FILE_NAME.named("name"),
        ]),
        Endpoint::delete("/admin/datastore/{store}/namespace", "Remove a namespace", empty_list).params(&[
            named::STORE,
            named::NS.is_required(),
            named::flag("delete-groups", "Remove groups too"),
        ]),
        Endpoint::get("/nodes/{node}/tasks", "List tasks", empty_list).params(&[
            named::NODE,
            named::START,
            named::LIMIT,
            named::STATUS_FILTER,
            named::flag("running", "Only running ones"),
            named::flag("errors", "Only failed ones"),
            Param::optional("typefilter", named::ANY_TEXT, "Part of the type"),
        ]),
        Endpoint::post("/config/remote", "Create a remote", nothing).params(&[
            named::REMOTE_ID.named("name").is_required(),
            named::HOST.is_required(),
            named::AUTH_ID.is_required(),
            named::PASSWORD.is_required(),
            named::PORT,
            debug,
        ]),
        Endpoint::get("/config/traffic-control", "List rules", empty_list).access(audit),
        Endpoint::post("/config/traffic-control", "Create a rule", create_rule).params(&create).access(audit),
        Endpoint::get("/config/traffic-control/{name}", "Read a rule", read_rule).params(&[RULE_NAME]),
        Endpoint::put("/config/traffic-control/{name}", "Update a rule", update_rule).params(&update),
        Endpoint::delete("/config/traffic-control/{name}", "Remove a rule", delete_rule)
            .params(&[RULE_NAME, named::DIGEST]),
    ];
    Router::new(Arc::new(Scene::default()), endpoints).unwrap()
}

/// What came back.
pub struct Received {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends one request through the dispatcher.
pub async fn send(
    router: &Router<Scene>,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Received {
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request: http::Request<Body> = request.body(full_body(body.into())).unwrap();
    let response = router.dispatch(request, ConnectionInfo { peer: None, trusted: None }).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Received { status: parts.status.as_u16(), headers: parts.headers, body }
}
