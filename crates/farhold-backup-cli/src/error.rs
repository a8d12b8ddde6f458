//! Why a command failed, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use farhold_backup::{BackupError, RestoreError};
use farhold_client::ClientError;
use farhold_format::key_file::KeyFileError;
use farhold_types::NameError;
use thiserror::Error;

use crate::keys::KeyError;
use crate::repository::RepositoryError;
use crate::secrets::SecretError;

/// Why a command failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is not known which repository is meant.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A secret that the environment names cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Nobody knows the secret of the user or the token.
    #[error("no {what} for '{authid}' was given")]
    NoSecret {
        /// `password` or `token secret`.
        what: &'static str,
        /// Whose.
        authid: String,
    },
    /// The server refused; in its own words.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// The server cannot be reached, or is not the one expected.
    #[error(transparent)]
    Client(ClientError),
    /// The backup failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The restore failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The user did not accept the certificate.
    #[error("the certificate of {server} with fingerprint {fingerprint} was not accepted")]
    NotAccepted {
        /// The server.
        server: String,
        /// Of its certificate.
        fingerprint: String,
    },
    /// The encryption key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key cannot be made.
    #[error("cannot create the key")]
    KeyFile(#[from] KeyFileError),
    /// A text is no snapshot.
    #[error("unable to parse backup snapshot path '{text}'")]
    NoSnapshot {
        /// The text.
        text: String,
    },
    /// A text is no group.
    #[error("unable to parse backup group '{text}'")]
    NoGroup {
        /// The text.
        text: String,
    },
    /// A group has no finished snapshot.
    #[error("group {group} has no finished snapshot")]
    NoFinishedSnapshot {
        /// The group.
        group: String,
    },
    /// Parameters do not go together, or one is wrong.
    #[error("{text}")]
    Parameter {
        /// Which, and why.
        text: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// A value has a wrong form.
    #[error("'{name}' is wrong")]
    Value {
        /// The parameter or variable.
        name: String,
        /// What is wrong.
        #[source]
        source: NameError,
    },
    /// A local file cannot be read.
    #[error("cannot read '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A local file cannot be written.
    #[error("cannot write '{}'", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// No variable tells where a local file should be.
    #[error("there is no folder for {what}")]
    NoFolder {
        /// What would be stored there.
        what: &'static str,
        /// Which variables would tell.
        hint: &'static str,
    },
    /// The user cannot be asked.
    #[error("cannot ask on the terminal")]
    Terminal(#[source] io::Error),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The answer has another form than expected.
    #[error("unexpected answer from the server: {problem}")]
    Answer {
        /// What was expected.
        problem: &'static str,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Status { status, text, .. } => Self::Refused { status, text },
            other => Self::Client(other),
        }
    }
}

/// Returns what the user of this program can do about a server that is not the right one, or does not let us in.
fn client_hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::FingerprintMismatch { .. } => Some(
            "compare the fingerprint with the one that 'farhold cert info' shows on the server; if it is right, set \
             PBS_FINGERPRINT to it, or run the command in a terminal",
        ),
        ClientError::Untrusted { .. } => Some(
            "compare the fingerprint with the one that 'farhold cert info' shows on the server, then set \
             PBS_FINGERPRINT to it, or run the command in a terminal",
        ),
        ClientError::LoginRefused { .. } => {
            Some("check user and password; use an API token if the user has a second factor")
        }
        _ => None,
    }
}

/// Returns the directory that somebody wanted to back up.
fn directory(error: &BackupError) -> Option<&Path> {
    match error {
        BackupError::Archive { source, .. } => directory(source),
        BackupError::Directory { path } => Some(path),
        _ => None,
    }
}

/// Directories are archived by other programs; this is how to have one do it on the way.
fn directory_hint(path: &Path) -> String {
    let folder = path.display();
    format!(
        "make an archive with another program and store that: tar -C '{folder}' -cf - . | farhold client backup NAME.pxar:- \
         (back with: farhold client restore SNAPSHOT NAME.pxar - | tar -xf - -C FOLDER)"
    )
}

impl CommandError {
    /// Returns an error about parameters.
    pub(crate) fn parameter(text: impl Into<String>) -> Self {
        Self::Parameter { text: text.into(), hint: None }
    }

    /// Returns what to do about it, if there is something particular to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Repository(error) => error.hint()?,
            Self::NoSecret { what: "password", .. } => {
                "set PBS_PASSWORD, or PBS_PASSWORD_FILE with the name of a file, or run 'farhold client login' in a terminal"
            }
            Self::NoSecret { .. } => {
                "set PBS_PASSWORD to the token's secret, or PBS_PASSWORD_FILE to the name of a file that holds it"
            }
            Self::Refused { status: 401, .. } => "check user, password or token secret",
            Self::Client(error) => client_hint(error).or_else(|| error.hint())?,
            Self::Backup(error) => {
                if let Some(path) = directory(error) {
                    return Some(directory_hint(path));
                }
                error.client_error().and_then(client_hint).or_else(|| error.hint())?
            }
            Self::Restore(error) => error.client_error().and_then(client_hint).or_else(|| error.hint())?,
            Self::Key(error) => error.hint()?,
            Self::NoSnapshot { .. } => "a snapshot is <type>/<id>/<time>, for example host/web1/2026-01-01T10:00:00Z",
            Self::NoGroup { .. } => "a group is <type>/<id>, for example host/web1",
            Self::Parameter { hint, .. } => (*hint)?,
            Self::NoFolder { hint, .. } => hint,
            _ => return None,
        };
        Some(text.to_owned())
    }
}
