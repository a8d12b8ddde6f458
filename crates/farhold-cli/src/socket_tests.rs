//! Calls over a real socket, to a server that writes prepared bytes.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;
use crate::fixture::block_on;

/// Answers one call with these bytes; returns the result and the request as it arrived.
fn exchange(method: Method, path: &str, params: Value, response: &str) -> (Result<ApiReply, ApiFailure>, String) {
    block_on(async {
        let folder = tempfile::tempdir().expect("folder");
        let path_of_socket = folder.path().join("socket");
        let listener = UnixListener::bind(&path_of_socket).expect("socket");
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("connection");
            let mut request = vec![0; 64 * 1024];
            // The requests here are small enough to arrive at once.
            let length = stream.read(&mut request).await.expect("request");
            stream.write_all(response.as_bytes()).await.expect("response");
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let params = params.as_object().cloned().unwrap_or_default();
        let caller = SocketCaller::new(&path_of_socket);
        tokio::join!(caller.call(ApiCall::new(method, path, params)), server)
    })
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn reading_sends_parameters_in_the_query() {
    let answer = response("200 OK", r#"{"data":[1],"total":7}"#);
    let params = json!({"name": "a@b", "ns": "x/y", "flag": true, "list": ["1", "2"]});
    let (result, request) = exchange(Method::GET, "/config/remote/{name}", params, &answer);
    let reply = result.expect("an answer");
    assert_eq!(reply.data, json!([1]));
    assert_eq!(reply.attributes.get("total"), Some(&json!(7)));
    let first = request.lines().next().unwrap_or_default();
    assert_eq!(first, "GET /api2/json/config/remote/a%40b?flag=true&list=1&list=2&ns=x%2Fy HTTP/1.1");
}

#[test]
fn writing_sends_parameters_as_json() {
    let (result, request) =
        exchange(Method::POST, "/pull", json!({"a": 1, "b": ["x"]}), &response("200 OK", r#"{"data":null}"#));
    assert_eq!(result.expect("an answer").data, Value::Null);
    let request = request.to_ascii_lowercase();
    assert!(request.starts_with("post /api2/json/pull http/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.ends_with(r#"{"a":1,"b":["x"]}"#), "{request}");
}

#[test]
fn failures_keep_status_and_text() {
    let (result, _) = exchange(Method::GET, "/x", json!({}), &response("404 Not Found", "no such thing\n"));
    match result {
        Err(failure @ ApiFailure::Refused { status: 404, .. }) => {
            assert_eq!(failure.to_string(), "no such thing");
            assert!(failure.is_not_found());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_that_are_no_answers_are_reported() {
    for bytes in [response("200 OK", "nonsense"), response("200 OK", "[]"), "garbage\r\n\r\n".to_owned(), String::new()]
    {
        let (result, _) = exchange(Method::GET, "/x", json!({}), &bytes);
        assert!(matches!(result, Err(ApiFailure::BadAnswer { .. })), "{bytes:?}: {result:?}");
    }
}

#[test]
fn a_daemon_is_found_only_where_one_answers() {
    let folder = tempfile::tempdir().expect("folder");
    let missing = folder.path().join("missing");
    assert!(matches!(block_on(SocketCaller::find(&missing)), Ok(None)));
    // A socket that a daemon left behind: nobody listens any more.
    let stale = folder.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("socket"));
    assert!(matches!(block_on(SocketCaller::find(&stale)), Ok(None)));
}
