//! What a pull does with a snapshot whose manifest is known: take it as it is, decrypt it, leave it alone, or refuse.
//!
//! Pure. Stricter than the reference, which often overwrites a local copy without looking at its content: here a copy is
//! never replaced by one with another signed content, whatever the keys.
//!
//! Source: `docs/spec/sync.md` 9.1, C.1 FAULT 7, C.2 W46.

use farhold_format::manifest::{Manifest, ManifestError, ManifestFile};
use farhold_types::{ArchiveKind, Digest, Snapshot};

use crate::options::SyncKey;
use crate::outcome::GroupFailure;

/// What the decision rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Manifest on the source.
    pub(crate) source: &'a Manifest,
    /// Manifest of the local copy; none if there is none, or it is known to be corrupt.
    pub(crate) local: Option<&'a Manifest>,
    /// Hash of the signed content from which this job made the local copy, if it noted that.
    pub(crate) made_from: Option<Digest>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan<'a> {
    /// Pull it as it is.
    AsItIs(KeyNote<'a>),
    /// Decrypt it.
    Decrypt(&'a SyncKey),
    /// The local copy was decrypted from it.
    NothingChanged(&'a SyncKey),
}

/// What the log says about keys when a snapshot is pulled as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyNote<'a> {
    /// Nothing.
    None,
    /// There are keys, but not the one of the snapshot.
    NoneMatches,
    /// The key is there, but some files are not encrypted.
    NotFullyEncrypted(&'a SyncKey),
}

/// Why nothing may be done.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The local copy must not be replaced.
    Refused(&'static str),
    /// A manifest makes no sense, or its signature is wrong.
    Manifest(ManifestError),
}

impl Obstacle {
    /// Returns the failure of a snapshot that meets it.
    pub(crate) fn of(self, snapshot: Snapshot) -> GroupFailure {
        match self {
            Self::Refused(reason) => GroupFailure::Refused { snapshot, reason },
            Self::Manifest(source) => GroupFailure::Manifest { snapshot, source },
        }
    }
}

impl From<ManifestError> for Obstacle {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

/// Returns the key with which the source snapshot was made, if the job has it.
pub(crate) fn matching_key<'a>(source: &Manifest, keys: &'a [SyncKey]) -> Result<Option<&'a SyncKey>, ManifestError> {
    let fingerprint = source.key_fingerprint()?;
    Ok(fingerprint.and_then(|wanted| keys.iter().find(|key| key.config.fingerprint() == wanted)))
}

/// Decides about one snapshot. Local and source manifest are known to differ in their bytes.
///
/// `keys`: those of the job.
pub(crate) fn plan<'a>(facts: &Facts<'_>, keys: &'a [SyncKey]) -> Result<Plan<'a>, Obstacle> {
    let Facts { source, local, .. } = *facts;
    let is_encrypted = source.is_fully_encrypted();
    let key_of_source = source.key_fingerprint()?;
    // A local fingerprint that cannot be read may stand for any key, so it never equals the source's.
    let key_of_local = local.map_or(Ok(None), Manifest::key_fingerprint);
    let Some(fingerprint) = key_of_source else {
        return match (local, key_of_local) {
            (_, Ok(Some(_)) | Err(_)) => {
                Err(Obstacle::Refused("the local snapshot is encrypted or signed, the source is not"))
            }
            _ => same_content(source, local).map(|()| Plan::AsItIs(KeyNote::None)),
        };
    };
    match (local, key_of_local) {
        (_, Err(_)) => return Err(Obstacle::Refused("the key of the local snapshot is unknown")),
        (_, Ok(Some(other))) if other != fingerprint => {
            return Err(Obstacle::Refused("the local snapshot is encrypted or signed with another key"));
        }
        (Some(copy), Ok(Some(_))) if copy.is_fully_encrypted() == is_encrypted => {
            return same_content(source, local).map(|()| Plan::AsItIs(KeyNote::None));
        }
        _ => {}
    }
    let Some(key) = matching_key(source, keys)? else {
        if is_encrypted && local.is_some() {
            let reason = "the local snapshot is not encrypted, and there is no key to compare it with the source";
            return Err(Obstacle::Refused(reason));
        }
        let note = if keys.is_empty() { KeyNote::None } else { KeyNote::NoneMatches };
        return same_content(source, local).map(|()| Plan::AsItIs(note));
    };
    if !is_encrypted {
        return same_content(source, local).map(|()| Plan::AsItIs(KeyNote::NotFullyEncrypted(key)));
    }
    source.check_signature(&key.config)?;
    match local {
        None => Ok(Plan::Decrypt(key)),
        Some(local) => is_made_from(facts, local, key).map(|()| Plan::NothingChanged(key)),
    }
}

/// Succeeds if there is no local copy, or one with the same signed content.
fn same_content(source: &Manifest, local: Option<&Manifest>) -> Result<(), Obstacle> {
    match local {
        Some(local) if !source.has_same_protected_content(local) => {
            Err(Obstacle::Refused("its content differs from the source"))
        }
        _ => Ok(()),
    }
}

/// Succeeds if the unencrypted local copy has the content of the source, which is encrypted with `key`.
fn is_made_from(facts: &Facts<'_>, local: &Manifest, key: &SyncKey) -> Result<(), Obstacle> {
    let source = facts.source;
    let (of_encryption, of_decryption) = (source.sync_source_signature()?, local.sync_source_signature()?);
    let is_same = match (of_encryption, of_decryption, source.signature) {
        (None, None, None) => match facts.made_from {
            Some(content) => content == content_hash(source),
            None => return Err(Obstacle::Refused("the source is not signed, so it cannot be compared")),
        },
        (None, None, Some(_)) => {
            return Err(Obstacle::Refused("the local snapshot does not say from which source it was made"));
        }
        (_, Some(_), None) => return Err(Obstacle::Refused("the source is not signed any more")),
        _ => is_signed_for(source, local, key)?,
    };
    if !is_same {
        return Err(Obstacle::Refused("its content differs from the source"));
    }
    // A copy that lost files on the way, as another server may have made it, is not what its signature says.
    if shape(source) != shape(local) {
        return Err(Obstacle::Refused("it does not have the files of the source"));
    }
    Ok(())
}

/// Returns whether the source was made by encrypting the local copy, or that by decrypting the source.
fn is_signed_for(source: &Manifest, local: &Manifest, key: &SyncKey) -> Result<bool, ManifestError> {
    let (of_encryption, of_decryption) = (source.sync_source_signature()?, local.sync_source_signature()?);
    Ok((of_encryption.is_some() && of_encryption == Some(local.compute_signature(&key.config)))
        || (of_decryption.is_some() && of_decryption == source.signature))
}

/// Says whether a local copy that is known to be bad may be replaced by the decrypted source: not if it says that it is
/// another backup.
///
/// # Errors
/// The obstacle.
pub(crate) fn may_repair(source: &Manifest, local: &Manifest, key: &SyncKey) -> Result<(), Obstacle> {
    match local.key_fingerprint() {
        Err(_) => return Err(Obstacle::Refused("the key of the local snapshot is unknown")),
        Ok(Some(other)) if other != key.config.fingerprint() => {
            return Err(Obstacle::Refused("the local snapshot is encrypted or signed with another key"));
        }
        Ok(Some(_)) if local.is_fully_encrypted() => return same_content(source, Some(local)),
        Ok(_) => {}
    }
    let says_nothing = source.sync_source_signature()?.is_none() && local.sync_source_signature()?.is_none();
    if says_nothing || is_signed_for(source, local, key)? {
        return Ok(());
    }
    Err(Obstacle::Refused("its content differs from the source"))
}

/// Returns what encryption does not change: the names of all files, and the content sizes of indexes.
fn shape(manifest: &Manifest) -> Vec<(&str, Option<u64>)> {
    let of = |file: &ManifestFile| (file.name.kind() != ArchiveKind::Blob).then_some(file.size_bytes);
    let mut files: Vec<_> = manifest.files.iter().map(|file| (file.name.as_str(), of(file))).collect();
    files.sort_unstable();
    files
}

/// Returns the hash of everything that a signature covers.
pub(crate) fn content_hash(manifest: &Manifest) -> Digest {
    farhold_crypto::sha256(&manifest.canonical())
}

#[cfg(test)]
mod tests;
