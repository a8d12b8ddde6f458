//! A dry run says what the run then does, and changes nothing.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farhold_sync::{
    Explanation, GroupReport, OwnerRights, PlannedAction, PlannedReason, RunPlan, SyncError, SyncOptions, Unrestricted,
};
use farhold_types::VerifyState;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Content, MemorySource, MemoryTarget, NoModify, Shared, TargetHandle, ns, options, snapshot, sync,
};

async fn plan(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
) -> Result<RunPlan, SyncError> {
    plan_as(options, source, target, Arc::new(Unrestricted)).await
}

async fn plan_as(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
    rights: Arc<dyn OwnerRights>,
) -> Result<RunPlan, SyncError> {
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    farhold_sync::plan(options, from, to, rights, CancellationToken::new()).await
}

async fn explain(
    options: &SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
    at: &str,
    what: &str,
) -> Explanation {
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    let cancel = CancellationToken::new();
    let rights = Arc::new(Unrestricted);
    farhold_sync::explain(options.clone(), from, to, rights, &ns(at), &snapshot(what), cancel).await.unwrap()
}

fn add(source: &MemorySource, at: &str, group: &str, times: impl IntoIterator<Item = u32>) {
    for time in times {
        let name = format!("{group}/1970-01-01T00:00:{time:02}Z");
        source.add(at, &name, &[("a.conf.blob", Content::Blob(name.as_bytes()))]);
    }
}

fn group<'a>(plan: &'a RunPlan, at: &str, group: &str) -> &'a GroupReport {
    let of = plan.namespaces.iter().find(|n| n.source == ns(at)).unwrap();
    of.groups.iter().find(|g| g.group.to_string() == group).unwrap()
}

fn taken(plan: &RunPlan) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    for of in &plan.namespaces {
        for group in &of.groups {
            let fetched = group.snapshots.iter().filter(|s| s.action == PlannedAction::Transfer);
            taken.extend(fetched.map(|s| format!("{} {}", of.target, group.group.at(s.time))));
        }
    }
    taken
}

fn stored(target: &MemoryTarget) -> BTreeSet<String> {
    target.finished().keys().map(|(at, snapshot)| format!("{at} {snapshot}")).collect()
}

/// Several groups and namespaces, of which the target has an older state.
async fn both() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add(&source, "", "vm/1", [1, 2]);
    sync(options(), &source, &target).await.0.unwrap();
    source.add_namespace("a");
    source.add_namespace("a/b");
    add(&source, "", "vm/1", [3, 4, 5]);
    add(&source, "", "ct/9", [1]);
    add(&source, "a", "vm/1", [7]);
    add(&source, "a/b", "host/x", [8, 9]);
    (source, target)
}

#[tokio::test]
async fn a_dry_run_names_what_the_run_then_takes_and_writes_nothing() {
    let (source, target) = both().await;
    let before = (target.finished(), target.namespaces.lock().unwrap().clone(), target.groups.lock().unwrap().len());
    let plan_of_all = plan(options(), &source, &target).await.unwrap();
    let after = (target.finished(), target.namespaces.lock().unwrap().clone(), target.groups.lock().unwrap().len());
    assert_eq!(before, after);
    let missing: Vec<_> = plan_of_all.namespaces.iter().map(|n| n.is_missing_on_target).collect();
    assert_eq!(missing, [false, true, true]);
    assert_eq!((plan_of_all.snapshots_to_fetch, taken(&plan_of_all).len()), (7, 7));
    let sizes = plan_of_all.namespaces.iter().flat_map(|n| &n.groups).flat_map(|g| &g.snapshots);
    let expected: u64 = sizes.filter(|s| s.action == PlannedAction::Transfer).map(|s| s.size_bytes.unwrap()).sum();
    assert_eq!(plan_of_all.bytes_estimate, expected);

    let had = stored(&target);
    sync(options(), &source, &target).await.0.unwrap();
    let new: BTreeSet<String> = stored(&target).difference(&had).cloned().collect();
    assert_eq!(taken(&plan_of_all), new);
    let nothing = plan(options(), &source, &target).await.unwrap();
    assert_eq!((nothing.snapshots_to_fetch, nothing.bytes_estimate), (0, 0));
    assert!(nothing.namespaces.iter().all(|n| !n.is_missing_on_target && n.failure.is_none()));
}

#[tokio::test]
async fn every_snapshot_has_the_reason_that_decides() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add(&source, "", "vm/1", [2]);
    sync(options(), &source, &target).await.0.unwrap();
    add(&source, "", "vm/1", [1, 3, 4, 5, 6]);
    add(&source, "", "vm/2", [1]);
    source.edit("", "vm/1/1970-01-01T00:00:06Z", |files| files.retain(|name, _| name != "index.json.blob"));
    let mut some = options();
    some.selection.transfer_last = Some(2);
    let found = plan(some, &source, &target).await.unwrap();
    let reasons: Vec<_> = group(&found, "", "vm/1").snapshots.iter().map(|s| (s.action, s.reason)).collect();
    use PlannedAction::{Compare, Skip, Transfer};
    use PlannedReason::{AlreadySynced, InProgress, Newer, NewestOnTarget, TransferLast};
    assert_eq!(
        reasons,
        [
            (Skip, AlreadySynced),
            (Compare, NewestOnTarget),
            (Skip, TransferLast),
            (Transfer, Newer),
            (Transfer, Newer),
            (Skip, InProgress)
        ]
    );
    assert_eq!(group(&found, "", "vm/2").snapshots[0].reason, PlannedReason::FirstOfGroup);
    let mut strict = options();
    (strict.selection.verified_only, strict.selection.resync_corrupt) = (true, true);
    let found = plan(strict.clone(), &source, &target).await.unwrap();
    assert!(group(&found, "", "vm/2").snapshots.iter().all(|s| s.reason == PlannedReason::NotVerified));
    target.edit("", "vm/1/1970-01-01T00:00:02Z", |files| drop(files.insert("index.json.blob".into(), "x".into())));
    strict.selection.verified_only = false;
    let found = plan(strict, &source, &target).await.unwrap();
    let second = group(&found, "", "vm/1").snapshots[1];
    assert_eq!((second.action, second.reason), (PlannedAction::Refetch, PlannedReason::Corrupt));
    let json = serde_json::to_value(second).unwrap();
    assert_eq!((json["action"].as_str(), json["reason"].as_str()), (Some("refetch"), Some("corrupt")));
}

#[tokio::test]
async fn a_snapshot_that_failed_before_is_planned_again_with_that_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    add(&source, "", "vm/1", [1, 2]);
    source.edit("", "vm/1/1970-01-01T00:00:01Z", |files| drop(files.insert("a.conf.blob".into(), "bad".into())));
    let with_record = SyncOptions { state_dir: Some(dir.path().to_owned()), ..options() };
    sync(with_record.clone(), &source, &target).await.0.unwrap_err();
    let found = plan(with_record, &source, &target).await.unwrap();
    let first = group(&found, "", "vm/1").snapshots[0];
    assert_eq!((first.action, first.reason), (PlannedAction::Transfer, PlannedReason::FailedBefore));
}

#[tokio::test]
async fn what_would_fail_is_told_where_it_would_fail() {
    let (source, target) = both().await;
    target.groups.lock().unwrap().values_mut().for_each(|dir| dir.owner = Some("other@pbs".parse().unwrap()));
    let found = plan_as(options(), &source, &target, Arc::new(NoModify)).await.unwrap();
    assert!(group(&found, "", "vm/1").failure.as_ref().unwrap().contains("owner check failed"));
    assert!(group(&found, "", "ct/9").failure.is_none());
    assert!(found.namespaces[1].failure.as_ref().unwrap().contains("creating a not allowed"));
    assert!(found.namespaces[1].groups.is_empty());
    let deep = SyncOptions { target_anchor: ns("x/y"), ..options() };
    let found = plan(deep, &source, &target).await.unwrap();
    assert!(found.namespaces[0].failure.as_ref().unwrap().contains("its parent does not exist"));
    let none = SyncOptions { source_anchor: ns("nowhere"), ..options() };
    assert!(matches!(plan(none, &source, &target).await, Err(SyncError::Map(_))));
}

#[tokio::test]
async fn explain_gives_the_first_rule_that_decides() {
    let (source, target) = both().await;
    let found = explain(&options(), &source, &target, "", "vm/1/1970-01-01T00:00:01Z").await;
    assert!(found.reason.contains("the target has it"), "{}", found.reason);
    source.remove("", "vm/1/1970-01-01T00:00:01Z");
    add(&source, "", "vm/2", [1]);
    source.edit_manifest("", "vm/2/1970-01-01T00:00:01Z", |manifest| {
        assert!(manifest.verify_state().is_none_or(|v| v.state != VerifyState::Ok));
    });
    let mut some = SyncOptions { max_depth: Some(1), ..options() };
    some.group_filter = vec!["type:vm".parse().unwrap(), "exclude:group:vm/7".parse().unwrap()];
    let cases = [
        ("", "vm/1/1970-01-01T00:00:05Z", PlannedAction::Transfer, "newer than every finished"),
        ("", "vm/1/1970-01-01T00:00:02Z", PlannedAction::Compare, "newest finished snapshot on the target"),
        ("a/b", "host/x/1970-01-01T00:00:08Z", PlannedAction::Skip, "2 levels below"),
        ("z", "vm/1/1970-01-01T00:00:05Z", PlannedAction::Skip, "lists no namespace 'z'"),
        ("", "ct/9/1970-01-01T00:00:01Z", PlannedAction::Skip, "none of the job's including group filters"),
        ("", "vm/7/1970-01-01T00:00:01Z", PlannedAction::Skip, "lists no group vm/7"),
        ("", "vm/1/1970-01-01T00:00:01Z", PlannedAction::Skip, "keeps what vanished"),
        ("", "vm/1/1970-01-01T00:00:59Z", PlannedAction::Skip, "neither the source nor the target"),
    ];
    for (at, what, action, reason) in cases {
        let found = explain(&some, &source, &target, at, what).await;
        assert_eq!(found.action, action, "{what}: {}", found.reason);
        assert!(found.reason.contains(reason), "{what}: {}", found.reason);
    }
    add(&source, "", "vm/7", [1]);
    let found = explain(&some, &source, &target, "", "vm/7/1970-01-01T00:00:01Z").await;
    assert!(found.reason.contains("the group filter 'exclude:group:vm/7' leaves vm/7 out"), "{}", found.reason);
    some.remove_vanished = true;
    let found = explain(&some, &source, &target, "", "vm/1/1970-01-01T00:00:01Z").await;
    assert!(found.removal.is_some_and(|removal| !removal.is_protected), "{found:?}");
}

#[tokio::test]
async fn a_dry_run_lists_a_namespace_at_once_and_opens_nothing() {
    let (source, target) = (Arc::new(MemorySource::new()), MemoryTarget::new());
    source.lists_whole_namespaces.store(true, Ordering::SeqCst);
    (0..30).for_each(|group| add(&source, "", &format!("vm/{group}"), [1, 2, 3]));
    let found = plan(options(), &source, &target).await.unwrap();
    assert_eq!(found.snapshots_to_fetch, 90);
    // The namespaces, the groups, and the snapshots.
    assert_eq!(source.counts.files.load(Ordering::SeqCst), 3);
    assert_eq!(source.counts.opened.load(Ordering::SeqCst) + source.counts.peeks.load(Ordering::SeqCst), 0);
}
