//! Changing `node.cfg`. Source: `docs/spec/config-and-access.md` 3.14, `docs/spec/rest-api.md` 1.5.

use std::collections::BTreeSet;

use farhold_client::HttpProxy;
use farhold_settings::{NodeConfig, Settings, SettingsError};
use farhold_types::Digest;
use thiserror::Error;

/// Why the settings of the host were not changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeConfigError {
    /// Two ACME domains are the same.
    #[error("the domain '{domain}' is given twice")]
    DomainTwice {
        /// The domain.
        domain: String,
    },
    /// No connection could be made with this list.
    #[error("'{name}' names no cipher that is known: '{element}'")]
    Ciphers {
        /// The setting.
        name: &'static str,
        /// What is not known.
        element: String,
    },
    /// The file cannot be read or written, or a value breaks its rule.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// A change: first `delete`, then `set`.
#[derive(Debug, Clone, Default)]
pub struct NodeConfigEdit {
    /// Names of settings that go.
    pub delete: Vec<String>,
    /// Settings and their new texts.
    pub set: Vec<(String, String)>,
}

impl NodeConfigEdit {
    /// Checks the text of a proxy.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub fn check_http_proxy(text: &str) -> Result<(), String> {
        HttpProxy::parse(text).map(drop).map_err(|error| error.to_string())
    }
}

/// Changes the settings of the host. Blocking.
///
/// # Errors
/// [`NodeConfigError`]; nothing is written then.
pub fn update_node_config(
    settings: &Settings,
    edit: NodeConfigEdit,
    digest: Option<Digest>,
) -> Result<(), NodeConfigError> {
    settings.node().edit(digest, |config| apply(config, edit)).map(drop)
}

fn apply(config: &mut NodeConfig, edit: NodeConfigEdit) -> Result<(), NodeConfigError> {
    for name in &edit.delete {
        match name.as_str() {
            "description" => config.values.description = None,
            other => config.values.set(other, None),
        }
    }
    for (name, text) in edit.set {
        // Only what is set now: a list that another program wrote must not keep us from changing something else.
        match name.as_str() {
            "ciphers-tls-1.3" => check_suites(&text)?,
            "ciphers-tls-1.2" => check_cipher_list(&text)?,
            _ => {}
        }
        match name.as_str() {
            "description" => config.values.description = Some(text).filter(|text| !text.is_empty()),
            _ => config.values.set(&name, Some(text)),
        }
    }
    check_domains(config)
}

fn check_domains(config: &NodeConfig) -> Result<(), NodeConfigError> {
    let mut seen = BTreeSet::new();
    for index in 0..5 {
        let Some(text) = config.values.get(&format!("acmedomain{index}")) else { continue };
        let first = text.split(',').next().unwrap_or_default();
        let domain = first.strip_prefix("domain=").unwrap_or(first).to_ascii_lowercase();
        if !seen.insert(domain.clone()) {
            return Err(NodeConfigError::DomainTwice { domain });
        }
    }
    Ok(())
}

/// Cipher suites of TLS 1.3, all there are. Source: RFC 8446, B.4.
const TLS13_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// Words that stand for groups of ciphers in lists of TLS 1.2.
const CIPHER_WORDS: &[&str] = &[
    "DEFAULT", "ALL", "HIGH", "MEDIUM", "ECDHE", "EECDH", "DHE", "EDH", "ECDSA", "aECDSA", "RSA", "aRSA", "kRSA",
    "AES", "AES128", "AES256", "AESGCM", "AESCCM", "CHACHA20", "ARIA", "CAMELLIA", "SHA256", "SHA384", "SHA1", "SHA",
    "TLSv1.2", "TLSv1", "TLSv1.0",
];

fn check_suites(text: &str) -> Result<(), NodeConfigError> {
    let unknown = text.split(':').find(|suite| !TLS13_SUITES.contains(suite));
    match unknown {
        Some(element) => Err(NodeConfigError::Ciphers { name: "ciphers-tls-1.3", element: element.to_owned() }),
        None => Ok(()),
    }
}

/// Checks that a list admits something: a word or the name of a suite that is not taken away again.
fn check_cipher_list(text: &str) -> Result<(), NodeConfigError> {
    let is_suite = |element: &str| {
        let has_form = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
        element.contains('-') && element.split('-').all(has_form)
    };
    let admits = |element: &str| is_suite(element) || element.split('+').all(|word| CIPHER_WORDS.contains(&word));
    let elements = text.split([':', ',', ' ']).filter(|element| !element.is_empty());
    let admitted = elements.filter(|element| !element.starts_with(['!', '-', '+', '@'])).any(admits);
    let refused = || NodeConfigError::Ciphers { name: "ciphers-tls-1.2", element: text.to_owned() };
    if admitted { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestServer;

    fn edit(delete: &[&str], set: &[(&str, &str)]) -> NodeConfigEdit {
        NodeConfigEdit {
            delete: delete.iter().map(|name| (*name).to_owned()).collect(),
            set: set.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        }
    }

    #[test]
    fn what_is_deleted_and_set_ends_up_set_and_the_rest_stays() {
        let server = TestServer::new();
        let settings = &server.app.settings;
        let first = edit(&[], &[("email-from", "a@b.c"), ("task-log-max-days", "7"), ("description", "rack 4\nops")]);
        update_node_config(settings, first, None).unwrap();
        update_node_config(settings, edit(&["email-from", "task-log-max-days"], &[("email-from", "d@e.f")]), None)
            .unwrap();
        let text = std::fs::read_to_string(server.folder().join("etc/node.cfg")).unwrap();
        assert_eq!(text, "#rack 4\n#ops\nemail-from: d@e.f\n");
        update_node_config(settings, edit(&["description"], &[]), None).unwrap();
        assert_eq!(settings.node().load().unwrap().entries.values.description, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_nothing_is_written() {
        let server = TestServer::new();
        let settings = &server.app.settings;
        for wrong in [
            &[("acmedomain0", "a.example"), ("acmedomain3", "domain=A.example,plugin=x")][..],
            &[("ciphers-tls-1.3", "TLS_AES_128_GCM_SHA256:x")],
            &[("ciphers-tls-1.2", "!HIGH")],
            &[("ciphers-tls-1.2", "nonsense")],
            &[("location", "rack 7")],
            &[("email-from", "x")],
            &[("nonsense", "x")],
        ] {
            assert!(update_node_config(settings, edit(&[], wrong), None).is_err(), "{wrong:?}");
        }
        assert!(!server.folder().join("etc/node.cfg").exists());
        for right in [
            ("ciphers-tls-1.2", "HIGH"),
            ("ciphers-tls-1.2", "ECDHE+AESGCM:ECDHE-RSA-CHACHA20-POLY1305:!aNULL:@STRENGTH"),
            ("ciphers-tls-1.3", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
        ] {
            update_node_config(settings, edit(&[], &[right]), None).unwrap();
        }
    }

    #[test]
    fn a_list_of_another_program_does_not_keep_us_from_other_changes() {
        let server = TestServer::new();
        std::fs::write(server.folder().join("etc/node.cfg"), "ciphers-tls-1.2: kPSK\n").unwrap();
        update_node_config(&server.app.settings, edit(&[], &[("email-from", "a@b.c")]), None).unwrap();
        let text = std::fs::read_to_string(server.folder().join("etc/node.cfg")).unwrap();
        assert_eq!(text, "ciphers-tls-1.2: kPSK\nemail-from: a@b.c\n");
    }
}
