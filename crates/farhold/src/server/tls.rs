//! The TLS side of the listener: configuration and which certificate new connections get.

use std::sync::{Arc, PoisonError, RwLock};

use farhold_types::Fingerprint;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};

use crate::certificate::TlsMaterial;

/// The certificate of a listener; may be replaced while it runs.
///
/// TLS 1.2 and 1.3, no client certificates, no ALPN answer. The cryptography provider is passed explicitly, so that
/// nothing depends on a process-wide default. Source: `docs/spec/wire-protocol.md` 1.1.
#[derive(Debug)]
pub struct TlsIdentity {
    current: RwLock<(Arc<ServerConfig>, Fingerprint)>,
}

impl TlsIdentity {
    /// Returns the identity for a certificate.
    ///
    /// # Errors
    /// Key and certificate do not fit, or rustls does not know the key's kind.
    pub fn new(material: TlsMaterial) -> Result<Self, rustls::Error> {
        Ok(Self { current: RwLock::new(configure(material)?) })
    }

    /// Replaces the certificate for connections that begin from now on.
    ///
    /// # Errors
    /// As for [`TlsIdentity::new`]; the present certificate stays then.
    pub fn replace(&self, material: TlsMaterial) -> Result<(), rustls::Error> {
        let next = configure(material)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Returns the fingerprint of the present certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

fn configure(material: TlsMaterial) -> Result<(Arc<ServerConfig>, Fingerprint), rustls::Error> {
    let fingerprint = material.fingerprint();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(material.chain, material.key)?;
    Ok((Arc::new(config), fingerprint))
}
