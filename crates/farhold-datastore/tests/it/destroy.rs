//! Removing a store with everything in it.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use farhold_datastore::{AccessTimeCheck, Datastore, OpenError};
use farhold_storage::{Fault, FaultKind, FaultyStorage, MemoryStorage, Operation};

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
fn a_directory_in_which_no_store_can_be_made_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("private");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o700)).unwrap();
    let create = || Datastore::create(local_options(&base, &directory.path().join("locks")), AccessTimeCheck::Skip);
    for name in ["letters".as_ref(), OsStr::from_bytes(b"caf\xe9")] {
        fs::write(base.join(name), "mine").unwrap();
        assert!(matches!(create(), Err(OpenError::NotEmpty { .. })), "{name:?}");
        assert_eq!(fs::metadata(&base).unwrap().permissions().mode() & 0o777, 0o700, "{name:?}");
        fs::remove_file(base.join(name)).unwrap();
    }
    create().unwrap();
    assert_eq!(fs::metadata(&base).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_creation_that_fails_is_not_in_the_way_of_the_next() {
    let (memory, locks) = (MemoryStorage::new(), tempfile::tempdir().unwrap());
    let faulty = FaultyStorage::new(Arc::new(memory.clone()), Vec::new());
    let create = |check| Datastore::create(options(Arc::new(faulty.clone()), locks.path()), check);
    let kind = FaultKind::Error(std::io::ErrorKind::StorageFull);
    for (operation, after, check) in [
        (Operation::CreateDir, 100, AccessTimeCheck::Skip),
        (Operation::Lock, 0, AccessTimeCheck::Skip),
        (Operation::Touch, 0, AccessTimeCheck::Run),
    ] {
        faulty.plan(Fault { operation: Some(operation), after, kind });
        assert!(create(check).is_err(), "{operation}");
        assert_eq!(memory.all_paths(), [""; 0], "{operation}");
    }
    create(AccessTimeCheck::Skip).unwrap();
}

#[test]
fn an_interrupted_destruction_can_be_repeated_and_a_mount_point_is_no_store() {
    let golden = unpack("golden");
    let base = golden.store.local_root().unwrap().to_owned();
    let again = || local_options(&base, &base.with_extension("locks"));
    golden.store.destroy_content().unwrap();
    assert!(matches!(Datastore::open(again()), Err(OpenError::Missing { .. })));
    let store = Datastore::open_to_destroy(again()).unwrap();
    let lock = store.lock_process_exclusive().unwrap();
    store.destroy_content().unwrap();
    drop(lock);
    store.destroy_lock_file().unwrap();
    assert!(matches!(Datastore::open_to_destroy(again()), Err(OpenError::Missing { .. })));
    assert_eq!(names_in(&base), [""; 0]);
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
    let store = Datastore::open(options(Arc::new(memory()), locks.path())).unwrap();
    assert!(store.space().unwrap().is_none());
    assert_eq!(store.gc_status().unwrap(), Default::default());
}
