//! Scenarios 85 and 86: what is encrypted on the way, what is not, and how little is read for it.

use std::sync::Arc;

use farhold_crypto::sha256;
use farhold_format::manifest::VERIFY_STATE;
use farhold_sync::{LogLevel, SyncError};
use farhold_types::{CLIENT_LOG_NAME, CryptMode, MANIFEST_NAME};
use serde_json::json;

use crate::encrypted::seal;
use crate::sealed::{CHUNK, add, assert_nothing_plain, assert_sealed, encrypting, keyed};
use crate::support::remote::{MemoryRemote, connection_lost, push, push_options};
use crate::support::{Content, MemorySource, content, encode};

const FIRST: &str = "vm/1/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/1/2026-01-02T10:00:00Z";
const THIRD: &str = "vm/1/2026-01-03T10:00:00Z";

fn one_snapshot() -> Arc<MemorySource> {
    let source = MemorySource::new();
    add(&source, "", FIRST, &[1, 2, 1], &[11, 12, 13]);
    Arc::new(source)
}

#[tokio::test]
async fn scenario_85_a_plain_snapshot_arrives_encrypted_and_signed() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    source.edit("", FIRST, |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"client log"))));
    source.edit_manifest("", FIRST, |manifest| {
        manifest.set_notes("first line\nsecond line");
        manifest.unprotected.insert(VERIFY_STATE.into(), json!({"state": "ok", "upid": "UPID:whatever"}));
    });
    let pushed = push(encrypting(1, None), &source, &remote).await;
    let report = pushed.result.as_ref().unwrap();
    assert_sealed(&source, &remote, 1, "", FIRST);
    assert_nothing_plain(&remote);
    assert_eq!((report.chunks, report.changed_snapshots), (5, 1));
    assert!(pushed.has_line("Loaded encryption key 'key1' with fingerprint '"));
    let line = format!("[vm/1]: Encrypt source snapshot '{FIRST}' on the fly while pushing to remote");
    assert!(pushed.has_line(&line), "{:#?}", pushed.texts());
    // Signed only is plain, too; the client's signature makes room for the job's.
    add(&source, "", SECOND, &[1, 3], &[11]);
    seal(&source, SECOND, 7, |_| CryptMode::SignOnly);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_sealed(&source, &remote, 1, "", SECOND);
}

#[tokio::test]
async fn scenario_86_what_a_client_encrypted_goes_as_it_is() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    source.edit("", FIRST, |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"client log"))));
    seal(&source, FIRST, 9, |_| CryptMode::Encrypt);
    let pushed = push(encrypting(1, None), &source, &remote).await;
    pushed.result.as_ref().unwrap();
    crate::transfer::assert_same(&source, &remote);
    let line = format!("[vm/1]: Snapshot '{FIRST}' already encrypted with client key, not re-encrypting");
    assert!(pushed.has_line(&line), "{:#?}", pushed.texts());
}

#[tokio::test]
async fn scenario_86_a_mixed_snapshot_is_skipped_with_a_warning_in_every_run_until_a_newer_one_came() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    add(&source, "", SECOND, &[1], &[11]);
    seal(&source, SECOND, 9, |file| if file.ends_with("fidx") { CryptMode::Encrypt } else { CryptMode::None });
    for _ in 0..2 {
        let pushed = push(encrypting(1, None), &source, &remote).await;
        pushed.result.as_ref().unwrap();
        let warnings: Vec<_> = pushed.lines.iter().filter(|line| line.level == LogLevel::Warning).collect();
        let text =
            format!("[vm/1]: Encountered partially encrypted snapshot '{SECOND}', refuse to re-encrypt and skip");
        assert_eq!(warnings.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), [text]);
        assert_eq!(remote.finished(), [format!(":{FIRST}")]);
        assert_eq!(pushed.report().behind, 1);
    }
    add(&source, "", THIRD, &[1, 4], &[11, 14]);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_eq!(remote.finished(), [format!(":{FIRST}"), format!(":{THIRD}")]);
    assert_sealed(&source, &remote, 1, "", THIRD);
    let pushed = push(encrypting(1, None), &source, &remote).await;
    assert!(!pushed.has_line("partially encrypted"));
}

#[tokio::test]
async fn scenario_86_with_encrypted_only_the_key_is_not_used() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    add(&source, "", SECOND, &[1], &[11]);
    seal(&source, SECOND, 9, |_| CryptMode::Encrypt);
    let mut options = encrypting(1, None);
    options.selection.encrypted_only = true;
    push(options, &source, &remote).await.result.unwrap();
    assert_eq!(remote.finished(), [format!(":{SECOND}")]);
    assert_eq!(
        remote.manifest("", SECOND).key_fingerprint().unwrap(),
        Some(crate::encrypted::key(9).config.fingerprint())
    );
}

#[tokio::test]
async fn without_a_key_mixed_and_plain_snapshots_go_as_they_are() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    add(&source, "", SECOND, &[1], &[11]);
    seal(&source, SECOND, 9, |file| if file.ends_with("fidx") { CryptMode::Encrypt } else { CryptMode::None });
    push(push_options(), &source, &remote).await.result.unwrap();
    crate::transfer::assert_same(&source, &remote);
}

#[tokio::test]
async fn an_identical_second_snapshot_is_pushed_without_reading_a_chunk() {
    let state = tempfile::tempdir().unwrap();
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    push(encrypting(1, Some(state.path())), &source, &remote).await.result.unwrap();
    assert_eq!(source.chunk_requests(), 5);
    // By the next run, and by the same run as another one before it.
    add(&source, "", SECOND, &[1, 2, 1], &[11, 12, 13]);
    add(&source, "", THIRD, &[1, 2, 1], &[11, 12, 13]);
    remote.take_requests();
    let pushed = push(encrypting(1, Some(state.path())), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (0, 0));
    let requests = remote.take_requests();
    let count = |word: &str| requests.iter().filter(|request| request.starts_with(word)).count();
    assert_eq!((count("create fixed drive.img.fidx reuse"), count("close 0"), count("chunk ")), (2, 2, 0));
    assert_eq!(count("previous drive.img.fidx"), 0, "an image that did not change is not even looked at");
    for what in [FIRST, SECOND, THIRD] {
        assert_sealed(&source, &remote, 1, "", what);
    }
}

#[tokio::test]
async fn of_a_changed_snapshot_only_what_is_new_is_read() {
    let state = tempfile::tempdir().unwrap();
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    push(encrypting(1, Some(state.path())), &source, &remote).await.result.unwrap();
    source.chunk_requests();
    add(&source, "", SECOND, &[1, 3, 1], &[11, 14, 13]);
    remote.take_requests();
    let pushed = push(encrypting(1, Some(state.path())), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (2, 2));
    assert_eq!(remote.count("close 1"), 1, "one position of the image changed");
    assert_sealed(&source, &remote, 1, "", SECOND);
    // A chunk that the snapshot before did not have is sent again, though its name was known once.
    add(&source, "", THIRD, &[1, 2, 1], &[11, 14, 13]);
    let pushed = push(encrypting(1, Some(state.path())), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (1, 1));
    assert_sealed(&source, &remote, 1, "", THIRD);
}

#[tokio::test]
async fn a_chunk_that_two_archives_share_is_uploaded_once() {
    let (source, remote) = (MemorySource::new(), MemoryRemote::new());
    let image = |name| (name, Content::Chunks(&[1, 2, 1], CHUNK));
    source.add("", FIRST, &[image("a.img.fidx"), image("b.img.fidx"), image("c.img.fidx")]);
    let source = Arc::new(source);
    let pushed = push(encrypting(1, None), &source, &remote).await;
    assert_eq!(pushed.report().chunks, 2);
    assert_eq!((remote.count(&format!("chunk {}", keyed(1, 1, CHUNK))), remote.count("chunk ")), (1, 2));
    assert_sealed(&source, &remote, 1, "", FIRST);
}

#[tokio::test]
async fn an_active_key_does_not_keep_client_encrypted_snapshots_from_reusing_chunks() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    seal(&source, FIRST, 9, |_| CryptMode::Encrypt);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    add(&source, "", SECOND, &[1, 2, 1], &[11, 12, 13]);
    seal(&source, SECOND, 9, |_| CryptMode::Encrypt);
    source.chunk_requests();
    let pushed = push(encrypting(1, None), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_breaks_anywhere_leaves_nothing_plain_and_is_begun_anew() {
    for broken in 0..16 {
        let (source, remote) = (MemorySource::new(), MemoryRemote::new());
        let files = ("etc.pxar.didx", Content::Chunks(&[11, 12, 13], 3000));
        source.add("", FIRST, &[("a.conf.blob", Content::Blob(b"a")), files]);
        let source = Arc::new(source);
        remote.set_fault(move |_, number| (number == 4 + broken).then(connection_lost));
        let pushed = push(encrypting(1, None), &source, &remote).await;
        assert!(pushed.result.is_ok(), "{broken}: {:?}", pushed.result);
        assert_sealed(&source, &remote, 1, "", FIRST);
        assert_nothing_plain(&remote);
    }
}

#[tokio::test]
async fn a_chunk_that_is_damaged_at_the_source_is_not_encrypted_into_a_sound_one() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    let damaged = sha256(&content(2, CHUNK));
    // Valid as a container, but with other content.
    source.chunks.lock().unwrap().insert(damaged, encode(&content(3, CHUNK)));
    let pushed = push(encrypting(1, None), &source, &remote).await;
    assert!(matches!(pushed.result, Err(SyncError::SomeFailed(_))));
    assert!(pushed.has_line("has wrong content"), "{:#?}", pushed.texts());
    assert!(remote.finished().is_empty());
    assert_nothing_plain(&remote);
}

#[tokio::test]
async fn another_key_begins_anew_and_the_notes_of_the_first_stay() {
    let state = tempfile::tempdir().unwrap();
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    push(encrypting(1, Some(state.path())), &source, &remote).await.result.unwrap();
    source.chunk_requests();
    add(&source, "", SECOND, &[1, 2, 1], &[11, 12, 13]);
    let pushed = push(encrypting(2, Some(state.path())), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (5, 5));
    assert_sealed(&source, &remote, 1, "", FIRST);
    assert_sealed(&source, &remote, 2, "", SECOND);
    // Back to the first key: its chunks are not in the previous snapshot, so they are read and sent.
    add(&source, "", THIRD, &[1, 2, 1], &[11, 12, 13]);
    let pushed = push(encrypting(1, Some(state.path())), &source, &remote).await;
    assert_eq!((pushed.report().chunks, source.chunk_requests()), (5, 5));
    assert_sealed(&source, &remote, 1, "", THIRD);
}

#[tokio::test]
async fn a_late_log_follows_encrypted_and_never_to_a_copy_that_is_said_not_to_be() {
    let late = |source: &MemorySource| {
        source.edit("", FIRST, |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"client log"))));
    };
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    late(&source);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_eq!(remote.count("upload log"), 1);
    assert_sealed(&source, &remote, 1, "", FIRST);
    // Pushed without a key, or a target that claims so.
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    push(push_options(), &source, &remote).await.result.unwrap();
    late(&source);
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_eq!(remote.count("upload log"), 0);
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_eq!(remote.count("upload log"), 1);
    crate::transfer::assert_same(&source, &remote);
}

#[tokio::test]
async fn the_manifest_of_the_source_stays_as_it_is() {
    let (source, remote) = (one_snapshot(), MemoryRemote::new());
    let before = source.snapshots.lock().unwrap().clone();
    push(encrypting(1, None), &source, &remote).await.result.unwrap();
    assert_eq!(*source.snapshots.lock().unwrap(), before);
    assert!(before.values().all(|files| files.contains_key(MANIFEST_NAME)));
}
