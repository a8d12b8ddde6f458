//! `remote.cfg`: other servers, and how to log in there. Source: `docs/spec/config-and-access.md` 3.1.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose};
use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::{Authid, Fingerprint, RemoteName, Secret};

use crate::entries::{ConfigFile, Fields, put, put_comment};
use crate::error::FieldError;
use crate::schemas;

/// Port of a remote that names none. Source: `docs/spec/config-and-access.md` 3.1.
pub const DEFAULT_PORT: u16 = 8007;

/// Standard alphabet; padding may be there or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret as the file keeps it, in base64. Not protected by that, only not readable at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret(Secret);

impl StoredSecret {
    /// Returns the stored form of a secret.
    pub fn encode(secret: &Secret) -> Self {
        Self(Secret::new(STANDARD.encode(secret.expose())))
    }

    /// Returns the secret.
    ///
    /// # Errors
    /// The stored text is not base64 of UTF-8 text; the reason says so.
    pub fn decode(&self) -> Result<Secret, &'static str> {
        let bytes = LENIENT.decode(self.0.expose()).map_err(|_| "stored secret is not valid base64; set it again")?;
        String::from_utf8(bytes).map(Secret::new).map_err(|_| "stored secret is not valid UTF-8; set it again")
    }
}

/// A remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Name.
    pub name: RemoteName,
    /// DNS name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port; see [`Self::effective_port`].
    pub port: Option<u16>,
    /// Whom to log in as.
    pub auth_id: Authid,
    /// Password or token secret.
    pub password: StoredSecret,
    /// Fingerprint of the remote's certificate as it was written; none means that the system's trust store decides.
    pub fingerprint: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// Connect through the proxy of `node.cfg`.
    pub use_node_proxy: Option<bool>,
}

impl RemoteConfig {
    /// Returns the port to connect to.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// Returns the pinned fingerprint.
    pub fn pinned_fingerprint(&self) -> Option<Fingerprint> {
        // The file's rule and the record's rule are the same, so the text always parses.
        self.fingerprint.as_ref().and_then(|text| text.parse().ok())
    }

    /// Returns the secret to log in with.
    ///
    /// # Errors
    /// What is stored does not decode.
    pub fn secret(&self) -> Result<Secret, FieldError> {
        self.password.decode().map_err(|reason| FieldError {
            file: Remotes::FILE.to_owned(),
            section: self.name.to_string(),
            key: "password".to_owned(),
            reason: reason.to_owned(),
        })
    }
}

/// The file `remote.cfg`.
#[derive(Debug)]
pub struct Remotes;

impl ConfigFile for Remotes {
    type Entry = RemoteConfig;
    const FILE: &'static str = "remote.cfg";
    const LOCK: &'static str = ".remote.lck";
    const SCHEMA: FileSchema = schemas::REMOTE;

    fn read(section: &Section) -> Result<RemoteConfig, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        Ok(RemoteConfig {
            name: fields.id()?,
            host: fields.required("host")?,
            port: fields.optional("port")?,
            auth_id: fields.required("auth-id")?,
            password: StoredSecret(Secret::new(fields.required::<String>("password")?)),
            fingerprint: fields.text("fingerprint"),
            comment: fields.text("comment"),
            use_node_proxy: fields.flag("use-node-proxy"),
        })
    }

    fn header(entry: &RemoteConfig) -> (&'static str, String) {
        ("remote", entry.name.to_string())
    }

    fn write(entry: &RemoteConfig, section: &mut Section) {
        section.set("host", Some(entry.host.clone()));
        put(section, "port", entry.port.as_ref());
        put(section, "auth-id", Some(&entry.auth_id));
        section.set("password", Some(canonical_base64(&entry.password)));
        section.set("fingerprint", entry.fingerprint.clone());
        put_comment(section, entry.comment.as_deref());
        put(section, "use-node-proxy", entry.use_node_proxy.as_ref());
    }
}

/// Returns the stored text with padding, or as it is if it does not decode.
fn canonical_base64(secret: &StoredSecret) -> String {
    let text = secret.0.expose();
    LENIENT.decode(text).map_or_else(|_| text.to_owned(), |bytes| general_purpose::STANDARD.encode(bytes))
}
