//! Finding pairs when the server's own notes do not have them: after another program pushed, or the notes were lost.
//!
//! The local snapshot of the same time is read beside the target's previous one, and [`Proof`] says what that proves. Of
//! every archive some chunks are read and hashed, chosen by chance, before any pair is used: namespaces are not signed, so
//! a hostile target might offer the encrypted form of a namesake. Whatever is wrong costs reading, never correctness.
//!
//! Source: `docs/spec/sync.md` C.2 W4.

use std::sync::Arc;

use farhold_format::blob::BlobError;
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestError};
use farhold_types::{ArchiveName, Digest, Namespace};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::ahead::prepare::{MAX_BLOB_BYTES, max_file_bytes};
use crate::chunks::check_pool::{Bench, CheckPool, ExpectedChunk};
use crate::encrypt::form::Sealer;
use crate::encrypt::proof::{Proof, Unproven};
use crate::notes::pair_file::FilePair;
use crate::outcome::ArchiveFailure;
use crate::source::{Source, SourceError, SourceSnapshot};

/// Chunks of an archive that are looked at before its pairs are used. One in 256 passes that differs in only half of
/// its chunks.
const SAMPLES: usize = 8;

/// Why no pairs were found.
#[derive(Debug, Error)]
pub(crate) enum NoPairs {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Local(#[from] ArchiveFailure),
    #[error("the local snapshot cannot be used")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error("chunk {plain} is another one on the target than its key would make of it")]
    Contradiction { plain: Digest },
}

impl NoPairs {
    /// Returns whether somebody made the target's snapshot look like what it is not.
    pub(crate) const fn is_suspicious(&self) -> bool {
        matches!(self, Self::Contradiction { .. } | Self::Unproven(Unproven::Manifest(ManifestError::Signature)))
    }
}

/// Looks for pairs in the previous snapshot of a group.
pub(crate) struct Pairing<'a, S: Source> {
    pub(crate) source: &'a S,
    pub(crate) pool: &'a CheckPool,
    /// Namespace of the group on the source.
    pub(crate) ns: &'a Namespace,
    pub(crate) sealer: &'a Sealer,
    /// The local snapshot of the same time, once it was opened.
    local: OnceCell<Local<S::Snapshot>>,
}

struct Local<R> {
    reader: R,
    manifest: Arc<Manifest>,
}

impl<'a, S: Source> Pairing<'a, S> {
    pub(crate) fn new(source: &'a S, pool: &'a CheckPool, ns: &'a Namespace, sealer: &'a Sealer) -> Self {
        Self { source, pool, ns, sealer, local: OnceCell::new() }
    }

    async fn local(&self, previous: &Manifest) -> Result<&Local<S::Snapshot>, NoPairs> {
        let open = || async {
            let reader = self.source.open(self.ns, &previous.snapshot()).await?;
            let raw = reader.file(&ArchiveName::manifest(), MAX_BLOB_BYTES).await?;
            let manifest = self.pool.run(move |_| Manifest::from_blob(&raw)).await??;
            Ok::<_, NoPairs>(Local { reader, manifest: Arc::new(manifest) })
        };
        self.local.get_or_try_init(open).await
    }

    /// Returns pairs of one archive of the previous snapshot, each once.
    ///
    /// `previous`, `index`: its manifest and index on the target, unchecked.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn pairs(
        &self,
        previous: &Arc<Manifest>,
        archive: &ArchiveName,
        index: &Index,
    ) -> Result<Vec<FilePair>, NoPairs> {
        let local = self.local(previous).await?;
        let missing = || Unproven::File { archive: archive.clone() };
        let file = local.manifest.file(archive).ok_or_else(missing)?;
        let raw = local.reader.file(archive, max_file_bytes(file)).await?;
        let (key, ours, theirs) = (self.sealer.key().clone(), local.manifest.clone(), previous.clone());
        let (archive, index) = (archive.clone(), index.clone());
        let proven = move |_: &mut Bench| {
            let proof = Proof::new(&key, &theirs, &ours)?;
            let local_index = Index::parse(archive.kind(), raw).map_err(ArchiveFailure::Index)?;
            Ok::<_, NoPairs>(proof.pairs(&archive, &local_index, &index)?)
        };
        let pairs = self.pool.run(proven).await??;
        for _ in 0..SAMPLES.min(pairs.len()) {
            self.look_at(&local.reader, pairs[self.any_of(pairs.len())]).await?;
        }
        Ok(pairs)
    }

    /// Returns a random position below `count`, which is not 0.
    fn any_of(&self, count: usize) -> usize {
        let mut bytes = [0; 8];
        self.sealer.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % count as u64) as usize
    }

    /// Reads a chunk and compares what it gives with a pair.
    async fn look_at(&self, reader: &S::Snapshot, pair: FilePair) -> Result<(), NoPairs> {
        let FilePair { source: digest, target, length } = pair;
        let chunk = ExpectedChunk { digest, length, is_encrypted: false };
        let stored = reader.chunk(&digest, chunk.max_encoded_bytes()).await?;
        let key = self.sealer.key().clone();
        let hash = move |bench: &mut Bench| {
            let plain = &mut bench.plain;
            bench.decoder.decode_into(&stored, None, length as usize, plain)?;
            Ok::<_, BlobError>(key.chunk_digests(plain))
        };
        let hashed = self.pool.run(hash).await?.map_err(|source| ArchiveFailure::Chunk { digest, source })?;
        if hashed.1 != digest {
            return Err(ArchiveFailure::ChunkDigest { digest }.into());
        }
        if hashed.0 != target {
            return Err(NoPairs::Contradiction { plain: digest });
        }
        Ok(())
    }
}
