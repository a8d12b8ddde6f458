//! The rules of inserting chunks, and what chunks survive. `docs/spec/datastore-format.md` 13, golden check 12.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use farhold_datastore::{ChunkError, Datastore, ErrorKind, Inserted};
use farhold_format::blob::BlobKind;
use farhold_storage::{
    Durability, Fault, FaultKind, FaultyStorage, LocalStorage, MemoryStorage, Operation, Staging, Storage, StorePath,
};
use farhold_types::{Digest, SyncLevel};

use crate::support::{chunk, local_options, memory, options};

fn path(digest: &Digest) -> StorePath {
    let name = digest.to_string();
    format!(".chunks/{}/{name}", &name[..4]).parse().expect("valid")
}

fn container(kind: BlobKind, length: usize) -> Vec<u8> {
    crate::support::container(kind, length, 0xa5)
}

fn put(memory: &MemoryStorage, digest: &Digest, content: &[u8]) {
    let path = path(digest);
    memory.create_dirs(&path.parent().expect("below")).expect("created");
    memory.write_atomic(&path, content, Durability::Cached, Staging::Beside).expect("written");
}

#[test]
fn the_seven_rules_hold() {
    use BlobKind::{Encrypted, EncryptedZstd, Plain, Zstd};
    /// What happens to the stored container.
    #[derive(Debug, PartialEq)]
    enum Outcome {
        Kept,
        Replaced,
        Refused,
    }
    use Outcome::{Kept, Refused, Replaced};
    let unknown = vec![0xee; 70];
    let torn = |kind, length| container(kind, 70)[..length].to_vec();
    let cases = [
        ("3: same length, other content", container(Zstd, 50), container(Plain, 50), Kept),
        ("3: same length, both encrypted", container(Encrypted, 60), container(EncryptedZstd, 60), Kept),
        ("3: same length, no chunk", vec![0xee; 50], container(Plain, 50), Replaced),
        // The reference keeps or replaces by length.
        ("same length, encrypted onto plain", container(Plain, 60), container(Encrypted, 60), Refused),
        ("same length, plain onto encrypted", container(Encrypted, 60), container(Zstd, 60), Refused),
        ("stored shorter, plain onto encrypted", container(Encrypted, 49), container(Plain, 50), Refused),
        ("stored longer, plain onto encrypted", container(Encrypted, 51), container(Plain, 50), Refused),
        ("encrypted onto torn plain", torn(Plain, 40), container(Encrypted, 70), Refused),
        ("4: empty", Vec::new(), container(Plain, 50), Replaced),
        ("4: empty, encrypted", Vec::new(), container(Encrypted, 50), Replaced),
        ("5: encrypted onto plain", container(Plain, 50), container(Encrypted, 60), Refused),
        ("5: encrypted onto zstd", container(Zstd, 70), container(EncryptedZstd, 60), Refused),
        ("5: both uncompressed", container(Encrypted, 61), container(Encrypted, 60), Refused),
        ("5: stored compressed", container(EncryptedZstd, 61), container(Encrypted, 60), Kept),
        ("5: incoming compressed", container(Encrypted, 61), container(EncryptedZstd, 60), Kept),
        // The reference keeps damaged ones of another length, and refuses some.
        ("unknown magic", unknown, container(Encrypted, 60), Replaced),
        ("fewer than 8 bytes", vec![1; 7], container(Encrypted, 60), Replaced),
        ("torn by a power failure", torn(Plain, 40), container(Plain, 70), Replaced),
        ("torn by a power failure, encrypted", torn(Encrypted, 50), container(Encrypted, 70), Replaced),
        ("6: stored shorter", container(Zstd, 40), container(Plain, 50), Kept),
        ("7: stored longer", container(Plain, 51), container(Zstd, 50), Replaced),
    ];
    let locks = tempfile::tempdir().unwrap();
    for (name, stored, incoming, expected) in cases {
        let memory = memory();
        let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
        let digest = Digest([7; 32]);
        put(&memory, &digest, &stored);
        let before = memory.stat(&path(&digest)).unwrap();
        let outcome = store.insert_chunk(&digest, &incoming);
        let content = memory.read(&path(&digest), 1000).unwrap();
        let after = memory.stat(&path(&digest)).unwrap();
        match expected {
            Kept => {
                assert_eq!(outcome.unwrap(), Inserted::Duplicate, "{name}");
                assert_eq!(content, stored, "{name}");
                assert!(before.accessed < after.accessed && before.modified == after.modified, "{name}");
            }
            Replaced => {
                assert_eq!(outcome.unwrap(), Inserted::New, "{name}");
                assert_eq!(content, incoming, "{name}");
            }
            Refused => {
                assert!(matches!(outcome, Err(ChunkError::Refused { .. })), "{name}");
                assert_eq!(content, stored, "{name}");
                assert_eq!(before.accessed, after.accessed, "{name}");
            }
        }
    }
}

#[test]
fn a_missing_chunk_is_written_and_its_folder_made() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
    let (digest, encoded) = chunk(b"hello");
    assert!(!store.has_chunk(&digest).unwrap() && !store.touch_chunk(&digest).unwrap());
    assert!(matches!(store.read_chunk(&digest), Err(ChunkError::Missing { .. })));
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap(), Inserted::New);
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap(), Inserted::Duplicate);
    assert_eq!(store.read_chunk(&digest).unwrap(), encoded);
    assert!(store.has_chunk(&digest).unwrap() && store.touch_chunk(&digest).unwrap());
    assert_eq!(memory.stat(&".chunks/2cf2".parse().unwrap()).unwrap().mode, 0o750);
    drop(store);
    assert!(!memory.all_paths().iter().any(|path| path.contains("tmp")));
}

#[test]
fn what_is_no_chunk_is_an_error_of_its_own() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
    let digest = Digest([9; 32]);
    put(&memory, &digest, b"");
    assert!(matches!(store.read_chunk(&digest), Err(ChunkError::Empty { .. })));
    assert!(!store.has_chunk(&digest).unwrap() && !store.touch_chunk(&digest).unwrap());
    put(&memory, &digest, &vec![0; 16_777_260]);
    assert_eq!(store.read_chunk(&digest).unwrap().len(), 16_777_260);
    put(&memory, &digest, &vec![0; 16_777_261]);
    assert!(matches!(store.read_chunk(&digest), Err(ChunkError::TooLarge { max_bytes: 16_777_260, .. })));
    assert!(matches!(
        store.insert_chunk(&digest, &container(BlobKind::Plain, 16_777_261)),
        Err(ChunkError::TooLarge { .. })
    ));
    assert!(matches!(store.insert_chunk(&digest, b"no magic here"), Err(ChunkError::NotAChunk { .. })));
    memory.remove_file(&path(&digest)).unwrap();
    memory.create_dir(&path(&digest), 0o755).unwrap();
    let (_, encoded) = chunk(b"x");
    assert!(matches!(store.insert_chunk(&digest, &encoded), Err(ChunkError::NotAFile { .. })));
    assert!(matches!(store.read_chunk(&digest), Err(ChunkError::NotAFile { .. })));
}

#[test]
fn on_disk_a_link_is_replaced_and_touching_moves_only_the_access_time() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let (digest, encoded) = chunk(b"hello");
    store.insert_chunk(&digest, &encoded).unwrap();
    let file = base.path().join(path(&digest).as_str());
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let times = std::fs::FileTimes::new().set_accessed(old).set_modified(old);
    std::fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap(), Inserted::Duplicate);
    let meta = std::fs::metadata(&file).unwrap();
    assert_eq!(meta.modified().unwrap(), old);
    assert!(old < meta.accessed().unwrap());

    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap(), Inserted::New);
    assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
}

#[test]
fn many_writers_of_the_same_chunks_store_each_once() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    // A second handle stands for a second process.
    let second = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let chunks: Vec<_> = (0..40u8).map(|content| chunk(&[content; 3000])).collect();
    let new_count: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4usize)
            .map(|worker| {
                let (store, chunks) = (&store, &chunks);
                scope.spawn(move || {
                    let order = (0..chunks.len()).map(|i| (i * 7 + worker) % chunks.len());
                    order.filter(|i| store.insert_chunk(&chunks[*i].0, &chunks[*i].1).unwrap() == Inserted::New).count()
                })
            })
            .collect();
        scope.spawn(|| {
            for (digest, encoded) in chunks.iter().rev() {
                second.insert_chunk(digest, encoded).unwrap();
            }
        });
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!(new_count <= chunks.len());
    for (digest, encoded) in &chunks {
        assert_eq!(store.read_chunk(digest).unwrap(), *encoded);
    }
}

#[test]
fn without_space_the_error_says_so_and_nothing_stays() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    let full =
        Fault { operation: Some(Operation::WriteAtomic), after: 0, kind: FaultKind::Error(io::ErrorKind::StorageFull) };
    let faulty = FaultyStorage::new(Arc::new(memory), vec![full]);
    let store = Datastore::open(options(Arc::new(faulty.clone()), locks.path())).unwrap();
    let (digest, encoded) = chunk(b"hello");
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(faulty.hit_count(), 1);
    assert!(!store.has_chunk(&digest).unwrap());
    assert_eq!(store.insert_chunk(&digest, &encoded).unwrap(), Inserted::New);
}

#[test]
fn an_unmounted_store_gets_no_chunks() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    std::fs::remove_dir(base.path().join(".chunks")).unwrap();
    let (digest, encoded) = chunk(b"hello");
    assert!(store.insert_chunk(&digest, &encoded).is_err());
    assert!(!base.path().join(".chunks").exists());
}

#[test]
fn each_sync_level_flushes_what_it_promises() {
    for (level, syncs_at_commit) in [(SyncLevel::None, 0), (SyncLevel::File, 0), (SyncLevel::Filesystem, 2)] {
        let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
        let faulty = FaultyStorage::new(Arc::new(memory), Vec::new());
        let mut options = options(Arc::new(faulty.clone()), locks.path());
        options.sync_level = level;
        let store = Datastore::open(options).unwrap();
        let snapshot = crate::support::snapshot("host/a/2026-01-01T10:00:00Z");
        let sample = crate::support::sample(&snapshot, b"content");
        crate::support::write(&store, &snapshot, &sample).unwrap();
        assert_eq!(faulty.call_count(Operation::SyncAll), syncs_at_commit, "{level:?}");
        if level == SyncLevel::Filesystem {
            // Everything else, flush, manifest, flush.
            let calls = faulty.calls();
            let position = |wanted: &dyn Fn(&(Operation, StorePath)) -> bool| calls.iter().position(wanted);
            let flush = position(&|call| call.0 == Operation::SyncAll).unwrap();
            let manifest =
                position(&|call| call.1.as_str().ends_with("index.json.blob") && call.0 == Operation::WriteAtomic)
                    .unwrap();
            let last_flush = calls.iter().rposition(|call| call.0 == Operation::SyncAll).unwrap();
            let last_data = calls
                .iter()
                .rposition(|call| call.0 == Operation::WriteAtomic && !call.1.as_str().ends_with("index.json.blob"))
                .unwrap();
            assert!(last_data < flush && flush < manifest && manifest < last_flush);
        }
    }
}

#[test]
fn the_next_writer_removes_what_a_killed_one_left_and_nothing_of_a_live_one() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(base.path().join(".chunks")).unwrap();
    let live = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let (digest, encoded) = chunk(b"hello");
    let _live_lock = live.lock_process_shared().unwrap();
    live.insert_chunk(&digest, &encoded).unwrap();
    let staging = base.path().join(".chunks/.farhold-tmp");
    let folders =
        || -> BTreeSet<_> { std::fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    let live_folders = folders();
    std::fs::create_dir(staging.join("dead")).unwrap();
    std::fs::write(staging.join("dead/lock"), b"").unwrap();
    std::fs::write(staging.join("dead/abcd.tmp_Ab3xYz"), b"half").unwrap();

    let next = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    let next_lock = next.lock_process_shared().unwrap();
    assert_eq!(folders(), live_folders);
    let (other, other_encoded) = chunk(b"other");
    next.insert_chunk(&other, &other_encoded).unwrap();
    assert_eq!(folders().len(), 2);
    drop(next_lock);
    assert_eq!(folders(), live_folders);
    drop(_live_lock);
    assert!(!staging.exists());
    // The live one goes on without its folder.
    let (third, third_encoded) = chunk(b"third");
    live.insert_chunk(&third, &third_encoded).unwrap();
}

#[test]
fn old_temporary_files_of_other_programs_are_found_on_request() {
    let (base, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = base.path().join(".chunks/abcd");
    std::fs::create_dir_all(&folder).unwrap();
    let name = "abcd".repeat(16);
    for file in [format!("{name}.tmp_Ab3xYz"), format!("{name}.0.bad"), name.clone(), "x.tmp_Ab3xYz".to_owned()] {
        std::fs::write(folder.join(file), b"x").unwrap();
    }
    let store = Datastore::open(local_options(base.path(), locks.path())).unwrap();
    assert_eq!(store.clean_temporary_files(farhold_types::Epoch(1)).unwrap(), 0);
    assert_eq!(store.clean_temporary_files(farhold_types::Epoch::MAX).unwrap(), 1);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    let storage = LocalStorage::new(base.path(), Arc::new(farhold_storage::suite::SeededRandomness::new(1)));
    assert!(storage.stat(&format!(".chunks/abcd/{name}").parse().unwrap()).is_ok());
}

#[test]
fn a_damaged_chunk_makes_room_for_a_good_one_and_is_kept_beside() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
    let (digest, good) = chunk(b"hello");
    let names = || memory.list(&path(&digest).parent().unwrap()).unwrap().into_iter().map(|entry| entry.name);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let replace = |memory: &MemoryStorage, content: &[u8]| {
        put(memory, &digest, content);
        let outcome = store.replace_damaged_chunk(&digest, &good, &mut |stored| *stored == good).unwrap();
        assert_eq!(store.read_chunk(&digest).unwrap(), good);
        outcome
    };
    // What an insertion would keep.
    put(&memory, &digest, &damaged);
    assert_eq!(store.insert_chunk(&digest, &good).unwrap(), Inserted::Duplicate);
    for round in 0..12 {
        damaged[0] = round;
        assert_eq!(replace(&memory, &damaged), Inserted::New);
    }
    let bad: Vec<String> = names().filter(|name| name.ends_with(".bad")).collect();
    assert_eq!(bad, (0..10).map(|n| format!("{digest}.{n}.bad")).collect::<Vec<_>>());
    let kept = |n: u32| memory.read(&format!("{}.{n}.bad", path(&digest)).parse().unwrap(), 100).unwrap();
    assert_eq!((kept(0)[0], kept(8)[0], kept(9)[0]), (0, 8, 11));
    // Good, empty, missing and oversized ones.
    assert_eq!(replace(&memory, &good), Inserted::Duplicate);
    assert_eq!(replace(&memory, b""), Inserted::New);
    assert_eq!(replace(&memory, &vec![0; 16_777_261]), Inserted::New);
    memory.remove_file(&path(&digest)).unwrap();
    assert_eq!(store.replace_damaged_chunk(&digest, &good, &mut |_| true).unwrap(), Inserted::New);
    assert_eq!(names().count(), 11);
    assert!(matches!(
        store.replace_damaged_chunk(&digest, b"no magic here", &mut |_| true),
        Err(ChunkError::NotAChunk { .. })
    ));
}

/// Holds every write of a chunk until so many are under way at once.
#[derive(Debug)]
struct Gate {
    inner: MemoryStorage,
    under_way: std::sync::Mutex<usize>,
    needed: usize,
    changed: std::sync::Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut count = self.under_way.lock().expect("no panic");
        *count += 1;
        self.changed.notify_all();
        let patience = std::time::Duration::from_secs(30);
        let (_count, waited) =
            self.changed.wait_timeout_while(count, patience, |count| *count < self.needed).expect("no panic");
        assert!(!waited.timed_out(), "insertions wait for each other");
    }
}

impl Storage for Gate {
    fn write_atomic(
        &self,
        path: &StorePath,
        content: &[u8],
        durability: Durability,
        staging: Staging<'_>,
    ) -> Result<(), farhold_storage::StorageError> {
        self.pass();
        self.inner.write_atomic(path, content, durability, staging)
    }

    crate::support::forward_to_inner!();
}

#[test]
fn insertions_of_different_chunks_do_not_wait_for_each_other() {
    const WRITERS: usize = 32;
    let locks = tempfile::tempdir().unwrap();
    let (under_way, changed) = (std::sync::Mutex::default(), std::sync::Condvar::new());
    let gate = Gate { inner: memory(), under_way, needed: WRITERS, changed };
    let store = Datastore::open(options(Arc::new(gate), locks.path())).unwrap();
    // All digests begin with the same byte.
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let store = &store;
            let mut digest = Digest([1; 32]);
            digest.0[1] = u8::try_from(number).expect("small");
            scope.spawn(move || store.insert_chunk(&digest, &chunk(&[7]).1).unwrap());
        }
    });
}

#[test]
fn a_good_chunk_that_another_process_put_in_place_is_not_set_aside() {
    let (memory, locks) = (memory(), tempfile::tempdir().unwrap());
    let store = Datastore::open(options(Arc::new(memory.clone()), locks.path())).unwrap();
    let (digest, good) = chunk(b"content");
    store.insert_chunk(&digest, &container(BlobKind::Plain, good.len())).unwrap();
    let mut judged = 0;
    let mut is_sound = |stored: &bytes::Bytes| {
        judged += 1;
        if judged == 1 {
            put(&memory, &digest, &good);
        }
        *stored == good
    };
    assert_eq!(store.replace_damaged_chunk(&digest, &good, &mut is_sound).unwrap(), Inserted::Duplicate);
    assert_eq!(store.read_chunk(&digest).unwrap(), good);
    assert!(!memory.all_paths().iter().any(|path| path.ends_with(".bad")));
}
