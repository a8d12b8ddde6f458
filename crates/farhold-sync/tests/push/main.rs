//! Whole pushes from a source in memory to a target that keeps a server's rules.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod situations;
mod transfer;
