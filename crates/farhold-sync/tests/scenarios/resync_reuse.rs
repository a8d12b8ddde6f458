//! What need not be fetched because the owner has it, and what an interrupted run leaves.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farhold_types::MANIFEST_NAME;

use super::resync::{DAY, add_image, digest, remembering};
use super::support::{MemorySource, MemoryTarget, encode, lost, options, snapshot, sync};

/// A clone of `vm/1` as `vm/2`, on a target that has `vm/1` with this owner. Returns how many chunks were fetched.
async fn chunks_fetched_for_a_clone(owner_of_original: &str, target_ns: &str) -> usize {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let seeds: Vec<u64> = (1..=20).collect();
    add_image(&source, DAY[0], &seeds);
    sync(options(), &source, &target).await.0.unwrap();
    let original = target.groups.lock().unwrap().remove(&(String::new(), snapshot(DAY[0]).group)).unwrap();
    let moved = (target_ns.to_owned(), snapshot(DAY[0]).group);
    target.groups.lock().unwrap().insert(moved.clone(), original);
    target.groups.lock().unwrap().get_mut(&moved).unwrap().owner = Some(owner_of_original.parse().unwrap());
    source.groups.lock().unwrap().clear();
    source.snapshots.lock().unwrap().clear();
    add_image(&source, "vm/2/2026-01-01T10:00:00Z", &seeds);
    source.chunk_requests();
    sync(options(), &source, &target).await.0.unwrap();
    source.chunk_requests()
}

#[tokio::test]
async fn a_clone_needs_only_chunks_that_its_owner_does_not_have() {
    assert_eq!(chunks_fetched_for_a_clone("root@pam", "").await, 0);
    // The chunks lie in the store, but who names their digests does not have to possess them.
    assert_eq!(chunks_fetched_for_a_clone("other@pbs", "").await, 20);
    assert_eq!(chunks_fetched_for_a_clone("root@pam!token", "").await, 20, "a token is somebody else");
    assert_eq!(chunks_fetched_for_a_clone("root@pam", "elsewhere").await, 20, "no namespace of the job");
}

#[tokio::test]
async fn what_a_run_received_for_one_group_is_not_fetched_for_another() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1, 2, 3]);
    add_image(&source, "vm/2/2026-01-01T10:00:00Z", &[3, 2, 1, 4]);
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(source.chunk_requests(), 4);
    assert_eq!(*source.snapshots.lock().unwrap(), target.finished());
}

#[tokio::test]
async fn a_chunk_of_the_owner_that_was_lost_is_fetched() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    let seeds: Vec<u64> = (1..=20).collect();
    add_image(&source, DAY[0], &seeds);
    sync(options(), &source, &target).await.0.unwrap();
    target.store.chunks.lock().unwrap().remove(&digest(7));
    add_image(&source, "vm/2/2026-01-01T10:00:00Z", &seeds);
    source.chunk_requests();
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(source.chunk_requests(), 1);
    assert!(target.store.chunks.lock().unwrap().contains_key(&digest(7)));
}

#[tokio::test]
async fn fault_10_an_unfinished_directory_of_the_job_goes_when_the_source_lost_its_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add_image(&source, DAY[0], &[1]);
    sync(remembering(&dir), &source, &target).await.0.unwrap();
    add_image(&source, DAY[1], &[1, 2]);
    source.set_chunk_fault(|_, _| Some(lost()));
    let mut impatient = remembering(&dir);
    impatient.patience = std::time::Duration::from_millis(1);
    assert!(sync(impatient, &source, &target).await.0.is_err());
    assert_eq!(target.directories(), 2, "what came is kept for the next run");
    source.clear_faults();
    // One that nobody marked, as an interrupted backup leaves it.
    let foreign = snapshot("vm/1/2025-12-31T10:00:00Z");
    let add_foreign = |target: &MemoryTarget| {
        let mut groups = target.groups.lock().unwrap();
        let dir = groups.get_mut(&(String::new(), foreign.group.clone())).unwrap();
        dir.snapshots.insert(foreign.time, [("a.conf.blob".to_owned(), encode(b"x"))].into());
    };
    add_foreign(&target);
    source.remove("", DAY[1]);
    let (result, log) = sync(remembering(&dir), &source, &target).await;
    result.unwrap();
    let line = "[vm/1]: 2026-01-02T10:00:00Z: removed, unfinished and not on the source any more";
    assert!(log.iter().any(|found| found == line), "{log:#?}");
    assert_eq!(target.directories(), 2, "the finished one and the one that is not ours");
    // A finished one keeps no mark: what looks unfinished later is not the job's.
    add_image(&source, DAY[1], &[1, 2]);
    sync(remembering(&dir), &source, &target).await.0.unwrap();
    target.edit("", DAY[1], |files| drop(files.remove(MANIFEST_NAME)));
    source.remove("", DAY[1]);
    sync(remembering(&dir), &source, &target).await.0.unwrap();
    assert_eq!(target.directories(), 3);
}

#[tokio::test]
async fn a_group_without_snapshots_leaves_no_directory() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    source.groups.lock().unwrap().insert((String::new(), "vm/7".parse().unwrap()));
    let (result, _) = sync(options(), &source, &target).await;
    assert_eq!(result.unwrap().groups, 1);
    assert!(target.groups.lock().unwrap().is_empty());
}
