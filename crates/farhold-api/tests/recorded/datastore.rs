//! What is in the datastores.

use farhold_crypto::sha256;
use serde_json::{Value, json};

use crate::replay::{Answer, Exchange, Replayed, exchanges, sorted};

/// Members that say how full the disk is.
const SIZES: [&str; 3] = ["avail", "total", "used"];

/// Returns why the answer is not the recorded one.
fn difference(exchange: &Exchange, answer: &Answer) -> Option<String> {
    if answer.status != exchange.status {
        return Some(format!("{} instead of {}: {}", answer.status, exchange.status, answer.json()));
    }
    let is_extjs = exchange.path.starts_with("/api2/extjs");
    if let Some(digest) = exchange.response.get("$sha256") {
        let found = sha256(&answer.body).to_string();
        return (*digest != found).then(|| format!("content {found}"));
    }
    if exchange.status != 200 || exchange.is_cut() {
        return None;
    }
    if let Some(text) = exchange.response.as_str() {
        return (answer.body != text.as_bytes()).then(|| format!("text {:?}", String::from_utf8_lossy(&answer.body)));
    }
    let (mut ours, mut theirs) = (answer.json(), exchange.response.clone());
    for value in [&mut ours, &mut theirs] {
        // Texts are ours to write.
        if is_extjs && let Some(message) = value.get_mut("message") {
            *message = Value::Null;
        }
        let has_sizes = exchange.path.contains("/status") && value["data"].is_object();
        for size in SIZES.iter().filter(|_| has_sizes) {
            let member = &mut value["data"][*size];
            *member = json!(if *member == json!(0) { "none" } else { "some" });
        }
    }
    let (ours, theirs) = (sorted(&ours), sorted(&theirs));
    (ours != theirs).then(|| format!("\n  ours   {ours}\n  theirs {theirs}"))
}

async fn replay(replayed: &Replayed, exchanges: &[Exchange], differs: &[u32]) -> usize {
    let mut failures = Vec::new();
    let mut count = 0;
    // Usage over time is examined where a whole server is replayed.
    let is_examined = |exchange: &&Exchange| {
        !exchange.path.contains("/status/datastore-usage") && replayed.offers(&exchange.method, &exchange.path)
    };
    for exchange in exchanges.iter().filter(is_examined) {
        count += 1;
        let found = difference(exchange, &replayed.call(exchange).await);
        match (found, differs.contains(&exchange.seq)) {
            (Some(text), false) => {
                failures.push(format!(
                    "{} {} {} {}: {text}",
                    exchange.seq, exchange.caller, exchange.method, exchange.path
                ));
            }
            (None, true) => failures.push(format!("{} does not differ any more", exchange.seq)),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    count
}

#[tokio::test(start_paused = true)]
async fn reading_answers_as_recorded() {
    let replayed = Replayed::new();
    // 132 and 136: `backup-type` alone without any group of that type is an empty list for us, as
    // `docs/spec/rest-api.md` 19 (22) suggests.
    let mut differs = vec![132, 136];
    // Calls that look into archives and find something: this server cannot.
    differs.extend([257, 258, 259, 260, 268, 269, 270, 271, 274, 276, 277, 279, 280, 282, 285]);
    let count = replay(&replayed, &exchanges("datastore-read"), &differs).await;
    assert!(190 < count, "{count}");
}

#[tokio::test(start_paused = true)]
async fn changing_answers_as_recorded_until_the_first_pruning() {
    let replayed = Replayed::new();
    let recorded = exchanges("datastore-change");
    let first_prune = recorded.iter().position(|exchange| exchange.path.contains("/prune")).unwrap();
    // 22: the reference keeps the line break at the end of a group's comment. 64: and shows an empty comment where the
    // notes are empty.
    let count = replay(&replayed, &recorded[..first_prune], &[22, 64]).await;
    assert!(55 < count, "{count}");
}
