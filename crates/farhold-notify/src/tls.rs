//! TLS to servers that a trusted authority vouches for; there is no other way in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use farhold_client::{ByteStream, Trust};
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::delivery::DeliveryError;

/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Returns the authorities that are trusted. The host's store is read each time, so that a new authority counts at once.
pub(crate) async fn authorities(trust: &Trust) -> Vec<CertificateDer<'static>> {
    match trust {
        Trust::Only(authorities) => authorities.clone(),
        _ => tokio::task::spawn_blocking(|| rustls_native_certs::load_native_certs().certs).await.unwrap_or_default(),
    }
}

/// Returns a host without the brackets that an IPv6 address has in a URL.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Sets up TLS on a stream to `host`, a name or an address without brackets.
pub(crate) async fn connect(
    stream: Box<dyn ByteStream>,
    host: &str,
    trust: &Trust,
) -> Result<Box<dyn ByteStream>, DeliveryError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| DeliveryError::Tls(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a server")))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(trust).await);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| DeliveryError::Tls(io::Error::other(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connected = timeout(HANDSHAKE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let connected = connected.map_err(|_| DeliveryError::TimedOut { seconds: HANDSHAKE.as_secs() })?;
    Ok(Box::new(connected.map_err(|error| DeliveryError::Tls(without_names(error)))?))
}

/// Returns the error without names of hosts: that of a web hook may hold a secret.
fn without_names(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
            io::Error::new(error.kind(), "the certificate is for another name")
        }
        _ => error,
    }
}
