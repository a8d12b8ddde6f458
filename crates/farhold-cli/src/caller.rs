//! Calling the API: one trait, and what a call and its answer look like.
//!
//! Two ways lead in: the socket of a running daemon, and the handlers in this very process. Commands do not know
//! which one they use; they only ask whether a task that they start dies with the process.

use futures::future::BoxFuture;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// What may stand in a path component as it is. Dots are encoded because a component that begins with one is refused.
const PATH_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiCall {
    /// Method of the endpoint.
    pub method: Method,
    /// Path below the format as it is declared, variables in braces: `/config/remote/{name}`.
    pub path: String,
    /// All parameters, path variables included.
    pub params: Map<String, Value>,
}

/// The answer to a successful call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiReply {
    /// The value of the call; null if it has none.
    pub data: Value,
    /// What the answer says beside the value, for example `total`.
    pub attributes: Map<String, Value>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiFailure {
    /// The server refused it, or could not do it.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's own words.
        text: String,
    },
    /// The server cannot be reached.
    #[error("no connection to the server at {address}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or carried something that is no answer.
    #[error("no usable answer to {method} {path}: {problem}")]
    BadAnswer {
        /// Method of the call.
        method: Method,
        /// Path of the call, as declared.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl ApiFailure {
    /// True if there is no such endpoint or object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ApiFailure::Refused { status: 404, .. })
    }
}

/// Something that answers API calls as `root@pam`.
pub trait ApiCaller: Send + Sync {
    /// Makes one call.
    ///
    /// # Errors
    /// [`ApiFailure::Refused`] with the server's text, otherwise what is wrong with the connection.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it open whether the call was carried out.
    fn call(&self, call: ApiCall) -> BoxFuture<'_, Result<ApiReply, ApiFailure>>;

    /// True if tasks run in this process, so that it has to stay until they have ended.
    fn runs_tasks_here(&self) -> bool;
}

impl ApiCall {
    /// Makes a call.
    ///
    /// `path`: as declared; `params`: path variables included.
    pub fn new(method: Method, path: &str, params: Map<String, Value>) -> ApiCall {
        ApiCall { method, path: path.to_owned(), params }
    }

    /// Returns the path with its variables filled in and encoded, and the parameters that are left.
    ///
    /// A variable without parameter becomes an empty component.
    pub fn target(&self) -> (String, Map<String, Value>) {
        let mut params = self.params.clone();
        let mut path = String::new();
        for component in self.path.split('/').filter(|component| !component.is_empty()) {
            path.push('/');
            match component.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                None => path.push_str(component),
                Some(variable) => {
                    let value = params.remove(variable).map(|value| plain_text(&value)).unwrap_or_default();
                    path.extend(utf8_percent_encode(&value, PATH_COMPONENT));
                }
            }
        }
        (path, params)
    }
}

/// Returns a value as form data carries it.
pub(crate) fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn path_variables_are_taken_from_the_parameters_and_encoded() {
        let params = json!({"userid": "a/../b@pbs", "token-name": ".x!", "comment": "c"})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let (path, params) = ApiCall::new(Method::PUT, "/access/users/{userid}/token/{token-name}", params).target();
        assert_eq!(path, "/access/users/a%2F%2E%2E%2Fb%40pbs/token/%2Ex%21");
        assert_eq!(Value::Object(params), json!({"comment": "c"}));
    }
}
