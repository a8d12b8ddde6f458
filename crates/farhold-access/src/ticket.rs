//! Tickets and anti-forgery tokens as text: made, and checked.
//!
//! A ticket is `PBS:<user id>:<TIME>::<SIGNATURE>`, an anti-forgery token `<TIME>:<CODE>`. TIME is Unix seconds in
//! upper-case hex with at least 8 digits; signature and code are base64 without padding. Only this exact spelling is
//! accepted back.
//!
//! Source: `docs/spec/wire-protocol.md` 3.3 and 3.5.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use farhold_types::{Epoch, Userid};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::keys::Keys;

/// What every ticket starts with.
pub const TICKET_PREFIX: &str = "PBS";
/// A ticket or token may come from a clock that is ahead by so many seconds.
const MAX_AHEAD_SECONDS: i64 = 300;
/// A ticket or token is valid for so many seconds.
const MAX_AGE_SECONDS: i64 = 7200;
/// Longest text that is looked at, in bytes. An RSA ticket of the longest user id has about 950.
const MAX_TICKET_BYTES: usize = 4096;
/// What the ticket's fields have to encode.
const FIELD: &AsciiSet = &CONTROLS.add(b':');

/// Why a ticket or anti-forgery token was refused. For the authentication log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Not the form of a ticket or token.
    #[error("malformed ticket or token")]
    Malformed,
    /// An intermediate ticket, which stands for a login that is not finished.
    #[error("partial ticket")]
    Partial,
    /// Signed with another key, or changed.
    #[error("wrong signature")]
    Signature,
    /// From the future.
    #[error("ticket or token is from the future; compare the clocks")]
    Future,
    /// Too old.
    #[error("ticket or token has expired")]
    Expired,
}

/// A ticket that was just made.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedTicket {
    text: String,
}

impl IssuedTicket {
    /// Makes a ticket for `userid` that starts at `now`.
    pub(crate) fn new(keys: &Keys, userid: &Userid, now: Epoch) -> Self {
        let signed = signed_text(userid, now);
        let signature = STANDARD_NO_PAD.encode(keys.sign(&signed));
        Self { text: format!("{signed}::{signature}") }
    }

    /// Returns the ticket, for the client only.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Returns what may be shown to scripts in a browser: the ticket with a word in place of the signature.
    pub fn info(&self) -> String {
        let signed = self.text.split_once("::").map_or("", |(signed, _)| signed);
        format!("{signed}::ticketinfo")
    }
}

impl std::fmt::Debug for IssuedTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuedTicket(***)")
    }
}

/// Returns the user of a full ticket that is valid at `now`.
pub(crate) fn verify_ticket(keys: &Keys, text: &str, now: Epoch) -> Result<Userid, TicketError> {
    if MAX_TICKET_BYTES < text.len() {
        return Err(TicketError::Malformed);
    }
    let (signed, signature) = text.split_once("::").ok_or(TicketError::Malformed)?;
    let [prefix, data, time] = signed.split(':').collect::<Vec<_>>()[..] else {
        return Err(TicketError::Malformed);
    };
    if prefix != TICKET_PREFIX {
        return Err(TicketError::Malformed);
    }
    if data.starts_with("!tfa!") {
        return Err(TicketError::Partial);
    }
    let time = read_time(time)?;
    let name = percent_decode_str(data).decode_utf8().map_err(|_| TicketError::Malformed)?;
    let userid: Userid = name.parse().map_err(|_| TicketError::Malformed)?;
    // A name that contains a percent sign could otherwise be read as another user's.
    if signed != signed_text(&userid, time) {
        return Err(TicketError::Malformed);
    }
    let signature = STANDARD_NO_PAD.decode(signature).map_err(|_| TicketError::Malformed)?;
    if !keys.verify(signed, &signature) {
        return Err(TicketError::Signature);
    }
    check_age(time, now)?;
    Ok(userid)
}

/// Makes an anti-forgery token for `userid`.
pub(crate) fn csrf_token(keys: &Keys, userid: &Userid, now: Epoch) -> String {
    let time = time_text(now);
    let code = keys.csrf_code(&format!("{time}:{userid}:"));
    format!("{time}:{}", STANDARD_NO_PAD.encode(code))
}

/// Checks an anti-forgery token of `userid`.
pub(crate) fn verify_csrf(keys: &Keys, userid: &Userid, token: &str, now: Epoch) -> Result<(), TicketError> {
    let (time, code) =
        token.split_once(':').filter(|_| token.len() <= MAX_TICKET_BYTES).ok_or(TicketError::Malformed)?;
    let code = STANDARD_NO_PAD.decode(code).map_err(|_| TicketError::Malformed)?;
    let parsed = read_time(time)?;
    if !keys.verify_csrf_code(&format!("{time}:{userid}:"), &code) {
        return Err(TicketError::Signature);
    }
    check_age(parsed, now)
}

fn signed_text(userid: &Userid, time: Epoch) -> String {
    format!("{TICKET_PREFIX}:{}:{}", utf8_percent_encode(userid.as_str(), FIELD), time_text(time))
}

fn time_text(time: Epoch) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{:08X}", time.0);
    text
}

fn read_time(text: &str) -> Result<Epoch, TicketError> {
    let time = i64::from_str_radix(text, 16).map(Epoch).map_err(|_| TicketError::Malformed)?;
    if time_text(time) == text { Ok(time) } else { Err(TicketError::Malformed) }
}

fn check_age(time: Epoch, now: Epoch) -> Result<(), TicketError> {
    match now.seconds_since(time) {
        age if age < -MAX_AHEAD_SECONDS => Err(TicketError::Future),
        age if MAX_AGE_SECONDS < age => Err(TicketError::Expired),
        _ => Ok(()),
    }
}
