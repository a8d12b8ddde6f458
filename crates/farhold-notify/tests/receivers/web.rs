//! Calls of a real web server.

use std::collections::BTreeMap;

use farhold_client::HttpProxy;
use farhold_notify::{DeliveryError, Event, Method, NamedTemplate, Outside, Target, TargetKind, deliver};
use farhold_types::Secret;
use serde_json::{Value, json};

use crate::support::{self, Authority, event, outside, ping, severities, shown, target, webhook, words};
use crate::web_server::WebServer;

fn gotify(server: String, token: &str) -> Target {
    target(TargetKind::Gotify { server, token: Secret::new(token) })
}

fn hook(method: Method, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Target {
    let header =
        |(name, template): &(&str, &str)| NamedTemplate { name: (*name).to_owned(), template: Secret::new(*template) };
    target(TargetKind::Webhook {
        method,
        url: Secret::new(url),
        headers: headers.iter().map(header).collect(),
        body: body.map(Secret::new),
        secrets: BTreeMap::from([
            ("token".to_owned(), Secret::new("hunter2")),
            ("odd".to_owned(), Secret::new("a b/c\r\nd")),
        ]),
    })
}

#[tokio::test]
async fn a_message_arrives_at_gotify_with_its_priority() {
    let server = WebServer::start(None, 200, None).await;
    for (severity, priority) in severities().into_iter().zip([1, 3, 5, 9, 3]) {
        let event = Event { severity, ..event() };
        // A slash at the end of the address is not doubled.
        deliver(&gotify(server.url("/sub/"), "tok"), &event, &words(), &outside()).await.unwrap();
        let called = server.calls().pop().unwrap();
        assert_eq!((called.method.as_str(), called.target.as_str()), ("POST", "/sub/message"));
        assert_eq!(called.header("x-gotify-key"), Some("tok"));
        assert_eq!(called.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(&called.body).unwrap();
        let expected = json!({"title": words().title, "message": words().body_text, "priority": priority});
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_web_hook_is_called_as_its_templates_say() {
    let server = WebServer::start(None, 204, None).await;
    let url = server
        .url("/{{secrets.token}}/{{url-encode secrets.odd}}?s={{severity}}&t={{timestamp}}&j={{fields.job-id}}#x");
    let body =
        r#"{"text": "{{escape message}}", "fields": {{json fields}}, "title": {{json title}}, "no": "{{nothing}}"}"#;
    let headers = [
        ("Authorization", "Bearer {{secrets.token}}"),
        ("X-Kind", "{{fields.type}}"),
        ("Content-Type", "application/json"),
    ];
    for (method, name) in [(Method::Post, "POST"), (Method::Put, "PUT")] {
        support::deliver(&hook(method, &url, &headers, Some(body)), &outside()).await.unwrap();
        let called = server.calls().pop().unwrap();
        assert_eq!(called.method, name);
        assert_eq!(called.target, "/hunter2/a%20b%2Fc%0D%0Ad?s=error&t=1795383030&j=bad");
        assert_eq!(called.header("authorization"), Some("Bearer hunter2"));
        assert_eq!(called.header("x-kind"), Some("sync"));
        assert!(called.header("user-agent").unwrap().starts_with("farhold/"));
        assert_eq!(called.header("host"), Some(format!("127.0.0.1:{}", server.port).as_str()));
        let body: Value = serde_json::from_str(&called.body).unwrap();
        let expected = json!({"text": words().body_text, "fields": event().fields, "title": words().title, "no": ""});
        assert_eq!(body, expected);
    }
    support::deliver(&hook(Method::Get, &url, &[], None), &outside()).await.unwrap();
    let called = server.calls().pop().unwrap();
    assert_eq!((called.method.as_str(), called.body.as_str()), ("GET", ""));
}

#[tokio::test]
async fn a_ping_is_a_mere_call() {
    let server = WebServer::start(None, 200, None).await;
    let url = format!("http://me:p%40ss@localhost:{}/ping/1", server.port);
    support::deliver(&ping(&url), &outside()).await.unwrap();
    let [called] = &server.calls()[..] else { panic!() };
    assert_eq!((called.method.as_str(), called.target.as_str(), called.body.as_str()), ("GET", "/ping/1", ""));
    assert_eq!(called.header("authorization"), Some("Basic bWU6cEBzcw=="));
    assert_eq!(called.header("host"), Some(format!("localhost:{}", server.port).as_str()));
}

#[tokio::test]
async fn https_needs_a_trusted_authority_and_the_right_name() {
    let authority = Authority::new();
    for (name, is_right) in [("localhost", true), ("other.example", false)] {
        let server = WebServer::start(Some(authority.acceptor(name)), 200, None).await;
        let url = format!("https://localhost:{}/hunter2", server.port);
        let trusting = Outside { trust: authority.trust.clone(), ..outside() };
        let result = support::deliver(&ping(&url), &trusting).await;
        assert_eq!(result.is_ok(), is_right, "{result:?}");
        let error = support::deliver(&ping(&url), &outside()).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Tls(_)) && !error.is_permanent(), "{error:?}");
        assert!(!shown(&error).contains("hunter2"));
        assert_eq!(server.calls().len(), usize::from(is_right));
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let other = WebServer::start(None, 200, None).await;
    for status in [301, 302, 303, 307, 308] {
        let server = WebServer::start(None, status, Some(("location", other.url("/taken")))).await;
        let error = support::deliver(&gotify(server.url(""), "tok"), &outside()).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Status { .. }) && !error.is_permanent(), "{error:?}");
    }
    assert_eq!(other.calls().len(), 0);
}

#[tokio::test]
async fn a_refusal_says_its_status_and_nothing_that_is_secret() {
    for (status, is_permanent) in [
        (400, true),
        (401, false),
        (403, false),
        (404, false),
        (413, true),
        (422, true),
        (429, false),
        (500, false),
        (503, false),
    ] {
        let server = WebServer::start(None, status, None).await;
        let url = server.url("/{{secrets.token}}");
        let hook = hook(Method::Post, &url, &[("x-token", "{{secrets.token}}")], Some("{{secrets.token}}"));
        for target in [hook, gotify(server.url(""), "hunter2"), ping(&server.url("/hunter2"))] {
            let error = support::deliver(&target, &outside()).await.unwrap_err();
            assert_eq!(error.is_permanent(), is_permanent, "{status}: {error:?}");
            let shown = shown(&error);
            assert!(shown.contains(&status.to_string()) && !shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(server.calls().len(), 3);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let server = WebServer::start(None, 200, None).await;
    let url = server.url("/");
    let cases: [(Target, &str); 8] = [
        (hook(Method::Post, &url, &[("x-token", "{{secrets.odd}}")], None), "header"),
        (hook(Method::Post, &url, &[("x token", "1")], None), "header"),
        (hook(Method::Post, &url, &[("Content-Length", "1")], None), "header"),
        (hook(Method::Post, &url, &[("transfer-encoding", "chunked")], None), "header"),
        (hook(Method::Post, &format!("{url}{{{{secrets.odd}}}}"), &[], None), "URL"),
        (hook(Method::Post, "ftp://localhost/{{secrets.token}}", &[], None), "URL"),
        (hook(Method::Post, "{{secrets.token}}", &[], None), "URL"),
        (hook(Method::Post, &url, &[], Some("{{#if secrets.token}}")), "template"),
    ];
    for (target, what) in cases {
        let error = support::deliver(&target, &outside()).await.unwrap_err();
        assert!(error.is_permanent(), "{error:?}");
        let shown = shown(&error);
        assert!(shown.contains(what) && !shown.contains("hunter2") && !shown.contains("secrets"), "{shown}");
    }
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn the_proxy_of_the_node_passes_calls_of_http_on() {
    let proxy = WebServer::start(None, 200, None).await;
    let text = format!("http://me:pw@127.0.0.1:{}", proxy.port);
    let through = Outside { http_proxy: Some(HttpProxy::parse(&text).unwrap()), ..outside() };
    support::deliver(&webhook("http://hooks.example:8080/a?b=c"), &through).await.unwrap();
    let [called] = &proxy.calls()[..] else { panic!() };
    assert_eq!(called.target, "http://hooks.example:8080/a?b=c");
    assert_eq!(called.header("host"), Some("hooks.example:8080"));
    assert_eq!(called.header("proxy-authorization"), Some("Basic bWU6cHc="));
    // Calls of https are carried through; this proxy does not do that.
    let error = support::deliver(&webhook("https://hooks.example/hunter2"), &through).await.unwrap_err();
    assert!(!error.is_permanent() && !shown(&error).contains("hunter2"), "{}", shown(&error));
    assert!(!shown(&error).contains("pw"), "{}", shown(&error));
}

#[tokio::test]
async fn the_proxy_of_the_node_carries_calls_of_https() {
    let authority = Authority::new();
    let server = WebServer::start(Some(authority.acceptor("hooks.example")), 200, None).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let port = server.port;
    let proxy = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n").await.unwrap();
        let mut there = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
        String::from_utf8(head).unwrap()
    });
    let trust = authority.trust.clone();
    let through = Outside { http_proxy: Some(HttpProxy::parse(&text).unwrap()), trust, ..outside() };
    support::deliver(&ping("https://hooks.example/x"), &through).await.unwrap();
    assert_eq!(server.calls()[0].target, "/x");
    assert!(proxy.await.unwrap().starts_with("CONNECT hooks.example:443 HTTP/1.1\r\n"));
}
