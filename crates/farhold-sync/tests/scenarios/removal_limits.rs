//! What removal must not touch, and how it goes on when something is in the way.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use farhold_rules::removal_plan::NamespaceKeep;
use farhold_sync::{
    KeptBecause, NamespaceStep, OwnerDenied, OwnerRights, RemovalEvent, SyncError, SyncEvent, SyncOptions, SyncReport,
    Unrestricted,
};
use farhold_types::Namespace;
use tokio_util::sync::CancellationToken;

use super::removal::{
    DAY, add, add_empty_namespace, assert_lines, content, drop_group, drop_namespace, give_away, group, removed,
    removing, synced,
};
use super::support::{Log, MemorySource, MemoryTarget, Shared, TargetHandle, ns, snapshot, sync};

/// Why each namespace stayed.
fn kept(log: &Log) -> Vec<(String, KeptBecause)> {
    let events = log.events.lock().unwrap();
    let kept = events.iter().filter_map(|event| match event {
        SyncEvent::Removal(RemovalEvent::Namespace { ns, step: NamespaceStep::Kept(why) }) => {
            Some((ns.to_string(), *why))
        }
        _ => None,
    });
    kept.collect()
}

async fn run(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
    rights: impl OwnerRights,
) -> (Result<SyncReport, SyncError>, Arc<Log>) {
    let log = Log::new(options.worker_threads);
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    let cancel = CancellationToken::new();
    let result = farhold_sync::run(options, from, to, Arc::new(rights), log.clone(), cancel).await;
    (result, log)
}

/// What a whole namespace `gone` holds, synced before and vanished since.
async fn with_vanished_namespace() -> (Arc<MemorySource>, Arc<MemoryTarget>) {
    let (source, target) = synced().await;
    source.add_namespace("gone");
    for name in ["ct/1", "vm/1", "vm/2"] {
        add(&source, "gone", name, &[0, 1]);
    }
    sync(removing(), &source, &target).await.0.unwrap();
    drop_namespace(&source, "gone");
    (source, target)
}

#[tokio::test]
async fn scenario_58a_foreign_and_filtered_groups_of_a_vanished_namespace_stay_with_it() {
    let (source, target) = with_vanished_namespace().await;
    give_away(&target, "gone", "vm/2");
    let options = SyncOptions { group_filter: vec!["type:vm".parse().unwrap()], ..removing() };
    let (report, log) = run(options, &source, &target, Unrestricted).await;
    assert_eq!(removed(&report.unwrap()), (2, 1, 0));
    let left: Vec<_> = content(&target).into_iter().filter(|one| one.starts_with("gone")).collect();
    assert_eq!(left, ["gone/", "gone/ct/1: 01 02", "gone/vm/2: 01 02"]);
    assert_eq!(kept(&log), [("gone".to_owned(), KeptBecause::OtherOwner)]);
}

#[tokio::test]
async fn fault_6_a_namespace_falls_only_with_groups_that_the_job_may_remove() {
    for (filter, is_foreign, why) in [
        ("exclude:group:vm/2", false, Some(KeptBecause::OutsideFilter)),
        ("exclude:group:vm/9", true, Some(KeptBecause::OtherOwner)),
        ("exclude:group:vm/9", false, None),
    ] {
        let (source, target) = with_vanished_namespace().await;
        if is_foreign {
            give_away(&target, "gone", "vm/2");
        }
        let options = SyncOptions { group_filter: vec![filter.parse().unwrap()], ..removing() };
        let (report, log) = run(options, &source, &target, Unrestricted).await;
        let left: Vec<_> = content(&target).into_iter().filter(|one| one.starts_with("gone")).collect();
        match why {
            Some(why) => {
                assert_eq!(removed(&report.unwrap()), (4, 2, 0));
                assert_eq!(left, ["gone/", "gone/vm/2: 01 02"]);
                assert_eq!(kept(&log), [("gone".to_owned(), why)]);
            }
            None => {
                assert_eq!(removed(&report.unwrap()), (6, 3, 1));
                assert!(left.is_empty() && kept(&log).is_empty());
            }
        }
    }
}

#[tokio::test]
async fn scenario_70_vanished_namespaces_go_children_first_and_only_within_the_scope() {
    let (source, target) = synced().await;
    for other in ["x", "x/gone", "x/gone/child", "x/deep", "x/deep/2", "x/deep/2/3", "beside"] {
        add_empty_namespace(&target, other);
    }
    let job = SyncOptions { source_anchor: ns("a"), target_anchor: ns("x"), max_depth: Some(2), ..removing() };
    // A group of the job's owner in each of them.
    let filler = Arc::new(MemorySource::new());
    for other in ["gone", "gone/child", "deep", "deep/2", "deep/2/3"] {
        filler.add_namespace(other);
        add(&filler, other, "vm/5", &[0]);
    }
    let fill = SyncOptions { target_anchor: ns("x"), remove_vanished: false, ..removing() };
    sync(fill, &filler, &target).await.0.unwrap();
    let (report, log) = run(job, &source, &target, Unrestricted).await;
    assert_eq!(removed(&report.unwrap()), (2, 2, 2));
    let gone = log.texts().into_iter().filter(|line| line.starts_with("Removed namespace")).collect::<Vec<_>>();
    assert_eq!(gone, ["Removed namespace x/gone/child", "Removed namespace x/gone"]);
    let left = content(&target);
    for one in ["beside/", "a/b/", "x/deep/vm/5: 01", "x/deep/2/vm/5: 01", "x/deep/2/3/vm/5: 01", "x/b/vm/3: 01 02"] {
        assert!(left.contains(&one.to_owned()), "{one} {left:?}");
    }
    let above = |name: &str| (name.to_owned(), KeptBecause::Planned(NamespaceKeep::AboveDepth));
    assert_eq!(kept(&log), [above("x/deep/2"), above("x/deep")]);
    assert_lines(
        &log.texts(),
        &["Did not remove namespace x/deep/2 - a namespace below it is deeper than the job reaches"],
    );
}

#[tokio::test]
async fn no_namespace_goes_with_depth_0_or_without_namespaces_on_the_source() {
    let (source, target) = synced().await;
    let before = content(&target);
    drop_namespace(&source, "a/b");
    drop_namespace(&source, "a");
    let options = SyncOptions { max_depth: Some(0), ..removing() };
    assert_eq!(removed(&run(options, &source, &target, Unrestricted).await.0.unwrap()), (0, 0, 0));
    let old = Arc::new(MemorySource { has_no_namespaces: true, ..MemorySource::new() });
    add(&old, "", "vm/1", &[0, 1, 2]);
    add(&old, "", "ct/7", &[0]);
    let (result, _) = run(removing(), &old, &target, Unrestricted).await;
    assert!(matches!(result, Err(SyncError::SomeFailed(report)) if removed(&report) == (0, 0, 0)));
    assert_eq!(content(&target), before);
}

/// Rights without those on some namespaces.
struct Without {
    modify: &'static str,
    see: &'static str,
}

impl OwnerRights for Without {
    fn may_backup(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }

    fn may_modify(&self, namespace: &Namespace) -> Result<(), OwnerDenied> {
        if *namespace != ns(self.modify) {
            return Ok(());
        }
        Err(OwnerDenied { missing: "Datastore.Modify".into(), path: format!("/datastore/dst/{namespace}") })
    }

    fn may_see(&self, namespace: &Namespace) -> bool {
        *namespace != ns(self.see)
    }
}

#[tokio::test]
async fn without_modify_on_the_parent_a_namespace_stays_whole_and_the_job_fails() {
    let (source, target) = synced().await;
    let before = content(&target);
    drop_namespace(&source, "a/b");
    let (result, log) = run(removing(), &source, &target, Without { modify: "a", see: "none" }).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!((removed(&report), report.failures.count), ((0, 0, 0), 1));
    assert_eq!(content(&target), before);
    let line = "removing namespace a/b not allowed - permission check failed - missing Datastore.Modify on \
                /datastore/dst/a";
    assert_lines(&log.texts(), &[line]);
}

#[tokio::test]
async fn a_namespace_that_the_owner_may_not_see_stays_silently_and_keeps_its_parents() {
    let (source, target) = synced().await;
    let before = content(&target);
    drop_namespace(&source, "a/b");
    drop_namespace(&source, "a");
    let (report, log) = run(removing(), &source, &target, Without { modify: "none", see: "a/b" }).await;
    assert_eq!(removed(&report.unwrap()), (0, 0, 0));
    assert_eq!(content(&target), before);
    assert!(!log.texts().iter().any(|line| line.contains("a/b")));
}

#[tokio::test]
async fn a_busy_snapshot_fails_its_group_and_only_that() {
    let (source, target) = synced().await;
    let time = |text: &str| snapshot(&format!("vm/1/{text}")).time;
    let busy = |at: &str, name: &str, day| {
        let mut groups = target.groups.lock().unwrap();
        groups.get_mut(&(at.to_owned(), group(name))).unwrap().busy.insert(time(day));
    };
    busy("", "vm/1", DAY[0]);
    busy("a", "vm/2", DAY[0]);
    add(&source, "a", "vm/4", &[0]);
    sync(SyncOptions { remove_vanished: false, ..removing() }, &source, &target).await.0.unwrap();
    source.remove("", &format!("vm/1/{}", DAY[0]));
    source.remove("", &format!("vm/1/{}", DAY[1]));
    for name in ["vm/2", "vm/4"] {
        drop_group(&source, "a", name);
    }
    let (result, log) = run(removing(), &source, &target, Unrestricted).await;
    let Err(SyncError::SomeFailed(report)) = result else { panic!("{result:?}") };
    assert_eq!((removed(&report), report.failures.count), ((2, 1, 0), 2));
    assert_eq!(content(&target), ["a/", "a/b/", "a/b/vm/3: 01 02", "a/vm/2: 01", "ct/7: 01", "vm/1: 01 03"]);
    assert_lines(
        &log.texts(),
        &[
            "[vm/1]: sync group vm/1 failed - snapshot 2026-01-01T10:00:00Z is locked",
            "failed to remove vanished group 'vm/2' - snapshot 2026-01-01T10:00:00Z is locked",
            "Delete vanished group 'vm/4'",
        ],
    );
}

#[tokio::test]
async fn a_group_with_a_failed_snapshot_keeps_what_vanished() {
    let (source, target) = synced().await;
    source.remove("", &format!("vm/1/{}", DAY[0]));
    source.add("", "vm/1/2026-01-04T10:00:00Z", &[]);
    source.edit("", "vm/1/2026-01-04T10:00:00Z", |files| {
        files.insert("index.json.blob".into(), bytes::Bytes::from_static(b"damaged"));
    });
    let state = tempfile::tempdir().unwrap();
    for state_dir in [None, Some(state.path().to_owned())] {
        let options = SyncOptions { state_dir, ..removing() };
        let (result, _) = run(options, &source, &target, Unrestricted).await;
        assert!(matches!(result, Err(SyncError::SomeFailed(report)) if removed(&report) == (0, 0, 0)));
        assert!(content(&target).contains(&"vm/1: 01 02 03".to_owned()));
    }
}

#[tokio::test]
async fn an_unfinished_copy_goes_when_its_snapshot_is_gone_and_an_emptied_group_stays() {
    let (source, target) = synced().await;
    target.edit("", &format!("vm/1/{}", DAY[1]), |files| {
        files.remove("index.json.blob");
    });
    source.remove("", &format!("vm/1/{}", DAY[1]));
    source.remove("", &format!("ct/7/{}", DAY[0]));
    let (report, _) = run(removing(), &source, &target, Unrestricted).await;
    assert_eq!(removed(&report.unwrap()), (2, 0, 0));
    let left = content(&target);
    assert!(left.contains(&"ct/7: ".to_owned()) && left.contains(&"vm/1: 01 03".to_owned()), "{left:?}");
}

#[tokio::test]
async fn a_cancelled_run_removes_nothing_more_and_leaves_no_lock() {
    for stop_at in ["[vm/1]: delete vanished snapshot", "Delete vanished group 'ct/7'", "removing groups in namespace"]
    {
        let (source, target) = synced().await;
        for day in [0, 1] {
            source.remove("", &format!("vm/1/{}", DAY[day]));
        }
        drop_group(&source, "", "ct/7");
        drop_namespace(&source, "a/b");
        drop_namespace(&source, "a");
        let (cancel, log) = (CancellationToken::new(), Log::new(1));
        let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
        let events = {
            let (cancel, log, seen) = (cancel.clone(), log.clone(), Mutex::new(0));
            move |event: &SyncEvent| {
                farhold_sync::EventSink::event(&*log, event);
                let texts = log.texts();
                let from = std::mem::replace(&mut *seen.lock().unwrap(), texts.len());
                if texts[from..].iter().any(|line| line.starts_with(stop_at)) {
                    cancel.cancel();
                }
            }
        };
        let result = farhold_sync::run(removing(), from, to, Arc::new(Unrestricted), Arc::new(events), cancel).await;
        assert!(matches!(result, Err(SyncError::Cancelled)), "{stop_at}: {result:?}");
        assert!(target.groups.lock().unwrap().values().all(|dir| !dir.is_locked));
        let is_removal = |line: &&String| line.to_lowercase().contains("delete vanished") || line.contains("emov");
        let texts = log.texts();
        let last = texts.iter().rfind(is_removal).unwrap();
        assert!(last.starts_with(stop_at), "{stop_at}: {last}");
        let (report, _) = sync(removing(), &source, &target).await;
        report.unwrap();
        assert_eq!(content(&target), ["vm/1: 03"], "the next run does the rest");
    }
}

#[tokio::test]
async fn several_workers_remove_the_same_as_one() {
    let mut results = BTreeSet::new();
    for workers in [1, 2, 8] {
        let (source, target) = synced().await;
        for i in 0..20 {
            let name = format!("n{i:02}");
            source.add_namespace(&name);
            for id in 1..4 {
                add(&source, &name, &format!("vm/{id}"), &[0, 1]);
            }
        }
        sync(removing(), &source, &target).await.0.unwrap();
        for i in 0..20 {
            let name = format!("n{i:02}");
            match i % 4 {
                0 => drop_namespace(&source, &name),
                1 => drop_group(&source, &name, "vm/2"),
                2 => (1..4).for_each(|id| drop_group(&source, &name, &format!("vm/{id}"))),
                _ => source.remove(&name, &format!("vm/3/{}", DAY[0])),
            }
        }
        let (report, log) =
            run(SyncOptions { worker_threads: workers, ..removing() }, &source, &target, Unrestricted).await;
        assert_eq!(removed(&report.unwrap()), (5 * 6 + 5 * 2 + 5 * 6 + 5, 5 * 3 + 5 + 5 * 3, 5));
        // Lines of a namespace come before its end, and the end of all before the first namespace goes.
        let texts = log.texts();
        let at = |text: &str| texts.iter().position(|line| line.starts_with(text)).unwrap();
        assert!(at("Finished syncing namespace n19,") < at("removing groups in namespace"));
        results.insert(content(&target));
    }
    assert_eq!(results.len(), 1);
}
