//! Accounts of the operating system: checks and sets their passwords through the host's PAM library.
//!
//! The library is opened when it is first needed, so that the program neither needs it to build nor to start: a host
//! without PAM gets a clear message at the login. Only authentication is asked for; account management and sessions are
//! not, as in the reference (`docs/spec/config-and-access.md` 5.10).
//!
//! This is the only crate with `unsafe` code. Each block states what it relies on; `docs/adr/0011-system-accounts.md`
//! says why it is a crate of its own.
//!
//! Everything blocks, and modules may wait for a network.

mod conversation;
mod error;
mod library;
mod transaction;

use std::ffi::CString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use farhold_types::Secret;

pub use error::{PamError, Step};

use conversation::{MAX_ANSWER_BYTES, Script};
use library::Library;
use transaction::Transaction;

/// File name of the library; its number is the version of the interface that is used here.
pub const LIBRARY: &str = "libpam.so.0";

/// The service that the reference authenticates as. Source: `docs/spec/config-and-access.md` 5.10.
pub const SERVICE: &str = "proxmox-backup-auth";

/// Most bytes of a user name, generously: Linux allows 32.
const MAX_NAME_BYTES: usize = 256;

/// The accounts of this host.
#[derive(Debug)]
pub struct Pam {
    library_name: String,
    service: String,
    folder: Option<PathBuf>,
    library: OnceLock<Library>,
}

impl Pam {
    /// Returns the accounts of this host as [`SERVICE`] sees them. Nothing is opened yet.
    pub fn of_this_host() -> Self {
        Self { library_name: LIBRARY.to_owned(), service: SERVICE.to_owned(), folder: None, library: OnceLock::new() }
    }

    /// Uses another library.
    pub fn with_library(mut self, name: impl Into<String>) -> Self {
        self.library_name = name.into();
        self
    }

    /// Uses the service file of this name in `folder` and not what the host configures.
    pub fn with_service(mut self, folder: impl Into<PathBuf>, service: impl Into<String>) -> Self {
        self.folder = Some(folder.into());
        self.service = service.into();
        self
    }

    /// Checks the password of an account.
    ///
    /// `remote_host`: where the caller is, for modules that decide by it and for the host's log.
    ///
    /// # Errors
    /// [`PamError`]: no PAM on this host, or what it answered.
    pub fn authenticate(&self, name: &str, password: &Secret, remote_host: Option<IpAddr>) -> Result<(), PamError> {
        let mut transaction = self.start(name, password)?;
        if let Some(address) = remote_host {
            transaction.set_remote_host(&text("address", &address.to_string(), MAX_NAME_BYTES)?)?;
        }
        transaction.authenticate()
    }

    /// Sets the password of an account. The process must run as root: modules then ask for no old password.
    ///
    /// # Errors
    /// [`PamError`].
    pub fn set_password(&self, name: &str, password: &Secret) -> Result<(), PamError> {
        self.start(name, password)?.change_password()
    }

    fn start(&self, name: &str, password: &Secret) -> Result<Transaction<'_>, PamError> {
        let library = self.library()?;
        let folder = match &self.folder {
            Some(folder) => {
                let bytes = folder.as_os_str().as_bytes();
                Some(CString::new(bytes).map_err(|_| PamError::Text { what: "folder of services" })?)
            }
            None => None,
        };
        let service = text("service", &self.service, MAX_NAME_BYTES)?;
        let name = text("user name", name, MAX_NAME_BYTES)?;
        let script = Script::new(name, text("password", password.expose(), MAX_ANSWER_BYTES)?);
        Transaction::start(library, &service, folder.as_deref(), script)
    }

    fn library(&self) -> Result<&Library, PamError> {
        if let Some(library) = self.library.get() {
            return Ok(library);
        }
        // Two callers may open it at once: the host's loader counts, and one of them is kept.
        let opened = Library::open(&self.library_name)?;
        Ok(self.library.get_or_init(|| opened))
    }
}

/// Returns a text as C has it.
fn text(what: &'static str, text: &str, max_bytes: usize) -> Result<CString, PamError> {
    if text.is_empty() || max_bytes < text.len() {
        return Err(PamError::Text { what });
    }
    // The error holds the text, which may be a password: its memory is wiped.
    CString::new(text).map_err(|error| {
        zeroize::Zeroize::zeroize(&mut error.into_vec());
        PamError::Text { what }
    })
}
