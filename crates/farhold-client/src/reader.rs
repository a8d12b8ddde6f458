//! Reader sessions: files and chunks of one snapshot over HTTP/2.
//!
//! Source: `docs/spec/wire-protocol.md` 4 and 6.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_protocol::http2;
use farhold_protocol::reader::{chunk_request, download_request};
use farhold_protocol::upgrade::{READER_PATH, READER_PROTOCOL, ReaderUpgrade};
use farhold_protocol::{CONTENT_TYPE_FORM, MAX_SESSION_QUERY_BYTES};
use farhold_types::{ArchiveName, DatastoreName, Digest, MANIFEST_NAME, Namespace, Snapshot};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, UPGRADE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Call, Client, Wait};
use crate::error::{ClientError, peer_text};
use crate::metered::Activity;
use crate::session_driver::drive;
use crate::silence::{SignOfLife, Silence, within};

/// Longest wait for the peer when a session is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Pauses before a request is sent again that the peer refused to look at (too many streams).
const REFUSED_PAUSES: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];
/// Bodies below this are copied, so that a small chunk does not keep a large receive buffer in memory.
const COPY_BELOW_BYTES: usize = 64 * 1024;
/// Largest part of an error's body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// What a session was doing when it broke.
pub(crate) const DURING: &str = "inside a reader session";

/// Reads one snapshot of a remote. Cheap to clone; all clones share one connection, and many requests may be on their
/// way at once. The remote keeps the snapshot from being removed while the session is open.
#[derive(Clone)]
pub struct ReaderSession {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    snapshot: Snapshot,
    sender: Mutex<Option<SendRequest<Bytes>>>,
    driver: tokio::sync::Mutex<Option<AbortOnDropHandle<()>>>,
    activity: Arc<Activity>,
    /// Why the connection ended, if we ended it.
    ending: Arc<OnceLock<ClientError>>,
}

impl Client {
    /// Opens a reader session on a snapshot, over an idle connection or a new one.
    ///
    /// # Errors
    /// As [`Self::get`]. Status 400: datastore, namespace or snapshot is missing, the snapshot is being written or
    /// removed, or our account may not read it. Which of them only the text tells.
    ///
    /// Source: `docs/spec/wire-protocol.md` 4 and 6.1.
    pub async fn open_reader(
        &self,
        store: &DatastoreName,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> Result<ReaderSession, ClientError> {
        let upgrade = ReaderUpgrade { store: store.clone(), ns: ns.clone(), snapshot: snapshot.clone(), debug: true };
        let call = Call {
            method: Method::GET,
            target: format!("{READER_PATH}?{}", upgrade.to_query()),
            body: None,
            is_repeatable: true,
            wait: Wait::Normal,
            max_bytes: self.limits().answer_bytes,
        };
        let (connection, response) = match self.upgrade(&call, READER_PROTOCOL).await? {
            Ok(switched) => switched,
            Err(answer) if answer.status.is_success() => {
                return Err(self.wrong("the upgrade was answered without switching protocols"));
            }
            Err(answer) => return Err(call.status_error(answer.status, &answer.body)),
        };
        if response.headers().get(UPGRADE).is_none_or(|name| name != READER_PROTOCOL) {
            return Err(self.wrong("the connection was switched to another protocol"));
        }
        let io = hyper::upgrade::on(response).await.map_err(|e| self.transport_error(e, "while being upgraded"))?;
        let activity = Arc::clone(&connection.activity);
        ReaderSession::start(self.clone(), snapshot.clone(), TokioIo::new(io), activity).await
    }

    fn wrong(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Protocol { peer: self.peer(), reason: reason.into() }
    }
}

impl ReaderSession {
    async fn start(
        client: Client,
        snapshot: Snapshot,
        io: TokioIo<Upgraded>,
        activity: Arc<Activity>,
    ) -> Result<Self, ClientError> {
        let settings = http2::CLIENT;
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(settings.stream_window_bytes)
            .initial_connection_window_size(settings.connection_window_bytes)
            .max_frame_size(settings.max_frame_bytes)
            .enable_push(false);
        if let Some(bytes) = settings.max_header_list_bytes {
            builder.max_header_list_size(bytes);
        }
        let (sender, mut connection) = builder.handshake(io).await.map_err(|e| session_error(&client, e))?;
        let ending = Arc::new(OnceLock::new());
        let pings = connection.ping_pong();
        let driver = tokio::spawn(drive(connection, pings, client.clone(), Arc::clone(&activity), Arc::clone(&ending)));
        let inner = Inner {
            client,
            snapshot,
            sender: Mutex::new(Some(sender)),
            driver: tokio::sync::Mutex::new(Some(AbortOnDropHandle::new(driver))),
            activity,
            ending,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the snapshot that this session reads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.inner.snapshot
    }

    /// Returns a file of the snapshot as it is stored. The chunks of an index may be read from then on.
    ///
    /// # Errors
    /// [`ClientError::Vanished`] if the manifest is missing (404); [`ClientError::Status`] for other refusals: 404 for
    /// another missing blob, 400 for a missing index; [`ClientError::TooLarge`] above `max_bytes`; silence and broken
    /// connections.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request; the session stays usable.
    pub async fn download(&self, name: &ArchiveName, max_bytes: usize) -> Result<Bytes, ClientError> {
        match self.fetch(&download_request(name), max_bytes, &mut BytesMut::new()).await {
            Err(ClientError::Status { status: 404, .. }) if name.as_str() == MANIFEST_NAME => {
                Err(ClientError::Vanished { snapshot: self.inner.snapshot.clone() })
            }
            other => other,
        }
    }

    /// Returns a chunk as it is stored, in one piece, unverified.
    ///
    /// # Errors
    /// [`ClientError::ChunkNotAllowed`] if no index downloaded in this session names it; status 400 if the remote
    /// cannot read it; [`ClientError::TooLarge`] above `max_bytes`; silence and broken connections.
    ///
    /// # Cancel safety
    /// As [`Self::download`].
    pub async fn chunk(&self, digest: &Digest, max_bytes: usize) -> Result<Bytes, ClientError> {
        self.resume_chunk(digest, max_bytes, &mut BytesMut::new()).await
    }

    /// Returns a chunk as [`Self::chunk`] does; when the connection breaks, what came of it is in `begun`.
    ///
    /// If `begun` is not empty, it is the beginning of this chunk from another session: the remote is asked for the rest
    /// alone. One that does not know ranges sends everything, which is as good. Whether both parts belong together is the
    /// caller's to check.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    ///
    /// Source: RFC 9110, 14.2.
    pub async fn resume_chunk(
        &self,
        digest: &Digest,
        max_bytes: usize,
        begun: &mut BytesMut,
    ) -> Result<Bytes, ClientError> {
        match self.fetch(&chunk_request(digest), max_bytes, begun).await {
            Err(ClientError::Status { status: 401, text, .. }) => {
                Err(ClientError::ChunkNotAllowed { digest: *digest, text })
            }
            other => other,
        }
    }

    /// Ends the session in order and waits for that, at most 5 s. Requests still on their way get that long to finish.
    ///
    /// Dropping all clones instead cuts the connection without a farewell, and without waiting for anything.
    pub async fn close(&self) {
        self.sender_slot().take();
        if let Some(driver) = self.inner.driver.lock().await.take()
            && timeout(CLOSE_LIMIT, driver).await.is_err()
        {
            tracing::debug!(peer = %self.inner.client.peer(), "a reader session was cut");
        }
    }

    fn sender_slot(&self) -> std::sync::MutexGuard<'_, Option<SendRequest<Bytes>>> {
        self.inner.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, target: &str, max_bytes: usize, buffer: &mut BytesMut) -> Result<Bytes, ClientError> {
        let mut pauses = REFUSED_PAUSES.iter();
        loop {
            match self.fetch_once(target, max_bytes, buffer).await {
                Ok(body) => return Ok(body),
                // Perhaps only the range was refused.
                Err(Failure::Call(ClientError::Status { .. })) if !buffer.is_empty() => buffer.clear(),
                Err(Failure::Call(error)) => return Err(error),
                // A refused stream was not looked at at all, so sending it again is safe.
                Err(Failure::Http2(error)) => match pauses.next() {
                    Some(pause) if error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM) => {
                        sleep(*pause).await;
                    }
                    _ => return Err(self.session_error(error)),
                },
            }
        }
    }

    async fn fetch_once(&self, target: &str, max_bytes: usize, buffer: &mut BytesMut) -> Result<Bytes, Failure> {
        let path = target.split('?').next().unwrap_or_default();
        if MAX_SESSION_QUERY_BYTES < target.len() - path.len() {
            let reason = "a query inside a session is too long".to_owned();
            return Err(Failure::Call(ClientError::Configuration { peer: self.inner.client.peer(), reason }));
        }
        let sender = self.sender_slot().clone();
        let sender = sender.ok_or_else(|| Failure::Call(ClientError::Closed { peer: self.inner.client.peer() }))?;
        let mut sender = self.wait(sender.ready()).await??;
        let (response, _) = sender.send_request(self.request(target, buffer.len())?, true)?;
        // A kept handle would keep the connection open after `close`.
        drop(sender);
        let response = self.wait(response).await??;
        let status = response.status();
        let is_rest = !buffer.is_empty() && status == StatusCode::PARTIAL_CONTENT;
        if status != StatusCode::OK && !is_rest {
            let text = self.error_text(response).await?;
            // The query names the file or chunk, which is what a reader of the error wants to know.
            let error = ClientError::Status { status: status.as_u16(), method: "GET", path: target.to_owned(), text };
            return Err(Failure::Call(error));
        }
        if !is_rest {
            buffer.clear();
        } else if !begins_at(&response, buffer.len()) {
            return Err(Failure::Call(self.inner.client.wrong("another part of a chunk came than was asked for")));
        }
        self.body(response, target, max_bytes, buffer).await
    }

    /// Reads a body behind what is in `buffer`, into one piece of memory that is never larger than needed or allowed.
    async fn body(
        &self,
        response: Response<RecvStream>,
        target: &str,
        max_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Result<Bytes, Failure> {
        let too_large = || Failure::Call(ClientError::TooLarge { what: target.to_owned(), limit_bytes: max_bytes });
        let announced = content_length(&response).map(|length| length.saturating_add(buffer.len()));
        if announced.is_some_and(|length| max_bytes < length) {
            return Err(too_large());
        }
        let mut body = response.into_body();
        while let Some(data) = self.next_data(&mut body).await? {
            if max_bytes.saturating_sub(buffer.len()) < data.len() {
                return Err(too_large());
            }
            // Whole answers often come as one frame, which then is the result.
            if buffer.is_empty() && announced == Some(data.len()) && COPY_BELOW_BYTES <= data.len() {
                return match self.next_data(&mut body).await? {
                    None => Ok(data),
                    Some(_) => Err(Failure::Call(self.inner.client.wrong("a body is longer than announced"))),
                };
            }
            if buffer.is_empty() {
                // Room for the announced length is taken only when the first bytes are there.
                buffer.reserve(announced.unwrap_or(data.len()));
            }
            buffer.extend_from_slice(&data);
        }
        if announced.is_some_and(|length| length != buffer.len()) {
            return Err(Failure::Call(self.inner.client.wrong("a body is shorter than announced")));
        }
        Ok(std::mem::take(buffer).freeze())
    }

    async fn error_text(&self, response: Response<RecvStream>) -> Result<String, Failure> {
        let mut body = response.into_body();
        let mut text = Vec::new();
        while text.len() < MAX_ERROR_BYTES
            && let Some(data) = self.next_data(&mut body).await?
        {
            text.extend_from_slice(&data[..data.len().min(MAX_ERROR_BYTES - text.len())]);
        }
        Ok(peer_text(&text))
    }

    async fn next_data(&self, body: &mut RecvStream) -> Result<Option<Bytes>, Failure> {
        let Some(data) = self.wait(body.data()).await? else {
            return Ok(None);
        };
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }

    async fn wait<F: Future>(&self, event: F) -> Result<F::Output, Failure> {
        let limit = self.inner.client.limits().silence;
        within(&self.inner.activity, limit, SignOfLife::ConnectionData, event)
            .await
            .map_err(|Silence| Failure::Call(self.inner.client.silent(limit, DURING)))
    }

    /// Returns the request for what comes behind the first `have_bytes`.
    fn request(&self, target: &str, have_bytes: usize) -> Result<Request<()>, Failure> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{target}", http2::SESSION_ORIGIN))
            .header(USER_AGENT, self.inner.client.user_agent())
            .header(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_FORM));
        if have_bytes != 0 {
            request = request.header(RANGE, format!("bytes={have_bytes}-"));
        }
        request.body(()).map_err(|e| {
            let reason = format!("wrong request: {e}");
            Failure::Call(ClientError::Configuration { peer: self.inner.client.peer(), reason })
        })
    }

    fn session_error(&self, error: h2::Error) -> ClientError {
        self.inner.ending.get().cloned().unwrap_or_else(|| session_error(&self.inner.client, error))
    }
}

impl std::fmt::Debug for ReaderSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReaderSession").field("snapshot", &self.inner.snapshot).finish_non_exhaustive()
    }
}

/// Why a request inside a session failed, before the session's own end is taken into account.
enum Failure {
    Call(ClientError),
    Http2(h2::Error),
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        Self::Http2(error)
    }
}

fn content_length(response: &Response<RecvStream>) -> Option<usize> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns whether the answer says that its body begins at this byte.
fn begins_at(response: &Response<RecvStream>, position: usize) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")))
}

/// Returns the error for an HTTP/2 failure: broken rules, or a broken connection.
fn session_error(client: &Client, error: h2::Error) -> ClientError {
    // The library found the fault itself: the peer broke the rules.
    if error.is_library() {
        return client.wrong(format!("{error} {DURING}"));
    }
    ClientError::Broken { peer: client.peer(), during: DURING, source: Arc::new(error) }
}
