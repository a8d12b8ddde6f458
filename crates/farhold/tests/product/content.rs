//! What lies in stores: made-up snapshots, the recorded store, and comparing what came over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use farhold_crypto::sha256;
use farhold_datastore::Datastore;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_types::{ArchiveKind, ArchiveName, Authid, CryptMode, Digest, Namespace, Snapshot};

/// Returns a file or folder of the recordings.
pub fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

/// Unpacks the recorded store to `store`, without the chunk folders that are empty.
pub fn unpack_golden(store: &Path) {
    let parent = store.parent().unwrap();
    fs::create_dir_all(parent).unwrap();
    let packed = fs::File::open(golden("golden.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    archive.set_preserve_permissions(true);
    archive.unpack(parent).unwrap();
    fs::rename(parent.join("golden"), store).unwrap();
}

/// Bytes that look random and are the same in every run (xorshift64).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = vec![0; length];
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = word.len();
        word.copy_from_slice(&state.to_le_bytes()[..length]);
    }
    bytes
}

/// What an archive holds.
pub enum Content<'a> {
    /// A blob of these bytes.
    Blob(&'a [u8]),
    /// Chunks of noise from these seeds, each of this length.
    Chunks(&'a [u64], usize),
}

/// Adds a finished snapshot, owned by `root@pam`.
pub fn add_snapshot(store: &Datastore, namespace: &str, snapshot: &str, archives: &[(&str, Content<'_>)]) {
    let (namespace, snapshot): (Namespace, Snapshot) = (namespace.parse().unwrap(), snapshot.parse().unwrap());
    let (_, lock) = store.create_group(&namespace, &snapshot.group, &Authid::root()).unwrap();
    let mut writer = store.begin_snapshot(&lock, snapshot.time).unwrap();
    let mut encoder = BlobEncoder::new();
    let mut manifest = Manifest::new(&snapshot);
    for (name, content) in archives {
        let name: ArchiveName = name.parse().unwrap();
        let (size_bytes, checksum) = match content {
            Content::Blob(plain) => {
                let encoded = encoder.encode(plain, Compression::On, None).unwrap();
                writer.put(&name, &encoded).unwrap();
                (encoded.len() as u64, sha256(&encoded))
            }
            Content::Chunks(seeds, length) => {
                let index = add_chunks(store, &name, seeds, *length, &mut encoder);
                writer.put(&name, index.as_bytes()).unwrap();
                (index.size_bytes(), index.checksum())
            }
        };
        manifest.files.push(ManifestFile { name, crypt_mode: CryptMode::None, size_bytes, checksum });
    }
    writer.commit(&manifest.to_blob(&mut encoder).unwrap()).unwrap();
}

fn add_chunks(store: &Datastore, name: &ArchiveName, seeds: &[u64], length: usize, encoder: &mut BlobEncoder) -> Index {
    let digests: Vec<Digest> = seeds
        .iter()
        .map(|seed| {
            let plain = noise(*seed, length);
            let digest = sha256(&plain);
            store.insert_chunk(&digest, &encoder.encode(&plain, Compression::On, None).unwrap()).unwrap();
            digest
        })
        .collect();
    let (time, length) = (farhold_types::Epoch(1_767_261_600), length as u64);
    if name.kind() == ArchiveKind::FixedIndex {
        let mut index = FixedIndexBuilder::new([1; 16], time, length * seeds.len() as u64, length).unwrap();
        for (position, digest) in digests.into_iter().enumerate() {
            index.set(position, digest).unwrap();
        }
        return index.finish().unwrap();
    }
    let mut index = DynamicIndexBuilder::new([1; 16], time);
    for (position, digest) in digests.into_iter().enumerate() {
        index.push((position as u64 + 1) * length, digest).unwrap();
    }
    index.finish().unwrap()
}

/// Returns the files of all snapshots and the owners of groups; whatever else lies in the store is there too, under
/// its name. Chunks and the store's own lock are left out; so are marks of protection, which are local.
pub fn tree(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = super::site::files(store, &[store.join(".chunks"), store.join(".lock")]);
    found.retain(|path, _| path.file_name().is_some_and(|name| name != ".protected"));
    found.into_iter().map(|(path, content)| (path.to_str().unwrap().to_owned(), content)).collect()
}

/// Returns [`tree`] without the owners.
pub fn snapshots(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut tree = tree(store);
    tree.retain(|path, _| !path.ends_with("/owner"));
    tree
}

/// Returns the content of the owner files: (path of the group, owner).
pub fn owners(store: &Path) -> BTreeMap<String, String> {
    let owners = tree(store).into_iter().filter_map(|(path, content)| {
        let group = path.strip_suffix("/owner")?.to_owned();
        Some((group, String::from_utf8(content).unwrap().trim_end().to_owned()))
    });
    owners.collect()
}

/// Returns all files below `.chunks` with their content, whatever their names are.
pub fn chunk_files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = super::site::files(&store.join(".chunks"), &[]);
    found.into_iter().map(|(path, content)| (path.to_str().unwrap().to_owned(), content)).collect()
}

/// Returns the names that [`chunk_files`] has for the chunks that the indexes of all snapshots name.
pub fn referenced(store: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, content) in snapshots(store) {
        let name: ArchiveName = match path.rsplit('/').next().unwrap().parse() {
            Ok(name) => name,
            Err(_) => continue,
        };
        if name.kind() != ArchiveKind::Blob {
            let index = Index::parse(name.kind(), content.into()).unwrap();
            names.extend(index.digests().map(|digest| digest.to_string()).map(|text| format!("{}/{text}", &text[..4])));
        }
    }
    names
}

/// Asserts that a store holds what another holds, byte for byte: every file, the chunks that indexes name and no
/// other, and nothing that was only meant to be there for a while.
#[track_caller]
pub fn assert_same(from: &Path, to: &Path) {
    assert_same_names(&snapshots(from), &snapshots(to));
    assert_sound(to);
    let (source, copies) = (chunk_files(from), chunk_files(to));
    for (name, content) in &copies {
        assert!(source.get(name).is_none_or(|original| original == content), "chunk {name} differs");
    }
}

#[track_caller]
fn assert_same_names(left: &BTreeMap<String, Vec<u8>>, right: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, content) in left {
        assert!(right[name] == *content, "{name} differs");
    }
}

/// Asserts that all chunks that are named are there, no other, and no temporary file.
#[track_caller]
pub fn assert_sound(store: &Path) {
    let names = referenced(store);
    let found: BTreeSet<String> = chunk_files(store).into_keys().collect();
    assert_eq!(found, names, "the chunks are those that indexes name");
    assert_tidy(store);
}

/// Asserts that every file is one that a finished store may have: none is temporary, none unfinished.
#[track_caller]
pub fn assert_tidy(store: &Path) {
    assert_no_leftovers(store);
    let tree = tree(store);
    for path in tree.keys().filter(|path| is_archive(path)) {
        let folder = path.rsplit_once('/').unwrap().0;
        assert!(tree.contains_key(&format!("{folder}/index.json.blob")), "{folder} is unfinished");
    }
}

/// Asserts that no file is temporary. Snapshots may be unfinished, as an interrupted run leaves them for the next one.
#[track_caller]
pub fn assert_no_leftovers(store: &Path) {
    for path in tree(store).keys() {
        let name = path.rsplit('/').next().unwrap();
        assert!(is_archive(path) || name == "owner" || name == "notes", "{path} is left over");
    }
    for path in chunk_files(store).keys() {
        let digest = path.rsplit('/').next().unwrap();
        assert!(digest.parse::<Digest>().is_ok(), ".chunks/{path} is left over");
    }
}

fn is_archive(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.parse::<ArchiveName>().is_ok())
}
