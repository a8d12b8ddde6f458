//! Requests in numbers, sizes and with credentials that nobody should be served for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use farhold_api::declare::{Access, Declaration};
use farhold_api::endpoints;
use futures::StreamExt;
use futures::stream;

use crate::dice::Dice;
use crate::lines::{Answer, Line, Speech, Wanted, tls};
use crate::requests::{broken, endless_parameters, is_harmless};
use crate::stage::Stage;

const REQUESTS: usize = 10_000;

/// Lines that send requests at once; every tenth speaks HTTP/2.
const LINES: usize = 80;

/// Chooses the requests. `FARHOLD_ABUSE_SEED` is taken instead.
const SEED: u64 = 20_260_801;

/// Address that requests come from.
const ADDRESS: u8 = 2;

/// Largest text of an error. What the request says may be repeated, so it is longer than any sentence of our own.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Faults after which the rest is not worth waiting for.
const MANY_FAULTS: usize = 25;

fn seed() -> u64 {
    std::env::var("FARHOLD_ABUSE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED)
}

/// Sends broken requests and returns what is wrong with the answers.
pub async fn requests(stage: &Stage) -> Vec<String> {
    let all = endpoints::all().into_iter().map(|endpoint| endpoint.declaration);
    let declarations: Vec<Declaration> = all.filter(is_harmless).collect();
    let (next, seed) = (AtomicUsize::new(0), seed());
    let (next, declarations) = (&next, &declarations);
    let line = async |number: usize| {
        let speech = if number.is_multiple_of(10) { Speech::Http2 } else { Speech::Http1 };
        let mut line = Line::new(stage.address, ADDRESS, speech);
        let mut faults = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if REQUESTS <= number || MANY_FAULTS <= faults.len() {
                return faults;
            }
            let (wanted, declaration) = broken(&mut Dice::new(seed.wrapping_add(number as u64)), declarations, stage);
            let fault = match line.exchange(&wanted).await {
                // A remote that is not there is a server's error at the reference too, where the call says so.
                Ok(answer) if declaration.statuses.contains(&answer.status) => stage.leak(&answer.text()),
                Ok(answer) => fault(stage, &answer),
                // A client must not send more in HTTP/2 than was said to be taken.
                Err(_) if speech == Speech::Http2 && 8000 < wanted.header_bytes() => None,
                Err(error) => Some(error),
            };
            faults.extend(fault.map(|fault| {
                let body = String::from_utf8_lossy(&wanted.body[..wanted.body.len().min(600)]).into_owned();
                let headers: Vec<&str> = wanted.headers.iter().map(|header| header.0.as_str()).collect();
                let target: String = wanted.target.chars().take(600).collect();
                format!("seed {seed}, {number}: {} {target} {headers:?} {body}\n  {fault}", wanted.method)
            }));
        }
    };
    let lines = stream::iter(0..LINES).map(line).buffer_unordered(LINES);
    lines.collect::<Vec<_>>().await.concat()
}

/// Returns what is wrong with an answer to a request that makes no sense.
fn fault(stage: &Stage, answer: &Answer) -> Option<String> {
    let text = answer.text();
    let start: String = text.chars().take(1500).collect();
    if !matches!(answer.status, 101 | 200 | 206 | 400..=499) {
        return Some(format!("answers {}: {start}", answer.status));
    }
    // The other format tells of errors with status 200.
    let is_error = 400 <= answer.status || text.contains(r#""success":false"#);
    if text.contains(r#""success":false"#) && text.contains(r#""status":5"#) {
        return Some(format!("is a server's error: {start}"));
    }
    if is_error && MAX_ERROR_BYTES < text.len() {
        return Some(format!("answers {} with {} bytes: {start}", answer.status, text.len()));
    }
    let leak = if is_error { stage.leak(&text) } else { None };
    leak.map(|leak| format!("answers {} and tells '{leak}': {start}", answer.status))
}

/// Sends requests that are too large in any way. Each is refused, or its connection closed.
pub async fn oversized(stage: &Stage) {
    let mut cases: Vec<(Vec<u16>, Wanted)> = Vec::new();
    for (kind, body) in endless_parameters() {
        let wanted = Wanted { method: "POST".to_owned(), body, ..Wanted::get("/api2/json/access/users") };
        cases.push((vec![400], wanted.with("content-type", kind)));
    }
    let version = "/api2/json/version";
    cases.push((vec![414], Wanted::get(&format!("{version}?{}", "a".repeat(10_000)))));
    cases.push((vec![414], Wanted::get(&format!("{version}{}", "/a".repeat(5000)))));
    cases.push((vec![431], Wanted::get(version).with("x", &"a".repeat(600_000))));
    let many = (0..200).fold(Wanted::get(version), |wanted, n| wanted.with(&format!("x-{n}"), "1"));
    cases.push((vec![431], many));
    for speech in [Speech::Http1, Speech::Http2] {
        for (expected, wanted) in &cases {
            // HTTP/2 limits the bytes of a head and not its fields.
            if speech == Speech::Http2 && wanted.headers.len() == 200 {
                continue;
            }
            let wanted = wanted.clone().with("authorization", &stage.admin);
            let mut line = Line::new(stage.address, ADDRESS, speech);
            let answer = line.exchange(&wanted).await;
            let start: String = wanted.target.chars().take(60).collect();
            match answer {
                Ok(answer) => {
                    assert!(
                        expected.contains(&answer.status),
                        "{speech:?} {start}: {} {}",
                        answer.status,
                        answer.text()
                    );
                    assert_eq!(fault(stage, &answer), None);
                }
                // Where the size is beyond what HTTP takes, the answer may be lost with the connection.
                Err(error) => assert!(expected.contains(&431), "{speech:?} {start}: {error}"),
            }
        }
    }
}

/// Sends bodies over HTTP/2 to calls that refuse them late: they must not lie in memory meanwhile.
pub async fn bodies_without_credentials(stage: &Stage) {
    const CONNECTIONS: usize = 12;
    const STREAMS: usize = 16;
    const BODY_BYTES: usize = 1 << 20;
    let body = Bytes::from(vec![0x61; BODY_BYTES]);
    let one = async |_| {
        let stream = tls(stage.address, ADDRESS).await.unwrap();
        let mut line = http2(stream).await;
        let mut answers = Vec::new();
        for _ in 0..STREAMS {
            let request = http::Request::post("https://localhost/api2/json/access/users");
            let request = request.body(http_body_util::Full::new(body.clone())).unwrap();
            line.ready().await.unwrap();
            answers.push(line.send_request(request));
        }
        let answers = futures::future::join_all(answers).await;
        let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
        assert_eq!(statuses, [401; STREAMS]);
    };
    stream::iter(0..CONNECTIONS).map(one).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
}

type Http2Sender = hyper::client::conn::http2::SendRequest<http_body_util::Full<Bytes>>;

async fn http2(stream: tokio_rustls::client::TlsStream<tokio::net::TcpStream>) -> Http2Sender {
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Guesses tickets, tokens and passwords as fast as a few hundred streams can; returns what is wrong with the answers.
pub async fn guesses(stage: &Stage) -> Vec<String> {
    const CONNECTIONS: usize = 4;
    const STREAMS: usize = 100;
    const ROUNDS: usize = 3;
    let world: Vec<&str> = endpoints::all()
        .iter()
        .filter(|endpoint| endpoint.declaration.access == Access::World)
        .map(|endpoint| endpoint.declaration.path)
        .collect();
    assert!(world.contains(&"/access/ticket"));
    let dice = Arc::new(std::sync::Mutex::new(Dice::new(seed())));
    let one = async |number: usize| {
        let mut faults = Vec::new();
        let sender = http2(tls(stage.address, ADDRESS).await.unwrap()).await;
        for _ in 0..ROUNDS {
            let asking = (0..STREAMS).map(async |stream| {
                let wanted = guess(&mut dice.lock().unwrap(), number * STREAMS + stream);
                let request = wanted.proper(Speech::Http2).unwrap();
                let mut sender = sender.clone();
                sender.ready().await.map_err(|error| error.to_string())?;
                let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
                let status = response.status().as_u16();
                let body = http_body_util::BodyExt::collect(response.into_body()).await;
                let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
                Ok::<_, String>(Answer { status, body })
            });
            for answer in futures::future::join_all(asking).await {
                match answer {
                    Ok(answer) if answer.status == 401 => faults.extend(fault(stage, &answer)),
                    Ok(answer) => faults.push(format!("a guess is answered {}: {}", answer.status, answer.text())),
                    Err(error) => faults.push(error),
                }
            }
        }
        faults
    };
    let all = stream::iter(0..CONNECTIONS).map(one).buffer_unordered(CONNECTIONS);
    all.collect::<Vec<_>>().await.concat()
}

fn guess(dice: &mut Dice, number: usize) -> Wanted {
    let noise: String = dice.bytes(16).iter().map(|byte| format!("{byte:02x}")).collect();
    let known = dice.pick(&["honest@pbs", "admin@pbs", "victim@pbs"]);
    let login = |userid: &str| {
        let body = format!("username={}&password={noise}", userid.replace('@', "%40"));
        Wanted::form("POST", "/api2/json/access/ticket", body)
    };
    let uuid = format!("{}-{}-{}-{}-{}", &noise[..8], &noise[8..12], &noise[12..16], &noise[16..20], &noise[20..32]);
    let version = Wanted::get("/api2/json/version");
    match number % 6 {
        0 => login(known),
        1 => login(&format!("u{noise}@pbs")),
        2 => version.with("authorization", &format!("PBSAPIToken={known}!t:{uuid}")),
        3 => version.with("authorization", &format!("PBSAPIToken=u{noise}@pbs!t:{uuid}")),
        4 => version.with("cookie", &format!("PBSAuthCookie=PBS%3A{known}%3A68000000%3A%3A{noise}")),
        _ => version.with("cookie", &format!("PBSAuthCookie={noise}")),
    }
}
