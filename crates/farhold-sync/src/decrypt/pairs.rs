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
//! | Offset | Length | Settled pairs, replaced as a whole |
//! |---|---|---|
//! | 0 | 8 | magic `FHPAIR01` |
//! | 8 | 32 | SHA-256 of job, owner, peer, namespace, group and key fingerprint |
//! | 40 | 8 | time of the newest decrypted snapshot, little-endian |
//! | 48 | 32 | SHA-256 of the signed content of its source manifest |
//! | 80 | 32 | SHA-256 of the pairs |
//! | 112 | 68 n | pairs |
//!
//! | Offset | Length | Notes, appended to, cleared with the journals |
//! |---|---|---|
//! | 0 | 8 | magic `FHPNOT01` |
//! | 8 | 32 | as above |
//! | 40 | 68 n | pairs |
//!
//! A pair: encrypted digest (32), unencrypted digest (32), content length (4, little-endian). A missing, foreign or
//! damaged file costs downloads, nothing else.
//!
//! Source: `docs/spec/sync.md` C.2 W1, W3 and W46.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use farhold_crypto::Sha256;
use farhold_types::{Digest, Epoch};

const SETTLED_MAGIC: &[u8; 8] = b"FHPAIR01";
const SETTLED_HEADER_BYTES: usize = 112;
const NOTES_MAGIC: &[u8; 8] = b"FHPNOT01";
const NOTES_HEADER_BYTES: usize = 40;
const PAIR_BYTES: usize = 68;

/// Pairs that are kept: what an archive of 4 TiB needs, in some 100 MiB of memory. The rest is fetched again.
const MAX_PAIRS: usize = 1 << 20;

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

/// From which content of the source the newest decrypted snapshot was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MadeFrom {
    pub(crate) time: Epoch,
    /// Hash of what the signature of the source manifest covers.
    pub(crate) content: Digest,
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
        let mut file = BufReader::new(File::open(&place.settled)?);
        let mut header = [0; SETTLED_HEADER_BYTES];
        if file.read_exact(&mut header).is_err() || header[..8] != *SETTLED_MAGIC || header[8..40] != place.binding.0 {
            return Ok(());
        }
        let mut hasher = Sha256::new();
        self.read_pairs(file, Trust::Settled, |pair| hasher.update(pair));
        if hasher.finish().0 == header[80..] {
            let (time, content) = (Epoch(i64::from_le_bytes(array(&header, 40))), Digest(array(&header, 48)));
            self.made_from = Some(MadeFrom { time, content });
        } else {
            self.pairs.clear();
        }
        Ok(())
    }

    fn read_notes(&mut self, place: &PairPlace) -> io::Result<()> {
        let mut file = BufReader::new(File::open(&place.notes)?);
        let mut header = [0; NOTES_HEADER_BYTES];
        if file.read_exact(&mut header).is_ok() && header == notes_header(place) {
            let count = self.read_pairs(file, Trust::Noted, |_| {});
            self.notes_bytes = Some((NOTES_HEADER_BYTES + count * PAIR_BYTES) as u64);
        }
        Ok(())
    }

    /// Adds the pairs of a file; returns how many whole ones it has, as far as it was read.
    fn read_pairs(&mut self, mut file: impl Read, trust: Trust, mut each: impl FnMut(&[u8])) -> usize {
        let (mut pair, mut count) = ([0; PAIR_BYTES], 0);
        while count < MAX_PAIRS && file.read_exact(&mut pair).is_ok() {
            count += 1;
            each(&pair);
            let (encrypted, plain) = (Digest(array(&pair, 0)), Digest(array(&pair, 32)));
            let length = u32::from_le_bytes(array(&pair, 64));
            if length != 0 && self.pairs.len() < MAX_PAIRS {
                self.pairs.entry(encrypted).or_insert(Pair { plain, length, trust, used_by: None });
            }
        }
        count
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
        create_folder_of(&place.settled)?;
        let used = self.pairs.iter().filter(|(_, pair)| pair.used_by == Some(made.time));
        let mut settled: Vec<[u8; PAIR_BYTES]> =
            used.take(MAX_PAIRS).map(|(encrypted, pair)| to_bytes(encrypted, &pair.plain, pair.length)).collect();
        // The same state gives the same file, whatever the order in memory.
        settled.sort_unstable();
        let mut hasher = Sha256::new();
        settled.iter().for_each(|pair| hasher.update(pair));
        let mut header = [0; SETTLED_HEADER_BYTES];
        header[..8].copy_from_slice(SETTLED_MAGIC);
        header[8..40].copy_from_slice(place.binding.as_bytes());
        header[40..48].copy_from_slice(&made.time.0.to_le_bytes());
        header[48..80].copy_from_slice(made.content.as_bytes());
        header[80..].copy_from_slice(hasher.finish().as_bytes());
        let temporary = place.settled.with_extension("tmp");
        let mut file = BufWriter::new(File::create(&temporary)?);
        file.write_all(&header)?;
        settled.iter().try_for_each(|pair| file.write_all(pair))?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        std::fs::rename(&temporary, &place.settled)
    }
}

/// Takes pairs of an unfinished snapshot.
#[derive(Debug)]
pub(crate) struct PairNotes(Mutex<File>);

impl PairNotes {
    /// Notes a pair whose unencrypted chunk was checked and stored. Blocks.
    pub(crate) fn add(&self, encrypted: &Digest, plain: &Digest, length: u32) -> io::Result<()> {
        let pair = to_bytes(encrypted, plain, length);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&pair)
    }
}

fn to_bytes(encrypted: &Digest, plain: &Digest, length: u32) -> [u8; PAIR_BYTES] {
    let mut pair = [0; PAIR_BYTES];
    pair[..32].copy_from_slice(encrypted.as_bytes());
    pair[32..64].copy_from_slice(plain.as_bytes());
    pair[64..].copy_from_slice(&length.to_le_bytes());
    pair
}

fn notes_header(place: &PairPlace) -> [u8; NOTES_HEADER_BYTES] {
    let mut header = [0; NOTES_HEADER_BYTES];
    header[..8].copy_from_slice(NOTES_MAGIC);
    header[8..].copy_from_slice(place.binding.as_bytes());
    header
}

fn create_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Returns the `N` bytes at `offset`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[offset + i])
}

#[cfg(test)]
mod tests;
