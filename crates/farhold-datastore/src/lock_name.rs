//! Names of lock files. Source: `docs/spec/datastore-format.md` 14.2.

use std::fmt::Write;
use std::path::PathBuf;

use farhold_crypto::sha256;
use farhold_types::{Group, Namespace, Snapshot};

/// Escaped names of this many bytes and more are replaced by a hashed form.
const HASHED_FROM_BYTES: usize = 255;
/// Folder of the hashed names.
const HASHED: &str = "hashed";
/// How much of the escaped name's start and end the hashed form keeps, in bytes.
const KEPT_BYTES: usize = 80;
/// Last path component of a manifest's lock.
const MANIFEST_LOCK: &str = ".index.json.lck";

/// Escapes a path like a systemd unit does: `/` becomes `-`, unusual bytes become `\x` and two hex digits.
pub(crate) fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for (i, byte) in path.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if i == 0 => escaped.push_str("\\x2e"),
            b'.' | b'_' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "\\x{byte:02x}");
            }
        }
    }
    escaped
}

fn lock_path(namespace: &Namespace, relative: &str) -> PathBuf {
    let mut path = PathBuf::new();
    if !namespace.is_root() {
        path.push(namespace.components().join(":"));
    }
    let escaped = escape(relative);
    if escaped.len() < HASHED_FROM_BYTES {
        path.push(escaped);
    } else {
        // The escaped form is plain ASCII, so cutting it at any byte is safe.
        let (start, end) = (&escaped[..KEPT_BYTES], &escaped[escaped.len() - KEPT_BYTES..]);
        path.push(HASHED);
        path.push(format!("{start}...{end}-{}", sha256(relative.as_bytes())));
    }
    path
}

/// Returns the lock file of a group below the store's lock directory.
pub(crate) fn group(namespace: &Namespace, group: &Group) -> PathBuf {
    lock_path(namespace, &group.to_string())
}

/// Returns the lock file of a snapshot.
pub(crate) fn snapshot(namespace: &Namespace, snapshot: &Snapshot) -> PathBuf {
    lock_path(namespace, &snapshot.to_string())
}

/// Returns the lock file of a snapshot's manifest.
pub(crate) fn manifest(namespace: &Namespace, snapshot: &Snapshot) -> PathBuf {
    lock_path(namespace, &format!("{snapshot}/{MANIFEST_LOCK}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_names_are_the_documented_ones() {
        let root = Namespace::root();
        let at: Snapshot = "vm/100/2022-05-02T08:11:33Z".parse().unwrap();
        assert_eq!(group(&root, &at.group).to_str(), Some("vm-100"));
        assert_eq!(snapshot(&root, &at).to_str(), Some(r"vm-100-2022\x2d05\x2d02T08\x3a11\x3a33Z"));
        assert_eq!(manifest(&root, &at).to_str(), Some(r"vm-100-2022\x2d05\x2d02T08\x3a11\x3a33Z-.index.json.lck"));
        let below = group(&"a/b".parse().unwrap(), &"host/my-host.example".parse().unwrap());
        assert_eq!(below.to_str(), Some(r"a:b/host-my\x2dhost.example"));
        assert_eq!(escape(".x"), r"\x2ex");
    }

    #[test]
    fn long_names_are_hashed_as_documented() {
        let id = format!("{}x", "a-".repeat(60));
        let long: Group = format!("host/{id}").parse().unwrap();
        assert_eq!(escape(&long.to_string()).len(), 306);
        let path = group(&Namespace::root(), &long);
        let name = path.strip_prefix("hashed").unwrap().to_str().unwrap();
        assert!(name.ends_with("-374b9f82069ca4d311ad9b8d3f557ede842a555d513334472caba4b2907d0f71"), "{name}");
        assert_eq!(name.len(), 80 + 3 + 80 + 1 + 64);
    }
}
