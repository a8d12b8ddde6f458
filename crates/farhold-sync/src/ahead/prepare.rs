//! Fetching the small files of a snapshot ahead of its turn, while the chunks of the one before still come in.
//!
//! Only reads from the source. Everything is checked when the snapshot's turn comes; what could not be fetched ahead is
//! fetched then.
//!
//! Source: `docs/spec/sync.md` C.2 W10 and W12.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use farhold_format::blob::MAX_ENCODED_BLOB_BYTES;
use farhold_format::index::max_index_bytes;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_rules::sync_plan::{Action, ActionKind};
use farhold_types::{ArchiveKind, ArchiveName, CLIENT_LOG_NAME, Namespace, Snapshot};
use futures::StreamExt;

use crate::ahead::chunks::{ChunksAhead, fetch_chunks_ahead};
use crate::context::RunContext;
use crate::fault::RequestFault;
use crate::outcome::GroupFailure;
use crate::readers::SnapshotReader;
use crate::retry::Retry;
use crate::source::{Source, SourceError};
use crate::target::Target;

/// Bytes of files that a snapshot may hold in memory ahead of its turn; covers the index of an image of 128 GiB.
const AHEAD_BYTES: u64 = 1 << 20;

/// Files of one snapshot that are fetched at once: enough to hide round trips, few enough to keep order useful.
const FILES_AT_ONCE: usize = 8;

/// Bound on the bytes of a blob or manifest.
pub(crate) const MAX_BLOB_BYTES: u64 = MAX_ENCODED_BLOB_BYTES as u64;

/// Returns the largest number of bytes that a file of the manifest may have.
pub(crate) fn max_file_bytes(file: &ManifestFile) -> u64 {
    match file.name.kind() {
        ArchiveKind::Blob => file.size_bytes.min(MAX_BLOB_BYTES),
        kind => max_index_bytes(kind, file.size_bytes),
    }
}

/// A snapshot that is open on the source.
pub(crate) struct Prepared<S: Source> {
    pub(crate) reader: Arc<SnapshotReader<S>>,
    pub(crate) raw_manifest: Bytes,
    pub(crate) manifest: Manifest,
    /// Files fetched ahead, unchecked.
    pub(crate) files: HashMap<ArchiveName, Bytes>,
}

/// What the source has when a snapshot's turn comes.
pub(crate) enum Preparation<S: Source> {
    /// It is open and its manifest was read.
    Ready(Box<Prepared<S>>),
    /// It is gone since it was listed.
    Vanished,
}

/// Reads the manifest of a snapshot, and for a new one its small files.
///
/// `peeked`: the manifest, if it was read already without opening the snapshot.
pub(crate) async fn prepare<S: Source, T: Target>(
    run: Arc<RunContext<S, T>>,
    ns: Namespace,
    action: Action,
    retry: Arc<Retry>,
    peeked: Option<Bytes>,
    chunks: ChunksAhead,
) -> Result<Preparation<S>, GroupFailure> {
    let snapshot = action.item.snapshot();
    let reader = Arc::new(SnapshotReader::new(&run, ns.clone(), snapshot.clone(), retry.clone()));
    // Mostly nothing has changed; then no session is needed. A transfer reads the manifest from the open snapshot.
    let mut raw_manifest = peeked.filter(|_| action.kind == ActionKind::Compare);
    if action.kind == ActionKind::Compare && raw_manifest.is_none() {
        raw_manifest = run.source.peek_manifest(&ns, &snapshot, MAX_BLOB_BYTES).await.ok();
        raw_manifest.iter().for_each(|raw| run.files.add(raw));
    }
    if raw_manifest.is_none()
        && let Err(error) = reader.open().await
    {
        return if is_gone(&run, &ns, &snapshot, &retry, error.fault).await {
            Ok(Preparation::Vanished)
        } else {
            Err(error.into())
        };
    }
    let raw_manifest = match raw_manifest {
        Some(raw) => raw,
        None => match reader.file(&ArchiveName::manifest(), MAX_BLOB_BYTES).await {
            Ok(raw) => raw,
            Err(error) if error.fault == RequestFault::NotFound => return Ok(Preparation::Vanished),
            Err(error) => return Err(error.into()),
        },
    };
    let parsed = raw_manifest.clone();
    let manifest = run.pool.run(move |_| Manifest::from_blob(&parsed)).await;
    let manifest = manifest
        .map_err(|_| SourceError::new(RequestFault::Invalid, "internal error: a task of the sync crashed"))?
        .map_err(|source| GroupFailure::Manifest { snapshot: snapshot.clone(), source })?;
    if manifest.snapshot() != snapshot {
        return Err(GroupFailure::WrongManifest { expected: snapshot, found: manifest.snapshot().to_string() });
    }
    let files = if action.kind == ActionKind::Transfer {
        fetch_ahead(&reader, &manifest, &action).await
    } else {
        HashMap::new()
    };
    if chunks == ChunksAhead::IfFew {
        fetch_chunks_ahead(&run, &reader, &manifest, &files).await;
    }
    Ok(Preparation::Ready(Box::new(Prepared { reader, raw_manifest, manifest, files })))
}

/// Returns whether the source does not list the snapshot any more after it failed with `fault`.
///
/// Source: `docs/spec/sync.md` C.2 W24.
pub(crate) async fn is_gone<S: Source, T: Target>(
    run: &RunContext<S, T>,
    ns: &Namespace,
    snapshot: &Snapshot,
    retry: &Retry,
    fault: RequestFault,
) -> bool {
    if !matches!(fault, RequestFault::NotFound | RequestFault::Refused) {
        return false;
    }
    let listed = retry.run(|| run.source.snapshots(ns, &snapshot.group)).await;
    listed.is_ok_and(|listed| {
        listed.unreadable.is_empty() && listed.items.iter().all(|item| item.snapshot() != *snapshot)
    })
}

async fn fetch_ahead<S: Source>(
    reader: &SnapshotReader<S>,
    manifest: &Manifest,
    action: &Action,
) -> HashMap<ArchiveName, Bytes> {
    let mut room = AHEAD_BYTES;
    let mut wanted = Vec::new();
    for file in &manifest.files {
        // An index has at most some 40 bytes for each of its chunks, which are mostly near 4 MiB.
        let likely = match file.name.kind() {
            ArchiveKind::Blob => file.size_bytes,
            _ => 4096 + file.size_bytes / (4 << 20) * 40,
        };
        if likely <= room {
            room -= likely;
            wanted.push((file.name.clone(), max_file_bytes(file).min(AHEAD_BYTES)));
        }
    }
    if lists_client_log(action) {
        wanted.push((ArchiveName::client_log(), AHEAD_BYTES));
    }
    futures::stream::iter(wanted)
        .map(|(name, max)| async move {
            let content = reader.file(&name, max).await;
            content.ok().map(|content| (name, content))
        })
        .buffer_unordered(FILES_AT_ONCE)
        .filter_map(|file| async { file })
        .collect()
        .await
}

/// Returns whether the source listed a client log.
pub(crate) fn lists_client_log(action: &Action) -> bool {
    action.item.files.iter().any(|file| file.filename == CLIENT_LOG_NAME)
}
