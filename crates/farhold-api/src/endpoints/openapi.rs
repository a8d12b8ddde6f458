//! `/farhold/openapi`: the description of this interface. Our own addition.
//!
//! Open to everybody, so that generators of clients and the page `/api-docs` can read it: it is the same for all servers
//! of a version, and tells nothing about this one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use farhold_jobs::App;

use crate::declare::{Access, Answer, Declaration, Endpoint, Reply, Request, full_body};
use crate::error::ApiError;
use crate::openapi::document;
use crate::schema::Shape;

/// Returns the endpoint that describes `others` and itself.
pub fn endpoint(others: &[Endpoint<App>]) -> Endpoint<App> {
    let text = Arc::new(OnceLock::new());
    let declarations: Arc<OnceLock<Vec<Declaration>>> = Arc::new(OnceLock::new());
    let told = Arc::clone(&declarations);
    let endpoint = Endpoint::get(
        "/farhold/openapi",
        "Describe this interface as an OpenAPI document",
        move |_: Arc<App>, _: Request<App>| {
            let bytes: Bytes =
                text.get_or_init(|| Bytes::from(document(told.get().into_iter().flatten()).to_string())).clone();
            async move { Ok::<_, ApiError>(Reply::raw("application/json", full_body(bytes))) }
        },
    )
    .access(Access::World)
    .answer(Answer::Raw)
    .returns(Shape::Bytes("application/json"));
    let all = others.iter().map(|other| other.declaration.clone()).chain([endpoint.declaration.clone()]);
    declarations.get_or_init(|| all.collect());
    endpoint
}
