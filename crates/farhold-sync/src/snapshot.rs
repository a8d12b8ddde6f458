//! One snapshot: from the source's manifest to a finished copy, or to the same state as before.
//!
//! Order is what keeps data safe: every file is checked against the manifest before it gets its name, an index gets its
//! name after all its chunks are stored, the manifest comes last. A new directory is removed again when its content is
//! refused or wrong; when the connection broke, the target failed or the run was stopped, it stays for the next run.
//!
//! Source: `docs/spec/sync.md` 7.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_rules::sync_plan::{Action, ActionKind};
use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Epoch, VerifyState};

use crate::ahead::prepare::{MAX_BLOB_BYTES, Preparation, Prepared, lists_client_log, max_file_bytes};
use crate::chunks::fetch::Archive;
use crate::chunks::plain::{Belief, complete};
use crate::context::RunContext;
use crate::decrypt::plan::{KeyNote, Plan};
use crate::event::{GroupEvent, StartState};
use crate::group::GroupState;
use crate::merge::base_of;
use crate::outcome::{ArchiveFailure, GroupFailure};
use crate::removal::leftovers::{mark_begun, unmark};
use crate::source::Source;
use crate::target::{StoredFile, StoredManifest, Target, TargetGroup, TargetSnapshot};

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotOutcome {
    /// It was transferred, or some of it was replaced.
    Changed,
    /// It is the same on both sides.
    Unchanged,
    /// It vanished from the source or does not pass the filters any more.
    LeftOut,
}

/// Syncs one snapshot.
pub(crate) async fn sync_snapshot<S: Source, T: Target>(
    run: &Arc<RunContext<S, T>>,
    group: &mut GroupState,
    target_group: &T::Group,
    action: &Action,
    preparation: Result<Preparation<S>, GroupFailure>,
) -> Result<SnapshotOutcome, GroupFailure> {
    let time = action.item.backup_time;
    let target = target_group.begin(time).await?;
    let is_new = target.is_new();
    let state = match action.kind {
        _ if is_new => StartState::New,
        ActionKind::RefetchCorrupt => StartState::Corrupt,
        _ => StartState::Existing,
    };
    let (index, name) = (group.index, group.group.clone());
    run.emit(index, &name, GroupEvent::SnapshotStarted { time, state });
    if is_new {
        mark_begun(run, group, time).await;
    }
    let has_put = AtomicBool::new(false);
    let result = match preparation {
        Err(error) => Err(error),
        Ok(Preparation::Vanished) => {
            run.emit(index, &name, GroupEvent::VanishedOnSource(time));
            Ok(SnapshotOutcome::LeftOut)
        }
        Ok(Preparation::Ready(prepared)) => {
            let is_corrupt = action.kind == ActionKind::RefetchCorrupt;
            let target = &target;
            let reader = prepared.reader.clone();
            let mut transfer = Transfer {
                run,
                group: &mut *group,
                target_group,
                target,
                action,
                time,
                is_corrupt,
                is_unfinished: false,
                has_put: &has_put,
            };
            let mut result =
                run.cancel.run_until_cancelled(transfer.run(*prepared)).await.unwrap_or(Err(GroupFailure::Cancelled));
            // It may have been opened again after a lost connection, or for the first time after its manifest was read.
            if let Err(error) = &result
                && let Some(fault) = error.source_fault()
                && run.cancel.run_until_cancelled(reader.is_gone(run, fault)).await == Some(true)
            {
                run.emit(index, &name, GroupEvent::VanishedOnSource(time));
                result = Ok(SnapshotOutcome::LeftOut);
            }
            run.closing.spawn(async move { reader.close().await });
            result
        }
    };
    match &result {
        Ok(SnapshotOutcome::Changed) if is_new => run.emit(index, &name, GroupEvent::SnapshotDone(time)),
        Ok(SnapshotOutcome::Changed | SnapshotOutcome::Unchanged) => {}
        // What was put so far was checked, so an interrupted transfer goes on from there.
        Err(error) if error.keeps_progress() && has_put.load(Ordering::Relaxed) => return result,
        Ok(SnapshotOutcome::LeftOut) | Err(_) if is_new => {
            if let Err(error) = target.discard().await {
                let text = format!("{time}: cannot remove the unfinished snapshot - {}", crate::outcome::chain(&error));
                run.emit(index, &name, GroupEvent::Warning(text));
            }
        }
        Ok(SnapshotOutcome::LeftOut) | Err(_) => {}
    }
    if is_new || (result.is_ok() && action.kind != ActionKind::Compare) {
        unmark(run, group, time).await;
    }
    result
}

/// A snapshot whose turn it is.
pub(crate) struct Transfer<'a, S: Source, T: Target> {
    pub(crate) run: &'a Arc<RunContext<S, T>>,
    pub(crate) group: &'a mut GroupState,
    pub(crate) target_group: &'a T::Group,
    pub(crate) target: &'a <T::Group as TargetGroup>::Snapshot,
    pub(crate) action: &'a Action,
    pub(crate) time: Epoch,
    pub(crate) is_corrupt: bool,
    /// The directory was left by an interrupted run. Nothing in it was ever flushed, so after a power failure an index may
    /// be whole whose chunks are not.
    is_unfinished: bool,
    /// Set once a file that was checked lies in the directory.
    has_put: &'a AtomicBool,
}

impl<S: Source, T: Target> Transfer<'_, S, T> {
    pub(crate) fn emit(&self, event: GroupEvent) {
        self.run.emit(self.group.index, &self.group.group, event);
    }

    async fn run(&mut self, mut prepared: Prepared<S>) -> Result<SnapshotOutcome, GroupFailure> {
        let time = self.time;
        let stored = self.target.manifest().await?;
        self.is_unfinished = !self.target.is_new() && matches!(stored, StoredManifest::Absent);
        let base = base_of(&prepared.raw_manifest, &prepared.manifest);
        if self.is_unchanged(&stored, &prepared, &base).await? {
            self.fetch_client_log(&mut prepared).await?;
            self.remember(base).await;
            self.emit(GroupEvent::NoDataChanges(time));
            return Ok(SnapshotOutcome::Unchanged);
        }
        if !self.passes_filters(&prepared.manifest) {
            self.emit(GroupEvent::FilteredOut(time));
            return Ok(SnapshotOutcome::LeftOut);
        }
        let local = match &stored {
            StoredManifest::Present { manifest, .. } if !self.is_corrupt => Some(&**manifest),
            _ => None,
        };
        match self.decide(&prepared.manifest, local).await? {
            Plan::AsItIs(KeyNote::None) => {}
            Plan::AsItIs(KeyNote::NoneMatches) => self.emit(GroupEvent::NoKeyMatches(time)),
            Plan::AsItIs(KeyNote::NotFullyEncrypted(key)) => self.emit(GroupEvent::NotFullyEncrypted(key.name())),
            Plan::Decrypt(key) => {
                self.emit(GroupEvent::KeyMatches(key.name()));
                return self.decrypt(&mut prepared, key).await;
            }
            Plan::NothingChanged(key) => {
                self.emit(GroupEvent::KeyMatches(key.name()));
                self.complete_decrypted_client_log(&mut prepared, key).await?;
                self.emit(GroupEvent::NoDataChanges(time));
                return Ok(SnapshotOutcome::Unchanged);
            }
        }
        self.check_repairable(&stored, &prepared.manifest)?;
        let mut is_changed = false;
        for file in prepared.manifest.files.clone() {
            let ahead = prepared.files.remove(&file.name);
            let archive = file.name.clone();
            let failed = |error| GroupFailure::Archive { time, archive, source: Box::new(error) };
            is_changed |= self.sync_file(&prepared, &file, ahead).await.map_err(failed)?;
        }
        let (raw, manifest) = (prepared.raw_manifest.clone(), prepared.manifest.clone());
        is_changed |= self.commit_merged(raw, manifest, self.group.record.base(time)).await?;
        self.fetch_client_log(&mut prepared).await?;
        self.target.remove_unlisted(&prepared.manifest).await?;
        self.remember(base).await;
        if is_changed {
            return Ok(SnapshotOutcome::Changed);
        }
        self.emit(GroupEvent::NoDataChanges(time));
        Ok(SnapshotOutcome::Unchanged)
    }

    /// Checks the filters again on the manifest itself. Source: `docs/spec/sync.md` 7.2 step 4.
    fn passes_filters(&self, manifest: &Manifest) -> bool {
        let selection = &self.run.options.selection;
        let is_verified = || manifest.verify_state().is_some_and(|item| item.state == VerifyState::Ok);
        (!selection.verified_only || is_verified()) && (!selection.encrypted_only || manifest.is_fully_encrypted())
    }

    /// Makes sure that a file and its chunks are in place. Returns whether anything had to be fetched.
    async fn sync_file(
        &mut self,
        prepared: &Prepared<S>,
        file: &ManifestFile,
        ahead: Option<Bytes>,
    ) -> Result<bool, ArchiveFailure> {
        let (time, archive) = (self.time, file.name.clone());
        let is_blob = file.name.kind() == ArchiveKind::Blob;
        if !self.target.is_new() {
            match self.target.compare(file).await? {
                StoredFile::Matching if (self.is_corrupt || self.is_unfinished) && !is_blob => {
                    self.has_put.store(true, Ordering::Relaxed);
                    if let Some(is_changed) = self.repair_chunks(prepared, file).await? {
                        return Ok(is_changed);
                    }
                }
                StoredFile::Matching => {
                    self.has_put.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                StoredFile::Different if !self.is_corrupt => {
                    self.emit(GroupEvent::ArchiveMismatch { time, archive: archive.clone() });
                }
                StoredFile::Different | StoredFile::Absent => {}
            }
        }
        self.emit(GroupEvent::ArchiveStarted { time, archive: archive.clone() });
        let content = self.received_file(prepared, file, ahead).await?;
        if is_blob {
            self.check_blob(file, &content).await?;
            self.put(&file.name, content).await?;
            return Ok(true);
        }
        let index = self.check_index(file, content).await?;
        self.group.load_reusable(self.run, self.target_group).await;
        let belief = if self.is_corrupt { Belief::Doubtful { had_index: false } } else { Belief::Good };
        let received = complete(
            self.run,
            self.group,
            &prepared.reader,
            &Archive {
                name: &file.name,
                index: &index,
                is_encrypted: file.crypt_mode == CryptMode::Encrypt,
                max_index_bytes: max_file_bytes(file),
            },
            belief,
        )
        .await?;
        self.put(&file.name, index.as_bytes().clone()).await?;
        self.end_journal().await;
        self.emit(GroupEvent::IndexDone { time, archive, bytes: received.bytes, elapsed: received.elapsed });
        Ok(true)
    }

    /// Returns a file of the snapshot, unchecked.
    pub(crate) async fn received_file(
        &self,
        prepared: &Prepared<S>,
        file: &ManifestFile,
        ahead: Option<Bytes>,
    ) -> Result<Bytes, ArchiveFailure> {
        match ahead {
            Some(content) => Ok(content),
            None => Ok(prepared.reader.file(&file.name, max_file_bytes(file)).await?),
        }
    }

    /// Puts a checked file in place; all chunks of an index are stored.
    pub(crate) async fn put(&self, name: &ArchiveName, content: Bytes) -> Result<(), ArchiveFailure> {
        self.target.put(name, content).await?;
        self.has_put.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) async fn check_blob(&self, file: &ManifestFile, content: &Bytes) -> Result<(), ArchiveFailure> {
        let found = content.len() as u64;
        if found != file.size_bytes {
            let archive = file.name.clone();
            return Err(ArchiveFailure::Size { archive, expected: file.size_bytes, found });
        }
        let hashed = content.clone();
        if self.run.pool.run(move |_| sha256(&hashed)).await? != file.checksum {
            return Err(ArchiveFailure::Checksum { archive: file.name.clone() });
        }
        Ok(())
    }

    /// Parses an index; its checksum is recomputed from the entries, whatever its header says.
    pub(crate) async fn check_index(&self, file: &ManifestFile, content: Bytes) -> Result<Index, ArchiveFailure> {
        let kind = file.name.kind();
        let index = self.run.pool.run(move |_| Index::parse(kind, content)).await??;
        if index.checksum() != file.checksum {
            return Err(ArchiveFailure::Checksum { archive: file.name.clone() });
        }
        if index.size_bytes() != file.size_bytes {
            let (archive, found) = (file.name.clone(), index.size_bytes());
            return Err(ArchiveFailure::Size { archive, expected: file.size_bytes, found });
        }
        Ok(index)
    }

    /// Fetches the client log if the source listed one and the target has none.
    ///
    /// Source: `docs/spec/sync.md` 7.2 step 9, C.2 W7.
    async fn fetch_client_log(&self, prepared: &mut Prepared<S>) -> Result<(), GroupFailure> {
        if self.is_client_log_missing().await?
            && let Some(content) = self.received_client_log(prepared).await
        {
            self.target.put_client_log(content).await?;
            self.emit(GroupEvent::LogFetched(self.time));
        }
        Ok(())
    }

    /// Returns whether the source listed a client log and the target has none.
    pub(crate) async fn is_client_log_missing(&self) -> Result<bool, GroupFailure> {
        Ok(lists_client_log(self.action) && !self.target.has_client_log().await?)
    }

    /// Returns the client log if the source listed one. A log that cannot be had is no error.
    pub(crate) async fn received_client_log(&self, prepared: &mut Prepared<S>) -> Option<Bytes> {
        if !lists_client_log(self.action) {
            return None;
        }
        let name = ArchiveName::client_log();
        match prepared.files.remove(&name) {
            Some(content) => Some(content),
            None => prepared.reader.file(&name, MAX_BLOB_BYTES).await.ok(),
        }
    }
}
