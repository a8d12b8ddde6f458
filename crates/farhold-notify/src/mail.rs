//! A mail: who gets it, from whom, and its bytes.
//!
//! Only addresses that are plain leave this file, and nothing in a head can begin a line of its own.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{ContentType, Date, From, HeaderName, HeaderValue, Headers, MessageId, Subject, To};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};

use crate::delivery::{DeliveryError, Outside};
use crate::event::Event;
use crate::target::{Recipients, Sender, Target};
use crate::words::Rendered;

/// Longest address, in bytes. Source: RFC 5321, 4.5.3.1.3.
const MAX_ADDRESS_BYTES: usize = 254;
/// Last moment of the year 9999: the form of a date ends there.
const LAST_TIMESTAMP: i64 = 253_402_300_799;

/// A recipient or sender.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    /// As written, perhaps a name of the local mail system such as `root`.
    pub written: String,
    /// With a domain.
    pub full: Address,
}

/// A mail as it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Whom it comes from.
    pub from: Person,
    /// Who gets it; at least one, each once.
    pub to: Vec<Person>,
    /// Head and body, in ASCII, CR LF between the lines and none after the last.
    pub bytes: Vec<u8>,
}

/// Composes the mail of an event.
///
/// A user without an address gets nothing. The date is that of the event, and its id is in the message's, so that a mail
/// that is delivered twice is known as the same.
///
/// # Errors
/// Nobody is left, or an address is none.
pub(crate) fn compose(
    target: &Target,
    event: &Event,
    words: &Rendered,
    recipients: &Recipients,
    sender: &Sender,
    outside: &Outside,
) -> Result<Mail, DeliveryError> {
    let of_users = recipients.users.iter().filter_map(|user| (outside.address_of)(user));
    let mut to: Vec<Person> = Vec::new();
    for written in recipients.addresses.iter().cloned().chain(of_users) {
        let person = person(&written, &outside.fqdn)?;
        if to.iter().all(|other| other.full != person.full) {
            to.push(person);
        }
    }
    if to.is_empty() {
        return Err(DeliveryError::NoRecipient);
    }
    let from = sender.address.as_deref().or(outside.email_from.as_deref()).unwrap_or("root");
    let from = person(from, &outside.fqdn)?;
    let author = sender.author.clone().unwrap_or_else(|| format!("Farhold - {}", outside.node));
    let mut headers = Headers::new();
    headers.set(Date::new(moment(event)));
    headers.set(From::from(Mailboxes::from(Mailbox::new(Some(line(&author)), from.full.clone()))));
    let all: Mailboxes = to.iter().map(|person| Mailbox::new(None, person.full.clone())).collect();
    headers.set(To::from(all));
    headers.set(Subject::from(line(&words.title)));
    headers.set(MessageId::from(format!("<{}.{}@{}>", event.id, target.name, from.full.domain())));
    // Answers of absence are of no use to a program. Source: RFC 3834, 5.
    headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("MIME-Version"), "1.0".to_owned()));
    let mut bytes = headers.to_string().into_bytes();
    // Parts bring their own headers, then the empty line.
    let text = words.body_text.clone();
    bytes.extend(match &words.body_html {
        None => SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text).formatted(),
        Some(html) => MultiPart::alternative_plain_html(text, html.clone()).formatted(),
    });
    // Whoever takes the mail ends its last line; more would be empty lines.
    while matches!(bytes.last(), Some(b'\r' | b'\n')) {
        bytes.pop();
    }
    Ok(Mail { from, to, bytes })
}

fn moment(event: &Event) -> SystemTime {
    let seconds = event.timestamp.0.clamp(0, LAST_TIMESTAMP);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
}

fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a person of an address; one without a domain is at home on this host.
fn person(written: &str, fqdn: &str) -> Result<Person, DeliveryError> {
    let refused = || DeliveryError::Address { address: crate::delivery::shown(written) };
    // Quoted names could hold these; nobody has such an address, and programs read them in many ways.
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || "<>()[]{}\\,;:\"|`".contains(c);
    if written.chars().any(is_odd) || MAX_ADDRESS_BYTES < written.len() {
        return Err(refused());
    }
    let (name, domain) = written.rsplit_once('@').unwrap_or((written, fqdn));
    let full = Address::new(name, domain).map_err(|_| refused())?;
    Ok(Person { written: written.to_owned(), full })
}
