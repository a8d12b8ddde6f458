//! An encrypting push of the recorded store, compared with what the reference's left on its target and in its log, and the
//! way back by a decrypting pull.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use farhold_crypto::{CryptConfig, sha256};
use farhold_format::blob::{self, BlobDecoder};
use farhold_format::index::Index;
use farhold_format::key_file::KeyFile;
use farhold_format::manifest::{CHUNK_UPLOAD_STATS, Manifest, NOTES, VERIFY_STATE};
use farhold_sync::{Encryption, LocalSource, SyncKey, SyncOptions, SyncReport, Unrestricted};
use farhold_testkit::SeededRandomness;
use farhold_types::{ArchiveKind, ArchiveName, Authid, CLIENT_LOG_NAME, CryptMode, Digest, MANIFEST_NAME, Namespace};
use tokio_util::sync::CancellationToken;

use crate::encrypted::run;
use crate::stores::{Stores, by_namespace, chunks, comparable, golden_path, recorded, tree, unpack};
use crate::support::remote::{MemoryRemote, PushLog, Remote, push_options};
use crate::support::{MemorySource, MemoryTarget};

const MAX_BYTES: usize = 16 << 20;

fn key0() -> SyncKey {
    let key = KeyFile::parse(&fs::read(golden_path("key0.json")).unwrap()).unwrap().decrypt(None).unwrap();
    SyncKey { id: "key0".parse().unwrap(), config: Arc::new(CryptConfig::new(key)) }
}

/// Pushes the recorded store. Returns what was done, and the lines of the log.
async fn push(stores: &Stores, remote: &Arc<MemoryRemote>) -> (SyncReport, Vec<String>) {
    let encryption = Some(Encryption { key: key0(), randomness: Arc::new(SeededRandomness::new(5)) });
    let state_dir = Some(stores.dir.path().join("state"));
    let options = SyncOptions { encryption, state_dir, ..push_options() };
    let source = Arc::new(LocalSource::new(stores.source.clone(), Arc::new(|_: &Namespace, _: &Authid| true)));
    let (log, target) = (PushLog::new(1), Arc::new(Remote(remote.clone())));
    let cancel = CancellationToken::new();
    let result = farhold_sync::push(options, source, target, Arc::new(Unrestricted), log.clone(), cancel).await;
    (result.unwrap(), log.lines().into_iter().map(|line| line.text).collect())
}

/// The files of all snapshots of the target, by the path they would have in a store.
fn files_of(remote: &MemoryRemote) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for ((ns, group), dir) in &remote.state().groups {
        let text = ns.to_string();
        let levels = text.split('/').filter(|level| !level.is_empty()).map(|level| format!("ns/{level}/"));
        let base: String = levels.collect();
        for (time, dir) in &dir.snapshots {
            let snapshot = group.at(*time);
            let path = |name: &String| format!("{base}{snapshot}/{name}");
            found.extend(dir.files.iter().map(|(name, content)| (path(name), content.to_vec())));
        }
    }
    found
}

/// What a file says, without what random bytes, headers and compression make of it, and without what the target adds.
fn meaning(path: &str, content: &[u8]) -> String {
    let name: ArchiveName = path.rsplit('/').next().unwrap().parse().unwrap();
    let config = key0().config;
    if name.as_str() == MANIFEST_NAME {
        let mut manifest = Manifest::from_blob(content).unwrap();
        // The signature covers blobs, which differ in their initialisation vectors; it is checked below.
        let is_ours = manifest.key_fingerprint().unwrap() == Some(config.fingerprint());
        if is_ours {
            manifest.check_signature(&config).unwrap();
            manifest.signature = None;
        }
        for file in manifest.files.iter_mut().filter(|file| is_ours && file.name.kind() == ArchiveKind::Blob) {
            (file.size_bytes, file.checksum) = (0, Digest([0; 32]));
        }
        // A snapshot got its notes after it was pushed, and one failed a verification.
        for member in [CHUNK_UPLOAD_STATS, NOTES, VERIFY_STATE] {
            manifest.unprotected.remove(member);
        }
        return manifest.to_json();
    }
    match name.kind() {
        ArchiveKind::Blob => {
            let kind = blob::kind(content).unwrap();
            match BlobDecoder::new().decode(content, Some(&config), MAX_BYTES) {
                Ok(plain) => format!("{} {plain:02x?}", kind.is_encrypted()),
                Err(_) => format!("{content:02x?}"),
            }
        }
        kind => {
            let index = Index::parse(kind, content.to_vec().into()).unwrap();
            format!("{} {:?} {:?}", index.size_bytes(), index.chunk_size_bytes(), index.chunks().collect::<Vec<_>>())
        }
    }
}

/// The log without amounts, of which ours are those that went over the network, and with the names of our ends.
fn masked(lines: Vec<String>) -> Vec<String> {
    let mask = |line: String| match line.find(": uploaded ") {
        Some(at) => line[..at + 10].to_owned(),
        None => line.replace("'golden'", "'dst'").replace("'pushed'", "'src2'"),
    };
    lines.into_iter().map(mask).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_the_recorded_store_is_encrypted_to_what_the_reference_pushed() {
    let (stores, remote) = (Stores::of("golden", ["beta", "golden", "pushed"]), MemoryRemote::new());
    let (report, log) = push(&stores, &remote).await;
    unpack("pushed", stores.dir.path());
    let recorded_dir = stores.dir.path().join("pushed");
    let in_snapshot = |path: &String| path.ends_with(".blob") || path.ends_with("idx");
    let theirs: BTreeMap<_, _> = tree(&recorded_dir).into_iter().filter(|(path, _)| in_snapshot(path)).collect();
    let ours = files_of(&remote);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, content) in &theirs {
        // The reference wraps the log of an encrypted snapshot once more (`docs/spec/sync.md` C.1 FAULT 14).
        if path.ends_with(CLIENT_LOG_NAME) && !blob::kind(content).unwrap().is_encrypted() {
            let inner = BlobDecoder::new().decode(content, None, MAX_BYTES).unwrap();
            assert_eq!(ours[path], inner, "{path}");
            continue;
        }
        assert_eq!(meaning(path, &ours[path]), meaning(path, content), "{path}");
    }
    let mut theirs: BTreeSet<String> = chunks(&recorded_dir).into_keys().collect();
    assert!(theirs.remove(&sha256(&[0; 4 << 20]).to_string()), "the one that a new store gets of itself");
    let ours: BTreeSet<String> = remote.state().chunks.keys().map(ToString::to_string).collect();
    assert_eq!(ours, theirs);
    assert_eq!((report.snapshots, report.failures.count), (24, 0));
    // The log, up to the summary.
    let expected = recorded("push-enc.log");
    let begin = expected.iter().position(|line| line == "----").unwrap();
    let end = expected.iter().position(|line| line.starts_with("Summary")).unwrap();
    let parts = |lines: Vec<String>| {
        let mut lines = masked(comparable(lines));
        lines.push("Summary".to_owned());
        by_namespace(lines)
    };
    let start = log.iter().position(|line| line == "----").unwrap();
    assert_eq!(parts(log[start..].to_vec()), parts(expected[begin..end].to_vec()));
}

/// A source that has what the target has.
fn source_of(remote: &MemoryRemote) -> MemorySource {
    let (source, state) = (MemorySource::new(), remote.state());
    *source.namespaces.lock().unwrap() = state.namespaces.iter().cloned().collect();
    *source.chunks.lock().unwrap() = state.chunks.clone();
    for ((ns, group), dir) in &state.groups {
        source.groups.lock().unwrap().insert((ns.to_string(), group.clone()));
        let mut snapshots = source.snapshots.lock().unwrap();
        for (time, dir) in &dir.snapshots {
            snapshots.insert((ns.to_string(), group.at(*time)), dir.files.clone());
        }
    }
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenario_88_what_was_pushed_encrypted_and_pulled_decrypted_is_the_original() {
    let (stores, remote) = (Stores::of("golden", ["beta", "golden", "pushed"]), MemoryRemote::new());
    push(&stores, &remote).await;
    let (source, target) = (Arc::new(source_of(&remote)), MemoryTarget::new());
    let options = || SyncOptions { decryption_keys: vec![key0()], ..crate::support::options() };
    run(options(), &source, &target).await.report();
    let original = tree(&stores.source_dir());
    let original_chunks = chunks(&stores.source_dir());
    let mut decoder = BlobDecoder::new();
    let mut compared = 0;
    for ((ns, snapshot), files) in target.finished() {
        let levels = ns.split('/').filter(|level| !level.is_empty()).map(|level| format!("ns/{level}/"));
        let base: String = levels.collect();
        for (name, copy) in files.iter().filter(|(name, _)| *name != MANIFEST_NAME) {
            let first = &original[&format!("{base}{snapshot}/{name}")];
            match name.parse::<ArchiveName>().unwrap().kind() {
                ArchiveKind::Blob => match decoder.decode(first, None, MAX_BYTES) {
                    Ok(plain) => assert_eq!(decoder.decode(copy, None, MAX_BYTES).unwrap(), plain, "{snapshot}/{name}"),
                    // A client encrypted it, and nobody here has that key.
                    Err(_) => assert_eq!(*copy, *first, "{snapshot}/{name}"),
                },
                kind => {
                    let digests = |raw: &[u8]| Index::parse(kind, raw.to_vec().into()).unwrap().digests().collect();
                    let (ours, theirs): (Vec<Digest>, Vec<Digest>) = (digests(copy), digests(first));
                    assert_eq!(ours, theirs, "{snapshot}/{name}");
                    let chunks = target.store.chunks.lock().unwrap();
                    for digest in ours {
                        let (ours, theirs) = (&chunks[&digest], &original_chunks[&digest.to_string()]);
                        if blob::kind(theirs).unwrap().is_encrypted() {
                            assert_eq!(*ours, *theirs);
                            continue;
                        }
                        let plain = [&ours[..], theirs].map(|chunk| decoder.decode(chunk, None, MAX_BYTES).unwrap());
                        assert_eq!(plain[0], plain[1]);
                    }
                }
            }
            compared += 1;
        }
        let manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
        assert!(manifest.is_fully_encrypted() || manifest.files.iter().all(|file| file.crypt_mode == CryptMode::None));
    }
    assert_eq!((target.finished().len(), compared), (23, 46));
    // Once more in both steps: nothing.
    let (report, _) = push(&stores, &remote).await;
    assert_eq!((report.bytes, report.changed_snapshots), (0, 0));
    let report = run(options(), &Arc::new(source_of(&remote)), &target).await.report();
    assert_eq!((report.chunks, report.changed_snapshots), (0, 0));
}
