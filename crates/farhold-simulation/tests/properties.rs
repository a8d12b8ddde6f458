//! Properties of planner and run on random trees on both sides.
//!
//! For each pair of trees and options: the run ends and reaches what the model of the rules says, byte by byte; one
//! more run changes nothing; nothing outside the scope is touched; nothing protected or filtered is removed; the dry run
//! before it changed nothing and named exactly what the run then did. Shrinking finds the smallest trees that break one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use farhold_rules::sync_plan::SelectionOptions;
use farhold_simulation::backup::Backup;
use farhold_simulation::ledger::Place;
use farhold_simulation::plant::Plant;
use farhold_simulation::rng::Rng;
use farhold_simulation::server::{BackupJob, Server};
use farhold_simulation::world::World;
use farhold_sync::SyncOptions;
use farhold_types::{Authid, Epoch, Group, Namespace, VerifyState};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const NAMESPACES: [&str; 6] = ["", "a", "b", "a/x", "a/x/y", "b/x"];
const GROUPS: [&str; 4] = ["vm/100", "vm/101", "ct/100", "host/a"];
const FILTERS: [&[&str]; 6] =
    [&[], &[], &["type:vm"], &["group:ct/100"], &["exclude:group:vm/100"], &["regex:^vm/", "exclude:regex:1$"]];
const FIRST_TIME: i64 = 1_767_000_000;

/// State of a snapshot on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Unfinished,
    Unreadable,
    Finished(Option<VerifyState>),
}

#[derive(Debug, Clone, Copy)]
struct Snapshot {
    time: i64,
    source: State,
    target: State,
    is_encrypted: bool,
    is_protected: bool,
}

#[derive(Debug, Clone)]
struct Tree {
    ns: &'static str,
    group: &'static str,
    has_other_owner: bool,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Clone)]
struct Job {
    anchors: (&'static str, &'static str),
    max_depth: Option<u8>,
    filter: usize,
    selection: SelectionOptions,
    remove_vanished: bool,
    workers: usize,
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Absent),
        1 => Just(State::Unfinished),
        1 => Just(State::Unreadable),
        3 => Just(State::Finished(None)),
        3 => Just(State::Finished(Some(VerifyState::Ok))),
        1 => Just(State::Finished(Some(VerifyState::Failed))),
    ]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (0..6i64, state(), state(), prop::bool::weighted(0.3), prop::bool::weighted(0.15)).prop_map(
        |(time, source, target, is_encrypted, is_protected)| Snapshot {
            time,
            source,
            target,
            is_encrypted,
            is_protected,
        },
    )
}

fn tree() -> impl Strategy<Value = Tree> {
    let snapshots = prop::collection::vec(snapshot(), 1..5);
    (0..NAMESPACES.len(), 0..GROUPS.len(), prop::bool::weighted(0.15), snapshots).prop_map(
        |(ns, group, has_other_owner, snapshots)| Tree {
            ns: NAMESPACES[ns],
            group: GROUPS[group],
            has_other_owner,
            snapshots,
        },
    )
}

fn job() -> impl Strategy<Value = Job> {
    let anchors = prop_oneof![3 => Just(("", "")), 1 => Just(("a", "")), 1 => Just(("", "t")), 1 => Just(("a", "t"))];
    let selection =
        (prop::option::weighted(0.3, 1..4u64), any::<u8>()).prop_map(|(transfer_last, bits)| SelectionOptions {
            transfer_last,
            verified_only: bits % 5 == 0,
            encrypted_only: bits % 7 == 0,
            resync_corrupt: bits % 2 == 0,
        });
    (anchors, prop::option::weighted(0.4, 0..3u8), 0..FILTERS.len(), selection, any::<bool>(), 1..5usize).prop_map(
        |(anchors, max_depth, filter, selection, remove_vanished, workers)| Job {
            anchors,
            max_depth,
            filter,
            selection,
            remove_vanished,
            workers,
        },
    )
}

impl Job {
    fn options(&self, folder: &std::path::Path) -> SyncOptions {
        SyncOptions {
            source_anchor: self.anchors.0.parse().unwrap(),
            target_anchor: self.anchors.1.parse().unwrap(),
            max_depth: self.max_depth,
            group_filter: FILTERS[self.filter].iter().map(|text| text.parse().unwrap()).collect(),
            selection: self.selection,
            remove_vanished: self.remove_vanished,
            worker_threads: self.workers,
            state_dir: Some(folder.join("state")),
            ..SyncOptions::new("properties", "sync@pbs".parse().unwrap())
        }
    }
}

fn make_namespace(server: &Server, ns: &Namespace) {
    if let Some(parent) = ns.parent() {
        make_namespace(server, &parent);
        server.store().create_namespace(ns).unwrap();
    }
}

/// Puts a snapshot on one side.
async fn put(server: &Server, place: &Place, backup: Backup, state: State, owner: &Authid) {
    make_namespace(server, &place.0);
    let is_finished = state != State::Unfinished;
    let job = BackupJob {
        ns: place.0.clone(),
        snapshot: place.1.clone(),
        owner: owner.clone(),
        backup,
        verified: if let State::Finished(verified) = state { verified } else { None },
        pause: Duration::ZERO,
        gives_up_after: (!is_finished).then_some(1),
    };
    assert_eq!(job.run(&server.store()).await.unwrap(), is_finished);
    if state == State::Unreadable {
        let above: String = place.0.components().iter().map(|component| format!("ns/{component}/")).collect();
        let path = format!("{above}{}/index.json.blob", place.1);
        server.disk().damage(&path, Some(Bytes::from_static(b"no manifest")));
    }
}

/// Content depends on what both sides know, so that a copy that is there already is one.
fn content(ns: &Namespace, group: &Group, snapshot: &Snapshot) -> Backup {
    let text = format!("{}{group}", ns.components().last().map_or("", String::as_str));
    let seed = text.bytes().fold(snapshot.time as u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut backup = Backup::random(&Rng::new(seed), None);
    backup.is_encrypted = snapshot.is_encrypted;
    backup
}

async fn grow(world: &World, job: &SyncOptions, trees: &[Tree]) {
    let (ours, other): (Authid, Authid) = ("sync@pbs".parse().unwrap(), "other@pbs".parse().unwrap());
    if job.source_anchor.is_root() || trees.iter().any(|tree| tree.ns.starts_with('a')) {
        make_namespace(&world.source, &job.source_anchor);
    }
    let mut seen = BTreeSet::new();
    for tree in trees {
        let ns: Namespace = tree.ns.parse().unwrap();
        let group: Group = tree.group.parse().unwrap();
        // What is not below the anchor has no twin; it stands for something else on the target.
        let twin = ns.remap(&job.source_anchor, &job.target_anchor).unwrap_or_else(|_| "elsewhere".parse().unwrap());
        if !seen.insert((ns.clone(), group.clone())) || !seen.insert((twin.child("twin").unwrap(), group.clone())) {
            continue;
        }
        let mut times = BTreeSet::new();
        for snapshot in tree.snapshots.iter().filter(|snapshot| times.insert(snapshot.time)) {
            let name = group.at(Epoch(FIRST_TIME + snapshot.time * 3600));
            if snapshot.source != State::Absent {
                let backup = content(&ns, &group, snapshot);
                world.book.ledger().source.insert((ns.clone(), name.clone()), backup.clone());
                put(&world.source, &(ns.clone(), name.clone()), backup, snapshot.source, &ours).await;
            }
            if snapshot.target != State::Absent {
                let place = (twin.clone(), name.clone());
                let is_native = snapshot.source == State::Absent || twin == "elsewhere".parse().unwrap();
                // A copy has the bytes of the source's.
                let as_source = if is_native { twin.clone() } else { ns.clone() };
                let backup = content(&as_source, &group, snapshot);
                if is_native {
                    world.book.ledger().native.insert(place.clone(), backup.clone());
                }
                let owner = if tree.has_other_owner { &other } else { &ours };
                put(&world.target, &place, backup, snapshot.target, owner).await;
                if snapshot.is_protected {
                    world.target.store().set_protected(&twin, &name, true).unwrap();
                    if matches!(snapshot.target, State::Finished(_)) {
                        world.book.ledger().protected.insert(place);
                    }
                }
            }
        }
    }
    // Unreadable manifests and unfinished directories are there from the beginning.
    let mut ledger = world.book.ledger();
    (ledger.had_death, ledger.had_power_failure) = (true, true);
}

fn check(job: &Job, trees: &[Tree], plant: Plant) -> Result<(), String> {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::still(folder.path(), job.options(folder.path())).unwrap();
        grow(&world, &job.options(folder.path()), trees).await;
        world.target.disk().plant(plant);
        world.network.plant(plant);
        world.judge().await.map(|_| ()).map_err(|error| format!("{error:#}\n{}", world.book.take_trace()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_do_what_the_rules_say_and_nothing_else(job in job(), trees in prop::collection::vec(tree(), 0..7)) {
        if let Err(text) = check(&job, &trees, Plant::Nothing) {
            return Err(TestCaseError::fail(text));
        }
    }
}

#[test]
fn planted_faults_break_a_property() {
    for plant in [Plant::ChunkLost, Plant::ChunkUnchecked, Plant::OwnerIgnored, Plant::ListingShortened] {
        let mut runner = TestRunner::deterministic();
        let cases = (job(), prop::collection::vec(tree(), 0..7));
        let is_broken = (0..300).any(|_| {
            let (job, trees) = cases.new_tree(&mut runner).unwrap().current();
            check(&job, &trees, plant).is_err()
        });
        assert!(is_broken, "{plant:?}");
    }
}
