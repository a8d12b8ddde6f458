//! What snapshots of a local datastore refer to, and whether their files look whole.

use farhold_datastore::{Datastore, DatastoreError, SnapshotWriter};
use farhold_format::index::{dynamic_index_entries, fixed_index_bytes};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, Authid, Namespace, Snapshot, VerifyState};

use crate::target::KnownChunk;

/// Returns every chunk that the indexes of a snapshot refer to, with repetitions.
pub(crate) fn chunks_of_snapshot(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &Snapshot,
) -> Result<Vec<KnownChunk>, DatastoreError> {
    let (manifest, _) = store.read_manifest(namespace, snapshot)?;
    chunks_of_manifest(store, namespace, snapshot, &manifest)
}

fn chunks_of_manifest(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &Snapshot,
    manifest: &Manifest,
) -> Result<Vec<KnownChunk>, DatastoreError> {
    let mut chunks = Vec::new();
    for file in manifest.files.iter().filter(|file| file.name.kind() != ArchiveKind::Blob) {
        let index = store.open_index(namespace, snapshot, &file.name)?;
        // An index that is not the manifest's may name anything.
        if index.checksum() == file.checksum {
            let known = index.chunks().filter_map(|chunk| {
                let length = u32::try_from(chunk.size_bytes()).ok()?;
                Some(KnownChunk { digest: chunk.digest, length })
            });
            chunks.extend(known);
        }
    }
    Ok(chunks)
}

/// Returns chunks of the newest good snapshots of the owner's groups, with repetitions, at most `max`.
///
/// Snapshots of others are not looked at, and neither are groups whose owner cannot be read. Nothing is locked: a snapshot
/// that is removed meanwhile is left out or names chunks that are gone, which the reader finds out when it uses them.
pub(crate) fn chunks_of_owner(
    store: &Datastore,
    namespaces: &[Namespace],
    owner: &Authid,
    max: usize,
) -> Result<Vec<KnownChunk>, DatastoreError> {
    let mut chunks = Vec::new();
    for namespace in namespaces {
        if !store.namespace_exists(namespace)? {
            continue;
        }
        let groups = store.groups(namespace)?.into_iter().filter(|info| info.owner == *owner);
        for group in groups.map(|info| info.group) {
            let Ok(snapshots) = store.snapshots(namespace, &group) else { continue };
            let Some(newest) = snapshots.iter().rev().find(|info| info.has_manifest) else { continue };
            let snapshot = group.at(newest.time);
            let Ok((manifest, _)) = store.read_manifest(namespace, &snapshot) else { continue };
            if manifest.verify_state().is_some_and(|item| item.state == VerifyState::Failed) {
                continue;
            }
            // What is damaged there is the matter of that group.
            let mut found = chunks_of_manifest(store, namespace, &snapshot, &manifest).unwrap_or_default();
            // Images consist of the same few chunks in many places; they should not fill the bound.
            found.sort_unstable_by_key(|chunk| (chunk.digest, chunk.length));
            found.dedup();
            chunks.append(&mut found);
            if max <= chunks.len() {
                chunks.truncate(max);
                return Ok(chunks);
            }
        }
    }
    Ok(chunks)
}

/// Returns whether all files of the manifest are there with a length that fits. Reads nothing but lengths, so it costs
/// nearly nothing in a run that finds nothing new, and it finds what a full disk or a crash leaves.
pub(crate) fn looks_whole(writer: &SnapshotWriter, manifest: &Manifest) -> Result<bool, DatastoreError> {
    for file in &manifest.files {
        let Some(length) = writer.file_bytes(&file.name)? else { return Ok(false) };
        if !is_likely_length(file, length) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn is_likely_length(file: &ManifestFile, length: u64) -> bool {
    match file.name.kind() {
        ArchiveKind::Blob => length == file.size_bytes,
        // The chunk size stands only in the file; it is a power of two.
        ArchiveKind::FixedIndex => {
            (0..u64::BITS).any(|power| fixed_index_bytes(file.size_bytes, 1 << power) == Some(length))
        }
        ArchiveKind::DynamicIndex => {
            dynamic_index_entries(length).is_some_and(|entries| (0 < entries) == (0 < file.size_bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use farhold_types::{CryptMode, Digest};

    use super::*;

    #[test]
    fn a_truncated_file_has_no_likely_length() {
        let is_likely = |name: &str, size_bytes, length| {
            let name = name.parse().unwrap();
            let file = ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum: Digest([0; 32]) };
            is_likely_length(&file, length)
        };
        let image = 25 << 22;
        for (length, expected) in [(4096 + 25 * 32, true), (4096 + 24 * 32, false), (4096, false), (0, false)] {
            assert_eq!(is_likely("a.img.fidx", image, length), expected, "{length}");
        }
        for (length, expected) in [(4096 + 3 * 40, true), (4096 + 3 * 40 - 1, false), (4096, false), (17, false)] {
            assert_eq!(is_likely("a.pxar.didx", image, length), expected, "{length}");
        }
        assert!(is_likely("a.pxar.didx", 0, 4096) && is_likely("a.img.fidx", 0, 4096));
        assert!(is_likely("a.conf.blob", 100, 100) && !is_likely("a.conf.blob", 100, 99));
    }
}
