//! Calls to the endpoints in this process.

use farhold_api::declare::Content;
use farhold_api::{ApiError, Call, Router};
use farhold_jobs::App;
use http::Method;
use serde_json::Value;

/// Makes a call as `caller`; the answer must be JSON.
pub async fn call(
    router: &Router<App>,
    caller: &str,
    method: Method,
    path: &str,
    params: Value,
) -> Result<Value, ApiError> {
    let Value::Object(params) = params else { panic!("parameters are an object") };
    let reply = router.call(Call { method, path, params, caller: caller.parse().unwrap() }).await?;
    match reply.content {
        Content::Json(value) => Ok(value),
        _ => panic!("the answer is JSON"),
    }
}
