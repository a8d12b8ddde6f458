//! HTTP/1.1 connections and the pool of idle ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::BufReader;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::dial::ByteStream;
use crate::metered::{Activity, Metered};

/// Most idle connections that are kept: as many as a sync looks ahead with, so that a request after the first round finds
/// one and needs no handshake.
pub(crate) const MAX_IDLE: usize = 32;
/// Idle connections older than this are not used again; firewalls forget them silently after some minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Largest response head, in bytes.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Bytes that are read ahead of TLS, whose library alone asks the system for 4 KiB at a time. Four of its records.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// The stream under TLS.
pub(crate) type TcpIo = BufReader<Metered<Box<dyn ByteStream>>>;

/// The stream under HTTP.
pub(crate) type TlsIo = TlsStream<TcpIo>;

/// Returns a stream whose bytes are read in larger pieces.
pub(crate) fn buffered(stream: Metered<Box<dyn ByteStream>>) -> TcpIo {
    BufReader::with_capacity(READ_AHEAD_BYTES, stream)
}

/// One connection with at most one request on its way.
pub(crate) struct Http1 {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) activity: Arc<Activity>,
    /// Whether it lay idle, so that the peer may have closed it meanwhile.
    pub(crate) is_used: bool,
    idle_since: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Http1 {
    /// Starts HTTP/1.1 on a stream.
    pub(crate) async fn start(io: TlsIo, activity: Arc<Activity>) -> hyper::Result<Self> {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(io)).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer gets the error, too.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection ended");
            }
        });
        let _driver = AbortOnDropHandle::new(driver);
        Ok(Self { sender, activity, is_used: false, idle_since: Instant::now(), _driver })
    }
}

/// Idle connections of one client.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Http1>>,
}

impl Pool {
    /// Returns the connection used last, if one is open and fresh enough.
    pub(crate) fn take(&self) -> Option<Http1> {
        self.usable().pop()
    }

    /// Returns how many connections [`Self::take`] could return now.
    pub(crate) fn idle_count(&self) -> usize {
        self.usable().len()
    }

    fn usable(&self) -> MutexGuard<'_, Vec<Http1>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|c| !c.sender.is_closed() && c.idle_since.elapsed() < IDLE_LIMIT);
        idle
    }

    /// Keeps a connection that is new or whose answer was read to its end.
    pub(crate) fn put(&self, mut connection: Http1) {
        connection.is_used = true;
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !connection.sender.is_closed() {
            idle.push(connection);
        }
    }
}
