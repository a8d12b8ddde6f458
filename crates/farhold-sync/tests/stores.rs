//! Pulls between real datastores, with the recorded store as the source.
#![allow(clippy::unwrap_used)]

#[path = "support/stores.rs"]
mod support;

use std::fs;
use std::sync::Arc;

use farhold_sync::{LocalSource, Source, SyncError};
use farhold_types::{Authid, Namespace};
use tokio_util::sync::CancellationToken;

use support::{Stores, by_namespace, chunks, comparable, recorded, tree};

/// Amounts differ from the recorded ones: the reference fetches for each group what another group of the owner has.
fn without_amounts(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| {
        let end = [": downloaded ", " pulled "].iter().filter_map(|end| line.find(end).map(|at| at + end.len())).min();
        line[..end.unwrap_or(line.len())].to_owned()
    };
    lines.into_iter().map(cut).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_store_comes_over_identical_with_the_recorded_log() {
    let stores = Stores::new();
    let run = stores.pull(stores.options()).await;
    let report = run.result.unwrap();
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
    let (from, to) = (chunks(&stores.source_dir()), chunks(&stores.target_dir()));
    assert!(to.iter().all(|(name, chunk)| from[name] == *chunk) && 10 < to.len());
    let bytes: usize = to.values().map(Vec::len).sum();
    assert_eq!((report.chunks, report.bytes), (to.len() as u64, bytes as u64), "each chunk once");
    assert_eq!(
        by_namespace(without_amounts(comparable(run.log))),
        by_namespace(without_amounts(recorded("pull-golden-store.log")))
    );
    // Again: nothing is fetched.
    let run = stores.pull(stores.options()).await;
    let report = run.result.unwrap();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 0));
    assert!(run.log.contains(&"Summary: sync job found no new data to pull".to_owned()));
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
    assert!(!stores.target_dir().join("host/web1/2026-01-01T10:00:00Z/.protected").exists(), "protection is local");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_64_a_mapped_anchor_comes_over_with_the_recorded_log() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.source_anchor = "location_a/department_x".parse().unwrap();
    options.target_anchor = "location_a_dep_x".parse().unwrap();
    options.job = "rsrc:golden:dst:location_a_dep_x:jnsp".into();
    let run = stores.pull(options).await;
    run.result.unwrap();
    let ours = comparable(run.log).iter().map(|line| line.replace("'dst3'", "'dst'")).collect();
    assert_eq!(without_amounts(ours), without_amounts(recorded("pull-namespace-mapping.log")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_copy_the_same() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.worker_threads = 4;
    let run = stores.pull(options).await;
    run.result.unwrap();
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_note_comes_over_and_local_protection_stays() {
    let stores = Stores::new();
    stores.pull(stores.options()).await.result.unwrap();
    let newest = "host/web1/2026-01-03T10:00:00Z";
    let snapshot = newest.parse().unwrap();
    let root = Namespace::root();
    fs::write(stores.target_dir().join(newest).join(".protected"), "").unwrap();
    fs::write(stores.target_dir().join(newest).join("stray.blob"), "x").unwrap();
    stores.source.set_snapshot_notes(&root, &snapshot, "changed").unwrap();
    let run = stores.pull(stores.options()).await;
    let report = run.result.unwrap();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 1));
    assert!(stores.target_dir().join(newest).join(".protected").exists());
    assert!(!stores.target_dir().join(newest).join("stray.blob").exists());
    assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_stopped_anywhere_is_finished_by_the_next() {
    for stop_after in (0..60).step_by(7) {
        let stores = Stores::new();
        let cancel = CancellationToken::new();
        let run = stores.pull_until(stores.options(), cancel.clone(), stop_after).await;
        assert!(matches!(run.result, Err(SyncError::Cancelled)), "{stop_after}: {:?}", run.result);
        let source = tree(&stores.source_dir());
        let visible = tree(&stores.target_dir());
        assert!(visible.iter().all(|(name, content)| source.get(name) == Some(content)), "{stop_after}");
        stores.pull(stores.options()).await.result.unwrap();
        assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()), "{stop_after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_damage_of_the_newest_snapshot_is_repaired() {
    for file in ["index.json.blob", "etc.pxar.didx", "catalog.pcat1.didx"] {
        let stores = Stores::new();
        stores.pull(stores.options()).await.result.unwrap();
        let newest = "host/web1/2026-01-03T10:00:00Z";
        let path = stores.target_dir().join(newest).join(file);
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() / 2]).unwrap();
        if file != "index.json.blob" {
            // Seen only when the manifests differ.
            stores.source.set_snapshot_notes(&Namespace::root(), &newest.parse().unwrap(), "changed").unwrap();
        }
        stores.pull(stores.options()).await.result.unwrap();
        assert_eq!(tree(&stores.source_dir()), tree(&stores.target_dir()), "{file}");
    }
}

#[tokio::test]
async fn a_missing_source_anchor_is_an_error_before_anything_else() {
    let stores = Stores::new();
    let mut options = stores.options();
    options.source_anchor = "no/such".parse().unwrap();
    let run = stores.pull(options).await;
    assert!(matches!(run.result, Err(SyncError::Namespaces(_))), "{:?}", run.result);
}

#[tokio::test]
async fn a_source_shows_only_groups_that_the_owner_may_read() {
    let stores = Stores::new();
    let nobody = LocalSource::new(stores.source.clone(), Arc::new(|_: &Namespace, _: &Authid| false));
    assert!(nobody.groups(&Namespace::root()).await.unwrap().items.is_empty());
    let snapshot = "host/web1/2026-01-03T10:00:00Z".parse().unwrap();
    assert!(nobody.open(&Namespace::root(), &snapshot).await.is_err());
}
