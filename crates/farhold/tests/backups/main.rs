//! Backup sessions as a client and a server of ours have them with each other, over a real line that breaks.
//!
//! [`scene`]: a server, a relay and a client. [`whole`]: backups that come to an end, and those that are refused.
//! [`broken`]: lines that are cut and servers that die in the middle. [`calls`]: what is changed outside sessions.
//! Source: `docs/spec/wire-protocol.md` 5, 8 and 12.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod broken;
mod calls;
#[path = "../product/content.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod content;
#[path = "../product/process.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod process;
mod scene;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod whole;
