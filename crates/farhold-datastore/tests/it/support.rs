//! Stores to test with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farhold_crypto::sha256;
use farhold_datastore::{Datastore, OpenOptions};
use farhold_format::blob::{BlobEncoder, BlobKind, Compression};
use farhold_format::index::DynamicIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_storage::suite::SeededRandomness;
use farhold_storage::{MemoryStorage, Storage};
use farhold_types::{Clock, CryptMode, Digest, Epoch, Namespace, Snapshot, SyncLevel};

/// A clock that stands still.
pub struct FixedClock(pub i64);

impl Clock for FixedClock {
    fn now(&self) -> Epoch {
        Epoch(self.0)
    }
}

pub fn options(storage: Arc<dyn Storage>, locks: &Path) -> OpenOptions {
    OpenOptions {
        name: "golden".parse().expect("valid"),
        storage,
        lock_directory: locks.to_owned(),
        sync_level: SyncLevel::Filesystem,
        clock: Arc::new(FixedClock(1_800_000_000)),
        randomness: Arc::new(SeededRandomness::new(7)),
    }
}

pub fn local_options(base: &Path, locks: &Path) -> OpenOptions {
    let randomness = Arc::new(SeededRandomness::new(base.as_os_str().len() as u64));
    OpenOptions::local("golden".parse().expect("valid"), base, locks, Arc::new(FixedClock(1)), randomness)
}

/// A storage in memory with nothing but the folder of chunks.
pub fn memory() -> MemoryStorage {
    let memory = MemoryStorage::new();
    memory.create_dir(&".chunks".parse().expect("valid"), 0o750).expect("created");
    memory
}

/// A recorded store, unpacked; chunk folders that the recording leaves out are missing.
pub struct Golden {
    _directory: tempfile::TempDir,
    pub store: Datastore,
}

pub fn golden_path(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

pub fn unpack_into(name: &str, directory: &Path) {
    let packed = fs::File::open(golden_path(&format!("{name}.tar.zst"))).expect("present");
    let unpacked = zstd::Decoder::new(packed).expect("zstd");
    tar::Archive::new(unpacked).unpack(directory).expect("unpacked");
}

pub fn unpack(name: &str) -> Golden {
    let directory = tempfile::tempdir().expect("created");
    unpack_into(name, directory.path());
    let (base, locks) = (directory.path().join(name), directory.path().join("locks"));
    let store = Datastore::open(local_options(&base, &locks)).expect("opened");
    Golden { _directory: directory, store }
}

pub fn root() -> Namespace {
    Namespace::root()
}

pub fn snapshot(text: &str) -> Snapshot {
    text.parse().expect("valid")
}

/// An unencrypted chunk with this content: digest and encoded form.
pub fn chunk(content: &[u8]) -> (Digest, Vec<u8>) {
    let encoded = BlobEncoder::new().encode(content, Compression::Off, None).expect("encoded");
    (sha256(content), encoded)
}

/// A container of this kind and total length with a right checksum; insertion looks at nothing else.
pub fn container(kind: BlobKind, length: usize, filling: u8) -> Vec<u8> {
    let mut encoded = kind.magic().to_vec();
    encoded.resize(length, filling);
    let checksum = crc32fast::hash(&encoded[kind.header_bytes()..]);
    encoded[8..12].copy_from_slice(&checksum.to_le_bytes());
    encoded
}

/// The files of a small snapshot: its chunk, its index, its blob, its manifest.
pub struct Sample {
    pub chunk: (Digest, Vec<u8>),
    pub index: Vec<u8>,
    pub blob: Vec<u8>,
    pub manifest: Vec<u8>,
    pub parsed: Manifest,
}

pub const INDEX: &str = "root.pxar.didx";
pub const BLOB: &str = "a.conf.blob";

pub fn sample(snapshot: &Snapshot, content: &[u8]) -> Sample {
    let chunk = chunk(content);
    let mut builder = DynamicIndexBuilder::new([1; 16], snapshot.time);
    builder.push(content.len() as u64, chunk.0).expect("pushed");
    let index = builder.finish().expect("finished");
    let blob = BlobEncoder::new().encode(content, Compression::Off, None).expect("encoded");
    let mut parsed = Manifest::new(snapshot);
    let file = |name: &str, size_bytes, checksum| ManifestFile {
        name: name.parse().expect("valid"),
        crypt_mode: CryptMode::None,
        size_bytes,
        checksum,
    };
    parsed.files.push(file(INDEX, index.size_bytes(), index.checksum()));
    parsed.files.push(file(BLOB, blob.len() as u64, sha256(&blob)));
    let manifest = parsed.to_blob(&mut BlobEncoder::new()).expect("encoded");
    Sample { chunk, index: index.as_bytes().to_vec(), blob, manifest, parsed }
}

/// Checks that a finished snapshot is whole: every listed file is there with its checksum, every chunk too.
pub fn check_whole(store: &Datastore, namespace: &Namespace, snapshot: &Snapshot) {
    let (manifest, _) = store.read_manifest(namespace, snapshot).expect("manifest");
    for file in &manifest.files {
        if file.name.as_str().ends_with(".blob") {
            let blob = store.read_file(namespace, snapshot, &file.name).expect("blob");
            assert_eq!((blob.len() as u64, sha256(&blob)), (file.size_bytes, file.checksum), "{}", file.name);
            continue;
        }
        let index = store.open_index(namespace, snapshot, &file.name).expect("index");
        assert_eq!((index.size_bytes(), index.checksum()), (file.size_bytes, file.checksum), "{}", file.name);
        for digest in index.digests() {
            farhold_format::blob::check(&store.read_chunk(&digest).expect("chunk")).expect("sound");
        }
    }
}

/// Writes the sample snapshot as a pull does.
pub fn write(store: &Datastore, snapshot: &Snapshot, sample: &Sample) -> Result<(), Box<dyn std::error::Error>> {
    let _writer = store.lock_process_shared()?;
    let owner = "sync@pbs!t1".parse().expect("valid");
    let (_, group) = store.create_group(&root(), &snapshot.group, &owner)?;
    let mut writer = store.begin_snapshot(&group, snapshot.time)?;
    let written = (|| -> Result<(), Box<dyn std::error::Error>> {
        store.insert_chunk(&sample.chunk.0, &sample.chunk.1)?;
        writer.put(&INDEX.parse()?, &sample.index)?;
        writer.put(&BLOB.parse()?, &sample.blob)?;
        writer.commit(&sample.manifest)?;
        writer.remove_unlisted(&sample.parsed)?;
        Ok(())
    })();
    if written.is_err() {
        let _ = writer.discard();
    }
    written
}

/// The other methods of a storage that only changes `write_atomic`.
macro_rules! forward_to_inner {
    () => {
        fn read(&self, path: &StorePath, max_bytes: u64) -> Result<bytes::Bytes, farhold_storage::StorageError> {
            self.inner.read(path, max_bytes)
        }
        fn read_start(&self, path: &StorePath, max_bytes: u64) -> Result<bytes::Bytes, farhold_storage::StorageError> {
            self.inner.read_start(path, max_bytes)
        }
        fn stat(&self, path: &StorePath) -> Result<farhold_storage::Stat, farhold_storage::StorageError> {
            self.inner.stat(path)
        }
        fn list(&self, path: &StorePath) -> Result<Vec<farhold_storage::Entry>, farhold_storage::StorageError> {
            self.inner.list(path)
        }
        fn create_exclusive(&self, path: &StorePath, content: &[u8]) -> Result<(), farhold_storage::StorageError> {
            self.inner.create_exclusive(path, content)
        }
        fn create_working(
            &self,
            path: &StorePath,
        ) -> Result<Box<dyn farhold_storage::WorkingFile>, farhold_storage::StorageError> {
            self.inner.create_working(path)
        }
        fn create_dir(&self, path: &StorePath, mode: u32) -> Result<(), farhold_storage::StorageError> {
            self.inner.create_dir(path, mode)
        }
        fn rename(&self, from: &StorePath, to: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.rename(from, to)
        }
        fn remove_file(&self, path: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.remove_file(path)
        }
        fn remove_dir(&self, path: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.remove_dir(path)
        }
        fn remove_tree(&self, path: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.remove_tree(path)
        }
        fn touch_atime(&self, path: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.touch_atime(path)
        }
        fn sync_file(&self, path: &StorePath) -> Result<(), farhold_storage::StorageError> {
            self.inner.sync_file(path)
        }
        fn sync_all(&self) -> Result<(), farhold_storage::StorageError> {
            self.inner.sync_all()
        }
        fn record_lock(
            &self,
            path: &StorePath,
        ) -> Result<Box<dyn farhold_storage::RecordLock>, farhold_storage::StorageError> {
            self.inner.record_lock(path)
        }
        fn try_hold_file(
            &self,
            path: &StorePath,
        ) -> Result<Option<Box<dyn farhold_storage::FileHold>>, farhold_storage::StorageError> {
            self.inner.try_hold_file(path)
        }
        fn local_root(&self) -> Option<&std::path::Path> {
            self.inner.local_root()
        }
    };
}
pub(crate) use forward_to_inner;
