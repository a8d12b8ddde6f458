//! Whole pushes in the situations of recorded task logs, compared with them line by line.
//!
//! Source: `tests/golden/task-logs/README.md`, `docs/spec/sync.md` 14.

use farhold_datastore::Datastore;
use farhold_types::{Authid, Namespace, Role};

use crate::content::unpack_golden;
use crate::pair::nothing;
use crate::push::add_small;
use crate::push_pair::{ACCOUNT, PushPair};
use crate::recordings::{assert_lines, by_namespace, masked, recorded};

const DAY: &str = "2026-01-01T10:00:00Z";

/// Whoever owns jobs with few rights.
const OPERATOR: &str = "op@pbs";

/// How a run with failures ends; ours names them, too.
const FAILED: (&str, Option<&str>) =
    ("TASK ERROR: Sync failed with some errors!", Some("TASK ERROR: sync failed with some errors. ("));

/// Returns a recorded log with the names of our servers. `job`: the recorded worker id.
fn renamed(name: &str, job: &str) -> Vec<String> {
    let parts: Vec<&str> = job.split(':').collect();
    let [remote, target, source, ..] = parts[..] else { panic!("no worker id: {job}") };
    let names = [
        (format!("'{job}'"), "'pbs2:tank:local::push'"),
        (format!("'{remote}/{target}'"), "'pbs2/tank'"),
        (format!("/remote/{remote}/{target}"), "/remote/pbs2/tank"),
        (format!("datastore '{target}'"), "datastore 'tank'"),
        (format!("datastore '{source}'"), "datastore 'local'"),
        (format!("/datastore/{target}"), "/datastore/tank"),
    ];
    let rename = |line: String| names.iter().fold(line, |line, (theirs, ours)| line.replace(theirs, ours));
    recorded(name).into_iter().map(rename).collect()
}

#[track_caller]
fn assert_log(log: &str, name: &str, job: &str, instead: &[(&str, Option<&str>)]) {
    assert_lines(log, name, renamed(name, job), instead);
}

fn add_group(store: &Datastore, group: &str) {
    add_small(store, "", &format!("{group}/{DAY}"), "root@pam");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_store_is_pushed_with_the_recorded_log() {
    let pair = PushPair::new(nothing).await;
    std::fs::remove_dir_all(pair.near_store()).unwrap();
    unpack_golden(&pair.near_store());
    let log = pair.push().await.ok();
    let ours = by_namespace(log.lines().map(masked).collect());
    let theirs = by_namespace(renamed("push-plain", "beta:plainpush:golden::golden-plainpush"));
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn situations_of_groups_give_the_recorded_log() {
    let pair = PushPair::new(|store| {
        for group in ["vm/1", "vm/2", "vm/3", "vm/4", "vm/5", "vm/7"] {
            add_group(store, group);
        }
        drop(store.create_group(&Namespace::root(), &"vm/6".parse().unwrap(), &Authid::root()).unwrap());
    })
    .await;
    std::fs::create_dir(pair.near_store().join("vm/3/2026-01-02T10:00:00Z")).unwrap();
    let far = pair.far.store("tank");
    add_small(&far, "", &format!("vm/1/{DAY}"), "other@pbs");
    add_small(&far, "", &format!("vm/2/{DAY}"), "sync@pbs");
    add_small(&far, "", &format!("vm/4/{DAY}"), ACCOUNT);
    add_small(&far, "", "vm/5/2026-01-05T10:00:00Z", ACCOUNT);
    drop(far.create_group(&Namespace::root(), &"vm/7".parse().unwrap(), &ACCOUNT.parse().unwrap()).unwrap());
    std::fs::create_dir(pair.far_store().join("vm/7").join(DAY)).unwrap();
    let log = pair.pushed().await;
    // The reference takes an unfinished directory for a finished snapshot.
    let unfinished = "\
[vm/7]: 2026-01-01T10:00:00Z: start sync
[vm/7]: 2026-01-01T10:00:00Z: removed an unfinished snapshot of that time from remote
[vm/7]: 2026-01-01T10:00:00Z: sync archive qemu-server.conf.blob
[vm/7]: 2026-01-01T10:00:00Z/qemu-server.conf.blob: uploaded AMOUNT
[vm/7]: 2026-01-01T10:00:00Z: sync done
[vm/7]: percentage done: 100.00% (7/7 groups)";
    let instead = [("[vm/7]: skipped: 1 snapshot(s)", Some(unfinished))];
    assert_log(&log, "push-mixed-situations", "rsrc:src2:dst::jpsh", &instead);
}

async fn with_operator(pair: &PushPair, role: Role) {
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local", OPERATOR, Role::DatastoreReader);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, role);
    pair.update(&["--owner", OPERATOR]).await;
}

fn fill_for_owner(store: &Datastore) {
    for namespace in ["ns1", "ns1/sub"] {
        store.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    for group in ["vm/1", "vm/4"] {
        add_group(store, group);
    }
}

fn add_vanished(pair: &PushPair) {
    let far = pair.far.store("tank");
    add_small(&far, "", "vm/1/2025-12-31T10:00:00Z", ACCOUNT);
    add_small(&far, "", &format!("vm/77/{DAY}"), ACCOUNT);
    far.create_namespace(&"gone".parse().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_without_rights_on_the_remote_give_the_recorded_logs() {
    let creation = "Encountered error: creating remote namespace not allowed - permission check failed - missing \
                    Remote.DatastoreModify on /remote/pbs2/tank/ns1";
    let pruning = "pruning remote datastore contents not allowed - permission check failed - missing \
                   Remote.DatastorePrune on /remote/pbs2/tank";
    let (of_snapshot, of_group) =
        (format!("[vm/1]: Encountered errors: {pruning}"), format!("Encountered errors: {pruning}"));
    let of_namespace = "Encountered errors: permission check failed - missing Remote.DatastoreModify on \
                        /remote/pbs2/tank/gone";
    let both = [
        ("Encountered error: Creating remote namespace not allowed", Some(creation)),
        ("Encountered errors: Pruning remote datastore namespaces not allowed", Some(of_namespace)),
        FAILED,
    ];
    let of_contents = [
        ("[vm/1]: Encountered errors: Pruning remote datastore contents not allowed", Some(of_snapshot.as_str())),
        ("Encountered errors: Pruning remote datastore contents not allowed", Some(of_group.as_str())),
    ];
    for (name, role, instead) in [
        ("push-owner-no-prune-no-modify", Role::RemoteSyncPushOperator, [&both[..], &of_contents].concat()),
        ("push-remove-vanished-no-modify", Role::RemoteDatastorePowerUser, both.to_vec()),
    ] {
        let pair = PushPair::new(fill_for_owner).await;
        add_vanished(&pair);
        with_operator(&pair, role).await;
        pair.update(&["--remove-vanished", "true"]).await;
        let log = pair.push().await.out;
        assert_log(&log, name, "rsrc:src2:dst::rtp", &instead);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_only_back_up_gives_the_recorded_log() {
    let pair = PushPair::with_role(Role::DatastoreBackup, |store| {
        add_group(store, "vm/1");
        store.create_namespace(&"n1".parse().unwrap()).unwrap();
    })
    .await;
    let far = pair.far.store("tank");
    add_small(&far, "", "vm/1/2025-12-31T10:00:00Z", ACCOUNT);
    add_small(&far, "", &format!("vm/8/{DAY}"), ACCOUNT);
    for namespace in ["old", "old2"] {
        far.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    pair.update(&["--remove-vanished", "true"]).await;
    let log = pair.push().await.out;
    let refused = |what: &str| format!("{what}/api2/json/admin/datastore/tank/");
    let snapshot = refused("[vm/1]: Encountered errors: DELETE ") + "snapshots was refused with status 403: permission";
    let group = refused("Encountered errors: DELETE ") + "groups was refused with status 403: permission";
    let creation = refused("Encountered error: creation of remote namespace n1 failed - POST ")
        + "namespace was refused with status 403: permission";
    let namespace = refused("Encountered errors: DELETE ") + "namespace was refused with status 403: permission";
    let instead = [
        ("[vm/1]: Encountered errors: Failed to remove remote snapshot", Some(snapshot.as_str())),
        ("Encountered errors: Failed to remove remote group", Some(group.as_str())),
        ("Encountered error: Creation of remote namespace", Some(creation.as_str())),
        ("Encountered errors: Failed to remove remote namespace", Some(namespace.as_str())),
        FAILED,
    ];
    assert_log(&log, "push-account-without-prune", "racc:src2:dst::jacp", &instead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vanished_gives_the_recorded_log() {
    let pair = PushPair::new(|store| {
        add_group(store, "vm/1");
        add_group(store, "ct/1");
    })
    .await;
    let far = pair.far.store("tank");
    let root = Namespace::root();
    let protect = |ns: &Namespace, snapshot: &str| far.set_protected(ns, &snapshot.parse().unwrap(), true).unwrap();
    for day in ["2025-12-27", "2025-12-30", "2025-12-31"] {
        add_small(&far, "", &format!("vm/1/{day}T10:00:00Z"), ACCOUNT);
    }
    std::fs::create_dir(pair.far_store().join("vm/1/2025-12-29T10:00:00Z")).unwrap();
    protect(&root, "vm/1/2025-12-30T10:00:00Z");
    add_small(&far, "", &format!("vm/8/{DAY}"), ACCOUNT);
    add_small(&far, "", &format!("vm/9/{DAY}"), "other@pbs");
    for day in ["2025-12-30", "2025-12-31"] {
        add_small(&far, "", &format!("vm/10/{day}T10:00:00Z"), ACCOUNT);
    }
    protect(&root, "vm/10/2025-12-30T10:00:00Z");
    for namespace in ["gone", "gone/deep", "gone/deep/er", "gone2"] {
        far.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    add_small(&far, "gone2", &format!("vm/1/{DAY}"), ACCOUNT);
    protect(&"gone2".parse().unwrap(), &format!("vm/1/{DAY}"));
    pair.update(&["--remove-vanished", "true", "--group-filter", "type:vm"]).await;
    let log = pair.pushed().await;
    // The reference counts groups and namespaces as removed of which something stays.
    let kept = "\
Kept 1 protected snapshots of group gone2/vm/1 on remote
Did not remove namespace gone2 - protected snapshots remain";
    let instead = [
        ("Removed vanished group vm/10 from remote", None),
        ("Kept 1 protected snapshots of remote namespace gone2", Some(kept)),
        ("Summary: removed vanished", Some("Summary: removed vanished: snapshots: 5, groups: 1, namespaces: 3")),
        ("TASK WARNINGS", Some("TASK WARNINGS: 3")),
    ];
    assert_log(&log, "push-remove-vanished", "rsrc:src2:dst::jpsh", &instead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_of_other_versions_give_the_recorded_logs() {
    let pair = PushPair::with_version("2.1", "1", |store| add_group(store, "vm/1")).await;
    let log = pair.push().await.out;
    let error = "TASK ERROR: unsupported remote api version, minimum v2.2 required, but the remote has v2.1.1";
    assert_log(&log, "push-remote-too-old", "rmit:src2:dst::jmip", &[("TASK ERROR", Some(error))]);

    let pair = PushPair::with_version("3.2", "10", |store| {
        add_group(store, "vm/1");
        add_small(store, "", "vm/1/2026-01-02T10:00:00Z", "root@pam");
    })
    .await;
    let far = pair.far.store("tank");
    far.create_namespace(&"old".parse().unwrap()).unwrap();
    for (namespace, group) in [("", "vm/8"), ("", "vm/9"), ("old", "vm/1")] {
        add_small(&far, namespace, &format!("{group}/{DAY}"), ACCOUNT);
    }
    for (namespace, group) in [("", "vm/8"), ("old", "vm/1")] {
        let snapshot = format!("{group}/{DAY}").parse().unwrap();
        far.set_protected(&namespace.parse().unwrap(), &snapshot, true).unwrap();
    }
    pair.update(&["--remove-vanished", "true"]).await;
    let log = pair.push().await.out;
    // A namespace loses its groups one by one, so that those of others never go with it.
    let refused = "Encountered errors: DELETE /api2/json/admin/datastore/tank/groups was refused with status 400: ";
    let namespace = "\
Failed to remove vanished group old/vm/1 from remote!
Did not remove namespace old - some of its groups could not be removed";
    let instead = [
        ("Encountered errors: Failed to remove remote", Some(refused)),
        ("Failed to remove vanished namespace old from remote!", Some(namespace)),
        FAILED,
    ];
    assert_log(&log, "push-remote-old-without-delete-stats", "rmit:src2:dst::jmip", &instead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_without_a_job_gives_the_recorded_log() {
    let pair = PushPair::new(|store| add_group(store, "vm/1")).await;
    pair.push().await.ok();
    let log = pair.near.run(&["push", "local", "pbs2", "tank"]).await.ok();
    assert_log(&log, "one-shot-push", "any:src2:dst::any", &[]);
}
