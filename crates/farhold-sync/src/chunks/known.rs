//! Which chunks this source is known to have.
//!
//! A chunk that happens to be in the store proves nothing about the peer: skipping its download would let somebody who
//! knows only a digest obtain another tenant's data. So a download is skipped only for chunks of the group's newest good
//! snapshot, chunks that this source delivered for this group before, chunks of other groups of the same owner (see
//! [`crate::chunks::shared`]), and nothing else.
//!
//! Source: `docs/spec/sync.md` 7.3 and C.2 W13; `docs/spec/datastore-format.md` 13 last paragraph.

use std::collections::HashMap;

use farhold_types::Digest;

use crate::target::KnownChunk;

/// What is known of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// In the group's newest good snapshot; it may have been lost since.
    Reusable,
    /// Seen in the store by this run.
    Present,
    /// Stored by this run, or read by it and found good.
    Sound,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) knowledge: Knowledge,
    /// Content length in bytes.
    pub(crate) length: u32,
}

/// Known chunks of one group in one run. Plain mode only: rewriting modes must keep their own.
#[derive(Debug, Default)]
pub(crate) struct KnownChunks {
    chunks: HashMap<Digest, Known>,
}

impl KnownChunks {
    pub(crate) fn get(&self, digest: &Digest) -> Option<Known> {
        self.chunks.get(digest).copied()
    }

    /// Adds the chunks of the newest good snapshot.
    pub(crate) fn add_reusable(&mut self, chunks: Vec<KnownChunk>) {
        for KnownChunk { digest, length } in chunks {
            self.chunks.entry(digest).or_insert(Known { knowledge: Knowledge::Reusable, length });
        }
    }

    pub(crate) fn set_present(&mut self, digest: Digest, length: u32) {
        self.chunks.insert(digest, Known { knowledge: Knowledge::Present, length });
    }
    pub(crate) fn set_sound(&mut self, digest: Digest, length: u32) {
        self.chunks.insert(digest, Known { knowledge: Knowledge::Sound, length });
    }
}
