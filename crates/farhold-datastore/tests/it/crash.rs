//! Kills and full disks at every step of writing a snapshot.

use std::io;
use std::sync::Arc;

use farhold_datastore::{Datastore, DatastoreError, ErrorKind};
use farhold_storage::{Fault, FaultKind, FaultyStorage, MemoryStorage, Operation};
use farhold_types::{Authid, Snapshot, SyncLevel};

use crate::support::{Sample, check_whole, memory, options, root, sample, snapshot, write};

const LEVELS: [SyncLevel; 3] = [SyncLevel::None, SyncLevel::File, SyncLevel::Filesystem];

struct Bench {
    memory: MemoryStorage,
    locks: tempfile::TempDir,
    level: SyncLevel,
    first: (Snapshot, Sample),
    second: (Snapshot, Sample),
}

impl Bench {
    /// A store with one finished snapshot, and a second one to be written.
    fn new(level: SyncLevel) -> Self {
        let first = snapshot("vm/100/2026-01-01T10:00:00Z");
        let second = snapshot("vm/101/2026-01-02T10:00:00Z");
        let bench = Self {
            memory: memory(),
            locks: tempfile::tempdir().expect("created"),
            level,
            first: (first.clone(), sample(&first, b"first content")),
            second: (second.clone(), sample(&second, b"second content")),
        };
        write(&bench.open(Vec::new()).1, &bench.first.0, &bench.first.1).expect("written");
        bench
    }

    fn open(&self, faults: Vec<Fault>) -> (FaultyStorage, Datastore) {
        let faulty = FaultyStorage::new(Arc::new(self.memory.clone()), faults);
        let mut options = options(Arc::new(faulty.clone()), self.locks.path());
        options.sync_level = self.level;
        (faulty, Datastore::open(options).expect("opened"))
    }

    /// Checks that everything that counts as finished is whole; returns whether the second snapshot is finished.
    fn check(&self) -> bool {
        let (_, store) = self.open(Vec::new());
        check_whole(&store, &root(), &self.first.0);
        let Ok(info) = store.snapshot_info(&root(), &self.second.0) else { return false };
        if info.has_manifest {
            check_whole(&store, &root(), &self.second.0);
        } else {
            assert_eq!(store.snapshot_item(&root(), &self.second.0).expect("item").size, None);
        }
        info.has_manifest
    }

    fn temporary_files(&self) -> Vec<String> {
        self.memory.all_paths().into_iter().filter(|path| path.contains("tmp")).collect()
    }
}

#[test]
fn a_kill_at_any_step_leaves_finished_snapshots_whole_and_the_next_run_cleans_up() {
    for level in LEVELS {
        let mut stops = 0;
        loop {
            let bench = Bench::new(level);
            let crash = Fault { operation: None, after: stops, kind: FaultKind::Crash };
            let (faulty, store) = bench.open(vec![crash]);
            let outcome = write(&store, &bench.second.0, &bench.second.1);
            drop(store);
            if faulty.hit_count() == 0 {
                outcome.unwrap();
                break;
            }
            stops += 1;
            let is_finished = bench.check();
            assert!(outcome.is_err() || is_finished, "a reported success must be there, stop {stops}");
            let (_, store) = bench.open(Vec::new());
            write(&store, &bench.second.0, &bench.second.1).unwrap();
            drop(store);
            assert!(bench.check());
            assert_eq!(bench.temporary_files(), [""; 0], "stop {stops}");
        }
        // Group, owner, directories, chunk, index, blob and manifest at the least.
        assert!(8 < stops, "{stops}");
    }
}

#[test]
fn without_space_at_any_step_the_error_is_clear_and_nothing_finished_is_lost() {
    for level in LEVELS {
        let mut failures = 0;
        loop {
            let bench = Bench::new(level);
            let kind = FaultKind::Error(io::ErrorKind::StorageFull);
            let (faulty, store) = bench.open(vec![Fault { operation: None, after: failures, kind }]);
            let outcome = write(&store, &bench.second.0, &bench.second.1);
            drop(store);
            if faulty.hit_count() == 0 {
                outcome.unwrap();
                break;
            }
            failures += 1;
            let is_finished = bench.check();
            match outcome {
                Ok(()) => assert!(is_finished),
                Err(error) => assert!(
                    error.to_string().contains("not enough space")
                        || error.source().is_some_and(|source| source.to_string().contains("not enough space")),
                    "{error}"
                ),
            }
            if !is_finished {
                // The new snapshot was discarded together with its group.
                assert!(!bench.memory.all_paths().iter().any(|path| path.starts_with("vm/101/2026")));
            }
            // Where the fault hit the clean-up itself, the next writer does it.
            drop(bench.open(Vec::new()).1.lock_process_shared().unwrap());
            assert_eq!(bench.temporary_files(), [""; 0], "failure {failures}");
        }
        assert!(8 < failures, "{failures}");
    }
}

#[test]
fn replacing_a_finished_snapshot_without_space_leaves_the_old_one() {
    for operation in [Operation::WriteAtomic, Operation::SyncAll] {
        let mut failures = 0;
        loop {
            let bench = Bench::new(SyncLevel::Filesystem);
            let changed = sample(&bench.first.0, b"other content of another length");
            let kind = FaultKind::Error(io::ErrorKind::StorageFull);
            let fault = Fault { operation: Some(operation), after: failures, kind };
            let (faulty, store) = bench.open(vec![fault]);
            let outcome = write(&store, &bench.first.0, &changed);
            bench.check();
            if faulty.hit_count() == 0 {
                outcome.unwrap();
                let (_, raw) = store.read_manifest(&root(), &bench.first.0).unwrap();
                assert_eq!(raw, changed.manifest);
                break;
            }
            assert!(outcome.is_err());
            drop(store);
            assert_eq!(bench.temporary_files(), [""; 0]);
            failures += 1;
        }
        assert!(1 < failures);
    }
}

#[test]
fn a_kill_while_removing_leaves_no_finished_snapshot_with_holes() {
    let mut stops = 0;
    loop {
        let bench = Bench::new(SyncLevel::None);
        let crash = Fault { operation: None, after: stops, kind: FaultKind::Crash };
        let (faulty, store) = bench.open(vec![crash]);
        let outcome = store.remove_snapshot(&root(), &bench.first.0);
        if faulty.hit_count() == 0 {
            outcome.unwrap();
            break;
        }
        stops += 1;
        let (_, store) = bench.open(Vec::new());
        for info in store.snapshots(&root(), &bench.first.0.group).unwrap_or_default() {
            if info.has_manifest {
                check_whole(&store, &root(), &bench.first.0);
            }
        }
        // What is left can be removed by the next attempt, or is gone.
        match store.remove_group(&root(), &bench.first.0.group) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
        assert!(!bench.memory.all_paths().iter().any(|path| path.starts_with("vm/100")));
    }
    assert!(2 < stops);
}

#[test]
fn damaged_files_are_errors_of_their_own_kind() {
    use farhold_storage::{Durability, Staging, Storage};
    let cases: [(&str, &[u8], ErrorKind); 5] = [
        ("index.json.blob", b"", ErrorKind::Corrupt),
        ("index.json.blob", b"no blob at all", ErrorKind::Corrupt),
        ("root.pxar.didx", b"", ErrorKind::Corrupt),
        ("root.pxar.didx", &[0; 4136], ErrorKind::Corrupt),
        ("owner", b"\n", ErrorKind::Corrupt),
    ];
    for (name, content, expected) in cases {
        let bench = Bench::new(SyncLevel::None);
        let directory = if name == "owner" { "vm/100" } else { "vm/100/2026-01-01T10:00:00Z" };
        let path = format!("{directory}/{name}").parse().unwrap();
        bench.memory.write_atomic(&path, content, Durability::Cached, Staging::Beside).unwrap();
        let (_, store) = bench.open(Vec::new());
        let error = match name {
            "owner" => store.owner(&root(), &bench.first.0.group).unwrap_err(),
            "index.json.blob" => store.read_manifest(&root(), &bench.first.0).unwrap_err(),
            _ => store.open_index(&root(), &bench.first.0, &name.parse().unwrap()).unwrap_err(),
        };
        assert_eq!(error.kind(), expected, "{name}: {error}");
        if name == "index.json.blob" {
            let item = store.snapshot_item(&root(), &bench.first.0).unwrap();
            assert_eq!((item.size, item.files.len()), (None, 3));
            assert!(store.update_manifest(&root(), &bench.first.0, |_| ()).is_err());
            assert_eq!(bench.memory.read(&path, 100).unwrap(), content);
        }
    }
}

#[test]
fn a_group_whose_owner_was_lost_is_completed_until_something_in_it_was_finished() {
    use farhold_storage::{Durability, Staging, Storage};
    let bench = Bench::new(SyncLevel::None);
    let put = |path: &str| {
        bench.memory.write_atomic(&path.parse().unwrap(), b"", Durability::Cached, Staging::Beside).unwrap();
    };
    let group = &bench.first.0.group;
    put("vm/100/owner");
    let (_, store) = bench.open(Vec::new());
    let error = store.create_group(&root(), group, &Authid::root()).unwrap_err();
    assert!(matches!(error, DatastoreError::OwnerUnreadable { .. }), "{error}");
    bench.memory.remove_file(&"vm/100/2026-01-01T10:00:00Z/index.json.blob".parse().unwrap()).unwrap();
    let (owner, _lock) = store.create_group(&root(), group, &Authid::root()).unwrap();
    assert_eq!(owner, Authid::root());
    assert_eq!(store.owner(&root(), group).unwrap(), Authid::root());
}
