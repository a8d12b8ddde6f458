//! Repositories that were used, for completion: JSON text → how often.
//!
//! Source: `docs/spec/cli.md` 5.2.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Most repositories that are kept.
const MAX_ENTRIES: usize = 10;

/// Returns the repositories, sorted by text.
pub fn list(path: &Path) -> Vec<String> {
    load(path).into_keys().collect()
}

/// Counts one more use of a repository. The least used one of too many is dropped, never the present one.
///
/// # Errors
/// The file cannot be written.
pub fn count(path: &Path, repository: &str) -> io::Result<()> {
    let mut entries = load(path);
    let uses = entries.entry(repository.to_owned()).or_default();
    *uses = uses.saturating_add(1);
    while MAX_ENTRIES < entries.len() {
        let others = entries.iter().filter(|(name, _)| *name != repository);
        let Some(least) = others.min_by_key(|(_, uses)| **uses).map(|(name, _)| name.clone()) else { break };
        entries.remove(&least);
    }
    super::replace(path, &serde_json::to_vec(&entries)?)
}

fn load(path: &Path) -> BTreeMap<String, u64> {
    let text = super::read(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_repository_makes_room_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/repo-list");
        assert!(list(&path).is_empty());
        for number in 0..MAX_ENTRIES {
            for _ in 0..=number {
                count(&path, &format!("h{number}:store")).unwrap();
            }
        }
        count(&path, "new:store").unwrap();
        let kept = list(&path);
        assert_eq!(kept.len(), MAX_ENTRIES);
        assert!(kept.contains(&"new:store".to_owned()) && !kept.contains(&"h0:store".to_owned()));
        std::fs::write(&path, "[1]").unwrap();
        count(&path, "new:store").unwrap();
        assert_eq!(list(&path), ["new:store"]);
    }
}
