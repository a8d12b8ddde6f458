//! Why a command failed, and what to do about it.

use std::io;
use std::path::PathBuf;

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
    Backup(#[from] farhold_backup::BackupError),
    /// The restore failed.
    #[error(transparent)]
    Restore(#[from] farhold_backup::RestoreError),
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
            Self::Client(error) => match error {
                ClientError::FingerprintMismatch { .. } => {
                    "compare the fingerprint with the one that 'farhold cert info' shows on the server; if it is right, set PBS_FINGERPRINT to it, or run the command in a terminal"
                }
                ClientError::Untrusted { .. } => {
                    "compare the fingerprint with the one that 'farhold cert info' shows on the server, then set PBS_FINGERPRINT to it, or run the command in a terminal"
                }
                ClientError::LoginRefused { .. } => {
                    "check user and password; use an API token if the user has a second factor"
                }
                other => return other.hint().map(str::to_owned),
            },
            Self::Backup(error) => return error.hint().map(Into::into),
            Self::Restore(error) => return error.hint().map(Into::into),
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
