//! Chunks that the owner of the job has anyway: those of his other groups, and those that this run received for them.
//!
//! A clone of a machine, or a group that was created anew, consists of chunks that another group of the same owner has.
//! They need no download: whoever may read one group of an owner may read the chunks of the others, so a peer that names
//! a digest gains nothing by it. Groups of other owners are never looked at; for their chunks the rule of the reference
//! stays, that presence in the store proves nothing.
//!
//! Bounded: a set that is full takes nothing more, and what it does not know is fetched. Digests are cut to 16 bytes, so
//! many fit; to find another digest with the same beginning is out of reach.
//!
//! Source: `docs/spec/sync.md` C.2 W13 and W44.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use farhold_types::{Digest, Namespace};
use tokio::sync::OnceCell;

use crate::context::RunContext;
use crate::outcome::chain;
use crate::source::Source;
use crate::target::{KnownChunk, Target};

/// Chunks of other groups that are known at most: 4 TiB of disk images, in 20 MiB and three times as much while they are
/// read.
const MAX_LOADED: usize = 1 << 20;

/// Chunks received by the run that are known at most: 2 TiB, in some 20 MiB.
const MAX_RECEIVED: usize = 1 << 19;

/// Missing chunks from which on the indexes of other groups are read: below, fetching them is cheaper.
const LOAD_MIN_CHUNKS: usize = 8;

type Key = [u8; 16];

fn key(digest: &Digest) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&digest.as_bytes()[..16]);
    key
}

/// A digest and the length of the chunk's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: Key,
    length: u32,
}

/// What one run knows about the chunks of its owner.
#[derive(Default)]
pub(crate) struct SharedChunks {
    /// Namespaces of the target that the job covers, once they are known.
    namespaces: OnceLock<Vec<Namespace>>,
    /// Sorted, no digest twice.
    loaded: OnceCell<Vec<Entry>>,
    received: Mutex<BTreeMap<Key, u32>>,
}

impl SharedChunks {
    /// Names the namespaces of the target that the job covers; only their groups are looked at. The first call counts.
    pub(crate) fn set_namespaces(&self, namespaces: Vec<Namespace>) {
        let _ = self.namespaces.set(namespaces);
    }

    fn received(&self) -> MutexGuard<'_, BTreeMap<Key, u32>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a chunk that the source delivered and that was stored.
    pub(crate) fn add_received(&self, digest: &Digest, length: u32) {
        let mut received = self.received();
        if received.len() < MAX_RECEIVED {
            received.insert(key(digest), length);
        }
    }

    /// Reads the indexes of the owner's groups, once in a run, if so many missing chunks make it worth while. A failure
    /// costs downloads only.
    pub(crate) async fn prepare<S: Source, T: Target>(&self, run: &RunContext<S, T>, missing: usize) {
        if missing < LOAD_MIN_CHUNKS {
            return;
        }
        let namespaces = self.namespaces.get().map_or(&[][..], Vec::as_slice);
        let load = || async {
            match run.target.chunks_of_owner(namespaces, &run.options.owner, MAX_LOADED).await {
                Ok(chunks) => sorted(chunks),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot read the chunks of other groups for reuse");
                    Vec::new()
                }
            }
        };
        self.loaded.get_or_init(load).await;
    }

    /// Returns whether the owner has this chunk, with this length of content.
    pub(crate) fn contains(&self, digest: &Digest, length: u32) -> bool {
        let key = key(digest);
        let is_loaded = self.loaded.get().is_some_and(|entries| entries.binary_search(&Entry { key, length }).is_ok());
        is_loaded || self.received().get(&key) == Some(&length)
    }
}

/// A digest that indexes give several lengths is in doubt and left out.
fn sorted(chunks: Vec<KnownChunk>) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        chunks.into_iter().map(|chunk| Entry { key: key(&chunk.digest), length: chunk.length }).collect();
    entries.sort_unstable();
    entries.dedup();
    let mut certain: Vec<Entry> = Vec::with_capacity(entries.len());
    for same in entries.chunk_by(|a, b| a.key == b.key) {
        if let [entry] = same {
            certain.push(*entry);
        }
    }
    certain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(byte: u8, length: u32) -> KnownChunk {
        KnownChunk { digest: Digest([byte; 32]), length }
    }

    #[test]
    fn a_chunk_is_known_only_with_its_length_and_if_that_is_certain() {
        let shared = SharedChunks::default();
        let chunks = vec![chunk(3, 30), chunk(1, 10), chunk(1, 10), chunk(2, 20), chunk(2, 21)];
        shared.loaded.set(sorted(chunks)).unwrap_or_default();
        shared.add_received(&Digest([4; 32]), 40);
        let known = |byte, length| shared.contains(&Digest([byte; 32]), length);
        assert!(known(1, 10) && known(3, 30) && known(4, 40));
        assert!(!known(1, 11) && !known(2, 20) && !known(2, 21) && !known(4, 41) && !known(5, 10));
    }
}
