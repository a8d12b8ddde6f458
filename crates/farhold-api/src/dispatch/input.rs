//! Parameters out of a request: bounded reading of the body, content types, the two input modes.
//!
//! Source: `docs/spec/rest-api.md` 1.2.

use std::time::Duration;

use farhold_client::Pauses;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::path::{form_pairs, query_pairs};
use crate::declare::{Body, Declaration, RequestBody};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::{Input, Params, verify_form, verify_json};

/// A body of parameters must stay below this many bytes. Source: `docs/spec/wire-protocol.md` 2.5.
pub(crate) const BODY_LIMIT_BYTES: usize = 524_288;

/// Bytes of a too long body that are read and dropped, so that a client that writes first still gets the answer.
const DRAIN_LIMIT_BYTES: usize = 4 * BODY_LIMIT_BYTES;

/// Larger bodies are checked on a thread for work: they may hold thousands of expressions, of which each takes up to some
/// milliseconds to compile. Source: our own choice; hardly any call has more.
const QUICK_BYTES: usize = 4096;

/// Time for a whole parameter body to arrive: 512 KiB at 9 KiB/s. The reference has no limit; one held connection
/// costs a file descriptor.
pub(crate) const BODY_TIME_LIMIT: Duration = Duration::from_secs(60);

/// What a request consists of besides its path.
pub(crate) struct Sent<'r> {
    pub(crate) headers: &'r HeaderMap,
    pub(crate) query: Option<&'r str>,
    pub(crate) body: &'r mut Body,
    /// Pauses of the connection, which do not count as slowness of the caller.
    pub(crate) pauses: &'r Pauses,
}

/// Reads, parses and checks the parameters of a call; takes the body unless the handler gets it.
///
/// # Errors
/// 400 of any kind: content type, size, time, form, schema.
pub(crate) async fn read_params(
    declaration: &Declaration,
    path: Vec<Input>,
    sent: Sent<'_>,
) -> Result<Params, ApiError> {
    let Sent { headers, query, body, pauses } = sent;
    if declaration.body == RequestBody::Raw || declared_raw_answer(declaration) {
        let pairs = path.into_iter().chain(query_pairs(query)).collect();
        return Ok(verify_form(&declaration.params, pairs)?);
    }
    match content_type(headers)? {
        Mode::Form => {
            let text = read_text(body, pauses).await?;
            let pairs = path.into_iter().chain(form_pairs(&text)).chain(query_pairs(query)).collect();
            let params = declaration.params.clone();
            apart(QUICK_BYTES < text.len(), move || Ok(verify_form(&params, pairs)?)).await
        }
        Mode::Json => {
            let text = read_text(body, pauses).await?;
            let params = declaration.params.clone();
            apart(QUICK_BYTES < text.len(), move || Ok(verify_json(&params, json_object(&text)?, path)?)).await
        }
    }
}

/// Checks parameters, those of a large body beside the threads that wait for the network.
async fn apart(
    is_large: bool,
    check: impl FnOnce() -> Result<Params, ApiError> + Send + 'static,
) -> Result<Params, ApiError> {
    if is_large { blocking(check).await } else { check() }
}

fn declared_raw_answer(declaration: &Declaration) -> bool {
    use crate::declare::Answer;
    matches!(declaration.answer, Answer::Raw | Answer::Upgrade(_))
}

enum Mode {
    Form,
    Json,
}

fn content_type(headers: &HeaderMap) -> Result<Mode, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Mode::Form) };
    let text = value.to_str().unwrap_or("");
    match text.split(';').next().unwrap_or("").trim_end() {
        "application/x-www-form-urlencoded" => Ok(Mode::Form),
        "application/json" => Ok(Mode::Json),
        _ => {
            Err(ApiError::bad_request("content type is neither application/json nor application/x-www-form-urlencoded"))
        }
    }
}

fn json_object(text: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(ApiError::bad_request("request body is JSON but not an object")),
        // The parser's text names line and column, never the content.
        Err(error) => Err(ApiError::bad_request(format!("request body is not valid JSON: {error}"))),
    }
}

async fn read_text(body: &mut Body, pauses: &Pauses) -> Result<String, ApiError> {
    let bytes = pauses
        .within(BODY_TIME_LIMIT, read_bounded(body))
        .await
        .map_err(|_| ApiError::bad_request("request body did not arrive in time"))??;
    String::from_utf8(bytes).map_err(|_| ApiError::bad_request("request body is not UTF-8"))
}

async fn read_bounded(body: &mut Body) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::bad_request(format!("request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total < BODY_LIMIT_BYTES {
            bytes.extend_from_slice(&data);
        } else if DRAIN_LIMIT_BYTES < total {
            break;
        }
    }
    if total < BODY_LIMIT_BYTES {
        Ok(bytes)
    } else {
        Err(ApiError::bad_request(format!("request body has {BODY_LIMIT_BYTES} bytes or more")))
    }
}
