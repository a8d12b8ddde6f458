//! Removing a store with everything in it.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::fs;
use std::path::Path;

use farhold_datastore::{AccessTimeCheck, Datastore};

use crate::support::{local_options, memory, options, unpack};

fn names_in(path: &Path) -> Vec<String> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn nothing_is_left_of_a_destroyed_store_and_its_name_can_be_used_again() {
    let golden = unpack("golden");
    let base = golden.store.local_root().unwrap().to_owned();
    golden.store.destroy_content().unwrap();
    assert_eq!(names_in(&base), [".lock"]);
    golden.store.destroy_content().unwrap();
    golden.store.destroy_shell().unwrap();
    assert!(!base.exists());
    golden.store.destroy_shell().unwrap();
    Datastore::create(local_options(&base, &base.with_extension("locks")), AccessTimeCheck::Skip).unwrap();
}

#[test]
fn what_is_not_ours_stays() {
    let golden = unpack("golden");
    let base = golden.store.local_root().unwrap().to_owned();
    fs::write(base.join("README"), "mine").unwrap();
    golden.store.destroy_content().unwrap();
    golden.store.destroy_shell().unwrap();
    assert_eq!(names_in(&base), ["README"]);
}

#[test]
fn a_store_that_lies_on_no_file_system_has_no_size() {
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(options(std::sync::Arc::new(memory()), locks.path())).unwrap();
    assert!(store.space().unwrap().is_none());
    assert_eq!(store.gc_status().unwrap(), Default::default());
}
