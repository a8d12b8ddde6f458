//! Which namespaces, groups and snapshots a store has.
//!
//! Everything that does not fit the scheme is passed over: plain files and links where directories belong, names that
//! do not follow the pattern, lost+found. Links are never followed.
//!
//! Source: `docs/spec/datastore-format.md` 1, 2, 21.

use std::path::PathBuf;

use farhold_storage::{Entry, EntryKind, StorePath};
use farhold_types::{
    ArchiveName, Authid, BackupType, Epoch, Group, MANIFEST_NAME, MAX_NAMESPACE_DEPTH, Namespace, Snapshot,
};

use crate::error::DatastoreError;
use crate::layout::{self, NAMESPACES, PROTECTED};
use crate::store::Datastore;

/// A backup group and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// The group.
    pub group: Group,
    /// Who owns it.
    pub owner: Authid,
}

/// A snapshot of a group as its directory shows it; the manifest was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its backup time.
    pub time: Epoch,
    /// Its files, sorted by name, the manifest included.
    pub files: Vec<ArchiveName>,
    /// Whether the manifest exists, that is, the backup is finished.
    pub has_manifest: bool,
    /// Whether it is protected from removal.
    pub is_protected: bool,
}

impl Datastore {
    /// Returns the directories in `path`; none if it is missing although the store is there.
    pub(crate) fn directories(&self, path: &StorePath) -> Result<Vec<String>, DatastoreError> {
        match self.storage().list(path) {
            Ok(entries) => {
                let is_directory = |entry: &Entry| entry.kind == EntryKind::Directory;
                Ok(entries.into_iter().filter(is_directory).map(|entry| entry.name).collect())
            }
            Err(error) if error.is_not_found() => {
                self.check_there()?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that the store is still where it was opened: whoever takes it for empty removes copies of what is in it.
    fn check_there(&self) -> Result<(), DatastoreError> {
        match self.storage().stat(&layout::chunks_dir()) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(DatastoreError::StoreAway { store: self.name().to_string() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `anchor` and the namespaces below it, depth first, siblings by name.
    ///
    /// `max_depth` counts from `anchor` and is clamped to what namespaces can have. The anchor comes first and is not
    /// checked to exist. Directories whose name is no namespace's are skipped.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn namespaces(&self, anchor: &Namespace, max_depth: usize) -> Result<Vec<Namespace>, DatastoreError> {
        let mut found = Vec::new();
        let mut waiting = vec![(anchor.clone(), max_depth.min(MAX_NAMESPACE_DEPTH))];
        while let Some((namespace, depth_left)) = waiting.pop() {
            if depth_left != 0 && namespace.depth() < MAX_NAMESPACE_DEPTH {
                let children = self.child_namespaces(&namespace)?;
                waiting.extend(children.into_iter().rev().map(|child| (child, depth_left - 1)));
            }
            found.push(namespace);
        }
        Ok(found)
    }

    /// Returns the namespaces one level below `namespace`, by name.
    pub(crate) fn child_namespaces(&self, namespace: &Namespace) -> Result<Vec<Namespace>, DatastoreError> {
        let directory = layout::join(&layout::namespace_dir(namespace), NAMESPACES);
        let names = self.directories(&directory)?;
        Ok(names.iter().filter_map(|name| namespace.child(name).ok()).collect())
    }

    /// Returns whether the namespace exists. The root always does.
    ///
    /// # Errors
    /// [`DatastoreError::Storage`].
    pub fn namespace_exists(&self, namespace: &Namespace) -> Result<bool, DatastoreError> {
        if namespace.is_root() {
            return Ok(true);
        }
        self.is_directory(&layout::namespace_dir(namespace))
    }

    pub(crate) fn check_namespace(&self, namespace: &Namespace) -> Result<(), DatastoreError> {
        if self.namespace_exists(namespace)? {
            return Ok(());
        }
        Err(DatastoreError::NamespaceMissing { namespace: namespace.clone() })
    }

    /// Creates a namespace below an existing one. Returns `false` if it existed already.
    ///
    /// # Errors
    /// [`DatastoreError::NamespaceMissing`] naming the missing parent.
    pub fn create_namespace(&self, namespace: &Namespace) -> Result<bool, DatastoreError> {
        let Some(parent) = namespace.parent() else { return Ok(false) };
        self.check_namespace(&parent)?;
        if self.namespace_exists(namespace)? {
            return Ok(false);
        }
        self.storage().create_dirs(&layout::namespace_dir(namespace))?;
        Ok(true)
    }

    /// Returns all directories of a namespace that are named like groups, whether or not they have an owner, in order.
    pub(crate) fn group_directories(&self, namespace: &Namespace) -> Result<Vec<Group>, DatastoreError> {
        let mut groups = Vec::new();
        for backup_type in BackupType::ALL {
            let names = self.directories(&layout::type_dir(namespace, backup_type))?;
            groups.extend(names.iter().filter_map(|id| Some(Group::new(backup_type, id.parse().ok()?))));
        }
        groups.sort();
        Ok(groups)
    }

    /// Returns the groups of a namespace, in the order of groups. A group without readable owner is left out.
    ///
    /// # Errors
    /// Missing namespace.
    pub fn groups(&self, namespace: &Namespace) -> Result<Vec<GroupInfo>, DatastoreError> {
        self.check_namespace(namespace)?;
        let mut groups = Vec::new();
        for group in self.group_directories(namespace)? {
            match self.owner(namespace, &group) {
                Ok(owner) => groups.push(GroupInfo { group, owner }),
                // Without owner, or removed meanwhile.
                Err(DatastoreError::OwnerUnreadable { .. } | DatastoreError::GroupMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(groups)
    }

    /// Returns all group directories of a namespace in the order of groups, with their owners as far as they can be read.
    ///
    /// # Errors
    /// Missing namespace.
    pub fn groups_and_owners(&self, namespace: &Namespace) -> Result<Vec<(Group, Option<Authid>)>, DatastoreError> {
        self.check_namespace(namespace)?;
        let mut groups = Vec::new();
        for group in self.group_directories(namespace)? {
            match self.owner(namespace, &group) {
                Ok(owner) => groups.push((group, Some(owner))),
                Err(DatastoreError::OwnerUnreadable { .. }) => groups.push((group, None)),
                // Removed meanwhile.
                Err(DatastoreError::GroupMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(groups)
    }

    /// Returns where a group, or a snapshot of it, lies on the local file system, if the store lies there.
    pub fn local_path(&self, namespace: &Namespace, group: &Group, time: Option<Epoch>) -> Option<PathBuf> {
        let path = match time {
            Some(time) => layout::snapshot_dir(namespace, &group.at(time)),
            None => layout::group_dir(namespace, group),
        };
        Some(self.local_root()?.join(path.as_str()))
    }

    /// Returns the snapshots of a group by time, finished or not.
    ///
    /// # Errors
    /// Missing group.
    pub fn snapshots(&self, namespace: &Namespace, group: &Group) -> Result<Vec<SnapshotInfo>, DatastoreError> {
        let mut snapshots = Vec::new();
        for time in self.snapshot_times(namespace, group)? {
            match self.snapshot_info(namespace, &group.at(time)) {
                Ok(info) => snapshots.push(info),
                // Removed meanwhile.
                Err(DatastoreError::SnapshotMissing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(snapshots)
    }

    /// Returns the times of all snapshot directories of a group, ascending.
    pub(crate) fn snapshot_times(&self, namespace: &Namespace, group: &Group) -> Result<Vec<Epoch>, DatastoreError> {
        let directory = layout::group_dir(namespace, group);
        if !self.is_directory(&directory)? {
            return Err(DatastoreError::GroupMissing { namespace: namespace.clone(), group: group.clone() });
        }
        let names = self.directories(&directory)?;
        // A name like 2026-02-30 means a time that is written otherwise; nothing could be found under it.
        let time_of = |name: &String| Epoch::parse_rfc3339_utc(name).ok().filter(|time| time.to_string() == *name);
        let mut times: Vec<Epoch> = names.iter().filter_map(time_of).collect();
        times.sort_unstable();
        Ok(times)
    }

    /// Returns what the directory of one snapshot shows.
    ///
    /// # Errors
    /// Missing snapshot.
    pub fn snapshot_info(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<SnapshotInfo, DatastoreError> {
        let entries = match self.storage().list(&layout::snapshot_dir(namespace, snapshot)) {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Err(Self::snapshot_missing(namespace, snapshot)),
            Err(error) => return Err(error.into()),
        };
        let mut info =
            SnapshotInfo { time: snapshot.time, files: Vec::new(), has_manifest: false, is_protected: false };
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            if entry.name == PROTECTED {
                info.is_protected = true;
            } else if let Ok(name) = entry.name.parse::<ArchiveName>() {
                info.has_manifest |= entry.name == MANIFEST_NAME;
                info.files.push(name);
            }
        }
        Ok(info)
    }
}
