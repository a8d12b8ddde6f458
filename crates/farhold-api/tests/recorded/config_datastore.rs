//! The configuration of datastores: creation, change, removal.

use std::collections::HashMap;

use farhold_format::task_log::TaskStatus;
use farhold_jobs::Operation;
use serde_json::{Value, json};

use crate::replay::{Exchange, Replayed, exchanges, sorted};

/// Exchanges that we answer otherwise, with the reason.
const DIFFERS: [(std::ops::RangeInclusive<u32>, &str); 5] = [
    (103..=103, "removable stores cannot be created yet; the recorded task fails, since the device is missing"),
    (198..=203, "the modes that the server sets by itself are refused: rest-api.md 19 (7)"),
    (258..=281, "unknown words in property strings are refused: rest-api.md 19 (24)"),
    (288..=293, "as above"),
    (296..=302, "mode delete by hand is refused: rest-api.md 19 (7)"),
];

/// Puts the server's folder in place of the recorded one, and our digests in place of the recorded ones.
fn ours(text: &str, folder: &str, digests: &HashMap<String, String>) -> String {
    let encoded = folder.replace('/', "%2F");
    let mut text = text.replace("%2Fsrv%2Fpbs", &encoded).replace("/srv/pbs", folder);
    for (theirs, ours) in digests {
        text = text.replace(theirs, ours);
    }
    text
}

fn translated(exchange: &Exchange, folder: &str, digests: &HashMap<String, String>) -> Exchange {
    let value = |value: &Value| serde_json::from_str(&ours(&value.to_string(), folder, &HashMap::new())).unwrap();
    Exchange {
        path: ours(&exchange.path, folder, digests),
        body: exchange.body.as_ref().map(|body| match body {
            Value::String(text) => Value::String(ours(text, folder, digests)),
            other => value(other),
        }),
        response: value(&exchange.response),
        ..exchange.clone()
    }
}

/// Returns an answer without what varies.
fn comparable(answer: &Value, path: &str) -> Value {
    let mut answer = answer.clone();
    if let Some(members) = answer.as_object_mut() {
        members.remove("digest");
        members.remove("message");
        members.remove("errors");
        if members.get("data").and_then(Value::as_str).is_some_and(|text| text.starts_with("UPID:")) {
            members.insert("data".to_owned(), json!("UPID"));
        }
        if path.ends_with("/config/prune") {
            // The end of the id of a job that came with a datastore is random.
            for job in members.get_mut("data").and_then(Value::as_array_mut).into_iter().flatten() {
                let start = job["id"].as_str().unwrap().split('-').take(2).collect::<Vec<_>>().join("-");
                job["id"] = json!(start);
            }
        }
        if path.ends_with("/status") {
            members.insert("data".to_owned(), json!("sizes"));
        }
    }
    sorted(&answer)
}

#[tokio::test]
async fn datastores_are_configured_as_recorded() {
    let replayed = Replayed::new();
    let folder = replayed.stores_folder().to_str().unwrap().to_owned();
    let mut digests = HashMap::new();
    let (mut failures, mut count) = (Vec::new(), 0);
    for recorded in exchanges("config-datastore") {
        // The tasks have other names here, and delays are tested with the router.
        let is_slow = [401, 403].contains(&recorded.status);
        // Usage over time is examined where a whole server is replayed.
        let is_elsewhere = ["/tasks", "/status/datastore-usage"].iter().any(|part| recorded.path.contains(part));
        if is_slow || is_elsewhere || !replayed.offers(&recorded.method, &recorded.path) {
            continue;
        }
        count += 1;
        let exchange = translated(&recorded, &folder, &digests);
        let answer = replayed.call(&exchange).await;
        let json = answer.json();
        let is_success = answer.status == 200;
        if let (Some(theirs), Some(ours)) = (recorded.response["digest"].as_str(), json["digest"].as_str()) {
            digests.insert(theirs.to_owned(), ours.to_owned());
        }
        if let Some(upid) = json["data"].as_str().filter(|text| text.starts_with("UPID:")) {
            replayed.app().tasks.wait(&upid.parse().unwrap()).await.unwrap();
        }
        if DIFFERS.iter().any(|(range, _)| range.contains(&recorded.seq)) || recorded.is_cut() {
            continue;
        }
        let differs = answer.status != recorded.status
            || is_success && comparable(&json, &exchange.path) != comparable(&exchange.response, &exchange.path);
        if differs {
            let (ours, theirs) = (String::from_utf8_lossy(&answer.body), &exchange.response);
            failures.push(format!("{} {} {}\n  {ours}\n  {theirs}", recorded.seq, exchange.method, exchange.path));
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(170 < count, "{count}");
}

#[tokio::test]
async fn a_store_in_use_is_not_destroyed_and_nobody_opens_it_meanwhile() {
    let replayed = Replayed::new();
    let name = "local".parse().unwrap();
    let folder = replayed.stores_folder().join("local");
    let removal = Exchange {
        seq: 0,
        caller: "admin".to_owned(),
        method: "DELETE".to_owned(),
        path: "/api2/json/config/datastore/local?destroy-data=1".to_owned(),
        content_type: None,
        body: None,
        server: None,
        status: 200,
        response: Value::Null,
        note: None,
    };
    let run = async || {
        let answer = replayed.call(&removal).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let upid = answer.json()["data"].as_str().unwrap().parse().unwrap();
        replayed.app().tasks.wait(&upid).await.unwrap()
    };
    let user = replayed.app().stores.open(&name, Operation::Read).unwrap();
    let failed = run().await;
    assert!(matches!(&failed, TaskStatus::Error(text) if text.contains("in use")), "{failed}");
    assert!(folder.join(".chunks").is_dir());
    assert!(replayed.app().stores.open(&name, Operation::Lookup).is_err());
    drop(user);
    assert_eq!(run().await, TaskStatus::Ok);
    assert!(!folder.exists());
    assert_eq!(replayed.call(&removal).await.status, 404);
}
