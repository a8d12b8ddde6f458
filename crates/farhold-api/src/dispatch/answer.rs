//! Answers on the wire: the two formats, fixed error answers, deflate.
//!
//! Source: `docs/spec/wire-protocol.md` 2.2, 2.3, 2.4 and 2.6.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use futures::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value, json};

use crate::declare::{Body, BodyError, Content, Reply, Session, empty_body, full_body};
use crate::error::ApiError;

/// Content type of all formatted answers, errors included; PVE insists on the exact text.
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");

/// Sent with every 401 and on logout: removes the ticket cookie. Source: `docs/spec/rest-api.md` 1.4.
pub(crate) const DROP_COOKIE: HeaderValue = HeaderValue::from_static(
    "__Host-PBSAuthCookie=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; SameSite=Lax; HttpOnly; Path=/;",
);

/// Fixed general sentence of parameter errors in the `extjs` format. Source: `docs/spec/wire-protocol.md` 2.3.
const GENERAL_MESSAGE: &str = "parameter verification errors";

/// The second component of API paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    ExtJs,
}

impl Format {
    pub(super) fn of(component: &str) -> Option<Self> {
        match component {
            "json" => Some(Self::Json),
            "extjs" => Some(Self::ExtJs),
            _ => None,
        }
    }
}

/// Returns an answer from before a format is chosen: plain text without content type.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full_body(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(SET_COOKIE, DROP_COOKIE);
    }
    response
}

fn json_response(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(full_body(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON_TYPE);
    response
}

/// Returns a failed call in its format.
pub(crate) fn failure(format: Format, error: &ApiError) -> Response<Body> {
    match format {
        Format::Json => {
            let mut response = json_response(error.status(), error.text().as_bytes().to_vec());
            if error.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(SET_COOKIE, DROP_COOKIE);
            }
            response
        }
        Format::ExtJs => {
            let errors: Map<String, Value> =
                error.parameters().iter().flat_map(|e| e.iter()).map(|(n, r)| (n.to_owned(), r.into())).collect();
            let message = if error.parameters().is_some() { GENERAL_MESSAGE } else { error.text() };
            let body = json!({
                "success": false,
                "status": error.status().as_u16(),
                "message": message,
                "errors": errors,
            });
            json_response(StatusCode::OK, body.to_string().into_bytes())
        }
    }
}

/// Returns a successful call in its format; for upgrades the 101 answer and the session to run.
pub(crate) fn success(format: Format, reply: Reply) -> (Response<Body>, Option<Session>) {
    let Reply { content, attributes, headers } = reply;
    let (mut response, session) = match content {
        Content::Json(data) => {
            let mut members = attributes;
            members.insert("data".to_owned(), data);
            if format == Format::ExtJs {
                members.insert("success".to_owned(), true.into());
                members.insert("status".to_owned(), 200.into());
            }
            (json_response(StatusCode::OK, Value::Object(members).to_string().into_bytes()), None)
        }
        Content::Raw { content_type, body } => {
            let mut response = Response::new(body);
            if let Some(content_type) = content_type {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            (response, None)
        }
        Content::Upgrade { protocol, session } => {
            let mut response = Response::new(empty_body());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(http::header::UPGRADE, HeaderValue::from_static(protocol));
            (response, Some(session))
        }
    };
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    if response.headers().contains_key(CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    (response, session)
}

/// Returns whether the caller asks for deflate: the lower-case word, whatever its weight.
pub(crate) fn wants_deflate(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim() == "deflate" || token.trim().starts_with("deflate;q="))
}

/// Returns the answer with its body compressed piece by piece.
pub(crate) fn deflated(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("deflate"));
    parts.headers.remove(CONTENT_LENGTH);
    let encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let pieces = stream::try_unfold(Some((body, encoder)), |state| async move {
        let Some((mut body, mut encoder)) = state else { return Ok::<_, BodyError>(None) };
        loop {
            match body.frame().await.transpose()? {
                None => return Ok(Some((Frame::data(Bytes::from(encoder.finish()?)), None))),
                Some(frame) => {
                    let Ok(data) = frame.into_data() else { continue };
                    encoder.write_all(&data)?;
                    let piece = std::mem::take(encoder.get_mut());
                    if !piece.is_empty() {
                        return Ok(Some((Frame::data(Bytes::from(piece)), Some((body, encoder)))));
                    }
                }
            }
        }
    });
    Response::from_parts(parts, Body::new(StreamBody::new(pieces)))
}
