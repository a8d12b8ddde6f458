//! The certificate of one server: its files, what it says, and the listener that shows it.
//!
//! A replacement is written beside the present pair first. Then key and chain take their places, in this order; if the
//! host stops between the two, the next start finds a key that fits the chain that still waits, and goes on with it.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farhold_jobs::certificate::{CertificateChangeError, CertificateFacts, ServerCertificate};
use farhold_rules::acl::Granted;
use farhold_types::{Clock, Randomness, Secret};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::certificate::{self, CertificateInfo, CertificateOptions, KeyKind, TlsMaterial, waiting_name};
use crate::server::TlsIdentity;

/// Held while a certificate is made where there is none.
const LOCK: &str = ".proxy.lck";

/// Characters in a line of PEM text.
const PEM_LINE: usize = 64;

/// What a new certificate is made for, and from what.
pub struct Making {
    /// Name of the host.
    pub node: String,
    /// Kind of key.
    pub key_kind: KeyKind,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys.
    pub randomness: Arc<dyn Randomness>,
}

/// The certificate of one server.
pub struct NodeCertificate {
    chain: PathBuf,
    key: PathBuf,
    making: Making,
    facts: RwLock<Arc<CertificateFacts>>,
    listener: OnceLock<Arc<TlsIdentity>>,
    changing: Mutex<()>,
}

impl NodeCertificate {
    /// Opens the certificate in `folder`, making a self-signed one first if there is none. Blocking.
    ///
    /// # Errors
    /// A file cannot be read or written, or is no certificate.
    pub fn open(folder: &Path, making: Making) -> anyhow::Result<Self> {
        let (chain, key) = (folder.join("proxy.pem"), folder.join("proxy.key"));
        let _turn = if chain.exists() && key.exists() { None } else { Some(take_turn(folder)?) };
        finish_replacement(&chain, &key);
        certificate::ensure(&chain, &key, &making.options(), &*making.randomness)
            .context("failed to make a certificate")?;
        let facts = RwLock::new(Arc::new(facts_of(&certificate::load(&chain, &key)?, &chain)?));
        Ok(Self { chain, key, making, facts, listener: OnceLock::new(), changing: Mutex::new(()) })
    }

    /// Returns what listeners show; replacements reach it.
    ///
    /// # Errors
    /// The certificate does not fit its key.
    pub fn listener(&self) -> anyhow::Result<Arc<TlsIdentity>> {
        if let Some(identity) = self.listener.get() {
            return Ok(Arc::clone(identity));
        }
        let material = certificate::load(&self.chain, &self.key)?;
        let identity = TlsIdentity::new(material).context("the certificate and its key do not fit")?;
        Ok(Arc::clone(self.listener.get_or_init(|| Arc::new(identity))))
    }

    /// Puts a pair in place that was checked, in the files and at the listener.
    fn replace(&self, chain: &str, key: &Zeroizing<String>) -> Result<(), CertificateChangeError> {
        certificate::put_beside(&self.chain, chain.as_bytes(), 0o644).map_err(not_stored)?;
        certificate::put_beside(&self.key, key.as_bytes(), 0o600).map_err(not_stored)?;
        certificate::take_place(&self.key).map_err(not_stored)?;
        certificate::take_place(&self.chain).map_err(not_stored)?;
        let material = certificate::load(&self.chain, &self.key).map_err(not_stored)?;
        let facts = facts_of(&material, &self.chain).map_err(not_stored)?;
        if let Some(listener) = self.listener.get() {
            listener.replace(material).map_err(differs)?;
        }
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
        Ok(())
    }
}

impl Making {
    fn options(&self) -> CertificateOptions {
        CertificateOptions {
            node_name: self.node.clone(),
            full_name: self.node.clone(),
            key_kind: self.key_kind,
            now: self.clock.now(),
        }
    }
}

impl ServerCertificate for NodeCertificate {
    fn facts(&self) -> Option<Arc<CertificateFacts>> {
        Some(Arc::clone(&self.facts.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn install(&self, _proof: &Granted, chain: &str, key: Option<&Secret>) -> Result<(), CertificateChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let certificates = chain_of(chain)?;
        let key = match key {
            Some(key) => key_of(key.expose().as_bytes())?,
            None => certificate::load(&self.chain, &self.key).map_err(not_stored)?.key,
        };
        let key_text = key_pem(&key)?;
        if let Some(leaf) = certificates.first() {
            CertificateInfo::of(leaf).map_err(|error| unreadable("the certificate", &error))?;
        }
        let chain_text: String = certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
        // Checks that the two fit, before anything is touched.
        TlsIdentity::new(TlsMaterial { chain: certificates, key }).map_err(differs)?;
        self.replace(&chain_text, &key_text)
    }

    fn make_self_signed(&self, _proof: &Granted) -> Result<(), CertificateChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (chain, key) = certificate::make(&self.making.options(), &*self.making.randomness).map_err(not_stored)?;
        self.replace(&chain, &Zeroizing::new(key))
    }
}

/// Waits until no other program makes a certificate in `folder`, for as long as the result lives. A server and a command
/// that start at once would make one each, and the server would show one that the files no longer have.
fn take_turn(folder: &Path) -> anyhow::Result<std::fs::File> {
    let path = folder.join(LOCK);
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.with_context(|| format!("failed to open {}", path.display()))?;
    // Whoever has it makes one key; the system frees it if that program ends.
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}

/// Finishes a replacement that a stop of the host interrupted. What cannot be finished is left as it is.
fn finish_replacement(chain: &Path, key: &Path) {
    let fits = |chain: &Path| {
        let material = certificate::load(chain, key).ok()?;
        TlsIdentity::new(material).ok()
    };
    // Hardly ever does a chain wait, and then nothing needs to be read.
    if fits(&waiting_name(chain)).is_some() && fits(chain).is_none() {
        match certificate::take_place(chain).map_err(anyhow::Error::from) {
            Ok(()) => tracing::info!("the replacement of the certificate is complete now"),
            Err(error) => tracing::warn!("the new certificate cannot take its place: {error:#}"),
        }
    }
}

fn facts_of(material: &TlsMaterial, path: &Path) -> anyhow::Result<CertificateFacts> {
    let leaf = material.chain.first().context("the certificate file holds no certificate")?;
    let info = CertificateInfo::of(leaf)?;
    Ok(CertificateFacts {
        pem: std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?,
        subject: info.subject,
        alternative_names: info.alternative_names,
        issuer: info.issuer,
        not_before: info.not_before.0,
        not_after: info.not_after.0,
        fingerprint: info.fingerprint,
        public_key_type: info.key_type,
        public_key_bits: u32::try_from(info.key_bits).unwrap_or(u32::MAX),
    })
}

fn chain_of(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateChangeError> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unreadable("the certificate", &error))?;
    if certificates.is_empty() {
        return Err(unreadable("the certificate", &"there is no PEM section of a certificate in it"));
    }
    Ok(certificates)
}

fn key_of(text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateChangeError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| unreadable("the private key", &error))
}

/// Returns a key as PEM text and nothing else that may have stood beside it.
fn key_pem(key: &PrivateKeyDer<'static>) -> Result<Zeroizing<String>, CertificateChangeError> {
    let label = match key {
        PrivateKeyDer::Pkcs8(_) => "PRIVATE KEY",
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => return Err(unreadable("the private key", &"its kind is not known")),
    };
    Ok(Zeroizing::new(pem(label, key.secret_der())))
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(BASE64.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    // One allocation, so that no copy of a key is left behind by a growing text.
    text.reserve(rest.len() + rest.len() / PEM_LINE + 64);
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn unreadable(what: &'static str, reason: &dyn std::fmt::Display) -> CertificateChangeError {
    CertificateChangeError::Unreadable { what, reason: reason.to_string() }
}

fn differs(error: rustls::Error) -> CertificateChangeError {
    CertificateChangeError::KeyDiffers { reason: error.to_string() }
}

fn not_stored(error: impl Into<anyhow::Error>) -> CertificateChangeError {
    CertificateChangeError::Store { reason: format!("{:#}", error.into()) }
}

#[cfg(test)]
mod tests {
    use farhold_rules::acl::{AclPath, AclTree};
    use farhold_types::{Authid, Privileges};

    use super::*;
    use crate::system::{SystemClock, SystemRandomness};

    fn making() -> Making {
        Making {
            node: "far".to_owned(),
            key_kind: KeyKind::EcdsaP256,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
        }
    }

    fn proof() -> Granted {
        let path = AclPath::system(&["certificates"]);
        AclTree::default().require_all(&Authid::root(), &path, Privileges::SYS_MODIFY).unwrap()
    }

    fn new_pair(folder: &Path) -> (String, Secret) {
        let other = folder.join("other");
        std::fs::create_dir(&other).unwrap();
        NodeCertificate::open(&other, making()).unwrap();
        let read = |name: &str| std::fs::read_to_string(other.join(name)).unwrap();
        (read("proxy.pem"), Secret::new(read("proxy.key")))
    }

    #[test]
    fn a_replacement_reaches_files_facts_and_listener() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = NodeCertificate::open(folder.path(), making()).unwrap();
        let listener = certificate.listener().unwrap();
        let first = certificate.facts().unwrap();
        let (chain, key) = new_pair(folder.path());
        // A key that stands beside the chain by mistake must not become public.
        let sloppy = format!("{chain}{}", key.expose());
        certificate.install(&proof(), &sloppy, Some(&key)).unwrap();
        let second = certificate.facts().unwrap();
        assert_ne!(first.fingerprint, second.fingerprint);
        assert_eq!(listener.fingerprint(), second.fingerprint);
        assert!(!second.pem.contains("PRIVATE"), "{}", second.pem);
        let reopened = NodeCertificate::open(folder.path(), making()).unwrap();
        assert_eq!(reopened.facts().unwrap().fingerprint, second.fingerprint);
        // The same key again, now the present one.
        certificate.install(&proof(), &chain, None).unwrap();
        certificate.make_self_signed(&proof()).unwrap();
        assert_ne!(certificate.facts().unwrap().fingerprint, second.fingerprint);
        assert_eq!(listener.fingerprint(), certificate.facts().unwrap().fingerprint);
    }

    #[test]
    fn programs_that_start_at_once_have_one_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(4);
        let opened = || {
            barrier.wait();
            let certificate = NodeCertificate::open(folder.path(), making()).unwrap();
            (certificate.listener().unwrap().fingerprint(), certificate.facts().unwrap().fingerprint)
        };
        let mut seen: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(opened)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|(shown, told)| shown == told), "{seen:?}");
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = NodeCertificate::open(folder.path(), making()).unwrap();
        let before = std::fs::read(folder.path().join("proxy.pem")).unwrap();
        let (chain, key) = new_pair(folder.path());
        let refused = [
            certificate.install(&proof(), "junk", None),
            certificate.install(&proof(), "junk", Some(&key)),
            certificate.install(&proof(), &chain, None),
            certificate.install(&proof(), &chain, Some(&Secret::new("junk"))),
            certificate.install(&proof(), &chain.replace("MII", "MIJ"), Some(&key)),
        ];
        assert!(matches!(refused[0], Err(CertificateChangeError::Unreadable { what: "the certificate", .. })));
        assert!(matches!(refused[2], Err(CertificateChangeError::KeyDiffers { .. })));
        assert!(matches!(refused[3], Err(CertificateChangeError::Unreadable { what: "the private key", .. })));
        assert!(refused.iter().all(Result::is_err));
        assert_eq!(std::fs::read(folder.path().join("proxy.pem")).unwrap(), before);
    }

    #[test]
    fn a_stop_between_key_and_chain_is_made_good_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        NodeCertificate::open(folder.path(), making()).unwrap();
        let (chain, key) = new_pair(folder.path());
        certificate::put_beside(&folder.path().join("proxy.pem"), chain.as_bytes(), 0o644).unwrap();
        std::fs::write(folder.path().join("proxy.key"), key.expose()).unwrap();
        let reopened = NodeCertificate::open(folder.path(), making()).unwrap();
        assert_eq!(reopened.facts().unwrap().pem, chain);
        reopened.listener().unwrap();
    }
}
