//! An HTTP/2 session over an upgraded connection: what reader and backup sessions share.
//!
//! Requests run side by side over one connection. Each wait has a bound, each answer has a largest size, bodies are
//! sent as the peer's windows allow, and a request that the peer refused to look at is sent again.
//!
//! Source: `docs/spec/wire-protocol.md` 4.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_protocol::{CONTENT_TYPE_FORM, MAX_SESSION_QUERY_BYTES, http2};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, UPGRADE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Call, Client, Wait};
use crate::error::{ClientError, peer_text};
use crate::metered::Activity;
use crate::session_driver::drive;
use crate::silence::{SignOfLife, Silence, within};
use crate::upload::{Sent, send_body};

/// Longest wait for the peer when a session is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Pauses before a request is sent again that the peer refused to look at (too many streams).
const REFUSED_PAUSES: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];
/// Bodies below this are copied, so that a small chunk does not keep a large receive buffer in memory.
const COPY_BELOW_BYTES: usize = 64 * 1024;
/// Largest part of an error's body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Most large bodies that are sent at once; the others wait for their turn. Enough to keep the line busy while one ends
/// and the next begins. If all shared the windows, each would be late, the peer would have to keep all of them half sent,
/// and a small window would be cut into tiny frames, which peers take for an attack.
const LARGE_BODIES: usize = 4;

/// A session. Cheap to clone; all clones share one connection, which is cut when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    /// Where an error happened, for its text.
    during: &'static str,
    sender: Mutex<Option<SendRequest<Bytes>>>,
    driver: tokio::sync::Mutex<Option<AbortOnDropHandle<()>>>,
    activity: Arc<Activity>,
    /// Why the connection ended, if we ended it.
    ending: Arc<OnceLock<ClientError>>,
    /// Held while a large body is sent.
    turns: Semaphore,
}

/// A request inside a session.
pub(crate) struct SessionCall {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Whether the body waits for its turn among the large ones.
    pub(crate) takes_turn: bool,
    pub(crate) wait: Wait,
}

impl SessionCall {
    pub(crate) fn get(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            content_type: CONTENT_TYPE_FORM,
            body: Bytes::new(),
            takes_turn: false,
            wait: Wait::Normal,
        }
    }

    pub(crate) fn post(target: String) -> Self {
        Self { method: Method::POST, ..Self::get(target) }
    }

    fn method_name(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::PUT => "PUT",
            _ => "POST",
        }
    }
}

impl Session {
    /// Asks the peer to switch an idle or new connection to `protocol` and starts HTTP/2 on it.
    ///
    /// `target`: path and query. `during`: as in [`ClientError::Broken`].
    pub(crate) async fn open(
        client: &Client,
        target: String,
        protocol: &'static str,
        during: &'static str,
    ) -> Result<Self, ClientError> {
        let call = Call::get(target, client.limits().answer_bytes);
        let (connection, response) = match client.upgrade(&call, protocol).await? {
            Ok(switched) => switched,
            Err(answer) if answer.status.is_success() => {
                return Err(client.wrong("the upgrade was answered without switching protocols"));
            }
            Err(answer) => return Err(call.status_error(answer.status, &answer.body)),
        };
        if response.headers().get(UPGRADE).is_none_or(|name| name != protocol) {
            return Err(client.wrong("the connection was switched to another protocol"));
        }
        let io = hyper::upgrade::on(response).await.map_err(|e| client.transport_error(e, "while being upgraded"))?;
        let activity = Arc::clone(&connection.activity);
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
        let started = builder.handshake(TokioIo::new(io)).await;
        let (sender, mut connection) = started.map_err(|error| session_error(client, during, error))?;
        let ending = Arc::new(OnceLock::new());
        let pings = connection.ping_pong();
        let driving = drive(connection, pings, client.clone(), during, Arc::clone(&activity), Arc::clone(&ending));
        let inner = Inner {
            client: client.clone(),
            during,
            sender: Mutex::new(Some(sender)),
            driver: tokio::sync::Mutex::new(Some(AbortOnDropHandle::new(tokio::spawn(driving)))),
            activity,
            ending,
            turns: Semaphore::new(LARGE_BODIES),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Ends the session in order and waits for that, at most 5 s. Requests still on their way get that long to finish.
    pub(crate) async fn close(&self) {
        self.sender_slot().take();
        if let Some(driver) = self.inner.driver.lock().await.take()
            && timeout(CLOSE_LIMIT, driver).await.is_err()
        {
            tracing::debug!(peer = %self.inner.client.peer(), "a session was cut");
        }
    }

    fn sender_slot(&self) -> std::sync::MutexGuard<'_, Option<SendRequest<Bytes>>> {
        self.inner.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and returns the body of a good answer.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request; the session stays usable.
    pub(crate) async fn request(&self, call: &SessionCall, max_bytes: usize) -> Result<Bytes, ClientError> {
        self.resume(call, max_bytes, &mut BytesMut::new()).await
    }

    /// Sends a request for what comes behind the bytes in `buffer`, and returns both together. What came before an error
    /// stays in `buffer`.
    pub(crate) async fn resume(
        &self,
        call: &SessionCall,
        max_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Result<Bytes, ClientError> {
        let mut pauses = REFUSED_PAUSES.iter();
        loop {
            match self.request_once(call, max_bytes, buffer).await {
                Ok(body) => return Ok(body),
                // Perhaps only the range was refused.
                Err(Failure::Call(ClientError::Status { .. })) if !buffer.is_empty() => buffer.clear(),
                Err(Failure::Call(error)) => return Err(error),
                // A refused stream was not looked at at all, so sending it again is safe.
                Err(Failure::Http2(error)) => match pauses.next() {
                    Some(pause) if error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM) => {
                        sleep(*pause).await;
                    }
                    _ => return Err(self.error(error)),
                },
            }
        }
    }

    async fn request_once(
        &self,
        call: &SessionCall,
        max_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Result<Bytes, Failure> {
        let path = call.target.split('?').next().unwrap_or_default();
        if MAX_SESSION_QUERY_BYTES < call.target.len() - path.len() {
            let reason = "a query inside a session is too long".to_owned();
            return Err(Failure::Call(ClientError::Configuration { peer: self.inner.client.peer(), reason }));
        }
        let response = self.response(call, buffer.len()).await?;
        let status = response.status();
        let is_rest = !buffer.is_empty() && status == StatusCode::PARTIAL_CONTENT;
        if status != StatusCode::OK && !is_rest {
            let text = self.error_text(response).await?;
            // The query names the file or chunk, which is what a reader of the error wants to know.
            let (method, path) = (call.method_name(), call.target.clone());
            return Err(Failure::Call(ClientError::Status { status: status.as_u16(), method, path, text }));
        }
        if !is_rest {
            buffer.clear();
        } else if !begins_at(&response, buffer.len()) {
            return Err(Failure::Call(self.inner.client.wrong("another part of a chunk came than was asked for")));
        }
        let body = self.body(response, &call.target, max_bytes, buffer).await?;
        self.inner.activity.answered();
        Ok(body)
    }

    /// Sends a request with its body and returns the head of the answer.
    async fn response(&self, call: &SessionCall, have_bytes: usize) -> Result<Response<RecvStream>, Failure> {
        // Waiting for a turn has no bound of its own: those who have one do. The semaphore is never closed.
        let turn = if call.takes_turn { self.inner.turns.acquire().await.ok() } else { None };
        let sender = self.sender_slot().clone();
        let sender = sender.ok_or_else(|| Failure::Call(ClientError::Closed { peer: self.inner.client.peer() }))?;
        let mut sender = self.wait(call.wait, sender.ready()).await??;
        let (response, stream) = sender.send_request(self.head(call, have_bytes)?, call.body.is_empty())?;
        // A kept handle would keep the connection open after `close`.
        drop(sender);
        if call.body.is_empty() {
            return Ok(self.wait(call.wait, response).await??);
        }
        let response = self.upload(call, response, stream).await;
        drop(turn);
        match response? {
            Uploaded::Answered(response) => Ok(response),
            Uploaded::All(response) => Ok(self.wait(call.wait, response).await??),
        }
    }

    /// Sends a body, unless the answer comes first.
    async fn upload(
        &self,
        call: &SessionCall,
        mut response: ResponseFuture,
        mut stream: SendStream<Bytes>,
    ) -> Result<Uploaded, Failure> {
        let mut body = call.body.clone();
        while !body.is_empty() {
            match self.wait(call.wait, send_body(&mut stream, &mut body, &mut response)).await? {
                Sent::Piece => {}
                // The answer says why the peer wants no more, if it gave one.
                Sent::Refused => return Ok(Uploaded::Answered(self.early(self.wait(call.wait, response).await??)?)),
                Sent::Answered(answer) => return Ok(Uploaded::Answered(self.early(answer?)?)),
            }
        }
        Ok(Uploaded::All(response))
    }

    /// Returns an answer that came before all of the body was sent: it can only be a refusal.
    fn early(&self, answer: Response<RecvStream>) -> Result<Response<RecvStream>, Failure> {
        if answer.status().is_success() {
            return Err(Failure::Call(self.inner.client.wrong("an upload was confirmed before all of it was sent")));
        }
        Ok(answer)
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
        let Some(data) = self.wait(Wait::Normal, body.data()).await? else {
            return Ok(None);
        };
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }

    async fn wait<F: Future>(&self, wait: Wait, event: F) -> Result<F::Output, Failure> {
        let limits = self.inner.client.limits();
        let limit = match wait {
            Wait::Normal => limits.silence,
            Wait::Long => limits.slow_head,
        };
        within(&self.inner.activity, limit, SignOfLife::Connection, event)
            .await
            .map_err(|Silence| Failure::Call(self.inner.client.silent(limit, self.inner.during)))
    }

    /// Returns the head of a request for what comes behind the first `have_bytes`.
    fn head(&self, call: &SessionCall, have_bytes: usize) -> Result<Request<()>, Failure> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", http2::SESSION_ORIGIN, call.target))
            .header(USER_AGENT, self.inner.client.user_agent())
            .header(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        if have_bytes != 0 {
            request = request.header(RANGE, format!("bytes={have_bytes}-"));
        }
        request.body(()).map_err(|e| {
            let reason = format!("wrong request: {e}");
            Failure::Call(ClientError::Configuration { peer: self.inner.client.peer(), reason })
        })
    }

    fn error(&self, error: h2::Error) -> ClientError {
        let ending = self.inner.ending.get().cloned();
        ending.unwrap_or_else(|| session_error(&self.inner.client, self.inner.during, error))
    }
}

/// What became of an upload.
enum Uploaded {
    /// All of it was handed over; the answer is still to come.
    All(ResponseFuture),
    /// The answer came first.
    Answered(Response<RecvStream>),
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
fn session_error(client: &Client, during: &'static str, error: h2::Error) -> ClientError {
    // The library found the fault itself: the peer broke the rules.
    if error.is_library() {
        return client.wrong(format!("{error} {during}"));
    }
    ClientError::Broken { peer: client.peer(), during, source: Arc::new(error) }
}
