//! What a push sends, leaves out and says.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farhold_crypto::CryptConfig;
use farhold_datastore::Datastore;
use farhold_format::blob::{self, BlobDecoder};
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::{Manifest, SignatureState};
use farhold_types::{Authid, CLIENT_LOG_NAME, CryptMode, Namespace, Role};
use serde_json::Value;

use crate::content::{self, Content, add_snapshot, assert_same, assert_sound, golden, unpack_golden};
use crate::pair::{add_disk, nothing};
use crate::push_pair::{ACCOUNT, PushPair, USER};
use crate::site::Site;

const DAYS: [&str; 3] = ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z", "2026-01-03T10:00:00Z"];

/// Whoever owns jobs with few rights.
const OPERATOR: &str = "op@pbs";

/// Adds a snapshot with one small file, in a group of `owner`.
pub fn add_small(store: &Datastore, namespace: &str, snapshot: &str, owner: &str) {
    let ns: Namespace = namespace.parse().unwrap();
    let group = snapshot.rsplit_once('/').unwrap().0.parse().unwrap();
    drop(store.create_group(&ns, &group, &owner.parse::<Authid>().unwrap()).unwrap());
    add_snapshot(store, namespace, snapshot, &[("qemu-server.conf.blob", Content::Blob(snapshot.as_bytes()))]);
}

/// A manifest without what the server that took it adds, and without the verification, which is of the other server.
/// Compared as JSON: the file may be written anew.
fn told(manifest: &[u8]) -> Value {
    let plain = BlobDecoder::new().decode(manifest, None, 16 << 20).unwrap();
    let mut manifest: Value = serde_json::from_slice(&plain).unwrap();
    let unprotected = manifest["unprotected"].as_object_mut().unwrap();
    for name in ["chunk_upload_stats", "verify_state"] {
        unprotected.remove(name);
    }
    manifest
}

/// Asserts that `to` holds what `from` holds, as an unmodified push brings it: manifests tell the same, blobs and chunks
/// are the same byte for byte. The content of indexes is in their checksums, which the manifests tell.
#[track_caller]
pub fn assert_pushed(from: &Path, to: &Path) {
    let files = |store| {
        let mut files = content::snapshots(store);
        files.retain(|path, _| !path.ends_with("/notes"));
        files
    };
    let (left, right) = (files(from), files(to));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, bytes) in &left {
        if path.ends_with("/index.json.blob") {
            assert_eq!(told(bytes), told(&right[path]), "{path}");
        } else if !path.ends_with(".fidx") && !path.ends_with(".didx") {
            assert!(*bytes == right[path], "{path} differs");
        }
    }
    let source = content::chunk_files(from);
    for (name, bytes) in &content::chunk_files(to) {
        assert!(source.get(name) == Some(bytes), "chunk {name} differs");
    }
    assert_sound(to);
}

/// Two servers, of which the first has the recorded store.
async fn with_golden() -> PushPair {
    let pair = PushPair::new(nothing).await;
    std::fs::remove_dir_all(pair.near_store()).unwrap();
    unpack_golden(&pair.near_store());
    pair
}

fn manifest_of(store: &Path, snapshot: &str) -> Manifest {
    Manifest::from_blob(&std::fs::read(store.join(snapshot).join("index.json.blob")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_76_pushed_snapshots_belong_to_the_account_and_come_back_as_they_were() {
    let pair = with_golden().await;
    let local = &pair.near.store("local");
    let (root, group) = (Namespace::root(), "vm/100".parse().unwrap());
    let (_, lock) = local.create_group(&root, &group, &Authid::root()).unwrap();
    local.set_owner(&lock, &"somebody@pbs".parse().unwrap()).unwrap();
    drop(lock);
    pair.pushed().await;
    assert_pushed(&pair.near_store(), &pair.far_store());
    let owners = content::owners(&pair.far_store());
    assert!(owners.contains_key("vm/100") && owners.values().all(|owner| owner == ACCOUNT), "{owners:?}");
    // Pulled elsewhere it is still the same.
    let third = Site::new();
    third.add_store("copy");
    let (port, fingerprint) = (pair.far.port(), pair.far.fingerprint());
    pair.far.add_user("reader@pbs", "a password");
    pair.far.grant("/datastore/tank", "reader@pbs", Role::DatastoreReader);
    let remote = ["remote", "create", "far", "--host", "127.0.0.1", "--port", &port, "--auth-id", "reader@pbs"];
    third.run(&[&remote[..], &["--password", "a password", "--fingerprint", &fingerprint]].concat()).await.ok();
    third.run(&["pull", "far", "tank", "copy"]).await.ok();
    assert_same(&pair.far_store(), &third.store_path("copy"));
    assert_pushed(&pair.near_store(), &third.store_path("copy"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_12_signed_files_stay_signed_and_the_signature_fits() {
    let pair = with_golden().await;
    pair.pushed().await;
    let key = KeyFile::parse(&std::fs::read(golden("client.key")).unwrap()).unwrap().decrypt(None).unwrap();
    let key = CryptConfig::new(key);
    let mut seen = Vec::new();
    for path in content::snapshots(&pair.far_store()).into_keys() {
        let Some(snapshot) = path.strip_suffix("/index.json.blob") else { continue };
        let manifest = manifest_of(&pair.far_store(), snapshot);
        if manifest.signature.is_some() && manifest.key_fingerprint().unwrap() == Some(key.fingerprint()) {
            assert_eq!(manifest.check_signature(&key).unwrap(), SignatureState::Valid, "{snapshot}");
            seen.extend(manifest.files.iter().map(|file| file.crypt_mode));
        }
    }
    for mode in [CryptMode::None, CryptMode::SignOnly, CryptMode::Encrypt] {
        assert!(seen.contains(&mode), "no signed manifest has a file of the mode {mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_14_client_logs_are_sent_as_they_are_stored() {
    let pair = with_golden().await;
    pair.pushed().await;
    let logs = |store: &Path| {
        let mut files = content::snapshots(store);
        files.retain(|path, _| path.ends_with(CLIENT_LOG_NAME));
        files
    };
    let (here, there) = (logs(&pair.near_store()), logs(&pair.far_store()));
    assert!(1 < here.len() && here == there);
    let is_encrypted = |log: &Vec<u8>| blob::check(log).unwrap().is_encrypted();
    assert!(here.values().any(is_encrypted) && !here.values().all(is_encrypted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_77_a_second_push_sends_nothing_and_a_new_snapshot_only_its_new_chunks() {
    let pair = PushPair::new(|store| add_disk(store, &format!("vm/100/{}", DAYS[0]), 32)).await;
    pair.pushed().await;
    let before = content::tree(&pair.far_store());
    let sent = pair.relay.statistics().up_bytes;
    let log = pair.pushed().await;
    assert!(log.contains("Summary: sync job found no new data to push\n") && log.contains("TASK OK"), "{log}");
    assert_eq!(content::tree(&pair.far_store()), before);
    let after = pair.relay.statistics().up_bytes;
    assert!(after - sent < 100_000, "{} bytes for nothing", after - sent);
    // Two chunks more than the day before.
    add_disk(&pair.near.store("local"), &format!("vm/100/{}", DAYS[1]), 40);
    let log = pair.pushed().await;
    assert!(log.contains("Summary: sync job pushed ") && log.contains(" in 2 chunks ("), "{log}");
    let sent = pair.relay.statistics().up_bytes - after;
    assert!((8 << 20..9 << 20).contains(&sent), "{sent} bytes for two chunks of 4 MiB");
    assert_pushed(&pair.near_store(), &pair.far_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_78_a_group_of_somebody_else_on_the_target_is_left_alone_with_a_warning() {
    let pair = PushPair::new(|store| {
        for group in ["vm/1", "vm/2", "vm/3"] {
            add_small(store, "", &format!("{group}/{}", DAYS[1]), "root@pam");
        }
    })
    .await;
    let far = pair.far.store("tank");
    add_small(&far, "", &format!("vm/1/{}", DAYS[0]), "other@pbs");
    // The user of the account's token is somebody else, too.
    add_small(&far, "", &format!("vm/2/{}", DAYS[0]), USER);
    let before = content::tree(&pair.far_store());
    let log = pair.pushed().await;
    for group in ["vm/1", "vm/2"] {
        let line =
            format!("[{group}]: Group '{group}' not owned by remote user '{ACCOUNT}' on target, skipping upload\n");
        assert!(log.contains(&line), "{line}{log}");
    }
    assert!(log.contains("TASK WARNINGS: 2"), "{log}");
    let mut after = content::tree(&pair.far_store());
    after.retain(|path, _| !path.starts_with("vm/3/"));
    assert_eq!(after, before);
    assert!(pair.far_store().join("vm/3").join(DAYS[1]).join("index.json.blob").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_79_snapshots_older_than_the_newest_on_the_target_are_left_out() {
    let pair = PushPair::new(|store| {
        for day in DAYS {
            add_small(store, "", &format!("vm/1/{day}"), "root@pam");
        }
    })
    .await;
    add_small(&pair.far.store("tank"), "", "vm/1/2026-01-02T20:00:00Z", ACCOUNT);
    let log = pair.pushed().await;
    let line = format!(
        "[vm/1]: skipped: 2 snapshot(s) ({} .. {}) - older than the newest snapshot present on sync target\n",
        DAYS[0], DAYS[1]
    );
    assert!(log.contains(&line) && log.contains("TASK OK"), "{log}");
    let there = pair.far.store("tank").snapshots(&Namespace::root(), &"vm/1".parse().unwrap()).unwrap();
    let there: Vec<String> = there.into_iter().map(|snapshot| snapshot.time.to_string()).collect();
    assert_eq!(there, ["2026-01-02T20:00:00Z", DAYS[2]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_28_an_owner_who_may_only_back_up_pushes_only_his_own_groups() {
    let pair = PushPair::new(|store| {
        add_small(store, "", &format!("vm/1/{}", DAYS[0]), OPERATOR);
        add_small(store, "", &format!("vm/2/{}", DAYS[0]), "root@pam");
    })
    .await;
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local", OPERATOR, Role::DatastoreBackup);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteSyncPushOperator);
    pair.update(&["--owner", OPERATOR]).await;
    let log = pair.pushed().await;
    assert!(log.contains("Found 1 groups to sync (out of 1 total)\n") && log.contains("TASK OK"), "{log}");
    assert_eq!(content::owners(&pair.far_store()).into_keys().collect::<Vec<_>>(), ["vm/1"]);
}

fn fill_namespaces(store: &Datastore) {
    for namespace in ["a", "a/b"] {
        store.create_namespace(&namespace.parse().unwrap()).unwrap();
    }
    for (namespace, group) in [("", "vm/1"), ("a", "vm/2"), ("a/b", "vm/3")] {
        add_small(store, namespace, &format!("{group}/{}", DAYS[0]), "root@pam");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_82_missing_namespaces_are_created_one_after_the_other() {
    let pair = PushPair::new(fill_namespaces).await;
    let log = pair.pushed().await;
    for namespace in ["a", "a/b"] {
        let line = format!("Successfully created new namespace {namespace} on remote\n");
        assert!(log.contains(&line), "{line}{log}");
    }
    assert_pushed(&pair.near_store(), &pair.far_store());
    pair.update(&["--remote-ns", "x/y"]).await;
    let log = pair.pushed().await;
    assert!(log.contains("TASK OK"), "{log}");
    for (namespace, group) in [("ns/x/ns/y", "vm/1"), ("ns/x/ns/y/ns/a", "vm/2"), ("ns/x/ns/y/ns/a/ns/b", "vm/3")] {
        let manifest = pair.far_store().join(namespace).join(group).join(DAYS[0]).join("index.json.blob");
        assert!(manifest.exists(), "{}", manifest.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_82_without_the_right_to_create_a_namespace_it_fails_and_the_others_go_on() {
    let pair = PushPair::new(fill_namespaces).await;
    pair.near.add_user(OPERATOR, "a password");
    pair.near.grant("/datastore/local", OPERATOR, Role::DatastoreReader);
    pair.near.grant("/remote/pbs2/tank", OPERATOR, Role::RemoteDatastorePowerUser);
    pair.update(&["--owner", OPERATOR]).await;
    let log = pair.push().await.failed();
    for namespace in ["a", "a/b"] {
        let line = format!("missing Remote.DatastoreModify on /remote/pbs2/tank/{namespace}\n");
        assert!(log.contains(&line), "{line}{log}");
    }
    assert_eq!(content::owners(&pair.far_store()).into_keys().collect::<Vec<_>>(), ["vm/1"]);
    assert!(!pair.far_store().join("ns/a").exists());
    // Where it exists, pushing needs no right to create it.
    pair.far.store("tank").create_namespace(&"a".parse().unwrap()).unwrap();
    let log = pair.push().await.failed();
    assert!(log.contains("Remote.DatastoreModify on /remote/pbs2/tank/a/b\n"), "{log}");
    assert_eq!(content::owners(&pair.far_store()).into_keys().collect::<Vec<_>>(), ["ns/a/vm/2", "vm/1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_83_a_peer_that_is_too_old_is_refused_at_once() {
    let fill = |store: &Datastore| add_small(store, "", &format!("vm/1/{}", DAYS[0]), "root@pam");
    let pair = PushPair::with_version("2.1", "9", fill).await;
    let log = pair.push().await.failed();
    assert!(log.contains("TASK ERROR: unsupported remote api version, minimum v2.2 required"), "{log}");
    assert!(!log.contains("----"), "nothing was begun: {log}");
    let once = pair.near.run(&["push", "local", "pbs2", "tank"]).await.failed();
    assert!(once.contains("unsupported remote api version") && !once.contains("TASK"), "there is no task: {once}");
    assert!(content::tree(&pair.far_store()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_83_an_old_peer_is_pushed_to_and_its_deletions_tell_less() {
    let fill = |store: &Datastore| {
        for group in ["vm/1", "vm/2", "vm/3"] {
            add_small(store, "", &format!("{group}/{}", DAYS[0]), "root@pam");
        }
    };
    let pair = PushPair::with_version("3.1", "5", fill).await;
    pair.pushed().await;
    assert_pushed(&pair.near_store(), &pair.far_store());
    let (root, near) = (Namespace::root(), pair.near.store("local"));
    for group in ["vm/2", "vm/3"] {
        near.remove_group(&root, &group.parse().unwrap()).unwrap();
    }
    let protected = format!("vm/3/{}", DAYS[0]).parse().unwrap();
    pair.far.store("tank").set_protected(&root, &protected, true).unwrap();
    pair.update(&["--remove-vanished", "true"]).await;
    // What is protected is an error for such a peer, and no statistics come.
    let log = pair.push().await.failed();
    assert!(log.contains("Removed vanished group vm/2 from remote\n"), "{log}");
    assert!(log.contains("Failed to remove vanished group vm/3 from remote!\n"), "{log}");
    assert!(log.contains("deletion statistics might be incomplete\n"), "{log}");
    assert_eq!(content::owners(&pair.far_store()).into_keys().collect::<Vec<_>>(), ["vm/1", "vm/3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_73_limits_of_a_push_job_are_kept_and_gone_once_they_are_removed() {
    let fill = |store: &Datastore| {
        let seeds: Vec<u64> = (1..33).collect();
        add_snapshot(store, "", &format!("vm/1/{}", DAYS[0]), &[("a.pxar.didx", Content::Chunks(&seeds, 65_536))]);
    };
    // Times are only compared with what a limit makes impossible, however fast or slow the machine is.
    let pair = PushPair::new(fill).await;
    pair.update(&["--rate-out", "1MiB"]).await;
    let begin = Instant::now();
    pair.pushed().await;
    let took = begin.elapsed().as_secs_f64();
    assert!(1.8 <= took, "{took} s");
    assert_pushed(&pair.near_store(), &pair.far_store());
    // With this limit the run would take half an hour.
    let pair = PushPair::new(fill).await;
    pair.update(&["--rate-out", "1KiB"]).await;
    pair.update(&["--delete", "rate-out"]).await;
    tokio::time::timeout(Duration::from_secs(120), pair.pushed()).await.expect("the limit is gone");
    assert_pushed(&pair.near_store(), &pair.far_store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_without_a_job_is_a_task_of_its_own_and_names_what_is_wrong_before_there_is_one() {
    let pair = PushPair::new(|store| add_small(store, "", &format!("vm/1/{}", DAYS[0]), "root@pam")).await;
    let wrong = async |arguments: &[&str], words: &str| {
        let text = pair.near.run(&[&["push", "local", "pbs2", "tank"], arguments].concat()).await.failed();
        assert!(text.contains(words) && !text.contains("TASK"), "'{words}' is missing in: {text}");
    };
    wrong(&["--ns", "nosuch"], "datastore 'local' has no namespace 'nosuch'").await;
    wrong(&["--max-depth", "7", "--remote-ns", "a"], "max-depth").await;
    pair.near.run(&["remote", "update", "pbs2", "--password", "a wrong one"]).await.ok();
    wrong(&[], "remote 'pbs2' cannot be reached").await;
    assert!(content::tree(&pair.far_store()).is_empty());
    let secret = pair.far.app.access.create_token_secret(&ACCOUNT.parse().unwrap()).unwrap();
    pair.near.run(&["remote", "update", "pbs2", "--password", secret.expose()]).await.ok();
    let log = pair.near.run(&["push", "local", "pbs2", "tank"]).await.ok();
    assert!(log.starts_with("----\nSyncing datastore 'local', root namespace into datastore 'tank', root"), "{log}");
    assert!(log.contains("TASK OK") && !log.contains("Summary"), "{log}");
    assert_pushed(&pair.near_store(), &pair.far_store());
    let app: Arc<_> = Arc::clone(&pair.near.app);
    let tasks = app.tasks.list(&farhold_tasks::TaskFilter::default(), |_| true).unwrap();
    let kinds: Vec<String> =
        tasks.items.iter().map(|task| serde_json::to_value(task).unwrap()["worker_type"].to_string()).collect();
    assert_eq!(kinds, ["\"sync\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_the_push_does_and_changes_nothing() {
    let pair = PushPair::new(|store| {
        fill_namespaces(store);
        add_small(store, "", &format!("vm/1/{}", DAYS[1]), "root@pam");
        add_small(store, "", &format!("vm/4/{}", DAYS[0]), "root@pam");
    })
    .await;
    let far = pair.far.store("tank");
    add_small(&far, "", &format!("vm/1/{}", DAYS[0]), ACCOUNT);
    add_small(&far, "", &format!("vm/4/{}", DAYS[0]), "other@pbs");
    add_small(&far, "", &format!("vm/9/{}", DAYS[0]), ACCOUNT);
    pair.update(&["--remove-vanished", "true"]).await;
    let before = [content::tree(&pair.near_store()), content::tree(&pair.far_store())];
    let plan = pair.near.run(&["sync-job", "run", "push", "--dry-run", "true"]).await.ok();
    for line in [
        "namespace 'a/b' -> namespace 'a/b' (to be created): 1 of 1 group in scope\n",
        "    fails: it does not belong to sync@pbs!t1 on the target, so nothing of it is pushed\n",
        "  vm/9: vanished\n    2026-01-01T10:00:00Z  remove    vanished from the source\n",
        "total: push 3 snapshots, at most ",
        "remove 1 snapshot, 1 group, 0 namespaces; 1 failure\n",
    ] {
        assert!(plan.contains(line), "{line}{plan}");
    }
    for (snapshot, ns, says) in [
        (format!("vm/1/{}", DAYS[0]), "", "leaves vm/1/2026-01-01T10:00:00Z alone: the target has it"),
        (format!("vm/1/{}", DAYS[1]), "", "pushes vm/1/2026-01-02T10:00:00Z: it is newer than every finished snapshot"),
        (format!("vm/3/{}", DAYS[0]), "a/b", "pushes vm/3/2026-01-01T10:00:00Z: the target has no finished snapshot"),
        (format!("vm/4/{}", DAYS[0]), "", "alone: the group vm/4 is left out: it does not belong to sync@pbs!t1"),
        (format!("vm/8/{}", DAYS[0]), "", "alone: the source lists no group vm/8 there"),
    ] {
        let told = pair.near.run(&["sync-job", "explain", "push", &snapshot, "--ns", ns]).await.ok();
        assert!(told.contains(says), "{says}\n{told}");
    }
    assert_eq!([content::tree(&pair.near_store()), content::tree(&pair.far_store())], before);
    let log = pair.pushed().await;
    assert_eq!(log.matches(": sync done\n").count(), 3, "{log}");
    assert!(log.contains("removed vanished: snapshots: 1, groups: 1, namespaces: 0\n"), "{log}");
}
