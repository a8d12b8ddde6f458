//! Targets of notifications: what is refused when they are made, and a test that reaches a real listener.

use std::sync::Arc;

use farhold_jobs::testing::TestServer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::desk::{Desk, ROOT, USER, with};

const GOTIFY: &str = "/config/notifications/endpoints/gotify";
const WEBHOOK: &str = "/config/notifications/endpoints/webhook";

fn gotify(server: &str) -> Value {
    json!({ "name": "phone", "server": server, "token": "hunter2" })
}

fn webhook(url: &str) -> Value {
    json!({ "name": "hook", "method": "post", "url": url })
}

#[tokio::test(start_paused = true)]
async fn an_address_that_can_never_be_called_is_refused_when_it_is_set() {
    let desk = Desk::new();
    for nonsense in ["nonsense", "gotify.example.com", "ftp://example.com/x", "mailto:me@example.com", "http://"] {
        desk.post(ROOT, GOTIFY, gotify(nonsense)).await.refused(400, &["server", "http://"]);
        desk.post(ROOT, WEBHOOK, webhook(nonsense)).await.refused(400, &["url", "http://"]);
    }
    desk.post(ROOT, WEBHOOK, webhook("https://example.com/{{title")).await.refused(400, &["url", "template"]);
    // Where a secret may be the whole address, nobody knows it.
    for good in ["http://hook.example.com/x", "{{ secrets.url }}", "https://example.com:8443/{{url-encode title}}"] {
        desk.post(ROOT, WEBHOOK, webhook(good)).await.data();
        desk.delete(ROOT, &format!("{WEBHOOK}/hook")).await.data();
    }
    desk.post(ROOT, GOTIFY, gotify("http://gotify.example.com")).await.data();
    let phone = format!("{GOTIFY}/phone");
    desk.put(ROOT, &phone, json!({ "server": "nonsense" })).await.refused(400, &["server", "http://"]);
    assert_eq!(desk.get(ROOT, &phone).await.data()["server"], "http://gotify.example.com");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_stored_with_nonsense_can_be_changed_and_its_test_says_what_is_wrong() {
    let desk = Desk::new();
    let text = "webhook: hook\n\tmethod post\n\turl nonsense/hunter2\n";
    std::fs::write(desk.server.folder().join("etc/notifications.cfg"), text).unwrap();
    desk.put(ROOT, &format!("{WEBHOOK}/hook"), json!({ "comment": "new" })).await.data();
    let told = desk.post(ROOT, "/config/notifications/targets/hook/test", json!({})).await;
    told.refused(400, &["URL"]);
    assert!(!told.body.contains("hunter2"), "{}", told.body);
    desk.put(ROOT, &format!("{WEBHOOK}/hook"), json!({ "url": "http://hook.example.com" })).await.data();
}

/// Answers one call and returns it.
async fn one_call(listener: TcpListener, status: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    let is_whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        length <= body.len()
    };
    while !is_whole(&request) {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

#[tokio::test]
async fn a_test_arrives_at_the_receiver_or_says_why_not() {
    let desk = Desk::new();
    let test = "/config/notifications/targets/phone/test";
    desk.post(USER, test, json!({})).await.refused(403, &[]);
    desk.post(ROOT, test, json!({})).await.refused(404, &["phone"]);
    for status in ["200 OK", "401 Unauthorized"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = json!({ "server": format!("http://127.0.0.1:{port}") });
        let made = match status {
            "200 OK" => desk.post(ROOT, GOTIFY, with(gotify(""), server)).await,
            _ => desk.put(ROOT, &format!("{GOTIFY}/phone"), server).await,
        };
        made.data();
        let called = tokio::spawn(one_call(listener, status));
        let answer = desk.post(ROOT, test, json!({})).await;
        let request = called.await.unwrap();
        assert!(request.starts_with("POST /message HTTP/1.1\r\n"), "{request}");
        assert!(request.to_ascii_lowercase().contains("\r\nx-gotify-key: hunter2\r\n"), "{request}");
        assert!(request.contains("'phone'") && request.contains("Test of a notification target"), "{request}");
        match status {
            "200 OK" => assert_eq!(answer.data(), Value::Null),
            _ => answer.refused(400, &["401"]),
        }
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
}

#[test]
fn stored_targets_of_any_form_are_still_read() {
    let server = TestServer::new();
    let text = "gotify: phone\n\tserver nonsense\n";
    std::fs::write(server.folder().join("etc/notifications.cfg"), text).unwrap();
    let loaded = Arc::clone(&server.app).settings.notifications().load().unwrap();
    assert!(loaded.entries.contains("phone"));
}
