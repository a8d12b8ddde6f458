//! Scenarios 13 to 19: which options and combinations a job can have. And the order in which they are checked.

use farhold_format::task_log::TaskStatus;
use farhold_types::Role;
use serde_json::{Value, json};

use crate::desk::{Desk, ROOT, USER, remote_job, with};

const SYNC: &str = "/config/sync";
const JOB: &str = "/config/sync/pbs2-local";

#[tokio::test]
async fn scenario_13_a_local_job_needs_two_stores() {
    let desk = Desk::new();
    for store in ["src", "dst"] {
        desk.server.add_datastore_without_chunks(store);
    }
    let same = json!({"id": "loop", "store": "dst", "remote-store": "dst"});
    desk.post(ROOT, SYNC, same.clone()).await.refused(400, &["different datastores"]);
    let spaces = with(same, json!({"ns": "a", "remote-ns": "b"}));
    desk.post(ROOT, SYNC, spaces).await.refused(400, &["different datastores"]);
    desk.create_job(ROOT, with(remote_job(), json!({"id": "same-names"}))).await;

    desk.create_job(ROOT, json!({"id": "nightly", "store": "dst", "remote-store": "src"})).await;
    let upid = desk.post(ROOT, "/admin/sync/nightly/run", json!({})).await.data();
    let upid = upid.as_str().unwrap();
    assert!(upid.contains(":syncjob:") && upid.contains(r"\x2d\x3asrc\x3adst\x3a\x3anightly"), "{upid}");
    assert_eq!(desk.server.ended(upid).await, TaskStatus::Ok);
    let log = desk.get(ROOT, &format!("/nodes/localhost/tasks/{upid}/log")).await.body;
    assert!(log.contains("sync datastore 'dst' from 'src'"), "{log}");

    // Neither an update nor anything else turns a job into a sync of a store with itself.
    let itself = json!({"remote-store": "dst"});
    desk.put(ROOT, "/config/sync/nightly", itself).await.refused(400, &["different datastores"]);
}

#[tokio::test]
async fn scenario_14_the_depth_counts_from_both_anchors() {
    let desk = Desk::new();
    let with_depth = |id: &str, more: Value| with(remote_job(), with(json!({"id": id}), more));
    for (more, is_accepted) in [
        (json!({"ns": "a", "max-depth": 7}), false),
        (json!({"remote-ns": "a", "max-depth": 7}), false),
        (json!({"ns": "a/b/c", "remote-ns": "a", "max-depth": 5}), false),
        (json!({"ns": "a", "max-depth": 6}), true),
        (json!({"remote-ns": "a", "max-depth": 6}), true),
        (json!({"max-depth": 7}), true),
        (json!({"ns": "a/b/c/d/e/f/g", "remote-ns": "a"}), true),
    ] {
        let answer = desk.post(ROOT, SYNC, with_depth("depth", more.clone())).await;
        if is_accepted {
            answer.data();
            desk.delete(ROOT, "/config/sync/depth").await.data();
        } else {
            answer.refused(400, &["max-depth"]);
        }
    }
    let answer = desk.post(ROOT, SYNC, with_depth("depth", json!({"max-depth": 8}))).await;
    answer.refused(400, &["parameter verification failed", "'max-depth'"]);

    desk.create_job(ROOT, with_depth("depth", json!({"max-depth": 6}))).await;
    desk.put(ROOT, "/config/sync/depth", json!({"ns": "a/b"})).await.refused(400, &["max-depth"]);
    desk.put(ROOT, "/config/sync/depth", json!({"ns": "a/b", "max-depth": 5})).await.data();
    desk.put(ROOT, "/config/sync/depth", json!({"remote-ns": "a/b/c", "delete": ["max-depth"]})).await.data();
}

#[tokio::test]
async fn scenario_15_values_out_of_range_are_refused_by_name() {
    let desk = Desk::new();
    desk.create_job(ROOT, remote_job()).await;
    let before = desk.file("sync.cfg");
    for (name, value) in [
        ("worker-threads", json!(0)),
        ("worker-threads", json!(33)),
        ("transfer-last", json!(0)),
        ("group-filter", json!(["type:foo"])),
        ("group-filter", json!(["regex:("])),
        ("group-filter", json!(["exclude:regex:("])),
        ("group-filter", json!(["group:vm"])),
        ("group-filter", json!(["vm/100"])),
        ("max-depth", json!(-1)),
        ("rate-in", json!("-1")),
        ("rate-in", json!("fast")),
        ("burst-in", json!("1 GiBB")),
        ("comment", json!("two\nlines")),
        ("schedule", json!("every tuesday")),
        ("sync-direction", json!("both")),
        ("ns", json!("../x")),
        ("owner", json!("nobody")),
    ] {
        let asked = with(remote_job(), json!({"id": "other", name: value}));
        let created = desk.post(ROOT, SYNC, asked).await;
        created.refused(400, &[name]);
        desk.put(ROOT, JOB, json!({name: value})).await.refused(400, &[name]);
    }
    assert_eq!(desk.file("sync.cfg"), before);
    for (name, value) in [("worker-threads", json!(1)), ("worker-threads", json!(32)), ("transfer-last", json!(1))] {
        desk.put(ROOT, JOB, json!({name: value})).await.data();
    }
}

#[tokio::test]
async fn scenario_16_options_of_the_other_direction_are_refused() {
    let desk = Desk::new();
    let push = with(remote_job(), json!({"sync-direction": "push"}));
    for flag in [true, false] {
        let asked = with(push.clone(), json!({"resync-corrupt": flag}));
        desk.post(ROOT, SYNC, asked).await.refused(400, &["resync-corrupt"]);
    }
    let keyed = with(remote_job(), json!({"active-encryption-key": "key0"}));
    desk.post(ROOT, SYNC, keyed).await.refused(400, &["encryption key"]);
    let lonely = json!({"id": "push1", "store": "local", "remote-store": "tank", "sync-direction": "push"});
    desk.post(ROOT, SYNC, lonely).await.refused(400, &["permission check failed", "remote"]);
    assert_eq!(desk.file("sync.cfg"), "");

    // The same for what an update would lead to (W38).
    desk.create_job(ROOT, with(remote_job(), json!({"resync-corrupt": true}))).await;
    desk.put(ROOT, JOB, json!({"sync-direction": "push"})).await.refused(400, &["resync-corrupt"]);
    desk.put(ROOT, JOB, json!({"sync-direction": "push", "delete": ["resync-corrupt"]})).await.data();
    desk.put(ROOT, JOB, json!({"resync-corrupt": true})).await.refused(400, &["resync-corrupt"]);
    let lonely = json!({"delete": ["remote"], "remote-store": "tank"});
    desk.put(ROOT, JOB, lonely).await.refused(400, &["permission check failed", "remote"]);
    assert!(desk.file("sync.cfg").contains("sync-direction push"));
}

#[tokio::test]
async fn scenario_17_unmounting_needs_mounting() {
    let desk = Desk::new();
    desk.create_job(ROOT, remote_job()).await;
    let words = ["unmount-on-done", "run-on-mount"];
    desk.put(ROOT, JOB, json!({"unmount-on-done": true})).await.refused(400, &words);
    desk.put(ROOT, JOB, json!({"unmount-on-done": true, "run-on-mount": true})).await.data();
    desk.put(ROOT, JOB, json!({"delete": ["run-on-mount"]})).await.refused(400, &words);
    desk.put(ROOT, JOB, json!({"run-on-mount": false})).await.refused(400, &words);
    desk.put(ROOT, JOB, json!({"delete": ["run-on-mount", "unmount-on-done"]})).await.data();
    let both = json!({"id": "other", "unmount-on-done": true});
    desk.post(ROOT, SYNC, with(remote_job(), both.clone())).await.refused(400, &words);
    desk.create_job(ROOT, with(remote_job(), with(both, json!({"run-on-mount": true})))).await;
}

#[tokio::test]
async fn scenario_18_options_are_removed_by_delete_and_a_comment_by_blanks() {
    let desk = Desk::new();
    desk.create_job(ROOT, with(remote_job(), json!({"comment": "offsite"}))).await;
    let plain = "sync: pbs2-local\n\tremote pbs2\n\tremote-store local\n\tstore local\n";
    let sorted = |desk: &Desk| {
        let file = desk.file("sync.cfg");
        let mut lines: Vec<String> = file.lines().skip(1).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        lines.sort();
        format!("sync: pbs2-local\n{}\n", lines.join("\n"))
    };
    desk.put(ROOT, JOB, json!({"comment": "   "})).await.data();
    assert_eq!(sorted(&desk), plain);
    for (name, value) in [
        ("owner", json!("sync@pbs")),
        ("comment", json!("a comment")),
        ("schedule", json!("Wed 02:30")),
        ("remove-vanished", json!(true)),
        ("group-filter", json!(["type:vm", "exclude:group:vm/100"])),
        ("rate-in", json!("20MiB")),
        ("burst-in", json!("20MiB")),
        ("rate-out", json!("20MiB")),
        ("burst-out", json!("20MiB")),
        ("ns", json!("a/b")),
        ("remote-ns", json!("a/b")),
        ("max-depth", json!(2)),
        ("transfer-last", json!(3)),
        ("encrypted-only", json!(true)),
        ("verified-only", json!(true)),
        ("run-on-mount", json!(true)),
        ("sync-direction", json!("push")),
        ("worker-threads", json!(4)),
        ("resync-corrupt", json!(true)),
    ] {
        desk.put(ROOT, JOB, json!({name: value})).await.data();
        assert!(desk.file("sync.cfg").contains(&format!("\t{name} ")), "{name}");
        assert!(desk.get(ROOT, JOB).await.data().get(name).is_some(), "{name}");
        desk.put(ROOT, JOB, json!({"delete": [name]})).await.data();
        assert_eq!(sorted(&desk), plain, "{name}");
        assert!(desk.get(ROOT, JOB).await.data().get(name).is_none(), "{name}");
    }
    // Those that cannot stand alone.
    desk.put(ROOT, JOB, json!({"run-on-mount": true, "unmount-on-done": true})).await.data();
    desk.put(ROOT, JOB, json!({"delete": ["unmount-on-done"]})).await.data();
    desk.put(ROOT, JOB, json!({"delete": ["run-on-mount"]})).await.data();
    assert_eq!(sorted(&desk), plain);
    desk.put(ROOT, JOB, json!({"remote-store": "tank", "delete": ["remote"]})).await.data();
    assert_eq!(sorted(&desk), "sync: pbs2-local\n\tremote-store tank\n\tstore local\n");
    for name in ["store", "remote-store", "id", "nonsense"] {
        desk.put(ROOT, JOB, json!({"delete": [name]})).await.refused(400, &["delete"]);
    }
    // What is both deleted and set is set.
    desk.put(ROOT, JOB, json!({"delete": ["comment"], "comment": "new"})).await.data();
    assert_eq!(desk.get(ROOT, JOB).await.data()["comment"], "new");
}

#[tokio::test]
async fn scenario_19_lists_show_pull_jobs_unless_asked_otherwise() {
    let desk = Desk::new();
    desk.create_job(ROOT, remote_job()).await;
    desk.create_job(ROOT, with(remote_job(), json!({"id": "push1", "sync-direction": "push"}))).await;
    for path in ["/config/sync", "/admin/sync"] {
        for (direction, expected) in
            [(json!({}), 1), (json!({"sync-direction": "push"}), 1), (json!({"sync-direction": "all"}), 2)]
        {
            let jobs = desk.call(ROOT, "GET", path, direction.clone()).await.data();
            assert_eq!(jobs.as_array().unwrap().len(), expected, "{path} {direction}");
            let is_push = jobs.as_array().unwrap().iter().any(|job| job["id"] == "push1");
            assert_eq!(is_push, direction != json!({}), "{path} {direction}");
        }
    }
    let of_other = json!({"store": "tank", "sync-direction": "all"});
    assert_eq!(desk.call(ROOT, "GET", "/admin/sync", of_other).await.data(), json!([]));
}

/// Each row breaks one rule of 2.3 more than the rows below it can hide: options, and a word of the refusal.
#[tokio::test]
async fn creation_checks_its_rules_in_the_documented_order() {
    let desk = Desk::new();
    desk.create_job(ROOT, json!({"id": "taken", "remote": "pbs2", "store": "local", "remote-store": "local"})).await;
    desk.grant(&[("/datastore/local", Role::DatastoreAdmin)]);
    let local = json!({"store": "local", "remote-store": "local"});
    let remote = with(local.clone(), json!({"remote": "pbs2"}));
    let push = with(remote.clone(), json!({"sync-direction": "push"}));
    let resync = json!({"resync-corrupt": false});
    let active = json!({"active-encryption-key": "none"});
    let deep = json!({"ns": "a", "max-depth": 7});
    let taken = json!({"id": "taken"});
    let unknown_key = json!({"associated-key": ["none"]});
    let cases: &[(&str, &[&Value], &str)] = &[
        // The caller lacks Remote.Read; a push job lacks its remote even for root.
        (USER, &[&remote, &active], "Remote.Read"),
        (USER, &[&remote, &deep, &taken], "Remote.Read"),
        (ROOT, &[&local, &json!({"sync-direction": "push"}), &resync], "needs a remote"),
        (ROOT, &[&local, &active], "different datastores"),
        (ROOT, &[&local, &deep, &taken], "different datastores"),
        (ROOT, &[&push, &resync, &deep], "resync-corrupt"),
        (ROOT, &[&push, &resync, &active], "resync-corrupt"),
        (ROOT, &[&remote, &active, &deep], "active encryption key"),
        (ROOT, &[&remote, &active, &taken], "active encryption key"),
        (ROOT, &[&remote, &deep, &unknown_key], "max-depth"),
        (ROOT, &[&remote, &deep, &taken], "max-depth"),
        (ROOT, &[&remote, &unknown_key, &taken], "'none' cannot be used"),
        (ROOT, &[&push, &active, &taken], "'none' cannot be used"),
        (ROOT, &[&remote, &taken], "'id'"),
    ];
    for (caller, parts, word) in cases {
        let asked = parts.iter().fold(json!({"id": "other"}), |all, part| with(all, (*part).clone()));
        desk.post(caller, SYNC, asked).await.refused(400, &[word]);
    }
}

/// The order of 2.4, with ours first: who may not change the job as it is learns nothing about it.
#[tokio::test]
async fn an_update_checks_its_rules_in_order() {
    let desk = Desk::new();
    desk.create_job(ROOT, remote_job()).await;
    let stale = json!({"digest": "0".repeat(64)});
    let resync = json!({"sync-direction": "push", "resync-corrupt": true});
    let same = json!({"delete": ["remote"]});
    let deep = json!({"ns": "a", "max-depth": 7});
    let key = json!({"associated-key": ["none"]});
    let cases: &[(&str, &[&Value], &str)] = &[
        (ROOT, &[&stale, &resync], "changed"),
        (USER, &[&stale, &deep], "changed"),
        (USER, &[&same, &deep], "permission check failed for 'sync@pbs'"),
        (ROOT, &[&resync, &deep], "resync-corrupt"),
        (ROOT, &[&json!({"unmount-on-done": true}), &key], "run-on-mount"),
        (ROOT, &[&deep, &key], "max-depth"),
        (ROOT, &[&same, &key], "different datastores"),
        (ROOT, &[&key], "'none' cannot be used"),
    ];
    desk.grant(&[("/datastore/tank", Role::DatastoreAdmin)]);
    let before = desk.file("sync.cfg");
    for (caller, parts, word) in cases {
        let asked = parts.iter().fold(json!({}), |all, part| with(all, (*part).clone()));
        desk.put(caller, JOB, asked).await.refused(400, &[word]);
        assert_eq!(desk.file("sync.cfg"), before);
    }
    desk.put(ROOT, "/config/sync/unknown", json!({"comment": "x"})).await.refused(400, &["no such sync job"]);
}
