//! The blocking work of a backup: hashing and encoding chunks, on a bounded number of threads and in buffers that are
//! used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::FIXED_CHUNK_BYTES;
use farhold_types::{Digest, Randomness};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::BackupError;
use crate::protection::{Protection, fresh_iv};
use crate::request::Limits;

/// Unit of the memory budget: a semaphore counts in 32 bits, and some chunks are tiny.
const BUDGET_UNIT_BYTES: usize = 1 << 10;
/// Length of the chunk of zeros that images are full of.
const ZEROS_BYTES: usize = FIXED_CHUNK_BYTES as usize;
/// Memory kept for later chunks, in bytes. It comes on top of the budget; eight chunks of the usual size.
const MAX_SPARE_BYTES: usize = 32 << 20;
/// Block in which content is compared with zeros: small enough to stop early, large enough for wide instructions.
const ZERO_BLOCK_BYTES: usize = 4096;

/// Where chunks are worked on. One per backup; cheap to clone.
#[derive(Clone)]
pub(crate) struct ChunkWork {
    shared: Arc<Shared>,
}

struct Shared {
    /// As many permits as pieces of work may run at once.
    workers: Arc<Semaphore>,
    /// What may be held in memory.
    memory: Arc<Semaphore>,
    memory_units: usize,
    key: Option<Arc<CryptConfig>>,
    randomness: Arc<dyn Randomness>,
    encoders: Mutex<Vec<BlobEncoder>>,
    buffers: Mutex<Spare>,
    /// Digest of a whole chunk of zeros.
    zeros: OnceLock<Digest>,
}

/// Buffers that wait for their next use.
#[derive(Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= MAX_SPARE_BYTES {
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

/// Content of a chunk.
pub(crate) enum Content {
    /// Bytes.
    Bytes(Buffer),
    /// A whole image chunk of zeros, which is not kept in memory.
    Zeros,
}

/// A chunk whose digest is known.
pub(crate) struct Hashed {
    pub(crate) digest: Digest,
    pub(crate) content: Content,
    /// Its share of the memory budget.
    pub(crate) memory: Share,
}

impl Hashed {
    /// Returns the length of the content in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        match &self.content {
            Content::Bytes(buffer) => buffer.len() as u64,
            Content::Zeros => FIXED_CHUNK_BYTES,
        }
    }
}

/// A chunk as it is sent.
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Its share of the memory budget, to be held until it was sent.
    pub(crate) _memory: Share,
}

/// A share of the memory budget.
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    /// Gives back what is above `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let needless = permit.num_permits().saturating_sub(units(bytes));
            drop(permit.split(needless));
        }
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(BUDGET_UNIT_BYTES)
}

/// Memory for a chunk that goes back to its owner.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    owner: Arc<Shared>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.owner.buffers.lock().unwrap_or_else(PoisonError::into_inner).give(bytes);
    }
}

impl ChunkWork {
    pub(crate) fn new(limits: &Limits, protection: &Protection, randomness: Arc<dyn Randomness>) -> Self {
        let memory_units = units(limits.memory_bytes()).min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            workers: Arc::new(Semaphore::new(limits.workers.get())),
            memory: Arc::new(Semaphore::new(memory_units)),
            memory_units,
            key: protection.encrypting_key().cloned(),
            randomness,
            encoders: Mutex::default(),
            buffers: Mutex::default(),
            zeros: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs a piece of blocking work when its turn comes.
    ///
    /// # Cancel safety
    /// Work that was begun runs to its end; its result is thrown away.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> Result<R, BackupError> {
        let turn = Arc::clone(&self.shared.workers).acquire_owned().await.map_err(|_| BackupError::Worker)?;
        let this = self.clone();
        let result = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&this)
        });
        result.await.map_err(|_| BackupError::Worker)
    }

    /// Takes a share of the memory budget, waiting until it is there.
    pub(crate) async fn memory(&self, bytes: usize) -> Share {
        let wanted = u32::try_from(units(bytes).min(self.shared.memory_units)).unwrap_or(u32::MAX);
        // The semaphore is never closed, so there is always a permit.
        Share(Arc::clone(&self.shared.memory).acquire_many_owned(wanted).await.ok())
    }

    /// Returns memory for a chunk, with whatever content it had before.
    pub(crate) fn buffer(&self) -> Buffer {
        let spare = self.shared.buffers.lock().unwrap_or_else(PoisonError::into_inner).take();
        Buffer { bytes: spare.unwrap_or_default(), owner: Arc::clone(&self.shared) }
    }

    /// Returns the digest of a chunk's content. Blocks.
    pub(crate) fn digest(&self, content: &[u8]) -> Digest {
        match &self.shared.key {
            Some(key) => key.chunk_digest(content),
            None => sha256(content),
        }
    }

    /// Returns the digest of a whole image chunk of zeros, which is computed only once. Blocks.
    pub(crate) fn zeros_digest(&self) -> Digest {
        *self.shared.zeros.get_or_init(|| self.digest(&vec![0; ZEROS_BYTES]))
    }

    /// Hashes a chunk. Blocks.
    pub(crate) fn hash(&self, buffer: Buffer, memory: Share) -> Hashed {
        if buffer.len() == ZEROS_BYTES && is_zeros(&buffer) {
            return self.zeros();
        }
        let digest = self.digest(&buffer);
        Hashed { digest, content: Content::Bytes(buffer), memory }
    }

    /// Returns the whole image chunk of zeros, hashed. Blocks.
    pub(crate) fn zeros(&self) -> Hashed {
        Hashed { digest: self.zeros_digest(), content: Content::Zeros, memory: Share(None) }
    }

    /// Encodes a chunk as it is sent. Blocks.
    ///
    /// # Errors
    /// [`BackupError::Encode`]
    pub(crate) fn encode(&self, content: Content, mut memory: Share) -> Result<Encoded, BackupError> {
        let shared = &self.shared;
        let spare = shared.encoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut encoder = spare.unwrap_or_default();
        let encryption = shared.key.as_deref().map(|key| (key, fresh_iv(&*shared.randomness)));
        let encoded = match &content {
            Content::Bytes(buffer) => encoder.encode(buffer, Compression::On, encryption),
            Content::Zeros => encoder.encode(&vec![0; ZEROS_BYTES], Compression::On, encryption),
        };
        shared.encoders.lock().unwrap_or_else(PoisonError::into_inner).push(encoder);
        let bytes = Bytes::from(encoded.map_err(|source| BackupError::Encode { source })?);
        memory.shrink_to(bytes.len());
        Ok(Encoded { bytes, _memory: memory })
    }
}

/// Returns whether all of `content` is zero.
pub(crate) fn is_zeros(content: &[u8]) -> bool {
    content.chunks(ZERO_BLOCK_BYTES).all(|block| block.iter().fold(0, |bits, byte| bits | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_set_bit_is_found_wherever_it_is() {
        assert!(is_zeros(&[]) && is_zeros(&[0; 10_000]));
        for position in [0, 4095, 4096, 9999] {
            let mut content = [0; 10_000];
            content[position] = 0x80;
            assert!(!is_zeros(&content), "{position}");
        }
    }
}
