//! Where a push writes to: a datastore of another server, as one of its accounts may use it.
//!
//! A target says what it has and takes snapshots through sessions. Nothing is believed of what it says except about
//! itself; every body has a bound that the caller names. Implementations do no retries of their own: the engine repeats
//! what failed with [`RequestFault::ConnectionLost`], and a session that broke is begun anew with its snapshot.
//!
//! Source: `docs/spec/wire-protocol.md` 5 and 9.2, `docs/spec/sync.md` 10 and 11.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use farhold_types::{
    ArchiveName, Authid, DeleteStatistics, Digest, Group, GroupItem, Namespace, Snapshot, SnapshotItem, VersionItem,
};
use thiserror::Error;

use crate::fault::RequestFault;
use crate::source::Listed;

/// A failed request to a target.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct RemoteError {
    /// What the engine acts on.
    pub fault: RequestFault,
    /// What was tried, and what came back, for people.
    pub text: String,
    /// The cause below, if there is one that `text` does not tell already.
    #[source]
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl RemoteError {
    /// Returns an error without a cause below.
    pub fn new(fault: RequestFault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into(), cause: None }
    }
}

/// What a deletion is asked to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionAnswer {
    /// Statistics; what stays because it is protected is no error. Servers from 3.2.11 on.
    Statistics,
    /// Nothing; what stays because it is protected is an error.
    Nothing,
}

/// A place to push to.
pub trait PushTarget: Send + Sync + 'static {
    /// A snapshot that is being written.
    type Session: PushSession;

    /// Returns a text that is equal only for the same peer, store and account; binds private notes to the peer.
    fn identity(&self) -> String;

    /// Returns the account that the target knows the job by. It owns what the job pushes.
    fn account(&self) -> &Authid;

    /// Returns the target's version.
    fn version(&self) -> impl Future<Output = Result<VersionItem, RemoteError>> + Send;

    /// Lists all namespaces that the account may see, in any order.
    fn namespaces(&self) -> impl Future<Output = Result<Listed<Namespace>, RemoteError>> + Send;

    /// Creates a namespace whose parent exists.
    fn create_namespace(&self, ns: &Namespace) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Lists the groups of one namespace that the account may see, in any order.
    fn groups(&self, ns: &Namespace) -> impl Future<Output = Result<Listed<GroupItem>, RemoteError>> + Send;

    /// Lists all snapshots of a group, unfinished ones too, in any order; none if there is no such group.
    fn snapshots(
        &self,
        ns: &Namespace,
        group: &Group,
    ) -> impl Future<Output = Result<Listed<SnapshotItem>, RemoteError>> + Send;

    /// Lists the snapshots of all groups of a namespace, not of those below it, as [`Self::snapshots`] does of one.
    fn snapshots_of_namespace(
        &self,
        ns: &Namespace,
    ) -> impl Future<Output = Result<Listed<SnapshotItem>, RemoteError>> + Send;

    /// Opens connections until so many sessions can be begun without waiting for one. May do nothing.
    fn warm(&self, _sessions: usize) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Begins a new snapshot. The group is created if it does not exist and then belongs to the account.
    ///
    /// # Errors
    /// [`RequestFault::Refused`] when the time is not newer than the newest finished snapshot, when the group belongs to
    /// somebody else or is busy, or when a directory of that time exists, finished or not.
    fn open(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<Self::Session, RemoteError>> + Send;

    /// Removes a snapshot, finished or not; with it the group if it was the last one.
    ///
    /// # Errors
    /// [`RequestFault::Refused`] for one that is protected, in use or gone.
    fn delete_snapshot(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Removes the snapshots of a group that are not protected, and the group if none is left. Returns what it did if the
    /// target says so.
    fn delete_group(
        &self,
        ns: &Namespace,
        group: &Group,
        answer: DeletionAnswer,
    ) -> impl Future<Output = Result<Option<DeleteStatistics>, RemoteError>> + Send;

    /// Removes a namespace in which and below which no groups are.
    ///
    /// # Errors
    /// [`RequestFault::Refused`] when groups are in it or below it.
    fn delete_empty_namespace(&self, ns: &Namespace) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Sets the notes of a snapshot.
    fn set_notes(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
        notes: &str,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Adds the client log, in its stored form, to a finished snapshot that has none.
    fn upload_log(
        &self,
        ns: &Namespace,
        snapshot: &Snapshot,
        log: Bytes,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;
}

/// A snapshot that is being written. Requests may be sent at the same time. Dropping it before [`Self::finish`] makes the
/// target remove what there is of the snapshot.
pub trait PushSession: Send + Sync + 'static {
    /// An index that is being written.
    type Writer: Send + Sync + 'static;

    /// Returns a file of the newest finished snapshot of the group. All chunks of an index are known to the session
    /// from then on.
    fn previous(&self, name: &ArchiveName, max_bytes: u64) -> impl Future<Output = Result<Bytes, RemoteError>> + Send;

    /// Begins a fixed index for content of `size_bytes` in chunks of 4 MiB. `reuse`: checksum of the index of that name
    /// in the newest finished snapshot, whose entries the new one then starts with; it must have as many.
    fn create_fixed(
        &self,
        name: &ArchiveName,
        size_bytes: u64,
        reuse: Option<&Digest>,
    ) -> impl Future<Output = Result<Self::Writer, RemoteError>> + Send;

    /// Begins a dynamic index.
    fn create_dynamic(&self, name: &ArchiveName) -> impl Future<Output = Result<Self::Writer, RemoteError>> + Send;

    /// Uploads a chunk in its encoded form; it is known to the session from then on.
    fn upload_chunk(
        &self,
        writer: &Self::Writer,
        digest: &Digest,
        plain_bytes: u64,
        encoded: Bytes,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Enters known chunks, each with the offset at which it starts: in content order for a dynamic index, in any order
    /// for a fixed one. At most [`Self::append_limit`] at once.
    fn append(
        &self,
        writer: &Self::Writer,
        entries: &[(Digest, u64)],
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Returns how many entries one [`Self::append`] may have, at least 1.
    fn append_limit(&self) -> usize;

    /// Ends an index. `chunk_count`: entries that were appended. `checksum`: that of the whole index.
    fn close_writer(
        &self,
        writer: &Self::Writer,
        chunk_count: u64,
        size_bytes: u64,
        checksum: &Digest,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Uploads a blob, a client log or the manifest in its stored form.
    fn blob(&self, name: &ArchiveName, encoded: Bytes) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Makes the snapshot visible. When it returns the next session of the group may begin.
    fn finish(&self) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Ends the session in good order.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
