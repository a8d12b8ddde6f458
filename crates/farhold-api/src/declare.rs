//! What an endpoint is: one declaration that gives routing, parameter checks, permission and the command line's options.
//!
//! An [`Endpoint`] joins a [`Declaration`] (data, the same for every context) with an async handler over a context `C`
//! that the composition root provides. The dispatcher checks everything that is declared before the handler runs; the
//! handler gets checked parameters, the caller and, where a permission is declared, the proof of it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use farhold_client::Pauses;
use farhold_types::{Authid, Privileges};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::{Field, Param, Params, Shape, Undeclared, shapes};

/// Failure while a body is produced or received.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request or response body, streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Returns an empty body.
pub fn empty_body() -> Body {
    full_body(Bytes::new())
}

/// Returns a body that consists of these bytes.
pub fn full_body(bytes: Bytes) -> Body {
    Body::new(http_body_util::Full::new(bytes).map_err(|never| match never {}))
}

/// Whether all of several privileges are needed or one of them is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Every one of them.
    All,
    /// At least one of them.
    Any,
}

/// A permission on an access control path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Path template such as `/remote/{name}`; variables are taken from the request's path, decoded.
    pub path: &'static str,
    /// The privileges.
    pub privileges: Privileges,
    /// All of them or one of them.
    pub quantity: Quantity,
}

impl Need {
    /// Returns the need for all of `privileges` on `path`.
    pub const fn all(privileges: Privileges, path: &'static str) -> Self {
        Self { path, privileges, quantity: Quantity::All }
    }

    /// Returns the need for at least one of `privileges` on `path`.
    pub const fn any(privileges: Privileges, path: &'static str) -> Self {
        Self { path, privileges, quantity: Quantity::Any }
    }
}

/// Who may call an endpoint. Source of the notation: `docs/spec/rest-api.md` 3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody; credentials are not looked at, not even bad ones.
    World,
    /// Any authenticated caller.
    Any,
    /// Callers who have the permission; others get 403, before parameters are checked.
    Declared(Need),
    /// Callers who have both permissions; others get 403, before parameters are checked. The proof is that of the first.
    Both(Need, Need),
    /// The user whose ID is the `userid` path variable (a token is never its user), or callers with the permission.
    SelfOr(Need),
    /// Any authenticated caller here; the handler checks or filters. The text documents how.
    InHandler(&'static str),
}

/// What a successful call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A JSON value in `data`; null where there is no result.
    Value,
    /// The UPID of a task that was started.
    Task,
    /// A body that is no JSON, such as a download.
    Raw,
    /// The connection is switched to this protocol.
    Upgrade(&'static str),
}

/// What the request body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// Parameters, below 512 KiB.
    Parameters,
    /// Content for the handler: parameters come from path and query only, the content type is not looked at.
    Raw,
}

/// The data of an endpoint; the same for the server, the command line and the documentation.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// GET, POST, PUT or DELETE.
    pub method: Method,
    /// Path below the format, such as `/config/remote/{name}`.
    pub path: &'static str,
    /// What it does: imperative, without full stop.
    pub summary: &'static str,
    /// All parameters, path variables included.
    pub params: Vec<Param>,
    /// Who may call it.
    pub access: Access,
    /// What it answers.
    pub answer: Answer,
    /// What the `data` member of its answer looks like; for upgrades nothing.
    pub returns: Shape,
    /// Members beside `data`, such as `digest` and `total`.
    pub attributes: &'static [Field],
    /// What its request body is.
    pub body: RequestBody,
    /// Statuses it fails with besides those that follow from the rest; see [`Declaration::failures`].
    pub statuses: &'static [u16],
}

/// The attribute of calls that answer from a configuration file: its digest.
pub const CONFIG_DIGEST: &[Field] =
    &[Field::optional("digest", Shape::Text("SHA-256 of the configuration file, hex"), "State of the configuration")];

impl Declaration {
    /// Checks an answer against what is declared.
    ///
    /// # Errors
    /// The first member that is undeclared, missing or of another type.
    pub fn check_reply(&self, reply: &Reply) -> Result<(), Undeclared> {
        let Content::Json(data) = &reply.content else { return Ok(()) };
        self.returns.check(data, "data")?;
        if self.returns == Shape::Undeclared {
            return Ok(());
        }
        Shape::Object(self.attributes).check(&Value::Object(reply.attributes.clone()), "answer")
    }

    /// Returns the statuses that the call can fail with, in order.
    ///
    /// Every call can be malformed (400) or too long (414), and needs credentials (401) unless it is open to everybody.
    /// Declared permissions are 403, and those that a handler checks may be. What the path names may not exist (404).
    /// Source: `docs/spec/rest-api.md` 1.4.
    pub fn failures(&self) -> std::collections::BTreeSet<u16> {
        let mut statuses: std::collections::BTreeSet<u16> = self.statuses.iter().copied().collect();
        statuses.extend([400, 414]);
        if self.access != Access::World {
            statuses.insert(401);
        }
        if matches!(self.access, Access::Declared(_) | Access::Both(..) | Access::SelfOr(_) | Access::InHandler(_)) {
            statuses.insert(403);
        }
        if self.path_variables().next().is_some() {
            statuses.insert(404);
        }
        statuses
    }

    /// Returns the declared parameter of this name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }

    /// Returns the names of the path variables, in order.
    pub fn path_variables(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// A call's head, as far as authentication looks at it.
#[derive(Debug)]
pub struct CallHead<'a> {
    /// The HTTP method; a ticket needs the CSRF header for all but GET.
    pub method: &'a Method,
    /// The request headers: cookies, `Authorization`, `CSRFPreventionToken`.
    pub headers: &'a HeaderMap,
    /// Where the request came from.
    pub connection: &'a ConnectionInfo,
}

/// How the other end is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The peer's address; `None` on the Unix socket and for in-process calls.
    pub peer: Option<SocketAddr>,
    /// Whom the connection itself authenticates: `root@pam` on the Unix socket.
    pub trusted: Option<Authid>,
}

/// Credentials are missing or wrong; the reason is for the operator's log only, callers get a fixed text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed: {reason}")]
pub struct AuthFailure {
    /// Why, without secrets.
    pub reason: String,
}

/// The caller lacks a declared permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("permission check failed")]
pub struct Denied {
    /// What is missing, for the operator's log.
    pub reason: String,
}

/// What the dispatcher needs of the composition root besides what handlers need: authentication and permissions.
///
/// Both may block on files or hash passwords, so they are async; implementations move such work to blocking threads.
pub trait Context: Send + Sync + Sized + 'static {
    /// Proof that a permission was checked; in production `farhold_rules::acl::Granted`.
    type Granted: fmt::Debug + Clone + Send + Sync + 'static;

    /// Returns who calls.
    ///
    /// # Errors
    /// [`AuthFailure`]; answered as 401 after 3 seconds.
    fn authenticate<'a>(&'a self, head: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>>;

    /// Checks a permission of `caller` on the access control path `path` (variables filled in).
    ///
    /// # Errors
    /// [`Denied`]; answered as 403 after half a second.
    fn require<'a>(
        &'a self,
        caller: &'a Authid,
        path: &'a str,
        privileges: Privileges,
        quantity: Quantity,
    ) -> BoxFuture<'a, Result<Self::Granted, Denied>>;
}

/// One call as its handler sees it.
pub struct Request<C: Context> {
    /// Who calls; `None` only on `World` endpoints.
    pub caller: Option<Authid>,
    /// The checked parameters, path variables included.
    pub params: Params,
    /// Proof of the declared permission; `None` where none is declared or the caller is the user itself.
    pub granted: Option<C::Granted>,
    /// How the other end is connected.
    pub connection: ConnectionInfo,
    /// Request headers; empty for in-process calls.
    pub headers: HeaderMap,
    /// HTTP version the request arrived with.
    pub version: Version,
    /// The body of endpoints with a raw one.
    pub body: Body,
    /// Pauses of the connection that limits of this server cause; deadlines of the caller move by them.
    pub pauses: Pauses,
}

impl<C: Context> Request<C> {
    /// Returns the caller of an endpoint that is not open to the world.
    ///
    /// # Errors
    /// 401 on an endpoint that is open to the world and was called without credentials.
    pub fn caller(&self) -> Result<&Authid, ApiError> {
        self.caller.as_ref().ok_or_else(|| ApiError::unauthorized("no authentication credentials provided"))
    }
}

impl<C: Context> fmt::Debug for Request<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("caller", &self.caller).field("params", &self.params).finish_non_exhaustive()
    }
}

/// Runs a session on a connection that was switched to another protocol.
pub type Session = Box<dyn FnOnce(hyper::upgrade::Upgraded) -> BoxFuture<'static, ()> + Send>;

/// What a handler gives back.
#[non_exhaustive]
pub enum Content {
    /// The `data` member.
    Json(Value),
    /// A body sent as it is.
    Raw {
        /// Value of `Content-Type`; the header is left out without one.
        content_type: Option<&'static str>,
        /// The bytes.
        body: Body,
    },
    /// The answer is 101; the session runs afterwards.
    Upgrade {
        /// Value of `Upgrade`.
        protocol: &'static str,
        /// What runs on the connection.
        session: Session,
    },
}

/// A successful answer: content, attributes beside `data`, additional headers.
pub struct Reply {
    /// The content.
    pub content: Content,
    /// Top-level members beside `data`, such as `digest` and `total`.
    pub attributes: Map<String, Value>,
    /// Additional headers, such as `Set-Cookie`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    fn of(content: Content) -> Self {
        Self { content, attributes: Map::new(), headers: Vec::new() }
    }

    /// Returns an answer with this `data`.
    pub fn value(data: impl Into<Value>) -> Self {
        Self::of(Content::Json(data.into()))
    }

    /// Returns an answer with anything serialisable as `data`.
    ///
    /// # Errors
    /// 500 if the value has no JSON form (such as a map with keys that are no texts).
    pub fn json(data: &impl serde::Serialize) -> Result<Self, ApiError> {
        let value =
            serde_json::to_value(data).map_err(|e| ApiError::internal(format!("answer has no JSON form: {e}")))?;
        Ok(Self::value(value))
    }

    /// Returns an answer without result: `data` is null.
    pub fn null() -> Self {
        Self::value(Value::Null)
    }

    /// Returns an answer with a body that is no JSON.
    pub fn raw(content_type: &'static str, body: Body) -> Self {
        Self::of(Content::Raw { content_type: Some(content_type), body })
    }

    /// Returns an answer with a body of which no content type is said.
    pub fn raw_without_type(body: Body) -> Self {
        Self::of(Content::Raw { content_type: None, body })
    }

    /// Returns a 101 answer after which `session` runs on the connection.
    pub fn upgrade<F, Fut>(protocol: &'static str, session: F) -> Self
    where
        F: FnOnce(hyper::upgrade::Upgraded) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::of(Content::Upgrade { protocol, session: Box::new(move |io| Box::pin(session(io))) })
    }

    /// Adds the config digest as attribute.
    pub fn with_digest(self, digest: &farhold_types::Digest) -> Self {
        self.with_attribute("digest", digest.to_string())
    }

    /// Adds the number of entries as attribute.
    pub fn with_total(self, total: u64) -> Self {
        self.with_attribute("total", total)
    }

    /// Adds a top-level member beside `data`.
    pub fn with_attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a response header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the `data` of a JSON answer.
    pub const fn data(&self) -> Option<&Value> {
        match &self.content {
            Content::Json(data) => Some(data),
            _ => None,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match &self.content {
            Content::Json(_) => "json",
            Content::Raw { .. } => "raw",
            Content::Upgrade { .. } => "upgrade",
        };
        f.debug_struct("Reply").field("content", &content).field("attributes", &self.attributes).finish_non_exhaustive()
    }
}

/// A stored handler.
pub type Handler<C> = Arc<dyn Fn(Arc<C>, Request<C>) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

/// A declaration and what it runs.
#[derive(Clone)]
pub struct Endpoint<C: Context> {
    /// The data.
    pub declaration: Declaration,
    /// The handler.
    pub handler: Handler<C>,
}

impl<C: Context> Endpoint<C> {
    /// Returns an endpoint without parameters, open to any authenticated caller, answering a JSON value.
    ///
    /// A handler runs to its end even if the client goes away meanwhile.
    pub fn new<F, Fut>(method: Method, path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<C>, Request<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        let declaration = Declaration {
            method,
            path,
            summary,
            params: Vec::new(),
            access: Access::Any,
            answer: Answer::Value,
            returns: Shape::Undeclared,
            attributes: &[],
            body: RequestBody::Parameters,
            statuses: &[],
        };
        Self { declaration, handler: Arc::new(move |context, request| Box::pin(handler(context, request))) }
    }

    /// Returns a GET endpoint; see [`Endpoint::new`].
    pub fn get<F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<C>, Request<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(Method::GET, path, summary, handler)
    }

    /// Returns a POST endpoint; see [`Endpoint::new`].
    pub fn post<F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<C>, Request<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(Method::POST, path, summary, handler)
    }

    /// Returns a PUT endpoint; see [`Endpoint::new`].
    pub fn put<F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<C>, Request<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(Method::PUT, path, summary, handler)
    }

    /// Returns a DELETE endpoint; see [`Endpoint::new`].
    pub fn delete<F, Fut>(path: &'static str, summary: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<C>, Request<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(Method::DELETE, path, summary, handler)
    }

    /// Adds parameters; path variables must be among them and required.
    pub fn params(mut self, params: &[Param]) -> Self {
        self.declaration.params.extend_from_slice(params);
        self
    }

    /// Sets who may call it.
    pub fn access(mut self, access: Access) -> Self {
        self.declaration.access = access;
        self
    }

    /// Sets what it answers. A call that starts a task returns its UPID.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.declaration.answer = answer;
        match answer {
            Answer::Task => self.declaration.returns = shapes::UPID,
            Answer::Upgrade(_) => self.declaration.returns = Shape::Null,
            Answer::Value | Answer::Raw => {}
        }
        self
    }

    /// Sets what the `data` member of its answer looks like.
    pub fn returns(mut self, shape: Shape) -> Self {
        self.declaration.returns = shape;
        self
    }

    /// Sets the members beside `data`; see [`CONFIG_DIGEST`].
    pub fn attributes(mut self, attributes: &'static [Field]) -> Self {
        self.declaration.attributes = attributes;
        self
    }

    /// Adds statuses that the call can fail with, besides those of [`Declaration::failures`].
    pub fn fails_with(mut self, statuses: &'static [u16]) -> Self {
        self.declaration.statuses = statuses;
        self
    }

    /// Makes the request body raw content for the handler.
    pub fn raw_body(mut self) -> Self {
        self.declaration.body = RequestBody::Raw;
        self
    }
}

impl<C: Context> fmt::Debug for Endpoint<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.declaration).finish()
    }
}
