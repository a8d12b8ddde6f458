//! Plays what the reference's pulls, look-ups, restores, backups and pushes sent, against our server over real TLS.
//!
//! Sessions that write: [`writers`]. For what only reads:
//! The recorded datastore `tank` is not at hand: the recorded store `golden` stands for it. Groups, snapshots and
//! archives that it lacks are replaced by ones of the same type, and digests by those of our own index files. What is
//! compared is the form of each answer: status, content type, how its length is told, kind of body, members of JSON.
//! On connections the order of requests and the number in flight are as recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test that cannot continue should stop")]

mod connection;
mod content;
mod life;
mod listings;
mod play;
mod scripted;
mod stage;
#[allow(dead_code, reason = "shared by tests that need different parts")]
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/trust_all.rs"]
mod trust_all;
mod uploads;
mod writers;
mod writing;
mod wrong_client;

use std::sync::Arc;
use std::time::Duration;

use connection::Wire;
use farhold_types::Epoch;
use futures::future::join_all;
use play::{Account, Tank};
use support::files;
use support::servers::{Folders, Listening, SetClock, server};

/// The records of pulls, look-ups and restores that only read.
const RECORDS: &[&str] = &[
    "client-catalog-dump",
    "client-group-list",
    "client-login-password-list",
    "client-login-wrong-password",
    "client-namespace-list",
    "client-restore-blob",
    "client-restore-dir",
    "client-restore-dir-split",
    "client-restore-image",
    "client-restore-image-80-chunks",
    "client-restore-image-encrypted",
    "client-restore-missing-snapshot",
    "client-snapshot-files",
    "client-snapshot-list",
    "client-snapshot-list-group-ns",
    "client-status",
    "client-token-wrong-secret",
    "client-version",
    "pull-bad-secret",
    "pull-last-changed-and-late-log",
    "pull-missing-namespace",
    "pull-missing-store",
    "pull-namespaces",
    "pull-namespaces-noop-password-user",
    "pull-new",
    "pull-new-4-threads",
    "pull-noop",
    "pull-one-namespace-depth-1",
    "pull-one-new-snapshot",
    "remote-scan-groups",
    "remote-scan-namespaces",
    "remote-scan-stores",
];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

struct Scene {
    server: Listening,
    tank: Arc<Tank>,
    _scratch: tempfile::TempDir,
}

/// Starts a server with the recorded store as `tank`, and the recorded account.
fn scene() -> Scene {
    let scratch = support::scratch::scratch();
    let folders = Folders { root: scratch.path().to_owned() };
    std::fs::create_dir_all(folders.stores(1)).unwrap();
    let store = files::unpack_store("golden.tar.zst", &folders.stores(1), "golden");
    let composed = server(&folders.server(1), "pbs1", Arc::new(SetClock::new(Epoch(1_795_379_959))));
    let account = Account::set_up(&composed, &store);
    let server = Listening::start(composed);
    let tank = Tank::new(Arc::clone(&server.running().composed().app), account, server.port());
    Scene { server, tank: Arc::new(tank), _scratch: scratch }
}

#[test]
fn what_pulls_and_restores_send_gets_answers_of_the_recorded_form() {
    let scene = scene();
    let results = runtime().block_on(async {
        let plays = RECORDS.iter().map(|record| {
            let tank = Arc::clone(&scene.tank);
            async move { (*record, tokio::spawn(async move { play::record(record, &tank).await }).await.unwrap()) }
        });
        join_all(plays).await
    });
    let mut wrong = String::new();
    for (record, played) in results {
        println!("{record:<40} {:>5} requests, {:>3} left out", played.requests, played.left_out);
        for line in played.wrong {
            wrong += &format!("{record} {line}\n");
        }
    }
    drop(scene.server);
    assert!(wrong.is_empty(), "answers have another form than the recorded ones:\n{wrong}");
}

/// Parameters of the server's SETTINGS frame. Source: `tests/golden/wire/pull-new.jsonl`, line 4.
const RECORDED_SETTINGS: &[(u16, u32)] = &[(3, 200), (4, 33_554_432), (5, 4_194_304), (6, 16_384)];
/// Growth of the connection's window. Source: `tests/golden/wire/pull-new.jsonl`, line 8.
const RECORDED_WINDOW_GROWTH: u32 = 33_488_897;
const RST_STREAM_FRAME: u8 = 3;
const SETTINGS_FRAME: u8 = 4;
const WINDOW_UPDATE_FRAME: u8 = 8;
/// Error code of a refused stream. Source: `tests/golden/wire/README.md`, `probe-reader`.
const REFUSED_STREAM: u32 = 7;

#[test]
fn the_session_begins_with_the_recorded_settings_and_refuses_the_201st_stream() {
    let scene = scene();
    runtime().block_on(async {
        let mut wire = Wire::connect(scene.tank.port).await;
        let path = Tank::reader_path("vm", "100", 1_767_261_600);
        assert_eq!(wire.request("GET", &path, &scene.tank.upgrade_headers(), b"").await.status, 101);
        // A window of zero bytes: no answer can be sent, so every stream stays open.
        let streams = 201;
        let received = wire.open_streams("/download?file-name=index.json.blob", streams);
        let received = tokio::time::timeout(Duration::from_secs(20), received).await.unwrap();
        let settings = received.iter().find(|frame| frame.kind == SETTINGS_FRAME && frame.flags == 0).unwrap();
        let word = |payload: &[u8]| u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
        let parameters = settings.payload.chunks_exact(6);
        let mut parameters: Vec<(u16, u32)> =
            parameters.map(|p| (u16::from_be_bytes([p[0], p[1]]), word(&p[2..]))).collect();
        parameters.sort_unstable();
        assert_eq!(parameters, RECORDED_SETTINGS);
        let growth = received.iter().find(|frame| frame.kind == WINDOW_UPDATE_FRAME && frame.stream == 0);
        assert_eq!(growth.map(|frame| word(&frame.payload)), Some(RECORDED_WINDOW_GROWTH));
        let refused = received.iter().filter(|frame| frame.kind == RST_STREAM_FRAME);
        let refused: Vec<(u32, u32)> = refused.map(|frame| (frame.stream, word(&frame.payload))).collect();
        assert_eq!(refused, [(2 * streams - 1, REFUSED_STREAM)]);
    });
}

#[test]
fn two_hundred_chunk_requests_in_flight_are_all_answered() {
    let scene = scene();
    runtime().block_on(async {
        let mut wire = Wire::connect(scene.tank.port).await;
        let path = Tank::reader_path("vm", "100", 1_767_261_600);
        assert_eq!(wire.request("GET", &path, &scene.tank.upgrade_headers(), b"").await.status, 101);
        let mut session = wire.session().await;
        let index = session.get("/download?file-name=drive-scsi0.img.fidx").await;
        let digests = play::digests("drive-scsi0.img.fidx", &index.body);
        let mut answers = Vec::new();
        for number in 0..200 {
            let digest = digests[number % digests.len()];
            answers.push(session.send(&format!("/chunk?digest={digest}")).await);
        }
        for answer in join_all(answers).await {
            assert_eq!(answer.status, 200);
            farhold_format::blob::check(&answer.body).unwrap();
        }
        // The session goes on.
        assert_eq!(session.get("/download?file-name=index.json.blob").await.status, 200);
    });
}
