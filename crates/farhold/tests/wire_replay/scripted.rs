//! A scripted client of backup sessions, and what a test asks of the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::Manifest;
use farhold_types::{Digest, Snapshot};
use serde_json::{Value, json};

use crate::connection::{Session, Wire, WireAnswer};
use crate::stage::Stage;

pub const SLOT: u64 = 4 << 20;
/// 2026-01-01T10:00:00Z and days after it.
pub const DAYS: [i64; 3] = [1_767_261_600, 1_767_348_000, 1_767_434_400];

/// One client.
pub struct Client<'s> {
    pub stage: &'s Stage,
    pub account: &'s str,
}

pub fn path(id: &str, time: i64, more: &str) -> String {
    format!("/api2/json/backup?store=local&backup-type=host&backup-id={id}&backup-time={time}{more}")
}

impl Client<'_> {
    fn headers(&self) -> Vec<(String, String)> {
        let authorization = format!("PBSAPIToken {}:{}", self.account, self.stage.secrets[self.account]);
        let headers = [
            ("host", "localhost"),
            ("authorization", &authorization),
            ("connection", "upgrade"),
            ("upgrade", "proxmox-backup-protocol-v1"),
        ];
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Asks for a session; returns the status, and the session if there is one.
    pub async fn upgrade(&self, path: &str) -> (u16, Option<Session>) {
        let mut wire = Wire::connect(self.stage.port()).await;
        let answer = wire.request("GET", path, &self.headers(), b"").await;
        let session = if answer.status == 101 { Some(wire.session().await) } else { None };
        (answer.status, session)
    }

    pub async fn session(&self, id: &str, time: i64) -> Session {
        let (status, session) = self.upgrade(&path(id, time, "&debug=1")).await;
        assert_eq!(status, 101, "{id} {time}");
        session.unwrap()
    }
}

pub async fn call(session: &mut Session, method: &str, path: &str, body: impl Into<Bytes>) -> WireAnswer {
    session.send_with(method, path, &[], body.into()).await.await
}

/// Makes a call that must succeed; returns its data.
pub async fn ok(session: &mut Session, method: &str, path: &str, body: impl Into<Bytes>) -> Value {
    let answer = call(session, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {:?}", answer.body);
    serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["data"].clone()
}

pub fn append(writer: u64, entries: &[(Digest, u64)]) -> String {
    let digests: Vec<String> = entries.iter().map(|(digest, _)| digest.to_string()).collect();
    let offsets: Vec<u64> = entries.iter().map(|(_, offset)| *offset).collect();
    json!({"wid": writer, "digest-list": digests, "offset-list": offsets}).to_string()
}

pub async fn put(session: &mut Session, path: &str, body: String) -> WireAnswer {
    session.send_with("PUT", path, &[("content-type", "application/json")], body.into()).await.await
}

pub fn content(seed: u8, length: u64) -> Vec<u8> {
    vec![seed; usize::try_from(length).unwrap()]
}

pub fn encoded(content: &[u8]) -> Vec<u8> {
    BlobEncoder::new().encode(content, Compression::On, None).unwrap()
}

pub fn chunk_path(kind: &str, writer: u64, digest: &Digest, size: u64, encoded: &[u8]) -> String {
    format!("/{kind}_chunk?wid={writer}&digest={digest}&size={size}&encoded-size={}", encoded.len())
}

/// Uploads a chunk of equal bytes; returns its digest.
pub async fn upload(session: &mut Session, kind: &str, writer: u64, seed: u8, length: u64) -> Digest {
    let content = content(seed, length);
    let (digest, encoded) = (sha256(&content), encoded(&content));
    ok(session, "POST", &chunk_path(kind, writer, &digest, length, &encoded), encoded).await;
    digest
}

pub async fn manifest(session: &mut Session, snapshot: &str) {
    let snapshot: Snapshot = snapshot.parse().unwrap();
    let blob = Manifest::new(&snapshot).to_blob(&mut BlobEncoder::new()).unwrap();
    ok(session, "POST", &format!("/blob?file-name=index.json.blob&encoded-size={}", blob.len()), blob).await;
}

pub fn checksum(digests: &[Digest]) -> Digest {
    sha256(&digests.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
}

pub fn close(writer: u64, count: u64, size: u64, checksum: &Digest) -> String {
    format!("/fixed_close?wid={writer}&chunk-count={count}&size={size}&csum={checksum}")
}

/// Writes a backup with one image of two chunks; returns their digests.
pub async fn good_backup(client: &Client<'_>, id: &str, day: usize) -> [Digest; 2] {
    let mut session = client.session(id, DAYS[day]).await;
    let session = &mut session;
    let writer = ok(session, "POST", "/fixed_index?archive-name=d.img.fidx&size=8388608", "").await.as_u64().unwrap();
    let digests = [upload(session, "fixed", writer, 1, SLOT).await, upload(session, "fixed", writer, 2, SLOT).await];
    let entries = [(digests[1], SLOT), (digests[0], 0)];
    assert_eq!(put(session, "/fixed_index", append(writer, &entries)).await.status, 200);
    ok(session, "POST", &close(writer, 2, 2 * SLOT, &checksum(&digests)), "").await;
    manifest(session, &format!("host/{id}/2026-01-0{}T10:00:00Z", day + 1)).await;
    ok(session, "POST", "/finish", "").await;
    digests
}

/// Returns the names of all chunks.
pub fn chunks(stage: &Stage) -> Vec<String> {
    let folders = fs::read_dir(stage.root.join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Compares the store with what it was, and tells names instead of contents.
pub fn assert_unchanged(before: &BTreeMap<PathBuf, Vec<u8>>, stage: &Stage, after: &str) {
    let now = stage.files();
    let changed = before.iter().filter(|(path, content)| now.get(*path) != Some(content)).map(|(path, _)| path);
    let added = now.keys().filter(|path| !before.contains_key(*path));
    let different: Vec<&PathBuf> = changed.chain(added).collect();
    assert!(different.is_empty(), "{after}: {different:?}");
}
