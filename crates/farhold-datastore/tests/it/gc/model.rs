//! Random backups, removals, collections and crashes against a plain map of chunks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farhold_datastore::SharedProcessLock;
use farhold_storage::{Fault, FaultKind, FaultyStorage, Storage};
use proptest::prelude::*;

use super::{Bench, CUTOFF, START, chunk, open, path};
use crate::support::{root, snapshot};

#[derive(Debug, Clone)]
enum Action {
    /// A snapshot of these chunks, which are inserted.
    Backup {
        day: u8,
        chunks: Vec<u8>,
    },
    /// A snapshot of the chunks of another one, which are not touched.
    Reuse {
        day: u8,
        base: u8,
    },
    Remove {
        day: u8,
    },
    /// A chunk that nothing refers to.
    Orphan {
        chunk: u8,
    },
    /// A writer begins; the one before ends.
    Writer,
    NoWriter,
    Wait {
        minutes: i64,
    },
    Collect,
    /// A collection that dies at some point.
    Crash {
        after: usize,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let day = 1..6u8;
    let chunks = prop::collection::vec(0..12u8, 1..6);
    prop_oneof![
        4 => (day.clone(), chunks).prop_map(|(day, chunks)| Action::Backup { day, chunks }),
        3 => (day.clone(), day.clone()).prop_map(|(day, base)| Action::Reuse { day, base }),
        3 => day.prop_map(|day| Action::Remove { day }),
        2 => (0..12u8).prop_map(|chunk| Action::Orphan { chunk }),
        1 => Just(Action::Writer),
        1 => Just(Action::NoWriter),
        4 => (0..2000i64).prop_map(|minutes| Action::Wait { minutes }),
        3 => Just(Action::Collect),
        2 => (0..40usize).prop_map(|after| Action::Crash { after }),
    ]
}

fn name(day: u8) -> String {
    format!("vm/100/2026-01-0{day}T10:00:00Z")
}

/// What must be in the store.
#[derive(Default)]
struct Model {
    snapshots: BTreeMap<u8, BTreeSet<u8>>,
    /// Chunks that the store has, and when they were last accessed.
    accessed: BTreeMap<u8, i64>,
    now: i64,
    writer_since: Option<i64>,
}

impl Model {
    fn referenced(&self) -> BTreeSet<u8> {
        self.snapshots.values().flatten().copied().collect()
    }

    /// What a complete collection leaves, by the rules as they are written.
    fn collect(&mut self) {
        let oldest = self.writer_since.unwrap_or(self.now);
        let by_age = self.now - CUTOFF;
        let min_access = if oldest < by_age { oldest - 300 } else { by_age };
        for number in self.referenced() {
            self.accessed.insert(number, self.now);
        }
        self.accessed.retain(|_, accessed| min_access <= *accessed);
    }
}

/// The store's chunks by number.
fn stored(bench: &Bench) -> BTreeSet<u8> {
    (0..12).filter(|number| bench.has(*number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_reachable_chunk_is_removed_and_nothing_else_stays(actions in prop::collection::vec(action(), 0..40)) {
        let mut bench = Bench::new();
        let mut model = Model { now: START, ..Model::default() };
        let mut writer: Option<SharedProcessLock> = None;
        for action in actions {
            match action {
                Action::Backup { day, chunks } if !model.snapshots.contains_key(&day) => {
                    bench.backup(&name(day), &chunks);
                    for number in &chunks {
                        model.accessed.insert(*number, model.now);
                    }
                    model.snapshots.insert(day, chunks.into_iter().collect());
                }
                Action::Reuse { day, base } if !model.snapshots.contains_key(&day) => {
                    let Some(chunks) = model.snapshots.get(&base).cloned() else { continue };
                    bench.snapshot_of(&name(day), &chunks.iter().copied().collect::<Vec<_>>());
                    model.snapshots.insert(day, chunks);
                }
                Action::Backup { .. } | Action::Reuse { .. } => {}
                Action::Remove { day } => {
                    if model.snapshots.remove(&day).is_some() {
                        bench.remove(&name(day));
                    }
                }
                Action::Orphan { chunk } => {
                    bench.insert(chunk);
                    model.accessed.insert(chunk, model.now);
                }
                Action::Writer => {
                    writer = Some(bench.store.lock_process_shared().unwrap());
                    model.writer_since = Some(model.now);
                }
                Action::NoWriter => {
                    writer = None;
                    model.writer_since = None;
                }
                Action::Wait { minutes } => {
                    bench.advance(minutes * 60);
                    model.now += minutes * 60;
                }
                Action::Collect => {
                    let status = bench.collect();
                    let before: BTreeSet<u8> = model.accessed.keys().copied().collect();
                    model.collect();
                    prop_assert_eq!(status.removed_chunks, (before.len() - model.accessed.len()) as u64);
                    prop_assert_eq!(stored(&bench), model.accessed.keys().copied().collect());
                    prop_assert_eq!(status.index_file_count, model.snapshots.len() as u64);
                }
                Action::Crash { after } => {
                    // All locks of the process end.
                    writer = None;
                    model.writer_since = None;
                    let fault = Fault { operation: None, after, kind: FaultKind::Crash };
                    let storage = FaultyStorage::new(Arc::new(bench.memory.clone()), vec![fault]);
                    bench.store = open(Arc::new(storage), &bench.clock, &bench.locks);
                    let outcome = bench.collect_telling().0;
                    bench.reopen();
                    let found = stored(&bench);
                    let mut complete = Model { snapshots: model.snapshots.clone(), accessed: model.accessed.clone(), ..model };
                    complete.collect();
                    // It may have come to any point.
                    prop_assert!(found.is_superset(&complete.accessed.keys().copied().collect()));
                    prop_assert!(found.is_subset(&model.accessed.keys().copied().collect()));
                    if outcome.is_ok() {
                        prop_assert_eq!(&found, &complete.accessed.keys().copied().collect::<BTreeSet<_>>());
                    }
                    // What was touched is as the store has it now.
                    model.accessed = found.into_iter().map(|number| (number, accessed(&bench, number))).collect();
                }
            }
            prop_assert!(stored(&bench).is_superset(&model.referenced()), "a chunk in use is gone");
        }
        drop(writer);
        for day in model.snapshots.keys() {
            crate::support::check_whole(&bench.store, &root(), &snapshot(&name(*day)));
        }
        bench.advance(2 * CUTOFF);
        bench.collect();
        prop_assert_eq!(stored(&bench), model.referenced());
    }
}

fn accessed(bench: &Bench, number: u8) -> i64 {
    let name = chunk(number).0.to_string();
    bench.memory.stat(&path(&format!(".chunks/{}/{name}", &name[..4]))).expect("exists").accessed.seconds
}
