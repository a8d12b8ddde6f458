//! Connections that are held: without a word, or with one from time to time.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::honest::Honest;
use crate::lines::{tcp, tls};
use crate::stage::{Stage, affordable};

/// Connections that are idle at once. Every second one is silent before TLS, and cut after some seconds.
const IDLE: usize = 3000;

/// Addresses that idle connections come from.
const ADDRESSES: std::ops::Range<u8> = 10..14;

/// Connections that are opened at once.
const AT_ONCE: usize = 60;

/// Most connections that one address may have.
const MAX_OF_ADDRESS: usize = 1024;

/// Pause of slow senders between two bytes.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection that only exists.
#[derive(Debug)]
pub enum Held {
    Silent { _stream: TcpStream },
    Idle { _stream: Box<TlsStream<TcpStream>> },
}

async fn hold(server: SocketAddr, number: usize) -> Option<Held> {
    let from = ADDRESSES.start + u8::try_from(number % ADDRESSES.len()).unwrap();
    if (number / ADDRESSES.len()).is_multiple_of(2) {
        return tls(server, from).await.ok().map(|stream| Held::Idle { _stream: Box::new(stream) });
    }
    tcp(server, from).await.ok().map(|stream| Held::Silent { _stream: stream })
}

/// Opens idle connections and returns them.
pub async fn idle(stage: &Stage) -> Vec<Held> {
    let wanted = affordable(IDLE);
    let opening = stream::iter(0..wanted).map(|number| hold(stage.address, number)).buffer_unordered(AT_ONCE);
    let held: Vec<Held> = opening.filter_map(std::future::ready).collect().await;
    eprintln!("{} idle connections", held.len());
    assert_eq!(held.len(), wanted, "an idle connection was not taken");
    held
}

/// Opens more connections from one address than it may have; the honest client is answered still.
pub async fn greed(stage: &Stage, honest: &Honest) {
    let wanted = affordable(MAX_OF_ADDRESS + 100);
    let open = |_| async { tcp(stage.address, 20).await.ok() };
    let opening = stream::iter(0..wanted).map(open).buffer_unordered(AT_ONCE);
    let held: Vec<TcpStream> = opening.filter_map(std::future::ready).collect().await;
    honest.exchange().await;
    if MAX_OF_ADDRESS < wanted {
        // What is beyond its part is closed at once, without a word; the rest after seconds.
        let mut closing: futures::stream::FuturesUnordered<_> =
            held.into_iter().map(async |mut stream| stream.read(&mut [0]).await.unwrap_or(0)).collect();
        for _ in 0..wanted - MAX_OF_ADDRESS {
            assert_eq!(closing.next().await, Some(0));
        }
    }
}

/// Starts senders that never come to an end with a head, a body or a handshake. They go on until they are dropped.
pub async fn slow_senders(stage: &Stage) -> JoinSet<()> {
    const OF_EACH_KIND: usize = 40;
    let mut senders = JoinSet::new();
    let (server, key) = (stage.address, stage.weak.clone());
    let head = format!("POST /api2/json/access/users HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n");
    let body = format!("{head}Content-Length: 500000\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let endless = "GET /api2/json/version HTTP/1.1\r\nX: ".to_owned();
    for (begin, again) in [(head, "X: y\r\n"), (body, "a"), (chunked, "1\r\na\r\n"), (endless, "y")] {
        for _ in 0..OF_EACH_KIND {
            let (begin, mut stream) = (begin.clone(), tls(server, 21).await.unwrap());
            senders.spawn(async move {
                let mut sent = stream.write_all(begin.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(PAUSE).await;
                    sent = stream.write_all(again.as_bytes()).await;
                }
            });
        }
    }
    for _ in 0..OF_EACH_KIND {
        let mut stream = tcp(server, 21).await.unwrap();
        senders.spawn(async move {
            // A record of TLS that is said to be long.
            for byte in [0x16, 3, 1, 0x10, 0].into_iter().chain(std::iter::repeat(1)) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    senders
}
