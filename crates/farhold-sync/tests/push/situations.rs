//! Owners, unfinished and newer snapshots, namespaces, versions: scenarios 78 to 83 of `docs/spec/sync.md`, annex B, and
//! the faults of annex C.1 that a push must not have.

use std::sync::Arc;

use farhold_sync::{OwnerDenied, PushRights, SyncError, SyncOptions, Unrestricted};
use farhold_types::{CLIENT_LOG_NAME, Namespace};
use tokio_util::sync::CancellationToken;

use crate::support::remote::{MemoryRemote, Pushed, push, push_options, push_with};
use crate::support::{Content, Files, MemorySource, encode, ns};

const OURS: &str = "sync@pbs!t1";

fn source_of(snapshots: &[(&str, &str)]) -> Arc<MemorySource> {
    let source = MemorySource::new();
    for (at, what) in snapshots {
        let known = source.namespaces.lock().unwrap().contains(&ns(at));
        if !known {
            source.add_namespace(at);
        }
        source.add(at, what, &[("c.blob", Content::Blob(b"c"))]);
    }
    Arc::new(source)
}

fn removing() -> SyncOptions {
    SyncOptions { remove_vanished: true, ..push_options() }
}

async fn push_as(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    remote: &Arc<MemoryRemote>,
    rights: Rights,
) -> Pushed {
    push_with(options, source, remote, rights, CancellationToken::new()).await
}

/// Rights of an owner who lacks some.
#[derive(Clone, Copy, Default)]
struct Rights {
    no_backup: Option<&'static str>,
    no_prune: bool,
    no_modify: bool,
}

impl PushRights for Rights {
    fn may_backup(&self, at: &Namespace) -> Result<(), OwnerDenied> {
        denied_if(self.no_backup.is_some_and(|denied| ns(denied) == *at), "Remote.DatastoreBackup", at)
    }

    fn may_prune(&self, at: &Namespace) -> Result<(), OwnerDenied> {
        denied_if(self.no_prune, "Remote.DatastorePrune", at)
    }

    fn may_modify(&self, at: &Namespace) -> Result<(), OwnerDenied> {
        denied_if(self.no_modify, "Remote.DatastoreModify", at)
    }
}

fn denied_if(is_denied: bool, missing: &str, at: &Namespace) -> Result<(), OwnerDenied> {
    let denied = || OwnerDenied { missing: missing.to_owned(), path: format!("/remote/rsrc/src2/{at}") };
    if is_denied { Err(denied()) } else { Ok(()) }
}

#[tokio::test]
async fn scenario_78_a_group_of_somebody_else_is_skipped_with_a_warning() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("", "vm/2/2026-01-01T10:00:00Z")]);
    for owner in ["other@pbs", "sync@pbs", "sync@pbs!t2"] {
        let remote = MemoryRemote::new();
        remote.put_finished("", "vm/1/2025-12-31T10:00:00Z", owner);
        let pushed = push(removing(), &source, &remote).await;
        assert!(pushed.result.is_ok());
        assert_eq!(remote.finished(), [":vm/1/2025-12-31T10:00:00Z", ":vm/2/2026-01-01T10:00:00Z"], "{owner}");
        assert!(pushed.has_line("Group 'vm/1' not owned by remote user 'sync@pbs!t1' on target, skipping upload"));
    }
}

#[tokio::test]
async fn scenario_79_what_is_older_than_the_newest_of_the_target_is_skipped() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("", "vm/1/2026-01-03T10:00:00Z")]);
    let remote = MemoryRemote::new();
    remote.put_finished("", "vm/1/2026-01-02T10:00:00Z", OURS);
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_eq!(remote.finished(), [":vm/1/2026-01-02T10:00:00Z", ":vm/1/2026-01-03T10:00:00Z"]);
}

#[tokio::test]
async fn fault_11_an_unfinished_directory_hides_nothing_and_makes_room() {
    let (first, second) = ("vm/1/2026-01-01T10:00:00Z", "vm/1/2026-01-02T10:00:00Z");
    let source = source_of(&[("", first), ("", second)]);
    for left in [first, second, "vm/1/2026-02-01T10:00:00Z"] {
        for other_groups in [0, 5] {
            let remote = MemoryRemote::new();
            for n in 0..other_groups {
                remote.put_finished("", &format!("ct/{n}/2026-01-01T10:00:00Z"), OURS);
            }
            remote.put("", left, OURS, Files::from([("c.blob".to_owned(), encode(b"c"))]));
            let pushed = push(push_options(), &source, &remote).await;
            assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
            assert!(remote.finished().ends_with(&[format!(":{first}"), format!(":{second}")]), "{left}");
            let is_in_the_way = left != "vm/1/2026-02-01T10:00:00Z";
            assert_eq!(pushed.has_line("removed an unfinished snapshot of that time from remote"), is_in_the_way);
            assert_eq!(remote.count("delete snapshot"), usize::from(is_in_the_way));
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_somebody_finished_since_it_was_listed_is_not_removed() {
    let (first, second) = ("vm/1/2026-01-01T10:00:00Z", "vm/1/2026-01-02T10:00:00Z");
    let (source, remote) = (source_of(&[("", first), ("", second)]), MemoryRemote::new());
    remote.put("", second, OURS, Files::new());
    let there = Arc::downgrade(&remote);
    remote.set_fault(move |request, _| {
        if request == "finish" {
            there.upgrade().unwrap().put_finished("", second, OURS);
        }
        None
    });
    let pushed = push(push_options(), &source, &remote).await;
    assert!(matches!(pushed.result, Err(SyncError::SomeFailed(_))), "{:#?}", pushed.texts());
    assert_eq!(remote.count("delete"), 0);
    assert!(remote.manifest("", second).files.is_empty(), "it is still the other one");
}

#[tokio::test]
async fn an_unfinished_directory_stays_without_the_right_to_prune_and_fails_the_group() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("", "vm/2/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    remote.put("", "vm/1/2026-01-01T10:00:00Z", OURS, Files::new());
    let pushed = push_as(push_options(), &source, &remote, Rights { no_prune: true, ..Rights::default() }).await;
    assert!(matches!(pushed.result, Err(SyncError::SomeFailed(_))));
    assert_eq!((remote.finished().len(), remote.count("delete")), (1, 0));
    assert!(pushed.has_line("Remote.DatastorePrune"));
}

#[tokio::test]
async fn a_directory_whose_manifest_cannot_be_read_is_not_removed() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    let damaged = Files::from([("index.json.blob".to_owned(), b"damaged".as_slice().into())]);
    remote.put("", "vm/1/2026-01-01T10:00:00Z", OURS, damaged);
    push(push_options(), &source, &remote).await.result.unwrap();
    assert_eq!((remote.count("delete"), remote.count("open")), (0, 0));
}

#[tokio::test]
async fn scenario_82_missing_namespaces_are_created_from_the_top() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("a/b", "vm/2/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    let options = SyncOptions { target_anchor: ns("top"), ..push_options() };
    push(options.clone(), &source, &remote).await.result.unwrap();
    assert_eq!(remote.finished(), ["top:vm/1/2026-01-01T10:00:00Z", "top/a/b:vm/2/2026-01-01T10:00:00Z"]);
    let created: Vec<_> = remote.take_requests().into_iter().filter(|request| request.starts_with("create")).collect();
    assert_eq!(created, ["create namespace top", "create namespace top/a", "create namespace top/a/b"]);
    // Without the right nothing is created, and what exists goes on.
    let remote = MemoryRemote::new();
    remote.put_finished("top", "ct/1/2026-01-01T10:00:00Z", OURS);
    let pushed = push_as(options, &source, &remote, Rights { no_modify: true, ..Rights::default() }).await;
    assert!(pushed.result.is_err() && remote.count("create") == 0);
    assert_eq!(remote.finished(), ["top:ct/1/2026-01-01T10:00:00Z", "top:vm/1/2026-01-01T10:00:00Z"]);
    assert!(
        pushed.has_line("Failed to sync datastore 'dst', namespace 'a/b' into datastore 'src2', namespace 'top/a/b'!")
    );
}

#[tokio::test]
async fn a_namespace_without_the_right_to_back_up_fails_and_the_others_go_on() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("a", "vm/2/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    let rights = Rights { no_backup: Some(""), ..Rights::default() };
    let pushed = push_as(push_options(), &source, &remote, rights).await;
    assert!(pushed.result.is_err());
    assert_eq!(remote.finished(), ["a:vm/2/2026-01-01T10:00:00Z"]);
}

#[tokio::test]
async fn scenario_83_old_targets_are_refused_or_delete_without_statistics() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z")]);
    for (version, release, is_taken) in [("2.1", "9", false), ("2.2", "0", true), ("4.2", "x", false)] {
        let remote = MemoryRemote::new();
        remote.set_version(version, release);
        let pushed = push(push_options(), &source, &remote).await;
        assert_eq!(pushed.result.is_ok(), is_taken, "{version}.{release}");
        assert_eq!(remote.finished().len(), usize::from(is_taken));
        assert!(is_taken || remote.take_requests() == ["version"]);
    }
    let remote = MemoryRemote::new();
    remote.set_version("3.1", "5");
    remote.put_finished("", "vm/8/2026-01-01T10:00:00Z", OURS);
    remote.put_finished("", "vm/9/2026-01-01T10:00:00Z", OURS);
    remote.protect("", "vm/8/2026-01-01T10:00:00Z");
    let pushed = push(removing(), &source, &remote).await;
    // A group with something protected makes the call fail, and so the job.
    assert!(pushed.result.is_err());
    assert_eq!(remote.finished(), [":vm/1/2026-01-01T10:00:00Z", ":vm/8/2026-01-01T10:00:00Z"]);
    assert!(pushed.has_line("Older api version on remote detected, deletion statistics might be incomplete"));
    assert_eq!(pushed.report().removed.unwrap().groups, 1);
}

#[tokio::test]
async fn scenario_81_what_vanished_is_removed_and_protected_things_stay() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    for (at, what, owner) in [
        ("", "vm/1/2025-12-27T10:00:00Z", OURS),
        ("", "vm/1/2025-12-30T10:00:00Z", OURS),
        ("", "vm/8/2026-01-01T10:00:00Z", OURS),
        ("", "vm/9/2026-01-01T10:00:00Z", "other@pbs"),
        ("", "vm/10/2026-01-01T10:00:00Z", OURS),
        ("", "vm/10/2026-01-02T10:00:00Z", OURS),
        ("gone", "ct/1/2026-01-01T10:00:00Z", OURS),
        ("gone/deep", "ct/1/2026-01-01T10:00:00Z", OURS),
        ("kept", "ct/1/2026-01-01T10:00:00Z", OURS),
        ("kept", "ct/2/2026-01-01T10:00:00Z", "other@pbs"),
    ] {
        remote.put_finished(at, what, owner);
    }
    remote.put("", "vm/1/2025-12-28T10:00:00Z", OURS, Files::new());
    remote.protect("", "vm/1/2025-12-30T10:00:00Z");
    remote.protect("", "vm/10/2026-01-02T10:00:00Z");
    let pushed = push(removing(), &source, &remote).await;
    let removed = pushed.report().removed.unwrap();
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_eq!(
        remote.finished(),
        [
            ":vm/1/2025-12-30T10:00:00Z",
            ":vm/1/2026-01-01T10:00:00Z",
            ":vm/9/2026-01-01T10:00:00Z",
            ":vm/10/2026-01-02T10:00:00Z",
            "kept:ct/2/2026-01-01T10:00:00Z",
        ]
    );
    let namespaces: Vec<_> = remote.state().namespaces.iter().map(Namespace::to_string).collect();
    assert_eq!(namespaces, ["", "kept"]);
    // Two of vm/1, one each of vm/8, vm/10, gone, gone/deep, kept; vm/8 and three groups of namespaces.
    assert_eq!((removed.snapshots, removed.groups, removed.namespaces), (7, 4, 2));
    assert!(pushed.has_line("[vm/1]: Kept protected snapshot vm/1/2025-12-30T10:00:00Z on remote"));
    assert!(pushed.has_line("Kept 1 protected snapshots of group vm/10 on remote"));
    assert!(pushed.has_line("Did not remove namespace kept - groups of other owners remain"));
}

#[tokio::test]
async fn fault_15_what_could_not_be_removed_is_not_counted_and_fails_the_job() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    remote.put_finished("", "vm/1/2025-12-27T10:00:00Z", OURS);
    remote.put_finished("", "vm/8/2026-01-01T10:00:00Z", OURS);
    remote.put_finished("gone", "ct/1/2026-01-01T10:00:00Z", OURS);
    let rights = Rights { no_prune: true, no_modify: true, ..Rights::default() };
    let pushed = push_as(removing(), &source, &remote, rights).await;
    let report = pushed.report();
    assert!(pushed.result.is_err());
    assert_eq!((report.failures.count, report.removed.unwrap_or_default()), (3, Default::default()));
    assert_eq!((remote.count("delete"), remote.finished().len()), (0, 4));
    for line in [
        "[vm/1]: Failed to remove vanished snapshot vm/1/2025-12-27T10:00:00Z from remote!",
        "Failed to remove vanished group vm/8 from remote!",
        "Failed to remove vanished namespace gone from remote!",
    ] {
        assert!(pushed.texts().contains(&line.to_owned()), "{:#?}", pushed.texts());
    }
}

#[tokio::test]
async fn fault_3_a_namespace_that_is_hidden_from_the_owner_has_not_vanished() {
    let source = source_of(&[("top", "vm/1/2026-01-01T10:00:00Z"), ("top/child", "vm/2/2026-01-01T10:00:00Z")]);
    source.hidden.lock().unwrap().extend([ns("top"), Namespace::root()]);
    let remote = MemoryRemote::new();
    remote.put_finished("top", "vm/1/2026-01-01T10:00:00Z", OURS);
    remote.put_finished("top/gone", "vm/3/2026-01-01T10:00:00Z", OURS);
    let pushed = push(removing(), &source, &remote).await;
    assert!(pushed.result.is_ok(), "{:#?}", pushed.texts());
    assert_eq!(remote.finished(), ["top:vm/1/2026-01-01T10:00:00Z", "top/child:vm/2/2026-01-01T10:00:00Z"]);
    // Who may see nothing removes nothing.
    source.hidden.lock().unwrap().insert(ns("top/child"));
    assert!(push(removing(), &source, &remote).await.result.is_err());
    assert_eq!(remote.finished().len(), 2);
}

#[tokio::test]
async fn groups_that_are_withheld_or_filtered_or_in_progress_have_not_vanished() {
    let source = source_of(&[("", "vm/1/2026-01-01T10:00:00Z"), ("", "vm/2/2026-01-01T10:00:00Z")]);
    let remote = MemoryRemote::new();
    push(push_options(), &source, &remote).await.result.unwrap();
    remote.put_finished("", "ct/7/2026-01-01T10:00:00Z", OURS);
    source.withheld.lock().unwrap().insert((String::new(), "vm/2".parse().unwrap()));
    source.edit("", "vm/1/2026-01-01T10:00:00Z", |files| drop(files.remove("index.json.blob")));
    let options = SyncOptions { group_filter: vec!["type:vm".parse().unwrap()], ..removing() };
    push(options, &source, &remote).await.result.unwrap();
    assert_eq!(remote.finished().len(), 3);
    source.unreadable.lock().unwrap().insert("groups ".to_owned());
    source.remove("", "vm/1/2026-01-01T10:00:00Z");
    let pushed = push(removing(), &source, &remote).await;
    assert!(pushed.has_line("not removing vanished groups of root namespace"));
    assert!(remote.finished().contains(&":ct/7/2026-01-01T10:00:00Z".to_owned()));
}

#[tokio::test]
async fn scenario_80_two_jobs_with_accounts_of_their_own_do_not_meet() {
    let (one, two) = (source_of(&[("", "vm/1/2026-01-01T10:00:00Z")]), source_of(&[("", "vm/2/2026-01-01T10:00:00Z")]));
    let remote = MemoryRemote::new();
    push(removing(), &one, &remote).await.result.unwrap();
    push(removing(), &two, &remote).await.result.unwrap();
    assert_eq!(remote.finished(), [":vm/2/2026-01-01T10:00:00Z"], "one account: each removes the other's groups");
    let other = remote.as_account("other@pbs!t1");
    push(removing(), &one, &other).await.result.unwrap();
    assert_eq!(other.finished(), [":vm/1/2026-01-01T10:00:00Z", ":vm/2/2026-01-01T10:00:00Z"]);
}

#[tokio::test]
async fn notes_and_a_late_log_follow_to_the_newest_common_snapshot_and_cost_nothing_when_nothing_changed() {
    let what = "vm/1/2026-01-01T10:00:00Z";
    let source = source_of(&[("", what), ("", "vm/1/2025-12-31T10:00:00Z")]);
    let remote = MemoryRemote::new();
    push(push_options(), &source, &remote).await.result.unwrap();
    for at in [what, "vm/1/2025-12-31T10:00:00Z"] {
        source.edit_manifest("", at, |manifest| manifest.set_notes("new\nnotes"));
        source.edit("", at, |files| drop(files.insert(CLIENT_LOG_NAME.into(), encode(b"log"))));
    }
    let pushed = push(push_options(), &source, &remote).await;
    assert!(pushed.result.is_ok() && pushed.has_line("changed the notes on remote"));
    assert_eq!(remote.manifest("", what).notes(), Some("new\nnotes"));
    assert_eq!(remote.files("", what)[CLIENT_LOG_NAME], encode(b"log"));
    assert_eq!((remote.count("set notes"), remote.count("upload log")), (1, 1), "older ones are left alone");
    remote.take_requests();
    let pushed = push_with(push_options(), &source, &remote, Unrestricted, CancellationToken::new()).await;
    assert!(pushed.result.is_ok());
    assert_eq!(remote.take_requests(), ["version", "namespaces", "groups ", "snapshots  vm/1"]);
}
