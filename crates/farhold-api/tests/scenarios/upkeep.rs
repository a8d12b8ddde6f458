//! Pruning and moving over the API: who may do what, and what lists tell about prune jobs.

use farhold_datastore::Datastore;
use farhold_format::task_log::TaskStatus;
use farhold_types::{Group, Namespace, Role};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, ROOT, USER};

const STORE: &str = "/admin/datastore/tank";

/// A server with the store `tank`: in the root `vm/1` of the user and `vm/2` of somebody else, both with snapshots of two
/// days, and the namespace `a`.
struct Bench {
    desk: Desk,
    store: Datastore,
}

impl Bench {
    fn new() -> Self {
        let desk = Desk::new();
        let store = desk.server.add_datastore_without_chunks("tank");
        store.create_namespace(&"a".parse().unwrap()).unwrap();
        for (group, owner) in [("vm/1", USER), ("vm/2", "other@pbs")] {
            let group: Group = group.parse().unwrap();
            drop(store.create_group(&Namespace::root(), &group, &owner.parse().unwrap()).unwrap());
            let directory = store.local_path(&Namespace::root(), &group, None).unwrap();
            for day in ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"] {
                std::fs::create_dir(directory.join(day)).unwrap();
                std::fs::write(directory.join(day).join("index.json.blob"), "x").unwrap();
            }
        }
        Self { desk, store }
    }

    /// Calls something for a group, as the user.
    async fn on_group(&self, call: &str, id: &str, more: &[(&str, Value)]) -> Answer {
        let mut params = json!({"backup-type": "vm", "backup-id": id});
        for (name, value) in more {
            params[*name] = value.clone();
        }
        self.desk.post(USER, &format!("{STORE}/{call}"), params).await
    }

    fn count(&self, namespace: &str, id: &str) -> usize {
        let group: Group = format!("vm/{id}").parse().unwrap();
        self.store.snapshots(&namespace.parse().unwrap(), &group).map_or(0, |all| all.len())
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_pruned_by_who_may_prune_all_or_owns_it() {
    for (role, own, other) in [
        (Role::DatastoreAdmin, 200, 200),
        (Role::DatastorePowerUser, 200, 400),
        (Role::DatastoreBackup, 403, 403),
        (Role::DatastoreAudit, 403, 403),
    ] {
        let bench = Bench::new();
        bench.desk.grant(&[("/datastore/tank", role)]);
        for (id, status) in [("1", own), ("2", other)] {
            let keep = [("keep-last", json!(1))];
            let dry = bench.on_group("prune", id, &[("keep-last", json!(1)), ("dry-run", json!(true))]).await;
            assert_eq!((dry.status, bench.count("", id)), (status, 2), "{role} {id}");
            assert_eq!(bench.on_group("prune", id, &keep).await.status, status, "{role} {id}");
            assert_eq!(bench.count("", id), if status == 200 { 1 } else { 2 }, "{role} {id}");
        }
        let all = bench.desk.post(USER, &format!("{STORE}/prune-datastore"), json!({"keep-last": 1})).await;
        assert_eq!(all.status, if own == 200 { 200 } else { 400 }, "{role}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_needs_rights_on_both_sides_and_for_other_peoples_groups_the_larger_ones() {
    const ADMIN: Role = Role::DatastoreAdmin;
    const PART: Role = Role::DatastorePowerUser;
    for (here, there, own, other) in [
        (ADMIN, ADMIN, 200, 200),
        (ADMIN, PART, 200, 400),
        (PART, ADMIN, 200, 400),
        (PART, PART, 200, 400),
        (PART, Role::DatastoreBackup, 200, 400),
        (Role::DatastoreBackup, PART, 403, 403),
        (ADMIN, Role::DatastoreReader, 403, 403),
    ] {
        let bench = Bench::new();
        bench.desk.grant(&[("/datastore/tank", here), ("/datastore/tank/a", there)]);
        for (id, status) in [("1", own), ("2", other)] {
            let answer = bench.on_group("move-group", id, &[("target-ns", json!("a"))]).await;
            assert_eq!(answer.status, status, "{here} {there} {id}: {}", answer.body);
            if status == 200 {
                let upid = answer.data();
                assert_eq!(bench.desk.server.ended(upid.as_str().unwrap()).await, TaskStatus::Ok);
            }
            let places = (bench.count("", id), bench.count("a", id));
            assert_eq!(places, if status == 200 { (0, 2) } else { (2, 0) }, "{here} {there} {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_moves_for_who_may_change_both_parents() {
    for (root, parent, status) in [
        (Role::DatastoreAdmin, Role::DatastoreAdmin, 200),
        (Role::DatastoreAdmin, Role::DatastorePowerUser, 403),
        (Role::DatastorePowerUser, Role::DatastoreAdmin, 403),
    ] {
        let bench = Bench::new();
        bench.store.create_namespace(&"b".parse().unwrap()).unwrap();
        bench.desk.grant(&[("/datastore/tank", root), ("/datastore/tank/b", parent)]);
        let ends = json!({"ns": "a", "target-ns": "b/moved"});
        let answer = bench.desk.post(USER, &format!("{STORE}/move-namespace"), ends).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        if status == 200 {
            assert_eq!(bench.desk.server.ended(answer.data().as_str().unwrap()).await, TaskStatus::Ok);
        }
        let exists = |ns: &str| bench.store.namespace_exists(&ns.parse().unwrap()).unwrap();
        assert_eq!((exists("a"), exists("b/moved")), (status != 200, status == 200));
    }
}

#[tokio::test]
async fn the_list_of_prune_jobs_tells_how_they_ran_and_when_they_run() {
    let bench = Bench::new();
    let desk = &bench.desk;
    for job in [
        json!({"id": "on-time", "store": "tank", "schedule": "daily", "keep-last": 1}),
        json!({"id": "switched-off", "store": "tank", "schedule": "daily", "disable": true, "ns": "a"}),
    ] {
        desk.post(ROOT, "/config/prune", job).await.data();
    }
    let listed = |answer: Value| {
        let mut jobs = answer["data"].as_array().unwrap().clone();
        jobs.sort_by_key(|job| job["id"].to_string());
        jobs
    };
    let jobs = listed(desk.get(ROOT, "/admin/prune").await.json());
    // The clock of the test stands at 2026-11-22T01:30:00Z.
    assert_eq!((&jobs[0]["next-run"], &jobs[0]["keep-last"]), (&json!(1_795_392_000), &json!(1)));
    assert_eq!((jobs[1].get("next-run"), &jobs[1]["disable"], &jobs[1]["ns"]), (None, &json!(true), &json!("a")));
    assert!(jobs.iter().all(|job| job.get("last-run-upid").is_none()));

    let upid = desk.post(ROOT, "/admin/prune/on-time/run", json!({})).await.data();
    assert_eq!(desk.server.ended(upid.as_str().unwrap()).await, TaskStatus::Ok);
    let jobs = listed(desk.get(ROOT, "/admin/prune?store=tank").await.json());
    assert_eq!((&jobs[0]["last-run-state"], &jobs[0]["last-run-upid"]), (&json!("OK"), &upid));
    assert_eq!((bench.count("", "1"), bench.count("", "2")), (1, 1));
    assert_eq!(listed(desk.get(ROOT, "/admin/prune?store=other").await.json()), [] as [Value; 0]);
}

#[tokio::test]
async fn who_may_not_see_a_prune_job_is_answered_as_if_there_were_none() {
    let bench = Bench::new();
    let job = json!({"id": "secret", "store": "tank", "schedule": "daily", "keep-last": 1});
    bench.desk.post(ROOT, "/config/prune", job).await.data();
    bench.desk.grant(&[("/datastore/tank/a", Role::DatastoreAdmin)]);
    assert_eq!(bench.desk.get(USER, "/admin/prune").await.data(), json!([]));
    let hidden = bench.desk.post(USER, "/admin/prune/secret/run", json!({})).await;
    let missing = bench.desk.post(USER, "/admin/prune/nosuch/run", json!({})).await;
    assert_eq!((hidden.status, hidden.body), (400, missing.body.replace("nosuch", "secret")));
    bench.desk.grant(&[("/datastore/tank", Role::DatastoreAudit)]);
    let denied = bench.desk.post(USER, "/admin/prune/secret/run", json!({})).await;
    denied.refused(400, &["Datastore.Modify"]);
    assert_eq!(bench.count("", "1"), 2);
}
