//! Recorded exchanges as read from the files.

use std::fs;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::golden;

/// One recorded call and its answer. See `tests/golden/api/README.md`.
#[derive(Debug, Deserialize)]
pub struct Exchange {
    pub seq: u64,
    #[serde(rename = "as")]
    pub who: String,
    pub method: String,
    pub path: String,
    pub content_type: Option<String>,
    body: Option<RecordedBody>,
    #[serde(default)]
    pub request_headers: Map<String, Value>,
    pub server: Option<String>,
    /// Missing where the connection was closed without an answer.
    pub status: Option<u16>,
    pub response_content_type: Option<String>,
    pub response: Value,
    #[serde(default)]
    pub response_headers: Map<String, Value>,
    #[serde(default)]
    pub capture: Vec<String>,
    pub poll_until: Option<Value>,
    pub note: Option<String>,
    pub scheme: Option<String>,
}

impl Exchange {
    /// Returns the number of the server the call goes to.
    pub fn server_number(&self) -> u8 {
        if self.server.as_deref() == Some("rec2") { 2 } else { 1 }
    }

    /// Returns the body's text; empty for other bodies.
    pub fn text(&self) -> &str {
        if let Some(RecordedBody::Text(text)) = &self.body { text } else { "" }
    }

    /// Returns the body, with its text translated.
    pub fn body(&self, translate: impl Fn(&str) -> String) -> Vec<u8> {
        match &self.body {
            None => Vec::new(),
            Some(RecordedBody::Text(text)) => translate(text).into_bytes(),
            Some(RecordedBody::Bytes { base64 }) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
            Some(RecordedBody::Repeated { parts: (before, text, times, after) }) => {
                [before, text.repeat(*times).as_str(), after].concat().into_bytes()
            }
        }
    }

    /// Returns the path without the query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap()
    }

    /// Returns whether the recorder shortened lists of the answer.
    pub fn is_truncated(&self) -> bool {
        self.note.as_ref().is_some_and(|note| note.contains("truncated here"))
    }
}

/// A body as sent: text, or bytes that are none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RecordedBody {
    Text(String),
    Bytes {
        #[serde(rename = "$base64")]
        base64: String,
    },
    Repeated {
        #[serde(rename = "$repeat")]
        parts: (String, String, usize, String),
    },
}

/// Returns the names of all recorded areas.
pub fn areas() -> Vec<String> {
    let files = fs::read_dir(golden("api")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut areas: Vec<String> = files.filter_map(|name| Some(name.strip_suffix(".jsonl")?.to_owned())).collect();
    areas.sort();
    areas
}

/// Reads the exchanges of an area.
pub fn read(area: &str) -> Vec<Exchange> {
    let text = fs::read_to_string(golden("api").join(format!("{area}.jsonl"))).unwrap();
    let exchanges = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap());
    exchanges.collect()
}
