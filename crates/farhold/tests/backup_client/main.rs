//! `farhold client` against real servers in this process.
//!
//! [`desk`]: somebody at a terminal. [`recorded`]: what the reference's client was recorded to print. [`journeys`]:
//! backups, restores and what goes wrong on the way. [`access`]: passwords, tickets, certificates. [`keys`]: encryption.
//! [`tasks`]: pruning, moving, collecting garbage. [`terminal`]: the program itself at a terminal. [`killed`]: processes
//! that die in the middle. [`wire`]: what is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod access;
#[path = "../product/content.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod content;
mod desk;
#[path = "../cli_replay/recorded.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod invocations;
mod journeys;
mod keys;
mod killed;
#[path = "../product/process.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod process;
mod recorded;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod tasks;
mod terminal;
mod wire;
