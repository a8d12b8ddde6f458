//! `/farhold`: our own additions, which no other client knows.

use std::sync::Arc;

use farhold_format::upid::Upid;
use farhold_jobs::App;
use serde_json::json;

use crate::declare::{Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::named;

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/farhold/tasks/{upid}/progress", "Show how far a running sync is", progress)
            .params(&[named::UPID]),
    ]
}

/// Answers bytes and groups done and left, the rate in bytes per second and the seconds left; 404 for a task that is no
/// sync or does not run in this process.
async fn progress(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?;
    let upid: Upid = request.params.require("upid")?;
    let not_found = || ApiError::not_found("no sync runs under this task id");
    // Whoever may not read the task's log learns nothing here either.
    if !caller.is_root() && !caller.owns(upid.authid()) {
        return Err(not_found());
    }
    let (look, elapsed) = app.progress.get(&upid).ok_or_else(not_found)?.look();
    Ok(Reply::value(json!({
        "bytes_done": look.bytes_done,
        "bytes_left": look.bytes_left,
        "bytes_total": look.bytes_done + look.bytes_left,
        "bytes_received": look.bytes_received,
        "groups_done": look.groups_done,
        "groups": look.groups,
        "snapshots_done": look.snapshots_done,
        "rate": look.rate_bytes_per_s,
        "eta": look.time_left().map(|left| left.as_secs_f64()),
        "elapsed": elapsed.as_secs_f64(),
    })))
}
