//! What the recorded servers called differently: paths, UPIDs, secrets, tickets, fingerprints.

use std::fmt::Write as _;

use serde_json::Value;

/// Texts of the recording and what stands for them here, the latest first.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    pairs: Vec<(String, String)>,
}

impl Bindings {
    /// Lets `ours` stand for `recorded` from now on.
    pub fn bind(&mut self, recorded: &str, ours: &str) {
        // What is too short would be found where it does not belong.
        if recorded.len() < 5 || self.pairs.iter().any(|(r, o)| r == recorded && o == ours) {
            return;
        }
        self.pairs.retain(|(r, _)| r != recorded);
        self.pairs.insert(0, (recorded.to_owned(), ours.to_owned()));
    }

    /// Returns whether something stands for this text.
    pub fn knows(&self, recorded: &str) -> bool {
        self.pairs.iter().any(|(r, _)| r == recorded)
    }

    /// Translates a text as it stands in a request: plain or percent-encoded.
    pub fn in_request(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.pairs {
            if text.contains(recorded.as_str()) {
                text = text.replace(recorded.as_str(), ours);
            }
            // Forms leave some characters alone that paths encode.
            for plain in ["", "/", "!", "@!", ":@!"] {
                let encoded = encode(recorded, plain);
                if encoded != *recorded && text.contains(&encoded) {
                    text = text.replace(&encoded, &encode(ours, plain));
                }
            }
        }
        text
    }

    /// Translates a text of an answer.
    pub fn in_answer(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (recorded, ours) in &self.pairs {
            if text.contains(recorded.as_str()) {
                text = text.replace(recorded.as_str(), ours);
            }
        }
        text
    }

    /// Takes over the values that an exchange says are needed later.
    pub fn capture(&mut self, pointers: &[String], recorded: &Value, ours: &Value) {
        for pointer in pointers {
            let texts = (recorded.pointer(pointer), ours.pointer(pointer));
            if let (Some(Value::String(recorded)), Some(Value::String(ours))) = texts {
                self.bind(recorded, ours);
                if pointer.ends_with("/fingerprint") {
                    self.bind(&recorded.to_uppercase(), &ours.to_uppercase());
                }
            }
        }
    }
}

fn encode(text: &str, plain: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.contains(character) {
            encoded.push(character);
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}
