//! Whole pushes from a source in memory to a target that keeps a server's rules.
#![allow(clippy::unwrap_used)]

#[path = "../support/encrypted.rs"]
#[allow(dead_code, reason = "what decrypting pulls need beside")]
mod encrypted;
#[path = "../support/stores.rs"]
mod stores;
#[path = "../support/mod.rs"]
mod support;

mod dry_run;
mod encrypt;
mod encrypt_hostile;
mod encrypt_recorded;
mod failures;
mod latency;
mod real_store;
mod sealed;
mod situations;
mod transfer;
