//! The search for index files in the whole tree of a store, by several threads: most of it is waiting for directories.
//!
//! Source: `docs/spec/datastore-format.md` 17, phase 1, step 1.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use farhold_storage::{Entry, EntryKind, StorageError, StorePath};

use super::error::MarkError;
use super::event::GcWatch;
use super::mark::index_kind;
use crate::store::Datastore;

/// Returns all index files below the store's directory, except in directories whose names begin with a dot.
pub(super) fn search(
    store: &Datastore,
    threads: NonZero<usize>,
    watch: &GcWatch<'_>,
) -> Result<BTreeSet<StorePath>, MarkError> {
    let waiting = Waiting::default();
    waiting.lock().directories.push(StorePath::root());
    if threads.get() == 1 {
        waiting.work(store, watch);
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                scope.spawn(|| waiting.work(store, watch));
            }
        });
    }
    let state = waiting.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(failure) => Err(failure),
        None => Ok(state.found),
    }
}

#[derive(Default)]
struct State {
    directories: Vec<StorePath>,
    /// Directories that are being listed; more may come of them.
    busy: usize,
    found: BTreeSet<StorePath>,
    failure: Option<MarkError>,
}

/// Directories that nobody has listed yet, and what was found.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

/// A directory that is being listed. The others must not wait for it when it is over, however that comes about.
struct Busy<'a>(&'a Waiting);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        self.0.changed.notify_all();
    }
}

/// What a directory holds.
#[derive(Default)]
struct Listed {
    directories: Vec<StorePath>,
    indexes: Vec<StorePath>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next directory; `None` if there will be none.
    fn next(&self) -> Option<(StorePath, Busy<'_>)> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(directory) = state.directories.pop() {
                state.busy += 1;
                return Some((directory, Busy(self)));
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, store: &Datastore, watch: &GcWatch<'_>) {
        while let Some((directory, _busy)) = self.next() {
            let listed = watch.check().map_err(MarkError::from).and_then(|()| list(store, &directory));
            let mut state = self.lock();
            match listed {
                Ok(listed) => {
                    state.directories.extend(listed.directories);
                    state.found.extend(listed.indexes);
                }
                Err(failure) => {
                    state.failure.get_or_insert(failure);
                }
            }
        }
    }
}

fn list(store: &Datastore, directory: &StorePath) -> Result<Listed, MarkError> {
    let mut listed = Listed::default();
    let listing = match store.storage().list_all(directory) {
        Ok(listing) => listing,
        // Removed meanwhile; the store itself must be there.
        Err(error) if error.is_not_found() && !directory.is_root() => return Ok(listed),
        Err(StorageError::Denied { .. }) if directory.as_str() == "lost+found" => return Ok(listed),
        Err(error) => return Err(error.into()),
    };
    check_names(directory, listing.foreign)?;
    for entry in listing.entries.into_iter().filter(|entry| !entry.name.starts_with('.')) {
        let Ok(path) = directory.join(&entry.name) else { continue };
        match entry.kind {
            EntryKind::Directory => listed.directories.push(path),
            EntryKind::File | EntryKind::Link if index_kind(&entry.name).is_some() => listed.indexes.push(path),
            _ => {}
        }
    }
    Ok(listed)
}

/// Refuses directories and index files whose names keep them out of the regular way. `foreign`: the entries of a
/// directory that have such names.
fn check_names(directory: &StorePath, foreign: Vec<Entry>) -> Result<(), MarkError> {
    let hides_indexes = |entry: &Entry| {
        let is_relevant = entry.kind == EntryKind::Directory || index_kind(&entry.name).is_some();
        is_relevant && !entry.name.starts_with('.')
    };
    match foreign.into_iter().find(hides_indexes) {
        Some(entry) => Err(MarkError::ForeignName { directory: directory.to_string(), name: entry.name }),
        None => Ok(()),
    }
}
