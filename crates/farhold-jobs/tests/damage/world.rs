//! Two stores with the same backups, and ways to hurt one of them.

use std::fs::{self, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farhold_crypto::sha256;
use farhold_datastore::{Datastore, OpenError, OpenOptions};
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::FixedIndexBuilder;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_storage::{FaultyStorage, LocalStorage};
use farhold_testkit::SeededRandomness;
use farhold_types::{Authid, Clock, CryptMode, Digest, Epoch, Namespace, Snapshot, SyncLevel};

/// The snapshot that is hurt, one of the same group, and those of another one.
pub const VICTIM: &str = "vm/1/2026-01-01T10:00:00Z";
pub const OTHERS: [&str; 3] = ["vm/1/2026-01-02T10:00:00Z", "ct/2/2026-01-01T10:00:00Z", "ct/2/2026-01-02T10:00:00Z"];
const LENGTH: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chunk,
    Index,
    Manifest,
    Blob,
    Owner,
    Notes,
    Lock,
}

pub const KINDS: [Kind; 7] =
    [Kind::Chunk, Kind::Index, Kind::Manifest, Kind::Blob, Kind::Owner, Kind::Notes, Kind::Lock];

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Owner => "owner",
            Self::Notes => "notes",
            Self::Lock => "lock",
        }
    }

    /// Whether it is part of a backup.
    pub const fn is_backup(self) -> bool {
        matches!(self, Self::Chunk | Self::Index | Self::Manifest | Self::Blob)
    }

    /// Path within the store.
    pub fn path(self) -> String {
        match self {
            Self::Chunk => {
                let name = digest(1).to_string();
                format!(".chunks/{}/{name}", &name[..4])
            }
            Self::Index => format!("{VICTIM}/drive.img.fidx"),
            Self::Manifest => format!("{VICTIM}/index.json.blob"),
            Self::Blob => format!("{VICTIM}/a.conf.blob"),
            Self::Owner => "vm/1/owner".to_owned(),
            Self::Notes => "vm/1/notes".to_owned(),
            Self::Lock => ".lock".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Missing,
    Short,
    Flipped,
    Empty,
    Unreadable,
    Directory,
    Link,
}

pub const DAMAGES: [Damage; 7] = [
    Damage::Missing,
    Damage::Short,
    Damage::Flipped,
    Damage::Empty,
    Damage::Unreadable,
    Damage::Directory,
    Damage::Link,
];

impl Damage {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Short => "short",
            Self::Flipped => "flipped bit",
            Self::Empty => "empty",
            Self::Unreadable => "unreadable",
            Self::Directory => "directory",
            Self::Link => "symbolic link",
        }
    }
}

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Epoch {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Epoch(i64::try_from(since.as_secs()).unwrap())
    }
}

fn content(seed: u8) -> Vec<u8> {
    (0..LENGTH).map(|i| if i % 7 == 0 { seed } else { (i % 251) as u8 }).collect()
}

/// Digest of the chunk with this number.
pub fn digest(seed: u8) -> Digest {
    sha256(&content(seed))
}

pub fn snapshot(text: &str) -> Snapshot {
    text.parse().unwrap()
}

pub fn owner() -> Authid {
    "sync@pbs".parse().unwrap()
}

pub struct World {
    dir: tempfile::TempDir,
    /// The damaged store; none if it cannot be opened any more.
    pub store: Result<Datastore, OpenError>,
    pub copy: Datastore,
    /// The files of the damaged store.
    pub storage: FaultyStorage,
}

fn options(dir: &Path, name: &str, storage: FaultyStorage) -> OpenOptions {
    let randomness = Arc::new(SeededRandomness::new(name.len() as u64));
    let base = dir.join(name);
    OpenOptions {
        storage: Arc::new(storage),
        sync_level: SyncLevel::None,
        ..OpenOptions::local(name.parse().unwrap(), &base, dir.join("locks"), Arc::new(RealClock), randomness)
    }
}

fn storage(dir: &Path, name: &str) -> FaultyStorage {
    let base = dir.join(name);
    fs::create_dir_all(base.join(".chunks")).unwrap();
    FaultyStorage::new(Arc::new(LocalStorage::new(base, Arc::new(SeededRandomness::new(1)))), Vec::new())
}

/// Writes a snapshot of a blob and an image of these chunks.
fn back_up(store: &Datastore, what: &str, seeds: &[u8]) {
    let snapshot = snapshot(what);
    let writing = store.lock_process_shared().unwrap();
    let (_, group) = store.create_group(&Namespace::root(), &snapshot.group, &owner()).unwrap();
    let mut writer = store.begin_snapshot(&group, snapshot.time).unwrap();
    let mut encoder = BlobEncoder::new();
    let mut index =
        FixedIndexBuilder::new([1; 16], snapshot.time, (seeds.len() * LENGTH) as u64, LENGTH as u64).unwrap();
    for (position, seed) in seeds.iter().enumerate() {
        let plain = content(*seed);
        let encoded = encoder.encode(&plain, Compression::Off, None).unwrap();
        store.insert_chunk(&sha256(&plain), &encoded).unwrap();
        index.set(position, sha256(&plain)).unwrap();
    }
    let index = index.finish().unwrap();
    let blob = encoder.encode(what.as_bytes(), Compression::Off, None).unwrap();
    let mut manifest = Manifest::new(&snapshot);
    let files = [
        ("a.conf.blob", blob.len() as u64, sha256(&blob), &blob[..]),
        ("drive.img.fidx", index.size_bytes(), index.checksum(), &index.as_bytes()[..]),
    ];
    for (name, size_bytes, checksum, bytes) in files {
        let name: farhold_types::ArchiveName = name.parse().unwrap();
        writer.put(&name, bytes).unwrap();
        manifest.files.push(ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum });
    }
    writer.commit(&manifest.to_blob(&mut encoder).unwrap()).unwrap();
    store.set_group_notes(&group, "some notes").unwrap();
    drop(writing);
}

impl World {
    /// Returns two stores with the same backups, after hurting one of them.
    pub fn hurt(kind: Kind, damage: Damage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path(), "tank");
        let stores = [
            Datastore::open(options(dir.path(), "tank", storage.clone())).unwrap(),
            Datastore::open(options(dir.path(), "copy", self::storage(dir.path(), "copy"))).unwrap(),
        ];
        for store in &stores {
            back_up(store, VICTIM, &[1, 2]);
            back_up(store, OTHERS[0], &[2, 3]);
            back_up(store, OTHERS[1], &[4, 2]);
            back_up(store, OTHERS[2], &[4, 5]);
        }
        let [store, copy] = stores;
        drop(store);
        let base = dir.path().join("tank");
        hurt(&base, &kind.path(), damage, &storage);
        // What nobody marks is to be removed.
        for chunk in chunk_files(&base) {
            let past = SystemTime::now() - Duration::from_secs(3 * 86_400);
            let file = fs::File::open(&chunk).unwrap();
            file.set_times(FileTimes::new().set_accessed(past).set_modified(past)).unwrap();
        }
        let store = Datastore::open(options(dir.path(), "tank", storage.clone()));
        Self { dir, store, copy, storage }
    }

    /// Opens the damaged store as the next process does, without faults.
    pub fn reopen(&self) -> Datastore {
        Datastore::open(options(self.dir.path(), "tank", storage(self.dir.path(), "tank"))).unwrap()
    }

    pub fn remove_chunk(&self, seed: u8) {
        let name = digest(seed).to_string();
        fs::remove_file(self.base().join(".chunks").join(&name[..4]).join(name)).unwrap();
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("tank")
    }

    /// Whether the store has a chunk file of this number.
    pub fn has_chunk(&self, seed: u8) -> bool {
        let name = digest(seed).to_string();
        self.base().join(".chunks").join(&name[..4]).join(name).is_file()
    }
}

fn chunk_files(base: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(base.join(".chunks")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
    files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn hurt(base: &Path, path: &str, damage: Damage, storage: &FaultyStorage) {
    let file = base.join(path);
    let content = fs::read(&file).unwrap();
    match damage {
        Damage::Missing => fs::remove_file(&file).unwrap(),
        Damage::Short => fs::write(&file, &content[..content.len() / 2]).unwrap(),
        Damage::Flipped => {
            let mut content = content;
            // The lock file is empty.
            if let Some(at) = content.len().checked_sub(3) {
                content[at] ^= 4;
            }
            fs::write(&file, content).unwrap();
        }
        Damage::Empty => fs::write(&file, b"").unwrap(),
        Damage::Unreadable => storage.make_unreadable(path.parse().unwrap()),
        Damage::Directory => {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            fs::write(file.join("something"), b"x").unwrap();
        }
        Damage::Link => {
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
        }
    }
}
