//! Commands of the client that start tasks on the server, and those about tasks.

use farhold_cli::FAILURE;
use serde_json::Value;

use crate::content::{Content, add_snapshot};
use crate::desk::{Desk, TOKEN, USER, server};

#[tokio::test(flavor = "multi_thread")]
async fn groups_move_and_garbage_is_collected_while_the_log_is_shown() {
    let (site, secret) = server().await;
    let store = site.store("store1");
    for ns in ["site-a", "site-b"] {
        store.create_namespace(&ns.parse().unwrap()).unwrap();
    }
    add_snapshot(&store, "site-a", "host/web1/2026-01-01T10:00:00Z", &[("a.conf.blob", Content::Blob(b"x"))]);
    let desk = Desk::at(&site, TOKEN, &secret);

    let log = desk.run(&["group", "move", "host/web1", "--ns", "site-a", "--target-ns", "site-b"]).await.ok();
    assert!(log.ends_with("TASK OK\n"), "{log}");
    assert_eq!(desk.run(&["list", "--ns", "site-a"]).await.ok(), "");
    assert!(desk.run(&["list", "--ns", "site-b"]).await.ok().contains("host/web1"));
    let log = desk.run(&["namespace", "move", "site-b", "--target-ns", "site-a/b"]).await.ok();
    assert!(log.ends_with("TASK OK\n"), "{log}");
    assert!(desk.run(&["list", "--ns", "site-a/b"]).await.ok().contains("host/web1"));
    // What a server refuses at once is no task.
    let refused = desk.run(&["namespace", "move", "nosuch", "--target-ns", "site-a/c"]).await;
    assert_eq!(refused.code, FAILURE);
    assert!(refused.err.starts_with("Error: ") && refused.err.contains("nosuch"), "{}", refused.err);

    let log = desk.run(&["garbage-collect"]).await.ok();
    assert!(log.contains("garbage collection") && log.ends_with("TASK OK\n"), "{log}");
    // With JSON nobody waits.
    let upid = desk.run(&["garbage-collect", "--output-format", "json"]).await.ok();
    let upid: String = serde_json::from_str(&upid).unwrap();
    assert!(upid.contains(":garbage_collection:store1:"), "{upid}");
    let log = desk.run(&["task", "log", &upid]).await.ok();
    assert!(log.ends_with("TASK OK\n"), "{log}");
    assert_eq!(desk.run(&["task", "stop", &upid]).await.ok(), "");

    let listed = desk.run(&["task", "list", "--all", "--output-format", "json"]).await.ok();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let mut kinds: Vec<&str> = listed.iter().map(|task| task["worker_type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    // What counts as a task of a datastore is the server's rule: moves do not.
    assert_eq!(kinds, ["garbage_collection", "garbage_collection"]);
    let table = desk.run(&["task", "list", "--all", "--limit", "1"]).await.ok();
    assert_eq!(table.matches("UPID:").count(), 1, "{table}");
    assert!(!desk.run(&["task", "list"]).await.ok().contains("UPID:"), "nothing runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_pruned_and_given_away() {
    let (site, secret) = server().await;
    let store = site.store("store1");
    for day in 1..=3 {
        let snapshot = format!("host/web1/2026-01-0{day}T10:00:00Z");
        add_snapshot(&store, "", &snapshot, &[("a.conf.blob", Content::Blob(b"x"))]);
    }
    let desk = Desk::at(&site, TOKEN, &secret);
    let prune = ["prune", "host/web1", "--keep-last", "2"];
    let table = desk.run(&[&prune[..], &["--dry-run", "--quiet"]].concat()).await.ok();
    assert!(table.contains("│ host/web1/2026-01-01T10:00:00Z │ Thu Jan  1 10:00:00 2026 │ remove │"), "{table}");
    assert_eq!(table.matches("host/web1").count(), 1, "{table}");
    assert_eq!(desk.run(&["snapshots", "host/web1"]).await.ok().matches("host/web1").count(), 3);
    let table = desk.run(&prune).await.ok();
    assert_eq!((table.matches(" keep ").count(), table.matches("remove").count()), (2, 1), "{table}");
    assert_eq!(desk.run(&["snapshots", "host/web1"]).await.ok().matches("host/web1").count(), 2);

    assert_eq!(desk.run(&["change-owner", "host/web1", USER]).await.ok(), "");
    let groups = desk.run(&["list", "--output-format", "json"]).await.ok();
    let groups: Vec<Value> = serde_json::from_str(&groups).unwrap();
    assert_eq!(groups[0]["owner"], USER);
    let refused = desk.run(&["change-owner", "host/web1", "nobody"]).await;
    assert_eq!(refused.code, FAILURE);
    assert!(refused.err.contains("'new-owner' is no user or API token"), "{}", refused.err);
}
