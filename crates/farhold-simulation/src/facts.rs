//! What a store holds, read through its own listings, for models and audits.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use farhold_datastore::{ChunkError, Datastore, DatastoreError};
use farhold_format::blob::BlobDecoder;
use farhold_format::index::Index;
use farhold_format::manifest::Manifest;
use farhold_types::{ArchiveKind, Authid, Digest, Epoch, Group, MAX_NAMESPACE_DEPTH, Namespace, Snapshot, VerifyState};

use crate::backup::{Backup, key};

/// A snapshot of a store.
#[derive(Debug, Clone)]
pub struct SnapshotFacts {
    /// Its manifest if it is finished and readable.
    pub manifest: Option<Manifest>,
    /// The stored form of the manifest.
    pub raw: Bytes,
    /// Whether there is a manifest, readable or not.
    pub has_manifest: bool,
    /// Whether it is protected.
    pub is_protected: bool,
    /// Whether it has a client log.
    pub has_log: bool,
}

impl SnapshotFacts {
    /// Returns the result of the last verification.
    pub fn verified(&self) -> Option<VerifyState> {
        self.manifest.as_ref().and_then(Manifest::verify_state).map(|item| item.state)
    }

    /// Returns whether it is finished and fully encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.manifest.as_ref().is_some_and(Manifest::is_fully_encrypted)
    }
}

/// A group of a store.
#[derive(Debug, Clone)]
pub struct GroupFacts {
    /// Its owner, if the store can tell.
    pub owner: Option<Authid>,
    /// Its snapshots by time, unfinished ones too.
    pub snapshots: BTreeMap<Epoch, SnapshotFacts>,
}

/// Groups of a store by namespace. Every namespace has an entry.
pub type StoreFacts = BTreeMap<Namespace, BTreeMap<Group, GroupFacts>>;

/// Reads a whole store.
///
/// # Errors
/// The store cannot be listed.
pub fn read(store: &Datastore) -> Result<StoreFacts, DatastoreError> {
    let mut facts = StoreFacts::new();
    for ns in store.namespaces(&Namespace::root(), MAX_NAMESPACE_DEPTH)? {
        let mut groups = BTreeMap::new();
        for info in store.groups(&ns)? {
            let mut snapshots = BTreeMap::new();
            for found in store.snapshots(&ns, &info.group)? {
                let read =
                    if found.has_manifest { store.read_manifest(&ns, &info.group.at(found.time)).ok() } else { None };
                let (manifest, raw) = read.unzip();
                let has_log = found.files.iter().any(|file| file.as_str() == farhold_types::CLIENT_LOG_NAME);
                let (has_manifest, is_protected) = (found.has_manifest, found.is_protected);
                let raw = raw.unwrap_or_default();
                snapshots.insert(found.time, SnapshotFacts { manifest, raw, has_manifest, is_protected, has_log });
            }
            groups.insert(info.group, GroupFacts { owner: Some(info.owner), snapshots });
        }
        facts.insert(ns, groups);
    }
    Ok(facts)
}

/// Puts the owners in place that the files themselves name, so that a datastore that is wrong about them is found out.
pub fn set_owners(facts: &mut StoreFacts, files: &BTreeMap<String, Option<Bytes>>) {
    for (ns, groups) in facts {
        let above: String = ns.components().iter().map(|component| format!("ns/{component}/")).collect();
        for (group, facts) in groups {
            let content = files.get(&format!("{above}{group}/owner")).and_then(Option::as_ref);
            let text = content.map(|content| String::from_utf8_lossy(content).trim().to_owned());
            facts.owner = text.and_then(|text| text.parse().ok());
        }
    }
}

/// Returns the finished snapshots, readable or not, by namespace and name.
pub fn finished(facts: &StoreFacts) -> BTreeMap<(Namespace, Snapshot), &SnapshotFacts> {
    let mut found = BTreeMap::new();
    for (ns, groups) in facts {
        for (group, group_facts) in groups {
            for (time, snapshot) in group_facts.snapshots.iter().filter(|(_, facts)| facts.has_manifest) {
                found.insert((ns.clone(), group.at(*time)), snapshot);
            }
        }
    }
    found
}

/// What is wrong with a file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A chunk of it is missing.
    ChunkMissing(Digest),
    /// A chunk of it cannot be decoded or has other content than its digest says.
    ChunkDamaged(Digest),
    /// The file itself is missing, damaged or has other content.
    File(String),
}

/// Decoders, kept because making one takes longer than using it.
#[derive(Default)]
pub struct Reader {
    decoder: Option<BlobDecoder>,
}

impl Reader {
    fn decode(&mut self, encoded: &[u8], is_encrypted: bool) -> Option<Vec<u8>> {
        let key = key();
        let decoder = self.decoder.get_or_insert_with(BlobDecoder::new);
        decoder.decode(encoded, is_encrypted.then_some(&*key), 1 << 20).ok()
    }

    /// Reads every byte of a finished snapshot, compares it with what was backed up and returns each fault.
    pub fn faults(
        &mut self,
        store: &Datastore,
        ns: &Namespace,
        snapshot: &Snapshot,
        manifest: &Manifest,
        backup: &Backup,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let listed: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let expected: Vec<&str> = backup.files.keys().map(String::as_str).collect();
        if listed.iter().collect::<BTreeSet<_>>() != expected.iter().collect::<BTreeSet<_>>() {
            faults.push(Fault::File(format!("manifest lists {listed:?} instead of {expected:?}")));
            return faults;
        }
        for file in &manifest.files {
            let name = file.name.as_str();
            let wrong = |what: &str| Fault::File(format!("{name}: {what}"));
            let Ok(bytes) = store.read_file(ns, snapshot, &file.name) else {
                faults.push(wrong("missing"));
                continue;
            };
            let is_encrypted = file.crypt_mode == farhold_types::CryptMode::Encrypt;
            let content = if file.name.kind() == ArchiveKind::Blob {
                self.decode(&bytes, is_encrypted)
            } else {
                match Index::parse(file.name.kind(), bytes) {
                    Ok(index) => Some(self.join(store, &index, is_encrypted, &mut faults)),
                    Err(_) => None,
                }
            };
            match content {
                None => faults.push(wrong("cannot be decoded")),
                Some(content) if Some(&content) != backup.content(name).as_ref() && faults.is_empty() => {
                    faults.push(wrong("has other content"));
                }
                Some(_) => {}
            }
        }
        faults
    }

    fn join(&mut self, store: &Datastore, index: &Index, is_encrypted: bool, faults: &mut Vec<Fault>) -> Vec<u8> {
        let mut whole = Vec::new();
        for digest in index.digests() {
            let encoded = match store.read_chunk(&digest) {
                Ok(encoded) => encoded,
                Err(ChunkError::Missing { .. }) => {
                    faults.push(Fault::ChunkMissing(digest));
                    continue;
                }
                Err(_) => {
                    faults.push(Fault::ChunkDamaged(digest));
                    continue;
                }
            };
            let plain = self.decode(&encoded, is_encrypted);
            let computed = plain.as_ref().map(|plain| digest_of(plain, is_encrypted));
            match plain {
                Some(plain) if computed == Some(digest) => whole.extend(plain),
                _ => faults.push(Fault::ChunkDamaged(digest)),
            }
        }
        whole
    }
}

/// Returns whether a store has a chunk with the right content.
pub fn is_sound(store: &Datastore, digest: &Digest) -> bool {
    let Ok(encoded) = store.read_chunk(digest) else { return false };
    let mut reader = Reader::default();
    [false, true].into_iter().any(|is_encrypted| {
        reader.decode(&encoded, is_encrypted).is_some_and(|plain| digest_of(&plain, is_encrypted) == *digest)
    })
}

fn digest_of(plain: &[u8], is_encrypted: bool) -> Digest {
    if is_encrypted { key().chunk_digest(plain) } else { farhold_crypto::sha256(plain) }
}
