//! The composed product from outside: its commands, its files and what it does when peers, disks or processes fail.
//!
//! Servers are made by the composition root and talk over real TLS connections. [`manual`]: the commands of the manual
//! and what they leave behind. [`extensions`]: commands that the reference does not have. [`doors`]: scenarios of remotes
//! and jobs. [`node`]: the host's proxy and the certificate. [`probe`]: looking at remotes. [`hostile`]: peers that lie.
//! [`wrong_input`]: wrong settings and files, full disks. [`kill`]: processes that die in the middle. [`recorded_logs`]:
//! whole runs beside recorded ones. [`schedules`]: what the server starts by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod content;
mod doors;
mod extensions;
mod hostile;
mod kill;
mod manual;
mod node;
mod peer;
mod probe;
mod process;
mod recorded_logs;
#[allow(dead_code, reason = "shared with other test programs")]
mod recordings;
mod schedules;
#[path = "../support/scratch.rs"]
mod scratch;
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod wrong_input;
