//! Marking: every chunk that an index file names gets the present as its access time.
//!
//! First the whole tree is searched for index files. Then namespaces, groups and snapshots are gone through in the regular
//! way, newest snapshots first. What the search found and the regular way did not is marked as well.
//!
//! Why nothing is missed while backups run and snapshots are removed: a new index names only chunks that its writer
//! inserted or touched (which the cut-off spares), and chunks of the snapshot that it is based on, which cannot be removed
//! before the new one is finished. So an index can be missed only if the snapshot that it is based on, however far back,
//! vanished before it was marked; and whenever anything of a group vanishes, the group is gone through again: at once if
//! that is noticed there, and at the end for what the search or the journal of moves named and nobody found.
//!
//! An index that is damaged may have named any chunk. Marking goes on, so that all of them become known, and fails in the
//! end.
//!
//! Source: `docs/spec/datastore-format.md` 17, phase 1. The reference goes through a group again only if its newest
//! snapshot vanished.

mod suspects;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::num::NonZero;
use std::sync::Arc;

use farhold_format::index::Index;
use farhold_storage::StorePath;
use farhold_types::{ArchiveKind, Digest, Epoch, Group, MAX_NAMESPACE_DEPTH, Namespace};

use suspects::read_index;

use super::cache::DigestCache;
use super::damaged::DamagedIndexes;
use super::error::MarkError;
use super::event::{GcEvent, GcWatch};
use super::search::search;
use super::soundness::{Checks, Verdict};
use super::touch::{BLOCK, Touchers, Work, touching};
use super::{Chunks, GcOptions};
use crate::error::DatastoreError;
use crate::gc_status::CacheStats;
use crate::layout::{self, NAMESPACES};
use crate::process_lock::SET_BACK_SECONDS;
use crate::store::Datastore;

/// How often a group is gone through again before it is locked, so that nothing of it is removed meanwhile. Source: as
/// above.
const UNLOCKED_ROUNDS: u32 = 10;
/// How often at most, if somebody else has it locked: each time something vanished, which cannot go on for long.
const MAX_ROUNDS: u32 = 1000;
/// Indexes that are kept to be compared with the next of their name, and their bytes together: those of a virtual machine
/// with many disks of some terabytes.
const RECENT_INDEXES: usize = 16;
const RECENT_BYTES: usize = 64 << 20;

/// What marking found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marked {
    pub(super) index_files: u64,
    /// Sum of what the indexes stand for, in bytes.
    pub(super) content_bytes: u64,
    pub(super) cache: CacheStats,
}

/// Marks all chunks in use. When this returns successfully, all of them are touched. Also returns the latest time that the
/// clock showed.
///
/// `start`: when the collection began, from which the cut-off was made.
pub(super) fn mark(
    chunks: Chunks<'_>,
    options: &GcOptions,
    start: Epoch,
    watch: &GcWatch<'_>,
) -> Result<(Marked, Epoch), MarkError> {
    let marked = touching(chunks, options.threads, watch, |touchers| {
        let mut marker = Marker {
            store: chunks.store,
            watch,
            touchers,
            threads: options.threads,
            cache: DigestCache::new(options.cache_capacity),
            recent: RecentIndexes::default(),
            waiting: BTreeSet::new(),
            gone: BTreeSet::new(),
            checks: Checks::new(),
            unread: BTreeSet::new(),
            known_damaged: BTreeSet::new(),
            damaged: DamagedIndexes::default(),
            total: 0,
            percent: 0,
            marked: Marked::default(),
            latest: start,
        };
        marker.run()?;
        if !marker.damaged.named.is_empty() {
            return Err(MarkError::Damaged { indexes: marker.damaged });
        }
        Ok::<_, MarkError>((marker.marked, marker.latest))
    })?;
    let (marked, latest) = marked?;
    // The last chunks were touched after the last index was read.
    let latest = later(chunks.store, latest)?;
    Ok((marked, latest))
}

/// Returns the present, which must not lie before `latest`.
fn later(store: &Datastore, latest: Epoch) -> Result<Epoch, MarkError> {
    let now = store.clock().now();
    let seconds = latest.seconds_since(now);
    if SET_BACK_SECONDS <= seconds { Err(MarkError::ClockSetBack { seconds }) } else { Ok(now.max(latest)) }
}

/// Returns which kind of index a file name belongs to.
pub(super) fn index_kind(name: &str) -> Option<ArchiveKind> {
    ArchiveKind::of_file_name(name).filter(|kind| *kind != ArchiveKind::Blob)
}

/// What became of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Marked,
    Vanished,
}

/// An index that was marked, and what is known about its entries.
#[derive(Clone)]
struct Recent {
    index: Index,
    verdict: Arc<Verdict>,
}

impl Recent {
    fn is_alike(&self, index: &Index) -> bool {
        self.index.kind() == index.kind()
            && self.index.stored_checksum() == index.stored_checksum()
            && self.index.entries() == index.entries()
    }
}

/// Indexes that were marked lately, by file name: of a snapshot, as a rule, when that before it is marked.
#[derive(Default)]
struct RecentIndexes {
    indexes: VecDeque<(String, Recent)>,
    bytes: usize,
}

impl RecentIndexes {
    fn of(&self, path: &StorePath) -> Option<Recent> {
        let name = path.file_name()?;
        self.indexes.iter().find(|(other, _)| other == name).map(|(_, recent)| recent.clone())
    }

    fn insert(&mut self, path: &StorePath, recent: Recent) {
        let Some(name) = path.file_name() else { return };
        if let Some(at) = self.indexes.iter().position(|(other, _)| other == name)
            && let Some((_, former)) = self.indexes.remove(at)
        {
            self.bytes -= former.index.as_bytes().len();
        }
        self.bytes += recent.index.as_bytes().len();
        self.indexes.push_back((name.to_owned(), recent));
        while RECENT_INDEXES < self.indexes.len() || RECENT_BYTES < self.bytes {
            let Some((_, oldest)) = self.indexes.pop_front() else { return };
            self.bytes -= oldest.index.as_bytes().len();
        }
    }
}

struct Marker<'a> {
    store: &'a Datastore,
    watch: &'a GcWatch<'a>,
    touchers: Touchers<'a>,
    threads: NonZero<usize>,
    cache: DigestCache,
    recent: RecentIndexes,
    /// Index files that the search found and that are not marked yet.
    waiting: BTreeSet<StorePath>,
    /// Index files that were there and were gone when their turn came.
    gone: BTreeSet<StorePath>,
    checks: Checks,
    /// Index files that could not be read when their turn came.
    unread: BTreeSet<StorePath>,
    /// Index files that could not be understood in the end either.
    known_damaged: BTreeSet<StorePath>,
    damaged: DamagedIndexes,
    total: u64,
    percent: u64,
    marked: Marked,
    /// Latest time that the clock showed.
    latest: Epoch,
}

impl Marker<'_> {
    fn run(&mut self) -> Result<(), MarkError> {
        self.waiting = search(self.store, self.threads, self.watch)?;
        self.total = self.waiting.len() as u64;
        for namespace in self.store.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)? {
            self.check_children(&namespace)?;
            for group in self.store.group_directories(&namespace)? {
                self.mark_group(&namespace, &group)?;
            }
        }
        self.mark_strays()?;
        self.mark_vanished()?;
        self.marked.cache = CacheStats { hits: self.cache.hits, misses: self.cache.misses };
        Ok(())
    }

    /// Refuses directories that neither the search nor the regular way looks into.
    fn check_children(&self, namespace: &Namespace) -> Result<(), MarkError> {
        let directory = layout::join(&layout::namespace_dir(namespace), NAMESPACES);
        let names = self.store.directories(&directory)?;
        match names.iter().find(|name| name.starts_with('.')) {
            Some(name) => Err(MarkError::NoNamespace { path: format!("{directory}/{name}") }),
            None => Ok(()),
        }
    }

    fn mark_group(&mut self, namespace: &Namespace, group: &Group) -> Result<(), MarkError> {
        let mut done = HashSet::new();
        let mut lock = None;
        for round in 1..=MAX_ROUNDS {
            if self.mark_round(namespace, group, &mut done)? == Outcome::Marked || lock.is_some() {
                return Ok(());
            }
            if UNLOCKED_ROUNDS <= round {
                // Whoever has it locked now writes to the group, and does not remove much of it.
                lock = self.store.inner.locks.group(namespace, group).ok();
            }
        }
        Err(MarkError::Restless { namespace: namespace.clone(), group: group.clone() })
    }

    /// Marks what a group has and was not marked before. Returns whether something vanished meanwhile.
    fn mark_round(
        &mut self,
        namespace: &Namespace,
        group: &Group,
        done: &mut HashSet<StorePath>,
    ) -> Result<Outcome, MarkError> {
        let times = match self.store.snapshot_times(namespace, group) {
            Ok(times) => times,
            // With everything in it.
            Err(DatastoreError::GroupMissing { .. }) => return Ok(Outcome::Marked),
            Err(error) => return Err(error.into()),
        };
        let mut outcome = Outcome::Marked;
        for time in times.into_iter().rev() {
            self.watch.check()?;
            let directory = layout::snapshot_dir(namespace, &group.at(time));
            let entries = match self.store.storage().list(&directory) {
                Ok(entries) => entries,
                Err(error) if error.is_not_found() => {
                    outcome = Outcome::Vanished;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // Whatever stands in the place of an index; that it is none is found when it is read.
            for entry in entries.iter().filter(|entry| index_kind(&entry.name).is_some()) {
                let Ok(path) = directory.join(&entry.name) else { continue };
                if done.contains(&path) {
                    continue;
                }
                match self.mark_index(&path)? {
                    Outcome::Marked => {
                        done.insert(path);
                    }
                    Outcome::Vanished => outcome = Outcome::Vanished,
                }
            }
        }
        Ok(outcome)
    }

    /// Marks what the search found and the regular way did not.
    fn mark_strays(&mut self) -> Result<(), MarkError> {
        let mut count = 0;
        for path in std::mem::take(&mut self.waiting) {
            if self.mark_index(&path)? == Outcome::Marked {
                count += 1;
                self.watch.tell(&GcEvent::StrayIndex { path: path.as_str() });
            }
        }
        if 0 < count {
            self.watch.tell(&GcEvent::StrayIndexes { count });
        }
        Ok(())
    }

    /// Marks what was moved meanwhile, and goes again through the groups of which something vanished: what builds on it
    /// may have come when their turn was over, or was hidden by a removal that was half done. Looks again at suspects, which
    /// may have vanished too.
    fn mark_vanished(&mut self) -> Result<(), MarkError> {
        loop {
            self.mark_moved()?;
            self.settle_suspects()?;
            let gone = std::mem::take(&mut self.gone);
            if gone.is_empty() {
                return Ok(());
            }
            // What is back, for example because its file system was away for a moment.
            for path in &gone {
                self.mark_index(path)?;
            }
            // These are not news for the next round.
            self.gone.clear();
            let directories: HashSet<_> = gone.iter().filter_map(|path| path.parent()?.parent()).collect();
            // Most of it was counted before.
            let counted = self.marked;
            for namespace in self.store.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)? {
                for group in self.store.group_directories(&namespace)? {
                    if directories.contains(&layout::group_dir(&namespace, &group)) {
                        self.mark_group(&namespace, &group)?;
                    }
                }
            }
            self.marked = counted;
        }
    }

    /// Marks what was moved meanwhile.
    fn mark_moved(&mut self) -> Result<(), MarkError> {
        let store = self.store;
        store.take_moved_indexes(|path| {
            if self.mark_index(path)? == Outcome::Marked {
                self.watch.tell(&GcEvent::MovedIndex { path: path.as_str() });
            }
            Ok(())
        })
    }

    /// Marks the chunks of one index file; they are touched some time later.
    fn mark_index(&mut self, path: &StorePath) -> Result<Outcome, MarkError> {
        self.watch.check()?;
        self.latest = later(self.store, self.latest)?;
        self.waiting.remove(path);
        match read_index(self.store, path) {
            Ok(Some(index)) => self.check_and_mark(path, index)?,
            Ok(None) => {
                self.gone.insert(path.clone());
                return Ok(Outcome::Vanished);
            }
            Err(_) => {
                self.unread.insert(path.clone());
                self.checks.suspect(path);
            }
        }
        Ok(Outcome::Marked)
    }

    /// Marks what an index names, and lets others find out whether that is what was written.
    fn check_and_mark(&mut self, path: &StorePath, index: Index) -> Result<(), MarkError> {
        let alike = self.recent.of(path).filter(|recent| recent.is_alike(&index));
        self.mark_entries(path, &index)?;
        let verdict = match alike {
            Some(recent) => {
                self.checks.add_alike(path, &recent.verdict);
                recent.verdict
            }
            None => {
                let verdict = Arc::default();
                if let Some(check) = self.checks.add(path, &index, &verdict) {
                    self.hand_over(Work::Check(check))?;
                }
                verdict
            }
        };
        self.count(&index);
        self.recent.insert(path, Recent { index, verdict });
        Ok(())
    }

    /// Lets the chunks that an index names be touched.
    fn mark_entries(&mut self, path: &StorePath, index: &Index) -> Result<(), MarkError> {
        let name: Arc<str> = path.as_str().into();
        let mut block = Vec::new();
        // Snapshots of one disk name mostly the same chunks at the same places.
        let before = self.recent.of(path).filter(|_| self.cache.is_enabled());
        let mut before = before.iter().flat_map(|recent| recent.index.digests());
        for digest in index.digests() {
            if before.next() == Some(digest) {
                self.cache.hits += 1;
            } else if !self.cache.insert(&digest) {
                block.push(digest);
            }
            if block.len() == BLOCK {
                self.touch(&name, std::mem::take(&mut block))?;
            }
        }
        self.touch(&name, block)
    }

    fn count(&mut self, index: &Index) {
        self.marked.index_files += 1;
        self.marked.content_bytes = self.marked.content_bytes.saturating_add(index.size_bytes());
        self.tell_progress();
    }

    fn touch(&self, index: &Arc<str>, digests: Vec<Digest>) -> Result<(), MarkError> {
        if digests.is_empty() {
            return Ok(());
        }
        self.hand_over(Work::Touch { index: Arc::clone(index), digests })
    }

    fn hand_over(&self, work: Work) -> Result<(), MarkError> {
        // The reason for a refusal is known when the threads have ended.
        if self.touchers.take(work) { Ok(()) } else { Err(MarkError::Stopped) }
    }

    fn tell_progress(&mut self) {
        // Indexes that are new since the search come on top.
        let (done, total) = (self.marked.index_files.min(self.total), self.total);
        if let Some(percent) = (done * 100).checked_div(total)
            && self.percent < percent
        {
            self.percent = percent;
            self.watch.tell(&GcEvent::Marked { percent, done, total });
        }
    }
}
