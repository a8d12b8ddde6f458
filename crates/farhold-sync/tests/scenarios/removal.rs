//! What vanished from the source, and what of it is removed.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use farhold_sync::{RemovedCounts, RequestFault, SourceError, SyncError, SyncOptions, SyncReport, Visibility};
use farhold_types::{Authid, Group};

use super::support::{Content, MemorySource, MemoryTarget, ns, options, snapshot, sync};

pub const DAY: [&str; 3] = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z"];

pub fn removing() -> SyncOptions {
    SyncOptions { remove_vanished: true, ..options() }
}

pub fn add(source: &MemorySource, at: &str, group: &str, days: &[usize]) {
    for day in days {
        source.add(at, &format!("{group}/{}", DAY[*day]), &[("conf.blob", Content::Blob(b"x"))]);
    }
}

pub fn group(text: &str) -> Group {
    text.parse().unwrap()
}

/// Takes a group away from the source with its snapshots.
pub fn drop_group(source: &MemorySource, at: &str, name: &str) {
    source.groups.lock().unwrap().remove(&(at.to_owned(), group(name)));
    source.snapshots.lock().unwrap().retain(|(ns, s), _| ns != at || s.group != group(name));
}

pub fn drop_namespace(source: &MemorySource, at: &str) {
    source.namespaces.lock().unwrap().retain(|namespace| *namespace != ns(at));
    source.groups.lock().unwrap().retain(|(namespace, _)| namespace != at);
    source.snapshots.lock().unwrap().retain(|(namespace, _), _| namespace != at);
}

/// Everything that the target has: namespaces, groups, snapshots.
pub fn content(target: &MemoryTarget) -> Vec<String> {
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

pub fn removed(report: &SyncReport) -> (usize, usize, usize) {
    let RemovedCounts { snapshots, groups, namespaces } = report.removed.unwrap();
    (snapshots, groups, namespaces)
}

pub fn assert_lines(log: &[String], expected: &[&str]) {
    for line in expected {
        assert!(log.iter().any(|found| found == line), "{line}\n{}", log.join("\n"));
    }
}

/// Two groups in the root with three and one snapshots, one in `a`, one in `a/b`, synced.
pub async fn synced() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
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

#[tokio::test]
async fn scenario_31_a_group_hidden_by_lost_rights_stays_when_nothing_else_is_listed() {
    // What a remote's account without Datastore.Audit sees after the groups were given to somebody else.
    for (visibility, is_kept) in
        [(Visibility::SomeGroups, true), (Visibility::Nothing, true), (Visibility::Everything, false)]
    {
        let (source, target) = synced().await;
        source.visibility.lock().unwrap().insert(String::new(), visibility);
        drop_group(&source, "", "vm/1");
        drop_group(&source, "", "ct/7");
        let (report, log) = sync(removing(), &source, &target).await;
        assert_eq!(removed(&report.unwrap()).1 == 0, is_kept, "{visibility:?}");
        let warning = "not removing vanished groups of root namespace, because the source lists none at all and its \
                       account may not see all; give it Datastore.Audit there if they are really gone";
        assert_eq!(log.iter().any(|line| line == warning), is_kept);
    }
}

#[tokio::test]
async fn scenario_31_a_namespace_hidden_by_lost_rights_stays() {
    let (source, target) = synced().await;
    let before = content(&target);
    drop_namespace(&source, "a/b");
    source.visibility.lock().unwrap().insert("a/b".to_owned(), Visibility::Nothing);
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_eq!(content(&target), before);
    assert_lines(
        &log,
        &["Did not remove namespace a/b - the remote's account has no privilege there, so it may only be hidden"],
    );
    // The account sees a child and not its parent: the whole listing shows only a part.
    let (source, target) = synced().await;
    add_empty_namespace(&target, "old");
    drop_namespace(&source, "a");
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_lines(
        &log,
        &["not removing vanished namespaces, because the source hides some namespaces from its account"],
    );
}

pub fn add_empty_namespace(target: &MemoryTarget, name: &str) {
    target.namespaces.lock().unwrap().insert(ns(name));
}

/// A job of namespace `a` into `x`, which holds what its last run brought and something else.
async fn synced_into_x() -> (Arc<MemorySource>, Arc<MemoryTarget>, SyncOptions) {
    let (source, target) = synced().await;
    add_empty_namespace(&target, "x");
    let options = SyncOptions { source_anchor: ns("a"), target_anchor: ns("x"), ..removing() };
    sync(options.clone(), &source, &target).await.0.unwrap();
    add_empty_namespace(&target, "x/more");
    (source, target, options)
}

#[tokio::test]
async fn scenario_31a_a_missing_source_anchor_is_an_error_and_removes_nothing() {
    let (source, target, options) = synced_into_x().await;
    let before = content(&target);
    assert!(before.contains(&"x/b/vm/3: 01 02".to_owned()), "{before:?}");
    // A remote lists the anchor that it was asked for although it does not exist, and then fails to list its groups.
    drop_namespace(&source, "a/b");
    source.set_file_fault(|what, _| (what == "groups a").then(|| SourceError::new(RequestFault::Refused, "ENOENT")));
    for workers in [1, 4] {
        let (result, _) = sync(SyncOptions { worker_threads: workers, ..options.clone() }, &source, &target).await;
        let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
        assert_eq!((removed(&report), report.failures.count), ((0, 0, 0), 1));
        assert_eq!(content(&target), before);
    }
    // A source that says so fails the run before anything.
    source.clear_faults();
    drop_namespace(&source, "a");
    let (result, log) = sync(options, &source, &target).await;
    assert!(matches!(result, Err(SyncError::Map(_))), "{result:?}");
    assert!(log.is_empty() && content(&target) == before);
}

#[tokio::test]
async fn fault_2_nothing_goes_below_a_namespace_whose_listing_failed() {
    let (source, target) = synced().await;
    for other in ["a/gone", "old"] {
        add_empty_namespace(&target, other);
    }
    source.set_file_fault(|what, _| (what == "groups a").then(|| SourceError::new(RequestFault::Refused, "EIO")));
    drop_group(&source, "a", "vm/2");
    drop_namespace(&source, "a/b");
    let (result, log) = sync(removing(), &source, &target).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!(removed(&report), (0, 0, 1), "what lies elsewhere still goes");
    let left = content(&target);
    assert!(["a/", "a/b/", "a/gone/", "a/vm/2: 01", "a/b/vm/3: 01 02"].iter().all(|one| left.contains(&(*one).into())));
    assert_lines(
        &log,
        &["Did not remove namespace a/b - a namespace that it belongs to failed", "Removed namespace old"],
    );
}

#[tokio::test]
async fn scenario_58_a_failed_group_listing_removes_nothing_there_and_below() {
    let (source, target) = synced().await;
    let before = content(&target);
    source.set_file_fault(|what, _| (what == "groups ").then(|| SourceError::new(RequestFault::Refused, "EIO")));
    drop_group(&source, "", "ct/7");
    drop_namespace(&source, "a/b");
    let (result, _) = sync(removing(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(report)) if removed(&report) == (0, 0, 0)));
    assert_eq!(content(&target), before);
}

#[tokio::test]
async fn scenario_34_groups_outside_the_filter_stay() {
    let (source, target) = synced().await;
    drop_group(&source, "", "vm/1");
    drop_group(&source, "", "ct/7");
    let options = SyncOptions { group_filter: vec!["type:vm".parse().unwrap()], ..removing() };
    let (report, _) = sync(options, &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (3, 1, 0));
    assert_eq!(content(&target), ["a/", "a/b/", "a/b/vm/3: 01 02", "a/vm/2: 01", "ct/7: 01"]);
}

#[tokio::test]
async fn scenario_49a_a_copy_stays_while_the_source_cannot_read_its_manifest() {
    let (source, target) = synced().await;
    let before = content(&target);
    source.edit("", &format!("vm/1/{}", DAY[1]), |files| {
        files.remove("index.json.blob");
    });
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_eq!(content(&target), before);
    assert_lines(&log, &["[vm/1]: skipping snapshot vm/1/2026-01-02T10:00:00Z - in-progress backup"]);
}

#[tokio::test]
async fn fault_4_what_is_filtered_withheld_or_listed_wrongly_did_not_vanish() {
    let (source, target) = synced().await;
    let before = content(&target);
    // Neither verified nor encrypted.
    let mut options = removing();
    options.selection.verified_only = true;
    assert_eq!(removed(&sync(options.clone(), &source, &target).await.0.unwrap()), (0, 0, 0));
    options.selection.encrypted_only = true;
    options.selection.transfer_last = Some(1);
    assert_eq!(removed(&sync(options, &source, &target).await.0.unwrap()), (0, 0, 0));
    // Hidden from the owner of a local sync.
    source.withheld.lock().unwrap().extend([(String::new(), group("vm/1")), ("a".to_owned(), group("vm/2"))]);
    assert_eq!(removed(&sync(removing(), &source, &target).await.0.unwrap()), (0, 0, 0));
    source.withheld.lock().unwrap().clear();
    // Listed in a form that nobody understands, each time that would remove something else.
    drop_group(&source, "", "ct/7");
    source.remove("", &format!("vm/1/{}", DAY[1]));
    drop_namespace(&source, "a/b");
    source.unreadable.lock().unwrap().extend(["namespaces", "groups ", "snapshots vm/1"].map(str::to_owned));
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_eq!(content(&target), before);
    assert_lines(
        &log,
        &[
            "[vm/1]: not removing vanished snapshots, because the source's listing is incomplete",
            "not removing vanished groups of root namespace, because the source's listing is incomplete",
            "not removing vanished namespaces, because the source's listing is incomplete",
        ],
    );
}

#[tokio::test]
async fn what_comes_up_on_the_source_after_its_listing_stays() {
    let (source, target) = synced().await;
    let before = content(&target);
    let hidden = (
        source.groups.lock().unwrap().clone(),
        source.snapshots.lock().unwrap().clone(),
        source.namespaces.lock().unwrap().clone(),
    );
    source.remove("", &format!("vm/1/{}", DAY[1]));
    drop_group(&source, "", "ct/7");
    drop_namespace(&source, "a/b");
    // Another job brought these to the target meanwhile; the second look finds them on the source.
    let state = Arc::downgrade(&source);
    let asked = std::sync::Mutex::new(std::collections::BTreeSet::new());
    source.set_file_fault(move |what, _| {
        let again = !asked.lock().unwrap().insert(what.to_owned());
        if again && let Some(source) = state.upgrade() {
            match what {
                "snapshots vm/1" => *source.snapshots.lock().unwrap() = hidden.1.clone(),
                "groups " => *source.groups.lock().unwrap() = hidden.0.clone(),
                "namespaces" => *source.namespaces.lock().unwrap() = hidden.2.clone(),
                _ => {}
            }
        }
        None
    });
    let (report, _) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_eq!(content(&target), before);
}

#[tokio::test]
async fn a_group_that_is_hidden_since_it_was_listed_keeps_its_snapshots() {
    let (source, target) = synced().await;
    let state = Arc::downgrade(&source);
    // From the listing of its snapshots on.
    source.set_file_fault(move |what, _| {
        if what == "snapshots vm/1"
            && let Some(source) = state.upgrade()
        {
            drop_group(&source, "", "vm/1");
        }
        None
    });
    let (report, _) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()).0, 0);
    assert!(content(&target).contains(&"vm/1: 01 02 03".to_owned()));
}

#[tokio::test]
async fn scenario_55_protected_snapshots_stay_and_so_does_their_group() {
    let (source, target) = synced().await;
    for (name, day) in [("vm/1", DAY[0]), ("vm/3", DAY[1])] {
        let at = if name == "vm/3" { "a/b" } else { "" };
        let mut groups = target.groups.lock().unwrap();
        groups.get_mut(&(at.to_owned(), group(name))).unwrap().protected.insert(snapshot(&format!("vm/1/{day}")).time);
    }
    source.remove("", &format!("vm/1/{}", DAY[0]));
    source.remove("", &format!("vm/1/{}", DAY[1]));
    drop_group(&source, "a/b", "vm/3");
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (2, 0, 0), "a group that stays does not count");
    assert_eq!(content(&target), ["a/", "a/b/", "a/b/vm/3: 02", "a/vm/2: 01", "ct/7: 01", "vm/1: 01 03"]);
    assert_lines(
        &log,
        &[
            "[vm/1]: vm/1: don't delete vanished snapshot vm/1/2026-01-01T10:00:00Z (protected)",
            "[vm/1]: delete vanished snapshot vm/1/2026-01-02T10:00:00Z",
            "Delete vanished group 'vm/3'",
            "Kept some protected snapshots of group 'vm/3'",
        ],
    );
}

#[tokio::test]
async fn scenario_56_a_vanished_group_of_another_owner_stays_silently() {
    let (source, target) = synced().await;
    give_away(&target, "", "ct/7");
    drop_group(&source, "", "ct/7");
    let (report, log) = sync(removing(), &source, &target).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert!(content(&target).contains(&"ct/7: 01".to_owned()));
    assert!(!log.iter().any(|line| line.contains("ct/7")), "{log:?}");
}

pub fn give_away(target: &MemoryTarget, at: &str, name: &str) {
    let owner: Authid = "u1@pbs".parse().unwrap();
    target.groups.lock().unwrap().get_mut(&(at.to_owned(), group(name))).unwrap().owner = Some(owner);
}
