//! Scenarios 23 to 29a and fault 9: who may see, change and run which jobs, and what a refusal tells.

use farhold_types::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, ROOT, TOKEN, USER, remote_job, with};

const SYNC: &str = "/config/sync";
const JOB: &str = "/config/sync/pbs2-local";

/// Audit and Backup on the local store, and reading the remote one.
const SYNC_RIGHTS: [(&str, Role); 3] = [
    ("/datastore/local", Role::DatastoreAudit),
    ("/datastore/local", Role::DatastoreBackup),
    ("/remote/pbs2/local", Role::RemoteSyncOperator),
];

fn owned(owner: &str) -> Value {
    with(remote_job(), json!({"owner": owner}))
}

/// Creates a job that must be accepted, and removes it.
async fn accepted(desk: &Desk, caller: &str, job: Value) {
    let id = job["id"].as_str().unwrap().to_owned();
    desk.create_job(caller, job).await;
    desk.delete(ROOT, &format!("{SYNC}/{id}")).await.data();
}

/// Tries to create a job that must be refused for want of a privilege on a path.
#[track_caller]
fn lacks(answer: &Answer, privilege: &str, path: &str) {
    let end = format!("{privilege} on {path}");
    answer.refused(400, &["permission check failed"]);
    assert!(answer.body.ends_with(&end), "'{end}' is missing in: {}", answer.body);
}

#[tokio::test]
async fn scenario_23_own_pull_jobs_need_audit_and_backup_here_and_read_there() {
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    accepted(&desk, USER, owned(USER)).await;
    for (left, privilege, path) in [
        ([0, 1], "Remote.Read", "/remote/pbs2/local"),
        ([0, 2], "Datastore.Backup", "/datastore/local"),
        ([1, 2], "Datastore.Audit", "/datastore/local"),
    ] {
        let desk = Desk::new();
        desk.grant(&left.map(|n: usize| SYNC_RIGHTS[n]));
        lacks(&desk.post(USER, SYNC, owned(USER)).await, privilege, path);
        assert_eq!(desk.file("sync.cfg"), "");
    }
    // Rights on a namespace of the remote do not help a pull, which needs the store.
    let desk = Desk::new();
    desk.grant(&[SYNC_RIGHTS[0], SYNC_RIGHTS[1], ("/remote/pbs2/local/a", Role::RemoteAdmin)]);
    let deep = with(owned(USER), json!({"remote-ns": "a"}));
    lacks(&desk.post(USER, SYNC, deep).await, "Remote.Read", "/remote/pbs2/local");
}

#[tokio::test]
async fn scenario_24_jobs_of_others_need_modify() {
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    for job in [remote_job(), owned("other@pbs"), owned(ROOT)] {
        lacks(&desk.post(USER, SYNC, job).await, "Datastore.Modify", "/datastore/local");
    }
    desk.grant(&[("/datastore/local", Role::DatastoreAdmin)]);
    for job in [remote_job(), owned("other@pbs"), owned(ROOT)] {
        accepted(&desk, USER, job).await;
    }
}

#[tokio::test]
async fn scenario_25_removing_what_vanished_needs_prune() {
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    let removing = with(owned(USER), json!({"remove-vanished": true}));
    lacks(&desk.post(USER, SYNC, removing.clone()).await, "Datastore.Prune", "/datastore/local");
    desk.create_job(USER, owned(USER)).await;
    desk.grant(&[("/remote/pbs2", Role::RemoteAudit)]);
    let update = desk.put(USER, JOB, json!({"remove-vanished": true})).await;
    lacks(&update, "Datastore.Prune", "/datastore/local");
    desk.grant(&[("/datastore/local", Role::DatastorePowerUser)]);
    desk.put(USER, JOB, json!({"remove-vanished": true})).await.data();
    accepted(&desk, USER, with(removing, json!({"id": "other"}))).await;
}

#[tokio::test]
async fn scenario_26_a_tokens_job_is_its_users_own_and_not_the_other_way_round() {
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    for (path, role) in SYNC_RIGHTS {
        desk.server.grant(path, TOKEN, role);
    }
    accepted(&desk, USER, owned(TOKEN)).await;
    accepted(&desk, TOKEN, owned(TOKEN)).await;
    lacks(&desk.post(TOKEN, SYNC, owned(USER)).await, "Datastore.Modify", "/datastore/local");
    lacks(&desk.post(TOKEN, SYNC, owned("sync@pbs!t2")).await, "Datastore.Modify", "/datastore/local");
}

#[tokio::test]
async fn scenario_27_rights_on_a_namespace_are_enough_for_jobs_into_it() {
    let desk = Desk::new();
    desk.grant(&[
        ("/datastore/local/ns1", Role::DatastoreAudit),
        ("/datastore/local/ns1", Role::DatastoreBackup),
        ("/remote/pbs2/local", Role::RemoteSyncOperator),
    ]);
    for (ns, is_accepted) in [("ns1", true), ("ns1/sub", true), ("ns2", false), ("ns", false)] {
        let job = with(owned(USER), json!({"ns": ns}));
        if is_accepted {
            accepted(&desk, USER, job).await;
        } else {
            let answer = desk.post(USER, SYNC, job).await;
            lacks(&answer, "Datastore.Audit&Datastore.Backup", &format!("/datastore/local/{ns}"));
        }
    }
    lacks(&desk.post(USER, SYNC, owned(USER)).await, "Datastore.Audit&Datastore.Backup", "/datastore/local");
}

#[tokio::test]
async fn scenario_28_push_jobs_need_rights_on_the_remote_namespace_and_reading_here() {
    let push = |more: Value| {
        let base = json!({"sync-direction": "push", "remote-ns": "a", "ns": "b"});
        with(remote_job(), with(base, more))
    };
    let there = ("/remote/pbs2/local/a", Role::RemoteSyncPushOperator);
    let audit = ("/datastore/local/b", Role::DatastoreAudit);
    let desk = Desk::new();
    desk.grant(&[there, ("/datastore/local/b", Role::DatastoreReader)]);
    accepted(&desk, USER, push(json!({}))).await;
    let removing = push(json!({"remove-vanished": true}));
    lacks(&desk.post(USER, SYNC, removing.clone()).await, "Remote.DatastorePrune", "/remote/pbs2/local/a");
    desk.grant(&[("/remote/pbs2/local/a", Role::RemoteDatastorePowerUser)]);
    accepted(&desk, USER, removing).await;
    let elsewhere = push(json!({"remote-ns": "c"}));
    lacks(&desk.post(USER, SYNC, elsewhere).await, "Remote.DatastoreBackup", "/remote/pbs2/local/c");

    let desk = Desk::new();
    desk.grant(&[there, audit]);
    let own = push(json!({"owner": USER}));
    lacks(&desk.post(USER, SYNC, own.clone()).await, "Datastore.Backup", "/datastore/local/b");
    desk.grant(&[("/datastore/local/b", Role::DatastoreBackup)]);
    accepted(&desk, USER, own).await;
    lacks(&desk.post(USER, SYNC, push(json!({}))).await, "Datastore.Modify", "/datastore/local/b");
    desk.grant(&[("/datastore/local/b", Role::DatastoreAdmin)]);
    accepted(&desk, USER, push(json!({}))).await;
}

/// Asserts that the job is neither listed nor told anything about.
async fn assert_hidden(desk: &Desk, caller: &str) {
    for path in [SYNC, "/admin/sync"] {
        let jobs = desk.call(caller, "GET", path, json!({"sync-direction": "all"})).await.data();
        assert_eq!(jobs, json!([]), "{path}");
    }
    let generic = format!("permission check failed for '{caller}'");
    for answer in [
        desk.get(caller, JOB).await,
        desk.put(caller, JOB, json!({"comment": "x"})).await,
        desk.delete(caller, JOB).await,
        desk.post(caller, "/admin/sync/pbs2-local/run", json!({})).await,
    ] {
        answer.refused(400, &[]);
        assert_eq!(answer.body, generic, "nothing of a hidden job is told");
    }
}

#[tokio::test]
async fn scenario_29_jobs_are_hidden_without_audit_on_both_ends() {
    let job = with(owned("other@pbs"), json!({"ns": "secret", "remote-ns": "hidden"}));
    let desk = Desk::new();
    desk.create_job(ROOT, job.clone()).await;
    desk.server.grant("/datastore/elsewhere", USER, Role::DatastoreAdmin);
    assert_hidden(&desk, USER).await;
    // One end is not enough, whichever it is.
    desk.grant(&[("/datastore/local", Role::DatastoreAudit)]);
    assert_hidden(&desk, USER).await;
    desk.grant(&[("/remote/pbs2/local", Role::RemoteSyncOperator)]);
    assert_hidden(&desk, USER).await;
    desk.grant(&[("/remote/pbs2", Role::RemoteAudit)]);
    assert_eq!(desk.get(USER, JOB).await.data()["id"], "pbs2-local");
    assert_eq!(desk.get(USER, SYNC).await.data().as_array().unwrap().len(), 1);
    // Who may see the job is told what is missing.
    let run = desk.post(USER, "/admin/sync/pbs2-local/run", json!({})).await;
    lacks(&run, "Datastore.Modify&Datastore.Backup", "/datastore/local/secret");
    lacks(&desk.delete(USER, JOB).await, "Datastore.Modify&Datastore.Backup", "/datastore/local/secret");

    // Seeing and doing are independent.
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    desk.create_job(USER, owned(USER)).await;
    assert_eq!(desk.get(USER, SYNC).await.data(), json!([]));
    desk.get(USER, JOB).await.refused(400, &["permission check failed for 'sync@pbs'"]);
    desk.put(USER, JOB, json!({"comment": "mine"})).await.data();
    desk.delete(USER, JOB).await.data();
}

#[tokio::test]
async fn scenario_29_local_and_push_jobs_show_to_those_who_may_audit_their_other_end() {
    let desk = Desk::new();
    desk.create_job(ROOT, json!({"id": "local1", "store": "local", "remote-store": "tank"})).await;
    let push = json!({"id": "push1", "sync-direction": "push", "ns": "b", "remote-ns": "a"});
    desk.create_job(ROOT, with(remote_job(), push)).await;
    let shown = async || {
        let jobs = desk.call(USER, "GET", SYNC, json!({"sync-direction": "all"})).await.data();
        let ids = jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    desk.grant(&[("/datastore/local", Role::DatastoreAudit)]);
    assert_eq!(shown().await, Vec::<String>::new());
    desk.grant(&[("/datastore/tank", Role::DatastoreAudit)]);
    assert_eq!(shown().await, ["local1"]);
    desk.grant(&[("/remote/pbs2", Role::RemoteAudit)]);
    assert_eq!(shown().await, ["local1", "push1"]);
}

/// What a user without rights on the job tries to get hold of it. The reference checks only the job as it becomes.
async fn assert_not_taken_over(desk: &Desk) {
    let before = desk.file("sync.cfg");
    for change in [
        json!({"owner": USER}),
        json!({"ns": "mine"}),
        json!({"owner": USER, "ns": "mine", "remote-ns": "x"}),
        json!({"store": "mine", "owner": USER}),
        json!({"delete": ["remove-vanished", "remote"], "remote-store": "other", "store": "mine", "owner": USER}),
        json!({"sync-direction": "push", "store": "mine", "owner": USER}),
    ] {
        desk.put(USER, JOB, change).await.refused(400, &["permission check failed"]);
        assert_eq!(desk.file("sync.cfg"), before);
    }
    desk.delete(USER, JOB).await.refused(400, &["permission check failed"]);
    assert_eq!(desk.file("sync.cfg"), before);
}

#[tokio::test]
async fn scenario_29a_who_may_create_but_not_modify_cannot_take_over_a_job() {
    let desk = Desk::new();
    desk.grant(&SYNC_RIGHTS);
    desk.grant(&[
        ("/remote/pbs2", Role::RemoteAudit),
        ("/datastore/local/mine", Role::DatastoreAdmin),
        ("/datastore/mine", Role::DatastoreAdmin),
    ]);
    desk.create_job(ROOT, remote_job()).await;
    let refused = desk.put(USER, JOB, json!({"owner": USER})).await;
    lacks(&refused, "Datastore.Modify", "/datastore/local");
    assert_not_taken_over(&desk).await;
}

#[tokio::test]
async fn fault_9_an_update_needs_rights_on_the_job_as_it_was_too() {
    let desk = Desk::new();
    // Everything on other places, nothing on the job's.
    desk.grant(&[("/datastore/mine", Role::DatastoreAdmin), ("/remote", Role::RemoteAdmin)]);
    desk.create_job(ROOT, with(remote_job(), json!({"remove-vanished": true}))).await;
    assert_not_taken_over(&desk).await;
    // And on the job as it becomes: giving a job away is refused as well.
    desk.create_job(ROOT, with(remote_job(), json!({"id": "own-job", "store": "mine", "owner": USER}))).await;
    let given = desk.put(USER, "/config/sync/own-job", json!({"store": "local"})).await;
    lacks(&given, "Datastore.Audit&Datastore.Backup", "/datastore/local");
    desk.put(USER, "/config/sync/own-job", json!({"comment": "mine"})).await.data();
}

#[tokio::test]
async fn one_shot_refusals_name_the_privilege_and_the_path() {
    let desk = Desk::new();
    let once = json!({"store": "local", "ns": "a", "remote": "pbs2", "remote-store": "tank", "remote-ns": "b"});
    let local = json!({"store": "local", "remote-store": "tank"});
    let pull = async |params: &Value| desk.post(USER, "/pull", params.clone()).await;
    desk.server.grant("/datastore/elsewhere", USER, Role::DatastoreAdmin);
    lacks(&pull(&once).await, "Datastore.Backup", "/datastore/local/a");
    desk.grant(&[("/datastore/local", Role::DatastoreBackup)]);
    lacks(&pull(&once).await, "Remote.Read", "/remote/pbs2/tank");
    lacks(&pull(&local).await, "Datastore.Backup", "/datastore/tank");
    desk.grant(&[("/remote/pbs2/tank", Role::RemoteSyncOperator), ("/datastore/tank", Role::DatastoreBackup)]);
    let removing = with(once.clone(), json!({"remove-vanished": true}));
    lacks(&pull(&removing).await, "Datastore.Prune", "/datastore/local/a");
    // With all of them, the next rules speak: same store, depth, unknown remote, unknown datastore.
    pull(&with(local.clone(), json!({"remote-store": "local"}))).await.refused(400, &["different datastores"]);
    pull(&with(once.clone(), json!({"max-depth": 7}))).await.refused(400, &["max-depth"]);
    pull(&once).await.refused(400, &["no such remote 'pbs2'"]);
    pull(&local).await.refused(400, &["tank"]);
    // A push asks for other privileges, on paths with the namespace of the remote.
    let push = async |params: &Value| desk.post(USER, "/push", params.clone()).await;
    lacks(&push(&once).await, "Remote.DatastoreBackup", "/remote/pbs2/tank/b");
    desk.grant(&[("/remote/pbs2/tank/b", Role::RemoteSyncPushOperator)]);
    lacks(&push(&removing).await, "Remote.DatastorePrune", "/remote/pbs2/tank/b");
    let other = with(once.clone(), json!({"store": "other"}));
    push(&other).await.refused(400, &["Datastore.Read", "Datastore.Backup", "/datastore/other/a"]);
    push(&with(once.clone(), json!({"max-depth": 7}))).await.refused(400, &["max-depth"]);
    push(&once).await.refused(400, &["no such remote 'pbs2'"]);
    desk.create_remote().await;
    push(&once).await.refused(400, &["no such datastore 'local'"]);
    desk.server.add_datastore_without_chunks("local");
    push(&once).await.refused(400, &["datastore 'local' has no namespace 'a'"]);
}

#[tokio::test]
async fn a_push_without_a_job_takes_the_parameters_of_the_reference_and_no_others() {
    let desk = Desk::new();
    let once = json!({"store": "local", "remote": "pbs2", "remote-store": "tank"});
    let push = async |params: Value| desk.post(ROOT, "/push", params).await;
    push(json!({"store": "local", "remote-store": "tank"})).await.refused(400, &["remote"]);
    for (name, value) in [("resync-corrupt", json!(true)), ("decryption-keys", json!(["key1"]))] {
        push(with(once.clone(), json!({name: value}))).await.refused(400, &[name]);
    }
    let all = json!({
        "ns": "a", "remote-ns": "b", "remove-vanished": true, "max-depth": 2, "group-filter": ["type:vm"],
        "transfer-last": 1, "encrypted-only": true, "verified-only": false, "worker-threads": 32,
        "rate-in": "1MiB", "burst-in": "1MiB", "rate-out": "1MiB", "burst-out": "1MiB", "encryption-key": "key1",
    });
    push(with(once, all)).await.refused(400, &["no such remote 'pbs2'"]);
}
