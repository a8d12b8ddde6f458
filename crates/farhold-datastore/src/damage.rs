//! What is known of damage without reading any content: chunks that were set aside and are not there, lengths of files,
//! owners and notes.
//!
//! Source: `docs/spec/datastore-format.md` 4 and 18.

use std::collections::BTreeSet;

use farhold_storage::{EntryKind, StorageError, StorePath};
use farhold_types::{ArchiveName, Digest, Group, Namespace, Snapshot};

use crate::chunk_repair::MAX_BAD_FILES;
use crate::error::DatastoreError;
use crate::layout;
use crate::store::Datastore;

/// A file beside the snapshots of a group that cannot be read.
#[derive(Debug)]
pub struct GroupProblem {
    /// Whether it is the owner file; otherwise that of the notes.
    pub is_owner: bool,
    /// What is wrong with it.
    pub error: DatastoreError,
}

impl GroupProblem {
    /// Returns what is lost and how it comes back, for people.
    pub const fn advice(&self) -> &'static str {
        if self.is_owner {
            "the group has no owner until one is set"
        } else {
            "the group's notes are lost until set anew"
        }
    }
}

impl Datastore {
    /// Returns which files beside a group's snapshots cannot be read; none if the group is gone. Missing notes are none.
    pub fn group_problems(&self, namespace: &Namespace, group: &Group) -> Vec<GroupProblem> {
        let owner = self.owner(namespace, group).err().map(|error| GroupProblem { is_owner: true, error });
        let notes = self.group_notes(namespace, group).err().map(|error| GroupProblem { is_owner: false, error });
        let is_gone = |problem: &GroupProblem| matches!(problem.error, DatastoreError::GroupMissing { .. });
        owner.into_iter().chain(notes).filter(|problem| !is_gone(problem)).collect()
    }

    /// Returns the chunks that were set aside as damaged and have not come back since. Lists all folders of chunks and
    /// reads nothing.
    ///
    /// `is_stopped`: asked before each folder; what was found until then is returned.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn chunks_set_aside(&self, is_stopped: &dyn Fn() -> bool) -> Result<BTreeSet<Digest>, DatastoreError> {
        let mut missing = BTreeSet::new();
        for folder in self.directories(&layout::chunks_dir())? {
            if layout::chunk_folder_number(&folder).is_none() {
                continue;
            }
            if is_stopped() {
                break;
            }
            let names: Vec<String> = match self.storage().list(&layout::join(&layout::chunks_dir(), &folder)) {
                Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            for digest in names.iter().filter_map(|name| digest_of_bad(name)) {
                // An empty file stands for a missing chunk, too.
                if !self.storage().stat(&layout::chunk(&digest)).is_ok_and(|stat| 0 < stat.size_bytes) {
                    missing.insert(digest);
                }
            }
        }
        Ok(missing)
    }

    /// Returns the length in bytes of a regular file of a snapshot; nothing if there is none of that name.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn file_bytes(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        archive: &ArchiveName,
    ) -> Result<Option<u64>, DatastoreError> {
        match self.storage().stat(&layout::snapshot_file(namespace, snapshot, archive.as_str())) {
            Ok(stat) => Ok((stat.kind == EntryKind::File).then_some(stat.size_bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes room for a file where a directory lies: an empty one is removed, any other renamed to the first free of
    /// `<name>.0.bad` to `<name>.9.bad` beside it. Does nothing to everything else, which a new file replaces.
    pub(crate) fn make_way(&self, path: &StorePath) -> Result<(), StorageError> {
        match self.storage().stat(path) {
            Ok(stat) if stat.kind == EntryKind::Directory => {}
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.storage().remove_dir(path) {
            Err(StorageError::NotEmpty { .. }) => {}
            outcome => return outcome,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        for number in 0..MAX_BAD_FILES {
            let aside = layout::join(&parent, &format!("{name}.{number}.bad"));
            match self.storage().stat(&aside) {
                Err(error) if error.is_not_found() => return self.storage().rename(path, &aside),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Err(StorageError::NotAFile { path: path.to_string() })
    }
}

/// Returns the digest in the name of a chunk that was set aside.
fn digest_of_bad(name: &str) -> Option<Digest> {
    let (digest, number) = name.strip_suffix(".bad")?.split_once('.')?;
    number.parse::<u32>().ok().filter(|number| *number < MAX_BAD_FILES)?;
    digest.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_verification_gives_are_those_of_damaged_chunks() {
        let digest = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";
        for (ending, is_bad) in
            [(".0.bad", true), (".9.bad", true), ("", false), (".10.bad", false), (".bad", false), (".x.bad", false)]
        {
            assert_eq!(digest_of_bad(&format!("{digest}{ending}")).is_some(), is_bad, "{ending}");
        }
        assert_eq!(digest_of_bad("lock.0.bad"), None);
    }
}
