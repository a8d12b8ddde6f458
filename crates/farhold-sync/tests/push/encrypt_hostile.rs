//! What a push believes of the target's previous snapshot when it has no notes of its own. The target may have been
//! filled by another program, and it may lie.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_format::blob::BlobEncoder;
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, SYNC_SOURCE_SIGNATURE};
use farhold_sync::LogLevel;
use farhold_types::{ArchiveKind, MANIFEST_NAME};

use crate::encrypted::{key, with_digests};
use crate::sealed::{assert_nothing_plain, assert_sealed, encrypting, keyed};
use crate::support::remote::{MemoryRemote, Pushed, push};
use crate::support::{Content, Files, MemorySource};

const FIRST: &str = "vm/1/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/1/2026-01-02T10:00:00Z";
const ARCHIVE: &str = "etc.pxar.didx";
const LENGTH: usize = 3000;
const CHUNKS: u64 = 40;
/// Chunks that are looked at before pairs are used.
const SAMPLES: usize = 8;

fn add(source: &MemorySource, at: &str, what: &str, first_chunk: u64) {
    let chunks: Vec<u64> = (first_chunk..first_chunk + CHUNKS).collect();
    source.add(at, what, &[("a.conf.blob", Content::Blob(b"a")), (ARCHIVE, Content::Chunks(&chunks, LENGTH))]);
}

/// A source with one snapshot, which was pushed without keeping notes.
async fn pushed() -> (Arc<MemorySource>, Arc<MemoryRemote>) {
    let (source, remote) = (Arc::new(MemorySource::new()), MemoryRemote::new());
    add(&source, "", FIRST, 0);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_eq!(source.chunk_requests() as u64, CHUNKS);
    (source, remote)
}

/// Pushes the same content once more. Returns what the run told, and how many chunks were read.
async fn push_again(source: &Arc<MemorySource>, remote: &Arc<MemoryRemote>) -> (Pushed, usize) {
    add(source, "", SECOND, 0);
    let pushed = push(encrypting(1, None), source, remote).await;
    assert!(pushed.result.is_ok(), "{:?} {:#?}", pushed.result, pushed.texts());
    // Whatever it was told, the snapshot is right.
    assert_sealed(source, remote, 1, "", SECOND);
    assert_nothing_plain(remote);
    (pushed, source.chunk_requests())
}

fn edit(remote: &MemoryRemote, change: impl FnOnce(&mut Files, &mut Manifest)) {
    let mut files = remote.files("", FIRST);
    let mut manifest = remote.manifest("", FIRST);
    change(&mut files, &mut manifest);
    files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    remote.put("", FIRST, &remote.account.to_string(), files);
}

#[tokio::test]
async fn without_notes_the_previous_snapshot_proves_which_chunk_became_which() {
    let (source, remote) = pushed().await;
    let (pushed, read) = push_again(&source, &remote).await;
    assert!(read <= SAMPLES, "{read}");
    assert_eq!(pushed.report().chunks, 0);
    assert_eq!(pushed.lines.iter().filter(|line| line.level == LogLevel::Warning).count(), 0);
}

#[tokio::test]
async fn without_the_local_snapshot_of_its_time_everything_is_hashed_and_nothing_sent_twice() {
    let (source, remote) = pushed().await;
    source.remove("", FIRST);
    let (pushed, read) = push_again(&source, &remote).await;
    assert_eq!((pushed.report().chunks, read as u64), (0, CHUNKS));
}

#[tokio::test]
async fn a_previous_manifest_that_the_key_does_not_vouch_for_proves_nothing() {
    type Change = fn(&mut Files, &mut Manifest);
    // What is done to the manifest, and whether the operator is warned.
    let rows: [(&str, Change, bool); 7] = [
        ("not signed", |_, manifest| manifest.signature = None, false),
        ("signed by somebody else, and says so", |_, manifest| manifest.sign(&key(2).config), false),
        (
            "signed by somebody else under the name of the key",
            |_, manifest| {
                let signature = manifest.compute_signature(&key(2).config);
                manifest.signature = Some(signature);
            },
            true,
        ),
        ("changed", |_, manifest| manifest.files[0].size_bytes += 1, true),
        ("of no source", |_, manifest| drop(manifest.unprotected.remove(SYNC_SOURCE_SIGNATURE)), false),
        ("of another source", |_, manifest| manifest.set_sync_source_signature(key(1).config.sign(b"x")), false),
        (
            "with an index whose chunks changed places",
            |files, manifest| {
                let index = Index::parse(ArchiveKind::DynamicIndex, files[ARCHIVE].clone()).unwrap();
                let mut digests: Vec<_> = index.digests().collect();
                digests.reverse();
                let index = with_digests(&index, &digests);
                manifest.files[1].checksum = index.checksum();
                files.insert(ARCHIVE.into(), index.as_bytes().clone());
            },
            true,
        ),
    ];
    for (what, change, is_told) in rows {
        let (source, remote) = pushed().await;
        edit(&remote, change);
        let (pushed, read) = push_again(&source, &remote).await;
        assert_eq!(read as u64, CHUNKS, "{what}");
        let warnings: Vec<_> = pushed.lines.iter().filter(|line| line.level == LogLevel::Warning).collect();
        assert_eq!(!warnings.is_empty(), is_told, "{what}: {warnings:?}");
    }
}

/// Namespaces are not signed, so the encrypted form of a namesake passes for that of the snapshot until a chunk is read.
#[tokio::test]
async fn the_encrypted_form_of_a_namesake_in_another_namespace_is_found_out() {
    let (source, remote) = pushed().await;
    source.add_namespace("b");
    add(&source, "b", FIRST, 1000);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    source.chunk_requests();
    let noted = remote.manifest("", FIRST).sync_source_signature().unwrap().unwrap();
    let (foreign, foreign_manifest) = (remote.files("b", FIRST), remote.manifest("b", FIRST));
    edit(&remote, |files, manifest| {
        (*files, *manifest) = (foreign, foreign_manifest);
        manifest.set_sync_source_signature(noted);
    });
    let (pushed, read) = push_again(&source, &remote).await;
    assert!(CHUNKS <= read as u64 && read as u64 <= CHUNKS + 1, "the first one looked at gives it away: {read}");
    let text = format!("2026-01-02T10:00:00Z/{ARCHIVE}: the previous snapshot on the target is not used - chunk ");
    assert!(pushed.lines.iter().any(|line| line.level == LogLevel::Warning && line.text.contains(&text)));
}

#[tokio::test]
async fn another_snapshot_of_the_group_with_the_source_of_this_one_noted_proves_nothing() {
    let (source, remote) = pushed().await;
    // Signed under another time, so the copied note does not help.
    let other = "vm/1/2026-01-01T11:00:00Z";
    add(&source, "", other, 500);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    source.chunk_requests();
    let noted = remote.manifest("", FIRST).sync_source_signature().unwrap().unwrap();
    let mut files = remote.files("", other);
    let mut manifest = remote.manifest("", other);
    manifest.set_sync_source_signature(noted);
    files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    remote.put("", other, &remote.account.to_string(), files);
    let (pushed, read) = push_again(&source, &remote).await;
    assert_eq!((pushed.report().chunks, read as u64), (CHUNKS, CHUNKS));
    let sent: BTreeSet<_> = (0..CHUNKS).map(|chunk| keyed(1, chunk, LENGTH)).collect();
    assert!(sent.iter().all(|digest| remote.state().chunks.contains_key(digest)));
}
