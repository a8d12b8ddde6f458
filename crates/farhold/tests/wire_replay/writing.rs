//! Plays records of backup sessions, request by request in their order, with as many in flight as recorded.

use std::collections::BTreeMap;

use farhold_types::{Epoch, Group, Snapshot};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::connection::{Session, Wire, WireAnswer};
use crate::content::{Chunks, value};
use crate::listings;
use crate::play::{Line, differences};
use crate::stage::{PASSWORD, Stage};
use crate::uploads::{Closed, Uploads};

/// One connection of the record.
enum Open {
    Plain(Box<Wire>),
    Session(Session, Uploads),
}

/// A request in flight: its line, what was sent, and the answer.
type InFlight = BoxFuture<'static, (Line, String, WireAnswer)>;

/// Plays records on one stage.
pub struct Writing<'s> {
    pub stage: &'s mut Stage,
    /// Whether listings name the same things as recorded.
    pub compares_listings: bool,
    chunks: Chunks,
    closed: Closed,
    /// Ticket and CSRF token by user.
    logins: BTreeMap<String, (String, String)>,
    open: BTreeMap<u64, Open>,
    in_flight: Vec<(u64, InFlight)>,
    pub requests: usize,
    pub wrong: Vec<String>,
}

impl<'s> Writing<'s> {
    pub fn new(stage: &'s mut Stage, records: &[Vec<Line>]) -> Self {
        let mut chunks = Chunks::default();
        for lines in records {
            chunks.learn(lines);
        }
        Self {
            stage,
            compares_listings: true,
            chunks,
            closed: Closed::new(),
            logins: BTreeMap::new(),
            open: BTreeMap::new(),
            in_flight: Vec::new(),
            requests: 0,
            wrong: Vec::new(),
        }
    }

    /// Plays a record to its end.
    pub async fn play(&mut self, lines: &[Line]) {
        for line in lines {
            self.wait_until(line.ms).await;
            if line.event.as_deref() == Some("close") {
                self.close(line.conn).await;
            }
            if line.method.is_none() {
                continue;
            }
            self.requests += 1;
            if line.proto == "h2" {
                self.session_request(line).await;
            } else {
                self.plain_request(line).await;
            }
        }
        self.wait_until(u64::MAX).await;
        let open: Vec<u64> = self.open.keys().copied().collect();
        for number in open {
            self.close(number).await;
        }
    }

    async fn close(&mut self, number: u64) {
        self.wait_until(u64::MAX).await;
        self.open.remove(&number);
        let sessions = self.open.values().filter(|open| matches!(open, Open::Session(..))).count();
        self.stage.wait_for_sessions(sessions).await;
    }

    /// Waits for the answers that had come at this moment of the record.
    async fn wait_until(&mut self, ms: u64) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|(end, _)| *end <= ms);
        self.in_flight = later;
        for (_, answer) in due {
            let (line, path, answer) = answer.await;
            self.compare(&line, &path, &answer);
            if let Some(Open::Session(_, uploads)) = self.open.get_mut(&line.conn) {
                uploads.answered(&line, &answer.body, &self.chunks, &mut self.closed);
            }
        }
    }

    fn compare(&mut self, line: &Line, path: &str, answer: &WireAnswer) {
        for difference in differences(line, answer) {
            let (method, label) = (line.method.as_deref().unwrap(), line.label.as_deref().unwrap_or_default());
            self.wrong.push(format!("{}: {method} {path} [{label}]: {difference}", line.seq));
        }
        let is_index = line.resp_body_kind.as_deref().is_some_and(|kind| kind.ends_with("index"));
        if is_index && line.resp_len != answer.body.len() {
            self.wrong.push(format!(
                "{}: {path}: index of {} bytes, ours {}",
                line.seq,
                line.resp_len,
                answer.body.len()
            ));
        }
    }

    async fn session_request(&mut self, line: &Line) {
        if let Some(label) = &line.label {
            self.stage.prepare(label);
        }
        let Some(Open::Session(session, uploads)) = self.open.get_mut(&line.conn) else {
            self.wrong.push(format!("{}: there is no session", line.seq));
            return;
        };
        let sent = uploads.translate(line, &self.chunks, &self.closed);
        let headers = line.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<(&str, &str)> = headers.filter(|(name, _)| !name.starts_with(':')).collect();
        let answer = session.send_with(line.method.as_deref().unwrap(), &sent.path, &headers, sent.body).await;
        let (line, end) = (line.clone(), line.end_ms);
        self.in_flight.push((end, Box::pin(async move { (line, sent.path, answer.await) })));
    }

    async fn plain_request(&mut self, line: &Line) {
        if let Some(label) = &line.label {
            self.stage.prepare(label);
        }
        let mut wire = match self.open.remove(&line.conn) {
            Some(Open::Plain(wire)) => *wire,
            _ => Wire::connect(self.stage.port()).await,
        };
        let body = line.body.clone().unwrap_or_default().replace("<secret>", PASSWORD).into_bytes();
        let body = if line.body.is_none() && 0 < line.body_len {
            crate::content::container(farhold_format::blob::BlobKind::Plain, line.body_len)
        } else {
            body
        };
        let headers: Vec<(String, String)> =
            line.headers.iter().map(|(name, value)| (name.clone(), self.header(name, value, body.len()))).collect();
        let method = line.method.as_deref().unwrap();
        let answer = wire.request(method, &line.path, &headers, &body).await;
        self.compare(line, &line.path, &answer);
        if self.compares_listings
            && let Some(difference) = listings::difference(line, &answer)
        {
            self.wrong.push(format!("{}: {method} {}: {difference}", line.seq, line.path));
        }
        self.note_login(&answer);
        let open = if answer.status == 101 {
            Open::Session(wire.session().await, Uploads::new(&snapshot(&line.path)))
        } else {
            Open::Plain(Box::new(wire))
        };
        self.open.insert(line.conn, open);
    }

    fn header(&self, name: &str, recorded: &str, length: usize) -> String {
        match name {
            "content-length" => length.to_string(),
            "authorization" => {
                let tokenid = recorded.strip_prefix("PBSAPIToken ").and_then(|rest| rest.strip_suffix(":<secret>"));
                let secret = tokenid.and_then(|tokenid| self.stage.secrets.get(tokenid));
                secret.map_or_else(|| recorded.to_owned(), |secret| recorded.replace("<secret>", secret))
            }
            "cookie" => {
                let user = recorded.split(':').nth(1).unwrap_or_default();
                format!("PBSAuthCookie={}", self.logins[user].0)
            }
            "csrfpreventiontoken" => self.logins.values().next().map_or_else(String::new, |login| login.1.clone()),
            _ => recorded.to_owned(),
        }
    }

    fn note_login(&mut self, answer: &WireAnswer) {
        let value = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let data = &value["data"];
        if let (Some(user), Some(ticket)) = (data["username"].as_str(), data["ticket"].as_str()) {
            let token = data["CSRFPreventionToken"].as_str().unwrap_or_default();
            self.logins.insert(user.to_owned(), (ticket.to_owned(), token.to_owned()));
        }
    }
}

fn snapshot(path: &str) -> Snapshot {
    let parameter = |name| value(path, name).unwrap();
    let group = Group::new(parameter("backup-type").parse().unwrap(), parameter("backup-id").parse().unwrap());
    group.at(Epoch(parameter("backup-time").parse().unwrap()))
}
