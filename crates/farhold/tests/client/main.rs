//! The backup client's engine against a real server: what comes back, what is sent again, and what is left behind when a
//! key, a disk, the client or the server fails.
//!
//! [`desk`]: the server and the machine that is backed up. [`cycles`]: backups and restores that work. [`faults`]: those
//! that do not. [`recorded`]: with the store that the reference's client wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "../product/content.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod content;
mod cycles;
mod desk;
mod faults;
#[path = "../product/process.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod process;
mod recorded;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
