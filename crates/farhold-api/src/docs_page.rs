//! The page `/api-docs`, which shows the OpenAPI document: plain files in the program, nothing from elsewhere.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};

use crate::declare::{Body, full_body};
use crate::dispatch::{Fallback, plain};

/// Path, content type, content.
const FILES: [(&str, &str, &str); 3] = [
    ("/api-docs", "text/html; charset=utf-8", include_str!("../assets/api-docs/index.html")),
    ("/api-docs/page.css", "text/css; charset=utf-8", include_str!("../assets/api-docs/page.css")),
    ("/api-docs/page.js", "text/javascript; charset=utf-8", include_str!("../assets/api-docs/page.js")),
];

/// The page loads its own files and asks its own server, and nothing else; no other page may show it inside of itself.
const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Returns what answers GET requests outside of the API: the page, and 404 for everything else.
pub fn fallback() -> Fallback {
    Arc::new(|request| {
        let response = file(request.uri().path()).unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "no such file"));
        Box::pin(ready(response))
    })
}

/// Returns the file of the page at this path, if there is one. The path may end with one `/`.
pub fn file(path: &str) -> Option<Response<Body>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let (_, content_type, content) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = Response::new(full_body(Bytes::from_static(content.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // The files change with the program.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_there_and_nothing_else() {
        for path in ["/api-docs", "/api-docs/", "/api-docs/page.js", "/api-docs/page.css"] {
            let response = file(path).unwrap();
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        }
        for path in ["/", "", "/api-docs/index.html", "/api-docs//", "/api-docs/../etc/passwd"] {
            assert!(file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_page_refers_to_its_own_server_only() {
        for (path, _, content) in FILES {
            assert!(!content.contains("://"), "{path}");
            assert!(!content.contains("style=") && !content.contains("<script>"), "{path}: inline code is not run");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let (_, _, page) = FILES[0];
        let named = page.split(['"', '\'']).filter(|text| text.starts_with("/api-docs/"));
        assert_eq!(named.clone().count(), 2);
        for path in named {
            assert!(file(path).is_some(), "{path}");
        }
    }
}
