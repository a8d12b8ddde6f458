//! What can go wrong with stored configuration.

use std::io;

use farhold_format::config_error::ConfigTextError;
use thiserror::Error;

/// One value of one section that does not fit its record, found when the section is used ("stage 2").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}, section '{section}', key '{key}': {reason}")]
pub struct FieldError {
    /// File name.
    pub file: String,
    /// Section id.
    pub section: String,
    /// Key.
    pub key: String,
    /// What is wrong; never the value itself.
    pub reason: String,
}

/// Why configuration could not be loaded or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The text of the file is wrong; nothing in it can be used until it is repaired.
    #[error(transparent)]
    Text(#[from] ConfigTextError),
    /// One section is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A JSON file is not what it should be.
    #[error("{file}: not the expected JSON object of names and texts: {reason}")]
    Json {
        /// File name.
        file: String,
        /// What is wrong, without content.
        reason: String,
    },
    /// The file system refused.
    #[error("{action} {file}")]
    Io {
        /// File name.
        file: String,
        /// What was tried, such as `read`.
        action: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The configuration directory is open to others.
    #[error("configuration directory {directory} is not safe: {reason}")]
    Unsafe {
        /// The directory.
        directory: String,
        /// What must change.
        reason: String,
    },
    /// Somebody else holds the lock.
    #[error("lock {lock} is still held by another process; try again later")]
    Busy {
        /// Name of the lock file.
        lock: String,
    },
    /// The file is not the one the caller has seen.
    #[error("{file} was changed by somebody else; reload it and try again")]
    Changed {
        /// File name.
        file: String,
    },
    /// The id is already taken.
    #[error("{file}: '{id}' already exists")]
    Exists {
        /// File name.
        file: String,
        /// The id.
        id: String,
    },
    /// No such section.
    #[error("{file}: no such entry '{id}'")]
    NotFound {
        /// File name.
        file: String,
        /// The id.
        id: String,
    },
    /// Something else still refers to it.
    #[error("'{id}' is still used by {users}")]
    InUse {
        /// The id.
        id: String,
        /// Who uses it, as readable text.
        users: String,
    },
}
