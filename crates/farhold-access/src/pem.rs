//! The PEM envelope of key files: base64 lines between a BEGIN and an END line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of base64 in one line.
const LINE_LENGTH: usize = 64;

/// Returns the label and content of the first block in `text`, or `None` if there is no whole one.
pub fn decode(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// Returns the PEM text of `content`.
pub fn encode(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(LINE_LENGTH) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_damaged_ones_do_not() {
        let content: Vec<u8> = (0..100).collect();
        let text = encode("PRIVATE KEY", &content);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(decode(&text), Some(("PRIVATE KEY", content)));
        for bad in ["", "-----BEGIN X-----\nAAAA\n", "-----BEGIN X-----\nA*==\n-----END X-----\n"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
