//! What was done to the recorded servers beside the API, before some of the calls.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use farhold_format::index::Index;
use farhold_types::ArchiveKind;

use crate::RECORDED_AT;

/// Something done to a store.
enum Act {
    /// One chunk file of the store was damaged, so that its checksum is wrong.
    DamageChunk { store: &'static str, digest: &'static str },
    /// As above: the first chunk of this index.
    DamageFirstChunkOf { store: &'static str, index: &'static str },
    /// Nothing: the recorded servers had the time of their files. Ours stands still in the past, and chunks must have been
    /// written before that.
    AgeChunks { store: &'static str },
}

const ACTS: &[(&str, u64, Act)] = &[
    (
        "datastore-change",
        273,
        Act::DamageFirstChunkOf { store: "golden", index: "ct/101/2026-01-02T10:00:00Z/root.ppxar.didx" },
    ),
    ("datastore-change", 286, Act::AgeChunks { store: "golden" }),
    (
        "pull-push",
        166,
        Act::DamageChunk { store: "local", digest: "6acc32f1f8222ecce806a948ffe357b56003978cd4d7a716a96c921bde146ef9" },
    ),
];

/// Does what was done before a call. `stores`: the folder of the first server's stores, which belong to this area alone.
pub fn before(area: &str, seq: u64, stores: &Path) {
    for (_, _, act) in ACTS.iter().filter(|(of_area, of_seq, _)| *of_area == area && *of_seq == seq) {
        match act {
            Act::DamageChunk { store, digest } => damage(&stores.join(store), digest),
            Act::AgeChunks { store } => age(&stores.join(store)),
            Act::DamageFirstChunkOf { store, index } => {
                let store = stores.join(store);
                let bytes = fs::read(store.join(index)).unwrap();
                let index = Index::parse(ArchiveKind::DynamicIndex, bytes.into()).unwrap();
                damage(&store, &index.chunk(0).unwrap().digest.to_string());
            }
        }
    }
}

fn damage(store: &Path, digest: &str) {
    let path = store.join(".chunks").join(&digest[..4]).join(digest);
    let mut content = fs::read(&path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, content).unwrap();
}

fn age(store: &Path) {
    let accessed = UNIX_EPOCH + Duration::from_secs(RECORDED_AT.0.unsigned_abs());
    for folder in fs::read_dir(store.join(".chunks")).unwrap() {
        for chunk in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = fs::File::open(chunk.unwrap().path()).unwrap();
            file.set_times(fs::FileTimes::new().set_accessed(accessed)).unwrap();
        }
    }
}
