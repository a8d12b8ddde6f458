//! The scenarios of `docs/spec/sync.md` annex B that need the engine but no network.

#[path = "../support/mod.rs"]
mod support;

mod listing;
mod removal;
