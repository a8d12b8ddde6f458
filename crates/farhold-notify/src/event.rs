//! What happened, and the form in which it waits in a file.
//!
//! ```text
//! {"content":{"template":{"template-name":"sync-ok","data":{...}}},
//!  "metadata":{"severity":"info","timestamp":1795383023,"additional-fields":{"type":"sync",...}},
//!  "id":"bd98882b-1538-47ae-88c6-5cb81044c282"}
//! ```
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10.1, 10.2.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use farhold_types::{Epoch, Randomness};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

/// Largest file of an event, in bytes. A failed verification names every failed snapshot; this is room for about 50,000
/// of them. Whoever makes an event shortens its lists to stay below. Source: our own choice.
pub const MAX_EVENT_BYTES: usize = 4 << 20;

/// Longest name of a template, in bytes; names of files are made of it.
const MAX_TEMPLATE_NAME: usize = 64;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// All went well.
    Info,
    /// Worth knowing.
    Notice,
    /// Something may become a trouble.
    Warning,
    /// Something failed.
    Error,
    /// Nobody knows; mail that the host forwards.
    Unknown,
}

impl Severity {
    /// Returns the name as matchers, files and peers see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identity of an event: a random UUID in its canonical text, also the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// Returns a new one.
    pub fn random(randomness: &dyn Randomness) -> Self {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for EventId {
    type Err = EventError;

    /// Accepts the canonical text only: 36 characters in lower case.
    fn from_str(text: &str) -> Result<Self, EventError> {
        let id = Uuid::try_parse(text).map(Self).map_err(|_| EventError::Id)?;
        if id.to_string() == text { Ok(id) } else { Err(EventError::Id) }
    }
}

/// Why bytes are no event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventError {
    /// More than [`MAX_EVENT_BYTES`].
    #[error("the event is too large, {size_bytes} bytes")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
    },
    /// No JSON, or a member is missing or of another type.
    #[error("the event has another form")]
    Form(#[source] serde_json::Error),
    /// The identity is no UUID.
    #[error("the event's id is no UUID")]
    Id,
    /// The name of the template could not be one of a file.
    #[error("the event's template has an impossible name")]
    Template,
}

/// Something that happened and that somebody may want to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its identity.
    pub id: EventId,
    /// How much it matters.
    pub severity: Severity,
    /// When it happened.
    pub timestamp: Epoch,
    /// What matchers look at, such as `type`, `datastore`, `job-id`, `hostname`.
    pub fields: BTreeMap<String, String>,
    /// Name of the template that makes words of it.
    pub template: String,
    /// What the template may say.
    pub data: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    content: Content,
    metadata: Metadata,
    id: String,
}

#[derive(Serialize, Deserialize)]
struct Content {
    template: TemplateContent,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TemplateContent {
    template_name: String,
    data: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    severity: Severity,
    timestamp: i64,
    #[serde(default)]
    additional_fields: BTreeMap<String, String>,
}

impl Event {
    /// Reads an event from the bytes of its file.
    ///
    /// # Errors
    /// [`EventError`]: whatever anybody may have put there.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EventError> {
        if MAX_EVENT_BYTES < bytes.len() {
            return Err(EventError::TooLarge { size_bytes: bytes.len() });
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(EventError::Form)?;
        let TemplateContent { template_name, data } = wire.content.template;
        if !is_template_name(&template_name) {
            return Err(EventError::Template);
        }
        Ok(Self {
            id: wire.id.parse()?,
            severity: wire.metadata.severity,
            timestamp: Epoch(wire.metadata.timestamp),
            fields: wire.metadata.additional_fields,
            template: template_name,
            data,
        })
    }

    /// Returns the bytes of its file.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            content: Content {
                template: TemplateContent { template_name: self.template.clone(), data: self.data.clone() },
            },
            metadata: Metadata {
                severity: self.severity,
                timestamp: self.timestamp.0,
                additional_fields: self.fields.clone(),
            },
            id: self.id.to_string(),
        };
        serde_json::to_vec(&wire).expect("maps with text keys always have a JSON form")
    }
}

/// Returns whether a text can be the name of a template: names of files are made of it.
pub(crate) fn is_template_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= MAX_TEMPLATE_NAME && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as the reference product left them, one a line. Source: `tests/golden/README.md`.
    const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/notifications.jsonl"));

    fn recorded() -> impl Iterator<Item = Event> {
        RECORDED.lines().map(|line| Event::from_json(line.as_bytes()).unwrap())
    }

    #[test]
    fn recorded_events_are_understood_and_written_alike() {
        let events: Vec<Event> = recorded().collect();
        assert_eq!(events.len(), 6);
        for (event, line) in events.iter().zip(RECORDED.lines()) {
            let [written, original] =
                [&event.to_json()[..], line.as_bytes()].map(|json| serde_json::from_slice::<Value>(json).unwrap());
            assert_eq!(written, original);
        }
        let failed = events.iter().find(|event| event.template == "sync-err").unwrap();
        assert_eq!((failed.severity, failed.timestamp), (Severity::Error, Epoch(1_795_383_030)));
        assert_eq!(failed.fields["job-id"], "bad");
        assert_eq!(failed.data["error"], "client error (Connect)");
    }

    #[test]
    fn other_bytes_are_no_events() {
        let good = String::from_utf8(recorded().next().unwrap().to_json()).unwrap();
        assert!(Event::from_json(good.as_bytes()).is_ok());
        for (from, to) in [
            ("verify-ok", "../../etc/passwd"),
            ("verify-ok", ""),
            ("\"info\"", "\"fatal\""),
            ("0059cbdc-", "../../"),
            ("0059cbdc-", "0059CBDC-"),
            ("\"id\"", "\"di\""),
            ("\"vvv\"", "7"),
            ("{", "["),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(Event::from_json(bad.as_bytes()).is_err(), "{from} -> {to}");
        }
        assert!(Event::from_json(&vec![b' '; MAX_EVENT_BYTES + 1]).is_err());
        assert!(Event::from_json(b"").is_err());
    }

    #[test]
    fn identities_are_random_uuids_of_version_four() {
        struct Ones;
        impl Randomness for Ones {
            fn fill(&self, buffer: &mut [u8]) {
                buffer.fill(0xff);
            }
        }
        let id = EventId::random(&Ones);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    }
}
