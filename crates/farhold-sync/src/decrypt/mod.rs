//! The pull of a fully encrypted snapshot that is stored without its encryption.
//!
//! Every file is written anew: files that an interrupted pull left in the directory are never kept, since those of a
//! plain pull would fit the source's manifest but not the new one. What was transferred before is not lost, because
//! [`pairs`] remember it chunk by chunk. The new manifest comes last, as always.
//!
//! Source: `docs/spec/sync.md` 9.2, C.1 FAULT 5 and 8.

pub(crate) mod chunks;
pub(crate) mod pairs;
pub(crate) mod plan;

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{BlobError, MAX_ENCODED_BLOB_BYTES, MAX_INPUT_BYTES};
use farhold_format::manifest::{
    CHANGE_DETECTION_FINGERPRINT, KEY_FINGERPRINT, Manifest, ManifestError, ManifestFile, SYNC_SOURCE_SIGNATURE,
    VERIFY_STATE,
};
use farhold_types::{ArchiveKind, CryptMode, Digest};

use self::pairs::Pairs;
use self::plan::{Facts, Plan, content_hash, matching_key, may_repair, plan};
use crate::ahead::prepare::{Prepared, max_file_bytes};
use crate::chunks::check_pool::Bench;
use crate::chunks::fetch::{Archive, Fetching};
use crate::context::RunContext;
use crate::event::GroupEvent;
use crate::group::GroupState;
use crate::notes::pair_file::MadeFrom;
use crate::options::SyncKey;
use crate::outcome::{ArchiveFailure, GroupFailure, chain};
use crate::snapshot::{SnapshotOutcome, Transfer};
use crate::source::Source;
use crate::target::{StoredManifest, Target, TargetSnapshot};

/// What is known of a group's decrypted chunks under one key. Kept apart from the chunks of plain pulls: an encrypted
/// digest seen there says nothing about an unencrypted chunk.
#[derive(Debug)]
pub(crate) struct Decryption {
    key: SyncKey,
    pairs: Pairs,
}

impl Decryption {
    async fn load<S: Source, T: Target>(
        run: &RunContext<S, T>,
        group: &GroupState,
        key: &SyncKey,
    ) -> Result<Self, ArchiveFailure> {
        let fingerprint = key.config.fingerprint();
        let scope = run.journal.as_ref();
        let place = scope.map(|scope| scope.pair_place(&group.target_ns, &group.group, &fingerprint));
        let pairs = run.pool.run(move |_| Pairs::load(place)).await?;
        Ok(Self { key: key.clone(), pairs })
    }
}

impl GroupState {
    /// Takes out what is known under `key`, reading it the first time.
    async fn take_decryption<S: Source, T: Target>(
        &mut self,
        run: &RunContext<S, T>,
        key: &SyncKey,
    ) -> Result<Decryption, ArchiveFailure> {
        let fingerprint = key.config.fingerprint();
        match self.decryption.take().filter(|known| known.key.config.fingerprint() == fingerprint) {
            Some(known) => Ok(known),
            None => Decryption::load(run, self, key).await,
        }
    }
}

impl<'a, S: Source, T: Target> Transfer<'a, S, T> {
    /// Decides what to do with a snapshot whose local manifest differs from the source's.
    pub(crate) async fn decide(
        &mut self,
        source: &Manifest,
        local: Option<&Manifest>,
    ) -> Result<Plan<'a>, GroupFailure> {
        let run: &'a Arc<RunContext<S, T>> = self.run;
        let keys = &run.options.decryption_keys;
        let snapshot = self.action.item.snapshot();
        let unusable = |source| GroupFailure::Manifest { snapshot: snapshot.clone(), source };
        let mut made_from = None;
        if let (Some(_), None, Some(key)) = (local, source.signature, matching_key(source, keys).map_err(unusable)?) {
            let known = self.group.take_decryption(run, key).await.map_err(|_| GroupFailure::Crashed)?;
            made_from = known.pairs.made_from(self.time);
            self.group.decryption = Some(known);
        }
        plan(&Facts { source, local, made_from }, keys).map_err(|obstacle| obstacle.of(snapshot))
    }

    /// Refuses to replace a bad copy that says that it is another backup.
    async fn check_repairable_by(&self, source: &Manifest, key: &SyncKey) -> Result<(), GroupFailure> {
        if self.is_corrupt
            && let StoredManifest::Present { manifest, .. } = self.target.manifest().await?
        {
            may_repair(source, &manifest, key).map_err(|obstacle| obstacle.of(self.action.item.snapshot()))?;
        }
        Ok(())
    }

    /// Pulls a snapshot whose files are all encrypted with `key`, and stores it without the encryption.
    pub(crate) async fn decrypt(
        &mut self,
        prepared: &mut Prepared<S>,
        key: &SyncKey,
    ) -> Result<SnapshotOutcome, GroupFailure> {
        self.check_repairable_by(&prepared.manifest, key).await?;
        let crashed = |_| GroupFailure::Crashed;
        let mut known = self.group.take_decryption(self.run, key).await.map_err(crashed)?;
        let result = self.decrypt_with(prepared, &mut known).await;
        self.group.decryption = Some(known);
        result
    }

    async fn decrypt_with(
        &mut self,
        prepared: &mut Prepared<S>,
        known: &mut Decryption,
    ) -> Result<SnapshotOutcome, GroupFailure> {
        let time = self.time;
        let mut files = Vec::with_capacity(prepared.manifest.files.len());
        for file in prepared.manifest.files.clone() {
            let ahead = prepared.files.remove(&file.name);
            let decrypted = self.decrypt_file(prepared, &file, ahead, known).await;
            let archive = file.name;
            let failed = |error| GroupFailure::Archive { time, archive, source: Box::new(error) };
            files.push(decrypted.map_err(failed)?);
        }
        let manifest = decrypted_manifest(&prepared.manifest, files);
        let snapshot = self.action.item.snapshot();
        let written = manifest.clone();
        let raw = self.run.pool.run(move |bench| written.to_blob(&mut bench.encoder)).await;
        let raw = raw.map_err(|_| GroupFailure::Crashed)?.map_err(|source| {
            let source = ManifestError::Blob { source };
            GroupFailure::Manifest { snapshot, source }
        })?;
        self.commit_merged(raw.into(), manifest.clone(), None).await?;
        // One that is there may be encrypted.
        if let Some(log) = self.received_client_log(prepared).await {
            self.put_decrypted_client_log(log, &known.key).await?;
        }
        self.target.remove_unlisted(&manifest).await?;
        self.settle(prepared, known).await;
        Ok(SnapshotOutcome::Changed)
    }

    /// Fetches one file, checks it against the source's manifest, and puts the decrypted one in place.
    async fn decrypt_file(
        &mut self,
        prepared: &Prepared<S>,
        file: &ManifestFile,
        ahead: Option<Bytes>,
        known: &mut Decryption,
    ) -> Result<ManifestFile, ArchiveFailure> {
        let (time, archive) = (self.time, file.name.clone());
        self.emit(GroupEvent::ArchiveStarted { time, archive: archive.clone() });
        let content = self.received_file(prepared, file, ahead).await?;
        if file.name.kind() == ArchiveKind::Blob {
            self.check_blob(file, &content).await?;
            let key = known.key.config.clone();
            let undecodable = |source| ArchiveFailure::Blob { archive: archive.clone(), source };
            let decrypted = self.run.pool.run(move |bench| decrypt_blob(bench, &content, &key)).await?;
            let (decrypted, checksum) = decrypted.map_err(undecodable)?;
            let size_bytes = decrypted.len() as u64;
            self.put(&file.name, decrypted).await?;
            return Ok(ManifestFile { name: archive, crypt_mode: CryptMode::None, size_bytes, checksum });
        }
        let index = self.check_index(file, content).await?;
        self.group.load_reusable(self.run, self.target_group).await;
        let (new, received) = {
            let archive =
                Archive { name: &file.name, index: &index, is_encrypted: true, max_index_bytes: max_file_bytes(file) };
            let (run, reader, group) = (self.run, &prepared.reader, &*self.group);
            let fetching = Fetching { run, index: group.index, group: &group.group, reader, archive: &archive };
            let reusable = (!self.is_corrupt).then_some(&group.known);
            chunks::rewrite(&fetching, known, reusable, time).await?
        };
        self.put(&file.name, new.as_bytes().clone()).await?;
        self.emit(GroupEvent::IndexDone {
            time,
            archive: archive.clone(),
            bytes: received.bytes,
            elapsed: received.elapsed,
        });
        let (size_bytes, checksum) = (new.size_bytes(), new.checksum());
        Ok(ManifestFile { name: archive, crypt_mode: CryptMode::None, size_bytes, checksum })
    }

    /// Fetches the client log of a decrypted snapshot if the target has none.
    pub(crate) async fn complete_decrypted_client_log(
        &mut self,
        prepared: &mut Prepared<S>,
        key: &SyncKey,
    ) -> Result<(), GroupFailure> {
        if self.is_client_log_missing().await?
            && let Some(log) = self.received_client_log(prepared).await
        {
            self.put_decrypted_client_log(log, key).await?;
        }
        Ok(())
    }

    /// Puts the client log in place without its encryption. One that cannot be read is left out with a warning.
    async fn put_decrypted_client_log(&self, log: Bytes, key: &SyncKey) -> Result<(), GroupFailure> {
        let (time, config, received) = (self.time, key.config.clone(), log.clone());
        let decrypted = self.run.pool.run(move |bench| decrypt_client_log(bench, &received, &config)).await;
        match decrypted.map_err(|_| GroupFailure::Crashed)? {
            Ok(decrypted) => self.target.put_client_log(decrypted).await?,
            // Whoever wrote it did so without the key.
            Err(BlobError::NotEncrypted) => self.target.put_client_log(log).await?,
            Err(error) => {
                let text = format!("{time}: the client log cannot be decrypted and is left out - {}", chain(&error));
                self.emit(GroupEvent::Warning(text));
                return Ok(());
            }
        }
        self.emit(GroupEvent::LogFetched(time));
        Ok(())
    }

    /// Notes which pairs the finished snapshot uses. Without the note the next one is transferred as a whole.
    async fn settle(&self, prepared: &Prepared<S>, known: &mut Decryption) {
        let made = MadeFrom { time: self.time, content: content_hash(&prepared.manifest) };
        let mut pairs = std::mem::take(&mut known.pairs);
        let job = move |_: &mut Bench| {
            let result = pairs.settle(made);
            (pairs, result)
        };
        let Ok((pairs, result)) = self.run.pool.run(job).await else { return };
        known.pairs = pairs;
        if let Err(error) = result {
            tracing::warn!(%error, "cannot note the chunks of a decrypted snapshot");
        }
    }
}

/// Returns a blob without its encryption, and the checksum of the new one.
pub(crate) fn decrypt_blob(bench: &mut Bench, encoded: &[u8], key: &CryptConfig) -> Result<(Bytes, Digest), BlobError> {
    // A buffer of its own: that of the bench stays as small as chunks are.
    let mut plain = Vec::new();
    let decrypted = bench.decoder.decrypt_into(encoded, key, MAX_INPUT_BYTES, &mut plain, &mut bench.encoder)?;
    let checksum = sha256(&decrypted);
    Ok((decrypted.into(), checksum))
}

/// Returns a client log without its encryption. The reference, pushing an encrypted one as it is, wraps it into a second
/// blob that is not encrypted (`docs/spec/sync.md` C.1 FAULT 14).
fn decrypt_client_log(bench: &mut Bench, encoded: &[u8], key: &CryptConfig) -> Result<Bytes, BlobError> {
    match decrypt_blob(bench, encoded, key) {
        Err(BlobError::NotEncrypted) => {
            let inner = bench.decoder.decode(encoded, None, MAX_ENCODED_BLOB_BYTES)?;
            match decrypt_blob(bench, &inner, key) {
                Ok((decrypted, _)) => Ok(decrypted),
                Err(_) => Err(BlobError::NotEncrypted),
            }
        }
        result => result.map(|(decrypted, _)| decrypted),
    }
}

/// Returns the manifest of the decrypted copy.
///
/// Notes and upload statistics stay. Gone are the key, a verification, which was one of other chunks, and the signatures;
/// the source's own signature is noted, so that later runs know the copy again.
fn decrypted_manifest(source: &Manifest, files: Vec<ManifestFile>) -> Manifest {
    let mut manifest = Manifest { files, signature: None, ..source.clone() };
    for member in [KEY_FINGERPRINT, VERIFY_STATE, SYNC_SOURCE_SIGNATURE, CHANGE_DETECTION_FINGERPRINT] {
        manifest.unprotected.remove(member);
    }
    if let Some(signature) = source.signature {
        manifest.set_sync_source_signature(signature);
    }
    manifest
}
