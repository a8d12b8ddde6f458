//! The server under test in the recordings' base state, and the comparison of answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use farhold_api::declare::{Body, ConnectionInfo, full_body};
use farhold_api::{Router, endpoints};
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_settings::{SettingsError, TokenConfig, UserConfig, UserEntry, Validity};
use farhold_types::{Authid, Userid};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

/// One recorded exchange.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    pub seq: u32,
    #[serde(rename = "as")]
    pub caller: String,
    pub method: String,
    pub path: String,
    pub content_type: Option<String>,
    pub body: Option<Value>,
    pub server: Option<String>,
    pub status: u16,
    pub response: Value,
    pub note: Option<String>,
}

impl Exchange {
    /// Returns whether the recording holds only a part of the answer.
    pub fn is_cut(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.contains("truncated"))
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

/// Returns the exchanges of an area in order.
pub fn exchanges(area: &str) -> Vec<Exchange> {
    let text = fs::read_to_string(golden(&format!("api/{area}.jsonl"))).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Our server with the recordings' users, permissions and datastores.
pub struct Replayed {
    server: TestServer,
    router: Router<App>,
}

/// What we answered.
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Replayed {
    /// Returns the server in the base state of `setup.jsonl`.
    pub fn new() -> Self {
        let server = TestServer::new();
        server.add_datastore_without_chunks("local");
        let packed = fs::File::open(golden("golden.tar.zst")).unwrap();
        tar::Archive::new(zstd::Decoder::new(packed).unwrap()).unpack(server.folder().join("stores")).unwrap();
        server.configure_datastore("golden");
        for exchange in exchanges("setup").iter().filter(|exchange| exchange.server.is_none()) {
            set_up(&server, exchange);
        }
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        Self { server, router }
    }

    /// Returns the server.
    pub fn app(&self) -> &App {
        &self.server.app
    }

    /// Returns the folder that stands for the recordings' `/srv/pbs`.
    pub fn stores_folder(&self) -> PathBuf {
        self.server.folder().join("stores")
    }

    /// Returns whether we offer this call. What depends on earlier samples, or on what is in archives, is
    /// played with the whole server.
    pub fn offers(&self, method: &str, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        if ["/status/datastore-usage", "/status/metrics", "/rrd", "/download-decoded", "/catalog"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            return false;
        }
        let parts: Vec<&str> = path.split('/').skip(3).collect();
        self.router.declarations().any(|declared| {
            let template: Vec<&str> = declared.path.split('/').skip(1).collect();
            declared.method.as_str() == method
                && template.len() == parts.len()
                && template.iter().zip(&parts).all(|(declared, part)| declared.starts_with('{') || declared == part)
        })
    }

    /// Makes the call of an exchange.
    pub async fn call(&self, exchange: &Exchange) -> Answer {
        let body = match &exchange.body {
            None => Vec::new(),
            Some(Value::String(text)) => text.clone().into_bytes(),
            Some(json) => match json.get("$base64").and_then(Value::as_str) {
                Some(encoded) => STANDARD.decode(encoded).unwrap(),
                None => json.to_string().into_bytes(),
            },
        };
        let mut request =
            Request::builder().method(Method::from_bytes(exchange.method.as_bytes()).unwrap()).uri(&exchange.path);
        if let Some(content_type) = &exchange.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request: Request<Body> = request.body(full_body(Bytes::from(body))).unwrap();
        let connection = ConnectionInfo { peer: None, trusted: caller(&exchange.caller) };
        let response = self.router.dispatch(request, connection).await;
        let status = response.status().as_u16();
        Answer { status, body: response.into_body().collect().await.unwrap().to_bytes() }
    }
}

/// Returns whom a name in the recordings stands for. Source: `tests/golden/api/README.md`.
fn caller(name: &str) -> Option<Authid> {
    let authid = match name {
        "none" => return None,
        "root" => "root@pam".to_owned(),
        "admin" => "admin@pbs!full".to_owned(),
        _ => match name.strip_suffix("-user") {
            Some(user) => format!("{user}@pbs"),
            None => format!("{name}@pbs!t1"),
        },
    };
    Some(authid.parse().unwrap())
}

fn form(exchange: &Exchange) -> Vec<(String, String)> {
    let body = exchange.body.as_ref().and_then(Value::as_str).unwrap_or_default();
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn set_up(server: &TestServer, exchange: &Exchange) {
    let form = form(exchange);
    let value = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let path: Vec<&str> = exchange.path.split('/').collect();
    let insert = |entry: UserEntry| {
        server.app.settings.users().edit::<_, SettingsError>(None, |users| users.insert(entry)).unwrap();
    };
    match (exchange.method.as_str(), &path[3..]) {
        ("PUT", ["access", "acl"]) => {
            let role = value("role").unwrap().parse().unwrap();
            server.grant(&value("path").unwrap(), &value("auth-id").unwrap(), role);
        }
        ("POST", ["access", "users"]) => {
            let userid: Userid = value("userid").unwrap().parse().unwrap();
            insert(UserEntry::User(UserConfig::new(userid)));
        }
        ("POST", ["access", "users", user, "token", token]) => {
            insert(UserEntry::Token(TokenConfig {
                tokenid: format!("{user}!{token}").parse().unwrap(),
                comment: None,
                validity: Validity { enable: None, expire: None },
            }));
        }
        ("PUT", ["access", "users", user]) => {
            let edit = |users: &mut farhold_settings::Entries<_>| {
                let mut config = users.user(&user.parse().unwrap()).unwrap().clone();
                config.validity = Validity {
                    enable: value("enable").map(|enable| enable == "true"),
                    expire: value("expire").map(|expire| expire.parse().unwrap()),
                };
                users.update(UserEntry::User(config))
            };
            server.app.settings.users().edit::<_, SettingsError>(None, edit).unwrap();
        }
        _ => {}
    }
}

/// Returns a list in an order that does not depend on the server's.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect(),
        other => other.clone(),
    }
}
