//! Reader sessions over HTTP/2 in memory: what may be read, what is refused, and how much is held for a slow peer.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use farhold_api::reader::{self, ReadBudget, ReadError, ReaderSession, SnapshotContent};
use farhold_format::index::DynamicIndexBuilder;
use farhold_types::{ArchiveName, Digest, Epoch};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

const CHUNK_BYTES: usize = 4 << 20;
const CHUNKS: u8 = 200;

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// One index `a.didx` with 200 chunks, each 4 MiB; one blob.
struct Content {
    chunk: Bytes,
    loads: AtomicUsize,
}

impl SnapshotContent for Content {
    fn file(&self, archive: &ArchiveName) -> Result<Bytes, ReadError> {
        match archive.as_str() {
            "index.json.blob" => Ok(Bytes::from_static(b"a blob")),
            "a.didx" => {
                let mut builder = DynamicIndexBuilder::new([1; 16], Epoch(1));
                for n in 0..CHUNKS {
                    builder.push((u64::from(n) + 1) * CHUNK_BYTES as u64, digest(n)).unwrap();
                }
                Ok(Bytes::copy_from_slice(builder.finish().unwrap().as_bytes()))
            }
            "damaged.fidx" => Ok(Bytes::from_static(b"no index")),
            name => Err(ReadError::Missing { what: name.to_owned() }),
        }
    }

    fn chunk(&self, wanted: &Digest) -> Result<Bytes, ReadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if *wanted == digest(7) { Err(ReadError::Missing { what: wanted.to_string() }) } else { Ok(self.chunk.clone()) }
    }
}

struct Started {
    io: DuplexStream,
    content: Arc<Content>,
    log: Arc<Mutex<Vec<String>>>,
}

fn start(budget: &ReadBudget) -> Started {
    let content = Arc::new(Content { chunk: vec![7; CHUNK_BYTES].into(), loads: AtomicUsize::new(0) });
    let (io, server) = tokio::io::duplex(1 << 20);
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    let session = ReaderSession::new(content.clone(), budget);
    let write = Arc::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()));
    tokio::spawn(reader::serve(TokioIo::new(server), session, write));
    Started { io, content, log }
}

async fn client(io: DuplexStream, window_bytes: u32) -> SendRequest<Empty<Bytes>> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window_bytes)
        .initial_connection_window_size(window_bytes)
        .handshake(TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::get(format!("https://localhost:8007{path}")).body(Empty::new()).unwrap()
}

async fn get(sender: &SendRequest<Empty<Bytes>>, path: &str) -> (u16, http::HeaderMap, Bytes) {
    let response = sender.clone().send_request(request(path)).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

const LARGE: u32 = 1 << 30;

#[tokio::test(start_paused = true)]
async fn files_are_sent_raw_and_refusals_have_the_documented_status() {
    let started = start(&ReadBudget::new(1 << 30));
    let sender = client(started.io, LARGE).await;
    let (status, headers, body) = get(&sender, "/download?file-name=index.json.blob").await;
    assert_eq!((status, &body[..]), (200, &b"a blob"[..]));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert!(!headers.contains_key("content-length"));
    for (path, expected) in [
        ("/download?file-name=client.log.blob", 404),
        ("/download?file-name=missing.fidx", 400),
        ("/download?file-name=damaged.fidx", 400),
        ("/download?file-name=a.txt", 400),
        ("/download?file-name=..%2Fowner.blob", 400),
        ("/download", 400),
        ("/chunk?digest=12", 400),
        ("/chunk?digest=12&digest=13", 400),
        ("/speedtest?x=1", 400),
        ("/unknown", 404),
        ("/download/x", 404),
    ] {
        assert_eq!(get(&sender, path).await.0, expected, "{path}");
    }
    assert!(started.log.lock().unwrap().iter().any(|line| line.contains("/unknown") && line.contains("404")));
    assert_eq!(get(&sender, "/speedtest").await.2, vec![0x41; 1 << 20]);
    let (_, _, list) = get(&sender, "/").await;
    assert_eq!(&list[..], br#"{"data":[{"subdir":"chunk"},{"subdir":"download"},{"subdir":"speedtest"}]}"#);
}

#[tokio::test(start_paused = true)]
async fn only_chunks_of_downloaded_indexes_are_read_and_a_refusal_holds_up_nobody() {
    let started = start(&ReadBudget::new(1 << 30));
    let sender = client(started.io, LARGE).await;
    let chunk = |n: u8| format!("/chunk?digest={}", digest(n));
    let begin = Instant::now();
    let early = tokio::spawn({
        let (sender, path) = (sender.clone(), chunk(1));
        async move { (get(&sender, &path).await.0, begin.elapsed()) }
    });
    // Time stands still while anything runs: after this pause the early request has been refused and waits.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(get(&sender, "/download?file-name=a.didx").await.0, 200);
    let (status, headers, body) = get(&sender, &chunk(1)).await;
    assert_eq!((status, body.len()), (200, CHUNK_BYTES));
    assert_eq!(headers["content-length"], CHUNK_BYTES.to_string().as_str());
    assert!(begin.elapsed() < Duration::from_secs(3));
    let (status, waited) = early.await.unwrap();
    assert_eq!(status, 401);
    assert!(Duration::from_secs(3) <= waited);
    assert_eq!(get(&sender, &chunk(7)).await.0, 400, "a missing chunk file");
    for (range, expected) in [
        ("bytes=1000-", Some(1000)),
        ("bytes=0-", Some(0)),
        ("bytes=1000-2000", None),
        ("bytes=-5", None),
        ("bytes=99999999-", None),
        ("lines=1-", None),
    ] {
        let mut request = request(&chunk(1));
        request.headers_mut().insert("range", range.parse().unwrap());
        let response = sender.clone().send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let start = expected.unwrap_or(0);
        let length = body.collect().await.unwrap().to_bytes().len();
        assert_eq!(length, CHUNK_BYTES - start, "{range}");
        assert_eq!(parts.headers["content-length"], length.to_string().as_str());
        let content_range = expected.map(|start| format!("bytes {start}-{}/{CHUNK_BYTES}", CHUNK_BYTES - 1));
        assert_eq!(parts.status.as_u16(), if expected.is_some() { 206 } else { 200 }, "{range}");
        assert_eq!(parts.headers.get("content-range").map(|value| value.to_str().unwrap()), content_range.as_deref());
    }
    assert_eq!(get(&sender, &chunk(250)).await.0, 401, "not in the index");
}

/// Downloads the index, then asks for chunks without reading any body.
async fn ask_and_stall(sender: &SendRequest<Empty<Bytes>>, chunks: u8) -> Vec<Answering> {
    assert_eq!(get(sender, "/download?file-name=a.didx").await.0, 200);
    let ask = |n| sender.clone().send_request(request(&format!("/chunk?digest={}", digest(n))));
    (0..chunks).map(ask).map(tokio::spawn).collect()
}

type Answering = tokio::task::JoinHandle<Result<http::Response<hyper::body::Incoming>, hyper::Error>>;

/// Waits until no further chunk is loaded, and returns how many were.
async fn settled(content: &Content) -> usize {
    let mut loads = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = content.loads.load(Ordering::SeqCst);
        if now == loads && 0 < now {
            return now;
        }
        loads = now;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_pins_only_its_budget() {
    let started = start(&ReadBudget::new(1 << 30));
    let sender = client(started.io, 16 << 20).await;
    let asked = ask_and_stall(&sender, CHUNKS).await;
    // The peer's connection window lets four chunks through; the rest waits on our side.
    let loads = settled(&started.content).await;
    assert!((4..=24).contains(&loads), "{loads} chunks of 4 MiB were loaded");
    // Once the peer reads, everything arrives.
    let read = asked.into_iter().map(|answer| async move {
        let body = answer.await.unwrap().unwrap().into_body();
        body.collect().await.unwrap().to_bytes().len() == CHUNK_BYTES
    });
    let complete = futures::future::join_all(read).await.into_iter().filter(|is_complete| *is_complete).count();
    assert_eq!(complete, usize::from(CHUNKS) - 1, "all but the missing one");
}

#[tokio::test]
async fn another_session_is_served_although_the_shared_budget_is_used_up() {
    let budget = ReadBudget::new(0);
    let greedy = start(&budget);
    let stalled = client(greedy.io, 65_535).await;
    let held = ask_and_stall(&stalled, 6).await;
    assert!(1 < settled(&greedy.content).await, "the shared budget and its own are used");
    let other = client(start(&budget).io, LARGE).await;
    assert_eq!(get(&other, "/download?file-name=a.didx").await.0, 200);
    for n in [1, 2, 3] {
        assert_eq!(get(&other, &format!("/chunk?digest={}", digest(n))).await.0, 200);
    }
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_server_announces_the_recorded_settings() {
    let mut io = start(&ReadBudget::new(1 << 30)).io;
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut settings = Vec::new();
    let mut window_update = None;
    while window_update.is_none() || settings.is_empty() {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        io.read_exact(&mut payload).await.unwrap();
        match head[3] {
            4 if head[4] == 0 => {
                let pair = |s: &[u8]| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]]));
                settings = payload.chunks(6).map(pair).collect();
                settings.sort_unstable();
            }
            8 => window_update = Some(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            _ => {}
        }
    }
    // Maximum of streams, initial window, largest frame, largest header list.
    assert_eq!(settings, [(3, 200), (4, 33_554_432), (5, 4_194_304), (6, 16_384)]);
    assert_eq!(window_update, Some(33_488_897));
}
