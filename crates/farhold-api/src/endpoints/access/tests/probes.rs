//! The recorded probes of authentication (`tests/golden/wire/probe-authentication.jsonl`): statuses and content types.
//!
//! Secrets are blanked in that file, so each label says here what the password was.

use farhold_jobs::testing::TestServer;
use farhold_types::{Authid, Role, Secret};
use regex::Regex;
use serde_json::Value;

use super::{Player, golden};

const PASSWORD: &str = "sync-secret-1";

/// Returns what stood for the password in a login, by the probe's label.
fn password(label: &str, ticket: &str) -> String {
    // The first character of the signature; the last one may hold bits that do not count.
    let mangled = || {
        let (signed, signature) = ticket.split_once("::").unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{signed}::{first}{}", &signature[1..])
    };
    match label {
        "login bad" | "login bad extjs" => "wrong-password".to_owned(),
        "login short pw" => "x".to_owned(),
        "login empty pw" => String::new(),
        "renew mangled" => mangled(),
        "renew" | "renew other user" | "http-only body ticket" | "http-only bad cookie + body ticket" => {
            ticket.to_owned()
        }
        _ => PASSWORD.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_probes_of_authentication_get_the_recorded_status() {
    let server = TestServer::new();
    server.add_datastore_without_chunks("local");
    server.grant("/datastore", "sync@pbs", Role::DatastoreAdmin);
    server.grant("/datastore", "sync@pbs!t1", Role::DatastoreAdmin);
    let access = &server.app.access;
    access.set_password(&"sync@pbs".parse().unwrap(), &Secret::new(PASSWORD)).unwrap();
    let tokenid: Authid = "sync@pbs!t1".parse().unwrap();
    let secret = access.create_token_secret(&tokenid).unwrap();
    let mut player = Player::of(server);
    player.passwords.insert("sync".to_owned(), PASSWORD.to_owned());
    let (ticket, csrf) = player.login("sync").await;

    let ticket_form = Regex::new("PBS(:|%3A)sync(@|%40)pbs(:|%3A)[0-9A-F]{8}(::|%3A%3A)<signature>").unwrap();
    let mut count = 0;
    for line in std::fs::read_to_string(golden("wire/probe-authentication.jsonl")).unwrap().lines() {
        let probe: Value = serde_json::from_str(line).unwrap();
        let Some(label) = probe["label"].as_str() else { continue };
        // Made with the recorded server's keys: tests of farhold-access cover ages and spellings of tickets.
        if label.starts_with("own ") || label.starts_with("csrf ") {
            continue;
        }
        let method = probe["method"].as_str().unwrap();
        let mut request = http::Request::builder().method(method).uri(probe["path"].as_str().unwrap());
        for (name, value) in probe["headers"].as_object().unwrap() {
            let value = ticket_form.replace(value.as_str().unwrap(), |found: &regex::Captures<'_>| {
                if &found[1] == ":" { ticket.clone() } else { ticket.replace(':', "%3A").replace('@', "%40") }
            });
            let value = value.replace("<token>", &csrf).replace("<secret>", secret.expose());
            if !matches!(name.as_str(), "host" | "content-length") {
                request = request.header(name, value);
            }
        }
        let body = probe["body"].as_str().unwrap_or_default();
        let password = password(label, &ticket);
        let password = if body.starts_with('{') { password } else { super::encoded(&password) };
        let request = request.body(body.replace("<secret>", &password).into_bytes()).unwrap();
        let answer = player.send(request, None).await;
        assert_eq!(probe["status"], answer.status, "{label}: {}", answer.body);
        let content_type = probe["resp_headers"]["content-type"].as_str();
        assert_eq!(content_type, answer.content_type.as_deref(), "{label}");
        count += 1;
    }
    assert_eq!(count, 52, "probes played");
}
