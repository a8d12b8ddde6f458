//! `login` and `logout`.

use crate::connect::{Tickets, connect};
use crate::error::CommandError;
use crate::given::Given;
use crate::local_files::tickets;
use crate::outside::Outside;

/// Why there is no place for tickets, and what to do.
const NO_RUNTIME_FOLDER: CommandError = CommandError::NoFolder {
    what: "tickets",
    hint: "set XDG_RUNTIME_DIR to a folder of yours that is emptied at logout",
};

/// `login`: asks for the password and keeps the ticket.
///
/// # Errors
/// As all commands that ask a server; an API token, which needs no login; no place for the ticket.
pub async fn login(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let repository = given.repository(outside)?;
    if repository.authid.is_token() {
        return Err(CommandError::Parameter {
            text: format!("'{}' is an API token, which needs no login", repository.authid),
            hint: Some("set PBS_PASSWORD to its secret, or PBS_PASSWORD_FILE to the name of a file that holds it"),
        });
    }
    if outside.folders.tickets().is_none() {
        return Err(NO_RUNTIME_FOLDER);
    }
    connect(outside, &repository, given.rates(), Tickets::Ignore).await.map(drop)
}

/// `logout`: forgets the ticket. Asks no server: a ticket cannot be taken back there, it ends by itself.
///
/// # Errors
/// The file of tickets cannot be written.
pub fn logout(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let repository = given.repository(outside)?;
    let Some(path) = outside.folders.tickets() else { return Ok(()) };
    let forgotten = tickets::forget(&path, &repository.server(), &repository.authid.to_string(), outside.clock.now());
    forgotten.map_err(|source| CommandError::Write { path, source })
}
