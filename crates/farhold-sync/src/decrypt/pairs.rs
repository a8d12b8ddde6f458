//! Which encrypted chunk has the content of which unencrypted one: what makes a decrypting pull incremental.
//!
//! A pair is a fact about one key and one content that this server found by decrypting; it stays true for ever. One
//! private file per job, group and key keeps the pairs of the newest decrypted snapshot, another one takes those of
//! unfinished snapshots as they come. So an interrupted pull goes on where it stopped, and the next snapshot transfers only
//! what changed. Pairing the older snapshot's index on the source with the local one by position would need that snapshot
//! to be there still and signed, one more session for each group, and could not resume; the files need nothing.
//!
//! A pair saves a download only if the unencrypted chunk is in the group's newest good snapshot, or was read and gave
//! both digests again. As with plain pulls, a chunk that merely happens to be in the store is never enough: the pairs are
//! what this source delivered for this group to this job.
//!
//! The settled pairs lie in a [`pair_file`]. Notes are appended to, and cleared with the journals:
//!
//! | Offset | Length | Meaning |
//! |---|---|---|
//! | 0 | 8 | magic `FHPNOT01` |
//! | 8 | 32 | binding, as in the other file |
//! | 40 | 68 n | pairs |
//!
//! A pair leads from the encrypted to the unencrypted digest. A missing, foreign or damaged file costs downloads,
//! nothing else.
//!
//! Source: `docs/spec/sync.md` C.2 W1, W3 and W46.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_types::{Digest, Epoch};

use crate::notes::pair_file::{self, FilePair, MAX_PAIRS, MadeFrom, PAIR_BYTES, create_folder_of, read_pairs};

const SETTLED_MAGIC: &[u8; 8] = b"FHPAIR01";
const NOTES_MAGIC: &[u8; 8] = b"FHPNOT01";
const NOTES_HEADER_BYTES: usize = 40;

/// Where the pairs of a group are kept.
#[derive(Debug, Clone)]
pub(crate) struct PairPlace {
    /// File of the settled pairs.
    pub(crate) settled: PathBuf,
    /// File of the notes.
    pub(crate) notes: PathBuf,
    /// Job, owner, peer, namespace, group and key.
    pub(crate) binding: Digest,
}

/// How far a pair can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It was noted, and the unencrypted chunk may not have survived since.
    Noted,
    /// It belongs to the newest decrypted snapshot, which was finished.
    Settled,
    /// The unencrypted chunk was stored, or found in the store, by this run.
    Present,
}

/// The unencrypted chunk that belongs to an encrypted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) plain: Digest,
    /// Content length in bytes, at least 1.
    pub(crate) length: u32,
    pub(crate) trust: Trust,
    /// The snapshot that used it last in this run.
    used_by: Option<Epoch>,
}

/// The pairs of one group and key, by encrypted digest.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    place: Option<PairPlace>,
    pairs: HashMap<Digest, Pair>,
    made_from: Option<MadeFrom>,
    /// Length of the usable part of the notes; none if they must be begun anew.
    notes_bytes: Option<u64>,
    notes: Option<Arc<PairNotes>>,
}

impl Pairs {
    /// Reads the pairs. Blocks. Without a place they last as long as the value.
    pub(crate) fn load(place: Option<PairPlace>) -> Self {
        let mut pairs = Self { place: place.clone(), ..Self::default() };
        let Some(place) = place else { return pairs };
        for result in [pairs.read_settled(&place), pairs.read_notes(&place)] {
            if let Err(error) = result
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "cannot read notes on decrypted chunks");
            }
        }
        pairs
    }

    fn read_settled(&mut self, place: &PairPlace) -> io::Result<()> {
        let read =
            pair_file::read(&place.settled, SETTLED_MAGIC, &place.binding, |pair| self.add(pair, Trust::Settled));
        self.made_from = read?;
        if self.made_from.is_none() {
            self.pairs.clear();
        }
        Ok(())
    }

    fn read_notes(&mut self, place: &PairPlace) -> io::Result<()> {
        let mut file = BufReader::new(File::open(&place.notes)?);
        let mut header = [0; NOTES_HEADER_BYTES];
        if file.read_exact(&mut header).is_ok() && header == notes_header(place) {
            let count = read_pairs(file, |_| {}, |pair| self.add(pair, Trust::Noted));
            self.notes_bytes = Some((NOTES_HEADER_BYTES + count * PAIR_BYTES) as u64);
        }
        Ok(())
    }

    fn add(&mut self, FilePair { source, target, length }: FilePair, trust: Trust) {
        if self.pairs.len() < MAX_PAIRS {
            self.pairs.entry(source).or_insert(Pair { plain: target, length, trust, used_by: None });
        }
    }

    /// Returns the pair of an encrypted chunk.
    pub(crate) fn get(&self, encrypted: &Digest) -> Option<&Pair> {
        self.pairs.get(encrypted)
    }

    /// Returns from which content the local snapshot of `time` was made, if it is the newest decrypted one.
    pub(crate) fn made_from(&self, time: Epoch) -> Option<Digest> {
        self.made_from.filter(|made| made.time == time).map(|made| made.content)
    }

    /// Says that the unencrypted chunk is in the store.
    pub(crate) fn set_present(&mut self, encrypted: Digest, plain: Digest, length: u32) {
        let used_by = self.pairs.get(&encrypted).and_then(|pair| pair.used_by);
        self.pairs.insert(encrypted, Pair { plain, length, trust: Trust::Present, used_by });
    }

    /// Returns the unencrypted digest for an index of the snapshot of `time`; only that of a chunk in the store.
    pub(crate) fn use_for(&mut self, time: Epoch, encrypted: &Digest) -> Option<Digest> {
        let pair = self.pairs.get_mut(encrypted).filter(|pair| pair.trust == Trust::Present)?;
        pair.used_by = Some(time);
        Some(pair.plain)
    }

    /// Opens the notes for pairs of an unfinished snapshot. Blocks. None if there is no place for them.
    pub(crate) fn notes(&mut self) -> io::Result<Option<Arc<PairNotes>>> {
        let Some(place) = self.place.as_ref().filter(|_| self.notes.is_none() && self.pairs.len() < MAX_PAIRS) else {
            return Ok(self.notes.clone());
        };
        create_folder_of(&place.notes)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&place.notes)?;
        match self.notes_bytes {
            // What follows is a torn pair; whole pairs behind it would be read shifted.
            Some(usable) => file.set_len(usable)?,
            None => {
                file.set_len(0)?;
                file.write_all(&notes_header(place))?;
            }
        }
        self.notes = Some(Arc::new(PairNotes(Mutex::new(file))));
        Ok(self.notes.clone())
    }

    /// Replaces the settled pairs by those that the now finished snapshot uses. Blocks.
    ///
    /// An older snapshot, filled in later, leaves those of the newest one.
    pub(crate) fn settle(&mut self, made: MadeFrom) -> io::Result<()> {
        if self.made_from.is_some_and(|known| made.time < known.time) {
            return Ok(());
        }
        self.made_from = Some(made);
        let Some(place) = &self.place else { return Ok(()) };
        let used = self.pairs.iter().filter(|(_, pair)| pair.used_by == Some(made.time));
        let used =
            used.map(|(encrypted, pair)| FilePair { source: *encrypted, target: pair.plain, length: pair.length });
        pair_file::write(&place.settled, SETTLED_MAGIC, &place.binding, made, used.collect())
    }
}

/// Takes pairs of an unfinished snapshot.
#[derive(Debug)]
pub(crate) struct PairNotes(Mutex<File>);

impl PairNotes {
    /// Notes a pair whose unencrypted chunk was checked and stored. Blocks.
    pub(crate) fn add(&self, encrypted: &Digest, plain: &Digest, length: u32) -> io::Result<()> {
        let pair = FilePair { source: *encrypted, target: *plain, length };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&pair.to_bytes())
    }
}

fn notes_header(place: &PairPlace) -> [u8; NOTES_HEADER_BYTES] {
    let mut header = [0; NOTES_HEADER_BYTES];
    header[..8].copy_from_slice(NOTES_MAGIC);
    header[8..].copy_from_slice(place.binding.as_bytes());
    header
}

#[cfg(test)]
mod tests;
