//! A backup from its first request to its last.
//!
//! Source: `docs/spec/wire-protocol.md` 7.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use farhold_client::{BackupSession, BackupSessionOptions, Client, ClientError};
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, MAX_ENCODED_BLOB_BYTES, MAX_INPUT_BYTES};
use farhold_format::chunker::{ContentChunker, FixedChunker};
use farhold_format::index::{FIXED_CHUNK_BYTES, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, Digest, Randomness, Snapshot};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::chunk_work::{ChunkWork, Hashed};
use crate::error::BackupError;
use crate::image::Image;
use crate::input::{OpenArchive, OpenBackup, OpenInput};
use crate::observer::{Event, Observer};
use crate::previous;
use crate::protection::{Protection, small_blob};
use crate::request::{BackupPlace, Limits};
use crate::stream;
use crate::target::BackupTarget;
use crate::upload::{Sending, Written};

/// Chunks being hashed beyond the number of workers, so that these always find work.
const HASHED_AHEAD: usize = 2;

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// Its archives, in order.
    pub archives: Vec<ArchiveSummary>,
}

/// What became of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// Its name.
    pub name: ArchiveName,
    /// Size of its content in bytes.
    pub size_bytes: u64,
    /// Chunks that it consists of; 0 for a blob.
    pub chunk_count: u64,
    /// Chunks that the server did not have.
    pub uploaded_chunks: u64,
    /// Those in bytes, as they were sent; for a blob the bytes sent.
    pub uploaded_bytes: u64,
    /// Those in bytes of content.
    pub uploaded_plain_bytes: u64,
    /// Content that did not have to be sent, in bytes.
    pub reused_bytes: u64,
}

/// Makes a backup: opens a session, sends everything, and ends it. Whatever fails, no unfinished snapshot stays.
///
/// # Errors
/// See [`BackupError`].
///
/// # Cancel safety
/// Cancelling cuts the connection, and the server removes the snapshot; it does nothing any more once the server was
/// asked to finish: that is waited for. Dropping the future cuts the connection at any time, so at the very end the
/// snapshot may be complete nevertheless.
pub async fn backup(
    client: &Client,
    place: &BackupPlace,
    backup: OpenBackup,
    randomness: Arc<dyn Randomness>,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<BackupSummary, BackupError> {
    let options = BackupSessionOptions { debug: true, no_cache: place.no_cache, ..Default::default() };
    let opening = client.open_backup(&place.store, &place.ns, &backup.snapshot, options);
    let session: BackupSession = tokio::select! {
        opened = opening => opened.map_err(|source| BackupError::Server { step: "opening a backup session", source })?,
        () = cancel.cancelled() => return Err(BackupError::Cancelled),
    };
    let summary = backup_into(session.clone(), backup, randomness, observer, cancel).await?;
    session.close().await;
    Ok(summary)
}

/// Makes a backup over a session that is open already, as [`backup`] does.
///
/// # Errors
/// As [`backup`].
pub async fn backup_into<T: BackupTarget>(
    target: T,
    backup: OpenBackup,
    randomness: Arc<dyn Randomness>,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<BackupSummary, BackupError> {
    if let Some(bytes) = backup.total_bytes() {
        observer.progress.set_total(bytes);
    }
    let summary = tokio::select! {
        summary = send(&target, backup, randomness, &observer) => summary?,
        () = cancel.cancelled() => return Err(BackupError::Cancelled),
    };
    match target.finish().await {
        Ok(()) => Ok(summary),
        Err(source @ (ClientError::Broken { .. } | ClientError::Silent { .. })) => {
            Err(BackupError::Uncertain { source })
        }
        Err(source) => Err(BackupError::Server { step: "finishing the snapshot", source }),
    }
}

/// Sends everything but the last request.
async fn send<T: BackupTarget>(
    target: &T,
    backup: OpenBackup,
    randomness: Arc<dyn Randomness>,
    observer: &Observer,
) -> Result<BackupSummary, BackupError> {
    let OpenBackup { snapshot, archives, protection, chunk_size, limits } = backup;
    let previous = previous::manifest(target, &protection, observer).await?;
    let work = ChunkWork::new(&limits, &protection, Arc::clone(&randomness));
    let mut sender = ArchiveSender {
        target,
        observer,
        limits,
        protection: &protection,
        randomness: &randomness,
        work,
        previous,
        known: HashSet::new(),
        chunk_size,
    };
    let mut manifest = Manifest::new(&snapshot);
    let mut summaries = Vec::with_capacity(archives.len());
    for OpenArchive { name, input } in archives {
        observer.tell(&Event::ArchiveStarted { name: name.clone(), size_bytes: input.size_bytes() });
        let sent = match name.kind() {
            ArchiveKind::Blob => sender.blob(&name, input).await,
            _ => sender.index(&name, input).await,
        };
        let (file, summary) =
            sent.map_err(|source| BackupError::Archive { name: name.clone(), source: Box::new(source) })?;
        observer.tell(&Event::ArchiveFinished(summary.clone()));
        manifest.files.push(file);
        summaries.push(summary);
    }
    if let Some(key) = protection.key() {
        manifest.sign(key);
    }
    let encoded = manifest.to_blob(&mut BlobEncoder::new()).map_err(|source| BackupError::Encode { source })?;
    let manifest_name = ArchiveName::manifest();
    let storing = target.blob(&manifest_name, encoded.into());
    storing.await.map_err(|source| BackupError::Server { step: "storing the manifest", source })?;
    Ok(BackupSummary { snapshot, archives: summaries })
}

/// What all archives of a backup share.
struct ArchiveSender<'a, T> {
    target: &'a T,
    observer: &'a Observer,
    limits: Limits,
    protection: &'a Protection,
    randomness: &'a Arc<dyn Randomness>,
    work: ChunkWork,
    previous: Option<Manifest>,
    /// Chunks that the server has, or will have before it is told of the next one.
    known: HashSet<Digest>,
    chunk_size: farhold_format::chunker::ChunkSize,
}

impl<T: BackupTarget> ArchiveSender<'_, T> {
    async fn blob(
        &mut self,
        name: &ArchiveName,
        input: OpenInput,
    ) -> Result<(ManifestFile, ArchiveSummary), BackupError> {
        let reader = input.into_reader();
        let (protection, randomness) = (self.protection.clone(), Arc::clone(self.randomness));
        let (size_bytes, encoded, checksum) = self
            .work
            .run(move |_| {
                let content = read_small(reader)?;
                let encoded = small_blob(&content, &protection, &*randomness)?;
                let checksum = sha256(&encoded);
                Ok::<_, BackupError>((content.len() as u64, encoded, checksum))
            })
            .await??;
        let uploaded_bytes = encoded.len() as u64;
        let storing = self.target.blob(name, encoded);
        storing.await.map_err(|source| BackupError::Server { step: "storing a small file", source })?;
        self.observer.progress.add_transferred(uploaded_bytes);
        self.observer.progress.add_done(size_bytes);
        let file = self.manifest_file(name, uploaded_bytes, checksum);
        let summary = ArchiveSummary {
            name: name.clone(),
            size_bytes,
            chunk_count: 0,
            uploaded_chunks: 0,
            uploaded_bytes,
            uploaded_plain_bytes: size_bytes,
            reused_bytes: 0,
        };
        Ok((file, summary))
    }

    async fn index(
        &mut self,
        name: &ArchiveName,
        input: OpenInput,
    ) -> Result<(ManifestFile, ArchiveSummary), BackupError> {
        let before = previous::index(self.target, self.previous.as_ref(), name, self.protection, self.observer).await?;
        if let Some(before) = &before {
            self.known.extend(before.digests());
        }
        let (writer, copied) = self.create(name, input.size_bytes(), before.as_ref()).await?;
        let mut sending = Sending {
            target: self.target,
            work: &self.work,
            limits: &self.limits,
            progress: &self.observer.progress,
            known: &mut self.known,
        };
        let at_once = self.limits.workers.get() + HASHED_AHEAD;
        let written = match (name.kind(), input) {
            (kind, OpenInput::Image { file, size_bytes }) => {
                let chunks = image_chunks(&self.work, Image::new(file, size_bytes), at_once);
                sending.index(writer, kind, copied, chunks).await?
            }
            (kind @ ArchiveKind::FixedIndex, OpenInput::Stream { reader, .. }) => {
                let chunks = stream_chunks(&self.work, stream::chunks(&self.work, reader, FixedChunker), at_once);
                sending.index(writer, kind, copied, chunks).await?
            }
            (kind, OpenInput::Stream { reader, .. }) => {
                let chunker = ContentChunker::new(self.chunk_size);
                let chunks = stream_chunks(&self.work, stream::chunks(&self.work, reader, chunker), at_once);
                sending.index(writer, kind, copied, chunks).await?
            }
        };
        if written.chunk_count == 0 {
            return Err(BackupError::Empty { name: name.clone() });
        }
        let Written { size_bytes, checksum, chunk_count, .. } = written;
        // Of an index that began as a copy the server counts only what was changed.
        let (counted, counted_bytes) = match copied {
            Some(_) => (written.appended_chunks, written.appended_bytes),
            None => (chunk_count, size_bytes),
        };
        let closing = self.target.close_writer(writer, counted, counted_bytes, &checksum);
        closing.await.map_err(|source| BackupError::Server { step: "closing an index", source })?;
        let summary = ArchiveSummary {
            name: name.clone(),
            size_bytes,
            chunk_count,
            uploaded_chunks: written.uploaded_chunks,
            uploaded_bytes: written.uploaded_bytes,
            uploaded_plain_bytes: written.uploaded_plain_bytes,
            reused_bytes: size_bytes - written.uploaded_plain_bytes,
        };
        Ok((self.manifest_file(name, size_bytes, checksum), summary))
    }

    /// Begins the index on the server; with the previous one as its beginning if that is possible, which is returned then.
    async fn create<'i>(
        &self,
        name: &ArchiveName,
        size_bytes: Option<u64>,
        before: Option<&'i Index>,
    ) -> Result<(T::Writer, Option<&'i Index>), BackupError> {
        let failed = |source| BackupError::Server { step: "beginning an index", source };
        if name.kind() == ArchiveKind::DynamicIndex {
            return Ok((self.target.create_dynamic(name).await.map_err(failed)?, None));
        }
        let copied = before.filter(|before| {
            let chunk_count = size_bytes.map(|bytes| bytes.div_ceil(FIXED_CHUNK_BYTES));
            before.chunk_size_bytes() == Some(FIXED_CHUNK_BYTES) && chunk_count == Some(before.chunk_count() as u64)
        });
        if let Some(copied) = copied {
            match self.target.create_fixed(name, size_bytes, Some(&copied.checksum())).await {
                Ok(writer) => return Ok((writer, Some(copied))),
                Err(error @ ClientError::Status { .. }) => {
                    let text = format!("the previous index cannot be the beginning of the new one: {error}");
                    self.observer.tell(&Event::Warning { name: name.clone(), text });
                }
                Err(source) => return Err(failed(source)),
            }
        }
        Ok((self.target.create_fixed(name, size_bytes, None).await.map_err(failed)?, None))
    }

    fn manifest_file(&self, name: &ArchiveName, size_bytes: u64, checksum: Digest) -> ManifestFile {
        ManifestFile { name: name.clone(), crypt_mode: self.protection.crypt_mode(), size_bytes, checksum }
    }
}

/// Returns the hashed pieces of an image, in order; `at_once` of them are being worked on.
fn image_chunks(
    work: &ChunkWork,
    image: Image,
    at_once: usize,
) -> impl Stream<Item = Result<Hashed, BackupError>> + use<'_> {
    futures::stream::iter(0..image.chunk_count())
        .then({
            let image = image.clone();
            move |position| {
                let length = image.chunk_bytes(position);
                async move { (position, work.memory(length).await) }
            }
        })
        .map(move |(position, memory)| {
            let image = image.clone();
            async move { work.run(move |work| image.chunk(work, position, memory)).await? }
        })
        .buffered(at_once)
}

/// Returns the hashed chunks of a stream, in order; `at_once` of them are being worked on.
fn stream_chunks<'a, S>(
    work: &'a ChunkWork,
    chunks: S,
    at_once: usize,
) -> impl Stream<Item = Result<Hashed, BackupError>> + use<'a, S>
where
    S: Stream<Item = Result<(crate::chunk_work::Buffer, crate::chunk_work::Share), BackupError>>,
{
    chunks
        .map_ok(move |(buffer, memory)| async move { work.run(move |work| work.hash(buffer, memory)).await })
        .try_buffered(at_once)
}

/// Reads a small file, at most one byte more than can be stored.
fn read_small(reader: Box<dyn Read + Send>) -> Result<Vec<u8>, BackupError> {
    let mut content = Vec::new();
    let limit = MAX_INPUT_BYTES as u64 + 1;
    reader
        .take(limit)
        .read_to_end(&mut content)
        .map_err(|source| BackupError::Read { position: content.len() as u64, source })?;
    if MAX_INPUT_BYTES < content.len() {
        return Err(BackupError::SmallFileTooLarge { limit_bytes: MAX_ENCODED_BLOB_BYTES });
    }
    Ok(content)
}
