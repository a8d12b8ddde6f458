//! Names of temporary files. Source: `docs/spec/datastore-format.md` 12.

use farhold_types::Randomness;

/// Number of random characters at the end of a temporary name.
const RANDOM_CHARACTERS: usize = 6;
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Returns a file name without its last extension: `index.json` for `index.json.blob`, the name itself without one.
pub fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

/// Returns a fresh temporary name for the file `name`: `index.json.tmp_Ab3xYz` for `index.json.blob`.
pub(crate) fn random_temporary(name: &str, randomness: &dyn Randomness) -> String {
    let mut bytes = [0; RANDOM_CHARACTERS];
    randomness.fill(&mut bytes);
    let suffix: String = bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect();
    format!("{}.tmp_{suffix}", stem(name))
}

/// Returns whether `name` ends in `.tmp_` and six letters or digits, as temporary files of atomic writes do.
pub fn is_random_temporary(name: &str) -> bool {
    name.rsplit_once(".tmp_").is_some_and(|(stem, suffix)| {
        !stem.is_empty()
            && suffix.len() == RANDOM_CHARACTERS
            && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Randomness for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(26);
        }
    }

    #[test]
    fn the_last_extension_is_replaced() {
        assert_eq!(random_temporary("index.json.blob", &Fixed), "index.json.tmp_aaaaaa");
        assert_eq!(random_temporary("abcd", &Fixed), "abcd.tmp_aaaaaa");
        assert_eq!(random_temporary(".gc-status", &Fixed), ".gc-status.tmp_aaaaaa");
        assert!(is_random_temporary("abcd.tmp_aaaaaa"));
        for other in ["abcd.tmp", "abcd.tmp_aaaaa", "abcd.tmp_aaaaaaa", ".tmp_aaaaaa", "a.tmp_aa-aaa", "abcd"] {
            assert!(!is_random_temporary(other), "{other}");
        }
    }
}
