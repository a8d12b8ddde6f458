//! What really happened in a world, for the audits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_types::{Digest, Group, Namespace, Snapshot};

use crate::backup::Backup;
use crate::server::WorldClock;

/// A snapshot of a store with its namespace.
pub type Place = (Namespace, Snapshot);

/// What happened. Everything that a client, an administrator or a fault does is written here before it takes effect.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every backup that was ever made on the source.
    pub source: BTreeMap<Place, Backup>,
    /// Every backup that was ever made on the target itself.
    pub native: BTreeMap<Place, Backup>,
    /// What was removed from the source since the round began.
    pub left_source: BTreeSet<Place>,
    /// Namespaces that were on the source at any time.
    pub namespaces: BTreeSet<Namespace>,
    /// What was removed from the target by others than the run since the round began.
    pub left_target: BTreeSet<Place>,
    /// Groups of the target that others than the run changed since the round began.
    pub changed: BTreeSet<(Namespace, Group)>,
    /// Snapshots of the target that must not be removed by anybody.
    pub protected: BTreeSet<Place>,
    /// Chunks of the target that were damaged in place and not found by a verification yet.
    pub damaged: BTreeSet<Digest>,
    /// Chunks that were taken away, and the snapshots that referred to them then: those are known to be broken.
    pub taken_away: BTreeMap<Digest, BTreeSet<Place>>,
    /// Chunks that were taken away since the round began. A run that had stored one before cannot know it.
    pub taken_now: BTreeSet<Digest>,
    /// Every chunk of the target that went bad or vanished through a fault, in order.
    pub damage_log: Vec<Digest>,
    /// Whether the target's clock was set since the round began.
    pub was_clock_set: bool,
    /// Whether the target's clock was ever set.
    pub had_clock_set: bool,
    /// How often the target's disk went away.
    pub absences: u64,
    /// What was seen to be wrong while it happened, for the next audit.
    pub wrong: Vec<String>,
    /// What was done so far.
    pub done: Done,
    /// Original bytes of damaged files of the source.
    pub source_damage: BTreeMap<String, Bytes>,
    /// Whether the target's disk ever lost power.
    pub had_power_failure: bool,
    /// Whether a process of the target ever died.
    pub had_death: bool,
}

/// Counts of what upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Garbage collections that were completed.
    pub collections: u64,
    /// Chunks that they removed.
    pub collected_chunks: u64,
    /// Snapshots that were verified.
    pub verified: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Snapshots that were pruned by rules.
    pub pruned: u64,
    /// Moves of groups that began.
    pub moves: u64,
    /// Times at which the target was unmounted in good order.
    pub unmounts: u64,
    /// Runs of the job because its target was mounted.
    pub runs_on_mount: u64,
    /// Runs that pushed.
    pub pushes: u64,
}

impl Done {
    /// Adds those of another world.
    pub const fn add(&mut self, other: &Self) {
        self.collections += other.collections;
        self.collected_chunks += other.collected_chunks;
        self.verified += other.verified;
        self.failed += other.failed;
        self.pruned += other.pruned;
        self.moves += other.moves;
        self.unmounts += other.unmounts;
        self.runs_on_mount += other.runs_on_mount;
        self.pushes += other.pushes;
    }
}

/// A ledger that everybody in a world shares, with a trace for people.
#[derive(Clone)]
pub struct Book {
    ledger: Arc<Mutex<Ledger>>,
    trace: Arc<Mutex<Option<String>>>,
    clock: WorldClock,
}

impl Book {
    /// Returns an empty book; `traces`: whether a trace is kept.
    pub fn new(clock: WorldClock, traces: bool) -> Self {
        let trace = Arc::new(Mutex::new(traces.then(String::new)));
        Self { ledger: Arc::default(), trace, clock }
    }

    /// Returns the ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut *self.trace.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(trace, "{:10.3} {}", self.clock.elapsed().as_secs_f64(), line());
        }
    }

    /// Takes the trace.
    pub fn take_trace(&self) -> String {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}
