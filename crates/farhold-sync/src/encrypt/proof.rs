//! Which encrypted chunk of the target has the content of which plain one here, found without reading any: two snapshots
//! of the same content have the same positions.
//!
//! Only what the key vouches for counts. The target wrote none of it: its manifest must be signed with the key, be one of
//! the same type, id and time as the local one, which are signed too, and note the signature that the key gives to the
//! local manifest. That note alone would prove nothing, since it is not signed and could be moved from one manifest to
//! another. The indexes must be those of the two manifests and agree in everything but digests, and one content must not
//! have two of them.
//!
//! What this cannot exclude: two snapshots of one type, id and time in different namespaces, with files of the same names
//! and sizes, pushed with one key. Namespaces are not signed, so a hostile target could offer one for the other. Hence the
//! server's own notes ([`super::digests`]) come first, and of pairs found here some are looked at before they are used.
//!
//! Source: `docs/spec/sync.md` C.2 W4; `docs/spec/datastore-format.md` 10.2, 10.3 and 10.5.

use std::collections::HashMap;

use farhold_crypto::CryptConfig;
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestError, SignatureState};
use farhold_types::{ArchiveName, CryptMode};
use thiserror::Error;

use crate::notes::pair_file::FilePair;

/// Why nothing is known about the chunks of the target's snapshot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Unproven {
    /// The target's manifest is signed with another key, or wrongly.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the previous snapshot on the target is not signed")]
    Unsigned,
    #[error("the previous snapshot on the target is another one than the local one")]
    OtherSnapshot,
    #[error("the previous snapshot on the target was not made from the local one")]
    OtherSource,
    #[error("file '{archive}' is not in both snapshots, plain here and encrypted there")]
    File { archive: ArchiveName },
    #[error("the index of '{archive}' is not that of its manifest")]
    Checksum { archive: ArchiveName },
    #[error("the indexes of '{archive}' do not agree")]
    Shape { archive: ArchiveName },
}

/// Says that a snapshot of the target is the encrypted form of a local one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    target: &'a Manifest,
    local: &'a Manifest,
}

impl<'a> Proof<'a> {
    /// Proves that the snapshot with the manifest `target` was made with `key` from the local one with the manifest
    /// `local`.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn new(key: &CryptConfig, target: &'a Manifest, local: &'a Manifest) -> Result<Self, Unproven> {
        match target.check_signature(key)? {
            SignatureState::Valid => {}
            SignatureState::Unsigned => return Err(Unproven::Unsigned),
        }
        if target.snapshot() != local.snapshot() {
            return Err(Unproven::OtherSnapshot);
        }
        if target.sync_source_signature()? != Some(local.compute_signature(key)) {
            return Err(Unproven::OtherSource);
        }
        Ok(Self { target, local })
    }

    /// Returns the pairs of one archive, each once.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn pairs(
        &self,
        archive: &ArchiveName,
        local: &Index,
        target: &Index,
    ) -> Result<Vec<FilePair>, Unproven> {
        let (Some(local_file), Some(target_file)) = (self.local.file(archive), self.target.file(archive)) else {
            return Err(Unproven::File { archive: archive.clone() });
        };
        if local_file.crypt_mode == CryptMode::Encrypt || target_file.crypt_mode != CryptMode::Encrypt {
            return Err(Unproven::File { archive: archive.clone() });
        }
        for (index, file) in [(local, local_file), (target, target_file)] {
            if (index.checksum(), index.size_bytes()) != (file.checksum, file.size_bytes) {
                return Err(Unproven::Checksum { archive: archive.clone() });
            }
        }
        let shape = |index: &Index| (index.kind(), index.size_bytes(), index.chunk_size_bytes(), index.chunk_count());
        let disagree = || Unproven::Shape { archive: archive.clone() };
        if shape(local) != shape(target) {
            return Err(disagree());
        }
        let (mut there, mut back) = (HashMap::new(), HashMap::new());
        let mut pairs = Vec::new();
        for (ours, theirs) in local.chunks().zip(target.chunks()) {
            let length = u32::try_from(ours.size_bytes()).map_err(|_| disagree())?;
            let is_same_place = (ours.start, ours.end) == (theirs.start, theirs.end) && length != 0;
            let is_first = !there.contains_key(&ours.digest);
            let is_consistent = *there.entry(ours.digest).or_insert(theirs.digest) == theirs.digest
                && *back.entry(theirs.digest).or_insert(ours.digest) == ours.digest;
            if !is_same_place || !is_consistent {
                return Err(disagree());
            }
            if is_first {
                pairs.push(FilePair { source: ours.digest, target: theirs.digest, length });
            }
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests;
