//! What a run takes, in which order, and how it goes on when something is wrong with a part of it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farhold_sync::{RequestFault, SourceError, SyncError, SyncOptions};

use crate::support::{Content, MemorySource, MemoryTarget, lost, options, sync};

fn with_record(dir: &tempfile::TempDir) -> SyncOptions {
    SyncOptions { state_dir: Some(dir.path().to_owned()), ..options() }
}

fn times_of(target: &MemoryTarget) -> Vec<i64> {
    target.finished().keys().map(|(_, snapshot)| snapshot.time.0).collect()
}

/// A group with three small snapshots of times 1 to 3.
fn three() -> Arc<MemorySource> {
    let source = Arc::new(MemorySource::new());
    for time in ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z"] {
        source.add("", &format!("host/a/{time}"), &[("a.conf.blob", Content::Blob(time.as_bytes()))]);
    }
    source
}

fn spoil(source: &MemorySource, time: &str) {
    source.edit("", &format!("host/a/{time}"), |files| drop(files.insert("a.conf.blob".into(), "wrong".into())));
}

fn repair(source: &MemorySource, time: &str) {
    let fresh = three();
    let key = (String::new(), format!("host/a/{time}").parse().unwrap());
    let files = fresh.snapshots.lock().unwrap()[&key].clone();
    source.snapshots.lock().unwrap().insert(key, files);
}

#[tokio::test]
async fn a_bad_snapshot_does_not_block_newer_ones_and_is_asked_for_until_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (three(), MemoryTarget::new());
    spoil(&source, "1970-01-01T00:00:02Z");
    for _ in 0..2 {
        let (result, log) = sync(with_record(&dir), &source, &target).await;
        assert!(matches!(result, Err(SyncError::SomeFailed(report)) if report.failures.count == 1), "{log:#?}");
        assert_eq!(times_of(&target), [1, 3], "{log:#?}");
        assert_eq!(log.iter().filter(|line| line.contains("sync group host/a failed - ")).count(), 1, "{log:#?}");
    }
    repair(&source, "1970-01-01T00:00:02Z");
    let (result, log) = sync(with_record(&dir), &source, &target).await;
    assert_eq!(result.unwrap().changed_snapshots, 1, "{log:#?}");
    assert_eq!(times_of(&target), [1, 2, 3]);
    let (_, log) = sync(with_record(&dir), &source, &target).await;
    assert!(!log.iter().any(|line| line.contains("00:00:02Z: ")), "it is settled: {log:#?}");
}

#[tokio::test]
async fn a_failed_snapshot_that_the_source_removed_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (three(), MemoryTarget::new());
    spoil(&source, "1970-01-01T00:00:02Z");
    sync(with_record(&dir), &source, &target).await.0.unwrap_err();
    source.remove("", "host/a/1970-01-01T00:00:02Z");
    sync(with_record(&dir), &source, &target).await.0.unwrap();
    // It comes back: an old snapshot behind a newer one, like any other that was never wanted.
    repair(&source, "1970-01-01T00:00:02Z");
    sync(with_record(&dir), &source, &target).await.0.unwrap();
    assert_eq!(times_of(&target), [1, 3]);
}

#[tokio::test]
async fn without_a_record_a_group_stops_at_its_first_failed_snapshot() {
    let (source, target) = (three(), MemoryTarget::new());
    spoil(&source, "1970-01-01T00:00:02Z");
    sync(options(), &source, &target).await.0.unwrap_err();
    assert_eq!(times_of(&target), [1]);
}

#[tokio::test]
async fn a_record_that_cannot_be_written_stops_the_group_as_if_there_were_none() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let (source, target) = (three(), MemoryTarget::new());
    spoil(&source, "1970-01-01T00:00:02Z");
    let (result, log) = sync(SyncOptions { state_dir: Some(blocked), ..options() }, &source, &target).await;
    result.unwrap_err();
    assert_eq!(times_of(&target), [1]);
    assert!(log.iter().any(|line| line.contains("cannot write the record of the group")), "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_stops_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (three(), MemoryTarget::new());
    source.set_file_fault(|what, _| (what.starts_with("a.conf.blob") || what.starts_with("file")).then(lost));
    sync(with_record(&dir), &source, &target).await.0.unwrap_err();
    source.clear_faults();
    assert!(times_of(&target).is_empty());
    assert_eq!(sync(with_record(&dir), &source, &target).await.0.unwrap().changed_snapshots, 3);
}

#[tokio::test]
async fn different_content_for_one_time_is_refused_in_every_run_and_newer_ones_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (three(), MemoryTarget::new());
    source.remove("", "host/a/1970-01-01T00:00:03Z");
    sync(with_record(&dir), &source, &target).await.0.unwrap();
    source.add("", "host/a/1970-01-01T00:00:02Z", &[("a.conf.blob", Content::Blob(b"another"))]);
    repair(&source, "1970-01-01T00:00:03Z");
    let before = target.finished();
    for _ in 0..2 {
        let (result, log) = sync(with_record(&dir), &source, &target).await;
        assert!(result.unwrap_err().to_string().contains("refusing to overwrite"), "{log:#?}");
        assert_eq!(times_of(&target), [1, 2, 3]);
        assert!(before.iter().all(|(key, files)| target.finished()[key] == *files));
    }
}

#[tokio::test]
async fn scenario_49_a_snapshot_pruned_before_its_reader_opens_is_no_error() {
    // At every request of the run: the source prunes, then answers as one that does not have it.
    for position in 0..12 {
        let (source, target) = (three(), MemoryTarget::new());
        let pruning = Arc::downgrade(&source);
        source.set_file_fault(move |what, count| {
            let prunes = count == position && !what.starts_with("groups") && !what.starts_with("namespaces");
            if prunes {
                pruning.upgrade().unwrap().remove("", "host/a/1970-01-01T00:00:03Z");
            }
            None
        });
        let (result, log) = sync(options(), &source, &target).await;
        result.unwrap_or_else(|error| panic!("{position}: {error} {log:#?}"));
        let has_third = times_of(&target).contains(&3);
        assert_eq!(target.directories(), if has_third { 3 } else { 2 }, "{position}: {log:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_pruned_while_the_connection_was_lost_is_no_error() {
    let (source, target) = (three(), MemoryTarget::new());
    let pruning = Arc::downgrade(&source);
    source.set_file_fault(move |what, _| {
        let is_it = what.contains("a.conf.blob");
        let source = pruning.upgrade().unwrap();
        let key = (String::new(), "host/a/1970-01-01T00:00:03Z".parse().unwrap());
        let mut snapshots = source.snapshots.lock().unwrap();
        if is_it && snapshots.remove(&key).is_some() { Some(lost()) } else { None }
    });
    let (result, log) = sync(options(), &source, &target).await;
    result.unwrap_or_else(|error| panic!("{error} {log:#?}"));
    assert_eq!(times_of(&target), [1, 2]);
    assert_eq!(target.directories(), 2);
}

/// Two namespaces with twenty groups of three snapshots each.
fn many() -> Arc<MemorySource> {
    let source = Arc::new(MemorySource::new());
    source.add_namespace("a");
    source.lists_whole_namespaces.store(true, Ordering::SeqCst);
    for at in ["", "a"] {
        for group in 0..20 {
            for time in 1..=3 {
                let what = format!("vm/{group}/1970-01-01T00:00:0{time}Z");
                source.add(at, &what, &[("a.conf.blob", Content::Blob(what.as_bytes()))]);
            }
        }
    }
    source
}

fn requests(source: &MemorySource) -> usize {
    source.counts.files.swap(0, Ordering::SeqCst)
}

#[tokio::test]
async fn nothing_new_costs_one_request_per_group_and_one_listing_per_namespace() {
    let (source, target) = (many(), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    requests(&source);
    source.counts.opened.store(0, Ordering::SeqCst);
    let (report, log) = sync(options(), &source, &target).await;
    assert_eq!(report.unwrap().changed_snapshots, 0, "{log:#?}");
    // The namespaces; for each its groups and its snapshots; for each group one manifest.
    assert_eq!(requests(&source), 1 + 2 * 2 + 40);
    assert_eq!(source.counts.opened.load(Ordering::SeqCst), 0);
    // A job that takes few of the groups asks for those alone.
    let few = SyncOptions { group_filter: vec!["group:vm/7".parse().unwrap()], ..options() };
    sync(few, &source, &target).await.0.unwrap();
    assert_eq!(requests(&source), 1 + 2 + 2 + 2);
}

#[tokio::test]
async fn one_worker_tells_groups_one_after_the_other_in_order_however_far_it_looks_ahead() {
    let (source, target) = (many(), MemoryTarget::new());
    let (_, log) = sync(options(), &source, &target).await;
    let mut groups: Vec<&str> = log.iter().filter_map(|line| line.split("]: ").next()?.strip_prefix('[')).collect();
    groups.dedup();
    let expected: Vec<String> = [0, 1].iter().flat_map(|_| (0..20).map(|n| format!("vm/{n}"))).collect();
    assert_eq!(groups, expected);
    let begins: Vec<_> = log.iter().filter(|line| line.contains("Syncing datastore")).collect();
    assert_eq!(begins.len(), 2);
}

#[tokio::test]
async fn a_namespace_that_lists_more_than_it_said_or_nonsense_is_asked_group_by_group() {
    let (source, target) = (many(), MemoryTarget::new());
    source.set_file_fault(|what, _| {
        what.starts_with("all snapshots").then(|| SourceError::new(RequestFault::TooLarge, "too much"))
    });
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(target.finished().len(), 120);
}

#[tokio::test]
async fn what_is_found_at_a_groups_turn_counts_and_not_what_was_seen_ahead() {
    // While the first group is handled, others have been looked at: one snapshot vanishes from the source, another one
    // comes to the target.
    let (source, target) = (many(), MemoryTarget::new());
    let (pruning, filling) = (Arc::downgrade(&source), target.clone());
    let full = MemoryTarget::new();
    sync(options(), &source, &full).await.0.unwrap();
    source.set_file_fault(move |what, _| {
        if what == "a.conf.blob" {
            let source = pruning.upgrade().unwrap();
            source.remove("a", "vm/19/1970-01-01T00:00:03Z");
            let mut groups = filling.groups.lock().unwrap();
            let key = ("a".to_owned(), "vm/18".parse().unwrap());
            if let Some(dir) = full.groups.lock().unwrap().remove(&key) {
                groups.insert(key, dir);
            }
        }
        None
    });
    let (report, log) = sync(options(), &source, &target).await;
    report.unwrap_or_else(|error| panic!("{error} {log:#?}"));
    assert_eq!(target.finished().len(), 119);
}
