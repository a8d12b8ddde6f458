//! The command line: arguments, tables, output, exit codes.
//!
//! Two steps: [`plan`](plan::plan) turns arguments into a request or a finished answer without touching anything, and
//! [`execute`](execute::execute) carries the request out through an [`ApiCaller`]. Parameters come from the
//! endpoints' own declarations; environment, terminal, zone and signals come in as values.
//!
//! Source: `docs/spec/cli.md`.

pub mod caller;
pub mod catalogue;
pub mod command;
pub mod complete;
pub mod document;
pub mod execute;
pub mod follow;
pub mod in_process;
pub mod output;
pub mod parse;
pub mod plan;
pub mod progress;
pub mod render;
pub mod shell_words;
pub mod shells;
pub mod socket;
pub mod table;
pub mod usage;

pub use caller::{ApiCall, ApiCaller, ApiFailure, ApiReply};
pub use catalogue::{Catalogue, PassThrough};
pub use command::ParamSource;
pub use complete::complete;
pub use execute::{Console, execute};
pub use follow::Interrupts;
pub use in_process::InProcessCaller;
pub use output::OutputSettings;
pub use plan::{Plan, Printed, Request, plan};
pub use socket::SocketCaller;

/// Exit code of a program that did what it was told.
pub const SUCCESS: u8 = 0;
/// Exit code of every error, also of wrong arguments. Source: `docs/spec/cli.md` 1.3.
pub const FAILURE: u8 = 255;

#[cfg(test)]
mod fixture;
