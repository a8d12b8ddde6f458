//! The listener: TCP with TLS, the Unix socket, and an orderly end.
//!
//! Knows nothing of endpoints: every request goes to one [`Dispatch`] function. TCP connections that do not speak TLS
//! are redirected. On the Unix socket, root and the daemon's own user are `root@pam`; other users are refused.
//! Source: `docs/spec/wire-protocol.md` 1.

mod connection;
mod guests;
mod metered;
mod prefixed;
mod tls;
mod unix;

pub use tls::TlsIdentity;

use metered::Metered;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farhold_api::Router;
use farhold_api::declare::{Body, ConnectionInfo, Context};
use farhold_jobs::traffic::TrafficControl;
use farhold_types::Authid;
use futures::future::BoxFuture;
use http::{Request, Response};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::Stops;
use guests::Guests;
use unix::SocketFile;

/// TLS handshakes at once; connections above it are dropped. Source: `docs/spec/wire-protocol.md` 1.1.
const MAX_PENDING_HANDSHAKES: usize = 1024;

/// Connections at once, idle ones included: bounds file descriptors and memory of a server that faces the internet.
/// One address has a quarter of them.
pub const MAX_CONNECTIONS: usize = 4096;

/// Idle time after which the kernel probes a connection. Source: `docs/spec/wire-protocol.md` 1.1.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Pause after a failed accept, typically for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests; what [`Router::dispatch`] does.
pub type Dispatch = Arc<dyn Fn(Request<Body>, ConnectionInfo) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Returns the function that passes requests to a router.
pub fn dispatch_to<C: Context>(router: Arc<Router<C>>) -> Dispatch {
    Arc::new(move |request, connection| {
        let router = router.clone();
        Box::pin(async move { router.dispatch(request, connection).await })
    })
}

/// Where to listen.
#[derive(Debug)]
pub struct ServerOptions {
    /// TCP addresses; port 0 picks a free one. `[::]` also takes IPv4, and falls back to `0.0.0.0` without IPv6.
    pub listen: Vec<SocketAddr>,
    /// Certificate of the TCP listeners.
    pub tls: Arc<TlsIdentity>,
    /// Path of the Unix socket, if one is wanted; its folder must exist.
    pub unix_socket: Option<PathBuf>,
    /// How long requests may go on after the shutdown began, before they are cut.
    pub drain_limit: Duration,
    /// Counts and limits what TCP connections carry.
    pub traffic: TrafficControl,
    /// Connections at once from the network, at most [`MAX_CONNECTIONS`]; less where fewer files may be open.
    pub max_connections: usize,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A TCP address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process serves the Unix socket.
    #[error("another server is running on {path}")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The Unix socket cannot be made.
    #[error("cannot listen on {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listening sockets; [`Server::run`] serves them.
pub struct Server {
    listeners: Vec<TcpListener>,
    socket: Option<SocketFile>,
    tls: Arc<TlsIdentity>,
    dispatch: Dispatch,
    drain_limit: Duration,
    traffic: TrafficControl,
    max_connections: usize,
}

/// What all connections of one server share.
struct Shared {
    tls: Arc<TlsIdentity>,
    dispatch: Dispatch,
    traffic: TrafficControl,
    handshakes: Arc<Semaphore>,
    guests: Arc<Guests>,
    tasks: TaskTracker,
    stops: Stops,
}

impl Server {
    /// Binds all sockets; connections queue up from now on.
    ///
    /// # Errors
    /// [`ServerError`]: an address or the socket is taken or not allowed.
    pub async fn bind(options: ServerOptions, dispatch: Dispatch) -> Result<Self, ServerError> {
        let mut listeners = Vec::new();
        for address in options.listen {
            listeners.push(bind_tcp(address).await.map_err(|source| ServerError::Bind { address, source })?);
        }
        let socket = options.unix_socket.map(SocketFile::bind).transpose()?;
        let ServerOptions { tls, drain_limit, traffic, max_connections, .. } = options;
        Ok(Self { listeners, socket, tls, dispatch, drain_limit, traffic, max_connections })
    }

    /// Returns the TCP addresses with their real ports, in the order given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `shutdown` is cancelled, then lets requests finish up to the drain limit and cuts the rest.
    ///
    /// Upgraded sessions belong to the router; shut it down beside this.
    pub async fn run(self, shutdown: CancellationToken) {
        let stops = Stops { drain: shutdown.child_token(), cut: CancellationToken::new() };
        let shared = Arc::new(Shared {
            tls: self.tls,
            dispatch: self.dispatch,
            traffic: self.traffic,
            handshakes: Arc::new(Semaphore::new(MAX_PENDING_HANDSHAKES)),
            guests: Guests::new(self.max_connections.min(MAX_CONNECTIONS)),
            tasks: TaskTracker::new(),
            stops,
        });
        let accepting = TaskTracker::new();
        for listener in self.listeners {
            accepting.spawn(accept_tcp(listener, shared.clone()));
        }
        if let Some(socket) = self.socket {
            accepting.spawn(accept_unix(socket, shared.clone()));
        }
        accepting.close();
        shutdown.cancelled().await;
        accepting.wait().await;
        shared.tasks.close();
        if tokio::time::timeout(self.drain_limit, shared.tasks.wait()).await.is_err() {
            tracing::info!("cutting {} connections that did not finish in time", shared.tasks.len());
            shared.stops.cut.cancel();
            shared.tasks.wait().await;
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

async fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && is_no_ipv6(&error) => {
            tracing::info!("no IPv6 here, listening on IPv4 only");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        result => result,
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(nix::errno::Errno::from_raw);
    matches!(code, Some(nix::errno::Errno::EAFNOSUPPORT | nix::errno::Errno::EADDRNOTAVAIL))
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stops.drain.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => shared.clone().start(Some(peer.ip()), move |shared| serve_tcp(stream, peer, shared)),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept_unix(socket: SocketFile, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = shared.stops.drain.cancelled() => return,
        };
        match accepted {
            Ok(stream) => shared.clone().start(None, move |shared| serve_unix(stream, shared)),
            Err(error) => {
                tracing::warn!("cannot accept a connection on the socket: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// Serves a connection in a task of its own, or drops it if there are too many.
    fn start<F, Fut>(self: Arc<Self>, address: Option<IpAddr>, serve: F)
    where
        F: FnOnce(Arc<Self>) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Some(guest) = self.guests.enter(address) else {
            tracing::warn!(?address, "too many connections, dropping one");
            return;
        };
        let (tasks, cut) = (self.tasks.clone(), self.stops.cut.clone());
        let serving = serve(self);
        tasks.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = cut.cancelled() => {}
            }
            drop(guest);
        });
    }
}

async fn serve_tcp(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let socket = SockRef::from(&stream);
    let options =
        stream.set_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE)));
    if let Err(error) = options {
        tracing::debug!(%peer, "cannot set socket options: {error}");
    }
    let protocol = connection::peek_protocol(&stream).await;
    let open = Arc::new(shared.traffic.accepted(peer));
    let stream = Metered::new(stream, Arc::clone(&open));
    match protocol {
        Some(connection::Protocol::Tls) => {}
        Some(_) => return connection::redirect(stream).await,
        None => return,
    }
    let Ok(pending) = shared.handshakes.clone().try_acquire_owned() else {
        tracing::warn!(%peer, "too many pending TLS handshakes, dropping a connection");
        return;
    };
    let handshake = TlsAcceptor::from(shared.tls.config()).accept(stream);
    // Whoever waits because of our own limits is not slow.
    let stream = match open.pauses().within(connection::HANDSHAKE_LIMIT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, "TLS handshake failed: {error}"),
        Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
    };
    drop(pending);
    let info = ConnectionInfo { peer: Some(peer), trusted: None };
    connection::serve(stream, shared.dispatch.clone(), info, Some(open), shared.stops.clone()).await;
}

async fn serve_unix(stream: UnixStream, shared: Arc<Shared>) {
    if !unix::is_trusted(&stream) {
        tracing::warn!("refusing a user on the socket who is neither root nor the server's own");
        return;
    }
    let info = ConnectionInfo { peer: None, trusted: Some(Authid::root()) };
    connection::serve(stream, shared.dispatch.clone(), info, None, shared.stops.clone()).await;
}
