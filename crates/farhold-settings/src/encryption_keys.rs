//! The server's encryption keys: an entry in `encryption-keys.cfg` and a key file each, changed together.
//!
//! A key that somebody may need is never lost: an existing key file is never overwritten by another key, the file is on
//! disk before its entry, and on removal the entry goes first. What a crash leaves in between is a key file without an
//! entry. It stands in nobody's way but for the same id, where it is reported with its path; importing the very same key
//! completes the entry.
//!
//! Source: `docs/spec/config-and-access.md` 3.7, `docs/spec/sync.md` 19.

use farhold_format::key_file::{Kdf, KeyFile, KeyFileError};
use farhold_types::{Digest, Epoch, Fingerprint, KeyId};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Settings;
use crate::config_dir::Protection;
use crate::entries::{ConfigFile, Entries};
use crate::error::SettingsError;
use crate::records::encryption_key::{EncryptionKeyConfig, EncryptionKeys};
use crate::removal::{JobsOfKey, jobs_using_key};

/// Folder of the key files, below the configuration directory.
pub const KEY_DIRECTORY: &str = "encryption-keys";
/// Mode of that folder. Source: `docs/spec/config-and-access.md` 1.
const KEY_DIRECTORY_MODE: u32 = 0o750;

/// What a key is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Reading what was encrypted with it; archived keys can do that.
    Decrypt,
    /// Encrypting new data; archived keys must not.
    Encrypt,
}

/// How a key's archived state is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archiving {
    /// To the other state.
    Toggle,
    /// Archived; nothing happens if it is already.
    Archive,
    /// Active; nothing happens if it is already.
    Restore,
}

/// Why keys could not be loaded or changed. Nothing here shows a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// The configuration cannot be read or changed; also for unknown and taken ids, and for keys in use.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The key is protected by a passphrase, which nobody could enter when a job runs.
    #[error("key is protected by a passphrase, which a server cannot use; export it without one")]
    Protected,
    /// Archived keys do not encrypt.
    #[error("encryption key '{id}' is archived and cannot encrypt")]
    Archived {
        /// The key.
        id: KeyId,
    },
    /// Only archived keys can be removed.
    #[error("encryption key '{id}' is still active; only archived keys can be removed")]
    NotArchived {
        /// The key.
        id: KeyId,
    },
    /// A key file without an entry lies in the way.
    #[error(
        "'{path}' holds a key that belongs to no entry; import it as '{id}' with this file, or move the file away if \
         nothing needs it"
    )]
    Leftover {
        /// The id.
        id: KeyId,
        /// The key file.
        path: String,
    },
    /// The entry has no key file any more.
    #[error("key file '{path}' of encryption key '{id}' is missing")]
    FileMissing {
        /// The key.
        id: KeyId,
        /// Where it should be.
        path: String,
    },
    /// Entry and file are about different keys.
    #[error("encryption key '{id}' has the fingerprint {}, but its key file names {}", shown(.entry), shown(.file))]
    FingerprintDiffers {
        /// The key.
        id: KeyId,
        /// What the entry says.
        entry: Option<Fingerprint>,
        /// What the file says.
        file: Option<Fingerprint>,
    },
    /// The text of a key cannot be used.
    #[error("encryption key '{id}' cannot be used")]
    File {
        /// The key.
        id: KeyId,
        /// What is wrong with its text.
        #[source]
        source: KeyFileError,
    },
}

fn shown(fingerprint: &Option<Fingerprint>) -> String {
    fingerprint.map_or_else(|| "none".to_owned(), |fingerprint| fingerprint.short())
}

/// Whether an entry's key can be used.
#[derive(Debug)]
pub enum KeyFileState {
    /// Entry and key file fit.
    Usable,
    /// They do not; why.
    Broken(KeyStoreError),
}

/// What lies where a key file is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing, or an empty file.
    Free,
    /// The same key, left by a crash.
    HoldsTheKey,
    /// Something else, which is not ours to overwrite.
    Taken,
}

/// Where a key file is, and what it holds.
struct Stored {
    /// Below the configuration directory, or absolute.
    name: String,
    bytes: Option<Zeroizing<Vec<u8>>>,
}

impl Settings {
    /// Adds a key: its file first, then its entry. `file` may be new or come from elsewhere.
    ///
    /// A failure removes the file again. After a crash in between, the same key can be added again.
    ///
    /// # Errors
    /// In this order: [`KeyStoreError::Protected`], [`KeyStoreError::File`] if the file names another fingerprint than
    /// its key has, errors of the lock, [`SettingsError::Exists`], [`KeyStoreError::Leftover`] if another key's file lies
    /// in its place, errors of writing.
    pub fn add_key(&self, id: &KeyId, file: &KeyFile) -> Result<Digest, KeyStoreError> {
        check_usable(id, file)?;
        let lock = self.encryption_keys().lock()?;
        if self.encryption_keys().load()?.entries.contains(id.as_str()) {
            let (file, id) = (EncryptionKeys::FILE.to_owned(), id.to_string());
            return Err(SettingsError::Exists { file, id }.into());
        }
        self.dir().prepare_folder(KEY_DIRECTORY, KEY_DIRECTORY_MODE)?;
        let name = key_file_name(id);
        let _file_lock = self.dir().lock(&format!("{name}.lck"))?;
        let path = self.dir().path().join(&name).display().to_string();
        let place = self.place_for(&name, file)?;
        if place == Place::Taken {
            return Err(KeyStoreError::Leftover { id: id.clone(), path });
        }
        self.dir().replace(&name, file.to_json().expose().as_bytes(), Protection::Shared)?;
        let entry = EncryptionKeyConfig::of_file(id.clone(), path, file);
        let added = self.encryption_keys().edit_locked::<_, SettingsError>(&lock, None, |keys| keys.insert(entry));
        match added {
            Ok(edited) => Ok(edited.digest),
            Err(error) => {
                // Nobody was told of a new key yet, but what lay there before may be needed. If the entry was written
                // all the same, the file must stay too.
                let is_unlisted = self.encryption_keys().load().is_ok_and(|keys| !keys.entries.contains(id.as_str()));
                if place == Place::Free && is_unlisted {
                    let _ = self.dir().remove(&name);
                }
                Err(error.into())
            }
        }
    }

    /// Returns a key for use, checked: entry and file name the same fingerprint, and the key has it. Takes the lock of
    /// the entries, so that it never sees half of a change; may be called by whoever edits a job.
    ///
    /// # Errors
    /// [`SettingsError::NotFound`], [`KeyStoreError::Archived`], [`KeyStoreError::FileMissing`],
    /// [`KeyStoreError::File`], [`KeyStoreError::FingerprintDiffers`], [`KeyStoreError::Protected`].
    pub fn load_key(&self, id: &KeyId, usage: KeyUse) -> Result<KeyFile, KeyStoreError> {
        let lock = self.encryption_keys().lock()?;
        let loaded = self.encryption_keys().load()?;
        let entry = loaded.entries.require(id.as_str())?;
        if usage == KeyUse::Encrypt && entry.is_archived() {
            return Err(KeyStoreError::Archived { id: id.clone() });
        }
        let file = self.read_key(entry)?;
        drop(lock);
        Ok(file)
    }

    /// Returns whether the key of an entry could be loaded. Takes no lock.
    pub fn key_file_state(&self, entry: &EncryptionKeyConfig) -> KeyFileState {
        match self.read_key(entry) {
            Ok(_) => KeyFileState::Usable,
            Err(error) => KeyFileState::Broken(error),
        }
    }

    /// Changes whether a key is archived. No job can begin to encrypt with it meanwhile.
    ///
    /// # Errors
    /// A wrong digest, [`SettingsError::NotFound`], [`SettingsError::InUse`] if a job encrypts with a key that is to be
    /// archived.
    pub fn archive_key(
        &self,
        id: &KeyId,
        change: Archiving,
        now: Epoch,
        expected: Option<Digest>,
    ) -> Result<Digest, KeyStoreError> {
        let _jobs_lock = self.sync_jobs().lock()?;
        let lock = self.encryption_keys().lock()?;
        let edited = self.encryption_keys().edit_locked(&lock, expected, |keys| {
            let mut entry = keys.require(id.as_str())?.clone();
            let is_to_be_archived = match change {
                Archiving::Toggle => !entry.is_archived(),
                Archiving::Archive => true,
                Archiving::Restore => false,
            };
            if is_to_be_archived == entry.is_archived() {
                return Ok(());
            }
            if is_to_be_archived {
                check_unused(id, &self.jobs_of_key(id)?.active)?;
            }
            entry.archived_at = is_to_be_archived.then_some(now);
            Ok::<_, KeyStoreError>(keys.update(entry)?)
        })?;
        Ok(edited.digest)
    }

    /// Removes an archived key that no job names: its entry, then its file. The empty lock file stays.
    ///
    /// An id without entry and file is no error.
    ///
    /// # Errors
    /// A wrong digest, [`SettingsError::InUse`], [`KeyStoreError::NotArchived`], [`KeyStoreError::FingerprintDiffers`]
    /// or [`KeyStoreError::File`] if the file may hold another key, [`KeyStoreError::Leftover`] if there is only a file.
    pub fn remove_key(&self, id: &KeyId, expected: Option<Digest>) -> Result<Digest, KeyStoreError> {
        let jobs_lock = self.sync_jobs().lock()?;
        let lock = self.encryption_keys().lock()?;
        let edited = self.encryption_keys().edit_locked(&lock, expected, |keys: &mut Entries<EncryptionKeys>| {
            let Some(entry) = keys.get(id.as_str())? else {
                return self.check_no_leftover(id).map(|()| None);
            };
            let jobs = self.jobs_of_key(id)?;
            check_unused(id, &[jobs.active, jobs.associated].concat())?;
            if !entry.is_archived() {
                return Err(KeyStoreError::NotArchived { id: id.clone() });
            }
            let stored = self.stored(entry)?;
            match self.read_key(entry) {
                // Without its file the entry is of no use to anybody.
                Ok(_) | Err(KeyStoreError::FileMissing { .. }) => {}
                Err(error) => return Err(error),
            }
            keys.remove(id.as_str());
            Ok(Some(stored.name))
        })?;
        drop(jobs_lock);
        if let Some(name) = edited.value {
            self.dir().remove(&name)?;
        }
        Ok(edited.digest)
    }

    /// Returns the jobs that name a key. Takes no lock.
    ///
    /// # Errors
    /// `sync.cfg` cannot be read.
    pub fn jobs_of_key(&self, id: &KeyId) -> Result<JobsOfKey, SettingsError> {
        Ok(jobs_using_key(&self.sync_jobs().load()?.entries, id))
    }

    /// Returns what lies where the key file is to be written.
    fn place_for(&self, name: &str, file: &KeyFile) -> Result<Place, KeyStoreError> {
        let bytes = match self.dir().read(name)?.map(Zeroizing::new) {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => return Ok(Place::Free),
        };
        let holds_it = |present: KeyFile| match (present.decrypt(None), file.decrypt(None)) {
            (Ok(present), Ok(wanted)) => present == wanted,
            _ => false,
        };
        Ok(if KeyFile::parse(&bytes).is_ok_and(holds_it) { Place::HoldsTheKey } else { Place::Taken })
    }

    fn check_no_leftover(&self, id: &KeyId) -> Result<(), KeyStoreError> {
        let name = key_file_name(id);
        match self.dir().read(&name)?.map(Zeroizing::new) {
            Some(bytes) if !bytes.is_empty() => {
                let path = self.dir().path().join(&name).display().to_string();
                Err(KeyStoreError::Leftover { id: id.clone(), path })
            }
            _ => Ok(()),
        }
    }

    /// Finds the file of an entry: where the entry says, else in its usual place, as after a move to another host.
    fn stored(&self, entry: &EncryptionKeyConfig) -> Result<Stored, SettingsError> {
        let usual = key_file_name(&entry.id);
        if let Some(path) = &entry.path
            && let Some(bytes) = self.dir().read(path)?
        {
            return Ok(Stored { name: path.clone(), bytes: Some(Zeroizing::new(bytes)) });
        }
        let bytes = self.dir().read(&usual)?.map(Zeroizing::new);
        Ok(Stored { name: usual, bytes })
    }

    fn read_key(&self, entry: &EncryptionKeyConfig) -> Result<KeyFile, KeyStoreError> {
        let id = &entry.id;
        let stored = self.stored(entry)?;
        let Some(bytes) = stored.bytes else {
            let usual = || self.dir().path().join(&stored.name).display().to_string();
            return Err(KeyStoreError::FileMissing { id: id.clone(), path: entry.path.clone().unwrap_or_else(usual) });
        };
        let file = KeyFile::parse(&bytes).map_err(|source| KeyStoreError::File { id: id.clone(), source })?;
        if file.fingerprint != entry.fingerprint {
            let (entry, file) = (entry.fingerprint, file.fingerprint);
            return Err(KeyStoreError::FingerprintDiffers { id: id.clone(), entry, file });
        }
        check_usable(id, &file)?;
        Ok(file)
    }
}

/// Checks that a server can use the key: no passphrase, and the fingerprint that its file names.
fn check_usable(id: &KeyId, file: &KeyFile) -> Result<(), KeyStoreError> {
    if file.kdf() != Kdf::None {
        return Err(KeyStoreError::Protected);
    }
    file.decrypt(None).map(drop).map_err(|source| KeyStoreError::File { id: id.clone(), source })
}

fn check_unused(id: &KeyId, jobs: &[String]) -> Result<(), SettingsError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let kind = if jobs.len() == 1 { "job" } else { "jobs" };
    Err(SettingsError::InUse { id: id.to_string(), users: format!("sync {kind} {}", jobs.join(", ")) })
}

/// Returns the name of a key's file below the configuration directory.
fn key_file_name(id: &KeyId) -> String {
    format!("{KEY_DIRECTORY}/{id}.enc")
}
