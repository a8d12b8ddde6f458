//! Verification of snapshots. `docs/spec/datastore-format.md` 18, golden checks 18, 23 and 24.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use farhold_crypto::sha256;
use farhold_datastore::Datastore;
use farhold_datastore::backup::{BackupKind, UploadStatistics};
use farhold_datastore::verify::{
    ReadOrder, Reverify, SkipReason, SnapshotVerdict, Verifier, VerifyEvent, VerifyOptions, VerifyWatch,
};
use farhold_format::blob::{BlobEncoder, BlobKind, Compression};
use farhold_format::index::DynamicIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_format::upid::Upid;
use farhold_storage::{
    Durability, Fault, FaultKind, FaultyStorage, MemoryStorage, Operation, Staging, Storage, StorePath,
};
use farhold_types::{CryptMode, Digest, Epoch, Snapshot, VerifyState};

use crate::support::{chunk, container, memory, options, root, snapshot, unpack, write};

/// Started at 2026-11-22T01:30:00Z.
const UPID: &str = "UPID:vm:00001234:00005678:00000000:6B024598:verify:golden:root@pam:";

fn upid() -> Upid {
    UPID.parse().expect("valid")
}

fn number(value: usize) -> NonZero<usize> {
    NonZero::new(value).expect("not zero")
}

fn verifier(store: &Datastore) -> Verifier {
    let options = VerifyOptions { readers: number(2), workers: number(4), order: ReadOrder::Inode };
    Verifier::new(store.clone(), options)
}

/// Verifies a snapshot; returns the verdict and what was told about chunks and files.
fn verify(verifier: &Verifier, snapshot: &Snapshot, reverify: Reverify) -> (SnapshotVerdict, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let on_event = |event: &VerifyEvent<'_>| {
        let line = match event {
            VerifyEvent::Chunk { archive, digest, problem } => {
                format!("{archive} {}: {problem}", &digest.to_string()[..4])
            }
            VerifyEvent::FileFailed { archive, problem, .. } => format!("{archive}: {problem}"),
            VerifyEvent::SetAside { path, .. } => format!("aside {}", &path[path.len() - 6..]),
            VerifyEvent::Chunks { read_bytes, plain_bytes, error_count, .. } => {
                format!("read {read_bytes} plain {plain_bytes} errors {error_count}")
            }
            VerifyEvent::Unreadable { error, .. } => error.to_string(),
            VerifyEvent::NotNoted { .. } => "not noted".to_owned(),
            _ => return,
        };
        told.lock().expect("no panic").push(line);
    };
    let watch = VerifyWatch { on_event: &on_event, is_stopped: &|| false };
    let verdict = verifier.verify_snapshot(&root(), snapshot, &upid(), &reverify, &watch).expect("not stopped");
    (verdict, told.into_inner().expect("no panic"))
}

struct Bench {
    memory: MemoryStorage,
    store: Datastore,
    _locks: tempfile::TempDir,
    snapshot: Snapshot,
    chunks: Vec<(Digest, Vec<u8>)>,
}

const INDEX: &str = "root.pxar.didx";
const BLOB: &str = "a.conf.blob";

impl Bench {
    /// A snapshot with a blob and an index of four chunks.
    fn new() -> Self {
        Self::with(|_| {}, CryptMode::None)
    }

    fn with(change: impl FnOnce(&mut Vec<(Digest, u64)>), crypt_mode: CryptMode) -> Self {
        let (memory, locks) = (memory(), tempfile::tempdir().expect("created"));
        let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).expect("opened");
        let snapshot = snapshot("vm/100/2026-01-01T10:00:00Z");
        let chunks: Vec<_> = [b"one", b"two", b"six", b"ten"].map(|content| chunk(content)).into();
        let mut entries: Vec<(Digest, u64)> = chunks.iter().map(|(digest, _)| (*digest, 3)).collect();
        change(&mut entries);
        let bench = Self { memory, store, _locks: locks, snapshot, chunks };
        bench.back_up(&entries, crypt_mode);
        bench
    }

    fn back_up(&self, entries: &[(Digest, u64)], crypt_mode: CryptMode) {
        let caller = "sync@pbs!t1".parse().expect("valid");
        let writer = self.store.begin_backup(&root(), &self.snapshot, &caller, BackupKind::Normal).expect("begun");
        for (digest, encoded) in &self.chunks {
            writer.insert_chunk(digest, encoded).expect("inserted");
        }
        let index = writer.create_dynamic(&INDEX.parse().expect("valid")).expect("created");
        let (mut end, mut builder) = (0, DynamicIndexBuilder::new([0; 16], Epoch(0)));
        for (digest, size_bytes) in entries {
            end += size_bytes;
            index.push(end, digest).expect("pushed");
            builder.push(end, *digest).expect("pushed");
        }
        let checksum = builder.finish().expect("finished").checksum();
        index.finish(&checksum).expect("finished");
        let blob = BlobEncoder::new().encode(b"content", Compression::Off, None).expect("encoded");
        writer.put_blob(&BLOB.parse().expect("valid"), &blob).expect("put");
        let mut manifest = Manifest::new(&self.snapshot);
        let file = |name: &str, crypt_mode, size_bytes, checksum| ManifestFile {
            name: name.parse().expect("valid"),
            crypt_mode,
            size_bytes,
            checksum,
        };
        manifest.files.push(file(BLOB, CryptMode::None, blob.len() as u64, sha256(&blob)));
        manifest.files.push(file(INDEX, crypt_mode, end, checksum));
        let manifest = manifest.to_blob(&mut BlobEncoder::new()).expect("encoded");
        writer.put_blob(&"index.json.blob".parse().expect("valid"), &manifest).expect("put");
        writer.finish(&UploadStatistics::default()).expect("finished");
    }

    fn put(&self, path: &StorePath, content: &[u8]) {
        self.memory.write_atomic(path, content, Durability::Cached, Staging::Beside).expect("written");
    }

    fn chunk_path(&self, position: usize) -> StorePath {
        let name = self.chunks[position].0.to_string();
        format!(".chunks/{}/{name}", &name[..4]).parse().expect("valid")
    }

    fn file_path(&self, name: &str) -> StorePath {
        format!("{}/{name}", self.snapshot).parse().expect("valid")
    }

    fn state(&self) -> Option<(VerifyState, String)> {
        let (manifest, _) = self.store.read_manifest(&root(), &self.snapshot).expect("readable");
        manifest.verify_state().map(|item| (item.state, item.upid))
    }

    fn bad_files(&self) -> usize {
        self.memory.all_paths().iter().filter(|path| path.ends_with(".bad")).count()
    }
}

#[test]
fn a_whole_snapshot_is_noted_as_such_and_no_chunk_is_read_twice() {
    let bench = Bench::new();
    let verifier = verifier(&bench.store);
    let (verdict, told) = verify(&verifier, &bench.snapshot, Reverify::Always);
    assert_eq!((verdict, told), (SnapshotVerdict::Ok, vec!["read 60 plain 12 errors 0".to_owned()]));
    assert_eq!(bench.state(), Some((VerifyState::Ok, UPID.to_owned())));
    let (verdict, told) = verify(&verifier, &bench.snapshot, Reverify::Always);
    assert_eq!((verdict, told), (SnapshotVerdict::Ok, vec!["read 0 plain 0 errors 0".to_owned()]));
    assert_eq!(bench.bad_files(), 0);
}

/// What is hurt, how, what is told, and how many files are set aside.
#[test]
fn every_damage_is_found_told_and_noted() {
    type Hurt = fn(&Bench);
    let plain = |content: &[u8]| BlobEncoder::new().encode(content, Compression::Off, None).expect("encoded");
    assert_eq!(plain(b"two").len(), 15);
    let cases: [(&str, Hurt, &[&str], usize); 12] = [
        (
            "chunk with a flipped byte",
            |bench| {
                let mut encoded = bench.chunks[1].1.clone();
                encoded[13] ^= 1;
                bench.put(&bench.chunk_path(1), &encoded);
            },
            &["root.pxar.didx 3fc4: chunk is damaged", "aside .0.bad", "errors 1", "chunks could not be verified"],
            1,
        ),
        (
            "chunk with other content and a right checksum",
            |bench| bench.put(&bench.chunk_path(1), &chunk(b"TWO").1),
            &["chunk has the digest", "aside .0.bad", "errors 1", "chunks could not be verified"],
            1,
        ),
        (
            "missing chunk",
            |bench| bench.memory.remove_file(&bench.chunk_path(1)).expect("removed"),
            &["is missing", "errors 1", "chunks could not be verified"],
            0,
        ),
        (
            "empty chunk",
            |bench| bench.put(&bench.chunk_path(1), b""),
            &["has an empty file", "aside .0.bad", "errors 1", "chunks could not be verified"],
            1,
        ),
        (
            "chunk too short for its header",
            |bench| bench.put(&bench.chunk_path(1), &chunk(b"two").1[..9]),
            &["chunk is damaged", "aside .0.bad", "errors 1", "chunks could not be verified"],
            1,
        ),
        (
            "encrypted chunk",
            |bench| bench.put(&bench.chunk_path(1), &container(BlobKind::Encrypted, 50, 1)),
            &["chunk is encrypted, and should not be", "errors 1", "chunks could not be verified"],
            0,
        ),
        (
            "index with a flipped byte",
            |bench| {
                let path = bench.file_path(INDEX);
                let mut index = bench.memory.read(&path, 1 << 20).expect("read").to_vec();
                index[4096 + 8] ^= 1;
                bench.put(&path, &index);
            },
            &["root.pxar.didx: wrong checksum"],
            0,
        ),
        (
            "missing index",
            |bench| bench.memory.remove_file(&bench.file_path(INDEX)).expect("removed"),
            &["has no file 'root.pxar.didx'"],
            0,
        ),
        (
            "index that is none",
            |bench| bench.put(&bench.file_path(INDEX), b"short"),
            &["root.pxar.didx: index 'root.pxar.didx' of snapshot"],
            0,
        ),
        (
            "longer blob",
            |bench| bench.put(&bench.file_path(BLOB), &chunk(b"content and more").1),
            &["a.conf.blob: wrong size (28 != 19)"],
            0,
        ),
        (
            "other blob",
            |bench| bench.put(&bench.file_path(BLOB), &chunk(b"CONTENT").1),
            &["a.conf.blob: wrong checksum"],
            0,
        ),
        (
            "missing blob",
            |bench| bench.memory.remove_file(&bench.file_path(BLOB)).expect("removed"),
            &["has no file 'a.conf.blob'"],
            0,
        ),
    ];
    for (name, hurt, expected, bad_files) in cases {
        let bench = Bench::new();
        hurt(&bench);
        let (verdict, told) = verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always);
        assert_eq!(verdict, SnapshotVerdict::Failed, "{name}");
        for text in expected {
            assert!(told.iter().any(|line| line.contains(text)), "{name}: {text:?} in {told:?}");
        }
        assert_eq!(bench.state(), Some((VerifyState::Failed, UPID.to_owned())), "{name}");
        assert_eq!(bench.bad_files(), bad_files, "{name}");
    }
}

#[test]
fn a_blob_that_does_not_decode_is_found_although_its_checksums_fit() {
    let bench = Bench::new();
    let blob = container(BlobKind::Zstd, 40, 7);
    bench.put(&bench.file_path(BLOB), &blob);
    let (mut manifest, _) = bench.store.read_manifest(&root(), &bench.snapshot).unwrap();
    (manifest.files[0].size_bytes, manifest.files[0].checksum) = (40, sha256(&blob));
    bench.put(&bench.file_path("index.json.blob"), &manifest.to_blob(&mut BlobEncoder::new()).unwrap());
    let (verdict, told) = verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always);
    assert_eq!(verdict, SnapshotVerdict::Failed, "{told:?}");
}

#[test]
fn a_chunk_with_right_content_is_never_set_aside() {
    // The index lies: another length, and a mode that the chunks do not have.
    let cases = [
        Bench::with(|entries| entries[2].1 = 4, CryptMode::None),
        Bench::with(|_| {}, CryptMode::Encrypt),
        // One digest with two lengths, of which one is right.
        Bench::with(|entries| entries.push((entries[0].0, 5)), CryptMode::SignOnly),
    ];
    for (bench, errors) in cases.iter().zip([1, 4, 1]) {
        let (verdict, told) = verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always);
        assert_eq!(verdict, SnapshotVerdict::Failed, "{told:?}");
        assert!(told.iter().any(|line| line.ends_with(&format!("errors {errors}"))), "{told:?}");
        assert_eq!(bench.bad_files(), 0);
        assert!(bench.store.read_chunk(&bench.chunks[2].0).is_ok());
    }
}

#[test]
fn a_wrong_chunk_that_is_examined_last_always_counts() {
    for _ in 0..100 {
        let bench = Bench::new();
        bench.put(&bench.chunk_path(3), &chunk(b"TEN").1);
        let (verdict, _) = verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always);
        assert_eq!((verdict, bench.state().unwrap().0), (SnapshotVerdict::Failed, VerifyState::Failed));
    }
}

#[test]
fn a_chunk_known_as_bad_is_an_error_in_every_further_index() {
    let bench = Bench::new();
    bench.put(&bench.chunk_path(0), &chunk(b"ONE").1);
    let verifier = verifier(&bench.store);
    assert_eq!(verify(&verifier, &bench.snapshot, Reverify::Always).0, SnapshotVerdict::Failed);
    // Good again, but this task has its verdict.
    bench.store.insert_chunk(&bench.chunks[0].0, &bench.chunks[0].1).unwrap();
    let (verdict, told) = verify(&verifier, &bench.snapshot, Reverify::Always);
    assert_eq!(verdict, SnapshotVerdict::Failed);
    assert!(told[0].contains("chunk was marked as corrupt"), "{told:?}");
    let (verdict, _) = verify(&self::verifier(&bench.store), &bench.snapshot, Reverify::Always);
    assert_eq!((verdict, bench.bad_files()), (SnapshotVerdict::Ok, 1));
}

#[test]
fn a_failure_to_read_that_may_pass_does_not_set_chunks_aside() {
    use std::io::ErrorKind::{Other, PermissionDenied};
    for kind in [Other, PermissionDenied] {
        let bench = Bench::new();
        // Manifest, blob and index come first.
        let fault = Fault { operation: Some(Operation::Read), after: 3, kind: FaultKind::Error(kind) };
        let faulty = FaultyStorage::new(Arc::new(bench.memory.clone()), vec![fault]);
        let store = Datastore::open(options(Arc::new(faulty.clone()), bench._locks.path())).unwrap();
        let (verdict, told) = verify(&verifier(&store), &bench.snapshot, Reverify::Always);
        assert_eq!((verdict, faulty.hit_count()), (SnapshotVerdict::Failed, 1), "{told:?}");
        assert_eq!(bench.bad_files(), 0);
        assert_eq!(verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always).0, SnapshotVerdict::Ok);
    }
}

#[test]
fn snapshots_that_are_gone_busy_or_fresh_are_skipped() {
    let bench = Bench::new();
    let verifier = verifier(&bench.store);
    let skipped = |snapshot: &Snapshot, reverify| verify(&verifier, snapshot, reverify).0;
    let gone = snapshot("vm/100/2026-01-02T10:00:00Z");
    assert_eq!(skipped(&gone, Reverify::Always), SnapshotVerdict::Skipped(SkipReason::Gone));
    let lock = bench.store.lock_snapshot(&root(), &bench.snapshot).unwrap();
    assert_eq!(skipped(&bench.snapshot, Reverify::Always), SnapshotVerdict::Skipped(SkipReason::Busy));
    drop(lock);
    // A reader is no hindrance.
    let lock = bench.store.lock_snapshot_shared(&root(), &bench.snapshot).unwrap();
    assert_eq!(skipped(&bench.snapshot, Reverify::Never), SnapshotVerdict::Ok);
    drop(lock);
    assert_eq!(skipped(&bench.snapshot, Reverify::Never), SnapshotVerdict::Skipped(SkipReason::Recent));
    let start = upid().start_time().0;
    for (after_days, seconds_later, is_skipped) in [
        (0, -5, true),
        (0, 86_399, true),
        (0, 86_400, false),
        (1, 86_400, true),
        (1, 2 * 86_400 - 1, true),
        (1, 2 * 86_400, false),
    ] {
        let reverify = Reverify::Outdated { after_days, now: Epoch(start + seconds_later) };
        let verdict = skipped(&bench.snapshot, reverify);
        assert_eq!(matches!(verdict, SnapshotVerdict::Skipped(_)), is_skipped, "{after_days} {seconds_later}");
    }
    // A result without a readable task counts as none.
    bench
        .store
        .update_manifest(&root(), &bench.snapshot, |unprotected| {
            unprotected.insert("verify_state".to_owned(), serde_json::json!({ "state": "ok", "upid": "x" }));
        })
        .unwrap();
    assert_eq!(skipped(&bench.snapshot, Reverify::Never), SnapshotVerdict::Ok);
}

#[test]
fn without_a_readable_manifest_a_snapshot_fails_and_nothing_is_written() {
    for content in [None, Some(&b"no manifest"[..])] {
        let bench = Bench::new();
        let path = bench.file_path("index.json.blob");
        match content {
            Some(content) => bench.put(&path, content),
            None => bench.memory.remove_file(&path).unwrap(),
        }
        let (verdict, told) = verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always);
        assert_eq!((verdict, told.len()), (SnapshotVerdict::Failed, 1), "{told:?}");
        assert_eq!(bench.memory.read(&path, 100).ok().as_deref(), content);
    }
}

#[test]
fn a_stopped_verification_notes_nothing() {
    let bench = Bench::new();
    let asked = AtomicUsize::new(0);
    for patience in 0..20 {
        asked.store(0, Ordering::Relaxed);
        let is_stopped = || patience <= asked.fetch_add(1, Ordering::Relaxed);
        let watch = VerifyWatch { on_event: &|_| {}, is_stopped: &is_stopped };
        let verifier = verifier(&bench.store);
        match verifier.verify_snapshot(&root(), &bench.snapshot, &upid(), &Reverify::Always, &watch) {
            Err(_) => assert_eq!(bench.state(), None),
            Ok(verdict) => {
                // The start, two files, four chunks.
                assert_eq!((verdict, patience), (SnapshotVerdict::Ok, 7));
                return;
            }
        }
    }
    panic!("never done");
}

#[test]
fn after_a_failed_verification_a_new_backup_heals_the_store() {
    let mut bench = Bench::new();
    bench.put(&bench.chunk_path(0), &chunk(b"ONE").1);
    assert_eq!(verify(&verifier(&bench.store), &bench.snapshot, Reverify::Always).0, SnapshotVerdict::Failed);
    let first = bench.snapshot.clone();
    bench.snapshot = snapshot("vm/100/2026-01-02T10:00:00Z");
    let entries: Vec<_> = bench.chunks.iter().map(|(digest, _)| (*digest, 3)).collect();
    bench.back_up(&entries, CryptMode::None);
    for snapshot in [&bench.snapshot, &first] {
        assert_eq!(verify(&verifier(&bench.store), snapshot, Reverify::Always).0, SnapshotVerdict::Ok);
    }
    assert_eq!(bench.bad_files(), 1);
}

#[test]
fn a_pulled_snapshot_and_all_recorded_ones_are_whole() {
    let bench = Bench::new();
    let other = snapshot("ct/1/2026-01-01T10:00:00Z");
    write(&bench.store, &other, &crate::support::sample(&other, b"content")).unwrap();
    assert_eq!(verify(&verifier(&bench.store), &other, Reverify::Always).0, SnapshotVerdict::Ok);

    let golden = unpack("golden");
    let verifier = verifier(&golden.store);
    let mut count = 0;
    for namespace in golden.store.namespaces(&root(), 7).unwrap() {
        for group in golden.store.groups(&namespace).unwrap() {
            for info in golden.store.snapshots(&namespace, &group.group).unwrap() {
                let told = Mutex::new(Vec::new());
                let on_event = |event: &VerifyEvent<'_>| told.lock().unwrap().push(format!("{event:?}"));
                let watch = VerifyWatch { on_event: &on_event, is_stopped: &|| false };
                let snapshot = group.group.at(info.time);
                let verdict =
                    verifier.verify_snapshot(&namespace, &snapshot, &upid(), &Reverify::Always, &watch).unwrap();
                assert_eq!(verdict, SnapshotVerdict::Ok, "{snapshot}: {told:?}");
                count += 1;
            }
        }
    }
    assert!(5 < count, "{count}");
}
