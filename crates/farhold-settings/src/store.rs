//! One configuration file: load it, or change it under its lock.

use std::marker::PhantomData;

use farhold_types::Digest;

use crate::config_dir::{ConfigDir, ConfigLock, Protection, digest_of};
use crate::error::SettingsError;

/// The content of one kind of file as a value.
pub trait Document: Sized {
    /// File name.
    const FILE: &'static str;
    /// Name of its lock file.
    const LOCK: &'static str;
    /// Who may read it.
    const PROTECTION: Protection;

    /// Returns the value of a file's content; `None` means that the file does not exist.
    ///
    /// # Errors
    /// The content is wrong.
    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError>;

    /// Returns the file's content, checked.
    ///
    /// # Errors
    /// The value cannot be written, since reading would refuse it.
    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError>;
}

/// What a file held when it was read.
#[derive(Debug, Clone)]
pub struct Loaded<D> {
    /// The content.
    pub entries: D,
    /// SHA-256 of the file's bytes.
    pub digest: Digest,
}

/// What a change gave.
#[derive(Debug, Clone)]
pub struct Edited<R> {
    /// What the caller's function returned.
    pub value: R,
    /// Digest of the file after the change.
    pub digest: Digest,
}

/// Access to one file.
#[derive(Clone)]
pub struct ConfigStore<D> {
    dir: ConfigDir,
    kind: PhantomData<fn() -> D>,
}

impl<D: Document> ConfigStore<D> {
    /// Returns access to the file of this kind in `dir`.
    pub fn new(dir: ConfigDir) -> Self {
        Self { dir, kind: PhantomData }
    }

    /// Returns the present content. Takes no lock.
    ///
    /// # Errors
    /// The file cannot be read, or its text is wrong.
    pub fn load(&self) -> Result<Loaded<D>, SettingsError> {
        let bytes = self.dir.read(D::FILE)?;
        Ok(Loaded { entries: D::parse(bytes.as_deref())?, digest: digest_of(bytes.as_deref()) })
    }

    /// Returns the digest of the present content without parsing it. Takes no lock.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn digest(&self) -> Result<Digest, SettingsError> {
        Ok(digest_of(self.dir.read(D::FILE)?.as_deref()))
    }

    /// Returns the present bytes, and their digest.
    pub(crate) fn read(&self) -> Result<(Option<Vec<u8>>, Digest), SettingsError> {
        let bytes = self.dir.read(D::FILE)?;
        let digest = digest_of(bytes.as_deref());
        Ok((bytes, digest))
    }

    /// Takes the file's lock, for changes of several files together. Source of the order: [`crate::Settings`].
    ///
    /// # Errors
    /// [`SettingsError::Busy`], [`SettingsError::Io`].
    pub fn lock(&self) -> Result<ConfigLock, SettingsError> {
        self.dir.lock(D::LOCK)
    }

    /// Changes the content: lock, read, compare the digest, call `change`, check, replace the file.
    ///
    /// `expected`: digest of the file that the caller has seen; `None` skips the comparison. If `change` fails, nothing
    /// is written.
    ///
    /// # Errors
    /// [`SettingsError::Busy`] after 10 s, [`SettingsError::Changed`] for another digest, errors of reading and writing,
    /// and whatever `change` returns.
    pub fn edit<R, E: From<SettingsError>>(
        &self,
        expected: Option<Digest>,
        change: impl FnOnce(&mut D) -> Result<R, E>,
    ) -> Result<Edited<R>, E> {
        let lock = self.lock()?;
        self.edit_locked(&lock, expected, change)
    }

    /// Does what [`Self::edit`] does, for a caller that already holds the file's lock.
    ///
    /// # Errors
    /// As [`Self::edit`], without `Busy`.
    pub fn edit_locked<R, E: From<SettingsError>>(
        &self,
        _lock: &ConfigLock,
        expected: Option<Digest>,
        change: impl FnOnce(&mut D) -> Result<R, E>,
    ) -> Result<Edited<R>, E> {
        let bytes = self.dir.read(D::FILE)?;
        if expected.is_some_and(|expected| expected != digest_of(bytes.as_deref())) {
            return Err(SettingsError::Changed { file: D::FILE.to_owned() }.into());
        }
        let mut content = D::parse(bytes.as_deref())?;
        let value = change(&mut content)?;
        let written = content.to_bytes()?;
        if bytes.as_deref() != Some(written.as_slice()) {
            self.dir.replace(D::FILE, &written, D::PROTECTION)?;
        }
        Ok(Edited { value, digest: digest_of(Some(&written)) })
    }
}
