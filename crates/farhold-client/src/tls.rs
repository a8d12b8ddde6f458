//! TLS with a pinned certificate as fallback.
//!
//! A certificate is accepted when a trusted authority vouches for it and the name matches; else only the SHA-256
//! fingerprint of the leaf decides. The signature of the handshake is checked in both cases, so knowing a certificate
//! is not enough to pass for its owner. Source: `docs/spec/wire-protocol.md` 1.2, `docs/spec/sync.md` 1.3.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError};

use farhold_types::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::Digest as _;
use thiserror::Error;
use tokio_rustls::TlsConnector;

use crate::config::Trust;
use crate::error::{Cause, ClientError};
use crate::inspect::Seen;

/// What the verifier tells the caller through the TLS library.
#[derive(Debug, Clone, Error)]
#[error("certificate with fingerprint {found} is neither trusted nor the expected one")]
struct Rejected {
    expected: Option<Fingerprint>,
    found: Fingerprint,
    source: Arc<rustls::Error>,
}

type Authorities = Option<Arc<WebPkiServerVerifier>>;

#[derive(Debug)]
struct PinningVerifier {
    trust: Trust,
    /// `None` inside when there is no authority at all. Loaded when first needed: reading the system's trust store takes
    /// longer than a handshake, and the pinned certificate is accepted without it.
    authorities: OnceLock<Authorities>,
    fingerprint: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl PinningVerifier {
    fn new(trust: &Trust, fingerprint: Option<Fingerprint>, provider: &Arc<CryptoProvider>) -> Self {
        let verifier =
            Self { trust: trust.clone(), authorities: OnceLock::new(), fingerprint, provider: Arc::clone(provider) };
        // Where no fingerprint can decide alone, the trust store is needed in any case.
        if fingerprint.is_none() {
            verifier.authorities();
        }
        verifier
    }

    fn authorities(&self) -> &Authorities {
        self.authorities.get_or_init(|| match load(&self.trust, &self.provider) {
            Ok(authorities) => authorities,
            Err(error) => {
                tracing::warn!(%error, "no certificate authority can be used");
                None
            }
        })
    }

    /// Returns what the authorities say to a certificate.
    fn ask_authorities(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.authorities() {
            Some(authorities) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Either way is enough, so the cheap one comes first.
        let found = Fingerprint(sha2::Sha256::digest(end_entity.as_ref()).into());
        if self.fingerprint == Some(found) {
            return Ok(ServerCertVerified::assertion());
        }
        let source = match self.ask_authorities(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(verified) => return Ok(verified),
            Err(source) => Arc::new(source),
        };
        let rejected = Rejected { expected: self.fingerprint, found, source };
        Err(rustls::Error::Other(OtherError(Arc::new(rejected))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns the verifier over the authorities that `trust` names, or `None` if there are none.
fn load(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Authorities, rustls::Error> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::System => {
            let loaded = rustls_native_certs::load_native_certs();
            for error in &loaded.errors {
                tracing::warn!(%error, "part of the system's trust store cannot be read");
            }
            roots.add_parsable_certificates(loaded.certs);
        }
        Trust::Only(authorities) => {
            roots.add_parsable_certificates(authorities.iter().cloned());
        }
    }
    if roots.is_empty() {
        return Ok(None);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map(Some).map_err(|e| rustls::Error::General(e.to_string()))
}

/// Returns a connector that accepts trusted certificates, and the one with `fingerprint`.
///
/// Without a fingerprint it reads the trust store from disk: call it where blocking is allowed.
///
/// # Errors
/// Only faults of the TLS library's set-up; an empty trust store is none.
pub(crate) fn connector(trust: &Trust, fingerprint: Option<Fingerprint>) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PinningVerifier::new(trust, fingerprint, &provider);
    connector_with(provider, Arc::new(verifier))
}

fn connector_with(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<TlsConnector, rustls::Error> {
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts every certificate, and keeps it with what the authorities say to it.
#[derive(Debug)]
struct Onlooker {
    verifier: PinningVerifier,
    seen: Seen,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.verifier.ask_authorities(end_entity, intermediates, server_name, ocsp_response, now);
        let doubt = verdict.err().map(|error| error.to_string());
        let seen = (end_entity.as_ref().to_vec(), doubt);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Returns a connector that accepts every certificate and keeps it in `seen`. Nothing secret may be sent over its
/// connections. Reads the trust store from disk: call it where blocking is allowed.
///
/// # Errors
/// As [`connector`].
pub(crate) fn onlooker(trust: &Trust, seen: Seen) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PinningVerifier::new(trust, None, &provider);
    connector_with(provider, Arc::new(Onlooker { verifier, seen }))
}

/// Returns an address of a certificate; none if it has another length than addresses have.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Returns the name that the certificate is checked against; names are also sent as SNI, addresses are not.
pub(crate) fn server_name(bare_host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(bare_host.to_owned()).ok()
}

/// Returns the error of a failed handshake, by its kind.
pub(crate) fn handshake_error(peer: &Arc<str>, error: std::io::Error) -> ClientError {
    let peer = Arc::clone(peer);
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::Other(OtherError(other))) => match other.downcast_ref::<Rejected>() {
            Some(Rejected { expected: Some(expected), found, source }) => ClientError::FingerprintMismatch {
                peer,
                expected: *expected,
                found: *found,
                source: Arc::clone(source) as Cause,
            },
            Some(Rejected { expected: None, found, source }) => {
                ClientError::Untrusted { peer, found: *found, source: Arc::clone(source) as Cause }
            }
            None => ClientError::Tls { peer, source: Arc::new(error) },
        },
        Some(tls) => ClientError::Tls { peer, source: Arc::new(tls.clone()) },
        // The peer hung up or reset: that passes, unlike a peer that speaks no TLS.
        None => ClientError::Broken { peer, during: "during the TLS handshake", source: Arc::new(error) },
    }
}
