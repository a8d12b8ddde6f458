//! Plays one record: every recorded connection on one of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use farhold::compose::Composed;
use farhold_api::Call;
use farhold_api::declare::Content;
use farhold_format::blob::{self, BlobKind};
use farhold_format::index::Index;
use farhold_jobs::{App, Operation};
use farhold_types::{ArchiveKind, Authid, Digest, Group, Namespace};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::{Session, Wire, WireAnswer};
use crate::support::golden;

const PASSWORD: &str = "sync-secret-1";

/// The recorded account `sync@pbs` and its token.
pub struct Account {
    secret: String,
}

impl Account {
    /// Configures the store `tank` and the account, through the API.
    pub fn set_up(server: &Composed, store: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let call = |method: &str, path: &'static str, params: Value| {
            let Value::Object(params) = params else { unreachable!("parameters are an object") };
            let call = Call { method: method.parse().unwrap(), path, params, caller: Authid::root() };
            runtime.block_on(async {
                let Content::Json(value) = server.router.call(call).await.unwrap().content else { return Value::Null };
                if let Some(upid) = value.as_str().and_then(|text| text.parse().ok()) {
                    server.app.tasks.wait(&upid).await.unwrap();
                }
                value
            })
        };
        let path = store.to_str().unwrap();
        call("POST", "/config/datastore", json!({"name": "tank", "path": path, "reuse-datastore": true}));
        call("POST", "/access/users", json!({"userid": "sync@pbs", "password": PASSWORD}));
        let params = json!({"userid": "sync@pbs", "token-name": "t1"});
        let token = call("POST", "/access/users/{userid}/token/{token-name}", params);
        for authid in ["sync@pbs", "sync@pbs!t1"] {
            call("PUT", "/access/acl", json!({"path": "/datastore", "role": "DatastoreAdmin", "auth-id": authid}));
        }
        Self { secret: token["value"].as_str().unwrap().to_owned() }
    }
}

/// Our stand-in of the recorded source server.
pub struct Tank {
    app: Arc<App>,
    account: Account,
    pub port: u16,
}

impl Tank {
    pub fn new(app: Arc<App>, account: Account, port: u16) -> Self {
        Self { app, account, port }
    }

    pub fn reader_path(kind: &str, id: &str, time: i64) -> String {
        format!("//api2/json/reader?backup-id={id}&backup-time={time}&backup-type={kind}&debug=true&store=tank")
    }

    pub fn upgrade_headers(&self) -> Vec<(String, String)> {
        let authorization = format!("PBSAPIToken sync@pbs!t1:{}", self.account.secret);
        let headers = [
            ("host", "127.0.0.1:8007"),
            ("authorization", &authorization),
            ("connection", "upgrade"),
            ("upgrade", "proxmox-backup-reader-protocol-v1"),
        ];
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}

/// A line of a record: a request with its answer, or an event.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub seq: u64,
    pub conn: u64,
    #[serde(default)]
    pub ms: u64,
    #[serde(default)]
    pub end_ms: u64,
    #[serde(default)]
    pub proto: String,
    #[serde(default)]
    pub in_flight: usize,
    pub event: Option<String>,
    pub label: Option<String>,
    pub method: Option<String>,
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    pub body_kind: Option<String>,
    #[serde(default)]
    pub body_len: usize,
    pub status: Option<u16>,
    #[serde(default)]
    resp_headers: BTreeMap<String, String>,
    pub resp_body: Option<String>,
    pub resp_body_kind: Option<String>,
    #[serde(default)]
    pub resp_len: usize,
}

/// Returns the lines of a record.
pub fn lines(name: &str) -> Vec<Line> {
    let text = fs::read_to_string(golden("wire").join(format!("{name}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What came out of a record.
#[derive(Default)]
pub struct Played {
    pub requests: usize,
    /// Requests for which our store has nothing that could stand for what was read.
    pub left_out: usize,
    pub wrong: Vec<String>,
}

/// Plays a record.
pub async fn record(name: &str, tank: &Tank) -> Played {
    let lines = lines(name);
    let connections: BTreeSet<u64> = lines.iter().map(|line| line.conn).collect();
    let is_wrong_secret = lines.iter().any(|line| line.status == Some(401));
    let plays = connections.into_iter().map(|number| {
        let lines = lines.iter().filter(|line| line.conn == number && line.method.is_some()).cloned().collect();
        connection(lines, tank, is_wrong_secret)
    });
    let mut all = Played::default();
    for played in futures::future::join_all(plays).await {
        all.requests += played.requests;
        all.left_out += played.left_out;
        all.wrong.extend(played.wrong);
    }
    all
}

async fn connection(lines: Vec<Line>, tank: &Tank, is_wrong_secret: bool) -> Played {
    let mut played = Played::default();
    let mut wire = Wire::connect(tank.port).await;
    let secret = if is_wrong_secret { "wrong" } else { tank.account.secret.as_str() };
    let password = if is_wrong_secret { "wrong" } else { PASSWORD };
    let mut login = (String::new(), String::new());
    // The files of the snapshot that a reader session was opened for.
    let mut files = Vec::new();
    let (session_lines, lines): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.proto == "h2");
    for line in lines {
        played.requests += 1;
        let method = line.method.as_deref().unwrap();
        let path = translate(&line, tank, &mut files);
        let body = line.body.clone().unwrap_or_default().replace("<secret>", password);
        let header = |(name, value): (&String, &String)| {
            let value = match name.as_str() {
                "content-length" => body.len().to_string(),
                "cookie" => format!("PBSAuthCookie={}", login.0),
                "csrfpreventiontoken" => login.1.clone(),
                _ => value.replace("<secret>", secret),
            };
            (name.clone(), value)
        };
        let mut headers: Vec<(String, String)> = line.headers.iter().map(header).collect();
        if login.0.is_empty() && line.headers.contains_key("cookie") {
            // The login was on another connection.
            headers.retain(|(name, _)| name != "cookie" && name != "csrfpreventiontoken");
            headers.push(("authorization".to_owned(), format!("PBSAPIToken sync@pbs!t1:{secret}")));
        }
        let answer = wire.request(method, &path, &headers, body.as_bytes()).await;
        let value = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let data = &value["data"];
        if let (Some(ticket), Some(token)) = (data["ticket"].as_str(), data["CSRFPreventionToken"].as_str()) {
            login = (ticket.to_owned(), token.to_owned());
        }
        for difference in differences(&line, &answer) {
            played.wrong.push(format!("{}: {method} {path}: {difference}", line.seq));
        }
    }
    if !session_lines.is_empty() {
        session(wire.session().await, session_lines, &files, &mut played).await;
    }
    played
}

/// Plays the requests of a reader session with as many in flight as recorded.
async fn session(mut session: Session, lines: Vec<Line>, files: &[String], played: &mut Played) {
    let mut known: Vec<Digest> = Vec::new();
    let mut stand_ins: BTreeMap<String, Digest> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    for line in lines {
        while line.in_flight.max(1) <= running.len() {
            let answered = running.next().await.unwrap();
            finish(answered, &mut known, played);
        }
        let path = match line.path.split_once("?digest=") {
            Some(_) if known.is_empty() => None,
            Some((_, recorded)) => {
                let next = known[stand_ins.len() % known.len()];
                Some(format!("/chunk?digest={}", stand_ins.entry(recorded.to_owned()).or_insert(next)))
            }
            None => file(&line, files),
        };
        let Some(path) = path else {
            played.left_out += 1;
            continue;
        };
        played.requests += 1;
        let answer = session.send(&path).await;
        running.push(async move { (line, path, answer.await) });
    }
    while let Some(answered) = running.next().await {
        finish(answered, &mut known, played);
    }
}

fn finish((line, path, answer): (Line, String, WireAnswer), known: &mut Vec<Digest>, played: &mut Played) {
    for difference in differences(&line, &answer) {
        played.wrong.push(format!("{}: GET {path}: {difference}", line.seq));
    }
    if let Some(name) = path.strip_prefix("/download?file-name=").filter(|name| name.ends_with("idx"))
        && answer.status == 200
    {
        known.extend(digests(name, &answer.body));
    }
}

/// Returns the request for a file of ours that stands for the recorded one; `None` if there is none of its kind.
fn file(line: &Line, files: &[String]) -> Option<String> {
    let (_, recorded) = line.path.split_once("?file-name=").unwrap();
    let is_found = line.status == Some(200);
    let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_owned());
    let name = match (files.iter().any(|file| file == recorded), is_found) {
        (true, true) | (false, false) => recorded.to_owned(),
        (true, false) => "not-there.blob".to_owned(),
        (false, true) => files.iter().find(|name| ending(name) == ending(recorded))?.clone(),
    };
    Some(format!("/download?file-name={name}"))
}

/// Returns the digests of an index, without repetition, in order.
pub fn digests(name: &str, bytes: &Bytes) -> Vec<Digest> {
    let kind = if name.ends_with(".fidx") { ArchiveKind::FixedIndex } else { ArchiveKind::DynamicIndex };
    let index = Index::parse(kind, bytes.clone()).unwrap();
    let mut digests: Vec<Digest> = Vec::new();
    for chunk in index.chunks() {
        if !digests.contains(&chunk.digest) {
            digests.push(chunk.digest);
        }
    }
    digests
}

/// Translates a path to a namespace, group and snapshot that exist here; the form of its parameters stays.
///
/// What the recorded server refused is left as it was. `files` becomes those of a snapshot that is named.
fn translate(line: &Line, tank: &Tank, files: &mut Vec<String>) -> String {
    let path = &line.path;
    let Some((bare, query)) = path.split_once('?') else { return path.clone() };
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
    };
    if line.status.is_none_or(|status| 400 <= status) || value("parent").is_some() {
        return path.clone();
    }
    let store = tank.app.stores.open(&"tank".parse().unwrap(), Operation::Read).unwrap();
    let mut ours: BTreeMap<&str, String> = BTreeMap::new();
    let mut ns = Namespace::root();
    if let Some(text) = value("ns").filter(|text| !text.is_empty()) {
        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        let wanted: Namespace = text.parse().unwrap();
        let all = store.namespaces(&Namespace::root(), 7).unwrap();
        let same = all.iter().find(|ns| **ns == wanted);
        ns = same.or_else(|| all.iter().find(|ns| ns.depth() == wanted.depth())).unwrap().clone();
        ours.insert("ns", ns.to_string().replace('/', "%2F"));
    }
    if let (Some(kind), Some(id)) = (value("backup-type"), value("backup-id")) {
        let groups: Vec<Group> = store.groups(&ns).unwrap().into_iter().map(|info| info.group).collect();
        let same = groups.iter().find(|group| group.to_string() == format!("{kind}/{id}"));
        let similar = groups.iter().find(|group| group.to_string().starts_with(&format!("{kind}/")));
        let group = same.or(similar).or(groups.first()).unwrap();
        let text = group.to_string();
        let (kind, id) = text.split_once('/').unwrap();
        ours.extend([("backup-type", kind.to_owned()), ("backup-id", id.to_owned())]);
        if let Some(time) = value("backup-time") {
            let snapshots = store.snapshots(&ns, group).unwrap();
            let same = snapshots.iter().find(|info| info.time.0.to_string() == time);
            let info = same.or(snapshots.first()).unwrap();
            ours.insert("backup-time", info.time.0.to_string());
            *files = info.files.iter().map(ToString::to_string).collect();
            files.extend((!files.iter().any(|f| f == "index.json.blob")).then(|| "index.json.blob".to_owned()));
        }
    }
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if ours.contains_key(name) => format!("{name}={}", ours[name]),
        _ => pair.to_owned(),
    };
    format!("{bare}?{}", query.split('&').map(pair).collect::<Vec<_>>().join("&"))
}

/// Returns in what the form of an answer differs from the recorded one.
pub fn differences(line: &Line, answer: &WireAnswer) -> Vec<String> {
    let status = line.status.unwrap_or_default();
    if status != answer.status {
        let text = String::from_utf8_lossy(&answer.body);
        return vec![format!("status {status}, ours {}: {text}", answer.status)];
    }
    let mut found = Vec::new();
    for name in ["content-type", "connection", "upgrade", "set-cookie"] {
        let (recorded, ours) = (line.resp_headers.get(name).map(String::as_str), answer.header(name));
        if recorded != ours {
            found.push(format!("header {name}: {recorded:?}, ours {ours:?}"));
        }
    }
    // Listings go out with their length or in pieces, as each server likes; clients take both.
    let is_listing = line.proto == "h1" && answer.status == 200;
    for name in ["content-length", "transfer-encoding"] {
        if is_listing && (answer.header("content-length").is_some() != answer.header("transfer-encoding").is_some()) {
            break;
        }
        let (recorded, ours) = (line.resp_headers.contains_key(name), answer.header(name).is_some());
        if recorded != ours {
            found.push(format!("header {name}: {recorded}, ours {ours}"));
        }
    }
    if let Some(recorded) = &line.resp_body_kind {
        let ours = body_kind(&answer.body);
        // Whether a blob is compressed or encrypted depends on what stands for the recorded one.
        let is_same = recorded == ours || recorded.ends_with("blob") && ours.ends_with("blob");
        if !is_same {
            found.push(format!("body is a {recorded}, ours a {ours}"));
        }
    }
    if let Some(recorded) = line.resp_body.as_ref().and_then(|body| serde_json::from_str::<Value>(body).ok()) {
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(ours) => shape("", &recorded, &ours, &mut found),
            Err(error) => found.push(format!("body is no JSON: {error}")),
        }
    }
    found
}

fn body_kind(body: &Bytes) -> &'static str {
    match blob::kind(body) {
        Ok(BlobKind::Plain) => "plain blob",
        Ok(BlobKind::Zstd) => "zstd blob",
        Ok(BlobKind::Encrypted) => "encrypted blob",
        Ok(BlobKind::EncryptedZstd) => "encrypted zstd blob",
        Err(_) if Index::parse(ArchiveKind::FixedIndex, body.clone()).is_ok() => "fixed index",
        Err(_) if Index::parse(ArchiveKind::DynamicIndex, body.clone()).is_ok() => "dynamic index",
        Err(_) => "binary",
    }
}

/// Members that only some elements of a listing have; files that no manifest names have no size.
const OPTIONAL: &[&str] = &["comment", "crypt-mode", "fingerprint", "size", "verification"];

fn shape(at: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let names: BTreeSet<&String> = recorded.keys().chain(ours.keys()).collect();
            for name in names {
                match (recorded.get(name), ours.get(name)) {
                    (Some(recorded), Some(ours)) => shape(&format!("{at}/{name}"), recorded, ours, found),
                    _ if OPTIONAL.contains(&name.as_str()) => {}
                    (Some(_), None) => found.push(format!("{at}/{name} is missing")),
                    _ => found.push(format!("{at}/{name} was not recorded")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            for (index, ours) in ours.iter().enumerate() {
                if let Some(first) = recorded.first() {
                    shape(&format!("{at}/{index}"), first, ours, found);
                }
            }
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => {}
        _ => found.push(format!("{at}: {recorded}, ours {ours}")),
    }
}
