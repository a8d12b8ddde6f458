//! Whether indexes are as they were written: each is compared with the checksum in its own header, by whoever has time.
//!
//! An index that changed since names other chunks than it did, and the true ones would be removed. The checksum of one with
//! the same entries as another is not made again. Who is suspected is looked at once more in the end, by [`super::mark`].
//!
//! Source: `docs/spec/datastore-format.md` 7 and 8.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use farhold_format::index::Index;
use farhold_storage::StorePath;

/// Most bytes of indexes that wait for their checksum; a longer one is looked at by whoever read it. Indexes of eight disks of
/// a terabyte each.
const WAITING_BYTES: usize = 64 << 20;

/// Returns whether the entries of an index are those that its header was made for.
pub(super) fn is_sound(index: &Index) -> bool {
    index.checksum() == index.stored_checksum()
}

/// What is known about the entries of an index, for others that have the same.
#[derive(Debug, Default)]
pub(super) struct Verdict(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Nobody looked yet; these have the same entries.
    Open(Vec<StorePath>),
    Sound,
    Suspect,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

/// One index to be looked at.
pub(super) struct Check {
    path: StorePath,
    index: Index,
    verdict: Arc<Verdict>,
    suspects: Sender<StorePath>,
    _waiting: Waiting,
}

impl Check {
    /// Compares the checksums, and names the index if they differ.
    pub(super) fn run(&self) {
        let state = if is_sound(&self.index) { State::Sound } else { State::Suspect };
        let is_suspect = matches!(state, State::Suspect);
        let before = std::mem::replace(&mut *self.verdict.lock(), state);
        if is_suspect && let State::Open(others) = before {
            for path in others.into_iter().chain([self.path.clone()]) {
                // Fails only if nobody wants to know any more.
                let _ = self.suspects.send(path);
            }
        }
    }
}

impl Verdict {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that wait, given back in the end.
struct Waiting(Arc<AtomicUsize>, usize);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// Indexes that are looked at, and those of them that are suspected.
pub(super) struct Checks {
    sender: Sender<StorePath>,
    suspects: Receiver<StorePath>,
    waiting: Arc<AtomicUsize>,
}

impl Checks {
    pub(super) fn new() -> Self {
        let (sender, suspects) = channel();
        Self { sender, suspects, waiting: Arc::default() }
    }

    /// Suspects an index that cannot be read, or is none.
    pub(super) fn suspect(&self, path: &StorePath) {
        // The other end is this one's.
        let _ = self.sender.send(path.clone());
    }

    /// Takes an index whose entries are those of another one.
    pub(super) fn add_alike(&self, path: &StorePath, verdict: &Verdict) {
        match &mut *verdict.lock() {
            State::Open(others) => others.push(path.clone()),
            State::Sound => {}
            State::Suspect => self.suspect(path),
        }
    }

    /// Takes an index. Returns what is to be done for it elsewhere; nothing if that has happened.
    pub(super) fn add(&self, path: &StorePath, index: &Index, verdict: &Arc<Verdict>) -> Option<Check> {
        let bytes = index.as_bytes().len();
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let check = Check {
            path: path.clone(),
            index: index.clone(),
            verdict: Arc::clone(verdict),
            suspects: self.sender.clone(),
            _waiting: Waiting(Arc::clone(&self.waiting), bytes),
        };
        if waiting.saturating_add(bytes) <= WAITING_BYTES {
            return Some(check);
        }
        check.run();
        None
    }

    /// Returns who is suspected, when all that were taken have been looked at.
    pub(super) fn wait(&mut self) -> Vec<StorePath> {
        let (sender, suspects) = channel();
        // Ends when the last check is gone, done or not.
        drop(std::mem::replace(&mut self.sender, sender));
        let mut found: Vec<StorePath> = std::mem::replace(&mut self.suspects, suspects).into_iter().collect();
        found.sort();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farhold_format::index::{FixedIndexBuilder, HEADER_BYTES};
    use farhold_types::{ArchiveKind, Digest, Epoch};

    fn index(is_damaged: bool) -> Index {
        let mut builder = FixedIndexBuilder::new([1; 16], Epoch(1), 4096, 4096).unwrap();
        builder.set(0, Digest([7; 32])).unwrap();
        let mut bytes = builder.finish().unwrap().as_bytes().to_vec();
        if is_damaged {
            bytes[HEADER_BYTES] ^= 1;
        }
        Index::parse(ArchiveKind::FixedIndex, bytes.into()).unwrap()
    }

    fn path(name: &str) -> StorePath {
        name.parse().unwrap()
    }

    #[test]
    fn a_suspect_is_named_with_all_that_have_its_entries() {
        for (is_damaged, expected) in [(false, vec!["d"]), (true, vec!["a", "b", "c", "d"])] {
            let mut checks = Checks::new();
            let verdict = Arc::new(Verdict::default());
            checks.suspect(&path("d"));
            let check = checks.add(&path("a"), &index(is_damaged), &verdict).unwrap();
            checks.add_alike(&path("b"), &verdict);
            std::thread::scope(|scope| {
                scope.spawn(move || check.run());
            });
            checks.add_alike(&path("c"), &verdict);
            let expected: Vec<StorePath> = expected.into_iter().map(path).collect();
            assert_eq!(checks.wait(), expected);
            assert!(checks.wait().is_empty());
        }
    }

    #[test]
    fn too_many_bytes_do_not_wait() {
        let mut checks = Checks::new();
        let verdict = Arc::default();
        checks.waiting.store(WAITING_BYTES, Ordering::Relaxed);
        assert!(checks.add(&path("a"), &index(true), &verdict).is_none());
        assert_eq!((checks.wait(), checks.waiting.load(Ordering::Relaxed)), (vec![path("a")], WAITING_BYTES));
        checks.waiting.store(0, Ordering::Relaxed);
        drop(checks.add(&path("a"), &index(true), &verdict).unwrap());
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 0);
    }
}
