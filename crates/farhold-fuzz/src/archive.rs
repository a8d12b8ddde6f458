//! Files of a snapshot, and key files.

use bytes::Bytes;
use farhold_crypto::{CryptConfig, EncryptionKey};
use farhold_format::blob::{self, BlobDecoder, BlobEncoder, Compression};
use farhold_format::index::Index;
use farhold_format::key_file::{Kdf, KeyFile};
use farhold_format::manifest::Manifest;
use farhold_types::ArchiveKind;

/// Content of a blob that a run may ask for, in bytes. A blob of a few bytes may announce gigabytes.
const MAX_PLAIN_BYTES: usize = 1 << 20;

/// The key of the encrypted seeds.
pub(crate) fn key() -> CryptConfig {
    CryptConfig::new(EncryptionKey::new([7; 32]))
}

/// A blob: its check agrees with its decoder, the limit holds, and what was decoded can be encoded and decoded again.
pub(crate) fn blob(input: &[u8]) -> bool {
    let is_checked = blob::check(input).is_ok();
    let Ok(plain) = BlobDecoder::new().decode(input, Some(&key()), MAX_PLAIN_BYTES) else {
        return false;
    };
    assert!(is_checked, "decoded, although the check refuses it");
    assert!(plain.len() <= MAX_PLAIN_BYTES, "more than allowed");
    if let Ok(encoded) = BlobEncoder::new().encode(&plain, Compression::On, None) {
        assert!(blob::check(&encoded).is_ok(), "our own blob does not pass");
        let again = BlobDecoder::new().decode(&encoded, None, MAX_PLAIN_BYTES);
        assert!(again.is_ok_and(|again| again == plain), "our own blob decodes to something else");
    }
    true
}

pub(crate) fn fixed_index(input: &[u8]) -> bool {
    index(ArchiveKind::FixedIndex, input)
}

pub(crate) fn dynamic_index(input: &[u8]) -> bool {
    index(ArchiveKind::DynamicIndex, input)
}

/// An index: chunks follow each other without gap up to its size.
fn index(kind: ArchiveKind, input: &[u8]) -> bool {
    let Ok(index) = Index::parse(kind, Bytes::copy_from_slice(input)) else {
        return false;
    };
    let mut end = 0;
    for (position, chunk) in index.chunks().enumerate() {
        assert_eq!(chunk.start, end, "a gap before chunk {position}");
        assert!(chunk.start < chunk.end, "chunk {position} is empty");
        assert_eq!(index.chunk(position), Some(chunk));
        end = chunk.end;
    }
    assert_eq!(end, index.size_bytes());
    assert_eq!(index.chunk(index.chunk_count()), None);
    assert_eq!(index.digests().len(), index.chunk_count());
    assert_eq!(&index.as_bytes()[..], input);
    true
}

/// A manifest as text: writing it and reading it again gives the same.
pub(crate) fn manifest(input: &[u8]) -> bool {
    Manifest::parse(input).is_ok_and(|manifest| check_manifest(&manifest))
}

/// A manifest as it lies in a store.
pub(crate) fn manifest_blob(input: &[u8]) -> bool {
    Manifest::from_blob(input).is_ok_and(|manifest| check_manifest(&manifest))
}

fn check_manifest(manifest: &Manifest) -> bool {
    let again = Manifest::parse(manifest.to_json().as_bytes());
    assert!(
        again.as_ref().is_ok_and(|again| again.has_same_protected_content(manifest)),
        "written and read: {again:?}"
    );
    // What else is asked of a manifest of a stranger.
    let _ = (manifest.canonical(), manifest.total_bytes(), manifest.is_fully_encrypted(), manifest.is_unencrypted());
    let _ = (manifest.key_fingerprint(), manifest.sync_source_signature(), manifest.verify_state());
    let _ = (manifest.notes(), manifest.check_signature(&key()));
    true
}

/// A key file: its text is written and read again. Deriving a key from a passphrase is left out: its limits are tested,
/// and each run would take a tenth of a second.
pub(crate) fn key_file(input: &[u8]) -> bool {
    let Ok(file) = KeyFile::parse(input) else {
        return false;
    };
    let again = KeyFile::parse(file.to_json().expose().as_bytes());
    assert!(again.as_ref().is_ok_and(|again| again.kdf() == file.kdf()), "our own text does not pass");
    if file.kdf() == Kdf::None {
        let same = |(one, two): (EncryptionKey, EncryptionKey)| one.expose() == two.expose();
        let keys = file.decrypt(None).ok().zip(again.ok().and_then(|again| again.decrypt(None).ok()));
        assert!(file.decrypt(None).is_err() || keys.is_some_and(same), "another key after writing");
    }
    true
}
