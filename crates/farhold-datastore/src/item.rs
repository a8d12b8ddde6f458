//! Items of listings as they cross the wire. Source: `docs/spec/rest-api.md` 12.4, 12.5.

use farhold_format::manifest::Manifest;
use farhold_types::{
    Authid, CryptMode, Epoch, Group, GroupItem, MANIFEST_NAME, Namespace, Snapshot, SnapshotFileItem, SnapshotItem,
};

use crate::error::DatastoreError;
use crate::listing::SnapshotInfo;
use crate::store::Datastore;

/// Returns what listings show of notes: their first line, or nothing if that is empty.
fn comment(notes: &str) -> Option<String> {
    notes.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

impl Datastore {
    /// Returns the listing item of a group.
    ///
    /// # Errors
    /// Missing group, or no readable owner.
    pub fn group_item(&self, namespace: &Namespace, group: &Group) -> Result<GroupItem, DatastoreError> {
        let owner = self.owner(namespace, group)?;
        let snapshots = self.snapshots(namespace, group)?;
        let newest = match snapshots.as_slice() {
            // A single one counts even while its backup runs.
            [only] => Some(only),
            several => several.iter().rev().find(|snapshot| snapshot.has_manifest),
        };
        let notes = self.group_notes(namespace, group).unwrap_or_default();
        Ok(GroupItem {
            backup_type: group.backup_type,
            backup_id: group.backup_id.clone(),
            last_backup: newest.map_or(Epoch(0), |snapshot| snapshot.time),
            backup_count: snapshots.len() as u64,
            files: newest.map_or_else(Vec::new, |snapshot| snapshot.files.iter().map(ToString::to_string).collect()),
            owner: Some(owner),
            comment: comment(&notes),
        })
    }

    /// Returns the listing items of all snapshots of a group, by time.
    ///
    /// # Errors
    /// Missing group. An unreadable manifest is no error: such a snapshot is shown as unfinished.
    pub fn snapshot_items(&self, namespace: &Namespace, group: &Group) -> Result<Vec<SnapshotItem>, DatastoreError> {
        let owner = self.owner(namespace, group).ok();
        let snapshots = self.snapshots(namespace, group)?;
        Ok(snapshots.iter().map(|info| self.item_of(namespace, &group.at(info.time), info, owner.clone())).collect())
    }

    /// Returns the listing item of one snapshot.
    ///
    /// # Errors
    /// Missing snapshot. An unreadable manifest is no error: the snapshot is shown as unfinished.
    pub fn snapshot_item(&self, namespace: &Namespace, snapshot: &Snapshot) -> Result<SnapshotItem, DatastoreError> {
        let info = self.snapshot_info(namespace, snapshot)?;
        let owner = self.owner(namespace, &snapshot.group).ok();
        Ok(self.item_of(namespace, snapshot, &info, owner))
    }

    fn item_of(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        info: &SnapshotInfo,
        owner: Option<Authid>,
    ) -> SnapshotItem {
        let mut item = SnapshotItem {
            backup_type: snapshot.group.backup_type,
            backup_id: snapshot.group.backup_id.clone(),
            backup_time: snapshot.time,
            comment: None,
            verification: None,
            fingerprint: None,
            files: Vec::new(),
            size: None,
            owner,
            protected: info.is_protected,
        };
        let manifest = if info.has_manifest {
            self.read_manifest(namespace, snapshot)
        } else {
            Err(Self::snapshot_missing(namespace, snapshot))
        };
        match manifest {
            Ok((manifest, raw)) => {
                item.comment = manifest.notes().and_then(comment);
                item.verification = manifest.verify_state();
                item.fingerprint = manifest.key_fingerprint().ok().flatten();
                item.files = files_of(&manifest, raw.len() as u64);
                item.size = Some(item.files.iter().filter_map(|file| file.size).sum());
            }
            Err(error) if info.has_manifest => {
                tracing::warn!(%snapshot, error = &error as &dyn std::error::Error, "unreadable manifest");
            }
            Err(_) => {}
        }
        for name in &info.files {
            if !item.files.iter().any(|file| file.filename == name.as_str()) {
                item.files.push(SnapshotFileItem { filename: name.to_string(), crypt_mode: None, size: None });
            }
        }
        item
    }
}

/// Returns the files that a manifest lists, and itself.
fn files_of(manifest: &Manifest, manifest_bytes: u64) -> Vec<SnapshotFileItem> {
    let mode = if manifest.signature.is_some() { CryptMode::SignOnly } else { CryptMode::None };
    let listed = manifest.files.iter().map(|file| SnapshotFileItem {
        filename: file.name.to_string(),
        crypt_mode: Some(file.crypt_mode),
        size: Some(file.size_bytes),
    });
    let itself =
        SnapshotFileItem { filename: MANIFEST_NAME.to_owned(), crypt_mode: Some(mode), size: Some(manifest_bytes) };
    listed.chain([itself]).collect()
}
