//! Moving groups to other namespaces: what moves, what is refused, and kills at every step.

use std::sync::Arc;

use farhold_datastore::{
    Datastore, DatastoreError, ErrorKind, GroupMove, Merge, MoveError, MoveJournalError, MovedNotes,
};
use farhold_storage::{Fault, FaultKind, FaultyStorage, MemoryStorage, Storage, StorePath};
use farhold_types::{Epoch, Group, Namespace};

use crate::support::{check_whole, memory, options, root, sample, snapshot, write};

const TIMES: [&str; 3] = ["vm/100/2026-01-01T10:00:00Z", "vm/100/2026-01-02T10:00:00Z", "vm/100/2026-01-03T10:00:00Z"];

struct Bench {
    memory: MemoryStorage,
    locks: tempfile::TempDir,
}

impl Bench {
    /// A store with three snapshots of vm/100 in the root, and the namespace `a`.
    fn new() -> Self {
        let bench = Self { memory: memory(), locks: tempfile::tempdir().expect("created") };
        let store = bench.open();
        for text in TIMES {
            let snapshot = snapshot(text);
            write(&store, &snapshot, &sample(&snapshot, text.as_bytes())).expect("written");
        }
        store.create_namespace(&a()).expect("created");
        bench
    }

    fn open(&self) -> Datastore {
        self.open_with(Vec::new()).1
    }

    fn open_with(&self, faults: Vec<Fault>) -> (FaultyStorage, Datastore) {
        let faulty = FaultyStorage::new(Arc::new(self.memory.clone()), faults);
        let store = Datastore::open(options(Arc::new(faulty.clone()), self.locks.path())).expect("opened");
        (faulty, store)
    }
}

fn a() -> Namespace {
    "a".parse().expect("valid")
}

fn group() -> Group {
    "vm/100".parse().expect("valid")
}

fn move_to_a(store: &Datastore) -> Result<GroupMove, MoveError> {
    store.move_group(&root(), &a(), &group(), Merge::Allowed)
}

fn times(store: &Datastore, namespace: &Namespace) -> Vec<Epoch> {
    store.snapshots(namespace, &group()).map_or_else(|_| Vec::new(), |all| all.iter().map(|one| one.time).collect())
}

fn all_times() -> Vec<Epoch> {
    TIMES.iter().map(|text| snapshot(text).time).collect()
}

fn journal(store: &Datastore) -> Vec<String> {
    let mut found = Vec::new();
    let taken = store.take_moved_indexes(|path| {
        found.push(path.to_string());
        Ok::<(), MoveJournalError>(())
    });
    taken.expect("taken");
    found
}

fn set_notes(store: &Datastore, namespace: &Namespace, notes: &str) {
    let lock = store.lock_group(namespace, &group()).expect("locked");
    store.set_group_notes(&lock, notes).expect("set");
}

#[test]
fn a_group_moves_with_its_owner_notes_and_protection() {
    let bench = Bench::new();
    let store = bench.open();
    store.set_protected(&root(), &snapshot(TIMES[1]), true).unwrap();
    set_notes(&store, &root(), "the old server");
    let owner = store.owner(&root(), &group()).unwrap();
    let moved = move_to_a(&store).unwrap();
    assert_eq!(moved, GroupMove { snapshots: 3, notes: MovedNotes::Moved, is_source_removed: true });
    assert_eq!(times(&store, &a()), all_times());
    for text in TIMES {
        check_whole(&store, &a(), &snapshot(text));
    }
    assert_eq!(store.owner(&a(), &group()).unwrap(), owner);
    assert_eq!(store.group_notes(&a(), &group()).unwrap(), "the old server");
    assert!(store.is_protected(&a(), &snapshot(TIMES[1])).unwrap());
    assert!(matches!(store.owner(&root(), &group()), Err(DatastoreError::GroupMissing { .. })));
    assert!(store.lock_group(&a(), &group()).is_ok(), "no lock is left");
    let lock_files = std::fs::read_dir(bench.locks.path().join("golden")).unwrap();
    let mut names: Vec<_> = lock_files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a", "move-journal"], "lock files of what is gone are gone");
}

#[test]
fn the_journal_tells_the_future_places_of_all_indexes_once() {
    let bench = Bench::new();
    let store = bench.open();
    move_to_a(&store).unwrap();
    let expected: Vec<_> = TIMES.iter().map(|text| format!("ns/a/{text}/root.pxar.didx")).collect();
    let failed = store.take_moved_indexes(|_| Err::<(), _>(MoveJournalError::Busy { path: "x".into() }));
    assert!(failed.is_err(), "the journal stays if marking fails");
    assert_eq!(journal(&store), expected);
    assert_eq!(journal(&store), [""; 0]);
    // Absolute paths, one a line, as other programs write and read them; what a kill left of a line does no harm.
    let file = bench.locks.path().join("golden/move-journal");
    let text = format!("/ns/a/{}/x.fidx\n/ns/b/vm/1/2026-01-01T10", TIMES[0]);
    std::fs::write(&file, text).unwrap();
    store.move_group(&a(), &root(), &group(), Merge::Refused).unwrap();
    let found = journal(&store);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found[0], format!("ns/a/{}/x.fidx", TIMES[0]));
    assert_eq!(found[2..], TIMES.map(|text| format!("{text}/root.pxar.didx")));
}

#[test]
fn the_journal_of_a_local_store_has_absolute_paths() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(crate::support::local_options(base.path(), locks.path())).unwrap();
    store.create_namespace(&a()).unwrap();
    let owner = "sync@pbs!t1".parse().unwrap();
    let (_, lock) = store.create_group(&root(), &group(), &owner).unwrap();
    let one = snapshot(TIMES[0]);
    let mut writer = store.begin_snapshot(&lock, one.time).unwrap();
    let sample = sample(&one, b"x");
    writer.put(&crate::support::INDEX.parse().unwrap(), &sample.index).unwrap();
    writer.commit(&sample.manifest).unwrap();
    drop((writer, lock));
    move_to_a(&store).unwrap();
    let text = std::fs::read_to_string(locks.path().join("golden/move-journal")).unwrap();
    let path = base.path().join("ns/a").join(TIMES[0]).join("root.pxar.didx");
    assert_eq!(text, format!("{}\n", path.display()));
    assert!(path.exists());
    // The line of a store that had this name before is passed over.
    std::fs::write(locks.path().join("golden/move-journal"), format!("/elsewhere/x.fidx\n{text}")).unwrap();
    assert_eq!(journal(&store), [format!("ns/a/{}/root.pxar.didx", TIMES[0])]);
    let never = store.take_moved_indexes(|path: &StorePath| -> Result<(), MoveJournalError> { panic!("{path}") });
    assert!(never.is_ok());
}

#[test]
fn groups_merge_only_if_nothing_gets_mixed_up() {
    let bench = Bench::new();
    let store = bench.open();
    move_to_a(&store).unwrap();
    let newer = snapshot("vm/100/2026-01-04T10:00:00Z");
    write(&store, &newer, &sample(&newer, b"newer")).unwrap();
    let refused = store.move_group(&root(), &a(), &group(), Merge::Refused).unwrap_err();
    assert!(matches!(refused, MoveError::Exists { .. }), "{refused}");
    // The other way round the target's snapshot would be the newest.
    let mixed = store.move_group(&a(), &root(), &group(), Merge::Allowed).unwrap_err();
    assert!(matches!(mixed, MoveError::NotOlder { .. }), "{mixed}");
    let other = "other@pbs".parse().unwrap();
    let lock = store.lock_group(&a(), &group()).unwrap();
    let owner = store.owner(&a(), &group()).unwrap();
    store.set_owner(&lock, &other).unwrap();
    drop(lock);
    let differs = move_to_a(&store).unwrap_err();
    assert!(matches!(differs, MoveError::OwnerDiffers { .. }), "{differs}");
    assert_eq!((times(&store, &root()), times(&store, &a())), (vec![newer.time], all_times()), "nothing has moved");
    store.set_owner(&store.lock_group(&a(), &group()).unwrap(), &owner).unwrap();
    assert_eq!(move_to_a(&store).unwrap().snapshots, 1);
    assert_eq!(times(&store, &a()), [all_times(), vec![newer.time]].concat());
}

#[test]
fn notes_of_the_target_win_and_those_that_go_are_told() {
    for (here, there, notes, left) in [
        ("", "", MovedNotes::Nothing, ""),
        ("same", "same", MovedNotes::Nothing, "same"),
        ("mine", "", MovedNotes::Moved, "mine"),
        ("", "theirs", MovedNotes::Nothing, "theirs"),
        ("mine", "theirs", MovedNotes::Dropped("mine".to_owned()), "theirs"),
    ] {
        let bench = Bench::new();
        let store = bench.open();
        let owner = store.owner(&root(), &group()).unwrap();
        drop(store.create_group(&a(), &group(), &owner).unwrap());
        set_notes(&store, &root(), here);
        set_notes(&store, &a(), there);
        assert_eq!(store.move_group(&root(), &a(), &group(), Merge::Refused).unwrap().notes, notes, "{here} {there}");
        assert_eq!(store.group_notes(&a(), &group()).unwrap(), left);
    }
}

#[test]
fn what_is_in_use_or_missing_does_not_move() {
    let bench = Bench::new();
    let store = bench.open();
    let same = store.move_group(&root(), &root(), &group(), Merge::Allowed).unwrap_err();
    assert!(matches!(same, MoveError::SameNamespace));
    let missing = store.move_group(&root(), &a(), &"vm/999".parse().unwrap(), Merge::Allowed).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let nowhere = store.move_group(&root(), &"b".parse().unwrap(), &group(), Merge::Allowed).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    let reader = store.lock_snapshot_shared(&root(), &snapshot(TIMES[2])).unwrap();
    assert_eq!(move_to_a(&store).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(times(&store, &root()), all_times());
    assert!(store.owner(&a(), &group()).is_err(), "no empty group is left at the target");
    drop(reader);
    let writer = store.lock_group(&root(), &group()).unwrap();
    assert_eq!(move_to_a(&store).unwrap_err().kind(), ErrorKind::Busy);
    drop(writer);
    let elsewhere = store.create_group(&a(), &group(), &"sync@pbs!t1".parse().unwrap()).unwrap();
    assert_eq!(move_to_a(&store).unwrap_err().kind(), ErrorKind::Busy);
    drop(elsewhere);
    assert_eq!(move_to_a(&store).unwrap().snapshots, 3);
}

#[test]
fn a_group_with_something_foreign_in_it_stays_with_its_owner() {
    let bench = Bench::new();
    let foreign: StorePath = "vm/100/readme.txt".parse().unwrap();
    bench.memory.create_exclusive(&foreign, b"mine").unwrap();
    let store = bench.open();
    let moved = move_to_a(&store).unwrap();
    assert_eq!((moved.snapshots, moved.is_source_removed), (3, false));
    assert_eq!(store.groups(&root()).unwrap().len(), 1, "it is still a group with an owner");
    assert!(bench.memory.stat(&foreign).is_ok());
}

#[test]
fn a_kill_at_any_step_loses_nothing_and_the_next_move_goes_on() {
    let mut stops = 0;
    loop {
        let bench = Bench::new();
        set_notes(&bench.open(), &root(), "notes");
        let (faulty, store) = bench.open_with(vec![Fault { operation: None, after: stops, kind: FaultKind::Crash }]);
        let outcome = move_to_a(&store);
        drop(store);
        if faulty.hit_count() == 0 {
            outcome.unwrap();
            break;
        }
        let store = bench.open();
        let (here, there) = (times(&store, &root()), times(&store, &a()));
        assert_eq!([there, here].concat(), all_times(), "stop {stops}: the older ones there, the newer ones here");
        for text in TIMES {
            let snapshot = snapshot(text);
            let place = if store.snapshot_info(&root(), &snapshot).is_ok() { root() } else { a() };
            check_whole(&store, &place, &snapshot);
        }
        // The group may be gone from the source already.
        match move_to_a(&store) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "stop {stops}: {error}"),
        }
        assert_eq!(times(&store, &a()), all_times(), "stop {stops}");
        assert_eq!(store.group_notes(&a(), &group()).unwrap(), "notes", "stop {stops}");
        assert!(!bench.memory.all_paths().iter().any(|path| path.starts_with("vm/100")), "stop {stops}");
        stops += 1;
    }
    assert!(8 < stops, "directories, owner, three snapshots, notes, source: {stops}");
}

#[test]
fn more_snapshots_than_are_locked_at_once_move_too() {
    let bench = Bench::new();
    let store = bench.open();
    for number in 0..150 {
        let one = group().at(Epoch(1_700_000_000 + number));
        let directory: StorePath = format!("{one}").parse().unwrap();
        bench.memory.create_dirs(&directory).unwrap();
    }
    assert_eq!(move_to_a(&store).unwrap().snapshots, 153);
    assert_eq!(times(&store, &a()).len(), 153);
}
