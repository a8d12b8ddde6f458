//! Which archive a name means.

use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME};

use super::error::RestoreError;

/// Returns the archive that a text names: in full, or without its last ending if that is clear.
pub(super) fn resolve(text: &str, manifest: &Manifest) -> Result<ArchiveName, RestoreError> {
    let is_meant = |name: &ArchiveName| {
        let name = name.as_str();
        name == text || name.rsplit_once('.').is_some_and(|(short, _)| short == text)
    };
    // Neither is listed in the manifest.
    let unlisted = [MANIFEST_NAME, CLIENT_LOG_NAME].into_iter().filter_map(|name| name.parse().ok());
    let mut found: Vec<ArchiveName> = manifest.files.iter().map(|file| file.name.clone()).chain(unlisted).collect();
    found.retain(is_meant);
    if let Some(exact) = found.iter().find(|name| name.as_str() == text) {
        return Ok(exact.clone());
    }
    match found.as_slice() {
        [name] => Ok(name.clone()),
        [] => Err(RestoreError::NotInSnapshot { archive: text.to_owned() }),
        [first, second, ..] => {
            Err(RestoreError::Ambiguous { archive: text.to_owned(), first: first.clone(), second: second.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use farhold_format::manifest::ManifestFile;
    use farhold_types::{CryptMode, Digest};

    use super::*;

    #[test]
    fn names_are_found_in_full_and_without_their_ending() {
        let snapshot = "host/a/2026-01-01T10:00:00Z".parse().unwrap();
        let mut manifest = Manifest::new(&snapshot);
        for name in ["disk.img.fidx", "root.pxar.didx", "x.fidx", "x.didx", "y.blob", "y.blob.fidx"] {
            let name = name.parse().unwrap();
            let file = ManifestFile { name, crypt_mode: CryptMode::None, size_bytes: 1, checksum: Digest([0; 32]) };
            manifest.files.push(file);
        }
        for (text, name) in [
            ("disk.img", "disk.img.fidx"),
            ("disk.img.fidx", "disk.img.fidx"),
            ("root.pxar", "root.pxar.didx"),
            ("x.didx", "x.didx"),
            ("y.blob", "y.blob"),
            ("index.json", "index.json.blob"),
            ("index.json.blob", "index.json.blob"),
            ("client.log", "client.log.blob"),
        ] {
            assert_eq!(resolve(text, &manifest).unwrap().as_str(), name, "{text}");
        }
        for text in ["disk", "", "fidx", "root.pxar.fidx", "../x"] {
            assert!(matches!(resolve(text, &manifest), Err(RestoreError::NotInSnapshot { .. })), "{text}");
        }
        assert!(matches!(resolve("x", &manifest), Err(RestoreError::Ambiguous { .. })));
    }
}
