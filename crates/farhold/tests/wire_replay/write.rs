//! Plays records of backup sessions, with content of ours for the recorded one.
//!
//! A chunk is made from its recorded digest: as many bytes of plain content, in a blob of the same kind. Digests,
//! checksums and manifests are translated; everything else is sent as recorded. The result is compared exactly, apart
//! from the texts and keys that only the lost manifests held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{Sha256, sha256};
use farhold_format::blob::{self, BlobEncoder, BlobKind, Compression};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_jobs::{App, Operation};
use farhold_protocol::query::Query;
use farhold_protocol::upgrade::BackupUpgrade;
use farhold_types::{ArchiveName, CryptMode, Digest, Group, MANIFEST_NAME, Namespace};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde_json::Value;

use crate::connection::{Session, Wire, WireAnswer};
use crate::play::{Account, Line, Played, differences, lines};

/// A store that is pushed to.
pub struct Target {
    store: &'static str,
    account: Arc<Account>,
    app: Arc<App>,
    port: u16,
    known: Known,
    connections: BTreeMap<u64, Connection>,
    played: Played,
}

/// What was uploaded so far.
#[derive(Default)]
struct Known {
    /// Our digests for the recorded ones.
    digests: BTreeMap<String, Digest>,
    encrypted: BTreeSet<Digest>,
}

/// A connection, before and after an upgrade.
enum Connection {
    Plain(Box<Wire>),
    Backup(Box<Backup>),
}

/// A backup session and what was written in it so far.
struct Backup {
    session: Session,
    manifest: Manifest,
    writers: BTreeMap<String, Writer>,
    /// Digests whose upload was not answered yet.
    uploading: BTreeSet<Digest>,
    running: FuturesUnordered<BoxFuture<'static, (Line, Option<Digest>, WireAnswer)>>,
}

struct Writer {
    name: ArchiveName,
    is_fixed: bool,
    /// Digests with the position of their first byte.
    entries: Vec<(u64, Digest)>,
}

impl Target {
    pub fn new(store: &'static str, account: Arc<Account>, app: Arc<App>, port: u16) -> Self {
        let (known, connections, played) = (Known::default(), BTreeMap::new(), Played::default());
        Self { store, account, app, port, known, connections, played }
    }

    /// Plays records one after the other.
    pub async fn play(mut self, records: &[&str]) -> Played {
        for record in records {
            if *record == "push-foreign-owner" {
                self.give_away("vm/201", "sync@pbs");
            }
            for mut line in lines(record) {
                // Every record of the same kind was made with a store of its own.
                line.path = line.path.replace("store=inbox2", "store=inbox").replace("/inbox2/", "/inbox/");
                line.path = line.path.replace("store=inbox", &format!("store={}", self.store));
                line.path = line.path.replace("/inbox/", &format!("/{}/", self.store));
                self.line(record, line).await;
            }
            assert!(self.connections.is_empty(), "{record}: connections are closed in the record");
        }
        self.played
    }

    fn give_away(&self, group: &str, owner: &str) {
        let store = self.app.stores.open(&self.store.parse().unwrap(), Operation::Write).unwrap();
        let group: Group = group.parse().unwrap();
        let lock = store.lock_group(&Namespace::root(), &group).unwrap();
        store.set_owner(&lock, &owner.parse().unwrap()).unwrap();
    }

    async fn line(&mut self, record: &str, line: Line) {
        if line.event.as_deref() == Some("close") {
            // The recorded clients close without a farewell, after all answers.
            if let Some(Connection::Backup(backup)) = self.connections.remove(&line.conn) {
                assert!(backup.running.is_empty(), "{record} {}: closed with open requests", line.seq);
            }
            return;
        }
        if line.method.is_none() {
            return;
        }
        self.played.requests += 1;
        let found = match self.connections.remove(&line.conn) {
            Some(Connection::Backup(mut backup)) => {
                let found = backup.send(line.clone(), &mut self.known).await;
                self.connections.insert(line.conn, Connection::Backup(backup));
                found
            }
            Some(Connection::Plain(wire)) => self.plain(&line, wire).await,
            None => {
                let wire = Box::new(Wire::connect(self.port).await);
                self.plain(&line, wire).await
            }
        };
        self.played.wrong.extend(found.into_iter().map(|found| format!("{record} {found}")));
    }

    /// Sends a request outside a session.
    async fn plain(&mut self, line: &Line, mut wire: Box<Wire>) -> Vec<String> {
        let headers = line.headers.iter().map(|(name, value)| {
            let value = value.replace("<secret>", &self.account.secret);
            (name.clone(), value)
        });
        let headers: Vec<(String, String)> = headers.collect();
        let (method, body) = (line.method.as_deref().unwrap(), line.body.clone().unwrap_or_default());
        let answer = wire.request(method, &line.path, &headers, body.as_bytes()).await;
        let mut found = differences(line, &answer);
        if answer.status == 200 {
            let read = |text: &[u8]| plain_listing(serde_json::from_slice(text).unwrap());
            let (recorded, ours) = (read(line.resp_body.as_ref().unwrap().as_bytes()), read(&answer.body));
            // The number of the release is our own.
            if recorded != ours && !line.path.ends_with("/version") {
                found.push(format!("{recorded}, ours {ours}"));
            }
        }
        let connection = if answer.status == 101 {
            let query = Query::parse(line.path.split_once('?').unwrap().1).unwrap();
            let snapshot = BackupUpgrade::parse(&query).unwrap().snapshot;
            Connection::Backup(Box::new(Backup::new(wire.session().await, Manifest::new(&snapshot))))
        } else {
            Connection::Plain(wire)
        };
        self.connections.insert(line.conn, connection);
        found.into_iter().map(|found| format!("{}: {method} {}: {found}", line.seq, line.path)).collect()
    }
}

/// Takes off an answer what depends on the order of folders, on texts of lost manifests, and on their lengths.
fn plain_listing(mut answer: Value) -> Value {
    let Some(items) = answer["data"].as_array_mut() else { return answer };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["comment", "fingerprint", "size"] {
            item.remove(name);
        }
        let Some(files) = item.get_mut("files").and_then(Value::as_array_mut) else { continue };
        if files.iter().all(Value::is_string) {
            files.sort_by_key(ToString::to_string);
        }
        for file in files.iter_mut().filter(|file| file["filename"] == MANIFEST_NAME) {
            *file = Value::from(MANIFEST_NAME);
        }
        for file in files.iter_mut().filter_map(Value::as_object_mut) {
            // Without a signature there is no difference between what is signed and what is not.
            if file.get("crypt-mode").is_some_and(|mode| mode == "sign-only") {
                file.insert("crypt-mode".to_owned(), "none".into());
            }
        }
    }
    items.sort_by_key(ToString::to_string);
    answer
}

impl Backup {
    fn new(session: Session, manifest: Manifest) -> Self {
        let (writers, uploading) = (BTreeMap::new(), BTreeSet::new());
        Self { session, manifest, writers, uploading, running: FuturesUnordered::new() }
    }

    /// Sends a request with as many in flight as recorded, and returns what is wrong with answers that came meanwhile.
    async fn send(&mut self, line: Line, known: &mut Known) -> Vec<String> {
        let mut found = Vec::new();
        let request = self.translate(&line, known);
        let waits_for = |backup: &Self| request.needs.iter().any(|digest| backup.uploading.contains(digest));
        while line.in_flight.max(1) <= self.running.len() || waits_for(self) {
            let answered = self.running.next().await.unwrap();
            found.extend(self.finish(answered));
        }
        self.uploading.extend(request.uploads);
        let (method, path) = (line.method.clone().unwrap(), request.path);
        let headers = line.headers.iter().filter(|(name, _)| !name.starts_with(':'));
        let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.session.send_with(&method, &path, &headers, request.content).await;
        let is_alone = line.in_flight <= 1;
        self.running.push(Box::pin(async move { (line, request.uploads, answer.await) }));
        if is_alone && request.uploads.is_none() {
            // Nothing else was sent before its answer.
            while let Some(answered) = self.running.next().await {
                found.extend(self.finish(answered));
            }
        }
        found
    }

    fn finish(&mut self, (line, uploaded, answer): (Line, Option<Digest>, WireAnswer)) -> Vec<String> {
        let mut found = differences(&line, &answer);
        if let Some(recorded) = line.resp_body.as_ref().filter(|_| answer.status == 200) {
            let recorded: Value = serde_json::from_str(recorded).unwrap();
            let ours: Value = serde_json::from_slice(&answer.body).unwrap();
            let expected = uploaded.map_or(recorded["data"].clone(), |digest| digest.to_string().into());
            if ours["data"] != expected {
                found.push(format!("{expected} expected, ours {ours}"));
            }
        }
        if let Some(digest) = uploaded {
            self.uploading.remove(&digest);
        }
        let method = line.method.unwrap();
        found.into_iter().map(|found| format!("{}: {method} {}: {found}", line.seq, line.path)).collect()
    }

    /// Returns the request with our digests, checksums and content, and takes note of what it does.
    fn translate(&mut self, line: &Line, known: &mut Known) -> Request {
        let (path, query) = line.path.split_once('?').unwrap_or((&line.path, ""));
        let query = Query::parse(query).unwrap();
        let value = |name: &str| query.pairs().iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap();
        let number = |name: &str| value(name).parse::<usize>().unwrap();
        let with =
            |name: &str, new: &str| line.path.replace(&format!("{name}={}", value(name)), &format!("{name}={new}"));
        let mut request = Request::new(line.path.clone());
        match (line.method.as_deref().unwrap(), path) {
            ("POST", "/fixed_index" | "/dynamic_index") => {
                let answer: Value = serde_json::from_str(line.resp_body.as_ref().unwrap()).unwrap();
                let name = value("archive-name").parse().unwrap();
                let writer = Writer { name, is_fixed: path == "/fixed_index", entries: Vec::new() };
                self.writers.insert(answer["data"].to_string(), writer);
            }
            ("POST", "/fixed_chunk" | "/dynamic_chunk") => {
                let recorded = value("digest");
                let kind = kind_of(line.body_kind.as_ref().unwrap());
                let (digest, content) = chunk(&recorded, kind, number("size"), number("encoded-size"));
                known.digests.insert(recorded, digest);
                known.encrypted.extend(kind.is_encrypted().then_some(digest));
                request.path = with("digest", &digest.to_string()).replace(
                    &format!("encoded-size={}", number("encoded-size")),
                    &format!("encoded-size={}", content.len()),
                );
                (request.content, request.uploads) = (content, Some(digest));
            }
            ("PUT", _) => {
                let mut body = line.body.clone().unwrap();
                let json: Value = serde_json::from_str(&body).unwrap();
                let writer = self.writers.get_mut(&json["wid"].to_string()).unwrap();
                let list = |name: &str| json[name].as_array().unwrap().clone();
                for (recorded, start) in list("digest-list").iter().zip(list("offset-list")) {
                    let recorded = recorded.as_str().unwrap();
                    let digest = known.digests[recorded];
                    body = body.replace(recorded, &digest.to_string());
                    writer.entries.push((start.as_u64().unwrap(), digest));
                    request.needs.insert(digest);
                }
                request.content = body.into();
            }
            ("POST", "/fixed_close" | "/dynamic_close") => {
                let writer = self.writers.remove(&value("wid")).unwrap();
                let size = number("size") as u64;
                let checksum = writer.checksum(size);
                request.path = with("csum", &checksum.to_string());
                let is_encrypted = writer.entries.iter().all(|(_, digest)| known.encrypted.contains(digest));
                let (name, crypt_mode) = (writer.name, crypt_mode(is_encrypted));
                self.manifest.files.push(ManifestFile { name, crypt_mode, size_bytes: size, checksum });
            }
            ("POST", "/blob") => {
                let name: ArchiveName = value("file-name").parse().unwrap();
                let content = if name == ArchiveName::manifest() {
                    Bytes::from(self.manifest.to_blob(&mut BlobEncoder::new()).unwrap())
                } else {
                    let kind = kind_of(line.body_kind.as_ref().unwrap());
                    let size = number("encoded-size") - kind.header_bytes();
                    let (_, content) = chunk(&"5".repeat(64), kind, size, number("encoded-size"));
                    if name != ArchiveName::client_log() {
                        let crypt_mode = crypt_mode(kind.is_encrypted());
                        let (size_bytes, checksum) = (content.len() as u64, sha256(&content));
                        self.manifest.files.push(ManifestFile { name, crypt_mode, size_bytes, checksum });
                    }
                    content
                };
                request.path = with("encoded-size", &content.len().to_string());
                request.content = content;
            }
            _ => {}
        }
        request
    }
}

impl Writer {
    /// Returns the checksum of the index. Source: `docs/spec/wire-protocol.md` 5.3.
    fn checksum(&self, size: u64) -> Digest {
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        let ends = entries.iter().skip(1).map(|(start, _)| *start).chain([size]);
        let mut hash = Sha256::new();
        for ((_, digest), end) in entries.iter().zip(ends) {
            if !self.is_fixed {
                hash.update(&end.to_le_bytes());
            }
            hash.update(digest.as_bytes());
        }
        hash.finish()
    }
}

struct Request {
    path: String,
    content: Bytes,
    /// The chunk that it brings.
    uploads: Option<Digest>,
    /// Chunks that must have been answered before.
    needs: BTreeSet<Digest>,
}

impl Request {
    fn new(path: String) -> Self {
        Self { path, content: Bytes::new(), uploads: None, needs: BTreeSet::new() }
    }
}

fn crypt_mode(is_encrypted: bool) -> CryptMode {
    if is_encrypted { CryptMode::Encrypt } else { CryptMode::None }
}

fn kind_of(recorded: &str) -> BlobKind {
    match recorded {
        "plain blob" => BlobKind::Plain,
        "zstd blob" => BlobKind::Zstd,
        "encrypted blob" => BlobKind::Encrypted,
        "encrypted zstd blob" => BlobKind::EncryptedZstd,
        other => panic!("{other}"),
    }
}

/// Returns a chunk that stands for a recorded one: plain content of `size` bytes, or something encrypted of
/// `encoded_size` bytes, into which no server can look.
fn chunk(recorded: &str, kind: BlobKind, size: usize, encoded_size: usize) -> (Digest, Bytes) {
    let recorded_digest: Digest = recorded.parse().unwrap();
    if kind.is_encrypted() {
        let mut blob = vec![7; encoded_size];
        blob[..8].copy_from_slice(&kind.magic());
        blob::seal(&mut blob).unwrap();
        return (recorded_digest, blob.into());
    }
    let (plain, compression) = if kind.is_compressed() {
        let mut plain = recorded.repeat(size / recorded.len() + 1).into_bytes();
        plain.truncate(size);
        (plain, Compression::On)
    } else {
        (noise(recorded_digest, size), Compression::Off)
    };
    let blob = BlobEncoder::new().encode(&plain, compression, None).unwrap();
    assert_eq!(blob::kind(&blob).unwrap(), kind, "{recorded}");
    (sha256(&plain), blob.into())
}

/// Returns bytes that cannot be compressed.
fn noise(seed: Digest, size: usize) -> Vec<u8> {
    let mut state = u64::from_le_bytes(seed.0[..8].try_into().unwrap()) | 1;
    let mut bytes = vec![0; size.next_multiple_of(8)];
    for word in bytes.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
