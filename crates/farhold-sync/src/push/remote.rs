//! Pushing to another server.
//!
//! Source: `docs/spec/wire-protocol.md` 9.2 and 9.3.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use farhold_client::{BackupSession, BackupSessionOptions, Client, ClientError, WriterId, append_entries};
use farhold_types::{
    ArchiveName, Authid, DatastoreName, DeleteStatistics, Digest, Group, GroupItem, Namespace, NamespaceItem, Snapshot,
    SnapshotItem, VersionItem,
};

use crate::fault::Told;
use crate::push::target::{DeletionAnswer, PushSession, PushTarget, RemoteError};
use crate::remote_source::{bound, listed};
use crate::source::Listed;

/// Bytes of an append that every server takes: before 2025 bodies had to stay below 64 KiB.
///
/// Source: `docs/spec/sync.md` C.2 W43.
const APPEND_BYTES: usize = 60 << 10;

/// Bytes of an append that servers from [`LARGE_APPENDS_SINCE`] on take; their limit is 512 KiB.
const LARGE_APPEND_BYTES: usize = 480 << 10;

/// Major version from which on large appends are sent.
const LARGE_APPENDS_SINCE: u32 = 4;

/// A datastore of a remote, as one of its accounts may write to it.
pub struct RemoteTarget {
    client: Client,
    store: DatastoreName,
    account: Authid,
    takes_large_appends: AtomicBool,
}

impl RemoteTarget {
    /// Returns the datastore `store` of the remote that `client` talks to as `account`.
    pub fn new(client: Client, store: DatastoreName, account: Authid) -> Self {
        // The engine asks again, and knows for how long.
        let client = client.with_single_attempts();
        Self { client, store, account, takes_large_appends: AtomicBool::new(false) }
    }
}

impl From<ClientError> for RemoteError {
    fn from(error: ClientError) -> Self {
        let Told { fault, text, cause } = error.into();
        Self { fault, text, cause }
    }
}

impl PushTarget for RemoteTarget {
    type Session = RemoteSession;

    fn identity(&self) -> String {
        format!("{}/{}/{}", self.client.peer(), self.store, self.account)
    }

    fn account(&self) -> &Authid {
        &self.account
    }

    async fn version(&self) -> Result<VersionItem, RemoteError> {
        let version = self.client.version().await?;
        let major = version.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        self.takes_large_appends.store(major.is_some_and(|major| LARGE_APPENDS_SINCE <= major), Ordering::Relaxed);
        Ok(version)
    }

    async fn namespaces(&self) -> Result<Listed<Namespace>, RemoteError> {
        let listing = self.client.namespaces(&self.store, &Namespace::root(), None).await?;
        Ok(listed(listing, |item: NamespaceItem| item.ns))
    }

    async fn create_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        Ok(self.client.create_namespace(&self.store, ns).await?)
    }

    async fn groups(&self, ns: &Namespace) -> Result<Listed<GroupItem>, RemoteError> {
        Ok(listed(self.client.groups(&self.store, ns).await?, |item| item))
    }

    async fn snapshots(&self, ns: &Namespace, group: &Group) -> Result<Listed<SnapshotItem>, RemoteError> {
        Ok(listed(self.client.snapshots(&self.store, ns, group).await?, |item| item))
    }

    async fn snapshots_of_namespace(&self, ns: &Namespace) -> Result<Listed<SnapshotItem>, RemoteError> {
        Ok(listed(self.client.snapshots_of_namespace(&self.store, ns).await?, |item| item))
    }

    async fn warm(&self, sessions: usize) {
        // Whoever opens one finds out what is wrong.
        let _ = self.client.warm(sessions).await;
    }

    async fn open(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<RemoteSession, RemoteError> {
        let session = self.client.open_backup(&self.store, ns, snapshot, BackupSessionOptions::default()).await?;
        let is_large = self.takes_large_appends.load(Ordering::Relaxed);
        let append_limit = append_entries(if is_large { LARGE_APPEND_BYTES } else { APPEND_BYTES });
        Ok(RemoteSession { session, append_limit })
    }

    async fn delete_snapshot(&self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), RemoteError> {
        Ok(self.client.delete_snapshot(&self.store, ns, snapshot).await?)
    }

    async fn delete_group(
        &self,
        ns: &Namespace,
        group: &Group,
        answer: DeletionAnswer,
    ) -> Result<Option<DeleteStatistics>, RemoteError> {
        let error_on_protected = (answer == DeletionAnswer::Statistics).then_some(false);
        Ok(self.client.delete_group(&self.store, ns, group, error_on_protected).await?)
    }

    async fn delete_empty_namespace(&self, ns: &Namespace) -> Result<(), RemoteError> {
        self.client.delete_namespace(&self.store, ns, false, None).await?;
        Ok(())
    }

    async fn set_notes(&self, ns: &Namespace, snapshot: &Snapshot, notes: &str) -> Result<(), RemoteError> {
        Ok(self.client.set_snapshot_notes(&self.store, ns, snapshot, notes).await?)
    }

    async fn upload_log(&self, ns: &Namespace, snapshot: &Snapshot, log: Bytes) -> Result<(), RemoteError> {
        Ok(self.client.upload_log(&self.store, ns, snapshot, log).await?)
    }
}

/// A snapshot that is being written to another server.
pub struct RemoteSession {
    session: BackupSession,
    append_limit: usize,
}

impl PushSession for RemoteSession {
    type Writer = WriterId;

    async fn previous(&self, name: &ArchiveName, max_bytes: u64) -> Result<Bytes, RemoteError> {
        Ok(self.session.previous(name, bound(max_bytes)).await?)
    }

    async fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: u64,
        reuse: Option<&Digest>,
    ) -> Result<WriterId, RemoteError> {
        Ok(self.session.create_fixed(name, Some(size_bytes), reuse).await?)
    }

    async fn create_dynamic(&self, name: &ArchiveName) -> Result<WriterId, RemoteError> {
        Ok(self.session.create_dynamic(name).await?)
    }

    async fn upload_chunk(
        &self,
        writer: &WriterId,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> Result<(), RemoteError> {
        Ok(self.session.upload_chunk(*writer, digest, plain_bytes, encoded).await?)
    }

    async fn append(&self, writer: &WriterId, entries: &[(Digest, u64)]) -> Result<(), RemoteError> {
        Ok(self.session.append(*writer, entries).await?)
    }

    fn append_limit(&self) -> usize {
        self.append_limit
    }

    async fn close_writer(
        &self,
        writer: &WriterId,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> Result<(), RemoteError> {
        Ok(self.session.close_writer(*writer, chunk_count, size_bytes, checksum).await?)
    }

    async fn blob(&self, name: &ArchiveName, encoded: Bytes) -> Result<(), RemoteError> {
        Ok(self.session.blob(name, encoded).await?)
    }

    async fn finish(&self) -> Result<(), RemoteError> {
        Ok(self.session.finish().await?)
    }

    async fn close(&self) {
        self.session.close().await;
    }
}
