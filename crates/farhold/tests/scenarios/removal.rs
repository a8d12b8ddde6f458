//! What vanishes from a server, and what an account that lost its rights only does not see any more.

use farhold_datastore::Datastore;
use farhold_types::{Namespace, Role};

use crate::content::{Content, add_snapshot, assert_same};
use crate::pair::{Account, Pair};

const DAYS: [&str; 2] = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"];

/// Two groups in the root, one in `a`, one in `a/b`.
fn fill(store: &Datastore) {
    for namespace in ["a", "a/b"] {
        store.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    for (namespace, group) in [("", "vm/1"), ("", "vm/2"), ("a", "vm/3"), ("a/b", "vm/4")] {
        for day in DAYS {
            let archives = [("qemu-server.conf.blob", Content::Blob(day.as_bytes()))];
            add_snapshot(store, namespace, &format!("{group}/{day}"), &archives);
        }
    }
}

/// Both servers with the same content, and a job that removes.
async fn synced() -> Pair {
    let pair = Pair::new(Account::User, fill).await;
    pair.target.run(&["sync-job", "update", "pull", "--remove-vanished", "true"]).await.ok();
    let log = pair.pull().await.ok();
    assert!(log.contains("Summary: removed vanished: snapshots: 0, groups: 0, namespaces: 0\n"), "{log}");
    assert_same(&pair.source_store(), &pair.target_store());
    pair
}

/// Gives the account of the remote another role in place of the one that it has.
async fn change_role(pair: &Pair, role: &str) {
    for (role, more) in [("DatastoreReader", &["--delete", "true"][..]), (role, &[])] {
        let command = ["acl", "update", "/datastore/tank", role, "--auth-id", "sync@pbs"];
        pair.source.run(&[&command[..], more].concat()).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_54_what_is_deleted_on_one_server_goes_from_the_other() {
    let pair = synced().await;
    let store = pair.source.store("tank");
    store.remove_snapshot(&Namespace::root(), &format!("vm/1/{}", DAYS[0]).parse().unwrap()).unwrap();
    store.remove_group(&Namespace::root(), &"vm/2".parse().unwrap()).unwrap();
    store.remove_namespace(&"a/b".parse().unwrap(), farhold_datastore::RemoveGroups::Yes).unwrap();
    // The last group of a namespace, too: the account may see everything.
    store.remove_group(&"a".parse().unwrap(), &"vm/3".parse().unwrap()).unwrap();
    let log = pair.pull().await.ok();
    let place = pair.target_store().join("vm/1").join(DAYS[0]).display().to_string();
    for line in [
        &format!("[vm/1]: delete vanished snapshot vm/1/{}\nremoving backup snapshot \"{place}\"\n", DAYS[0]),
        "Delete vanished group 'vm/2'\n",
        "Delete vanished group 'vm/3'\n",
        "Removed namespace a/b\n",
        "Summary: removed vanished: snapshots: 7, groups: 3, namespaces: 1\nsync job 'pbs2:tank:local::pull' end\n",
        "TASK OK",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    assert_same(&pair.source_store(), &pair.target_store());
    assert!(!pair.target_store().join("ns/a/ns/b").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_31_groups_that_the_account_does_not_see_any_more_stay() {
    let pair = synced().await;
    // From now on only groups that it owns, which are none.
    change_role(&pair, "DatastoreBackup").await;
    let before = crate::content::tree(&pair.target_store());
    let log = pair.pull().await;
    let log = format!("{}{}", log.out, log.err);
    for place in ["root namespace", "namespace 'a'", "namespace 'a/b'"] {
        let line = format!("not removing vanished groups of {place}, because the source lists none at all");
        assert!(log.contains(&line), "{line}\n{log}");
    }
    assert!(log.contains("removed vanished: snapshots: 0, groups: 0, namespaces: 0\n"), "{log}");
    assert!(log.contains("TASK WARNINGS: 3"), "{log}");
    assert_eq!(crate::content::tree(&pair.target_store()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_31_a_namespace_that_the_account_does_not_see_any_more_stays() {
    let pair = synced().await;
    pair.source.grant("/datastore/tank/a/b", "sync@pbs", Role::NoAccess);
    let before = crate::content::tree(&pair.target_store());
    let log = pair.pull().await;
    let log = format!("{}{}", log.out, log.err);
    let line = "Did not remove namespace a/b - the remote's account has no privilege there, so it may only be hidden";
    assert!(log.contains(line) && log.contains("TASK WARNINGS: 1"), "{log}");
    assert_eq!(crate::content::tree(&pair.target_store()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_31a_a_source_namespace_that_does_not_exist_removes_nothing() {
    let pair = synced().await;
    pair.target.run(&["sync-job", "update", "pull", "--remote-ns", "nosuch"]).await.ok();
    let before = crate::content::tree(&pair.target_store());
    let log = pair.pull().await.failed();
    assert!(log.contains("TASK ERROR: "), "{log}");
    assert_eq!(crate::content::tree(&pair.target_store()), before);
}
