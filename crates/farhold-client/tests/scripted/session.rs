//! Reader sessions: good answers, wrong answers, silence, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farhold_client::{ClientError, ReaderSession};
use farhold_types::{ArchiveName, Digest, Namespace};
use h2::Reason;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{Connection, Peer, Reply, snapshot};

const MIB: usize = 1024 * 1024;

/// A peer that upgrades every connection and answers inside the session by `script`.
fn reader_peer(script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> Arc<Peer> {
    Peer::new(move |mut connection: Connection| {
        let script = script.clone();
        async move {
            connection.request().await;
            connection.switch().await;
            connection.session(script).await;
        }
    })
}

async fn open(peer: &Arc<Peer>) -> ReaderSession {
    peer.client().open_reader(&"tank".parse().unwrap(), &Namespace::root(), &snapshot()).await.unwrap()
}

/// Returns the error of reading the manifest where at most 1000 bytes are allowed.
async fn error_of(script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static) -> ClientError {
    let peer = reader_peer(script);
    let session = open(&peer).await;
    session.download(&ArchiveName::manifest(), 1000).await.unwrap_err()
}

fn digest(number: usize) -> Digest {
    Digest([u8::try_from(number).unwrap(); 32])
}

#[tokio::test(start_paused = true)]
async fn two_hundred_small_chunks_in_flight_arrive_in_one_session() {
    let peer = reader_peer(|target| {
        let number = usize::from_str_radix(&target[target.len() - 2..], 16).unwrap();
        // Small frames, as competing streams make them: below 256 bytes the library's guard counts them.
        let frames = vec![Bytes::from(vec![u8::try_from(number).unwrap(); 100]); 40];
        Reply::Body { status: 200, announced: Some(4000), frames }
    });
    let session = open(&peer).await;
    for _ in 0..5 {
        let requests = (0..200).map(|i| {
            let session = session.clone();
            async move { session.chunk(&digest(i), 4000).await }
        });
        for (i, body) in futures::future::join_all(requests).await.into_iter().enumerate() {
            let body = body.unwrap();
            assert!(body.len() == 4000 && body.iter().all(|b| usize::from(*b) == i));
        }
    }
    assert_eq!(peer.dial_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn large_chunks_arrive_whole_with_and_without_a_length() {
    let peer = reader_peer(|target| {
        let whole = Bytes::from(vec![1; 4 * MIB]);
        let announced = target.ends_with("01").then_some(12 * MIB);
        Reply::Body { status: 200, announced, frames: vec![whole.clone(), whole.clone(), whole] }
    });
    let session = open(&peer).await;
    let requests = (0..4).map(|i| {
        let session = session.clone();
        async move { session.chunk(&digest(i), 16 * MIB).await.unwrap().len() }
    });
    assert_eq!(futures::future::join_all(requests).await, [12 * MIB; 4]);
    assert_eq!(session.chunk(&digest(2), 12 * MIB).await.unwrap().len(), 12 * MIB);
}

#[tokio::test(start_paused = true)]
async fn refusals_inside_a_session_are_told_apart() {
    let peer = reader_peer(|target| match target {
        "/download?file-name=index.json.blob" => Reply::error(404, "gone"),
        "/download?file-name=client.log.blob" => Reply::error(404, "no log"),
        "/download?file-name=root.pxar.didx" => Reply::error(400, "cannot\nopen"),
        t if t.ends_with("01") => Reply::error(401, "not allowed"),
        _ => Reply::error(400, "no chunk"),
    });
    let session = open(&peer).await;
    let error = session.download(&ArchiveName::manifest(), 1000).await.unwrap_err();
    assert!(matches!(&error, ClientError::Vanished { snapshot: s } if *s == snapshot()), "{error:?}");
    let error = session.download(&ArchiveName::client_log(), 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 404, .. }), "{error:?}");
    let error = session.download(&"root.pxar.didx".parse().unwrap(), 1000).await.unwrap_err();
    assert!(matches!(&error, ClientError::Status { status: 400, text, .. } if text == "cannot open"), "{error:?}");
    let error = session.chunk(&digest(1), 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::ChunkNotAllowed { digest: d, .. } if d == digest(1)), "{error:?}");
    let error = session.chunk(&digest(2), 1000).await.unwrap_err();
    assert_eq!(error.status(), Some(400));
    assert!(!error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_too_large_or_endless_cost_only_their_stream() {
    let peer = reader_peer(|target| match target {
        t if t.ends_with("01") => Reply::bytes(vec![0; 1001]),
        t if t.ends_with("02") => Reply::Endless(64 * 1024),
        t if t.ends_with("03") => Reply::Endless(1),
        t if t.ends_with("04") => Reply::Stall(usize::MAX / 2, Vec::new()),
        _ => Reply::bytes(vec![0; 1000]),
    });
    let session = open(&peer).await;
    for number in 1..=4 {
        let error = session.chunk(&digest(number), 1000).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { limit_bytes: 1000, .. }), "{number}: {error:?}");
    }
    assert_eq!(session.chunk(&digest(5), 1000).await.unwrap().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_length_breaks_the_protocol() {
    for announced in [5, 7] {
        let error = error_of(move |_| Reply::Body {
            status: 200,
            announced: Some(announced),
            frames: vec![Bytes::from_static(b"123456")],
        })
        .await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{announced}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn resets_and_broken_connections_are_transient() {
    let frames = vec![Bytes::from_static(b"123")];
    for (name, reply) in [
        ("reset at once", Reply::Reset(Vec::new(), Reason::INTERNAL_ERROR)),
        ("reset inside", Reply::Reset(frames, Reason::CANCEL)),
        ("go away", Reply::GoAway),
        ("cut", Reply::Cut),
    ] {
        let error = error_of(move |_| reply.clone()).await;
        assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "{name}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_refused_is_asked_for_again() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refusals);
    let peer = reader_peer(move |_| {
        if counter.fetch_add(1, Ordering::SeqCst) < 3 {
            Reply::Reset(Vec::new(), Reason::REFUSED_STREAM)
        } else {
            Reply::bytes("ok")
        }
    });
    let session = open(&peer).await;
    assert_eq!(&session.chunk(&digest(1), 10).await.unwrap()[..], b"ok");
    assert_eq!(refusals.load(Ordering::SeqCst), 4);
    let error = error_of(|_| Reply::Reset(Vec::new(), Reason::REFUSED_STREAM)).await;
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_the_peer_allows_wait_for_their_turn() {
    let peer = Peer::new(|mut connection: Connection| async move {
        connection.request().await;
        connection.switch().await;
        connection.session_with(3, |_| Reply::bytes("ok")).await;
    });
    let session = open(&peer).await;
    let requests = (0..100).map(|i| {
        let session = session.clone();
        async move { session.chunk(&digest(i), 10).await }
    });
    for body in futures::future::join_all(requests).await {
        assert_eq!(&body.unwrap()[..], b"ok");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_is_given_up_while_the_connection_lives() {
    let peer = reader_peer(|target| if target.ends_with("01") { Reply::Never } else { Reply::bytes("ok") });
    let session = open(&peer).await;
    let start = Instant::now();
    let error = session.chunk(&digest(1), 10).await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 120, "answered pings are no reason to wait longer");
    assert_eq!(&session.chunk(&digest(2), 10).await.unwrap()[..], b"ok");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_given_up() {
    let peer = reader_peer(|_| Reply::Stall(1000, vec![Bytes::from_static(b"123")]));
    let session = open(&peer).await;
    let error = session.chunk(&digest(1), 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_pings_ends_the_session() {
    let peer = reader_peer(|_| Reply::Freeze);
    let session = open(&peer).await;
    let start = Instant::now();
    let error = session.chunk(&digest(1), 10).await.unwrap_err();
    let ClientError::Silent { waited, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(waited.as_secs(), 60);
    assert!(start.elapsed().as_secs() <= 61 && error.is_transient(), "{:?}", start.elapsed());
    // The session stays dead, and says why at once.
    let start = Instant::now();
    assert!(matches!(session.chunk(&digest(2), 10).await, Err(ClientError::Silent { .. })));
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_stays_usable_for_hours() {
    let peer = reader_peer(|_| Reply::bytes("ok"));
    let session = open(&peer).await;
    sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(&session.chunk(&digest(1), 10).await.unwrap()[..], b"ok");
}

#[tokio::test(start_paused = true)]
async fn on_a_slow_line_streams_wait_for_each_other_without_being_given_up() {
    // 20 chunks of 1 MiB at 10 KiB/s take half an hour; each stream is silent for most of it.
    let peer = reader_peer(|_| Reply::bytes(vec![9; MIB]));
    let mut config = peer.config();
    config.rates.rate_in = Some("10 KiB".parse().unwrap());
    let client = peer.client_with(config);
    let session = client.open_reader(&"tank".parse().unwrap(), &Namespace::root(), &snapshot()).await.unwrap();
    let start = Instant::now();
    let requests = (0..20).map(|i| {
        let session = session.clone();
        async move { session.chunk(&digest(i), MIB).await.unwrap().len() }
    });
    assert_eq!(futures::future::join_all(requests).await, [MIB; 20]);
    assert!((1900..2200).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

/// A peer for one session that tells whether the client left in order.
fn peer_that_tells() -> (Arc<Peer>, oneshot::Receiver<bool>) {
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let peer = Peer::new(move |mut connection: Connection| {
        let tell = tell.lock().unwrap().take();
        async move {
            connection.request().await;
            connection.switch().await;
            let in_order = connection.session(|_| Reply::bytes(vec![1; MIB])).await;
            let _ = tell.unwrap().send(in_order);
        }
    });
    (peer, told)
}

#[tokio::test(start_paused = true)]
async fn closing_tells_the_peer_and_waits_for_requests_on_their_way() {
    let (peer, told) = peer_that_tells();
    let session = open(&peer).await;
    let running = {
        let session = session.clone();
        tokio::spawn(async move { session.chunk(&digest(1), MIB).await })
    };
    tokio::task::yield_now().await;
    session.close().await;
    assert_eq!(running.await.unwrap().unwrap().len(), MIB);
    assert!(timeout(Duration::from_secs(1), told).await.unwrap().unwrap(), "the peer saw no clean end");
    assert!(matches!(session.chunk(&digest(1), MIB).await, Err(ClientError::Closed { .. })));
    session.close().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_ends_the_connection() {
    let (peer, told) = peer_that_tells();
    let session = open(&peer).await;
    session.chunk(&digest(1), MIB).await.unwrap();
    let clone = session.clone();
    drop(session);
    clone.chunk(&digest(1), MIB).await.unwrap();
    drop(clone);
    timeout(Duration::from_secs(1), told).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_ever() {
    let peer = reader_peer(|_| Reply::Never);
    let session = open(&peer).await;
    let running = {
        let session = session.clone();
        tokio::spawn(async move { session.chunk(&digest(1), MIB).await })
    };
    tokio::task::yield_now().await;
    let start = Instant::now();
    session.close().await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert!(running.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_carries_the_peers_text_and_keeps_the_connection() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while let Some(seen) = connection.request().await {
            if seen.target.contains("reader") {
                connection.answer(400, "snapshot is locked").await;
            } else {
                connection.data(r#"{"version":"4.2","release":"1","repoid":"x"}"#).await;
            }
        }
    });
    let client = peer.client();
    let (store, root) = ("tank".parse().unwrap(), Namespace::root());
    let error = client.open_reader(&store, &root, &snapshot()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Status { status: 400, text, .. } if text == "snapshot is locked"),
        "{error:?}"
    );
    client.version().await.unwrap();
    assert_eq!(client.traffic().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_to_something_else_breaks_the_protocol() {
    for head in [
        "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        let peer = Peer::new(move |mut connection: Connection| async move {
            connection.request().await;
            let _ = connection.raw(head.as_bytes()).await;
            sleep(Duration::from_secs(1)).await;
        });
        let client = peer.client();
        let error = client.open_reader(&"tank".parse().unwrap(), &Namespace::root(), &snapshot()).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{head}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_after_the_upgrade_breaks_the_protocol() {
    let peer = Peer::new(|mut connection: Connection| async move {
        connection.request().await;
        connection.switch().await;
        let _ = connection.raw(&[0xff; 4096]).await;
        sleep(Duration::from_secs(1000)).await;
    });
    let session = open(&peer).await;
    let error = session.download(&ArchiveName::manifest(), 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn large_and_huge_heads_break_the_protocol() {
    for size in [20_000, 1_000_000] {
        let error = error_of(move |_| Reply::Head(size)).await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{size}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_frames_name_the_recorded_windows() {
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let peer = Peer::new(move |mut connection: Connection| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            connection.request().await;
            connection.switch().await;
            assert_eq!(connection.exactly(24).await, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            let mut frames = Vec::new();
            for _ in 0..2 {
                let head = connection.exactly(9).await;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                frames.push((head[3], connection.exactly(length as usize).await));
            }
            tell.send(frames).unwrap();
        }
    });
    let _session = open(&peer).await;
    let frames = told.await.unwrap();
    let (settings, update) = (&frames[0], &frames[1]);
    assert_eq!((settings.0, update.0), (4, 8), "SETTINGS, then WINDOW_UPDATE");
    let values: Vec<(u8, u32)> =
        settings.1.chunks_exact(6).map(|s| (s[1], u32::from_be_bytes([s[2], s[3], s[4], s[5]]))).collect();
    // Push off, initial window, frame size, header list: RFC 9113, 6.5.2. The middle ones are those of the recordings.
    assert_eq!(values, [(2, 0), (4, 2_147_483_646), (5, 4_194_304), (6, 16_384)]);
    assert_eq!(update.1, 2_147_418_111u32.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn several_sessions_run_side_by_side() {
    let peer = reader_peer(|_| Reply::bytes("ok"));
    let client = peer.client();
    let store = "tank".parse().unwrap();
    let root = Namespace::root();
    let snapshot = snapshot();
    let sessions = futures::future::join_all((0..6).map(|_| client.open_reader(&store, &root, &snapshot))).await;
    for session in sessions {
        assert_eq!(&session.unwrap().chunk(&digest(1), 10).await.unwrap()[..], b"ok");
    }
    assert_eq!(client.traffic().connections, 6);
}
