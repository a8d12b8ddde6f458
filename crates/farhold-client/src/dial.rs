//! Where the outside begins: opening byte streams to a host.

use std::any::Any;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Idle time before TCP asks whether the peer is still there, how often it asks, and how many unanswered questions end
/// the connection: a peer that is gone is noticed after two minutes, also where an answer may take longer than that
/// and HTTP has no way to ask. The reference asks first after 120 s (`docs/spec/wire-protocol.md` 1.2).
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_QUESTIONS: u32 = 4;
/// Most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;
/// Each address gets its share of the limit, but not less than this; a host with a dead IPv6 address stays reachable.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Returns the address that a TCP connection leads to: the peer's, or that of a proxy in front of it. None for
    /// other streams.
    fn peer_address(&self) -> Option<IpAddr>;
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {
    fn peer_address(&self) -> Option<IpAddr> {
        let any: &dyn Any = self;
        match any.downcast_ref::<Box<dyn ByteStream>>() {
            Some(boxed) => (**boxed).peer_address(),
            None => any.downcast_ref::<TcpStream>()?.peer_addr().ok().map(|peer| peer.ip()),
        }
    }
}

/// Why no stream could be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    #[error("host name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// No address accepted the connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
}

/// Result of [`Dialer::dial`].
pub type DialFuture<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, DialError>> + Send + 'a>>;

/// Opens byte streams. Each call opens a new one; the stream carries TLS.
pub trait Dialer: Send + Sync {
    /// Connects to `host` (name or address without brackets) within `limit`.
    ///
    /// # Cancel safety
    /// Dropping the future drops the half-open stream.
    fn dial<'a>(&'a self, host: &'a str, port: u16, limit: Duration) -> DialFuture<'a>;
}

/// Opens TCP connections: addresses in the resolver's order, no delay, keep-alive.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDialer;

impl Dialer for TcpDialer {
    fn dial<'a>(&'a self, host: &'a str, port: u16, limit: Duration) -> DialFuture<'a> {
        Box::pin(connect(host, port, limit))
    }
}

async fn connect(host: &str, port: u16, limit: Duration) -> Result<Box<dyn ByteStream>, DialError> {
    let deadline = Instant::now() + limit;
    let too_slow = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
    let found = timeout(limit, tokio::net::lookup_host((host, port))).await;
    let found = found.unwrap_or_else(|_| Err(too_slow())).map_err(DialError::Resolve)?;
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    if addresses.is_empty() {
        return Err(DialError::Resolve(last));
    }
    for (i, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let rest = u32::try_from(addresses.len() - i).unwrap_or(1);
        let share = (left / rest).max(SHORTEST_TRY);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                prepare(&stream).map_err(DialError::Connect)?;
                return Ok(Box::new(stream));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = too_slow(),
        }
    }
    Err(DialError::Connect(last))
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_QUESTIONS),
    )
}
