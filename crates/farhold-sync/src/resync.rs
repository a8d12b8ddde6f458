//! A snapshot that the target has already: whether anything changed, repairing a bad copy, and what its manifest becomes.
//!
//! Source: `docs/spec/sync.md` 7.2, C.1 FAULT 13, C.2 W15, W21 and W45.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::CryptMode;

use crate::ahead::prepare::{Prepared, max_file_bytes};
use crate::chunks::fetch::Archive;
use crate::chunks::plain::{Belief, complete};
use crate::event::GroupEvent;
use crate::merge::{Merge, Verification};
use crate::notes::record::Base;
use crate::outcome::{ArchiveFailure, GroupFailure};
use crate::snapshot::Transfer;
use crate::source::Source;
use crate::target::{StoredManifest, Target, TargetSnapshot};

impl<S: Source, T: Target> Transfer<'_, S, T> {
    /// Returns whether the copy has what the source has, so that nothing needs to be fetched.
    ///
    /// The manifests are equal, or the source's is the one that was applied last and the local one differs in what was
    /// set here. Files are looked at only as far as that costs nothing.
    pub(crate) async fn is_unchanged(
        &self,
        stored: &StoredManifest,
        prepared: &Prepared<S>,
        base: &Base,
    ) -> Result<bool, GroupFailure> {
        let StoredManifest::Present { raw, manifest: local } = stored else { return Ok(false) };
        let source = &prepared.manifest;
        let was_applied = || {
            self.group.record.base(self.time).is_some_and(|known| known.manifest == base.manifest)
                && source.signature == local.signature
                && source.has_same_protected_content(local)
        };
        if self.is_corrupt || (*raw != prepared.raw_manifest && !was_applied()) {
            return Ok(false);
        }
        Ok(self.target.looks_whole(local).await?)
    }

    /// Remembers the source's manifest that was applied, for telling later which side changed.
    pub(crate) async fn remember(&mut self, base: Base) {
        let time = self.time;
        if self.group.record.is_kept() && self.group.record.base(time) != Some(base) {
            self.group.update_record(self.run, move |record| record.set_base(time, base)).await;
        }
    }

    /// Refuses to repair a copy from a snapshot with other content: whatever is wrong with the copy, it is another backup.
    pub(crate) fn check_repairable(&self, stored: &StoredManifest, source: &Manifest) -> Result<(), GroupFailure> {
        match stored {
            StoredManifest::Present { manifest, .. } if !manifest.has_same_protected_content(source) => {
                let snapshot = self.action.item.snapshot();
                Err(GroupFailure::Refused { snapshot, reason: "its content differs from the source" })
            }
            _ => Ok(()),
        }
    }

    /// Reads the chunks of an index that is in place and matches the manifest; fetches those that are damaged or missing.
    /// Returns whether any was, or nothing if the index is not there.
    pub(crate) async fn repair_chunks(
        &mut self,
        prepared: &Prepared<S>,
        file: &ManifestFile,
    ) -> Result<Option<bool>, ArchiveFailure> {
        let Some(content) = self.target.existing(&file.name).await? else { return Ok(None) };
        let index = self.check_index(file, content).await?;
        let archive = Archive {
            name: &file.name,
            index: &index,
            is_encrypted: file.crypt_mode == CryptMode::Encrypt,
            max_index_bytes: max_file_bytes(file),
        };
        let belief = Belief::Doubtful { had_index: true };
        let received = complete(self.run, self.group, &prepared.reader, &archive, belief).await?;
        self.end_journal().await;
        if received.chunks != 0 {
            let (time, archive) = (self.time, file.name.clone());
            self.emit(GroupEvent::IndexDone { time, archive, bytes: received.bytes, elapsed: received.elapsed });
        }
        Ok(Some(received.chunks != 0))
    }

    /// Removes the notes on an archive that is complete.
    pub(crate) async fn end_journal(&mut self) {
        if let Some(journal) = self.group.journal.take() {
            // The index in place says the same as the notes. Notes that stay do no harm.
            let _ = self.run.pool.run(move |_| journal.remove()).await;
        }
    }

    /// Finishes the snapshot with the source's manifest, merged with what was set here. Returns whether the stored
    /// manifest is another one now.
    ///
    /// `raw` and `manifest`: what the copy gets where nothing was set here. `base`: the source's manifest as it was last
    /// applied.
    pub(crate) async fn commit_merged(
        &self,
        raw: Bytes,
        manifest: Manifest,
        base: Option<Base>,
    ) -> Result<bool, GroupFailure> {
        let verification = if self.is_corrupt { Verification::OfSource } else { Verification::Merged };
        let merge = Merge { raw, manifest, base, verification };
        let is_changed = Arc::new(AtomicBool::new(false));
        let seen = is_changed.clone();
        let make = move |stored: Option<&Bytes>| {
            let made = merge.with(stored)?;
            seen.store(stored != Some(&made), Ordering::Relaxed);
            Ok(made)
        };
        self.target.commit_with(Arc::new(make)).await?;
        Ok(is_changed.load(Ordering::Relaxed))
    }
}
