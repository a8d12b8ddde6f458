//! What a run does with snapshots that the target has already, and what it need not fetch.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use farhold_crypto::sha256;
use farhold_format::blob::BlobDecoder;
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_sync::{SyncError, SyncOptions, SyncReport, summary};
use farhold_types::{
    ArchiveKind, Authid, CLIENT_LOG_NAME, Digest, MANIFEST_NAME, SyncDirection, VerificationItem, VerifyState,
};

use super::stores::golden_path;
use super::support::{Content, Files, MemorySource, MemoryTarget, encode, options, snapshot, sync};

pub const LENGTH: usize = 65536;
pub const DAY: [&str; 3] = ["vm/1/2026-01-01T10:00:00Z", "vm/1/2026-01-02T10:00:00Z", "vm/1/2026-01-03T10:00:00Z"];

pub fn remembering(dir: &tempfile::TempDir) -> SyncOptions {
    SyncOptions { state_dir: Some(dir.path().to_owned()), ..options() }
}

pub fn add_image(source: &MemorySource, what: &str, seeds: &[u64]) {
    let archives =
        [("qemu-server.conf.blob", Content::Blob(b"conf")), ("drive.img.fidx", Content::Chunks(seeds, LENGTH))];
    source.add("", what, &archives);
}

fn add_log(source: &MemorySource, what: &str) {
    source.edit("", what, |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"log"))));
}

pub fn files_of(target: &MemoryTarget, what: &str) -> Files {
    target.finished()[&(String::new(), snapshot(what))].clone()
}

pub fn manifest_of(target: &MemoryTarget, what: &str) -> Manifest {
    Manifest::from_blob(&files_of(target, what)[MANIFEST_NAME]).unwrap()
}

pub fn verification(state: VerifyState, began: u32) -> VerificationItem {
    let upid = format!("UPID:pbs:00000001:00000001:00000001:{began:08X}:verify:store:root@pam:");
    VerificationItem { upid, state }
}

/// Changes the manifest of a copy, as setting a note or a verification does.
pub fn edit_copy(target: &MemoryTarget, what: &str, change: impl FnOnce(&mut Manifest)) {
    let mut manifest = manifest_of(target, what);
    change(&mut manifest);
    let raw = manifest.to_blob(&mut farhold_format::blob::BlobEncoder::new()).unwrap();
    target.edit("", what, |files| drop(files.insert(MANIFEST_NAME.into(), raw.into())));
}

/// Digest of the chunk of the source with this seed.
pub fn digest(seed: u64) -> Digest {
    sha256(&super::support::content(seed, LENGTH))
}

/// Notes every file that is asked for.
pub fn watch(source: &MemorySource) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    source.set_file_fault(move |what, _| {
        seen.lock().unwrap().push(what.to_owned());
        None
    });
    asked
}

/// Ends of what is the same in each run; behind them stand amounts, rates and causes.
const MASKED: [&str; 6] =
    [": downloaded ", " pulled ", "failed - ", ", current progress", "some errors.", "no new data to pull"];

fn masked(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mask = |line: String| {
        let end = MASKED.iter().filter_map(|end| line.find(end).map(|at| at + end.len())).min();
        line[..end.unwrap_or(line.len())].to_owned()
    };
    // The storage layer of the reference names the directories that it removes.
    lines.into_iter().filter(|line| !line.starts_with("removing backup snapshot")).map(mask).collect()
}

/// Asserts that a run wrote the recorded lines from the first namespace to the summary.
pub fn assert_log_is_like(result: &Result<SyncReport, SyncError>, mut log: Vec<String>, file: &str) {
    log.extend(result.iter().map(|report| summary(SyncDirection::Pull, report)));
    let text = std::fs::read_to_string(golden_path("task-logs").join(file)).unwrap();
    let lines = text.lines().map(|line| line.split_once("+00:00: ").map_or(line, |(_, text)| text).to_owned());
    let is_rest = |line: &String| {
        let rest = ["queued notification", "TASK", "sync job '", "Summary: removed vanished"];
        rest.iter().any(|start| line.starts_with(start))
    };
    let body = lines.skip_while(|line| line != "----").filter(|line| !is_rest(line));
    assert_eq!(masked(log), masked(body), "{file}");
}

#[tokio::test]
async fn scenario_37_one_snapshot_comes_over_identical_and_belongs_to_the_owner_of_the_job() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3]);
    add_log(&source, DAY[0]);
    let owner: Authid = "sync@pbs!t1".parse().unwrap();
    // That the manifest comes last, and each index after its chunks, is asserted by the target.
    let (result, log) = sync(SyncOptions { owner: owner.clone(), ..options() }, &source, &target).await;
    let report = result.unwrap();
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished(), "{log:#?}");
    assert_eq!(target.groups.lock().unwrap()[&(String::new(), snapshot(DAY[0]).group)].owner, Some(owner));
    let files = files_of(&target, DAY[0]);
    let index = Index::parse(ArchiveKind::FixedIndex, files["drive.img.fidx"].clone()).unwrap();
    for digest in index.digests() {
        let chunk = target.store.chunks.lock().unwrap()[&digest].clone();
        assert_eq!(sha256(&BlobDecoder::new().decode(&chunk, None, LENGTH).unwrap()), digest);
    }
    // What came is counted: chunks, and manifest, blob, index and log.
    let received: usize = target.store.chunks.lock().unwrap().values().map(|chunk| chunk.len()).sum();
    let others: usize = files.values().map(|file| file.len()).sum();
    assert_eq!((report.chunks, report.bytes, report.snapshots), (3, received as u64, 1));
    assert_eq!((report.files, report.file_bytes), (4, others as u64));
    assert_eq!((report.moved_bytes, report.behind), ((received + others) as u64, 0));
    assert!(
        summary(SyncDirection::Pull, &report).ends_with(" other file(s)"),
        "{}",
        summary(SyncDirection::Pull, &report)
    );
    assert!(
        summary(SyncDirection::Pull, &report).starts_with("Summary: sync job pulled "),
        "{}",
        summary(SyncDirection::Pull, &report)
    );
}

#[tokio::test]
async fn scenario_38_a_second_run_finds_nothing_new_and_asks_for_no_chunk() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3]);
    sync(options(), &source, &target).await.0.unwrap();
    source.chunk_requests();
    let asked = watch(&source);
    let (result, log) = sync(options(), &source, &target).await;
    assert_eq!(summary(SyncDirection::Pull, &result.unwrap()), "Summary: sync job found no new data to pull");
    assert_eq!(source.chunk_requests(), 0);
    assert!(log.contains(&"[vm/1]: 2026-01-01T10:00:00Z: no data changes".to_owned()), "{log:#?}");
    assert!(!asked.lock().unwrap().iter().any(|what| what.starts_with("open")), "no session: {asked:?}");
}

#[tokio::test]
async fn scenario_39_of_a_new_snapshot_only_new_chunks_are_fetched() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(source.chunk_requests(), 10);
    add_image(&source, DAY[1], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11]);
    let (result, _) = sync(options(), &source, &target).await;
    assert_eq!((result.unwrap().chunks, source.chunk_requests()), (1, 1));
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}

#[tokio::test]
async fn scenario_40_a_note_on_the_newest_snapshot_comes_over_and_one_on_an_older_does_not() {
    for has_record in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let options = || if has_record { remembering(&dir) } else { options() };
        let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
        add_image(&source, DAY[0], &[1]);
        add_image(&source, DAY[1], &[1]);
        sync(options(), &source, &target).await.0.unwrap();
        source.edit_manifest("", DAY[0], |manifest| manifest.set_notes("old"));
        source.edit_manifest("", DAY[1], |manifest| manifest.set_notes("new"));
        source.chunk_requests();
        let (result, log) = sync(options(), &source, &target).await;
        assert_eq!(result.unwrap().changed_snapshots, 1, "{log:#?}");
        assert_eq!(manifest_of(&target, DAY[0]).notes(), None);
        assert_eq!(manifest_of(&target, DAY[1]).notes(), Some("new"));
        assert_eq!(files_of(&target, DAY[1]), source.snapshots.lock().unwrap()[&(String::new(), snapshot(DAY[1]))]);
        assert_eq!(source.chunk_requests(), 0);
    }
}

#[tokio::test]
async fn scenario_41_of_a_snapshot_that_got_its_log_later_only_the_log_is_fetched() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2]);
    sync(options(), &source, &target).await.0.unwrap();
    add_log(&source, DAY[0]);
    source.chunk_requests();
    let asked = watch(&source);
    let (result, log) = sync(options(), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 0);
    let files: Vec<String> = asked.lock().unwrap().iter().filter(|what| what.ends_with(".blob")).cloned().collect();
    assert_eq!(files, [CLIENT_LOG_NAME], "{log:#?}");
    assert_eq!(source.chunk_requests(), 0);
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}

#[tokio::test]
async fn the_log_of_changed_notes_has_the_recorded_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let one = "2026-01-01T10:00:00Z";
    let groups = ["ct/1", "host/010", "host/10", "host/A", "host/z", "vm/18446744073709551616", "vm/abc"];
    for group in groups {
        source.add("", &format!("{group}/{one}"), &[("a.conf.blob", Content::Blob(b"x"))]);
    }
    for (group, day) in [("vm/9", 1), ("vm/9", 2), ("vm/10", 1), ("vm/10", 2)] {
        source.add("", &format!("{group}/2026-01-0{day}T10:00:00Z"), &[("a.conf.blob", Content::Blob(b"x"))]);
    }
    // A group without snapshots, which prints no line.
    source.groups.lock().unwrap().insert((String::new(), "host/b".parse().unwrap()));
    sync(remembering(&dir), &source, &target).await.0.unwrap();
    for what in ["ct/1/2026-01-01T10:00:00Z", "vm/9/2026-01-02T10:00:00Z", "vm/9/2026-01-01T10:00:00Z"] {
        source.edit_manifest("", what, |manifest| manifest.set_notes("changed"));
    }
    source.edit("", "host/z/2026-01-01T10:00:00Z", |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"log"))));
    let running: Files = [("a.conf.blob".to_owned(), encode(b"x"))].into();
    source.snapshots.lock().unwrap().insert((String::new(), snapshot("vm/9/2026-01-03T10:00:00Z")), running);
    let (result, log) = sync(remembering(&dir), &source, &target).await;
    assert_log_is_like(&result, log, "pull-notes-changed.log");
}

/// Two groups, `vm/1` with three snapshots of two disks and `vm/2` with one of a blob.
fn two_groups() -> Arc<MemorySource> {
    let source = MemorySource::new();
    for (day, seed) in [(0, 1), (1, 2), (2, 3)] {
        let disks = [
            ("drive-scsi0.img.fidx", Content::Chunks(&[seed], LENGTH)),
            ("drive-scsi1.img.fidx", Content::Chunks(&[9], LENGTH)),
        ];
        source.add("", DAY[day], &disks);
    }
    source.add("", "vm/2/2026-01-01T10:00:00Z", &[("qemu-server.conf.blob", Content::Blob(b"x"))]);
    Arc::new(source)
}

/// Digests that the first disk of a snapshot names.
fn digests_of(source: &MemorySource, what: &str) -> Vec<Digest> {
    let snapshots = source.snapshots.lock().unwrap();
    let raw = snapshots[&(String::new(), snapshot(what))]["drive-scsi0.img.fidx"].clone();
    Index::parse(ArchiveKind::FixedIndex, raw).unwrap().digests().collect()
}

#[tokio::test]
async fn scenario_45_a_corrupt_chunk_fails_its_group_and_leaves_no_directory() {
    for (is_missing, file) in [(false, "pull-corrupt-chunk-crc.log"), (true, "pull-missing-chunk.log")] {
        let (source, target) = (two_groups(), MemoryTarget::new());
        let digest = digests_of(&source, DAY[1])[0];
        if is_missing {
            // In the recording the first snapshots are there already.
            let whole = two_groups();
            for what in [DAY[1], DAY[2]] {
                whole.remove("", what);
            }
            sync(options(), &whole, &target).await.0.unwrap();
            source.chunks.lock().unwrap().remove(&digest);
        } else {
            let mut chunks = source.chunks.lock().unwrap();
            let mut damaged = chunks[&digest].to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            chunks.insert(digest, damaged.into());
        }
        let (result, log) = sync(options(), &source, &target).await;
        let Err(SyncError::SomeFailed(report)) = &result else { panic!("{result:?}") };
        assert_eq!((report.failures.count, report.groups), (1, 2), "{log:#?}");
        assert_eq!(target.directories(), 2, "the first snapshot of vm/1 and that of vm/2");
        assert_log_is_like(&result, log, file);
    }
}

#[tokio::test]
async fn scenario_46_an_index_that_is_not_the_manifests_is_rejected_before_any_chunk() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    source.add("", DAY[0], &[("drive-scsi0.img.fidx", Content::Chunks(&[1, 2], LENGTH))]);
    source.edit_manifest("", DAY[0], |manifest| manifest.files[0].checksum.0[0] ^= 1);
    let (result, log) = sync(options(), &source, &target).await;
    assert!(matches!(&result, Err(SyncError::SomeFailed(_))), "{result:?}");
    assert_eq!((source.chunk_requests(), target.directories()), (0, 0));
    assert!(log.iter().any(|line| line.ends_with("wrong checksum for file 'drive-scsi0.img.fidx'")), "{log:#?}");
    assert_log_is_like(&result, log, "pull-index-mismatch.log");
}

#[tokio::test]
async fn scenario_50b_a_truncated_manifest_or_index_of_the_newest_snapshot_is_fetched_again() {
    for file in [MANIFEST_NAME, "drive.img.fidx", "qemu-server.conf.blob"] {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
        add_image(&source, DAY[0], &[1, 2, 3]);
        sync(remembering(&dir), &source, &target).await.0.unwrap();
        target.edit("", DAY[0], |files| {
            let half = files[file].slice(..files[file].len() / 2);
            files.insert(file.to_owned(), half);
        });
        let (result, log) = sync(remembering(&dir), &source, &target).await;
        assert_eq!(result.unwrap().changed_snapshots, 1, "{file}: {log:#?}");
        assert_eq!(*source.snapshots.lock().unwrap(), target.finished(), "{file}");
        let (result, _) = sync(remembering(&dir), &source, &target).await;
        assert_eq!(result.unwrap().changed_snapshots, 0, "{file}");
    }
}

#[tokio::test]
async fn scenario_53_a_changed_index_of_an_unchanged_backup_is_fetched_again() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3]);
    sync(options(), &source, &target).await.0.unwrap();
    // A valid index of the same length, but of other chunks.
    let other = MemorySource::new();
    add_image(&other, DAY[0], &[1, 2, 4]);
    let wrong = other.snapshots.lock().unwrap()[&(String::new(), snapshot(DAY[0]))]["drive.img.fidx"].clone();
    target.edit("", DAY[0], |files| drop(files.insert("drive.img.fidx".into(), wrong)));
    source.edit_manifest("", DAY[0], |manifest| manifest.set_notes("changed"));
    let (result, log) = sync(options(), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 1);
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
    assert!(log.iter().any(|line| line.contains("detected changed file \"drive.img.fidx\"")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("qemu-server.conf.blob: sync archive")), "{log:#?}");
}

#[tokio::test]
async fn fault_13_notes_verification_and_unknown_members_set_here_stay_in_a_re_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2]);
    source.edit_manifest("", DAY[0], |manifest| {
        manifest.set_notes("there");
        manifest.set_verify_state(&verification(VerifyState::Ok, 100));
    });
    sync(remembering(&dir), &source, &target).await.0.unwrap();
    edit_copy(&target, DAY[0], |manifest| {
        manifest.set_notes("here");
        manifest.set_verify_state(&verification(VerifyState::Failed, 200));
        manifest.unprotected.insert("added-later".into(), 5.into());
    });
    let asked = watch(&source);
    let (result, log) = sync(remembering(&dir), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 0, "{log:#?}");
    assert!(log.contains(&"[vm/1]: 2026-01-01T10:00:00Z: no data changes".to_owned()), "{log:#?}");
    assert!(!asked.lock().unwrap().iter().any(|what| what.starts_with("open")), "no session: {asked:?}");

    source.edit_manifest("", DAY[0], |manifest| {
        manifest.set_notes("there, changed");
        manifest.set_verify_state(&verification(VerifyState::Ok, 300));
        manifest.unprotected.insert("from-there".into(), 6.into());
    });
    let (result, _) = sync(remembering(&dir), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 1);
    let copy = manifest_of(&target, DAY[0]);
    assert_eq!(copy.notes(), Some("here"), "both changed it, and what was set here is never lost");
    assert_eq!(copy.verify_state(), Some(verification(VerifyState::Failed, 200)), "only a look at the copy lifts it");
    assert_eq!((&copy.unprotected["added-later"], &copy.unprotected["from-there"]), (&5.into(), &6.into()));
    // The merged manifest differs from the source's for good; that is no change.
    let (result, log) = sync(remembering(&dir), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 0, "{log:#?}");
    assert!(log.contains(&"[vm/1]: 2026-01-01T10:00:00Z: no data changes".to_owned()), "{log:#?}");
}

#[tokio::test]
async fn the_log_of_a_local_sync_has_the_recorded_lines() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let one = "2026-01-01T10:00:00Z";
    let add = |at: &str, group: &str| {
        source.add(at, &format!("{group}/{one}"), &[("qemu-server.conf.blob", Content::Blob(group.as_bytes()))]);
    };
    add("", "vm/5");
    sync(options(), &source, &target).await.0.unwrap();
    source.add_namespace("ns1");
    source.add_namespace("ns1/sub");
    for (at, group) in [("", "vm/1"), ("", "vm/6"), ("ns1", "vm/2"), ("ns1/sub", "vm/3")] {
        add(at, group);
    }
    let (result, log) = sync(options(), &source, &target).await;
    // The reference counts finished groups late, so its second percentage repeats the first.
    let log = log.into_iter().map(|line| match line.as_str() {
        "[vm/5]: percentage done: 66.67% (2/3 groups)" => "[vm/5]: percentage done: 33.33% (1/3 groups)".to_owned(),
        _ => line,
    });
    assert_log_is_like(&result, log.collect(), "local-sync.log");
}
