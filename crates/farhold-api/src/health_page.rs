//! The page `/health`: whether the server works, for load balancers and watchdogs that cannot log in.
//!
//! It tells one word and no details, so it is open to everybody.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use farhold_jobs::{Health, Verdict};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::declare::{Body, full_body};
use crate::dispatch::Fallback;

/// Where the page is.
const PATH: &str = "/health";

/// Returns what answers `/health`, and hands everything else on to `next`.
pub fn fallback(health: Health, next: Fallback) -> Fallback {
    Arc::new(move |request| match request.uri().path() {
        PATH => Box::pin(ready(answer(&health.verdict()))),
        _ => next(request),
    })
}

/// Returns 200 if all is well, else 503.
fn answer(verdict: &Verdict) -> Response<Body> {
    if let Verdict::Stuck(loops) = verdict {
        tracing::warn!("the server says that it is not well, since these loops are stuck: {}", loops.join(", "));
    }
    let text = format!("{{\"status\":\"{}\"}}\n", verdict.as_str());
    let mut response = Response::new(full_body(Bytes::from(text)));
    *response.status_mut() = if *verdict == Verdict::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::declare::empty_body;
    use crate::docs_page;

    async fn ask(page: &Fallback, path: &str) -> (u16, String) {
        let request = http::Request::get(path).body(empty_body()).unwrap();
        let response = page(request).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_page_tells_one_word_and_leaves_other_pages_alone() {
        let health = Health::default();
        let page = fallback(health.clone(), docs_page::fallback());
        assert_eq!(ask(&page, "/health").await, (503, "{\"status\":\"starting\"}\n".to_owned()));
        health.serving();
        assert_eq!(ask(&page, "/health").await, (200, "{\"status\":\"ok\"}\n".to_owned()));
        let stuck = health.watch("scheduler", std::time::Duration::ZERO);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(ask(&page, "/health").await, (503, "{\"status\":\"stuck\"}\n".to_owned()));
        stuck.finish();
        health.stopping();
        assert_eq!(ask(&page, "/health").await, (503, "{\"status\":\"stopping\"}\n".to_owned()));
        assert_eq!((ask(&page, "/healthy").await.0, ask(&page, "/api-docs").await.0), (404, 200));
    }
}
