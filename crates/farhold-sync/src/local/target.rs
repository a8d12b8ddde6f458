//! Pulling into a datastore of this server.
//!
//! Every step is one blocking job on the datastore. Steps of one snapshot never overlap: they share the writer.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use farhold_crypto::sha256;
use farhold_datastore::{Datastore, DatastoreError, ErrorKind, GroupLock, LockError, SharedProcessLock};
use farhold_datastore::{SnapshotOrigin, SnapshotWriter};
use farhold_format::index::Index;
use farhold_format::manifest::{Manifest, ManifestFile};
use farhold_rules::removal_plan::OwnedGroup;
use farhold_rules::sync_plan::{LocalCondition, LocalSnapshot};
use farhold_types::{
    ArchiveKind, ArchiveName, Authid, CLIENT_LOG_NAME, Digest, Epoch, Group, MAX_NAMESPACE_DEPTH, Namespace, Snapshot,
    VerifyState,
};
use tokio_util::task::TaskTracker;

use crate::blocking::Blocking;
use crate::local::chunks::{chunks_of_owner, chunks_of_snapshot, looks_whole};
use crate::local::removal;
use crate::target::{
    ChunkStore, Examine, IndexStamp, KnownChunk, MakeManifest, Removed, SeenGroup, StoredFile, StoredManifest, Target,
    TargetError, TargetGroup, TargetSnapshot,
};

/// A local datastore to pull into. Holds the store's shared process lock until it and all its steps are gone, so that
/// garbage collection spares what a run stores.
#[derive(Clone)]
pub struct LocalTarget {
    inner: Arc<Inner>,
}

struct Inner {
    store: Datastore,
    blocking: Blocking,
    steps: TaskTracker,
    _process_lock: SharedProcessLock,
}

impl LocalTarget {
    /// Returns a target for `store`. Blocks shortly.
    ///
    /// # Errors
    /// Another process collects garbage in the store.
    pub fn open(store: Datastore) -> Result<Self, LockError> {
        Self::open_with(store, Blocking::Threads)
    }

    /// Does what [`Self::open`] does; the steps run as `blocking` says.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(store: Datastore, blocking: Blocking) -> Result<Self, LockError> {
        let process_lock = store.lock_process_shared()?;
        let steps = TaskTracker::new();
        Ok(Self { inner: Arc::new(Inner { store, blocking, steps, _process_lock: process_lock }) })
    }

    /// Runs one blocking step. Once begun it runs to its end, whoever waits for it.
    async fn step<R: Send + 'static>(
        &self,
        what: &'static str,
        step: impl FnOnce(&Datastore) -> Result<R, DatastoreError> + Send + 'static,
    ) -> Result<R, TargetError> {
        let inner = self.inner.clone();
        let done = self.inner.blocking.spawn(&self.inner.steps, move || step(&inner.store)).await;
        match done {
            Ok(result) => result.map_err(|error| store_error(what, error)),
            Err(crashed) => Err(TargetError::store(what, crashed)),
        }
    }
}

fn store_error(what: &str, error: DatastoreError) -> TargetError {
    match error {
        DatastoreError::Lock(LockError::Busy { what }) => TargetError::Locked { what, source: None },
        error => TargetError::store(what, error),
    }
}

impl ChunkStore for LocalTarget {
    fn insert(&self, digest: &Digest, encoded: &[u8]) -> Result<(), TargetError> {
        let inserted = self.inner.store.insert_chunk(digest, encoded);
        inserted.map(|_| ()).map_err(|error| TargetError::store("cannot store a chunk", error))
    }

    fn insert_or_repair(
        &self,
        digest: &Digest,
        encoded: &[u8],
        is_sound: &mut dyn FnMut(&Bytes) -> bool,
    ) -> Result<(), TargetError> {
        let inserted = self.inner.store.replace_damaged_chunk(digest, encoded, is_sound);
        inserted.map(|_| ()).map_err(|error| TargetError::store("cannot store a chunk", error))
    }

    fn touch(&self, digest: &Digest) -> Result<bool, TargetError> {
        self.inner.store.touch_chunk(digest).map_err(|error| TargetError::store("cannot mark a chunk as used", error))
    }

    fn read(&self, digest: &Digest) -> Option<Bytes> {
        self.inner.store.read_chunk(digest).ok()
    }
}

impl Target for LocalTarget {
    type Group = LocalGroup;

    async fn has_namespace(&self, ns: &Namespace) -> Result<bool, TargetError> {
        let ns = ns.clone();
        self.step("cannot look for the namespace", move |store| store.namespace_exists(&ns)).await
    }

    async fn create_namespace(&self, ns: &Namespace) -> Result<(), TargetError> {
        let namespace = ns.clone();
        let inner = self.inner.clone();
        let create = move || inner.store.create_namespace(&namespace);
        match self.inner.blocking.spawn(&self.inner.steps, create).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(DatastoreError::NamespaceMissing { .. })) => {
                Err(TargetError::NoParentNamespace { namespace: ns.clone() })
            }
            Ok(Err(error)) => Err(store_error("cannot create the namespace", error)),
            Err(crashed) => Err(TargetError::store("cannot create the namespace", crashed)),
        }
    }

    async fn has_group(&self, ns: &Namespace, group: &Group) -> Result<bool, TargetError> {
        let (ns, group) = (ns.clone(), group.clone());
        let look = move |store: &Datastore| match store.owner(&ns, &group) {
            Err(DatastoreError::GroupMissing { .. }) => Ok(false),
            // A group whose owner cannot be read exists; locking it tells what is wrong.
            Ok(_) | Err(DatastoreError::OwnerUnreadable { .. }) => Ok(true),
            Err(error) => Err(error),
        };
        self.step("cannot look for the group", look).await
    }

    async fn look_at_group(
        &self,
        ns: &Namespace,
        group: &Group,
        examine: Examine,
    ) -> Result<Option<SeenGroup>, TargetError> {
        let (ns, group) = (ns.clone(), group.clone());
        let look = move |store: &Datastore| {
            let owner = match store.owner(&ns, &group) {
                Ok(owner) => Some(owner),
                Err(DatastoreError::OwnerUnreadable { .. }) => None,
                // The namespace may be missing, too.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            match snapshots_of(store, &ns, &group, examine) {
                Ok(snapshots) => Ok(Some(SeenGroup { owner, snapshots })),
                // Removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.step("cannot look at the group", look).await
    }

    async fn lock_group(&self, ns: &Namespace, group: &Group, owner: &Authid) -> Result<LocalGroup, TargetError> {
        let (ns, group, expected) = (ns.clone(), group.clone(), owner.clone());
        let lock = move |store: &Datastore| store.create_group(&ns, &group, &expected);
        let (found, lock) = self.step("cannot lock the group", lock).await?;
        if found != *owner {
            return Err(TargetError::OwnerMismatch { expected: owner.clone(), owner: found });
        }
        Ok(LocalGroup { target: self.clone(), owner: owner.clone(), lock: Mutex::new(lock) })
    }

    async fn chunks_of_owner(
        &self,
        namespaces: &[Namespace],
        owner: &Authid,
        max: usize,
    ) -> Result<Vec<KnownChunk>, TargetError> {
        let (namespaces, owner) = (namespaces.to_vec(), owner.clone());
        let read = move |store: &Datastore| chunks_of_owner(store, &namespaces, &owner, max);
        self.step("cannot read the indexes", read).await
    }

    fn index_stamp(&self) -> IndexStamp {
        let mut uuid = [0; 16];
        self.inner.store.randomness().fill(&mut uuid);
        IndexStamp { uuid, created: self.inner.store.clock().now() }
    }

    async fn namespaces(&self, anchor: &Namespace) -> Result<Vec<Namespace>, TargetError> {
        let anchor = anchor.clone();
        self.step("cannot list the namespaces", move |store| store.namespaces(&anchor, MAX_NAMESPACE_DEPTH)).await
    }

    async fn groups(&self, ns: &Namespace) -> Result<Vec<OwnedGroup>, TargetError> {
        let ns = ns.clone();
        self.step("cannot list the groups", move |store| removal::groups(store, &ns)).await
    }

    async fn lock_existing_group(
        &self,
        ns: &Namespace,
        group: &Group,
        owner: &Authid,
    ) -> Result<Option<LocalGroup>, TargetError> {
        let (ns, group) = (ns.clone(), group.clone());
        let locked = self.step("cannot lock the group", move |store| removal::lock(store, &ns, &group)).await?;
        match locked {
            Some((found, _)) if found != *owner => {
                Err(TargetError::OwnerMismatch { expected: owner.clone(), owner: found })
            }
            locked => {
                Ok(locked.map(|(owner, lock)| LocalGroup { target: self.clone(), owner, lock: Mutex::new(lock) }))
            }
        }
    }

    async fn remove_empty_namespace(&self, ns: &Namespace) -> Result<bool, TargetError> {
        let ns = ns.clone();
        let remove = move |store: &Datastore| removal::remove_empty_namespace(store, &ns);
        self.step("cannot remove the namespace", remove).await
    }

    fn location(&self, ns: &Namespace, group: &Group, time: Option<Epoch>) -> Option<String> {
        Some(self.inner.store.local_path(ns, group, time)?.display().to_string())
    }

    fn chunks(&self) -> Arc<dyn ChunkStore> {
        Arc::new(self.clone())
    }

    async fn settle(&self) {
        self.inner.steps.close();
        self.inner.steps.wait().await;
        self.inner.steps.reopen();
    }
}

/// A locked group of a local datastore.
pub struct LocalGroup {
    target: LocalTarget,
    owner: Authid,
    /// Another one after the group was removed and created again.
    lock: Mutex<GroupLock>,
}

fn condition_of(store: &Datastore, ns: &Namespace, snapshot: &Snapshot) -> Result<LocalCondition, DatastoreError> {
    match store.read_manifest(ns, snapshot) {
        Ok((manifest, _)) if manifest.verify_state().is_some_and(|item| item.state == VerifyState::Failed) => {
            Ok(LocalCondition::VerificationFailed)
        }
        Ok(_) => Ok(LocalCondition::NotKnownBad),
        Err(error) if is_damage(&error) => Ok(LocalCondition::UnreadableManifest),
        Err(error) => Err(error),
    }
}

fn snapshots_of(
    store: &Datastore,
    ns: &Namespace,
    group: &Group,
    examine: Examine,
) -> Result<Vec<LocalSnapshot>, DatastoreError> {
    let found = store.snapshots(ns, group)?;
    let newest = found.iter().filter(|info| info.has_manifest).map(|info| info.time).max();
    let mut local = Vec::with_capacity(found.len());
    for info in found {
        let condition = if !info.has_manifest {
            LocalCondition::Unfinished
        } else if examine == Examine::All || (examine == Examine::Newest && newest == Some(info.time)) {
            condition_of(store, ns, &group.at(info.time))?
        } else {
            LocalCondition::NotKnownBad
        };
        local.push(LocalSnapshot { time: info.time, condition, is_protected: info.is_protected });
    }
    Ok(local)
}

/// Returns whether a file is unusable in itself, so that fetching it again helps; not so when the device fails.
fn is_damage(error: &DatastoreError) -> bool {
    error.kind() == ErrorKind::Corrupt
        || matches!(error, DatastoreError::Manifest { .. } | DatastoreError::Index { .. })
}

impl LocalGroup {
    fn lock(&self) -> GroupLock {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TargetGroup for LocalGroup {
    type Snapshot = LocalSnapshotWriter;

    async fn snapshots(&self, examine: Examine) -> Result<Vec<LocalSnapshot>, TargetError> {
        let lock = self.lock();
        let list = move |store: &Datastore| snapshots_of(store, lock.namespace(), lock.group(), examine);
        self.target.step("cannot list the group", list).await
    }

    async fn chunks_of(&self, time: Epoch) -> Result<Vec<KnownChunk>, TargetError> {
        let lock = self.lock();
        let read = move |store: &Datastore| chunks_of_snapshot(store, lock.namespace(), &lock.group().at(time));
        self.target.step("cannot read the indexes", read).await
    }

    async fn remove_snapshot(&self, time: Epoch) -> Result<Removed, TargetError> {
        let lock = self.lock();
        let remove = move |store: &Datastore| removal::remove_snapshot(store, &lock, time);
        self.target.step("cannot remove the snapshot", remove).await
    }

    async fn remove_if_empty(&self) -> Result<bool, TargetError> {
        let lock = self.lock();
        self.target.step("cannot remove the group", move |store| store.remove_group_if_empty(&lock)).await
    }

    async fn begin(&self, time: Epoch) -> Result<LocalSnapshotWriter, TargetError> {
        let mut lock = self.lock();
        if lock.is_removed() {
            // With its last snapshot, which was unfinished and given up. The new one belongs to the job's owner, too.
            let (ns, group) = (lock.namespace().clone(), lock.group().clone());
            let again = self.target.lock_group(&ns, &group, &self.owner).await?;
            lock = again.lock();
            *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = lock.clone();
        }
        let writer =
            self.target.step("cannot begin the snapshot", move |store| store.begin_snapshot(&lock, time)).await?;
        let origin = writer.origin();
        Ok(LocalSnapshotWriter { target: self.target.clone(), origin, writer: Arc::new(Mutex::new(Some(writer))) })
    }
}

/// A snapshot of a local datastore being written.
pub struct LocalSnapshotWriter {
    target: LocalTarget,
    origin: SnapshotOrigin,
    /// Taken only by discarding.
    writer: Arc<Mutex<Option<SnapshotWriter>>>,
}

impl LocalSnapshotWriter {
    async fn with<R: Send + 'static>(
        &self,
        what: &'static str,
        step: impl FnOnce(&Datastore, &mut SnapshotWriter) -> Result<R, DatastoreError> + Send + 'static,
    ) -> Result<R, TargetError> {
        let writer = self.writer.clone();
        let step = move |store: &Datastore| {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.as_mut().map(|writer| step(store, writer)).transpose()
        };
        let gone = || TargetError::store(what, "the snapshot was discarded");
        self.target.step(what, step).await?.ok_or_else(gone)
    }
}

impl TargetSnapshot for LocalSnapshotWriter {
    fn is_new(&self) -> bool {
        self.origin == SnapshotOrigin::New
    }

    async fn manifest(&self) -> Result<StoredManifest, TargetError> {
        if self.origin != SnapshotOrigin::Finished {
            return Ok(StoredManifest::Absent);
        }
        let read = |store: &Datastore, writer: &mut SnapshotWriter| match store
            .read_manifest(writer.namespace(), writer.snapshot())
        {
            Ok((manifest, raw)) => Ok(StoredManifest::Present { manifest: Box::new(manifest), raw }),
            Err(error) if is_damage(&error) => Ok(StoredManifest::Unreadable),
            Err(error) => Err(error),
        };
        self.with("cannot read the manifest", read).await
    }

    async fn compare(&self, file: &ManifestFile) -> Result<StoredFile, TargetError> {
        let file = file.clone();
        let compare = move |_: &Datastore, writer: &mut SnapshotWriter| {
            let content = match writer.existing(&file.name) {
                Ok(Some(content)) => content,
                Ok(None) => return Ok(StoredFile::Absent),
                Err(error) if is_damage(&error) => return Ok(StoredFile::Different),
                Err(error) => return Err(error),
            };
            let facts = match file.name.kind() {
                ArchiveKind::Blob => Some((sha256(&content), content.len() as u64)),
                kind => Index::parse(kind, content).ok().map(|index| (index.checksum(), index.size_bytes())),
            };
            let is_same = facts == Some((file.checksum, file.size_bytes));
            Ok(if is_same { StoredFile::Matching } else { StoredFile::Different })
        };
        self.with("cannot read a file of the snapshot", compare).await
    }

    async fn looks_whole(&self, manifest: &Manifest) -> Result<bool, TargetError> {
        let manifest = manifest.clone();
        self.with("cannot look at the snapshot", move |_, writer| looks_whole(writer, &manifest)).await
    }

    async fn existing(&self, name: &ArchiveName) -> Result<Option<Bytes>, TargetError> {
        let name = name.clone();
        self.with("cannot read a file of the snapshot", move |_, writer| writer.existing(&name)).await
    }

    async fn has_client_log(&self) -> Result<bool, TargetError> {
        let look = |store: &Datastore, writer: &mut SnapshotWriter| {
            let info = store.snapshot_info(writer.namespace(), writer.snapshot())?;
            Ok(info.files.iter().any(|file| file.as_str() == CLIENT_LOG_NAME))
        };
        self.with("cannot list the snapshot", look).await
    }

    async fn put(&self, name: &ArchiveName, content: Bytes) -> Result<(), TargetError> {
        let name = name.clone();
        self.with("cannot write a file of the snapshot", move |_, writer| writer.put(&name, &content)).await
    }

    async fn commit(&self, raw_manifest: Bytes) -> Result<(), TargetError> {
        self.with("cannot finish the snapshot", move |_, writer| writer.commit(&raw_manifest)).await
    }

    async fn commit_with(&self, make: MakeManifest) -> Result<(), TargetError> {
        let commit = move |_: &Datastore, writer: &mut SnapshotWriter| {
            let snapshot = writer.snapshot().clone();
            writer.commit_with(&|stored| {
                let failed = |source| DatastoreError::ManifestEncoding { snapshot: snapshot.clone(), source };
                make(stored).map_err(failed)
            })
        };
        self.with("cannot finish the snapshot", commit).await
    }

    async fn put_client_log(&self, content: Bytes) -> Result<(), TargetError> {
        self.with("cannot write the client log", move |_, writer| writer.put_log(&content)).await
    }

    async fn remove_unlisted(&self, manifest: &Manifest) -> Result<(), TargetError> {
        let manifest = manifest.clone();
        self.with("cannot tidy up the snapshot", move |_, writer| writer.remove_unlisted(&manifest).map(|_| ())).await
    }

    async fn discard(self) -> Result<(), TargetError> {
        let writer = self.writer.clone();
        let discard = move |_: &Datastore| {
            let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            writer.map_or(Ok(false), SnapshotWriter::discard_snapshot)
        };
        self.target.step("cannot remove the unfinished snapshot", discard).await.map(drop)
    }
}
