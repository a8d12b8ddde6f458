//! The recorded exchanges of this area, played against a router in this process.
//!
//! Base state: the exchanges of `setup.jsonl` that make users, tokens and access control entries. Values that a server
//! makes up (tickets, secrets, digests) are taken from our own answers wherever a later request repeats them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod probes;

use std::collections::HashMap;
use std::sync::Arc;

use farhold_access::AuthLog;
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_types::Authid;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::declare::{ConnectionInfo, full_body};
use crate::dispatch::Router;

/// Exchanges that are not played or answered otherwise on purpose, by number, with the reason.
fn exception(seq: u64) -> Option<&'static str> {
    Some(match seq {
        4 => "this server checks no passwords of system accounts",
        56 | 58 | 64 | 66 => "made with the key of the recorded server; tests of farhold-access cover ages",
        138 | 139 => "a refused password leaves no user behind",
        193..=195 => "a token needs its user",
        339 | 341..=344 | 346 | 348..=359 | 361..=363 | 365..=369 => "second factors cannot be added",
        _ => return None,
    })
}

struct Answer {
    status: u16,
    content_type: Option<String>,
    cookies: Vec<String>,
    body: String,
}

struct Player {
    server: TestServer,
    router: Router<App>,
    /// Recorded value to ours.
    ours: Vec<(String, String)>,
    logins: HashMap<String, (String, String)>,
    secrets: HashMap<String, String>,
    passwords: HashMap<String, String>,
}

impl Player {
    fn of(server: TestServer) -> Self {
        let router = Router::new(server.app.clone(), crate::endpoints::all()).unwrap();
        let (ours, logins, secrets) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { server, router, ours, logins, secrets, passwords: HashMap::new() }
    }

    async fn send(&self, request: http::Request<Vec<u8>>, trusted: Option<Authid>) -> Answer {
        let request = request.map(|body| full_body(body.into()));
        let response = self.router.dispatch(request, ConnectionInfo { peer: None, trusted }).await;
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let (status, headers) = (response.status().as_u16(), response.headers());
        let content_type = headers.get(CONTENT_TYPE).map(text);
        let cookies = headers.get_all(SET_COOKIE).iter().map(text).collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, content_type, cookies, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// Puts our own values into a recorded request.
    fn translated(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.ours {
            for form in [str::to_owned, encoded] {
                text = text.replace(&form(recorded), &form(ours));
            }
            // Clients that leave the unreserved characters alone.
            let partly = |t: &str| ["-", ".", "_", "~"].iter().fold(encoded(t), |text, c| text.replace(&encoded(c), c));
            text = text.replace(&partly(recorded), &partly(ours));
        }
        text
    }

    async fn login(&mut self, user: &str) -> (String, String) {
        if let Some(login) = self.logins.get(user) {
            return login.clone();
        }
        let body = format!("username={user}%40pbs&password={}", self.passwords[user]);
        let request = http::Request::post("/api2/json/access/ticket").body(body.into_bytes()).unwrap();
        let answer = self.send(request, None).await;
        let data = serde_json::from_str::<Value>(&answer.body).unwrap()["data"].take();
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        let login = (text("ticket"), text("CSRFPreventionToken"));
        self.logins.insert(user.to_owned(), login.clone());
        login
    }

    async fn play(&mut self, exchange: &Value) -> Answer {
        let text = |name: &str| exchange[name].as_str();
        let uri = self.translated(text("path").unwrap());
        let mut request = http::Request::builder().method(text("method").unwrap()).uri(uri);
        if let Some(content_type) = text("content_type") {
            request = request.header(CONTENT_TYPE, content_type);
        }
        for (name, value) in exchange["request_headers"].as_object().into_iter().flatten() {
            request = request.header(name, self.translated(value.as_str().unwrap()));
        }
        let mut trusted = None;
        match text("as").unwrap() {
            "none" => {}
            "root" => trusted = Some(Authid::root()),
            name => match name.strip_suffix("-user") {
                Some(user) => {
                    let (ticket, csrf) = self.login(user).await;
                    request = request.header(COOKIE, format!("PBSAuthCookie={ticket}"));
                    request = request.header("CSRFPreventionToken", csrf);
                }
                None => {
                    let tokenid = format!("{name}@pbs!{}", if name == "admin" { "full" } else { "t1" });
                    request =
                        request.header(AUTHORIZATION, format!("PBSAPIToken={tokenid}:{}", self.secrets[&tokenid]));
                }
            },
        }
        let body = self.translated(text("body").unwrap_or_default()).into_bytes();
        let answer = self.send(request.body(body).unwrap(), trusted).await;
        self.learn(exchange, &answer);
        answer
    }

    /// Remembers what we made up in place of what the recorded server made up.
    fn learn(&mut self, exchange: &Value, answer: &Answer) {
        let body = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
        for place in
            ["/data/ticket", "/data/CSRFPreventionToken", "/data/value", "/data/secret", "/digest", "/data/ticket-info"]
        {
            let (recorded, ours) = (exchange["response"].pointer(place), body.pointer(place));
            if let (Some(Value::String(recorded)), Some(Value::String(ours))) = (recorded, ours) {
                self.ours.push((recorded.clone(), ours.clone()));
            }
        }
        if let (Some(recorded), Some(ours)) =
            (exchange["response_headers"]["set-cookie"].as_str().and_then(cookie_value), answer.cookies.first())
        {
            self.ours.push((recorded.to_owned(), cookie_value(ours).unwrap_or_default().to_owned()));
        }
        if let (Some(tokenid), Some(secret)) = (body.pointer("/data/tokenid"), body.pointer("/data/value")) {
            self.secrets.insert(tokenid.as_str().unwrap().to_owned(), secret.as_str().unwrap().to_owned());
        }
        let fields: HashMap<String, String> = exchange["body"]
            .as_str()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if let (Some(userid), Some(password), 200) = (fields.get("userid"), fields.get("password"), answer.status) {
            self.passwords.insert(userid.replace("%40pbs", ""), password.clone());
        }
    }
}

fn cookie_value(header: &str) -> Option<&str> {
    header.split_once('=')?.1.split(';').next().filter(|value| !value.is_empty())
}

fn golden(name: &str) -> String {
    format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn recording(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(golden(&format!("api/{name}.jsonl")));
    text.unwrap().lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Replaces what may differ: values that a server makes up, texts that are ours to write, the order of lists.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let differs = matches!(
                    name.as_str(),
                    "ticket"
                        | "CSRFPreventionToken"
                        | "ticket-info"
                        | "value"
                        | "secret"
                        | "digest"
                        | "repoid"
                        | "message"
                );
                let value = if differs && value.is_string() { Value::from("*") } else { comparable(value) };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(comparable).collect();
            values.sort_by_key(Value::to_string);
            values.into()
        }
        other => other.clone(),
    }
}

/// Texts of roles and realms and of parameter errors are ours.
fn without_own_texts(mut value: Value, path: &str) -> Value {
    if path.contains("/access/roles") || path.contains("/access/domains") {
        for item in value["data"].as_array_mut().into_iter().flatten() {
            item["comment"] = Value::from("*");
        }
    }
    for (_, text) in value.get_mut("errors").and_then(Value::as_object_mut).into_iter().flatten() {
        *text = Value::from("*");
    }
    value
}

fn difference(exchange: &Value, answer: &Answer) -> Option<String> {
    let path = exchange["path"].as_str().unwrap();
    if exchange["status"] != answer.status {
        return Some(format!("status {} instead of {}: {}", answer.status, exchange["status"], answer.body));
    }
    if exchange["response_content_type"].as_str() != answer.content_type.as_deref() {
        return Some(format!("content type {:?}", answer.content_type));
    }
    let has_cookie = exchange["response_headers"]["set-cookie"].is_string();
    if has_cookie && answer.cookies.len() != 1 {
        return Some(format!("cookies {:?}", answer.cookies));
    }
    let is_cut = exchange["note"].as_str().is_some_and(|note| note.starts_with("truncated"));
    let recorded = &exchange["response"];
    if recorded.is_string() && answer.status != 200 || is_cut {
        return None;
    }
    let ours = match recorded {
        Value::String(_) => Value::from(answer.body.clone()),
        _ => serde_json::from_str(&answer.body).unwrap_or_default(),
    };
    let normal = |value: &Value| comparable(&without_own_texts(value.clone(), path));
    let (recorded, ours) = (normal(recorded), normal(&ours));
    (recorded != ours).then(|| format!("expected {recorded}, got {ours}"))
}

#[tokio::test(start_paused = true)]
async fn recorded_exchanges_are_answered_as_the_reference_did() {
    let mut player = Player::of(TestServer::new());
    for exchange in recording("setup") {
        let is_ours = exchange["server"].is_null() && exchange["path"].as_str().unwrap().contains("/access/");
        if is_ours {
            let answer = player.play(&exchange).await;
            assert_eq!(answer.status, 200, "{exchange}: {}", answer.body);
        }
    }
    let mut differences = Vec::new();
    for exchange in recording("access") {
        let seq = exchange["seq"].as_u64().unwrap();
        // Some tickets of the recording are from the same second; ours should then differ as theirs do.
        player.server.clock.advance(1);
        match exception(seq) {
            Some(_) if !(138..=195).contains(&seq) => {}
            Some(reason) => {
                let answer = player.play(&exchange).await;
                if difference(&exchange, &answer).is_none() {
                    differences.push(format!("{seq}: no difference any more, but: {reason}"));
                }
            }
            None => {
                let answer = player.play(&exchange).await;
                let difference = difference(&exchange, &answer);
                differences
                    .extend(difference.map(|d| format!("{seq} {} {}: {d}", exchange["method"], exchange["path"])));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn logins_and_refusals_go_to_the_log_without_secrets() {
    let mut server = TestServer::new();
    server.grant("/", "sync@pbs!t1", farhold_types::Role::Audit);
    let path = server.folder().join("auth.log");
    let log = AuthLog::new(&path, server.clock.clone(), jiff::tz::TimeZone::UTC);
    let app = Arc::get_mut(&mut server.app).unwrap();
    app.access = app.access.clone().with_auth_log(log);
    app.access.set_password(&"sync@pbs".parse().unwrap(), &farhold_types::Secret::new("sync-secret-1")).unwrap();
    app.access.create_token_secret(&"sync@pbs!t1".parse().unwrap()).unwrap();
    let player = Player::of(server);
    let login = |password: &str| {
        let body = format!("username=sync%40pbs&password={password}").into_bytes();
        http::Request::post("/api2/json/access/ticket").body(body).unwrap()
    };
    assert_eq!(player.send(login("sync-secret-1"), None).await.status, 200);
    assert_eq!(player.send(login("wrong-secret"), None).await.status, 401);
    let with_token =
        http::Request::get("/api2/json/version").header(AUTHORIZATION, "PBSAPIToken=sync@pbs!t1:no-secret");
    assert_eq!(player.send(with_token.body(Vec::new()).unwrap(), None).await.status, 401);
    let nobody = http::Request::get("/api2/json/version").body(Vec::new()).unwrap();
    assert_eq!(player.send(nobody, None).await.status, 401);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "authentication succeeded; peer=unknown user=sync@pbs reason=login",
            "authentication failed; peer=unknown user=sync@pbs reason=invalid credentials",
            "authentication failed; peer=unknown user=sync@pbs!t1 reason=invalid API token secret",
            "authentication failed; peer=unknown reason=no authentication credentials provided",
        ]
    );
    assert!(!text.contains("-secret"));
}
