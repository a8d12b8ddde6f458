//! Sending one snapshot through one backup session, up to the moment before it becomes visible.
//!
//! Files go in the order of the manifest, several at once: what waits for round trips overlaps, and the events read as if
//! one came after the other. The manifest is last: the target may store it at once, and a directory with one counts as
//! finished there, also if the target crashes before [`PushSession::finish`].
//!
//! Source: `docs/spec/sync.md` 10.4 steps 5 to 8.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_format::index::{FIXED_CHUNK_BYTES, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, Epoch};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::ahead::prepare::{MAX_BLOB_BYTES, max_file_bytes};
use crate::budget::{Charge, MIN_BUDGET_BYTES};
use crate::chunks::renamed::with_digests;
use crate::encrypt::digests::PushDigests;
use crate::encrypt::form::ChunkForm;
use crate::encrypt::pairing::Pairing;
use crate::event::GroupEvent;
use crate::fault::RequestFault;
use crate::outcome::{ArchiveFailure, GroupFailure, chain};
use crate::push::archive::Archive;
use crate::push::context::{GroupEvents, PushRun};
use crate::push::known::SessionChunks;
use crate::push::lanes::Lanes;
use crate::push::previous::Previous;
use crate::push::steps::may_reuse;
use crate::push::target::{PushSession, PushTarget};
use crate::source::{Source, SourceSnapshot};
use crate::target::IndexStamp;

/// Files of one snapshot that are sent at once: enough to hide round trips, few enough for the order of events.
const FILES_AT_ONCE: usize = 8;

/// Uploads of one session that are on their way at once; the reference has as many.
pub(crate) const UPLOADS_AT_ONCE: usize = 64;

/// A snapshot on its way.
pub(crate) struct Sender<'a, S: Source, T: PushTarget> {
    pub(crate) run: &'a PushRun<S, T>,
    pub(crate) events: &'a GroupEvents,
    pub(crate) reader: &'a S::Snapshot,
    pub(crate) session: &'a T::Session,
    pub(crate) time: Epoch,
    pub(crate) manifest: &'a Manifest,
    pub(crate) form: ChunkForm,
    /// Chunks that the session may name.
    pub(crate) chunks: SessionChunks,
    pub(crate) digests: &'a Mutex<PushDigests>,
    /// Where names of chunks may be found beside those.
    pub(crate) pairing: Option<Pairing<'a, S>>,
    pub(crate) uploads: Semaphore,
}

impl<S: Source, T: PushTarget> Sender<'_, S, T> {
    pub(crate) fn digests(&self) -> MutexGuard<'_, PushDigests> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the most bytes of the budget that one chunk may ask for.
    pub(crate) fn most_permits(&self) -> u32 {
        self.run.options.budget_bytes.max(MIN_BUDGET_BYTES)
    }

    /// Sends everything but the end. Returns the manifest that the target has then.
    pub(crate) async fn send(&self, previous: &Previous, has_log: bool) -> Result<Manifest, GroupFailure> {
        let files = self.send_files(previous, has_log).await?;
        let manifest = self.form.manifest(self.manifest, files);
        self.send_manifest(&manifest).await?;
        Ok(manifest)
    }

    async fn send_files(&self, previous: &Previous, has_log: bool) -> Result<Vec<ManifestFile>, GroupFailure> {
        let lanes = Lanes::new(self.events.sink.clone());
        let mut sent = Vec::with_capacity(self.manifest.files.len());
        for (position, file) in self.manifest.files.iter().enumerate() {
            let events = self.events.through(Arc::new(lanes.lane()));
            sent.push(async move {
                let entry = self.send_file(file, previous, &events).await;
                entry.map(|entry| (position, entry)).map_err(|error| self.failed(&file.name, error))
            });
        }
        // The first failure in time counts: what waits for a file that failed has nothing to tell.
        let files = stream::iter(sent).buffer_unordered(FILES_AT_ONCE).try_collect::<BTreeMap<_, _>>();
        let (files, ()) = futures::try_join!(files, self.send_client_log(has_log))?;
        Ok(files.into_values().collect())
    }

    fn failed(&self, archive: &ArchiveName, error: ArchiveFailure) -> GroupFailure {
        GroupFailure::Archive { time: self.time, archive: archive.clone(), source: Box::new(error) }
    }

    async fn send_file(
        &self,
        file: &ManifestFile,
        previous: &Previous,
        events: &GroupEvents,
    ) -> Result<ManifestFile, ArchiveFailure> {
        let (time, archive) = (self.time, file.name.clone());
        events.emit(GroupEvent::ArchiveStarted { time, archive: archive.clone() });
        let begin = Instant::now();
        let _room = self.room_for(file).await?;
        let stored = self.reader.file(&file.name, max_file_bytes(file)).await.map_err(|error| match error.fault {
            // The manifest bounds the size, so it is not the file that the manifest means.
            RequestFault::TooLarge => {
                ArchiveFailure::Size { archive: archive.clone(), expected: file.size_bytes, found: u64::MAX }
            }
            _ => error.into(),
        })?;
        let (entry, bytes) = match file.name.kind() {
            ArchiveKind::Blob => self.send_blob(file, stored).await?,
            _ => self.send_index(file, stored, previous, events).await?,
        };
        events.emit(GroupEvent::IndexDone { time, archive, bytes, elapsed: begin.elapsed() });
        Ok(entry)
    }

    /// Waits until a blob fits into the byte budget. Indexes are not counted: their entries are a thousandth of what they
    /// stand for.
    async fn room_for(&self, file: &ManifestFile) -> Result<Option<Charge>, ArchiveFailure> {
        if file.name.kind() != ArchiveKind::Blob {
            return Ok(None);
        }
        let bytes = u32::try_from(max_file_bytes(file)).unwrap_or(u32::MAX).min(self.most_permits());
        self.run.budget.acquire(bytes).await.map(Some).map_err(|_| ArchiveFailure::Crashed)
    }

    async fn send_blob(&self, file: &ManifestFile, stored: Bytes) -> Result<(ManifestFile, u64), ArchiveFailure> {
        let phase = self.run.phases.begin();
        let (form, described) = (self.form.clone(), file.clone());
        let (encoded, entry) = self.run.pool.run(move |bench| form.blob(bench, &described, stored)).await??;
        let bytes = encoded.len() as u64;
        self.session.blob(&file.name, encoded.clone()).await?;
        self.run.count_file(&encoded);
        drop(phase);
        Ok((entry, bytes))
    }

    async fn send_index(
        &self,
        file: &ManifestFile,
        stored: Bytes,
        previous: &Previous,
        events: &GroupEvents,
    ) -> Result<(ManifestFile, u64), ArchiveFailure> {
        let kind = file.name.kind();
        let index = self.run.pool.run(move |_| Index::parse(kind, stored)).await??;
        let archive = file.name.clone();
        if index.checksum() != file.checksum {
            return Err(ArchiveFailure::Checksum { archive });
        }
        if index.size_bytes() != file.size_bytes {
            return Err(ArchiveFailure::Size { archive, expected: file.size_bytes, found: index.size_bytes() });
        }
        if let Some(found) = index.chunk_size_bytes().filter(|size| *size != FIXED_CHUNK_BYTES) {
            return Err(ArchiveFailure::ChunkSize { archive, found });
        }
        let wanted = self.on_target(&index).await?;
        let known = previous.index(self, file, &index, wanted).await;
        if let Some(known) = &known
            && known.is_registered
        {
            self.chunks.add(known.index.digests());
            self.pair(file, &index, &known.index, previous).await;
        }
        let reused = known.as_ref().map(|known| &known.index).filter(|previous| may_reuse(&index, previous));
        let (writer, reused) = self.create(file, &index, reused).await?;
        let is_refused = reused.is_none() && known.as_ref().is_some_and(|known| !known.is_registered);
        if is_refused && let Some(asked) = previous.index(self, file, &index, None).await {
            self.chunks.add(asked.index.digests());
        }
        let uploaded_bytes = AtomicU64::default();
        let archive = Archive { sender: self, file, index: &index, writer, reused, events, uploaded_bytes };
        let sent = archive.send().await?;
        self.digests().use_for(self.time, &index);
        Ok((self.form.index_entry(file, sent.checksum), sent.bytes))
    }

    /// Returns the index as the target is to have it, if the names of all its chunks there are known.
    async fn on_target(&self, index: &Index) -> Result<Option<Index>, ArchiveFailure> {
        let Some(digests) = self.digests().renamed(index) else { return Ok(None) };
        let index = index.clone();
        // Only compared, so nobody sees its header.
        let stamp = IndexStamp { uuid: index.uuid(), created: index.created() };
        Ok(Some(self.run.pool.run(move |_| with_digests(&index, &digests, stamp)).await??))
    }

    /// Looks for the names of chunks in the previous snapshot, if they are not known otherwise.
    async fn pair(&self, file: &ManifestFile, index: &Index, on_target: &Index, previous: &Previous) {
        let (Some(pairing), Some(manifest)) = (&self.pairing, previous.manifest()) else { return };
        if !self.digests().needs_pairs_of(manifest.backup_time, index) {
            return;
        }
        match pairing.pairs(manifest, &file.name, on_target).await {
            Ok(pairs) => self.digests().learn(pairs),
            Err(error) if error.is_suspicious() => {
                let (time, error) = (self.time, chain(&error));
                let text = format!("{time}/{}: the previous snapshot on the target is not used - {error}", file.name);
                self.events.emit(GroupEvent::Warning(text));
            }
            Err(error) => tracing::debug!(archive = %file.name, %error, "no pairs of encrypted chunks"),
        }
    }

    /// Begins the index on the target, with the entries of the previous one if it takes them.
    async fn create<'i>(
        &self,
        file: &ManifestFile,
        index: &Index,
        reused: Option<&'i Index>,
    ) -> Result<(<T::Session as PushSession>::Writer, Option<&'i Index>), ArchiveFailure> {
        if file.name.kind() == ArchiveKind::DynamicIndex {
            return Ok((self.session.create_dynamic(&file.name).await?, None));
        }
        if let Some(reused) = reused {
            let created = self.session.create_fixed(&file.name, index.size_bytes(), Some(&reused.checksum())).await;
            match created {
                Ok(writer) => return Ok((writer, Some(reused))),
                // A refusal costs appends only.
                Err(error) if !error.ends_session() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((self.session.create_fixed(&file.name, index.size_bytes(), None).await?, None))
    }

    /// Sends the client log as it is stored, if there is one. One that cannot be read or is damaged stays behind: it is
    /// no part of what the manifest promises.
    ///
    /// Source: `docs/spec/sync.md` 10.4 step 7, C.1 FAULT 14, C.2 W27.
    async fn send_client_log(&self, has_log: bool) -> Result<(), GroupFailure> {
        if !has_log {
            return Ok(());
        }
        let name = ArchiveName::client_log();
        let stored = match self.reader.file(&name, MAX_BLOB_BYTES).await {
            Ok(stored) => stored,
            Err(error) if error.fault == RequestFault::NotFound => return Ok(()),
            Err(error) => return Err(self.failed(&name, error.into())),
        };
        let form = self.form.clone();
        let encoded = self.run.pool.run(move |bench| form.client_log(bench, stored)).await;
        match encoded.map_err(|error| self.failed(&name, error))? {
            Ok(encoded) => {
                self.session.blob(&name, encoded.clone()).await.map_err(|error| self.failed(&name, error.into()))?;
                self.run.count_file(&encoded);
            }
            Err(error) => {
                let text = format!("{}: the client log is damaged and stays behind - {error}", self.time);
                self.events.emit(GroupEvent::Warning(text));
            }
        }
        Ok(())
    }

    async fn send_manifest(&self, manifest: &Manifest) -> Result<(), GroupFailure> {
        let name = ArchiveName::manifest();
        let (made, archive) = (manifest.clone(), name.clone());
        let encoded = self.run.pool.run(move |bench| made.to_blob(&mut bench.encoder)).await;
        let encoded = encoded.and_then(|encoded| encoded.map_err(|source| ArchiveFailure::Blob { archive, source }));
        let encoded = Bytes::from(encoded.map_err(|error| self.failed(&name, error))?);
        self.session.blob(&name, encoded.clone()).await.map_err(|error| self.failed(&name, error.into()))?;
        self.run.count_file(&encoded);
        Ok(())
    }
}
