//! `/version` and `/ping`. Source: `docs/spec/rest-api.md` 4.

use std::sync::Arc;

use farhold_jobs::App;
use serde_json::json;

use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Shape};

/// Release of the interface that we speak, which peers compare with 2.2 and 3.2.11 to learn what we can do.
const INTERFACE_VERSION: &str = "4.2";

/// Patch number of that release; peers parse it as a number.
const INTERFACE_RELEASE: &str = "1";

const VERSION: Shape = Shape::Object(&[
    Field::required("version", Shape::Text("major.minor"), "Version of the interface"),
    Field::required("release", Shape::Text("number"), "Release of that version"),
    Field::required("repoid", Shape::Text("program and version"), "The program that answers"),
]);
const PONG: Shape = Shape::Object(&[Field::required("pong", Shape::Boolean, "Always true")]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/version", "Show the version of the server", version).returns(VERSION),
        Endpoint::get("/ping", "Show that the server is alive", ping).access(Access::World).returns(PONG),
    ]
}

async fn version(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    let own = concat!("farhold-", env!("CARGO_PKG_VERSION"));
    Ok(Reply::value(json!({ "version": INTERFACE_VERSION, "release": INTERFACE_RELEASE, "repoid": own })))
}

async fn ping(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(json!({ "pong": true })))
}
