//! Fetching the few chunks of a small snapshot together with its files, before its turn.
//!
//! Only for a group of which the target has nothing, so that no chunk of its own can be reused, and only so few chunks
//! that asking the source is cheaper than reading the indexes of other groups. Nothing is stored or believed here: a chunk
//! fetched ahead is checked like any other when its snapshot's turn comes. What did not come ahead is fetched then.
//!
//! Source: `docs/spec/sync.md` C.2 W10.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, ArchiveName, CryptMode, Digest};
use tokio::sync::OnceCell;

use crate::chunks::check_pool::ExpectedChunk;
use crate::context::RunContext;
use crate::readers::SnapshotReader;
use crate::source::Source;
use crate::target::Target;

/// Chunks of one snapshot that are fetched ahead; one with more is not small.
const MAX_CHUNKS: usize = 7;

/// Their content in bytes. With the sessions that are open ahead, at most some 24 MiB wait in memory.
const MAX_BYTES: u64 = 1 << 20;

/// Whether the chunks of a snapshot may be fetched ahead of its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunksAhead {
    /// The target has nothing of the group: if there are few, they may.
    IfFew,
    /// Some may be there already.
    No,
}

/// A chunk that was fetched ahead; nothing inside if that failed.
type Cell = OnceCell<Option<Bytes>>;

/// Chunks that are being fetched ahead in a run, so that snapshots with the same content fetch it once. A chunk stays as
/// long as a snapshot that names it waits for its turn.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    cells: Mutex<HashMap<Digest, Weak<Cell>>>,
}

/// Chunks fetched ahead for one snapshot.
#[derive(Debug)]
pub(crate) struct FetchedAhead {
    claims: Arc<Claims>,
    cells: HashMap<Digest, Arc<Cell>>,
}

impl Claims {
    fn cells(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(self: &Arc<Self>, wanted: &[ExpectedChunk]) -> FetchedAhead {
        let mut all = self.cells();
        let mut claim = |chunk: &ExpectedChunk| {
            let known = all.get(&chunk.digest).and_then(Weak::upgrade);
            let cell = known.unwrap_or_default();
            all.insert(chunk.digest, Arc::downgrade(&cell));
            (chunk.digest, cell)
        };
        FetchedAhead { claims: self.clone(), cells: wanted.iter().map(&mut claim).collect() }
    }
}

impl FetchedAhead {
    /// Returns a chunk, if it was fetched and is not longer than `max_bytes`.
    pub(crate) fn get(&self, digest: &Digest, max_bytes: u64) -> Option<Bytes> {
        let chunk = self.cells.get(digest)?.get()?.clone();
        chunk.filter(|chunk| chunk.len() as u64 <= max_bytes)
    }
}

impl Drop for FetchedAhead {
    fn drop(&mut self) {
        let mut all = self.claims.cells();
        for (digest, cell) in self.cells.drain() {
            drop(cell);
            if all.get(&digest).is_some_and(|cell| cell.strong_count() == 0) {
                all.remove(&digest);
            }
        }
    }
}

/// Fetches the chunks that the indexes among `files` name, if there are few, and leaves them with `reader`.
pub(crate) async fn fetch_chunks_ahead<S: Source, T: Target>(
    run: &RunContext<S, T>,
    reader: &SnapshotReader<S>,
    manifest: &Manifest,
    files: &HashMap<ArchiveName, Bytes>,
) {
    let Some(mut wanted) = few_chunks(manifest, files) else {
        return;
    };
    wanted.retain(|chunk| !run.shared.contains(&chunk.digest, chunk.length));
    let fetched = run.claims.claim(&wanted);
    let fetch = |chunk: ExpectedChunk| {
        let cell = fetched.cells.get(&chunk.digest).cloned().unwrap_or_default();
        async move {
            let once = || async { reader.chunk_once(&chunk.digest, chunk.max_encoded_bytes()).await.ok() };
            cell.get_or_init(once).await;
        }
    };
    futures::future::join_all(wanted.into_iter().map(fetch)).await;
    reader.keep_ahead(fetched);
}

/// Returns the distinct chunks of a snapshot. `None` if they are not few, or if something is wrong with an index.
fn few_chunks(manifest: &Manifest, files: &HashMap<ArchiveName, Bytes>) -> Option<Vec<ExpectedChunk>> {
    let mut wanted: Vec<ExpectedChunk> = Vec::new();
    let mut bytes = 0;
    for file in manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob) {
        let index = Index::parse(file.name.kind(), files.get(&file.name)?.clone()).ok()?;
        if index.checksum() != file.checksum || index.size_bytes() != file.size_bytes {
            return None;
        }
        for chunk in index.chunks() {
            if let Some(known) = wanted.iter().find(|known| known.digest == chunk.digest) {
                if u64::from(known.length) != chunk.size_bytes() {
                    return None;
                }
                continue;
            }
            bytes += chunk.size_bytes();
            if wanted.len() == MAX_CHUNKS || MAX_BYTES < bytes {
                return None;
            }
            let (digest, is_encrypted) = (chunk.digest, file.crypt_mode == CryptMode::Encrypt);
            wanted.push(ExpectedChunk { digest, length: u32::try_from(chunk.size_bytes()).ok()?, is_encrypted });
        }
    }
    Some(wanted)
}
