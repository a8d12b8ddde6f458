//! Our requests of a push, and those that change a server, against what a real peer sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use farhold_client::{BackupSession, BackupSessionOptions, Client, ClientError, WriterId};
use farhold_protocol::query::Query;
use farhold_protocol::upgrade::BackupUpgrade;
use farhold_protocol::writer_request::WriterKind;
use farhold_types::{DatastoreName, DeleteStatistics, Digest, Namespace, Snapshot};
use serde_json::Value;

use crate::recorded::Playback;

/// A recorded request, its query taken apart.
struct Recorded<'a> {
    line: &'a Value,
    path: &'a str,
    query: Query,
}

impl<'a> Recorded<'a> {
    fn new(line: &'a Value) -> Self {
        let target = line["path"].as_str().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { line, path, query: Query::parse(query).unwrap() }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.query.pairs().iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn value<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.text(name).unwrap().parse().unwrap()
    }

    fn ns(&self) -> Namespace {
        self.text("ns").unwrap_or_default().parse().unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        let query = Query::new()
            .with("store", "tank")
            .with("backup-type", self.text("backup-type").unwrap())
            .with("backup-id", self.text("backup-id").unwrap())
            .with("backup-time", self.text("backup-time").unwrap_or("1"));
        BackupUpgrade::parse(&query).unwrap().snapshot
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.line["body"].as_str().unwrap()).unwrap()
    }

    fn content(&self) -> Bytes {
        vec![7; usize::try_from(self.line["body_len"].as_u64().unwrap()).unwrap()].into()
    }

    fn answer_bytes(&self) -> usize {
        usize::try_from(self.line["resp_len"].as_u64().unwrap()).unwrap()
    }
}

/// What a push has open.
struct Pusher {
    client: Client,
    store: DatastoreName,
    sessions: BTreeMap<u64, BackupSession>,
    writers: BTreeMap<(u64, u64), WriterId>,
}

impl Pusher {
    async fn send(&mut self, recorded: &Recorded<'_>) -> Result<(), ClientError> {
        let connection = recorded.line["conn"].as_u64().unwrap();
        if recorded.line["status"] == 101 {
            let upgrade = BackupUpgrade::parse(&recorded.query).unwrap();
            let BackupUpgrade { store, ns, snapshot, debug, benchmark, no_cache } = &upgrade;
            let options = BackupSessionOptions { debug: *debug, benchmark: *benchmark, no_cache: *no_cache };
            let session = self.client.open_backup(store, ns, snapshot, options).await?;
            self.sessions.insert(connection, session);
            return Ok(());
        }
        if recorded.line["proto"] == "h1" {
            return self.change(recorded).await;
        }
        let session = self.sessions[&connection].clone();
        let writer = |wid: u64| self.writers[&(connection, wid)];
        match (recorded.line["method"].as_str().unwrap(), recorded.path) {
            ("POST", "/fixed_index" | "/dynamic_index") => {
                let name = recorded.value("archive-name");
                let created = match WriterKind::of(&name).unwrap() {
                    WriterKind::Fixed => session.create_fixed(&name, Some(recorded.value("size")), None).await?,
                    WriterKind::Dynamic => session.create_dynamic(&name).await?,
                };
                let answer: Value = serde_json::from_str(recorded.line["resp_body"].as_str().unwrap()).unwrap();
                self.writers.insert((connection, answer["data"].as_u64().unwrap()), created);
                Ok(())
            }
            ("POST", "/fixed_chunk" | "/dynamic_chunk") => {
                let digest = recorded.value("digest");
                let writer = writer(recorded.value("wid"));
                session.upload_chunk(writer, &digest, recorded.value("size"), recorded.content()).await
            }
            ("PUT", "/fixed_index" | "/dynamic_index") => {
                let body = recorded.json();
                let digests = body["digest-list"].as_array().unwrap().iter();
                let starts = body["offset-list"].as_array().unwrap().iter();
                let entries: Vec<(Digest, u64)> = digests
                    .zip(starts)
                    .map(|(d, s)| (d.as_str().unwrap().parse().unwrap(), s.as_u64().unwrap()))
                    .collect();
                session.append(writer(body["wid"].as_u64().unwrap()), &entries).await
            }
            ("POST", "/fixed_close" | "/dynamic_close") => {
                let (count, size) = (recorded.value("chunk-count"), recorded.value("size"));
                session.close_writer(writer(recorded.value("wid")), count, size, &recorded.value("csum")).await
            }
            ("POST", "/blob") => session.blob(&recorded.value("file-name"), recorded.content()).await,
            ("POST", "/finish") => session.finish().await,
            ("GET", "/previous") => {
                let bytes = recorded.answer_bytes();
                let file = session.previous(&recorded.value("archive-name"), bytes).await?;
                assert_eq!(file.len(), bytes);
                Ok(())
            }
            ("GET", "/previous_backup_time") => session.previous_backup_time().await.map(|_| ()),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request outside a session.
    async fn change(&self, recorded: &Recorded<'_>) -> Result<(), ClientError> {
        let (client, store) = (&self.client, &self.store);
        let protected = || recorded.text("error-on-protected").map(|text| text == "true");
        let method = recorded.line["method"].as_str().unwrap();
        let statistics = match (method, recorded.path.rsplit('/').next().unwrap()) {
            ("POST", "namespace") => {
                let body = recorded.json();
                let parent: Namespace = body["parent"].as_str().unwrap_or_default().parse().unwrap();
                let ns = parent.child(body["name"].as_str().unwrap()).unwrap();
                return client.create_namespace(store, &ns).await;
            }
            ("DELETE", "snapshots") => {
                return client.delete_snapshot(store, &recorded.ns(), &recorded.snapshot()).await;
            }
            ("DELETE", "groups") => {
                let group = recorded.snapshot().group;
                client.delete_group(store, &recorded.ns(), &group, protected()).await?
            }
            ("DELETE", "namespace") => {
                let with_groups = recorded.value("delete-groups");
                client.delete_namespace(store, &recorded.ns(), with_groups, protected()).await?
            }
            other => panic!("{other:?}"),
        };
        let expected = DeleteStatistics { removed_groups: 1, protected_snapshots: 0, removed_snapshots: 1 };
        assert_eq!(statistics, Some(expected));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_send_the_recorded_requests() {
    for (name, at_least) in [
        ("push-new", 200),
        ("push-incremental", 10),
        ("push-encrypt-new", 200),
        ("push-encrypt-incremental", 10),
        ("push-missing-target-namespace", 150),
        ("push-remove-vanished", 10),
    ] {
        // Listings differ: they are those that a pull sends, too.
        let playback =
            Playback::of(name, |line| line["proto"] == "h2" || line["method"] != "GET" || line["status"] == 101);
        let (sessions, writers) = (BTreeMap::new(), BTreeMap::new());
        let store = "inbox".parse().unwrap();
        let mut pusher = Pusher { client: playback.client(true), store, sessions, writers };
        for line in &playback.recorded {
            let result = pusher.send(&Recorded::new(line)).await;
            let status = result.as_ref().err().map_or(200, |error| error.status().unwrap());
            let expected = line["status"].as_u64().unwrap();
            assert!(u64::from(status) == expected || expected == 101, "{name} {}: {result:?}", line["path"]);
        }
        assert_eq!(playback.peer.seen().len(), playback.recorded.len(), "{name}");
        playback.compare(at_least);
    }
}

#[tokio::test(start_paused = true)]
async fn single_calls_of_a_client_send_the_recorded_requests() {
    let store: DatastoreName = "tank".parse().unwrap();
    let root = Namespace::root();
    let snapshot = |line: &Value| Recorded::new(line).snapshot();
    for name in [
        "client-snapshot-files",
        "client-status",
        "client-notes-show",
        "client-protected-update",
        "client-forget",
        "client-forget-protected-refused",
        "client-upload-log",
    ] {
        let playback = Playback::new(name);
        let client = playback.client(true);
        let line = &playback.recorded[0];
        let result = match name {
            "client-snapshot-files" => client.snapshot_files(&store, &root, &snapshot(line)).await.map(|files| {
                assert!(files.is_complete() && files.items[0].filename == "qemu-server.conf.blob");
            }),
            "client-status" => client.store_status(&store).await.map(|status| assert!(status.used < status.total)),
            "client-notes-show" => {
                client.snapshot_notes(&store, &root, &snapshot(line)).await.map(|notes| assert_eq!(notes, "a note"))
            }
            "client-protected-update" => client.set_protected(&store, &root, &snapshot(line), true).await,
            "client-upload-log" => {
                client.upload_log(&store, &root, &snapshot(line), Recorded::new(line).content()).await
            }
            _ => client.delete_snapshot(&store, &root, &snapshot(line)).await,
        };
        let expected = line["status"].as_u64().unwrap();
        assert_eq!(result.err().map_or(200, |error| u64::from(error.status().unwrap())), expected, "{name}");
        playback.compare(1);
    }
}
