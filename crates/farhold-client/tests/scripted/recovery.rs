//! What a client does so that nothing is lost with a connection, and what it leaves to those who use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_client::{Client, ClientError, ReaderSession};
use farhold_types::{ArchiveName, Digest, Namespace, RateLimits};
use h2::Reason;
use tokio::time::{Instant, sleep};

use crate::peer::{Connection, Peer, Reply, password, snapshot};

const VERSION: &str = r#"{"version":"4.2","release":"1","repoid":"0"}"#;

/// A peer whose sessions answer by `script`, which learns the number of the connection.
fn reader_peer(script: impl Fn(usize) -> Reply + Clone + Send + Sync + 'static) -> Arc<Peer> {
    Peer::new(move |mut connection: Connection| {
        let (script, number) = (script.clone(), connection.number);
        async move {
            connection.request().await;
            connection.switch().await;
            connection.session(move |_| script(number)).await;
        }
    })
}

async fn open(client: &Client) -> ReaderSession {
    client.open_reader(&"tank".parse().unwrap(), &Namespace::root(), &snapshot()).await.unwrap()
}

const CHUNK: Digest = Digest([1; 32]);

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_chunk_is_asked_for_where_its_beginning_came() {
    let whole = Bytes::from_static(b"0123456789");
    let beginning = vec![whole.slice(..4)];
    for (answer, expected) in [
        // As asked for.
        (Reply::Part(whole.clone(), 4, 4), Some(&b"0123456789"[..])),
        // A server that knows no ranges: everything, which replaces what came before.
        (Reply::bytes("abcdefgh"), Some(&b"abcdefgh"[..])),
        // Another part than asked for.
        (Reply::Part(whole.clone(), 5, 5), None),
        // A part that is shorter than it says.
        (Reply::Part(whole.clone(), 4, 3), None),
    ] {
        let reply = answer.clone();
        let cut = beginning.clone();
        let peer = reader_peer(move |number| match number {
            1 => Reply::Reset(cut.clone(), Reason::INTERNAL_ERROR),
            _ => reply.clone(),
        });
        let client = peer.client();
        let mut begun = BytesMut::new();
        let error = open(&client).await.resume_chunk(&CHUNK, 10, &mut begun).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert_eq!(&begun[..], b"0123");
        let result = open(&client).await.resume_chunk(&CHUNK, 10, &mut begun).await;
        match expected {
            Some(expected) => assert_eq!(&result.unwrap()[..], expected),
            None => assert!(matches!(result, Err(ClientError::Protocol { .. })), "{result:?}"),
        }
        let ranges: Vec<_> = peer.seen().iter().filter_map(|seen| seen.header("range").map(str::to_owned)).collect();
        assert_eq!(ranges, ["bytes=4-"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_rest_is_asked_for_everything() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let peer = reader_peer(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::error(416, "no such range"),
        _ => Reply::bytes("everything"),
    });
    let mut begun = BytesMut::from(&b"every"[..]);
    let chunk = open(&peer.client()).await.resume_chunk(&CHUNK, 10, &mut begun).await.unwrap();
    assert_eq!(&chunk[..], b"everything");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_bounded_together_with_its_beginning() {
    let whole = Bytes::from_static(b"0123456789");
    let peer = reader_peer(move |_| Reply::Part(whole.clone(), 4, 4));
    let mut begun = BytesMut::from(&b"0123"[..]);
    let error = open(&peer.client()).await.resume_chunk(&CHUNK, 9, &mut begun).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit_bytes: 9, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_somebody_who_decides_on_attempts_makes_one() {
    let peer = Peer::new(|mut connection: Connection| async move {
        connection.request().await;
    });
    let client = peer.client().with_single_attempts();
    let begin = Instant::now();
    assert!(matches!(client.version().await, Err(ClientError::Broken { .. })));
    let opened = client.open_reader(&"tank".parse().unwrap(), &Namespace::root(), &snapshot()).await;
    assert!(matches!(opened, Err(ClientError::Broken { .. })));
    peer.refuse.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(client.version().await, Err(ClientError::Connect { .. })));
    assert_eq!((peer.dial_count(), begin.elapsed()), (3, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_young_ticket_that_worked_is_replaced_when_it_ends_early_but_not_all_the_time() {
    let (logins, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let shared = (Arc::clone(&logins), Arc::clone(&accepted));
    let peer = Peer::new(move |mut connection: Connection| {
        let (logins, accepted) = shared.clone();
        async move {
            while let Some(seen) = connection.request().await {
                let expected = format!("PBSAuthCookie=PBS:{}", accepted.load(Ordering::SeqCst));
                if seen.is_login() {
                    let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
                    connection.data(&format!(r#"{{"username":"sync@pbs","ticket":"PBS:{number}"}}"#)).await;
                } else if seen.header("cookie") != Some(&expected) {
                    connection.answer(401, "invalid ticket").await;
                } else if seen.target.contains("/reader") {
                    connection.switch().await;
                    connection.session(|_| Reply::bytes("ok")).await;
                    return;
                } else {
                    connection.data(VERSION).await;
                }
            }
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    client.version().await.unwrap();
    // The peer got new keys: both kinds of calls, many at once, log in again, once.
    accepted.store(2, Ordering::SeqCst);
    let readers = futures::future::join_all((0..5).map(|_| open(&client)));
    let versions = futures::future::join_all((0..5).map(|_| client.version()));
    let (_, versions) = futures::future::join(readers, versions).await;
    assert!(versions.iter().all(Result::is_ok), "{versions:?}");
    assert_eq!(logins.load(Ordering::SeqCst), 2);
    // Again within a minute: it may be a refusal of what is asked for.
    accepted.store(9, Ordering::SeqCst);
    assert_eq!(client.version().await.unwrap_err().status(), Some(401));
    assert_eq!(logins.load(Ordering::SeqCst), 2);
    accepted.store(3, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    client.version().await.unwrap();
    assert_eq!(logins.load(Ordering::SeqCst), 3);
}

/// Downloads 10 MiB at 1 MiB/s and returns the seconds it took, after a pause of `idle`.
async fn limited(rates: RateLimits, idle: Duration) -> f64 {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            let _ = connection.raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 10 << 20).as_bytes()).await;
            let _ = connection.raw(&vec![7; 10 << 20]).await;
        }
    });
    let mut config = peer.config();
    config.rates = rates;
    let client = peer.client_with(config);
    sleep(idle).await;
    let begin = Instant::now();
    let file = ArchiveName::client_log();
    let body = client.download_file(&"tank".parse().unwrap(), &Namespace::root(), &snapshot(), &file, 16 << 20).await;
    assert_eq!(body.unwrap().len(), 10 << 20);
    begin.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn scenario_72_rate_in_is_kept_and_only_idling_before_allows_a_faster_start() {
    let rates = |burst: Option<&str>| RateLimits {
        rate_in: Some("1MiB".parse().unwrap()),
        burst_in: burst.map(|burst| burst.parse().unwrap()),
        ..RateLimits::default()
    };
    for burst in [None, Some("10MiB")] {
        let took = limited(rates(burst), Duration::ZERO).await;
        assert!((9.5..=10.5).contains(&took), "burst {burst:?}: {took} s");
    }
    let took = limited(rates(Some("10MiB")), Duration::from_secs(5)).await;
    assert!((4.5..=5.5).contains(&took), "after 5 s of idling: {took} s");
    let took = limited(rates(None), Duration::from_secs(5)).await;
    assert!((8.5..=10.5).contains(&took), "credit for at most a second: {took} s");
    let took = limited(RateLimits::default(), Duration::ZERO).await;
    assert!(took < 0.1, "without a limit: {took} s");
}
