//! The chunks of one index: read by some threads, decoded and hashed by others.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{self, BlobDecoder, MAX_CHUNK_BYTES};
use farhold_format::index::Index;
use farhold_format::manifest::ManifestFile;
use farhold_types::{CryptMode, Digest, Namespace, Snapshot};

use super::check_facts;
use super::{Changes, ChunkProblem, FileProblem, Known, ReadOrder, Verifier, VerifyEvent, VerifyStopped, VerifyWatch};
use crate::error::ChunkError;
use crate::layout;

/// Chunks of an index that are gone through at once. It bounds the memory for an index, and is still enough for an order
/// of reading that suits the disk: 256 GiB of content at the usual chunk size.
const BLOCK: usize = 1 << 16;

/// A chunk that nobody has read yet.
struct Unread {
    digest: Digest,
    /// Bytes that the index gives it, for the amounts that are told.
    size_bytes: u64,
}

/// What one index has cost so far, and what was told of it.
#[derive(Default)]
struct Amounts {
    read_bytes: AtomicU64,
    plain_bytes: AtomicU64,
    /// Chunks whose damage was told.
    told: Mutex<HashSet<Digest>>,
}

impl Amounts {
    fn told(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verifier {
    /// Verifies an index and all its chunks.
    pub(super) fn verify_index(
        &self,
        namespace: &Namespace,
        snapshot: &Snapshot,
        file: &ManifestFile,
        watch: &VerifyWatch<'_>,
    ) -> Result<Result<(), FileProblem>, VerifyStopped> {
        let index = match self.store.open_index(namespace, snapshot, &file.name) {
            Ok(index) => index,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(problem) = check_facts(file, index.size_bytes(), index.checksum()) {
            return Ok(Err(problem));
        }
        let amounts = Amounts::default();
        for start in (0..index.chunk_count()).step_by(BLOCK) {
            let unread = self.unread(&index, start..index.chunk_count().min(start + BLOCK));
            self.read_all(file, &unread, &amounts, watch)?;
        }
        let error_count = self.judge(file, &index, &amounts.told(), watch);
        watch.tell(&VerifyEvent::Chunks {
            archive: &file.name,
            read_bytes: amounts.read_bytes.into_inner(),
            plain_bytes: amounts.plain_bytes.into_inner(),
            error_count,
        });
        Ok(if error_count == 0 { Ok(()) } else { Err(FileProblem::Chunks) })
    }

    /// Returns those of some chunks of an index that were not read before, each once, in the order of reading.
    fn unread(&self, index: &Index, positions: Range<usize>) -> Vec<Unread> {
        let mut seen = HashSet::new();
        let mut unread: Vec<Unread> = {
            let known = self.known();
            positions
                .filter_map(|position| index.chunk(position))
                .filter(|chunk| !known.contains_key(&chunk.digest) && seen.insert(chunk.digest))
                .map(|chunk| Unread { digest: chunk.digest, size_bytes: chunk.size_bytes() })
                .collect()
        };
        if self.options.order == ReadOrder::Inode {
            // A missing one is found when it is read.
            let inode =
                |chunk: &Unread| self.store.storage().stat(&layout::chunk(&chunk.digest)).map_or(0, |s| s.inode);
            unread.sort_by_cached_key(inode);
        }
        unread
    }

    /// Reads and examines chunks; afterwards all are known. Returns when every thread is done.
    fn read_all(
        &self,
        file: &ManifestFile,
        unread: &[Unread],
        amounts: &Amounts,
        watch: &VerifyWatch<'_>,
    ) -> Result<(), VerifyStopped> {
        let readers = self.options.readers.get().min(unread.len());
        let workers = self.options.workers.get().min(unread.len());
        if self.options.readers.get() == 1 && self.options.workers.get() == 1 {
            let mut examiner = Examiner::new();
            for chunk in unread {
                watch.check()?;
                if let Some(encoded) = self.read_one(file, chunk, amounts, watch) {
                    self.examine_one(&mut examiner, file, chunk, &encoded, amounts, watch);
                }
            }
            return Ok(());
        }
        let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        // As many chunks may wait as are being worked on.
        let (sender, receiver) = mpsc::sync_channel::<(&Unread, Bytes)>(workers);
        // Owned by the workers alone: should all of them panic, no reader waits for ever.
        let receiver = Arc::new(Mutex::new(receiver));
        std::thread::scope(|scope| {
            for _ in 0..readers {
                let sender = sender.clone();
                let (next, is_stopped) = (&next, &is_stopped);
                scope.spawn(move || {
                    while let Some(chunk) = unread.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if watch.check().is_err() {
                            is_stopped.store(true, Ordering::Relaxed);
                            return;
                        }
                        // Sending fails only if all workers panicked.
                        if let Some(encoded) = self.read_one(file, chunk, amounts, watch)
                            && sender.send((chunk, encoded)).is_err()
                        {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for _ in 0..workers {
                let receiver = Arc::clone(&receiver);
                scope.spawn(move || {
                    let mut examiner = Examiner::new();
                    loop {
                        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((chunk, encoded)) = received else { return };
                        self.examine_one(&mut examiner, file, chunk, &encoded, amounts, watch);
                    }
                });
            }
            drop(receiver);
        });
        if is_stopped.into_inner() { Err(VerifyStopped) } else { Ok(()) }
    }

    /// Reads a chunk; one that cannot be read is condemned.
    fn read_one(
        &self,
        file: &ManifestFile,
        chunk: &Unread,
        amounts: &Amounts,
        watch: &VerifyWatch<'_>,
    ) -> Option<Bytes> {
        match self.store.read_chunk(&chunk.digest) {
            Ok(encoded) => {
                amounts.read_bytes.fetch_add(encoded.len() as u64, Ordering::Relaxed);
                Some(encoded)
            }
            Err(error) => {
                self.condemn(file, chunk.digest, error.into(), amounts, watch);
                None
            }
        }
    }

    /// Remembers what the content of a chunk is like.
    fn examine_one(
        &self,
        examiner: &mut Examiner,
        file: &ManifestFile,
        chunk: &Unread,
        encoded: &[u8],
        amounts: &Amounts,
        watch: &VerifyWatch<'_>,
    ) {
        let examined = examiner.examine(&chunk.digest, encoded);
        // What is no container, or cannot be decoded, counts for nothing. Source: recorded logs.
        if !matches!(examined, Err(ChunkProblem::Blob(_))) {
            amounts.plain_bytes.fetch_add(chunk.size_bytes, Ordering::Relaxed);
        }
        match examined {
            Ok(known) => {
                self.known().insert(chunk.digest, known);
            }
            Err(problem) => self.condemn(file, chunk.digest, problem, amounts, watch),
        }
        watch.tell(&VerifyEvent::Examined { size_bytes: chunk.size_bytes });
    }

    /// Remembers a chunk as bad, tells it, and sets its file aside if that is damaged.
    fn condemn(
        &self,
        file: &ManifestFile,
        digest: Digest,
        problem: ChunkProblem,
        amounts: &Amounts,
        watch: &VerifyWatch<'_>,
    ) {
        amounts.told().insert(digest);
        watch.tell(&VerifyEvent::Chunk { archive: &file.name, digest, problem: &problem });
        self.known().insert(digest, Known::Bad);
        if self.changes == Changes::None || !is_damage(&problem) {
            return;
        }
        let mut examiner = Examiner::new();
        let mut is_damaged = |stored: Result<&Bytes, &ChunkError>| match stored {
            Ok(stored) => examiner.examine(&digest, stored).is_err(),
            Err(error) => is_unreadable(error),
        };
        match self.store.set_damaged_aside(&digest, &mut is_damaged) {
            Ok(Some(path)) => watch.tell(&VerifyEvent::SetAside { digest, path: path.as_str() }),
            // Somebody replaced or removed it meanwhile.
            Ok(None) => {}
            Err(error) => watch.tell(&VerifyEvent::NotSetAside { digest, error: &error }),
        }
    }

    /// Compares what is known about the chunks with what the index says. Returns how many are wrong.
    ///
    /// `told`: those whose damage was told already.
    fn judge(&self, file: &ManifestFile, index: &Index, told: &HashSet<Digest>, watch: &VerifyWatch<'_>) -> u64 {
        let must_be_encrypted = file.crypt_mode == CryptMode::Encrypt;
        let known = self.known();
        let mut wrong = BTreeSet::new();
        for chunk in index.chunks() {
            let size_bytes = chunk.size_bytes();
            let problem = match known.get(&chunk.digest) {
                Some(Known::Encrypted) if must_be_encrypted => continue,
                Some(Known::Plain { size_bytes: found }) if !must_be_encrypted && *found == size_bytes => continue,
                Some(Known::Encrypted) => ChunkProblem::Kind { is_encrypted: true },
                Some(Known::Plain { .. }) if must_be_encrypted => ChunkProblem::Kind { is_encrypted: false },
                Some(Known::Plain { size_bytes: found }) => {
                    ChunkProblem::Length { expected: size_bytes, found: *found }
                }
                // Every chunk is known here; one that is not counts as bad, not as good.
                Some(Known::Bad) | None => ChunkProblem::KnownBad,
            };
            let is_told = matches!(problem, ChunkProblem::KnownBad) && told.contains(&chunk.digest);
            if wrong.insert(chunk.digest) && !is_told {
                watch.tell(&VerifyEvent::Chunk { archive: &file.name, digest: chunk.digest, problem: &problem });
            }
        }
        wrong.len() as u64
    }
}

/// Whether the file is to blame, and not a passing failure to read it.
fn is_damage(problem: &ChunkProblem) -> bool {
    match problem {
        ChunkProblem::Read(error) => is_unreadable(error),
        ChunkProblem::Blob(_) | ChunkProblem::Digest { .. } => true,
        _ => false,
    }
}

/// Whether a chunk that could not be read is damaged.
fn is_unreadable(error: &ChunkError) -> bool {
    match error {
        ChunkError::Empty { .. } | ChunkError::TooLarge { .. } => true,
        ChunkError::Storage { source, .. } => source.is_device_fault(),
        _ => false,
    }
}

/// Decodes and hashes chunks, one after the other.
struct Examiner {
    decoder: BlobDecoder,
    plain: Vec<u8>,
}

impl Examiner {
    fn new() -> Self {
        Self { decoder: BlobDecoder::new(), plain: Vec::new() }
    }

    fn examine(&mut self, digest: &Digest, encoded: &[u8]) -> Result<Known, ChunkProblem> {
        if blob::check(encoded)?.is_encrypted() {
            return Ok(Known::Encrypted);
        }
        self.decoder.decode_into(encoded, None, MAX_CHUNK_BYTES, &mut self.plain)?;
        let found = sha256(&self.plain);
        if found != *digest {
            return Err(ChunkProblem::Digest { found });
        }
        Ok(Known::Plain { size_bytes: self.plain.len() as u64 })
    }
}
