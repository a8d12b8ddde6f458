//! In which form the content of a snapshot leaves: as it is stored.
//!
//! Whatever the form, what is read from the store is checked before it is sent: CRC, length and, of what is not
//! encrypted, the digest; files against the manifest.
//!
//! Source: `docs/spec/sync.md` 10.4.

use std::collections::HashMap;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::Digest;

use crate::chunks::check_pool::{Bench, ExpectedChunk};
use crate::outcome::ArchiveFailure;

/// A chunk that is ready for the target.
#[derive(Debug)]
pub(crate) struct SentChunk {
    /// Its digest on the target.
    pub(crate) digest: Digest,
    /// Length of its content.
    pub(crate) plain_bytes: u64,
    /// What is uploaded; none if the target has it.
    pub(crate) upload: Option<Bytes>,
}

/// In which form chunks and files of one snapshot leave. All functions that take a bench are called on the pool.
#[derive(Debug, Clone)]
pub(crate) enum ChunkForm {
    /// Every byte as it is stored.
    AsStored,
}

impl ChunkForm {
    /// Checks a stored chunk and makes of it what the target gets. `chunk`: as in the source's index.
    pub(crate) fn prepare(
        &self,
        bench: &mut Bench,
        chunk: &ExpectedChunk,
        stored: &Bytes,
        is_on_target: impl FnOnce(&Digest) -> bool,
    ) -> Result<SentChunk, ArchiveFailure> {
        match self {
            Self::AsStored => {
                chunk.check(bench, stored)?;
                let upload = (!is_on_target(&chunk.digest)).then(|| stored.clone());
                Ok(SentChunk { digest: chunk.digest, plain_bytes: chunk.length.into(), upload })
            }
        }
    }

    /// Checks a stored blob against the manifest; returns what is sent and its entry in the new manifest.
    pub(crate) fn blob(
        &self,
        _bench: &mut Bench,
        file: &ManifestFile,
        stored: Bytes,
    ) -> Result<(Bytes, ManifestFile), ArchiveFailure> {
        let (archive, found) = (file.name.clone(), stored.len() as u64);
        if found != file.size_bytes {
            return Err(ArchiveFailure::Size { archive, expected: file.size_bytes, found });
        }
        if sha256(&stored) != file.checksum {
            return Err(ArchiveFailure::Checksum { archive });
        }
        blob::check(&stored).map_err(|source| ArchiveFailure::Blob { archive, source })?;
        match self {
            Self::AsStored => Ok((stored, file.clone())),
        }
    }

    /// Returns the client log as it is sent. One that is damaged is not.
    pub(crate) fn client_log(&self, _bench: &mut Bench, stored: Bytes) -> Result<Bytes, blob::BlobError> {
        blob::check(&stored)?;
        match self {
            Self::AsStored => Ok(stored),
        }
    }

    /// Returns the entry of an index in the new manifest.
    pub(crate) fn index_entry(&self, file: &ManifestFile, checksum: Digest) -> ManifestFile {
        match self {
            Self::AsStored => ManifestFile { checksum, ..file.clone() },
        }
    }

    /// Returns the manifest of what was sent; `files` in the order of the source's.
    pub(crate) fn manifest(&self, source: &Manifest, files: Vec<ManifestFile>) -> Manifest {
        match self {
            // Modes and signature stay, so it is valid on the target, too (`docs/spec/sync.md` C.1 FAULT 12).
            Self::AsStored => Manifest { files, ..source.clone() },
        }
    }

    /// Returns the entries of the new manifest if they are known before anything was sent.
    pub(crate) fn files_ahead(&self, source: &Manifest) -> Option<Vec<ManifestFile>> {
        match self {
            Self::AsStored => Some(source.files.clone()),
        }
    }

    /// Returns whether the indexes of the newest finished snapshot of the target are of use for this one.
    pub(crate) fn may_use_previous(&self, _previous: &Manifest) -> bool {
        match self {
            Self::AsStored => true,
        }
    }
}

/// What a chunk of the source is called on the target, as far as that is known without reading it.
#[derive(Debug, Default)]
pub(crate) struct PushDigests {
    /// None if the form keeps the names.
    renamed: Option<HashMap<Digest, Digest>>,
}

impl PushDigests {
    pub(crate) fn get(&self, source: &Digest) -> Option<Digest> {
        match &self.renamed {
            None => Some(*source),
            Some(renamed) => renamed.get(source).copied(),
        }
    }

    pub(crate) fn set(&mut self, source: Digest, target: Digest, _length: u32) {
        if let Some(renamed) = &mut self.renamed {
            renamed.insert(source, target);
        }
    }
}
