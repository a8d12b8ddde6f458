//! `remote probe`: what it says about remotes that are right, wrong, closed and strange, and what it never sends.

use std::fs;
use std::sync::Arc;

use farhold_cli::{ApiCall, ApiCaller, ApiFailure, FAILURE, SUCCESS};
use farhold_types::{Clock, Epoch, Role};
use http::Method;
use serde_json::{Value, json};

use crate::content::{Content, add_snapshot};
use crate::site::{Ran, Site};

const USER: &str = "sync@pbs";
const PASSWORD: &str = "a long password";
const TOKEN: &str = "sync@pbs!t1";

/// A server that can be probed, and the secret of a token that may read one namespace of its store.
async fn remote() -> (Site, String) {
    let mut site = Site::new();
    site.add_store("store1");
    let snapshot = [("a.conf.blob", Content::Blob(b"x"))];
    let store = site.store("store1");
    store.create_namespace(&"site-a".parse().unwrap()).unwrap();
    add_snapshot(&store, "site-a", "host/one/2026-01-01T10:00:00Z", &snapshot);
    site.add_user(USER, PASSWORD);
    let secret = site.add_token(TOKEN);
    for authid in [USER, TOKEN] {
        site.grant("/datastore/store1/site-a", authid, Role::DatastoreReader);
    }
    site.listen().await;
    (site, secret)
}

/// Returns the arguments that describe the remote, with these words behind.
fn describing<'a>(port: &'a str, account: &'a str, secret: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["remote", "probe", "--host", "127.0.0.1", "--port", port, "--auth-id", account, "--password", secret];
    [&words[..], more].concat()
}

/// A step and how it went.
type Step = (&'static str, &'static str);

/// Returns the state of each step, and the whole report.
fn report(ran: &Ran) -> (Vec<(String, String)>, Value) {
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = report["steps"].as_array().unwrap();
    (steps.iter().map(|step| (text(&step["step"]), text(&step["state"]))).collect(), report)
}

/// Asserts how the first steps went; the rest must have been skipped.
#[track_caller]
fn assert_steps(ran: &Ran, expected: &[(&str, &str)]) -> Value {
    let (steps, report) = report(ran);
    let names: Vec<(&str, &str)> = steps.iter().map(|(step, state)| (step.as_str(), state.as_str())).collect();
    assert_eq!(names[..expected.len()], *expected, "{report:#}");
    assert!(names[expected.len()..].iter().all(|(_, state)| *state == "skipped"), "{report:#}");
    assert_eq!(names.len(), 9, "{report:#}");
    let is_usable = !names.iter().any(|(_, state)| *state == "failed");
    assert_eq!((ran.code, &report["usable"]), (if is_usable { SUCCESS } else { FAILURE }, &json!(is_usable)));
    report
}

const GOOD: [(&str, &str); 9] = [
    ("connection", "ok"),
    ("certificate", "ok"),
    ("login", "ok"),
    ("version", "ok"),
    ("clock", "ok"),
    ("datastores", "ok"),
    ("datastore", "ok"),
    ("namespaces", "ok"),
    ("privileges", "ok"),
];

const JSON: [&str; 2] = ["--output-format", "json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_is_right_is_told_to_be_usable_by_ticket_and_by_token() {
    let (remote, secret) = remote().await;
    let (home, port, fingerprint) = (Site::new(), remote.port(), remote.fingerprint());
    let place = ["--fingerprint", &fingerprint, "--remote-store", "store1", "--remote-ns", "site-a"];
    for (account, secret) in [(USER, PASSWORD), (TOKEN, secret.as_str())] {
        let ran = home.run(&describing(&port, account, secret, &[&place[..], &JSON].concat())).await;
        let report = assert_steps(&ran, &GOOD);
        assert_eq!(report["auth-id"], account);
        assert_eq!(report["certificate"]["fingerprint"], fingerprint);
        assert_eq!(report["certificate"]["is-trusted"], false);
        assert_eq!(report["datastores"], json!(["store1"]));
        assert_eq!(report["namespaces"], json!(["site-a"]));
        assert!(report["clock-difference"].as_i64().unwrap().abs() < 5, "{report}");
        assert_eq!(report["privileges"], json!(["Datastore.Audit", "Datastore.Read", "Datastore.Verify"]));
        assert!(!ran.out.contains(secret), "the report tells the secret");
    }
    // The same as text, for a configured remote.
    let words = ["--fingerprint", fingerprint.as_str(), "--port", &port, "--auth-id", TOKEN, "--password", &secret];
    home.run(&[&["remote", "create", "pbs2", "--host", "127.0.0.1"], &words[..]].concat()).await.ok();
    let text = home.run(&["remote", "probe", "pbs2", "--remote-store", "store1", "--remote-ns", "site-a"]).await.ok();
    assert!(
        text.starts_with(&format!("127.0.0.1:{port} as {TOKEN}\n\nok       connection   reached with TLS 1.3\n")),
        "{text}"
    );
    assert!(text.contains("\nok       privileges   enough to pull all groups\n"), "{text}");
    assert!(text.ends_with(&format!("\nFingerprint (sha256): {fingerprint}\n\nThe remote can be used.\n")), "{text}");
    // Nothing is asked about stores that nobody named.
    let ran = home.run(&[&["remote", "probe", "pbs2"], &JSON[..]].concat()).await;
    assert_steps(&ran, &GOOD[..6]);
    assert!(!remote.root().join("etc/remote.cfg").exists(), "a probe changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credentials_go_to_a_server_that_is_not_the_one_meant() {
    let (remote, _) = remote().await;
    let (home, port, fingerprint) = (Site::new(), remote.port(), remote.fingerprint());
    let failed = [("connection", "ok"), ("certificate", "failed")];
    let ran = home.run(&describing(&port, USER, PASSWORD, &JSON)).await;
    let report = assert_steps(&ran, &failed);
    let hint = report["steps"][1]["hint"].as_str().unwrap();
    assert!(hint.ends_with(&format!("then pin it: {fingerprint}")), "{hint}");
    let other = vec!["ab"; 32].join(":");
    let ran = home.run(&describing(&port, USER, PASSWORD, &[&["--fingerprint", &other], &JSON[..]].concat())).await;
    let report = assert_steps(&ran, &failed);
    let text = report["steps"][1]["text"].as_str().unwrap();
    assert_eq!(text, format!("has fingerprint {fingerprint}, expected {other}"));
    // A login would stand there, a failed one too.
    let log = fs::read_to_string(remote.root().join("log/api/auth.log")).unwrap_or_default();
    assert!(!log.contains(USER), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_named_at_its_step() {
    let (remote, secret) = remote().await;
    let (home, port, fingerprint) = (Site::new(), remote.port(), remote.fingerprint());
    let pinned = ["--fingerprint", fingerprint.as_str(), "--output-format", "json"];
    for (account, secret) in [(USER, "another password"), (TOKEN, "00000000-0000-0000-0000-000000000000")] {
        let ran = home.run(&describing(&port, account, secret, &pinned)).await;
        let report = assert_steps(&ran, &[GOOD[0], GOOD[1], ("login", "failed")]);
        assert!(report["steps"][2]["hint"].is_string(), "{report:#}");
    }
    // The token sees the namespace and what is above it, but may do nothing there.
    let cases: [(&[&str], &[Step]); 3] = [
        (&["--remote-store", "nosuch"], &[("datastore", "failed")]),
        (&["--remote-store", "store1", "--remote-ns", "nosuch"], &[GOOD[6], ("namespaces", "failed")]),
        (&["--remote-store", "store1"], &[GOOD[6], GOOD[7], ("privileges", "failed")]),
    ];
    for (place, expected) in cases {
        let ran = home.run(&describing(&port, TOKEN, &secret, &[place, &pinned].concat())).await;
        assert_steps(&ran, &[&GOOD[..6], expected].concat());
    }
    // Nobody listens on the port of a listener that is gone.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ran = home.run(&describing(&closed, USER, PASSWORD, &JSON)).await;
    let report = assert_steps(&ran, &[("connection", "failed")]);
    assert!(report["steps"][0]["text"].as_str().unwrap().contains("cannot connect"), "{report:#}");
    assert_eq!(report["steps"][1]["text"], "an earlier step failed");
}

/// A clock that stands still.
struct At(i64);

impl Clock for At {
    fn now(&self) -> Epoch {
        Epoch(self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told_with_the_difference() {
    let (remote, secret) = remote().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let home = Site::with_clock(Arc::new(At(i64::try_from(now).unwrap() - 3600)));
    let (port, fingerprint) = (remote.port(), remote.fingerprint());
    let pinned = ["--fingerprint", fingerprint.as_str(), "--output-format", "json"];
    let ran = home.run(&describing(&port, TOKEN, &secret, &pinned)).await;
    let report = assert_steps(&ran, &[&GOOD[..4], &[("clock", "warning"), GOOD[5]]].concat());
    let difference = report["clock-difference"].as_i64().unwrap();
    assert!((3600..3700).contains(&difference), "{difference}");
    assert!(report["steps"][4]["text"].as_str().unwrap().ends_with(" s ahead of ours"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_see_a_remote_may_probe_it_and_stored_passwords_stay_with_their_host() {
    let home = Site::new();
    let words = ["--host", "127.0.0.1", "--port", "9", "--auth-id", USER, "--password", PASSWORD];
    home.run(&[&["remote", "create", "pbs2"], &words[..]].concat()).await.ok();
    for name in ["looker@pbs", "nobody@pbs"] {
        home.add_user(name, PASSWORD);
    }
    home.grant("/remote/pbs2", "looker@pbs", Role::RemoteAudit);
    let ask = async |who: &str, params: Value| {
        let params = params.as_object().unwrap().clone();
        home.caller(who).call(ApiCall::new(Method::POST, "/farhold/remotes/probe", params)).await
    };
    let status = |result: Result<_, ApiFailure>| match result {
        Err(ApiFailure::Refused { status, text }) => (status, text),
        Err(other) => panic!("{other}"),
        Ok(farhold_cli::ApiReply { .. }) => (200, String::new()),
    };
    assert_eq!(status(ask("looker@pbs", json!({ "remote": "pbs2" })).await).0, 200);
    // Whether there is such a remote is nobody's business.
    let hidden = status(ask("nobody@pbs", json!({ "remote": "pbs2" })).await);
    let missing = status(ask("nobody@pbs", json!({ "remote": "nosuch" })).await);
    assert_eq!((hidden.0, hidden.1.replace("pbs2", "X")), (403, missing.1.replace("nosuch", "X")));
    // Who may only look cannot make this server connect to where he likes, nor send a stored password there.
    let described = json!({ "host": "127.0.0.1", "port": 9, "auth-id": USER, "password": "x" });
    assert_eq!(status(ask("looker@pbs", described).await).0, 403);
    let (code, text) = status(ask("root@pam", json!({ "remote": "pbs2", "host": "evil.example" })).await);
    assert_eq!(code, 400);
    assert!(text.contains("'host': cannot be given together with a configured remote"), "{text}");
    let (code, text) = status(ask("root@pam", json!({ "host": "127.0.0.1", "auth-id": USER })).await);
    assert!(code == 400 && text.contains("'password'"), "{text}");
}
