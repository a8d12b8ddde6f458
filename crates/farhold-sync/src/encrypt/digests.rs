//! Which encrypted chunk has the content of which plain one: what makes an encrypting push incremental.
//!
//! A pair is a fact about one key and one content that this server found by hashing, so it stays true for ever; whether the
//! target has the encrypted chunk is another question, which the session answers. A private file for each job, source
//! group and key keeps the pairs of the newest snapshot that was pushed. There are no notes on unfinished ones: their
//! chunks have to be sent again anyway, and so to be read.
//!
//! Source: `docs/spec/sync.md` C.2 W4. `docs/adr/0010-encrypting-pushes-remember-encrypted-chunks.md`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use farhold_format::index::Index;
use farhold_types::{Digest, Epoch};

use crate::notes::pair_file::{self, FilePair, MAX_PAIRS, MadeFrom};

const MAGIC: &[u8; 8] = b"FHSEAL01";

/// Where the pairs of a group are kept.
#[derive(Debug, Clone)]
pub(crate) struct KeyedPlace {
    pub(crate) path: PathBuf,
    /// Job, owner, peer, namespace, group and key.
    pub(crate) binding: Digest,
}

/// What is known about the digests on the target of the chunks of one group.
#[derive(Debug)]
pub(crate) enum PushDigests {
    /// Nothing is encrypted on the way: they are those of the source.
    Same,
    /// They cover the key.
    Keyed(KeyedDigests),
}

impl PushDigests {
    /// Returns the digest on the target of a chunk of the source, if it is known without reading the chunk.
    pub(crate) fn get(&self, source: &Digest) -> Option<Digest> {
        match self {
            Self::Same => Some(*source),
            Self::Keyed(keyed) => keyed.known.get(source).map(|known| known.target),
        }
    }

    /// Returns the digests on the target of all entries of an index, if all are known.
    pub(crate) fn renamed(&self, index: &Index) -> Option<Vec<Digest>> {
        index.digests().map(|digest| self.get(&digest)).collect()
    }

    /// Returns whether pairs of the snapshot of `previous` would help with an index: not if the notes are about it.
    pub(crate) fn needs_pairs_of(&self, previous: Epoch, index: &Index) -> bool {
        let Self::Keyed(keyed) = self else { return false };
        !keyed.covers(previous) && index.digests().any(|digest| self.get(&digest).is_none())
    }

    /// Adds pairs that are proven without reading. What hashing gave stands.
    pub(crate) fn learn(&mut self, proven: impl IntoIterator<Item = FilePair>) {
        if let Self::Keyed(keyed) = self {
            keyed.learn(proven);
        }
    }

    /// Keeps the pairs that the now finished snapshot uses, and forgets the others. Blocks.
    ///
    /// # Errors
    /// Those of the disk; what is in memory is good all the same.
    pub(crate) fn settle(&mut self, made: MadeFrom) -> io::Result<()> {
        match self {
            Self::Same => Ok(()),
            Self::Keyed(keyed) => keyed.settle(made),
        }
    }

    /// Says that the snapshot has this index, so that its pairs are kept.
    pub(crate) fn use_for(&mut self, time: Epoch, index: &Index) {
        if let Self::Keyed(keyed) = self {
            for digest in index.digests() {
                if let Some(known) = keyed.known.get_mut(&digest) {
                    known.used_by = Some(time);
                }
            }
        }
    }

    /// Notes what hashing a chunk gave.
    pub(crate) fn set(&mut self, source: Digest, target: Digest, length: u32) {
        if let Self::Keyed(keyed) = self {
            keyed.insert(FilePair { source, target, length });
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    target: Digest,
    length: u32,
    /// The snapshot that used it last in this run.
    used_by: Option<Epoch>,
}

/// The pairs of one group and key, by plain digest.
#[derive(Debug, Default)]
pub(crate) struct KeyedDigests {
    place: Option<KeyedPlace>,
    known: HashMap<Digest, Known>,
    made_from: Option<MadeFrom>,
}

impl KeyedDigests {
    /// Reads the pairs. Blocks. Without a place they last as long as the value.
    pub(crate) fn load(place: Option<KeyedPlace>) -> Self {
        let mut digests = Self { place: place.clone(), ..Self::default() };
        let Some(KeyedPlace { path, binding }) = place else { return digests };
        let read = pair_file::read(&path, MAGIC, &binding, |pair| digests.insert(pair));
        let made_from = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read notes on encrypted chunks");
            None
        });
        digests.made_from = made_from;
        if made_from.is_none() {
            digests.known.clear();
        }
        digests
    }

    /// Returns whether all chunks of the snapshot of that time are known, as far as pairs are kept.
    fn covers(&self, time: Epoch) -> bool {
        self.made_from.is_some_and(|made| made.time == time)
    }

    fn learn(&mut self, proven: impl IntoIterator<Item = FilePair>) {
        for pair in proven {
            if MAX_PAIRS <= self.known.len() {
                return;
            }
            if !self.known.contains_key(&pair.source) {
                self.insert(pair);
            }
        }
    }

    fn insert(&mut self, FilePair { source, target, length }: FilePair) {
        let used_by = self.known.get(&source).and_then(|known| known.used_by);
        self.known.insert(source, Known { target, length, used_by });
    }

    fn settle(&mut self, made: MadeFrom) -> io::Result<()> {
        self.made_from = Some(made);
        self.known.retain(|_, known| known.used_by == Some(made.time));
        let Some(KeyedPlace { path, binding }) = &self.place else { return Ok(()) };
        let pairs = self.known.iter();
        let pairs =
            pairs.map(|(source, known)| FilePair { source: *source, target: known.target, length: known.length });
        pair_file::write(path, MAGIC, binding, made, pairs.collect())
    }
}

#[cfg(test)]
mod tests;
