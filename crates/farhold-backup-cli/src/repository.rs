//! Which datastore on which server, and as whom: the repository text, and where its parts come from.
//!
//! Source: `docs/spec/cli.md` 5.1.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use farhold_protocol::DEFAULT_PORT;
use farhold_types::{Authid, DatastoreName, is_safe_id};
use thiserror::Error;

/// Longest repository text, in characters.
const MAX_TEXT_CHARS: usize = 256;
/// The server where the text names none.
const DEFAULT_HOST: &str = "localhost";

/// A datastore of a server, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Who we are.
    pub authid: Authid,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The datastore.
    pub store: DatastoreName,
}

impl Repository {
    /// Returns the name under which local files keep what belongs to the server: the host, and the port if it is not
    /// the usual one. Tickets and fingerprints of two servers on one host never mix.
    pub fn server(&self) -> String {
        let host = bracketed(&self.host);
        if self.port == DEFAULT_PORT { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Repository {
    /// Writes the shortest text that means this repository.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_root = self.authid.is_root();
        let has_server = !is_root || self.host != DEFAULT_HOST || self.port != DEFAULT_PORT;
        if !is_root {
            write!(f, "{}@", self.authid)?;
        }
        if has_server {
            write!(f, "{}:", self.server())?;
        }
        write!(f, "{}", self.store)
    }
}

/// Why a text is no repository.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RepositoryTextError {
    /// The form is wrong.
    #[error("value is no repository; the form is [[<auth-id>@]<server>[:<port>]:]<datastore>")]
    Form,
    /// It is too long.
    #[error("value may only be {MAX_TEXT_CHARS} characters long")]
    TooLong,
}

impl FromStr for Repository {
    type Err = RepositoryTextError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if MAX_TEXT_CHARS < text.chars().count() {
            return Err(RepositoryTextError::TooLong);
        }
        parse(text).ok_or(RepositoryTextError::Form)
    }
}

fn parse(text: &str) -> Option<Repository> {
    let (server, store) = match text.rsplit_once(':') {
        Some((server, store)) => (Some(server), store),
        None => (None, text),
    };
    let store = store.parse().ok()?;
    let Some(server) = server else {
        return Some(Repository { authid: Authid::root(), host: DEFAULT_HOST.to_owned(), port: DEFAULT_PORT, store });
    };
    // A bracket closes an address, so a colon behind it begins the port; a user's name has no colon.
    let (server, port) = match server.rsplit_once(':') {
        Some((server, port)) if !server.is_empty() && !port.contains(']') => (server, parse_port(port)?),
        _ => (server, DEFAULT_PORT),
    };
    let (authid, host) = match server.rsplit_once('@') {
        Some((authid, host)) => (authid.parse().ok()?, host),
        None => (Authid::root(), server),
    };
    Some(Repository { authid, host: parse_host(host)?, port, store })
}

fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

/// Returns the host of a repository text: a name, an IPv4 address, or an IPv6 address that is in brackets.
fn parse_host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|_| inner.to_owned());
    }
    let is_label = |label: &str| is_safe_id(label) && !label.ends_with('-');
    text.split('.').all(is_label).then(|| text.to_owned())
}

/// Returns the host with brackets if it is an IPv6 address.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Returns the host of `--server`, where brackets around an IPv6 address may be missing.
fn parse_server(text: &str) -> Option<String> {
    if text.parse::<Ipv6Addr>().is_ok() { Some(text.to_owned()) } else { parse_host(text) }
}

/// What the options say about the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryOptions {
    /// `--repository`.
    pub repository: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--datastore`.
    pub datastore: Option<String>,
    /// `--auth-id`.
    pub auth_id: Option<String>,
}

impl RepositoryOptions {
    fn has_component(&self) -> bool {
        self.server.is_some() || self.port.is_some() || self.datastore.is_some() || self.auth_id.is_some()
    }
}

/// Why it is not known which repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// A whole repository and a part of one were given.
    #[error("--repository and --server/--port/--datastore/--auth-id are mutually exclusive")]
    BothForms,
    /// Parts were given, but none names the datastore.
    #[error("--datastore is required when not using --repository")]
    NoDatastore,
    /// Nothing says anything.
    #[error("unable to get (default) repository")]
    Unknown,
    /// A value is wrong.
    #[error("{origin} is wrong")]
    Value {
        /// The option or variable.
        origin: String,
        /// What is wrong.
        #[source]
        source: RepositoryTextError,
    },
    /// A part is wrong.
    #[error("{origin} is wrong: '{value}'")]
    Part {
        /// The option or variable.
        origin: String,
        /// The value.
        value: String,
    },
}

impl RepositoryError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some(
                "give --repository 'user@pbs!token@server:datastore' (in single quotes because of the '!'), or set PBS_REPOSITORY",
            ),
            _ => None,
        }
    }
}

/// Returns the repository that options and environment mean.
///
/// `variable`: value of an environment variable, none if it is not set or empty; `credential`: the repository that the
/// service manager hands over.
///
/// # Errors
/// Forms that exclude each other, a missing datastore, wrong values, or nothing at all.
pub fn resolve(
    options: &RepositoryOptions,
    variable: impl Fn(&str) -> Option<String>,
    credential: impl FnOnce() -> Option<String>,
) -> Result<Repository, RepositoryError> {
    let whole = |origin: &str, text: &str| {
        let wrong = |source| RepositoryError::Value { origin: origin.to_owned(), source };
        text.parse().map_err(wrong)
    };
    if let Some(text) = &options.repository {
        if options.has_component() {
            return Err(RepositoryError::BothForms);
        }
        return whole("--repository", text);
    }
    if options.has_component() {
        return from_components(options, variable);
    }
    if let Some(text) = variable("PBS_REPOSITORY") {
        return whole("PBS_REPOSITORY", &text);
    }
    if let Some(text) = credential() {
        return whole("the repository among the system credentials", text.trim());
    }
    let is_set = |name: &&str| variable(name).is_some();
    if ["PBS_SERVER", "PBS_PORT", "PBS_DATASTORE", "PBS_AUTH_ID"].iter().any(is_set) {
        return from_components(options, variable);
    }
    Err(RepositoryError::Unknown)
}

fn from_components(
    options: &RepositoryOptions,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Repository, RepositoryError> {
    let pick = |given: Option<String>, option: &str, name: &str| match given {
        Some(value) => Some((option.to_owned(), value)),
        None => variable(name).map(|value| (name.to_owned(), value)),
    };
    let server = pick(options.server.clone(), "--server", "PBS_SERVER");
    let port = pick(options.port.map(|port| port.to_string()), "--port", "PBS_PORT");
    let store = pick(options.datastore.clone(), "--datastore", "PBS_DATASTORE");
    let authid = pick(options.auth_id.clone(), "--auth-id", "PBS_AUTH_ID");
    Ok(Repository {
        store: part(store, |text| text.parse().ok())?.ok_or(RepositoryError::NoDatastore)?,
        host: part(server, parse_server)?.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        port: part(port, parse_port)?.unwrap_or(DEFAULT_PORT),
        authid: part(authid, |text| text.parse().ok())?.unwrap_or_else(Authid::root),
    })
}

fn part<T>(
    given: Option<(String, String)>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, RepositoryError> {
    let Some((origin, value)) = given else { return Ok(None) };
    parse(&value).map(Some).ok_or(RepositoryError::Part { origin, value })
}

#[cfg(test)]
#[path = "repository_tests.rs"]
mod tests;
