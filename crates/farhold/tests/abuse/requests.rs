//! Requests made from the declarations of all endpoints, with parts that are broken.
//!
//! Nothing of them reaches beyond the server: hosts are on loopback, accounts belong to realm `pbs`, no datastore can be
//! made where the test has nothing to say, and calls that change the host are left out.

use farhold_api::declare::{Declaration, RequestBody};
use farhold_api::schema::{Param, ParamKind};
use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::lines::Wanted;
use crate::stage::Stage;

/// Values that no parameter is meant for.
const BROKEN: [&str; 27] = [
    "",
    " ",
    "..",
    "../../etc/passwd",
    ".",
    "%00",
    "\u{0}",
    "\u{1b}[31m",
    "é\u{1f600}",
    "-1",
    "0",
    "1",
    "99999999999999999999",
    "-9223372036854775809",
    "1e400",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "'; --",
    "<script>",
    "a\r\nX-Injected: 1",
    "ns1/../..",
    "a/b/c/d/e/f/g/h/i",
    "\u{feff}",
    "%s%n${x}",
];

/// Names of parameters whose values name a place; their requests are never cut or flipped, for that could name another.
const DELICATE: [&str; 10] =
    ["host", "server", "url", "http-proxy", "path", "username", "userid", "auth-id", "origin", "backing-device"];

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"];

/// Returns whether a call may be made at all: not where it could change the host, nor where an RSA key is made each time.
pub fn is_harmless(declaration: &Declaration) -> bool {
    let changes = declaration.method != http::Method::GET;
    let of_host = ["/status", "/time", "/certificates/custom"].iter().any(|end| declaration.path.ends_with(end))
        || declaration.path.contains("/disks/")
        || declaration.path.contains("/services/");
    !(changes && declaration.path.starts_with("/nodes/") && of_host)
}

/// Returns a request for one of the calls, broken in one to a few ways, and that call.
pub fn broken<'a>(dice: &mut Dice, declarations: &'a [Declaration], stage: &Stage) -> (Wanted, &'a Declaration) {
    let declaration = &declarations[dice.below(declarations.len())];
    let is_delicate = declaration.params.iter().any(|param| DELICATE.contains(&param.name));
    let mut wanted = Wanted { method: declaration.method.to_string(), ..Wanted::get("") };
    // Another method on the same path is another call, perhaps with a delicate parameter that these values are not for.
    if dice.chance(8) && !is_delicate {
        wanted.method = dice.pick(&METHODS).to_owned();
    }
    let format = if dice.chance(85) { "json" } else { dice.pick(&["extjs", "xml", "JSON", "json%00", ".json", ""]) };
    wanted.target = format!("/api2/{format}{}", path(dice, declaration));
    let values = values(dice, declaration);
    let has_body = declaration.method != http::Method::GET && declaration.method != http::Method::DELETE;
    match dice.below(if has_body { 10 } else { 4 }) {
        0..=3 => wanted.target = format!("{}?{}", wanted.target, query(dice, &values)),
        4..=6 => {
            wanted = wanted.with("content-type", "application/x-www-form-urlencoded");
            wanted.body = query(dice, &values).into_bytes();
        }
        7..=8 => {
            wanted = wanted.with("content-type", "application/json");
            wanted.body = Value::Object(values.into_iter().collect()).to_string().into_bytes();
        }
        _ => {
            let kind =
                dice.pick(&["text/plain", "application/json; charset=utf-7", "multipart/form-data", ";", "\u{e9}"]);
            wanted = wanted.with("content-type", kind);
            wanted.body = if declaration.body == RequestBody::Raw { dice.bytes(2000) } else { b"a=b".to_vec() };
        }
    }
    if !is_delicate {
        damage(dice, &mut wanted);
    }
    let wanted = strange_headers(dice, wanted);
    (credentials(dice, wanted, stage), declaration)
}

fn path(dice: &mut Dice, declaration: &Declaration) -> String {
    let mut path = String::new();
    for part in declaration.path.split('/').filter(|part| !part.is_empty()) {
        match dice.below(60) {
            0 => continue,
            1 => path.push('/'),
            2 => path.push_str("/."),
            3 => path.push_str("/%2e%2e"),
            _ => {}
        }
        path.push('/');
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if dice.chance(75) => path.push_str(&escaped(fitting(dice, name).as_str())),
            Some(_) => path.push_str(&escaped(dice.pick(&BROKEN))),
            None => path.push_str(part),
        }
    }
    match dice.below(60) {
        0 => path.push_str("/more"),
        1 => path.push_str(&"/a".repeat(1 + dice.below(2500))),
        2 => path.push('%'),
        3 => path.push_str("%ff%fe"),
        4 => path.push_str(" x"),
        5 => path.push('\u{e9}'),
        _ => {}
    }
    path
}

/// Returns a value that may exist or fit.
fn fitting(dice: &mut Dice, name: &str) -> String {
    let words: &[&str] = match name {
        "store" | "remote-store" => &["fuzz1", "fuzz2", "nostore"],
        "node" => &["localhost", "site"],
        "name" | "id" | "remote" | "token-name" => &["fuzz1", "fuzz2", "one", "two"],
        "userid" | "username" | "authid" | "auth-id" | "owner" | "new-owner" | "users" => {
            &["victim@pbs", "nobody@pbs", "victim@pbs!t"]
        }
        "ns" | "remote-ns" | "namespace" | "target-ns" | "parent" => &["ns1", "", "ns1/a", "none"],
        "path" => &["/datastore/fuzz1", "/remote/one", "/nowhere"],
        "backup-type" => &["vm", "ct", "host"],
        "backup-id" => &["100", "one"],
        "backup-time" => &["1767261600", "0"],
        "snapshot" => &["host/one/2026-01-01T10:00:00Z"],
        "schedule" | "prune-schedule" | "gc-schedule" => &["daily", "mon..fri 02:30", "*:0/5"],
        "realm" => &["pbs", "ad1"],
        "upid" => &["UPID:site:000004D2:00000929:00000000:6A5B3D50:verify:fuzz1:root@pam:"],
        "password" | "confirmation-password" | "value" => &["short", "long enough to be one"],
        "fingerprint" => &["00"],
        "uuid" | "backing-device" => &["00000000-0000-4000-8000-000000000000"],
        "digest" => &["0000000000000000000000000000000000000000000000000000000000000000"],
        "group-filter" => &["type:vm", "regex:^(a+)+$", "exclude:group:vm/100"],
        "timeframe" => &["hour", "day"],
        _ if is_place(name) => &["127.0.0.1"],
        _ => &["fuzz1", "one", "2026-01-01", "5", "vm/100"],
    };
    dice.pick(words).to_owned()
}

fn is_place(name: &str) -> bool {
    ["host", "server", "url", "proxy", "origin", "mailto"].iter().any(|part| name.contains(part))
}

fn values(dice: &mut Dice, declaration: &Declaration) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    for param in &declaration.params {
        if dice.chance(if param.requirement == farhold_api::schema::Requirement::Required { 92 } else { 35 }) {
            values.push((param.name.to_owned(), value(dice, param, declaration)));
        }
    }
    if dice.chance(5) {
        values.push(("no-such-parameter".to_owned(), json!("x")));
    }
    if dice.chance(3) && !values.is_empty() {
        values.push(values[0].clone());
    }
    values
}

fn value(dice: &mut Dice, param: &Param, declaration: &Declaration) -> Value {
    // A datastore with a path that is one could be made, anywhere on this host.
    let makes_stores = declaration.path.starts_with("/config/datastore") && param.name == "path";
    if makes_stores || (dice.chance(12) && !is_place(param.name)) {
        return match dice.below(if makes_stores { 1 } else { 8 }) {
            0..=4 => json!(dice.pick(&BROKEN)),
            5 => json!("a".repeat(1 + dice.below(6000))),
            6 => json!([[], {}, null, dice.pick(&BROKEN)]),
            _ => json!({ "a": { "b": dice.pick(&BROKEN) } }),
        };
    }
    if is_place(param.name) && dice.chance(20) {
        return json!(dice.pick(&["not a host", "http://", "127.0.0.1 x", ":", "[::1"]));
    }
    kind(dice, param.name, &param.kind)
}

fn kind(dice: &mut Dice, name: &str, kind: &ParamKind) -> Value {
    match kind {
        ParamKind::Boolean => json!(dice.chance(50)),
        ParamKind::Integer { .. } if name == "port" => json!(dice.pick(&[1, 9])),
        ParamKind::Integer { min, max } => {
            let (min, max) = (min.unwrap_or(-5), max.unwrap_or(1000));
            json!(dice.pick(&[min, max, min.saturating_sub(1), max.saturating_add(1), min.midpoint(max)]))
        }
        ParamKind::Number => json!(dice.pick(&[0.0, -1.5, 1e300])),
        ParamKind::Enumeration { values, .. } => json!(dice.pick(values)),
        ParamKind::List(of) => (0..dice.below(4)).map(|_| self::kind(dice, name, of)).collect(),
        _ => json!(fitting(dice, name)),
    }
}

/// Returns pairs as a query or form; what is no text is written as JSON.
fn query(dice: &mut Dice, values: &[(String, Value)]) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for (name, value) in values {
        let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in all {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let text = if dice.chance(97) { escaped(&text) } else { text.replace(['\r', '\n', '\0', ' ', '#'], "+") };
            pairs.push(format!("{name}={text}"));
        }
    }
    pairs.join(dice.pick(&["&", "&", "&", "&&", ";"]))
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Cuts, flips or blows up the body.
fn damage(dice: &mut Dice, wanted: &mut Wanted) {
    let length = wanted.body.len();
    match dice.below(30) {
        0 if length != 0 => wanted.body.truncate(dice.below(length)),
        1 if length != 0 => wanted.body[dice.below(length)] ^= 1 << dice.below(8),
        2 => wanted.body.extend(dice.bytes(300)),
        3 => wanted.body = b"[".repeat(1 + dice.below(20_000)),
        4 => wanted.body = br#"{"a":"#.repeat(1 + dice.below(3000)),
        5 => wanted.body = b"x&".repeat(1 + dice.below(3000)),
        _ => {}
    }
}

fn strange_headers(dice: &mut Dice, wanted: Wanted) -> Wanted {
    match dice.below(30) {
        0 => wanted.with("accept-encoding", dice.pick(&["deflate", "deflate;q=0", "gzip, deflate;q=x, *"])),
        1 => wanted.with("cookie", &"a=b; ".repeat(1 + dice.below(300))),
        2 => wanted
            .with("upgrade", dice.pick(&["proxmox-backup-protocol-v1", "proxmox-backup-reader-protocol-v1", "h2c"])),
        3 => wanted.with("range", dice.pick(&["bytes=0-", "bytes=9-1", "bytes=-", "lines=1"])),
        4 => wanted.with("x-forwarded-for", "192.0.2.1, \u{e9}"),
        5 => wanted.with("csrfpreventiontoken", dice.pick(&["", ":", "00000000:AAAA", "FFFFFFFFFFFFFFFFFF:="])),
        6 => (0..dice.below(120)).fold(wanted, |wanted, n| wanted.with(&format!("x-{n}"), "1")),
        7 => wanted.with("expect", "100-continue"),
        8 => wanted.with("bad header", "x"),
        9 => wanted.with("x-long", &"y".repeat(1 + dice.below(12_000))),
        _ => wanted,
    }
}

fn credentials(dice: &mut Dice, wanted: Wanted, stage: &Stage) -> Wanted {
    match dice.below(200) {
        0 => wanted,
        1 => wanted.with("authorization", "PBSAPIToken"),
        2 => wanted.with("authorization", "Basic YWRtaW46YWRtaW4="),
        3 => wanted.with("authorization", &stage.admin[..stage.admin.len() - 1]),
        4 => wanted.with("cookie", "PBSAuthCookie=PBS:root@pam:00000000::AAAA"),
        5..=29 => wanted.with("authorization", &stage.weak),
        _ => wanted.with("authorization", &stage.admin),
    }
}

/// Returns text that begins as parameters and nests or repeats without end, with its content type.
pub fn endless_parameters() -> Vec<(&'static str, Vec<u8>)> {
    let mut object = Map::new();
    for n in 0..20_000 {
        object.insert(format!("k{n}"), Value::Null);
    }
    vec![
        ("application/json", b"[".repeat(500_000)),
        ("application/json", br#"{"a":"#.repeat(80_000)),
        ("application/json", Value::Object(object).to_string().into_bytes()),
        ("application/json", format!("{{\"userid\":{}}}", "9".repeat(400_000)).into_bytes()),
        ("application/x-www-form-urlencoded", b"a=b&".repeat(120_000)),
        ("application/x-www-form-urlencoded", b"%".repeat(500_000)),
        ("application/x-www-form-urlencoded", vec![b'a'; 3 << 20]),
        ("application/json", vec![b' '; 3 << 20]),
    ]
}
