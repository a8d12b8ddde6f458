//! The certificate that peers see: what it says, and its replacement while the server runs.

use std::sync::Arc;

use farhold_rules::acl::Granted;
use farhold_types::{Fingerprint, Secret};
use thiserror::Error;

/// Why a certificate was not replaced. The present one stays then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateChangeError {
    /// The chain or the key is no PEM text of one.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// `the certificate` or `the private key`.
        what: &'static str,
        /// Why, without any content.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate: {reason}")]
    KeyDiffers {
        /// What the TLS library says.
        reason: String,
    },
    /// The files cannot be written.
    #[error("the certificate cannot be stored: {reason}")]
    Store {
        /// Why.
        reason: String,
    },
    /// There is no certificate here.
    #[error("this server has no certificate")]
    None,
}

/// The server's certificate, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// PEM text of the chain.
    pub pem: String,
    /// Subject, `O = x, CN = y`.
    pub subject: String,
    /// Alternative names, `DNS:x` and `IP:y`.
    pub alternative_names: Vec<String>,
    /// Issuer, like the subject.
    pub issuer: String,
    /// Start of validity in seconds since the epoch.
    pub not_before: i64,
    /// End of validity in seconds since the epoch.
    pub not_after: i64,
    /// SHA-256 of the certificate, what peers pin.
    pub fingerprint: Fingerprint,
    /// Kind of the key, such as `rsaEncryption`.
    pub public_key_type: String,
    /// Size of the key.
    pub public_key_bits: u32,
}

/// The certificate of a server. Changes apply to connections that begin afterwards, without a restart.
pub trait ServerCertificate: Send + Sync {
    /// Returns what the present certificate says; `None` if there is none.
    fn facts(&self) -> Option<Arc<CertificateFacts>>;

    /// Replaces certificate and key. Blocking.
    ///
    /// `proof`: `Sys.Modify` on `/system/certificates`. `key`: PEM text; without one the present key stays.
    ///
    /// # Errors
    /// [`CertificateChangeError`].
    fn install(&self, proof: &Granted, chain: &str, key: Option<&Secret>) -> Result<(), CertificateChangeError>;

    /// Makes a new self-signed certificate with a new key. Blocking, for seconds.
    ///
    /// `proof`: as for [`Self::install`].
    ///
    /// # Errors
    /// [`CertificateChangeError::Store`], [`CertificateChangeError::None`].
    fn make_self_signed(&self, proof: &Granted) -> Result<(), CertificateChangeError>;
}

/// A server that offers no TLS has no certificate.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCertificate;

impl ServerCertificate for NoCertificate {
    fn facts(&self) -> Option<Arc<CertificateFacts>> {
        None
    }

    fn install(&self, _proof: &Granted, _chain: &str, _key: Option<&Secret>) -> Result<(), CertificateChangeError> {
        Err(CertificateChangeError::None)
    }

    fn make_self_signed(&self, _proof: &Granted) -> Result<(), CertificateChangeError> {
        Err(CertificateChangeError::None)
    }
}
