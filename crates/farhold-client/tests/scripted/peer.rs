//! The scripted peer: TLS over in-memory streams, requests as text, sessions through the `h2` server.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use farhold_client::{Client, ClientConfig, Credentials, DialError, DialFuture, Dialer, Trust};
use farhold_protocol::{http2, upgrade::READER_PROTOCOL};
use farhold_types::{Fingerprint, Secret, Snapshot};
use futures::future::BoxFuture;
use h2::Reason;
use h2::server::SendResponse;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate with its key, signed by itself or by an authority.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    pub fn new(params: CertificateParams) -> Self {
        Self::with_key(params, KeyPair::generate().unwrap())
    }

    pub fn with_key(params: CertificateParams, key: KeyPair) -> Self {
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        Self { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    pub fn signed_by(params: CertificateParams, issuer: &CertifiedIssuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, issuer).unwrap().der().clone()];
        Self { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(sha2::Sha256::digest(&self.chain[0]).into())
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

pub fn params() -> CertificateParams {
    CertificateParams::new(vec!["pbs.example".to_owned()]).unwrap()
}

/// A request as the peer saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn is_login(&self) -> bool {
        self.target == "//api2/json/access/ticket"
    }
}

pub type Log = Arc<Mutex<Vec<Seen>>>;

/// One connection, after its TLS handshake.
pub struct Connection {
    pub number: usize,
    pub stream: TlsStream<DuplexStream>,
    pub log: Log,
}

impl Connection {
    /// Reads one request and logs it; `None` when the client closed.
    pub async fn request(&mut self) -> Option<Seen> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
        let headers: Vec<(String, String)> =
            lines.map(|l| l.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
        let mut seen = Seen { connection: self.number, method, target, headers, body: Vec::new() };
        let length = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
        seen.body = vec![0; length];
        self.stream.read_exact(&mut seen.body).await.ok()?;
        self.log.lock().unwrap().push(seen.clone());
        Some(seen)
    }

    /// Sends raw bytes; a client that hung up is no fault of the test.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub async fn answer(&mut self, status: u16, body: &str) {
        let head = format!("HTTP/1.1 {status} Text\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = self.raw(format!("{head}{body}").as_bytes()).await;
    }

    /// Reads exactly this many raw bytes.
    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    pub async fn data(&mut self, data: &str) {
        self.answer(200, &format!("{{\"data\":{data}}}")).await;
    }

    pub async fn switch(&mut self) {
        self.switch_to(READER_PROTOCOL).await;
    }

    pub async fn switch_to(&mut self, protocol: &str) {
        let head = format!("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
        let _ = self.raw(head.as_bytes()).await;
    }

    /// Serves an upgraded connection until the client leaves; returns whether it left in order.
    pub async fn session<F>(self, script: F) -> bool
    where
        F: Fn(&str) -> Reply + Send + Sync + 'static,
    {
        self.session_with(http2::SERVER.max_concurrent_streams.unwrap(), script).await
    }

    pub async fn session_with<F>(self, streams: u32, script: F) -> bool
    where
        F: Fn(&str) -> Reply + Send + Sync + 'static,
    {
        let (number, log) = (self.number, self.log);
        let mut server = h2::server::Builder::new()
            .initial_window_size(http2::SERVER.stream_window_bytes)
            .initial_connection_window_size(http2::SERVER.connection_window_bytes)
            .max_frame_size(http2::SERVER.max_frame_bytes)
            .max_concurrent_streams(streams)
            .handshake::<_, Bytes>(self.stream)
            .await
            .unwrap();
        while let Some(next) = server.accept().await {
            let (request, respond) = match next {
                Ok(next) => next,
                Err(error) => {
                    // The client is gone before our answer to its farewell; over TCP that write would pass.
                    return error.get_io().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
                }
            };
            let target = request.uri().path_and_query().unwrap().to_string();
            let mut headers: Vec<(String, String)> =
                request.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
            headers.push((":scheme".to_owned(), request.uri().scheme_str().unwrap().to_owned()));
            headers.push((":authority".to_owned(), request.uri().authority().unwrap().to_string()));
            let method = request.method().to_string();
            log.lock().unwrap().push(Seen {
                connection: number,
                method,
                target: target.clone(),
                headers,
                body: Vec::new(),
            });
            match script(&target) {
                Reply::GoAway => server.abrupt_shutdown(Reason::INTERNAL_ERROR),
                Reply::Cut => return false,
                Reply::Freeze => {
                    // Neither answers nor reads any more, but keeps the stream open.
                    let _kept = server;
                    return std::future::pending().await;
                }
                reply => {
                    tokio::spawn(reply.send(respond));
                }
            }
        }
        true
    }
}

/// What to do with a request inside a session.
#[derive(Clone)]
pub enum Reply {
    /// Status, announced length, frames.
    Body {
        status: u16,
        announced: Option<usize>,
        frames: Vec<Bytes>,
    },
    /// What lies behind this many bytes, said to begin at the second number.
    Part(Bytes, usize, usize),
    /// Frames of this size for ever.
    Endless(usize),
    /// Announces this length, sends these frames and then nothing.
    Stall(usize, Vec<Bytes>),
    /// A head with a field of this size and no body.
    Head(usize),
    /// Nothing, on this stream only.
    Never,
    /// Resets the stream, after these frames if any.
    Reset(Vec<Bytes>, Reason),
    GoAway,
    Cut,
    Freeze,
}

impl Reply {
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Body { status: 200, announced: Some(bytes.len()), frames: vec![bytes] }
    }

    pub fn data(data: &str) -> Self {
        Self::bytes(format!("{{\"data\":{data}}}"))
    }

    pub fn error(status: u16, text: &str) -> Self {
        Self::Body { status, announced: Some(text.len()), frames: vec![Bytes::from(text.to_owned())] }
    }

    pub async fn send(self, mut respond: SendResponse<Bytes>) {
        let head = |status: u16, length: Option<usize>| {
            let builder = http::Response::builder().status(status);
            match length {
                Some(length) => builder.header("content-length", length),
                None => builder,
            }
            .body(())
            .unwrap()
        };
        match self {
            Self::Body { status, announced, frames } => {
                let Ok(mut stream) = respond.send_response(head(status, announced), frames.is_empty()) else {
                    return;
                };
                let last = frames.len();
                for (i, frame) in frames.into_iter().enumerate() {
                    let _ = stream.send_data(frame, i + 1 == last);
                }
                // The stream would be reset if it were dropped before everything is out.
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            Self::Part(whole, from, announced) => {
                let range = format!("bytes {announced}-{}/{}", whole.len() - 1, whole.len());
                let head = http::Response::builder().status(206).header("content-range", range);
                let head = head.header("content-length", whole.len() - from).body(()).unwrap();
                let mut stream = respond.send_response(head, false).unwrap();
                let _ = stream.send_data(whole.slice(from..), true);
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            Self::Endless(size) => {
                let mut stream = respond.send_response(head(200, None), false).unwrap();
                loop {
                    stream.reserve_capacity(size);
                    match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                        Some(Ok(granted)) if stream.send_data(Bytes::from(vec![7; granted]), false).is_ok() => {
                            // Otherwise the send buffer would fill up before the client sees a byte.
                            tokio::task::yield_now().await;
                        }
                        _ => return,
                    }
                }
            }
            Self::Stall(announced, frames) => {
                let mut stream = respond.send_response(head(200, Some(announced)), false).unwrap();
                for frame in frames {
                    stream.send_data(frame, false).unwrap();
                }
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            Self::Head(size) => {
                let response = http::Response::builder().header("x", "y".repeat(size)).body(()).unwrap();
                let _ = respond.send_response(response, true);
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            }
            Self::Never => {
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            }
            Self::Reset(frames, reason) => {
                if frames.is_empty() {
                    return respond.send_reset(reason);
                }
                let mut stream = respond.send_response(head(200, None), false).unwrap();
                for frame in frames {
                    stream.send_data(frame, false).unwrap();
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.send_reset(reason);
            }
            Self::GoAway | Self::Cut | Self::Freeze => unreachable!("handled by the connection"),
        }
    }
}

type Script = Arc<dyn Fn(Connection) -> BoxFuture<'static, ()> + Send + Sync>;

/// The peer as a dialer: each dialled stream runs the script.
pub struct Peer {
    pub identity: Identity,
    pub log: Log,
    pub dials: AtomicUsize,
    /// How many of the first dials are refused.
    pub refuse: AtomicUsize,
    acceptor: TlsAcceptor,
    script: Script,
}

impl Peer {
    pub fn new<F, R>(script: F) -> Arc<Self>
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::with_identity(Identity::new(params()), script)
    }

    pub fn with_identity<F, R>(identity: Identity, script: F) -> Arc<Self>
    where
        F: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let acceptor = identity.acceptor();
        let script: Script = Arc::new(move |connection| Box::pin(script(connection)));
        let (dials, refuse) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { identity, log: Log::default(), dials, refuse, acceptor, script })
    }

    /// A configuration that pins this peer's certificate.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new("pbs.example", token());
        config.trust = Trust::Only(Vec::new());
        config.fingerprint = Some(self.identity.fingerprint());
        config
    }

    pub fn client(self: &Arc<Self>) -> Client {
        self.client_with(self.config())
    }

    pub fn client_with(self: &Arc<Self>, config: ClientConfig) -> Client {
        Client::with_dialer(config, Arc::clone(self) as Arc<dyn Dialer>).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    pub fn dial_count(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

impl Dialer for Peer {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16, _limit: Duration) -> DialFuture<'a> {
        Box::pin(async move {
            let number = self.dials.fetch_add(1, Ordering::SeqCst) + 1;
            if number <= self.refuse.load(Ordering::SeqCst) {
                return Err(DialError::Connect(io::ErrorKind::ConnectionRefused.into()));
            }
            let (near, far) = tokio::io::duplex(256 * 1024);
            let (acceptor, script, log) = (self.acceptor.clone(), Arc::clone(&self.script), Arc::clone(&self.log));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(far).await {
                    script(Connection { number, stream, log }).await;
                }
            });
            Ok(Box::new(near) as Box<dyn farhold_client::ByteStream>)
        })
    }
}

pub fn token() -> Credentials {
    Credentials::new("sync@pbs!t1".parse().unwrap(), Secret::new("<secret>"))
}

pub fn password() -> Credentials {
    Credentials::new("sync@pbs".parse().unwrap(), Secret::new("<secret>"))
}

pub fn snapshot() -> Snapshot {
    "ct/101/2026-01-01T10:00:00Z".parse().unwrap()
}

/// Text of an error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
