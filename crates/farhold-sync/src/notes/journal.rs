//! Private notes on the chunks that a source delivered for an archive that is not complete yet.
//!
//! A file per archive: a header that binds it, then raw digests of 32 bytes, appended after each chunk was checked and
//! stored. It survives a killed process; after a power failure it may end in the middle of a digest or name chunks whose
//! data was lost, so the reader drops a torn tail and the engine checks each noted chunk before relying on it. A note only
//! says that this source delivered the chunk before: it is bound to job, owner, peer and index checksum.
//!
//! | Offset | Length | Meaning |
//! |---|---|---|
//! | 0 | 8 | magic `FHJRNL01` |
//! | 8 | 32 | SHA-256 of the binding |
//! | 40 | 32 n | digests |
//!
//! Source: `docs/spec/sync.md` C.2 W1.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use farhold_crypto::Sha256;
use farhold_types::{Authid, Digest, Fingerprint, Group, Namespace, Snapshot};

use crate::decrypt::pairs::PairPlace;
use crate::encrypt::digests::KeyedPlace;

const MAGIC: &[u8; 8] = b"FHJRNL01";
const HEADER_BYTES: usize = 40;

/// Digests that are read back at most: 64 MiB of notes, more than an archive of 8 TiB needs. The rest is fetched again.
const MAX_DIGESTS: u64 = 2 << 20;

/// What the notes of one job are bound to.
#[derive(Debug, Clone)]
pub(crate) struct JournalScope {
    /// Holds the notes.
    folder: PathBuf,
    /// Holds the records of groups, see [`crate::notes::record`].
    records: PathBuf,
    /// Holds the marks on snapshots that were begun, see [`crate::removal::leftovers`].
    marks: PathBuf,
    /// Holds the pairs of decrypted chunks, see [`crate::decrypt`].
    pairs: PathBuf,
    binding: Digest,
}

fn hash(parts: &[&str]) -> Sha256 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher
}

impl JournalScope {
    /// Returns the scope of one job, owner and peer below `state_dir`.
    pub(crate) fn new(state_dir: &Path, job: &str, owner: &Authid, peer: &str) -> Self {
        let binding = hash(&[job, &owner.to_string(), peer]).finish();
        let own = state_dir.join(&binding.to_string()[..32]);
        Self {
            folder: own.join("journals"),
            records: own.join("groups"),
            marks: own.join("begun"),
            pairs: own.join("pairs"),
            binding,
        }
    }

    /// Returns the path of the record on a group of the target.
    pub(crate) fn record_path(&self, ns: &Namespace, group: &Group) -> PathBuf {
        self.records.join(&hash(&[&ns.to_string(), &group.to_string()]).finish().to_string()[..32])
    }

    /// Returns the place of the pairs of a group of the target under one key.
    pub(crate) fn pair_place(&self, ns: &Namespace, group: &Group, key: &Fingerprint) -> PairPlace {
        let binding = self.binding(ns, group, &Digest(key.0));
        let name = binding.to_string();
        let notes = self.folder.join(format!("{name}.pairs"));
        PairPlace { settled: self.pairs.join(name), notes, binding }
    }

    /// Returns the place of the pairs of a group of the source that is pushed with one key.
    pub(crate) fn keyed_place(&self, ns: &Namespace, group: &Group, key: &Fingerprint) -> KeyedPlace {
        let binding = self.binding(ns, group, &Digest(key.0));
        KeyedPlace { path: self.pairs.join(format!("{binding}.push")), binding }
    }

    /// Returns the path of the mark on a snapshot of the target that was begun.
    pub(crate) fn mark_path(&self, ns: &Namespace, snapshot: &Snapshot) -> PathBuf {
        self.marks.join(&hash(&[&ns.to_string(), &snapshot.to_string()]).finish().to_string()[..32])
    }

    fn binding(&self, ns: &Namespace, group: &Group, of: &Digest) -> Digest {
        let mut hasher = hash(&[&ns.to_string(), &group.to_string()]);
        hasher.update(self.binding.as_bytes());
        hasher.update(of.as_bytes());
        hasher.finish()
    }

    /// Opens the notes on an archive of a group of the target and returns what they say. Blocks.
    pub(crate) fn open(
        &self,
        ns: &Namespace,
        group: &Group,
        index_checksum: &Digest,
    ) -> io::Result<(Journal, Vec<Digest>)> {
        std::fs::create_dir_all(&self.folder)?;
        let binding = self.binding(ns, group, index_checksum);
        let path = self.folder.join(binding.to_string());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(binding.as_bytes());
        let mut found = Vec::new();
        (&mut file).take(HEADER_BYTES as u64).read_to_end(&mut found)?;
        let mut digests = Vec::new();
        if found == header {
            let mut raw = Vec::new();
            (&mut file).take(MAX_DIGESTS * 32).read_to_end(&mut raw)?;
            let (whole, torn) = raw.as_chunks::<32>();
            digests.extend(whole.iter().map(|bytes| Digest(*bytes)));
            if !torn.is_empty() {
                file.set_len((HEADER_BYTES + whole.len() * 32) as u64)?;
            }
        } else {
            file.set_len(0)?;
            file.write_all(&header)?;
        }
        Ok((Journal { path, file: Mutex::new(file) }, digests))
    }

    /// Removes all notes of the job, but no record and no settled pair; called after a run in which nothing failed. Blocks.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Open notes on one archive.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Notes a chunk that was checked and stored. Blocks.
    pub(crate) fn add(&self, digest: &Digest) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(digest.as_bytes())
    }

    /// Removes the notes, once the archive is in place. Blocks.
    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(dir: &Path, job: &str) -> JournalScope {
        JournalScope::new(dir, job, &Authid::root(), "peer")
    }

    fn open(scope: &JournalScope, checksum: u8) -> (Journal, Vec<Digest>) {
        scope.open(&Namespace::root(), &"vm/1".parse().unwrap(), &Digest([checksum; 32])).unwrap()
    }

    #[test]
    fn notes_are_read_back_only_by_the_same_job_for_the_same_index() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, found) = open(&scope(dir.path(), "a"), 1);
        assert!(found.is_empty());
        journal.add(&Digest([7; 32])).unwrap();
        journal.add(&Digest([8; 32])).unwrap();
        assert_eq!(open(&scope(dir.path(), "a"), 1).1, [Digest([7; 32]), Digest([8; 32])]);
        assert!(open(&scope(dir.path(), "a"), 2).1.is_empty());
        assert!(open(&scope(dir.path(), "b"), 1).1.is_empty());
    }

    #[test]
    fn a_torn_tail_is_dropped_and_writing_goes_on_behind_the_whole_part() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(&scope(dir.path(), "a"), 1);
        journal.add(&Digest([7; 32])).unwrap();
        journal.file.lock().unwrap().write_all(&[9; 13]).unwrap();
        let (journal, found) = open(&scope(dir.path(), "a"), 1);
        assert_eq!(found, [Digest([7; 32])]);
        journal.add(&Digest([8; 32])).unwrap();
        assert_eq!(open(&scope(dir.path(), "a"), 1).1, [Digest([7; 32]), Digest([8; 32])]);
    }

    #[test]
    fn a_file_with_another_header_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(&scope(dir.path(), "a"), 1);
        for garbage in [&b""[..], b"short", &[1; 100]] {
            std::fs::write(&journal.path, garbage).unwrap();
            let (journal, found) = open(&scope(dir.path(), "a"), 1);
            assert!(found.is_empty());
            journal.add(&Digest([3; 32])).unwrap();
            assert_eq!(open(&scope(dir.path(), "a"), 1).1, [Digest([3; 32])]);
        }
        scope(dir.path(), "a").clear().unwrap();
        assert!(open(&scope(dir.path(), "a"), 1).1.is_empty());
    }
}
