//! The scenarios of `docs/spec/sync.md` annex B that need the engine but no network.

#[path = "../support/encrypted.rs"]
mod encrypted;
#[path = "../support/stores.rs"]
mod stores;
#[path = "../support/mod.rs"]
mod support;

mod decrypt;
mod decrypt_hostile;
mod decrypt_recorded;
mod decrypt_reuse;
mod dry_run;
mod listing;
mod network;
mod removal;
mod removal_dry_run;
mod removal_limits;
mod removal_stores;
mod resync;
mod resync_repair;
mod resync_reuse;
mod resync_stores;
mod selection;
