//! What a client changes outside sessions, against a real server.

use std::time::Duration;

use bytes::Bytes;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_types::{ArchiveName, DeleteStatistics, Group, Namespace, Snapshot};

use crate::scene::{ACCOUNT, Archive, Scene, Step, store, write};

const GROUP: &str = "host/web1";
const FIRST: &str = "host/web1/2026-01-01T10:00:00Z";
const SECOND: &str = "host/web1/2026-01-02T10:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_protection_owners_and_logs_are_changed_and_read_back() {
    let scene = Scene::new(Duration::ZERO).await;
    let (client, store, root) = (&scene.client, store(), Namespace::root());
    let (group, snapshot): (Group, Snapshot) = (GROUP.parse().unwrap(), FIRST.parse().unwrap());
    write(&scene.open(FIRST).await.unwrap(), &Archive::dynamic(0..2, 1000), Step::Finished).await.unwrap();

    assert_eq!(client.snapshot_notes(&store, &root, &snapshot).await.unwrap(), "");
    // The second one does not fit into a query.
    for notes in ["a note\nwith & = % + \u{e4} signs", &"line of notes\n".repeat(1000), ""] {
        client.set_snapshot_notes(&store, &root, &snapshot, notes).await.unwrap();
        assert_eq!(client.snapshot_notes(&store, &root, &snapshot).await.unwrap(), notes);
        client.set_group_notes(&store, &root, &group, notes).await.unwrap();
        assert_eq!(client.group_notes(&store, &root, &group).await.unwrap(), notes);
    }

    assert!(!client.is_protected(&store, &root, &snapshot).await.unwrap());
    client.set_protected(&store, &root, &snapshot, true).await.unwrap();
    assert!(client.is_protected(&store, &root, &snapshot).await.unwrap());
    let error = client.delete_snapshot(&store, &root, &snapshot).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    let kept = DeleteStatistics { removed_groups: 0, protected_snapshots: 1, removed_snapshots: 0 };
    assert_eq!(client.delete_group(&store, &root, &group, Some(false)).await.unwrap(), Some(kept));
    let error = client.delete_group(&store, &root, &group, None).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    client.set_protected(&store, &root, &snapshot, false).await.unwrap();

    let log: Bytes = BlobEncoder::new().encode(b"all went well", Compression::Off, None).unwrap().into();
    client.upload_log(&store, &root, &snapshot, log.clone()).await.unwrap();
    let error = client.upload_log(&store, &root, &snapshot, log.clone()).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    let stored = client.download_file(&store, &root, &snapshot, &ArchiveName::client_log(), 1000).await.unwrap();
    assert_eq!(stored, log);
    let files = client.snapshot_files(&store, &root, &snapshot).await.unwrap();
    let names: Vec<&str> = files.items.iter().map(|file| file.filename.as_str()).collect();
    assert_eq!(names, ["root.pxar.didx", "index.json.blob", "client.log.blob"]);

    let owner = async || client.groups(&store, &root).await.unwrap().items[0].owner.clone().unwrap().to_string();
    assert_eq!(owner().await, ACCOUNT);
    client.change_owner(&store, &root, &group, &"sync@pbs".parse().unwrap()).await.unwrap();
    assert_eq!(owner().await, "sync@pbs");
    let error = scene.open(SECOND).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "a token may not write to its user's group: {error:?}");

    let status = client.store_status(&store).await.unwrap();
    assert!(0 < status.used && status.used <= status.total && status.avail <= status.total, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_and_what_is_in_them_are_created_and_removed() {
    let scene = Scene::new(Duration::ZERO).await;
    let (client, store) = (&scene.client, store());
    let (site, rack): (Namespace, Namespace) = ("site-a".parse().unwrap(), "site-a/rack1".parse().unwrap());
    let error = client.create_namespace(&store, &rack).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    for ns in [&site, &rack, &rack] {
        client.create_namespace(&store, ns).await.unwrap();
    }
    let archive = Archive::dynamic(0..2, 1000);
    for snapshot in [FIRST, SECOND] {
        write(&scene.open_in("site-a/rack1", snapshot).await.unwrap(), &archive, Step::Finished).await.unwrap();
    }
    let error = client.delete_namespace(&store, &site, false, None).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    client.delete_snapshot(&store, &rack, &FIRST.parse().unwrap()).await.unwrap();
    let removed = client.delete_namespace(&store, &site, true, Some(false)).await.unwrap();
    let expected = DeleteStatistics { removed_groups: 1, protected_snapshots: 0, removed_snapshots: 1 };
    assert_eq!(removed, Some(expected));
    let left = client.namespaces(&store, &Namespace::root(), None).await.unwrap();
    assert_eq!(left.items.len(), 1, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_busy_for_everybody_while_it_is_written() {
    let scene = Scene::new(Duration::ZERO).await;
    let (client, store, root) = (&scene.client, store(), Namespace::root());
    let group: Group = GROUP.parse().unwrap();
    let archive = Archive::dynamic(0..2, 1000);
    write(&scene.open(FIRST).await.unwrap(), &archive, Step::Finished).await.unwrap();
    let session = scene.open(SECOND).await.unwrap();
    write(&session, &archive, Step::Closed).await.unwrap();
    let base: Snapshot = FIRST.parse().unwrap();
    let refusals = [
        client.delete_group(&store, &root, &group, None).await.map(|_| ()),
        client.delete_snapshot(&store, &root, &base).await,
        client.delete_snapshot(&store, &root, &SECOND.parse().unwrap()).await,
        client.set_protected(&store, &root, &base, true).await,
        client.change_owner(&store, &root, &group, &"sync@pbs".parse().unwrap()).await,
        client.set_group_notes(&store, &root, &group, "late").await,
    ];
    for (number, refusal) in refusals.into_iter().enumerate() {
        assert_eq!(
            refusal.as_ref().map_err(farhold_client::ClientError::status),
            Err(Some(400)),
            "{number}: {refusal:?}"
        );
    }
    // Notes of the base are another matter.
    client.set_snapshot_notes(&store, &root, &base, "a note").await.unwrap();
    session.blob(&ArchiveName::manifest(), archive.manifest(session.snapshot())).await.unwrap();
    session.finish().await.unwrap();
    client.delete_snapshot(&store, &root, &base).await.unwrap();
    let removed = client.delete_group(&store, &root, &group, None).await.unwrap();
    assert_eq!(removed.unwrap().removed_snapshots, 1);
    assert!(scene.has_no_trace_of(GROUP));
}
