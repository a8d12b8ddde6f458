//! An event on its way to one recipient, and the file that it waits in.

use std::fmt;

use farhold_notify::{Event, EventError, EventId, MAX_EVENT_BYTES};
use farhold_types::{Epoch, JobKind, Userid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Largest file of a delivery in bytes: the event and some hundred bytes beside it.
pub(super) const MAX_DELIVERY_BYTES: usize = MAX_EVENT_BYTES + 64 * 1024;

/// How a run ended, as a ping tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PingOutcome {
    /// Also with warnings.
    Success,
    /// Otherwise.
    Failure,
}

/// Who gets an event. Where secrets are needed to reach somebody, they are looked up for each attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A target of the notification settings.
    Target(String),
    /// The mail address of a user.
    MailOfUser(Userid),
    /// The address that a job pings.
    Ping {
        /// Kind of the job.
        kind: JobKind,
        /// Its id, or a datastore.
        name: String,
        /// How its run ended.
        outcome: PingOutcome,
    },
}

impl Recipient {
    /// Returns what the recipient's deliveries have in common: they go one after the other, beside those of others.
    /// Always part of a file name.
    pub(super) fn lane(&self) -> String {
        match self {
            Self::Target(name) => format!("to-{name}"),
            Self::MailOfUser(_) => "mail".to_owned(),
            Self::Ping { kind, name, .. } => format!("ping-{kind}-{name}"),
        }
    }

    /// Returns whether a newer delivery in the lane makes older ones pointless.
    pub(super) const fn only_newest(&self) -> bool {
        matches!(self, Self::Ping { .. })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(name) => write!(f, "target '{name}'"),
            Self::MailOfUser(user) => write!(f, "the mail address of {user}"),
            Self::Ping { kind, name, .. } => write!(f, "the ping address of {kind} job '{name}'"),
        }
    }
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delivery {
    pub(super) recipient: Recipient,
    pub(super) event: Event,
    pub(super) queued: Epoch,
    /// Order among those queued in the same second.
    pub(super) sequence: u64,
    /// Attempts that failed.
    pub(super) failures: u32,
    pub(super) last_attempt: Option<Epoch>,
}

/// Why a file is no delivery.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(super) enum DeliveryFormError {
    #[error("it has another form")]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("it names no job that can be")]
    Job,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    to: To,
    queued: i64,
    sequence: u64,
    failures: u32,
    last_attempt: Option<i64>,
    event: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum To {
    Target(String),
    MailOfUser(Userid),
    #[serde(rename_all = "kebab-case")]
    Ping {
        job_kind: String,
        job: String,
        outcome: PingOutcome,
    },
}

impl Delivery {
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}.json", self.event.id, self.recipient.lane())
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let to = match &self.recipient {
            Recipient::Target(name) => To::Target(name.clone()),
            Recipient::MailOfUser(user) => To::MailOfUser(user.clone()),
            Recipient::Ping { kind, name, outcome } => {
                To::Ping { job_kind: kind.as_str().to_owned(), job: name.clone(), outcome: *outcome }
            }
        };
        let event = serde_json::from_slice(&self.event.to_json()).expect("an event's form is JSON");
        let last_attempt = self.last_attempt.map(|at| at.0);
        let (queued, sequence, failures) = (self.queued.0, self.sequence, self.failures);
        let file = File { to, queued, sequence, failures, last_attempt, event };
        serde_json::to_vec(&file).expect("maps with text keys always have a JSON form")
    }

    /// Reads a delivery from the bytes of its file.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, DeliveryFormError> {
        let file: File = serde_json::from_slice(bytes)?;
        let recipient = match file.to {
            To::Target(name) => Recipient::Target(name),
            To::MailOfUser(user) => Recipient::MailOfUser(user),
            To::Ping { job_kind, job, outcome } => {
                let kind = job_kind.parse().map_err(|_| DeliveryFormError::Job)?;
                Recipient::Ping { kind, name: job, outcome }
            }
        };
        Ok(Self {
            recipient,
            event: Event::from_json(&serde_json::to_vec(&file.event)?)?,
            queued: Epoch(file.queued),
            sequence: file.sequence,
            failures: file.failures,
            last_attempt: file.last_attempt.map(Epoch),
        })
    }
}

/// Returns the lane in the name of a delivery's file; `None` for a file of another name.
pub(super) fn lane_of(name: &str) -> Option<&str> {
    let (id, rest) = name.strip_suffix(".json")?.split_once('.')?;
    id.parse::<EventId>().ok()?;
    Some(rest)
}
