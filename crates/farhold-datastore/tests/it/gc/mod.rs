//! Garbage collection.

mod cases;
mod damage;
mod model;
mod moves;
mod races;
mod status;

use std::num::NonZero;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use farhold_datastore::gc::{GcError, GcEvent, GcOptions, GcWatch};
use farhold_datastore::{AccessTimeCheck, Datastore, GcStatus, OpenOptions};
use farhold_format::blob::BlobEncoder;
use farhold_format::index::DynamicIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_format::upid::Upid;
use farhold_storage::{MemoryStorage, Storage, StorePath};
use farhold_types::{Clock, CryptMode, Digest, Epoch, Snapshot};

use crate::support::{self, INDEX, root, snapshot};

const UPID: &str = "UPID:pbs1:00006035:0004D06C:000000A4:6B0357AF:garbage_collection:golden:root@pam:";
/// The chunk of the access time check.
const ZEROS: &str = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";
const START: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
/// The default cut-off.
const CUTOFF: i64 = 86_700;

fn upid() -> Upid {
    UPID.parse().expect("valid")
}

fn path(text: &str) -> StorePath {
    text.parse().expect("valid")
}

struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> Epoch {
        Epoch(self.0.load(Ordering::SeqCst))
    }
}

/// A store in memory whose time is set by the test.
struct Bench {
    memory: MemoryStorage,
    clock: Arc<MovedClock>,
    locks: tempfile::TempDir,
    store: Datastore,
    options: GcOptions,
}

/// What a collection told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    fn add(&self, event: &GcEvent<'_>) {
        let line = match event {
            GcEvent::Cutoff { seconds, cutoff } => format!("cutoff {seconds} {}", cutoff.min_access().0),
            GcEvent::Marked { percent, done, total } => format!("marked {percent} {done}/{total}"),
            GcEvent::MissingChunk { digest, index } => format!("missing {digest} {index}"),
            GcEvent::StrayIndex { path } => format!("stray {path}"),
            GcEvent::StrayIndexes { count } => format!("strays {count}"),
            GcEvent::MovedIndex { path } => format!("moved {path}"),
            GcEvent::Swept { percent, chunks } => format!("swept {percent} {chunks}"),
            GcEvent::LeftoversRemoved { count } => format!("leftovers {count}"),
            GcEvent::DamagedIndex { index } => format!("damaged {index}"),
            GcEvent::AccessTimesKept => "kept".to_owned(),
            GcEvent::AccessTimesTrusted => "trusted".to_owned(),
            GcEvent::Marking => "marking".to_owned(),
            GcEvent::Sweeping => "sweeping".to_owned(),
            GcEvent::Finished { .. } => "finished".to_owned(),
            other => format!("{other:?}"),
        };
        self.0.lock().expect("no panic").push(line);
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(|memory| memory)
    }

    /// `wrap`: makes the storage that the store works with.
    fn with<S: Storage + 'static>(wrap: impl FnOnce(MemoryStorage) -> S) -> Self {
        let memory = support::memory();
        memory.set_seconds(START);
        let clock = Arc::new(MovedClock(AtomicI64::new(START)));
        let locks = tempfile::tempdir().expect("created");
        let store = open(Arc::new(wrap(memory.clone())), &clock, &locks);
        let options = GcOptions {
            cutoff_seconds: CUTOFF,
            cache_capacity: 1000,
            access_time_check: AccessTimeCheck::Run,
            threads: NonZero::new(2).expect("not zero"),
        };
        Self { memory, clock, locks, store, options }
    }

    /// Opens the store anew, as after a crash.
    fn reopen(&mut self) {
        self.store = open(Arc::new(self.memory.clone()), &self.clock, &self.locks);
    }

    fn advance(&self, seconds: i64) {
        let now = self.clock.0.fetch_add(seconds, Ordering::SeqCst) + seconds;
        self.memory.set_seconds(now);
    }

    fn collect_telling(&self) -> (Result<GcStatus, GcError>, Vec<String>) {
        let told = Told::default();
        let outcome = self.collect_watched(&|event| told.add(event), &|| false);
        (outcome, told.lines())
    }

    fn collect_watched(
        &self,
        on_event: &(dyn Fn(&GcEvent<'_>) + Sync),
        is_stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<GcStatus, GcError> {
        self.store.collect_garbage(&self.options, &upid(), &GcWatch { on_event, is_stopped })
    }

    fn collect(&self) -> GcStatus {
        self.collect_watched(&|_| {}, &|| false).expect("collected")
    }

    /// Inserts the chunk of this number. Chunks of numbers that differ lie in different folders.
    fn insert(&self, number: u8) -> Digest {
        let (digest, encoded) = chunk(number);
        self.store.insert_chunk(&digest, &encoded).expect("inserted");
        digest
    }

    fn insert_all(&self, numbers: &[u8]) {
        for number in numbers {
            self.insert(*number);
        }
    }

    /// Makes a finished snapshot that refers to these chunks, inserting none.
    fn snapshot_of(&self, name: &str, numbers: &[u8]) {
        let snapshot: Snapshot = snapshot(name);
        let _writer = self.store.lock_process_shared().expect("locked");
        self.finish(&snapshot, numbers);
    }

    /// Does what [`Self::snapshot_of`] does for a writer that is registered already.
    fn finish(&self, snapshot: &Snapshot, numbers: &[u8]) {
        let owner = "sync@pbs!t1".parse().expect("valid");
        let (_, group) = self.store.create_group(&root(), &snapshot.group, &owner).expect("created");
        let mut writer = self.store.begin_snapshot(&group, snapshot.time).expect("begun");
        let index = index_of(numbers);
        let mut manifest = Manifest::new(snapshot);
        let parsed =
            farhold_format::index::Index::parse(farhold_types::ArchiveKind::DynamicIndex, index.clone().into());
        let parsed = parsed.expect("an index");
        manifest.files.push(ManifestFile {
            name: INDEX.parse().expect("valid"),
            crypt_mode: CryptMode::None,
            size_bytes: parsed.size_bytes(),
            checksum: parsed.checksum(),
        });
        writer.put(&INDEX.parse().expect("valid"), &index).expect("written");
        writer.commit(&manifest.to_blob(&mut BlobEncoder::new()).expect("encoded")).expect("committed");
    }

    fn backup(&self, name: &str, numbers: &[u8]) {
        self.insert_all(numbers);
        self.snapshot_of(name, numbers);
    }

    fn remove(&self, name: &str) {
        self.store.remove_snapshot(&root(), &snapshot(name)).expect("removed");
    }

    fn has(&self, number: u8) -> bool {
        self.store.has_chunk(&chunk(number).0).expect("looked")
    }

    /// Returns the chunk files, without the one of the access time check.
    fn chunk_files(&self) -> Vec<String> {
        let paths = self.memory.all_paths().into_iter();
        let names = paths.filter_map(|path| Some(path.strip_prefix(".chunks/")?.get(5..)?.to_owned()));
        names.filter(|name| 64 <= name.len() && name != ZEROS).collect()
    }

    /// Writes a file anywhere in the store.
    fn write(&self, at: &str, content: &[u8]) {
        let at = path(at);
        self.memory.create_dirs(&at.parent().expect("not the root")).expect("created");
        self.memory.create_exclusive(&at, content).expect("written");
    }
}

fn open(storage: Arc<dyn Storage>, clock: &Arc<MovedClock>, locks: &tempfile::TempDir) -> Datastore {
    let options = OpenOptions { clock: Arc::clone(clock) as _, ..support::options(storage, locks.path()) };
    Datastore::open(options).expect("opened")
}

fn chunk(number: u8) -> (Digest, Vec<u8>) {
    support::chunk(&[number; 100])
}

/// The index file of an archive that consists of these chunks.
fn index_of(numbers: &[u8]) -> Vec<u8> {
    let mut builder = DynamicIndexBuilder::new([1; 16], Epoch(START));
    for (position, number) in numbers.iter().enumerate() {
        builder.push((position as u64 + 1) * 100, chunk(*number).0).expect("pushed");
    }
    builder.finish().expect("finished").as_bytes().to_vec()
}
