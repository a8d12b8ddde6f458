//! A source and a target in memory, with faults on demand and counts of what was asked.
#![allow(dead_code, clippy::unwrap_used)]

pub mod remote;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_format::blob::{BlobEncoder, Compression};
use farhold_format::index::{DynamicIndexBuilder, FixedIndexBuilder, Index};
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_rules::removal_plan::OwnedGroup;
use farhold_rules::sync_plan::{LocalCondition, LocalSnapshot};
use farhold_sync::{
    ChunkStore, EventSink, Examine, IndexStamp, KnownChunk, Listed, LogLevel, LogLine, LogNames, LogRenderer,
    MakeManifest, OwnerDenied, OwnerRights, Removed, RequestFault, SeenGroup, Source, SourceError, SourceSnapshot,
    StoredFile, StoredManifest, SyncError, SyncEvent, SyncOptions, SyncReport, Target, TargetError, TargetGroup,
    TargetSnapshot, Unrestricted, Visibility,
};
use farhold_types::{
    ArchiveKind, ArchiveName, Authid, CLIENT_LOG_NAME, CryptMode, Digest, Epoch, Group, MANIFEST_NAME, Namespace,
    Snapshot, SnapshotFileItem, SnapshotItem, VerifyState,
};
use tokio_util::sync::CancellationToken;

pub fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

pub fn snapshot(text: &str) -> Snapshot {
    text.parse().unwrap()
}

pub fn name(text: &str) -> ArchiveName {
    text.parse().unwrap()
}

pub fn encode(plain: &[u8]) -> Bytes {
    BlobEncoder::new().encode(plain, Compression::On, None).unwrap().into()
}

/// Content of chunk `seed`, `length` bytes, compressible to about a sixth.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if i % 8 == 0 { state as u8 } else { 0 }
        })
        .collect()
}

/// Files of a snapshot by name.
pub type Files = BTreeMap<String, Bytes>;
pub type SnapshotKey = (String, Snapshot);

#[derive(Default)]
pub struct Counts {
    pub opened: AtomicUsize,
    pub open_now: AtomicUsize,
    pub most_open: AtomicUsize,
    pub files: AtomicUsize,
    pub chunks: AtomicUsize,
    pub peeks: AtomicUsize,
}

type Fault = Box<dyn Fn(&str, usize) -> Option<SourceError> + Send + Sync>;

/// A datastore that only exists in memory.
#[derive(Default)]
pub struct MemorySource {
    pub namespaces: Mutex<Vec<Namespace>>,
    pub groups: Mutex<BTreeSet<(String, Group)>>,
    pub snapshots: Mutex<BTreeMap<SnapshotKey, Files>>,
    pub chunks: Mutex<HashMap<Digest, Bytes>>,
    pub counts: Arc<Counts>,
    /// Asked before each chunk with its digest and how many chunks were asked for before.
    pub chunk_fault: Mutex<Option<Fault>>,
    /// Asked before each file and listing.
    pub file_fault: Mutex<Option<Fault>>,
    pub has_no_namespaces: bool,
    /// Says how many snapshots there are, and lists them at once.
    pub lists_whole_namespaces: AtomicBool,
    /// Groups that the listing withholds, by namespace.
    pub withheld: Mutex<BTreeSet<(String, Group)>>,
    /// Listings that are incomplete, named as for [`Self::file_fault`].
    pub unreadable: Mutex<BTreeSet<String>>,
    /// Namespaces that are hidden from the owner of a push.
    pub hidden: Mutex<BTreeSet<Namespace>>,
    /// What is shown of namespaces; of those that are missing here, everything.
    pub visibility: Mutex<BTreeMap<String, Visibility>>,
}

/// One archive of a snapshot to be made: its chunks by seed and length.
pub enum Content<'a> {
    Blob(&'a [u8]),
    Chunks(&'a [u64], usize),
}

impl MemorySource {
    pub fn new() -> Self {
        let source = Self::default();
        source.namespaces.lock().unwrap().push(Namespace::root());
        source
    }

    pub fn add_namespace(&self, text: &str) {
        self.namespaces.lock().unwrap().push(ns(text));
    }

    /// Adds a finished snapshot.
    pub fn add(&self, at: &str, what: &str, archives: &[(&str, Content<'_>)]) {
        let snapshot = snapshot(what);
        let mut files = Files::new();
        let mut manifest = Manifest::new(&snapshot);
        for (file, content) in archives {
            let file = name(file);
            let (bytes, size_bytes, checksum) = match content {
                Content::Blob(plain) => {
                    let bytes = encode(plain);
                    (bytes.clone(), bytes.len() as u64, sha256(&bytes))
                }
                Content::Chunks(seeds, length) => {
                    let index = self.add_index(&file, seeds, *length);
                    (index.as_bytes().clone(), index.size_bytes(), index.checksum())
                }
            };
            manifest.files.push(ManifestFile { name: file.clone(), crypt_mode: CryptMode::None, size_bytes, checksum });
            files.insert(file.to_string(), bytes);
        }
        files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
        self.groups.lock().unwrap().insert((at.into(), snapshot.group.clone()));
        self.snapshots.lock().unwrap().insert((at.into(), snapshot), files);
    }

    fn add_index(&self, file: &ArchiveName, seeds: &[u64], length: usize) -> Index {
        let mut chunks = self.chunks.lock().unwrap();
        let digests: Vec<Digest> = seeds
            .iter()
            .map(|seed| {
                let plain = content(*seed, length);
                let digest = sha256(&plain);
                chunks.insert(digest, encode(&plain));
                digest
            })
            .collect();
        if file.kind() == ArchiveKind::FixedIndex {
            let size = (seeds.len() * length) as u64;
            let mut index = FixedIndexBuilder::new([1; 16], Epoch(1), size, length as u64).unwrap();
            for (i, digest) in digests.into_iter().enumerate() {
                index.set(i, digest).unwrap();
            }
            return index.finish().unwrap();
        }
        let mut index = DynamicIndexBuilder::new([1; 16], Epoch(1));
        for (i, digest) in digests.into_iter().enumerate() {
            index.push(((i + 1) * length) as u64, digest).unwrap();
        }
        index.finish().unwrap()
    }

    /// Changes the files of a snapshot.
    pub fn edit(&self, at: &str, what: &str, change: impl FnOnce(&mut Files)) {
        change(self.snapshots.lock().unwrap().get_mut(&(at.into(), snapshot(what))).unwrap());
    }

    /// Changes the manifest of a snapshot.
    pub fn edit_manifest(&self, at: &str, what: &str, change: impl FnOnce(&mut Manifest)) {
        self.edit(at, what, |files| {
            let mut manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
            change(&mut manifest);
            files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
        });
    }

    pub fn remove(&self, at: &str, what: &str) {
        self.snapshots.lock().unwrap().remove(&(at.into(), snapshot(what)));
    }

    pub fn set_chunk_fault(&self, fault: impl Fn(&str, usize) -> Option<SourceError> + Send + Sync + 'static) {
        *self.chunk_fault.lock().unwrap() = Some(Box::new(fault));
    }

    pub fn set_file_fault(&self, fault: impl Fn(&str, usize) -> Option<SourceError> + Send + Sync + 'static) {
        *self.file_fault.lock().unwrap() = Some(Box::new(fault));
    }

    pub fn clear_faults(&self) {
        *self.chunk_fault.lock().unwrap() = None;
        *self.file_fault.lock().unwrap() = None;
    }

    pub fn chunk_requests(&self) -> usize {
        self.counts.chunks.swap(0, Ordering::SeqCst)
    }

    fn listed<T>(&self, what: &str, items: Vec<T>) -> Listed<T> {
        let mut listed = Listed::from(items);
        if self.unreadable.lock().unwrap().contains(what) {
            listed.unreadable.push("something".to_owned());
        }
        listed
    }

    fn ask(&self, what: &str) -> Result<(), SourceError> {
        let count = self.counts.files.fetch_add(1, Ordering::SeqCst);
        match &*self.file_fault.lock().unwrap() {
            Some(fault) => fault(what, count).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }
}

pub fn item_of(snapshot: &Snapshot, files: &Files) -> SnapshotItem {
    let manifest = files.get(MANIFEST_NAME).and_then(|raw| Manifest::from_blob(raw).ok());
    let mut listed: Vec<SnapshotFileItem> = Vec::new();
    let mode = |manifest: &Manifest| if manifest.signature.is_some() { CryptMode::SignOnly } else { CryptMode::None };
    for file in files.keys() {
        let entry = manifest.as_ref().and_then(|m| m.file(&name(file)));
        let crypt_mode = match &manifest {
            Some(manifest) if file == MANIFEST_NAME => Some(mode(manifest)),
            _ => entry.map(|e| e.crypt_mode),
        };
        listed.push(SnapshotFileItem { filename: file.clone(), crypt_mode, size: entry.map(|e| e.size_bytes) });
    }
    SnapshotItem {
        backup_type: snapshot.group.backup_type,
        backup_id: snapshot.group.backup_id.clone(),
        backup_time: snapshot.time,
        comment: manifest.as_ref().and_then(|m| m.notes()?.lines().next().map(str::to_owned)),
        verification: manifest.as_ref().and_then(Manifest::verify_state),
        fingerprint: None,
        files: listed,
        // A hostile source lists unreadable manifests as finished.
        size: files.get(MANIFEST_NAME).map(|raw| manifest.map_or(raw.len() as u64, |m| m.total_bytes())),
        owner: None,
        protected: false,
    }
}

pub struct MemorySnapshot {
    source: Arc<MemorySource>,
    key: SnapshotKey,
    allowed: Mutex<HashSet<Digest>>,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.source.counts.open_now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A shared handle, since sessions point back to the source.
#[derive(Clone)]
pub struct Shared(pub Arc<MemorySource>);

impl Source for Shared {
    type Snapshot = MemorySnapshot;

    fn identity(&self) -> String {
        "memory".into()
    }

    async fn namespaces(&self, anchor: &Namespace, _: Option<u8>) -> Result<Listed<Namespace>, SourceError> {
        self.0.ask("namespaces")?;
        if self.0.has_no_namespaces {
            return Err(SourceError::new(RequestFault::Unsupported, "404"));
        }
        let all = self.0.namespaces.lock().unwrap().clone();
        Ok(self.0.listed("namespaces", all.into_iter().filter(|ns| ns.is_at_or_below(anchor)).collect()))
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<Group>, SourceError> {
        self.0.ask(&format!("groups {ns}"))?;
        let of = |groups: &BTreeSet<(String, Group)>| {
            groups.iter().filter(|(at, _)| *at == ns.to_string()).map(|(_, g)| g.clone()).collect::<Vec<_>>()
        };
        let mut listed = self.0.listed(&format!("groups {ns}"), of(&self.0.groups.lock().unwrap()));
        listed.withheld = of(&self.0.withheld.lock().unwrap());
        listed.items.retain(|group| !listed.withheld.contains(group));
        if self.0.lists_whole_namespaces.load(Ordering::SeqCst) {
            let snapshots = self.0.snapshots.lock().unwrap();
            listed.snapshot_count = Some(snapshots.keys().filter(|(at, _)| *at == ns.to_string()).count() as u64);
        }
        Ok(listed)
    }

    async fn snapshots_of_namespace(&self, ns: &Namespace) -> Result<Listed<SnapshotItem>, SourceError> {
        self.0.ask(&format!("all snapshots {ns}"))?;
        let snapshots = self.0.snapshots.lock().unwrap();
        let of_ns = snapshots.iter().filter(|((at, _), _)| *at == ns.to_string());
        Ok(of_ns.map(|((_, s), files)| item_of(s, files)).collect::<Vec<_>>().into())
    }

    fn hides(&self, ns: &Namespace) -> bool {
        self.0.hidden.lock().unwrap().contains(ns)
    }

    async fn visibility(&self, ns: &Namespace) -> Result<Visibility, SourceError> {
        self.0.ask(&format!("visibility {ns}"))?;
        Ok(self.0.visibility.lock().unwrap().get(&ns.to_string()).copied().unwrap_or(Visibility::Everything))
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, SourceError> {
        self.0.ask(&format!("snapshots {group}"))?;
        let snapshots = self.0.snapshots.lock().unwrap();
        let of_group = snapshots.iter().filter(|((at, s), _)| *at == ns.to_string() && s.group == *group);
        let items = of_group.map(|((_, s), files)| item_of(s, files)).collect();
        Ok(self.0.listed(&format!("snapshots {group}"), items))
    }

    async fn peek_manifest(&self, ns: &Namespace, snapshot: &Snapshot, _: u64) -> Result<Bytes, SourceError> {
        self.0.ask("peek")?;
        self.0.counts.peeks.fetch_add(1, Ordering::SeqCst);
        let snapshots = self.0.snapshots.lock().unwrap();
        let files = snapshots.get(&(ns.to_string(), snapshot.clone()));
        files.and_then(|f| f.get(MANIFEST_NAME).cloned()).ok_or(SourceError::new(RequestFault::Refused, "400"))
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<MemorySnapshot, SourceError> {
        self.0.ask(&format!("open {snapshot}"))?;
        let key = (ns.to_string(), snapshot.clone());
        if !self.0.snapshots.lock().unwrap().contains_key(&key) {
            return Err(SourceError::new(RequestFault::Refused, "snapshot does not exist"));
        }
        self.0.counts.opened.fetch_add(1, Ordering::SeqCst);
        let now = self.0.counts.open_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.counts.most_open.fetch_max(now, Ordering::SeqCst);
        Ok(MemorySnapshot { source: self.0.clone(), key, allowed: Mutex::default() })
    }
}

impl SourceSnapshot for MemorySnapshot {
    async fn file(&self, file: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        tokio::task::yield_now().await;
        self.source.ask(file.as_str())?;
        let content = self.source.snapshots.lock().unwrap().get(&self.key).and_then(|f| f.get(file.as_str()).cloned());
        let content = content.ok_or(SourceError::new(RequestFault::NotFound, "404"))?;
        if max_bytes < content.len() as u64 {
            return Err(SourceError::new(RequestFault::TooLarge, format!("{file} is too large")));
        }
        if file.kind() != ArchiveKind::Blob
            && let Ok(index) = Index::parse(file.kind(), content.clone())
        {
            self.allowed.lock().unwrap().extend(index.digests());
        }
        Ok(content)
    }

    async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        tokio::task::yield_now().await;
        let count = self.source.counts.chunks.fetch_add(1, Ordering::SeqCst);
        if !self.allowed.lock().unwrap().contains(digest) {
            return Err(SourceError::new(RequestFault::Refused, "chunk not named by an index of this session"));
        }
        if let Some(fault) = &*self.source.chunk_fault.lock().unwrap()
            && let Some(error) = fault(&digest.to_string(), count)
        {
            return Err(error);
        }
        let chunk = self.source.chunks.lock().unwrap().get(digest).cloned();
        let chunk = chunk.ok_or(SourceError::new(RequestFault::Refused, "no such chunk"))?;
        if max_bytes < chunk.len() as u64 {
            return Err(SourceError::new(RequestFault::TooLarge, "chunk is too large"));
        }
        Ok(chunk)
    }

    async fn close(&self) {}
}

#[derive(Default)]
pub struct GroupDir {
    pub owner: Option<Authid>,
    pub is_locked: bool,
    pub snapshots: BTreeMap<Epoch, Files>,
    pub protected: BTreeSet<Epoch>,
    /// Snapshots that somebody reads.
    pub busy: BTreeSet<Epoch>,
}

#[derive(Default)]
pub struct MemoryTarget {
    pub namespaces: Mutex<BTreeSet<Namespace>>,
    pub groups: Mutex<BTreeMap<(String, Group), GroupDir>>,
    pub store: Arc<MemoryChunks>,
    /// Index stamps handed out.
    pub stamps: AtomicUsize,
}

#[derive(Default)]
pub struct MemoryChunks {
    pub chunks: Mutex<HashMap<Digest, Bytes>>,
    pub is_full: AtomicBool,
}

impl ChunkStore for MemoryChunks {
    fn insert(&self, digest: &Digest, encoded: &[u8]) -> Result<(), TargetError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(TargetError::store("cannot store a chunk", "no space left"));
        }
        self.chunks.lock().unwrap().entry(*digest).or_insert_with(|| Bytes::copy_from_slice(encoded));
        Ok(())
    }

    fn insert_or_repair(
        &self,
        digest: &Digest,
        encoded: &[u8],
        is_sound: &mut dyn FnMut(&Bytes) -> bool,
    ) -> Result<(), TargetError> {
        let stored = self.read(digest);
        if stored.is_some_and(|stored| !is_sound(&stored)) {
            self.chunks.lock().unwrap().remove(digest);
        }
        self.insert(digest, encoded)
    }

    fn touch(&self, digest: &Digest) -> Result<bool, TargetError> {
        Ok(self.chunks.lock().unwrap().contains_key(digest))
    }

    fn read(&self, digest: &Digest) -> Option<Bytes> {
        self.chunks.lock().unwrap().get(digest).cloned()
    }
}

impl MemoryTarget {
    pub fn new() -> Arc<Self> {
        let target = Self::default();
        target.namespaces.lock().unwrap().insert(Namespace::root());
        Arc::new(target)
    }

    /// Returns all finished snapshots with their files.
    pub fn finished(&self) -> BTreeMap<SnapshotKey, Files> {
        let groups = self.groups.lock().unwrap();
        let mut all = BTreeMap::new();
        for ((at, group), dir) in &*groups {
            for (time, files) in dir.snapshots.iter().filter(|(_, files)| files.contains_key(MANIFEST_NAME)) {
                all.insert((at.clone(), group.at(*time)), files.clone());
            }
        }
        all
    }

    pub fn directories(&self) -> usize {
        self.groups.lock().unwrap().values().map(|dir| dir.snapshots.len()).sum()
    }

    pub fn edit(&self, at: &str, what: &str, change: impl FnOnce(&mut Files)) {
        let snapshot = snapshot(what);
        let mut groups = self.groups.lock().unwrap();
        let dir = groups.get_mut(&(at.into(), snapshot.group)).unwrap();
        change(dir.snapshots.get_mut(&snapshot.time).unwrap());
    }
}

pub struct TargetHandle(pub Arc<MemoryTarget>);

pub struct LockedGroup {
    target: Arc<MemoryTarget>,
    key: (String, Group),
}

impl Drop for LockedGroup {
    fn drop(&mut self) {
        if let Some(dir) = self.target.groups.lock().unwrap().get_mut(&self.key) {
            dir.is_locked = false;
        }
    }
}

impl Target for TargetHandle {
    type Group = LockedGroup;

    async fn has_namespace(&self, ns: &Namespace) -> Result<bool, TargetError> {
        Ok(self.0.namespaces.lock().unwrap().contains(ns))
    }

    async fn create_namespace(&self, ns: &Namespace) -> Result<(), TargetError> {
        let mut all = self.0.namespaces.lock().unwrap();
        if !all.contains(&ns.parent().unwrap_or_default()) {
            return Err(TargetError::NoParentNamespace { namespace: ns.clone() });
        }
        all.insert(ns.clone());
        Ok(())
    }

    async fn has_group(&self, ns: &Namespace, group: &Group) -> Result<bool, TargetError> {
        Ok(self.0.groups.lock().unwrap().contains_key(&(ns.to_string(), group.clone())))
    }

    async fn look_at_group(&self, ns: &Namespace, group: &Group, _: Examine) -> Result<Option<SeenGroup>, TargetError> {
        let groups = self.0.groups.lock().unwrap();
        let dir = groups.get(&(ns.to_string(), group.clone()));
        Ok(dir.map(|dir| SeenGroup { owner: dir.owner.clone(), snapshots: snapshots_of(dir) }))
    }

    async fn lock_group(&self, ns: &Namespace, group: &Group, owner: &Authid) -> Result<LockedGroup, TargetError> {
        let key = (ns.to_string(), group.clone());
        let mut groups = self.0.groups.lock().unwrap();
        let dir = groups.entry(key.clone()).or_default();
        if dir.is_locked {
            return Err(TargetError::Locked { what: format!("group {group}"), source: None });
        }
        let found = dir.owner.get_or_insert_with(|| owner.clone());
        if found != owner {
            return Err(TargetError::OwnerMismatch { expected: owner.clone(), owner: found.clone() });
        }
        dir.is_locked = true;
        Ok(LockedGroup { target: self.0.clone(), key })
    }

    async fn chunks_of_owner(
        &self,
        namespaces: &[Namespace],
        owner: &Authid,
        max: usize,
    ) -> Result<Vec<KnownChunk>, TargetError> {
        let groups = self.0.groups.lock().unwrap();
        let mut chunks = Vec::new();
        for ((at, _), dir) in &*groups {
            let newest = dir.snapshots.values().rev().find(|files| files.contains_key(MANIFEST_NAME));
            let is_wanted = namespaces.contains(&ns(at)) && dir.owner.as_ref() == Some(owner);
            if let Some(files) = newest.filter(|_| is_wanted) {
                chunks.extend(chunks_of(files)?);
            }
        }
        chunks.truncate(max);
        Ok(chunks)
    }

    fn index_stamp(&self) -> IndexStamp {
        let count = self.0.stamps.fetch_add(1, Ordering::SeqCst);
        IndexStamp { uuid: [u8::try_from(count % 256).unwrap(); 16], created: Epoch(1_800_000_000) }
    }

    async fn namespaces(&self, anchor: &Namespace) -> Result<Vec<Namespace>, TargetError> {
        Ok(self.0.namespaces.lock().unwrap().iter().filter(|ns| ns.is_at_or_below(anchor)).cloned().collect())
    }

    async fn groups(&self, ns: &Namespace) -> Result<Vec<OwnedGroup>, TargetError> {
        let groups = self.0.groups.lock().unwrap();
        let found = groups.iter().filter(|((at, _), _)| *at == ns.to_string());
        Ok(found.map(|((_, group), dir)| OwnedGroup { group: group.clone(), owner: dir.owner.clone() }).collect())
    }

    async fn lock_existing_group(
        &self,
        ns: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> Result<Option<LockedGroup>, TargetError> {
        if !self.has_group(ns, group).await? {
            return Ok(None);
        }
        Ok(Some(self.lock_group(ns, group, owner).await?))
    }

    async fn remove_empty_namespace(&self, ns: &Namespace) -> Result<bool, TargetError> {
        let has_group = self.0.groups.lock().unwrap().keys().any(|(at, _)| *at == ns.to_string());
        let mut all = self.0.namespaces.lock().unwrap();
        let has_child = all.iter().any(|other| other != ns && other.is_at_or_below(ns));
        Ok(!ns.is_root() && !has_group && !has_child && all.remove(ns))
    }

    fn location(&self, _: &Namespace, _: &Group, _: Option<Epoch>) -> Option<String> {
        None
    }

    fn chunks(&self) -> Arc<dyn ChunkStore> {
        self.0.store.clone()
    }

    async fn settle(&self) {}
}

impl LockedGroup {
    fn with<R>(&self, use_it: impl FnOnce(&mut GroupDir) -> R) -> R {
        use_it(self.target.groups.lock().unwrap().get_mut(&self.key).unwrap())
    }
}

fn snapshots_of(dir: &GroupDir) -> Vec<LocalSnapshot> {
    let condition = |files: &Files| match files.get(MANIFEST_NAME).map(|raw| Manifest::from_blob(raw)) {
        None => LocalCondition::Unfinished,
        Some(Err(_)) => LocalCondition::UnreadableManifest,
        Some(Ok(m)) if m.verify_state().is_some_and(|v| v.state == VerifyState::Failed) => {
            LocalCondition::VerificationFailed
        }
        Some(Ok(_)) => LocalCondition::NotKnownBad,
    };
    dir.snapshots
        .iter()
        .map(|(time, files)| LocalSnapshot {
            time: *time,
            condition: condition(files),
            is_protected: dir.protected.contains(time),
        })
        .collect()
}

fn chunks_of(files: &Files) -> Result<Vec<KnownChunk>, TargetError> {
    let mut all = Vec::new();
    for (file, bytes) in files.iter().filter(|(file, _)| name(file).kind() != ArchiveKind::Blob) {
        let index = Index::parse(name(file).kind(), bytes.clone()).map_err(|e| TargetError::store("index", e))?;
        all.extend(index.chunks().map(|c| KnownChunk { digest: c.digest, length: c.size_bytes() as u32 }));
    }
    Ok(all)
}

impl TargetGroup for LockedGroup {
    type Snapshot = OpenSnapshot;

    async fn snapshots(&self, _: Examine) -> Result<Vec<LocalSnapshot>, TargetError> {
        Ok(self.with(|dir| snapshots_of(dir)))
    }

    async fn chunks_of(&self, time: Epoch) -> Result<Vec<KnownChunk>, TargetError> {
        chunks_of(&self.with(|dir| dir.snapshots[&time].clone()))
    }

    async fn remove_snapshot(&self, time: Epoch) -> Result<Removed, TargetError> {
        self.with(|dir| {
            if dir.busy.contains(&time) {
                return Err(TargetError::Locked { what: format!("snapshot {time}"), source: None });
            }
            if dir.protected.contains(&time) {
                return Ok(Removed::Protected);
            }
            Ok(dir.snapshots.remove(&time).map_or(Removed::Gone, |_| Removed::Yes))
        })
    }

    async fn remove_if_empty(&self) -> Result<bool, TargetError> {
        let mut groups = self.target.groups.lock().unwrap();
        let is_empty = groups[&self.key].snapshots.is_empty();
        if is_empty {
            groups.remove(&self.key);
        }
        Ok(is_empty)
    }

    async fn begin(&self, time: Epoch) -> Result<OpenSnapshot, TargetError> {
        let is_new = self.with(|dir| {
            let is_new = !dir.snapshots.contains_key(&time);
            dir.snapshots.entry(time).or_default();
            is_new
        });
        Ok(OpenSnapshot { target: self.target.clone(), key: self.key.clone(), time, is_new })
    }
}

pub struct OpenSnapshot {
    target: Arc<MemoryTarget>,
    key: (String, Group),
    time: Epoch,
    is_new: bool,
}

impl OpenSnapshot {
    fn with<R>(&self, use_it: impl FnOnce(&mut Files) -> R) -> R {
        let mut groups = self.target.groups.lock().unwrap();
        use_it(groups.get_mut(&self.key).unwrap().snapshots.get_mut(&self.time).unwrap())
    }
}

impl TargetSnapshot for OpenSnapshot {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn manifest(&self) -> Result<StoredManifest, TargetError> {
        Ok(match self.with(|files| files.get(MANIFEST_NAME).cloned()) {
            None => StoredManifest::Absent,
            Some(raw) => match Manifest::from_blob(&raw) {
                Err(_) => StoredManifest::Unreadable,
                Ok(manifest) => StoredManifest::Present { manifest: Box::new(manifest), raw },
            },
        })
    }

    async fn compare(&self, file: &ManifestFile) -> Result<StoredFile, TargetError> {
        let Some(bytes) = self.with(|files| files.get(file.name.as_str()).cloned()) else {
            return Ok(StoredFile::Absent);
        };
        let facts = match file.name.kind() {
            ArchiveKind::Blob => Some((sha256(&bytes), bytes.len() as u64)),
            kind => Index::parse(kind, bytes).ok().map(|index| (index.checksum(), index.size_bytes())),
        };
        let matching = facts == Some((file.checksum, file.size_bytes));
        Ok(if matching { StoredFile::Matching } else { StoredFile::Different })
    }

    async fn looks_whole(&self, manifest: &Manifest) -> Result<bool, TargetError> {
        for file in &manifest.files {
            if self.compare(file).await? != StoredFile::Matching {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn existing(&self, file: &ArchiveName) -> Result<Option<Bytes>, TargetError> {
        Ok(self.with(|files| files.get(file.as_str()).cloned()))
    }

    async fn has_client_log(&self) -> Result<bool, TargetError> {
        Ok(self.with(|files| files.contains_key(CLIENT_LOG_NAME)))
    }

    async fn put(&self, file: &ArchiveName, content: Bytes) -> Result<(), TargetError> {
        // An index in place promises that its chunks are stored.
        if file.kind() != ArchiveKind::Blob {
            let chunks = self.target.store.chunks.lock().unwrap();
            let index = Index::parse(file.kind(), content.clone()).unwrap();
            assert!(index.digests().all(|digest| chunks.contains_key(&digest)), "index before its chunks");
        }
        self.with(|files| files.insert(file.to_string(), content));
        Ok(())
    }

    async fn commit(&self, raw: Bytes) -> Result<(), TargetError> {
        let manifest = Manifest::from_blob(&raw).unwrap();
        self.with(|files| {
            assert!(manifest.files.iter().all(|f| files.contains_key(f.name.as_str())), "manifest before its files");
            files.insert(MANIFEST_NAME.into(), raw);
        });
        Ok(())
    }

    async fn commit_with(&self, make: MakeManifest) -> Result<(), TargetError> {
        let stored = self.existing(&ArchiveName::manifest()).await?;
        let made = make(stored.as_ref()).map_err(|error| TargetError::store("manifest", error))?;
        self.commit(made).await
    }

    async fn put_client_log(&self, content: Bytes) -> Result<(), TargetError> {
        self.with(|files| files.insert(CLIENT_LOG_NAME.into(), content));
        Ok(())
    }

    async fn remove_unlisted(&self, manifest: &Manifest) -> Result<(), TargetError> {
        let keep =
            |file: &String| file == MANIFEST_NAME || file == CLIENT_LOG_NAME || manifest.file(&name(file)).is_some();
        self.with(|files| files.retain(|file, _| keep(file)));
        Ok(())
    }

    async fn discard(self) -> Result<(), TargetError> {
        if !self.with(|files| files.contains_key(MANIFEST_NAME)) {
            let mut groups = self.target.groups.lock().unwrap();
            groups.get_mut(&self.key).unwrap().snapshots.remove(&self.time);
        }
        Ok(())
    }
}

/// Collects events and the log made of them.
pub struct Log {
    pub events: Mutex<Vec<SyncEvent>>,
    renderer: Mutex<LogRenderer>,
    lines: Mutex<Vec<LogLine>>,
}

impl Log {
    pub fn new(workers: usize) -> Arc<Self> {
        let names = LogNames {
            direction: farhold_types::SyncDirection::Pull,
            remote: Some("rsrc".parse().unwrap()),
            source_store: "src".parse().unwrap(),
            target_store: "dst".parse().unwrap(),
        };
        let renderer = Mutex::new(LogRenderer::new(names, workers));
        Arc::new(Self { events: Mutex::default(), renderer, lines: Mutex::default() })
    }

    pub fn texts(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|line| line.text.clone()).collect()
    }
}

impl Log {
    /// Returns how many lines of this level there are.
    pub fn count(&self, level: LogLevel) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.level == level).count()
    }
}

impl EventSink for Log {
    fn event(&self, event: &SyncEvent) {
        self.events.lock().unwrap().push(event.clone());
        let lines = self.renderer.lock().unwrap().render(event);
        self.lines.lock().unwrap().extend(lines);
    }
}

pub fn options() -> SyncOptions {
    SyncOptions::new("rsrc:src:dst::jbase", Authid::root())
}

/// Runs a sync and returns result and log lines.
pub async fn sync(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
) -> (Result<SyncReport, SyncError>, Vec<String>) {
    sync_until(options, source, target, CancellationToken::new()).await
}

pub async fn sync_until(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    target: &Arc<MemoryTarget>,
    cancel: CancellationToken,
) -> (Result<SyncReport, SyncError>, Vec<String>) {
    let log = Log::new(options.worker_threads);
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(TargetHandle(target.clone())));
    let result = farhold_sync::run(options, from, to, Arc::new(Unrestricted), log.clone(), cancel).await;
    (result, log.texts())
}

pub fn lost() -> SourceError {
    SourceError::new(RequestFault::ConnectionLost, "connection reset")
}

/// Rights of an owner who may create and remove no namespace.
pub struct NoModify;

impl OwnerRights for NoModify {
    fn may_backup(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Ok(())
    }

    fn may_modify(&self, _: &Namespace) -> Result<(), OwnerDenied> {
        Err(OwnerDenied { missing: "Datastore.Modify".into(), path: "/datastore/dst".into() })
    }

    fn may_see(&self, _: &Namespace) -> bool {
        true
    }
}
