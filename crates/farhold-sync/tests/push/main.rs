//! Whole pushes from a source in memory to a target that keeps a server's rules.
#![allow(clippy::unwrap_used)]

#[path = "../support/stores.rs"]
mod stores;
#[path = "../support/mod.rs"]
mod support;

mod dry_run;
mod failures;
mod latency;
mod real_store;
mod situations;
mod transfer;
