//! Passwords and other secrets that somebody hands over without a terminal.
//!
//! A variable holds the text itself, or tells with a suffix where it is: `_FD` an open descriptor, `_FILE` a file,
//! `_CMD` a command that prints it. The first that is defined wins, in this order, and the credentials of the service
//! manager come last. Only the first line counts. Secrets are never arguments, and errors name places, not contents.
//!
//! Source: `docs/spec/cli.md` 5.2.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use farhold_cli::shell_words;
use farhold_types::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest first line that is read, in bytes. Tokens have some 40, pass phrases rarely 100.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// A secret by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretName {
    /// Environment variable without suffix.
    pub variable: &'static str,
    /// Name among the system credentials.
    pub credential: &'static str,
}

/// Password of the user, or secret of the token.
pub const PASSWORD: SecretName = SecretName { variable: "PBS_PASSWORD", credential: "proxmox-backup-client.password" };
/// Password of the encryption key.
pub const ENCRYPTION_PASSWORD: SecretName =
    SecretName { variable: "PBS_ENCRYPTION_PASSWORD", credential: "proxmox-backup-client.encryption-password" };
/// Credential that holds the repository.
pub const REPOSITORY_CREDENTIAL: &str = "proxmox-backup-client.repository";
/// Credential that holds the certificate's fingerprint.
pub const FINGERPRINT_CREDENTIAL: &str = "proxmox-backup-client.fingerprint";

/// Why a secret that is defined cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The descriptor's number is none.
    #[error("{variable} must be the number of an open file descriptor")]
    Descriptor {
        /// The variable.
        variable: String,
    },
    /// Nothing can be read there.
    #[error("cannot read what {variable} names")]
    Read {
        /// The variable, or the credential.
        variable: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The command's text is empty, or a quote is left open.
    #[error("{variable} is no complete command line")]
    CommandLine {
        /// The variable.
        variable: String,
    },
    /// The command ended with an error.
    #[error("the command '{program}' of {variable} failed: {status}")]
    CommandFailed {
        /// The variable.
        variable: String,
        /// Its first word; arguments may be secret.
        program: String,
        /// How it ended.
        status: String,
    },
    /// There is no text.
    #[error("{variable} gives an empty text")]
    Empty {
        /// The variable, or the credential.
        variable: String,
    },
    /// The text is not UTF-8, or its first line is too long.
    #[error("{variable} gives no readable line of text")]
    NoText {
        /// The variable, or the credential.
        variable: String,
    },
}

/// The environment as far as secrets are concerned.
pub struct Sources<'a> {
    /// Value of an environment variable, none if it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where the service manager put credentials.
    pub credentials: Option<PathBuf>,
}

impl<'a> Sources<'a> {
    /// Returns the sources that these environment variables name.
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let credentials = variable("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { variable, credentials }
    }

    /// Returns the secret, none if nothing defines it. May wait for a command to end.
    ///
    /// # Errors
    /// The first place that defines it holds nothing usable; later ones are not tried then.
    pub fn secret(&self, name: SecretName) -> Result<Option<Secret>, SecretError> {
        let with_suffix = |suffix: &str| {
            let variable = format!("{}{suffix}", name.variable);
            (self.variable)(&variable).filter(|value| !value.is_empty()).map(|value| (variable, value))
        };
        if let Some((variable, value)) = with_suffix("") {
            let value = Zeroizing::new(value);
            return first_line(value.as_bytes(), &variable).map(Some);
        }
        if let Some((variable, number)) = with_suffix("_FD") {
            let is_number =
                !number.is_empty() && number.len() <= 10 && number.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number {
                return Err(SecretError::Descriptor { variable });
            }
            return from_file(&descriptor_path(&number), &variable).map(Some);
        }
        if let Some((variable, path)) = with_suffix("_FILE") {
            return from_file(Path::new(&path), &variable).map(Some);
        }
        if let Some((variable, line)) = with_suffix("_CMD") {
            return from_command(&line, &variable).map(Some);
        }
        match self.credential_path(name.credential) {
            Some(path) => from_file(&path, name.credential).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the first line of a system credential that is no secret, none if there is no such credential.
    ///
    /// # Errors
    /// It cannot be read, or holds no text.
    pub fn credential(&self, name: &str) -> Result<Option<String>, SecretError> {
        let Some(path) = self.credential_path(name) else { return Ok(None) };
        Ok(Some(from_file(&path, name)?.expose().to_owned()))
    }

    fn credential_path(&self, name: &str) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

/// Returns the path under which this process finds its own open descriptor.
pub fn descriptor_path(number: &str) -> PathBuf {
    Path::new("/dev/fd").join(number)
}

fn from_file(path: &Path, variable: &str) -> Result<Secret, SecretError> {
    let file = File::open(path).map_err(|source| SecretError::Read { variable: variable.to_owned(), source })?;
    first_line(file, variable)
}

fn from_command(line: &str, variable: &str) -> Result<Secret, SecretError> {
    let variable = variable.to_owned();
    let words = shell_words::split_complete(line).unwrap_or_default();
    let Some((program, arguments)) = words.split_first() else {
        return Err(SecretError::CommandLine { variable });
    };
    let failed = |source| SecretError::Read { variable: variable.clone(), source };
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let output = child.stdout.take().map(|output| first_line(output, &variable));
    // The pipe is closed by now, so a command that prints more ends as well.
    let status = child.wait().map_err(failed)?;
    match output {
        // A command that only fails to write what nobody wants has done its part.
        Some(Ok(secret)) if status.success() || status.code().is_none() => Ok(secret),
        Some(Err(error)) if status.success() => Err(error),
        _ => Err(SecretError::CommandFailed { variable, program: program.clone(), status: status.to_string() }),
    }
}

/// Reads the first line; a line break behind it does not belong to it.
fn first_line(source: impl Read, variable: &str) -> Result<Secret, SecretError> {
    let variable = variable.to_owned();
    let mut line = Zeroizing::new(Vec::new());
    let read = BufReader::new(source.take(MAX_LINE_BYTES + 1)).read_until(b'\n', &mut line);
    match read {
        Err(source) => return Err(SecretError::Read { variable, source }),
        Ok(length) if MAX_LINE_BYTES < length as u64 => return Err(SecretError::NoText { variable }),
        Ok(_) => {}
    }
    let text = line.strip_suffix(b"\n").map_or(line.as_slice(), |text| text.strip_suffix(b"\r").unwrap_or(text));
    match std::str::from_utf8(text) {
        Err(_) => Err(SecretError::NoText { variable }),
        Ok("") => Err(SecretError::Empty { variable }),
        Ok(text) => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
