//! The web interface over HTTP: the index at `/` and the files beside it.
//!
//! Everything is open to everybody: it is the same for all, and what it shows comes through the REST interface. Other
//! sites can neither show it inside of their pages nor run anything in it (`docs/web-interface.md`).

use std::future::ready;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use farhold_api::Fallback;
use farhold_api::declare::{Body, empty_body, full_body};
use farhold_types::Randomness;
use farhold_ui::File;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// For as long as HTTP knows, since the name changes with the content: one year.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// May be kept, but the server is asked every time.
const ASK_FIRST: HeaderValue = HeaderValue::from_static("no-cache");

/// What every answer says besides its own.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
         microphone=(), midi=(), payment=(), usb=()",
    ),
];

/// Bytes of a nonce: more than anybody guesses while a page loads.
const NONCE_BYTES: usize = 16;

/// Returns what answers GET requests for the interface, and hands everything else on to `next`.
pub fn fallback(randomness: Arc<dyn Randomness>, next: Fallback) -> Fallback {
    Arc::new(move |request| {
        // As in the API: empty components do not count.
        let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            let mut nonce = [0; NONCE_BYTES];
            randomness.fill(&mut nonce);
            return Box::pin(ready(index(&STANDARD.encode(nonce))));
        }
        match farhold_ui::file(&parts.join("/")) {
            Some(file) => Box::pin(ready(answer(file, request.headers()))),
            None => next(request),
        }
    })
}

/// Returns the page at the root. It carries a nonce, so it never is the same twice.
fn index(nonce: &str) -> Response<Body> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(full_body(Bytes::from(farhold_ui::index(nonce))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, ASK_FIRST);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).expect("base64 is visible ASCII"));
    insert_common(headers);
    response
}

/// Returns one file, compressed if there is such a form and the caller takes it.
fn answer(file: File, request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(empty_body());
    let headers = response.headers_mut();
    insert_common(headers);
    if file.gzip.is_some() {
        headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
    if file.is_immutable() {
        headers.insert(CACHE_CONTROL, FOR_EVER);
    } else {
        headers.insert(CACHE_CONTROL, ASK_FIRST);
        // Weak, since it is the same for both forms.
        let tag = format!("W/\"{}\"", file.tag);
        let is_known = names_tag(request, &tag);
        headers.insert(ETAG, HeaderValue::try_from(tag).expect("hex digits are visible ASCII"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    let bytes = match file.gzip {
        Some(gzip) if takes_gzip(request) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip
        }
        _ => file.bytes,
    };
    *response.body_mut() = full_body(Bytes::from_static(bytes));
    response
}

fn insert_common(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// Returns the members of a header that is a list.
fn members(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).collect()
}

/// Returns whether the caller has the content with this tag. Tags are compared weakly, as `If-None-Match` does.
fn names_tag(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    members(request, IF_NONE_MATCH).into_iter().any(|member| member == "*" || opaque(member) == opaque(tag))
}

/// Returns whether the caller takes gzip: it, or everything, is named with a weight that is not zero.
fn takes_gzip(request: &HeaderMap) -> bool {
    let mut of_all = false;
    for member in members(request, ACCEPT_ENCODING) {
        let mut parts = member.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let is_taken = weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| 0.0 < weight));
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            return is_taken;
        }
        if coding == "*" {
            of_all = is_taken;
        }
    }
    of_all
}

#[cfg(test)]
mod tests {
    use farhold_api::docs_page;
    use http_body_util::BodyExt as _;

    use super::*;

    const SCRIPT: File = File {
        path: "assets/index-4fe1.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: b"let a = 1",
        gzip: Some(b"packed"),
        tag: "00000000000000aa",
    };

    const ICON: File =
        File { path: "favicon.svg", content_type: "image/svg+xml", bytes: b"<svg/>", gzip: None, ..SCRIPT };

    /// Counts upwards, so that no two nonces are the same.
    struct Counter(std::sync::atomic::AtomicU8);

    impl Randomness for Counter {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        }
    }

    fn request(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, is_taken) in [
            (None, false),
            (Some(""), false),
            (Some("gzip"), true),
            (Some("GZIP"), true),
            (Some("deflate, gzip;q=1.0, *;q=0.5"), true),
            (Some("deflate, br"), false),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.000"), false),
            (Some("gzip;q=0.001"), true),
            (Some("*"), true),
            (Some("*, gzip;q=0"), false),
            (Some("*;q=0"), false),
            (Some("gzip;q=much"), false),
            (Some("gzipped"), false),
        ] {
            let headers = accepted.map_or_else(HeaderMap::new, |value| request(&[("accept-encoding", value)]));
            assert_eq!(takes_gzip(&headers), is_taken, "{accepted:?}");
        }
    }

    #[tokio::test]
    async fn a_hashed_file_is_kept_for_ever_in_either_form() {
        let packed = answer(SCRIPT, &request(&[("accept-encoding", "gzip, deflate, br")]));
        let plain = answer(SCRIPT, &request(&[("if-none-match", "*")]));
        for response in [&packed, &plain] {
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
            assert_eq!(response.headers()["vary"], "accept-encoding");
            assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        assert!(!plain.headers().contains_key("content-encoding"));
        assert_eq!((text(packed).await.as_str(), text(plain).await.as_str()), ("packed", "let a = 1"));
    }

    #[tokio::test]
    async fn a_file_without_a_hash_is_sent_again_only_if_it_changed() {
        for (known, status) in [
            ("\"00000000000000aa\"", 304),
            ("W/\"00000000000000aa\"", 304),
            ("\"x\", W/\"00000000000000aa\"", 304),
            ("*", 304),
            ("\"00000000000000ab\"", 200),
            ("00000000000000aa", 200),
        ] {
            let response = answer(ICON, &request(&[("if-none-match", known), ("accept-encoding", "gzip")]));
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(response.headers()["etag"], "W/\"00000000000000aa\"");
            assert_eq!(response.headers()["cache-control"], "no-cache");
            assert!(!response.headers().contains_key("content-encoding"));
            assert_eq!(text(response).await, if status == 200 { "<svg/>" } else { "" }, "{known}");
        }
    }

    #[tokio::test]
    async fn every_index_has_a_nonce_of_its_own_that_its_policy_names() {
        let page = fallback(Arc::new(Counter(0.into())), docs_page::fallback());
        let mut nonces = Vec::new();
        for path in ["/", "//"] {
            let response = page(http::Request::get(path).body(empty_body()).unwrap()).await;
            assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (200, &ASK_FIRST));
            assert!(!response.headers().contains_key("etag"));
            let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
            let (_, rest) = policy.split_once("'nonce-").unwrap();
            let nonce = rest.split('\'').next().unwrap().to_owned();
            assert_eq!(nonce.len(), 24);
            assert!(text(response).await.contains(&format!("\"{nonce}\"")), "{nonce}");
            nonces.push(nonce);
        }
        assert_ne!(nonces[0], nonces[1]);
    }

    #[tokio::test]
    async fn other_pages_stay_where_they_are() {
        let page = fallback(Arc::new(Counter(0.into())), docs_page::fallback());
        for (path, status) in [("/api-docs", 200), ("/index.html", 404), ("/assets", 404), ("/assets/none.js", 404)] {
            let response = page(http::Request::get(path).body(empty_body()).unwrap()).await;
            assert_eq!(response.status(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn every_embedded_file_is_served_at_its_path() {
        let page = fallback(Arc::new(Counter(0.into())), docs_page::fallback());
        for file in farhold_ui::files().filter(|file| file.path != "index.html") {
            let response = page(http::Request::get(format!("/{}", file.path)).body(empty_body()).unwrap()).await;
            assert_eq!(response.status(), 200, "{}", file.path);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), file.bytes, "{}", file.path);
        }
    }
}
