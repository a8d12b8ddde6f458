//! Our requests against what a real peer sent: a recorded server answers, and each request must be the recorded one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use farhold_client::Client;
use farhold_protocol::CONTENT_TYPE_FORM;
use farhold_protocol::upgrade::BACKUP_PROTOCOL;
use farhold_types::{ArchiveName, Digest, Group, Namespace};
use serde_json::Value;

use crate::peer::{Connection, Peer, Reply, Seen, password, token};
use crate::upload_peer::{Upload, WINDOWS};

/// Requests of a recording in order.
fn recording(name: &str) -> VecDeque<Value> {
    let path = format!("{}/../../tests/golden/wire/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).filter(|l| l.get("method").is_some()).collect()
}

/// Headers for comparison. Secrets were replaced by a text with angle brackets, which real secrets do not have.
fn comparable<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    headers
        .filter(|(name, _)| *name != "content-length" && *name != "host")
        .map(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned();
            (name.to_owned(), value)
        })
        .collect()
}

fn check(seen: &Seen, recorded: &Value) {
    assert_eq!(seen.target, recorded["path"].as_str().unwrap());
    assert_eq!(seen.method, recorded["method"].as_str().unwrap());
    let ours = comparable(seen.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let theirs = recorded["headers"].as_object().unwrap();
    let theirs = comparable(theirs.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())));
    assert_eq!(ours, theirs, "{}", seen.target);
    match recorded["body"].as_str() {
        Some(body) => assert_eq!(String::from_utf8_lossy(&seen.body), body, "{}", seen.target),
        // The content of files was not kept.
        None => assert_eq!(Some(seen.body.len() as u64), recorded["body_len"].as_u64(), "{}", seen.target),
    }
}

/// Plays the server of a recording; a request that is not the recorded one fails the test when it is collected.
pub struct Playback {
    pub peer: Arc<Peer>,
    pub recorded: Vec<Value>,
}

impl Playback {
    pub fn new(name: &str) -> Self {
        Self::of(name, |_| true)
    }

    /// Plays only the requests that `is_wanted` names.
    pub fn of(name: &str, is_wanted: impl Fn(&Value) -> bool) -> Self {
        let recorded: VecDeque<Value> = recording(name).into_iter().filter(is_wanted).collect();
        let queue = Arc::new(Mutex::new(recorded.clone()));
        let peer = Peer::new(move |mut connection: Connection| {
            let queue = Arc::clone(&queue);
            async move {
                while let Some(seen) = connection.request().await {
                    let next = queue.lock().unwrap().pop_front().unwrap();
                    let status = u16::try_from(next["status"].as_u64().unwrap()).unwrap();
                    if status == 101 && seen.target.contains("/backup?") {
                        connection.switch_to(BACKUP_PROTOCOL).await;
                        let script = move |mut upload: Upload| {
                            let reply = answer(&queue.lock().unwrap().pop_front().unwrap());
                            async move {
                                upload.read().await;
                                upload.reply(reply).await;
                            }
                        };
                        connection.uploads(WINDOWS, script).await;
                        return;
                    }
                    if status == 101 {
                        connection.switch().await;
                        connection.session(move |_| answer(&queue.lock().unwrap().pop_front().unwrap())).await;
                        return;
                    }
                    connection.answer(status, next["resp_body"].as_str().unwrap_or("text")).await;
                }
            }
        });
        Self { peer, recorded: recorded.into() }
    }

    pub fn client(&self, is_token: bool) -> Client {
        let mut config = self.peer.config();
        config.credentials = if is_token { token() } else { password() };
        config.user_agent = "proxmox-backup-client/1.0".to_owned();
        self.peer.client_with(config)
    }

    /// Compares all requests so far with the start of the recording, connection numbers included.
    fn finish(self, at_least: usize) {
        for (seen, recorded) in self.peer.seen().iter().zip(&self.recorded) {
            assert_eq!(Some(seen.connection as u64), recorded["conn"].as_u64(), "{}", seen.target);
        }
        self.compare(at_least);
    }

    /// Compares all requests so far with the start of the recording.
    pub fn compare(self, at_least: usize) {
        let seen = self.peer.seen();
        assert!(at_least <= seen.len(), "{}", seen.len());
        for (seen, recorded) in seen.iter().zip(&self.recorded) {
            check(seen, recorded);
        }
    }
}

/// Answers a request inside a session as recorded, or with as many bytes where they were not kept.
fn answer(recorded: &Value) -> Reply {
    let status = u16::try_from(recorded["status"].as_u64().unwrap()).unwrap();
    let length = usize::try_from(recorded["resp_len"].as_u64().unwrap()).unwrap();
    let announced = recorded["resp_headers"]["content-length"].as_str().map(|l| l.parse().unwrap());
    let body = recorded["resp_body"].as_str().map_or_else(|| vec![b'x'; length], |body| body.as_bytes().to_vec());
    Reply::Body { status, announced, frames: vec![body.into()] }
}

#[tokio::test(start_paused = true)]
async fn a_pull_without_changes_sends_the_recorded_requests() {
    let playback = Playback::new("pull-namespaces-noop-password-user");
    let client = playback.client(false);
    let store = "tank".parse().unwrap();
    let listed = client.namespaces(&store, &Namespace::root(), None).await.unwrap();
    assert!(listed.is_complete());
    let mut namespaces: Vec<Namespace> = listed.items.into_iter().map(|i| i.ns).collect();
    namespaces.sort_by_key(|ns| ns.to_string().len());
    for ns in &namespaces {
        let groups = client.groups(&store, ns).await.unwrap();
        assert!(groups.is_complete());
        let mut groups: Vec<Group> = groups.items.iter().map(farhold_types::GroupItem::group).collect();
        groups.sort();
        for group in groups {
            let snapshots = client.snapshots(&store, ns, &group).await.unwrap();
            assert!(snapshots.is_complete());
            let newest = snapshots.items.iter().max_by_key(|i| i.backup_time).unwrap();
            let reader = client.open_reader(&store, ns, &newest.snapshot()).await.unwrap();
            reader.download(&ArchiveName::manifest(), 100_000).await.unwrap();
            if !newest.files.iter().any(|f| f.filename == "client.log.blob") {
                let log = reader.download(&ArchiveName::client_log(), 100_000).await;
                assert_eq!(log.unwrap_err().status(), Some(404));
            }
            reader.close().await;
        }
    }
    let count = playback.recorded.len();
    playback.finish(count);
}

#[tokio::test(start_paused = true)]
async fn a_first_pull_sends_the_recorded_requests_for_indexes_and_chunks() {
    let playback = Playback::new("pull-new");
    let client = playback.client(true);
    let store = "tank".parse().unwrap();
    client.groups(&store, &Namespace::root()).await.unwrap();
    let group: Group = "ct/101".parse().unwrap();
    let snapshots = client.snapshots(&store, &Namespace::root(), &group).await.unwrap();
    let oldest = snapshots.items.iter().min_by_key(|i| i.backup_time).unwrap();
    let reader = client.open_reader(&store, &Namespace::root(), &oldest.snapshot()).await.unwrap();
    // The session's requests as recorded, one after the other.
    let session: Vec<String> = playback
        .recorded
        .iter()
        .filter(|r| r["conn"] == 1 && r["proto"] == "h2")
        .map(|r| r["path"].as_str().unwrap().to_owned())
        .collect();
    assert!(20 < session.len());
    for target in &session {
        let (path, value) = target.split_once('=').unwrap();
        let result = match path {
            "/download?file-name" => reader.download(&value.parse().unwrap(), 100_000).await,
            _ => reader.chunk(&value.parse::<Digest>().unwrap(), 16_777_260).await,
        };
        assert!(result.is_ok() || target.ends_with("client.log.blob"), "{target}: {result:?}");
    }
    reader.close().await;
    playback.finish(3 + session.len());
}

#[tokio::test(start_paused = true)]
async fn a_pull_of_one_namespace_names_parent_and_depth_as_recorded() {
    let playback = Playback::new("pull-one-namespace-depth-1");
    let client = playback.client(true);
    let store = "tank".parse().unwrap();
    let ns: Namespace = "site-a".parse().unwrap();
    client.namespaces(&store, &ns, Some(1)).await.unwrap();
    client.groups(&store, &ns).await.unwrap();
    let small: Group = "host/small".parse().unwrap();
    let snapshots = client.snapshots(&store, &ns, &small).await.unwrap();
    let reader = client.open_reader(&store, &ns, &snapshots.items[0].snapshot()).await.unwrap();
    reader.download(&ArchiveName::manifest(), 100_000).await.unwrap();
    reader.close().await;
    playback.finish(5);
}

#[tokio::test(start_paused = true)]
async fn looking_up_stores_and_groups_sends_the_recorded_requests() {
    let playback = Playback::new("remote-scan-stores");
    let stores = playback.client(true).datastores().await.unwrap();
    assert!(stores.is_complete() && stores.items.iter().any(|s| s.store.as_str() == "tank"));
    playback.finish(1);

    let playback = Playback::new("remote-scan-groups");
    let groups = playback.client(true).groups(&"tank".parse().unwrap(), &Namespace::root()).await.unwrap();
    assert_eq!((groups.items.len(), groups.skipped_count), (7, 0));
    assert!(playback.peer.seen()[0].header("content-type") == Some(CONTENT_TYPE_FORM));
    playback.finish(1);
}
