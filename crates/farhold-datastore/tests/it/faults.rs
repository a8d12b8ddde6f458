//! A failure of the system, a kill or a power failure at every step of what is done to snapshots and groups that exist:
//! everything else stays readable, and the second try succeeds.

use std::error::Error;
use std::io;
use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError, ErrorKind, Merge, MoveError, RemoveGroups};
use farhold_storage::{Fault, FaultKind, FaultyStorage, MemoryStorage, Operation};
use farhold_types::{Authid, Group, MAX_NAMESPACE_DEPTH, Namespace, Snapshot, SyncLevel};

use crate::support::{check_whole, memory, options, root, sample, snapshot, write};

/// All operations of a storage.
const OPERATIONS: [Operation; 16] = [
    Operation::Read,
    Operation::Stat,
    Operation::List,
    Operation::WriteAtomic,
    Operation::CreateExclusive,
    Operation::CreateWorking,
    Operation::WriteAt,
    Operation::CreateDir,
    Operation::Rename,
    Operation::RemoveFile,
    Operation::RemoveDir,
    Operation::RemoveTree,
    Operation::Touch,
    Operation::SyncFile,
    Operation::SyncAll,
    Operation::Lock,
];

/// No space; what an I/O error, too many open files or no memory are.
const ERRORS: [io::ErrorKind; 2] = [io::ErrorKind::StorageFull, io::ErrorKind::Other];

const SNAPSHOTS: [&str; 4] = [
    "vm/100/2026-01-01T10:00:00Z",
    "vm/100/2026-01-02T10:00:00Z",
    "vm/100/2026-01-03T10:00:00Z",
    "vm/101/2026-01-01T10:00:00Z",
];

/// Something that is done to a store, and which of [`SNAPSHOTS`] it removes.
struct Change {
    name: &'static str,
    make: fn(&Datastore) -> Result<(), Box<dyn Error>>,
    is_made: fn(&Datastore) -> bool,
    removes: &'static [&'static str],
}

fn a() -> Namespace {
    "a".parse().expect("valid")
}

fn first() -> Snapshot {
    snapshot(SNAPSHOTS[0])
}

fn vm_100() -> Group {
    first().group
}

fn other_owner() -> Authid {
    "eve@pbs".parse().expect("valid")
}

/// Gone already is as good as removed.
fn or_gone(outcome: Result<(), DatastoreError>) -> Result<(), Box<dyn Error>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn move_group(store: &Datastore) -> Result<(), Box<dyn Error>> {
    match store.move_group(&root(), &a(), &vm_100(), Merge::Allowed) {
        Err(MoveError::Datastore(DatastoreError::GroupMissing { .. })) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

fn is_there(store: &Datastore, namespace: &Namespace, text: &str) -> bool {
    store.snapshot_info(namespace, &snapshot(text)).is_ok_and(|info| info.has_manifest)
}

const CHANGES: [Change; 12] = [
    Change {
        name: "notes of a snapshot",
        make: |store| Ok(store.set_snapshot_notes(&root(), &first(), "new")?),
        is_made: |store| store.snapshot_notes(&root(), &first()).is_ok_and(|notes| notes == "new"),
        removes: &[],
    },
    Change {
        name: "notes of a group",
        make: |store| Ok(store.set_group_notes(&store.lock_group(&root(), &vm_100())?, "new")?),
        is_made: |store| store.group_notes(&root(), &vm_100()).is_ok_and(|notes| notes == "new"),
        removes: &[],
    },
    Change {
        name: "owner",
        make: |store| Ok(store.set_owner(&store.lock_group(&root(), &vm_100())?, &other_owner())?),
        is_made: |store| store.owner(&root(), &vm_100()).is_ok_and(|owner| owner == other_owner()),
        removes: &[],
    },
    Change {
        name: "protection",
        make: |store| Ok(store.set_protected(&root(), &first(), true)?),
        is_made: |store| store.is_protected(&root(), &first()).is_ok_and(|is_protected| is_protected),
        removes: &[],
    },
    Change {
        name: "no protection",
        make: |store| Ok(store.set_protected(&root(), &snapshot(SNAPSHOTS[1]), false)?),
        is_made: |store| store.is_protected(&root(), &snapshot(SNAPSHOTS[1])).is_ok_and(|is_protected| !is_protected),
        removes: &[],
    },
    Change {
        name: "client log",
        make: |store| match store.put_client_log(&root(), &first(), b"log") {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => Ok(outcome?),
        },
        is_made: |store| store.read_file(&root(), &first(), &"client.log.blob".parse().expect("valid")).is_ok(),
        removes: &[],
    },
    Change {
        // Of what is signed nothing ever changes, so a copy that is written again gets the files that it should have.
        name: "files of a finished snapshot",
        make: |store| write(store, &first(), &sample(&first(), SNAPSHOTS[0].as_bytes())),
        is_made: |store| is_there(store, &root(), SNAPSHOTS[0]),
        removes: &[],
    },
    Change {
        name: "removal of a snapshot",
        make: |store| or_gone(store.remove_snapshot(&root(), &first())),
        is_made: |store| !is_there(store, &root(), SNAPSHOTS[0]),
        removes: &[SNAPSHOTS[0]],
    },
    Change {
        name: "removal of a group",
        make: |store| or_gone(store.remove_group(&root(), &snapshot(SNAPSHOTS[3]).group).map(drop)),
        is_made: |store| {
            store.owner(&root(), &snapshot(SNAPSHOTS[3]).group).is_err_and(|e| e.kind() == ErrorKind::NotFound)
        },
        removes: &[SNAPSHOTS[3]],
    },
    Change {
        name: "removal of a namespace",
        make: |store| Ok(store.remove_namespace(&"b".parse()?, RemoveGroups::Yes).map(drop)?),
        is_made: |store| store.namespace_exists(&"b".parse().expect("valid")).is_ok_and(|exists| !exists),
        removes: &[],
    },
    Change {
        name: "move of a group",
        make: move_group,
        is_made: |store| {
            let is_moved = SNAPSHOTS[..3].iter().all(|text| is_there(store, &a(), text));
            let notes = store.group_notes(&a(), &vm_100()).is_ok_and(|notes| notes == "of the group");
            is_moved && notes && store.owner(&root(), &vm_100()).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        },
        removes: &[],
    },
    Change {
        name: "new namespace",
        make: |store| Ok(store.create_namespace(&"a/c".parse()?).map(drop)?),
        is_made: |store| store.namespace_exists(&"a/c".parse().expect("valid")).is_ok_and(|exists| exists),
        removes: &[],
    },
];

struct Bench {
    memory: MemoryStorage,
    locks: tempfile::TempDir,
    level: SyncLevel,
}

impl Bench {
    fn new(level: SyncLevel) -> Self {
        let bench = Self { memory: memory(), locks: tempfile::tempdir().expect("created"), level };
        let store = bench.open().1;
        for text in SNAPSHOTS {
            let snapshot = snapshot(text);
            write(&store, &snapshot, &sample(&snapshot, text.as_bytes())).expect("written");
        }
        for namespace in ["a", "b", "b/c"] {
            store.create_namespace(&namespace.parse().expect("valid")).expect("created");
        }
        store.set_protected(&root(), &snapshot(SNAPSHOTS[1]), true).expect("protected");
        let lock = store.lock_group(&root(), &vm_100()).expect("locked");
        store.set_group_notes(&lock, "of the group").expect("set");
        bench
    }

    fn open(&self) -> (FaultyStorage, Datastore) {
        let faulty = FaultyStorage::new(Arc::new(self.memory.clone()), Vec::new());
        let mut options = options(Arc::new(faulty.clone()), self.locks.path());
        options.sync_level = self.level;
        (faulty, Datastore::open(options).expect("opened"))
    }

    /// Checks that all that must be there is, once, whole and with an owner, and that nothing that looks finished is not.
    fn check(&self, change: &Change, when: &str) {
        let store = self.open().1;
        let mut found = Vec::new();
        for namespace in store.namespaces(&root(), MAX_NAMESPACE_DEPTH).expect("listed") {
            for (group, owner) in store.groups_and_owners(&namespace).expect("listed") {
                for info in store.snapshots(&namespace, &group).expect("listed").iter().filter(|info| info.has_manifest)
                {
                    let snapshot = group.at(info.time);
                    assert!(owner.is_some(), "{}, {when}: {group} has no owner", change.name);
                    check_whole(&store, &namespace, &snapshot);
                    found.push(snapshot.to_string());
                }
            }
        }
        found.sort();
        found.retain(|text| !change.removes.contains(&text.as_str()));
        let expected: Vec<_> = SNAPSHOTS.into_iter().filter(|text| !change.removes.contains(text)).collect();
        assert_eq!(found, expected, "{}, {when}", change.name);
        let notes = [root(), a()].map(|namespace| store.group_notes(&namespace, &vm_100()).unwrap_or_default());
        assert!(notes.iter().any(|notes| !notes.is_empty()), "{}, {when}: notes are lost", change.name);
    }

    /// Does what was interrupted once more.
    fn repeat(&self, change: &Change, when: &str) {
        let store = self.open().1;
        if let Err(error) = (change.make)(&store) {
            panic!("{}, {when}: the second try fails: {error}: {:?}", change.name, error.source());
        }
        assert!((change.is_made)(&store), "{}, {when}: the second try did nothing", change.name);
        drop(store);
        self.check(change, when);
    }
}

/// Makes a change with a fault at each of its steps in turn; calls `after` with what it left and the number of the step.
/// Returns how many steps there were.
fn at_every_step(
    change: &Change,
    level: SyncLevel,
    (operation, kind): (Option<Operation>, FaultKind),
    after: impl Fn(&Bench, &FaultyStorage, bool, &str),
) -> usize {
    for step in 0.. {
        let bench = Bench::new(level);
        let (faulty, store) = bench.open();
        faulty.plan(Fault { operation, after: step, kind });
        let outcome = (change.make)(&store);
        let was_hit = 0 < faulty.hit_count();
        drop(store);
        if !was_hit {
            assert!(outcome.is_ok(), "{}: {:?}", change.name, outcome.err());
            return step;
        }
        after(&bench, &faulty, outcome.is_ok(), &format!("{level:?}, {kind:?} at {operation:?} {step}"));
    }
    unreachable!("a change ends")
}

#[test]
fn after_a_failure_at_any_step_all_is_readable_and_the_second_try_succeeds() {
    let mut steps = 0;
    for change in &CHANGES {
        for operation in OPERATIONS {
            for error in ERRORS {
                let fault = (Some(operation), FaultKind::Error(error));
                steps += at_every_step(change, SyncLevel::Filesystem, fault, |bench, _, succeeded, when| {
                    bench.check(change, when);
                    assert!(!succeeded || (change.is_made)(&bench.open().1), "{}, {when}: nothing done", change.name);
                    bench.repeat(change, when);
                });
            }
        }
    }
    assert!(200 < steps, "{steps}");
}

#[test]
fn after_a_kill_at_any_step_all_is_readable_and_the_second_try_succeeds() {
    for change in &CHANGES {
        let steps = at_every_step(change, SyncLevel::File, (None, FaultKind::Crash), |bench, _, _, when| {
            bench.check(change, when);
            bench.repeat(change, when);
        });
        assert!(0 < steps, "{}", change.name);
    }
}

#[test]
fn after_a_power_failure_at_any_step_all_is_readable_and_the_second_try_succeeds() {
    for level in [SyncLevel::File, SyncLevel::Filesystem] {
        for change in &CHANGES {
            at_every_step(change, level, (None, FaultKind::Crash), |bench, faulty, _, when| {
                faulty.lose_power();
                bench.check(change, when);
                bench.repeat(change, when);
            });
            let bench = Bench::new(level);
            let (faulty, store) = bench.open();
            (change.make)(&store).unwrap();
            drop(store);
            faulty.lose_power();
            bench.check(change, "at the end");
            assert!((change.is_made)(&bench.open().1), "{}, {level:?}: lost at the end", change.name);
        }
    }
}
