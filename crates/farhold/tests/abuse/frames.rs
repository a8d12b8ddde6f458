//! Bytes that are no TLS, no HTTP/1 and no HTTP/2, though they begin as such.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream;

use crate::dice::Dice;
use crate::lines::{Ending, pour, server_name, tcp, tls, tls_config};
use crate::stage::Stage;

/// Address that all of this comes from.
const ADDRESS: u8 = 3;

const AT_ONCE: usize = 16;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Sends all of them and waits until each connection is over.
pub async fn all(stage: &Stage) {
    let server = stage.address;
    let plain = stream::iter(handshakes()).for_each_concurrent(AT_ONCE, |bytes| async move {
        if let Ok(stream) = tcp(server, ADDRESS).await {
            pour(stream, &bytes, Ending::Close).await;
        }
    });
    plain.await;
    let inside = http1(&stage.weak).into_iter().chain(http2());
    let inside = stream::iter(inside).for_each_concurrent(AT_ONCE, |bytes| async move {
        if let Ok(stream) = tls(server, ADDRESS).await {
            let answer = String::from_utf8_lossy(&pour(stream, &bytes, Ending::Close).await).into_owned();
            assert!(!answer.contains("HTTP/1.1 5"), "{answer}");
            assert_eq!(stage.leak(&answer), None, "{answer}");
        }
    });
    inside.await;
}

/// Returns a real first message of a client, cut and flipped, and what only looks like one.
fn handshakes() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(1);
    let mut hello = Vec::new();
    let mut client = rustls::ClientConnection::new(Arc::clone(&tls_config()), server_name()).unwrap();
    client.write_tls(&mut hello).unwrap();
    let mut all: Vec<Vec<u8>> = (0..hello.len()).step_by(16).map(|length| hello[..length].to_vec()).collect();
    for _ in 0..150 {
        let mut flipped = hello.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(flipped.len());
            flipped[at] = dice.bytes(1)[0];
        }
        all.push(flipped);
    }
    for begin in
        [&[0x16, 3, 1][..], &[0x16, 3, 3, 0x40, 0], &[0x15, 3, 3, 0, 2, 2, 40], &[0x80, 0x2e, 1, 3, 1], b"GET /", b""]
    {
        for length in [0, 1, 200, 20_000] {
            all.push([begin, &dice.bytes(length)].concat());
        }
    }
    all.push([0x16, 3, 1, 0, 0].repeat(1000));
    all.push(hello.repeat(20));
    all.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500));
    all
}

fn http1(key: &str) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(2);
    let whole = format!(
        "POST /api2/json/access/users HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: 20\r\n\r\n{{\"userid\":\"a@pbs\"}} "
    );
    let mut all: Vec<Vec<u8>> =
        (0..whole.len()).step_by(11).map(|length| whole.as_bytes()[..length].to_vec()).collect();
    for _ in 0..120 {
        let mut flipped = whole.clone().into_bytes();
        for _ in 0..=dice.below(3) {
            let at = dice.below(flipped.len());
            flipped[at] = dice.bytes(1)[0];
        }
        all.push(flipped);
    }
    let start = "POST /api2/json/version HTTP/1.1\r\n";
    for rest in [
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        "Transfer-Encoding: gzip\r\n\r\nx",
        "Transfer-Encoding: chunked\r\n\r\n5;ext=\"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        " folded: x\r\n\r\n",
        ": empty\r\n\r\n",
        "Host: a\r\nHost: b\r\n\r\n",
        "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
    ] {
        all.push([start, rest].concat().into_bytes());
    }
    for line in [
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "GET http://[::1 HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
    ] {
        all.push(line.as_bytes().to_vec());
    }
    all.push(b"GET /api2/json/ping HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300));
    all.push(dice.bytes(50_000));
    all
}

/// Returns one frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Returns the compressed head of a GET that needs credentials.
fn head() -> Vec<u8> {
    let path = b"/api2/json/version";
    [&[0x82, 0x87, 0x41, 1, b'x', 0x44, u8::try_from(path.len()).unwrap()][..], path].concat()
}

fn http2() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(3);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let get = |stream| frame(HEADERS, 5, stream, &head());
    let odd = |count: u32| (0..count).map(|n| 2 * n + 1);
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        frame(SETTINGS, 0, 0, &[1, 2, 3]),
        settings.repeat(10_000),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 0, 0, &[0, 1, 0, 1, 0, 0].repeat(2000)),
        frame(PING, 0, 0, b"12345678").repeat(10_000),
        frame(PING, 0, 0, b"short"),
        get(2),
        get(0),
        // Requests that are taken back at once.
        odd(2000).flat_map(|stream| [get(stream), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat()).collect(),
        // More streams than are taken.
        odd(1000).flat_map(get).collect(),
        // A head without end.
        [frame(HEADERS, 0, 1, &head()), frame(CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(3000)).repeat(100)]
            .concat(),
        [frame(HEADERS, 0, 1, &head()), frame(CONTINUATION, 0, 1, &[]).repeat(10_000)].concat(),
        frame(HEADERS, 4, 1, &[0xff; 200]),
        frame(HEADERS, 4, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        // Entries of the table that are repeated without end.
        [
            frame(HEADERS, 4, 1, &[&head()[..], &[0x40, 1, b'a', 0x7f, 0x81, 0x1e], &[b'b'; 4000]].concat()),
            frame(HEADERS, 5, 3, &[&head()[..], &[0xbe; 12_000]].concat()),
        ]
        .concat(),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(3),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]),
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 5, b"x"),
        [frame(HEADERS, 4, 1, &head()), frame(DATA, 0, 1, &[]).repeat(10_000)].concat(),
        [frame(HEADERS, 4, 1, &head()), frame(DATA, 0, 1, &[0; 16_384]).repeat(200)].concat(),
        [frame(HEADERS, 4, 1, &head()), frame(DATA, 8, 1, &[200, 1])].concat(),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 5]).repeat(5000),
        [&[0xff, 0xff, 0xff][..], &frame(DATA, 0, 1, &[0; 100])[3..]].concat(),
        frame(HEADERS, 5, 1, &head())[..12].to_vec(),
        frame(0xbe, 0xff, 0x7fff_ffff, &[0; 1000]).repeat(500),
        dice.bytes(50_000),
    ];
    let mut all: Vec<Vec<u8>> = cases.iter().map(|case| [PREFACE, &settings, case].concat()).collect();
    for _ in 0..80 {
        let mut flipped = [PREFACE, &settings, &get(1), &get(3), &frame(DATA, 0, 3, b"abc")].concat();
        let at = PREFACE.len() + dice.below(flipped.len() - PREFACE.len());
        flipped[at] = dice.bytes(1)[0];
        all.push(flipped);
    }
    all.push(PREFACE[..20].to_vec());
    all
}
