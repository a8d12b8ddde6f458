//! What the previous snapshot of the group spares: its manifest and indexes are fetched and proved before anything in
//! them is believed. What cannot be used costs a full upload and is never an error.
//!
//! Source: `docs/spec/wire-protocol.md` 7, steps 2 and 3.

use farhold_client::ClientError;
use farhold_format::blob::MAX_ENCODED_BLOB_BYTES;
use farhold_format::index::{Index, max_index_bytes};
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveName, CryptMode};

use crate::error::BackupError;
use crate::observer::{Event, Observer, PreviousSnapshot};
use crate::protection::Protection;
use crate::target::BackupTarget;

/// Returns the manifest of the previous snapshot, if it can be used.
///
/// # Errors
/// Only if the session is broken.
pub(crate) async fn manifest<T: BackupTarget>(
    target: &T,
    protection: &Protection,
    observer: &Observer,
) -> Result<Option<Manifest>, BackupError> {
    let (previous, manifest) = look(target, protection).await?;
    observer.tell(&Event::Previous(previous));
    Ok(manifest)
}

async fn look<T: BackupTarget>(
    target: &T,
    protection: &Protection,
) -> Result<(PreviousSnapshot, Option<Manifest>), BackupError> {
    let time = match target.previous_backup_time().await {
        Ok(None) => return Ok((PreviousSnapshot::None, None)),
        Ok(time) => time,
        // An old server that does not know the question.
        Err(ClientError::Status { .. }) => None,
        Err(source) => return Err(BackupError::Server { step: "asking for the previous snapshot", source }),
    };
    let unusable = |reason: String| Ok((PreviousSnapshot::Unusable { time, reason }, None));
    let encoded = match target.previous(&ArchiveName::manifest(), MAX_ENCODED_BLOB_BYTES).await {
        Ok(encoded) => encoded,
        Err(ClientError::Status { .. }) if time.is_none() => return Ok((PreviousSnapshot::None, None)),
        Err(error @ (ClientError::Status { .. } | ClientError::TooLarge { .. })) => return unusable(error.to_string()),
        Err(source) => return Err(BackupError::Server { step: "fetching the previous manifest", source }),
    };
    match prove(&encoded, protection) {
        Ok(manifest) => Ok((PreviousSnapshot::Usable { time }, Some(manifest))),
        Err(reason) => unusable(reason),
    }
}

/// Returns the manifest, if nothing speaks against believing it.
fn prove(encoded: &[u8], protection: &Protection) -> Result<Manifest, String> {
    let manifest = Manifest::from_blob(encoded).map_err(|e| e.to_string())?;
    match (protection.key(), manifest.key_fingerprint().map_err(|e| e.to_string())?) {
        (Some(key), _) => {
            manifest.check_signature(key).map_err(|e| e.to_string())?;
        }
        (None, Some(fingerprint)) => return Err(format!("it was made with the key {}", fingerprint.short())),
        (None, None) => {}
    }
    Ok(manifest)
}

/// Returns the previous index of an archive, if it is the one that the manifest describes and its chunks have the form
/// that ours get. The server knows its chunks from then on.
///
/// # Errors
/// Only if the session is broken.
pub(crate) async fn index<T: BackupTarget>(
    target: &T,
    manifest: Option<&Manifest>,
    name: &ArchiveName,
    protection: &Protection,
    observer: &Observer,
) -> Result<Option<Index>, BackupError> {
    let Some(file) = manifest.and_then(|manifest| manifest.file(name)) else { return Ok(None) };
    let is_encrypted = |mode| mode == CryptMode::Encrypt;
    if is_encrypted(file.crypt_mode) != is_encrypted(protection.crypt_mode()) {
        return Ok(None);
    }
    let warn = |text: String| {
        let text = format!("the previous index cannot be used: {text}");
        observer.tell(&Event::Warning { name: name.clone(), text });
        Ok(None)
    };
    let max_bytes = usize::try_from(max_index_bytes(name.kind(), file.size_bytes)).unwrap_or(usize::MAX);
    let bytes = match target.previous(name, max_bytes).await {
        Ok(bytes) => bytes,
        Err(error @ (ClientError::Status { .. } | ClientError::TooLarge { .. })) => return warn(error.to_string()),
        Err(source) => return Err(BackupError::Server { step: "fetching a previous index", source }),
    };
    let index = match Index::parse(name.kind(), bytes) {
        Ok(index) => index,
        Err(error) => return warn(error.to_string()),
    };
    if (index.size_bytes(), index.checksum()) != (file.size_bytes, file.checksum) {
        return warn("size or checksum differ from the previous manifest".to_owned());
    }
    Ok(Some(index))
}
