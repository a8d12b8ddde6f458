//! A datastore of this server as a source: of a pull into another one, and of a push.

use std::sync::Arc;

use bytes::Bytes;
use farhold_datastore::{Datastore, DatastoreError, ErrorKind, SharedSnapshotLock};
use farhold_types::{ArchiveName, Authid, Digest, Group, MAX_NAMESPACE_DEPTH, Namespace, Snapshot, SnapshotItem};

use crate::blocking::Blocking;
use crate::fault::RequestFault;
use crate::source::{Listed, Source, SourceError, SourceSnapshot, Visibility};

/// Which groups of the source store the job's owner may read.
///
/// Source: `docs/spec/sync.md` 3.4, local source.
pub trait SourceRights: Send + Sync + 'static {
    /// Returns whether the owner of the job may read a group of `ns` that belongs to `group_owner`.
    fn may_read(&self, ns: &Namespace, group_owner: &Authid) -> bool;

    /// Returns whether the owner of a push job has `Datastore.Read` or `Datastore.Backup` on `ns`. Without, the namespace
    /// is not pushed.
    fn may_see(&self, _ns: &Namespace) -> bool {
        true
    }
}

impl<F: Fn(&Namespace, &Authid) -> bool + Send + Sync + 'static> SourceRights for F {
    fn may_read(&self, ns: &Namespace, group_owner: &Authid) -> bool {
        self(ns, group_owner)
    }
}

/// A local datastore that is synced to somewhere else.
pub struct LocalSource {
    store: Datastore,
    rights: Arc<dyn SourceRights>,
    blocking: Blocking,
}

impl LocalSource {
    /// Returns the source `store` as `rights` allow to see it.
    pub fn new(store: Datastore, rights: Arc<dyn SourceRights>) -> Self {
        Self { store, rights, blocking: Blocking::Threads }
    }

    /// Returns the same source whose reading runs as `blocking` says.
    #[must_use]
    pub fn with_blocking(self, blocking: Blocking) -> Self {
        Self { blocking, ..self }
    }

    async fn step<R: Send + 'static>(
        &self,
        step: impl FnOnce(&Datastore, &dyn SourceRights) -> Result<R, SourceError> + Send + 'static,
    ) -> Result<R, SourceError> {
        let (store, rights) = (self.store.clone(), self.rights.clone());
        on(&self.blocking, move || step(&store, &*rights)).await
    }
}

async fn on<R: Send + 'static>(
    blocking: &Blocking,
    step: impl FnOnce() -> Result<R, SourceError> + Send + 'static,
) -> Result<R, SourceError> {
    let crashed = |error| SourceError::caused_by(RequestFault::Invalid, "internal error: a task crashed", error);
    blocking.spawn_untracked(step).await.map_err(crashed)?
}

impl From<DatastoreError> for SourceError {
    fn from(error: DatastoreError) -> Self {
        Self { fault: fault_of(error.kind()), text: error.to_string(), cause: Some(Box::new(error)) }
    }
}

/// Tells damage from what may pass, such as a lock or a disk that does not answer.
const fn fault_of(kind: ErrorKind) -> RequestFault {
    match kind {
        ErrorKind::NotFound => RequestFault::NotFound,
        ErrorKind::Corrupt => RequestFault::Invalid,
        _ => RequestFault::Refused,
    }
}

fn bounded(content: Bytes, max_bytes: u64, what: &dyn std::fmt::Display) -> Result<Bytes, SourceError> {
    if (content.len() as u64) <= max_bytes {
        return Ok(content);
    }
    Err(SourceError::new(RequestFault::TooLarge, format!("{what} is larger than {max_bytes} bytes")))
}

impl Source for LocalSource {
    type Snapshot = LocalSnapshotReader;

    fn identity(&self) -> String {
        format!("local:{}", self.store.name())
    }

    /// A missing anchor is an error, not an empty namespace (`docs/spec/sync.md` C.1 FAULT 1).
    async fn namespaces(&self, anchor: &Namespace, max_depth: Option<u8>) -> Result<Listed<Namespace>, SourceError> {
        let anchor = anchor.clone();
        let depth = max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from);
        self.step(move |store, _| {
            if !store.namespace_exists(&anchor)? {
                return Err(DatastoreError::NamespaceMissing { namespace: anchor }.into());
            }
            Ok(store.namespaces(&anchor, depth)?.into())
        })
        .await
    }

    /// Groups that the owner may not read, or that have no readable owner, are withheld.
    async fn groups(&self, ns: &Namespace) -> Result<Listed<Group>, SourceError> {
        let ns = ns.clone();
        self.step(move |store, rights| {
            let mut listed = Listed::from(Vec::new());
            for (group, owner) in store.groups_and_owners(&ns)? {
                let is_visible = owner.is_some_and(|owner| rights.may_read(&ns, &owner));
                if is_visible { &mut listed.items } else { &mut listed.withheld }.push(group);
            }
            Ok(listed)
        })
        .await
    }

    async fn visibility(&self, _: &Namespace) -> Result<Visibility, SourceError> {
        Ok(Visibility::Everything)
    }

    fn hides(&self, ns: &Namespace) -> bool {
        !self.rights.may_see(ns)
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, SourceError> {
        let (ns, group) = (ns.clone(), group.clone());
        self.step(move |store, _| match store.snapshot_items(&ns, &group) {
            Ok(items) => Ok(items.into()),
            // Removed since it was listed; a remote answers with an empty list, too.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new().into()),
            Err(error) => Err(error.into()),
        })
        .await
    }

    async fn peek_manifest(&self, ns: &Namespace, snapshot: &Snapshot, max_bytes: u64) -> Result<Bytes, SourceError> {
        let (ns, snapshot) = (ns.clone(), snapshot.clone());
        self.step(move |store, _| {
            let name = ArchiveName::manifest();
            bounded(store.read_file(&ns, &snapshot, &name)?, max_bytes, &name)
        })
        .await
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<LocalSnapshotReader, SourceError> {
        let (ns, snapshot) = (ns.clone(), snapshot.clone());
        let blocking = self.blocking.clone();
        self.step(move |store, rights| {
            let owner = store.owner(&ns, &snapshot.group)?;
            if !rights.may_read(&ns, &owner) {
                let text = format!("the owner of the job may not read group {}", snapshot.group);
                return Err(SourceError::new(RequestFault::Refused, text));
            }
            let lock = store.lock_snapshot_shared(&ns, &snapshot)?;
            let inner = Inner { store: store.clone(), ns, snapshot, blocking, _lock: lock };
            Ok(LocalSnapshotReader { inner: Arc::new(inner) })
        })
        .await
    }
}

/// A snapshot of a local datastore under its shared lock.
pub struct LocalSnapshotReader {
    inner: Arc<Inner>,
}

struct Inner {
    store: Datastore,
    ns: Namespace,
    snapshot: Snapshot,
    blocking: Blocking,
    _lock: SharedSnapshotLock,
}

impl SourceSnapshot for LocalSnapshotReader {
    async fn file(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, SourceError> {
        let (inner, name) = (self.inner.clone(), name.clone());
        let read = move || bounded(inner.store.read_file(&inner.ns, &inner.snapshot, &name)?, max_bytes, &name);
        on(&self.inner.blocking, read).await
    }

    async fn chunk(&self, digest: &Digest, max_bytes: u64) -> Result<Bytes, SourceError> {
        let (inner, digest) = (self.inner.clone(), *digest);
        on(&self.inner.blocking, move || {
            let chunk = inner.store.read_chunk(&digest).map_err(|error| {
                let (fault, text) = (fault_of(error.kind()), error.to_string());
                SourceError { fault, text, cause: Some(Box::new(error)) }
            })?;
            bounded(chunk, max_bytes, &format_args!("chunk {digest}"))
        })
        .await
    }

    async fn close(&self) {}
}
