//! Finding the temporary files that killed processes left, ours and those of others.
//!
//! What our own writers leave is removed without a search: chunk files lie in one place (see `staging`), files of a
//! snapshot are removed when it is written again. This module is the search for the rest, for example what the
//! reference left in a store that was adopted. Source: `docs/spec/datastore-format.md` 12, 27.

use std::collections::BTreeSet;

use farhold_storage::{EntryKind, is_random_temporary};
use farhold_types::{Digest, Epoch, MAX_NAMESPACE_DEPTH, Namespace};

use crate::error::DatastoreError;
use crate::layout::{self, CHUNK_FOLDERS};
use crate::lock::Sharing;
use crate::store::Datastore;

impl Datastore {
    /// Removes temporary files of dead writers from all folders of the store. Returns how many files and staging
    /// folders were removed.
    ///
    /// Takes the exclusive process lock, so that no other process writes chunks meanwhile; this process may. In the
    /// folders of chunks only files last changed before `older_than` go, in snapshot directories only those nobody has
    /// locked. Lists all 65,536 folders: meant for maintenance, not for every run.
    ///
    /// # Errors
    /// Busy while another process writes.
    pub fn clean_temporary_files(&self, older_than: Epoch) -> Result<usize, DatastoreError> {
        let _lock = self.lock_process_exclusive()?;
        let mut removed = self.inner.staging.remove_abandoned(&self.inner.storage)?;
        for number in 0..CHUNK_FOLDERS {
            removed += self.clean_chunk_folder(number, older_than)?;
        }
        for namespace in self.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)? {
            for group in self.group_directories(&namespace)? {
                for time in self.snapshot_times(&namespace, &group)? {
                    let snapshot = group.at(time);
                    let Ok(_lock) = self.inner.locks.snapshot(&namespace, &snapshot, Sharing::Exclusive) else {
                        continue;
                    };
                    removed += self.remove_snapshot_leftovers(&namespace, &snapshot, &BTreeSet::new())?;
                }
            }
        }
        Ok(removed)
    }

    fn clean_chunk_folder(&self, number: u32, older_than: Epoch) -> Result<usize, DatastoreError> {
        let folder = layout::chunk_folder(number);
        let entries = match self.storage().list(&folder) {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut removed = 0;
        for entry in entries {
            let is_chunk = entry.name.split('.').next().is_some_and(|stem| stem.parse::<Digest>().is_ok());
            if entry.kind != EntryKind::File || !is_chunk || !is_random_temporary(&entry.name) {
                continue;
            }
            let path = layout::join(&folder, &entry.name);
            let is_old = match self.storage().stat(&path) {
                Ok(stat) => stat.modified.seconds < older_than.0,
                Err(error) if error.is_not_found() => false,
                Err(error) => return Err(error.into()),
            };
            if is_old {
                self.storage().remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
