//! What a push removes from its target, and what it never removes.

use farhold_datastore::{Datastore, RemoveGroups};
use farhold_types::{Namespace, Role};

use crate::content;
use crate::push::add_small;
use crate::push_pair::{ACCOUNT, PushPair, USER};

const DAYS: [&str; 2] = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"];

/// Whoever owns jobs with few rights.
const OPERATOR: &str = "op@pbs";

/// Three groups in the root, one in `a`, one in `a/b`, two snapshots each.
fn fill(store: &Datastore) {
    for namespace in ["a", "a/b"] {
        store.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    for (namespace, group) in [("", "vm/1"), ("", "vm/2"), ("", "vm/3"), ("a", "vm/4"), ("a/b", "vm/5")] {
        for day in DAYS {
            add_small(store, namespace, &format!("{group}/{day}"), "root@pam");
        }
    }
}

/// Both servers with the same content, and a job that removes.
async fn synced(role: Role) -> PushPair {
    let pair = PushPair::with_role(Role::DatastoreAdmin, fill).await;
    pair.pushed().await;
    set_role(&pair, role).await;
    pair.update(&["--remove-vanished", "true"]).await;
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK") && !log.contains("removed vanished"), "{log}");
    pair
}

/// Gives the account another role in place of the one that it has.
async fn set_role(pair: &PushPair, role: Role) {
    if role != Role::DatastoreAdmin {
        for authid in [USER, ACCOUNT] {
            let former =
                ["acl", "update", "/datastore/tank", "DatastoreAdmin", "--auth-id", authid, "--delete", "true"];
            pair.far.run(&former).await.ok();
            pair.far.grant("/datastore/tank", authid, role);
        }
    }
}

/// Gives the job an owner who may read everything here and has this role on the remote.
async fn with_operator(pair: &PushPair, role: Role) {
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local", OPERATOR, Role::DatastoreReader);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, role);
    pair.update(&["--owner", OPERATOR]).await;
}

/// Removes a snapshot, a group and a namespace with its child from the source.
fn remove_some(pair: &PushPair) {
    let (store, root) = (pair.near.store("local"), Namespace::root());
    store.remove_snapshot(&root, &format!("vm/1/{}", DAYS[0]).parse().unwrap()).unwrap();
    store.remove_group(&root, &"vm/2".parse().unwrap()).unwrap();
    store.remove_namespace(&"a/b".parse().unwrap(), RemoveGroups::Yes).unwrap();
    store.remove_namespace(&"a".parse().unwrap(), RemoveGroups::Yes).unwrap();
}

fn there(pair: &PushPair) -> Vec<String> {
    let all = content::snapshots(&pair.far_store()).into_keys();
    all.filter_map(|path| path.strip_suffix("/index.json.blob").map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_81_what_vanished_goes_from_the_target_and_what_is_protected_stays() {
    let pair = synced(Role::DatastoreAdmin).await;
    remove_some(&pair);
    let far = pair.far.store("tank");
    let protected = format!("vm/5/{}", DAYS[0]).parse().unwrap();
    far.set_protected(&"a/b".parse().unwrap(), &protected, true).unwrap();
    let log = pair.pushed().await;
    for line in [
        &format!("[vm/1]: Removed vanished snapshot vm/1/{} from remote\n", DAYS[0]),
        "Removed vanished group vm/2 from remote\n",
        "Summary: removed vanished: snapshots: 4, groups: 1, namespaces: 0\n",
    ] {
        assert!(log.contains(line), "{line}{log}");
    }
    let kept = format!("ns/a/ns/b/vm/5/{}", DAYS[0]);
    let rest = |group: &str| DAYS.map(|day| format!("{group}/{day}"));
    // What is above something that stays is not touched either.
    let [fourth, newest_fourth] = rest("ns/a/vm/4");
    let ([_, newest], [third, newest_third]) = (rest("vm/1"), rest("vm/3"));
    assert_eq!(there(&pair), [kept, fourth, newest_fourth, newest, third, newest_third]);
    assert!(log.contains("TASK WARNINGS"), "{log}");
    // Nothing is protected any more.
    far.set_protected(&"a/b".parse().unwrap(), &protected, false).unwrap();
    let log = pair.pushed().await;
    for line in [
        "Successfully removed vanished namespace a/b from remote\n",
        "Successfully removed vanished namespace a from remote\n",
        "Summary: removed vanished: snapshots: 3, groups: 2, namespaces: 2\n",
        "TASK OK",
    ] {
        assert!(log.contains(line), "{line}{log}");
    }
    assert!(!pair.far_store().join("ns/a").exists());
    assert_eq!(there(&pair).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_81_an_owner_without_the_rights_to_remove_removes_nothing() {
    for (role, path) in [
        (Role::RemoteSyncPushOperator, "missing Remote.DatastorePrune on /remote/pbs2/tank\n"),
        (Role::RemoteDatastorePowerUser, "missing Remote.DatastoreModify on /remote/pbs2/tank/a/b\n"),
    ] {
        let pair = synced(Role::DatastoreAdmin).await;
        with_operator(&pair, role).await;
        remove_some(&pair);
        let before = content::tree(&pair.far_store());
        let log = pair.push().await.failed();
        assert!(log.contains(path), "{path}{log}");
        assert!(log.contains("Failed to remove vanished namespace a/b from remote!\n"), "{log}");
        let mut after = content::tree(&pair.far_store());
        if role == Role::RemoteDatastorePowerUser {
            assert!(there(&pair).iter().all(|snapshot| !snapshot.starts_with("vm/2/")), "it may remove groups");
            after = before.clone().into_iter().filter(|(path, _)| after.contains_key(path)).collect();
            assert_eq!(before.len() - after.len(), 2 + 2 * 2 + 1, "one snapshot, one group with its owner");
        } else {
            assert_eq!(after, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_15_what_the_remote_refuses_to_remove_is_not_counted_and_fails_the_job() {
    let pair = synced(Role::DatastoreBackup).await;
    remove_some(&pair);
    let before = content::tree(&pair.far_store());
    let log = pair.push().await.failed();
    for line in [
        &format!("[vm/1]: Failed to remove vanished snapshot vm/1/{} from remote!\n", DAYS[0]),
        "Failed to remove vanished group vm/2 from remote!\n",
        "TASK ERROR: sync failed with some errors.",
    ] {
        assert!(log.contains(line), "{line}{log}");
    }
    assert!(!log.contains("removed vanished"), "{log}");
    assert_eq!(content::tree(&pair.far_store()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_79b_an_owner_who_sees_only_a_child_removes_neither_it_nor_what_is_above() {
    let pair = synced(Role::DatastoreAdmin).await;
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local/a/b", OPERATOR, Role::DatastoreReader);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteDatastoreAdmin);
    pair.update(&["--owner", OPERATOR, "--ns", "a", "--remote-ns", "a"]).await;
    add_small(&pair.near.store("local"), "a/b", "vm/5/2026-01-03T10:00:00Z", "root@pam");
    let before = there(&pair);
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK") && !log.contains("emoved vanished"), "{log}");
    let mut after = there(&pair);
    after.retain(|snapshot| snapshot != "ns/a/ns/b/vm/5/2026-01-03T10:00:00Z");
    assert_eq!((after.len() + 1, after), (there(&pair).len(), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_3_an_owner_who_sees_nothing_removes_nothing() {
    let pair = synced(Role::DatastoreAdmin).await;
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteDatastoreAdmin);
    pair.update(&["--owner", OPERATOR]).await;
    let before = content::tree(&pair.far_store());
    let log = pair.push().await.failed();
    assert!(log.contains("TASK ERROR: source has no namespace") && !log.contains("emoved vanished"), "{log}");
    assert_eq!(content::tree(&pair.far_store()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_6_groups_of_others_and_outside_the_filter_keep_a_vanished_namespace_of_the_target() {
    let pair = synced(Role::DatastoreAdmin).await;
    let far = pair.far.store("tank");
    let places = [("foreign", "vm/7", "other@pbs"), ("filtered", "ct/7", ACCOUNT), ("plain", "vm/7", ACCOUNT)];
    for (namespace, group, owner) in places {
        far.create_namespace(&namespace.parse().unwrap()).unwrap();
        add_small(&far, namespace, &format!("{group}/{}", DAYS[0]), owner);
    }
    add_small(&far, "foreign", &format!("vm/8/{}", DAYS[0]), ACCOUNT);
    pair.update(&["--group-filter", "type:vm"]).await;
    let log = pair.pushed().await;
    let [foreign, filtered, plain] =
        places.map(|(namespace, group, _)| pair.far_store().join("ns").join(namespace).join(group));
    assert!(foreign.exists() && filtered.exists() && !plain.exists(), "{log}");
    assert!(!pair.far_store().join("ns/foreign/vm/8").exists(), "{log}");
    assert!(!pair.far_store().join("ns/plain").exists(), "{log}");
    assert!(log.contains("Summary: removed vanished: snapshots: 2, groups: 2, namespaces: 1\n"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_80_jobs_that_share_an_account_and_a_target_remove_what_the_other_pushed() {
    let pair = PushPair::new(|store| add_small(store, "", &format!("vm/1/{}", DAYS[0]), "root@pam")).await;
    pair.near.add_store("second");
    add_small(&pair.near.store("second"), "", &format!("vm/2/{}", DAYS[0]), "root@pam");
    let secret = pair.far.add_token("sync@pbs!t2");
    pair.far.grant("/datastore/tank", "sync@pbs!t2", Role::DatastoreAdmin);
    pair.add_remote("own", "sync@pbs!t2", &secret, &pair.far.fingerprint()).await;
    pair.update(&["--remove-vanished", "true"]).await;
    pair.add_job("second", "pbs2", &["--remove-vanished", "true"]).await;
    pair.near.run(&["sync-job", "update", "second", "--store", "second"]).await.ok();
    let runs = async |expected: [&[&str]; 4]| {
        for (job, groups) in ["push", "second", "push", "second"].into_iter().zip(expected) {
            pair.near.run(&["sync-job", "run", job]).await.ok();
            assert_eq!(content::owners(&pair.far_store()).into_keys().collect::<Vec<_>>(), groups, "{job}");
        }
    };
    runs([&["vm/1"], &["vm/2"], &["vm/1"], &["vm/2"]]).await;
    pair.near.run(&["sync-job", "run", "push"]).await.ok();
    pair.near.run(&["sync-job", "update", "second", "--remote", "own"]).await.ok();
    runs([&["vm/1"], &["vm/1", "vm/2"], &["vm/1", "vm/2"], &["vm/1", "vm/2"]]).await;
}
