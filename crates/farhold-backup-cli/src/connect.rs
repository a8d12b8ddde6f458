//! From a repository to a client that is let in: secret, ticket, certificate.
//!
//! Order: the secret from the environment; for users then a ticket of an earlier login, then the terminal. At a
//! terminal an unknown certificate is shown and may be accepted; without one the connection fails.
//!
//! Source: `docs/spec/cli.md` 5.2.

use farhold_client::{Client, ClientConfig, ClientError, Credentials, HttpProxy, Ticket};
use farhold_types::{DatastoreName, Fingerprint, RateLimits, Secret};

use crate::error::CommandError;
use crate::local_files::{fingerprints, recent, tickets};
use crate::outside::Outside;
use crate::repository::Repository;
use crate::secrets::{FINGERPRINT_CREDENTIAL, PASSWORD, Sources};

/// A datastore on a server that lets us in.
#[derive(Debug)]
pub struct Connection {
    /// The server.
    pub client: Client,
    /// The datastore.
    pub store: DatastoreName,
}

/// Whether a stored ticket may stand for the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tickets {
    /// It may.
    Use,
    /// A new login is what the user wants.
    Ignore,
}

/// Where the secret of a user came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Environment,
    Ticket,
    Terminal,
}

/// Connects, logs in where that is needed, and keeps the ticket.
///
/// # Errors
/// A missing secret, a refused login, a certificate that nobody accepts, an unreachable server.
pub async fn connect(
    outside: &mut Outside,
    repository: &Repository,
    rates: RateLimits,
    use_tickets: Tickets,
) -> Result<Connection, CommandError> {
    let mut pin = Pin::find(outside, repository)?;
    let given = Sources::new(&*outside.variable).secret(PASSWORD)?;
    let may_use_ticket = use_tickets == Tickets::Use;
    let (mut secret, mut origin) = find_secret(outside, repository, given.as_ref(), may_use_ticket)?;
    let client = loop {
        let client = client(outside, repository, secret.clone(), &pin, &rates)?;
        match first_contact(&client, outside).await {
            Ok(ticket) => {
                keep_ticket(outside, repository, ticket.as_ref());
                break client;
            }
            Err(ClientError::Untrusted { found, .. } | ClientError::FingerprintMismatch { found, .. })
                if outside.terminal.is_interactive() && pin.may_ask =>
            {
                pin.ask(outside, repository, found)?;
            }
            // The ticket is no good any more: what else is there?
            Err(ClientError::LoginRefused { .. }) if origin == Origin::Ticket => {
                (secret, origin) = find_secret(outside, repository, given.as_ref(), false)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(path) = outside.folders.recent() {
        // A list for completion; nobody misses it.
        let _ = recent::count(&path, &repository.to_string());
    }
    Ok(Connection { client, store: repository.store.clone() })
}

/// Logs in, which shows whether server and secret are right. With a token there is nothing to log in for; only where
/// somebody can be asked about the certificate is it looked at ahead, so that the command itself need not be repeated.
async fn first_contact(client: &Client, outside: &Outside) -> Result<Option<Ticket>, ClientError> {
    let ticket = client.log_in().await?;
    if ticket.is_none() && outside.terminal.is_interactive() {
        match client.version().await {
            // Whatever the server thinks of the question, it has been reached.
            Ok(_) | Err(ClientError::Status { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ticket)
}

/// Keeps a ticket for the commands that follow. Without a place for it they ask again.
fn keep_ticket(outside: &mut Outside, repository: &Repository, ticket: Option<&Ticket>) {
    let (Some(ticket), Some(path)) = (ticket, outside.folders.tickets()) else { return };
    let (server, user) = (repository.server(), repository.authid.to_string());
    if let Err(error) = tickets::keep(&path, &server, &user, ticket, outside.clock.now()) {
        outside.tell(&format!("warning: the ticket cannot be kept in '{}': {error}", path.display()));
    }
}

fn find_secret(
    outside: &mut Outside,
    repository: &Repository,
    given: Option<&Secret>,
    may_use_ticket: bool,
) -> Result<(Secret, Origin), CommandError> {
    if let Some(secret) = given {
        return Ok((secret.clone(), Origin::Environment));
    }
    let authid = repository.authid.to_string();
    if repository.authid.is_token() {
        return Err(CommandError::NoSecret { what: "token secret", authid });
    }
    let ticket = outside.folders.tickets().filter(|_| may_use_ticket).and_then(|path| {
        // As password, a valid ticket is renewed.
        tickets::find(&path, &repository.server(), &authid, outside.clock.now())
    });
    if let Some(ticket) = ticket {
        return Ok((ticket, Origin::Ticket));
    }
    if !outside.terminal.is_interactive() {
        return Err(CommandError::NoSecret { what: "password", authid });
    }
    let secret = outside.terminal.secret(&format!("Password for \"{authid}\": ")).map_err(CommandError::Terminal)?;
    Ok((secret, Origin::Terminal))
}

fn client(
    outside: &Outside,
    repository: &Repository,
    secret: Secret,
    pin: &Pin,
    rates: &RateLimits,
) -> Result<Client, CommandError> {
    let credentials = Credentials::new(repository.authid.clone(), secret);
    let mut config = ClientConfig::new(repository.host.as_str(), credentials);
    config.port = repository.port;
    config.fingerprint = pin.fingerprint;
    config.rates = rates.clone();
    let client = match outside.set_variable("ALL_PROXY") {
        Some(text) => Client::with_dialer(config, proxy(&text)?.dialer()),
        None => Client::new(config),
    };
    Ok(client?)
}

/// Returns the proxy that `ALL_PROXY` names. Source: `docs/spec/cli.md` 5.2.
fn proxy(text: &str) -> Result<HttpProxy, CommandError> {
    HttpProxy::parse(text).map_err(|_| CommandError::Parameter {
        text: "ALL_PROXY is wrong".to_owned(),
        hint: Some("its form is [http://][user:pass@]host[:port]"),
    })
}

/// The fingerprint that is expected, and whether the user may say otherwise.
struct Pin {
    fingerprint: Option<Fingerprint>,
    is_from_environment: bool,
    may_ask: bool,
}

impl Pin {
    fn find(outside: &Outside, repository: &Repository) -> Result<Self, CommandError> {
        let (name, text) = match outside.set_variable("PBS_FINGERPRINT") {
            Some(text) => ("PBS_FINGERPRINT", Some(text)),
            None => {
                let credential = Sources::new(&*outside.variable).credential(FINGERPRINT_CREDENTIAL)?;
                (FINGERPRINT_CREDENTIAL, credential)
            }
        };
        if let Some(text) = text {
            let parsed = text.trim().parse();
            let fingerprint = parsed.map_err(|source| CommandError::Value { name: name.to_owned(), source })?;
            return Ok(Self { fingerprint: Some(fingerprint), is_from_environment: true, may_ask: true });
        }
        let stored = outside.folders.fingerprints().and_then(|path| fingerprints::find(&path, &repository.server()));
        Ok(Self { fingerprint: stored, is_from_environment: false, may_ask: true })
    }

    /// Shows a fingerprint and asks whether it is right; a right one is expected from now on, and kept unless another
    /// one came from the environment.
    fn ask(&mut self, outside: &mut Outside, repository: &Repository, found: Fingerprint) -> Result<(), CommandError> {
        let server = repository.server();
        if let Some(expected) = self.fingerprint {
            outside.tell(&format!("warning: the certificate of {server} is not the expected one ({expected})"));
        }
        outside.tell(&format!("fingerprint: {found}"));
        let question = "Are you sure you want to continue connecting? (y/n): ";
        if !outside.terminal.is_yes(question).map_err(CommandError::Terminal)? {
            return Err(CommandError::NotAccepted { server, fingerprint: found.to_string() });
        }
        self.fingerprint = Some(found);
        // One that changes from connection to connection is not asked about again and again.
        self.may_ask = false;
        if self.is_from_environment {
            return Ok(());
        }
        let Some(path) = outside.folders.fingerprints() else { return Ok(()) };
        if let Err(error) = fingerprints::keep(&path, &server, &found) {
            outside.tell(&format!("warning: the fingerprint cannot be kept in '{}': {error}", path.display()));
        }
        Ok(())
    }
}
