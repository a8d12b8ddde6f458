//! Rules for single values, as far as reading a file checks them.
//!
//! Some rules are wider here than in `farhold-types`: what they let through too much is refused when a section becomes
//! a record. The two stages decide whether a fault spoils a whole file or one section.
//!
//! Source: `docs/spec/config-and-access.md` 2.8 and 5.1, `docs/spec/rest-api.md` 2.1.

use std::net::{Ipv4Addr, Ipv6Addr};

use farhold_format::config_schema::Value;
use farhold_rules::calendar::CalendarEvent;
use farhold_rules::daily_window::DailyWindow;
use farhold_types::{ByteSize, GroupFilter, is_safe_id};

/// No limit of its own; a whole file is bounded.
const UNBOUNDED: usize = usize::MAX;

/// Comment: one line, at most 128 characters.
pub const COMMENT: Value = Value::Text { min: 0, max: 128, check: Some(one_line) };
/// Id of a remote, job, rule, key or datastore.
pub const ID: Value = Value::Text { min: 3, max: 32, check: Some(safe_id) };
/// Name of a realm.
pub const REALM: Value = Value::Text { min: 2, max: 32, check: Some(safe_id) };
/// DNS name or IP address.
pub const HOST: Value = Value::Text { min: 1, max: UNBOUNDED, check: Some(host) };
/// SHA-256 of a certificate.
pub const FINGERPRINT: Value = Value::Text { min: 95, max: 95, check: Some(fingerprint) };
/// User.
pub const USERID: Value = Value::Text { min: 3, max: 64, check: Some(userid) };
/// API token.
pub const TOKENID: Value = Value::Text { min: 3, max: 64, check: Some(tokenid) };
/// User or API token.
pub const AUTHID: Value = Value::Text { min: 3, max: 64, check: Some(authid) };
/// Namespace, with up to 8 parts here.
pub const NAMESPACE: Value = Value::Text { min: 0, max: 256, check: Some(namespace) };
/// Calendar event.
pub const SCHEDULE: Value = Value::Text { min: 0, max: UNBOUNDED, check: Some(schedule) };
/// Part of the day.
pub const DAILY_WINDOW: Value = Value::Text { min: 0, max: UNBOUNDED, check: Some(daily_window) };
/// Group filter.
pub const GROUP_FILTER: Value = Value::Text { min: 0, max: UNBOUNDED, check: Some(group_filter) };
/// Bytes with a unit.
pub const BYTE_SIZE: Value = Value::Text { min: 1, max: 64, check: Some(byte_size) };
/// Network.
pub const CIDR: Value = Value::Text { min: 1, max: 43, check: Some(cidr) };
/// UUID in lower case.
pub const UUID: Value = Value::Text { min: 36, max: 36, check: Some(uuid) };
/// First name, last name, e-mail address.
pub const PERSON: Value = Value::Text { min: 2, max: 64, check: Some(one_line) };
/// One line without a limit of its own.
pub const LINE: Value = Value::Text { min: 0, max: UNBOUNDED, check: Some(one_line) };
/// One line that is not empty.
pub const FILLED_LINE: Value = Value::Text { min: 1, max: UNBOUNDED, check: Some(one_line) };

/// Refuses ASCII control characters.
pub fn one_line(text: &str) -> Result<(), String> {
    refuse_unless(!text.chars().any(|c| c.is_ascii_control()), "value must not contain control characters")
}

/// Requires a name.
pub fn safe_id(text: &str) -> Result<(), String> {
    refuse_unless(is_safe_id(text), "value does not match the pattern [A-Za-z0-9_][A-Za-z0-9._-]*")
}

/// Requires a DNS name or an IP address without brackets, port or zone.
pub fn host(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        end(label.chars().next())
            && end(label.chars().next_back())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_host = text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() || text.split('.').all(label);
    refuse_unless(is_host, "expected a DNS name or an IP address, without brackets, port or a dot at the end")
}

fn fingerprint(text: &str) -> Result<(), String> {
    let pairs: Vec<&str> = text.split(':').collect();
    let pair = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
    refuse_unless(pairs.len() == 32 && pairs.iter().all(pair), "expected 32 hex pairs joined by ':'")
}

/// Splits at the last `@` and checks both sides, without the limits of the realm's length.
fn is_user(text: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == '/';
    text.rsplit_once('@')
        .is_some_and(|(name, realm)| !name.is_empty() && !name.chars().any(forbidden) && is_safe_id(realm))
}

fn is_token(text: &str) -> bool {
    text.rsplit_once('!').is_some_and(|(user, token)| is_user(user) && is_safe_id(token))
}

fn userid(text: &str) -> Result<(), String> {
    refuse_unless(is_user(text), "expected a user id: <name>@<realm>")
}

fn tokenid(text: &str) -> Result<(), String> {
    refuse_unless(is_token(text), "expected a token id: <name>@<realm>!<token>")
}

fn authid(text: &str) -> Result<(), String> {
    refuse_unless(is_user(text) || is_token(text), "expected a user or token id: <name>@<realm>[!<token>]")
}

fn namespace(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_namespace = text.is_empty() || (parts.len() <= 8 && parts.iter().all(|part| is_safe_id(part)));
    refuse_unless(is_namespace, "expected a namespace: names joined by '/', or nothing for the root")
}

fn schedule(text: &str) -> Result<(), String> {
    CalendarEvent::parse(text).map(|_| ()).map_err(|error| format!("{error} (an event is 'daily' or 'mon..fri 02:30')"))
}

fn daily_window(text: &str) -> Result<(), String> {
    DailyWindow::parse(text).map(|_| ()).map_err(|error| format!("{error} (a window is 'mon..fri 8:00-18:30')"))
}

fn group_filter(text: &str) -> Result<(), String> {
    text.parse::<GroupFilter>().map(|_| ()).map_err(|e| e.to_string())
}

fn byte_size(text: &str) -> Result<(), String> {
    text.parse::<ByteSize>().map(|_| ()).map_err(|e| e.to_string())
}

fn cidr(text: &str) -> Result<(), String> {
    let is_cidr = text.split_once('/').is_some_and(|(address, prefix)| {
        let digits = |max: usize| (1..=max).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        (address.parse::<Ipv4Addr>().is_ok() && digits(2)) || (address.parse::<Ipv6Addr>().is_ok() && digits(3))
    });
    refuse_unless(is_cidr, "expected a network with prefix length, such as 10.0.0.0/8")
}

fn uuid(text: &str) -> Result<(), String> {
    let is_uuid = text.bytes().enumerate().all(|(at, b)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    });
    refuse_unless(is_uuid && text.len() == 36, "expected a UUID in lower case")
}

fn refuse_unless(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}
