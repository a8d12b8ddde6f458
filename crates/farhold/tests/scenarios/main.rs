//! Scenarios of `docs/spec/sync.md`, annex B, that are about the wire: two real servers, a relay between them that
//! breaks when a scenario says so.
//!
//! [`pair`]: the two servers. [`decrypt`]: keys. [`faults`]: lines that break, servers that die, tickets that end.
//! [`remotes`]: accounts and certificates. [`push_pair`]: two servers of which one pushes; [`push`], [`push_encrypt`],
//! [`push_removal`], [`push_faults`], [`push_logs`]: what it pushes, encrypts, removes and tells, and what may happen
//! meanwhile. [`removal`]: what vanished. [`repair`]: mending a store. [`runs`]: what a whole run does and tells.
//! [`notifications`]: who is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "../product/content.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod content;
mod decrypt;
#[path = "../backup_client/desk.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod desk;
mod faults;
mod notifications;
mod pair;
#[path = "../product/peer.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod peer;
#[path = "../product/process.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod process;
mod push;
mod push_encrypt;
mod push_faults;
mod push_logs;
mod push_pair;
mod push_removal;
#[path = "../product/recordings.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod recordings;
mod remotes;
mod removal;
mod repair;
mod runs;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../product/site.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod site;
mod traffic;
