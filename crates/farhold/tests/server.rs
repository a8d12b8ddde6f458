//! The listener over real sockets: TLS, redirects, the Unix socket, both HTTP versions, upgrades, an orderly end.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue should stop")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farhold::certificate::{self, CertificateOptions, KeyKind};
use farhold::server::{Server, ServerOptions, TlsIdentity, dispatch_to};
use farhold::system::SystemRandomness;
use farhold_api::Router;
use farhold_api::declare::{Access, Answer, AuthFailure, CallHead, Context, Denied, Endpoint, Quantity, Reply};
use farhold_jobs::testing::ManualClock;
use farhold_jobs::traffic::{Rates, TrafficControl};
use farhold_settings::{ConfigDir, Settings};
use farhold_types::{Authid, Epoch, Privileges, TrafficRule};
use futures::future::{BoxFuture, FutureExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

#[path = "support/trust_all.rs"]
mod trust_all;

use trust_all::TrustAll;

/// Trusts what the connection says, nothing else.
struct Scene {
    slow_started: Notify,
    slow_may_end: Notify,
}

impl Context for Scene {
    type Granted = ();

    fn authenticate<'a>(&'a self, head: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>> {
        let known = head.headers.contains_key("authorization").then(Authid::root);
        let caller = head.connection.trusted.clone().or(known);
        async move { caller.ok_or_else(|| AuthFailure { reason: "unknown".to_owned() }) }.boxed()
    }

    fn require<'a>(
        &'a self,
        _: &'a Authid,
        _: &'a str,
        _: Privileges,
        _: Quantity,
    ) -> BoxFuture<'a, Result<(), Denied>> {
        async { Ok(()) }.boxed()
    }
}

const ECHO: &str = "farhold-test-echo";

fn router() -> Router<Scene> {
    let endpoints = vec![
        Endpoint::get("/ping", "Answer", |_, _| async { Ok(Reply::value(json!("pong"))) }).access(Access::World),
        Endpoint::get("/whoami", "Tell the caller", |_, request: farhold_api::declare::Request<Scene>| async move {
            Ok(Reply::value(request.caller()?.to_string()))
        }),
        Endpoint::get("/slow", "Wait", |scene: Arc<Scene>, _| async move {
            scene.slow_started.notify_one();
            scene.slow_may_end.notified().await;
            Ok(Reply::value("done"))
        })
        .access(Access::World),
        Endpoint::get("/echo", "Switch protocols", |_, request: farhold_api::declare::Request<Scene>| async move {
            request.check_upgrade(ECHO)?;
            Ok(Reply::upgrade(ECHO, |upgraded| async move {
                let mut io = TokioIo::new(upgraded);
                let mut bytes = [0; 4];
                io.read_exact(&mut bytes).await.unwrap();
                io.write_all(&bytes).await.unwrap();
                io.shutdown().await.unwrap();
            }))
        })
        .answer(Answer::Upgrade(ECHO))
        .access(Access::World),
    ];
    let scene = Scene { slow_started: Notify::new(), slow_may_end: Notify::new() };
    Router::new(Arc::new(scene), endpoints).unwrap()
}

async fn tls(address: SocketAddr, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAll))
            .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

struct Running {
    address: SocketAddr,
    socket: std::path::PathBuf,
    router: Arc<Router<Scene>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    traffic: TrafficControl,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = (folder.path().join("proxy.pem"), folder.path().join("proxy.key"));
    let options = CertificateOptions {
        node_name: "far".to_owned(),
        full_name: "far".to_owned(),
        key_kind: KeyKind::EcdsaP256,
        now: Epoch(1_795_000_000),
    };
    certificate::ensure(&pem, &key, &options, &SystemRandomness).unwrap();
    let identity = TlsIdentity::new(certificate::load(&pem, &key).unwrap()).unwrap();
    let router = Arc::new(router());
    let socket = folder.path().join("s");
    let clock = Arc::new(ManualClock::new(Epoch(1_795_000_000)));
    let config = ConfigDir::new(folder.path(), Arc::new(SystemRandomness));
    let traffic = TrafficControl::new(Settings::new(config), clock.clone(), jiff::tz::TimeZone::UTC);
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Arc::new(identity),
        unix_socket: Some(socket.clone()),
        drain_limit: Duration::from_secs(30),
        traffic: traffic.clone(),
        max_connections: farhold::server::MAX_CONNECTIONS,
    };
    let server = Server::bind(options, dispatch_to(router.clone())).await.unwrap();
    let (address, stop) = (server.addresses()[0], CancellationToken::new());
    let task = tokio::spawn(server.run(stop.clone()));
    Running { address, socket, router, stop, task, traffic, clock, _folder: folder }
}

/// Writes a request and returns all that comes until the other side closes.
async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, request: &str) -> String {
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A close without TLS goodbye is an error after the answer; the answer counts.
    drop(io.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

const PING: &str = "GET //api2/json/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_inside_tls_are_answered_and_alpn_is_not() {
    let server = start().await;
    let stream = tls(server.address, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let answer = exchange(stream, PING).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"data\":\"pong\"}"), "{answer}");
    let old = exchange(tls(server.address, &[]).await, "GET /api2/json/ping HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let request = format!("GET /api2/json/ping HTTP/1.1\r\n{many}\r\n");
    let answer = exchange(tls(server.address, &[]).await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn plain_requests_are_redirected_and_noise_is_refused() {
    let server = start().await;
    let connect = || async { TcpStream::connect(server.address).await.unwrap() };
    let get = exchange(connect().await, "GET /api2/json/ping HTTP/1.1\r\nHost: pbs:8007\r\n\r\n").await;
    assert!(get.starts_with("HTTP/1.1 301") && get.contains("location: https://pbs:8007\r\n"), "{get}");
    let post = exchange(connect().await, "POST / HTTP/1.1\r\nHost: pbs:8007\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 308"), "{post}");
    let noise = exchange(connect().await, "\u{1}\u{2}\u{3}\u{4}\u{5}\r\n\r\n").await;
    assert!(noise.starts_with("HTTP/1.1 400"), "{noise}");
}

#[tokio::test]
async fn what_connections_carry_is_counted_under_their_rule() {
    let server = start().await;
    let mut stream = tls(server.address, &[]).await;
    stream.write_all(b"GET /api2/json/ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\"pong\"}") {
        answer.push(stream.read_u8().await.unwrap());
    }
    server.clock.advance(1);
    let here = TrafficRule::new("here".parse().unwrap(), vec!["127.0.0.0/8".to_owned()]);
    let elsewhere = TrafficRule::new("elsewhere".parse().unwrap(), vec!["10.0.0.0/8".to_owned()]);
    let rates = server.traffic.rates_of(&[&elsewhere, &here]);
    assert_eq!(rates[0], Rates::default());
    // A handshake and an answer, over five seconds: more than nothing, and far less than a backup.
    for rate in [rates[1].received_bytes_per_s, rates[1].sent_bytes_per_s] {
        assert!((10..10_000).contains(&rate), "{rate}");
    }
}

#[tokio::test]
async fn the_own_user_is_root_on_the_unix_socket() {
    let server = start().await;
    let request = "GET /api2/json/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(UnixStream::connect(&server.socket).await.unwrap(), request).await;
    assert!(answer.ends_with("{\"data\":\"root@pam\"}"), "{answer}");
    server.stop.cancel();
    server.task.await.unwrap();
    assert!(!server.socket.exists());
}

#[tokio::test]
async fn upgrades_work_over_http_1_and_are_refused_over_http_2() {
    let server = start().await;
    let mut stream = tls(server.address, &[]).await;
    let request = format!("GET /api2/json/echo HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {ECHO}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: farhold-test-echo"), "{head}");
    assert_eq!(exchange(stream, "abcd").await, "abcd");

    let io = TokioIo::new(tls(server.address, &[]).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        http::Request::get(format!("https://localhost{path}")).header("upgrade", ECHO).body(body).unwrap()
    };
    assert_eq!(sender.send_request(request("/api2/json/ping")).await.unwrap().status(), 200);
    assert_eq!(sender.send_request(request("/api2/json/echo")).await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_shutdown_lets_the_running_request_finish_and_closes_idle_connections() {
    let server = start().await;
    let mut idle = tls(server.address, &[]).await;
    let stream = tls(server.address, &[]).await;
    let slow = tokio::spawn(exchange(stream, "GET /api2/json/slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    let scene = server.router.context().clone();
    scene.slow_started.notified().await;
    server.stop.cancel();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(!server.task.is_finished());
    scene.slow_may_end.notify_one();
    let answer = slow.await.unwrap();
    assert!(answer.ends_with("{\"data\":\"done\"}"), "{answer}");
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
