//! One attempt to deliver an event to one target, and what may go wrong.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use farhold_client::{DialError, Dialer, HttpProxy, Trust};
use farhold_types::Userid;
use http::StatusCode;
use thiserror::Error;

use crate::engine::TemplateFault;
use crate::event::Event;
use crate::target::{Target, TargetKind};
use crate::words::{Rendered, one_line};
use crate::{mail, sendmail, smtp, visible, web};

/// Returns the address of a user's mail.
pub type AddressOf = Arc<dyn Fn(&Userid) -> Option<String> + Send + Sync>;

/// What delivering needs of the world around it.
#[derive(Clone)]
pub struct Outside {
    /// Opens connections.
    pub dialer: Arc<dyn Dialer>,
    /// The proxy of the node, which calls of web addresses go through.
    pub http_proxy: Option<HttpProxy>,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// The mail program of the host; it is called like sendmail.
    pub mail_program: PathBuf,
    /// Name of the host: its author's name of mails.
    pub node: String,
    /// Full name of the host: how it presents itself to mail servers, and the domain of addresses without one.
    pub fqdn: String,
    /// Whom mails come from whose target does not say so; `root` if this is not set either.
    pub email_from: Option<String>,
    /// Addresses of users.
    pub address_of: AddressOf,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("node", &self.node).field("fqdn", &self.fqdn).finish_non_exhaustive()
    }
}

/// Why an event did not reach a target. Neither the text nor the causes hold anything of the target's secrets.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// None of the recipients has an address; for a user without one nothing is to be sent.
    #[error("none of the recipients has a mail address")]
    NoRecipient,
    /// Not a mail address.
    #[error("'{address}' is no mail address")]
    Address {
        /// What stands there.
        address: String,
    },
    /// The message could not be composed.
    #[error("the mail cannot be composed")]
    Compose(#[source] lettre::error::Error),
    /// A template of a web hook does not render.
    #[error("template of {part}")]
    Template {
        /// `url`, `body`, or the name of the header.
        part: String,
        /// Why.
        #[source]
        source: TemplateFault,
    },
    /// The URL is none of http or https.
    #[error("the URL is none that can be called")]
    Url,
    /// A header cannot be sent.
    #[error("header '{name}' cannot be sent")]
    Header {
        /// Its name.
        name: String,
    },
    /// The mail program could not be run.
    #[error("mail program {program}")]
    Program {
        /// Its path.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mail program failed.
    #[error("mail program ended with {status}: {text}")]
    ProgramFailed {
        /// Its exit code, or -1 if a signal ended it.
        status: i32,
        /// What it said, shortened.
        text: String,
    },
    /// No connection.
    #[error("no connection")]
    Dial(#[source] DialError),
    /// TLS could not be set up.
    #[error("no protected connection")]
    Tls(#[source] io::Error),
    /// The connection broke, or what came over it made no sense.
    #[error("the connection broke or the answer makes no sense")]
    Broken(#[source] io::Error),
    /// It took too long.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// How long we waited.
        seconds: u64,
    },
    /// The web server refused.
    #[error("the server answered {status}")]
    Status {
        /// With which status.
        status: StatusCode,
    },
    /// The mail server refused.
    #[error("the mail server refused {step} with code {code}: {text}")]
    Refused {
        /// What it refused.
        step: &'static str,
        /// Its code.
        code: u16,
        /// What it said, shortened; nothing about logins.
        text: String,
    },
    /// The mail server cannot do what the target asks for.
    #[error("the mail server does not offer {what}")]
    NotOffered {
        /// What it lacks.
        what: &'static str,
    },
    /// Some recipients got it and some did not.
    #[error("the mail server took the mail for {accepted} recipients and refused {refused} with code {code}: {text}")]
    SomeRefused {
        /// How many got it.
        accepted: usize,
        /// How many did not.
        refused: usize,
        /// The first code.
        code: u16,
        /// What the server said, shortened.
        text: String,
    },
}

impl DeliveryError {
    /// Returns whether another attempt makes no sense.
    ///
    /// What depends on the other side, on the way there, or on who we are may change once somebody mends it: passwords,
    /// tokens and addresses of servers included. What the target itself lacks, and what the other side will never take
    /// as it is, stays refused; so does a mail that some have got, lest they get it again and again.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NoRecipient
            | Self::Address { .. }
            | Self::Compose(_)
            | Self::Template { .. }
            | Self::Url
            | Self::Header { .. }
            | Self::SomeRefused { .. } => true,
            Self::Status { status } => matches!(status.as_u16(), 400 | 411 | 413 | 414 | 415 | 422 | 431),
            // EX_USAGE, EX_DATAERR, EX_NOUSER, EX_NOHOST of sysexits.h.
            Self::ProgramFailed { status, .. } => matches!(status, 64 | 65 | 67 | 68),
            Self::Refused { step, code, .. } => (500..600).contains(code) && matches!(*step, RECIPIENT | MESSAGE),
            _ => false,
        }
    }
}

/// Steps of a conversation with a mail server.
pub(crate) const GREETING: &str = "the greeting";
pub(crate) const LOGIN: &str = "the login";
pub(crate) const SENDER: &str = "the sender";
pub(crate) const RECIPIENT: &str = "the recipients";
pub(crate) const MESSAGE: &str = "the message";

/// Delivers an event to a target: one attempt.
///
/// Every wait has an end: 10 s for a call of a web address, 5 s for each step of a mail server and a minute for all of
/// them, 30 s for the mail program. Whether the target is disabled is not looked at. `words`: what
/// [`crate::Templates::render`] made of the event.
///
/// # Errors
/// [`DeliveryError`]; [`DeliveryError::is_permanent`] says whether to try again.
///
/// # Cancel safety
/// Dropping the future closes the connection or ends the mail program; the event may have been delivered all the same.
pub async fn deliver(target: &Target, event: &Event, words: &Rendered, outside: &Outside) -> Result<(), DeliveryError> {
    match &target.kind {
        TargetKind::Sendmail { recipients, sender } => {
            let mail = mail::compose(target, event, words, recipients, sender, outside)?;
            sendmail::send(&outside.mail_program, &mail).await
        }
        TargetKind::Smtp { server, port, encryption, login, recipients, sender } => {
            let mail = mail::compose(target, event, words, recipients, sender, outside)?;
            let server = smtp::Server { host: server, port: *port, encryption: *encryption, login: login.as_ref() };
            smtp::send(&server, &mail, outside).await
        }
        TargetKind::Gotify { server, token } => web::gotify(server, token, event, words, outside).await,
        TargetKind::Webhook { method, url, headers, body, secrets } => {
            let hook = web::Hook { method: *method, url, headers, body: body.as_ref(), secrets };
            web::webhook(&hook, event, words, outside).await
        }
        TargetKind::Ping { url } => web::ping(url, outside).await,
    }
}

/// Returns what a peer or program said, as a short line that is safe to show.
pub(crate) fn shown(text: &str) -> String {
    one_line(&visible::text(text)).chars().take(200).collect()
}
