//! Sends recorded calls to our servers.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farhold_access::Proof;
use farhold_api::Router;
use farhold_api::declare::{Body, ConnectionInfo, Declaration, full_body};
use farhold_jobs::{App, Operation, StoreHandle};
use farhold_tasks::TaskFilter;
use farhold_types::{Secret, Userid};
use http::{Method, Request};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::bindings::Bindings;
use crate::compare::{Answer, differences};
use crate::exchange::Exchange;
use crate::support::servers::ROOT_PASSWORD;

/// Longest wait for a task of ours, far above what any needs.
const TASK_LIMIT: Duration = Duration::from_secs(60);

/// Note of a call that begins a session, if the recording script did not end it at once.
const KEPT_OPEN: &str = "the connection is kept open for the next lines";

/// Notes of calls that were recorded after all tasks had ended.
const AFTER_ALL: [&str; 3] = ["after everything has ended", "unmounted again after the jobs", KEPT_OPEN];

/// One of our servers.
#[derive(Clone)]
pub struct Server {
    pub app: Arc<App>,
    pub router: Arc<Router<App>>,
}

/// What became of an exchange.
pub enum Outcome {
    /// The endpoint is not declared.
    Skipped,
    /// Played; what differs.
    Played(Vec<String>),
}

/// What happens to the time of the runtime while an answer is awaited. Answers that are delayed on purpose come at once
/// where it stands still; so do time limits of what waits for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Stands still.
    Stopped,
    /// Stands still only where the recorded answer was delayed: work in the background uses the network.
    Goes,
}

/// Plays exchanges against two servers, and remembers what stands for what.
pub struct Player {
    servers: [Server; 2],
    /// By server: the stores of both lie below the same path in the recordings.
    bindings: [Bindings; 2],
    logins: HashMap<(u8, String), (String, String)>,
    time: Time,
    /// What the recorded servers answered to calls that were skipped, as far as it is needed later.
    skipped: Vec<String>,
    /// Stands for the sessions that the recorded servers had open.
    held: Vec<StoreHandle>,
}

impl Player {
    /// Returns a player; `bindings` of earlier exchanges are taken over.
    pub fn new(servers: [Server; 2], bindings: [Bindings; 2], time: Time) -> Self {
        Self { servers, bindings, logins: HashMap::new(), time, skipped: Vec::new(), held: Vec::new() }
    }

    /// Returns what is known at the end.
    pub fn into_bindings(self) -> [Bindings; 2] {
        self.bindings
    }

    /// Lets `ours` stand for `recorded` in both servers.
    pub fn bind(&mut self, recorded: &str, ours: &str) {
        for bindings in &mut self.bindings {
            bindings.bind(recorded, ours);
        }
    }

    /// Moves the stores of both servers: what stands for `/srv/pbs`.
    pub fn bind_stores(&mut self, folders: [&str; 2]) {
        for (bindings, folder) in self.bindings.iter_mut().zip(folders) {
            bindings.bind("/srv/pbs", folder);
        }
    }

    /// Returns the folder of the first server's stores.
    pub fn stores(&self) -> PathBuf {
        PathBuf::from(self.bindings[0].in_answer("/srv/pbs"))
    }

    /// Lets a folder of each server stand for `recorded`.
    pub fn bind_each(&mut self, recorded: &str, ours: [PathBuf; 2]) {
        for (bindings, ours) in self.bindings.iter_mut().zip(ours) {
            bindings.bind(recorded, ours.to_str().unwrap());
        }
    }

    /// Plays one exchange.
    pub async fn play(&mut self, exchange: &Exchange) -> Outcome {
        let number = usize::from(exchange.server_number() - 1);
        let server = self.servers[number].clone();
        if !is_playable(&server.router, exchange) || self.needs_skipped(exchange) {
            self.miss(exchange, &Value::Null);
            return Outcome::Skipped;
        }
        let request = match self.request(exchange, &server).await {
            Ok(request) => request,
            Err(reason) => return Outcome::Played(vec![reason]),
        };
        let connection = ConnectionInfo { peer: Some("127.0.0.1:40000".parse().unwrap()), trusted: None };
        let is_delayed = self.time == Time::Stopped || matches!(exchange.status, Some(401 | 403 | 500));
        if exchange.poll_until.is_some() {
            // By the time a task is waited for, the recording script had let go of what keeps it from ending.
            self.held.clear();
            let upid = self.bindings[number].in_request(exchange.bare_path());
            wait_for_task(&server, &upid).await;
        }
        if let Some(filter) = awaited_tasks(exchange) {
            wait_for_tasks(&server, filter).await;
        }
        if is_delayed {
            tokio::time::pause();
        }
        let response = server.router.dispatch(request, connection).await;
        if is_delayed {
            tokio::time::resume();
        }
        let ours = answer(response).await;
        if exchange.note.as_deref() == Some(KEPT_OPEN) && ours.status == 101 {
            self.held.push(in_use(&server, &self.bindings[number].in_request(&exchange.path)));
        }
        self.learn(exchange, &ours);
        self.miss(exchange, &ours.value);
        Outcome::Played(differences(exchange, &self.bindings[number], &self.skipped, &ours))
    }

    /// Remembers what the recorded server made and ours did not: later calls about it say nothing.
    fn miss(&mut self, exchange: &Exchange, ours: &Value) {
        for pointer in &exchange.capture {
            let recorded = exchange.response.pointer(pointer).and_then(Value::as_str);
            let is_missing = !ours.pointer(pointer).is_some_and(Value::is_string);
            self.skipped.extend(recorded.filter(|text| is_missing && 5 <= text.len()).map(str::to_owned));
        }
    }

    /// Returns whether a call is about something that a skipped one made.
    fn needs_skipped(&self, exchange: &Exchange) -> bool {
        let path = percent_decode_str(&exchange.path).decode_utf8_lossy();
        let known = |text: &str| self.bindings[0].knows(text);
        self.skipped.iter().any(|text| !known(text) && (path.contains(text) || exchange.text().contains(text)))
    }

    fn learn(&mut self, exchange: &Exchange, ours: &Answer) {
        for bindings in &mut self.bindings {
            bindings.capture(&exchange.capture, &exchange.response, &ours.value);
            if exchange.capture.iter().any(|name| name == "set-cookie") {
                let recorded = exchange.response_headers.get("set-cookie").and_then(Value::as_str).unwrap_or("");
                let header = ours.headers.iter().find(|(name, _)| name == "set-cookie");
                if let (Some(recorded), Some(ours)) = (cookie(recorded), header.and_then(|(_, value)| cookie(value))) {
                    bindings.bind(recorded, ours);
                }
            }
        }
    }

    async fn request(&mut self, exchange: &Exchange, server: &Server) -> Result<Request<Body>, String> {
        let number = exchange.server_number();
        let bindings = self.bindings[usize::from(number - 1)].clone();
        let path = bindings.in_request(&exchange.path);
        let mut builder = Request::builder().method(exchange.method.as_str()).uri(&path);
        if let Some(kind) = &exchange.content_type {
            builder = builder.header("content-type", kind);
        }
        for (name, value) in &exchange.request_headers {
            if exchange.content_type.is_some() && name.eq_ignore_ascii_case("content-type") {
                continue;
            }
            builder = builder.header(name.as_str(), bindings.in_request(value.as_str().unwrap()));
        }
        for (name, value) in self.credentials(exchange, server, &bindings).await? {
            builder = builder.header(name, value);
        }
        let body = exchange.body(|text| bindings.in_request(text));
        builder.body(full_body(body.into())).map_err(|error| format!("request cannot be sent: {error}"))
    }

    async fn credentials(
        &mut self,
        exchange: &Exchange,
        server: &Server,
        bindings: &Bindings,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let who = exchange.who.strip_prefix("r2-").unwrap_or(&exchange.who);
        let (userid, password) = match who {
            "none" => return Ok(Vec::new()),
            "root" => ("root@pam".to_owned(), ROOT_PASSWORD.to_owned()),
            _ => match who.strip_suffix("-user") {
                Some(name) => (format!("{name}@pbs"), format!("{name}-secret-1")),
                None => {
                    let tokenid = if who == "admin" { "admin@pbs!full".to_owned() } else { format!("{who}@pbs!t1") };
                    let recorded = self.recorded_secret(exchange.server_number(), &tokenid)?;
                    let secret = bindings.in_request(&recorded);
                    return Ok(vec![("authorization", format!("PBSAPIToken={tokenid}:{secret}"))]);
                }
            },
        };
        let key = (exchange.server_number(), userid.clone());
        if !self.logins.contains_key(&key) {
            let (app, name) = (Arc::clone(&server.app), userid.clone());
            let login = move || {
                let userid: Userid = name.parse().unwrap();
                app.access.login(&userid, &Secret::new(password), Proof::PasswordOnly, None).map_err(|e| e.log_text())
            };
            let login = tokio::task::spawn_blocking(login).await.unwrap()?;
            self.logins.insert(key.clone(), (login.ticket.expose().to_owned(), login.csrf_token));
        }
        let (ticket, csrf_token) = &self.logins[&key];
        let cookie = percent_encoding::utf8_percent_encode(ticket, percent_encoding::NON_ALPHANUMERIC);
        Ok(vec![("cookie", format!("PBSAuthCookie={cookie}")), ("csrfpreventiontoken", csrf_token.clone())])
    }

    /// Returns the secret that the recording has for a token; ours is bound to it.
    fn recorded_secret(&self, server: u8, tokenid: &str) -> Result<String, String> {
        let found = crate::exchange::read("setup").into_iter().find(|exchange| {
            exchange.server_number() == server && exchange.response.pointer("/data/tokenid") == Some(&tokenid.into())
        });
        let found = found.ok_or_else(|| format!("no token {tokenid}"))?;
        Ok(found.response["data"]["value"].as_str().unwrap().to_owned())
    }
}

fn cookie(header: &str) -> Option<&str> {
    header.split(';').next()?.split_once('=').map(|(_, value)| value)
}

async fn answer(response: http::Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers: Vec<_> = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let content_type = parts.headers.get("content-type").map(text);
    let bytes = if parts.headers.get("content-encoding").is_some_and(|v| v == "deflate") {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&bytes[..]), &mut plain).unwrap();
        plain
    } else {
        bytes.to_vec()
    };
    let is_json = content_type.as_ref().is_some_and(|kind| kind.starts_with("application/json"));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_error = 400 <= parts.status.as_u16();
    let parsed = if is_json && !is_error { serde_json::from_str(&text).ok() } else { None };
    Answer { status: parts.status.as_u16(), content_type, headers, value: parsed.unwrap_or(Value::String(text)), bytes }
}

/// Returns part of the worker type of the tasks that had ended when a call was recorded, if it is about such tasks.
fn awaited_tasks(exchange: &Exchange) -> Option<&str> {
    if exchange.note.as_deref().is_some_and(|note| AFTER_ALL.contains(&note)) {
        return Some("");
    }
    let entries = exchange.response["data"].as_array().filter(|entries| !entries.is_empty())?;
    let (path, query) = exchange.path.split_once('?')?;
    let had_ended = entries.iter().all(|entry| entry.get("endtime").is_some());
    let filter = query.split('&').find_map(|part| part.strip_prefix("typefilter="))?;
    (had_ended && path.ends_with("/tasks")).then_some(filter)
}

/// Waits until no task whose type contains `type_part` runs any more.
async fn wait_for_tasks(server: &Server, type_part: &str) {
    let filter = TaskFilter { type_part: Some(type_part.to_owned()), only_running: true, ..TaskFilter::default() };
    let started = Instant::now();
    while started.elapsed() < TASK_LIMIT && 0 < server.app.tasks.list(&filter, |_| true).unwrap().total {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns a store in use as a session that reads from it would have it.
fn in_use(server: &Server, path: &str) -> StoreHandle {
    let query = path.split_once('?').unwrap().1;
    let store = query.split('&').find_map(|part| part.strip_prefix("store=")).unwrap();
    server.app.stores.open(&store.parse().unwrap(), Operation::Read).unwrap()
}

async fn wait_for_task(server: &Server, path: &str) {
    let Some(upid) = path.split('/').find(|part| part.starts_with("UPID")) else { return };
    let upid = percent_decode_str(upid).decode_utf8_lossy().into_owned();
    if let Ok(upid) = upid.parse() {
        let _ = tokio::time::timeout(TASK_LIMIT, server.app.tasks.wait(&upid)).await;
    }
}

/// Returns whether an exchange says something about endpoints that exist.
///
/// Refusals that come before the look-up of the endpoint are asked of every path.
fn is_playable(router: &Router<App>, exchange: &Exchange) -> bool {
    let is_early = matches!(exchange.status, Some(401 | 404 | 414));
    if exchange.scheme.is_some() {
        return false;
    }
    let components: Vec<String> = exchange
        .bare_path()
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let components: Vec<&str> = components.iter().map(String::as_str).collect();
    let ["api2", _, rest @ ..] = &components[..] else { return true };
    let method: Method = exchange.method.parse().unwrap();
    // Whether `rest` leads to the declared path (`Equal`) or to a place above it (`Less`).
    let position = |declaration: &Declaration| {
        let parts: Vec<&str> = declaration.path.split('/').filter(|part| !part.is_empty()).collect();
        let fits = rest.iter().zip(&parts).all(|(given, part)| part.starts_with('{') || part == given);
        fits.then(|| rest.len().cmp(&parts.len()))
    };
    let is_declared = router.declarations().any(|d| d.method == method && position(d) == Some(Ordering::Equal));
    let is_index = exchange.response.pointer("/data/0/subdir").is_some()
        && router.declarations().any(|d| position(d) == Some(Ordering::Less));
    is_early || is_declared || is_index
}
