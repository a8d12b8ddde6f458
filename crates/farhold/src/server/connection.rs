//! One accepted connection: which protocol it speaks, and serving it until it ends or the server shuts down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use farhold_api::declare::{Body, ConnectionInfo, empty_body};
use farhold_jobs::traffic::Connection;
use http::header::{CONTENT_LENGTH, HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Dispatch;
use super::prefixed::detect_http2;

/// Time for the bytes that tell TLS from plain HTTP. Source: `docs/spec/wire-protocol.md` 1.1.
const PEEK_LIMIT: Duration = Duration::from_secs(10);

/// Time for a TLS handshake. Source: as above.
pub(super) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Time between two requests, and for the head of one. Real clients keep spare connections idle for minutes, so this
/// is long; it keeps abandoned ones from adding up. The reference has no limit. Source: `docs/spec/wire-protocol.md` 1.4.
const IDLE_LIMIT: Duration = Duration::from_secs(600);

/// Header fields of one request; above it is 431. Source: `docs/spec/wire-protocol.md` 1.1.
const MAX_HEADER_FIELDS: usize = 100;

/// Bytes of one request head; above it is 431. Source: as above, "about 400 KiB".
const MAX_HEAD_BYTES: usize = 400 * 1024;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tls,
    Plain,
    Unclear,
}

/// Classifies up to five first bytes; TLS records begin with type 22, major version 3 and a length up to 16 KiB.
fn classify(bytes: &[u8]) -> Protocol {
    match *bytes {
        [0x16, 0x03, _, high, low, ..] if u16::from_be_bytes([high, low]) <= 0x4000 => Protocol::Tls,
        [0x16] | [0x16, 0x03] | [0x16, 0x03, _] | [0x16, 0x03, _, _] | [] => Protocol::Unclear,
        _ => Protocol::Plain,
    }
}

/// Finds out what a connection speaks without consuming a byte; `None` if nothing tells within the limit.
pub(super) async fn peek_protocol(stream: &TcpStream) -> Option<Protocol> {
    let peek = async {
        let mut bytes = [0; 5];
        loop {
            let count = stream.peek(&mut bytes).await.ok()?;
            match classify(&bytes[..count]) {
                Protocol::Unclear if count == 0 => return None,
                // Peeking returns the same bytes at once, so waiting for more needs a pause.
                Protocol::Unclear => sleep(Duration::from_millis(20)).await,
                known => return Some(known),
            }
        }
    };
    timeout(PEEK_LIMIT, peek).await.ok().flatten()
}

/// Answers one plain request with the redirect to TLS, then closes.
pub(super) async fn redirect<T>(io: T)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, std::convert::Infallible>(redirection(request.method(), request.headers().get(HOST)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PEEK_LIMIT)
        .keep_alive(false)
        .max_headers(MAX_HEADER_FIELDS)
        .serve_connection(TokioIo::new(io), service);
    // A request body is not read; whoever sends slowly is cut.
    if let Ok(Err(error)) = timeout(2 * PEEK_LIMIT, connection).await {
        tracing::debug!("plain connection: {error}");
    }
}

/// Returns the answer to a plain request. Source: `docs/spec/wire-protocol.md` 1.3.
fn redirection(method: &Method, host: Option<&HeaderValue>) -> Response<Body> {
    let mut response = Response::new(empty_body());
    let location = host
        .and_then(|host| host.to_str().ok())
        .and_then(|host| HeaderValue::from_str(&format!("https://{host}")).ok());
    match location {
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
        Some(location) => {
            let is_read = *method == Method::GET || *method == Method::HEAD;
            *response.status_mut() =
                if is_read { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
            response.headers_mut().insert(LOCATION, location);
        }
    }
    response
}

/// When a connection stops.
#[derive(Debug, Clone)]
pub(super) struct Stops {
    /// Finish the present request, then close.
    pub(super) drain: CancellationToken,
    /// Close now.
    pub(super) cut: CancellationToken,
}

/// Serves API requests on a connection, HTTP/1.x with upgrades or HTTP/2 with prior knowledge.
///
/// `open`: the connection under traffic control. Each request clears its user, and requests carry its pauses.
pub(super) async fn serve<T>(
    io: T,
    dispatch: Dispatch,
    info: ConnectionInfo,
    open: Option<Arc<Connection>>,
    stops: Stops,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let detected = tokio::select! {
        detected = timeout(IDLE_LIMIT, detect_http2(io)) => detected,
        () = stops.drain.cancelled() => return,
    };
    let Ok(Ok((is_http2, io))) = detected else { return };
    let info = Arc::new(info);
    let service = service_fn(move |request: Request<Incoming>| {
        let (dispatch, info, open) = (dispatch.clone(), info.clone(), open.clone());
        async move {
            let mut request = request.map(|body| Body::new(body.map_err(Into::into)));
            if let Some(open) = open {
                open.clear_user();
                request.extensions_mut().insert(open.pauses().clone());
            }
            let is_head = request.method() == Method::HEAD;
            let response = dispatch(request, (*info).clone()).await;
            // Over HTTP/1 hyper leaves the body out itself; over HTTP/2 clients take one for a violation.
            Ok::<_, std::convert::Infallible>(if is_head { without_body(response) } else { response })
        }
    });
    let io = TokioIo::new(io);
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(1 << 20)
            // What may wait here for streams that nobody reads yet, before it is known who sends: bounds the memory of a
            // connection. Twice the reference's, so that one slow call does not hold up the others.
            .initial_connection_window_size(2 << 20)
            .max_concurrent_streams(200)
            .max_header_list_size(16_384)
            .keep_alive_interval(IDLE_LIMIT);
        let connection = builder.serve_connection(io, service);
        drive(connection, http2::Connection::graceful_shutdown, &stops).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_LIMIT)
            .max_headers(MAX_HEADER_FIELDS)
            .max_buf_size(MAX_HEAD_BYTES);
        let connection = builder.serve_connection(io, service).with_upgrades();
        drive(connection, http1::UpgradeableConnection::graceful_shutdown, &stops).await;
    }
}

/// Returns the answer to a HEAD request, which tells the length of a body that is not sent.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    let length = response.body().size_hint().exact();
    *response.body_mut() = empty_body();
    if let Some(length) = length {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response
}

async fn drive<C>(connection: C, finish: impl FnOnce(std::pin::Pin<&mut C>), stops: &Stops)
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stops.drain.cancelled() => {
            finish(connection.as_mut());
            tokio::select! {
                result = connection.as_mut() => result,
                () = stops.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_tls_from_the_rest() {
        assert_eq!(classify(&[0x16, 0x03, 0x01, 0x02, 0x00]), Protocol::Tls);
        assert_eq!(classify(&[0x16, 0x03, 0x03, 0x40, 0x00]), Protocol::Tls);
        assert_eq!(classify(&[0x16, 0x03, 0x03, 0x40, 0x01]), Protocol::Plain);
        assert_eq!(classify(b"GET /"), Protocol::Plain);
        assert_eq!(classify(b"G"), Protocol::Plain);
        assert_eq!(classify(&[0x16, 0x02]), Protocol::Plain);
        assert_eq!(classify(&[0x16, 0x03, 0x01]), Protocol::Unclear);
    }

    #[test]
    fn redirects_keep_the_port_and_drop_the_path() {
        let host = HeaderValue::from_static("pbs.example:8007");
        for (method, status) in [(Method::GET, 301), (Method::HEAD, 301), (Method::POST, 308)] {
            let response = redirection(&method, Some(&host));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[LOCATION], "https://pbs.example:8007");
        }
        assert_eq!(redirection(&Method::GET, None).status(), 400);
    }
}
