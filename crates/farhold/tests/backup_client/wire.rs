//! The requests that commands send, beside those that the reference's client was recorded to send.
//!
//! A peer that is only a list of recorded exchanges answers. Source: `tests/golden/wire/client-*.jsonl`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use farhold_protocol::query::Query;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::content::golden;
use crate::desk::Desk;

/// One line of a recording, as far as it is an exchange.
#[derive(Clone, Debug, Deserialize)]
struct Exchange {
    method: String,
    path: String,
    #[serde(default)]
    body: Option<String>,
    status: u16,
    #[serde(default)]
    resp_body: Option<String>,
}

impl Exchange {
    /// What matters about the request: method, path, parameters in any order.
    fn request(&self) -> (String, String, Vec<(String, String)>) {
        request(&self.method, &self.path, self.body.as_deref())
    }
}

fn request(method: &str, target: &str, body: Option<&str>) -> (String, String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs = Query::parse(query).unwrap().pairs().to_vec();
    if let Some(Value::Object(members)) = body.and_then(|body| serde_json::from_str(body).ok()) {
        for (name, value) in members {
            // Recordings hide secrets. An absent parent is the root, as an empty one is.
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match name.as_str() {
                "password" => pairs.push((name, "<secret>".to_owned())),
                "parent" if text.is_empty() => {}
                _ => pairs.push((name, text)),
            }
        }
    }
    pairs.sort();
    (method.to_owned(), path.to_owned(), pairs)
}

fn recorded(name: &str) -> Vec<Exchange> {
    let text = std::fs::read_to_string(golden(&format!("wire/{name}.jsonl"))).unwrap();
    text.lines().filter(|line| line.contains("\"method\"")).map(|line| serde_json::from_str(line).unwrap()).collect()
}

type Seen = Arc<Mutex<Vec<(String, String, Vec<(String, String)>)>>>;

/// Answers with the recorded answers, in order, and remembers the requests. Returns port and fingerprint.
async fn peer(exchanges: Vec<Exchange>, seen: Seen) -> (u16, String) {
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![identity.cert.der().clone()];
    let fingerprint = farhold_types::Fingerprint(*farhold_crypto::sha256(&chain[0]).as_bytes()).to_string();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = Arc::new(Mutex::new(exchanges.into_iter()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
            let service = service_fn(move |asked: Request<Incoming>| {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                async move {
                    let (head, body) = asked.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let target = head.uri.to_string();
                    let text = std::str::from_utf8(&body).ok();
                    seen.lock().unwrap().push(request(head.method.as_str(), &target, text));
                    let answer = answers.lock().unwrap().next();
                    let (status, text) = answer.map_or((500, "not recorded".to_owned()), |exchange| {
                        (exchange.status, exchange.resp_body.unwrap_or_else(|| "recorded refusal".to_owned()))
                    });
                    let response = Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, fingerprint)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_send_the_recorded_requests() {
    let token = "sync@pbs!t1";
    let new = "vm/100/2026-01-02T10:00:00Z";
    let cases: [(&str, &str, &[&str], u8); 15] = [
        ("client-group-list", token, &["list"], 0),
        ("client-snapshot-list", token, &["snapshot", "list"], 0),
        ("client-snapshot-list-group-ns", token, &["snapshot", "list", "host/small", "--ns", "site-a"], 0),
        ("client-snapshot-files", token, &["snapshot", "files", "vm/100/2026-01-01T10:00:00Z"], 0),
        ("client-namespace-list", token, &["namespace", "list"], 0),
        ("client-namespace-create", token, &["namespace", "create", "site-a"], 0),
        ("client-notes-show", token, &["snapshot", "notes", "show", new], 0),
        ("client-notes-update", token, &["snapshot", "notes", "update", new, "a note"], 0),
        ("client-protected-update", token, &["snapshot", "protected", "update", new, "true"], 0),
        ("client-forget", token, &["snapshot", "forget", "vm/100/2026-01-03T10:00:00Z"], 0),
        ("client-forget-protected-refused", token, &["snapshot", "forget", new], 255),
        ("client-status", token, &["status"], 0),
        ("client-version", token, &["version"], 0),
        ("client-upload-log", token, &["snapshot", "upload-log", "vm/100/2026-01-01T10:00:00Z", "LOG"], 0),
        ("client-login-password-list", "sync@pbs", &["snapshot", "list", "vm/100"], 0),
    ];
    for (name, account, arguments, code) in cases {
        let exchanges = recorded(name);
        let expected: Vec<_> = exchanges.iter().map(Exchange::request).collect();
        let seen = Seen::default();
        let (port, fingerprint) = peer(exchanges, Arc::clone(&seen)).await;
        let mut desk = Desk::new();
        desk.set("PBS_REPOSITORY", &format!("{account}@127.0.0.1:{port}:tank"));
        desk.set("PBS_PASSWORD", "a password");
        desk.set("PBS_FINGERPRINT", &fingerprint);
        let log = desk.file("log", b"a log\n");
        let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "LOG" { &log } else { *word }).collect();
        let ran = desk.run(&arguments).await;
        assert_eq!(ran.code, code, "{name}: {}", ran.err);
        let seen = seen.lock().unwrap();
        assert_eq!(*seen, expected, "{name}");
    }
}
