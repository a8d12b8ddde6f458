//! One index on its way: chunks that the server does not know are encoded and uploaded many at once, and every chunk is
//! appended in order, after the uploads it needs.
//!
//! Source: `docs/spec/wire-protocol.md` 5.3 and 7.1.

use std::collections::{HashSet, VecDeque};

use farhold_client::ClientError;
use farhold_crypto::Sha256;
use farhold_format::index::Index;
use farhold_types::{ArchiveKind, Digest};
use futures::future::{Fuse, FusedFuture};
use futures::{FutureExt, Stream, StreamExt};

use crate::chunk_work::{ChunkWork, Hashed};
use crate::error::BackupError;
use crate::observer::Progress;
use crate::request::Limits;
use crate::target::BackupTarget;

/// Entries of one append: at 85 bytes each as JSON they fit into the 64 KiB that every server takes.
const MAX_APPEND: usize = 512;
/// Entries from which an append is sent although more are to come, as the reference client does.
const APPEND_FROM: usize = 64;
/// Entries that may wait for their append; then no more chunks are looked at. Twice what goes into one.
const MAX_WAITING: usize = 2 * MAX_APPEND;

/// What all indexes of a backup share.
pub(crate) struct Sending<'a, T> {
    pub(crate) target: &'a T,
    pub(crate) work: &'a ChunkWork,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a Progress,
    /// Chunks that the server has, or will have before it is told of the next one.
    pub(crate) known: &'a mut HashSet<Digest>,
}

/// What became of an index.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) size_bytes: u64,
    pub(crate) checksum: Digest,
    pub(crate) chunk_count: u64,
    pub(crate) appended_chunks: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) uploaded_chunks: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) uploaded_plain_bytes: u64,
}

/// A chunk that may be appended now.
struct Ready {
    digest: Digest,
    size_bytes: u64,
    /// Encoded length, if it was uploaded.
    uploaded_bytes: Option<u64>,
}

impl<T: BackupTarget> Sending<'_, T> {
    /// Uploads and appends the chunks of an index, in order.
    ///
    /// `copied`: the index that the server has copied into the new one; what is the same there needs no append.
    ///
    /// # Errors
    /// Those of the chunks, and of the server.
    pub(crate) async fn index(
        &mut self,
        writer: T::Writer,
        kind: ArchiveKind,
        copied: Option<&Index>,
        chunks: impl Stream<Item = Result<Hashed, BackupError>>,
    ) -> Result<Written, BackupError> {
        let (target, work, known, progress) = (self.target, self.work, &mut *self.known, self.progress);
        let ready = chunks.map(|chunk| {
            // Here, in order and before any waiting, so that a chunk that comes twice is uploaded once, and the second
            // entry cannot be ready before the first one is.
            let prepared = chunk.map(|chunk| {
                let (digest, size_bytes) = (chunk.digest, chunk.size_bytes());
                (digest, size_bytes, known.insert(digest).then_some((chunk.content, chunk.memory)))
            });
            async move {
                let (digest, size_bytes, new) = prepared?;
                let Some((content, memory)) = new else {
                    return Ok(Ready { digest, size_bytes, uploaded_bytes: None });
                };
                let encoded = work.run(move |work| work.encode(content, memory)).await??;
                let encoded_bytes = encoded.bytes.len() as u64;
                let uploading = target.upload_chunk(writer, &digest, size_bytes, encoded.bytes.clone());
                uploading.await.map_err(|source| BackupError::Server { step: "uploading a chunk", source })?;
                progress.add_transferred(encoded_bytes);
                Ok(Ready { digest, size_bytes, uploaded_bytes: Some(encoded_bytes) })
            }
        });
        let ready = ready.buffered(self.limits.transfers.get());
        let mut index = IndexState::new(kind, copied);
        let mut ready = std::pin::pin!(ready.fuse());
        let mut append = std::pin::pin!(Fuse::terminated());
        let mut is_complete = false;
        loop {
            if append.is_terminated()
                && let Some(entries) = index.next_append(is_complete)
            {
                append.set(append_entries(target, writer, entries).fuse());
            }
            if is_complete && append.is_terminated() {
                return Ok(index.finish());
            }
            tokio::select! {
                biased;
                result = &mut append, if !append.is_terminated() => result?,
                chunk = ready.next(), if !is_complete && index.waiting.len() < MAX_WAITING => match chunk {
                    Some(chunk) => {
                        let chunk = chunk?;
                        index.take(&chunk);
                        // The chunk is stored. Its entry may follow much later: appends are as large as can be.
                        progress.add_done(chunk.size_bytes);
                    }
                    None => is_complete = true,
                },
            }
        }
    }
}

/// Appends entries.
async fn append_entries<T: BackupTarget>(
    target: &T,
    writer: T::Writer,
    entries: Vec<Entry>,
) -> Result<(), BackupError> {
    let list: Vec<_> = entries.iter().map(|entry| (entry.digest, entry.start)).collect();
    let result: Result<(), ClientError> = target.append(writer, &list).await;
    result.map_err(|source| BackupError::Server { step: "appending to an index", source })
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    digest: Digest,
    start: u64,
}

/// The new index as far as it is known.
struct IndexState<'a> {
    kind: ArchiveKind,
    copied: Option<&'a Index>,
    waiting: VecDeque<Entry>,
    checksum: Sha256,
    written: Written,
}

impl<'a> IndexState<'a> {
    fn new(kind: ArchiveKind, copied: Option<&'a Index>) -> Self {
        let written = Written {
            size_bytes: 0,
            checksum: Digest([0; 32]),
            chunk_count: 0,
            appended_chunks: 0,
            appended_bytes: 0,
            uploaded_chunks: 0,
            uploaded_bytes: 0,
            uploaded_plain_bytes: 0,
        };
        Self { kind, copied, waiting: VecDeque::new(), checksum: Sha256::new(), written }
    }

    /// Takes the next chunk in order.
    fn take(&mut self, chunk: &Ready) {
        let written = &mut self.written;
        let (start, position) = (written.size_bytes, written.chunk_count);
        written.size_bytes += chunk.size_bytes;
        written.chunk_count += 1;
        if self.kind == ArchiveKind::DynamicIndex {
            self.checksum.update(&written.size_bytes.to_le_bytes());
        }
        self.checksum.update(chunk.digest.as_bytes());
        if let Some(uploaded_bytes) = chunk.uploaded_bytes {
            written.uploaded_chunks += 1;
            written.uploaded_bytes += uploaded_bytes;
            written.uploaded_plain_bytes += chunk.size_bytes;
        }
        let position = usize::try_from(position).ok();
        let before = self.copied.and_then(|copied| copied.chunk(position?));
        if before.is_some_and(|before| before.digest == chunk.digest) {
            return;
        }
        written.appended_chunks += 1;
        written.appended_bytes += chunk.size_bytes;
        self.waiting.push_back(Entry { digest: chunk.digest, start });
    }

    /// Takes the entries of the next append off the queue, if it is time for one.
    fn next_append(&mut self, is_complete: bool) -> Option<Vec<Entry>> {
        let count = self.waiting.len();
        let is_due = APPEND_FROM <= count || (is_complete && 0 < count);
        is_due.then(|| self.waiting.drain(..count.min(MAX_APPEND)).collect())
    }

    fn finish(mut self) -> Written {
        self.written.checksum = self.checksum.finish();
        self.written
    }
}
