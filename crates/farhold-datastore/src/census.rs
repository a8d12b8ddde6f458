//! Counting the snapshots of a group by what is known about them, without reading again what has not changed.

use std::collections::HashMap;

use farhold_storage::FileTime;
use farhold_types::{Epoch, Group, MANIFEST_NAME, Namespace, VerifyState};

use crate::error::DatastoreError;
use crate::layout;
use crate::store::Datastore;

/// What is known about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SnapshotState {
    /// It was verified and is sound.
    Verified,
    /// It was verified, and something is wrong with it.
    Failed,
    /// It was not verified yet.
    Unverified,
    /// It has no manifest: it is being made, or its making was broken off.
    Unfinished,
    /// Its manifest cannot be read.
    Unreadable,
}

impl SnapshotState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Verified, Self::Failed, Self::Unverified, Self::Unfinished, Self::Unreadable];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Unverified => "unverified",
            Self::Unfinished => "unfinished",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What tells whether a manifest is still the one that was read: it is replaced, never changed.
type Stamp = (u64, u64, FileTime);

/// The snapshots of a group as they were counted.
#[derive(Debug, Clone, Default)]
pub struct GroupCensus {
    snapshots: HashMap<Epoch, (Option<Stamp>, SnapshotState)>,
}

impl GroupCensus {
    /// Returns the states of all snapshots, in no order.
    pub fn states(&self) -> impl Iterator<Item = SnapshotState> {
        self.snapshots.values().map(|(_, state)| *state)
    }
}

impl Datastore {
    /// Counts the snapshots of a group. Manifests that are the same as in `before` are not read again.
    ///
    /// # Errors
    /// The group is missing, or its directory cannot be read. A snapshot whose manifest cannot be read is counted.
    pub fn count_group(
        &self,
        namespace: &Namespace,
        group: &Group,
        before: &GroupCensus,
    ) -> Result<GroupCensus, DatastoreError> {
        let mut census = GroupCensus::default();
        for time in self.snapshot_times(namespace, group)? {
            let snapshot = group.at(time);
            let manifest = layout::join(&layout::snapshot_dir(namespace, &snapshot), MANIFEST_NAME);
            let stamp = match self.storage().stat(&manifest) {
                Ok(stat) => Some((stat.inode, stat.size_bytes, stat.modified)),
                Err(error) if error.is_not_found() => None,
                Err(_) => {
                    census.snapshots.insert(time, (None, SnapshotState::Unreadable));
                    continue;
                }
            };
            let known = before.snapshots.get(&time).filter(|(known, _)| stamp.is_some() && *known == stamp);
            let state = match known {
                Some((_, state)) => *state,
                None if stamp.is_none() => SnapshotState::Unfinished,
                None => match self.read_manifest(namespace, &snapshot) {
                    Ok((manifest, _)) => match manifest.verify_state().map(|item| item.state) {
                        Some(VerifyState::Ok) => SnapshotState::Verified,
                        Some(VerifyState::Failed) => SnapshotState::Failed,
                        None => SnapshotState::Unverified,
                    },
                    // Removed meanwhile.
                    Err(DatastoreError::SnapshotMissing { .. }) => continue,
                    Err(_) => SnapshotState::Unreadable,
                },
            };
            census.snapshots.insert(time, (stamp, state));
        }
        Ok(census)
    }
}
