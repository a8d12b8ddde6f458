//! Repairing copies that are known to be bad.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farhold_sync::{SyncError, SyncOptions};
use farhold_types::{MANIFEST_NAME, VerifyState};

use super::resync::{DAY, add_image, assert_log_is_like, digest, edit_copy, manifest_of, verification, watch};
use super::support::{Content, Files, MemorySource, MemoryTarget, encode, options, sync};

/// Three snapshots; the middle one failed its verification here.
async fn with_bad_copy() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3, 4]);
    add_image(&source, DAY[1], &[1, 5, 6, 7]);
    add_image(&source, DAY[2], &[1, 8, 9, 10]);
    sync(options(), &source, &target).await.0.unwrap();
    edit_copy(&target, DAY[1], |manifest| {
        manifest.set_notes("here");
        manifest.set_verify_state(&verification(VerifyState::Failed, 200));
    });
    source.chunk_requests();
    (source, target)
}

fn repairing() -> SyncOptions {
    let mut options = options();
    options.selection.resync_corrupt = true;
    options
}

#[tokio::test]
async fn scenario_62_a_copy_that_failed_its_verification_is_repaired_and_only_bad_chunks_are_fetched() {
    let (source, target) = with_bad_copy().await;
    let good = target.store.chunks.lock().unwrap().clone();
    {
        let mut chunks = target.store.chunks.lock().unwrap();
        let mut damaged = good[&digest(5)].to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        chunks.insert(digest(5), damaged.into());
        chunks.remove(&digest(6));
        // Sound in itself, but something else; and shared with the newest snapshot, which is not looked at otherwise.
        chunks.insert(digest(1), encode(b"something else"));
    }
    // Off: skipped as already synced.
    let (_, log) = sync(options(), &source, &target).await;
    assert!(log.iter().any(|line| line.contains("skipped: 2 snapshot(s)")), "{log:#?}");
    assert_eq!(source.chunk_requests(), 0);

    let (result, log) = sync(repairing(), &source, &target).await;
    let report = result.unwrap();
    assert_eq!((report.chunks, source.chunk_requests(), report.changed_snapshots), (3, 3, 1), "{log:#?}");
    assert_eq!(*target.store.chunks.lock().unwrap(), good);
    let copy = manifest_of(&target, DAY[1]);
    assert_eq!((copy.notes(), copy.verify_state()), (Some("here"), None), "the state of the source");
    let line = "[vm/1]: drive.img.fidx: 3 of 4 chunks are damaged or missing, fetching them again";
    assert!(log.iter().any(|found| found == line), "{log:#?}");
    assert!(log.iter().any(|line| line.ends_with("re-sync snapshot 2026-01-02T10:00:00Z due to corruption")));
    // Without a verification that failed nothing is fetched.
    let (result, log) = sync(repairing(), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 0, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("due to corruption")), "{log:#?}");
}

#[tokio::test]
async fn a_failed_state_of_the_source_makes_no_run_fetch_a_sound_copy() {
    let (source, target) = with_bad_copy().await;
    source.edit_manifest("", DAY[1], |manifest| manifest.set_verify_state(&verification(VerifyState::Failed, 300)));
    let (result, _) = sync(repairing(), &source, &target).await;
    assert_eq!((result.unwrap().changed_snapshots, source.chunk_requests()), (1, 0), "the state of the source");
    assert_eq!(manifest_of(&target, DAY[1]).verify_state(), Some(verification(VerifyState::Failed, 300)));
    for _ in 0..2 {
        let asked = watch(&source);
        let (result, log) = sync(repairing(), &source, &target).await;
        assert_eq!((result.unwrap().changed_snapshots, source.chunk_requests()), (0, 0), "{log:#?}");
        assert!(log.contains(&"[vm/1]: 2026-01-02T10:00:00Z: no data changes".to_owned()), "{log:#?}");
        assert!(!asked.lock().unwrap().iter().any(|what| what.ends_with("idx") || what.ends_with("conf.blob")));
    }
}

#[tokio::test]
async fn a_bad_copy_is_not_repaired_from_another_backup() {
    let (source, target) = with_bad_copy().await;
    let before = target.finished();
    add_image(&source, DAY[1], &[1, 5, 6, 11]);
    let (result, log) = sync(repairing(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(_))));
    assert!(log.iter().any(|line| line.ends_with("its content differs from the source")), "{log:#?}");
    assert_eq!(target.finished(), before);
}

#[tokio::test]
async fn a_bad_chunk_that_the_source_does_not_have_leaves_the_copy_marked_as_bad() {
    let (source, target) = with_bad_copy().await;
    target.store.chunks.lock().unwrap().remove(&digest(5));
    source.chunks.lock().unwrap().remove(&digest(5));
    let (result, log) = sync(repairing(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(_))), "{log:#?}");
    assert_eq!(manifest_of(&target, DAY[1]).verify_state(), Some(verification(VerifyState::Failed, 200)));
    assert_eq!(target.finished().len(), 3);
}

#[tokio::test]
async fn scenario_63_a_damaged_manifest_and_a_half_pulled_directory_are_repaired_with_the_recorded_log() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let days = ["01", "02", "03", "04", "05", "06", "07", "08", "09"];
    let what = |day: &str| format!("vm/1/2026-01-{day}T10:00:00Z");
    for day in days {
        source.add("", &what(day), &[("qemu-server.conf.blob", Content::Blob(b"conf"))]);
    }
    sync(options(), &source, &target).await.0.unwrap();
    // In the recording the reference fetched all files of the bad ones; here they are really damaged.
    let spoil = |files: &mut Files| drop(files.insert("qemu-server.conf.blob".into(), "damaged".into()));
    edit_copy(&target, &what("02"), |manifest| manifest.set_verify_state(&verification(VerifyState::Failed, 1)));
    target.edit("", &what("02"), spoil);
    target.edit("", &what("04"), |files| drop(files.insert(MANIFEST_NAME.into(), "damaged".into())));
    target.edit("", &what("04"), spoil);
    target.edit("", &what("05"), |files| {
        files.remove(MANIFEST_NAME);
        files.remove("qemu-server.conf.blob");
    });
    let (result, log) = sync(repairing(), &source, &target).await;
    assert_log_is_like(&result, log, "pull-resync-corrupt.log");
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}
