//! Everything that can go wrong between us and a remote.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use farhold_types::{Digest, Fingerprint, Snapshot};
use thiserror::Error;

/// Longest text of a peer that an error repeats, in characters.
pub const MAX_PEER_TEXT: usize = 1000;

/// Any other error as a cause.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a call to a remote failed. `peer` is always `host:port`.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The configuration cannot be used; nothing was sent.
    #[error("the connection to {peer} cannot be set up: {reason}")]
    Configuration {
        /// The remote.
        peer: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// The host name has no address.
    #[error("host name of {peer} cannot be resolved")]
    Resolve {
        /// The remote.
        peer: Arc<str>,
        /// What the resolver said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No address of the host accepted a connection.
    #[error("cannot connect to {peer}")]
    Connect {
        /// The remote.
        peer: Arc<str>,
        /// The last address's error.
        #[source]
        source: Arc<io::Error>,
    },
    /// The TLS handshake failed for another reason than the certificate.
    #[error("TLS handshake with {peer} failed")]
    Tls {
        /// The remote.
        peer: Arc<str>,
        /// What TLS said.
        #[source]
        source: Cause,
    },
    /// Neither a trusted authority nor the configured fingerprint vouches for the certificate.
    #[error("certificate of {peer} has fingerprint {found}, expected {expected}")]
    FingerprintMismatch {
        /// The remote.
        peer: Arc<str>,
        /// The configured fingerprint.
        expected: Fingerprint,
        /// That of the certificate the peer sent.
        found: Fingerprint,
        /// Why the certificate is not trusted without a fingerprint.
        #[source]
        source: Cause,
    },
    /// No trusted authority vouches for the certificate, and no fingerprint is configured.
    #[error("certificate of {peer} with fingerprint {found} is not trusted")]
    Untrusted {
        /// The remote.
        peer: Arc<str>,
        /// That of the certificate the peer sent.
        found: Fingerprint,
        /// Why it is not trusted.
        #[source]
        source: Cause,
    },
    /// The remote does not accept user and password.
    #[error("{peer} refused the login of '{user}': {text}")]
    LoginRefused {
        /// The remote.
        peer: Arc<str>,
        /// The user.
        user: String,
        /// The peer's text.
        text: String,
    },
    /// The remote answered with an error.
    #[error("{method} {path} was refused with status {status}: {text}")]
    Status {
        /// HTTP status.
        status: u16,
        /// HTTP method.
        method: &'static str,
        /// Path; without query, except inside a session, where it names the file or chunk.
        path: String,
        /// The peer's text, shortened, without control characters.
        text: String,
    },
    /// The remote knows no namespaces (404 on their listing).
    #[error("{peer} does not support namespaces")]
    NamespacesUnsupported {
        /// The remote.
        peer: Arc<str>,
    },
    /// The snapshot has no manifest: it was removed meanwhile.
    #[error("snapshot {snapshot} has vanished")]
    Vanished {
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// The session downloaded no index that names this chunk.
    #[error("chunk {digest} may not be read in this session: {text}")]
    ChunkNotAllowed {
        /// The chunk.
        digest: Digest,
        /// The peer's text.
        text: String,
    },
    /// An answer is larger than allowed.
    #[error("answer to {what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The request.
        what: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// Nothing came for too long.
    #[error("{peer} sent nothing for {} s {during}", waited.as_secs())]
    Silent {
        /// The remote.
        peer: Arc<str>,
        /// The wait.
        waited: Duration,
        /// What was being waited for.
        during: &'static str,
    },
    /// The connection broke.
    #[error("connection to {peer} broke {during}")]
    Broken {
        /// The remote.
        peer: Arc<str>,
        /// What was going on.
        during: &'static str,
        /// The transport's error.
        #[source]
        source: Cause,
    },
    /// The remote sent something that the protocol does not allow.
    #[error("{peer} does not follow the protocol: {reason}")]
    Protocol {
        /// The remote.
        peer: Arc<str>,
        /// What is wrong.
        reason: String,
    },
    /// The session was closed on our side.
    #[error("session with {peer} is closed")]
    Closed {
        /// The remote.
        peer: Arc<str>,
    },
}

impl ClientError {
    /// Returns the HTTP status, if the remote answered with one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::LoginRefused { .. } | Self::ChunkNotAllowed { .. } => Some(401),
            Self::NamespacesUnsupported { .. } | Self::Vanished { .. } => Some(404),
            _ => None,
        }
    }

    /// Returns whether the same request may succeed later, or over a new connection.
    ///
    /// True for connection trouble and silence; never for refusals, wrong certificates and broken rules.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::Silent { .. } | Self::Broken { .. })
    }

    /// Returns what an operator can do about it, if there is something particular to say.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::FingerprintMismatch { .. } => {
                Some("the remote's certificate changed; compare the fingerprint, then update the remote")
            }
            Self::Untrusted { .. } => {
                Some("compare the fingerprint with the one the remote shows, then set it in the remote's configuration")
            }
            Self::LoginRefused { .. } => {
                Some("check user and password of the remote; use an API token if it asks for a second factor")
            }
            _ => None,
        }
    }
}

/// Returns a peer's text for an error: one line, no control characters, at most [`MAX_PEER_TEXT`] characters.
pub(crate) fn peer_text(bytes: &[u8]) -> String {
    // Four bytes a character at most; the rest is never looked at.
    let head = &bytes[..bytes.len().min(MAX_PEER_TEXT * 4)];
    let text = String::from_utf8_lossy(head);
    let clean: String = text.trim().chars().map(|c| if is_hidden(c) { ' ' } else { c }).take(MAX_PEER_TEXT).collect();
    let clean = clean.trim();
    if clean.is_empty() { "no text".to_owned() } else { clean.to_owned() }
}

/// Control characters, and the formatting ones that turn or hide text on a terminal.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_are_cut_and_cleaned() {
        assert_eq!(peer_text(b" no such\r\ndatastore\x1b[31m "), "no such  datastore [31m");
        assert_eq!(peer_text("a\u{202e}b".as_bytes()), "a b");
        assert_eq!(peer_text(b"\n"), "no text");
        assert_eq!(peer_text(&[b'x'; 100_000]).len(), MAX_PEER_TEXT);
        assert_eq!(peer_text(&[0xff, b'a']), "\u{fffd}a");
    }
}
