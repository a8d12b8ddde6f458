//! Tickets of earlier logins, so that not every command asks for a password.
//!
//! JSON `{server: {user: {timestamp, ticket, token}}}`. A ticket is used while it is younger than its life of two
//! hours, less a minute. Source: `docs/spec/cli.md` 5.2.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use farhold_client::Ticket;
use farhold_types::{Epoch, Secret};
use serde::{Deserialize, Serialize};

/// A ticket of this age, in seconds, is not used any more.
const MAX_AGE_SECONDS: i64 = 2 * 3600 - 60;

/// One ticket. No `Debug`: it is a secret.
#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    timestamp: i64,
    ticket: String,
    #[serde(default)]
    token: String,
}

type Entries = BTreeMap<String, BTreeMap<String, Entry>>;

/// Returns the ticket of a user on a server, if there is one that is still good.
pub fn find(path: &Path, server: &str, user: &str, now: Epoch) -> Option<Secret> {
    let entries = load(path, now);
    entries.get(server)?.get(user).map(|entry| Secret::new(entry.ticket.as_str()))
}

/// Keeps a ticket, in place of an earlier one. Tickets that are too old are dropped.
///
/// # Errors
/// The file cannot be written.
pub fn keep(path: &Path, server: &str, user: &str, ticket: &Ticket, now: Epoch) -> io::Result<()> {
    let mut entries = load(path, now);
    let token = ticket.csrf_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default();
    let entry = Entry { timestamp: now.0, ticket: ticket.ticket.expose().to_owned(), token };
    entries.entry(server.to_owned()).or_default().insert(user.to_owned(), entry);
    save(path, &entries)
}

/// Forgets the ticket of a user on a server.
///
/// # Errors
/// The file cannot be written.
pub fn forget(path: &Path, server: &str, user: &str, now: Epoch) -> io::Result<()> {
    let mut entries = load(path, now);
    let removed = entries.get_mut(server).and_then(|users| users.remove(user));
    if removed.is_some() { save(path, &entries) } else { Ok(()) }
}

/// Returns the tickets that are still good; none if the file is missing or damaged.
fn load(path: &Path, now: Epoch) -> Entries {
    let text = super::read(path).unwrap_or_default();
    let mut entries: Entries = serde_json::from_str(&text).unwrap_or_default();
    let is_good = |entry: &Entry| (0..MAX_AGE_SECONDS).contains(&now.seconds_since(Epoch(entry.timestamp)));
    for users in entries.values_mut() {
        users.retain(|_, entry| is_good(entry));
    }
    entries.retain(|_, users| !users.is_empty());
    entries
}

fn save(path: &Path, entries: &Entries) -> io::Result<()> {
    let text = zeroize::Zeroizing::new(serde_json::to_vec(entries)?);
    super::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(text: &str) -> Ticket {
        Ticket { ticket: Secret::new(text), csrf_token: Some(Secret::new("csrf")) }
    }

    #[test]
    fn a_ticket_is_found_by_server_and_user_until_it_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/tickets");
        let found = |server: &str, user: &str, now| {
            find(&path, server, user, Epoch(now)).map(|secret| secret.expose().to_owned())
        };
        keep(&path, "host1", "a@pbs", &ticket("one"), Epoch(1000)).unwrap();
        keep(&path, "host1", "b@pbs", &ticket("two"), Epoch(1000)).unwrap();
        keep(&path, "host1", "a@pbs", &ticket("three"), Epoch(1100)).unwrap();
        assert_eq!(found("host1", "a@pbs", 1100).as_deref(), Some("three"));
        assert_eq!(found("host1:8008", "a@pbs", 1100), None);
        assert_eq!(found("host1", "b@pbs", 1000 + 7139).as_deref(), Some("two"));
        assert_eq!(found("host1", "b@pbs", 1000 + 7140), None);
        // A clock that was set back says nothing about the ticket's age.
        assert_eq!(found("host1", "b@pbs", 999), None);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""host1":{"a@pbs":{"timestamp":1100,"ticket":"three","token":"csrf"}"#), "{text}");

        forget(&path, "host1", "a@pbs", Epoch(1100)).unwrap();
        forget(&path, "nowhere", "a@pbs", Epoch(1100)).unwrap();
        assert_eq!(found("host1", "a@pbs", 1100), None);
        // The next write drops what nobody can use.
        keep(&path, "host2", "a@pbs", &ticket("new"), Epoch(90_000)).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("two"));
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickets");
        for damaged in ["", "{", "[]", r#"{"host1":{"a@pbs":{"timestamp":"x"}}}"#] {
            std::fs::write(&path, damaged).unwrap();
            assert!(find(&path, "host1", "a@pbs", Epoch(1)).is_none());
            keep(&path, "host1", "a@pbs", &ticket("one"), Epoch(1)).unwrap();
            assert!(find(&path, "host1", "a@pbs", Epoch(1)).is_some());
        }
    }
}
