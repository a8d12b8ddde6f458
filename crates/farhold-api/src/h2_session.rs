//! Sessions on an upgraded connection: HTTP/2 with the protocol's settings and a small router.
//!
//! A session's endpoints use the same declarations and parameter checks as the REST tree, without formats, permissions
//! and path variables; authentication happened at the upgrade. A failed request does not end the session.
//! Source: `docs/spec/wire-protocol.md` 4.1.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use farhold_client::Pauses;
use farhold_protocol::http2::SERVER;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::declare::{Access, Answer, Body, Declaration, Reply, RequestBody};
use crate::dispatch::wants_deflate;
use crate::dispatch::{Format, Sent, UNAUTHORIZED_DELAY, deflated, failure, path_components, read_params, success};
use crate::error::ApiError;
use crate::schema::{Param, Params, Shape};

/// One request of a session as its handler sees it.
pub struct SessionRequest {
    /// The checked parameters.
    pub params: Params,
    /// The headers.
    pub headers: HeaderMap,
    /// The body of endpoints with a raw one.
    pub body: Body,
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRequest").field("params", &self.params).finish_non_exhaustive()
    }
}

type SessionHandler<S> =
    Arc<dyn Fn(Arc<S>, SessionRequest) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

/// One endpoint of a session over its state `S`.
pub struct SessionEndpoint<S> {
    declaration: Declaration,
    handler: SessionHandler<S>,
}

impl<S> SessionEndpoint<S> {
    /// Returns an endpoint; `path` has one component, such as `/chunk`.
    pub fn new<F, Fut>(
        method: Method,
        path: &'static str,
        summary: &'static str,
        params: &[Param],
        answer: Answer,
        handler: F,
    ) -> Self
    where
        F: Fn(Arc<S>, SessionRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        let declaration = Declaration {
            method,
            path,
            summary,
            params: params.to_vec(),
            access: Access::World,
            answer,
            returns: Shape::Undeclared,
            attributes: &[],
            body: RequestBody::Parameters,
            statuses: &[],
        };
        Self { declaration, handler: Arc::new(move |state, request| Box::pin(handler(state, request))) }
    }

    /// Makes the request body raw content for the handler.
    pub fn raw_body(mut self) -> Self {
        self.declaration.body = RequestBody::Raw;
        self
    }
}

impl<S> fmt::Debug for SessionEndpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionEndpoint").field(&self.declaration).finish()
    }
}

/// Receives one line for each answer of a session that is no success, for its task log.
pub type RefusalLog = Arc<dyn Fn(&str) + Send + Sync>;

/// Whether a session sends PING frames, which any live peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pings {
    /// None, as the reference.
    None,
    /// One after this time without anything from the peer. Nothing happens here if no answer comes: whoever wants to
    /// know watches what is read.
    Every(Duration),
}

/// Stands for "never": the answer to a PING may be far behind other data on a slow line.
const NO_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A refused request.
struct Refused {
    error: ApiError,
    /// Whether the answer names its content type.
    is_formatted: bool,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, is_formatted: true }
    }
}

/// The endpoints of one kind of session.
#[derive(Debug)]
pub struct SessionRouter<S> {
    endpoints: Vec<SessionEndpoint<S>>,
}

impl<S: Send + Sync + 'static> SessionRouter<S> {
    /// Returns a router for these endpoints.
    pub const fn new(endpoints: Vec<SessionEndpoint<S>>) -> Self {
        Self { endpoints }
    }

    /// Returns the declarations of all endpoints.
    pub fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.endpoints.iter().map(|endpoint| &endpoint.declaration)
    }

    /// Answers one request in the `json` format; a 401 is held back 3 seconds, which holds up no other request.
    pub async fn dispatch(&self, state: Arc<S>, request: Request<Body>, log: &RefusalLog) -> Response<Body> {
        let deflate = wants_deflate(request.headers());
        let (method, target) = (request.method().clone(), request.uri().path().to_owned());
        tracing::debug!(%method, path = target, "request");
        let result = self.answer(state, request).await;
        let (response, is_known) = match result {
            Ok(reply) => (success(Format::Json, reply).0, true),
            Err(Refused { error, is_formatted }) => {
                log(&format!("{method} {target}: {}: {error}", error.status()));
                if error.status() == StatusCode::UNAUTHORIZED {
                    tokio::time::sleep(UNAUTHORIZED_DELAY).await;
                }
                let mut response = failure(Format::Json, &error);
                if !is_formatted {
                    response.headers_mut().remove(http::header::CONTENT_TYPE);
                }
                (response, error.status() != StatusCode::NOT_FOUND)
            }
        };
        if deflate && is_known { deflated(response) } else { response }
    }

    async fn answer(&self, state: Arc<S>, request: Request<Body>) -> Result<Reply, Refused> {
        let unknown = || ApiError::not_found(format!("path '{}' not found", request.uri().path()));
        let components = path_components(request.uri().path()).ok_or_else(unknown)?;
        let name = match &components[..] {
            [] if *request.method() == Method::GET => return Ok(self.index()),
            [name] => name,
            _ => return Err(unknown().into()),
        };
        let is_wanted = |e: &&SessionEndpoint<S>| {
            e.declaration.method == *request.method() && e.declaration.path.strip_prefix('/') == Some(name.as_str())
        };
        let endpoint = self.endpoints.iter().find(is_wanted).ok_or_else(unknown)?;
        let (parts, mut body) = request.into_parts();
        let query = parts.uri.query();
        let pauses = Pauses::default();
        let sent = Sent { headers: &parts.headers, query, body: &mut body, pauses: &pauses };
        let params = read_params(&endpoint.declaration, Vec::new(), sent).await;
        // Wrong parameters are refused before a format is chosen. Source: the records `probe-*`.
        let params = params.map_err(|error| Refused { error, is_formatted: false })?;
        Ok((endpoint.handler)(state, SessionRequest { params, headers: parts.headers, body }).await?)
    }

    fn index(&self) -> Reply {
        let mut names: Vec<&str> = self.endpoints.iter().map(|e| e.declaration.path.trim_start_matches('/')).collect();
        names.sort_unstable();
        names.dedup();
        Reply::value(names.into_iter().map(|name| json!({ "subdir": name })).collect::<Vec<_>>())
    }

    /// Serves a session until either side ends it; returns when no request of it runs any more.
    ///
    /// # Errors
    /// The connection broke off or the peer violated HTTP/2; the text is for the session's task log.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; requests that run end at their next wait for it.
    pub async fn serve<T>(self: Arc<Self>, io: T, state: Arc<S>, log: RefusalLog) -> Result<(), hyper::Error>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        self.serve_with(io, state, log, Pings::None).await
    }

    /// Serves a session as [`Self::serve`] does, and asks the peer for signs of life.
    ///
    /// # Errors
    /// As [`Self::serve`].
    ///
    /// # Cancel safety
    /// As [`Self::serve`].
    pub async fn serve_with<T>(
        self: Arc<Self>,
        io: T,
        state: Arc<S>,
        log: RefusalLog,
        pings: Pings,
    ) -> Result<(), hyper::Error>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let requests = TaskTracker::new();
        let service = service_fn(move |request: Request<Incoming>| {
            let (router, state, log) = (self.clone(), state.clone(), log.clone());
            async move {
                let request = request.map(|body| Body::new(body.map_err(Into::into)));
                Ok::<_, std::convert::Infallible>(router.dispatch(state, request, &log).await)
            }
        });
        let mut builder = http2::Builder::new(TrackedExecutor(requests.clone()));
        builder
            .initial_stream_window_size(SERVER.stream_window_bytes)
            .initial_connection_window_size(SERVER.connection_window_bytes)
            .max_frame_size(SERVER.max_frame_bytes)
            .max_concurrent_streams(SERVER.max_concurrent_streams)
            .max_send_buf_size(SERVER.max_frame_bytes as usize);
        if let Some(bytes) = SERVER.max_header_list_bytes {
            builder.max_header_list_size(bytes);
        }
        if let Pings::Every(interval) = pings {
            builder.timer(hyper_util::rt::TokioTimer::new());
            builder.keep_alive_interval(interval).keep_alive_timeout(NO_TIMEOUT);
        }
        let result = builder.serve_connection(io, service).await;
        requests.close();
        requests.wait().await;
        result
    }
}

/// Runs the requests of one session in tasks that the session waits for.
#[derive(Debug, Clone)]
struct TrackedExecutor(TaskTracker);

impl<F> hyper::rt::Executor<F> for TrackedExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
