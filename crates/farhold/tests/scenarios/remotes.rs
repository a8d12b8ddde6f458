//! Accounts and certificates of remotes.

use farhold_types::{Authid, Namespace, Role};

use crate::content::{Content, add_snapshot, assert_same, snapshots};
use crate::pair::{Account, Pair, nothing};
use crate::peer::Peer;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_6_the_right_fingerprint_in_any_case_lists_the_stores_and_another_one_is_named() {
    let pair = Pair::new(Account::Token, nothing).await;
    let right = pair.source.fingerprint();
    for fingerprint in [right.to_uppercase(), right.to_lowercase()] {
        pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &fingerprint]).await.ok();
        assert!(pair.target.run(&["remote", "scan", "pbs2"]).await.ok().contains("tank"));
    }
    let wrong = ["00"; 32].join(":");
    pair.target.run(&["remote", "update", "pbs2", "--fingerprint", &wrong]).await.ok();
    let text = pair.target.run(&["remote", "scan", "pbs2"]).await.failed();
    assert!(text.contains(&right.to_lowercase()) && text.contains(&wrong), "both are named: {text}");
    pair.target.run(&["remote", "update", "pbs2", "--delete", "fingerprint"]).await.ok();
    let text = pair.target.run(&["remote", "scan", "pbs2"]).await.failed();
    assert!(text.contains("is not trusted") && text.contains(&right.to_lowercase()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_9_an_api_token_pulls_without_a_login() {
    let served = Site::new();
    let path = served.add_store("tank");
    let archives = [("root.pxar.didx", Content::Chunks(&[1, 2, 3], 2000))];
    add_snapshot(&served.store("tank"), "", "host/a/2026-01-01T10:00:00Z", &archives);
    // A peer that stops the test when it is asked for anything but what a pull needs, and tells what it was asked for.
    let peer = Peer::new(served.store("tank"));
    let address = peer.listen().await;
    let site = Site::new();
    site.add_store("local");
    let (port, fingerprint) = (address.port().to_string(), peer.fingerprint().to_string());
    let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", "sync@pbs!t1"];
    site.run(&[&create[..], &["--password", "any", "--fingerprint", &fingerprint]].concat()).await.ok();
    let job = ["sync-job", "create", "pull", "--remote", "pbs2", "--remote-store", "tank", "--store", "local"];
    site.run(&job).await.ok();
    site.run(&["sync-job", "run", "pull"]).await.ok();
    assert_same(&path, &site.store_path("local"));
    let asked: Vec<_> = peer.take_log().into_iter().map(|ask| ask.path).collect();
    assert!(asked.iter().any(|path| path == "/chunk"), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("access")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_9_a_wrong_token_secret_fails_the_job_with_the_cause() {
    let pair = Pair::new(Account::Token, nothing).await;
    pair.target.run(&["remote", "update", "pbs2", "--password", "a wrong secret"]).await.ok();
    let text = pair.pull().await.failed();
    assert!(text.contains("TASK ERROR: ") && text.contains("status 401"), "{text}");
    assert!(!text.contains("a wrong secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_30_an_account_that_may_only_back_up_gets_only_its_own_groups() {
    let pair = Pair::with_role(Account::Token, Role::DatastoreBackup, |store| {
        let own: Authid = "sync@pbs!t1".parse().unwrap();
        drop(store.create_group(&Namespace::root(), &"host/own".parse().unwrap(), &own).unwrap());
        for group in ["host/foreign", "host/own"] {
            let archives = [("root.pxar.didx", Content::Chunks(&[1, 2, 3], 2000))];
            add_snapshot(store, "", &format!("{group}/2026-01-01T10:00:00Z"), &archives);
        }
    })
    .await;
    let log = pair.pull().await.ok();
    assert!(log.contains("Found 1 groups to sync (out of 1 total)"), "{log}");
    let copied: Vec<_> = snapshots(&pair.target_store()).into_keys().collect();
    assert!(!copied.is_empty() && copied.iter().all(|path| path.starts_with("host/own/")), "{copied:?}");
}
