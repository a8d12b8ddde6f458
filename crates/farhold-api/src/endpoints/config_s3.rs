//! `/config/s3`: clients of an object storage. Source: `docs/spec/rest-api.md` 11.
//!
//! This server has no such clients, so the list is empty; tools that read the whole configuration ask for it.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_settings::digest_of;

use super::blocking;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::Shape;

/// The file that holds such clients; it is kept, but nothing of it is used.
const FILE: &str = "s3.cfg";

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/config/s3", "List the clients of an object storage: there are none", list)
            .access(Access::InHandler("Anybody: there is nothing to see"))
            .returns(Shape::List(&Shape::Object(&[])))
            .attributes(CONFIG_DIGEST),
    ]
}

async fn list(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let digest = digest_of(app.settings.dir().read(FILE)?.as_deref());
        Ok::<_, ApiError>(Reply::value(Vec::<serde_json::Value>::new()).with_digest(&digest))
    })
    .await
}
