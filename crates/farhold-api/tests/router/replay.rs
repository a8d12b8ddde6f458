//! Replays recorded exchanges about HTTP conventions and parameters against the dispatcher and compares what is a
//! contract: status, content type, cookie removal, compression, and which parameters an `extjs` answer blames.

use std::path::Path;

use crate::scene::{ADMIN, NOBODY, Received, router, send};
use serde_json::Value;

fn records(file: &str) -> Vec<Value> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
}

/// Whether the scene has the endpoint of a recorded path, or the path is about no endpoint at all.
fn in_scope(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or("");
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts[..] {
        ["api2", "json" | "extjs", first, ref rest @ ..] => match first {
            "version" | "ping" | "nope" | "nothing" | ".version" | "." | ".." | "%2e" => true,
            "admin" => {
                rest.is_empty()
                    || matches!(rest, ["datastore", _, "groups" | "files" | "snapshots" | "namespace" | "status"])
            }
            "nodes" => matches!(rest, [_, "tasks"]),
            "config" => matches!(rest, [] | ["traffic-control", ..] | ["remote"]),
            "access" => rest.is_empty() || matches!(rest, ["users"] | ["users", _]),
            _ => first.contains('%') || first.starts_with("aaaa"),
        },
        _ => true,
    }
}

fn compare(what: &str, expected: &Value, status: u16, found: &Received, faults: &mut Vec<String>) {
    if found.status != status {
        faults.push(format!("{what}: expected status {status}, found {} {:?}", found.status, found.body));
        return;
    }
    let Ok(expected_body) = expected.as_str().map_or(Ok(expected.clone()), serde_json::from_str::<Value>) else {
        return;
    };
    let Some(errors) = expected_body.get("errors").and_then(Value::as_object) else { return };
    let body = found.json();
    if body["status"] != expected_body["status"] || body["success"] != expected_body["success"] {
        faults.push(format!("{what}: expected {expected_body}, found {body}"));
    }
    let names = |map: Option<&serde_json::Map<String, Value>>| map.map(|m| m.keys().cloned().collect::<Vec<_>>());
    if names(Some(errors)) != names(body["errors"].as_object()) {
        faults.push(format!("{what}: expected errors {errors:?}, found {body}"));
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_formats_are_answered_alike() {
    // Not comparable: the scene has no store content, or we answer better on purpose (261: an empty required list).
    const DIFFERENT: &[u64] = &[261, 262, 263, 264];
    let router = router();
    let (mut count, mut faults) = (0, Vec::new());
    for record in records("api/formats.jsonl") {
        let (Some(seq), Some(path)) = (record["seq"].as_u64(), record["path"].as_str()) else { continue };
        if DIFFERENT.contains(&seq) || record["scheme"] == "http" || !in_scope(path) {
            continue;
        }
        let body = match &record["body"] {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            special => special_body(special),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        match record["as"].as_str().unwrap() {
            "none" => {}
            "nobody" => headers.push(("authorization".into(), NOBODY.into())),
            _ => headers.push(("authorization".into(), ADMIN.into())),
        }
        let given = record["request_headers"].as_object();
        for (name, value) in given.into_iter().flatten() {
            headers.push((name.to_lowercase(), value.as_str().unwrap().into()));
        }
        if let Some(text) =
            record["content_type"].as_str().filter(|_| !headers.iter().any(|(n, _)| n == "content-type"))
        {
            headers.push(("content-type".into(), text.into()));
        }
        let borrowed: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let found = send(&router, record["method"].as_str().unwrap(), path, &borrowed, body).await;
        // Where the reference drops the connection we answer 400.
        let status = record["status"].as_u64().map_or(400, |s| u16::try_from(s).unwrap());
        let what = format!("formats {seq} {} {path:.80}", record["method"]);
        compare(&what, &record["response"], status, &found, &mut faults);
        let content_type = record["response_content_type"].as_str();
        if record["status"].is_u64() && content_type != found.header("content-type") {
            faults.push(format!("{what}: expected {content_type:?}, found {:?}", found.header("content-type")));
        }
        let encoding = record["response_headers"]["content-encoding"].as_str();
        if encoding != found.header("content-encoding") {
            faults.push(format!("{what}: expected encoding {encoding:?}"));
        }
        if (status == 401) != found.headers.contains_key("set-cookie") {
            faults.push(format!("{what}: cookie removal belongs to 401"));
        }
        count += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(200 < count, "only {count} exchanges were replayed");
}

fn special_body(special: &Value) -> Vec<u8> {
    if let Some(parts) = special["$repeat"].as_array() {
        let text = |i: usize| parts[i].as_str().unwrap();
        let times = usize::try_from(parts[2].as_u64().unwrap()).unwrap();
        return format!("{}{}{}", text(0), text(1).repeat(times), text(3)).into_bytes();
    }
    match special["$base64"].as_str() {
        Some("eyJjb21tZW50Ijoi/yJ9") => b"{\"comment\":\"\xff\"}".to_vec(),
        Some("Y29tbWVudD0lRkY=") => b"comment=%FF".to_vec(),
        Some("Y29tbWVudD3DpA==") => "comment=ä".as_bytes().to_vec(),
        _ => panic!("unknown body {special}"),
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_probes_get_the_same_status() {
    let router = router();
    let (mut count, mut faults) = (0, Vec::new());
    for file in ["wire/probe-http-conventions.jsonl", "wire/probe-parameters-and-bodies.jsonl"] {
        for record in records(file) {
            let (Some(path), Some(label)) = (record["path"].as_str(), record["label"].as_str()) else { continue };
            // Forms of credentials are the business of authentication; the records hide what differs between them.
            let about_credentials = label.starts_with("tok") || label.starts_with("badtoken") || label == "AE 401";
            // The web UI and the scene's missing listing of nodes.
            let about_files = matches!(label, "/" | "/novnc" | "AE static" | "dir nodes" | "ns exists");
            if about_credentials || about_files || !in_scope(path) {
                continue;
            }
            let mut body = record["body"].as_str().unwrap_or("").as_bytes().to_vec();
            let length = usize::try_from(record["body_len"].as_u64().unwrap()).unwrap();
            match label {
                "non utf8" => body = b"name=\xff\xff".to_vec(),
                "json nonutf8" => body = b"{\"name\":\"\xff\"}".to_vec(),
                // Long bodies are recorded by their beginning.
                _ if label.starts_with("body ") => body.resize(length, b'a'),
                _ if label.starts_with("json 5") => {
                    body = b"{\"name\":\"q\"}".to_vec();
                    body.resize(length, b' ');
                }
                _ => {}
            }
            let recorded = |name: &str| record["headers"][name].as_str();
            let mut headers = Vec::new();
            if recorded("authorization").is_some_and(|a| a.starts_with("PBSAPIToken ")) {
                headers.push(("authorization", ADMIN));
            }
            headers.extend(["content-type", "accept-encoding"].iter().filter_map(|n| Some((*n, recorded(n)?))));
            let found = send(&router, record["method"].as_str().unwrap(), path, &headers, body).await;
            let status = record["status"].as_u64().map_or(400, |s| u16::try_from(s).unwrap());
            let what = format!("{file} '{label}' {path:.80}");
            compare(&what, &record["resp_body"], status, &found, &mut faults);
            let encoding = record["resp_headers"]["content-encoding"].as_str();
            if encoding != found.header("content-encoding") {
                faults.push(format!("{what}: expected encoding {encoding:?}"));
            }
            if (status == 401) != found.headers.contains_key("set-cookie") {
                faults.push(format!("{what}: cookie removal belongs to 401"));
            }
            count += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(120 < count, "only {count} exchanges were replayed");
}
