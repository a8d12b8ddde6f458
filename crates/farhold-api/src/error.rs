//! How a call fails: the status a client sees, its text, and what the operator's log gets.

use http::StatusCode;

use crate::schema::{ParameterErrors, Rejected};

/// A failed call: an HTTP status and a text for the caller.
///
/// The text must not hold secrets. Which status belongs to what: `docs/spec/rest-api.md` 1.4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    status: StatusCode,
    text: String,
    parameters: Option<ParameterErrors>,
}

impl ApiError {
    /// Returns an error with any status.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), parameters: None }
    }

    /// Returns a 400: the default for every error without a status of its own.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Returns a 401; the dispatcher answers it 3 seconds late.
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text)
    }

    /// Returns a 403 raised by a handler, answered without delay.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    /// Returns a 404.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// Returns a 500; few calls answer with it.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// Returns a 501.
    pub fn not_implemented(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, text)
    }

    /// Returns a 400 that names one parameter, in the form of parameter errors.
    pub fn parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        ParameterErrors::one(name, reason).into()
    }

    /// Returns a 400 with the error and its causes joined by `: `, each text once.
    pub fn from_chain(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::bad_request(text)
    }

    /// Returns the same error with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Returns the HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the text; for parameter errors the whole text of the `json` format.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the problems by parameter, for parameter errors.
    pub const fn parameters(&self) -> Option<&ParameterErrors> {
        self.parameters.as_ref()
    }
}

impl From<ParameterErrors> for ApiError {
    fn from(errors: ParameterErrors) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: errors.to_string(), parameters: Some(errors) }
    }
}

impl From<Rejected> for ApiError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Schema(errors) => errors.into(),
            Rejected::Typed(text) => Self::bad_request(text),
        }
    }
}
