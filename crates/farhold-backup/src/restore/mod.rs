//! Bringing an archive of a snapshot back: to a new file, or in order to anything that can be written to.
//!
//! Nothing is believed: the manifest's signature and key, the index's or blob's size and checksum, and the CRC, digest
//! and length of every chunk are checked before its content is written.
//!
//! Source: `docs/spec/wire-protocol.md` 6.4, `docs/spec/cli.md` 5.5.

mod chunks;
mod error;
mod name;
mod output;
mod source;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use farhold_client::{Client, ClientError};
use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{self, BlobDecoder, MAX_ENCODED_BLOB_BYTES, MAX_INPUT_BYTES};
use farhold_format::index::{Index, max_index_bytes};
use farhold_format::manifest::{Manifest, ManifestError, ManifestFile};
use farhold_types::{
    ArchiveKind, ArchiveName, CLIENT_LOG_NAME, CryptMode, DatastoreName, KEY_BLOB_NAME, MANIFEST_NAME, Namespace,
    Snapshot,
};
use tokio_util::sync::CancellationToken;

pub use error::RestoreError;
pub use source::RestoreSource;

use crate::observer::{Event, Observer};
use crate::request::Limits;
use chunks::{ChunkReader, Form};
use output::{NewFile, Output};

/// What is to be restored, and where to.
#[derive(Debug)]
pub struct RestoreRequest {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Name of the archive, with or without its last ending. `index.json` is the manifest, `client.log` the client log.
    pub archive: String,
    /// Where the content goes.
    pub target: RestoreTarget,
    /// Key of the snapshot, if there is one at hand.
    pub key: Option<Arc<CryptConfig>>,
    /// What the restore may use.
    pub limits: Limits,
}

impl RestoreRequest {
    /// Returns a request without a key, within the default limits.
    pub fn new(snapshot: Snapshot, archive: impl Into<String>, target: RestoreTarget) -> Self {
        Self { snapshot, archive: archive.into(), target, key: None, limits: Limits::default() }
    }
}

/// Where restored content goes.
pub enum RestoreTarget {
    /// A file that does not exist yet; only the manifest may replace one. Until it is complete its name ends in
    /// `.restoring`, and it is removed if the restore fails. Empty parts are not written, so that the file takes no more
    /// space than its content needs.
    NewFile(PathBuf),
    /// Anything else, such as standard output. The content is written in order.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for RestoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewFile(path) => f.debug_tuple("NewFile").field(path).finish(),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSummary {
    /// Full name of the archive.
    pub name: ArchiveName,
    /// Bytes restored.
    pub size_bytes: u64,
}

/// Restores an archive over a reader session of its own.
///
/// # Errors
/// See [`RestoreError`]. A new file is removed then; what was written to a writer stays written.
///
/// # Cancel safety
/// Cancelling and dropping the future both remove a new file.
pub async fn restore(
    client: &Client,
    store: &DatastoreName,
    ns: &Namespace,
    request: RestoreRequest,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<RestoreSummary, RestoreError> {
    let opening = client.open_reader(store, ns, &request.snapshot);
    let session = tokio::select! {
        opened = opening => opened.map_err(|source| RestoreError::server("the snapshot", source))?,
        () = cancel.cancelled() => return Err(RestoreError::Cancelled),
    };
    let summary = restore_from(session.clone(), request, observer, cancel).await;
    session.close().await;
    summary
}

/// Restores an archive over a session that is open already, as [`restore`] does.
///
/// # Errors
/// As [`restore`].
pub async fn restore_from<S: RestoreSource>(
    source: S,
    request: RestoreRequest,
    observer: Observer,
    cancel: CancellationToken,
) -> Result<RestoreSummary, RestoreError> {
    tokio::select! {
        summary = run(&source, request, &observer) => summary,
        () = cancel.cancelled() => Err(RestoreError::Cancelled),
    }
}

async fn run<S: RestoreSource>(
    source: &S,
    request: RestoreRequest,
    observer: &Observer,
) -> Result<RestoreSummary, RestoreError> {
    let RestoreRequest { snapshot, archive, target, key, limits } = request;
    let encoded_manifest = download(source, &ArchiveName::manifest(), MAX_ENCODED_BLOB_BYTES).await?;
    let manifest = Manifest::from_blob(&encoded_manifest).map_err(|source| RestoreError::Manifest { source })?;
    let name = name::resolve(&archive, &manifest)?;
    check_key(&manifest, &name, key.as_deref())?;
    if manifest.snapshot() != snapshot {
        let text = format!("the manifest belongs to snapshot {}", manifest.snapshot());
        observer.tell(&Event::Warning { name: name.clone(), text });
    }
    let restored = Restored { source, manifest: &manifest, key: key.as_ref(), limits: &limits, observer };
    let size_bytes = match name.as_str() {
        MANIFEST_NAME => restored.manifest_text(&encoded_manifest, target).await?,
        CLIENT_LOG_NAME => {
            // Only the server knows whether there is one.
            let encoded = match download(source, &name, MAX_ENCODED_BLOB_BYTES).await {
                Err(error) if error.client_error().and_then(ClientError::status) == Some(404) => {
                    return Err(RestoreError::NotInSnapshot { archive });
                }
                other => other?,
            };
            restored.blob(&name, encoded, target).await?
        }
        _ => {
            let file = manifest.file(&name).ok_or_else(|| RestoreError::NotInSnapshot { archive })?;
            match name.kind() {
                ArchiveKind::Blob => {
                    let encoded = download(source, &name, MAX_ENCODED_BLOB_BYTES).await?;
                    check_blob(file, &encoded)?;
                    restored.blob(&name, encoded, target).await?
                }
                _ => restored.index(file, target).await?,
            }
        }
    };
    Ok(RestoreSummary { name, size_bytes })
}

/// Checks signature and fingerprint against the key at hand, or that none is needed.
fn check_key(manifest: &Manifest, name: &ArchiveName, key: Option<&CryptConfig>) -> Result<(), RestoreError> {
    let manifest_error = |source| RestoreError::Manifest { source };
    let fingerprint = manifest.key_fingerprint().map_err(manifest_error)?;
    let Some(key) = key else {
        return match fingerprint {
            Some(expected) if name.as_str() != KEY_BLOB_NAME => Err(RestoreError::KeyMissing { expected }),
            _ => Ok(()),
        };
    };
    if let Some(expected) = fingerprint
        && expected != key.fingerprint()
    {
        return Err(RestoreError::WrongKey { expected, found: key.fingerprint() });
    }
    match manifest.check_signature(key) {
        Ok(_) => Ok(()),
        Err(source @ ManifestError::Signature) => Err(RestoreError::Signature { source }),
        Err(source) => Err(manifest_error(source)),
    }
}

async fn download<S: RestoreSource>(source: &S, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, RestoreError> {
    let downloading = source.download(name, max_bytes);
    downloading.await.map_err(|source| RestoreError::server(name.as_str(), source))
}

/// Checks a blob against its manifest entry.
fn check_blob(file: &ManifestFile, encoded: &[u8]) -> Result<(), RestoreError> {
    let corrupt = |reason| RestoreError::Corrupt { name: file.name.clone(), reason };
    if (encoded.len() as u64, sha256(encoded)) != (file.size_bytes, file.checksum) {
        return Err(corrupt("size or checksum differ from the manifest"));
    }
    let kind = blob::check(encoded).map_err(|source| RestoreError::Blob { name: file.name.clone(), source })?;
    // The mode of the key's own copy says nothing about its container (datastore-format.md 6.3).
    if kind.is_encrypted() != (file.crypt_mode == CryptMode::Encrypt) && file.name.as_str() != KEY_BLOB_NAME {
        return Err(corrupt("it is not encrypted as the manifest says"));
    }
    Ok(())
}

/// An archive being restored, and where from.
struct Restored<'a, S> {
    source: &'a S,
    manifest: &'a Manifest,
    key: Option<&'a Arc<CryptConfig>>,
    limits: &'a Limits,
    observer: &'a Observer,
}

impl<S: RestoreSource> Restored<'_, S> {
    /// Writes the manifest as it is stored, without its container.
    async fn manifest_text(&self, encoded: &[u8], target: RestoreTarget) -> Result<u64, RestoreError> {
        let text = BlobDecoder::new()
            .decode(encoded, None, MAX_INPUT_BYTES)
            .map_err(|source| RestoreError::Blob { name: ArchiveName::manifest(), source })?;
        self.small(text, target, output::Existing::Replace).await
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes, target: RestoreTarget) -> Result<u64, RestoreError> {
        self.observer.progress.add_transferred(encoded.len() as u64);
        let key = self.key.cloned();
        let decoding = move || BlobDecoder::new().decode(&encoded, key.as_deref(), MAX_INPUT_BYTES);
        let content = tokio::task::spawn_blocking(decoding)
            .await
            .map_err(|_| RestoreError::Worker)?
            .map_err(|source| RestoreError::Blob { name: name.clone(), source })?;
        self.small(content, target, output::Existing::Refuse).await
    }

    async fn small(
        &self,
        content: Vec<u8>,
        target: RestoreTarget,
        existing: output::Existing,
    ) -> Result<u64, RestoreError> {
        let size_bytes = content.len() as u64;
        self.observer.progress.set_total(size_bytes);
        let writing = move || output::write_small(target, &content, existing);
        tokio::task::spawn_blocking(writing).await.map_err(|_| RestoreError::Worker)??;
        self.observer.progress.add_done(size_bytes);
        Ok(size_bytes)
    }

    async fn index(&self, file: &ManifestFile, target: RestoreTarget) -> Result<u64, RestoreError> {
        let name = &file.name;
        let max_bytes = usize::try_from(max_index_bytes(name.kind(), file.size_bytes)).unwrap_or(usize::MAX);
        let bytes = download(self.source, name, max_bytes).await?;
        let index =
            Index::parse(name.kind(), bytes).map_err(|source| RestoreError::Index { name: name.clone(), source })?;
        if (index.size_bytes(), index.checksum()) != (file.size_bytes, file.checksum) {
            let reason = "size or checksum differ from the manifest";
            return Err(RestoreError::Corrupt { name: name.clone(), reason });
        }
        let form = match file.crypt_mode {
            CryptMode::Encrypt => {
                let expected = self.manifest.key_fingerprint().ok().flatten();
                Form::Encrypted(self.key.cloned().ok_or(RestoreError::KeyNeeded { name: name.clone(), expected })?)
            }
            CryptMode::None | CryptMode::SignOnly => Form::Plain,
        };
        self.observer.tell(&Event::ArchiveStarted { name: name.clone(), size_bytes: Some(index.size_bytes()) });
        self.observer.progress.set_total(index.size_bytes());
        let reader = ChunkReader::new(self.source, form, self.limits, &self.observer.progress);
        match target {
            RestoreTarget::NewFile(path) => {
                let file = NewFile::create(path, index.size_bytes()).await?;
                reader.to_file(&index, &file).await?;
                file.keep().await?;
            }
            RestoreTarget::Writer(writer) => {
                let output = Output::start(writer);
                reader.in_order(&index, output).await?;
            }
        }
        Ok(index.size_bytes())
    }
}
