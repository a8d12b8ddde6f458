//! What vanished from the source, and what of it is removed.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farhold_sync::{RemovedCounts, SyncOptions, SyncReport};
use farhold_types::Group;

use super::support::{Content, MemorySource, MemoryTarget, ns, options, sync};

const DAY: [&str; 3] = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z"];

fn removing() -> SyncOptions {
    SyncOptions { remove_vanished: true, ..options() }
}

fn add(source: &MemorySource, at: &str, group: &str, days: &[usize]) {
    for day in days {
        source.add(at, &format!("{group}/{}", DAY[*day]), &[("conf.blob", Content::Blob(b"x"))]);
    }
}

fn group(text: &str) -> Group {
    text.parse().unwrap()
}

/// Takes a group away from the source with its snapshots.
fn drop_group(source: &MemorySource, at: &str, name: &str) {
    source.groups.lock().unwrap().remove(&(at.to_owned(), group(name)));
    source.snapshots.lock().unwrap().retain(|(ns, s), _| ns != at || s.group != group(name));
}

fn drop_namespace(source: &MemorySource, at: &str) {
    source.namespaces.lock().unwrap().retain(|namespace| *namespace != ns(at));
    source.groups.lock().unwrap().retain(|(namespace, _)| namespace != at);
    source.snapshots.lock().unwrap().retain(|(namespace, _), _| namespace != at);
}

/// Everything that the target has: namespaces, groups, snapshots.
fn content(target: &MemoryTarget) -> Vec<String> {
    let mut all: Vec<String> =
        target.namespaces.lock().unwrap().iter().filter(|ns| !ns.is_root()).map(|ns| format!("{ns}/")).collect();
    for ((at, group), dir) in &*target.groups.lock().unwrap() {
        let prefix = if at.is_empty() { String::new() } else { format!("{at}/") };
        let days = dir.snapshots.keys().map(|time| time.to_string()[8..10].to_owned()).collect::<Vec<_>>();
        all.push(format!("{prefix}{group}: {}", days.join(" ")));
    }
    all.sort();
    all
}

fn removed(report: &SyncReport) -> (usize, usize, usize) {
    let RemovedCounts { snapshots, groups, namespaces } = report.removed.unwrap();
    (snapshots, groups, namespaces)
}

fn assert_lines(log: &[String], expected: &[&str]) {
    for line in expected {
        assert!(log.iter().any(|found| found == line), "{line}\n{}", log.join("\n"));
    }
}

/// Two groups in the root with three and one snapshots, one in `a`, one in `a/b`, synced.
async fn synced() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    for namespace in ["a", "a/b"] {
        source.add_namespace(namespace);
    }
    add(&source, "", "vm/1", &[0, 1, 2]);
    add(&source, "", "ct/7", &[0]);
    add(&source, "a", "vm/2", &[0]);
    add(&source, "a/b", "vm/3", &[0, 1]);
    sync(options(), &source, &target).await.0.unwrap();
    (source, target)
}

#[tokio::test]
async fn scenario_54_what_was_deleted_goes_only_when_asked_and_is_counted() {
    for workers in [1, 4] {
        let (source, target) = synced().await;
        let before = content(&target);
        source.remove("", &format!("vm/1/{}", DAY[1]));
        drop_group(&source, "", "ct/7");
        drop_namespace(&source, "a/b");
        let (report, _) = sync(options(), &source, &target).await;
        assert_eq!(report.unwrap().removed, None);
        assert_eq!(content(&target), before);
        let (report, log) = sync(SyncOptions { worker_threads: workers, ..removing() }, &source, &target).await;
        assert_eq!(removed(&report.unwrap()), (1 + 1 + 2, 1 + 1, 1), "the content of the namespace counts");
        assert_eq!(content(&target), ["a/", "a/vm/2: 01", "vm/1: 01 03"]);
        assert_lines(
            &log,
            &[
                "[vm/1]: delete vanished snapshot vm/1/2026-01-02T10:00:00Z",
                "Delete vanished group 'ct/7'",
                "removing groups in namespace dst:/a/b",
                "Removed namespace a/b",
            ],
        );
        let at = |text: &str| log.iter().position(|line| line.starts_with(text)).unwrap();
        assert!(at("Delete vanished group 'ct/7'") < at("Finished syncing root namespace"));
        assert!(at("Finished syncing namespace a,") < at("Removed namespace a/b"));
        let (report, _) = sync(removing(), &source, &target).await;
        assert_eq!(removed(&report.unwrap()), (0, 0, 0), "a second run finds nothing more");
    }
}
