//! A dry run names exactly what the run then removes, and why the rest stays.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use farhold_sync::{RunPlan, SyncOptions, Unrestricted, Visibility};
use farhold_types::Namespace;
use tokio_util::sync::CancellationToken;

use super::removal::{
    DAY, add, add_empty_namespace, content, drop_group, drop_namespace, give_away, group, removing, synced,
};
use super::support::{MemorySource, MemoryTarget, Shared, TargetHandle, snapshot, sync};

async fn plan(options: SyncOptions, source: &Arc<MemorySource>, target: &Arc<MemoryTarget>) -> RunPlan {
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    farhold_sync::plan(options, from, to, Arc::new(Unrestricted), CancellationToken::new()).await.unwrap()
}

/// All snapshots, empty groups and namespaces of the target.
fn things(target: &MemoryTarget) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = target.namespaces.lock().unwrap().iter().map(|ns| format!("{ns}/")).collect();
    for ((at, group), dir) in &*target.groups.lock().unwrap() {
        all.insert(format!("{at} {group}"));
        all.extend(dir.snapshots.keys().map(|time| format!("{at} {}", group.at(*time))));
    }
    all
}

/// What a plan says will be gone.
fn planned(plan: &RunPlan) -> BTreeSet<String> {
    let mut gone = BTreeSet::new();
    let mut groups = |at: &Namespace, groups: &[farhold_sync::PlannedGroupRemoval]| {
        for removal in groups.iter().filter(|removal| removal.kept.is_none()) {
            let going = removal.snapshots.iter().filter(|snapshot| !snapshot.is_protected);
            gone.extend(going.map(|snapshot| format!("{at} {}", removal.group.at(snapshot.time))));
            if removal.snapshots.iter().all(|snapshot| !snapshot.is_protected) {
                gone.insert(format!("{at} {}", removal.group));
            }
        }
    };
    for of in &plan.namespaces {
        groups(&of.target, &of.removed_groups);
    }
    for removal in &plan.removed_namespaces {
        groups(&removal.namespace, &removal.groups);
    }
    for of in &plan.namespaces {
        for report in &of.groups {
            let going = report.removals.iter().filter(|removal| !removal.is_protected);
            gone.extend(going.map(|removal| format!("{} {}", of.target, report.group.at(removal.time))));
        }
    }
    let namespaces = plan.removed_namespaces.iter().filter(|removal| removal.kept.is_none());
    gone.extend(namespaces.map(|removal| format!("{}/", removal.namespace)));
    gone
}

/// Something of everything that can stay or go.
async fn mixed() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = synced().await;
    for name in ["all", "all/child", "foreign", "foreign/child", "prot", "hidden", "filtered"] {
        source.add_namespace(name);
        for id in ["vm/1", "vm/2", "ct/3"] {
            add(&source, name, id, &[0, 1]);
        }
    }
    sync(removing(), &source, &target).await.0.unwrap();
    give_away(&target, "foreign/child", "vm/2");
    give_away(&target, "", "ct/7");
    let protect = |at: &str, what: &str| {
        let snapshot = snapshot(&format!("{what}/{}", DAY[0]));
        target
            .groups
            .lock()
            .unwrap()
            .get_mut(&(at.to_owned(), snapshot.group))
            .unwrap()
            .protected
            .insert(snapshot.time);
    };
    protect("", "vm/1");
    protect("prot", "vm/1");
    protect("a/b", "vm/3");
    for day in [0, 1] {
        source.remove("", &format!("vm/1/{}", DAY[day]));
    }
    drop_group(&source, "", "ct/7");
    drop_group(&source, "a", "vm/2");
    drop_group(&source, "a/b", "vm/3");
    for name in ["all/child", "all", "foreign/child", "foreign", "prot", "hidden"] {
        drop_namespace(&source, name);
    }
    drop_group(&source, "filtered", "ct/3");
    add_empty_namespace(&target, "beside");
    source.visibility.lock().unwrap().insert("hidden".to_owned(), Visibility::Nothing);
    (source, target)
}

#[tokio::test]
async fn a_dry_run_names_exactly_what_the_run_removes_and_removes_nothing_itself() {
    let filter = |text: &str| vec![text.parse().unwrap()];
    for options in [
        removing(),
        SyncOptions { max_depth: Some(1), ..removing() },
        SyncOptions { max_depth: Some(0), ..removing() },
        SyncOptions { group_filter: filter("type:vm"), ..removing() },
        SyncOptions { group_filter: filter("exclude:group:vm/1"), ..removing() },
        SyncOptions { target_anchor: "all".parse().unwrap(), ..removing() },
        SyncOptions { remove_vanished: false, ..removing() },
    ] {
        let (source, target) = mixed().await;
        let before = things(&target);
        let plan = plan(options.clone(), &source, &target).await;
        assert_eq!(things(&target), before);
        sync(options.clone(), &source, &target).await.0.unwrap();
        let after = things(&target);
        let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
        assert_eq!(planned(&plan), gone, "{options:?}");
        assert_eq!(gone.is_empty(), !options.remove_vanished, "{options:?}");
    }
}

#[tokio::test]
async fn a_dry_run_says_why_things_stay() {
    let (source, target) = mixed().await;
    let plan = plan(removing(), &source, &target).await;
    let kept: Vec<_> =
        plan.removed_namespaces.iter().map(|r| (r.namespace.to_string(), r.kept.as_deref().unwrap_or("-"))).collect();
    assert_eq!(
        kept,
        [
            ("foreign/child".to_owned(), "groups of other owners remain"),
            ("all/child".to_owned(), "-"),
            ("foreign".to_owned(), "a namespace below it remains"),
            ("beside".to_owned(), "-"),
            ("hidden".to_owned(), "the remote's account has no privilege there, so it may only be hidden"),
            ("prot".to_owned(), "protected snapshots remain"),
            ("all".to_owned(), "-"),
        ]
    );
    let root = &plan.namespaces[0];
    assert_eq!(root.removed_groups[0].group, group("ct/7"));
    assert_eq!(root.removed_groups[0].kept.as_deref(), Some("it belongs to another owner"));
    assert!(content(&target).contains(&"foreign/".to_owned()));
    // Listings that prove nothing.
    source.unreadable.lock().unwrap().extend(["namespaces", "groups a"].map(str::to_owned));
    let plan = self::plan(removing(), &source, &target).await;
    assert!(plan.removed_namespaces.iter().all(|removal| removal.kept.is_some()));
    let of_a = plan.namespaces.iter().find(|of| of.source.to_string() == "a").unwrap();
    assert_eq!(of_a.removed_groups[0].kept.as_deref(), Some("the source's listing is incomplete"));
}
