//! The client: connections, repeated attempts, and plain requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farhold_protocol::{CONTENT_TYPE_BYTES, CONTENT_TYPE_FORM, CONTENT_TYPE_JSON};
use futures::future::join_all;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::authentication::{AuthHeaders, Authentication, Ticket};
use crate::config::{ClientConfig, ClientLimits};
use crate::connection::{Http1, MAX_IDLE, Pool, TlsIo, buffered};
use crate::dial::{DialError, Dialer, TcpDialer};
use crate::error::{ClientError, peer_text};
use crate::inspect::Seen;
use crate::metered::{Activity, Metered, Traffic, TrafficCounts};
use crate::silence::{SignOfLife, Silence, within};
use crate::tls;

/// Pauses before a request is tried again when no connection came up or it broke: about 8 s in all, enough for a
/// restart of the remote's service or a lost route, short enough for somebody who waits.
const RETRY_PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Largest part of an error's body that is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// A body above this is large, and only so many are read at once: many requests may be on their way, and a hostile peer may
/// answer each with as much as is allowed.
const LARGE_BODY_BYTES: usize = 4 * 1024 * 1024;
const LARGE_BODIES: usize = 1;
/// Buffer that is taken for a body before any of it arrived, at most.
const FIRST_BUFFER_BYTES: usize = 1024 * 1024;

/// Talks to one remote as one identity. Cheap to clone; clones share connections, login, counters and rate limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    attempts: Attempts,
}

/// Who asks again when no connection came up or it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    /// The client, after the pauses of [`RETRY_PAUSES`].
    Several,
    /// Whoever uses it.
    One,
}

struct Inner {
    config: ClientConfig,
    peer: Arc<str>,
    host_header: HeaderValue,
    user_agent: HeaderValue,
    dialer: Arc<dyn Dialer>,
    traffic: Arc<Traffic>,
    tls: OnceCell<TlsConnector>,
    authentication: Authentication,
    pool: Pool,
    /// Held while a large body is read.
    large_bodies: Semaphore,
    /// Held while connections are opened ahead.
    warming: tokio::sync::Mutex<()>,
}

/// How long to wait for a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Normal,
    /// Listings and deletions.
    Long,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    None,
    /// A JSON object.
    Json(Bytes),
    /// A file.
    Raw(Bytes),
}

/// One request, ready to be sent and sent again.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, as sent.
    pub(crate) target: String,
    pub(crate) content: Content,
    /// Whether sending it twice is the same as sending it once.
    pub(crate) is_repeatable: bool,
    pub(crate) wait: Wait,
    pub(crate) max_bytes: usize,
}

impl Call {
    /// Returns a call that only reads: `target` is path and query.
    pub(crate) fn get(target: String, max_bytes: usize) -> Self {
        let (wait, content) = (Wait::Normal, Content::None);
        Self { method: Method::GET, target, content, is_repeatable: true, wait, max_bytes }
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn method_name(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            _ => "DELETE",
        }
    }

    /// Returns the error for an answer that is no success.
    pub(crate) fn status_error(&self, status: StatusCode, body: &[u8]) -> ClientError {
        ClientError::Status {
            status: status.as_u16(),
            method: self.method_name(),
            path: self.path().to_owned(),
            text: peer_text(body),
        }
    }
}

/// A complete answer. The body of an error is cut.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A failed attempt.
struct Attempt {
    error: ClientError,
    /// Whether the request certainly never reached the peer.
    was_not_sent: bool,
}

impl Client {
    /// Returns a client that connects over TCP. Nothing is opened before the first request.
    ///
    /// # Errors
    /// [`ClientError::Configuration`] if host, user agent or secret cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        Self::with_dialer(config, Arc::new(TcpDialer))
    }

    /// Returns a client that opens its byte streams with `dialer`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_dialer(config: ClientConfig, dialer: Arc<dyn Dialer>) -> Result<Self, ClientError> {
        let peer: Arc<str> = config.authority().into();
        let wrong = |what: &str| ClientError::Configuration { peer: Arc::clone(&peer), reason: what.to_owned() };
        if tls::server_name(config.bare_host()).is_none() {
            return Err(wrong("the host is neither a name nor an address"));
        }
        let host_header = HeaderValue::from_str(&peer).map_err(|_| wrong("the host is not allowed"))?;
        let user_agent =
            HeaderValue::from_str(&config.user_agent).map_err(|_| wrong("the user agent is not allowed"))?;
        let authentication =
            Authentication::new(&config.credentials).ok_or_else(|| wrong("the secret holds a forbidden character"))?;
        let traffic = Arc::new(Traffic::new(&config.rates));
        let inner = Inner {
            config,
            peer,
            host_header,
            user_agent,
            dialer,
            traffic,
            tls: OnceCell::new(),
            authentication,
            pool: Pool::default(),
            large_bodies: Semaphore::new(LARGE_BODIES),
            warming: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), attempts: Attempts::Several })
    }

    /// Returns this client for somebody who decides on further attempts: each request is sent once, and again only over
    /// another connection when an idle one turned out to be gone.
    #[must_use]
    pub fn with_single_attempts(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), attempts: Attempts::One }
    }

    /// Logs in now, if that has not happened yet, and returns the ticket; none for an API token, which needs no login.
    ///
    /// # Errors
    /// Connection, certificate, [`ClientError::LoginRefused`].
    pub async fn log_in(&self) -> Result<Option<Ticket>, ClientError> {
        self.inner.authentication.headers(self).await?;
        Ok(self.inner.authentication.ticket().await)
    }

    /// Opens connections until `count` are idle, so that as many requests and sessions begin without a handshake. At most
    /// 32 are kept, for a minute. Returns how many are idle then.
    ///
    /// # Errors
    /// As [`Self::get`] for connections, when none could be opened that was asked for. Nothing is tried twice.
    pub async fn warm(&self, count: usize) -> Result<usize, ClientError> {
        // One at a time, or two callers would open twice as many.
        let _turn = self.inner.warming.lock().await;
        let missing = count.min(MAX_IDLE).saturating_sub(self.inner.pool.idle_count());
        let opened = join_all((0..missing).map(|_| self.connect())).await;
        let mut last = None;
        for connection in opened {
            match connection {
                Ok(connection) => self.inner.pool.put(connection),
                Err(error) => last = Some(error),
            }
        }
        let idle = self.inner.pool.idle_count();
        match last {
            Some(error) if idle == 0 => Err(error),
            _ => Ok(idle),
        }
    }

    /// Returns bytes and connections so far.
    pub fn traffic(&self) -> TrafficCounts {
        self.inner.traffic.counts()
    }

    /// Returns `host:port` of the remote.
    pub fn peer(&self) -> Arc<str> {
        Arc::clone(&self.inner.peer)
    }

    pub(crate) fn limits(&self) -> &ClientLimits {
        &self.inner.config.limits
    }

    pub(crate) fn user_agent(&self) -> HeaderValue {
        self.inner.user_agent.clone()
    }

    /// Sends a request as who we are and returns the answer, whatever its status.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the request went over.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, ClientError> {
        let auth = self.inner.authentication.headers(self).await?;
        let answer = self.exchange(call, &auth).await?;
        auth.learn(answer.status);
        if answer.status == StatusCode::UNAUTHORIZED && self.inner.authentication.forget(&auth).await {
            let auth = self.inner.authentication.headers(self).await?;
            return self.exchange(call, &auth).await;
        }
        Ok(answer)
    }

    /// Sends a request with these headers and returns the answer, whatever its status.
    pub(crate) async fn exchange(&self, call: &Call, auth: &AuthHeaders) -> Result<Answer, ClientError> {
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let attempt = match self.send(call, auth, &[]).await {
                Ok((connection, response)) => self.finish(call, connection, response).await,
                Err(attempt) => Err(attempt),
            };
            match attempt {
                Ok(answer) => return Ok(answer),
                Err(attempt) => self.pause(call, attempt, &mut pauses).await?,
            }
        }
    }

    /// Asks the peer to switch the connection to another protocol. Returns the answer if it does not.
    pub(crate) async fn upgrade(
        &self,
        call: &Call,
        protocol: &'static str,
    ) -> Result<Result<(Http1, Response<Incoming>), Answer>, ClientError> {
        let more = [
            (http::header::CONNECTION, HeaderValue::from_static("upgrade")),
            (http::header::UPGRADE, HeaderValue::from_static(protocol)),
        ];
        let mut pauses = RETRY_PAUSES.iter();
        let mut may_log_in_again = true;
        loop {
            let auth = self.inner.authentication.headers(self).await?;
            let attempt = match self.send(call, &auth, &more).await {
                Ok((connection, response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    auth.learn(response.status());
                    return Ok(Ok((connection, response)));
                }
                Ok((connection, response)) => self.finish(call, connection, response).await,
                Err(attempt) => Err(attempt),
            };
            match attempt {
                Ok(answer) => {
                    auth.learn(answer.status);
                    if may_log_in_again
                        && answer.status == StatusCode::UNAUTHORIZED
                        && self.inner.authentication.forget(&auth).await
                    {
                        may_log_in_again = false;
                        continue;
                    }
                    return Ok(Err(answer));
                }
                Err(attempt) => self.pause(call, attempt, &mut pauses).await?,
            }
        }
    }

    /// Waits before the next attempt, or returns the error if there should be none.
    async fn pause(
        &self,
        call: &Call,
        attempt: Attempt,
        pauses: &mut std::slice::Iter<'_, Duration>,
    ) -> Result<(), ClientError> {
        let Attempt { error, was_not_sent } = attempt;
        let may_help =
            self.attempts == Attempts::Several && error.is_transient() && !matches!(error, ClientError::Silent { .. });
        if !may_help || !(was_not_sent || call.is_repeatable) {
            return Err(error);
        }
        let Some(pause) = pauses.next() else {
            return Err(error);
        };
        tracing::debug!(%error, ?pause, path = call.path(), "trying again");
        sleep(*pause).await;
        Ok(())
    }

    /// Sends a request over an idle or new connection and waits for the response head.
    async fn send(
        &self,
        call: &Call,
        auth: &AuthHeaders,
        more: &[(HeaderName, HeaderValue)],
    ) -> Result<(Http1, Response<Incoming>), Attempt> {
        loop {
            let mut connection = match self.inner.pool.take() {
                Some(connection) => connection,
                None => self.connect().await.map_err(|error| Attempt { error, was_not_sent: true })?,
            };
            let request = self.request(call, auth, more).map_err(|error| Attempt { error, was_not_sent: true })?;
            let limit = match call.wait {
                Wait::Normal => self.limits().head,
                Wait::Long => self.limits().slow_head,
            };
            let activity = Arc::clone(&connection.activity);
            let sent = async {
                if let Err(error) = connection.sender.ready().await {
                    return Err((error, true));
                }
                let sent = connection.sender.try_send_request(request).await;
                sent.map_err(|mut failed| {
                    let was_not_sent = failed.take_message().is_some();
                    (failed.into_error(), was_not_sent)
                })
            };
            // Sending a file may take long; an ordinary request is gone at once.
            let sign = match call.content {
                Content::Raw(_) => SignOfLife::Connection,
                Content::None | Content::Json(_) => SignOfLife::EventOnly,
            };
            match within(&activity, limit, sign, sent).await {
                Ok(Ok(response)) => return Ok((connection, response)),
                // The peer closed an idle connection: use another one at once, pooled ones run out.
                Ok(Err((error, was_not_sent)))
                    if connection.is_used && !error.is_parse() && (was_not_sent || call.is_repeatable) =>
                {
                    tracing::debug!(%error, "an idle connection was gone");
                }
                Ok(Err((error, was_not_sent))) => {
                    let error = self.transport_error(error, "while waiting for an answer");
                    return Err(Attempt { error, was_not_sent });
                }
                Err(Silence) => {
                    let error = self.silent(limit, "while an answer was due");
                    return Err(Attempt { error, was_not_sent: false });
                }
            }
        }
    }

    /// Reads the rest of an answer and keeps the connection if it can be used again.
    async fn finish(&self, call: &Call, connection: Http1, response: Response<Incoming>) -> Result<Answer, Attempt> {
        let (head, body) = response.into_parts();
        let body = if head.status.is_success() {
            self.body(call, &connection, body).await
        } else {
            self.error_text(&connection, body).await
        };
        let (body, is_complete) = body.map_err(|error| Attempt { error, was_not_sent: false })?;
        if is_complete {
            self.inner.pool.put(connection);
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn body(&self, call: &Call, connection: &Http1, mut body: Incoming) -> Result<(Bytes, bool), ClientError> {
        let too_large = || ClientError::TooLarge { what: call.path().to_owned(), limit_bytes: call.max_bytes };
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if call.max_bytes < announced {
            return Err(too_large());
        }
        let mut buffer = BytesMut::with_capacity(announced.min(FIRST_BUFFER_BYTES));
        let mut turn = None;
        while let Some(data) = self.next_data(connection, &mut body).await? {
            if call.max_bytes - buffer.len() < data.len() {
                return Err(too_large());
            }
            if turn.is_none() && LARGE_BODY_BYTES < buffer.len() + data.len() {
                // Never closed, so an error cannot come.
                turn = self.inner.large_bodies.acquire().await.ok();
            }
            buffer.extend_from_slice(&data);
        }
        Ok((buffer.freeze(), true))
    }

    async fn error_text(&self, connection: &Http1, mut body: Incoming) -> Result<(Bytes, bool), ClientError> {
        let mut buffer = BytesMut::new();
        while let Some(data) = self.next_data(connection, &mut body).await? {
            buffer.extend_from_slice(&data[..data.len().min(MAX_ERROR_BYTES - buffer.len())]);
            if buffer.len() == MAX_ERROR_BYTES {
                return Ok((buffer.freeze(), false));
            }
        }
        Ok((buffer.freeze(), true))
    }

    async fn next_data(&self, connection: &Http1, body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
        let limit = self.limits().silence;
        loop {
            let frame = within(&connection.activity, limit, SignOfLife::EventOnly, body.frame())
                .await
                .map_err(|Silence| self.silent(limit, "inside an answer"))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.transport_error(error, "inside an answer"))?;
            // Trailers are not data.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn request(
        &self,
        call: &Call,
        auth: &AuthHeaders,
        more: &[(HeaderName, HeaderValue)],
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let (content_type, body) = match &call.content {
            Content::None => (CONTENT_TYPE_FORM, Bytes::new()),
            Content::Json(body) => (CONTENT_TYPE_JSON, body.clone()),
            Content::Raw(body) => (CONTENT_TYPE_BYTES, body.clone()),
        };
        let request = Request::builder().method(call.method.clone()).uri(call.target.as_str()).body(Full::new(body));
        let mut request = request
            .map_err(|e| ClientError::Configuration { peer: self.peer(), reason: format!("wrong request: {e}") })?;
        // The order is that of the recordings.
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, self.user_agent());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.extend(auth.headers.iter().chain(more).cloned());
        headers.insert(HOST, self.inner.host_header.clone());
        Ok(request)
    }

    /// Opens a connection: TCP, TLS, HTTP/1.1.
    async fn connect(&self) -> Result<Http1, ClientError> {
        let connector = self.inner.tls.get_or_try_init(|| self.connector()).await?;
        let (io, activity) = self.handshake(connector).await?;
        Http1::start(io, activity).await.map_err(|error| self.transport_error(error, "at its start"))
    }

    /// Connects with a verifier that only looks, and returns the protocol that was agreed on. The connection is closed.
    pub(crate) async fn look(&self, seen: Seen) -> Result<Option<rustls::ProtocolVersion>, ClientError> {
        let trust = self.inner.config.trust.clone();
        let connector = self.built(move || tls::onlooker(&trust, seen)).await?;
        let (io, _) = self.handshake(&connector).await?;
        Ok(io.get_ref().1.protocol_version())
    }

    async fn handshake(&self, connector: &TlsConnector) -> Result<(TlsIo, Arc<Activity>), ClientError> {
        let config = &self.inner.config;
        let name = tls::server_name(config.bare_host()).ok_or_else(|| ClientError::Configuration {
            peer: self.peer(),
            reason: "the host is neither a name nor an address".to_owned(),
        })?;
        let stream = self.inner.dialer.dial(config.bare_host(), config.port, config.limits.connect).await;
        let stream = stream.map_err(|error| match error {
            DialError::Resolve(source) => ClientError::Resolve { peer: self.peer(), source: Arc::new(source) },
            DialError::Connect(source) => ClientError::Connect { peer: self.peer(), source: Arc::new(source) },
        })?;
        // A stream that leads to no address, as in tests, falls under no rule.
        let throttle = config.throttles.as_ref().zip(stream.peer_address());
        let stream = Metered::new(stream, Arc::clone(&self.inner.traffic));
        let stream = match throttle {
            Some((throttles, peer)) => stream.also_under(throttles.of(peer)),
            None => stream,
        };
        let activity = stream.activity();
        let limit = config.limits.handshake;
        let io = within(&activity, limit, SignOfLife::EventOnly, connector.connect(name, buffered(stream)))
            .await
            .map_err(|Silence| self.silent(limit, "during the TLS handshake"))?
            .map_err(|error| tls::handshake_error(&self.inner.peer, error))?;
        Ok((io, activity))
    }

    async fn connector(&self) -> Result<TlsConnector, ClientError> {
        let (trust, fingerprint) = (self.inner.config.trust.clone(), self.inner.config.fingerprint);
        self.built(move || tls::connector(&trust, fingerprint)).await
    }

    /// Builds a connector where reading the trust store blocks nobody.
    async fn built(
        &self,
        build: impl FnOnce() -> Result<TlsConnector, rustls::Error> + Send + 'static,
    ) -> Result<TlsConnector, ClientError> {
        let built = tokio::task::spawn_blocking(build).await;
        let reason = match built {
            Ok(Ok(connector)) => return Ok(connector),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(ClientError::Configuration { peer: self.peer(), reason })
    }

    pub(crate) fn silent(&self, waited: Duration, during: &'static str) -> ClientError {
        ClientError::Silent { peer: self.peer(), waited, during }
    }

    /// Returns the error for a peer that breaks the rules.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Protocol { peer: self.peer(), reason: reason.into() }
    }

    /// Returns the error for an HTTP/1.1 failure: broken rules, or a broken connection.
    pub(crate) fn transport_error(&self, error: hyper::Error, during: &'static str) -> ClientError {
        if error.is_parse() || error.is_user() {
            return self.wrong(format!("{error} {during}"));
        }
        ClientError::Broken { peer: self.peer(), during, source: Arc::new(error) }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("peer", &self.inner.peer).finish_non_exhaustive()
    }
}
