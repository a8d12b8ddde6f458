//! Indexes that cannot be understood: they are looked at once more when everything else is marked, since whoever replaced or
//! removed one meanwhile did no harm, and a disk may have failed for a moment. What is damaged then forbids the sweep.
//!
//! A header may be damaged and the entries whole: then the manifest of the snapshot has their checksum, and nothing is lost.
//! Source: `docs/spec/datastore-format.md` 7.

use farhold_format::index::{Index, MAX_INDEX_BYTES};
use farhold_format::manifest::{MAX_MANIFEST_BYTES, Manifest};
use farhold_storage::StorePath;
use farhold_types::{ArchiveKind, ArchiveName};

use super::{Marker, index_kind};
use crate::gc::damaged::{DamagedIndex, IndexDamage};
use crate::gc::error::MarkError;
use crate::gc::event::GcEvent;
use crate::gc::soundness::is_sound;
use crate::store::Datastore;

/// Reads an index file; `None` if there is none.
pub(super) fn read_index(store: &Datastore, path: &StorePath) -> Result<Option<Index>, IndexDamage> {
    let bytes = match store.storage().read(path, MAX_INDEX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(IndexDamage::Unreadable(error)),
    };
    let kind = index_kind(path.as_str()).unwrap_or(ArchiveKind::Blob);
    Index::parse(kind, bytes).map(Some).map_err(IndexDamage::Malformed)
}

impl Marker<'_> {
    /// Looks again at those that are suspected so far.
    pub(super) fn settle_suspects(&mut self) -> Result<(), MarkError> {
        for path in self.checks.wait() {
            if self.known_damaged.contains(&path) {
                continue;
            }
            self.watch.check()?;
            match self.look_again(&path) {
                Ok(Some(index)) => {
                    self.mark_entries(&path, &index)?;
                    if self.unread.remove(&path) {
                        self.count(&index);
                    }
                }
                Ok(None) => {
                    self.gone.insert(path);
                }
                Err(damage) => {
                    let index = DamagedIndex { path: path.to_string(), damage };
                    self.watch.tell(&GcEvent::DamagedIndex { index: &index });
                    self.damaged.add(index);
                    self.known_damaged.insert(path);
                }
            }
        }
        Ok(())
    }

    /// Returns an index whose entries are proven; `None` if it is gone.
    fn look_again(&self, path: &StorePath) -> Result<Option<Index>, IndexDamage> {
        let Some(index) = read_index(self.store, path)? else { return Ok(None) };
        if is_sound(&index) || self.is_in_manifest(path, &index) {
            return Ok(Some(index));
        }
        Err(IndexDamage::Checksum { stored: index.stored_checksum(), found: index.checksum() })
    }

    /// Returns whether the manifest beside an index knows its entries.
    fn is_in_manifest(&self, path: &StorePath, index: &Index) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.parse::<ArchiveName>().ok()) else { return false };
        let manifest = path.parent().and_then(|parent| parent.join(ArchiveName::manifest().as_str()).ok());
        let Some(manifest) = manifest else { return false };
        let Ok(raw) = self.store.storage().read(&manifest, MAX_MANIFEST_BYTES as u64) else { return false };
        let Ok(manifest) = Manifest::from_blob(&raw) else { return false };
        manifest.file(&name).is_some_and(|file| file.checksum == index.checksum())
    }
}
