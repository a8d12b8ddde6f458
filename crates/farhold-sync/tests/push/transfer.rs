//! What arrives on the target, and how little is sent for it.

use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::Manifest;
use farhold_types::{CLIENT_LOG_NAME, CryptMode, Digest, MANIFEST_NAME};

use crate::support::remote::{MemoryRemote, push, push_options, refused};
use crate::support::{Content, MemorySource, encode};

/// What a fixed index must have.
pub const CHUNK: usize = 4 << 20;

/// Two groups with one and two snapshots; the second snapshot shares two of three chunks.
pub fn small_store() -> Arc<MemorySource> {
    let source = MemorySource::new();
    source.add("", "ct/1/2026-01-01T10:00:00Z", &[("conf.blob", Content::Blob(b"a"))]);
    let disk = |seeds| ("drive.img.fidx", Content::Chunks(seeds, CHUNK));
    let root = |seeds| ("root.pxar.didx", Content::Chunks(seeds, 65536));
    let conf = || ("conf.blob", Content::Blob(b"b"));
    source.add("", "vm/1/2026-01-01T10:00:00Z", &[conf(), disk(&[1, 2, 3]), root(&[11, 12])]);
    source.add("", "vm/1/2026-01-02T10:00:00Z", &[conf(), disk(&[1, 2, 4]), root(&[11, 13, 12])]);
    source.edit("", "vm/1/2026-01-02T10:00:00Z", |files| {
        files.insert(CLIENT_LOG_NAME.into(), encode(b"log"));
    });
    Arc::new(source)
}

/// Checks that the target has what the source has: the same files but for headers of indexes, and the same manifest but
/// for what the target adds.
pub fn assert_same(source: &MemorySource, remote: &MemoryRemote) {
    let snapshots = source.snapshots.lock().unwrap();
    assert_eq!(remote.finished().len(), snapshots.len());
    for ((at, snapshot), files) in &*snapshots {
        let found = remote.files(at, &snapshot.to_string());
        assert_eq!(found.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{snapshot}");
        for (name, content) in files {
            if name == MANIFEST_NAME {
                let (mut ours, mut theirs) =
                    (Manifest::from_blob(content).unwrap(), Manifest::from_blob(&found[name]).unwrap());
                for manifest in [&mut ours, &mut theirs] {
                    manifest.unprotected.remove("chunk_upload_stats");
                }
                assert_eq!(ours.to_json(), theirs.to_json(), "{snapshot}");
            } else if name.ends_with("idx") {
                assert_eq!(found[name][4096..], content[4096..], "{snapshot}/{name}");
            } else {
                assert_eq!(found[name], *content, "{snapshot}/{name}");
            }
        }
    }
    let chunks = source.chunks.lock().unwrap();
    for (digest, encoded) in &remote.state().chunks {
        assert_eq!(chunks.get(digest), Some(encoded), "chunks are sent as they are stored");
    }
}

#[tokio::test]
async fn scenario_77_a_first_push_sends_everything_and_a_second_asks_two_questions_per_namespace() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    let first = push(push_options(), &source, &remote).await;
    let report = first.report();
    assert_same(&source, &remote);
    assert_eq!((report.groups, report.snapshots, report.changed_snapshots), (2, 3, 3));
    assert_eq!(report.chunks, 7, "no chunk twice");
    let chunk_bytes: usize = remote.state().chunks.values().map(Bytes::len).sum();
    assert_eq!(report.bytes, chunk_bytes as u64 + report.file_bytes);
    assert_eq!((report.moved_bytes, report.behind), (report.bytes, 0));
    // Three manifests, three blobs, one log.
    assert_eq!((report.files, report.failures.count), (7, 0));
    remote.take_requests();
    let second = push(push_options(), &source, &remote).await;
    let report = second.report();
    assert_eq!((report.bytes, report.changed_snapshots), (0, 0));
    // With so few groups each is listed; no session is opened.
    let requests = remote.take_requests();
    assert_eq!(requests[..3], ["version", "namespaces", "groups "]);
    assert_eq!((requests.len(), remote.count("open")), (5, 0), "{requests:?}");
    assert!(second.has_line("[vm/1]: skipped: 2 snapshot(s) (2026-01-01T10:00:00Z .. 2026-01-02T10:00:00Z) - older"));
}

#[tokio::test]
async fn of_a_second_snapshot_only_new_chunks_are_uploaded_and_only_changed_positions_appended() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    source.remove("", "vm/1/2026-01-02T10:00:00Z");
    push(push_options(), &source, &remote).await.result.unwrap();
    for other in ["vm/1/2026-01-02T10:00:00Z", "vm/1/2026-01-03T10:00:00Z"] {
        let archives = [
            ("conf.blob", Content::Blob(b"b")),
            ("drive.img.fidx", Content::Chunks(&[1, 2, 4], CHUNK)),
            ("root.pxar.didx", Content::Chunks(&[11, 13, 12], 65536)),
        ];
        source.add("", other, &archives);
    }
    remote.take_requests();
    let pushed = push(push_options(), &source, &remote).await;
    let report = pushed.report();
    assert_same(&source, &remote);
    assert_eq!(report.chunks, 2, "one of each archive, in the first of the two");
    assert_eq!(remote.count("create fixed drive.img.fidx reuse"), 2);
    let requests = remote.take_requests();
    let of_fixed: Vec<_> = requests.iter().filter(|r| ["close 1", "close 0"].contains(&r.as_str())).collect();
    assert_eq!(of_fixed, ["close 1", "close 0"], "{requests:?}");
    // The manifest of what this run pushed itself is known; an unchanged image is not downloaded.
    let manifests = requests.iter().filter(|r| *r == "previous index.json.blob").count();
    let images = requests.iter().filter(|r| *r == "previous drive.img.fidx").count();
    assert_eq!((manifests, images), (1, 1));
}

#[tokio::test]
async fn fault_12_modes_and_signature_stay_as_they_are() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    let what = "vm/1/2026-01-01T10:00:00Z";
    source.edit_manifest("", what, |manifest| {
        for file in &mut manifest.files {
            file.crypt_mode = CryptMode::SignOnly;
        }
        manifest.signature = Some(Digest([9; 32]));
        manifest.set_notes("notes\nof two lines");
    });
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_same(&source, &remote);
    let manifest = remote.manifest("", what);
    assert_eq!(manifest.signature, Some(Digest([9; 32])));
    assert!(manifest.files.iter().all(|file| file.crypt_mode == CryptMode::SignOnly));
}

#[tokio::test]
async fn a_chunk_that_two_archives_share_is_uploaded_once_and_one_that_repeats_too() {
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    let archives = [
        ("a.pxar.didx", Content::Chunks(&[1, 1, 2, 1, 3], 65536)),
        ("b.pxar.didx", Content::Chunks(&[3, 2, 1], 65536)),
    ];
    source.add("", "host/x/2026-01-01T10:00:00Z", &archives);
    let source = Arc::new(source);
    let pushed = push(push_options(), &source, &remote).await;
    assert_same(&source, &remote);
    assert_eq!((pushed.report().chunks, remote.count("chunk")), (3, 3));
}

#[tokio::test]
async fn encrypted_and_mixed_snapshots_go_as_they_are_without_a_key() {
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    source.add(
        "",
        "host/x/2026-01-01T10:00:00Z",
        &[("conf.blob", Content::Blob(b"a")), ("b.blob", Content::Blob(b"b"))],
    );
    source.edit_manifest("", "host/x/2026-01-01T10:00:00Z", |m| m.files[0].crypt_mode = CryptMode::Encrypt);
    let source = Arc::new(source);
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_same(&source, &remote);
}

#[tokio::test]
async fn fault_14_a_client_log_is_sent_byte_for_byte_and_one_that_is_damaged_stays_behind() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    source.edit("", "ct/1/2026-01-01T10:00:00Z", |files| {
        files.insert(CLIENT_LOG_NAME.into(), b"no blob".as_slice().into());
    });
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_ok() && pushed.has_line("the client log is damaged and stays behind"));
    let log = BlobEncoder::new().encode(b"log", Compression::On, None).unwrap();
    let found = &remote.files("", "vm/1/2026-01-02T10:00:00Z")[CLIENT_LOG_NAME];
    assert_eq!(sha256(found), sha256(&log));
    assert!(!remote.files("", "ct/1/2026-01-01T10:00:00Z").contains_key(CLIENT_LOG_NAME));
}

#[tokio::test]
async fn a_long_index_is_appended_in_bounded_parts_in_order() {
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    let seeds: Vec<u64> = (0..2000).map(|n| n % 700).collect();
    source.add("", "host/x/2026-01-01T10:00:00Z", &[("a.pxar.didx", Content::Chunks(&seeds, 64))]);
    let source = Arc::new(source);
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_same(&source, &remote);
    assert!(remote.most_uploads.load(std::sync::atomic::Ordering::SeqCst) <= 64);
    source.add("", "host/x/2026-01-02T10:00:00Z", &[("a.pxar.didx", Content::Chunks(&seeds[1..], 64))]);
    remote.take_requests();
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_same(&source, &remote);
    let appends: Vec<_> = remote.take_requests().into_iter().filter(|request| request.starts_with("append")).collect();
    assert_eq!(appends, ["append 700", "append 700", "append 599"], "known chunks fill the appends");
}

#[tokio::test]
async fn an_index_that_the_target_does_not_take_over_costs_appends_only() {
    let (source, remote) = (small_store(), MemoryRemote::new());
    push(push_options(), &source, &remote).await.result.unwrap();
    let disk = ("drive.img.fidx", Content::Chunks(&[1, 2, 4], CHUNK));
    source.add("", "vm/1/2026-01-03T10:00:00Z", &[disk]);
    remote.set_fault(|request, _| request.ends_with("reuse").then(|| refused("no")));
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_same(&source, &remote);
    assert_eq!(pushed.report().chunks, 0);
}
