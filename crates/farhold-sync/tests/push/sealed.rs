//! What an encrypting push must leave on the target, checked from the outside with the key.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use farhold_crypto::sha256;
use farhold_format::blob::{self, BlobDecoder};
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, SignatureState, VERIFY_STATE};
use farhold_sync::{Encryption, SyncOptions};
use farhold_testkit::SeededRandomness;
use farhold_types::{ArchiveKind, CLIENT_LOG_NAME, CryptMode, Digest, MANIFEST_NAME};

use crate::encrypted::key;
use crate::support::remote::{MemoryRemote, push_options};
use crate::support::{Content, MemorySource};

/// What a fixed index must have.
pub const CHUNK: usize = 4 << 20;
const MAX_BYTES: usize = 16 << 20;

/// Options with key `seed` active. `state`: where notes are kept, if they are.
pub fn encrypting(seed: u8, state: Option<&Path>) -> SyncOptions {
    let randomness = Arc::new(SeededRandomness::new(seed.into()));
    let encryption = Some(Encryption { key: key(seed), randomness });
    SyncOptions { encryption, state_dir: state.map(Path::to_owned), ..push_options() }
}

/// Adds a plain snapshot: configuration, image, files.
pub fn add(source: &MemorySource, at: &str, what: &str, image: &[u64], files: &[u64]) {
    let archives = [
        ("qemu-server.conf.blob", Content::Blob(b"memory: 4096\n")),
        ("drive.img.fidx", Content::Chunks(image, CHUNK)),
        ("etc.pxar.didx", Content::Chunks(files, 3000)),
    ];
    source.add(at, what, &archives);
}

/// Returns the plain content of the files of a snapshot of the source.
pub fn plain_of(source: &MemorySource, at: &str, what: &str) -> BTreeMap<String, Vec<u8>> {
    let files = source.snapshots.lock().unwrap()[&(at.to_owned(), what.parse().unwrap())].clone();
    let chunks = source.chunks.lock().unwrap();
    let mut decoder = BlobDecoder::new();
    let mut found = BTreeMap::new();
    for (name, stored) in files.iter().filter(|(name, _)| *name != MANIFEST_NAME) {
        let mut content = Vec::new();
        match crate::support::name(name).kind() {
            ArchiveKind::Blob => content = decoder.decode(stored, None, MAX_BYTES).unwrap(),
            kind => {
                for digest in Index::parse(kind, stored.clone()).unwrap().digests() {
                    content.extend(decoder.decode(&chunks[&digest], None, MAX_BYTES).unwrap());
                }
            }
        }
        found.insert(name.clone(), content);
    }
    found
}

/// Checks every part of an encrypted snapshot of the target with key `seed`, and returns the plain content of its files.
pub fn unsealed(remote: &MemoryRemote, seed: u8, at: &str, what: &str) -> BTreeMap<String, Vec<u8>> {
    let config = key(seed).config;
    let files = remote.files(at, what);
    let manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
    assert_eq!(manifest.check_signature(&config).unwrap(), SignatureState::Valid);
    assert_eq!(manifest.key_fingerprint().unwrap(), Some(config.fingerprint()));
    assert!(manifest.is_fully_encrypted() && !manifest.unprotected.contains_key(VERIFY_STATE));
    let state = remote.state();
    let mut decoder = BlobDecoder::new();
    let mut found = BTreeMap::new();
    for (name, stored) in files.iter().filter(|(name, _)| *name != MANIFEST_NAME) {
        let mut content = Vec::new();
        let entry = manifest.file(&crate::support::name(name));
        if name == CLIENT_LOG_NAME {
            assert!(blob::kind(stored).unwrap().is_encrypted());
            content = decoder.decode(stored, Some(&config), MAX_BYTES).unwrap();
        } else if entry.unwrap().name.kind() == ArchiveKind::Blob {
            assert!(blob::kind(stored).unwrap().is_encrypted());
            let entry = entry.unwrap();
            assert_eq!((entry.size_bytes, entry.checksum), (stored.len() as u64, sha256(stored)), "{name}");
            content = decoder.decode(stored, Some(&config), MAX_BYTES).unwrap();
        } else {
            let entry = entry.unwrap();
            let index = Index::parse(entry.name.kind(), stored.clone()).unwrap();
            assert_eq!((entry.size_bytes, entry.checksum), (index.size_bytes(), index.checksum()), "{name}");
            for chunk in index.chunks() {
                let stored = &state.chunks[&chunk.digest];
                assert!(blob::kind(stored).unwrap().is_encrypted());
                let plain = decoder.decode(stored, Some(&config), MAX_BYTES).unwrap();
                assert_eq!(config.chunk_digest(&plain), chunk.digest);
                assert_eq!(plain.len() as u64, chunk.size_bytes());
                content.extend(plain);
            }
        }
        found.insert(name.clone(), content);
    }
    found
}

/// Checks that a plain snapshot of the source lies encrypted on the target, and says from what it was made.
pub fn assert_sealed(source: &MemorySource, remote: &MemoryRemote, seed: u8, at: &str, what: &str) {
    assert_eq!(unsealed(remote, seed, at, what), plain_of(source, at, what), "{at}:{what}");
    let (ours, theirs) = (source_manifest(source, at, what), remote.manifest(at, what));
    let expected = ours.compute_signature(&key(seed).config);
    assert_eq!(theirs.sync_source_signature().unwrap(), Some(expected), "{at}:{what}");
    assert_eq!(ours.notes(), theirs.notes());
    let modes = |manifest: &Manifest| manifest.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    assert_eq!(modes(&ours), modes(&theirs), "{at}:{what}");
}

pub fn source_manifest(source: &MemorySource, at: &str, what: &str) -> Manifest {
    let snapshots = source.snapshots.lock().unwrap();
    Manifest::from_blob(&snapshots[&(at.to_owned(), what.parse().unwrap())][MANIFEST_NAME]).unwrap()
}

/// Checks that nothing on the target can be read without a key.
pub fn assert_nothing_plain(remote: &MemoryRemote) {
    let state = remote.state();
    assert!(state.chunks.values().all(|chunk| blob::kind(chunk).unwrap().is_encrypted()));
    for group in state.groups.values() {
        for (name, stored) in group.snapshots.values().flat_map(|dir| &dir.files) {
            if name.ends_with(".blob") && name != MANIFEST_NAME {
                assert!(blob::kind(stored).unwrap().is_encrypted(), "{name}");
            }
            if name == MANIFEST_NAME {
                let manifest = Manifest::from_blob(stored).unwrap();
                assert!(manifest.files.iter().all(|file| file.crypt_mode == CryptMode::Encrypt));
            }
        }
    }
}

/// Returns the digest of a chunk of the test content under key `seed`.
pub fn keyed(seed: u8, chunk: u64, length: usize) -> Digest {
    key(seed).config.chunk_digest(&crate::support::content(chunk, length))
}
