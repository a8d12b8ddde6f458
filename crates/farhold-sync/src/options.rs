//! What a run is asked to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold_crypto::CryptConfig;
use farhold_rules::sync_plan::SelectionOptions;
use farhold_types::{Authid, GroupFilter, KeyId, Namespace, Randomness};

use crate::event::KeyName;

use crate::blocking::Blocking;
use crate::budget::ChunkRoom;
use crate::retry::DEFAULT_PATIENCE;

/// Bytes of chunks in flight at once in a whole job: what bounds the memory of a run. 80 MiB are 20 chunks of 4 MiB that
/// cannot be compressed, as many as the reference has in flight, and up to 60 that can; with decoder buffers and indexes
/// the process stays below 200 MiB.
pub const DEFAULT_BUDGET_BYTES: u32 = 80 << 20;

/// Reader sessions that may be open for the chunks of one archive. Twelve connections with a window of 1 MiB over 80 ms
/// carry 150 MiB/s, which two cores can check; measured in `docs/benchmarks.md` (`docs/spec/sync.md` C.2 W11).
pub const DEFAULT_SESSIONS_PER_ARCHIVE: usize = 12;

/// A key with which a pull decrypts snapshots or a push encrypts them. `Debug` shows only its fingerprint.
#[derive(Debug, Clone)]
pub struct SyncKey {
    /// Id of the key in the configuration; the log names it.
    pub id: KeyId,
    /// The key, ready for use.
    pub config: Arc<CryptConfig>,
}

impl SyncKey {
    /// Returns the key as events name it.
    pub fn name(&self) -> KeyName {
        KeyName { id: self.id.clone(), fingerprint: self.config.fingerprint() }
    }
}

/// With what a push encrypts. `Debug` shows only the key's fingerprint.
#[derive(Clone)]
pub struct Encryption {
    /// The active key.
    pub key: SyncKey,
    /// Where the initialisation vectors come from; must not repeat itself.
    pub randomness: Arc<dyn Randomness>,
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Options of a run.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Names the job; private notes of one job are never used by another.
    pub job: String,
    /// Owner of the groups on the target.
    pub owner: Authid,
    /// Anchor on the source.
    pub source_anchor: Namespace,
    /// Anchor on the target.
    pub target_anchor: Namespace,
    /// Levels below the anchor; none means all.
    pub max_depth: Option<u8>,
    /// Which groups are in scope.
    pub group_filter: Vec<GroupFilter>,
    /// Which snapshots are in scope.
    pub selection: SelectionOptions,
    /// Remove what vanished from the source.
    pub remove_vanished: bool,
    /// Groups handled at once, at least 1.
    pub worker_threads: usize,
    /// See [`DEFAULT_BUDGET_BYTES`]; at least the largest chunk, 16 MiB.
    pub budget_bytes: u32,
    /// Room for chunks in flight that the run shares with others; none means that it has its budget for itself.
    pub room: Option<ChunkRoom>,
    /// See [`DEFAULT_SESSIONS_PER_ARCHIVE`]; at least 1.
    pub sessions_per_archive: usize,
    /// Private folder for notes on unfinished snapshots; none means that an interrupted archive starts over.
    pub state_dir: Option<PathBuf>,
    /// How long the run goes on without any answer of the source; see [`DEFAULT_PATIENCE`].
    pub patience: Duration,
    /// Makes the pauses before another attempt differ between runs.
    pub pause_seed: u64,
    /// Keys whose fully encrypted snapshots are decrypted. The first one with the fingerprint of a snapshot is used.
    pub decryption_keys: Vec<SyncKey>,
    /// With what a push encrypts snapshots that are not encrypted yet. A pull does not look at it.
    pub encryption: Option<Encryption>,
    /// Where hashing and decoding run; sources and targets have their own.
    pub blocking: Blocking,
}

impl SyncOptions {
    /// Returns the options of a job that syncs everything from root to root with one worker.
    pub fn new(job: impl Into<String>, owner: Authid) -> Self {
        Self {
            job: job.into(),
            owner,
            source_anchor: Namespace::root(),
            target_anchor: Namespace::root(),
            max_depth: None,
            group_filter: Vec::new(),
            selection: SelectionOptions::default(),
            remove_vanished: false,
            worker_threads: 1,
            budget_bytes: DEFAULT_BUDGET_BYTES,
            room: None,
            sessions_per_archive: DEFAULT_SESSIONS_PER_ARCHIVE,
            state_dir: None,
            patience: DEFAULT_PATIENCE,
            pause_seed: 0,
            decryption_keys: Vec::new(),
            encryption: None,
            blocking: Blocking::Threads,
        }
    }
}
