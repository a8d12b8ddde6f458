//! Why a system account was not let in or changed, for the authentication log. Holds no secret.

use std::ffi::c_int;

use thiserror::Error;

/// What PAM was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin.
    Start,
    /// Note where the caller is.
    RemoteHost,
    /// Check the password.
    Authenticate,
    /// Set the password.
    ChangePassword,
}

impl Step {
    /// Returns what it is called in messages.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::RemoteHost => "note of the remote host",
            Self::Authenticate => "authentication",
            Self::ChangePassword => "change of the password",
        }
    }
}

/// Why it failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PamError {
    /// There is no PAM library on this host.
    #[error("this host has no PAM library ({name}), so passwords of system accounts cannot be checked")]
    NoLibrary {
        /// The file looked for.
        name: String,
        /// What the loader says.
        #[source]
        source: libloading::Error,
    },
    /// The library lacks a function.
    #[error("the PAM library of this host has no function {name}")]
    NoFunction {
        /// The function.
        name: &'static str,
    },
    /// A text that PAM cannot be given.
    #[error("{what} is empty, too long or contains a null character")]
    Text {
        /// Which one.
        what: &'static str,
    },
    /// PAM said no.
    #[error("{} failed: {reason} (PAM code {code}){}", step.as_str(), quoted(said))]
    Refused {
        /// At which step.
        step: Step,
        /// Its code.
        code: c_int,
        /// Its own words for the code.
        reason: String,
        /// What modules told the user.
        said: Vec<String>,
    },
}

fn quoted(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!(", modules say: {}", said.join("; ")) }
}
