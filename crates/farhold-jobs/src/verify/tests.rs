//! A new backup is verified if its store wants that.

use std::time::Duration;

use farhold_datastore::Datastore;
use farhold_format::task_log::TaskStatus;
use farhold_types::{Authid, Digest, Namespace, Snapshot, VerifyState};

use super::log::amounts;
use super::verify_new;
use crate::testing::{self, TestServer};

fn snapshot() -> Snapshot {
    "vm/100/2026-01-01T10:00:00Z".parse().expect("valid")
}

fn caller() -> Authid {
    "sync@pbs!t1".parse().expect("valid")
}

/// Returns the digest of the only chunk.
fn back_up(store: &Datastore, namespace: &Namespace) -> Digest {
    testing::back_up(store, namespace, &snapshot(), &caller(), b"content")
}

fn want(server: &TestServer, verify_new: Option<bool>) {
    let edit = |all: &mut farhold_settings::Entries<farhold_settings::Datastores>| {
        let mut config = all.require("tank")?.clone();
        config.verify_new = verify_new;
        all.update(config)
    };
    server.app.settings.datastores().edit::<_, farhold_settings::SettingsError>(None, edit).expect("edited");
}

async fn log_of(server: &TestServer, upid: &str) -> Vec<String> {
    let without_amounts = |line: String| if line.starts_with("  verified") { "  verified".to_owned() } else { line };
    server.log_of(upid).await.into_iter().map(without_amounts).collect()
}

#[tokio::test]
async fn only_a_store_that_wants_it_verifies_new_backups() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    let namespace: Namespace = "a".parse().unwrap();
    store.create_namespace(&namespace).unwrap();
    let digest = back_up(&store, &namespace);
    let name = "tank".parse().unwrap();
    let (snapshot, caller) = (snapshot(), caller());
    let start = || verify_new(&server.app, &name, &namespace, &snapshot, &caller);
    for wanted in [None, Some(false)] {
        want(&server, wanted);
        assert!(start().await.unwrap().is_none());
    }
    want(&server, Some(true));

    let upid = start().await.unwrap().unwrap();
    assert_eq!((upid.worker_type(), upid.worker_id()), ("verify", Some("tank:vm/100/695645A0")));
    assert_eq!(upid.authid(), &caller);
    let path = "tank:ns/a/vm/100/2026-01-01T10:00:00Z";
    assert_eq!(
        log_of(&server, upid.as_str()).await,
        [&format!("verify {path}"), "  check disk.img.fidx", "  verified", "TASK OK"]
    );
    let state = |store: &Datastore| store.read_manifest(&namespace, &snapshot).unwrap().0.verify_state().unwrap();
    assert_eq!((state(&store).state, state(&store).upid), (VerifyState::Ok, upid.to_string()));

    let text = digest.to_string();
    let file = server.store_path("tank").join(".chunks").join(&text[..4]).join(&text);
    let mut content = std::fs::read(&file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&file, content).unwrap();
    let upid = start().await.unwrap().unwrap();
    let log = log_of(&server, upid.as_str()).await;
    let expected = [
        format!("verify {path}"),
        "  check disk.img.fidx".to_owned(),
        log[2].clone(),
        format!("corrupt chunk {digest} renamed to '.chunks/{}/{text}.0.bad'", &text[..4]),
        "  verified".to_owned(),
        format!("verify {path}/disk.img.fidx failed: chunks could not be verified"),
        "Failed to verify the following snapshots/groups:".to_owned(),
        "\tns/a/vm/100/2026-01-01T10:00:00Z".to_owned(),
        "TASK ERROR: verification failed - please check the log for details".to_owned(),
    ];
    assert_eq!(log, expected);
    assert!(log[2].starts_with(&format!("chunk {digest} of 'disk.img.fidx' is bad: chunk is damaged: ")), "{}", log[2]);
    assert_eq!(state(&store).state, VerifyState::Failed);
    assert!(matches!(server.ended(upid.as_str()).await, TaskStatus::Error(_)));

    let manifest = server.store_path("tank").join("ns/a/vm/100/2026-01-01T10:00:00Z/index.json.blob");
    std::fs::remove_file(manifest).unwrap();
    let upid = start().await.unwrap().unwrap();
    let log = log_of(&server, upid.as_str()).await;
    assert!(log[0].ends_with("has no file 'index.json.blob'") && log[1].starts_with("  hint: "), "{log:?}");
}

#[tokio::test]
async fn a_store_that_is_gone_or_may_not_be_written_gets_no_verification() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    back_up(&store, &Namespace::root());
    let start = |name: &str| {
        let (app, name) = (server.app.clone(), name.parse().expect("valid"));
        async move { verify_new(&app, &name, &Namespace::root(), &snapshot(), &caller()).await }
    };
    assert!(start("other").await.unwrap().is_none());
    want(&server, Some(true));
    let edit = |all: &mut farhold_settings::Entries<farhold_settings::Datastores>| {
        let mut config = all.require("tank")?.clone();
        config.maintenance_mode = Some("type=read-only".to_owned());
        all.update(config)
    };
    server.app.settings.datastores().edit::<_, farhold_settings::SettingsError>(None, edit).unwrap();
    let error = start("tank").await.unwrap_err();
    assert!(matches!(error, super::VerifyError::Store(_)), "{error}");
}

#[test]
fn amounts_have_the_form_of_the_reference() {
    assert_eq!(
        amounts(1_352_663, 25_165_824, Duration::from_millis(100), 1),
        "  verified 1.29/24.00 MiB in 0.10 seconds, speed 12.90/240.00 MiB/s (1 errors)"
    );
    assert_eq!(
        amounts(0, 0, Duration::ZERO, 0),
        "  verified 0.00/0.00 MiB in 0.00 seconds, speed 0.00/0.00 MiB/s (0 errors)"
    );
}

#[tokio::test]
async fn backups_that_end_together_are_verified_in_turn_and_who_waits_can_be_stopped() {
    let server = TestServer::new();
    let store = server.add_datastore_without_chunks("tank");
    back_up(&store, &Namespace::root());
    want(&server, Some(true));
    let name = "tank".parse().unwrap();
    let others = std::sync::Arc::clone(&server.app.verify_turns.0).acquire_many_owned(8).await.unwrap();
    let start =
        async || verify_new(&server.app, &name, &Namespace::root(), &snapshot(), &caller()).await.unwrap().unwrap();
    let (first, second) = (start().await, start().await);
    let waits = async |upid: &farhold_format::upid::Upid| {
        while server.app.tasks.log_lines(upid, 0, 0).unwrap().lines.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    waits(&first).await;
    waits(&second).await;
    server.app.tasks.abort(&first);
    let waiting = "waiting for other verifications to end";
    let aborted = "TASK ERROR: abort requested - aborting task";
    assert_eq!(log_of(&server, first.as_str()).await, [waiting, aborted]);
    drop(others);
    let path = "verify tank:vm/100/2026-01-01T10:00:00Z";
    let lines = log_of(&server, second.as_str()).await;
    assert_eq!(lines, [waiting, path, "  check disk.img.fidx", "  verified", "TASK OK"]);
}
