//! Decoding and hashing beside the network: a bounded number of blocking jobs with decoders that are kept.
//!
//! One job more runs at once than the machine has cores, so that a core has work while a job waits for the disk or the
//! next one is on its way to a thread; more would only compete. A job that was started always finishes,
//! also when nobody waits for it any more, so a chunk is never half stored; [`CheckPool::drain`] waits for the last one.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{self, BlobDecoder, BlobEncoder, BlobKind, MAX_CHUNK_BYTES};
use farhold_types::Digest;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::blocking::Blocking;
use crate::outcome::ArchiveFailure;

/// What a job may reuse.
pub(crate) struct Bench {
    pub(crate) decoder: BlobDecoder,
    pub(crate) encoder: BlobEncoder,
    /// Content of the chunk at work.
    pub(crate) plain: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { decoder: BlobDecoder::new(), encoder: BlobEncoder::new(), plain: Vec::new() }
    }
}

pub(crate) struct CheckPool {
    blocking: Blocking,
    size: usize,
    permits: Arc<Semaphore>,
    benches: Arc<Mutex<Vec<Bench>>>,
    jobs: TaskTracker,
}

impl CheckPool {
    pub(crate) fn new(blocking: Blocking) -> Self {
        let size = blocking.pool_size();
        Self {
            blocking,
            size,
            permits: Arc::new(Semaphore::new(size)),
            benches: Arc::new(Mutex::new(Vec::with_capacity(size))),
            jobs: TaskTracker::new(),
        }
    }

    /// Returns how many jobs run at once.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Runs a job as soon as a core is free for it.
    ///
    /// # Cancel safety
    /// A job that has begun runs to its end.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Bench) -> R + Send + 'static,
    ) -> Result<R, ArchiveFailure> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| ArchiveFailure::Crashed)?;
        let benches = self.benches.clone();
        let work = move || {
            let kept = benches.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut bench = kept.unwrap_or_else(Bench::new);
            let result = job(&mut bench);
            benches.lock().unwrap_or_else(PoisonError::into_inner).push(bench);
            drop(permit);
            result
        };
        self.blocking.spawn(&self.jobs, work).await.map_err(|_| ArchiveFailure::Crashed)
    }

    /// Waits until no job runs any more.
    pub(crate) async fn drain(&self) {
        self.jobs.close();
        self.jobs.wait().await;
    }
}

/// What an index says about a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectedChunk {
    pub(crate) digest: Digest,
    /// Content length in bytes, 1 to 16 MiB.
    pub(crate) length: u32,
    /// Whether the file's mode asks for encrypted chunks.
    pub(crate) is_encrypted: bool,
}

impl ExpectedChunk {
    /// Returns the largest encoded length: nobody stores a compressed form that is longer than the plain one.
    pub(crate) fn max_encoded_bytes(&self) -> u64 {
        u64::from(self.length) + BlobKind::Encrypted.header_bytes() as u64
    }

    /// Checks everything that can be checked without a key: CRC, mode, and for plain chunks length and digest.
    ///
    /// Source: `docs/spec/sync.md` 7.3.
    pub(crate) fn check(&self, bench: &mut Bench, encoded: &Bytes) -> Result<(), ArchiveFailure> {
        let digest = self.digest;
        let undecodable = |source| ArchiveFailure::Chunk { digest, source };
        let kind = blob::kind(encoded).map_err(undecodable)?;
        if kind.is_encrypted() != self.is_encrypted {
            return Err(ArchiveFailure::ChunkMode { digest, is_encrypted: kind.is_encrypted() });
        }
        if kind.is_encrypted() {
            blob::check(encoded).map_err(undecodable)?;
            let payload = encoded.len() - kind.header_bytes();
            return if kind.is_compressed() { Ok(()) } else { self.check_length(payload) };
        }
        self.decode(bench, encoded)?;
        if sha256(&bench.plain) != digest {
            return Err(ArchiveFailure::ChunkDigest { digest });
        }
        Ok(())
    }

    /// Leaves the content of an unencrypted chunk in the bench, which has the right length then.
    pub(crate) fn decode(&self, bench: &mut Bench, encoded: &Bytes) -> Result<(), ArchiveFailure> {
        let undecodable = |source| ArchiveFailure::Chunk { digest: self.digest, source };
        bench.decoder.decode_into(encoded, None, self.length as usize, &mut bench.plain).map_err(undecodable)?;
        self.check_length(bench.plain.len())
    }

    fn check_length(&self, found: usize) -> Result<(), ArchiveFailure> {
        if found == self.length as usize {
            return Ok(());
        }
        Err(ArchiveFailure::ChunkLength { digest: self.digest, expected: self.length.into(), found: found as u64 })
    }

    /// Returns whether what lies in the store under the digest may stay there when this chunk comes, which passed its
    /// check.
    ///
    /// An unencrypted chunk proves itself, whatever the index says: a source that lists it as encrypted must not be able
    /// to get it replaced by something that nobody can check. An encrypted one counts by its CRC, except against one that
    /// proved itself.
    pub(crate) fn is_sound_in_store(&self, bench: &mut Bench, stored: &Bytes) -> bool {
        match blob::kind(stored) {
            Ok(kind) if kind.is_encrypted() => self.is_encrypted && blob::check(stored).is_ok(),
            Ok(_) => bench.is_plain_chunk(stored, &self.digest),
            Err(_) => false,
        }
    }
}

impl Bench {
    /// Returns whether this is an unencrypted chunk with that digest.
    pub(crate) fn is_plain_chunk(&mut self, encoded: &Bytes, digest: &Digest) -> bool {
        let decoded = self.decoder.decode_into(encoded, None, MAX_CHUNK_BYTES, &mut self.plain);
        decoded.is_ok() && sha256(&self.plain) == *digest
    }
}
