//! `encryption-keys.cfg`: what is known of the server's encryption keys. The keys themselves lie in files beside it.
//!
//! Source: `docs/spec/config-and-access.md` 3.7.

use farhold_format::config_schema::FileSchema;
use farhold_format::key_file::{Kdf, KeyFile};
use farhold_format::section_config::Section;
use farhold_types::{Epoch, Fingerprint, KeyId};

use crate::entries::{ConfigFile, Fields, put};
use crate::error::FieldError;
use crate::schemas;

/// What the configuration says about a key; it holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKeyConfig {
    /// Id.
    pub id: KeyId,
    /// Key file, an absolute path; none means its usual place.
    pub path: Option<String>,
    /// How the key file protects the key. Servers use only keys without protection.
    pub kdf: Kdf,
    /// When the key was made.
    pub created: Epoch,
    /// When its file was last changed.
    pub modified: Epoch,
    /// Fingerprint; the key file must name the same, or none either.
    pub fingerprint: Option<Fingerprint>,
    /// Free text of the key file.
    pub hint: Option<String>,
    /// Since when the key only decrypts; none while it may also encrypt.
    pub archived_at: Option<Epoch>,
}

impl EncryptionKeyConfig {
    /// Returns the entry of a key whose file lies at `path`.
    pub fn of_file(id: KeyId, path: String, file: &KeyFile) -> Self {
        Self {
            id,
            path: Some(path),
            kdf: file.kdf(),
            created: file.created.epoch(),
            modified: file.modified.epoch(),
            fingerprint: file.fingerprint,
            hint: file.hint.clone(),
            archived_at: None,
        }
    }

    /// Returns whether the key is archived: it decrypts, but nothing new is encrypted with it.
    pub const fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }
}

/// The file `encryption-keys.cfg`.
#[derive(Debug)]
pub struct EncryptionKeys;

impl ConfigFile for EncryptionKeys {
    type Entry = EncryptionKeyConfig;
    const FILE: &'static str = "encryption-keys.cfg";
    const LOCK: &'static str = ".encryption-keys.lck";
    const SCHEMA: FileSchema = schemas::ENCRYPTION_KEYS;

    fn read(section: &Section) -> Result<EncryptionKeyConfig, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        Ok(EncryptionKeyConfig {
            id: fields.id()?,
            path: fields.text("path"),
            kdf: fields.required("kdf")?,
            created: Epoch(fields.required("created")?),
            modified: Epoch(fields.required("modified")?),
            fingerprint: fields.optional("fingerprint")?,
            hint: fields.text("hint"),
            archived_at: fields.optional("archived-at")?.map(Epoch),
        })
    }

    fn header(entry: &EncryptionKeyConfig) -> (&'static str, String) {
        ("sync-key", entry.id.to_string())
    }

    fn write(entry: &EncryptionKeyConfig, section: &mut Section) {
        section.set("path", entry.path.clone());
        put(section, "kdf", Some(&entry.kdf));
        put(section, "created", Some(&entry.created.0));
        put(section, "modified", Some(&entry.modified.0));
        put(section, "fingerprint", entry.fingerprint.as_ref());
        section.set("hint", entry.hint.clone());
        put(section, "archived-at", entry.archived_at.map(|time| time.0).as_ref());
    }
}
