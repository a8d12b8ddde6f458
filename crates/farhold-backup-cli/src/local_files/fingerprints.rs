//! Fingerprints of certificates that the user has accepted. Lines `server fingerprint`.
//!
//! Source: `docs/spec/cli.md` 5.2.

use std::io;
use std::path::Path;

use farhold_types::Fingerprint;

/// Returns the accepted fingerprint of a server's certificate; none if there is none, or its line is damaged.
pub fn find(path: &Path, server: &str) -> Option<Fingerprint> {
    let text = super::read(path).unwrap_or_default();
    text.lines().find_map(|line| line_of(line, server)?.parse().ok())
}

/// Keeps the fingerprint of a server's certificate, in place of an earlier one. Other lines stay as they are.
///
/// # Errors
/// The file cannot be read or written.
pub fn keep(path: &Path, server: &str, fingerprint: &Fingerprint) -> io::Result<()> {
    let mut text = String::new();
    for line in super::read(path)?.lines().filter(|line| line_of(line, server).is_none()) {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!("{server} {fingerprint}\n"));
    super::replace(path, text.as_bytes())
}

/// Returns what a line says about the server, if it is about that one.
fn line_of<'a>(line: &'a str, server: &str) -> Option<&'a str> {
    let (name, fingerprint) = line.trim().split_once(char::is_whitespace)?;
    (name == server).then(|| fingerprint.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_replaced_and_the_other_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fingerprints");
        let (one, two) = (Fingerprint([0x11; 32]), Fingerprint([0xab; 32]));
        assert_eq!(find(&path, "host1"), None);
        std::fs::write(&path, format!("# a note\nhost1 {one}\nhost1.example {}\n", two.to_string().to_uppercase()))
            .unwrap();
        assert_eq!(find(&path, "host1"), Some(one));
        assert_eq!(find(&path, "host1.example"), Some(two));
        keep(&path, "host1", &two).unwrap();
        keep(&path, "host2:8010", &one).unwrap();
        assert_eq!(find(&path, "host1"), Some(two));
        assert_eq!(find(&path, "host2:8010"), Some(one));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# a note\nhost1.example "), "{text}");
        assert_eq!(text.lines().count(), 4);
        std::fs::write(&path, "host1 nonsense\n").unwrap();
        assert_eq!(find(&path, "host1"), None);
    }
}
