//! The state of one backup session, and its steps on the blocking pool.
//!
//! Locks, in this order: an index's own, the state's. The first one is held while entries of one request are decided
//! and written, so that those of another come behind them as a whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use farhold_client::Pauses;
use farhold_datastore::backup::{BackupError, BackupWriter, DynamicFile, FinishedIndex, FixedFile, UploadStatistics};
use farhold_datastore::{ErrorKind, Inserted};
use farhold_format::index::Index;
use farhold_protocol::writer::{ClosedIndex, Phase, UploadCounts, WriterRefusal, WriterState, check_reuse};
use farhold_protocol::writer_request::WriterKind;
use farhold_types::{ArchiveKind, ArchiveName, Digest, Epoch};
use tokio::sync::{Semaphore, oneshot};

use super::intake::{Intake, WriteBudget};
use super::report::{self, SessionLog};
use super::watch::Activity;
use crate::error::ApiError;

/// Files of the base snapshot one session may hold in memory at once; indexes of large disks have many MiB.
const SESSION_FILES: usize = 4;

/// State of one session.
pub struct BackupSession {
    writer: Arc<BackupWriter>,
    state: Mutex<WriterState>,
    indexes: Mutex<HashMap<u64, Arc<OpenIndex>>>,
    pub(super) intake: Intake,
    pub(super) activity: Arc<Activity>,
    /// See [`SESSION_FILES`].
    pub(super) files: Arc<Semaphore>,
    pub(super) log: SessionLog,
    /// Held while the backup is being finished. True when it cannot be finished any more.
    given_up: Mutex<bool>,
    /// Told when the snapshot is complete.
    finished: Mutex<Option<oneshot::Sender<()>>>,
}

/// An index under construction. The lock is for a whole request.
struct OpenIndex {
    file: IndexFile,
    requests: Mutex<()>,
}

enum IndexFile {
    Fixed(FixedFile),
    Dynamic(DynamicFile),
}

impl std::fmt::Debug for BackupSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupSession").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl From<WriterRefusal> for ApiError {
    fn from(refusal: WriterRefusal) -> Self {
        Self::bad_request(refusal.to_string())
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        Self::from_chain(&error)
    }
}

/// A new fixed index.
pub(super) struct NewFixed {
    pub name: ArchiveName,
    pub size: Option<u64>,
    /// The checksum of the base's index that the new one begins with, as the client gave it.
    pub reuse: Option<String>,
}

/// A chunk's upload, its body aside.
#[derive(Clone, Copy)]
pub(super) struct ChunkUpload {
    pub kind: WriterKind,
    pub writer: u64,
    pub digest: Digest,
    pub plain_bytes: u32,
}

/// The end of an index.
#[derive(Clone, Copy)]
pub(super) struct Close {
    pub kind: WriterKind,
    pub writer: u64,
    pub chunk_count: u64,
    pub size: u64,
    pub checksum: Digest,
}

impl BackupSession {
    /// Returns a session that fills `writer`. `log`: of its task. `finished`: told when the snapshot is complete.
    /// `pauses`: of its connection.
    pub fn new(
        writer: BackupWriter,
        budget: &WriteBudget,
        log: SessionLog,
        finished: oneshot::Sender<()>,
        pauses: Pauses,
    ) -> Self {
        let writer = Arc::new(writer);
        let activity = Activity::new(pauses);
        let scratch = Arc::clone(&writer);
        let make_scratch = move || scratch.scratch_file().map_err(ApiError::from);
        Self {
            intake: Intake::new(budget, Arc::clone(&activity), Box::new(make_scratch)),
            writer,
            state: Mutex::default(),
            indexes: Mutex::default(),
            activity,
            files: Arc::new(Semaphore::new(SESSION_FILES)),
            log,
            given_up: Mutex::new(false),
            finished: Mutex::new(Some(finished)),
        }
    }

    /// Waits for a request to finish the backup, if one is being worked on, and lets no other succeed; returns whether the
    /// snapshot is complete. Blocking.
    pub fn give_up(&self) -> bool {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state().phase() == Phase::Finished
    }

    /// Ends the session: waits for requests that are being worked on, removes the snapshot if it is not complete, and
    /// gives the locks back. Blocking.
    ///
    /// # Errors
    /// The snapshot cannot be removed; it is no finished one.
    pub fn end(&self) -> Result<(), BackupError> {
        let ended = self.writer.discard();
        drop(self.finished.lock().unwrap_or_else(PoisonError::into_inner).take());
        ended
    }

    fn state(&self) -> MutexGuard<'_, WriterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, writer: u64) -> Option<Arc<OpenIndex>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&writer).cloned()
    }

    fn add_index(&self, writer: u64, file: IndexFile) {
        let index = Arc::new(OpenIndex { file, requests: Mutex::default() });
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).insert(writer, index);
    }

    fn remove_index(&self, writer: u64) {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).remove(&writer);
    }

    fn relative(&self, name: &ArchiveName) -> String {
        report::relative_path(self.writer.namespace(), self.writer.snapshot(), Some(name))
    }

    /// Creates a dynamic index; returns its writer. Blocking.
    pub(super) fn create_dynamic(&self, name: &ArchiveName) -> Result<u64, ApiError> {
        check_kind(name, ArchiveKind::DynamicIndex)?;
        self.state().check_new_index()?;
        let file = self.writer.create_dynamic(name)?;
        let writer = self.state().register_dynamic(name.clone())?;
        self.add_index(writer, IndexFile::Dynamic(file));
        self.log.line(&format!("created new dynamic index {writer} (\"{}\")", self.relative(name)));
        Ok(writer)
    }

    /// Creates a fixed index; returns its writer. Blocking.
    pub(super) fn create_fixed(&self, new: &NewFixed) -> Result<u64, ApiError> {
        let name = &new.name;
        check_kind(name, ArchiveKind::FixedIndex)?;
        self.state().check_new_fixed(new.size)?;
        let base = match &new.reuse {
            None => None,
            Some(_) if self.writer.base().is_none() => return Err(WriterRefusal::NoBase.into()),
            Some(checksum) => {
                let index = self.writer.base_index(name)?;
                let is = Some((index.checksum(), index.chunk_count() as u64));
                check_reuse(new.size, is, checksum.parse().ok())?;
                Some(index)
            }
        };
        let file = self.writer.create_fixed(name, new.size, base.as_ref())?;
        let writer = self.state().register_fixed(name.clone(), new.size, base.is_some())?;
        self.add_index(writer, IndexFile::Fixed(file));
        self.log.line(&format!("created new fixed index {writer} (\"{}\")", self.relative(name)));
        Ok(writer)
    }

    /// Stores a checked chunk and makes it known. Blocking.
    pub(super) fn store_chunk(&self, upload: &ChunkUpload, encoded: &[u8]) -> Result<(), ApiError> {
        // Asked before, so that a chunk that nobody can refer to is not stored.
        self.state().check_chunk(upload.kind, upload.writer, u64::from(upload.plain_bytes))?;
        let inserted = self.writer.insert_chunk(&upload.digest, encoded)?;
        let is_duplicate = matches!(inserted, Inserted::Duplicate);
        let ChunkUpload { kind, writer, digest, plain_bytes } = *upload;
        let encoded_bytes = encoded.len() as u64;
        self.state().register_chunk(kind, writer, digest, plain_bytes, encoded_bytes, is_duplicate)?;
        Ok(())
    }

    /// Appends to an index. Blocking. What comes before the first wrong pair stays.
    pub(super) fn append(
        &self,
        kind: WriterKind,
        writer: u64,
        digests: &[Digest],
        starts: &[u64],
    ) -> Result<(), ApiError> {
        let Some(index) = self.index(writer) else {
            // There is no such writer; the state says what is wrong first.
            let mut state = self.state();
            return match kind {
                WriterKind::Fixed => Ok(state.append_fixed(writer, digests, starts).map(drop)?),
                WriterKind::Dynamic => Ok(state.append_dynamic(writer, digests, starts).map(drop)?),
            };
        };
        let _turn = index.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, refusal) = match (&index.file, kind) {
            (IndexFile::Fixed(file), WriterKind::Fixed) => {
                let append = self.state().append_fixed(writer, digests, starts)?;
                let write = || {
                    if file.size_bytes() < append.size_bytes {
                        file.resize(append.size_bytes)?;
                    }
                    append.appended.entries.iter().try_for_each(|entry| file.set(entry.slot, &entry.digest))
                };
                (write(), append.appended.refusal)
            }
            (IndexFile::Dynamic(file), WriterKind::Dynamic) => {
                let appended = self.state().append_dynamic(writer, digests, starts)?;
                let write = || appended.entries.iter().try_for_each(|entry| file.push(entry.end, &entry.digest));
                (write(), appended.refusal)
            }
            _ => return Err(WriterRefusal::WrongKind { writer, wanted: kind }.into()),
        };
        if let Err(error) = written {
            self.state().break_writer(writer);
            return Err(error.into());
        }
        refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Closes an index. Blocking.
    pub(super) fn close(&self, close: &Close) -> Result<(), ApiError> {
        let Close { kind, writer, .. } = *close;
        let index = self.index(writer);
        let _turn = index.as_ref().map(|index| index.requests.lock().unwrap_or_else(PoisonError::into_inner));
        self.state().check_close(kind, writer, close.chunk_count, close.size)?;
        let finished = match index.as_deref().map(|index| &index.file) {
            Some(IndexFile::Fixed(file)) => file.finish(&close.checksum),
            Some(IndexFile::Dynamic(file)) => file.finish(&close.checksum),
            None => return Err(gone(writer)),
        };
        let finished = finished.inspect_err(|_| self.state().break_writer(writer))?;
        let closed = self.state().close(kind, writer)?;
        self.remove_index(writer);
        self.report_closed(kind, writer, &closed, &finished);
        Ok(())
    }

    fn report_closed(&self, kind: WriterKind, writer: u64, closed: &ClosedIndex, finished: &FinishedIndex) {
        for line in report::upload_statistics(closed, &finished.uuid, &finished.checksum) {
            self.log.line(&line);
        }
        let kind = match kind {
            WriterKind::Fixed => "fixed",
            WriterKind::Dynamic => "dynamic",
        };
        self.log.line(&format!("successfully closed {kind} index {writer}"));
    }

    /// Stores a blob. Blocking.
    pub(super) fn put_blob(&self, name: &ArchiveName, encoded: &[u8]) -> Result<(), ApiError> {
        self.state().check_active()?;
        self.writer.put_blob(name, encoded)?;
        self.state().register_blob(encoded.len() as u64);
        let size = encoded.len();
        self.log.line(&format!("add blob \"{}\" ({size} bytes, comp: {size})", self.relative(name)));
        Ok(())
    }

    /// Checks that there is a base.
    pub(super) fn check_base(&self) -> Result<Epoch, ApiError> {
        Ok(self.writer.base().ok_or(WriterRefusal::NoBase)?)
    }

    /// Returns the time of the base.
    pub(super) fn base_time(&self) -> Option<Epoch> {
        self.writer.base()
    }

    /// Returns a file of the base; chunks of an index become known. Blocking.
    pub(super) fn previous(&self, name: &ArchiveName) -> Result<Bytes, ApiError> {
        let base = self.writer.snapshot().group.at(self.check_base()?);
        let bytes = if name.kind() == ArchiveKind::Blob {
            self.writer.base_file(name).map_err(|error| match error.kind() {
                ErrorKind::NotFound => ApiError::not_found(format!("'{name}' does not exist in '{base}'")),
                _ => error.into(),
            })?
        } else {
            let index = self.writer.base_index(name)?;
            self.log.line(&format!("register chunks in '{name}' from previous backup '{base}'."));
            self.state().register_previous(lengths(&index))?;
            index.as_bytes().clone()
        };
        self.log.line(&format!("download '{name}' from previous backup '{base}'."));
        Ok(bytes)
    }

    /// Finishes the backup; all locks are free afterwards. Blocking.
    pub(super) fn finish(&self) -> Result<(), ApiError> {
        let uploaded = self.state().begin_finish()?;
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if *given_up {
            return Err(BackupError::Ended.into());
        }
        match self.writer.finish(&statistics(uploaded)) {
            Ok(()) => {
                self.state().finished();
                self.log.line("successfully finished backup");
                if let Some(finished) = self.finished.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = finished.send(());
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, BackupError::BaseVanished { .. }) {
                    self.state().back_to_active();
                }
                Err(error.into())
            }
        }
    }
}

fn gone(writer: u64) -> ApiError {
    WriterRefusal::UnknownWriter { writer }.into()
}

fn check_kind(name: &ArchiveName, wanted: ArchiveKind) -> Result<(), ApiError> {
    if name.kind() == wanted {
        return Ok(());
    }
    let extension = match wanted {
        ArchiveKind::FixedIndex => "fidx",
        ArchiveKind::DynamicIndex => "didx",
        ArchiveKind::Blob => "blob",
    };
    Err(ApiError::bad_request(format!("archive name '{name}' does not end in .{extension}")))
}

/// Returns digests and lengths of the chunks of an index.
fn lengths(index: &Index) -> impl Iterator<Item = (Digest, u32)> + '_ {
    index.chunks().map(|chunk| (chunk.digest, u32::try_from(chunk.end - chunk.start).unwrap_or(u32::MAX)))
}

const fn statistics(uploaded: UploadCounts) -> UploadStatistics {
    UploadStatistics {
        count: uploaded.chunk_count,
        size_bytes: uploaded.size_bytes,
        compressed_bytes: uploaded.encoded_bytes,
        duplicates: uploaded.duplicate_count,
    }
}
