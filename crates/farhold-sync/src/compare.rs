//! Whether the local copy of a snapshot may be replaced by what the source has for the same time.
//!
//! Stricter than the reference, which compares contents only when both sides are plain: here a copy is never replaced by
//! one with another signed content, whatever the keys.
//!
//! Source: `docs/spec/sync.md` 9.1 rows 1 to 7 without keys, C.1 FAULT 7.

use farhold_format::manifest::{Manifest, ManifestError};

/// Says whether `local` may be replaced by `source`; they are known to differ in their bytes.
///
/// # Errors
/// A fingerprint on the source that cannot be read. The inner error is the reason for a refusal.
pub(crate) fn may_replace(source: &Manifest, local: &Manifest) -> Result<Result<(), &'static str>, ManifestError> {
    let key = source.key_fingerprint()?;
    // A local fingerprint that cannot be read may stand for any key, so it never equals the source's.
    let local_key = local.key_fingerprint().map_err(|_| ());
    Ok(match (key, local_key) {
        (None, Ok(Some(_)) | Err(())) => Err("the local snapshot is encrypted or signed, the source is not"),
        (Some(_), Err(())) => Err("the key of the local snapshot is unknown"),
        (Some(key), Ok(Some(local_key))) if key != local_key => {
            Err("the local snapshot is encrypted or signed with another key")
        }
        (Some(_), Ok(None)) if source.is_fully_encrypted() => {
            Err("the local snapshot is not encrypted, and there is no key to compare it with the source")
        }
        _ if source.has_same_protected_content(local) => Ok(()),
        _ => Err("its content differs from the source"),
    })
}

#[cfg(test)]
mod tests {
    use farhold_format::manifest::{KEY_FINGERPRINT, ManifestFile};
    use farhold_types::{CryptMode, Digest, Fingerprint};

    use super::*;

    fn manifest(key: Option<u8>, mode: CryptMode, content: u8) -> Manifest {
        let mut manifest = Manifest::new(&"vm/1/2026-01-01T10:00:00Z".parse().unwrap());
        let name = "a.img.fidx".parse().unwrap();
        let checksum = Digest([content; 32]);
        manifest.files.push(ManifestFile { name, crypt_mode: mode, size_bytes: 5, checksum });
        if let Some(key) = key {
            manifest.unprotected.insert(KEY_FINGERPRINT.into(), Fingerprint([key; 32]).to_string().into());
        }
        manifest
    }

    #[test]
    fn only_the_same_content_under_the_same_key_may_be_replaced() {
        use CryptMode::{Encrypt, None as Plain, SignOnly};
        for (source, local, allowed) in [
            ((None, Plain, 1), (None, Plain, 1), true),
            ((None, Plain, 1), (None, Plain, 2), false),
            ((None, Plain, 1), (Some(7), Encrypt, 1), false),
            ((None, Plain, 1), (Some(7), SignOnly, 1), false),
            ((Some(7), Encrypt, 1), (Some(7), Encrypt, 1), true),
            ((Some(7), Encrypt, 1), (Some(7), Encrypt, 2), false),
            ((Some(7), Encrypt, 1), (Some(8), Encrypt, 1), false),
            ((Some(7), Encrypt, 1), (None, Plain, 1), false),
            ((Some(7), SignOnly, 1), (Some(7), Encrypt, 1), false),
            ((Some(7), SignOnly, 1), (None, Plain, 1), false),
            ((Some(7), SignOnly, 1), (Some(7), SignOnly, 1), true),
            ((Some(7), SignOnly, 2), (Some(7), SignOnly, 1), false),
        ] {
            let make = |(key, mode, content)| manifest(key, mode, content);
            let verdict = may_replace(&make(source), &make(local)).unwrap();
            assert_eq!(verdict.is_ok(), allowed, "{source:?} over {local:?}: {verdict:?}");
        }
    }

    #[test]
    fn an_unreadable_local_key_is_never_overwritten() {
        let mut local = manifest(Some(7), CryptMode::Encrypt, 1);
        local.unprotected.insert(KEY_FINGERPRINT.into(), "nonsense".into());
        assert!(may_replace(&manifest(Some(7), CryptMode::Encrypt, 1), &local).unwrap().is_err());
        assert!(may_replace(&manifest(None, CryptMode::None, 1), &local).unwrap().is_err());
    }
}
