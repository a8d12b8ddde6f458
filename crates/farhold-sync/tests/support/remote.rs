//! The target of a push in memory. It keeps the rules of a real server and refuses whoever breaks them: ascending times,
//! one session per group, the owner, chunks that a session may name, counts, offsets and checksums.
//!
//! Source: `docs/spec/wire-protocol.md` 5, `docs/spec/rest-api.md` 12.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use farhold_crypto::{Sha256, sha256};
use farhold_format::blob::{self, BlobDecoder, BlobEncoder, MAX_CHUNK_BYTES};
use farhold_format::index::{DynamicIndexBuilder, FIXED_CHUNK_BYTES, FixedIndexBuilder, Index};
use farhold_format::manifest::Manifest;
use farhold_sync::{
    DeletionAnswer, EventSink, Listed, LogLine, LogNames, LogRenderer, PushRights, PushSession, PushTarget,
    RemoteError, RequestFault, SyncError, SyncEvent, SyncOptions, SyncReport, Unrestricted,
};
use farhold_types::{
    ArchiveKind, ArchiveName, Authid, CLIENT_LOG_NAME, DeleteStatistics, Digest, Epoch, Group, GroupItem,
    MANIFEST_NAME, Namespace, Snapshot, SnapshotItem, SyncDirection, VersionItem,
};
use tokio_util::sync::CancellationToken;

use super::{Files, MemorySource, Shared, item_of, ns, snapshot};

/// A snapshot directory.
#[derive(Default, Clone)]
pub struct Dir {
    pub files: Files,
    pub is_protected: bool,
    /// A session writes it.
    is_open: bool,
}

impl Dir {
    fn is_finished(&self) -> bool {
        !self.is_open && self.files.contains_key(MANIFEST_NAME)
    }
}

#[derive(Clone)]
pub struct GroupDir {
    pub owner: Authid,
    pub snapshots: BTreeMap<Epoch, Dir>,
}

#[derive(Default)]
pub struct State {
    pub namespaces: BTreeSet<Namespace>,
    pub groups: BTreeMap<(Namespace, Group), GroupDir>,
    pub chunks: HashMap<Digest, Bytes>,
}

type Fault = Box<dyn Fn(&str, usize) -> Option<RemoteError> + Send + Sync>;

/// A datastore of another server.
pub struct MemoryRemote {
    pub account: Authid,
    pub version: Mutex<(String, String)>,
    state: Mutex<State>,
    /// How long each request takes.
    pub round_trip: Mutex<Duration>,
    /// All requests in order: a word each, with what it is about.
    pub requests: Mutex<Vec<String>>,
    /// Asked before each request, with its word and how many were before.
    fault: Mutex<Option<Fault>>,
    /// Requests that are carried out but whose answer is lost, once each.
    pub lost_answers: Mutex<Vec<String>>,
    pub sessions_now: AtomicUsize,
    pub most_sessions: AtomicUsize,
    pub uploads_now: AtomicUsize,
    pub most_uploads: AtomicUsize,
    /// Most bytes that an index of a previous snapshot was allowed to have.
    pub most_previous_bytes: AtomicU64,
    /// Entries of one append.
    pub append_limit: AtomicUsize,
}

pub fn refused(text: impl Into<String>) -> RemoteError {
    RemoteError::new(RequestFault::Refused, text)
}

pub fn connection_lost() -> RemoteError {
    RemoteError::new(RequestFault::ConnectionLost, "connection reset")
}

fn require(condition: bool, text: &str) -> Result<(), RemoteError> {
    if condition { Ok(()) } else { Err(refused(text)) }
}

impl MemoryRemote {
    pub fn new() -> Arc<Self> {
        let remote = Self {
            account: "sync@pbs!t1".parse().unwrap(),
            version: Mutex::new(("4.2".into(), "1".into())),
            state: Mutex::default(),
            round_trip: Mutex::default(),
            requests: Mutex::default(),
            fault: Mutex::default(),
            lost_answers: Mutex::default(),
            sessions_now: AtomicUsize::new(0),
            most_sessions: AtomicUsize::new(0),
            uploads_now: AtomicUsize::new(0),
            most_uploads: AtomicUsize::new(0),
            most_previous_bytes: AtomicU64::new(0),
            append_limit: AtomicUsize::new(700),
        };
        remote.state().namespaces.insert(Namespace::root());
        Arc::new(remote)
    }

    /// Returns the same content as another account sees it, as it is now.
    pub fn as_account(&self, account: &str) -> Arc<Self> {
        let mut other = Self::new();
        let made = Arc::get_mut(&mut other).unwrap();
        made.account = account.parse().unwrap();
        let (from, to) = (self.state(), made.state.get_mut().unwrap());
        to.namespaces.clone_from(&from.namespaces);
        to.groups.clone_from(&from.groups);
        to.chunks.clone_from(&from.chunks);
        other
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set_fault(&self, fault: impl Fn(&str, usize) -> Option<RemoteError> + Send + Sync + 'static) {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
    }

    pub fn clear_fault(&self) {
        *self.fault.lock().unwrap() = None;
    }

    pub fn set_version(&self, version: &str, release: &str) {
        *self.version.lock().unwrap() = (version.into(), release.into());
    }

    /// Returns the requests so far and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Returns how many of the requests so far begin with `word`.
    pub fn count(&self, word: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(word)).count()
    }

    /// Returns the names of the finished snapshots, with their namespaces.
    pub fn finished(&self) -> Vec<String> {
        let state = self.state();
        let mut found = Vec::new();
        for ((ns, group), dir) in &state.groups {
            let times = dir.snapshots.iter().filter(|(_, dir)| dir.is_finished()).map(|(time, _)| *time);
            found.extend(times.map(|time| format!("{ns}:{}", group.at(time))));
        }
        found
    }

    /// Returns the files of a snapshot.
    pub fn files(&self, at: &str, what: &str) -> Files {
        let snapshot = snapshot(what);
        self.state().groups[&(ns(at), snapshot.group.clone())].snapshots[&snapshot.time].files.clone()
    }

    pub fn manifest(&self, at: &str, what: &str) -> Manifest {
        Manifest::from_blob(&self.files(at, what)[MANIFEST_NAME]).unwrap()
    }

    /// Adds a snapshot directory of any owner; finished if there is a manifest.
    pub fn put(&self, at: &str, what: &str, owner: &str, files: Files) {
        let snapshot = snapshot(what);
        let mut state = self.state();
        state.namespaces.insert(ns(at));
        let empty = || GroupDir { owner: owner.parse().unwrap(), snapshots: BTreeMap::new() };
        let group = state.groups.entry((ns(at), snapshot.group.clone())).or_insert_with(empty);
        group.snapshots.insert(snapshot.time, Dir { files, ..Dir::default() });
    }

    /// Adds a finished snapshot without any file but its manifest.
    pub fn put_finished(&self, at: &str, what: &str, owner: &str) {
        let manifest = Manifest::new(&snapshot(what)).to_blob(&mut BlobEncoder::new()).unwrap();
        self.put(at, what, owner, Files::from([(MANIFEST_NAME.to_owned(), Bytes::from(manifest))]));
    }

    pub fn protect(&self, at: &str, what: &str) {
        let snapshot = snapshot(what);
        let mut state = self.state();
        let group = state.groups.get_mut(&(ns(at), snapshot.group)).unwrap();
        group.snapshots.get_mut(&snapshot.time).unwrap().is_protected = true;
    }

    async fn ask(&self, word: String) -> Result<(), RemoteError> {
        let round_trip = *self.round_trip.lock().unwrap();
        if !round_trip.is_zero() {
            tokio::time::sleep(round_trip).await;
        }
        let count = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(word.clone());
            requests.len() - 1
        };
        match &*self.fault.lock().unwrap() {
            Some(fault) => fault(&word, count).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    fn loses_answer(&self, word: &str) -> bool {
        let mut lost = self.lost_answers.lock().unwrap();
        let at = lost.iter().position(|lost| lost == word);
        at.map(|at| lost.remove(at)).is_some()
    }

    fn items(group: &Group, dir: &GroupDir) -> Vec<SnapshotItem> {
        let item = |(time, dir_of): (&Epoch, &Dir)| {
            let files = if dir_of.is_open { Files::new() } else { dir_of.files.clone() };
            let manifest = files.get(MANIFEST_NAME).and_then(|raw| Manifest::from_blob(raw).ok());
            let mut item = item_of(&group.at(*time), &files);
            if manifest.is_none() {
                item.size = None;
            }
            item.owner = Some(dir.owner.clone());
            item.protected = dir_of.is_protected;
            item.comment = manifest.as_ref().and_then(|m| m.notes()?.lines().next().map(str::to_owned));
            item.fingerprint = manifest.and_then(|m| m.key_fingerprint().ok().flatten());
            item
        };
        dir.snapshots.iter().map(item).collect()
    }
}

/// A shared handle, since sessions point back to the target.
pub struct Remote(pub Arc<MemoryRemote>);

impl PushTarget for Remote {
    type Session = MemorySession;

    fn identity(&self) -> String {
        "memory remote".into()
    }

    fn account(&self) -> &Authid {
        &self.0.account
    }

    async fn version(&self) -> Result<VersionItem, RemoteError> {
        self.0.ask("version".into()).await?;
        let (version, release) = self.0.version.lock().unwrap().clone();
        Ok(VersionItem { version, release, repoid: String::new() })
    }

    async fn namespaces(&self) -> Result<Listed<Namespace>, RemoteError> {
        self.0.ask("namespaces".into()).await?;
        Ok(self.0.state().namespaces.iter().cloned().collect::<Vec<_>>().into())
    }

    async fn create_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        self.0.ask(format!("create namespace {ns}")).await?;
        let mut state = self.0.state();
        require(ns.parent().is_some_and(|parent| state.namespaces.contains(&parent)), "no parent")?;
        require(state.namespaces.insert(ns.clone()), "namespace exists")
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<GroupItem>, RemoteError> {
        self.0.ask(format!("groups {ns}")).await?;
        let state = self.0.state();
        require(state.namespaces.contains(ns), "no such namespace")?;
        let item = |((_, group), dir): (&(Namespace, Group), &GroupDir)| {
            let newest = dir.snapshots.iter().rfind(|(_, dir_of)| dir_of.is_finished() || dir.snapshots.len() == 1);
            GroupItem {
                backup_type: group.backup_type,
                backup_id: group.backup_id.clone(),
                last_backup: newest.map_or(Epoch(0), |(time, _)| *time),
                backup_count: dir.snapshots.len() as u64,
                files: newest.iter().flat_map(|(_, dir)| dir.files.keys().cloned()).collect(),
                owner: Some(dir.owner.clone()),
                comment: None,
            }
        };
        Ok(state.groups.iter().filter(|((at, _), _)| at == ns).map(item).collect::<Vec<_>>().into())
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, RemoteError> {
        self.0.ask(format!("snapshots {ns} {group}")).await?;
        let state = self.0.state();
        let dir = state.groups.get(&(ns.clone(), group.clone()));
        Ok(dir.map(|dir| MemoryRemote::items(group, dir)).unwrap_or_default().into())
    }

    async fn snapshots_of_namespace(&self, ns: &Namespace) -> Result<Listed<SnapshotItem>, RemoteError> {
        self.0.ask(format!("all snapshots {ns}")).await?;
        let state = self.0.state();
        let of_namespace = state.groups.iter().filter(|((at, _), _)| at == ns);
        Ok(of_namespace.flat_map(|((_, group), dir)| MemoryRemote::items(group, dir)).collect::<Vec<_>>().into())
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<MemorySession, RemoteError> {
        self.0.ask(format!("open {snapshot}")).await?;
        let mut state = self.0.state();
        if !state.namespaces.contains(ns) {
            return Err(RemoteError::new(RequestFault::NotFound, "no such namespace"));
        }
        let key = (ns.clone(), snapshot.group.clone());
        let new = || GroupDir { owner: self.0.account.clone(), snapshots: BTreeMap::new() };
        let group = state.groups.entry(key).or_insert_with(new);
        require(!group.snapshots.values().any(|dir| dir.is_open), "group is locked")?;
        require(group.owner == self.0.account, "owner check failed")?;
        let base = group.snapshots.iter().rfind(|(_, dir)| dir.is_finished()).map(|(time, _)| *time);
        require(base.is_none_or(|base| base < snapshot.time), "backup time is not newer than the last backup")?;
        require(!group.snapshots.contains_key(&snapshot.time), "snapshot directory exists")?;
        group.snapshots.insert(snapshot.time, Dir { is_open: true, ..Dir::default() });
        let base = base.map(|time| group.snapshots[&time].files.clone());
        let now = self.0.sessions_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_sessions.fetch_max(now, Ordering::SeqCst);
        drop(state);
        let session = MemorySession {
            remote: self.0.clone(),
            key: (ns.clone(), snapshot.group.clone()),
            time: snapshot.time,
            base,
            known: Mutex::default(),
            writers: Mutex::default(),
            is_finished: Mutex::new(false),
        };
        if self.0.loses_answer("open") {
            // The target notices a little later that nobody is there.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(session);
            });
            return Err(connection_lost());
        }
        Ok(session)
    }

    async fn delete_snapshot(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), RemoteError> {
        self.0.ask(format!("delete snapshot {snapshot}")).await?;
        let mut state = self.0.state();
        let key = (ns.clone(), snapshot.group.clone());
        let group = state.groups.get_mut(&key).ok_or_else(|| refused("no such group"))?;
        require(group.owner == self.0.account, "owner check failed")?;
        let dir = group.snapshots.get(&snapshot.time).ok_or_else(|| refused("no such snapshot"))?;
        require(!dir.is_protected && !dir.is_open, "snapshot is protected or in use")?;
        group.snapshots.remove(&snapshot.time);
        if group.snapshots.is_empty() {
            state.groups.remove(&key);
        }
        if self.0.loses_answer("delete snapshot") { Err(connection_lost()) } else { Ok(()) }
    }

    async fn delete_group(
        &self,
        ns: &Namespace,
        group: &Group,
        answer: DeletionAnswer,
    ) -> Result<Option<DeleteStatistics>, RemoteError> {
        self.0.ask(format!("delete group {group}")).await?;
        let mut state = self.0.state();
        let key = (ns.clone(), group.clone());
        let dir = state.groups.get_mut(&key).ok_or_else(|| refused("no such group"))?;
        require(dir.owner == self.0.account, "owner check failed")?;
        let before = dir.snapshots.len();
        dir.snapshots.retain(|_, dir| dir.is_protected);
        let left = dir.snapshots.len();
        if left == 0 {
            state.groups.remove(&key);
        }
        let statistics = DeleteStatistics {
            removed_groups: u64::from(left == 0),
            protected_snapshots: left as u64,
            removed_snapshots: (before - left) as u64,
        };
        if self.0.loses_answer("delete group") {
            return Err(connection_lost());
        }
        match answer {
            DeletionAnswer::Statistics => Ok(Some(statistics)),
            DeletionAnswer::Nothing => {
                require(left == 0, "group only partially deleted due to protected snapshots").map(|()| None)
            }
        }
    }

    async fn delete_empty_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        self.0.ask(format!("delete namespace {ns}")).await?;
        let mut state = self.0.state();
        require(!state.groups.keys().any(|(at, _)| at.is_at_or_below(ns)), "namespace is not empty")?;
        let before = state.namespaces.len();
        state.namespaces.retain(|at| !at.is_at_or_below(ns));
        require(state.namespaces.len() < before, "no such namespace")?;
        if self.0.loses_answer("delete namespace") { Err(connection_lost()) } else { Ok(()) }
    }

    async fn set_notes(&self, ns: &Namespace, snapshot: &Snapshot, notes: &str) -> Result<(), RemoteError> {
        self.0.ask(format!("set notes {snapshot}")).await?;
        let mut state = self.0.state();
        let group = state.groups.get_mut(&(ns.clone(), snapshot.group.clone())).unwrap();
        let files = &mut group.snapshots.get_mut(&snapshot.time).unwrap().files;
        let mut manifest = Manifest::from_blob(&files[MANIFEST_NAME]).unwrap();
        manifest.set_notes(notes);
        files.insert(MANIFEST_NAME.into(), manifest.to_blob(&mut BlobEncoder::new()).unwrap().into());
        Ok(())
    }

    async fn upload_log(&self, ns: &Namespace, snapshot: &Snapshot, log: Bytes) -> Result<(), RemoteError> {
        self.0.ask(format!("upload log {snapshot}")).await?;
        blob::check(&log).map_err(|error| refused(error.to_string()))?;
        let mut state = self.0.state();
        let group = state.groups.get_mut(&(ns.clone(), snapshot.group.clone())).unwrap();
        let files = &mut group.snapshots.get_mut(&snapshot.time).unwrap().files;
        require(files.insert(CLIENT_LOG_NAME.into(), log).is_none(), "log exists")
    }
}

struct Writing {
    name: ArchiveName,
    size: u64,
    /// Fixed: digests by slot; dynamic: end and digest.
    slots: Vec<Option<Digest>>,
    ends: Vec<(u64, Digest)>,
    appended: u64,
    is_reused: bool,
    is_open: bool,
    has_short_chunk: bool,
}

/// A snapshot that is being written.
pub struct MemorySession {
    remote: Arc<MemoryRemote>,
    key: (Namespace, Group),
    time: Epoch,
    base: Option<Files>,
    known: Mutex<HashMap<Digest, u64>>,
    writers: Mutex<Vec<Writing>>,
    is_finished: Mutex<bool>,
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.remote.sessions_now.fetch_sub(1, Ordering::SeqCst);
        if *self.is_finished.lock().unwrap() {
            return;
        }
        let mut state = self.remote.state();
        if let Some(group) = state.groups.get_mut(&self.key) {
            group.snapshots.remove(&self.time);
            if group.snapshots.is_empty() {
                state.groups.remove(&self.key);
            }
        }
    }
}

impl MemorySession {
    fn with<R>(&self, change: impl FnOnce(&mut Dir) -> R) -> R {
        change(self.remote.state().groups.get_mut(&self.key).unwrap().snapshots.get_mut(&self.time).unwrap())
    }

    fn base_index(&self, name: &ArchiveName) -> Result<Index, RemoteError> {
        let base = self.base.as_ref().ok_or_else(|| refused("no valid previous backup"))?;
        let raw = base.get(&name.to_string()).ok_or_else(|| refused("no such file"))?;
        Index::parse(name.kind(), raw.clone()).map_err(|error| refused(error.to_string()))
    }

    fn create(&self, writing: Writing) -> usize {
        let mut writers = self.writers.lock().unwrap();
        writers.push(writing);
        writers.len() - 1
    }
}

impl PushSession for MemorySession {
    type Writer = usize;

    async fn previous(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, RemoteError> {
        self.remote.ask(format!("previous {name}")).await?;
        let base = self.base.as_ref().ok_or_else(|| refused("no valid previous backup"))?;
        if name.kind() != ArchiveKind::Blob {
            self.remote.most_previous_bytes.fetch_max(max_bytes, Ordering::SeqCst);
            let index = self.base_index(name)?;
            self.known.lock().unwrap().extend(index.chunks().map(|chunk| (chunk.digest, chunk.size_bytes())));
        }
        let raw = base.get(&name.to_string()).cloned();
        let raw = raw.ok_or_else(|| RemoteError::new(RequestFault::NotFound, "no such file"))?;
        if max_bytes < raw.len() as u64 {
            return Err(RemoteError::new(RequestFault::TooLarge, "too large"));
        }
        Ok(raw)
    }

    async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: u64,
        reuse: Option<&Digest>,
    ) -> Result<usize, RemoteError> {
        self.remote.ask(format!("create fixed {name}{}", if reuse.is_some() { " reuse" } else { "" })).await?;
        let count = usize::try_from(size_bytes.div_ceil(FIXED_CHUNK_BYTES)).unwrap();
        let mut slots = vec![None; count];
        if let Some(checksum) = reuse {
            let base = self.base_index(name)?;
            require(base.checksum() == *checksum, "checksum of the previous index differs")?;
            require(base.chunk_count() == count, "previous index has another length")?;
            slots = base.digests().map(Some).collect();
        }
        Ok(self.create(Writing {
            name: name.clone(),
            size: size_bytes,
            slots,
            ends: Vec::new(),
            appended: 0,
            is_reused: reuse.is_some(),
            is_open: true,
            has_short_chunk: false,
        }))
    }

    async fn create_dynamic(&self, name: &ArchiveName) -> Result<usize, RemoteError> {
        self.remote.ask(format!("create dynamic {name}")).await?;
        Ok(self.create(Writing {
            name: name.clone(),
            size: 0,
            slots: Vec::new(),
            ends: Vec::new(),
            appended: 0,
            is_reused: false,
            is_open: true,
            has_short_chunk: false,
        }))
    }

    async fn upload_chunk(
        &self,
        writer: &usize,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), RemoteError> {
        let now = self.remote.uploads_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.remote.most_uploads.fetch_max(now, Ordering::SeqCst);
        let asked = self.remote.ask(format!("chunk {digest}")).await;
        self.remote.uploads_now.fetch_sub(1, Ordering::SeqCst);
        asked?;
        let kind = blob::kind(&encoded).map_err(|error| refused(error.to_string()))?;
        if !kind.is_encrypted() {
            let plain = BlobDecoder::new().decode(&encoded, None, MAX_CHUNK_BYTES);
            let plain = plain.map_err(|error| refused(error.to_string()))?;
            require(sha256(&plain) == *digest && plain.len() as u64 == plain_bytes, "chunk has another digest")?;
        }
        self.remote.state().chunks.entry(*digest).or_insert(encoded);
        let mut writers = self.writers.lock().unwrap();
        let writing = &mut writers[*writer];
        require(writing.is_open, "writer is closed")?;
        if writing.name.kind() == ArchiveKind::FixedIndex {
            require(plain_bytes <= FIXED_CHUNK_BYTES, "chunk too large")?;
            if plain_bytes < FIXED_CHUNK_BYTES {
                require(!std::mem::replace(&mut writing.has_short_chunk, true), "second short chunk")?;
            }
        }
        self.known.lock().unwrap().insert(*digest, plain_bytes);
        Ok(())
    }

    async fn append(&self, writer: &usize, entries: &[(Digest, u64)]) -> Result<(), RemoteError> {
        self.remote.ask(format!("append {}", entries.len())).await?;
        require(entries.len() <= self.append_limit(), "body too large")?;
        let known = self.known.lock().unwrap();
        let mut writers = self.writers.lock().unwrap();
        let writing = &mut writers[*writer];
        require(writing.is_open, "writer is closed")?;
        for (digest, start) in entries {
            let length = *known.get(digest).ok_or_else(|| refused("unknown chunk"))?;
            let end = start + length;
            writing.appended += 1;
            if writing.name.kind() == ArchiveKind::DynamicIndex {
                require(*start == writing.size, "offset is not the running end")?;
                writing.size = end;
                writing.ends.push((end, *digest));
                continue;
            }
            require(start % FIXED_CHUNK_BYTES == 0 && end <= writing.size, "wrong offset")?;
            require(length == FIXED_CHUNK_BYTES || end == writing.size, "wrong length")?;
            writing.slots[usize::try_from(start / FIXED_CHUNK_BYTES).unwrap()] = Some(*digest);
        }
        Ok(())
    }

    fn append_limit(&self) -> usize {
        self.remote.append_limit.load(Ordering::SeqCst)
    }

    async fn close_writer(
        &self,
        writer: &usize,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), RemoteError> {
        self.remote.ask(format!("close {chunk_count}")).await?;
        let mut writers = self.writers.lock().unwrap();
        let writing = &mut writers[*writer];
        require(std::mem::replace(&mut writing.is_open, false), "writer is closed")?;
        require(writing.appended == chunk_count, "wrong chunk count")?;
        require(writing.size == size_bytes, "wrong size")?;
        let mut hasher = Sha256::new();
        let index = if writing.name.kind() == ArchiveKind::DynamicIndex {
            require(1 <= chunk_count, "empty index")?;
            let mut index = DynamicIndexBuilder::new([2; 16], Epoch(2));
            for (end, digest) in &writing.ends {
                hasher.update(&end.to_le_bytes());
                hasher.update(digest.as_bytes());
                index.push(*end, *digest).unwrap();
            }
            index.finish().unwrap()
        } else {
            require(writing.is_reused || chunk_count == writing.slots.len() as u64, "wrong chunk count")?;
            let mut index = FixedIndexBuilder::new([2; 16], Epoch(2), size_bytes, FIXED_CHUNK_BYTES).unwrap();
            for (position, digest) in writing.slots.iter().enumerate() {
                let digest = digest.unwrap_or(Digest([0; 32]));
                hasher.update(digest.as_bytes());
                index.set(position, digest).unwrap();
            }
            index.finish().unwrap()
        };
        require(hasher.finish() == *checksum, "wrong checksum")?;
        let name = writing.name.to_string();
        self.with(|dir| dir.files.insert(name, index.as_bytes().clone()));
        Ok(())
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), RemoteError> {
        self.remote.ask(format!("blob {name}")).await?;
        require(name.kind() == ArchiveKind::Blob, "not a blob")?;
        blob::check(&encoded).map_err(|error| refused(error.to_string()))?;
        self.with(|dir| dir.files.insert(name.to_string(), encoded));
        Ok(())
    }

    async fn finish(&self) -> Result<(), RemoteError> {
        self.remote.ask("finish".into()).await?;
        require(!self.writers.lock().unwrap().iter().any(|writing| writing.is_open), "open writer")?;
        self.with(|dir| {
            let raw = dir.files.get(MANIFEST_NAME).ok_or_else(|| refused("no manifest"))?;
            let mut manifest = Manifest::from_blob(raw).map_err(|error| refused(error.to_string()))?;
            manifest.unprotected.insert("chunk_upload_stats".into(), serde_json::json!({"count": 0}));
            let raw = manifest.to_blob(&mut BlobEncoder::new()).unwrap();
            dir.files.insert(MANIFEST_NAME.into(), raw.into());
            dir.is_open = false;
            Ok::<_, RemoteError>(())
        })?;
        *self.is_finished.lock().unwrap() = true;
        if self.remote.loses_answer("finish") { Err(connection_lost()) } else { Ok(()) }
    }

    async fn close(&self) {}
}

/// Collects events and the log made of them.
pub struct PushLog {
    pub events: Mutex<Vec<SyncEvent>>,
    renderer: Mutex<LogRenderer>,
    lines: Mutex<Vec<LogLine>>,
}

impl PushLog {
    pub fn new(workers: usize) -> Arc<Self> {
        let names = LogNames {
            direction: SyncDirection::Push,
            remote: Some("rsrc".parse().unwrap()),
            source_store: "dst".parse().unwrap(),
            target_store: "src2".parse().unwrap(),
        };
        let renderer = Mutex::new(LogRenderer::new(names, workers));
        Arc::new(Self { events: Mutex::default(), renderer, lines: Mutex::default() })
    }

    pub fn lines(&self) -> Vec<LogLine> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.extend(self.renderer.lock().unwrap().flush());
        lines
    }
}

impl EventSink for PushLog {
    fn event(&self, event: &SyncEvent) {
        self.events.lock().unwrap().push(event.clone());
        let lines = self.renderer.lock().unwrap().render(event);
        self.lines.lock().unwrap().extend(lines);
    }
}

/// What a push did and told.
pub struct Pushed {
    pub result: Result<SyncReport, SyncError>,
    pub lines: Vec<LogLine>,
    pub events: Vec<SyncEvent>,
}

impl Pushed {
    pub fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.text.clone()).collect()
    }

    pub fn has_line(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(part))
    }

    /// Returns what the run did, whether parts of it failed or not.
    pub fn report(&self) -> SyncReport {
        match &self.result {
            Ok(report) => report.clone(),
            Err(SyncError::SomeFailed(report)) => (**report).clone(),
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn push_options() -> SyncOptions {
    SyncOptions::new("rsrc:src2:dst::jpsh", Authid::root())
}

pub async fn push(options: SyncOptions, source: &Arc<MemorySource>, remote: &Arc<MemoryRemote>) -> Pushed {
    push_with(options, source, remote, Unrestricted, CancellationToken::new()).await
}

pub async fn push_with(
    options: SyncOptions,
    source: &Arc<MemorySource>,
    remote: &Arc<MemoryRemote>,
    rights: impl PushRights,
    cancel: CancellationToken,
) -> Pushed {
    let log = PushLog::new(options.worker_threads);
    let (from, to) = (Arc::new(Shared(source.clone())), Arc::new(Remote(remote.clone())));
    let result = farhold_sync::push(options, from, to, Arc::new(rights), log.clone(), cancel).await;
    Pushed { result, lines: log.lines(), events: log.events.lock().unwrap().clone() }
}
