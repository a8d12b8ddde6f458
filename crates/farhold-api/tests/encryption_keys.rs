//! Encryption keys and the sync jobs that name them: the scenarios of `docs/spec/sync.md` B, 91 to 96.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

#[path = "support/in_process.rs"]
mod in_process;

use std::path::Path;
use std::sync::Arc;

use farhold_api::{ApiError, Router, endpoints};
use farhold_format::task_log::TaskStatus;
use farhold_jobs::App;
use farhold_jobs::testing::TestServer;
use farhold_settings::SettingsError;
use farhold_types::Role;
use http::Method;
use serde_json::{Value, json};

const KEYS: &str = "/config/encryption-keys";
const KEY: &str = "/config/encryption-keys/{id}";
const JOBS: &str = "/config/sync";
const JOB: &str = "/config/sync/{id}";
/// Data of the key in [`key_file`].
const DATA: &str = "zm+UqI+vQryxcI/CIxEPpt6eQOFzkQYMnQiIOjXg5AA=";

struct Site {
    server: TestServer,
    router: Router<App>,
}

impl Site {
    fn new() -> Self {
        let server = TestServer::new();
        let router = Router::new(Arc::clone(&server.app), endpoints::all()).unwrap();
        Self { server, router }
    }

    async fn call(&self, caller: &str, method: Method, path: &str, params: Value) -> Result<Value, ApiError> {
        in_process::call(&self.router, caller, method, path, params).await
    }

    async fn root(&self, method: Method, path: &str, params: Value) -> Result<Value, ApiError> {
        self.call("root@pam", method, path, params).await
    }

    async fn ok(&self, method: Method, path: &str, params: Value) -> Value {
        self.root(method, path, params).await.unwrap()
    }

    /// Returns the text of a refusal, which is a 400.
    async fn refused(&self, method: Method, path: &str, params: Value) -> String {
        let error = self.root(method, path, params).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 400, "{error}");
        error.text().to_owned()
    }

    async fn create_keys(&self, ids: &[&str]) {
        for id in ids {
            self.ok(Method::POST, KEYS, json!({ "id": id })).await;
        }
    }

    async fn toggle(&self, id: &str) {
        self.ok(Method::POST, KEY, json!({ "id": id })).await;
    }

    async fn listed(&self, params: Value) -> Vec<String> {
        let keys = self.ok(Method::GET, KEYS, params).await;
        keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn keys_of(&self, job: &str) -> (Value, Value) {
        let job = self.ok(Method::GET, JOB, json!({ "id": job })).await;
        (job["active-encryption-key"].clone(), job["associated-key"].clone())
    }

    /// Runs a job and returns how it ended, and its log without time stamps.
    async fn run(&self, job: &str) -> (TaskStatus, Vec<String>) {
        let upid = self.ok(Method::POST, "/admin/sync/{id}/run", json!({ "id": job })).await;
        let upid = upid.as_str().unwrap();
        let status = self.server.ended(upid).await;
        let log = self.server.app.tasks.log_lines(&upid.parse().unwrap(), 0, 0).unwrap();
        (status, log.lines.iter().map(|line| without_stamp(&line.t)).collect())
    }
}

/// A line without its time and without the name of a notification.
fn without_stamp(line: &str) -> String {
    let text = line.split_once(": ").map_or(line, |(_, text)| text);
    text.split_once(" (id=").map_or(text, |(text, _)| text).to_owned()
}

fn golden(name: &str) -> String {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name);
    std::fs::read_to_string(path).unwrap()
}

fn key_file() -> String {
    golden("key0.json").trim().to_owned()
}

#[tokio::test]
async fn scenario_91_a_job_uses_keys_only_if_its_owner_may() {
    let site = Site::new();
    site.create_keys(&["kimp"]).await;
    let (server, owner) = (&site.server, "sync@pbs");
    server.grant("/datastore/dst", owner, Role::DatastoreAdmin);
    server.add_datastore_without_chunks("dst");
    site.ok(
        Method::POST,
        "/config/remote",
        json!({ "name": "rsrc", "host": "127.0.0.1", "port": 9, "auth-id": "sync@pbs", "password": "secret" }),
    )
    .await;
    let job = json!({
        "id": "jdec", "store": "dst", "remote": "rsrc", "remote-store": "src", "owner": owner,
        "associated-key": ["kimp"],
    });
    let text = site.refused(Method::POST, JOBS, job.clone()).await;
    assert!(text.ends_with("its owner 'sync@pbs' needs Sys.Modify on /system/encryption-keys/kimp"), "{text}");
    // Whoever may not see keys does not learn which there are.
    server.grant("/datastore/dst", "plain@pbs", Role::DatastoreAdmin);
    server.grant("/remote/rsrc", "plain@pbs", Role::RemoteAdmin);
    let mut own = job.clone();
    own["owner"] = json!("plain@pbs");
    let hidden = site.call("plain@pbs", Method::POST, JOBS, own.clone()).await.unwrap_err().text().to_owned();
    own["associated-key"] = json!(["kxyz"]);
    let missing = site.call("plain@pbs", Method::POST, JOBS, own).await.unwrap_err().text().to_owned();
    assert_eq!(hidden.replace("kimp", "kxyz"), missing);
    assert!(hidden.contains("no such key") && hidden.contains("Sys.Modify"), "{hidden}");

    server.grant("/system/encryption-keys/kimp", owner, Role::Admin);
    site.ok(Method::POST, JOBS, job).await;
    site.create_keys(&["kother"]).await;
    let other = json!({ "id": "jdec", "associated-key": ["kimp", "kother"] });
    let text = site.refused(Method::PUT, JOB, other.clone()).await;
    assert!(text.contains("'kother'") && text.contains("/system/encryption-keys/kother"), "{text}");
    server.grant("/system/encryption-keys/kother", owner, Role::Admin);
    site.ok(Method::PUT, JOB, other).await;

    // The right is taken away: the whole run fails before anything is asked of the remote.
    server
        .app
        .settings
        .acl()
        .edit::<_, SettingsError>(None, |acl| {
            acl.remove_subtree(&["system".to_owned(), "encryption-keys".to_owned(), "kimp".to_owned()]);
            Ok(())
        })
        .unwrap();
    let (status, log) = site.run("jdec").await;
    let expected: Vec<String> = golden("task-logs/pull-key-not-accessible.log").lines().map(without_stamp).collect();
    assert_eq!(log, expected);
    assert!(matches!(status, TaskStatus::Error(_)), "{status}");
    // So does a pull without a job, before its task starts.
    server.grant("/datastore/dst", "plain@pbs", Role::DatastoreAdmin);
    let pull = json!({ "store": "dst", "remote": "rsrc", "remote-store": "src", "decryption-keys": ["kimp"] });
    let error = site.call("plain@pbs", Method::POST, "/pull", pull).await.unwrap_err();
    assert_eq!(error.text(), "missing permissions 'Sys.Modify' on '/system/encryption-keys/kimp'");
}

#[tokio::test]
async fn scenario_92_keys_are_created_imported_and_listed() {
    let site = Site::new();
    let created = site.ok(Method::POST, KEYS, json!({ "id": "fresh" })).await;
    assert_eq!((&created["kdf"], created["created"].as_str()), (&Value::Null, Some("2026-11-22T01:30:00+00:00")));
    let imported = site.ok(Method::POST, KEYS, json!({ "id": "brought", "key": key_file() })).await;
    assert_eq!(imported, serde_json::from_str::<Value>(&key_file()).unwrap());
    let protected = key_file().replace(
        r#""kdf":null"#,
        r#""kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M="}}"#,
    );
    // Of a protected key the data holds more than the key.
    let data = "ICEiIyQlJicoKSorLC0uLwae/kw5K4mZk11i9K8n60mE1FapBEKUEzi3QBQTd93LRzBw6JkyAfN4zAPuGFcC5A==";
    let protected = protected.replace(DATA, data);
    let text = site.refused(Method::POST, KEYS, json!({ "id": "locked", "key": protected })).await;
    assert!(text.contains("passphrase"), "{text}");
    let text = site.refused(Method::POST, KEYS, json!({ "id": "fresh" })).await;
    assert!(text.contains("'fresh' already exists"), "{text}");
    site.toggle("fresh").await;
    assert_eq!(site.listed(json!({})).await, ["brought"]);
    assert_eq!(site.listed(json!({ "include-archived": true })).await, ["fresh", "brought"]);
    let all = site.ok(Method::GET, KEYS, json!({ "include-archived": true })).await;
    assert!(!all.to_string().contains(DATA) && !all.to_string().contains("\"data\""), "{all}");
    assert_eq!(all[0]["archived-at"], 1_795_311_000);
    // What a caller may not see is left out.
    site.server.grant("/system/encryption-keys/brought", "audit@pbs", Role::Audit);
    let seen = site.call("audit@pbs", Method::GET, KEYS, json!({ "include-archived": true })).await.unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    for (method, path, params) in [
        (Method::POST, KEYS, json!({ "id": "mine" })),
        (Method::POST, KEY, json!({ "id": "brought" })),
        (Method::DELETE, KEY, json!({ "id": "brought" })),
        (Method::PUT, "/farhold/encryption-keys/{id}", json!({ "id": "brought", "archived": true })),
        (Method::GET, "/farhold/encryption-keys/{id}", json!({ "id": "fresh" })),
    ] {
        let error = site.call("audit@pbs", method, path, params).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 403, "{path}: {error}");
    }
}

#[tokio::test]
async fn fault_16_a_key_of_a_wrong_length_is_refused_with_its_reason() {
    let site = Site::new();
    for data in ["", "AAAA", "zm+UqI+vQryxcI/CIxEPpt6eQOFzkQYMnQiIOjXg5AAA", "***"] {
        let key = key_file().replace(DATA, data);
        let text = site.refused(Method::POST, KEYS, json!({ "id": "short", "key": key })).await;
        assert_eq!(text, "key file has an invalid member data", "{data}");
    }
    for key in ["", "junk", "{}", "[]", "null", &format!("\"{DATA}\""), &format!("{{\"kdf\":\"{DATA}\"}}")] {
        let text = site.refused(Method::POST, KEYS, json!({ "id": "short", "key": key })).await;
        assert!(text.starts_with("key file is not valid: ") && !text.contains("zm+U"), "{key}: {text}");
    }
    assert!(site.listed(json!({ "include-archived": true })).await.is_empty());
}

#[tokio::test]
async fn scenario_93_rotating_the_active_key_keeps_the_former_one() {
    let site = Site::new();
    site.create_keys(&["key0", "key1", "key2", "key3"]).await;
    let push = json!({
        "id": "push", "store": "tank", "remote": "rec2", "remote-store": "empty", "sync-direction": "push",
        "active-encryption-key": "key0",
    });
    site.ok(Method::POST, JOBS, push).await;
    let update = async |params: Value| {
        let mut params = params;
        params["id"] = json!("push");
        site.ok(Method::PUT, JOB, params).await;
        site.keys_of("push").await
    };
    let rotated = update(json!({ "active-encryption-key": "key1", "associated-key": ["key2", "key3"] })).await;
    assert_eq!(rotated, (json!("key1"), json!(["key2", "key3", "key0"])));
    assert_eq!(update(json!({ "associated-key": ["key2"] })).await, (json!("key1"), json!(["key2"])));
    let both = json!({ "delete": ["active-encryption-key"], "associated-key": ["key3"] });
    assert_eq!(update(both).await, (Value::Null, json!(["key3", "key1"])), "no key gets lost");
}

#[tokio::test]
async fn scenario_94_archived_keys_do_not_become_active_and_still_decrypt() {
    let site = Site::new();
    site.create_keys(&["active", "kept"]).await;
    site.server.add_datastore_without_chunks("dst");
    site.server.add_datastore_without_chunks("src");
    let push = json!({
        "id": "push", "store": "dst", "remote": "rec2", "remote-store": "empty", "sync-direction": "push",
        "active-encryption-key": "active",
    });
    site.ok(Method::POST, JOBS, push.clone()).await;
    let pull = json!({ "id": "pull", "store": "dst", "remote-store": "src", "associated-key": ["kept"] });
    site.ok(Method::POST, JOBS, pull).await;
    let text = site.refused(Method::POST, KEY, json!({ "id": "active" })).await;
    assert_eq!(text, "'active' is still used by sync job push");
    site.toggle("kept").await;
    let mut other = push.clone();
    (other["id"], other["active-encryption-key"]) = (json!("push2"), json!("kept"));
    for (method, path, params) in
        [(Method::POST, JOBS, other), (Method::PUT, JOB, json!({ "id": "push", "active-encryption-key": "kept" }))]
    {
        let text = site.refused(method, path, params).await;
        assert!(text.ends_with("encryption key 'kept' is archived and cannot encrypt"), "{text}");
    }
    // To be associated it need not be active.
    site.ok(Method::PUT, JOB, json!({ "id": "push", "associated-key": ["kept"] })).await;
    let fingerprint = site.ok(Method::GET, KEYS, json!({ "include-archived": true })).await[1]["fingerprint"].clone();
    let (status, log) = site.run("pull").await;
    assert_eq!(status, TaskStatus::Ok, "{log:#?}");
    let short = &fingerprint.as_str().unwrap()[..23];
    assert_eq!(log[2], format!("Loaded encryption key 'kept' with fingerprint '{short}'"));
}

#[tokio::test]
async fn scenario_95_a_key_is_removed_only_when_archived_and_unused() {
    let site = Site::new();
    site.create_keys(&["key1"]).await;
    let job = json!({ "id": "pull", "store": "dst", "remote-store": "src", "associated-key": ["key1"] });
    let remove = json!({ "id": "key1" });
    let text = site.refused(Method::DELETE, KEY, remove.clone()).await;
    assert!(text.contains("still active"), "{text}");
    site.ok(Method::POST, JOBS, job).await;
    site.toggle("key1").await;
    let text = site.refused(Method::DELETE, KEY, remove.clone()).await;
    assert_eq!(text, "'key1' is still used by sync job pull");
    let shown = site.ok(Method::GET, "/farhold/encryption-keys/{id}", remove.clone()).await;
    assert_eq!((&shown["associated-with"], &shown["problem"]), (&json!(["pull"]), &Value::Null));
    site.ok(Method::PUT, JOB, json!({ "id": "pull", "delete": ["associated-key"] })).await;
    let path = site.server.folder().join("etc/encryption-keys/key1.enc");
    assert!(path.exists());
    site.ok(Method::DELETE, KEY, remove.clone()).await;
    assert!(!path.exists());
    site.ok(Method::DELETE, KEY, remove).await;
    assert!(site.listed(json!({ "include-archived": true })).await.is_empty());
}

#[tokio::test]
async fn scenario_96_associated_keys_survive_a_change_of_direction() {
    let site = Site::new();
    site.create_keys(&["key1", "key2"]).await;
    let job = json!({
        "id": "job", "store": "dst", "remote": "rec2", "remote-store": "src", "associated-key": ["key1"],
    });
    site.ok(Method::POST, JOBS, job).await;
    let update = async |params: Value| {
        let mut params = params;
        params["id"] = json!("job");
        site.root(Method::PUT, JOB, params).await
    };
    update(json!({ "sync-direction": "push" })).await.unwrap();
    update(json!({ "sync-direction": "pull" })).await.unwrap();
    assert_eq!(site.keys_of("job").await, (Value::Null, json!(["key1"])));
    update(json!({ "sync-direction": "push", "active-encryption-key": "key2" })).await.unwrap();
    for change in [json!({ "sync-direction": "pull" }), json!({ "delete": ["sync-direction"] })] {
        let text = update(change).await.unwrap_err().text().to_owned();
        assert_eq!(text, "an active encryption key is only possible for push jobs");
    }
    update(json!({ "sync-direction": "pull", "delete": ["active-encryption-key"] })).await.unwrap();
    assert_eq!(site.keys_of("job").await, (Value::Null, json!(["key1", "key2"])));
}

#[tokio::test]
async fn scenario_96_a_push_does_not_become_a_pull_with_keys_that_its_owner_may_not_use() {
    let site = Site::new();
    site.create_keys(&["key1"]).await;
    let owner = "sync@pbs";
    site.server.grant("/datastore/dst", owner, Role::DatastoreAdmin);
    let job = json!({
        "id": "job", "store": "dst", "remote": "rec2", "remote-store": "src", "owner": owner,
        "sync-direction": "push", "associated-key": ["key1"],
    });
    // A push only keeps the list.
    site.ok(Method::POST, JOBS, job).await;
    for change in [json!({ "sync-direction": "pull" }), json!({ "delete": ["sync-direction"] })] {
        let mut change = change;
        change["id"] = json!("job");
        let text = site.refused(Method::PUT, JOB, change).await;
        assert!(text.ends_with("its owner 'sync@pbs' needs Sys.Modify on /system/encryption-keys/key1"), "{text}");
    }
    site.server.grant("/system/encryption-keys/key1", owner, Role::Admin);
    site.ok(Method::PUT, JOB, json!({ "id": "job", "sync-direction": "pull" })).await;
}

/// The active key of a job cannot be archived; this one was, in the file.
#[tokio::test]
async fn scenario_94_a_push_whose_key_was_archived_or_whose_owner_lost_it_fails_at_its_start() {
    let site = Site::new();
    site.create_keys(&["kpush"]).await;
    let owner = "sync@pbs";
    site.server.add_datastore_without_chunks("dst");
    site.server.grant("/datastore/dst", owner, Role::DatastoreAdmin);
    site.server.grant("/system/encryption-keys/kpush", owner, Role::Admin);
    // Nobody listens there, and nobody is asked.
    let remote = json!({ "name": "rsrc", "host": "127.0.0.1", "port": 9, "auth-id": "sync@pbs", "password": "secret" });
    site.ok(Method::POST, "/config/remote", remote).await;
    let job = json!({
        "id": "jpsh", "store": "dst", "remote": "rsrc", "remote-store": "src2", "sync-direction": "push",
        "active-encryption-key": "kpush", "owner": owner,
    });
    site.ok(Method::POST, JOBS, job).await;
    let path = site.server.folder().join("etc/encryption-keys.cfg");
    let active = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{}\n\tarchived-at 1795384145\n", active.trim_end())).unwrap();
    let (status, log) = site.run("jpsh").await;
    assert!(matches!(status, TaskStatus::Error(_)), "{log:#?}");
    // As `push-archived-key` of the recorded logs.
    let expected = [
        "Starting datastore sync job 'rsrc:src2:dst::jpsh'",
        "sync datastore 'dst' to 'rsrc/src2'",
        "queued notification",
        "TASK ERROR: encryption key 'kpush' is archived and cannot encrypt",
    ];
    assert_eq!(log, expected);
    let once = json!({ "store": "dst", "remote": "rsrc", "remote-store": "src2", "encryption-key": "kpush" });
    let text = site.refused(Method::POST, "/push", once.clone()).await;
    assert_eq!(text, "encryption key 'kpush' is archived and cannot encrypt");
    std::fs::write(&path, active).unwrap();
    let text = site.refused(Method::POST, "/push", once).await;
    assert!(text.starts_with("remote 'rsrc' cannot be reached"), "{text}");
    site.server.grant("/system/encryption-keys/kpush", owner, Role::NoAccess);
    let (_, log) = site.run("jpsh").await;
    let denied = "TASK ERROR: missing permissions 'Sys.Modify' on '/system/encryption-keys/kpush'";
    assert_eq!(log[3], denied, "{log:#?}");
}

#[tokio::test]
async fn the_archived_state_is_set_without_looking_and_a_damaged_key_shows_its_problem() {
    const OURS: &str = "/farhold/encryption-keys/{id}";
    let site = Site::new();
    site.create_keys(&["key1"]).await;
    for archived in [true, true, false, false] {
        site.ok(Method::PUT, OURS, json!({ "id": "key1", "archived": archived })).await;
        let shown = site.ok(Method::GET, OURS, json!({ "id": "key1" })).await;
        assert_eq!(shown.get("archived-at").is_some(), archived);
    }
    let path = site.server.folder().join("etc/encryption-keys/key1.enc");
    std::fs::write(&path, key_file()).unwrap();
    let shown = site.ok(Method::GET, OURS, json!({ "id": "key1" })).await;
    let problem = shown["problem"].as_str().unwrap();
    assert!(problem.ends_with("but its key file names 4b:7a:23:96:66:9c:0e:fd"), "{problem}");
    assert!(!shown.to_string().contains(DATA));
    // A job does not begin to name a key that cannot be loaded.
    let job = json!({ "id": "job", "store": "dst", "remote-store": "src", "associated-key": ["key1"] });
    let text = site.refused(Method::POST, JOBS, job).await;
    assert!(text.contains("its key file names"), "{text}");
}
