//! Two processes that change the same snapshots at the same time. Two openings of a store know as little of each other as
//! two processes do.

use std::sync::atomic::{AtomicBool, Ordering};

use farhold_datastore::{Datastore, ErrorKind, Merge};
use farhold_types::{Namespace, Snapshot};
use serde_json::json;

use crate::support::{check_whole, local_options, root, sample, snapshot, write};

const SNAPSHOTS: [&str; 3] =
    ["vm/100/2026-01-01T10:00:00Z", "vm/100/2026-01-02T10:00:00Z", "vm/100/2026-01-03T10:00:00Z"];

struct Bench {
    _directories: [tempfile::TempDir; 2],
    one: Datastore,
    other: Datastore,
}

impl Bench {
    fn new() -> Self {
        let directories = [tempfile::tempdir().expect("created"), tempfile::tempdir().expect("created")];
        std::fs::create_dir(directories[0].path().join(".chunks")).expect("created");
        let open = || Datastore::open(local_options(directories[0].path(), directories[1].path())).expect("opened");
        let (one, other) = (open(), open());
        for text in SNAPSHOTS {
            let snapshot = snapshot(text);
            write(&one, &snapshot, &sample(&snapshot, text.as_bytes())).expect("written");
        }
        one.create_namespace(&a()).expect("created");
        Self { _directories: directories, one, other }
    }
}

fn a() -> Namespace {
    "a".parse().expect("valid")
}

fn first() -> Snapshot {
    snapshot(SNAPSHOTS[0])
}

#[test]
fn changes_of_one_manifest_by_two_processes_are_all_kept() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for (store, name) in [(&bench.one, "a"), (&bench.one, "b"), (&bench.other, "c"), (&bench.other, "d")] {
            scope.spawn(move || {
                for number in 0..20 {
                    let change = |members: &mut serde_json::Map<_, _>| {
                        members.insert(format!("{name}{number}"), json!(number));
                    };
                    store.update_manifest(&root(), &first(), change).unwrap();
                }
            });
        }
    });
    let (manifest, _) = bench.one.read_manifest(&root(), &first()).unwrap();
    assert_eq!(manifest.unprotected.len(), 4 * 20);
    check_whole(&bench.other, &root(), &first());
}

#[test]
fn a_group_that_moves_while_others_note_read_and_remove_loses_nothing_else() {
    let bench = Bench::new();
    let removed = snapshot(SNAPSHOTS[2]);
    let is_over = AtomicBool::new(false);
    let passes = |kind: ErrorKind| matches!(kind, ErrorKind::Busy | ErrorKind::NotFound);
    let both = || [root(), a()];
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let mut moves = 0;
            for number in 0..200 {
                let [from, to] = if number % 2 == 0 { [root(), a()] } else { [a(), root()] };
                match bench.one.move_group(&from, &to, &first().group, Merge::Allowed) {
                    Ok(_) => moves += 1,
                    // Of an interrupted move the newer ones are still behind.
                    Err(error) => assert!(passes(error.kind()) || error.kind() == ErrorKind::Conflict, "{error}"),
                }
            }
            is_over.store(true, Ordering::SeqCst);
            moves
        });
        scope.spawn(|| {
            for number in 0.. {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                for namespace in both() {
                    if let Err(error) = bench.other.set_snapshot_notes(&namespace, &first(), &format!("note {number}"))
                    {
                        assert!(passes(error.kind()), "{error}");
                    }
                }
            }
        });
        scope.spawn(|| {
            let second = snapshot(SNAPSHOTS[1]);
            while !is_over.load(Ordering::SeqCst) {
                for namespace in both() {
                    match bench.other.lock_snapshot_shared(&namespace, &second) {
                        Ok(_lock) => check_whole(&bench.other, &namespace, &second),
                        Err(error) => assert!(passes(error.kind()), "{error}"),
                    }
                }
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            let try_all = || both().iter().any(|namespace| bench.other.remove_snapshot(namespace, &removed).is_ok());
            while !try_all() {
                std::thread::yield_now();
            }
        });
        assert!(0 < mover.join().unwrap(), "nothing ever moved");
    });
    for text in SNAPSHOTS {
        let snapshot = snapshot(text);
        let places: Vec<Namespace> =
            both().into_iter().filter(|namespace| bench.one.snapshot_info(namespace, &snapshot).is_ok()).collect();
        assert_eq!(places.len(), usize::from(snapshot != removed), "{text} in {places:?}");
        for namespace in &places {
            check_whole(&bench.one, namespace, &snapshot);
            bench.one.owner(namespace, &snapshot.group).unwrap();
        }
    }
    let notes = both().map(|namespace| bench.one.snapshot_notes(&namespace, &first()).unwrap_or_default());
    assert!(notes.iter().any(|notes| notes.starts_with("note ")), "{notes:?}");
}
