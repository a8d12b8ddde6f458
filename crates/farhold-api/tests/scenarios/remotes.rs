//! Scenarios 1 to 11, as far as no second server is needed.

use farhold_types::Role;
use serde_json::json;

use crate::desk::{Desk, ROOT, USER, remote_job, with};

const FINGERPRINT: &str =
    "9d:d8:94:f4:b6:bb:91:6a:d9:91:94:11:c0:e3:a6:1f:b5:6b:ad:bc:21:51:77:b5:1f:83:5a:12:ef:5f:cf:52";

#[tokio::test]
async fn scenario_1_a_remote_is_written_with_its_password_and_shown_without() {
    let desk = Desk::new();
    assert_eq!(desk.get(ROOT, "/config/remote").await.data(), json!([]));
    let shown = json!({"name": "pbs2", "host": "pbs2.example", "auth-id": "sync@pbs", "fingerprint": FINGERPRINT});
    let remote = with(shown.clone(), json!({"password": "open sesame"}));
    assert_eq!(desk.post(ROOT, "/config/remote", remote).await.data(), json!(null));
    let file = desk.file("remote.cfg");
    let mut lines: Vec<&str> = file.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "remote: pbs2");
    lines.sort_unstable();
    let fingerprint = format!("fingerprint {FINGERPRINT}");
    // base64 of the password.
    assert_eq!(lines, ["auth-id sync@pbs", &fingerprint, "host pbs2.example", "password b3BlbiBzZXNhbWU="]);
    assert_eq!(desk.get(ROOT, "/config/remote").await.data(), json!([shown]));
    assert_eq!(desk.get(ROOT, "/config/remote/pbs2").await.data(), shown);
}

#[tokio::test]
async fn scenario_3_a_name_that_is_taken_is_refused() {
    let desk = Desk::new();
    desk.create_remote().await;
    let before = desk.file("remote.cfg");
    let again = json!({"name": "pbs2", "host": "other.example", "auth-id": "x@pbs", "password": "secret-2"});
    desk.post(ROOT, "/config/remote", again).await.refused(400, &["parameter verification failed", "'name'"]);
    assert_eq!(desk.file("remote.cfg"), before);
}

#[tokio::test]
async fn scenario_4_an_update_changes_what_it_names_and_nothing_else() {
    let desk = Desk::new();
    desk.create_remote().await;
    let mut before = desk.get(ROOT, "/config/remote/pbs2").await.data();
    desk.put(ROOT, "/config/remote/pbs2", json!({"host": "new.example"})).await.data();
    before["host"] = json!("new.example");
    assert_eq!(desk.get(ROOT, "/config/remote").await.data(), json!([before]));
    assert!(desk.file("remote.cfg").contains("password c2VjcmV0LTE="), "the password stays");
}

#[tokio::test]
async fn scenario_5_a_remote_stays_while_a_job_names_it() {
    let desk = Desk::new();
    desk.create_remote().await;
    desk.create_job(ROOT, remote_job()).await;
    desk.delete(ROOT, "/config/remote/pbs2").await.refused(400, &["'name'", "pbs2", "pbs2-local", "local"]);
    desk.delete(ROOT, "/config/sync/pbs2-local").await.data();
    desk.delete(ROOT, "/config/remote/pbs2").await.data();
    desk.delete(ROOT, "/config/remote/pbs2").await.refused(404, &["pbs2"]);
}

#[tokio::test(start_paused = true)]
async fn scenario_8_remotes_show_to_those_who_may_audit_them_and_change_for_those_who_may_modify() {
    let desk = Desk::new();
    desk.create_remote().await;
    let other = json!({"name": "other", "host": "b.example", "auth-id": "sync@pbs", "password": "secret-1"});
    desk.post(ROOT, "/config/remote", other.clone()).await.data();
    desk.grant(&[("/remote/pbs2", Role::RemoteAudit)]);
    let seen = desk.get(USER, "/config/remote").await.data();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["name"]), (1, &json!("pbs2")));
    let before = desk.file("remote.cfg");
    let needs = |what: &'static str, place: &'static str| ["permission check failed", what, place];
    let create = desk.post(USER, "/config/remote", with(other, json!({"name": "third"}))).await;
    create.refused(403, &needs("Remote.Modify", "on /remote"));
    let update = desk.put(USER, "/config/remote/pbs2", json!({"host": "c.example"})).await;
    update.refused(403, &needs("Remote.Modify", "on /remote/pbs2"));
    let remove = desk.delete(USER, "/config/remote/pbs2").await;
    remove.refused(403, &needs("Remote.Modify", "on /remote/pbs2"));
    desk.get(USER, "/config/remote/other").await.refused(403, &needs("Remote.Audit", "on /remote/other"));
    assert_eq!(desk.file("remote.cfg"), before);
}

#[tokio::test]
async fn scenario_11_the_second_update_with_the_same_digest_is_refused() {
    let desk = Desk::new();
    desk.create_remote().await;
    let local_job = json!({"id": "nightly", "store": "local", "remote-store": "tank"});
    desk.create_job(ROOT, local_job).await;
    for path in ["/config/remote/pbs2", "/config/sync/nightly"] {
        let digest = desk.get(ROOT, path).await.json()["digest"].take();
        desk.put(ROOT, path, json!({"comment": "first", "digest": digest})).await.data();
        desk.put(ROOT, path, json!({"comment": "second", "digest": digest})).await.refused(400, &["changed"]);
        let stale = json!({"digest": digest.as_str().unwrap()});
        desk.call(ROOT, "DELETE", path, stale).await.refused(400, &["changed"]);
        assert_eq!(desk.get(ROOT, path).await.data()["comment"], "first");
    }
}
