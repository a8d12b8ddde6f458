//! Backups that come to an end, and those that the server refuses.

use std::time::Duration;

use bytes::Bytes;
use farhold_client::{BackupSessionOptions, ClientError};
use farhold_format::blob::BlobDecoder;
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, ArchiveName, Namespace, Role, Snapshot};
use futures::future::join_all;

use crate::scene::{ACCOUNT, Archive, Scene, Step, chunk, store, write};

const FIRST: &str = "vm/100/2026-01-01T10:00:00Z";
const SECOND: &str = "vm/100/2026-01-02T10:00:00Z";

/// Asserts that an archive can be read back through a reader session.
async fn assert_readable(scene: &Scene, snapshot: &str, archive: &Archive) {
    let snapshot: Snapshot = snapshot.parse().unwrap();
    let reader = scene.client.open_reader(&store(), &Namespace::root(), &snapshot).await.unwrap();
    let manifest = reader.download(&ArchiveName::manifest(), 1 << 20).await.unwrap();
    let manifest = Manifest::from_blob(&manifest).unwrap();
    let file = manifest.file(&archive.name).unwrap();
    assert_eq!((file.size_bytes, file.checksum), (archive.size(), archive.checksum()));
    let bytes = reader.download(&archive.name, 1 << 20).await.unwrap();
    let kind =
        if archive.name.as_str().ends_with("fidx") { ArchiveKind::FixedIndex } else { ArchiveKind::DynamicIndex };
    let index = Index::parse(kind, bytes).unwrap();
    assert_eq!(index.checksum(), archive.checksum());
    for chunk in &archive.chunks {
        let stored = reader.chunk(&chunk.digest, 8 << 20).await.unwrap();
        let plain = BlobDecoder::new().decode(&stored, None, 8 << 20).unwrap();
        assert_eq!(farhold_crypto::sha256(&plain), chunk.digest);
    }
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_chunks_sent_at_once_over_a_long_line_arrive_as_they_are() {
    let scene = Scene::new(Duration::from_millis(5)).await;
    let archive = Archive::dynamic(0..64, 512 * 1024);
    let session = scene.open(FIRST).await.unwrap();
    assert_eq!(session.previous_backup_time().await.unwrap(), None);
    write(&session, &archive, Step::Finished).await.unwrap();
    session.close().await;
    assert_readable(&scene, FIRST, &archive).await;
    assert_eq!(scene.relay.statistics().cut_count, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_together_send_more_than_the_server_may_hold_all_end_well() {
    // All bodies are under way at once: three times what the server has memory for, and each session twice its share.
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::fixed(0..30);
    let snapshots: Vec<String> = (0..3).map(|number| format!("vm/{number}/2026-01-01T10:00:00Z")).collect();
    let results = join_all(snapshots.iter().map(|snapshot| async {
        let session = scene.open(snapshot).await.unwrap();
        write(&session, &archive, Step::Finished).await
    }))
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_readable(&scene, &snapshots[2], &archive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_backup_sends_what_changed_and_names_the_rest() {
    let scene = Scene::new(Duration::ZERO).await;
    let first = Archive::fixed(0..4);
    write(&scene.open(FIRST).await.unwrap(), &first, Step::Finished).await.unwrap();
    let second = Archive::fixed([0, 7, 2, 3]);
    let session = scene.open(SECOND).await.unwrap();
    assert_eq!(session.previous_backup_time().await.unwrap(), Some(first_snapshot().time));
    let before = scene.relay.statistics().up_bytes;
    // A chunk is not known before the index that names it was read.
    let writer = session.create_fixed(&second.name, Some(second.size()), Some(&first.checksum())).await.unwrap();
    let error = session.append(writer, &[(first.chunks[0].digest, 0)]).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    let index = session.previous(&second.name, 1 << 20).await.unwrap();
    assert_eq!(Index::parse(ArchiveKind::FixedIndex, index).unwrap().checksum(), first.checksum());
    session.append(writer, &[(first.chunks[0].digest, 0)]).await.unwrap();
    let changed = &second.chunks[1];
    session.upload_chunk(writer, &changed.digest, changed.plain_bytes, changed.encoded.clone()).await.unwrap();
    session.append(writer, &[(changed.digest, 4 << 20)]).await.unwrap();
    session.close_writer(writer, 2, second.size(), &second.checksum()).await.unwrap();
    session.blob(&ArchiveName::manifest(), second.manifest(session.snapshot())).await.unwrap();
    session.finish().await.unwrap();
    let sent = scene.relay.statistics().up_bytes - before;
    assert!((4 << 20..5 << 20).contains(&sent), "{sent}");
    assert_readable(&scene, SECOND, &second).await;

    // A checksum that is not the base's is refused, and the session goes on.
    let third = scene.open("vm/100/2026-01-03T10:00:00Z").await.unwrap();
    let error = third.create_fixed(&second.name, Some(second.size()), Some(&first.checksum())).await.unwrap_err();
    assert_eq!(error.status(), Some(400), "{error:?}");
    third.previous(&ArchiveName::manifest(), 1 << 20).await.unwrap();
    let missing = third.previous(&"other.img.fidx".parse().unwrap(), 1 << 20).await.unwrap_err();
    assert_eq!(missing.status(), Some(400), "{missing:?}");
    let missing = third.previous(&"fw.conf.blob".parse().unwrap(), 1 << 20).await.unwrap_err();
    assert_eq!(missing.status(), Some(404), "{missing:?}");
    write(&third, &second, Step::Finished).await.unwrap();
}

fn first_snapshot() -> Snapshot {
    FIRST.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_different_groups_run_side_by_side_and_those_of_one_group_do_not() {
    let scene = Scene::new(Duration::from_millis(2)).await;
    scene.client.create_namespace(&store(), &"a".parse().unwrap()).await.unwrap();
    assert_eq!(scene.client.warm(10).await.unwrap(), 10);
    let archive = Archive::dynamic(0..20, 64 * 1024);
    let places: Vec<(&str, String)> = (0..8)
        .map(|number| ("", format!("ct/{number}/2026-01-01T10:00:00Z")))
        .chain([("a", FIRST.to_owned())])
        .collect();
    let sessions = join_all(places.iter().map(|(ns, snapshot)| scene.open_in(ns, snapshot))).await;
    assert_eq!(scene.relay.statistics().connection_count, 10, "sessions began on connections opened ahead");
    let busy = scene.open("ct/0/2026-01-02T10:00:00Z").await.unwrap_err();
    assert_eq!(busy.status(), Some(400), "{busy:?}");
    let root = scene.open(FIRST).await.unwrap();
    for result in
        join_all(sessions.iter().map(|session| write(session.as_ref().unwrap(), &archive, Step::Finished))).await
    {
        result.unwrap();
    }
    write(&root, &archive, Step::Finished).await.unwrap();
    // The group is free as soon as the answer is there, before the session is closed.
    let next = scene.open("ct/0/2026-01-02T10:00:00Z").await.unwrap();
    write(&next, &archive, Step::Finished).await.unwrap();
    assert_readable(&scene, "ct/0/2026-01-02T10:00:00Z", &archive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_written_is_refused_with_the_specified_status() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::dynamic(0..1, 1000);
    write(&scene.open(SECOND).await.unwrap(), &archive, Step::Finished).await.unwrap();
    let reader = scene.other_client("reader@pbs!t1", "/datastore/tank", Role::DatastoreReader);
    let writer = scene.other_client("writer@pbs!t1", "/datastore/tank", Role::DatastoreBackup);
    let options = BackupSessionOptions::default();
    let benchmark = BackupSessionOptions { benchmark: true, ..options };
    let nowhere: Namespace = "not/there".parse().unwrap();
    for (what, client, ns, snapshot, options, status) in [
        ("no right", &reader, Namespace::root(), "vm/7/2026-01-01T10:00:00Z", options, 403),
        ("no namespace", &scene.client, nowhere, FIRST, options, 404),
        ("an older time", &scene.client, Namespace::root(), FIRST, options, 400),
        ("the same time", &scene.client, Namespace::root(), SECOND, options, 400),
        ("another owner", &writer, Namespace::root(), "vm/100/2026-01-03T10:00:00Z", options, 400),
        ("a benchmark elsewhere", &scene.client, Namespace::root(), "host/a/2026-01-03T10:00:00Z", benchmark, 400),
        ("no benchmark", &scene.client, Namespace::root(), "host/benchmark/2026-01-03T10:00:00Z", options, 400),
    ] {
        let error = client.open_backup(&store(), &ns, &snapshot.parse().unwrap(), options).await.unwrap_err();
        assert!(error.status() == Some(status) && !error.is_transient(), "{what}: {error:?}");
    }
    assert!(
        scene.has_no_trace_of("vm/7") && scene.has_no_trace_of("host/a") && scene.has_no_trace_of("host/benchmark")
    );
    let bench = "host/benchmark/2026-01-03T10:00:00Z".parse().unwrap();
    let session = scene.client.open_backup(&store(), &Namespace::root(), &bench, benchmark).await.unwrap();
    for _ in 0..4 {
        session.speedtest(Bytes::from(vec![7; 4 << 20])).await.unwrap();
    }
    session.close().await;
    scene.until("the benchmark leaves nothing", async |scene| scene.has_no_trace_of("host/benchmark")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_refused_one_by_one_and_the_session_goes_on() {
    let scene = Scene::new(Duration::ZERO).await;
    let archive = Archive::dynamic(0..3, 100_000);
    let session = scene.open(FIRST).await.unwrap();
    let refused = |result: Result<(), ClientError>, what: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.status(), Some(400), "{what}: {error:?}");
    };
    refused(session.finish().await, "nothing was written");
    let writer = archive.create(&session).await.unwrap();
    let good = &archive.chunks[0];
    let other = chunk(99, 100_000);
    refused(session.upload_chunk(writer, &other.digest, 100_000, good.encoded.clone()).await, "another digest");
    refused(session.upload_chunk(writer, &good.digest, 99_999, good.encoded.clone()).await, "another size");
    refused(session.upload_chunk(writer, &good.digest, 100_000, Bytes::from(vec![7; 100_012])).await, "no blob");
    refused(session.append(writer, &[(good.digest, 0)]).await, "an unknown chunk");
    archive.upload(&session, writer).await.unwrap();
    refused(session.append(writer, &[(good.digest, 1)]).await, "a gap");
    session.append(writer, &archive.entries()).await.unwrap();
    refused(session.close_writer(writer, 2, archive.size(), &archive.checksum()).await, "another count");
    refused(session.finish().await, "an open index");
    archive.close(&session, writer).await.unwrap();
    refused(archive.close(&session, writer).await, "closed twice");
    let mut blob = archive.manifest(session.snapshot()).to_vec();
    *blob.last_mut().unwrap() ^= 1;
    refused(session.blob(&ArchiveName::manifest(), blob.into()).await, "a damaged blob");
    session.blob(&ArchiveName::manifest(), archive.manifest(session.snapshot())).await.unwrap();
    session.finish().await.unwrap();
    refused(session.finish().await, "finished twice");
    session.close().await;
    assert_readable(&scene, FIRST, &archive).await;
    let owners = scene.client.groups(&store(), &Namespace::root()).await.unwrap();
    assert_eq!(owners.items[0].owner.as_ref().unwrap().to_string(), ACCOUNT);
}
