//! Peers that lie, over the real wire: whatever they send, the run says what is wrong, writes nothing it should not,
//! and an honest peer can be pulled from afterwards.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use farhold_client::{Client, ClientConfig, Credentials};
use farhold_datastore::{Datastore, OpenOptions};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::manifest::Manifest;
use farhold_sync::{LocalTarget, RemoteSource, SyncOptions, Unrestricted};
use farhold_types::{Authid, Secret};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::content::{Content, add_snapshot, assert_no_leftovers, assert_same, assert_tidy, noise, snapshots};
use crate::peer::{Answer, Ask, Peer};
use crate::scratch::scratch;
use crate::site::{Ran, Site, files};

const GOOD: &str = "host/good/2026-01-01T10:00:00Z";
const BAD: &str = "host/bad/2026-01-01T10:00:00Z";

/// A remote with a good snapshot and one that lies can be told about.
struct Stage {
    peer: Peer,
    address: std::net::SocketAddr,
    source: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = scratch();
        let source = folder.path().join("source");
        let store = source_store(&source);
        let peer = Peer::new(store);
        let address = peer.listen().await;
        Self { peer, address, source, _folder: folder }
    }

    /// Returns a server with an empty store and a job that pulls from the remote.
    async fn site(&self) -> Site {
        let site = Site::new();
        site.add_store("local");
        let (port, fingerprint) = (self.address.port().to_string(), self.peer.fingerprint().to_string());
        let create = ["remote", "create", "pbs2", "--host", "127.0.0.1", "--port", &port, "--auth-id", "sync@pbs!t1"];
        let secret = ["--password", "any-secret", "--fingerprint", &fingerprint];
        site.run(&[&create[..], &secret[..]].concat()).await.ok();
        let job =
            ["sync-job", "create", "pbs2-local", "--remote", "pbs2", "--remote-store", "tank", "--store", "local"];
        site.run(&job).await.ok();
        site
    }

    /// Runs the job against the lying remote, checks what must hold whatever it says, and that an honest run repairs
    /// everything.
    async fn pull(&self, name: &str, lie: impl Fn(&Ask, &Bytes) -> Option<Answer> + Send + Sync + 'static) -> Ran {
        let site = self.site().await;
        let store = site.store_path("local");
        let own = [store.clone(), site.root().join("log"), site.root().join("run"), site.root().join("lib")];
        let outside = files(site.folder(), &own);
        self.peer.lie(lie);
        let ran = site.run(&["sync-job", "run", "pbs2-local"]).await;
        self.peer.be_honest();
        let text = format!("{name}: {}{}", ran.out, ran.err);
        assert!(!text.contains("panicked") && !text.contains("internal error"), "{text}");
        assert_eq!(files(site.folder(), &own), outside, "{name}: something was written outside of the store");
        assert_tidy(&store);
        let (original, copied) = (snapshots(&self.source), snapshots(&store));
        for (path, content) in &copied {
            assert!(original.get(path) == Some(content), "{name}: {path} is not what the remote has: {text}");
        }
        site.run(&["remote", "list"]).await.ok();
        site.run(&["sync-job", "run", "pbs2-local"]).await.ok();
        assert_same(&self.source, &store);
        let notes = site.notes();
        assert!(notes.is_empty(), "{name}: notes are left over: {notes:?}");
        ran
    }
}

fn source_store(path: &std::path::Path) -> Datastore {
    let store = empty_store(path);
    for snapshot in [GOOD, BAD] {
        let seeds: &[u64] = if snapshot == GOOD { &[1, 2, 3] } else { &[4, 5, 6] };
        let archives = [
            ("a.conf.blob", Content::Blob(snapshot.as_bytes())),
            ("root.pxar.didx", Content::Chunks(seeds, 2000)),
            ("drive.img.fidx", Content::Chunks(&[seeds[0] + 10, seeds[1] + 10], 65_536)),
        ];
        add_snapshot(&store, "", snapshot, &archives);
    }
    store
}

fn is_bad(ask: &Ask) -> bool {
    ask.session.as_ref().is_some_and(|snapshot| snapshot.to_string() == BAD)
}

fn flipped(bytes: &Bytes, at: usize) -> Answer {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x20;
    Answer::bytes(bytes)
}

fn encoded(plain: &[u8]) -> Vec<u8> {
    BlobEncoder::new().encode(plain, Compression::On, None).unwrap()
}

/// A compressed blob with a right checksum that inflates to `length` zeros.
pub fn bomb(length: u64) -> Vec<u8> {
    let packed = zstd::encode_all(std::io::Read::take(std::io::repeat(0), length), 1).unwrap();
    let head = encoded(&[0; 1000]);
    [&head[..8], &crc32(&packed).to_le_bytes()[..], &packed[..]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

type Change = fn(&Bytes) -> Answer;

/// Runs a table of changes to one file or to each chunk of the bad snapshot. The run must fail and name the snapshot's
/// group and everything in the last column.
async fn table(is_meant: fn(&Ask) -> bool, cases: &[(&str, Change, &[&str])]) {
    let stage = Stage::new().await;
    for (name, change, words) in cases.iter().copied() {
        let ran = stage.pull(name, move |ask, honest| (is_bad(ask) && is_meant(ask)).then(|| change(honest))).await;
        let text = ran.failed();
        for word in words.iter().chain(&["host/bad"]) {
            assert!(text.contains(word), "{name}: '{word}' is missing in:\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_chunks_are_refused_by_name() {
    let digest = farhold_crypto::sha256(&noise(4, 2000)).to_string();
    assert_eq!(digest.len(), 64);
    table(
        Ask::is_chunk,
        &[
            ("flipped content", |honest| flipped(honest, honest.len() - 7), &["chunk", "CRC"]),
            ("flipped checksum", |honest| flipped(honest, 9), &["chunk", "CRC"]),
            ("flipped magic", |honest| flipped(honest, 0), &["chunk", "magic"]),
            ("other content", |_| Answer::bytes(encoded(&noise(99, 2000))), &["chunk", "wrong content"]),
            ("shorter content", |_| Answer::bytes(encoded(b"short")), &["chunk", "5 bytes instead of 2000"]),
            ("longer content", |_| Answer::bytes(encoded(&[0; 100_000])), &["chunk", "larger than"]),
            ("nothing", |_| Answer::bytes(""), &["chunk", "0 bytes"]),
            ("half a head", |honest| Answer::bytes(honest.slice(..7)), &["chunk", "7 bytes"]),
            ("cut", |honest| Answer::bytes(honest.slice(..honest.len() - 1)), &["chunk", "CRC"]),
            ("longer than allowed", |_| Answer::bytes(vec![1; 20 << 20]), &["/chunk?digest=", "larger than"]),
            ("endless", |_| Answer::Endless, &["/chunk?digest=", "larger than"]),
            ("zip bomb", |_| Answer::bytes(bomb(16 << 20)), &["chunk", "larger than"]),
            ("refused", |_| Answer::Body(401, "no".into()), &["chunk", "may not be read"]),
            ("broken server", |_| Answer::Body(500, "oops".into()), &["/chunk?digest=", "oops"]),
        ],
    )
    .await;
}

/// Changes of an index.
fn index(change: impl FnOnce(&mut Vec<u8>), honest: &Bytes) -> Answer {
    let mut bytes = honest.to_vec();
    change(&mut bytes);
    Answer::bytes(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_indexes_are_refused_by_name() {
    const NAME: &[&str] = &["drive.img.fidx"];
    table(
        |ask| ask.is_file("drive.img.fidx"),
        &[
            ("empty", |_| Answer::bytes(""), NAME),
            ("short", |honest| Answer::bytes(honest.slice(..4000)), NAME),
            ("half an entry", |honest| Answer::bytes(honest.slice(..honest.len() - 5)), NAME),
            ("one entry less", |honest| Answer::bytes(honest.slice(..honest.len() - 32)), NAME),
            ("one entry more", |honest| index(|bytes| bytes.extend([7; 32]), honest), NAME),
            ("long", |honest| index(|bytes| bytes.resize(5_000_000, 7), honest), NAME),
            ("endless", |_| Answer::Endless, NAME),
            ("other magic", |honest| flipped(honest, 0), NAME),
            // Size and chunk size lie in bytes 64 to 79 of the head.
            ("absurd size", |honest| index(|bytes| bytes[64..72].fill(0xff), honest), NAME),
            ("absurd chunk size", |honest| index(|bytes| bytes[72..80].fill(0xff), honest), NAME),
            ("chunk size zero", |honest| index(|bytes| bytes[72..80].fill(0), honest), NAME),
            ("size zero", |honest| index(|bytes| bytes[64..72].fill(0), honest), NAME),
            ("other entry", |honest| flipped(honest, 4096 + 3), NAME),
            ("text", |_| Answer::bytes("no such thing"), NAME),
            ("missing", |_| Answer::Body(404, "no such file".into()), NAME),
        ],
    )
    .await;
    const DYNAMIC: &[&str] = &["root.pxar.didx"];
    table(
        |ask| ask.is_file("root.pxar.didx"),
        &[
            ("absurd end", |honest| index(|bytes| bytes[4096..4104].fill(0xff), honest), DYNAMIC),
            ("end zero", |honest| index(|bytes| bytes[4096..4104].fill(0), honest), DYNAMIC),
            ("falling ends", |honest| index(|bytes| bytes[4136] = 0, honest), DYNAMIC),
            ("no entry", |honest| Answer::bytes(honest.slice(..4096)), DYNAMIC),
        ],
    )
    .await;
    table(
        |ask| ask.is_file("a.conf.blob"),
        &[
            ("flipped content", |honest| flipped(honest, honest.len() - 2), &["a.conf.blob"]),
            ("other content", |_| Answer::bytes(encoded(b"other")), &["a.conf.blob"]),
            ("endless", |_| Answer::Endless, &["a.conf.blob"]),
        ],
    )
    .await;
}

/// Changes the manifest's JSON.
fn manifest(honest: &Bytes, change: impl FnOnce(&mut Value)) -> Answer {
    let mut json: Value = serde_json::from_slice(Manifest::from_blob(honest).unwrap().to_json().as_bytes()).unwrap();
    change(&mut json);
    Answer::bytes(encoded(json.to_string().as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_manifests_are_refused() {
    const NAME: &[&str] = &["manifest"];
    table(
        |ask| ask.is_file("index.json.blob"),
        &[
            ("way up", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("../../x.blob")), NAME),
            ("absolute", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("/tmp/x.blob")), NAME),
            ("nested", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("a/b.blob")), NAME),
            ("other ending", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("x.exe")), NAME),
            ("dots", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("..")), NAME),
            ("zero byte", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("a\u{0}.blob")), NAME),
            ("itself", |honest| manifest(honest, |json| json["files"][0]["filename"] = json!("index.json.blob")), NAME),
            ("twice", |honest| manifest(honest, |json| json["files"][1] = json["files"][0].clone()), NAME),
            ("size of 64 bits", |honest| manifest(honest, |json| json["files"][1]["size"] = json!(u64::MAX)), NAME),
            ("size of 63 bits", |honest| manifest(honest, |json| json["files"][1]["size"] = json!(1_u64 << 63)), NAME),
            ("negative size", |honest| manifest(honest, |json| json["files"][1]["size"] = json!(-1)), NAME),
            ("fraction", |honest| manifest(honest, |json| json["files"][1]["size"] = json!(1e300)), NAME),
            ("other size", |honest| manifest(honest, |json| json["files"][1]["size"] = json!(6001)), &["root.pxar"]),
            (
                "other checksum",
                |honest| manifest(honest, |json| json["files"][1]["csum"] = json!("0".repeat(64))),
                &["root.pxar"],
            ),
            (
                "other blob checksum",
                |honest| manifest(honest, |json| json["files"][0]["csum"] = json!("0".repeat(64))),
                &["a.conf"],
            ),
            ("short checksum", |honest| manifest(honest, |json| json["files"][1]["csum"] = json!("00")), NAME),
            (
                "encrypted they say",
                |honest| manifest(honest, |json| json["files"][1]["crypt-mode"] = json!("encrypt")),
                &["chunk"],
            ),
            ("other mode", |honest| manifest(honest, |json| json["files"][1]["crypt-mode"] = json!("rot13")), NAME),
            ("other group", |honest| manifest(honest, |json| json["backup-id"] = json!("good")), NAME),
            ("other type", |honest| manifest(honest, |json| json["backup-type"] = json!("vm")), NAME),
            ("other time", |honest| manifest(honest, |json| json["backup-time"] = json!(5)), NAME),
            ("no files", |honest| manifest(honest, |json| json["files"] = Value::Null), NAME),
            ("files are an object", |honest| manifest(honest, |json| json["files"] = json!({})), NAME),
            ("a list", |_| Answer::bytes(encoded(b"[]")), NAME),
            ("no JSON", |_| Answer::bytes(encoded(b"{")), NAME),
            ("deep", |_| Answer::bytes(encoded("[".repeat(100_000).as_bytes())), NAME),
            ("no blob", |_| Answer::bytes("text"), NAME),
            ("flipped", |honest| flipped(honest, 20), NAME),
            ("zip bomb", |_| Answer::bytes(bomb(1 << 30)), NAME),
            ("endless", |_| Answer::Endless, &["index.json.blob is larger than"]),
            ("too long", |_| Answer::bytes(vec![1; 17 << 20]), &["index.json.blob is larger than"]),
        ],
    )
    .await;
}

/// What the listings of a remote say wrong, and what of the rest comes over all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_listings_neither_stop_the_rest_nor_get_written() {
    let stage = Stage::new().await;
    let append = |honest: &Bytes, more: Value| {
        let mut json: Value = serde_json::from_slice(honest).unwrap();
        json["data"].as_array_mut().unwrap().extend(more.as_array().unwrap().iter().cloned());
        Answer::bytes(json.to_string())
    };
    let group =
        |id: Value| json!({ "backup-type": "host", "backup-id": id, "last-backup": 0, "backup-count": 0, "files": [] });
    let ns_names =
        json!([{ "ns": "../../x" }, { "ns": "/a" }, { "ns": "a/b/c/d/e/f/g/h" }, { "ns": 7 }, { "ns": "" }, "x", null]);
    let ids = json!(["../../x", "", "a/b", ".", "..", "-a", "a b", "x\u{0}"].map(|id| group(json!(id))));
    let cases: Vec<(&str, &str, Value, usize)> = vec![
        ("namespaces", "namespace", ns_names, 6),
        ("groups", "groups", ids, 8),
        ("groups of other types", "groups", json!([{ "backup-type": "../vm", "backup-id": "1" }, {}, [], "x", 5]), 5),
        (
            "snapshots",
            "snapshots",
            json!([{ "backup-type": "host", "backup-id": "bad", "backup-time": -5, "files": [] }, 5]),
            4,
        ),
    ];
    for (name, what, more, left_out) in cases {
        let ran = stage.pull(name, move |ask, honest| ask.lists(what).then(|| append(honest, more.clone()))).await;
        let text = ran.ok();
        assert_eq!(text.matches("left out, because").count(), left_out, "{name}: {text}");
        assert!(text.contains(&format!("TASK WARNINGS: {left_out}\n")), "{name}: {text}");
        for group in ["good", "bad"] {
            assert!(text.contains(&format!("[host/{group}]: 2026-01-01T10:00:00Z: sync done")), "{name}: {text}");
        }
    }
    for (name, body) in [
        ("no JSON", "nonsense"),
        ("nothing", ""),
        ("half", "{\"data\":[{\"ns\":"),
        ("a number", "{\"data\":5}"),
        ("an object", "{\"data\":{}}"),
        ("null", "{\"data\":null}"),
        ("no data", "{}"),
        ("a list", "[]"),
    ] {
        for what in ["namespace", "groups", "snapshots"] {
            let ran = stage.pull(name, move |ask, _| ask.lists(what).then(|| Answer::bytes(body))).await;
            let text = ran.failed();
            let path = format!("/admin/datastore/tank/{what} cannot be read");
            assert!(text.contains(&path), "{what} {name}: {text}");
            let last = text.lines().last().unwrap();
            assert!(last.matches(&path).count() <= 2, "{what} {name}: told twice: {last}");
        }
    }
}

/// Silence and nonsense on the connection itself. In memory and with a clock that jumps, since patience is long.
#[tokio::test(start_paused = true)]
async fn silence_and_nonsense_on_a_connection_end_in_an_error_that_names_the_remote() {
    type Lies = fn(&Ask) -> Option<Answer>;
    let cases: &[(&str, Lies, &str)] = &[
        ("silent namespaces", |ask| ask.lists("namespace").then_some(Answer::Silence), "sent nothing for"),
        ("silent groups", |ask| ask.lists("groups").then_some(Answer::Silence), "sent nothing for"),
        ("silent snapshots", |ask| ask.lists("snapshots").then_some(Answer::Silence), "sent nothing for"),
        ("stalled groups", |ask| ask.lists("groups").then(|| Answer::Stall("{".into())), "sent nothing for"),
        ("silent upgrade", |ask| (ask.path == "/reader").then_some(Answer::Silence), "sent nothing for"),
        ("silent chunks", |ask| ask.is_chunk().then_some(Answer::Silence), "sent nothing for"),
        ("stalled chunks", |ask| ask.is_chunk().then(|| Answer::Stall("x".into())), "sent nothing for"),
        ("silent session", |ask| (ask.path == "/reader").then(|| Answer::NoSession("".into())), "sent nothing for"),
        // Its first bytes announce a frame that is allowed but never comes.
        (
            "another protocol",
            |ask| (ask.path == "/reader").then(|| Answer::NoSession("220 ready\r\n".into())),
            "sent nothing",
        ),
        (
            "no HTTP/2",
            |ask| (ask.path == "/reader").then(|| Answer::NoSession("HTTP/1.1 400 no\r\n\r\n".into())),
            "protocol",
        ),
        ("no upgrade", |ask| (ask.path == "/reader").then(|| Answer::Body(500, "later".into())), "later"),
    ];
    let folder = scratch();
    let peer = Peer::new(source_store(&folder.path().join("source")));
    for (number, (name, lie, word)) in cases.iter().copied().enumerate() {
        let path = folder.path().join(number.to_string());
        let store = empty_store(&path);
        peer.lie(move |ask, _| lie(ask));
        let error = pull_into(&peer, &store, folder.path()).await.unwrap_err();
        let names_peer = error.contains("pbs.example") || error.contains("/api2/json/reader was refused");
        assert!(error.contains(word) && names_peer, "{name}: {error}");
        assert_no_leftovers(&path);
        peer.be_honest();
        pull_into(&peer, &store, folder.path()).await.unwrap();
        assert_same(&folder.path().join("source"), &path);
    }
}

pub fn empty_store(path: &std::path::Path) -> Datastore {
    fs::create_dir_all(path.join(".chunks")).unwrap();
    let locks = path.with_extension("locks");
    let (clock, randomness) = (Arc::new(farhold::system::SystemClock), Arc::new(farhold::system::SystemRandomness));
    Datastore::open(OpenOptions::local("tank".parse().unwrap(), path, locks, clock, randomness)).unwrap()
}

/// Pulls without a server around it; returns the text of an error.
async fn pull_into(peer: &Peer, store: &Datastore, folder: &std::path::Path) -> Result<(), String> {
    let credentials = Credentials::new("sync@pbs!t1".parse().unwrap(), Secret::new("any-secret"));
    let config =
        ClientConfig { fingerprint: Some(peer.fingerprint()), ..ClientConfig::new("pbs.example", credentials) };
    let client = Client::with_dialer(config, Arc::new(peer.clone())).unwrap();
    let source = RemoteSource::new(client, "tank".parse().unwrap(), "sync@pbs!t1".parse().unwrap());
    let options = SyncOptions { state_dir: Some(folder.join("notes")), ..SyncOptions::new("job", Authid::root()) };
    let target = Arc::new(LocalTarget::open(store.clone()).unwrap());
    let (rights, events) = (Arc::new(Unrestricted), Arc::new(|_: &farhold_sync::SyncEvent| {}));
    let run = farhold_sync::run(options, Arc::new(source), target, rights, events, CancellationToken::new());
    run.await.map(drop).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}
