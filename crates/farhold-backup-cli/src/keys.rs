//! Encryption keys of the client: which one applies, and how it is opened.
//!
//! Source: `docs/spec/cli.md` 5.2 and 5.4.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farhold_crypto::CryptConfig;
use farhold_format::key_file::{Kdf, KeyFile, KeyFileError, MAX_KEY_FILE_BYTES};
use farhold_types::CryptMode;
use thiserror::Error;

use crate::outside::Outside;
use crate::secrets::{ENCRYPTION_PASSWORD, SecretError, Sources, descriptor_path};

/// Why a key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key file and a descriptor of one.
    #[error("--keyfile and --keyfd are mutually exclusive")]
    TwoKeys,
    /// A key, but nothing to do with it.
    #[error("--crypt-mode=none and --keyfile/--keyfd are mutually exclusive")]
    KeyWithoutUse,
    /// Something to do, but no key.
    #[error("--crypt-mode={mode} needs a key, but neither --keyfile nor a default key is there")]
    NoKey {
        /// `encrypt` or `sign-only`.
        mode: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read the key from {origin}")]
    Read {
        /// The file, or the option.
        origin: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// It is no key file, or does not open.
    #[error("cannot use the key from {origin}")]
    File {
        /// The file, or the option.
        origin: String,
        /// What is wrong.
        #[source]
        source: KeyFileError,
    },
    /// The password that the environment names cannot be had.
    #[error("cannot get the password of the encryption key")]
    Password(#[from] SecretError),
    /// The user could not be asked.
    #[error("cannot ask for the password of the encryption key")]
    Terminal(#[source] io::Error),
}

impl KeyError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey { .. } => Some("make one with 'farhold client key create', or name one with --keyfile"),
            Self::File { source: KeyFileError::PassphraseMissing, .. } => Some(
                "set PBS_ENCRYPTION_PASSWORD, or PBS_ENCRYPTION_PASSWORD_FILE with the name of a file, or run the command in a terminal",
            ),
            Self::File { source: KeyFileError::WrongPassphrase, .. } => {
                Some("check the password; 'farhold client key show' shows the key's hint")
            }
            Self::File { source: KeyFileError::Json { .. } | KeyFileError::Member { .. }, .. } => Some(
                "the file is damaged or cut short; restore it from the copy that you keep elsewhere, for backups cannot be read without it",
            ),
            _ => None,
        }
    }
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// `--keyfile`.
    File(PathBuf),
    /// `--keyfd`.
    Descriptor(u32),
    /// The default key.
    Default(PathBuf),
}

impl KeyOrigin {
    fn path(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Default(path) => path.clone(),
            Self::Descriptor(number) => descriptor_path(&number.to_string()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::File(path) | Self::Default(path) => format!("'{}'", path.display()),
            Self::Descriptor(_) => "--keyfd".to_owned(),
        }
    }
}

/// What the options say about encryption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOptions {
    /// `--keyfile`.
    pub file: Option<PathBuf>,
    /// `--keyfd`.
    pub descriptor: Option<u32>,
    /// `--crypt-mode`.
    pub mode: Option<CryptMode>,
}

/// What will be done with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChoice {
    /// What happens to new archives.
    pub mode: CryptMode,
    /// The key; none in mode `none`.
    pub origin: Option<KeyOrigin>,
}

/// Returns the key that applies, and what it is for.
///
/// `default_key`: the file of the default key, if it exists.
///
/// # Errors
/// [`KeyError::TwoKeys`], [`KeyError::KeyWithoutUse`], [`KeyError::NoKey`].
pub fn choose(options: &KeyOptions, default_key: Option<PathBuf>) -> Result<KeyChoice, KeyError> {
    let given = match (&options.file, options.descriptor) {
        (Some(_), Some(_)) => return Err(KeyError::TwoKeys),
        (Some(path), None) => Some(KeyOrigin::File(path.clone())),
        (None, Some(number)) => Some(KeyOrigin::Descriptor(number)),
        (None, None) => None,
    };
    let mode = options.mode;
    if mode == Some(CryptMode::None) {
        return match given {
            Some(_) => Err(KeyError::KeyWithoutUse),
            None => Ok(KeyChoice { mode: CryptMode::None, origin: None }),
        };
    }
    match given.or_else(|| default_key.map(KeyOrigin::Default)) {
        Some(origin) => Ok(KeyChoice { mode: mode.unwrap_or(CryptMode::Encrypt), origin: Some(origin) }),
        None => match mode {
            Some(CryptMode::SignOnly) => Err(KeyError::NoKey { mode: "sign-only" }),
            Some(_) => Err(KeyError::NoKey { mode: "encrypt" }),
            None => Ok(KeyChoice { mode: CryptMode::None, origin: None }),
        },
    }
}

/// Returns the default key's file if there is one.
pub fn existing_default_key(outside: &Outside) -> Option<PathBuf> {
    outside.folders.default_key().filter(|path| path.exists())
}

/// Reads a key file.
///
/// # Errors
/// [`KeyError::Read`], [`KeyError::File`].
pub fn read(origin: &KeyOrigin) -> Result<KeyFile, KeyError> {
    let text = read_bytes(&origin.path()).map_err(|source| KeyError::Read { origin: origin.text(), source })?;
    KeyFile::parse(&text).map_err(|source| KeyError::File { origin: origin.text(), source })
}

fn read_bytes(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut text = zeroize::Zeroizing::new(Vec::new());
    File::open(path)?.take(MAX_KEY_FILE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Opens a key. The password comes from the environment, or from the terminal if there is one.
///
/// Takes about a third of a second for a protected key.
///
/// # Errors
/// As [`read`]; a missing or wrong password.
pub fn open(origin: &KeyOrigin, outside: &mut Outside) -> Result<Arc<CryptConfig>, KeyError> {
    let file = read(origin)?;
    let mut password = None;
    if file.kdf() != Kdf::None {
        password = Sources::new(&*outside.variable).secret(ENCRYPTION_PASSWORD)?;
        if password.is_none() && outside.terminal.is_interactive() {
            let prompt = "Encryption Key Password: ";
            password = Some(outside.terminal.secret(prompt).map_err(KeyError::Terminal)?);
        }
    }
    let key = file.decrypt(password.as_ref()).map_err(|source| KeyError::File { origin: origin.text(), source })?;
    Ok(Arc::new(CryptConfig::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(keyfile: bool, keyfd: bool, mode: Option<CryptMode>) -> KeyOptions {
        KeyOptions { file: keyfile.then(|| "given".into()), descriptor: keyfd.then_some(7), mode }
    }

    /// Mode and origin in short, or the error.
    fn chosen(keyfile: bool, keyfd: bool, mode: Option<CryptMode>, has_default: bool) -> String {
        match choose(&options(keyfile, keyfd, mode), has_default.then(|| "default".into())) {
            Ok(KeyChoice { mode, origin }) => format!("{mode:?} {}", origin.map_or("-".into(), |origin| origin.text())),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn keys_and_modes_go_together_as_specified() {
        use CryptMode::{Encrypt, None as Off, SignOnly};
        let no_use = "--crypt-mode=none and --keyfile/--keyfd are mutually exclusive";
        for (keyfile, keyfd, mode, has_default, expected) in [
            (false, false, None, false, "None -"),
            (false, false, None, true, "Encrypt 'default'"),
            (true, false, None, false, "Encrypt 'given'"),
            (true, false, None, true, "Encrypt 'given'"),
            (false, true, None, true, "Encrypt --keyfd"),
            (true, true, None, false, "--keyfile and --keyfd are mutually exclusive"),
            (false, false, Some(Off), false, "None -"),
            (false, false, Some(Off), true, "None -"),
            (true, false, Some(Off), true, no_use),
            (false, true, Some(Off), false, no_use),
            (false, false, Some(SignOnly), true, "SignOnly 'default'"),
            (true, false, Some(SignOnly), false, "SignOnly 'given'"),
            (
                false,
                false,
                Some(SignOnly),
                false,
                "--crypt-mode=sign-only needs a key, but neither --keyfile nor a default key is there",
            ),
            (
                false,
                false,
                Some(Encrypt),
                false,
                "--crypt-mode=encrypt needs a key, but neither --keyfile nor a default key is there",
            ),
        ] {
            assert_eq!(chosen(keyfile, keyfd, mode, has_default), expected, "{keyfile} {keyfd} {mode:?} {has_default}");
        }
    }
}
