//! The command line of the backup client.
//!
//! [`run`] takes arguments and an [`Outside`] and returns the exit code of the program. Repository texts, variables,
//! local files and tables are those of the reference's client (`docs/spec/cli.md` 5), so that scripts go on to work;
//! parser, usage texts and tables are those of the server's own command line. The work is done by `farhold-backup` and
//! `farhold-client`; nothing here knows chunks.
//!
//! Secrets come from the environment, from files and from a terminal, never from arguments; they are in no error and no
//! `Debug` form.

pub mod commands;
pub mod connect;
pub mod error;
pub mod folders;
pub mod given;
pub mod keys;
pub mod local_files;
pub mod outside;
pub mod repository;
pub mod secrets;

mod accounts;
mod backup;
mod change;
mod completion;
mod key_files;
mod listing;
mod prune;
mod restore;
mod show;
mod tasks;
mod watch;

use farhold_cli::command::Command;
use farhold_cli::execute::error_text;
use farhold_cli::{FAILURE, Plan, Request, SUCCESS, plan};

pub use completion::complete;
pub use error::CommandError;
pub use folders::Folders;
pub use outside::{Outside, Terminal};

use crate::commands::{catalogue, without_alias};
use crate::given::Given;

/// Carries out what the arguments ask for and returns the exit code; errors have been told then.
///
/// `program`: name for usage texts; `arguments`: without that name.
pub async fn run(program: &str, arguments: Vec<String>, outside: &mut Outside) -> u8 {
    match plan(&catalogue(), program, &without_alias(arguments)) {
        Plan::Print(printed) => {
            // A terminal that is gone cannot be told so.
            let _ = outside.out.write_all(printed.out.as_bytes()).and_then(|()| outside.out.flush());
            let _ = outside.err.write_all(printed.err.as_bytes());
            printed.exit
        }
        Plan::Run(request) => match execute(*request, outside).await {
            Ok(exit) => exit,
            Err(error) => {
                let mut text = error_text(&error);
                if let Some(hint) = error.hint() {
                    text.push_str(&format!("hint: {hint}\n"));
                }
                let _ = outside.err.write_all(text.as_bytes());
                FAILURE
            }
        },
        // Words that the catalogue of this program does not have; `complete` answers the shell.
        Plan::PassThrough { .. } | Plan::Complete => FAILURE,
    }
}

/// Returns the exit code of a command whose errors have been told already, or that worked.
async fn execute(request: Request, outside: &mut Outside) -> Result<u8, CommandError> {
    let Request { command, params, format } = request;
    let given = &Given { params, format };
    if let Some(exit) = tasks::run(command.words, outside, given).await? {
        return Ok(exit);
    }
    work(&command, outside, given).await.map(|()| SUCCESS)
}

async fn work(command: &Command, outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    match command.words {
        ["backup"] => backup::backup(outside, given).await,
        ["restore"] => restore::restore(outside, given).await,
        ["list"] => listing::groups(outside, given).await,
        ["snapshot", "list"] => listing::snapshots(outside, given).await,
        ["snapshot", "files"] => listing::files(outside, given).await,
        ["snapshot", "forget"] => change::forget_snapshot(outside, given).await,
        ["snapshot", "upload-log"] => change::upload_log(outside, given).await,
        ["snapshot", "notes", "show"] => change::show_notes(outside, given).await,
        ["snapshot", "notes", "update"] => change::update_notes(outside, given).await,
        ["snapshot", "protected", "show"] => change::show_protected(outside, given).await,
        ["snapshot", "protected", "update"] => change::update_protected(outside, given).await,
        ["group", "forget"] => change::forget_group(outside, given).await,
        ["change-owner"] => prune::change_owner(outside, given).await,
        ["prune"] => prune::prune(outside, given).await,
        ["namespace", "list"] => listing::namespaces(outside, given).await,
        ["namespace", "create"] => change::create_namespace(outside, given).await,
        ["namespace", "delete"] => change::delete_namespace(outside, given).await,
        ["status"] => listing::status(outside, given).await,
        ["version"] => listing::version(outside, given).await,
        ["login"] => accounts::login(outside, given).await,
        ["logout"] => accounts::logout(outside, given),
        ["key", "create"] => key_files::create(outside, given),
        ["key", "show"] => key_files::show_key(outside, given, &command.output),
        words => Err(CommandError::parameter(format!("the command '{}' is not carried out here", words.join(" ")))),
    }
}
