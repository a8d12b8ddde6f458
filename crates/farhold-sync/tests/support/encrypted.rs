//! Encrypted snapshots in a memory source, what a decrypting pull makes of them, and comparison with recorded logs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use farhold_crypto::{CryptConfig, EncryptionKey, sha256};
use farhold_format::blob::{BlobDecoder, BlobEncoder, Compression};
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index};
use farhold_format::manifest::Manifest;
use farhold_sync::{LogLevel, LogNames, SyncError, SyncKey, SyncOptions, SyncReport, Unrestricted, closing, summary};
use farhold_types::{ArchiveKind, CryptMode, Digest, Epoch, MANIFEST_NAME};
use tokio_util::sync::CancellationToken;

use crate::stores::golden_path;
use crate::support::{Content, Log, MemorySource, MemoryTarget, Shared, TargetHandle, name, options, snapshot};

const MAX_BYTES: usize = 16 << 20;
pub const CHUNK: usize = 64 << 10;

/// A key whose fingerprint nobody else has; `seed` is also its number in the id.
pub fn key(seed: u8) -> SyncKey {
    let config = Arc::new(CryptConfig::new(EncryptionKey::new([seed; 32])));
    SyncKey { id: format!("key{seed}").parse().unwrap(), config }
}

/// Options of the recorded jobs, with these keys.
pub fn options_with(keys: &[u8]) -> SyncOptions {
    let decryption_keys = keys.iter().map(|seed| key(*seed)).collect();
    SyncOptions { job: "rsrc:src:dst::jdec".into(), decryption_keys, ..options() }
}

/// Adds a plain snapshot shaped like those of the recorded runs: configuration, image, files.
pub fn add_plain(source: &MemorySource, what: &str, image: &[u64]) {
    source.add(
        "",
        what,
        &[
            ("qemu-server.conf.blob", Content::Blob(b"memory: 4096\n")),
            ("drive-scsi0.img.fidx", Content::Chunks(image, CHUNK)),
            ("etc.pxar.didx", Content::Chunks(&[901, 902], 3000)),
        ],
    );
}

/// Adds the same with all files encrypted and signed with key `seed`.
pub fn add_encrypted(source: &MemorySource, what: &str, seed: u8, image: &[u64]) {
    add_plain(source, what, image);
    seal(source, what, seed, |_| CryptMode::Encrypt);
}

/// Gives the files of a snapshot of the source these modes, and signs it with key `seed`.
pub fn seal(source: &MemorySource, what: &str, seed: u8, mode: impl Fn(&str) -> CryptMode) {
    let key = key(seed).config;
    let mut encoder = BlobEncoder::new();
    let mut encrypt = |plain: &[u8]| -> Bytes {
        let iv = std::array::from_fn(|i| sha256(plain).0[i]);
        encoder.encode(plain, Compression::On, Some((&key, iv))).unwrap().into()
    };
    source.edit("", what, |files| {
        let mut manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
        for file in &mut manifest.files {
            file.crypt_mode = mode(file.name.as_str());
            if file.crypt_mode != CryptMode::Encrypt {
                continue;
            }
            let content = files[file.name.as_str()].clone();
            let mut decoder = BlobDecoder::new();
            let sealed = if file.name.kind() == ArchiveKind::Blob {
                let sealed = encrypt(&decoder.decode(&content, None, MAX_BYTES).unwrap());
                (file.size_bytes, file.checksum) = (sealed.len() as u64, sha256(&sealed));
                sealed
            } else {
                let index = Index::parse(file.name.kind(), content).unwrap();
                let mut chunks = source.chunks.lock().unwrap();
                let digests: Vec<Digest> = index
                    .digests()
                    .map(|digest| {
                        let plain = decoder.decode(&chunks[&digest], None, MAX_BYTES).unwrap();
                        let keyed = key.chunk_digest(&plain);
                        chunks.insert(keyed, encrypt(&plain));
                        keyed
                    })
                    .collect();
                let index = with_digests(&index, &digests);
                file.checksum = index.checksum();
                index.as_bytes().clone()
            };
            files.insert(file.name.to_string(), sealed);
        }
        manifest.sign(&key);
        files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
    });
}

/// Returns an index over the same content with other digests.
pub fn with_digests(index: &Index, digests: &[Digest]) -> Index {
    if let Some(chunk_size) = index.chunk_size_bytes() {
        let mut builder = FixedIndexBuilder::new([2; 16], Epoch(2), index.size_bytes(), chunk_size).unwrap();
        digests.iter().enumerate().for_each(|(position, digest)| builder.set(position, *digest).unwrap());
        return builder.finish().unwrap();
    }
    let mut builder = DynamicIndexBuilder::new([2; 16], Epoch(2));
    index.chunks().zip(digests).for_each(|(chunk, digest)| builder.push(chunk.end, *digest).unwrap());
    builder.finish().unwrap()
}

/// Removes the signature of a snapshot of the source.
pub fn unsign(source: &MemorySource, what: &str) {
    source.edit_manifest("", what, |manifest| manifest.signature = None);
}

/// Changes a snapshot of the source and signs it again, as somebody with the key can.
pub fn resign(source: &MemorySource, what: &str, seed: u8, change: impl FnOnce(&mut Manifest)) {
    source.edit_manifest("", what, |manifest| {
        change(manifest);
        manifest.sign(&key(seed).config);
    });
}

/// Returns the manifest of a finished snapshot of the target.
pub fn manifest_of(target: &MemoryTarget, what: &str) -> Manifest {
    Manifest::from_blob(&target.finished()[&(String::new(), snapshot(what))][MANIFEST_NAME]).unwrap()
}

/// Returns the plain content of every file of a finished snapshot of the target, checking it on the way.
pub fn contents(target: &MemoryTarget, what: &str) -> BTreeMap<String, Vec<u8>> {
    let files = target.finished()[&(String::new(), snapshot(what))].clone();
    let manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
    let chunks = target.store.chunks.lock().unwrap();
    let mut decoder = BlobDecoder::new();
    let mut found = BTreeMap::new();
    for file in &manifest.files {
        assert_eq!(file.crypt_mode, CryptMode::None, "{}", file.name);
        let stored = files[file.name.as_str()].clone();
        if file.name.kind() == ArchiveKind::Blob {
            assert_eq!((stored.len() as u64, sha256(&stored)), (file.size_bytes, file.checksum), "{}", file.name);
            found.insert(file.name.to_string(), decoder.decode(&stored, None, MAX_BYTES).unwrap());
            continue;
        }
        let index = Index::parse(file.name.kind(), stored).unwrap();
        assert_eq!((index.size_bytes(), index.checksum()), (file.size_bytes, file.checksum), "{}", file.name);
        let mut content = Vec::new();
        for chunk in index.chunks() {
            let plain = decoder.decode(&chunks[&chunk.digest], None, MAX_BYTES).unwrap();
            assert_eq!((sha256(&plain), plain.len() as u64), (chunk.digest, chunk.size_bytes()), "{}", file.name);
            content.extend(plain);
        }
        found.insert(file.name.to_string(), content);
    }
    let listed =
        |file: &String| file == MANIFEST_NAME || file == "client.log.blob" || manifest.file(&name(file)).is_some();
    assert!(files.keys().all(listed), "nothing is left over: {:?}", files.keys());
    found
}

/// Returns what the snapshots of [`add_plain`] contain.
pub fn expected(image: &[u64]) -> BTreeMap<String, Vec<u8>> {
    let concat = |seeds: &[u64], length| seeds.iter().flat_map(|seed| crate::support::content(*seed, length)).collect();
    BTreeMap::from([
        ("qemu-server.conf.blob".into(), b"memory: 4096\n".to_vec()),
        ("drive-scsi0.img.fidx".into(), concat(image, CHUNK)),
        ("etc.pxar.didx".into(), concat(&[901, 902], 3000)),
    ])
}

/// A run with its whole task log.
pub struct Run {
    pub result: Result<SyncReport, SyncError>,
    pub log: Vec<String>,
}

impl Run {
    pub fn report(self) -> SyncReport {
        self.result.unwrap_or_else(|error| panic!("{error}: {:#?}", self.log))
    }

    /// Returns the cause of the failure of the only group.
    pub fn refusal(self) -> String {
        assert!(matches!(self.result, Err(SyncError::SomeFailed(_))), "{:#?}", self.log);
        let line = self.log.iter().find(|line| line.contains("failed - ")).unwrap();
        line.split_once("failed - ").unwrap().1.to_owned()
    }
}

pub async fn run(options: SyncOptions, source: &Arc<MemorySource>, target: &Arc<MemoryTarget>) -> Run {
    let names = LogNames {
        direction: farhold_types::SyncDirection::Pull,
        remote: Some("rsrc".parse().unwrap()),
        source_store: "src".parse().unwrap(),
        target_store: "dst".parse().unwrap(),
    };
    let events = Log::new(options.worker_threads);
    let job = options.job.clone();
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    let result =
        farhold_sync::run(options, from, to, Arc::new(Unrestricted), events.clone(), CancellationToken::new()).await;
    let mut log = names.opening(&job).to_vec();
    log.extend(events.texts());
    match &result {
        Ok(report) => {
            log.extend([summary(farhold_types::SyncDirection::Pull, report), closing(&job)]);
            log.push(match events.count(LogLevel::Warning) {
                0 => "TASK OK".to_owned(),
                count => format!("TASK WARNINGS: {count}"),
            });
        }
        Err(error) => log.push(format!("TASK ERROR: {error}")),
    }
    Run { result, log }
}

/// Masks what varies: amounts, rates, fingerprints, ids of keys, causes.
fn masked(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let ends = [": downloaded ", " pulled ", "fingerprint ", "failed - ", ", current progress", "some errors."];
    let mask = |line: String| {
        let line = match line.split_once(" key '") {
            Some((before, after)) => format!("{before} key{}", after.split_once('\'').unwrap().1),
            None => line,
        };
        let end = ends.iter().filter_map(|end| line.find(end).map(|at| at + end.len())).min();
        line[..end.unwrap_or(line.len())].to_owned()
    };
    lines.into_iter().map(mask).collect()
}

/// Asserts that a run's log has the lines of a recorded one.
pub fn assert_log_is_like(log: Vec<String>, file: &str) {
    let text = std::fs::read_to_string(golden_path("task-logs").join(file)).unwrap();
    let lines = text.lines().map(|line| line.split_once(": ").unwrap().1.to_owned());
    let recorded = masked(lines.filter(|line| !line.starts_with("queued notification")));
    assert_eq!(masked(log), recorded, "{file}");
}
