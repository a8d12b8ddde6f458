//! The dry run says what the run does, and asks for no session.

use std::sync::Arc;

use farhold_sync::{GroupEvent, PlannedAction, RunPlan, SyncEvent, SyncOptions, Unrestricted, explain_push, plan_push};
use farhold_types::{Namespace, SyncDirection};
use tokio_util::sync::CancellationToken;

use crate::support::remote::{MemoryRemote, Remote, push, push_options};
use crate::support::{Content, Files, MemorySource, Shared, snapshot};

const OURS: &str = "sync@pbs!t1";

fn source() -> Arc<MemorySource> {
    let source = MemorySource::new();
    source.add_namespace("a");
    for (at, what) in [
        ("", "vm/1/2026-01-01T10:00:00Z"),
        ("", "vm/1/2026-01-02T10:00:00Z"),
        ("", "vm/1/2026-01-03T10:00:00Z"),
        ("", "vm/2/2026-01-01T10:00:00Z"),
        ("", "vm/3/2026-01-01T10:00:00Z"),
        ("a", "ct/1/2026-01-01T10:00:00Z"),
    ] {
        source.add(at, what, &[("c.blob", Content::Blob(b"c"))]);
    }
    Arc::new(source)
}

fn remote() -> Arc<MemoryRemote> {
    let remote = MemoryRemote::new();
    remote.put_finished("", "vm/1/2026-01-01T10:00:00Z", OURS);
    remote.put_finished("", "vm/1/2025-12-01T10:00:00Z", OURS);
    remote.put("", "vm/1/2026-01-02T10:00:00Z", OURS, Files::new());
    remote.put_finished("", "vm/2/2025-01-01T10:00:00Z", "other@pbs");
    remote.put_finished("", "vm/9/2025-01-01T10:00:00Z", OURS);
    remote.put_finished("gone", "vm/9/2025-01-01T10:00:00Z", OURS);
    remote.put_finished("kept", "vm/9/2025-01-01T10:00:00Z", "other@pbs");
    remote
}

fn options() -> SyncOptions {
    SyncOptions { remove_vanished: true, ..push_options() }
}

async fn plan(source: &Arc<MemorySource>, remote: &Arc<MemoryRemote>) -> RunPlan {
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(Remote(remote.clone())));
    plan_push(options(), from, to, Arc::new(Unrestricted), CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn a_dry_run_names_what_the_run_then_does_and_changes_nothing() {
    let (source, remote) = (source(), remote());
    let before = remote.finished();
    let plan = plan(&source, &remote).await;
    assert_eq!(plan.direction, SyncDirection::Push);
    let asked = remote.take_requests();
    assert!(
        !asked.iter().any(|word| ["open", "delete", "create", "set", "upload"].iter().any(|w| word.starts_with(w)))
    );
    assert_eq!(remote.finished(), before);
    let mut planned: Vec<String> = Vec::new();
    for ns in &plan.namespaces {
        for group in &ns.groups {
            let taken = group.snapshots.iter().filter(|snapshot| snapshot.action == PlannedAction::Transfer);
            planned.extend(taken.map(|snapshot| group.group.at(snapshot.time).to_string()));
        }
    }
    let removed: Vec<String> = plan.namespaces[0].groups[0].removals.iter().map(|r| r.time.to_string()).collect();
    assert_eq!(removed, ["2025-12-01T10:00:00Z"]);
    assert_eq!(plan.namespaces[0].removed_groups.len(), 1);
    let kept: Vec<_> = plan.removed_namespaces.iter().map(|ns| (ns.namespace.to_string(), ns.kept.is_some())).collect();
    assert_eq!(kept, [("gone".to_owned(), false), ("kept".to_owned(), true)]);
    assert!(plan.namespaces[0].groups[1].failure.as_ref().unwrap().contains("does not belong to"));
    assert!(plan.namespaces[1].is_missing_on_target);
    let pushed = push(options(), &source, &remote).await;
    let started = pushed.events.iter().filter_map(|event| match event {
        SyncEvent::Group { group, event: GroupEvent::SnapshotDone(time), .. } => Some(group.at(*time).to_string()),
        _ => None,
    });
    assert_eq!(started.collect::<Vec<_>>(), planned);
    assert_eq!(plan.snapshots_to_fetch, planned.len());
    let removed = pushed.report().removed.unwrap();
    assert_eq!((removed.snapshots, removed.groups, removed.namespaces), (3, 2, 1));
}

#[tokio::test]
async fn the_first_rule_that_decides_is_explained() {
    let (source, remote) = (source(), remote());
    source.hidden.lock().unwrap().insert("a".parse().unwrap());
    for (at, what, action, words) in [
        ("", "vm/1/2026-01-01T10:00:00Z", PlannedAction::Skip, "the target has it"),
        ("", "vm/1/2026-01-02T10:00:00Z", PlannedAction::Transfer, "newer than every finished snapshot"),
        ("", "vm/3/2026-01-01T10:00:00Z", PlannedAction::Transfer, "no finished snapshot of this group"),
        ("", "vm/2/2026-01-01T10:00:00Z", PlannedAction::Skip, "does not belong to"),
        ("", "vm/1/2025-12-01T10:00:00Z", PlannedAction::Skip, "is removed"),
        ("", "vm/1/2024-12-01T10:00:00Z", PlannedAction::Skip, "neither the source nor the target"),
        ("a", "ct/1/2026-01-01T10:00:00Z", PlannedAction::Skip, "hidden from the owner"),
        ("b", "ct/1/2026-01-01T10:00:00Z", PlannedAction::Skip, "the source lists no namespace 'b'"),
    ] {
        let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(Remote(remote.clone())));
        let (ns, snapshot): (Namespace, _) = (at.parse().unwrap(), snapshot(what));
        let (rights, cancel) = (Arc::new(Unrestricted), CancellationToken::new());
        let found = explain_push(options(), from, to, rights, &ns, &snapshot, cancel).await.unwrap();
        assert!(found.action == action && found.reason.contains(words), "{what}: {found:?}");
    }
}
