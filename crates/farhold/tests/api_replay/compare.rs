//! Whether an answer is the recorded one, apart from what differs from run to run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bindings::Bindings;
use crate::exchange::Exchange;

/// Members whose values differ from run to run: compared by type only. Source: `varies` in the recordings.
const VARIES: &[&str] = &[
    "CSRFPreventionToken",
    "archived-at",
    "avail",
    "challenge",
    "cpu",
    "created",
    "digest",
    "duration",
    "endtime",
    "error",
    "fingerprint",
    "history",
    "history-start",
    "last-run-endtime",
    "last-run-upid",
    "localtime",
    "modified",
    "n",
    "next-run",
    "notafter",
    "notbefore",
    "pem",
    "pid",
    "pstart",
    "recovery",
    "repoid",
    "secret",
    "starttime",
    "t",
    "ticket",
    "ticket-info",
    "time",
    "total",
    "uptime",
    "used",
    "value",
    "wait",
];

/// Members that name an element of a list: lists that hold one are compared as sets.
const IDS: &[&str] = &[
    "upid",
    "ugid",
    "id",
    "name",
    "store",
    "userid",
    "tokenid",
    "realm",
    "ns",
    "subdir",
    "roleid",
    "filename",
    "path",
    "backup-time",
    "backup-id",
    "backup-type",
    "privs",
    "n",
];

/// Members that hold the result of a task, which is a free text if the task failed.
const RESULTS: &[&str] = &["status", "exitstatus", "last-run-state"];

/// Returns whether the result of a task is an error.
fn is_failed(result: &str) -> bool {
    !["OK", "unknown", "running", "stopped"].contains(&result) && !result.starts_with("WARNINGS:")
}

/// Returns what differs, one line each; empty if nothing does.
pub fn differences(exchange: &Exchange, bindings: &Bindings, skipped: &[String], ours: &Answer) -> Vec<String> {
    let mut found = Found { bindings, skipped, is_truncated: exchange.is_truncated(), lines: Vec::new() };
    let Some(status) = exchange.status else {
        return vec![format!("recorded: connection closed; ours: {}", ours.status)];
    };
    if status != ours.status {
        return vec![format!("status {status}, ours {}: {}", ours.status, ours.value)];
    }
    if exchange.response_content_type != ours.content_type {
        let types = (&exchange.response_content_type, &ours.content_type);
        found.lines.push(format!("content type {:?}, ours {:?}", types.0, types.1));
    }
    for (name, recorded) in &exchange.response_headers {
        found.header(name, recorded.as_str().unwrap_or_default(), ours);
    }
    if 400 <= status {
        // Texts of errors are free, their form is not.
        if !ours.value.is_string() {
            found.lines.push(format!("the answer of an error is no plain text: {}", ours.value));
        }
    } else if let Some(length) = exchange.response.get("$length") {
        let recorded = (length.as_u64(), exchange.response["$sha256"].as_str());
        let sha256 = ours.sha256();
        if recorded != (Some(ours.bytes.len() as u64), Some(&sha256)) {
            found.lines.push(format!("{recorded:?}, ours {} bytes, SHA-256 {sha256}", ours.bytes.len()));
        }
    } else {
        let is_log = exchange.bare_path().ends_with("/log");
        found.value("", &exchange.response, &ours.value, is_log);
    }
    found.lines
}

/// An answer of our server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Parsed JSON, or text.
    pub value: Value,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answer {
    fn sha256(&self) -> String {
        farhold_crypto::sha256(&self.bytes).to_string()
    }
}

struct Found<'a> {
    bindings: &'a Bindings,
    skipped: &'a [String],
    is_truncated: bool,
    lines: Vec<String>,
}

impl Found<'_> {
    fn header(&mut self, name: &str, recorded: &str, ours: &Answer) {
        let header = ours.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let Some(header) = header else {
            // Added by the connection, not by the dispatcher.
            if !["content-length", "transfer-encoding"].contains(&name) {
                self.lines.push(format!("header {name}: {recorded} is missing"));
            }
            return;
        };
        let same = match name {
            "content-length" => true,
            // The ticket differs, its place and the attributes do not.
            "set-cookie" => without_value(header) == without_value(recorded),
            _ => header == self.bindings.in_answer(recorded),
        };
        if !same {
            self.lines.push(format!("header {name}: {recorded:?}, ours {header:?}"));
        }
    }

    fn value(&mut self, at: &str, recorded: &Value, ours: &Value, is_log: bool) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) => {
                let is_failure = recorded.get("success") == Some(&Value::Bool(false));
                let names: BTreeSet<&String> = recorded.keys().chain(ours.keys()).collect();
                for name in names {
                    let here = format!("{at}/{name}");
                    match (recorded.get(name), ours.get(name)) {
                        (Some(recorded), Some(ours)) if is_failure && name == "errors" => {
                            let names =
                                |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
                            if names(recorded) != names(ours) {
                                self.lines.push(format!("{here}: {recorded}, ours {ours}"));
                            }
                        }
                        (Some(recorded), Some(ours)) if is_failure && name == "message" => {
                            self.kind(&here, recorded, ours);
                        }
                        (Some(recorded), Some(ours)) if VARIES.contains(&name.as_str()) => {
                            self.kind(&here, recorded, ours);
                        }
                        (Some(Value::String(recorded)), Some(Value::String(ours)))
                            if RESULTS.contains(&name.as_str()) && is_failed(recorded) && is_failed(ours) => {}
                        (Some(recorded), Some(ours)) => self.value(&here, recorded, ours, is_log),
                        (Some(recorded), None) => self.lines.push(format!("{here}: missing (recorded: {recorded})")),
                        (None, Some(_)) if self.is_truncated && recorded.is_empty() => {}
                        (None, Some(ours)) => self.lines.push(format!("{here}: not recorded (ours: {ours})")),
                        (None, None) => {}
                    }
                }
            }
            (Value::Array(recorded), Value::Array(ours)) if is_log => {
                // How many lines a log has, and what they say, is ours; the form of a line is not.
                if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                    self.value(&format!("{at}/0"), recorded, ours, is_log);
                }
            }
            (Value::Array(recorded), Value::Array(ours)) => self.list(at, recorded, ours),
            (Value::String(recorded), Value::String(ours)) => {
                let expected = self.bindings.in_answer(recorded);
                if expected != *ours && run_free(&expected) != run_free(ours) {
                    self.lines.push(format!("{at}: {expected:?}, ours {ours:?}"));
                }
            }
            (Value::Number(_), Value::Number(_)) | (Value::Null, Value::Null) | (Value::Bool(_), Value::Bool(_)) => {
                let expected = self.bindings.in_answer(&recorded.to_string());
                let ours = ours.to_string();
                if expected != ours {
                    self.lines.push(format!("{at}: {recorded}, ours {ours}"));
                }
            }
            _ => self.lines.push(format!("{at}: {recorded}, ours {ours}")),
        }
    }

    fn list(&mut self, at: &str, recorded: &[Value], ours: &[Value]) {
        let key = |value: &Value| self.key(value);
        // What the recorded server did in calls that were skipped is not in our lists.
        let mut recorded: Vec<&Value> = recorded.iter().filter(|value| !self.is_of_skipped(value)).collect();
        let mut ours: Vec<&Value> = ours.iter().collect();
        recorded.sort_by_cached_key(|value| key(value));
        ours.sort_by_cached_key(|value| key(value));
        let is_index = recorded.first().is_some_and(|value| value.get("subdir").is_some());
        if self.is_truncated && recorded.iter().chain(&ours).all(|value| key(value).is_empty()) {
            // Rows have no names: each recorded one must have the form of one of ours.
            for (index, recorded) in recorded.iter().enumerate() {
                let has_form = |ours: &&&Value| {
                    let mut found = Found { lines: Vec::new(), is_truncated: true, ..*self };
                    found.form(recorded, ours);
                    found.lines.is_empty()
                };
                if ours.iter().find(has_form).is_none() {
                    self.lines.push(format!("{at}/{index}: {recorded}, and none of ours is like it"));
                }
            }
            return;
        }
        if is_index || self.is_truncated {
            // Our tree has fewer calls, and shortened lists show only the form of their elements.
            let keys: Vec<String> = recorded.iter().map(|value| key(value)).collect();
            let unknown: Vec<&Value> = ours.iter().filter(|value| !keys.contains(&key(value))).copied().collect();
            if is_index && !unknown.is_empty() {
                self.lines.push(format!("{at}: not recorded: {}", Value::from_iter(unknown.into_iter().cloned())));
            }
            ours.retain(|value| keys.contains(&self.key(value)));
            let kept: Vec<String> = ours.iter().map(|value| self.key(value)).collect();
            recorded.retain(|value| kept.contains(&self.key(value)));
        }
        if recorded.len() != ours.len() {
            let shown = |values: &[&Value]| values.iter().map(|v| self.key(v)).collect::<Vec<_>>().join(" | ");
            let (recorded, ours) = (shown(&recorded), shown(&ours));
            self.lines.push(format!("{at}: list of [{recorded}], ours [{ours}]"));
            return;
        }
        for (index, (recorded, ours)) in recorded.iter().zip(&ours).enumerate() {
            self.value(&format!("{at}/{index}"), recorded, ours, false);
        }
    }

    /// Compares names and kinds of the members of two objects, not their values.
    fn form(&mut self, recorded: &Value, ours: &Value) {
        let names = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<BTreeSet<_>>());
        if names(recorded) != names(ours) {
            self.lines.push(format!("{recorded}, ours {ours}"));
        }
        for (name, recorded) in recorded.as_object().into_iter().flatten() {
            self.kind(name, recorded, ours.get(name).unwrap_or(&Value::Null));
        }
    }

    /// Returns what an element is sorted and found by.
    fn key(&self, value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let ids: Vec<String> = IDS
                    .iter()
                    .filter_map(|name| members.get(*name))
                    .map(|id| match id {
                        Value::String(text) => run_free(&self.bindings.in_answer(text)),
                        other => other.to_string(),
                    })
                    .collect();
                ids.join(",")
            }
            Value::String(text) => run_free(&self.bindings.in_answer(text)),
            other => other.to_string(),
        }
    }

    fn is_of_skipped(&self, value: &Value) -> bool {
        let upid = value.get("upid").and_then(Value::as_str);
        upid.is_some_and(|upid| self.skipped.iter().any(|skipped| skipped == upid))
    }

    fn kind(&mut self, at: &str, recorded: &Value, ours: &Value) {
        let kind = |value: &Value| match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number with a point",
            Value::Number(_) => "integer",
            Value::String(_) => "text",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        if kind(recorded) != kind(ours) {
            self.lines.push(format!("{at}: {}, ours {}", kind(recorded), kind(ours)));
        }
    }
}

/// Returns a UPID without process, time and task number, and the id of a prune job that came with a datastore without
/// its random end; other texts as they are.
fn run_free(text: &str) -> String {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [id] if id.starts_with("default-") && id.len() == 32 => id.split('-').take(2).collect::<Vec<_>>().join("-"),
        ["UPID", node, _, _, _, _, ref rest @ ..] => format!("UPID:{node}:{}", rest.join(":")),
        _ => text.to_owned(),
    }
}

fn without_value(cookie: &str) -> (&str, &str) {
    let (name, rest) = cookie.split_once('=').unwrap_or((cookie, ""));
    (name, rest.split_once(';').map_or("", |(_, attributes)| attributes))
}
