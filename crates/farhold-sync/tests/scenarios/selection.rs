//! Which namespaces, groups and snapshots a run takes, in which order, and what it says about the others.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_format::manifest::Manifest;
use farhold_sync::{SyncError, SyncOptions};
use farhold_types::{CryptMode, Digest, Epoch, GroupFilter, MANIFEST_NAME, VerificationItem, VerifyState};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Content, Log, MemorySource, MemoryTarget, NoModify, Shared, TargetHandle, ns, options, snapshot, sync,
};

fn time(second: u32) -> String {
    format!("1970-01-01T00:00:{second:02}Z")
}

fn add(source: &MemorySource, at: &str, group: &str, seconds: impl IntoIterator<Item = u32>) {
    for second in seconds {
        let what = format!("{group}/{}", time(second));
        source.add(at, &what, &[("a.conf.blob", Content::Blob(what.as_bytes()))]);
    }
}

fn store(groups: &[&str]) -> Arc<MemorySource> {
    let source = Arc::new(MemorySource::new());
    for group in groups {
        add(&source, "", group, [1]);
    }
    source
}

fn groups(target: &MemoryTarget) -> BTreeSet<String> {
    let of = |(at, group): &(String, farhold_types::Group)| {
        if at.is_empty() { group.to_string() } else { format!("{at}:{group}") }
    };
    target.groups.lock().unwrap().keys().map(of).collect()
}

fn times(target: &MemoryTarget, group: &str) -> Vec<i64> {
    let finished = target.finished();
    finished.keys().filter(|(_, s)| s.group.to_string() == group).map(|(_, s)| s.time.0).collect()
}

async fn groups_taken(source: &Arc<MemorySource>, filters: &[&str]) -> Vec<String> {
    let target = MemoryTarget::new();
    let group_filter: Vec<GroupFilter> = filters.iter().map(|text| text.parse().unwrap()).collect();
    let (result, log) = sync(SyncOptions { group_filter, ..options() }, source, &target).await;
    result.unwrap_or_else(|error| panic!("{error}: {log:#?}"));
    groups(&target).into_iter().collect()
}

#[tokio::test]
async fn scenario_32_include_filters_take_only_what_they_match() {
    let source = store(&["vm/100", "vm/1000", "ct/5", "host/a"]);
    assert_eq!(groups_taken(&source, &["type:ct"]).await, ["ct/5"]);
    assert_eq!(groups_taken(&source, &["group:vm/100"]).await, ["vm/100"]);
    assert_eq!(groups_taken(&source, &[r"regex:^vm/1\d{2,3}$"]).await, ["vm/100", "vm/1000"]);
}

#[tokio::test]
async fn scenario_33_exclude_filters_leave_out_what_they_match_whatever_includes_it() {
    let source = store(&["vm/100", "vm/1000", "ct/5", "host/a"]);
    assert_eq!(groups_taken(&source, &[r"exclude:regex:^vm/1\d{2,3}$"]).await, ["ct/5", "host/a"]);
    assert_eq!(groups_taken(&source, &["type:vm", "exclude:group:vm/100"]).await, ["vm/1000"]);
    assert_eq!(groups_taken(&source, &[]).await.len(), 4);
}

#[tokio::test]
async fn scenario_35_groups_come_by_type_then_number_then_name() {
    let source = store(&["vm/10", "vm/9", "vm/abc", "ct/1", "host/z"]);
    let (_, log) = sync(options(), &source, &MemoryTarget::new()).await;
    let mut order: Vec<_> = log.iter().filter_map(|l| l.strip_prefix('[')?.split_once(']').map(|(g, _)| g)).collect();
    order.dedup();
    assert_eq!(order, ["ct/1", "host/z", "vm/9", "vm/10", "vm/abc"]);
}

#[tokio::test]
async fn scenario_42_a_running_backup_is_skipped_with_a_line_and_taken_by_the_next_run() {
    let source = store(&[]);
    add(&source, "", "vm/1", [1, 2]);
    let last = format!("vm/1/{}", time(2));
    let mut manifest = None;
    source.edit("", &last, |files| manifest = files.remove(MANIFEST_NAME));
    let target = MemoryTarget::new();
    let (result, log) = sync(options(), &source, &target).await;
    result.unwrap();
    assert!(log.iter().any(|line| line.contains(&time(2)) && line.contains("in-progress")), "{log:#?}");
    assert_eq!(times(&target, "vm/1"), [1]);
    source.edit("", &last, |files| drop(files.insert(MANIFEST_NAME.into(), manifest.unwrap())));
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(times(&target, "vm/1"), [1, 2]);
}

#[tokio::test]
async fn scenario_43_older_ones_than_the_newest_here_are_skipped_in_one_line() {
    let (source, target) = (store(&[]), MemoryTarget::new());
    add(&source, "", "vm/1", [5]);
    sync(options(), &source, &target).await.0.unwrap();
    add(&source, "", "vm/1", [1, 2, 3, 6]);
    let (result, log) = sync(options(), &source, &target).await;
    result.unwrap();
    assert_eq!(times(&target, "vm/1"), [5, 6]);
    let lines: Vec<_> = log.iter().filter(|line| line.contains("skipped: 3")).collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    assert!(lines[0].contains(&format!("({} .. {})", time(1), time(3))), "{}", lines[0]);
}

#[tokio::test]
async fn scenario_44_transfer_last_takes_the_newest_and_leaves_what_is_here() {
    let (source, target) = (store(&[]), MemoryTarget::new());
    add(&source, "", "vm/1", [1, 2]);
    sync(options(), &source, &target).await.0.unwrap();
    let before = target.finished();
    add(&source, "", "vm/1", [3, 4, 5, 6, 7]);
    let mut last = options();
    last.selection.transfer_last = Some(2);
    let (result, log) = sync(last, &source, &target).await;
    result.unwrap();
    assert_eq!(times(&target, "vm/1"), [1, 2, 6, 7]);
    assert!(log.iter().any(|line| line.contains("skipped: 3") && line.contains("transfer-last")), "{log:#?}");
    assert!(before.iter().all(|(key, files)| target.finished()[key] == *files));
}

#[tokio::test]
async fn scenario_47_a_group_locked_here_fails_and_the_others_are_done() {
    let (source, target) = (store(&["vm/1", "vm/2", "vm/3"]), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    ["vm/1", "vm/2", "vm/3"].iter().for_each(|group| add(&source, "", group, [2]));
    let key = (String::new(), "vm/2".parse().unwrap());
    target.groups.lock().unwrap().get_mut(&key).unwrap().is_locked = true;
    let (result, log) = sync(options(), &source, &target).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(report)) if report.failures.count == 1));
    assert!(log.iter().any(|line| line.contains("sync group vm/2 failed - ") && line.contains("locked")), "{log:#?}");
    assert_eq!(
        [times(&target, "vm/1"), times(&target, "vm/2"), times(&target, "vm/3")],
        [vec![1, 2], vec![1], vec![1, 2]]
    );
}

#[tokio::test]
async fn scenario_48_a_group_of_another_owner_fails_and_stays_as_it_is() {
    let (source, target) = (store(&["vm/1", "vm/2"]), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    ["vm/1", "vm/2"].iter().for_each(|group| add(&source, "", group, [2]));
    let key = (String::new(), "vm/1".parse().unwrap());
    target.groups.lock().unwrap().get_mut(&key).unwrap().owner = Some("other@pbs".parse().unwrap());
    let (result, log) = sync(options(), &source, &target).await;
    result.unwrap_err();
    assert!(log.iter().any(|line| line.contains("vm/1") && line.contains("owner check failed")), "{log:#?}");
    assert_eq!([times(&target, "vm/1"), times(&target, "vm/2")], [vec![1], vec![1, 2]]);
}

#[tokio::test]
async fn scenario_60_verified_only_takes_what_was_verified_as_good() {
    let (source, target) = (store(&[]), MemoryTarget::new());
    add(&source, "", "vm/1", [1, 2, 3]);
    let verify = |second, state| {
        let upid = "UPID:a:00000001:00000002:00000003:6B035722:verify:x:root@pam:".to_owned();
        source.edit_manifest("", &format!("vm/1/{}", time(second)), |manifest| {
            manifest.set_verify_state(&VerificationItem { upid, state });
        });
    };
    verify(1, VerifyState::Failed);
    verify(3, VerifyState::Ok);
    let mut verified = options();
    verified.selection.verified_only = true;
    sync(verified.clone(), &source, &target).await.0.unwrap();
    assert_eq!(times(&target, "vm/1"), [3]);
    // Documented limit: an older one that is verified later is not fetched.
    verify(2, VerifyState::Ok);
    sync(verified, &source, &target).await.0.unwrap();
    assert_eq!(times(&target, "vm/1"), [3]);
}

#[tokio::test]
async fn scenario_61_encrypted_only_takes_what_is_encrypted_as_a_whole() {
    let (source, target) = (store(&[]), MemoryTarget::new());
    let signed = |manifest: &mut Manifest| manifest.signature = Some(Digest([7; 32]));
    for (second, modes, is_signed) in [
        (1, [CryptMode::Encrypt, CryptMode::Encrypt], true),
        (2, [CryptMode::None, CryptMode::None], false),
        (3, [CryptMode::Encrypt, CryptMode::None], true),
        (4, [CryptMode::SignOnly, CryptMode::SignOnly], true),
    ] {
        let what = format!("vm/1/{}", time(second));
        source.add("", &what, &[("a.conf.blob", Content::Blob(b"a")), ("b.conf.blob", Content::Blob(b"b"))]);
        source.edit_manifest("", &what, |manifest| {
            manifest.files.iter_mut().zip(modes).for_each(|(file, mode)| file.crypt_mode = mode);
            if is_signed {
                signed(manifest);
            }
        });
    }
    let mut encrypted = options();
    encrypted.selection.encrypted_only = true;
    sync(encrypted, &source, &target).await.0.unwrap();
    assert_eq!(times(&target, "vm/1"), [1]);
}

fn tree() -> Arc<MemorySource> {
    let source = store(&["vm/1"]);
    for at in ["location_a", "location_a/department_x", "location_a/department_x/team_one", "location_b"] {
        source.add_namespace(at);
        add(&source, at, "vm/1", [1]);
    }
    source
}

#[tokio::test]
async fn scenario_65_depth_zero_is_the_anchor_alone_and_one_its_children_too() {
    let source = tree();
    let target = MemoryTarget::new();
    sync(SyncOptions { max_depth: Some(0), ..options() }, &source, &target).await.0.unwrap();
    assert_eq!(groups(&target), BTreeSet::from(["vm/1".to_owned()]));
    let target = MemoryTarget::new();
    let below = SyncOptions { source_anchor: ns("location_a"), max_depth: Some(1), ..options() };
    sync(below, &source, &target).await.0.unwrap();
    assert_eq!(groups(&target), BTreeSet::from(["vm/1".to_owned(), "department_x:vm/1".to_owned()]));
}

#[tokio::test]
async fn scenario_66_without_a_depth_the_whole_tree_comes() {
    let (source, target) = (tree(), MemoryTarget::new());
    sync(options(), &source, &target).await.0.unwrap();
    assert_eq!(groups(&target).len(), 5);
}

#[tokio::test]
async fn scenario_67_missing_namespaces_that_the_owner_may_not_create_fail_and_others_are_synced() {
    let (source, target) = (tree(), MemoryTarget::new());
    target.namespaces.lock().unwrap().insert(ns("location_b"));
    let log = Log::new(1);
    let (from, to) = (Arc::new(Shared(source)), Arc::new(TargetHandle(target.clone())));
    let result =
        farhold_sync::run(options(), from, to, Arc::new(NoModify), log.clone(), CancellationToken::new()).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(report)) if report.failures.count == 3), "{:#?}", log.texts());
    assert_eq!(groups(&target), BTreeSet::from(["vm/1".to_owned(), "location_b:vm/1".to_owned()]));
    let refusals =
        log.texts().iter().filter(|line| line.contains("creating location_a") && line.contains("not allowed")).count();
    assert_eq!(refusals, 3, "{:#?}", log.texts());
}

#[tokio::test]
async fn scenario_69_a_tree_too_deep_for_the_target_fails_before_anything_is_transferred() {
    let source = store(&["vm/1"]);
    let deep = ["1", "1/2", "1/2/3", "1/2/3/4", "1/2/3/4/5", "1/2/3/4/5/6", "1/2/3/4/5/6/7"];
    deep.iter().for_each(|at| source.add_namespace(at));
    let target = MemoryTarget::new();
    target.namespaces.lock().unwrap().insert(ns("x"));
    let result = sync(SyncOptions { target_anchor: ns("x"), ..options() }, &source, &target).await.0;
    assert!(matches!(result, Err(SyncError::Map(_))), "{result:?}");
    assert!(groups(&target).is_empty());
    sync(options(), &source, &target).await.0.unwrap();
}

#[tokio::test]
async fn scenario_71_filters_hold_in_every_namespace_and_what_is_withheld_is_not_taken() {
    let source = tree();
    for at in ["", "location_a", "location_b"] {
        add(&source, at, "ct/5", [1]);
    }
    source.withheld.lock().unwrap().insert(("location_b".to_owned(), "vm/1".parse().unwrap()));
    let target = MemoryTarget::new();
    let only_vms = SyncOptions { group_filter: vec!["type:vm".parse().unwrap()], ..options() };
    sync(only_vms, &source, &target).await.0.unwrap();
    let expected = ["vm/1", "location_a:vm/1", "location_a/department_x:vm/1", "location_a/department_x/team_one:vm/1"];
    assert_eq!(groups(&target), expected.iter().map(ToString::to_string).collect());
    assert_eq!(snapshot(&format!("vm/1/{}", time(1))).time, Epoch(1));
}
