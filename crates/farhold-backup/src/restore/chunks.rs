//! Fetching the chunks of an index, many at once, within a bounded amount of memory; every chunk is decoded and checked on
//! the blocking pool, by the piece of work that also writes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{self, BlobDecoder, MAX_ENCODED_BLOB_BYTES};
use farhold_format::index::{ChunkRef, FIXED_CHUNK_BYTES, Index};
use farhold_types::Digest;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::RestoreError;
use super::output::{NewFile, Output, Part};
use super::source::RestoreSource;
use crate::observer::Progress;
use crate::request::Limits;

/// Unit of the memory budget, which a semaphore counts in 32 bits.
const BUDGET_UNIT_BYTES: u64 = 1 << 10;

/// The form in which the chunks of an archive are stored.
pub(super) enum Form {
    Plain,
    Encrypted(Arc<CryptConfig>),
}

impl Form {
    fn key(&self) -> Option<&CryptConfig> {
        match self {
            Self::Plain => None,
            Self::Encrypted(key) => Some(key),
        }
    }

    fn digest(&self, plain: &[u8]) -> Digest {
        self.key().map_or_else(|| sha256(plain), |key| key.chunk_digest(plain))
    }
}

/// Reads the chunks of one archive.
pub(super) struct ChunkReader<'a, S> {
    source: &'a S,
    progress: &'a Progress,
    transfers: usize,
    workers: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units: u32,
    checker: Arc<Checker>,
}

/// Decodes and checks chunks.
struct Checker {
    form: Form,
    decoders: Mutex<Vec<(BlobDecoder, Vec<u8>)>>,
}

impl Checker {
    /// Hands the content of a chunk to `write` after checking it. Blocks.
    fn check<R>(
        &self,
        chunk: &ChunkRef,
        encoded: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<R, RestoreError>,
    ) -> Result<R, RestoreError> {
        let digest = chunk.digest;
        let corrupt = |reason| RestoreError::CorruptChunk { digest, reason };
        let kind = blob::kind(encoded).map_err(|source| RestoreError::Chunk { digest, source })?;
        if kind.is_encrypted() != self.form.key().is_some() {
            return Err(corrupt("it is not encrypted as the manifest says"));
        }
        let size_bytes = usize::try_from(chunk.size_bytes()).map_err(|_| corrupt("it is too large"))?;
        let spare = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut decoder, mut plain) = spare.unwrap_or_default();
        // The decoder checks the CRC.
        decoder
            .decode_into(encoded, self.form.key(), size_bytes, &mut plain)
            .map_err(|source| RestoreError::Chunk { digest, source })?;
        if plain.len() != size_bytes {
            return Err(corrupt("it has another length than its place in the index"));
        }
        if self.form.digest(&plain) != digest {
            return Err(corrupt("its content has another digest"));
        }
        let result = write(&mut plain);
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push((decoder, plain));
        result
    }
}

/// Chunks with the same content, and where it belongs.
struct Places {
    chunk: ChunkRef,
    starts: Vec<u64>,
}

impl<'a, S: RestoreSource> ChunkReader<'a, S> {
    pub(super) fn new(source: &'a S, form: Form, limits: &Limits, progress: &'a Progress) -> Self {
        let memory_units = u32::try_from(limits.memory_bytes() as u64 / BUDGET_UNIT_BYTES).unwrap_or(u32::MAX);
        Self {
            source,
            progress,
            transfers: limits.transfers.get(),
            workers: Arc::new(Semaphore::new(limits.workers.get())),
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            checker: Arc::new(Checker { form, decoders: Mutex::default() }),
        }
    }

    /// Writes all chunks to where they belong, each fetched once, in no particular order. Zeros are left out.
    pub(super) async fn to_file(&self, index: &Index, file: &NewFile) -> Result<(), RestoreError> {
        let zeros = self.zeros(index).await?;
        let wanted = places(index).into_iter().map(|places| async move {
            let Places { chunk, starts } = places;
            let done_bytes = chunk.size_bytes() * starts.len() as u64;
            if !is_zeros(&chunk, zeros) {
                let memory = self.memory(&chunk).await?;
                let encoded = self.fetch(&chunk).await?;
                let file = file.writer();
                self.work(move |checker| {
                    let _memory = memory;
                    checker.check(&chunk, &encoded, |plain| {
                        starts.iter().try_for_each(|start| file.write_at(plain, *start))
                    })
                })
                .await?;
            }
            self.progress.add_done(done_bytes);
            Ok::<_, RestoreError>(())
        });
        futures::stream::iter(wanted).buffer_unordered(self.transfers).try_collect::<()>().await
    }

    /// Writes all chunks in order.
    pub(super) async fn in_order(&self, index: &Index, mut output: Output) -> Result<(), RestoreError> {
        let zeros = self.zeros(index).await?;
        let parts = futures::stream::iter(index.chunks())
            // In order, so that the chunk that is written next is not the one that waits for memory.
            .then(|chunk| async move {
                let memory = if is_zeros(&chunk, zeros) { None } else { Some(self.memory(&chunk).await?) };
                Ok::<_, RestoreError>((chunk, memory))
            })
            .map(|prepared| async {
                let (chunk, memory) = prepared?;
                let Some(memory) = memory else { return Ok(Part::Zeros { size_bytes: chunk.size_bytes() }) };
                let encoded = self.fetch(&chunk).await?;
                self.work(move |checker| {
                    let content = checker.check(&chunk, &encoded, |plain| Ok(std::mem::take(plain)))?;
                    Ok::<_, RestoreError>(Part::Content { content, _memory: memory })
                })
                .await
            })
            .buffered(self.transfers);
        let mut parts = std::pin::pin!(parts);
        while let Some(part) = parts.next().await {
            let part = part?;
            let size_bytes = part.size_bytes();
            if !output.write(part).await {
                break;
            }
            self.progress.add_done(size_bytes);
        }
        output.finish().await
    }

    /// Returns the digest of a whole image chunk of zeros, which need not be fetched.
    async fn zeros(&self, index: &Index) -> Result<Option<Digest>, RestoreError> {
        if index.chunk_size_bytes() != Some(FIXED_CHUNK_BYTES) {
            return Ok(None);
        }
        self.work(|checker| Ok(Some(checker.form.digest(&vec![0; FIXED_CHUNK_BYTES as usize])))).await
    }

    async fn fetch(&self, chunk: &ChunkRef) -> Result<Bytes, RestoreError> {
        let digest = chunk.digest;
        let fetching = self.source.chunk(&digest, MAX_ENCODED_BLOB_BYTES);
        let encoded = fetching.await.map_err(|source| RestoreError::server(format!("chunk {digest}"), source))?;
        self.progress.add_transferred(encoded.len() as u64);
        Ok(encoded)
    }

    /// Takes the share of the memory budget that a chunk needs, encoded and decoded.
    async fn memory(&self, chunk: &ChunkRef) -> Result<OwnedSemaphorePermit, RestoreError> {
        let units = chunk.size_bytes().saturating_mul(2).div_ceil(BUDGET_UNIT_BYTES);
        let units = u32::try_from(units).unwrap_or(u32::MAX).min(self.memory_units);
        Arc::clone(&self.memory).acquire_many_owned(units).await.map_err(|_| RestoreError::Worker)
    }

    async fn work<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Checker) -> Result<R, RestoreError> + Send + 'static,
    ) -> Result<R, RestoreError> {
        let turn = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| RestoreError::Worker)?;
        let checker = Arc::clone(&self.checker);
        let result = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&checker)
        });
        result.await.map_err(|_| RestoreError::Worker)?
    }
}

fn is_zeros(chunk: &ChunkRef, zeros: Option<Digest>) -> bool {
    zeros == Some(chunk.digest) && chunk.size_bytes() == FIXED_CHUNK_BYTES
}

/// Returns the different chunks of an index in the order in which they occur first, each with all its places.
fn places(index: &Index) -> Vec<Places> {
    let mut places: Vec<Places> = Vec::new();
    let mut known: HashMap<(Digest, u64), usize> = HashMap::new();
    for chunk in index.chunks() {
        let number = *known.entry((chunk.digest, chunk.size_bytes())).or_insert_with(|| {
            places.push(Places { chunk, starts: Vec::new() });
            places.len() - 1
        });
        places[number].starts.push(chunk.start);
    }
    places
}
