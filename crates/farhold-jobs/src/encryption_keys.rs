//! Encryption keys of sync jobs: making them, and who may use them.
//!
//! A job uses keys with the rights of its owner: `Sys.Modify` on the key. Source: `docs/spec/sync.md` 3.4 and 19.

use std::sync::Arc;

use farhold_access::AccessSnapshot;
use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::key_file::{KeyFile, KeyFileError, LocalTime};
use farhold_rules::acl::AclPath;
use farhold_settings::{KeyStoreError, KeyUse, SettingsError};
use farhold_sync::SyncKey;
use farhold_types::{Authid, KeyId, Privileges, Secret};
use thiserror::Error;

use crate::app::App;
use crate::sync_job_edit::KeyChecks;

/// Why a key could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NewKeyError {
    /// The text is no key file.
    #[error(transparent)]
    Text(KeyFileError),
    /// The key cannot be stored.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
}

/// Why an owner's job cannot use a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyAccessError {
    /// The owner lacks the privilege. Whether there is such a key does not show.
    #[error("missing permissions 'Sys.Modify' on '{}'", AclPath::encryption_key(.id))]
    Denied {
        /// The key.
        id: KeyId,
    },
    /// The key does not exist, or cannot be used.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
}

/// Makes a random key and stores it. Returns its key file: the only time that the key leaves the server. Blocking.
///
/// # Errors
/// As [`farhold_settings::Settings::add_key`].
pub fn create_key(app: &App, id: &KeyId) -> Result<KeyFile, NewKeyError> {
    let file = KeyFile::plain(EncryptionKey::generate(&*app.randomness), LocalTime::utc(app.clock.now()));
    app.settings.add_key(id, &file)?;
    Ok(file)
}

/// Stores the key of a key file. Returns it as it is stored. Blocking.
///
/// # Errors
/// [`NewKeyError::Text`], also for key data of another length than 32 bytes; otherwise as
/// [`farhold_settings::Settings::add_key`].
pub fn import_key(app: &App, id: &KeyId, text: &Secret) -> Result<KeyFile, NewKeyError> {
    let file = KeyFile::parse(text.expose().as_bytes()).map_err(NewKeyError::Text)?;
    app.settings.add_key(id, &file)?;
    Ok(file)
}

/// Returns a key that `owner` may use. The permission is looked at first, so that nobody can probe for keys. Blocking.
///
/// # Errors
/// [`KeyAccessError`].
pub fn load_key(
    app: &App,
    access: &AccessSnapshot,
    owner: &Authid,
    id: &KeyId,
    usage: KeyUse,
) -> Result<CryptConfig, KeyAccessError> {
    access
        .require_all(owner, &AclPath::encryption_key(id), Privileges::SYS_MODIFY)
        .map_err(|_| KeyAccessError::Denied { id: id.clone() })?;
    let file = app.settings.load_key(id, usage)?;
    let key = file.decrypt(None).map_err(|source| KeyStoreError::File { id: id.clone(), source })?;
    Ok(CryptConfig::new(key))
}

/// Returns the keys with which a pull of `owner` decrypts, in the order of the list, each once. Blocking.
///
/// # Errors
/// The first key that cannot be used: then the whole run must fail.
pub fn decryption_keys(
    app: &App,
    access: &AccessSnapshot,
    owner: &Authid,
    ids: &[KeyId],
) -> Result<Vec<SyncKey>, KeyAccessError> {
    let mut keys: Vec<SyncKey> = Vec::with_capacity(ids.len());
    for id in ids {
        if keys.iter().any(|key| key.id == *id) {
            continue;
        }
        let config = Arc::new(load_key(app, access, owner, id, KeyUse::Decrypt)?);
        keys.push(SyncKey { id: id.clone(), config });
    }
    Ok(keys)
}

/// Returns all keys that `caller` may use, archived ones too. One that cannot be loaded is left out. Blocking.
///
/// # Errors
/// The list of keys cannot be read.
pub(crate) fn usable_keys(app: &App, access: &AccessSnapshot, caller: &Authid) -> Result<Vec<SyncKey>, SettingsError> {
    let mut keys = Vec::new();
    for entry in app.settings.encryption_keys().load()?.entries.all()? {
        match load_key(app, access, caller, &entry.id, KeyUse::Decrypt) {
            Ok(config) => keys.push(SyncKey { id: entry.id.clone(), config: Arc::new(config) }),
            Err(KeyAccessError::Denied { .. }) => {}
            Err(error) => tracing::warn!(key = %entry.id, %error, "a key cannot be used for a repair"),
        }
    }
    Ok(keys)
}

/// Returns the key with which a push of `owner` encrypts. Blocking.
///
/// # Errors
/// It cannot be used, or is archived: then the whole run must fail.
pub fn encryption_key(
    app: &App,
    access: &AccessSnapshot,
    owner: &Authid,
    id: &KeyId,
) -> Result<SyncKey, KeyAccessError> {
    let config = Arc::new(load_key(app, access, owner, id, KeyUse::Encrypt)?);
    Ok(SyncKey { id: id.clone(), config })
}

/// A job's owner cannot use a key that the job is to name.
#[derive(Debug, Error)]
#[error("encryption key '{id}' cannot be used by the job")]
pub struct KeyRefused {
    /// The key.
    pub id: KeyId,
    /// Why, as far as the caller may know.
    #[source]
    pub reason: Box<RefusalReason>,
}

/// Why a key is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The caller may see the key and learns that the privilege is missing.
    #[error("its owner '{owner}' needs Sys.Modify on {path}")]
    Owner {
        /// Who would run the job.
        owner: Authid,
        /// Path of the key.
        path: AclPath,
    },
    /// The caller may see the key and learns what is wrong with it.
    #[error(transparent)]
    Store(KeyStoreError),
    /// The caller may not know whether there is such a key.
    #[error("there is no such key, or it is archived, or its owner '{owner}' lacks Sys.Modify on {path}")]
    Hidden {
        /// Who would run the job.
        owner: Authid,
        /// Path of the key.
        path: AclPath,
    },
}

/// Checks that the owner of a job may use the keys that a change names, and that they can be loaded. Blocking.
///
/// # Errors
/// [`KeyRefused`], for the first such key.
///
/// Source: `docs/spec/sync.md` 2.3 (6), 2.4 (4) to (6).
pub fn check_job_keys(
    app: &App,
    access: &AccessSnapshot,
    caller: &Authid,
    owner: &Authid,
    checks: &KeyChecks,
) -> Result<(), KeyRefused> {
    let unarchived = checks.unarchived.iter().map(|id| (id, KeyUse::Encrypt));
    let accessible = checks.accessible.iter().map(|id| (id, KeyUse::Decrypt));
    for (id, usage) in unarchived.chain(accessible) {
        let Err(error) = load_key(app, access, owner, id, usage) else { continue };
        let path = AclPath::encryption_key(id);
        let may_know = access.acl().require_any(caller, &path, Privileges::SYS_AUDIT | Privileges::SYS_MODIFY).is_ok();
        let owner = owner.clone();
        let reason = match error {
            _ if !may_know => RefusalReason::Hidden { owner, path },
            KeyAccessError::Denied { .. } => RefusalReason::Owner { owner, path },
            KeyAccessError::Store(error) => RefusalReason::Store(error),
        };
        return Err(KeyRefused { id: id.clone(), reason: Box::new(reason) });
    }
    Ok(())
}
