//! Mending a datastore from a copy.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../support/encrypted.rs"]
mod encrypted;
#[path = "../support/stores.rs"]
mod stores;
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod chunks;
mod files;
mod other_form;
