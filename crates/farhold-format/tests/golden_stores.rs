//! Three datastores written by the reference product: every file is read, checked and written again.
//!
//! A store is read from its archive into memory once. Each walk notes the files it checked, and fails if one is left.
//! How the stores were made: `tests/golden/README.md`.

#![expect(clippy::unwrap_used, reason = "a test may end with a panic")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "reads golden files")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::LazyLock;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, Sha256, sha256};
use farhold_format::blob::{self, BlobDecoder, BlobEncoder, Compression, MAX_CHUNK_BYTES};
use farhold_format::chunker::{ChunkSize, Chunker, ContentChunker};
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index, fixed_index_bytes, max_index_bytes};
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::{Manifest, ManifestFile, SignatureState};
use farhold_types::{ArchiveKind, Authid, CATALOG_NAME, CryptMode, Digest, Fingerprint};

/// The all-zero chunk that garbage collection keeps in every store, referenced or not.
const ZERO_CHUNK: &str = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";

static GOLDEN: LazyLock<Store> = LazyLock::new(|| Store::read("golden"));
static PUSHED: LazyLock<Store> = LazyLock::new(|| Store::read("pushed"));
static DECRYPTED: LazyLock<Store> = LazyLock::new(|| Store::read("decrypted"));

static KEYS: LazyLock<[CryptConfig; 2]> = LazyLock::new(|| {
    ["client.key", "key0.json"].map(|name| {
        let file = KeyFile::parse(&std::fs::read(golden_path(name)).unwrap()).unwrap();
        CryptConfig::new(file.decrypt(None).unwrap())
    })
});

/// SHA-256 of the files that were backed up, by name.
static SOURCES: LazyLock<BTreeMap<String, Digest>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(golden_path("sources.sha256")).unwrap();
    let line = |line: &str| {
        let (digest, name) = line.split_once("  ").unwrap();
        (name.to_owned(), digest.parse().unwrap())
    };
    text.lines().map(line).collect()
});

fn golden_path(name: &str) -> String {
    format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn key_with(fingerprint: Fingerprint) -> &'static CryptConfig {
    KEYS.iter().find(|key| key.fingerprint() == fingerprint).expect("a recorded key fits")
}

/// Which backed-up file is the content of this archive, if it is one file.
fn source_of(snapshot: &str, archive: &str) -> Option<&'static str> {
    let (group, time) = snapshot.rsplit_once('/').unwrap();
    let group = &group[group.rfind("vm/")?..];
    match (archive, group) {
        ("qemu-server.conf.blob", "vm/100" | "vm/150" | "vm/300" | "vm/1000") => Some("vm100.conf"),
        ("qemu-server.conf.blob", "vm/200") => Some("vm200.conf"),
        ("qemu-server.conf.blob", "vm/201" | "vm/202") => Some("vm201.conf"),
        ("drive-scsi0.img.fidx", "vm/100") if time.starts_with("2026-01-01") => Some("disk100-a.img"),
        ("drive-scsi0.img.fidx", "vm/100") => Some("disk100-b.img"),
        ("drive-scsi0.img.fidx", "vm/200" | "vm/201" | "vm/202") => Some("disk200.img"),
        _ => panic!("{snapshot} {archive} has no known source"),
    }
}

/// A datastore in memory: files by path below its root.
struct Store {
    name: &'static str,
    files: BTreeMap<String, Bytes>,
}

/// What a walk over a store has seen.
#[derive(Default)]
struct Walk {
    checked: BTreeSet<String>,
    /// Chunks whose digest was compared with their content, and under which rule.
    verified: BTreeSet<(Digest, Option<Fingerprint>)>,
    decoder: BlobDecoder,
    encoder: BlobEncoder,
    plain: Vec<u8>,
    again: Vec<u8>,
}

impl Store {
    fn read(name: &'static str) -> Self {
        let packed = std::fs::File::open(golden_path(&format!("{name}.tar.zst"))).unwrap();
        let mut archive = tar::Archive::new(zstd::stream::read::Decoder::new(packed).unwrap());
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.header().entry_type().is_dir() {
                continue;
            }
            assert!(entry.header().entry_type().is_file(), "only files and directories");
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let path = path.trim_start_matches("./").strip_prefix(&format!("{name}/")).unwrap().to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(files.insert(path, Bytes::from(content)).is_none());
        }
        assert!(!files.is_empty());
        Self { name, files }
    }

    fn file(&self, path: &str) -> &Bytes {
        self.files.get(path).unwrap_or_else(|| panic!("{} holds {path}", self.name))
    }

    /// Paths of all snapshots, below the root of the store.
    fn snapshots(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|path| path.strip_suffix("/index.json.blob"))
    }

    fn manifest(&self, snapshot: &str) -> Manifest {
        Manifest::from_blob(self.file(&format!("{snapshot}/index.json.blob"))).unwrap()
    }

    /// Checks every file of the store.
    fn check(&self) -> Walk {
        let mut walk = Walk::default();
        for snapshot in self.snapshots() {
            self.check_snapshot(snapshot, &mut walk);
        }
        for (path, content) in &self.files {
            let (directory, name) = path.rsplit_once('/').unwrap();
            match name {
                "owner" => {
                    let owner: Authid = std::str::from_utf8(content).unwrap().trim_end().parse().unwrap();
                    assert!(["sync@pbs!t1", "root@pam"].contains(&owner.to_string().as_str()), "{path} {owner}");
                }
                ".protected" | "client.log.tmp" => assert!(content.is_empty(), "{path}"),
                ZERO_CHUNK => {
                    assert_eq!(walk.decoder.decode(content, None, MAX_CHUNK_BYTES).unwrap(), vec![0; 4 << 20]);
                }
                _ => continue,
            }
            assert!(!directory.is_empty());
            walk.checked.insert(path.clone());
        }
        let left: Vec<_> = self.files.keys().filter(|path| !walk.checked.contains(*path)).collect();
        assert!(left.is_empty(), "{} has files that no check covers: {left:?}", self.name);
        walk
    }

    fn check_snapshot(&self, snapshot: &str, walk: &mut Walk) {
        let path = format!("{snapshot}/index.json.blob");
        let encoded = self.file(&path);
        let manifest = self.manifest(snapshot);
        assert!(format!("/{snapshot}").ends_with(&format!("/{}", manifest.snapshot())), "{path}");
        let text = walk.decoder.decode(encoded, None, 1 << 20).unwrap();
        assert_eq!(manifest.to_json(), String::from_utf8(text).unwrap(), "{path}");
        let rewritten = manifest.to_blob(&mut walk.encoder).unwrap();
        assert_eq!(Manifest::from_blob(&rewritten).unwrap(), manifest, "{path}");
        walk.checked.insert(path);

        let key = manifest.key_fingerprint().unwrap().map(key_with);
        assert_eq!(manifest.signature.is_some(), key.is_some(), "{snapshot}");
        for candidate in KEYS.iter() {
            match (key, manifest.check_signature(candidate)) {
                (None, Ok(SignatureState::Unsigned)) => {}
                (Some(key), Ok(SignatureState::Valid)) => assert_eq!(key.fingerprint(), candidate.fingerprint()),
                (Some(key), Err(_)) => assert_ne!(key.fingerprint(), candidate.fingerprint(), "{snapshot}"),
                (_, other) => panic!("{snapshot}: {other:?}"),
            }
        }
        for file in &manifest.files {
            let path = format!("{snapshot}/{}", file.name);
            let key = (file.crypt_mode == CryptMode::Encrypt).then(|| key.expect("encrypted files have a key"));
            let content = match file.name.kind() {
                ArchiveKind::Blob => self.check_blob(&path, file, key, walk),
                kind => self.check_index(&path, kind, file, key, walk),
            };
            let is_whole_file = file.name.as_str().ends_with(".conf.blob") || file.name.as_str().ends_with(".img.fidx");
            if is_whole_file {
                let source = source_of(snapshot, file.name.as_str()).unwrap();
                assert_eq!(content, SOURCES[source], "{path}");
            }
            walk.checked.insert(path);
        }
        self.check_log(snapshot, key, walk);
    }

    fn check_log(&self, snapshot: &str, key: Option<&CryptConfig>, walk: &mut Walk) {
        let path = format!("{snapshot}/client.log.blob");
        let Some(mut encoded) = self.files.get(&path).cloned() else { return };
        let was_pushed_as_it_is = key.is_some_and(|key| key.fingerprint() == KEYS[0].fingerprint());
        if self.name != "golden" && was_pushed_as_it_is {
            // A fault of the reference: its push wraps a stored log a second time (docs/spec/datastore-format.md 22).
            assert!(!blob::check(&encoded).unwrap().is_encrypted(), "{path}");
            encoded = Bytes::from(walk.decoder.decode(&encoded, None, MAX_CHUNK_BYTES).unwrap());
            assert_eq!(encoded, GOLDEN.file(&path), "{path}");
        }
        assert_eq!(blob::check(&encoded).unwrap().is_encrypted(), key.is_some(), "{path}");
        let content = walk.decoder.decode(&encoded, key, MAX_CHUNK_BYTES).unwrap();
        assert_eq!(sha256(&content), SOURCES["client.log"], "{path}");
        walk.checked.insert(path);
    }

    /// Returns the SHA-256 value of the blob's content.
    fn check_blob(&self, path: &str, file: &ManifestFile, key: Option<&CryptConfig>, walk: &mut Walk) -> Digest {
        let encoded = self.file(path);
        assert_eq!((file.size_bytes, file.checksum), (encoded.len() as u64, sha256(encoded)), "{path}");
        assert_eq!(blob::check(encoded).unwrap().is_encrypted(), key.is_some(), "{path}");
        walk.decoder.decode_into(encoded, key, MAX_CHUNK_BYTES, &mut walk.plain).unwrap();
        walk.check_encoding(path);
        if key.is_none() && !blob::kind(encoded).unwrap().is_compressed() {
            let again = walk.encoder.encode(&walk.plain, Compression::Off, None).unwrap();
            assert_eq!(again, *encoded, "{path}");
        }
        sha256(&walk.plain)
    }

    /// Returns the SHA-256 value of the content that the index describes.
    fn check_index(
        &self,
        path: &str,
        kind: ArchiveKind,
        file: &ManifestFile,
        key: Option<&CryptConfig>,
        walk: &mut Walk,
    ) -> Digest {
        let bytes = self.file(path);
        let index = Index::parse(kind, bytes.clone()).unwrap();
        assert_eq!((index.size_bytes(), index.checksum()), (file.size_bytes, file.checksum), "{path}");
        assert!(bytes.len() as u64 <= max_index_bytes(kind, file.size_bytes), "{path}");
        if let Some(chunk_size_bytes) = index.chunk_size_bytes() {
            assert_eq!(fixed_index_bytes(file.size_bytes, chunk_size_bytes), Some(bytes.len() as u64), "{path}");
        }
        assert_eq!(rebuilt(&index).as_bytes(), bytes, "{path}");
        let mut content = Sha256::new();
        for chunk in index.chunks() {
            let chunk_path = format!(".chunks/{}/{}", &chunk.digest.to_string()[..4], chunk.digest);
            let encoded = self.file(&chunk_path);
            assert_eq!(blob::kind(encoded).unwrap().is_encrypted(), key.is_some(), "{path} {chunk_path}");
            walk.decoder.decode_into(encoded, key, MAX_CHUNK_BYTES, &mut walk.plain).unwrap();
            assert_eq!(walk.plain.len() as u64, chunk.size_bytes(), "{path} {chunk_path}");
            if walk.verified.insert((chunk.digest, key.map(CryptConfig::fingerprint))) {
                let digest = key.map_or_else(|| sha256(&walk.plain), |key| key.chunk_digest(&walk.plain));
                assert_eq!(digest, chunk.digest, "{path} {chunk_path}");
                walk.check_encoding(&chunk_path);
            }
            content.update(&walk.plain);
            walk.checked.insert(chunk_path);
        }
        content.finish()
    }
}

impl Walk {
    /// Checks that our own encodings of the last decoded content decode to it again.
    fn check_encoding(&mut self, path: &str) {
        for encryption in [None, Some((&KEYS[0], [7; 16]))] {
            let encoded = self.encoder.encode(&self.plain, Compression::On, encryption).unwrap();
            let key = encryption.map(|(key, _)| key);
            self.decoder.decode_into(&encoded, key, self.plain.len(), &mut self.again).unwrap();
            assert!(self.plain == self.again, "{path}");
        }
    }
}

/// Builds the index anew from its chunks; only uuid and time are taken over.
fn rebuilt(index: &Index) -> Index {
    let Some(chunk_size_bytes) = index.chunk_size_bytes() else {
        let mut builder = DynamicIndexBuilder::new(index.uuid(), index.created());
        index.chunks().for_each(|chunk| builder.push(chunk.end, chunk.digest).unwrap());
        return builder.finish().unwrap();
    };
    let (uuid, created) = (index.uuid(), index.created());
    let mut builder = FixedIndexBuilder::new(uuid, created, index.size_bytes(), chunk_size_bytes).unwrap();
    index.digests().enumerate().for_each(|(position, digest)| builder.set(position, digest).unwrap());
    builder.finish().unwrap()
}

#[test]
fn every_file_of_the_backed_up_store_is_sound() {
    let walk = GOLDEN.check();
    assert_eq!(GOLDEN.snapshots().count(), 24);
    assert!(walk.verified.iter().any(|(_, key)| *key == Some(KEYS[0].fingerprint())));
    assert!(walk.verified.iter().any(|(_, key)| key.is_none()));
}

#[test]
fn every_file_of_the_encrypting_push_is_sound() {
    let walk = PUSHED.check();
    for key in KEYS.iter() {
        assert!(walk.verified.iter().any(|(_, found)| *found == Some(key.fingerprint())));
    }
    assert!(PUSHED.snapshots().all(|snapshot| PUSHED.manifest(snapshot).is_fully_encrypted()));
}

#[test]
fn every_file_of_the_decrypting_pull_is_sound() {
    let walk = DECRYPTED.check();
    assert!(walk.verified.iter().all(|(_, key)| *key != Some(KEYS[1].fingerprint())));
}

#[test]
fn every_recorded_image_and_configuration_was_compared_with_its_source() {
    let names = ["disk100-a.img", "disk100-b.img", "disk200.img", "vm100.conf", "vm200.conf", "vm201.conf"];
    for store in [&*GOLDEN, &*PUSHED, &*DECRYPTED] {
        let mut compared = BTreeSet::new();
        for snapshot in store.snapshots().filter(|s| s.contains("vm/")) {
            let files = store.manifest(snapshot).files;
            compared.extend(files.iter().filter_map(|file| source_of(snapshot, file.name.as_str())));
        }
        assert!(compared.iter().copied().eq(names), "{}: {compared:?}", store.name);
    }
}

/// A push notes what the sync key makes of the source manifest; the pull back notes the pushed signature.
#[test]
fn syncs_with_a_key_noted_the_signature_of_their_source() {
    let key = &KEYS[1];
    let mut compared = 0;
    for snapshot in PUSHED.snapshots() {
        let (source, pushed) = (GOLDEN.manifest(snapshot), PUSHED.manifest(snapshot));
        if pushed.key_fingerprint().unwrap() != Some(key.fingerprint()) {
            assert!(pushed.has_same_protected_content(&source), "{snapshot}");
            assert_eq!(pushed.sync_source_signature().unwrap(), None, "{snapshot}");
            continue;
        }
        assert_eq!(pushed.sync_source_signature().unwrap(), Some(source.compute_signature(key)), "{snapshot}");
        let decrypted = DECRYPTED.manifest(snapshot);
        assert_eq!(decrypted.sync_source_signature().unwrap(), pushed.signature, "{snapshot}");
        assert!(decrypted.is_unencrypted(), "{snapshot}");
        compared += 1;
    }
    assert_eq!(compared, 20);
}

/// Cuts the content of every recorded archive again. The recorded cuts of payload streams lie at suggested places, so
/// there only the rule is checked that none may be later than ours. Archives of more than one content-defined chunk are
/// not among the recordings; the documented counters (unit tests of the chunker) stand for those.
#[test]
fn recorded_archives_are_cut_again_at_the_recorded_places() {
    let (mut walk, mut tested_bytes) = (Walk::default(), 0);
    for snapshot in GOLDEN.snapshots() {
        let manifest = GOLDEN.manifest(snapshot);
        let key = manifest.key_fingerprint().unwrap().map(key_with);
        for file in manifest.files.iter().filter(|file| file.name.kind() == ArchiveKind::DynamicIndex) {
            let name = file.name.as_str();
            let size = if name == CATALOG_NAME { ChunkSize::CATALOG } else { ChunkSize::ARCHIVE };
            let index = Index::parse(ArchiveKind::DynamicIndex, GOLDEN.file(&format!("{snapshot}/{name}")).clone());
            let index = index.unwrap();
            let key = key.filter(|_| file.crypt_mode == CryptMode::Encrypt);
            let mut chunker = ContentChunker::new(size);
            let mut begun = Vec::new();
            for chunk in index.chunks() {
                let encoded = GOLDEN.file(&format!(".chunks/{}/{}", &chunk.digest.to_string()[..4], chunk.digest));
                begun.extend(walk.decoder.decode(encoded, key, MAX_CHUNK_BYTES).unwrap());
                let end = chunker.end(&begun);
                let is_last = chunk.end == index.size_bytes();
                assert!(
                    end.is_none_or(|end| end == begun.len()),
                    "{snapshot}/{name} was cut too late at {}",
                    chunk.end
                );
                let is_suggested = name.ends_with(".ppxar.didx");
                assert!(end.is_some() || is_last || is_suggested, "{snapshot}/{name} was cut at {}", chunk.end);
                tested_bytes += begun.len().saturating_sub(size.min_bytes());
                begun.clear();
                chunker = ContentChunker::new(size);
            }
        }
    }
    // The places at which a cut was possible.
    assert!(5 << 20 < tested_bytes, "{tested_bytes}");
}
