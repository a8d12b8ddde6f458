//! A look at a remote before anything secret is sent to it: its certificate; and at its version and its clock.

use std::sync::{Arc, Mutex, PoisonError};

use farhold_protocol::query::Query;
use farhold_types::{Epoch, Fingerprint, VersionItem};
use http::{Method, header};
use rustls::ProtocolVersion;
use sha2::Digest as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client::Client;
use crate::error::{ClientError, peer_text};
use crate::listing::read_data;
use crate::tls;

/// Most names of a certificate that are told.
const MAX_NAMES: usize = 20;

/// Who answers at an address. All texts are the peer's: cleaned, but not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Version of TLS that was agreed on.
    pub protocol: &'static str,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Why no trusted authority vouches for certificate and name; none if one does.
    pub doubt: Option<String>,
    /// Names and addresses that the certificate is for, as far as it can be read.
    pub names: Vec<String>,
    /// Begin and end of its validity; none if the certificate cannot be read.
    pub validity: Option<(Epoch, Epoch)>,
}

/// What the handshake left behind: the certificate, and why no authority vouches for it.
pub(crate) type Seen = Arc<Mutex<Option<(Vec<u8>, Option<String>)>>>;

impl Client {
    /// Connects, looks at the remote's certificate and hangs up. Sends neither credentials nor a request, and accepts any
    /// certificate: what to think of it is the caller's business.
    ///
    /// # Errors
    /// No connection, or no TLS.
    pub async fn identity(&self) -> Result<PeerIdentity, ClientError> {
        let seen = Seen::default();
        let protocol = self.look(Arc::clone(&seen)).await?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (certificate, doubt) = seen.ok_or_else(|| self.wrong("it showed no certificate"))?;
        let fingerprint = Fingerprint(sha2::Sha256::digest(&certificate).into());
        let parsed = X509Certificate::from_der(&certificate).ok().map(|(_, parsed)| parsed);
        Ok(PeerIdentity {
            protocol: protocol_name(protocol),
            fingerprint,
            doubt,
            names: parsed.as_ref().map(names).unwrap_or_default(),
            validity: parsed.as_ref().map(|parsed| {
                let validity = parsed.validity();
                (Epoch(validity.not_before.timestamp()), Epoch(validity.not_after.timestamp()))
            }),
        })
    }

    /// Returns the remote's version, and what its clock showed when it answered; none if it does not tell.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn version_and_clock(&self) -> Result<(VersionItem, Option<Epoch>), ClientError> {
        let call = self.query_call(Method::GET, "/version", &Query::new());
        let answer = self.call(&call).await?;
        if !answer.status.is_success() {
            return Err(call.status_error(answer.status, &answer.body));
        }
        let version = read_data(&answer.body).map_err(|error| self.wrong(format!("its version is none: {error}")))?;
        let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let time = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let time = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let time = time.and_then(|since| i64::try_from(since.as_secs()).ok());
        Ok((version, time.map(Epoch)))
    }
}

fn protocol_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    }
}

/// Returns the alternative names of a certificate, or its common name if it has none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => tls::address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .take(MAX_NAMES)
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.take(1).map(str::to_owned));
    }
    names.iter().map(|name| peer_text(name.as_bytes())).collect()
}
