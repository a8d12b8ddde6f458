//! A mail server: connection, protection, login, and the mail.
//!
//! Each wait for the server ends after five seconds and the whole conversation after a minute. A recipient that the
//! server refuses does not keep the mail from the others.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use farhold_client::ByteStream;
use farhold_types::Secret;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::timeout;

use crate::delivery::{DeliveryError, GREETING, LOGIN, MESSAGE, Outside, RECIPIENT, SENDER, shown};
use crate::mail::Mail;
use crate::patience::Patient;
use crate::target::Encryption;
use crate::tls;

/// How long one step may take. Source: `docs/spec/schedules-and-tasks.md` 10.3.
const STEP: Duration = Duration::from_secs(5);
/// How long all steps may take: a server that answers with a byte every few seconds does not hold us for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// The change to TLS, as a step and as what a server offers.
const START_TLS: &str = "STARTTLS";

/// Where the mail server is, and how we come in.
pub(crate) struct Server<'t> {
    pub host: &'t str,
    pub port: u16,
    pub encryption: Encryption,
    pub login: Option<&'t (String, Secret)>,
}

/// Delivers a mail to the server.
pub(crate) async fn send(server: &Server<'_>, mail: &Mail, outside: &Outside) -> Result<(), DeliveryError> {
    let sent = timeout(LIMIT, converse(server, mail, outside)).await;
    sent.unwrap_or(Err(DeliveryError::TimedOut { seconds: LIMIT.as_secs() }))
}

async fn converse(server: &Server<'_>, mail: &Mail, outside: &Outside) -> Result<(), DeliveryError> {
    let bare = tls::bare(server.host);
    let stream = outside.dialer.dial(bare, server.port, STEP).await.map_err(DeliveryError::Dial)?;
    let stream: Box<dyn ByteStream> = Box::new(Patient::new(stream, STEP));
    let stream = match server.encryption {
        Encryption::Tls => tls::connect(stream, bare, &outside.trust).await?,
        Encryption::StartTls | Encryption::None => stream,
    };
    let hello = ClientId::Domain(outside.fqdn.clone());
    let stream = Box::new(Shared(Mutex::new(BufReader::new(stream))));
    let mut connection =
        AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(|error| refusal(GREETING, error))?;
    let outcome = transfer(&mut connection, server, mail, bare, &hello, outside).await;
    // The mail is taken or not, whatever the server says to our leave. After a failed change to TLS nothing may be said any
    // more: the library has no stream left for it and would panic.
    let can_speak = !matches!(
        outcome,
        Err(DeliveryError::Tls(_) | DeliveryError::Broken(_) | DeliveryError::TimedOut { .. })
            | Err(DeliveryError::Refused { step: START_TLS, .. })
    );
    if can_speak {
        let _ = timeout(Duration::from_secs(1), connection.abort()).await;
    }
    outcome
}

async fn transfer(
    connection: &mut AsyncSmtpConnection,
    server: &Server<'_>,
    mail: &Mail,
    host: &str,
    hello: &ClientId,
    outside: &Outside,
) -> Result<(), DeliveryError> {
    if server.encryption == Encryption::StartTls {
        if !connection.can_starttls() {
            return Err(DeliveryError::NotOffered { what: START_TLS });
        }
        let parameters = parameters(host, outside).await?;
        connection.starttls(parameters, hello).await.map_err(|error| refusal(START_TLS, error))?;
    }
    if let Some((name, password)) = server.login {
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        if connection.server_info().get_auth_mechanism(&mechanisms).is_none() {
            return Err(DeliveryError::NotOffered { what: "a login with a password" });
        }
        let credentials = Credentials::new(name.clone(), password.expose().to_owned());
        let accepted = connection.auth(&mechanisms, &credentials).await;
        // A server may repeat in its answer what we told it, so nothing of that is shown.
        accepted.map(drop).map_err(|error| match refusal(LOGIN, error) {
            DeliveryError::Refused { step, code, .. } => DeliveryError::Refused { step, code, text: String::new() },
            other => other,
        })?;
    }
    let people = || std::iter::once(&mail.from).chain(&mail.to);
    let mut parameters = Vec::new();
    if !people().all(|person| person.full.to_string().is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(DeliveryError::NotOffered { what: "addresses outside of ASCII" });
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let from = MailCommand::new(Some(mail.from.full.clone()), parameters);
    connection.command(from).await.map_err(|error| refusal(SENDER, error))?;
    let mut refused = Vec::new();
    for person in &mail.to {
        match connection.command(Rcpt::new(person.full.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(error) if error.status().is_some() => refused.push(refusal(RECIPIENT, error)),
            Err(error) => return Err(refusal(RECIPIENT, error)),
        }
    }
    let accepted = mail.to.len() - refused.len();
    if accepted == 0 {
        // If one of them may be taken later, all are tried again.
        let worth = refused.iter().position(|error| !error.is_permanent()).unwrap_or(0);
        return Err(refused.swap_remove(worth));
    }
    connection.command(Data).await.map_err(|error| refusal(MESSAGE, error))?;
    connection.message(&mail.bytes).await.map_err(|error| refusal(MESSAGE, error))?;
    match refused.into_iter().next() {
        Some(DeliveryError::Refused { code, text, .. }) => {
            Err(DeliveryError::SomeRefused { accepted, refused: mail.to.len() - accepted, code, text })
        }
        _ => Ok(()),
    }
}

/// Returns how TLS is to be set up on a connection that has begun without.
async fn parameters(host: &str, outside: &Outside) -> Result<TlsParameters, DeliveryError> {
    let authorities = tls::authorities(&outside.trust).await;
    let failed = |error: SmtpError| DeliveryError::Tls(io::Error::other(error));
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    for authority in authorities {
        // One that cannot be read, of hundreds in a host's store, does not matter.
        if let Ok(certificate) = Certificate::from_der(authority.to_vec()) {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(failed)
}

fn refusal(step: &'static str, error: SmtpError) -> DeliveryError {
    if let Some(code) = error.status() {
        let text = std::error::Error::source(&error).map(|source| shown(&source.to_string()));
        return DeliveryError::Refused { step, code: u16::from(code), text: text.unwrap_or_default() };
    }
    if error.is_timeout() {
        return DeliveryError::TimedOut { seconds: STEP.as_secs() };
    }
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| source.to_string());
    DeliveryError::Broken(io::Error::other(format!("{step}: {}", shown(&text))))
}

/// A stream in the form that the mail library takes: it wants to share it, though it never does.
///
/// It is read byte by byte. The library takes as much as it gets, and keeps over the change to TLS what it has not looked at
/// yet: somebody on the way could put answers there that then count as protected ones. This way it has never more than the
/// line that it reads, and whatever was said too early meets the handshake, which fails.
struct Shared(Mutex<BufReader<Box<dyn ByteStream>>>);

impl Shared {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut BufReader<Box<dyn ByteStream>>> {
        Pin::new(self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream();
        let said = ready!(stream.as_mut().poll_fill_buf(cx))?;
        if let Some(first) = said.first().filter(|_| 0 < buf.remaining()) {
            buf.put_slice(&[*first]);
            stream.consume(1);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Shared {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
