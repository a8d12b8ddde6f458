//! What a client needs to know before it can talk to a remote.

use std::fmt;
use std::time::Duration;

use farhold_types::{Authid, Fingerprint, RateLimits, Secret, Userid};
use rustls_pki_types::CertificateDer;

use crate::throttle::Throttles;

/// What a client calls itself unless told otherwise.
pub const DEFAULT_USER_AGENT: &str = concat!("farhold/", env!("CARGO_PKG_VERSION"));

/// Who the client is to the remote.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A user with a password: logs in on first use, renews the ticket on the way.
    Password {
        /// The user.
        userid: Userid,
        /// Its password.
        secret: Secret,
    },
    /// An API token: no login, the secret goes with each request.
    Token {
        /// The token.
        authid: Authid,
        /// Its secret.
        secret: Secret,
    },
}

impl Credentials {
    /// Returns the credentials that a remote's `auth-id` and password mean.
    pub fn new(authid: Authid, secret: Secret) -> Self {
        if authid.is_token() {
            Self::Token { authid, secret }
        } else {
            Self::Password { userid: authid.user().clone(), secret }
        }
    }
}

/// Whose signature makes a certificate trusted without a fingerprint.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Trust {
    /// The system's trust store, read at the first connection.
    #[default]
    System,
    /// Exactly these authorities, possibly none.
    Only(Vec<CertificateDer<'static>>),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Only(authorities) => write!(f, "Only({} certificates)", authorities.len()),
        }
    }
}

/// Longest waits and largest answers. Waits that our own rate limit causes do not count.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientLimits {
    /// For the TCP connection, shared by all addresses of the host. 10 s: `docs/spec/wire-protocol.md` 1.2.
    pub connect: Duration,
    /// For the TLS handshake. 10 s: what a server grants (`docs/spec/wire-protocol.md` 1.1).
    pub handshake: Duration,
    /// From a request to its response head. 120 s: `docs/spec/sync.md` 1.3.
    pub head: Duration,
    /// The same for listings, which a large server builds for minutes, and for deletions.
    pub slow_head: Duration,
    /// Silence inside a body, or on a request inside a session while nothing else arrives either.
    pub silence: Duration,
    /// Silence on a session after which a ping is sent, and again the wait for anything to come back.
    pub ping: Duration,
    /// Largest body of a plain answer, in bytes.
    pub answer_bytes: usize,
    /// Largest body of a listing, in bytes: about a million snapshots.
    pub listing_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(120),
            slow_head: Duration::from_secs(900),
            silence: Duration::from_secs(120),
            ping: Duration::from_secs(30),
            answer_bytes: 4 * 1024 * 1024,
            listing_bytes: 256 * 1024 * 1024,
        }
    }
}

/// How to reach a remote, and as whom.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Who we are.
    pub credentials: Credentials,
    /// SHA-256 of the leaf certificate that is accepted although no trusted authority signed it.
    pub fingerprint: Option<Fingerprint>,
    /// Authorities whose certificates need no fingerprint.
    pub trust: Trust,
    /// Value of the `User-Agent` header.
    pub user_agent: String,
    /// Limits of received and sent bytes, shared by all connections of the client.
    pub rates: RateLimits,
    /// Further limits, by the address that a connection leads to; they may be shared with others.
    pub throttles: Option<Throttles>,
    /// Longest waits and largest answers.
    pub limits: ClientLimits,
}

impl ClientConfig {
    /// Returns a configuration with the default port, the system's trust store, no fingerprint and no rate limit.
    pub fn new(host: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            host: host.into(),
            port: farhold_protocol::DEFAULT_PORT,
            credentials,
            fingerprint: None,
            trust: Trust::System,
            user_agent: DEFAULT_USER_AGENT.to_owned(),
            rates: RateLimits::default(),
            throttles: None,
            limits: ClientLimits::default(),
        }
    }

    /// Returns `host:port` as URLs have it: IPv6 addresses in brackets.
    pub fn authority(&self) -> String {
        let bare = self.bare_host();
        if bare.contains(':') { format!("[{bare}]:{}", self.port) } else { format!("{bare}:{}", self.port) }
    }

    /// Returns the host without the brackets that an IPv6 address may have been given.
    pub fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_get_brackets_and_secrets_stay_hidden() {
        let credentials = Credentials::new("sync@pbs!t1".parse().unwrap(), Secret::new("hunter2"));
        for (host, authority) in [
            ("::1", "[::1]:8007"),
            ("[::1]", "[::1]:8007"),
            ("pbs.example", "pbs.example:8007"),
            ("10.0.0.1", "10.0.0.1:8007"),
        ] {
            let config = ClientConfig::new(host, credentials.clone());
            assert_eq!(config.authority(), authority);
            assert!(!format!("{config:?}").contains("hunter2"));
        }
        let user = Credentials::new("sync@pbs".parse().unwrap(), Secret::new("x"));
        assert!(matches!(user, Credentials::Password { .. }));
    }
}
