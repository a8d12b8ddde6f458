//! Calls to the handlers in this very process, as `root@pam`.
//!
//! Used when no daemon runs. The same permission and parameter checks apply as over HTTP, and tasks run here: the
//! process must stay until they have ended.

use std::sync::Arc;

use farhold_api::declare::{Body, Content, Context};
use farhold_api::{Call, Router};
use farhold_types::Authid;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use crate::caller::{ApiCall, ApiCaller, ApiFailure, ApiReply};

/// Largest raw answer taken into memory, in bytes: some hundred thousand lines of a task's log.
const MAX_RAW_BYTES: usize = 64 * 1024 * 1024;

/// Calls a router directly.
pub struct InProcessCaller<C: Context> {
    router: Arc<Router<C>>,
    authid: Authid,
}

impl<C: Context> InProcessCaller<C> {
    /// Returns a caller that acts as `authid`, normally `root@pam`.
    pub fn new(router: Arc<Router<C>>, authid: Authid) -> InProcessCaller<C> {
        InProcessCaller { router, authid }
    }

    async fn send(&self, call: ApiCall) -> Result<ApiReply, ApiFailure> {
        let inner =
            Call { method: call.method.clone(), path: &call.path, params: call.params, caller: self.authid.clone() };
        let reply = self
            .router
            .call(inner)
            .await
            .map_err(|error| ApiFailure::Refused { status: error.status().as_u16(), text: error.to_string() })?;
        let bad =
            |problem: String| ApiFailure::BadAnswer { method: call.method.clone(), path: call.path.clone(), problem };
        match reply.content {
            Content::Json(data) => Ok(ApiReply { data, attributes: reply.attributes }),
            // The log of a task is JSON with a form of its own.
            Content::Raw { body, .. } => {
                let body = raw_bytes(body).await.map_err(bad)?;
                let mut attributes: Map<String, Value> =
                    serde_json::from_slice(&body).map_err(|error| bad(format!("not a JSON object: {error}")))?;
                let data = attributes.remove("data").unwrap_or_default();
                Ok(ApiReply { data, attributes })
            }
            _ => Err(bad("not a value".to_owned())),
        }
    }
}

async fn raw_bytes(mut body: Body) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        if MAX_RAW_BYTES - bytes.len() < data.len() {
            return Err(format!("longer than {MAX_RAW_BYTES} bytes"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

impl<C: Context> ApiCaller for InProcessCaller<C> {
    fn call(&self, call: ApiCall) -> BoxFuture<'_, Result<ApiReply, ApiFailure>> {
        self.send(call).boxed()
    }

    fn runs_tasks_here(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use farhold_api::ApiError;
    use farhold_api::declare::{AuthFailure, CallHead, Denied, Endpoint, Quantity, Reply, full_body};
    use farhold_api::schema::named;
    use farhold_types::Privileges;
    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::fixture::block_on;

    /// A context that nobody has to log in to and that allows everything.
    struct Open;

    impl Context for Open {
        type Granted = ();

        fn authenticate<'a>(&'a self, _: CallHead<'a>) -> BoxFuture<'a, Result<Authid, AuthFailure>> {
            async { Err(AuthFailure { reason: "no call of this process authenticates".to_owned() }) }.boxed()
        }

        fn require<'a>(
            &'a self,
            _: &'a Authid,
            _: &'a str,
            _: Privileges,
            _: Quantity,
        ) -> BoxFuture<'a, Result<(), Denied>> {
            async { Ok(()) }.boxed()
        }
    }

    fn call(method: Method, path: &str, params: Value) -> Result<ApiReply, ApiFailure> {
        let endpoints = vec![
            Endpoint::get(
                "/config/remote/{name}",
                "Read",
                |_, request: farhold_api::declare::Request<Open>| async move {
                    let caller = request.caller()?.to_string();
                    Ok(Reply::value(json!({ "name": request.params.text("name"), "caller": caller })).with_total(3))
                },
            )
            .params(&[named::REMOTE_ID.named("name").is_required()]),
            Endpoint::get("/log", "Read", |_, _| async {
                Ok(Reply::raw("application/json", full_body(r#"{"data":[1],"total":1,"active":false}"#.into())))
            }),
            Endpoint::delete("/gone", "Remove", |_, _| async { Err(ApiError::not_found("no such thing")) })
                .fails_with(&[404]),
        ];
        let router = Router::new(Arc::new(Open), endpoints).expect("declarations that fit");
        let caller = InProcessCaller::new(Arc::new(router), "root@pam".parse().expect("an authid"));
        let params = params.as_object().cloned().unwrap_or_default();
        block_on(caller.call(ApiCall::new(method, path, params)))
    }

    #[test]
    fn calls_reach_the_handler_with_their_path_variables_and_identity() {
        let reply = call(Method::GET, "/config/remote/{name}", json!({ "name": "pbs2" })).expect("an answer");
        assert_eq!(reply.data, json!({ "name": "pbs2", "caller": "root@pam" }));
        assert_eq!(reply.attributes.get("total"), Some(&json!(3)));
    }

    #[test]
    fn raw_json_is_taken_apart_like_an_answer_over_the_socket() {
        let reply = call(Method::GET, "/log", json!({})).expect("an answer");
        assert_eq!(reply.data, json!([1]));
        assert_eq!(reply.attributes.get("active"), Some(&json!(false)));
    }

    #[test]
    fn failures_keep_status_and_text() {
        for (method, path, params, status, part) in [
            (Method::DELETE, "/gone", json!({}), 404, "no such thing"),
            (Method::GET, "/nowhere", json!({}), 404, "nowhere"),
            (Method::GET, "/config/remote/{name}", json!({ "name": "x" }), 400, "'name'"),
        ] {
            match call(method, path, params) {
                Err(ApiFailure::Refused { status: found, text }) => {
                    assert_eq!(found, status, "{path}");
                    assert!(text.contains(part), "{path}: {text}");
                }
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
