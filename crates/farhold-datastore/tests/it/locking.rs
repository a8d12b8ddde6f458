//! Who keeps whom out. `docs/spec/datastore-format.md` 14.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError, ErrorKind, LockError};

use crate::support::{local_options, memory, options, root, sample, snapshot, write};

#[test]
fn writers_of_one_process_are_counted_and_garbage_collection_knows_the_oldest() {
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(options(Arc::new(memory()), locks.path())).unwrap();
    assert_eq!(store.oldest_writer(), None);
    let first = store.lock_process_shared().unwrap();
    let second = store.lock_process_shared().unwrap();
    let exclusive = store.lock_process_exclusive().unwrap();
    assert!(matches!(store.lock_process_exclusive(), Err(LockError::Busy { .. })));
    assert_eq!(store.oldest_writer().unwrap().0, 1_800_000_000);
    drop((first, second));
    assert_eq!(store.oldest_writer(), None);
    drop(exclusive);
    assert!(store.lock_process_exclusive().is_ok());
}

#[test]
fn a_second_opening_of_the_store_is_kept_out_like_another_process() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let one = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let two = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let writer = one.lock_process_shared().unwrap();
    let other_writer = two.lock_process_shared().unwrap();
    assert!(two.lock_process_exclusive().is_err());
    drop(writer);
    let collection = two.lock_process_exclusive().unwrap();
    assert!(matches!(one.lock_process_shared(), Err(LockError::Busy { .. })));
    // The exclusive lock turns into a shared one while a writer of its process goes on.
    drop(collection);
    assert!(one.lock_process_exclusive().is_err());
    drop(other_writer);
    assert!(one.lock_process_exclusive().is_ok());
}

#[test]
fn a_lock_file_that_was_removed_or_replaced_is_opened_anew() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let one = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let file = base.path().join(".lock");
    std::fs::remove_file(&file).unwrap();
    let two = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let writer = one.lock_process_shared().unwrap();
    assert!(matches!(two.lock_process_exclusive(), Err(LockError::Busy { .. })));
    // Others cannot know of this writer any more, so this process must not trust that it hears of them.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    assert!(matches!(one.lock_process_exclusive(), Err(LockError::Storage(_))));
    drop(writer);
    let collection = one.lock_process_exclusive().unwrap();
    assert!(matches!(two.lock_process_shared(), Err(LockError::Busy { .. })));
    drop(collection);
    two.lock_process_shared().unwrap();
}

#[test]
fn nobody_writes_where_the_store_was_mounted() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    std::fs::remove_dir(base.path().join(".chunks")).unwrap();
    std::fs::remove_file(base.path().join(".lock")).unwrap();
    assert!(matches!(store.lock_process_shared(), Err(LockError::Storage(_))));
    assert!(matches!(store.lock_process_exclusive(), Err(LockError::Storage(_))));
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}

/// Another program that holds the traditional record lock, as the reference does.
#[test]
fn the_record_lock_of_another_program_counts() {
    const PROGRAM: &str = "import fcntl,sys,os
f=open(sys.argv[1],'r+')
fcntl.lockf(f,fcntl.LOCK_SH if sys.argv[2]=='shared' else fcntl.LOCK_EX)
print('x',end='',flush=True)
sys.stdin.read()";
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: needs python3");
        return;
    }
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    for (kind, writers_may) in [("shared", true), ("exclusive", false)] {
        let mut other = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(base.path().join(".lock"))
            .arg(kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(store.lock_process_shared().is_ok(), writers_may, "{kind}");
        assert!(store.lock_process_exclusive().is_err(), "{kind}");
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(store.lock_process_exclusive().is_ok());
    }
}

#[test]
fn reading_keeps_removal_and_protection_out_but_not_notes() {
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(options(Arc::new(memory()), locks.path())).unwrap();
    let at = snapshot("vm/100/2026-01-01T10:00:00Z");
    write(&store, &at, &sample(&at, b"x")).unwrap();
    let reader = store.lock_snapshot_shared(&root(), &at).unwrap();
    let second_reader = store.lock_snapshot_shared(&root(), &at).unwrap();
    let busy = |error: DatastoreError| assert_eq!(error.kind(), ErrorKind::Busy);
    busy(store.remove_snapshot(&root(), &at).unwrap_err());
    busy(store.set_protected(&root(), &at, true).unwrap_err());
    busy(store.remove_group(&root(), &at.group).unwrap_err());
    store.set_snapshot_notes(&root(), &at, "seen").unwrap();
    {
        let group = store.lock_group(&root(), &at.group).unwrap();
        busy(store.begin_snapshot(&group, at.time).unwrap_err());
        busy(store.lock_group(&root(), &at.group).unwrap_err());
        busy(store.create_group(&root(), &at.group, &"a@pbs".parse().unwrap()).unwrap_err());
    }
    drop((reader, second_reader));
    store.set_protected(&root(), &at, true).unwrap();
    let _writer_lock = store.lock_snapshot(&root(), &at).unwrap();
    busy(store.lock_snapshot_shared(&root(), &at).unwrap_err());
}

#[test]
fn locking_what_is_missing_says_so_and_leaves_no_lock_file() {
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(options(Arc::new(memory()), locks.path())).unwrap();
    let at = snapshot("vm/100/2026-01-01T10:00:00Z");
    assert_eq!(store.lock_group(&root(), &at.group).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.lock_snapshot(&root(), &at).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.remove_snapshot(&root(), &at).unwrap_err().kind(), ErrorKind::NotFound);
    let left = std::fs::read_dir(locks.path().join("golden")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_group_removed_under_its_lock_takes_no_snapshot() {
    let locks = tempfile::tempdir().unwrap();
    let store = Datastore::open(options(Arc::new(memory()), locks.path())).unwrap();
    let at = snapshot("vm/100/2026-01-01T10:00:00Z");
    let owner = "a@pbs".parse().unwrap();
    let (_, group) = store.create_group(&root(), &at.group, &owner).unwrap();
    store.begin_snapshot(&group, at.time).unwrap().discard().unwrap();
    assert!(group.is_removed());
    assert!(matches!(store.begin_snapshot(&group, at.time), Err(DatastoreError::GroupRemoved { .. })));
    assert!(matches!(store.set_owner(&group, &owner), Err(DatastoreError::GroupRemoved { .. })));
    // A new lock works while the old value is still around.
    let (_, again) = store.create_group(&root(), &at.group, &owner).unwrap();
    assert!(store.begin_snapshot(&again, at.time).is_ok());
}
