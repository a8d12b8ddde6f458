//! Calls over the Unix socket of a running daemon.
//!
//! HTTP/1.1, one connection per call. The daemon knows root by the credentials of the connection, so nothing is sent
//! to log in. Parameters of GET and DELETE go into the query, those of POST and PUT into a JSON body.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::net::UnixStream;

use crate::caller::{ApiCall, ApiCaller, ApiFailure, ApiReply, plain_text};

/// Largest answer taken into memory, in bytes: a list of some hundred thousand backups.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A daemon behind a Unix socket.
#[derive(Clone, Debug)]
pub struct SocketCaller {
    path: PathBuf,
}

impl SocketCaller {
    /// Returns a caller for the daemon behind this socket, without connecting.
    pub fn new(path: impl Into<PathBuf>) -> SocketCaller {
        SocketCaller { path: path.into() }
    }

    /// Returns a caller if a daemon answers behind this socket, none if there is no socket or nobody listens.
    ///
    /// # Errors
    /// [`ApiFailure`] if something is there that cannot be used: no permission, or no daemon of ours.
    pub async fn find(path: &Path) -> Result<Option<SocketCaller>, ApiFailure> {
        let caller = SocketCaller::new(path);
        match caller.call(ApiCall::new(Method::GET, "/ping", Map::new())).await {
            Ok(_) => Ok(Some(caller)),
            Err(ApiFailure::Unreachable { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn send(&self, call: ApiCall) -> Result<ApiReply, ApiFailure> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| ApiFailure::Unreachable { address: self.path.display().to_string(), source })?;
        let (method, path) = (call.method.clone(), call.path.clone());
        let bad = |problem: String| ApiFailure::BadAnswer { method: method.clone(), path: path.clone(), problem };
        let request = request(call).map_err(|error| bad(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| bad(error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| bad(error.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
            let body = body.collect().await.map_err(|error| bad(error.to_string()))?.to_bytes();
            Ok((status, body))
        };
        // The connection is driven beside the exchange and dropped with it, so nothing outlives the call.
        let mut connection = std::pin::pin!(connection.fuse());
        let mut exchange = std::pin::pin!(exchange.fuse());
        let (status, body) = loop {
            tokio::select! {
                result = &mut exchange => break result?,
                // Its end, with or without error, shows in the exchange.
                _ = &mut connection, if !futures::future::FusedFuture::is_terminated(&connection) => {}
            }
        };
        answer(status, &body, bad)
    }
}

impl ApiCaller for SocketCaller {
    fn call(&self, call: ApiCall) -> BoxFuture<'_, Result<ApiReply, ApiFailure>> {
        self.send(call).boxed()
    }

    fn runs_tasks_here(&self) -> bool {
        false
    }
}

fn request(call: ApiCall) -> Result<Request<Full<Bytes>>, http::Error> {
    let has_body = call.method == Method::POST || call.method == Method::PUT;
    let (path, params) = call.target();
    let mut target = format!("/api2/json{path}");
    let body = if has_body {
        Value::Object(params).to_string()
    } else {
        let query = query(&params);
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        String::new()
    };
    let content_type = if has_body { "application/json" } else { "application/x-www-form-urlencoded" };
    Request::builder()
        .method(call.method)
        .uri(target)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)))
}

/// Returns the parameters as form data; a list repeats its key.
fn query(params: &Map<String, Value>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut pairs = Vec::new();
    for (name, value) in params {
        match value {
            Value::Array(values) => pairs.extend(values.iter().map(|value| (name, plain_text(value)))),
            value => pairs.push((name, plain_text(value))),
        }
    }
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

fn answer(status: StatusCode, body: &[u8], bad: impl Fn(String) -> ApiFailure) -> Result<ApiReply, ApiFailure> {
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(body).trim_end().to_owned();
        let text = if text.is_empty() { status.to_string() } else { text };
        return Err(ApiFailure::Refused { status: status.as_u16(), text });
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| bad(format!("not JSON: {error}")))?;
    let Value::Object(mut attributes) = value else { return Err(bad("not an object".to_owned())) };
    let data = attributes.remove("data").unwrap_or_default();
    Ok(ApiReply { data, attributes })
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
