//! The server's TLS certificate: made on first start, loaded, described.
//!
//! Peers pin the SHA-256 of the leaf certificate, so an existing pair of files is never replaced; a new one is made
//! only if one of the two is missing. Source: `docs/spec/config-and-access.md` 3.15, `docs/spec/wire-protocol.md` 1.1.
//! Unlike the reference's, our certificates have a serial number that is not zero and a PKCS#8 key file.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farhold_types::{Epoch, Fingerprint, Randomness};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, RsaKeySize, SanType};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::Digest as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// Validity of certificates we make, as the reference's: nobody is reminded to renew a pinned certificate.
const VALIDITY: Duration = Duration::from_secs(365_000 * 86_400);

/// Certificate and key files are read only up to this size; a chain with RSA-4096 keys has a few KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What kind of key a new certificate gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with 4096 bits: what the reference makes; takes seconds.
    Rsa4096,
    /// ECDSA on P-256: made in no time.
    EcdsaP256,
}

/// What a new certificate says.
#[derive(Debug, Clone)]
pub struct CertificateOptions {
    /// Node name, an alternative name.
    pub node_name: String,
    /// Full name with domain: common name, and an alternative name if it differs; the node name if there is no domain.
    pub full_name: String,
    /// Kind of key.
    pub key_kind: KeyKind,
    /// Start of the validity.
    pub now: Epoch,
}

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any certificate.
    #[error("{path} is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no usable PEM section.
    #[error("{path} holds no usable {what}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// A certificate cannot be understood.
    #[error("certificate is not valid X.509: {reason}")]
    Parse {
        /// Why.
        reason: String,
    },
}

/// A certificate chain, leaf first, and its private key.
pub struct TlsMaterial {
    /// The chain, never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: PrivateKeyDer<'static>,
}

impl TlsMaterial {
    /// Returns the fingerprint that peers pin: SHA-256 over the leaf certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.chain.first().map_or(Fingerprint([0; 32]), |leaf| fingerprint(leaf))
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// Returns the SHA-256 of a certificate in DER form.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(sha2::Sha256::digest(der).into())
}

/// Makes `certificate` and `key` unless both files exist; returns whether they were made. Blocking.
///
/// The key file is readable by its owner only. Both are written under a temporary name and renamed, the key first.
///
/// # Errors
/// Files cannot be written, or the key cannot be made.
pub fn ensure(
    certificate: &Path,
    key: &Path,
    options: &CertificateOptions,
    randomness: &dyn Randomness,
) -> Result<bool, CertificateError> {
    if certificate.exists() && key.exists() {
        return Ok(false);
    }
    let (certificate_pem, key_pem) = make(options, randomness)?;
    write_file(key, key_pem.as_bytes(), 0o600)?;
    write_file(certificate, certificate_pem.as_bytes(), 0o644)?;
    Ok(true)
}

/// Makes a self-signed certificate and its key, as PEM texts.
///
/// # Errors
/// The key cannot be made.
pub fn make(options: &CertificateOptions, randomness: &dyn Randomness) -> Result<(String, String), CertificateError> {
    let mut unit = [0; 16];
    randomness.fill(&mut unit);
    let unit = uuid::Builder::from_random_bytes(unit).into_uuid().to_string().to_uppercase();
    let mut names = vec!["localhost".to_owned(), options.node_name.clone()];
    if options.full_name != options.node_name {
        names.push(options.full_name.clone());
    }
    names.dedup();
    let mut params = CertificateParams::new(names).map_err(CertificateError::Make)?;
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    params.subject_alt_names.splice(0..0, addresses.map(SanType::IpAddress));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Farhold");
    params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    params.distinguished_name.push(DnType::CommonName, options.full_name.clone());
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = u64::try_from(options.now.0).unwrap_or(0) / 86_400 * 86_400;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(today);
    params.not_after = params.not_before + VALIDITY;
    let key = match options.key_kind {
        KeyKind::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        KeyKind::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
    };
    let key = key.map_err(CertificateError::Make)?;
    let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Returns where the replacement of a file waits.
pub fn waiting_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Writes the replacement of a file beside it, safely on disk. Blocking.
///
/// # Errors
/// It cannot be written.
pub fn put_beside(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    let write = || {
        let temporary = waiting_name(path);
        // A leftover of an interrupted run may have other rights; a fresh file has those given here.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| CertificateError::File { action: "write", path: path.to_owned(), source })
}

/// Puts the replacement of a file in its place, safely on disk. Blocking.
///
/// # Errors
/// It cannot be renamed.
pub fn take_place(path: &Path) -> Result<(), CertificateError> {
    let put = || {
        fs::rename(waiting_name(path), path)?;
        // A power failure must not keep the next file's new place and lose this one's: a chain without its key.
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    put().map_err(|source| CertificateError::File { action: "write", path: path.to_owned(), source })
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    put_beside(path, bytes, mode)?;
    take_place(path)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source| CertificateError::File { action: "read", path: path.to_owned(), source };
    if MAX_FILE_BYTES < fs::metadata(path).map_err(failed)?.len() {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(failed)
}

/// Reads a certificate chain and its key from PEM files; PKCS#8, PKCS#1 and SEC1 keys are understood. Blocking.
///
/// # Errors
/// A file cannot be read, is too large, or holds no certificate or key.
pub fn load(certificate: &Path, key: &Path) -> Result<TlsMaterial, CertificateError> {
    let chain = read_chain(certificate)?;
    let key_pem = zeroize_on_drop(read_file(key)?);
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|source| CertificateError::Pem {
        path: key.to_owned(),
        what: "private key",
        source,
    })?;
    Ok(TlsMaterial { chain, key })
}

fn zeroize_on_drop(bytes: Vec<u8>) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(bytes)
}

/// Reads a certificate chain, leaf first. Blocking.
///
/// # Errors
/// As for [`load`].
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read_file(path)?;
    let failed = |source| CertificateError::Pem { path: path.to_owned(), what: "certificate", source };
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if chain.is_empty() { Err(failed(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(chain) }
}

/// What `cert info` and the certificate endpoint tell about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Subject in the form `O = a, OU = b, CN = c`.
    pub subject: String,
    /// Alternative names in the form `DNS:name`, `IP:address`, `EMAIL:address`, `URI:uri`.
    pub alternative_names: Vec<String>,
    /// Issuer, same form as the subject.
    pub issuer: String,
    /// Start of the validity.
    pub not_before: Epoch,
    /// End of the validity.
    pub not_after: Epoch,
    /// SHA-256 over the DER form.
    pub fingerprint: Fingerprint,
    /// Long name of the key's algorithm, such as `rsaEncryption`.
    pub key_type: String,
    /// Size of the key in bits; 0 if unknown.
    pub key_bits: usize,
}

impl CertificateInfo {
    /// Describes a certificate in DER form.
    ///
    /// # Errors
    /// It is not valid X.509.
    pub fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let parse = |error: &dyn fmt::Display| CertificateError::Parse { reason: error.to_string() };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| parse(&e))?;
        let names = certificate.subject_alternative_name().map_err(|e| parse(&e))?;
        let key = certificate.public_key();
        Ok(Self {
            subject: name_text(certificate.subject()),
            alternative_names: names
                .map(|extension| extension.value.general_names.iter().filter_map(alternative_name).collect())
                .unwrap_or_default(),
            issuer: name_text(certificate.issuer()),
            not_before: Epoch(certificate.validity().not_before.timestamp()),
            not_after: Epoch(certificate.validity().not_after.timestamp()),
            fingerprint: fingerprint(der),
            key_type: key_type(&key.algorithm.algorithm.to_id_string()),
            key_bits: key.parsed().map_or(0, |parsed| parsed.key_size()),
        })
    }
}

fn name_text(name: &X509Name<'_>) -> String {
    let short = |oid: &str| match oid {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => "",
    };
    let attribute = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type().to_id_string();
        let name = short(&oid);
        let value = attribute.as_str().map_or_else(|_| "?".to_owned(), str::to_owned);
        format!("{} = {value}", if name.is_empty() { &oid } else { name })
    };
    name.iter_attributes().map(attribute).collect::<Vec<_>>().join(", ")
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("EMAIL:{name}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            Some(format!("IP:{address}"))
        }
        _ => None,
    }
}

fn key_type(oid: &str) -> String {
    match oid {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.3.101.112" => "ED25519",
        other => other,
    }
    .to_owned()
}

fn gmt(time: Epoch) -> String {
    jiff::Timestamp::from_second(time.0)
        .map_or_else(|_| time.0.to_string(), |t| t.strftime("%b %e %H:%M:%S %Y GMT").to_string())
}

/// The text of `cert info`. Source: `docs/spec/cli.md`, "cert info".
impl fmt::Display for CertificateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Subject: {}", self.subject)?;
        for name in &self.alternative_names {
            writeln!(f, "    {name}")?;
        }
        writeln!(f, "Issuer: {}", self.issuer)?;
        writeln!(f, "Validity:\n    Not Before: {}\n    Not After : {}", gmt(self.not_before), gmt(self.not_after))?;
        writeln!(f, "Fingerprint (sha256): {}", self.fingerprint)?;
        writeln!(f, "Public key type: {}", self.key_type)?;
        writeln!(f, "Public key bits: {}", self.key_bits)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::system::SystemRandomness;

    fn options() -> CertificateOptions {
        CertificateOptions {
            node_name: "far".to_owned(),
            full_name: "far.example".to_owned(),
            key_kind: KeyKind::EcdsaP256,
            now: Epoch(1_795_000_000),
        }
    }

    #[test]
    fn a_pair_is_made_once_and_describes_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("proxy.pem"), folder.path().join("proxy.key"));
        assert!(ensure(&certificate, &key, &options(), &SystemRandomness).unwrap());
        let material = load(&certificate, &key).unwrap();
        assert!(!ensure(&certificate, &key, &options(), &SystemRandomness).unwrap(), "existing files are kept");
        assert_eq!(load(&certificate, &key).unwrap().fingerprint(), material.fingerprint());
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        let info = CertificateInfo::of(&material.chain[0]).unwrap();
        let names = ["IP:127.0.0.1", "IP:::1", "DNS:localhost", "DNS:far", "DNS:far.example"];
        assert_eq!(info.alternative_names, names);
        assert!(info.subject.starts_with("O = Farhold, OU = ") && info.subject.ends_with("CN = far.example"));
        assert_eq!(info.issuer, info.subject);
        assert_eq!((info.key_type.as_str(), info.key_bits), ("id-ecPublicKey", 256));
        assert_eq!(info.not_after.seconds_since(info.not_before), 365_000 * 86_400);
        let text = info.to_string();
        assert!(text.contains("    Not Before: Nov 18 00:00:00 2026 GMT\n"), "{text}");
        assert!(text.contains(&format!("Fingerprint (sha256): {}\n", material.fingerprint())));
    }

    #[test]
    fn files_without_certificate_or_key_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c"), folder.path().join("k"));
        assert!(matches!(load(&certificate, &key), Err(CertificateError::File { .. })));
        fs::write(&certificate, "nothing").unwrap();
        assert!(matches!(load(&certificate, &key), Err(CertificateError::Pem { what: "certificate", .. })));
        ensure(&certificate, &key, &options(), &SystemRandomness).unwrap();
        fs::write(&key, "nothing").unwrap();
        assert!(matches!(load(&certificate, &key), Err(CertificateError::Pem { what: "private key", .. })));
    }
}
