//! Calls that change a server, connections opened ahead, and what counts as a sign of life outside sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use farhold_client::{Client, ClientError};
use farhold_types::{DatastoreName, DeleteStatistics, Group, Namespace};
use futures::future::join;
use tokio::time::{Instant, sleep};

use crate::peer::{Connection, Peer, snapshot};
use crate::upload_peer::{WINDOWS, open_backup};
use farhold_protocol::upgrade::BACKUP_PROTOCOL;

fn store() -> DatastoreName {
    "tank".parse().unwrap()
}

/// A peer that answers everything with `data`, each after `pause`.
fn peer(data: &'static str, pause: Duration) -> Arc<Peer> {
    Peer::new(move |mut connection: Connection| async move {
        while connection.request().await.is_some() {
            sleep(pause).await;
            connection.data(data).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_created_with_their_parent_and_the_root_not_at_all() {
    let peer = peer("\"a\"", Duration::ZERO);
    let client = peer.client();
    for ns in ["a", "a/b", "a/b/c"] {
        client.create_namespace(&store(), &ns.parse().unwrap()).await.unwrap();
    }
    let bodies: Vec<String> = peer.seen().iter().map(|s| String::from_utf8(s.body.clone()).unwrap()).collect();
    assert_eq!(bodies, [r#"{"name":"a"}"#, r#"{"name":"b","parent":"a"}"#, r#"{"name":"c","parent":"a/b"}"#]);
    let error = client.create_namespace(&store(), &Namespace::root()).await.unwrap_err();
    assert!(matches!(error, ClientError::Configuration { .. }), "{error:?}");
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn deletions_may_take_long_and_their_statistics_may_be_missing() {
    let group: Group = "vm/100".parse().unwrap();
    let ns: Namespace = "site-a".parse().unwrap();
    for (data, expected) in [
        ("null", None),
        (
            r#"{"removed-groups":1,"protected-snapshots":2,"removed-snapshots":3}"#,
            Some(DeleteStatistics { removed_groups: 1, protected_snapshots: 2, removed_snapshots: 3 }),
        ),
    ] {
        let peer = peer(data, Duration::from_secs(600));
        let client = peer.client();
        assert_eq!(client.delete_group(&store(), &ns, &group, None).await.unwrap(), expected);
        assert_eq!(client.delete_namespace(&store(), &ns, false, Some(true)).await.unwrap(), expected);
        let targets: Vec<String> = peer.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(
            targets,
            [
                "/api2/json/admin/datastore/tank/groups?backup-id=100&backup-type=vm&ns=site-a",
                "/api2/json/admin/datastore/tank/namespace?delete-groups=false&error-on-protected=true&ns=site-a",
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_never_sent_twice() {
    let peer = Peer::new(|mut connection: Connection| async move {
        connection.request().await;
    });
    let error = peer.client().delete_snapshot(&store(), &Namespace::root(), &snapshot()).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn long_notes_go_as_a_body_and_short_ones_in_the_query() {
    let peer = peer("null", Duration::ZERO);
    let client = peer.client();
    let root = Namespace::root();
    let long = "line\n".repeat(1000);
    client.set_snapshot_notes(&store(), &root, &snapshot(), "two\nlines").await.unwrap();
    client.set_snapshot_notes(&store(), &root, &snapshot(), &long).await.unwrap();
    client.set_group_notes(&store(), &"a/b".parse().unwrap(), &snapshot().group, &long).await.unwrap();
    assert_eq!(client.group_notes(&store(), &root, &snapshot().group).await.unwrap(), "");
    let seen = peer.seen();
    let path = "/api2/json/admin/datastore/tank";
    let names = "backup-id=101&backup-time=1767261600&backup-type=ct";
    assert_eq!(seen[0].target, format!("{path}/notes?{names}&notes=two%0Alines"));
    assert_eq!((seen[1].target.as_str(), seen[1].method.as_str()), (&*format!("{path}/notes"), "PUT"));
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!((&body["notes"], &body["backup-time"]), (&long.clone().into(), &1_767_261_600.into()));
    let body: serde_json::Value = serde_json::from_slice(&seen[2].body).unwrap();
    assert_eq!((&body["notes"], &body["ns"]), (&long.into(), &"a/b".into()));
    assert_eq!(seen[3].target, format!("{path}/group-notes?backup-id=101&backup-type=ct"));
}

#[tokio::test(start_paused = true)]
async fn a_group_is_given_away_by_its_names() {
    let peer = peer("null", Duration::ZERO);
    let owner = "backup@pbs!host1".parse().unwrap();
    peer.client().change_owner(&store(), &"a".parse().unwrap(), &snapshot().group, &owner).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api2/json/admin/datastore/tank/change-owner"));
    let body = r#"{"backup-id":"101","backup-type":"ct","new-owner":"backup@pbs!host1","ns":"a"}"#;
    assert_eq!(String::from_utf8_lossy(&seen.body), body);
}

#[tokio::test(start_paused = true)]
async fn a_log_may_take_long_to_send_but_not_to_be_answered() {
    let peer = peer("null", Duration::from_secs(100));
    let mut config = peer.config();
    config.rates.rate_out = Some("10 KiB".parse().unwrap());
    let log = Bytes::from(vec![7; 4 << 20]);
    let begin = Instant::now();
    peer.client_with(config).upload_log(&store(), &Namespace::root(), &snapshot(), log.clone()).await.unwrap();
    assert!(400 < begin.elapsed().as_secs());
    assert_eq!(peer.seen()[0].body, log);

    let peer = self::peer("null", Duration::from_secs(300));
    let sent = peer.client().upload_log(&store(), &Namespace::root(), &snapshot(), log).await;
    assert!(matches!(sent, Err(ClientError::Silent { .. })), "{sent:?}");
}

/// A peer that serves plain requests and backup sessions on any connection.
fn serving() -> Arc<Peer> {
    Peer::new(|mut connection: Connection| async move {
        while let Some(seen) = connection.request().await {
            if seen.target.contains("/backup?") {
                connection.switch_to(BACKUP_PROTOCOL).await;
                connection.uploads(WINDOWS, |request| request.good()).await;
                return;
            }
            connection.data(r#"{"version":"4.2","release":"1","repoid":"x"}"#).await;
        }
    })
}

async fn open_many(client: &Client, count: usize) {
    for session in futures::future::join_all((0..count).map(|_| open_backup(client))).await {
        session.finish().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_begin_on_connections_that_were_opened_ahead() {
    let peer = serving();
    let client = peer.client();
    // Two callers at once open no more than one.
    let (one, other) = join(client.warm(8), client.warm(8)).await;
    assert_eq!((one.unwrap(), other.unwrap(), peer.dial_count()), (8, 8, 8));
    open_many(&client, 8).await;
    assert_eq!(peer.dial_count(), 8);
    open_many(&client, 1).await;
    assert_eq!(peer.dial_count(), 9);
    client.version().await.unwrap();
    assert_eq!((client.warm(2).await.unwrap(), peer.dial_count()), (2, 11));
    assert_eq!(client.warm(1000).await.unwrap(), 32);
}

#[tokio::test(start_paused = true)]
async fn old_connections_and_those_that_the_peer_closed_are_not_used() {
    let peer = serving();
    let client = peer.client();
    client.warm(4).await.unwrap();
    sleep(Duration::from_secs(61)).await;
    open_many(&client, 1).await;
    assert_eq!(peer.dial_count(), 5);

    // This peer closes a connection that says nothing for a second, just as a request comes.
    let peer = Peer::new(|mut connection: Connection| async move {
        if connection.number < 4 {
            sleep(Duration::from_secs(1)).await;
            return;
        }
        connection.request().await;
        connection.switch_to(BACKUP_PROTOCOL).await;
        connection.uploads(WINDOWS, |request| request.good()).await;
    });
    let client = peer.client();
    client.warm(3).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    open_many(&client, 1).await;
    assert_eq!(peer.dial_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn opening_ahead_fails_only_if_nothing_can_be_opened() {
    let peer = serving();
    peer.refuse.store(3, Ordering::SeqCst);
    let client = peer.client();
    assert_eq!(client.warm(4).await.unwrap(), 1);
    let peer = serving();
    peer.refuse.store(usize::MAX, Ordering::SeqCst);
    let error = peer.client().warm(2).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert_eq!(peer.client().warm(0).await.unwrap(), 0);
}
