//! From a request to an answer: routing, authentication, permission, parameters, handler, format.
//!
//! Knows HTTP messages but no sockets: a [`Router`] is given one request and returns one response. The order of the
//! checks is what clients can see (`docs/spec/wire-protocol.md` 2.1): length of the target, illegal components,
//! format, authentication, unknown path, permission, parameters, handler.
//!
//! A handler runs in a task of its own, owned by the router: a client that goes away does not stop it half way.

mod answer;
mod input;
mod path;
mod tree;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farhold_client::Pauses;
use farhold_types::Authid;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use answer::{DROP_COOKIE, Format, deflated, failure, plain, success, wants_deflate};
pub(crate) use input::{Sent, read_params};
pub use tree::DeclarationError;

/// Returns the decoded components of a path; `None` if one is hidden or not decodable.
pub(crate) fn path_components(path: &str) -> Option<Vec<String>> {
    components(path, None).ok()?.into_iter().map(decode_component).collect()
}

use crate::declare::{
    Access, Body, CallHead, ConnectionInfo, Context, Declaration, Endpoint, Need, Quantity, Reply, Request, Session,
    empty_body,
};
use crate::error::ApiError;
use crate::schema::{Input, verify_json};
use path::{TargetError, components, decode_component};
use tree::{Found, Tree};

/// Delay of every 401: a brake on guessing. PVE waits 7 s, so never longer. Source: `docs/spec/rest-api.md` 1.4.
/// It is counted from the arrival of the request, so that the time tells nothing about what was checked.
pub const UNAUTHORIZED_DELAY: Duration = Duration::from_secs(3);

/// Delay of a 403 from a declared permission. Source: as above.
pub const FORBIDDEN_DELAY: Duration = Duration::from_millis(500);

/// Text of rejected credentials; the reason stays in the operator's log.
const UNAUTHORIZED_TEXT: &str = "authentication failed";

/// Answers requests outside of `/api2`, such as the web UI's files.
pub type Fallback = Arc<dyn Fn(http::Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A call without HTTP: from the command line, in its own process.
#[derive(Debug)]
pub struct Call<'a> {
    /// The endpoint's method.
    pub method: Method,
    /// The endpoint's path as declared, such as `/config/remote/{name}`.
    pub path: &'a str,
    /// All parameters, path variables included.
    pub params: Map<String, Value>,
    /// On whose behalf.
    pub caller: Authid,
}

/// All endpoints over one context.
pub struct Router<C: Context> {
    context: Arc<C>,
    endpoints: Vec<Endpoint<C>>,
    tree: Tree,
    fallback: Option<Fallback>,
    pages: Vec<(&'static str, &'static [&'static str])>,
    running: TaskTracker,
    cut: CancellationToken,
}

impl<C: Context> Router<C> {
    /// Returns a router for these endpoints.
    ///
    /// # Errors
    /// [`DeclarationError`]: the declarations contradict each other.
    pub fn new(context: Arc<C>, endpoints: Vec<Endpoint<C>>) -> Result<Self, DeclarationError> {
        let tree = Tree::new(endpoints.iter().map(|endpoint| &endpoint.declaration))?;
        let (running, cut) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { context, endpoints, tree, fallback: None, pages: Vec::new(), running, cut })
    }

    /// Sets what answers GET requests outside of `/api2`; without it they get 404.
    pub fn with_fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Lets GET requests for `/<name>` be answered by the endpoint with these path components, with the same
    /// credentials and permissions: for programs that expect a fixed place.
    pub fn with_page(mut self, name: &'static str, endpoint: &'static [&'static str]) -> Self {
        self.pages.push((name, endpoint));
        self
    }

    /// Returns the context that handlers get.
    pub const fn context(&self) -> &Arc<C> {
        &self.context
    }

    /// Returns all declarations, in the order they were given.
    pub fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.endpoints.iter().map(|endpoint| &endpoint.declaration)
    }

    /// Returns the declaration with this method and declared path.
    pub fn declaration(&self, method: &Method, path: &str) -> Option<&Declaration> {
        self.endpoint(method, path).map(|endpoint| &endpoint.declaration)
    }

    fn endpoint(&self, method: &Method, path: &str) -> Option<&Endpoint<C>> {
        self.endpoints.iter().find(|e| e.declaration.method == *method && e.declaration.path == path)
    }

    /// Waits until all running handlers and sessions ended; after `deadline` sessions are cut and handlers left alone.
    pub async fn shut_down(&self, deadline: Duration) {
        self.running.close();
        if tokio::time::timeout(deadline, self.running.wait()).await.is_err() {
            self.cut.cancel();
            // Sessions end at once now; a handler that blocks may go on until the process ends.
            drop(tokio::time::timeout(Duration::from_secs(1), self.running.wait()).await);
        }
    }

    /// Runs one call without HTTP: permission, parameters and handler as for a request with a JSON body, no delays.
    ///
    /// # Errors
    /// What the call fails with: 404 for an endpoint that does not exist, otherwise as over HTTP.
    pub async fn call(&self, call: Call<'_>) -> Result<Reply, ApiError> {
        let endpoint = self
            .endpoint(&call.method, call.path)
            .ok_or_else(|| ApiError::not_found(format!("endpoint {} {} not found", call.method, call.path)))?;
        let variables: Vec<Input> = endpoint
            .declaration
            .path_variables()
            .filter_map(|name| Some((name.to_owned(), call.params.get(name)?.as_str()?.to_owned())))
            .collect();
        let granted = self.check_access(&endpoint.declaration, Some(&call.caller), &variables).await?;
        let params = verify_json(&endpoint.declaration.params, call.params, Vec::new())?;
        let request = Request {
            caller: Some(call.caller),
            params,
            granted,
            connection: ConnectionInfo { peer: None, trusted: None },
            headers: HeaderMap::new(),
            version: Version::HTTP_11,
            body: empty_body(),
            pauses: Pauses::default(),
        };
        self.run(endpoint, request).await
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    /// A handler that was started runs to its end; its answer is lost.
    pub async fn dispatch(&self, request: http::Request<Body>, connection: ConnectionInfo) -> Response<Body> {
        let uri = request.uri().clone();
        tracing::debug!(method = %request.method(), path = uri.path(), "request");
        let parts = match components(uri.path(), uri.query()) {
            Ok(parts) => parts,
            Err(TargetError::TooLong) => return plain(StatusCode::URI_TOO_LONG, ""),
            Err(TargetError::HiddenComponent) => return plain(StatusCode::BAD_REQUEST, "illegal path component"),
        };
        match parts[..] {
            ["api2", format, ref rest @ ..] => match Format::of(format) {
                Some(format) => self.dispatch_api(format, rest, request, connection).await,
                None => plain(StatusCode::BAD_REQUEST, "unknown output format"),
            },
            ["api2"] => plain(StatusCode::NOT_FOUND, "no such path"),
            _ if request.method() != Method::GET => plain(StatusCode::BAD_REQUEST, "only GET is allowed here"),
            [name] if let Some((_, endpoint)) = self.pages.iter().find(|(page, _)| *page == name) => {
                self.dispatch_api(Format::Json, endpoint, request, connection).await
            }
            _ => match &self.fallback {
                Some(fallback) => fallback(request).await,
                None => plain(StatusCode::NOT_FOUND, "no such file"),
            },
        }
    }

    async fn dispatch_api(
        &self,
        format: Format,
        rest: &[&str],
        mut request: http::Request<Body>,
        connection: ConnectionInfo,
    ) -> Response<Body> {
        let arrived = Instant::now();
        let found = match rest.iter().map(|part| decode_component(part)).collect::<Option<Vec<_>>>() {
            Some(decoded) => self.tree.find(request.method(), &decoded, |n| &self.endpoints[n].declaration),
            None => Found::Nothing,
        };
        let is_open = matches!(&found, Found::Endpoint(n, _) if self.endpoints[*n].declaration.access == Access::World);
        let caller = if is_open {
            None
        } else {
            let head = CallHead { method: request.method(), headers: request.headers(), connection: &connection };
            match self.context.authenticate(head).await {
                Ok(caller) => Some(caller),
                Err(failure) => {
                    tracing::warn!(peer = ?connection.peer, method = %request.method(), path = request.uri().path(), "{}", one_line(&failure.to_string()));
                    drop_unread(&mut request);
                    tokio::time::sleep_until(refusal_time(arrived, Instant::now())).await;
                    return plain(StatusCode::UNAUTHORIZED, UNAUTHORIZED_TEXT);
                }
            }
        };
        let deflate = wants_deflate(request.headers());
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let result = match found {
            Found::Nothing => {
                return failure(format, &ApiError::not_found(format!("path '{path}' not found")));
            }
            Found::Index(names) => Ok((index(&names), None)),
            Found::Endpoint(number, variables) => {
                self.answer(&self.endpoints[number], variables, caller, request, connection).await
            }
        };
        let response = match result {
            Ok((reply, on_upgrade)) => {
                let (response, session) = success(format, reply);
                if let (Some(session), Some(on_upgrade)) = (session, on_upgrade) {
                    self.start_session(session, on_upgrade);
                    return response;
                }
                response
            }
            Err(error) => {
                tracing::info!(%method, path, status = error.status().as_u16(), "{}", one_line(error.text()));
                if error.status() == StatusCode::UNAUTHORIZED {
                    tokio::time::sleep_until(refusal_time(arrived, Instant::now())).await;
                }
                failure(format, &error)
            }
        };
        if deflate { deflated(response) } else { response }
    }

    async fn answer(
        &self,
        endpoint: &Endpoint<C>,
        variables: Vec<Input>,
        caller: Option<Authid>,
        mut request: http::Request<Body>,
        connection: ConnectionInfo,
    ) -> Result<(Reply, Option<hyper::upgrade::OnUpgrade>), ApiError> {
        let declaration = &endpoint.declaration;
        let granted = match self.check_access(declaration, caller.as_ref(), &variables).await {
            Ok(granted) => granted,
            Err(error) => {
                drop_unread(&mut request);
                tokio::time::sleep(FORBIDDEN_DELAY).await;
                return Err(error);
            }
        };
        let (mut parts, mut body) = request.into_parts();
        let pauses = parts.extensions.remove::<Pauses>().unwrap_or_default();
        // The time for a body does not run while the connection pauses because of limits of our own.
        let sent = Sent { headers: &parts.headers, query: parts.uri.query(), body: &mut body, pauses: &pauses };
        let params = read_params(declaration, variables, sent).await?;
        let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let (headers, version) = (parts.headers, parts.version);
        let request = Request { caller, params, granted, connection, headers, version, body, pauses };
        Ok((self.run(endpoint, request).await?, on_upgrade))
    }

    async fn run(&self, endpoint: &Endpoint<C>, request: Request<C>) -> Result<Reply, ApiError> {
        let handler = (endpoint.handler)(self.context.clone(), request);
        let result = self.running.spawn(handler).await.unwrap_or_else(|error| {
            tracing::error!(path = endpoint.declaration.path, "handler ended without an answer: {error}");
            Err(ApiError::internal("internal error, see the server's log"))
        });
        match result {
            // Every test that calls an endpoint shows so whether its declaration is true.
            Ok(reply) if cfg!(debug_assertions) => {
                let check = endpoint.declaration.check_reply(&reply);
                check.map_err(|error| ApiError::internal(format!("the answer is not as declared: {error}")))?;
                Ok(reply)
            }
            Err(error) if cfg!(debug_assertions) => {
                let status = error.status();
                let is_declared =
                    status.is_server_error() || endpoint.declaration.failures().contains(&status.as_u16());
                Err(if is_declared { error } else { ApiError::internal(format!("{status} is not declared: {error}")) })
            }
            result => result,
        }
    }

    /// Checks the declared access; `Ok(None)` where no proof is needed.
    async fn check_access(
        &self,
        declaration: &Declaration,
        caller: Option<&Authid>,
        variables: &[Input],
    ) -> Result<Option<C::Granted>, ApiError> {
        let value = |name: &str| variables.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
        let (need, also, caller) = match (declaration.access, caller) {
            (Access::Declared(need), Some(caller)) => (need, None, caller),
            (Access::Both(need, also), Some(caller)) => (need, Some(also), caller),
            (Access::SelfOr(need), Some(caller)) => {
                if caller.to_string() == value("userid") {
                    return Ok(None);
                }
                (need, None, caller)
            }
            (Access::Declared(_) | Access::Both(..) | Access::SelfOr(_), None) => {
                return Err(ApiError::forbidden(DENIED_TEXT));
            }
            _ => return Ok(None),
        };
        let granted = self.check_need(caller, &need, &resolve(&need, value)).await?;
        if let Some(also) = also {
            self.check_need(caller, &also, &resolve(&also, value)).await?;
        }
        Ok(Some(granted))
    }

    /// Checks one permission on the access control path `path`.
    async fn check_need(&self, caller: &Authid, need: &Need, path: &str) -> Result<C::Granted, ApiError> {
        let result = self.context.require(caller, path, need.privileges, need.quantity).await;
        result.map_err(|denied| {
            tracing::info!(%caller, path, "permission check failed: {}", denied.reason);
            // Tells nothing that the request does not say itself.
            let names: Vec<&str> = need.privileges.names().collect();
            let joiner = match need.quantity {
                Quantity::All => "&",
                Quantity::Any => "|",
            };
            ApiError::forbidden(format!("{DENIED_TEXT} - needs {} on {}", names.join(joiner), path.escape_debug()))
        })
    }

    fn start_session(&self, session: Session, on_upgrade: hyper::upgrade::OnUpgrade) {
        let cut = self.cut.clone();
        self.running.spawn(async move {
            let run = async move {
                match on_upgrade.await {
                    Ok(upgraded) => session(upgraded).await,
                    Err(error) => tracing::info!("connection broke off during the upgrade: {error}"),
                }
            };
            tokio::select! {
                () = run => {}
                () = cut.cancelled() => tracing::info!("session cut, the server shuts down"),
            }
        });
    }
}

/// Returns when a 401 is answered: [`UNAUTHORIZED_DELAY`] after the request arrived. If finding out took longer, it is the
/// next full second, so that it does not say how long.
fn refusal_time(arrived: Instant, now: Instant) -> Instant {
    let spent = now.duration_since(arrived);
    let seconds = spent.as_secs() + u64::from(spent.subsec_nanos() != 0);
    arrived + UNAUTHORIZED_DELAY.max(Duration::from_secs(seconds))
}

/// Returns a text with its control characters escaped: it may hold what a caller sent, who must not write lines of its own
/// into the operator's log.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Drops the body of a request that is refused after a while, so that what comes of it meanwhile takes no memory.
///
/// Over HTTP/1 little waits unread, and dropping the body early would cut off a client that is still writing.
fn drop_unread(request: &mut http::Request<Body>) {
    if request.version() == Version::HTTP_2 {
        *request.body_mut() = empty_body();
    }
}

const DENIED_TEXT: &str = "permission check failed";

fn resolve<'a>(need: &Need, value: impl Fn(&str) -> &'a str) -> String {
    let part = |part: &'static str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some(name) => value(name),
        None => part,
    };
    need.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn index(names: &[&'static str]) -> Reply {
    Reply::value(names.iter().map(|name| json!({ "subdir": name })).collect::<Vec<_>>())
}

impl<C: Context> Request<C> {
    /// Checks that the request asks for `protocol` in a way that allows the switch.
    ///
    /// Handlers call it after their permission and datastore checks, for that is the order clients see.
    ///
    /// # Errors
    /// 400: the `Upgrade` header is missing or differs, or the request did not arrive as HTTP/1.x.
    pub fn check_upgrade(&self, protocol: &'static str) -> Result<(), ApiError> {
        let value =
            self.headers.get(http::header::UPGRADE).ok_or_else(|| ApiError::bad_request("missing Upgrade header"))?;
        if value.as_bytes() != protocol.as_bytes() {
            return Err(ApiError::bad_request(format!("Upgrade header does not name {protocol}")));
        }
        if self.version != Version::HTTP_11 && self.version != Version::HTTP_10 {
            return Err(ApiError::bad_request("this HTTP version cannot be upgraded"));
        }
        Ok(())
    }
}

impl<C: Context> fmt::Debug for Router<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("endpoints", &self.endpoints.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_refusal_does_not_say_what_was_checked() {
        let arrived = Instant::now();
        for (spent, answered) in [(0, 3000), (70, 3000), (2999, 3000), (3000, 3000), (3001, 4000), (9500, 10_000)] {
            let at = refusal_time(arrived, arrived + Duration::from_millis(spent));
            assert_eq!(at - arrived, Duration::from_millis(answered), "{spent} ms");
        }
    }

    #[test]
    fn what_callers_send_makes_no_lines_in_the_log() {
        assert_eq!(one_line("- 'a\nb\r\u{1b}[1m\u{85}': wrong, ü"), "- 'a\\nb\\r\\u{1b}[1m\\u{85}': wrong, ü");
        assert_eq!(one_line("plain 'text'"), "plain 'text'");
    }
}
