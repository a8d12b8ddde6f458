//! Calls of web addresses: Gotify, web hooks, pings.
//!
//! A call is one request whose answer is only a status: what the server says is not read, and where it sends us is not
//! followed, for the request may hold secrets. Source: `docs/spec/schedules-and-tasks.md` 10.3.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use farhold_client::{ByteStream, DEFAULT_USER_AGENT, TcpDialer};
use farhold_types::Secret;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::delivery::{DeliveryError, Outside};
use crate::engine::{self, Escape, TooMuch};
use crate::event::{Event, Severity};
use crate::patience::Patient;
use crate::target::{Method, NamedTemplate};
use crate::tls;
use crate::words::Rendered;

/// How long a call may take, from the look-up of the name to the status. Source: as above.
const LIMIT: Duration = Duration::from_secs(10);
/// Largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Longest URL, in bytes; servers take less.
const MAX_URL_BYTES: usize = 16 * 1024;
const AGENT: HeaderValue = HeaderValue::from_static(DEFAULT_USER_AGENT);
/// Headers that say how the request is sent, which is not for a template to say.
const OURS: [HeaderName; 7] = [
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    http::header::CONNECTION,
    http::header::UPGRADE,
    http::header::TE,
    http::header::EXPECT,
];

/// A web hook of the settings.
pub(crate) struct Hook<'t> {
    pub method: Method,
    pub url: &'t Secret,
    pub headers: &'t [NamedTemplate],
    pub body: Option<&'t Secret>,
    pub secrets: &'t BTreeMap<String, Secret>,
}

/// Sends a message through a Gotify server.
pub(crate) async fn gotify(
    server: &str,
    token: &Secret,
    event: &Event,
    words: &Rendered,
    outside: &Outside,
) -> Result<(), DeliveryError> {
    // Source: `docs/spec/schedules-and-tasks.md` 10.3.
    let priority = match event.severity {
        Severity::Info => 1,
        Severity::Notice | Severity::Unknown => 3,
        Severity::Warning => 5,
        Severity::Error => 9,
    };
    let body = json!({ "title": words.title, "message": words.body_text, "priority": priority });
    let mut headers = HeaderMap::new();
    headers.insert("X-Gotify-Key", secret_header("X-Gotify-Key", token.expose())?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let url = Secret::new(format!("{}/message", server.trim_end_matches('/')));
    call(http::Method::POST, &url, headers, body.to_string().into(), outside).await
}

/// Calls a web hook.
pub(crate) async fn webhook(
    hook: &Hook<'_>,
    event: &Event,
    words: &Rendered,
    outside: &Outside,
) -> Result<(), DeliveryError> {
    let secrets: serde_json::Map<String, Value> =
        hook.secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().into())).collect();
    let data = json!({
        "title": words.title,
        "message": words.body_text,
        "severity": event.severity,
        "timestamp": event.timestamp.0,
        "fields": event.fields,
        "secrets": secrets,
    });
    let render = |part: &str, template: &Secret| {
        let rendered = engine::render(template.expose(), &data, Escape::None, TooMuch::Refuse);
        rendered.map_err(|source| DeliveryError::Template { part: part.to_owned(), source })
    };
    let url = Secret::new(render("url", hook.url)?);
    let mut headers = HeaderMap::new();
    for NamedTemplate { name, template } in hook.headers {
        let value = secret_header(name, &render(name, template)?)?;
        let header = HeaderName::try_from(name.as_str()).map_err(|_| DeliveryError::Header { name: name.clone() })?;
        if OURS.contains(&header) {
            return Err(DeliveryError::Header { name: name.clone() });
        }
        headers.append(header, value);
    }
    let body = hook.body.map(|body| render("body", body)).transpose()?.unwrap_or_default();
    let method = match hook.method {
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Get => http::Method::GET,
    };
    call(method, &url, headers, body.into(), outside).await
}

/// Calls an address.
pub(crate) async fn ping(url: &Secret, outside: &Outside) -> Result<(), DeliveryError> {
    call(http::Method::GET, url, HeaderMap::new(), Bytes::new(), outside).await
}

fn secret_header(name: &str, value: &str) -> Result<HeaderValue, DeliveryError> {
    // What would begin another line of the head is refused here.
    let mut value =
        HeaderValue::from_str(value).map_err(|_| DeliveryError::Header { name: crate::delivery::shown(name) })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where a URL leads.
pub(crate) struct Place {
    host: String,
    port: u16,
    is_https: bool,
    /// What stands in the header `Host`.
    authority: String,
    /// Name and password in the URL, as a header.
    login: Option<HeaderValue>,
    path: String,
}

impl Place {
    /// Reads an address of http or https.
    pub(crate) fn of(url: &Secret) -> Result<Self, DeliveryError> {
        if MAX_URL_BYTES < url.expose().len() {
            return Err(DeliveryError::Url);
        }
        // What follows the hash is for browsers.
        let text = url.expose().split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| DeliveryError::Url)?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(DeliveryError::Url),
        };
        let authority = uri.authority().ok_or(DeliveryError::Url)?.as_str();
        let (login, authority) = match authority.rsplit_once('@') {
            Some((login, authority)) => {
                let decoded: Vec<u8> = percent_decode_str(login).collect();
                let header = format!("Basic {}", BASE64.encode(decoded));
                (Some(secret_header("authorization", &header)?), authority)
            }
            None => (None, authority),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(DeliveryError::Url)?;
        // A port that is none would silently be the usual one.
        if uri.port_u16().is_none() && !matches!(authority.strip_prefix(host), Some("" | ":")) {
            return Err(DeliveryError::Url);
        }
        Ok(Self {
            host: tls::bare(host).to_owned(),
            port: uri.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            is_https,
            authority: authority.to_owned(),
            login,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

async fn call(
    method: http::Method,
    url: &Secret,
    headers: HeaderMap,
    body: Bytes,
    outside: &Outside,
) -> Result<(), DeliveryError> {
    let place = Place::of(url)?;
    let status = timeout(LIMIT, answer(method, &place, headers, body, outside)).await;
    let status = status.unwrap_or(Err(DeliveryError::TimedOut { seconds: LIMIT.as_secs() }))?;
    if status.is_success() { Ok(()) } else { Err(DeliveryError::Status { status }) }
}

/// Sends the request and returns the status of the answer.
async fn answer(
    method: http::Method,
    place: &Place,
    headers: HeaderMap,
    body: Bytes,
    outside: &Outside,
) -> Result<StatusCode, DeliveryError> {
    let mut headers = headers;
    let (stream, target) = open(place, &mut headers, outside).await?;
    let host = HeaderValue::from_str(&place.authority).map_err(|_| DeliveryError::Url)?;
    headers.insert(HOST, host);
    headers.entry(USER_AGENT).or_insert(AGENT);
    if let Some(login) = &place.login {
        headers.entry(AUTHORIZATION).or_insert_with(|| login.clone());
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| DeliveryError::Url)?;
    *request.headers_mut() = headers;
    let broken = |error: hyper::Error| DeliveryError::Broken(io::Error::other(error));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::pin!(connection);
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection ended; what it brought before that is with the request.
        _ = &mut connection => answer.await,
    };
    answer.map(|answer| answer.status()).map_err(broken)
}

/// Opens the stream of a call and returns what the request line names.
async fn open(
    place: &Place,
    headers: &mut HeaderMap,
    outside: &Outside,
) -> Result<(Box<dyn ByteStream>, String), DeliveryError> {
    use farhold_client::Dialer as _;
    let (host, port) = (&place.host, place.port);
    let stream = match &outside.http_proxy {
        None => outside.dialer.dial(host, port, LIMIT).await,
        Some(proxy) if place.is_https => proxy.clone().dialer().dial(host, port, LIMIT).await,
        // A proxy passes requests of http on itself, and many would not connect to their ports.
        Some(proxy) => {
            if let Some(login) = proxy.login() {
                headers.insert(PROXY_AUTHORIZATION, secret_header("proxy-authorization", login.expose())?);
            }
            let stream = TcpDialer.dial(proxy.host(), proxy.port(), LIMIT).await.map_err(DeliveryError::Dial)?;
            let stream = Box::new(Patient::new(stream, LIMIT));
            return Ok((stream, format!("http://{}{}", place.authority, place.path)));
        }
    };
    let stream: Box<dyn ByteStream> = Box::new(Patient::new(stream.map_err(DeliveryError::Dial)?, LIMIT));
    let stream = if place.is_https { tls::connect(stream, host, &outside.trust).await? } else { stream };
    Ok((stream, place.path.clone()))
}
