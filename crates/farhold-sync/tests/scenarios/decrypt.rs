//! Pulls with keys: what is decrypted, what stays as it is, what is refused; with the recorded logs.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farhold_format::manifest::{KEY_FINGERPRINT, VERIFY_STATE};
use farhold_types::{CryptMode, Digest};
use serde_json::json;

use crate::encrypted::{
    add_encrypted, add_plain, assert_log_is_like, contents, expected, key, manifest_of, options_with, resign, run,
    seal, unsign,
};
use crate::support::{MemorySource, MemoryTarget, lost};

const FIRST: &str = "vm/1/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/1/2026-01-02T10:00:00Z";
const IMAGE: &[u64] = &[1, 2, 1, 3];

fn new() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    (Arc::new(MemorySource::new()), MemoryTarget::new())
}

/// A source with one snapshot encrypted with key 1, and an empty target.
fn encrypted() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = new();
    add_encrypted(&source, FIRST, 1, IMAGE);
    (source, target)
}

/// All files but the configuration are encrypted.
fn mixed(file: &str) -> CryptMode {
    if file == "qemu-server.conf.blob" { CryptMode::SignOnly } else { CryptMode::Encrypt }
}

#[tokio::test]
async fn scenario_87_a_matching_key_gives_a_decrypted_copy_and_later_runs_change_nothing() {
    let (source, target) = encrypted();
    resign(&source, FIRST, 1, |manifest| {
        manifest.set_notes("kept");
        manifest.unprotected.insert(VERIFY_STATE.into(), json!({ "state": "ok", "upid": "UPID:x" }));
        manifest.unprotected.insert("chunk_upload_stats".into(), json!({ "count": 3 }));
    });
    let first = run(options_with(&[1, 2, 3]), &source, &target).await;
    assert_log_is_like(first.log.clone(), "pull-decrypt.log");
    let report = first.report();
    assert_eq!((report.chunks, report.changed_snapshots), (5, 1), "each chunk once");
    assert_eq!(contents(&target, FIRST), expected(IMAGE));
    let manifest = manifest_of(&target, FIRST);
    let key_signature = manifest.sync_source_signature().unwrap();
    assert!(key_signature.is_some() && manifest.signature.is_none());
    assert_eq!(manifest.notes(), Some("kept"));
    let members: Vec<_> = manifest.unprotected.keys().map(String::as_str).collect();
    assert_eq!(members, ["chunk_upload_stats", "notes", "sync-source-signature"]);
    let again = run(options_with(&[1]), &source, &target).await;
    assert_log_is_like(again.log.clone(), "pull-decrypt-nothing-new.log");
    assert_eq!(again.report().changed_snapshots, 0);
    assert_eq!(manifest_of(&target, FIRST), manifest);
}

#[tokio::test]
async fn a_decrypted_copy_of_an_unsigned_source_is_known_again_by_what_the_job_noted() {
    let dir = tempfile::tempdir().unwrap();
    let with_notes = || farhold_sync::SyncOptions { state_dir: Some(dir.path().into()), ..options_with(&[1]) };
    let (source, target) = encrypted();
    unsign(&source, FIRST);
    assert_eq!(run(with_notes(), &source, &target).await.report().changed_snapshots, 1);
    assert_eq!(contents(&target, FIRST), expected(IMAGE));
    // Notes are not part of what was decrypted.
    source.edit_manifest("", FIRST, |manifest| manifest.set_notes("later"));
    assert_eq!(run(with_notes(), &source, &target).await.report().changed_snapshots, 0);
    // Without the note nobody knows.
    assert!(run(options_with(&[1]), &source, &target).await.refusal().contains("not signed"));
    source.edit_manifest("", FIRST, |manifest| manifest.files[1].checksum = Digest([1; 32]));
    assert!(run(with_notes(), &source, &target).await.refusal().contains("content differs"));
}

#[tokio::test]
async fn scenario_89_without_the_key_a_snapshot_stays_encrypted_also_when_the_key_comes_later() {
    let (source, target) = encrypted();
    let first = run(options_with(&[2]), &source, &target).await;
    assert_log_is_like(first.log.clone(), "pull-no-matching-key.log");
    assert_eq!(first.report().changed_snapshots, 1);
    assert!(manifest_of(&target, FIRST).is_fully_encrypted());
    add_encrypted(&source, SECOND, 1, IMAGE);
    let second = run(options_with(&[1]), &source, &target).await;
    assert_log_is_like(second.log.clone(), "pull-key-added-later.log");
    second.report();
    assert!(manifest_of(&target, FIRST).is_fully_encrypted());
    assert_eq!(contents(&target, SECOND), expected(IMAGE));
}

#[tokio::test]
async fn scenario_89_a_decrypted_copy_whose_key_is_gone_is_not_overwritten() {
    let (source, target) = encrypted();
    run(options_with(&[1]), &source, &target).await.report();
    let before = target.finished();
    let without = run(options_with(&[]), &source, &target).await;
    assert_log_is_like(without.log.clone(), "pull-refuse-no-key.log");
    assert!(without.refusal().contains("no key"));
    assert_eq!(target.finished(), before);
}

#[tokio::test]
async fn scenario_90_an_encrypted_copy_and_one_with_other_content_are_not_overwritten() {
    let (source, target) = encrypted();
    run(options_with(&[]), &source, &target).await.report();
    let (plain, before) = (Arc::new(MemorySource::new()), target.finished());
    add_plain(&plain, FIRST, IMAGE);
    let over_encrypted = run(options_with(&[]), &plain, &target).await;
    assert_log_is_like(over_encrypted.log, "pull-refuse-plain-over-encrypted.log");
    assert_eq!(target.finished(), before);
    let (other, target) = new();
    add_plain(&other, FIRST, &[7]);
    run(options_with(&[]), &other, &target).await.report();
    let before = target.finished();
    let over_plain = run(options_with(&[]), &plain, &target).await;
    assert_log_is_like(over_plain.log, "pull-refuse-content-differs.log");
    assert_eq!(target.finished(), before);
}

#[tokio::test]
async fn a_copy_that_does_not_come_from_the_source_is_not_called_unchanged() {
    for (file, make_copy) in
        [("pull-refuse-no-source-signature.log", false), ("pull-refuse-signature-mismatch.log", true)]
    {
        let (source, target) = encrypted();
        let other = Arc::new(MemorySource::new());
        if make_copy {
            add_encrypted(&other, FIRST, 1, &[7, 8]);
        } else {
            add_plain(&other, FIRST, IMAGE);
        }
        run(options_with(&[1]), &other, &target).await.report();
        let before = target.finished();
        let refused = run(options_with(&[1]), &source, &target).await;
        assert_log_is_like(refused.log, file);
        assert_eq!(target.finished(), before);
    }
}

#[tokio::test]
async fn scenario_85a_a_mixed_snapshot_before_does_not_leave_holes_in_the_decrypted_one() {
    let (source, target) = new();
    add_plain(&source, FIRST, IMAGE);
    seal(&source, FIRST, 1, mixed);
    let first = run(options_with(&[1]), &source, &target).await;
    assert_log_is_like(first.log, "pull-mixed-with-key.log");
    let (source, target) = (source, MemoryTarget::new());
    add_encrypted(&source, SECOND, 1, IMAGE);
    let both = run(options_with(&[1]), &source, &target).await;
    // Line by line the recorded log, which only shows other amounts: there nothing was fetched for the second one.
    assert_log_is_like(both.log.clone(), "pull-decrypt-after-mixed.log");
    both.report();
    assert_eq!(contents(&target, SECOND), expected(IMAGE));
}

#[tokio::test]
async fn fault_8_known_chunks_of_plain_pulls_say_nothing_about_decrypted_ones() {
    // Both ways round within one run: the encrypted snapshot first, the mixed one with the same chunks after it.
    let (source, target) = encrypted();
    add_plain(&source, SECOND, IMAGE);
    seal(&source, SECOND, 1, mixed);
    let report = run(options_with(&[1]), &source, &target).await.report();
    assert_eq!(report.chunks, 10, "each form of each chunk once");
    assert_eq!(contents(&target, FIRST), expected(IMAGE));
    let indexes = target.finished()[&(String::new(), SECOND.parse().unwrap())].clone();
    let source_indexes = source.snapshots.lock().unwrap()[&(String::new(), SECOND.parse().unwrap())].clone();
    assert_eq!(indexes, source_indexes);
}

/// Lets the connection break for good at a chunk.
fn break_at(source: &MemorySource, number: usize) {
    source.set_chunk_fault(move |_, count| (number <= count).then(lost));
    source.chunk_requests();
}

#[tokio::test(start_paused = true)]
async fn scenario_85b_what_a_killed_plain_pull_left_does_not_get_into_the_decrypted_copy() {
    for broken_at in [0, 3, 4] {
        let (source, target) = encrypted();
        break_at(&source, broken_at);
        assert!(run(options_with(&[]), &source, &target).await.result.is_err());
        assert_eq!((target.directories(), target.finished().len()), (1, 0), "broken at {broken_at}");
        source.clear_faults();
        let after = run(options_with(&[1]), &source, &target).await;
        assert!(after.log.iter().any(|line| line.ends_with("qemu-server.conf.blob: sync archive")), "{:#?}", after.log);
        after.report();
        assert_eq!(contents(&target, FIRST), expected(IMAGE), "broken at {broken_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_5_leftovers_of_either_mode_are_rewritten_and_strays_removed() {
    let (source, target) = encrypted();
    break_at(&source, 4);
    assert!(run(options_with(&[1]), &source, &target).await.result.is_err());
    assert_eq!((target.directories(), target.finished().len()), (1, 0));
    target.edit("", FIRST, |files| drop(files.insert("stray.img.fidx".into(), "x".into())));
    source.clear_faults();
    // Now without the key: what was decrypted does not fit and is fetched again.
    run(options_with(&[]), &source, &target).await.report();
    let key = (String::new(), FIRST.parse().unwrap());
    assert_eq!(target.finished()[&key], source.snapshots.lock().unwrap()[&key]);
}

#[tokio::test]
async fn scenario_85c_other_content_of_the_same_time_is_refused_whatever_the_modes() {
    type Change = fn(&MemorySource);
    let plain: Change = |source| add_plain(source, FIRST, &[7]);
    let signed: Change = |source| {
        add_plain(source, FIRST, IMAGE);
        seal(source, FIRST, 1, |_| CryptMode::SignOnly);
    };
    let part: Change = |source| {
        add_plain(source, FIRST, IMAGE);
        seal(source, FIRST, 1, mixed);
    };
    let one: Change = |source| add_encrypted(source, FIRST, 1, IMAGE);
    let other: Change = |source| add_encrypted(source, FIRST, 1, &[7]);
    for (what, local, remote) in [
        ("encrypted over encrypted", other, one),
        ("signed over plain", plain, signed),
        ("signed over encrypted", one, signed),
        ("mixed over plain", plain, part),
        ("mixed over signed", signed, part),
        ("mixed over encrypted", one, part),
    ] {
        for keys in [&[][..], &[1]] {
            let (before, target) = new();
            local(&before);
            run(options_with(&[]), &before, &target).await.report();
            let kept = target.finished();
            let source = Arc::new(MemorySource::new());
            remote(&source);
            let cause = run(options_with(keys), &source, &target).await.refusal();
            assert!(cause.contains("refusing to overwrite"), "{what}, {keys:?}: {cause}");
            assert_eq!(target.finished(), kept, "{what}, {keys:?}");
        }
    }
}

#[tokio::test]
async fn fault_7_an_encrypted_snapshot_with_the_same_key_is_compared_before_it_is_replaced() {
    let (source, target) = encrypted();
    run(options_with(&[1, 2]), &source, &target).await.report();
    let (other, kept) = (Arc::new(MemorySource::new()), target.finished());
    add_encrypted(&other, FIRST, 1, &[9, 9, 9]);
    assert!(run(options_with(&[1]), &other, &target).await.refusal().contains("content differs"));
    assert_eq!(target.finished(), kept);
    // The same content under another signature-less manifest is refused too, not believed.
    unsign(&source, FIRST);
    assert!(run(options_with(&[1]), &source, &target).await.refusal().contains("not signed any more"));
    assert_eq!(target.finished(), kept);
}

#[tokio::test]
async fn the_client_log_comes_over_decrypted_also_when_it_is_written_later() {
    let (source, target) = encrypted();
    run(options_with(&[1]), &source, &target).await.report();
    let mut encoder = farhold_format::blob::BlobEncoder::new();
    let log = encoder.encode(b"all went well", farhold_format::blob::Compression::On, None).unwrap();
    let config = key(1).config;
    let sealed = encoder.encode(b"all went well", farhold_format::blob::Compression::On, Some((&config, [3; 16])));
    source.edit("", FIRST, |files| drop(files.insert("client.log.blob".into(), sealed.unwrap().into())));
    let later = run(options_with(&[1]), &source, &target).await;
    assert!(later.log.iter().any(|line| line.contains("got backup log file")), "{:#?}", later.log);
    assert_eq!(later.report().changed_snapshots, 0);
    let stored =
        |target: &MemoryTarget| target.finished()[&(String::new(), FIRST.parse().unwrap())]["client.log.blob"].clone();
    assert_eq!(stored(&target), log);
    // A log that cannot be decrypted is left out; the snapshot is there all the same.
    source.edit("", FIRST, |files| {
        let mut broken = files["client.log.blob"].to_vec();
        broken[20] ^= 1;
        files.insert("client.log.blob".into(), broken.into());
    });
    let target = MemoryTarget::new();
    let without = run(options_with(&[1]), &source, &target).await;
    assert_eq!(without.log.last().map(String::as_str), Some("TASK WARNINGS: 1"), "{:#?}", without.log);
    assert_eq!(contents(&target, FIRST), expected(IMAGE));
}

#[tokio::test]
async fn only_the_key_that_the_snapshot_names_is_tried() {
    let (source, target) = encrypted();
    source.edit_manifest("", FIRST, |manifest| {
        manifest.unprotected.insert(KEY_FINGERPRINT.into(), key(2).config.fingerprint().to_string().into());
    });
    let cause = run(options_with(&[1, 2]), &source, &target).await.refusal();
    assert!(cause.contains("signature does not fit"), "{cause}");
    assert_eq!(target.directories(), 0);
}
