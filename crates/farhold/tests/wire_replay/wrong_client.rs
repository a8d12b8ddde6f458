//! A client that sends each wrong order, size, digest, id, time and owner, and one that goes away at any point: the
//! store is as it was, and what is right goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, Digest, Snapshot};
use serde_json::{Value, json};

use crate::connection::{Session, Wire, WireAnswer};
use crate::runtime;
use crate::stage::Stage;

const SLOT: u64 = 4 << 20;
/// 2026-01-01T10:00:00Z and days after it.
const DAYS: [i64; 3] = [1_767_261_600, 1_767_348_000, 1_767_434_400];

/// One client.
struct Client<'s> {
    stage: &'s Stage,
    account: &'s str,
}

fn path(id: &str, time: i64, more: &str) -> String {
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
    async fn upgrade(&self, path: &str) -> (u16, Option<Session>) {
        let mut wire = Wire::connect(self.stage.port()).await;
        let answer = wire.request("GET", path, &self.headers(), b"").await;
        let session = if answer.status == 101 { Some(wire.session().await) } else { None };
        (answer.status, session)
    }

    async fn session(&self, id: &str, time: i64) -> Session {
        let (status, session) = self.upgrade(&path(id, time, "&debug=1")).await;
        assert_eq!(status, 101, "{id} {time}");
        session.unwrap()
    }
}

async fn call(session: &mut Session, method: &str, path: &str, body: impl Into<Bytes>) -> WireAnswer {
    session.send_with(method, path, &[], body.into()).await.await
}

/// Makes a call that must succeed; returns its data.
async fn ok(session: &mut Session, method: &str, path: &str, body: impl Into<Bytes>) -> Value {
    let answer = call(session, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {:?}", answer.body);
    serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["data"].clone()
}

fn append(writer: u64, entries: &[(Digest, u64)]) -> String {
    let digests: Vec<String> = entries.iter().map(|(digest, _)| digest.to_string()).collect();
    let offsets: Vec<u64> = entries.iter().map(|(_, offset)| *offset).collect();
    json!({"wid": writer, "digest-list": digests, "offset-list": offsets}).to_string()
}

async fn put(session: &mut Session, path: &str, body: String) -> WireAnswer {
    session.send_with("PUT", path, &[("content-type", "application/json")], body.into()).await.await
}

fn content(seed: u8, length: u64) -> Vec<u8> {
    vec![seed; usize::try_from(length).unwrap()]
}

fn encoded(content: &[u8]) -> Vec<u8> {
    BlobEncoder::new().encode(content, Compression::On, None).unwrap()
}

fn chunk_path(kind: &str, writer: u64, digest: &Digest, size: u64, encoded: &[u8]) -> String {
    format!("/{kind}_chunk?wid={writer}&digest={digest}&size={size}&encoded-size={}", encoded.len())
}

/// Uploads a chunk of equal bytes; returns its digest.
async fn upload(session: &mut Session, kind: &str, writer: u64, seed: u8, length: u64) -> Digest {
    let content = content(seed, length);
    let (digest, encoded) = (sha256(&content), encoded(&content));
    ok(session, "POST", &chunk_path(kind, writer, &digest, length, &encoded), encoded).await;
    digest
}

async fn manifest(session: &mut Session, snapshot: &str) {
    let snapshot: Snapshot = snapshot.parse().unwrap();
    let blob = Manifest::new(&snapshot).to_blob(&mut BlobEncoder::new()).unwrap();
    ok(session, "POST", &format!("/blob?file-name=index.json.blob&encoded-size={}", blob.len()), blob).await;
}

fn checksum(digests: &[Digest]) -> Digest {
    sha256(&digests.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>())
}

fn close(writer: u64, count: u64, size: u64, checksum: &Digest) -> String {
    format!("/fixed_close?wid={writer}&chunk-count={count}&size={size}&csum={checksum}")
}

/// Writes a backup with one image of two chunks; returns their digests.
async fn good_backup(client: &Client<'_>, id: &str, day: usize) -> [Digest; 2] {
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
fn chunks(stage: &Stage) -> Vec<String> {
    let folders = fs::read_dir(stage.root.join(".chunks")).unwrap().flatten();
    let folders = folders.filter(|folder| folder.file_name().len() == 4);
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Compares the store with what it was, and tells names instead of contents.
fn assert_unchanged(before: &BTreeMap<PathBuf, Vec<u8>>, stage: &Stage, after: &str) {
    let now = stage.files();
    let changed = before.iter().filter(|(path, content)| now.get(*path) != Some(content)).map(|(path, _)| path);
    let added = now.keys().filter(|path| !before.contains_key(*path));
    let different: Vec<&PathBuf> = changed.chain(added).collect();
    assert!(different.is_empty(), "{after}: {different:?}");
}

#[test]
fn an_upgrade_with_a_wrong_id_time_owner_or_form_is_refused_and_leaves_nothing() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        good_backup(&client, "a", 1).await;
        stage.wait_for_sessions(0).await;
        fs::create_dir_all(stage.root.join("host/foreign/2026-01-01T10:00:00Z")).unwrap();
        fs::write(stage.root.join("host/foreign/2026-01-01T10:00:00Z/index.json.blob"), b"").unwrap();
        fs::write(stage.root.join("host/foreign/owner"), "other@pbs\n").unwrap();
        fs::create_dir_all(stage.root.join("host/left/2026-01-03T10:00:00Z")).unwrap();
        fs::write(stage.root.join("host/left/owner"), "sync@pbs!t1\n").unwrap();
        let before = stage.files();
        let cases = [
            (path("a", DAYS[1], ""), 400, "the time of the newest backup"),
            (path("a", DAYS[0], ""), 400, "an older time"),
            (path("a", DAYS[2], "&ns=nope"), 404, "a missing namespace"),
            (path("a", DAYS[2], "&ns=..%2Fa"), 400, "a wrong namespace"),
            (path("a", 0, ""), 400, "no time"),
            (path("a", 253_402_300_800, ""), 400, "a time after the year 9999"),
            (path("..%2Fa", DAYS[2], ""), 400, "a wrong id"),
            (path(&"x".repeat(255), DAYS[2], ""), 400, "an id too long for a task"),
            (path("foreign", DAYS[2], ""), 400, "a group of somebody else"),
            (path("left", DAYS[2], ""), 400, "a directory of this time"),
            (path("benchmark", DAYS[2], ""), 400, "the group of benchmarks"),
            (path("a", DAYS[2], "&benchmark=1"), 400, "a benchmark elsewhere"),
            (path("a", DAYS[2], "&color=red"), 400, "an unknown parameter"),
            (path("a", DAYS[2], "").replace("local", "nolocal"), 400, "an unknown store"),
            (path("a", DAYS[2], "").replace("host", "tape"), 400, "an unknown type"),
        ];
        for (path, expected, what) in cases {
            assert_eq!(client.upgrade(&path).await.0, expected, "{what}");
            stage.wait_for_sessions(0).await;
            assert_unchanged(&before, &stage, what);
        }
        let nobody = Client { stage: &stage, account: "nobody@pbs!t3" };
        assert_eq!(nobody.upgrade(&path("new", DAYS[2], "")).await.0, 403);
        let other = Client { stage: &stage, account: "other@pbs!t2" };
        assert_eq!(other.upgrade(&path("a", DAYS[2], "")).await.0, 400, "a token of somebody else");
        assert_eq!(other.upgrade(&path("foreign", DAYS[2], "")).await.0, 400, "a token for its user's group");
        assert_unchanged(&before, &stage, "others");
        // The group is busy while a session runs, also for the same account.
        let session = client.session("a", DAYS[2]).await;
        assert_eq!(client.upgrade(&path("a", DAYS[2] + 1, "")).await.0, 400);
        drop(session);
        stage.wait_for_sessions(0).await;
        assert_unchanged(&before, &stage, "a session without requests");
    });
}

/// A wrong request inside of a session, and why it is wrong.
type Wrong = (&'static str, String, Vec<u8>, &'static str);

#[test]
fn wrong_orders_sizes_and_digests_are_refused_and_the_session_goes_on() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let known = good_backup(&client, "a", 0).await;
        stage.wait_for_sessions(0).await;
        let chunks_before = chunks(&stage);
        let mut session = client.session("a", DAYS[1]).await;
        let session = &mut session;
        for (name, expected) in [("d.img.fidx", 1), ("e.img.fidx", 2)] {
            let made = ok(session, "POST", &format!("/fixed_index?archive-name={name}&size=8388608"), "").await;
            assert_eq!(made, expected);
        }
        assert_eq!(ok(session, "POST", "/dynamic_index?archive-name=r.pxar.didx", "").await, 3);
        let plain = content(9, 1000);
        let (digest, good) = (sha256(&plain), encoded(&plain));
        let foreign = sha256(b"something else");
        let chunk = |kind: &str, writer: u64, digest: &Digest, size: u64, body: &[u8]| {
            chunk_path(kind, writer, digest, size, body)
        };
        let damaged = {
            let mut bytes = good.clone();
            bytes[15] ^= 0xff;
            bytes
        };
        let mut no_crc = encoded(b"a blob");
        no_crc[9] ^= 1;
        let longer = [good.as_slice(), &[0]].concat();
        let large = content(7, SLOT + 1);
        let (large_digest, large_encoded) = (sha256(&large), encoded(&large));
        let append_to = |path: &str, writer, entries: &[(Digest, u64)], why| -> Wrong {
            ("PUT", path.to_owned(), append(writer, entries).into_bytes(), why)
        };
        let post = |path: String, body: &[u8], why| -> Wrong { ("POST", path, body.to_vec(), why) };
        let wrong: Vec<Wrong> = vec![
            post(chunk("fixed", 1, &foreign, 1000, &good), &good, "another digest"),
            post(chunk("fixed", 1, &digest, 999, &good), &good, "another size"),
            post(chunk("fixed", 1, &digest, 0, &good), &good, "no size"),
            post(chunk("fixed", 1, &digest, 16_777_217, &good), &good, "a size too large"),
            post(chunk("fixed", 0, &digest, 1000, &good), &good, "writer 0"),
            post(chunk("fixed", 257, &digest, 1000, &good), &good, "writer 257"),
            post(chunk("fixed", 9, &digest, 1000, &good), &good, "an unknown writer"),
            post(chunk("fixed", 3, &digest, 1000, &good), &good, "a writer of the other kind"),
            post(chunk("fixed", 1, &digest, 1000, &longer), &good, "a shorter body"),
            post(chunk("fixed", 1, &digest, 1000, &good), &longer, "a longer body"),
            post(chunk("fixed", 1, &digest, 1000, &damaged), &damaged, "a damaged body"),
            post(chunk("fixed", 1, &digest, 1000, &good), &vec![0; good.len()], "no container"),
            post(chunk("fixed", 1, &large_digest, SLOT + 1, &large_encoded), &large_encoded, "a large chunk"),
            append_to("/fixed_index", 1, &[(digest, 0)], "a chunk that was not uploaded"),
            append_to("/fixed_index", 1, &[(known[0], 0)], "a chunk of the base whose index was not read"),
            append_to("/dynamic_index", 1, &[], "an append of the other kind"),
            append_to("/fixed_index", 9, &[], "an append to an unknown writer"),
            post(close(1, 0, 0, &foreign), b"", "an end before the beginning"),
            post("/dynamic_close?wid=3&chunk-count=0&size=0&csum=".to_owned() + &foreign.to_string(), b"", "no chunks"),
            post("/finish".to_owned(), b"", "an end with open writers"),
            post("/fixed_index?archive-name=x.didx&size=1".to_owned(), b"", "another kind of name"),
            post("/fixed_index?archive-name=x.fidx&size=0".to_owned(), b"", "no size"),
            post("/fixed_index?archive-name=x.fidx&size=9223372036854775807".to_owned(), b"", "an endless image"),
            post("/fixed_index?archive-name=..%2Fx.fidx&size=1".to_owned(), b"", "a name with a path"),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&size=8388608&reuse-csum={foreign}"),
                b"",
                "another base",
            ),
            post(
                format!("/fixed_index?archive-name=q.img.fidx&size=8388608&reuse-csum={}", checksum(&known)),
                b"",
                "no such index in the base",
            ),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&size=12582912&reuse-csum={}", checksum(&known)),
                b"",
                "another number of chunks",
            ),
            post(
                format!("/fixed_index?archive-name=d.img.fidx&reuse-csum={}", checksum(&known)),
                b"",
                "reuse without size",
            ),
            post(format!("/blob?file-name=x.blob&encoded-size={}", no_crc.len()), &no_crc, "a blob with a wrong CRC"),
            post(format!("/blob?file-name=x.txt&encoded-size={}", good.len()), &good, "a blob without the ending"),
            ("GET", "/previous?archive-name=nope.fidx".to_owned(), Vec::new(), "an index that the base lacks"),
            ("GET", "/previous?archive-name=x.txt".to_owned(), Vec::new(), "a name without ending"),
        ];
        for (method, path, body, why) in wrong {
            let headers: &[_] = if method == "PUT" { &[("content-type", "application/json")] } else { &[] };
            let answer = session.send_with(method, &path, headers, body.into()).await.await;
            assert_eq!(answer.status, 400, "{why}: {:?}", answer.body);
        }
        assert_eq!(call(session, "GET", "/previous?archive-name=nope.blob", "").await.status, 404);
        assert_eq!(call(session, "GET", "/nonsense", "").await.status, 404);
        assert_eq!(call(session, "DELETE", "/finish", "").await.status, 404);
        assert_eq!(chunks(&stage), chunks_before, "nothing that was refused was stored");

        // After all of that, what is right goes on.
        let uploaded = upload(session, "dynamic", 3, 9, 1000).await;
        assert_eq!(uploaded, digest);
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 5)])).await.status, 400, "a wrong offset");
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 0)])).await.status, 200);
        assert_eq!(put(session, "/dynamic_index", append(3, &[(digest, 0)])).await.status, 400, "the same again");
        assert_eq!(put(session, "/fixed_index", append(1, &[(digest, 0)])).await.status, 400, "a short chunk in front");
        let mut sum = 1000_u64.to_le_bytes().to_vec();
        sum.extend(digest.0);
        let end = |count: u64, size: u64, csum: &Digest| {
            format!("/dynamic_close?wid=3&chunk-count={count}&size={size}&csum={csum}")
        };
        assert_eq!(call(session, "POST", &end(2, 1000, &sha256(&sum)), "").await.status, 400, "a wrong count");
        assert_eq!(call(session, "POST", &end(1, 999, &sha256(&sum)), "").await.status, 400, "a wrong size");
        ok(session, "POST", &end(1, 1000, &sha256(&sum)), "").await;
        assert_eq!(call(session, "POST", &end(1, 1000, &sha256(&sum)), "").await.status, 400, "closed already");
        assert_eq!(call(session, "POST", "/finish", "").await.status, 400, "open writers");
        // An index with a wrong checksum: the backup cannot be finished any more.
        ok(session, "GET", "/previous?archive-name=d.img.fidx", "").await;
        assert_eq!(put(session, "/fixed_index", append(1, &[(known[0], 0), (known[1], SLOT)])).await.status, 200);
        assert_eq!(call(session, "POST", &close(1, 2, 2 * SLOT, &foreign), "").await.status, 400);
        assert_eq!(call(session, "POST", &close(1, 2, 2 * SLOT, &checksum(&known)), "").await.status, 400);
        manifest(session, "host/a/2026-01-02T10:00:00Z").await;
        assert_eq!(call(session, "POST", "/finish", "").await.status, 400);
    });
    runtime().block_on(async {
        stage.wait_for_sessions(0).await;
        // Creating a store leaves a chunk of zeros.
        assert_eq!(chunks(&stage).len(), 4, "the two of the good backup, and the one that was right");
        let files = stage.files();
        let snapshots: Vec<&PathBuf> = files.keys().filter(|path| path.ends_with("index.json.blob")).collect();
        assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    });
}

#[test]
fn whatever_ends_a_session_before_its_end_removes_the_snapshot_and_frees_the_group() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let manifest_only = async |session: &mut Session| manifest(session, "host/new/2026-01-01T10:00:00Z").await;
        for step in 0..6 {
            let mut session = client.session("new", DAYS[0]).await;
            match step {
                0 => {}
                1 => drop(ok(&mut session, "POST", "/fixed_index?archive-name=d.img.fidx&size=8388608", "").await),
                2 => {
                    let writer = ok(&mut session, "POST", "/dynamic_index?archive-name=d.didx", "").await;
                    upload(&mut session, "dynamic", writer.as_u64().unwrap(), 3, 100_000).await;
                }
                3 => manifest_only(&mut session).await,
                4 => {
                    // The end fails: a dead end, and still locked.
                    let blob = encoded(b"no manifest");
                    let path = format!("/blob?file-name=index.json.blob&encoded-size={}", blob.len());
                    ok(&mut session, "POST", &path, blob).await;
                    assert_eq!(call(&mut session, "POST", "/finish", "").await.status, 400);
                    assert_eq!(call(&mut session, "POST", "/finish", "").await.status, 400);
                    assert_eq!(client.upgrade(&path_of_new()).await.0, 400, "the group is locked");
                }
                _ => {
                    // In the middle of a body.
                    ok(&mut session, "POST", "/dynamic_index?archive-name=d.didx", "").await;
                    let digest = Digest([0; 32]);
                    let path = format!("/dynamic_chunk?wid=1&size=100000&encoded-size=100000&digest={digest}");
                    session.cut_in_upload(&path, 50_000).await;
                    stage.wait_for_sessions(0).await;
                    assert_unchanged(&before, &stage, "a connection cut in an upload");
                    continue;
                }
            }
            drop(session);
            stage.wait_for_sessions(0).await;
            assert_unchanged(&before, &stage, &format!("step {step}"));
        }
    });
}

fn path_of_new() -> String {
    path("new", DAYS[0], "")
}

#[test]
fn stopping_the_task_ends_the_session_and_says_so() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let mut session = client.session("new", DAYS[0]).await;
        ok(&mut session, "POST", "/fixed_index?archive-name=d.img.fidx&size=8388608", "").await;
        let upid = stage.app().tasks.running_here().pop().unwrap();
        stage.app().tasks.abort(&upid);
        let status = stage.app().tasks.wait(&upid).await.unwrap();
        assert_eq!(status.to_string(), "task aborted");
        assert_unchanged(&before, &stage, "the stopped session");
        assert_eq!(call(&mut session, "GET", "/previous_backup_time", "").await.status, 0, "the connection is closed");
        let log = fs::read_to_string(stage.app().tasks.log_path(&upid)).unwrap();
        let lines: Vec<&str> = log.lines().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(
            lines,
            [
                "starting new backup on datastore 'local' from 127.0.0.1: \"host/new/2026-01-01T10:00:00Z\"",
                "protocol upgrade done",
                "POST /fixed_index",
                "created new fixed index 1 (\"host/new/2026-01-01T10:00:00Z/d.img.fidx\")",
                "backup failed: task aborted",
                "removing failed backup",
                "removing backup snapshot \"host/new/2026-01-01T10:00:00Z\"",
                "TASK ERROR: task aborted",
            ]
        );
    });
}

#[test]
fn the_next_session_of_a_group_can_begin_when_the_answer_to_finish_is_there() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let mut open = Vec::new();
        for second in 0..20 {
            let mut session = client.session("busy", DAYS[0] + second).await;
            manifest(&mut session, "host/busy/2026-01-01T10:00:00Z").await;
            ok(&mut session, "POST", "/finish", "").await;
            // Real clients close only later, and without a word.
            open.push(session);
        }
        drop(open);
        stage.wait_for_sessions(0).await;
        let snapshots = fs::read_dir(stage.root.join("host/busy")).unwrap().flatten();
        assert_eq!(snapshots.filter(|entry| entry.path().is_dir()).count(), 20);
    });
}

#[test]
fn a_hypervisor_uploads_unreferenced_zeros_appends_in_any_order_and_closes_with_what_it_sent() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let first = good_backup(&client, "vm", 0).await;
        let (_, session) = client.upgrade(&path("vm", DAYS[1], "&debug=0&benchmark=0")).await;
        let mut session = session.unwrap();
        let session = &mut session;
        // Its libraries ask for what may not exist, and go on.
        assert_eq!(call(session, "GET", "/previous?archive-name=index.json.blob", "").await.status, 200);
        assert_eq!(call(session, "GET", "/previous?archive-name=f.img.fidx", "").await.status, 400);
        assert_eq!(call(session, "GET", "/previous?archive-name=d.img.fidx", "").await.status, 200);
        let reuse = format!("/fixed_index?archive-name=d.img.fidx&size=8388608&reuse-csum={}", checksum(&first));
        let unchanged = ok(session, "POST", &reuse, "").await.as_u64().unwrap();
        upload(session, "fixed", unchanged, 0, SLOT).await;
        let new = ok(session, "POST", "/fixed_index?archive-name=f.img.fidx&size=12583912", "").await.as_u64().unwrap();
        upload(session, "fixed", new, 0, SLOT).await;
        let (tail, middle) =
            (upload(session, "fixed", new, 5, 1000).await, upload(session, "fixed", new, 4, SLOT).await);
        let slots = [first[0], middle, first[1], tail];
        for (slot, digest) in [(3, tail), (1, middle), (0, first[0]), (2, first[1])] {
            assert_eq!(put(session, "/fixed_index", append(new, &[(digest, slot * SLOT)])).await.status, 200);
        }
        ok(session, "POST", &close(new, 4, 3 * SLOT + 1000, &checksum(&slots)), "").await;
        ok(session, "POST", &close(unchanged, 0, 0, &checksum(&first)), "").await;
        manifest(session, "host/vm/2026-01-02T10:00:00Z").await;
        ok(session, "POST", "/finish", "").await;
        let snapshot = stage.root.join("host/vm/2026-01-02T10:00:00Z");
        let index = |name: &str| {
            let bytes = Bytes::from(fs::read(snapshot.join(name)).unwrap());
            Index::parse(ArchiveKind::FixedIndex, bytes).unwrap().digests().collect::<Vec<_>>()
        };
        assert_eq!(index("d.img.fidx"), first);
        assert_eq!(index("f.img.fidx"), slots);
        let manifest = Manifest::from_blob(&fs::read(snapshot.join("index.json.blob")).unwrap()).unwrap();
        let statistics = &manifest.unprotected["chunk_upload_stats"];
        // Creating a store leaves a chunk of zeros, so both are duplicates.
        assert_eq!((&statistics["count"], &statistics["duplicates"]), (&json!(4), &json!(2)));
    });
}

#[test]
fn a_benchmark_leaves_nothing_and_succeeds() {
    let stage = Stage::new("local");
    let client = Client { stage: &stage, account: "sync@pbs!t1" };
    runtime().block_on(async {
        let before = stage.files();
        let (status, session) = client.upgrade(&path("benchmark", DAYS[0], "&benchmark=1")).await;
        assert_eq!(status, 101);
        let upid = stage.app().tasks.running_here().pop().unwrap();
        let mut session = session.unwrap();
        for _ in 0..3 {
            ok(&mut session, "POST", "/speedtest", vec![0x41; 4 << 20]).await;
        }
        drop(session);
        assert_eq!(stage.app().tasks.wait(&upid).await.unwrap().to_string(), "OK");
        assert_unchanged(&before, &stage, "the benchmark");
    });
}
