//! Comparing listings with recorded ones: after the same writes they name the same things.

use farhold_types::MANIFEST_NAME;
use serde_json::Value;

use crate::connection::WireAnswer;
use crate::play::Line;

/// Returns in what a listing, or the answer to a change, differs from the recorded one.
pub fn difference(line: &Line, answer: &WireAnswer) -> Option<String> {
    let bare = line.path.split('?').next().unwrap();
    let is_compared = ["/namespace", "/groups", "/snapshots"].iter().any(|end| bare.ends_with(end));
    let recorded = line.resp_body.as_ref().filter(|_| is_compared && answer.status == 200)?;
    let recorded = plain(serde_json::from_str(recorded).unwrap());
    let ours = plain(serde_json::from_slice(&answer.body).unwrap());
    (recorded != ours).then(|| format!("{recorded}, ours {ours}"))
}

/// Takes off an answer what depends on the order of folders, on texts of lost manifests, and on their lengths.
fn plain(mut answer: Value) -> Value {
    let Some(items) = answer["data"].as_array_mut() else { return answer };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["comment", "fingerprint", "size"] {
            item.remove(name);
        }
        let Some(files) = item.get_mut("files").and_then(Value::as_array_mut) else { continue };
        if files.iter().all(Value::is_string) {
            files.sort_by_key(ToString::to_string);
        }
        for file in files.iter_mut().filter(|file| file["filename"] == MANIFEST_NAME) {
            *file = Value::from(MANIFEST_NAME);
        }
        for file in files.iter_mut().filter_map(Value::as_object_mut) {
            // Without a signature there is no difference between what is signed and what is not.
            if file.get("crypt-mode").is_some_and(|mode| mode == "sign-only") {
                file.insert("crypt-mode".to_owned(), "none".into());
            }
        }
    }
    items.sort_by_key(ToString::to_string);
    answer
}
