//! A remote that serves a store over real TLS and HTTP, and sends something else where a test wants it to.
//!
//! It is written for the tests on hyper alone, shares no code with our server, logs every request, and can hold back
//! answers. Its account is an API token whose secret is not checked.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use farhold_client::{ByteStream, DialFuture, Dialer};
use farhold_datastore::Datastore;
use farhold_protocol::query::Query;
use farhold_types::{Digest, Fingerprint, Namespace, NamespaceItem, Snapshot};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Body = BoxBody<Bytes, io::Error>;

/// A request, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Path below `/api2/json`, or inside a session.
    pub path: String,
    pub query: Query,
    /// The snapshot of the session it came in.
    pub session: Option<Snapshot>,
}

impl Ask {
    pub fn value(&self, name: &str) -> &str {
        self.query.pairs().iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Returns whether this asks for a listing, by the last part of its path.
    pub fn lists(&self, what: &str) -> bool {
        self.session.is_none() && self.path.ends_with(&format!("/{what}"))
    }

    /// Returns whether this reads a file, in a session or outside of one.
    pub fn is_file(&self, name: &str) -> bool {
        self.path.ends_with("/download") && self.value("file-name") == name
    }

    pub fn is_chunk(&self) -> bool {
        self.session.is_some() && self.path == "/chunk"
    }

    /// Returns the digest of a request for a chunk.
    pub fn digest(&self) -> Option<Digest> {
        self.is_chunk().then(|| self.value("digest").parse().unwrap())
    }
}

/// What to send.
pub enum Answer {
    /// A status and a body.
    Body(u16, Bytes),
    /// A body that never ends.
    Endless,
    /// Nothing, with the connection left open.
    Silence,
    /// A good head that announces more than comes.
    Stall(Bytes),
    /// For a request that opens a session: these bytes instead of HTTP/2.
    NoSession(Bytes),
}

impl Answer {
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Body(200, bytes.into())
    }
}

/// Returns what to send instead of the honest answer, if anything.
pub type Lie = Arc<dyn Fn(&Ask, &Bytes) -> Option<Answer> + Send + Sync>;

struct Inner {
    store: Mutex<Datastore>,
    lie: Mutex<Lie>,
    log: Mutex<Vec<Ask>>,
    chunk_delay: Mutex<Duration>,
    acceptor: TlsAcceptor,
    fingerprint: Fingerprint,
}

/// The remote; cheap to clone.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

impl Peer {
    pub fn new(store: Datastore) -> Self {
        let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![identity.cert.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
        let fingerprint = Fingerprint(*farhold_crypto::sha256(&chain[0]).as_bytes());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let inner = Inner {
            store: Mutex::new(store),
            lie: Mutex::new(Arc::new(|_, _| None)),
            log: Mutex::default(),
            chunk_delay: Mutex::default(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint,
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint
    }

    /// Listens on a port of its own for as long as the runtime lives.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(Arc::clone(&inner), stream));
            }
        });
        address
    }

    /// Sends what `lie` returns from now on.
    pub fn lie(&self, lie: impl Fn(&Ask, &Bytes) -> Option<Answer> + Send + Sync + 'static) {
        *self.inner.lie.lock().unwrap() = Arc::new(lie);
    }

    /// Is honest from now on.
    pub fn be_honest(&self) {
        self.lie(|_, _| None);
    }

    /// Waits before it sends a chunk.
    pub fn delay_chunks(&self, delay: Duration) {
        *self.inner.chunk_delay.lock().unwrap() = delay;
    }

    /// Returns the requests since the last time.
    pub fn take_log(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.inner.log.lock().unwrap())
    }

    /// Returns the chunks asked for since the last time.
    pub fn take_chunks(&self) -> Vec<Digest> {
        self.take_log().iter().filter_map(Ask::digest).collect()
    }
}

impl Dialer for Peer {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16, _limit: Duration) -> DialFuture<'a> {
        let (near, far) = tokio::io::duplex(256 * 1024);
        tokio::spawn(serve(Arc::clone(&self.inner), far));
        Box::pin(async move { Ok(Box::new(near) as Box<dyn ByteStream>) })
    }
}

async fn serve<T: ByteStream>(inner: Arc<Inner>, stream: T) {
    let Ok(stream) = inner.acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { Ok::<_, Infallible>(answer(inner, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that hangs up is no fault of the test.
    let _ = connection.with_upgrades().await;
}

async fn answer(inner: Arc<Inner>, mut request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/').trim_start_matches("api2/json").to_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default()).unwrap();
    let ask = Ask { path, query, session: None };
    if ask.path == "/reader" {
        let snapshot = format!("{}/{}", ask.value("backup-type"), ask.value("backup-id"));
        let group: farhold_types::Group = snapshot.parse().unwrap();
        let snapshot = group.at(farhold_types::Epoch(ask.value("backup-time").parse().unwrap()));
        let namespace: Namespace = ask.value("ns").parse().unwrap();
        let mut garbage = None;
        match decide(&inner, &ask, 200, Bytes::new()).await {
            Answer::Body(200, _) => {}
            Answer::NoSession(bytes) => garbage = Some(bytes),
            other => return response(other).await,
        }
        let protocol = request.headers()[header::UPGRADE].clone();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            match garbage {
                Some(bytes) => {
                    let mut io = TokioIo::new(upgraded);
                    let _ = io.write_all(&bytes).await;
                    let _ = io.flush().await;
                    pending::<()>().await;
                }
                None => session(inner, upgraded, namespace, snapshot).await,
            }
        });
        return Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, protocol)
            .body(empty())
            .unwrap();
    }
    let (status, honest) = honest(&inner, &ask);
    response(decide(&inner, &ask, status, honest).await).await
}

async fn session(inner: Arc<Inner>, io: hyper::upgrade::Upgraded, namespace: Namespace, snapshot: Snapshot) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (inner, namespace, snapshot) = (Arc::clone(&inner), namespace.clone(), snapshot.clone());
        async move {
            let path = request.uri().path().to_owned();
            let query = Query::parse(request.uri().query().unwrap_or_default()).unwrap();
            let ask = Ask { path, query, session: Some(snapshot.clone()) };
            let store = inner.store.lock().unwrap().clone();
            let found = match ask.path.as_str() {
                "/download" => {
                    let name = ask.value("file-name").parse().unwrap();
                    store.read_file(&namespace, &snapshot, &name).map_err(|error| error.to_string())
                }
                "/chunk" => store.read_chunk(&ask.digest().unwrap()).map_err(|error| error.to_string()),
                other => panic!("nobody asks for {other}"),
            };
            let (status, honest) = match found {
                Ok(bytes) => (200, bytes),
                Err(text) => (if ask.is_chunk() { 400 } else { 404 }, Bytes::from(text)),
            };
            let delay = *inner.chunk_delay.lock().unwrap();
            if ask.is_chunk() && !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Ok::<_, Infallible>(response(decide(&inner, &ask, status, honest).await).await)
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
    let _ = connection.await;
}

/// Logs a request and returns what is sent.
async fn decide(inner: &Inner, ask: &Ask, status: u16, honest: Bytes) -> Answer {
    inner.log.lock().unwrap().push(ask.clone());
    let lie = Arc::clone(&*inner.lie.lock().unwrap());
    lie(ask, &honest).unwrap_or(Answer::Body(status, honest))
}

/// Returns what an honest server says outside of sessions.
fn honest(inner: &Inner, ask: &Ask) -> (u16, Bytes) {
    let store = inner.store.lock().unwrap().clone();
    let namespace: Namespace = match ask.value("ns").parse() {
        Ok(namespace) => namespace,
        Err(_) => return (400, Bytes::from_static(b"wrong namespace")),
    };
    let group = || format!("{}/{}", ask.value("backup-type"), ask.value("backup-id")).parse().unwrap();
    let data = match ask.path.rsplit('/').next().unwrap() {
        "namespace" => {
            let anchor: Namespace = ask.value("parent").parse().unwrap();
            let depth = ask.value("max-depth").parse().unwrap_or(7);
            let found = store.namespaces(&anchor, depth).unwrap();
            json!(found.into_iter().map(|ns| NamespaceItem { ns, comment: None }).collect::<Vec<_>>())
        }
        "groups" => {
            let found = store.groups(&namespace).unwrap();
            json!(found.iter().map(|g| store.group_item(&namespace, &g.group).unwrap()).collect::<Vec<_>>())
        }
        "snapshots" => json!(store.snapshot_items(&namespace, &group()).unwrap()),
        "download" => {
            let snapshot = group().at(farhold_types::Epoch(ask.value("backup-time").parse().unwrap()));
            let name = ask.value("file-name").parse().unwrap();
            return match store.read_file(&namespace, &snapshot, &name) {
                Ok(bytes) => (200, bytes),
                Err(error) => (400, Bytes::from(error.to_string())),
            };
        }
        "version" => json!({ "version": "4.2", "release": "1", "repoid": "00" }),
        other => panic!("nobody asks for {other}"),
    };
    (200, Bytes::from(json!({ "data": data }).to_string()))
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed()
}

async fn response(answer: Answer) -> Response<Body> {
    let stream = |frames| StreamBody::new(frames);
    match answer {
        Answer::Body(status, bytes) => {
            let body = Full::new(bytes).map_err(|never: Infallible| match never {}).boxed();
            Response::builder().status(status).body(body).unwrap()
        }
        Answer::Endless => {
            let piece = Bytes::from(vec![b' '; 64 * 1024]);
            let frames = futures::stream::repeat_with(move || Ok(Frame::data(piece.clone())));
            Response::new(BodyExt::boxed(stream(frames)))
        }
        Answer::Silence | Answer::NoSession(_) => pending().await,
        Answer::Stall(bytes) => {
            use futures::StreamExt as _;
            let first = futures::stream::once(async move { Ok(Frame::data(bytes)) });
            let frames = first.chain(futures::stream::pending());
            Response::builder()
                .header(header::CONTENT_LENGTH, 1000)
                .body(BodyExt::boxed(StreamBody::new(frames)))
                .unwrap()
        }
    }
}
