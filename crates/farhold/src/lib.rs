//! Farhold: a second, far-away copy of your backups.
//!
//! The composition root. Everything that touches the outside world meets here: directories, clock, sockets, TLS,
//! signals. The rooms below receive these as arguments.

pub mod certificate;
pub mod client_program;
pub mod compose;
pub mod daemon;
pub mod demo;
pub mod directories;
pub mod host_files;
pub mod log;
pub mod node_certificate;
pub mod server;
pub mod system;
pub mod system_accounts;
pub mod terminal;
pub mod web_interface;
